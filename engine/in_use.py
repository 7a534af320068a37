"""In use: who has a SQLite file open shares a lock beside it, so that nobody puts another file into its place.

SQLite removes the log by its name when the last one closes the file: that may be the log of the file that came after.
The lock ends with its process, however that ends (flock(2)). Windows replaces no file that is open, and needs no lock.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # mypy does not know that a module may be missing


WINDOWS = sys.platform == "win32"


class InUse(Exception):
    """Somebody else has the file."""


def share(path: str) -> int | None:
    """Share a file; return what to close in the end, None where nobody can lock. Raises InUse."""
    with suppress(OSError):  # as on some network disks: then everybody goes on without
        return _locked(path, "LOCK_SH")
    return None


@contextmanager
def shared(path: str) -> Iterator[None]:
    """Share a file for some time; raise InUse while somebody has it alone."""
    file = share(path)
    try:
        yield
    finally:
        if file is not None:
            os.close(file)


@contextmanager
def alone(path: str) -> Iterator[None]:
    """Have a file alone; raise InUse while somebody shares it, OSError where nobody can know."""
    file = _locked(path, "LOCK_EX")
    try:
        yield
    except PermissionError:
        if fcntl:
            raise
        raise InUse from None
    finally:
        if file is not None:
            os.close(file)


def _locked(path: str, kind: str) -> int | None:
    if not fcntl:
        return None
    # To read is enough to lock: root may have made it.
    file = os.open(
        f"{os.path.realpath(path)}-in-use", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644
    )
    try:
        fcntl.flock(file, getattr(fcntl, kind) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise InUse from None
    except OSError:
        os.close(file)
        raise
    return file
