"""Upgrades of one database wait for each other, whatever becomes of them; a newer program's tables are left alone."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import flask_migrate
import programs
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from conftest import KEY
from test_upgrading import PASSWORD, as_text, checked, refusal, refusal_of_program

from app import create_app
from engine import connecting, database, upgrading
from models import db

# Each child is a process as `flask` would be; what takes long is imported before.
SIX = """
import os, sys
import app, flask_migrate.cli, rekey
from flask.cli import main
sys.argv[1:] = ["--app", "app", "db", "upgrade"]
children = []
for _ in range(6):
    child = os.fork()
    if not child:
        main()
    children.append(child)
ends = [os.waitpid(child, 0)[1] for child in children]
print([os.waitstatus_to_exitcode(end) for end in ends])
"""


@contextmanager
def on(url: sa.URL) -> Iterator[None]:
    """Work on a database as the program does."""
    app = create_app(API_KEYS=f"tests:{KEY}", DATABASE_URL=as_text(url), LOG_LEVEL="ERROR")
    with app.app_context():
        yield
        db.engine.dispose()


def six_at_once(url: sa.URL) -> str:
    """Run six upgrades at once, which must all succeed; returns what they wrote to stdout."""
    settings = {"API_KEYS": f"tests:{KEY}", "DATABASE_URL": as_text(url)}
    process = programs.started((sys.executable, "-c", SIX), **settings)
    said, told = process.communicate(timeout=120)
    assert said.splitlines()[-1] == "[0, 0, 0, 0, 0, 0]", told
    return said


def stored(statement: str) -> list[tuple]:
    with db.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]


def differences() -> list:
    with db.engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection), db.metadata)


PATIENT = """
INSERT INTO patient (national_id, name, is_active, created_at, updated_at, version)
VALUES ('784-1990-1234567-1', 'Sara Omar', {true}, '2026-06-01 09:00:00', '2026-06-01 09:00:00', 1)
"""


def store_as_before(revision: str) -> None:
    """Bring an empty database to an older revision, with a patient whose number has an older form."""
    flask_migrate.upgrade(revision=revision)
    true = "TRUE" if db.engine.dialect.name == "postgresql" else "1"
    with db.engine.connect().execution_options(writes=True) as connection:
        connection.exec_driver_sql(PATIENT.format(true=true))
        connection.commit()


def test_six_upgrades_of_an_empty_database_at_once_make_its_tables_once(
    empty: sa.URL,
) -> None:
    six_at_once(empty)
    with on(empty):
        assert differences() == []
        assert len(stored("SELECT version_num FROM alembic_version")) == 1


def test_six_upgrades_of_an_older_database_at_once_change_it_once(empty: sa.URL) -> None:
    with on(empty):
        store_as_before("0003")
    assert six_at_once(empty).count("nationalID formed") == 1
    with on(empty):
        assert differences() == []
        assert stored("SELECT national_id, version FROM patient") == [
            ("784199012345671", 2)
        ]


def test_an_upgrade_that_waits_too_long_for_another_says_so(
    empty: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sa.create_engine(empty)
    with upgrading.alone(other), monkeypatch.context() as brief:
        brief.setattr(upgrading, "WAIT_SECONDS", 0)
        assert "The database has been in use for" in refusal(empty)
    other.dispose()
    with on(empty):
        flask_migrate.upgrade()
        assert differences() == []


def test_the_upgrade_of_one_database_holds_up_no_other(
    server: None, backend: str, empty: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrading, "WAIT_SECONDS", 0)
    there_always = {"postgresql": "postgres", "mariadb": "mysql"}[backend]
    other = sa.create_engine(empty.set(database=there_always))
    with upgrading.alone(other), on(empty):
        flask_migrate.upgrade()
        assert differences() == []
    other.dispose()


def test_an_upgrade_that_waits_goes_on_as_soon_as_the_other_ends(empty: sa.URL) -> None:
    engines = [sa.create_engine(empty) for _ in range(2)]
    with ExitStack() as holder, ExitStack() as waiter, ThreadPoolExecutor(1) as thread:
        holder.enter_context(upgrading.alone(engines[0]))
        waiting = thread.submit(waiter.enter_context, upgrading.alone(engines[1]))
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        holder.close()
        waiting.result(60)
    for engine in engines:
        engine.dispose()


def test_an_upgrade_that_fails_leaves_others_their_turn(
    empty: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even while its program goes on."""
    monkeypatch.setattr(upgrading, "WAIT_SECONDS", 5)
    engines = [sa.create_engine(empty) for _ in range(2)]
    for engine in engines:
        with pytest.raises(ZeroDivisionError), upgrading.alone(engine):
            raise ZeroDivisionError
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize(
    "error",
    [sa.exc.OperationalError("SELECT 1", None, Exception(PASSWORD)), OSError(PASSWORD)],
)
def test_an_upgrade_in_which_the_database_fails_is_told_without_its_words(
    empty: sa.URL, error: Exception
) -> None:
    with pytest.raises(connecting.Unusable) as told, on(empty), upgrading.alone(db.engine):
        raise error
    checked(str(told.value))


def test_the_upgrade_of_a_file_closes_it_for_the_next_one(tmp_path: Path) -> None:
    """Whoever opens a file while the last connection to it is closed may be told that it is locked."""
    kind = database.of_name("sqlite")
    engine = sa.create_engine(f"sqlite:///{tmp_path}/clinic.db")
    kind.prepare(engine)
    kind.prepare_upgrade(engine)
    log = tmp_path / "clinic.db-wal"
    with upgrading.alone(engine) as connection, connection.begin():
        connection.exec_driver_sql("CREATE TABLE shelf (id INTEGER)")
        assert log.exists()
    assert not log.exists()  # SQLite removes it with the last connection
    engine.dispose()


def test_the_upgrade_of_a_file_has_its_lock_before_it_reads(tmp_path: Path) -> None:
    path, kind = tmp_path / "clinic.db", database.of_name("sqlite")
    engine = sa.create_engine(f"sqlite:///{path}")
    kind.prepare(engine)
    kind.prepare_upgrade(engine)
    with upgrading.alone(engine) as connection, connection.begin():
        other = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    engine.dispose()


# --- A newer program ---------------------------------------------------------------------------


@pytest.fixture
def newer(empty: sa.URL) -> sa.URL:
    """The address of a database that a newer program has upgraded."""
    with on(empty):
        flask_migrate.upgrade()
        set_revision("0099")
    return empty


def set_revision(revision: str) -> None:
    with db.engine.connect().execution_options(writes=True) as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
        connection.commit()


def test_an_upgrade_leaves_the_tables_of_a_newer_program_alone(newer: sa.URL) -> None:
    told = refusal(newer)
    assert "revision 0099" in told
    assert "Update this program" in told
    with on(newer):
        assert stored("SELECT version_num FROM alembic_version") == [("0099",)]
        assert differences() == []


@pytest.mark.parametrize(
    "command", [flask_migrate.downgrade, flask_migrate.current, flask_migrate.stamp]
)
def test_other_commands_do_not_touch_the_tables_of_a_newer_program_either(
    newer: sa.URL, command: Callable[[], None]
) -> None:
    with on(newer):
        with pytest.raises(SystemExit, match="revision 0099"):
            command()
        assert stored("SELECT version_num FROM alembic_version") == [("0099",)]


def test_the_program_says_in_a_line_that_a_newer_one_was_here(newer: sa.URL) -> None:
    assert "Update this program" in refusal_of_program(as_text(newer))


def test_whoever_knows_better_can_still_set_the_revision(newer: sa.URL) -> None:
    with on(newer):
        flask_migrate.stamp(purge=True)
        flask_migrate.upgrade()
        assert stored("SELECT version_num FROM alembic_version") != [("0099",)]
