"""Copies of a SQLite file and who has it, function by function: what `flask backup` and `flask restore` stand on."""

import importlib.util
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine import copies, in_use
from engine.connecting import Unusable

DAY = 24 * 3600  # seconds
MANY = 300  # rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with a table of books."""
    folder = tmp_path / "data"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "clinic.db")) as connection, connection:
        connection.execute("CREATE TABLE book (title TEXT UNIQUE)")
        titles = [(f"title {number}",) for number in range(MANY)]
        connection.executemany("INSERT INTO book VALUES (?)", titles)
    return folder / "clinic.db"


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# --- A copy --------------------------------------------------------------------------------------


def test_a_copy_may_have_more_rows_than_there_were_before(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_and_copy(source: str, copy: Path, **names: Path) -> None:
        with closing(sqlite3.connect(source)) as connection, connection:
            connection.execute("INSERT INTO book VALUES ('another one')")
        vacuum(source, copy, **names)

    vacuum = copies.vacuum
    monkeypatch.setattr(copies, "vacuum", add_and_copy)
    found = copies.back_up(str(path), tmp_path / "copy.db", ["book"])
    assert found == {"book": MANY + 1}


def test_a_table_that_is_not_there_has_no_rows(path: Path) -> None:
    assert copies.counts(path, ["book", "shelf"]) == {"book": MANY, "shelf": 0}


@pytest.mark.parametrize("age", [-10, 10], ids=["younger", "older"])
def test_what_a_killed_program_left_goes_after_a_day(tmp_path: Path, age: int) -> None:
    left = tmp_path / f"{copies.UNFINISHED}left"
    left.touch()
    os.utime(left, (time.time() - DAY - age,) * 2)
    with copies.unfinished(tmp_path / "copy.db"):
        assert left.exists() == (age < 0)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("SQLITE_FULL", "copy.db"),
        ("SQLITE_IOERR_WRITE", "copy.db"),
        ("SQLITE_BUSY", "clinic.db"),
    ],
)
def test_the_file_at_fault_is_named(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, named: str
) -> None:
    @contextmanager
    def broken(_path: str | Path) -> Iterator[sqlite3.Connection]:
        error = sqlite3.OperationalError("as if")
        error.sqlite_errorname, error.sqlite_errorcode = fault, getattr(sqlite3, fault)
        raise error
        yield

    monkeypatch.setattr(copies, "_opened", broken)
    with pytest.raises(Unusable, match=named):
        copies.vacuum(path, tmp_path / "unfinished", name=tmp_path / "copy.db")


@pytest.mark.parametrize("text", [b"", b"A plain text. ", b"patientNo,name\n", b"\xff\xff"])
def test_what_begins_otherwise_is_no_database(tmp_path: Path, text: bytes) -> None:
    other = tmp_path / "other"
    other.write_bytes(text * 100)
    with pytest.raises(Unusable, match="is no SQLite database"):
        copies.check(other)


def test_a_row_that_its_index_lacks_is_damage(path: Path) -> None:
    """PRAGMA quick_check does not notice it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE INDEX by_title ON book (title)")
        connection.execute("PRAGMA writable_schema = ON")
        of_index = "FROM sqlite_master WHERE name = 'by_title'"
        row = connection.execute(f"SELECT * {of_index}").fetchone()
        connection.execute(f"DELETE {of_index}")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO book VALUES ('in no index')")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    with pytest.raises(Unusable, match="fails SQLite's check"):
        copies.check(path)


def test_a_file_and_its_folder_are_on_the_disk_before_a_copy_has_its_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert synced(monkeypatch, path, tmp_path) == ["unfinished", tmp_path.name]


def test_windows_opens_no_folder(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "WINDOWS", True)
    assert synced(monkeypatch, path, tmp_path) == ["unfinished"]


def synced(monkeypatch: pytest.MonkeyPatch, path: Path, folder: Path) -> list[str]:
    """Back a file up; return the names of what was written to the disk."""
    found: list[str] = []

    def note(file: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{file}")).name
        found.append("unfinished" if name.startswith(copies.UNFINISHED) else name)

    monkeypatch.setattr(os, "fsync", note)
    copies.back_up(str(path), folder / "copy.db", ["book"])
    return found


# --- On a disk that cannot be written ------------------------------------------------------------

AS_A_DISK = {
    (True, False): "mode=rw",
    (True, True): "mode=rw",
    (False, False): "mode=ro&immutable=1",
    (False, True): "mode=rw",  # what stands in the log counts
}


@pytest.mark.parametrize(("may_write", "has_log"), AS_A_DISK)
def test_a_file_is_taken_as_it_stands_where_nothing_can_be_written_beside_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, may_write: bool, has_log: bool
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: may_write)
    if has_log:
        Path(f"{path}-wal").touch()
    assert copies._mode(path) == AS_A_DISK[may_write, has_log]


# --- In its place --------------------------------------------------------------------------------


def held_open(_copy: str | Path, _target: str | Path) -> None:
    raise PermissionError(13, "somebody has it open")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_that_cannot_be_replaced_stays_under_its_own_name_only(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    source = path.rename(tmp_path / "copy.db")
    if is_there:
        copies.back_up(str(source), path, ["book"])
    monkeypatch.setattr(os, "replace", held_open)
    with pytest.raises(Unusable):
        copies.put_in_place(source, str(path))
    assert [name for name in names(path.parent) if "before-restore" in name] == []
    assert path.exists() == is_there


@pytest.mark.parametrize(
    ("user", "owner", "windows", "expected"),
    [
        (0, 1234, False, [(1234, 1234)]),
        (0, 0, False, []),  # it is his already: some disks refuse even that
        (1000, 1234, False, []),
        (0, 1234, True, []),
    ],
)
def test_a_copy_that_root_made_is_given_to_the_owner_of_the_file_before(
    *,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    owner: int,
    windows: bool,
    expected: list[tuple[int, int]],
) -> None:
    given: list[tuple[int, int]] = []
    owners = {Path("copy"): 0, Path("before"): owner}
    monkeypatch.setattr(
        os, "stat", lambda it, **_: SimpleNamespace(st_uid=owners[it], st_gid=owners[it])
    )
    monkeypatch.setattr(os, "chown", lambda _path, *owner, **_: given.append(owner))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(copies, "WINDOWS", windows)
    copies._give_to_owner(Path("copy"), Path("before"))
    monkeypatch.undo()
    assert given == expected


# --- Who has it ----------------------------------------------------------------------------------


def is_held(path: Path) -> bool:
    """Return whether this process has the lock file of a file open."""
    files = [Path(f"/proc/self/fd/{file}") for file in os.listdir("/proc/self/fd")]
    return f"{path}-in-use" in [os.path.realpath(file) for file in files]


def test_the_lock_beside_a_file_can_be_read_by_all_and_written_by_its_owner(
    path: Path,
) -> None:
    before = os.umask(0)
    try:
        with in_use.shared(str(path)):
            pass
    finally:
        os.umask(before)
    assert Path(f"{path}-in-use").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("have", [in_use.shared, in_use.alone])
def test_who_gets_no_lock_leaves_no_file_open(path: Path, have: Callable[..., Any]) -> None:
    with in_use.alone(str(path)), pytest.raises(in_use.InUse), have(str(path)):
        pass
    assert not is_held(path)


def test_a_disk_that_knows_no_locks_leaves_no_file_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: int) -> None:
        raise OSError(37, "No locks available")

    assert in_use.fcntl
    monkeypatch.setattr(in_use.fcntl, "flock", unknown)
    with in_use.shared(str(path)):
        assert not is_held(path)
    with pytest.raises(OSError, match="No locks"), in_use.alone(str(path)):
        pass
    assert not is_held(path)


def test_without_fcntl_nobody_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert in_use.__file__
    spec = importlib.util.spec_from_file_location("in_use_without", in_use.__file__)
    assert spec
    assert spec.loader
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    assert other.share(str(path)) is None
    assert names(path.parent) == ["clinic.db"]
