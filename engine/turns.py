"""Turns: whoever writes to one SQLite file on one box takes turns, so that nobody waits for SQLite's own lock.

SQLite lets one writer in at a time; the others sleep, try again, and sleep longer, so the last to come may win, and a
bulk that writes chunk after chunk lets nobody in between. Here a writer takes the door, waits in it for the room, and
leaves the door when it has the room. So whoever leaves the room comes after the one in the door. Between processes,
those before the door have no order: each looks at its lock every POLL seconds.

Only fairness rests on this: what guards the data is SQLite's own lock, which other programs take, too.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Protocol

import sqlalchemy as sa

from engine.in_use import fcntl  # None on Windows, where the service is one process
from engine.sqlite_file import LOCK_WAIT_SECONDS, SQLiteFile

log = logging.getLogger(__name__)

POLL = 0.0002  # seconds between two looks at another process's lock
NOTICED = (
    0.5  # seconds: a wait for SQLite's lock that is shortened by less is left as it is
)


class NoTurn(Exception):
    """The turn did not come in time."""


class Lock(Protocol):
    """What threads and processes lock."""

    def acquire(self, *, timeout: float) -> bool:
        """Wait so many seconds at most; return whether it is ours."""

    def release(self) -> None:
        """Give it up."""


class FileLock:
    """A lock between processes: it ends with its process, however that ends (flock(2)).

    If its file cannot be used, everybody goes on without: SQLite's own lock guards the data.
    """

    def __init__(self, path: str):
        self._path = path
        self._file: int | None = None
        self._is_missed = False

    def acquire(self, *, timeout: float) -> bool:
        """Wait so many seconds at most; return whether it is ours."""
        ends = time.monotonic() + timeout
        try:
            # Opened anew each time, because a process that forks would share an open one with its child. Opened to
            # read: the file may belong to root, and flock needs no more.
            file = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            self._miss(error)
            return True
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > ends:
                    os.close(file)
                    return False
                time.sleep(POLL)
            except OSError as error:  # as on some network disks
                os.close(file)
                self._miss(error)
                return True
            else:
                self._file = file
                return True

    def release(self) -> None:
        """Give it up."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _miss(self, error: OSError) -> None:
        """Log once that it cannot be used."""
        if not self._is_missed:
            name = os.path.basename(self._path)
            log.warning(
                "%s cannot be locked (%s): writers may overtake each other",
                name,
                error.strerror,
            )
        self._is_missed = True


class Turns:
    """The queue of those who write to one file; `path` is the file's."""

    def __init__(self, path: str):
        self._gates: list[tuple[Lock, Lock]] = [(threading.Lock(), threading.Lock())]
        if fcntl:
            self._gates.append((FileLock(f"{path}-door"), FileLock(f"{path}-room")))

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """Wait for the turn and have it; raise NoTurn after so many seconds."""
        ends = time.monotonic() + seconds
        with ExitStack() as held:
            for door, room in self._gates:
                _enter(door, ends)
                try:
                    _enter(room, ends)
                finally:
                    door.release()
                held.callback(room.release)
            yield

    def wanted(self) -> bool:
        """Return whether somebody waits for the turn; ask only while you have it."""
        return not all(_is_free(door) for door, _ in self._gates)


def _is_free(door: Lock) -> bool:
    free = door.acquire(timeout=0)
    if free:
        door.release()
    return free


def _enter(lock: Lock, ends: float) -> None:
    if not lock.acquire(timeout=max(0.0, ends - time.monotonic())):
        raise NoTurn


@cache
def of(path: str) -> Turns:
    """Return the queue of a file: one for all threads of a process."""
    return Turns(path)


# --- SQLite's own lock -------------------------------------------------------------------------


def begin(file: SQLiteFile, connection: sa.Connection) -> None:
    """Begin a transaction; to write, take the write lock at once: a read lock could not be raised to it later."""
    options, now = connection.get_execution_options(), time.monotonic()
    if not options.get("writes"):
        connection.exec_driver_sql("BEGIN")
        return
    if os.path.exists(file.mark):
        file.refuse_if_marked()
    until = options.get("until", now + LOCK_WAIT_SECONDS)
    if abs(until - now - connection.info["wait"]) > NOTICED:
        _wait_until(until, connection)
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _wait_until(until: float, connection: sa.Connection) -> None:
    """Let SQLite wait for its lock until this moment (of `time.monotonic`), as the wait for the turn is part of it."""
    wait = max(until - time.monotonic(), 0.05)
    connection.exec_driver_sql(f"PRAGMA busy_timeout={round(wait * 1000)}")
    connection.info["wait"] = wait
