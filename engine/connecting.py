"""Connecting: why a database cannot be used, as a sentence that says what to do, and holds no secret and no SQL."""

import enum
import errno
import socket
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.outages import Unfit


class Unusable(Exception):
    """A database that cannot be used; the message says why, and what to do about it."""


class Reason(enum.Enum):
    """What stands in the way of using a database."""

    UNKNOWN_HOST = (
        "The name of the database server, {host}, leads to no address."
        " Is it written rightly in DATABASE_URL?"
    )
    SILENT = (
        "No database server answers at {host}, port {port}."
        " Start it, or set host and port right in DATABASE_URL."
    )
    SLOW = (
        "{host}, port {port}, does not answer in time: the database server hangs, or a firewall stands between."
        " Are host and port right in DATABASE_URL?"
    )
    ENDED = (
        "The server at {host}, port {port}, refused the connection or ended it."
        " Is it a {kind} server? Compare user, password and database in DATABASE_URL; its own log says more."
    )
    LOGIN = (
        "The database server at {host} does not let the user {user} in:"
        " the user or the password in DATABASE_URL is wrong."
    )
    NOT_ADMITTED = (
        "The database server at {host} does not let the user {user} in from this machine."
        " Allow that on the server."
    )
    FORBIDDEN = (
        "The user {user} may not do this in the database {database}."
        " Grant it the right; an upgrade creates and changes tables."
    )
    NO_DATABASE = (
        "The server at {host} has no database {database}."
        " Create it, or set its name right in DATABASE_URL."
    )
    FULL_HOUSE = (
        "The database server at {host} takes no more connections."
        " End programs that hold some, or allow more."
    )
    OPTION = (
        "DATABASE_URL has an option that the driver does not take, or a file that is not there."
        " Look at what follows its question mark."
    )
    READ_ONLY = (
        "The database {database} takes no writes: it is a copy, or was made read-only."
        " Set DATABASE_URL to the server that takes them."
    )
    LOCKED = (
        "The database {database} is locked by another program."
        " Wait until that ends, or end it; then try again."
    )
    FULL = "The disk of the database {database} is full. Make room, and try again."
    DISK = (
        "The disk of the database {database} cannot be read or written."
        " Look at the disk before anything else is done."
    )
    DAMAGED = (
        "The database {database} is damaged."
        " Keep a copy of it as it is, and restore the last backup."
    )
    NO_SQLITE = (
        "The file {database} is no SQLite database."
        " Move it away, or set DATABASE_URL right."
    )
    FOLDER = "{database} is a folder. DATABASE_URL must name a file."
    NO_FOLDER = (
        "There is no folder {folder}, or this user may not enter it."
        " Create it, or set DATABASE_URL right."
    )
    NO_RIGHT = (
        "This user may not open and write the file {database}, or not create files beside it."
        " Look at the owner and the mode of the file and its folder."
    )
    NO_WAL = (
        "SQLite cannot keep its write-ahead log (WAL) beside {database}."
        " Put the database on a local disk."
    )
    HALF_DONE = (
        "A table that the upgrade creates is there already: an earlier upgrade ended half-way,"
        " or another program's tables are here. Restore the last backup, or take an empty database."
    )
    UNCLEAR = (
        "The database does not do what it is asked to ({name})."
        " The log of its server says more, if it has one."
    )


# By the numbers of MariaDB and MySQL, the SQLSTATEs of PostgreSQL, the names of SQLite, and errno.
REASONS: dict[int | str, Reason] = {
    **dict.fromkeys((1045, 1251, 1698, "28P01", "28000"), Reason.LOGIN),
    **dict.fromkeys((1129, 1130), Reason.NOT_ADMITTED),
    **dict.fromkeys((1044, 1142, 1143, 1227, "42501"), Reason.FORBIDDEN),
    **dict.fromkeys((1046, 1049, "3D000"), Reason.NO_DATABASE),
    **dict.fromkeys((1040, 1203, 1226, "53300"), Reason.FULL_HOUSE),
    **dict.fromkeys((1290, 1792, 1836, "25006"), Reason.READ_ONLY),
    **dict.fromkeys((1205, "55P03", "SQLITE_BUSY", "SQLITE_LOCKED"), Reason.LOCKED),
    **dict.fromkeys((1021, 1114, "53100", "SQLITE_FULL"), Reason.FULL),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), Reason.FULL),
    **dict.fromkeys(("58030", "SQLITE_IOERR", errno.EIO), Reason.DISK),
    **dict.fromkeys(("XX001", "XX002", "SQLITE_CORRUPT"), Reason.DAMAGED),
    **dict.fromkeys((2002, 2003), Reason.SILENT),
    **dict.fromkeys((2006, 2013, "57P01", "57P02", "57P03"), Reason.ENDED),
    **dict.fromkeys((1050, 1060, 1061, "42P07", "42701"), Reason.HALF_DONE),
    "SQLITE_NOTADB": Reason.NO_SQLITE,
    **dict.fromkeys(("SQLITE_READONLY", "SQLITE_PERM"), Reason.NO_RIGHT),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), Reason.NO_RIGHT),
    **dict.fromkeys(
        (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP), Reason.NO_FOLDER
    ),
}
# What the system says of a name and a port.
REASONS_BY_CLASS: dict[type[Exception], Reason] = {
    socket.gaierror: Reason.UNKNOWN_HOST,
    TimeoutError: Reason.SLOW,
}
# Where no code tells: while PostgreSQL's library connects it keeps the SQLSTATE to itself. The words of a server that
# speaks another language are not known; then the reason is ENDED.
WORDS: dict[str, Reason] = {
    "failed to resolve host": Reason.UNKNOWN_HOST,
    "could not translate host name": Reason.UNKNOWN_HOST,
    "timeout expired": Reason.SLOW,
    "Is the server running": Reason.SILENT,
    "password authentication failed": Reason.LOGIN,
    "no password supplied": Reason.LOGIN,
    'FATAL:  role "': Reason.LOGIN,
    'FATAL:  database "': Reason.NO_DATABASE,
    "permission denied for database": Reason.FORBIDDEN,
    "no pg_hba.conf entry": Reason.NOT_ADMITTED,
    "too many": Reason.FULL_HOUSE,
    "connection slots are reserved": Reason.FULL_HOUSE,
    "invalid connection option": Reason.OPTION,
    "cannot use WAL": Reason.NO_WAL,  # our own words
    "already exists": Reason.HALF_DONE,  # SQLite's
}
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


def connect(engine: sa.Engine) -> sa.Connection:
    """Return a connection; raise Unusable if there is none."""
    try:
        return engine.connect()
    except Unfit as unfit:
        outage = unfit.outage
        database = f"The database {engine.url.database} is {outage.reason}."
        raise Unusable(f"{database} {outage.advice}") from None
    except (sa.exc.DBAPIError, OSError, TypeError) as error:
        raise Unusable(sentence(error, engine.url)) from None


def sentence(error: Exception, url: sa.URL) -> str:
    """Say why a database cannot be used and what to do, given an error of SQLAlchemy or of a file."""
    original = getattr(error, "orig", None) or error
    name = " ".join(map(str, [type(original).__name__, *codes_of(original)]))
    return _filled_in(reason_of(error, url), url, name=name)


def _filled_in(reason: Reason, url: sa.URL, **more: str) -> str:
    kind = url.get_backend_name()
    return reason.value.format(
        kind=kind,
        host=url.host or "localhost",
        port=url.port or PORTS.get(kind),
        user=url.username or "that runs this program",
        database=url.database,
        folder=Path(url.database or "").parent,
        **more,
    )


def reason_of(error: Exception, url: sa.URL) -> Reason:
    """Return what stands in the way, by an error's class, else its codes, else its words."""
    original: Any = getattr(error, "orig", None) or error
    codes = codes_of(original)
    if _is_about_an_option(original, url):
        return Reason.OPTION
    if "SQLITE_CANTOPEN" in codes:
        return _reason_of_file(Path(str(url.database)))
    by_code = [REASONS[code] for code in codes if code in REASONS]
    by_words = [reason for words, reason in WORDS.items() if words in str(original)]
    unknown = Reason.UNCLEAR if codes else Reason.ENDED
    return [*_reasons_by_class(original), *by_code, *by_words, unknown][0]


def codes_of(original: BaseException) -> list[int | str]:
    """Return the codes of a driver's error or a file's: number, SQLSTATE, and SQLite's name, long and short."""
    numbers = [first for first in original.args[:1] if isinstance(first, int)]
    state = getattr(original, "sqlstate", None)
    name = getattr(original, "sqlite_errorname", None) or ""
    short = "_".join(name.split("_")[:2])
    return [code for code in dict.fromkeys((*numbers, state, name, short)) if code]


def _is_about_an_option(original: BaseException, url: sa.URL) -> bool:
    """Return whether a driver met an argument that it does not know, or misses a file that DATABASE_URL names."""
    misses_file = isinstance(original, OSError) and url.get_backend_name() != "sqlite"
    return misses_file or isinstance(original, TypeError)


def _reasons_by_class(original: BaseException) -> list[Reason]:
    said = getattr(original, "original_exception", None)  # where PyMySQL keeps the system's
    return [reason for kind, reason in REASONS_BY_CLASS.items() if isinstance(said, kind)]


def _reason_of_file(path: Path) -> Reason:
    """Return why SQLite cannot open a file, without opening it: to close it would end this process's locks on it."""
    if _is_folder(path):
        return Reason.FOLDER
    return Reason.NO_RIGHT if _is_folder(path.parent) else Reason.NO_FOLDER


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:  # up to Python 3.13
        return False
