"""Why a database cannot be used, told by the codes, the nature and the words of errors. Without a server."""

import errno
import socket
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.connecting import Reason, codes_of, connect, reason_of, sentence

POSTGRESQL = sa.make_url("postgresql+psycopg://clinic@db.example/portal")
MARIADB = sa.make_url("mariadb+pymysql://clinic@db.example/portal")
SQLITE = sa.make_url("sqlite:////data/clinic.db")


class DriverError(Exception):
    """As the three drivers' errors: a number, an SQLSTATE or SQLite's name."""

    def __init__(self, *said: Any, state: str | None = None, name: str | None = None):
        super().__init__(*said)
        self.sqlstate, self.sqlite_errorname = state, name


def wrapped(error: Exception) -> sa.exc.DBAPIError:
    return sa.exc.OperationalError("SELECT 1", None, error)


# --- Codes: those of the manuals of MariaDB, PostgreSQL and SQLite -------------------------------

BY_NUMBER = {
    Reason.LOGIN: [1045, 1251, 1698],
    Reason.NOT_ADMITTED: [1129, 1130],
    Reason.FORBIDDEN: [1044, 1142, 1143, 1227],
    Reason.NO_DATABASE: [1046, 1049],
    Reason.FULL_HOUSE: [1040, 1203, 1226],
    Reason.READ_ONLY: [1290, 1792, 1836],
    Reason.LOCKED: [1205],
    Reason.FULL: [1021, 1114],
    Reason.SILENT: [2002, 2003],
    Reason.ENDED: [2006, 2013],
    Reason.HALF_DONE: [1050, 1060, 1061],
    Reason.UNCLEAR: [1064],
}
BY_STATE = {
    Reason.LOGIN: ["28P01", "28000"],
    Reason.FORBIDDEN: ["42501"],
    Reason.NO_DATABASE: ["3D000"],
    Reason.FULL_HOUSE: ["53300"],
    Reason.READ_ONLY: ["25006"],
    Reason.LOCKED: ["55P03"],
    Reason.FULL: ["53100"],
    Reason.DISK: ["58030"],
    Reason.DAMAGED: ["XX001", "XX002"],
    Reason.ENDED: ["57P01", "57P02", "57P03"],
    Reason.HALF_DONE: ["42P07", "42701"],
    Reason.UNCLEAR: ["42601"],
}
BY_NAME = {
    Reason.LOCKED: ["SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"],
    Reason.FULL: ["SQLITE_FULL"],
    Reason.DISK: ["SQLITE_IOERR", "SQLITE_IOERR_WRITE"],
    Reason.DAMAGED: ["SQLITE_CORRUPT", "SQLITE_CORRUPT_INDEX"],
    Reason.NO_SQLITE: ["SQLITE_NOTADB"],
    Reason.NO_RIGHT: ["SQLITE_READONLY", "SQLITE_READONLY_DIRECTORY", "SQLITE_PERM"],
    Reason.UNCLEAR: ["SQLITE_MISMATCH"],
}
BY_ERRNO = {
    Reason.FULL: [errno.ENOSPC, errno.EDQUOT],
    Reason.DISK: [errno.EIO],
    Reason.NO_RIGHT: [errno.EACCES, errno.EPERM, errno.EROFS],
    Reason.NO_FOLDER: [errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP],
    Reason.UNCLEAR: [errno.EMFILE],
}


def pairs(table: dict[Reason, list]) -> list[tuple[Any, Reason]]:
    return [(code, reason) for reason, codes in table.items() for code in codes]


@pytest.mark.parametrize(("code", "reason"), pairs(BY_NUMBER))
def test_a_number_of_mariadb_has_its_reason(code: int, reason: Reason) -> None:
    assert reason_of(wrapped(DriverError(code, "text")), MARIADB) is reason


@pytest.mark.parametrize(("state", "reason"), pairs(BY_STATE))
def test_a_state_of_postgresql_has_its_reason(state: str, reason: Reason) -> None:
    assert reason_of(wrapped(DriverError("text", state=state)), POSTGRESQL) is reason


@pytest.mark.parametrize(("name", "reason"), pairs(BY_NAME))
def test_a_name_of_sqlite_has_its_reason(name: str, reason: Reason) -> None:
    assert reason_of(wrapped(DriverError("text", name=name)), SQLITE) is reason


@pytest.mark.parametrize(("code", "reason"), pairs(BY_ERRNO))
def test_a_files_error_has_its_reason(code: int, reason: Reason) -> None:
    assert reason_of(OSError(code, "text"), SQLITE) is reason


def test_the_codes_of_an_error_are_each_told_once_long_before_short() -> None:
    error = DriverError(1045, "text", state="28000", name="SQLITE_IOERR_WRITE")
    assert codes_of(error) == [1045, "28000", "SQLITE_IOERR_WRITE", "SQLITE_IOERR"]
    assert codes_of(DriverError("1045", name="SQLITE_FULL")) == ["SQLITE_FULL"]
    assert codes_of(DriverError(0, 1045)) == []


# --- Where no code tells -----------------------------------------------------------------------

BY_WORDS = {
    Reason.UNKNOWN_HOST: ["failed to resolve host 'db'", "could not translate host name"],
    Reason.SLOW: ["connection timeout expired"],
    Reason.SILENT: ["refused. Is the server running on that host?"],
    Reason.LOGIN: [
        "password authentication failed for user",
        "fe_sendauth: no password supplied",
        'FATAL:  role "clinic" does not exist',
    ],
    Reason.NO_DATABASE: ['FATAL:  database "portal" does not exist'],
    Reason.FORBIDDEN: ["permission denied for database"],
    Reason.NOT_ADMITTED: ["no pg_hba.conf entry for host"],
    Reason.FULL_HOUSE: ["too many clients", "remaining connection slots are reserved"],
    Reason.OPTION: ['invalid connection option "colour"'],
    Reason.ENDED: ["die Verbindung wurde beendet"],
}


@pytest.mark.parametrize(("words", "reason"), pairs(BY_WORDS))
def test_without_a_code_the_words_tell(words: str, reason: Reason) -> None:
    assert reason_of(wrapped(DriverError(words)), POSTGRESQL) is reason


def test_a_code_tells_more_than_words() -> None:
    error = DriverError("too many clients", state="28P01")
    assert reason_of(wrapped(error), POSTGRESQL) is Reason.LOGIN


@pytest.mark.parametrize(
    ("said", "reason"),
    [(socket.gaierror(-2, "unknown"), Reason.UNKNOWN_HOST), (TimeoutError(), Reason.SLOW)],
)
def test_what_the_system_said_tells_more_than_the_drivers_code(
    said: Exception, reason: Reason
) -> None:
    error = DriverError(2003, "text")
    error.original_exception = said  # type: ignore[attr-defined]
    assert reason_of(wrapped(error), MARIADB) is reason


@pytest.mark.parametrize("error", [TypeError("unexpected"), FileNotFoundError(2, "ca.pem")])
def test_an_option_that_a_driver_does_not_take_is_named(error: Exception) -> None:
    assert reason_of(error, MARIADB) is Reason.OPTION


# --- SQLite's file -----------------------------------------------------------------------------


def cannot_open(path: Path) -> Reason:
    error = wrapped(DriverError("unable to open", name="SQLITE_CANTOPEN"))
    return reason_of(error, sa.make_url(f"sqlite:///{path}"))


def test_a_file_that_cannot_be_opened_is_looked_at(tmp_path: Path) -> None:
    assert cannot_open(tmp_path) is Reason.FOLDER
    assert cannot_open(tmp_path / "clinic.db") is Reason.NO_RIGHT
    assert cannot_open(tmp_path / "none" / "clinic.db") is Reason.NO_FOLDER


def test_a_sqlite_file_holds_every_name(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'clinic.db'}")
    with connect(engine) as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()


# --- The sentence ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("postgresql+psycopg://db.example/portal", 5432),
        ("mariadb+pymysql://db.example/portal", 3306),
        ("mysql+pymysql://db.example/portal", 3306),
        ("mariadb+pymysql://db.example:3307/portal", 3307),
    ],
)
def test_a_silent_server_is_named_with_its_port(url: str, port: int) -> None:
    told = sentence(wrapped(DriverError(2003, "text")), sa.make_url(url))
    assert told.startswith(f"No database server answers at db.example, port {port}. ")


def test_what_the_address_leaves_out_is_named_too() -> None:
    told = sentence(
        wrapped(DriverError("x", state="28P01")), sa.make_url("postgresql:///x")
    )
    assert "at localhost does not let the user that runs this program in" in told


def test_the_file_and_its_folder_are_named() -> None:
    full = sentence(OSError(errno.ENOSPC, "text"), SQLITE)
    assert (
        full
        == "The disk of the database /data/clinic.db is full. Make room, and try again."
    )
    assert "There is no folder /data," in sentence(OSError(errno.ENOENT, "text"), SQLITE)
    assert sentence(OSError(errno.EMFILE, "text"), SQLITE).startswith(
        f"The database does not do what it is asked to (OSError {errno.EMFILE})."
    )
