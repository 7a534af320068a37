"""A SQLite file: how it is opened, and when it is not written to. Without the service around it."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine import outages, sqlite_file
from engine.outages import Outage, Unfit
from engine.sqlite_file import LOCK_WAIT_SECONDS, SQLiteFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in WAL mode, with a table."""
    path = tmp_path / "clinic.db"
    make(path)
    return path


def make(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE clinic (name)")
        connection.commit()


@pytest.fixture
def file(path: Path) -> SQLiteFile:
    return SQLiteFile(str(path))


@pytest.fixture
def connection(file: SQLiteFile, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of the service's own kind."""
    file.before_connect()
    with closing(sqlite3.connect(path)) as connection:
        file.opened(connection, SimpleNamespace(info={}))
        yield connection


def refusal(attempt: Callable[[], None]) -> Outage:
    with pytest.raises(Unfit) as refused:
        attempt()
    return refused.value.outage


# --- A connection ------------------------------------------------------------------------------

PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 2,  # FULL
    "foreign_keys": 1,
    "busy_timeout": 10_000,
    "wal_autocheckpoint": 4000,
    "journal_size_limit": 16 * 1024 * 1024,
}


@pytest.mark.parametrize(("name", "value"), PRAGMAS.items())
def test_a_connection_is_durable_checked_and_patient(
    connection: sqlite3.Connection, name: str, value: object
) -> None:
    assert connection.execute(f"PRAGMA {name}").fetchone() == (value,)


def test_a_connection_begins_transactions_when_it_is_told_to(
    connection: sqlite3.Connection,
) -> None:
    assert connection.isolation_level is None


def test_where_sqlite_keeps_no_log_it_is_refused(file: SQLiteFile) -> None:
    no_wal = pytest.raises(sqlite3.OperationalError, match="cannot use WAL")
    with closing(sqlite3.connect(":memory:")) as connection, no_wal:
        file.opened(connection, SimpleNamespace(info={}))


def test_a_connection_knows_its_file_and_how_long_it_waits(
    file: SQLiteFile, path: Path
) -> None:
    record, found = SimpleNamespace(info={}), path.stat()
    with closing(sqlite3.connect(path)) as connection:
        file.opened(connection, record)
    assert record.info == {"file": (found.st_ino, found.st_dev), "wait": LOCK_WAIT_SECONDS}


# --- A file that is not there, or another one ----------------------------------------------------


def test_a_file_that_was_never_there_has_no_tables(tmp_path: Path) -> None:
    file = SQLiteFile(str(tmp_path / "none.db"))
    assert refusal(file.before_connect) is outages.NO_TABLES


def test_a_file_that_is_gone_was_replaced(
    file: SQLiteFile, path: Path, connection: sqlite3.Connection
) -> None:
    path.unlink()
    assert refusal(file.before_connect) is outages.REPLACED


def test_a_file_may_be_created_by_one_connection_only(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    file = SQLiteFile(str(path), may_be_created=True)
    file.before_connect()
    with closing(sqlite3.connect(path)) as connection:
        file.opened(connection, SimpleNamespace(info={}))
    path.unlink()
    assert refusal(file.before_connect) is outages.REPLACED


def test_the_log_of_a_file_is_set_aside_when_another_takes_its_place(
    file: SQLiteFile, path: Path, connection: sqlite3.Connection
) -> None:
    make(path.with_name("other.db"))
    os.replace(path.with_name("other.db"), path)
    file.before_connect()
    assert (path.parent / "clinic.db-wal-of-replaced-file").exists()
    assert not (path.parent / "clinic.db-wal").exists()
    assert not (path.parent / "clinic.db-shm").exists()


def test_the_log_of_a_file_stays_while_the_file_does(
    file: SQLiteFile, path: Path, connection: sqlite3.Connection
) -> None:
    file.before_connect()
    assert (path.parent / "clinic.db-wal").exists()


def test_the_log_of_a_file_that_is_gone_stays_for_its_return(
    file: SQLiteFile, path: Path, connection: sqlite3.Connection
) -> None:
    path.rename(path.with_name("away.db"))
    file.set_log_aside()
    assert (path.parent / "clinic.db-wal").exists()


# --- Damage, and what else forbids to write ------------------------------------------------------


def test_a_damaged_file_is_refused_until_its_mark_is_gone(
    file: SQLiteFile, path: Path
) -> None:
    file.mark_damaged()
    assert refusal(file.refuse_if_marked) is outages.DAMAGED
    assert SQLiteFile(str(path)).outage() is outages.DAMAGED
    Path(f"{path}-damaged").unlink()
    assert file.outage() is None


def test_the_mark_of_a_damaged_file_is_not_that_of_the_one_in_its_place(
    file: SQLiteFile, path: Path
) -> None:
    file.mark_damaged()
    make(path.with_name("backup.db"))
    os.replace(path.with_name("backup.db"), path)
    file.refuse_if_marked()
    assert file.outage() is None


@pytest.mark.parametrize("closed", ["clinic.db", "."])
def test_a_file_or_folder_that_takes_no_writes_is_read_only(
    file: SQLiteFile, path: Path, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, so the system's answer is put on."""
    shut = (path.parent / closed).resolve()
    monkeypatch.setattr(os, "access", lambda asked, mode: Path(asked) != shut)
    assert file.outage() is outages.READ_ONLY


@pytest.mark.parametrize(("free", "outage"), [(1_048_575, outages.FULL), (1_048_576, None)])
def test_a_disk_without_a_megabyte_is_full(
    file: SQLiteFile, free: int, outage: Outage | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert file.outage() is outage


def test_a_new_folder_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "clinic.db"
    sqlite_file.make_folder(str(path))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    sqlite_file.make_folder(str(path))  # again: it is there


def test_a_folder_that_takes_no_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda folder, mode: False)
    with pytest.raises(PermissionError):
        sqlite_file.make_folder(str(tmp_path / "clinic.db"))
