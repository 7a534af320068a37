"""SQLite's file under the running service: how it is opened, and when it must not be written to."""

import errno
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import finalize

from engine import in_use, outages
from engine.outages import Outage, Unfit

LOCK_WAIT_SECONDS = 10
LOG_BYTES = 16 << 20  # to which SQLite cuts its write-ahead log when nobody reads it
LEAST_FREE = 1 << 20  # bytes on the disk, for the database to be called healthy
MARK = "SQLite found this file damaged, so nothing is written to it. Restore a backup and remove this mark.\n"

Identity = tuple[int, ...] | None  # of a file: inode and device; None if it is not there


@dataclass
class SQLiteFile:
    """A file under the service: it may be removed or replaced while connections to it are open.

    SQLite would go on writing into a file that is gone, and take the log of the old file for that of the new one.
    Files are told apart by inode and device.
    """

    path: str
    identity: Identity = None
    log: Identity = None
    may_be_created: bool = False  # by the next connection
    is_shared: bool = False  # with others who have it open, until this process ends

    def __post_init__(self) -> None:
        self.mark = f"{self.path}-damaged"

    def before_connect(self, *_: Any) -> None:
        """Raise Unfit if the file is missing, unless it may be created; note which file is there now."""
        now = _identity(self.path)
        if now is None and not self.may_be_created:
            raise Unfit(outages.REPLACED if self.identity else outages.NO_TABLES)
        self._share()
        self.set_log_aside()
        self.identity = now

    def _share(self) -> None:
        """Keep everybody from putting another file in the place of this one."""
        if self.is_shared:
            return
        try:
            lock = in_use.share(self.path)
        except in_use.InUse:
            raise Unfit(outages.LOCKED) from None
        self.is_shared = True
        if lock is not None:
            release = finalize(self, os.close, lock)
            # At exit the connections are closed first; the lock then ends with the process.
            release.atexit = False

    def set_log_aside(self) -> None:
        """If another file was put in the place of this one, rename the log: SQLite would apply it to the new file."""
        if self.log is None or self.log != _identity(f"{self.path}-wal"):
            return
        if _identity(self.path) in (None, self.identity):
            return
        with suppress(FileNotFoundError):  # another process did it
            os.replace(f"{self.path}-wal", f"{self.path}-wal-of-replaced-file")
            os.remove(f"{self.path}-shm")

    def opened(self, connection: sqlite3.Connection, record: Any) -> None:
        """Set up a connection, and remember to which file it leads."""
        _open_sqlite(connection)
        self.may_be_created = False
        self.identity = self.identity or _identity(self.path)  # it was created just now
        record.info.update(file=self.identity, wait=LOCK_WAIT_SECONDS)
        self.log = _identity(f"{self.path}-wal")

    def put_log_in(self) -> None:
        """Let the file be everything: put what a killed program left in the log into it, unless it is in use."""
        if self._is_marked() or None in map(_identity, (self.path, f"{self.path}-wal")):
            return
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.path)) as last:
            last.execute("PRAGMA schema_version")  # reads; to close is what puts it in

    # Damage

    def mark_damaged(self) -> None:
        """Tell every process, also later ones, not to write to this file."""
        with suppress(OSError):  # this process knows it anyhow
            Path(self.mark).write_text(f"{_identity(self.path)}\n{MARK}", encoding="utf-8")

    def refuse_if_marked(self) -> None:
        """Raise Unfit if somebody found this file damaged."""
        if self._is_marked():
            raise Unfit(outages.DAMAGED)

    def _is_marked(self) -> bool:
        """Return whether the mark is that of this file; one that was put in its place is another."""
        try:
            marked = Path(self.mark).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):  # there is none
            return False
        return marked.startswith(f"{_identity(self.path)}\n")

    def outage(self) -> Outage | None:
        """Return why nothing can be written to the file, as far as can be seen."""
        folder = os.path.dirname(self.path)
        if self._is_marked():
            return outages.DAMAGED
        if not (os.access(self.path, os.W_OK) and os.access(folder, os.W_OK)):
            return outages.READ_ONLY
        return outages.FULL if shutil.disk_usage(folder).free < LEAST_FREE else None


def make_folder(path: str) -> None:
    """Make the folder of a file; raise OSError unless the file's log and the locks of the turn can be created there."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)  # what it will hold is private
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _identity(path: str) -> Identity:
    try:
        return os.stat(path)[1:3]
    except OSError:  # it is gone, or its folder
        return None


def _open_sqlite(connection: sqlite3.Connection) -> None:
    """Set up a connection: write-ahead log, full sync, foreign keys."""
    connection.isolation_level = None  # the driver would begin no transaction for a SELECT
    connection.execute(f"PRAGMA busy_timeout={LOCK_WAIT_SECONDS * 1000}")
    if connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
        raise sqlite3.OperationalError(
            "this SQLite file cannot use WAL: put it on a local disk"
        )
    connection.execute("PRAGMA synchronous=FULL")  # a small site has no UPS
    connection.execute("PRAGMA foreign_keys=ON")
    # In pages: fewer checkpoints while a large list is written.
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    # In bytes: beside a long reader the log grows, and would keep its size.
    connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
