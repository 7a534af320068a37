"""`flask db upgrade`: what stands in its way is told in a sentence."""

import re
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import flask_migrate
import programs
import pymysql
import pytest
import servers
import sqlalchemy as sa
from conftest import KEY

import config
from app import create_app
from engine import connecting
from models import db

PASSWORD = "the-secret-word"
SQL = re.compile("SELECT|CREATE TABLE|PRAGMA|BEGIN|SHOW")
NOWHERE = "no.such.host.invalid"  # RFC 2606: never a host


# --- What every one of these sentences keeps ---------------------------------------------------


def refusal(url: sa.URL | str) -> str:
    """Return the sentence that ends an upgrade of this database."""
    app = create_app(API_KEYS=f"tests:{KEY}", DATABASE_URL=as_text(url), LOG_LEVEL="ERROR")
    with app.app_context():
        with pytest.raises(SystemExit) as ended:
            flask_migrate.upgrade()
        db.engine.dispose()
    return checked(str(ended.value))


def refusal_of_program(url: str, *before: str) -> str:
    """Return the line with which the program ends."""
    command = (*before, *programs.UPGRADE)
    status, told = programs.run(command, API_KEYS=f"tests:{KEY}", DATABASE_URL=url)
    assert (status, told.count("\n")) == (1, 1), told
    return checked(told.strip())


def checked(told: str) -> str:
    assert PASSWORD not in told
    assert not SQL.search(told.replace("CREATE DATABASE", ""))
    assert "Error" not in told
    return told


def as_text(url: sa.URL | str) -> str:
    return url if isinstance(url, str) else url.render_as_string(hide_password=False)


# --- A server ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def server(backend: str, database_url: str) -> Iterator[sa.Engine]:
    """A database server; it has a user `locked` with a password and no rights."""
    url = config.read({"API_KEYS": KEY * 2, "DATABASE_URL": database_url}).database_url
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    run = {"postgresql": lock_on_postgresql, "mariadb": lock_on_mariadb}
    with engine.connect() as connection:
        run[backend](connection)
    yield engine
    engine.dispose()


def lock_on_postgresql(connection: sa.Connection) -> None:
    rules = Path(connection.exec_driver_sql("SHOW hba_file").scalar())
    rules.write_text(f"host all locked all scram-sha-256\n{rules.read_text()}")
    connection.exec_driver_sql("SELECT pg_reload_conf()")
    connection.exec_driver_sql(f"CREATE ROLE locked LOGIN PASSWORD '{PASSWORD}'")
    connection.exec_driver_sql("CREATE DATABASE closed")
    connection.exec_driver_sql("REVOKE CONNECT ON DATABASE closed FROM public")
    url = connection.engine.url.set(username="locked", password=None)
    for _ in range(1000):  # the server reads its rules a moment later
        if not lets_in(url):
            return
        time.sleep(0.01)
    raise AssertionError("the server lets everybody in")


def lets_in(url: sa.URL) -> bool:
    try:
        sa.create_engine(url, poolclass=sa.NullPool).connect().close()
    except sa.exc.OperationalError:
        return False
    return True


def lock_on_mariadb(connection: sa.Connection) -> None:
    for host in ("%%", "localhost"):
        connection.exec_driver_sql(
            f"CREATE USER locked@'{host}' IDENTIFIED BY '{PASSWORD}'"
        )
    connection.exec_driver_sql("CREATE DATABASE closed")


@contextmanager
def hanging_up() -> Iterator[int]:
    """Listen on a port, and end each connection at once, as no database server does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            while True:
                try:
                    listening.accept()[0].close()
                except OSError:
                    return

        Thread(target=hang_up, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


WRONG: dict[str, tuple[Callable[[sa.URL], sa.URL], str]] = {
    "host": (
        lambda url: url.set(host=NOWHERE, password=PASSWORD),
        f"{NOWHERE}, leads to no address",
    ),
    "port": (
        lambda url: url.set(port=servers.free_port(), password=PASSWORD),
        "No database server answers at 127.0.0.1, port ",
    ),
    "user": (
        lambda url: url.set(username="nobody", password=PASSWORD),
        "127.0.0.1 does not let the user nobody in",
    ),
    "password": (
        lambda url: url.set(username="locked", password=f"no-{PASSWORD}"),
        "127.0.0.1 does not let the user locked in: the user or the password",
    ),
    "no password": (
        lambda url: url.set(username="locked", password=None),
        "127.0.0.1 does not let the user locked in: the user or the password",
    ),
    "database": (
        lambda url: url.set(database="nowhere"),
        "127.0.0.1 has no database nowhere. Create it",
    ),
    "closed database": (
        lambda url: url.set(username="locked", password=PASSWORD, database="closed"),
        "The user locked may not do this in the database closed",
    ),
    "option": (
        lambda url: url.update_query_dict({"nonsense": "1"}),
        "DATABASE_URL has an option",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_in_the_address_of_a_server_is_named(
    server: sa.Engine, wrong: str
) -> None:
    spoil, expected = WRONG[wrong]
    assert expected in refusal(spoil(server.url))


def test_a_server_of_another_kind_is_told(server: sa.Engine) -> None:
    with hanging_up() as port:
        told = refusal(server.url.set(port=port, password=PASSWORD))
    assert f"127.0.0.1, port {port}, refused the connection or ended it" in told
    assert server.url.get_backend_name() in told


def test_a_user_who_may_read_only_is_told_what_an_upgrade_needs(server: sa.Engine) -> None:
    grant = {
        "postgresql": "GRANT CONNECT ON DATABASE closed TO locked",
        "mariadb": "GRANT SELECT ON closed.* TO locked@localhost",
    }
    with server.connect() as connection:
        connection.exec_driver_sql(grant[server.dialect.name])
    told = refusal(server.url.set(username="locked", password=PASSWORD, database="closed"))
    assert "may not do this in the database closed. Grant it the right" in told


def test_tables_of_another_program_are_told(server: sa.Engine) -> None:
    with server.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE others")
    url = server.url.set(database="others")
    other = sa.create_engine(url)
    with other.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE clinic (id INTEGER)")
    other.dispose()
    assert "A table that the upgrade creates is there already" in refusal(url)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "WIN1256"])
def test_a_database_that_cannot_hold_every_name_is_refused(
    server: sa.Engine, encoding: str
) -> None:
    if server.dialect.name != "postgresql":
        return  # MariaDB's tables say what they hold
    name = encoding.lower()
    with server.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        )
    assert f"The database {name} is not in UTF-8" in refusal(server.url.set(database=name))


def test_the_program_ends_with_the_sentence_alone(server: sa.Engine) -> None:
    url = server.url.set(host=NOWHERE, password=PASSWORD)
    assert "leads to no address" in refusal_of_program(as_text(url))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(TimeoutError, "does not answer in time"), (OSError, "No database")],
)
def test_a_mariadb_that_is_silent_is_no_unknown_name(
    kind: type[OSError], expected: str
) -> None:
    """No machine that swallows packets is at hand."""
    error = pymysql.err.OperationalError(pymysql.constants.CR.CR_CONN_HOST_ERROR, "")
    error.original_exception = kind()  # as PyMySQL does
    url = sa.make_url(f"mariadb+pymysql://tests:{PASSWORD}@db.example/clinic")
    told = connecting.sentence(sa.exc.OperationalError(None, None, error), url)
    assert expected in checked(told)
    assert "db.example, port 3306" in told


# --- A file ------------------------------------------------------------------------------------


def write_text(path: Path) -> None:
    path.write_text("Dear clinic, this is a letter.\n" * 100)


def fill(path: Path) -> None:
    sqlite3.connect(path).executescript(
        "CREATE TABLE clinic (id INTEGER)"
    ).connection.close()


def damage(path: Path) -> None:
    fill(path)
    pages = bytearray(path.read_bytes())
    pages[100:4000] = b"\xff" * 3900  # behind the header
    path.write_bytes(pages)


@pytest.mark.parametrize(
    ("spoil", "name", "expected"),
    [
        (write_text, "clinic.db", "clinic.db is no SQLite database"),
        (damage, "clinic.db", "clinic.db is damaged"),
        (fill, "clinic.db", "A table that the upgrade creates is there already"),
        (Path.mkdir, "clinic.db", "clinic.db is a folder"),
        (write_text, "clinic.db/sub", "There is no folder "),
        (write_text, "clinic.db/sub/sub", "There is no folder "),
    ],
)
def test_what_is_wrong_with_a_file_is_named(
    tmp_path: Path, spoil: Callable[[Path], None], name: str, expected: str
) -> None:
    spoil(tmp_path / "clinic.db")
    assert expected in refusal(f"sqlite:///{tmp_path / name}")


@pytest.mark.parametrize("folder", ["/proc/clinic", "/dev/null/clinic"])
def test_a_folder_that_nobody_can_make_is_named(folder: str) -> None:
    assert f"There is no folder {folder}, or " in refusal(f"sqlite:///{folder}/clinic.db")


def close_folder(path: Path) -> None:
    path.parent.chmod(0o500)


def close_file(path: Path) -> None:
    path.touch(mode=0)


def make_read_only(path: Path) -> None:
    fill(path)
    path.chmod(0o400)


@pytest.mark.parametrize("spoil", [close_folder, close_file, make_read_only])
def test_a_file_that_this_user_may_not_write_is_named(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "data" / "clinic.db"
    path.parent.mkdir()
    spoil(path)
    told = refusal_of_program(f"sqlite:///{path}")
    assert f"This user may not open and write the file {path}" in told


def test_a_folder_that_this_user_may_not_make_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    told = refusal_of_program(f"sqlite:///{tmp_path}/data/clinic.db")
    assert "may not open and write the file" in told


OPEN = """
import sys, sqlalchemy
from engine import connecting, database, upgrading
try:
    connecting.connect(sqlalchemy.create_engine(sys.argv[1]))
except connecting.Unusable as unusable:
    raise SystemExit(str(unusable))
"""


@pytest.mark.parametrize("below", ["data", "data/below"])
def test_a_folder_that_this_user_may_not_enter_is_named(tmp_path: Path, below: str) -> None:
    """Whoever only opens the database makes no folder."""
    (tmp_path / "data" / "below").mkdir(parents=True)
    (tmp_path / "data").chmod(0)
    url = f"sqlite:///{tmp_path}/{below}/clinic.db"
    status, told = programs.run((sys.executable, "-c", OPEN, url))
    (tmp_path / "data").chmod(0o700)
    assert (status, told.count("\n")) == (1, 1), told
    assert f"{tmp_path}/{below}" in told


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path) -> None:
    full = ("prlimit", "--fsize=20000")
    told = refusal_of_program(f"sqlite:///{tmp_path}/clinic.db", *full)
    assert f"The disk of the database {tmp_path}/clinic.db cannot be" in told


def test_a_full_database_is_told(tmp_path: Path) -> None:
    url = sa.make_url(f"sqlite:///{tmp_path}/clinic.db")
    engine = sa.create_engine(url)
    with engine.begin() as connection, pytest.raises(sa.exc.DBAPIError) as full:
        connection.exec_driver_sql("PRAGMA max_page_count=2")
        for number in range(9):
            connection.exec_driver_sql(f"CREATE TABLE t{number} (a)")
    engine.dispose()
    assert "is full. Make room" in checked(connecting.sentence(full.value, url))


# --- Codes -------------------------------------------------------------------------------------


def test_an_error_that_nobody_foresaw_is_told_by_its_codes_alone() -> None:
    error = pymysql.err.ProgrammingError(1064, f"syntax error near '{PASSWORD}'")
    url = sa.make_url(f"mariadb+pymysql://tests:{PASSWORD}@db.example/clinic")
    told = connecting.sentence(sa.exc.ProgrammingError("SELECT 1", None, error), url)
    assert "(ProgrammingError 1064)" in told
    assert PASSWORD not in told
    assert not SQL.search(told)


def test_every_sentence_can_be_told_of_every_address() -> None:
    """Fields that are not there would end in an error of their own."""
    for url in map(
        sa.make_url, ("sqlite:///x.db", "postgresql+psycopg://", "mariadb+pymysql://h")
    ):
        for reason in connecting.Reason:
            assert "{" not in connecting._filled_in(reason, url, name="Error")
