"""Checkup: is a database set up so that it keeps what was answered? Each check is a function that changes nothing."""

import enum
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.in_use import WINDOWS

QUICK_CHECK_SECONDS = 20
STEPS = 10_000  # of SQLite's virtual machine, between two looks at the time
LEAST_FREE = 1 << 30  # bytes on a disk
LEAST_PACKET = 16 << 20  # bytes: a statement of a large list
CLOCKS_APART = 60  # seconds
OTHERS_READ, OTHERS_ENTER = 0o044, 0o011  # rights of group and others


class Mark(enum.Enum):
    """`LOOK` is for what breaks nothing now, or cannot be seen from here."""

    GOOD = "good"
    LOOK = "look"
    DO = "DO"


@dataclass(frozen=True)
class Finding:
    """What a check found, and where it is not good what to do about it."""

    mark: Mark
    text: str

    def __str__(self) -> str:
        """Return the line that a person reads."""
        return f"{self.mark.value:<5} {self.text}"


Findings = Iterator[Finding]


def good(text: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Mark.GOOD, text)


def look(text: str) -> Finding:
    """Return what somebody should look at."""
    return Finding(Mark.LOOK, text)


def do(text: str) -> Finding:
    """Return what somebody should do."""
    return Finding(Mark.DO, text)


# --- Settings of a database, as data -----------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A setting of a database: the values that keep what was answered, and what another one costs."""

    name: str
    safe: tuple[str, ...]
    cost: str


POWER = "after a power cut answered records may be gone"
BROKEN = "after a power cut the database may be broken"
SQLITE = (
    Setting("journal_mode", ("wal",), "readers and writers wait for each other"),
    Setting("synchronous", ("2", "3"), POWER),
    Setting("foreign_keys", ("1",), "rows may refer to others that are not there"),
)
POSTGRESQL = (
    Setting("fsync", ("on",), BROKEN),
    Setting("full_page_writes", ("on",), BROKEN),
    Setting("synchronous_commit", ("on", "local", "remote_write", "remote_apply"), POWER),
)
MARIADB = (
    Setting("innodb_flush_log_at_trx_commit", ("1", "3"), POWER),
    Setting("innodb_doublewrite", ("ON", "1"), BROKEN),
)
BINARY_LOG = Setting(
    "sync_binlog", ("1",), "after a power cut copies of this server may differ from it"
)


def compared(settings: Collection[Setting], value_of: Callable[[str], Any]) -> Findings:
    """Yield what the values of settings mean."""
    for setting in settings:
        value = str(value_of(setting.name))
        if value in setting.safe:
            yield good(f"{setting.name} is {value}.")
        else:
            yield do(
                f"{setting.name} is {value}: {setting.cost}. Set it to {setting.safe[0]}."
            )


# --- SQLite ------------------------------------------------------------------------------------

Version = tuple[int, ...]


@dataclass(frozen=True)
class Bug:
    """A bug of SQLite: the version that brought it, those that are mended, and what it does."""

    since: Version
    mended: tuple[Version, ...]  # the first one, then older lines that were mended, too
    text: str

    def is_in(self, version: Version) -> bool:
        """Return whether a version has it."""
        first, *older = self.mended
        in_older = any(version[:2] == line[:2] and version >= line for line in older)
        return self.since <= version < first and not in_older


BUGS = (
    Bug(
        (3, 7, 0),
        ((3, 51, 3), (3, 50, 7), (3, 44, 6)),
        "two connections that write and empty the write-ahead log at the same moment may, very rarely,"
        " damage the file (sqlite.org/wal.html, the WAL-reset bug)",
    ),
)


def sqlite_version(_connection: sa.Connection, _tables: Collection[str]) -> Findings:
    """Look for known bugs of SQLite as Python has it."""
    name, version = sqlite3.sqlite_version, sqlite3.sqlite_version_info
    bugs = [bug for bug in BUGS if bug.is_in(version)]
    for bug in bugs:
        mended = ", ".join(".".join(map(str, line)) for line in bug.mended)
        yield look(
            f"SQLite {name} has a known bug: {bug.text}."
            f" Mended in {mended}: update the system's SQLite or Python, and keep backups."
        )
    if not bugs:
        yield good(f"SQLite {name} has no bug that is known here.")


def sqlite_settings(connection: sa.Connection, _tables: Collection[str]) -> Findings:
    """Compare the settings of the service's connections."""
    return compared(
        SQLITE, lambda name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
    )


def sqlite_integrity(connection: sa.Connection, _tables: Collection[str]) -> Findings:
    """Let SQLite check its file, for QUICK_CHECK_SECONDS at most."""
    started, driver = time.monotonic(), connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_progress_handler(
        lambda: time.monotonic() - started > QUICK_CHECK_SECONDS, STEPS
    )
    try:
        yield _integrity(connection)
    finally:
        driver.set_progress_handler(None, 0)


def _integrity(connection: sa.Connection) -> Finding:
    try:
        problem = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    except sa.exc.DatabaseError as error:
        problem = getattr(error.orig, "sqlite_errorname", "")
    if problem == "ok":
        return good("The file is sound (quick_check).")
    if problem == "SQLITE_INTERRUPT":
        return look(
            f"The file is too large to check within {QUICK_CHECK_SECONDS} seconds."
            " At night run: sqlite3 FILE 'PRAGMA quick_check'"
        )
    return do(
        "The file is damaged. Keep a copy of it as it is, and restore the last backup."
    )


# --- Files of SQLite, whether or not it can be opened --------------------------------------------


def secrecy(path: Path) -> Findings:
    """Look whether other users of this machine can read a file, or what lies beside it under its name."""
    if WINDOWS:
        yield look(
            f"Who may read {path} cannot be seen on Windows: let its folder be the service's user's alone."
        )
        return
    beside = [path.with_name(f"{path.name}{end}") for end in ("", "-wal", "-shm")]
    exposed = [str(file) for file in beside if is_exposed(file)]
    if exposed:
        yield do(
            f"Other users of this machine can read {', '.join(exposed)}. Run: chmod 700 {path.parent}"
        )
    elif path.exists():
        yield good(f"No other user of this machine can read {path}.")


def is_exposed(path: Path) -> bool:
    """Return whether group or others have the right to read a file, and to enter each folder on the way."""
    if not (path.exists() and path.stat().st_mode & OTHERS_READ):
        return False
    return all(folder.stat().st_mode & OTHERS_ENTER for folder in path.resolve().parents)


def free_disk(path: Path) -> Findings:
    """Look whether there is room for another copy of a file, which a backup and an upgrade need."""
    folder = next(folder for folder in path.parents if folder.exists())
    size = path.stat().st_size if path.exists() else 0
    free, needed = shutil.disk_usage(folder).free, max(LEAST_FREE, 2 * size)
    room = f"{free / (1 << 30):.1f} GiB are free on the disk of {path.parent}"
    if free < needed:
        yield do(f"Only {room}. Make room: {needed / (1 << 30):.1f} GiB are wanted.")
    else:
        yield good(f"{room}.")


# --- Servers -----------------------------------------------------------------------------------

# The oldest line that still gets bug fixes: PostgreSQL 14 ended in November 2026, MariaDB 10.6 in July 2026.
OLDEST: dict[str, Version] = {"postgresql": (15,), "mariadb": (10, 11)}


def server_version(connection: sa.Connection, _tables: Collection[str]) -> Findings:
    """Look whether the server's version still gets fixes."""
    dialect: Any = connection.dialect
    kind = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    yield judged(kind, dialect.server_version_info)


def judged(kind: str, version: Version) -> Finding:
    """Return what the version of a kind of server means."""
    name = f"{kind} {'.'.join(map(str, version))}"
    if version < OLDEST.get(kind, ()):
        return look(f"{name} gets no fixes any more. Plan an update of the server.")
    return good(f"The server is {name}.")


CLOCK = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT UNIX_TIMESTAMP()",
}


def server_clock(connection: sa.Connection, _tables: Collection[str]) -> Findings:
    """Compare the clock of the server's machine with this one's."""
    question = CLOCK.get(connection.dialect.name, CLOCK["mysql"])
    apart = abs(float(connection.exec_driver_sql(question).scalar_one()) - time.time())
    if apart > CLOCKS_APART:
        yield do(
            f"The clocks of this machine and of the database's are {apart:.0f} seconds apart. Set both by NTP."
        )
    else:
        yield good("The database server's clock agrees with this machine's.")


def postgresql_settings(connection: sa.Connection, _tables: Collection[str]) -> Findings:
    """Compare the server's settings; a database in another encoding is refused when it is opened."""
    yield good("The database is in UTF-8.")
    yield from compared(
        POSTGRESQL, lambda name: connection.exec_driver_sql(f"SHOW {name}").scalar()
    )


def mariadb_settings(connection: sa.Connection, _tables: Collection[str]) -> Findings:
    """Compare the server's settings."""
    rows = connection.exec_driver_sql("SHOW VARIABLES").all()
    values: dict[str, str] = {name: str(value) for name, value in rows}
    yield from compared(MARIADB, values.get)
    yield from binary_log(values)
    yield from _mariadb_packet(int(values["max_allowed_packet"]))
    yield from _mariadb_mode(values["sql_mode"].split(","))


def binary_log(values: Mapping[str, str]) -> Findings:
    """Look at the binary log, from which copies of the server and restores are fed, where it is on."""
    if values.get("log_bin") == "ON":
        yield from compared([BINARY_LOG], values.get)


def _mariadb_packet(size: int) -> Findings:
    if size < LEAST_PACKET:
        yield do(
            f"max_allowed_packet is {size}: large lists are refused. Set it to {LEAST_PACKET}."
        )
    else:
        yield good(f"max_allowed_packet is {size}.")


def _mariadb_mode(modes: Collection[str]) -> Findings:
    if "EMPTY_STRING_IS_NULL" in modes:
        yield do(
            "sql_mode holds EMPTY_STRING_IS_NULL, which changes what is stored. Take it out."
        )
    elif "STRICT_ALL_TABLES" not in modes:
        yield do(
            "sql_mode lacks STRICT_ALL_TABLES although the service asks for it: values may be cut."
        )
    else:
        yield good("sql_mode is strict: no value is cut in silence.")


CHARSETS = """
SELECT DISTINCT table_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND character_set_name <> 'utf8mb4'
"""


def mariadb_charsets(connection: sa.Connection, tables: Collection[str]) -> Findings:
    """Look whether each of these tables can hold every name; the database's own charset does not matter."""
    found = {*connection.exec_driver_sql(CHARSETS).scalars()}
    for table in sorted(found.intersection(tables)):
        yield do(
            f"The table {table} is not in utf8mb4, and cannot hold every name."
            f" Run: ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )
    if not found.intersection(tables):
        yield good("The tables are in utf8mb4.")


Check = Callable[[sa.Connection, Collection[str]], Findings]
OF_MARIADB: tuple[Check, ...] = (
    server_version,
    mariadb_settings,
    mariadb_charsets,
    server_clock,
)
# Each is given a connection and the names of the program's tables.
CHECKS: dict[str, tuple[Check, ...]] = {
    "sqlite": (sqlite_version, sqlite_settings, sqlite_integrity),
    "postgresql": (server_version, postgresql_settings, server_clock),
    "mysql": OF_MARIADB,
    "mariadb": OF_MARIADB,
}
OF_FILES: tuple[Callable[[Path], Findings], ...] = (secrecy, free_disk)
