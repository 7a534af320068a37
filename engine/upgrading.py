"""Upgrading: whoever changes a database's tables is alone with them; others wait until the work is done."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa

from engine import turns
from engine.connecting import Unusable, connect, sentence
from engine.sqlite_file import make_folder

WAIT_SECONDS = 300  # a large database takes minutes
POLL = 0.1  # seconds between two looks at a server's lock
UNDERWAY = (
    "The database has been in use for {seconds} seconds, by another upgrade or, on SQLite, by a writer."
    " Wait until it ends, or end it; then try again."
)
# On PostgreSQL a lock is a number and belongs to a database; on MariaDB a name for the whole server.
LOCK_POSTGRESQL = "SELECT pg_try_advisory_xact_lock(7241995081)"
LOCK_MARIADB = "SELECT GET_LOCK(CONCAT('upgrade ', MD5(DATABASE())), 0)"


@contextmanager
def alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection while nobody else upgrades its database.

    Raises Unusable when others do so for WAIT_SECONDS, or the database fails before or meanwhile.
    """
    try:
        with WAYS.get(engine.dialect.name, _on_mariadb)(engine) as connection:
            yield connection
    except turns.NoTurn:
        raise Unusable(UNDERWAY.format(seconds=WAIT_SECONDS)) from None
    except (sa.exc.DBAPIError, OSError) as error:
        raise Unusable(sentence(error, engine.url)) from None


@contextmanager
def _on_sqlite(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Make the file's folder, and have the turn of its writers, for which SQLite itself would not wait so long."""
    path = str(engine.url.database)
    make_folder(path)
    with turns.of(path).turn(WAIT_SECONDS), connect(engine) as connection:
        # Detached from the pool, it is closed before the turn ends: to close a file can lock it for a moment.
        connection.detach()
        yield connection.execution_options(writes=True)


@contextmanager
def _on_postgresql(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Take a lock that ends with the transaction; the whole upgrade runs in it."""
    with connect(engine) as connection, connection.begin():
        _wait_for(LOCK_POSTGRESQL, connection)
        yield connection


@contextmanager
def _on_mariadb(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Take a lock that ends with the connection, because a change of a table commits."""
    with connect(engine) as connection:
        connection.detach()  # from the pool, which would keep it open
        _wait_for(LOCK_MARIADB, connection)
        connection.commit()
        yield connection


def _wait_for(lock: str, connection: sa.Connection) -> None:
    """Take a lock; raise NoTurn after WAIT_SECONDS.

    It asks again and again, because drivers and servers wait less long for one answer.
    """
    ends = time.monotonic() + WAIT_SECONDS
    while not connection.exec_driver_sql(lock).scalar():
        if time.monotonic() > ends:
            raise turns.NoTurn
        time.sleep(POLL)


WAYS: dict[str, Callable[[sa.Engine], AbstractContextManager[sa.Connection]]] = {
    "sqlite": _on_sqlite,
    "postgresql": _on_postgresql,
}
