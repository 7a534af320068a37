"""Copies of a SQLite file: made while others write to it, checked, and put in its place."""

import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from engine import sqlite_file
from engine.connecting import Unusable, sentence
from engine.in_use import WINDOWS
from engine.sqlite_file import LOCK_WAIT_SECONDS, SQLiteFile

UNFINISHED = ".unfinished-copy-"  # what such a file's name begins with
LEFT_OVER = 24 * 3600  # seconds after which an unfinished copy is that of a killed program
HEADER = b"SQLite format 3\0"
TARGET_CODES = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC")
STAMP = "%Y-%m-%d-%H%M%S"
IN_THE_WAY = "{} is there already, and stays as it is. Give another name, or move it away."
NO_FOLDER = "There is no folder {}. Create it, or give another one."
NO_FILE = "There is no file {}, or this user may not read it."
NO_SQLITE = "{} is no SQLite database."
UNSOUND = "{} is damaged: it fails SQLite's check. Take another copy."
UNTIED = "In {} rows refer to others that are not there: it is damaged. Take another copy."
INCOMPLETE = "The copy of {} lacks rows, and was not kept. Try again."

Counts = dict[str, int]  # of rows, by table


def back_up(path: str, target: Path, tables: Collection[str]) -> Counts:
    """Copy a file to which others may be writing, and return how many rows of these tables the copy holds.

    Raises Unusable; then nothing is left. `tables` are those from which rows go only by a person's decision.
    """
    _refuse_other_kind(Path(path))
    refuse_to_overwrite(target)
    before = counts(path, tables)
    with unfinished(target) as copy:
        vacuum(path, copy, name=target)
        check(copy)
        found = counts(copy, tables)
        _refuse_incomplete(path, found, before)
        _put(copy, target)
    return found


def refuse_to_overwrite(target: Path) -> None:
    """Raise Unusable unless a new file can get this name."""
    if not target.parent.is_dir():
        raise Unusable(NO_FOLDER.format(target.parent))
    if os.path.lexists(target):
        raise Unusable(IN_THE_WAY.format(target))


def _refuse_incomplete(path: str, found: Counts, before: Counts) -> None:
    """Raise Unusable if a copy lacks rows that were there before it was made and still are."""
    now = counts(path, before)
    if any(found[table] < min(before[table], now[table]) for table in before):
        raise Unusable(INCOMPLETE.format(path))


def _put(copy: Path, target: Path) -> None:
    """Give a copy its name, as soon as it is on the disk."""
    with explaining(target):
        _give_to_owner(copy, target)
        _sync(copy)
        refuse_to_overwrite(target)
        os.rename(copy, target)
        _sync(target.parent)


# --- One copy ----------------------------------------------------------------------------------


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Yield an empty file in the folder of `target`, for its owner only. It does not outlive the block."""
    with explaining(target):
        _remove_left_overs(target.parent)
        file, name = tempfile.mkstemp(prefix=UNFINISHED, dir=target.parent)
        os.close(file)
    try:
        yield Path(name)
    finally:
        for left in (name, f"{name}-journal"):
            Path(left).unlink(missing_ok=True)


def _remove_left_overs(folder: Path) -> None:
    """Remove what killed programs left in a folder."""
    for path in folder.glob(f"{UNFINISHED}*"):
        if path.stat().st_mtime < time.time() - LEFT_OVER:
            path.unlink(missing_ok=True)


def vacuum(source: str | Path, copy: Path, name: Path) -> None:
    """Copy a database, with its log, into an empty file. Others may write to it meanwhile: it is one moment's state."""
    try:
        with _opened(source) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
    except sqlite3.Error as error:
        is_target = error.sqlite_errorname in TARGET_CODES
        raise Unusable(_sentence(error, name if is_target else source)) from None


def check(path: str | Path) -> None:
    """Raise Unusable unless a file is a SQLite database without fault."""
    _refuse_other_kind(Path(path))
    with explaining(path), _opened(path) as connection:
        if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            raise Unusable(UNSOUND.format(path))
        if connection.execute("PRAGMA foreign_key_check").fetchone():
            raise Unusable(UNTIED.format(path))


def _refuse_other_kind(path: Path) -> None:
    try:
        with path.open("rb") as file:
            header = file.read(len(HEADER))
    except OSError:
        raise Unusable(NO_FILE.format(path)) from None
    if header != HEADER:
        raise Unusable(NO_SQLITE.format(path))


def counts(path: str | Path, tables: Collection[str]) -> Counts:
    """Return how many rows each of these tables has; those that are not there have none."""
    with explaining(path), _opened(path) as connection:
        there = {name for (name,) in connection.execute(TABLES)}
        return {
            table: _count(connection, table) if table in there else 0 for table in tables
        }


TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


def _count(connection: sqlite3.Connection, table: str) -> int:
    statement = f'SELECT count(*) FROM "{table}"'  # noqa: S608 one of our tables
    return connection.execute(statement).fetchone()[0]


def revision_in(path: str | Path) -> str | None:
    """Return the revision of the tables in a file, None if nobody has noted one."""
    with explaining(path), _opened(path) as connection:
        if ("alembic_version",) not in connection.execute(TABLES).fetchall():
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return row and row[0]


@contextmanager
def _opened(path: str | Path) -> Iterator[sqlite3.Connection]:
    """Open a file that is there."""
    uri = f"{Path(path).absolute().as_uri()}?{_mode(path)}"
    with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_WAIT_SECONDS)) as connection:
        connection.isolation_level = None  # VACUUM runs in no transaction
        yield connection


def _mode(path: str | Path) -> str:
    """Return how to open a file: SQLite would write beside it, which it cannot do on a read-only disk."""
    is_still = not os.path.exists(f"{path}-wal")
    is_shut = not os.access(Path(path).absolute().parent, os.W_OK)
    return "mode=ro&immutable=1" if is_still and is_shut else "mode=rw"


@contextmanager
def explaining(path: str | Path) -> Iterator[None]:
    """Raise Unusable with a sentence where a file cannot be used."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise Unusable(_sentence(error, path)) from None


def _sentence(error: Exception, path: str | Path) -> str:
    return sentence(error, sa.URL.create("sqlite", database=str(path)))


def _sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk."""
    if WINDOWS and path.is_dir():
        return  # Windows opens no folders
    file = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


# --- Names -------------------------------------------------------------------------------------


def new_name(path: str, folder: Path, middle: str = "") -> Path:
    """Return the name with date and time that a copy of a file gets in a folder."""
    return folder / f"{Path(path).stem}{middle}-{datetime.now():{STAMP}}.db"


def make_folder(folder: Path) -> None:
    """Make a folder for copies, for its owner only: that of the folder around it."""
    is_new = not folder.exists()
    with explaining(folder / "copy"):
        sqlite_file.make_folder(str(folder / "copy"))
        if is_new:
            _give_to_owner(folder, folder.parent)


def made_in(folder: Path, path: str) -> list[Path]:
    """Return the copies of a file in a folder that have the names of `new_name`, the oldest first."""
    name = re.compile(rf"{re.escape(Path(path).stem)}-\d{{4}}-\d\d-\d\d-\d{{6}}\.db")
    return sorted(found for found in folder.iterdir() if name.fullmatch(found.name))


def keep_newest(folder: Path, path: str, count: int) -> list[Path]:
    """Remove older copies of a file than so many; return those."""
    older = made_in(folder, path)[:-count]
    for copy in older:
        with explaining(copy):
            copy.unlink()
    return older


# --- In the place of the file ------------------------------------------------------------------


def put_in_place(source: Path, path: str) -> Path | None:
    """Put a copy of `source` in the place of a file; return as what that is kept, None if there was none.

    Call it while nobody has the file. Whenever this is killed, the old file is in its place, or the new one.
    """
    target = Path(os.path.realpath(path))  # SQLite follows links, too
    old = SQLiteFile(str(target))
    kept = new_name(path, target.parent, "-before-restore") if target.exists() else None
    with unfinished(target) as copy, explaining(target):
        vacuum(source, copy, name=target)
        _give_to_owner(copy, target)
        _sync(copy)
        old.put_log_in()
        _swap(copy, target, kept)
        Path(old.mark).unlink(missing_ok=True)
        _sync(target.parent)
    return kept


def _give_to_owner(copy: Path, target: Path) -> None:
    """Give the owner of what is or will be `target` a copy that root made: the service is to use it as its own."""
    if WINDOWS or os.geteuid() != 0:
        return
    mine = os.stat(copy)
    like = os.stat(target if target.exists() else target.parent)
    if (mine.st_uid, mine.st_gid) != (like.st_uid, like.st_gid):
        os.chown(copy, like.st_uid, like.st_gid, follow_symlinks=False)


def _swap(copy: Path, target: Path, kept: Path | None) -> None:
    """Give a file a second name, and its first one to the copy; its log, if it could not be put in, goes with it."""
    if kept:
        refuse_to_overwrite(kept)
        os.link(target, kept)
    try:
        _set_log_aside(target, kept or new_name(str(target), target.parent, "-log"))
        os.replace(copy, target)
    except OSError:  # on Windows, as long as anybody has it open
        if kept:
            kept.unlink()
        raise


def _set_log_aside(target: Path, kept: Path) -> None:
    for end in ("-wal", "-shm"):
        if os.path.exists(f"{target}{end}"):
            os.rename(f"{target}{end}", f"{kept}{end}")
