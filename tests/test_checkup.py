"""Checks of a database, one by one, on what a server would say: where each limit lies."""

import shutil
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine import checkup
from engine.checkup import Finding, Mark

GIB = 1 << 30


def said(*answers: Any, **dialect: Any) -> Any:
    """Return a connection to a server that gives these answers, one for each question."""
    left = [*answers]

    def answer(_question: str) -> Any:
        value = left.pop(0)
        return SimpleNamespace(
            scalar_one=lambda: value, scalar=lambda: value, scalars=lambda: value
        )

    return SimpleNamespace(exec_driver_sql=answer, dialect=SimpleNamespace(**dialect))


def marks(findings: Any) -> list[Mark]:
    return [finding.mark for finding in findings]


@pytest.mark.parametrize(
    ("apart", "mark"), [(0, Mark.GOOD), (60, Mark.GOOD), (61, Mark.DO), (4000, Mark.DO)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_clocks_may_be_a_minute_apart(
    monkeypatch: pytest.MonkeyPatch, apart: int, mark: Mark, sign: int
) -> None:
    monkeypatch.setattr(time, "time", lambda: 10_000.0)
    server = said(10_000 + sign * apart, name="postgresql")
    (found,) = checkup.server_clock(server, ())
    assert found.mark is mark
    assert (f" {apart} seconds apart" in found.text) == (mark is Mark.DO)


@pytest.mark.parametrize(
    ("size", "mark"), [(16_777_215, Mark.DO), (16_777_216, Mark.GOOD), (1 << 30, Mark.GOOD)]
)
def test_a_packet_of_sixteen_megabytes_is_wanted(size: int, mark: Mark) -> None:
    (found,) = checkup._mariadb_packet(size)
    assert (found.mark, str(size) in found.text) == (mark, True)
    assert mark is Mark.GOOD or "Set it to 16777216." in found.text


@pytest.mark.parametrize(
    ("modes", "mark"),
    [
        (["STRICT_ALL_TABLES"], Mark.GOOD),
        (["ANSI", "STRICT_ALL_TABLES"], Mark.GOOD),
        (["ANSI"], Mark.DO),
        (["STRICT_ALL_TABLES", "EMPTY_STRING_IS_NULL"], Mark.DO),
    ],
)
def test_a_mode_must_be_strict(modes: list[str], mark: Mark) -> None:
    assert marks(checkup._mariadb_mode(modes)) == [mark]


@pytest.mark.parametrize(
    ("narrow", "told"),
    [([], []), (["other"], []), (["patient", "other", "doctor"], ["doctor", "patient"])],
)
def test_each_table_of_ours_that_cannot_hold_every_name_is_told(
    narrow: list[str], told: list[str]
) -> None:
    found = [*checkup.mariadb_charsets(said(narrow), ["patient", "doctor", "clinic"])]
    if not told:
        assert marks(found) == [Mark.GOOD]
    else:
        assert [finding.text.split()[2] for finding in found] == told
        assert marks(found) == [Mark.DO] * len(told)


@pytest.mark.parametrize(
    ("kind", "version", "mark"),
    [
        ("postgresql", (14, 99), Mark.LOOK),
        ("postgresql", (15,), Mark.GOOD),
        ("postgresql", (15, 0), Mark.GOOD),
        ("mariadb", (10, 10, 99), Mark.LOOK),
        ("mariadb", (10, 11), Mark.GOOD),
        ("mariadb", (11, 4), Mark.GOOD),
        ("mysql", (5, 0), Mark.GOOD),
    ],
)
def test_the_oldest_line_that_gets_fixes_is_good(
    kind: str, version: tuple[int, ...], mark: Mark
) -> None:
    assert checkup.judged(kind, version).mark is mark


def test_a_mariadb_is_told_from_a_mysql() -> None:
    for is_mariadb, name in ((True, "mariadb"), (False, "mysql")):
        server = said(name="mysql", is_mariadb=is_mariadb, server_version_info=(11, 4))
        (found,) = checkup.server_version(server, ())
        assert f"{name} 11.4" in found.text


@pytest.mark.parametrize(
    ("log_bin", "sync", "found"),
    [
        ("OFF", "0", []),
        ("0", "0", []),
        ("ZZZ", "0", []),
        ("ON", "0", [Mark.DO]),
        ("ON", "1", [Mark.GOOD]),
    ],
)
def test_the_binary_log_counts_where_it_is_on(
    log_bin: str, sync: str, found: list[Mark]
) -> None:
    assert marks(checkup.binary_log({"log_bin": log_bin, "sync_binlog": sync})) == found
    assert [*checkup.binary_log({})] == []


# --- SQLite ---------------------------------------------------------------------------------------


class Driver(sqlite3.Connection):
    """A connection that keeps what it was told to call."""

    handlers: list[tuple[Any, int]]

    def set_progress_handler(self, handler: Any, n: int, /) -> None:
        self.handlers.append((handler, n))


def test_sqlites_own_check_has_twenty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = sqlite3.connect(":memory:", factory=Driver)
    driver.handlers = []
    connection = said("ok")
    connection.connection = SimpleNamespace(driver_connection=driver)
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    (found,) = checkup.sqlite_integrity(connection, ())
    assert found.mark is Mark.GOOD
    (is_over, steps), last = driver.handlers
    assert (steps, last) == (10_000, (None, 0))
    for now[0], expected in (
        (100, False),
        (119, False),
        (120, False),
        (120.5, True),
        (500, True),
    ):
        assert is_over() is expected
    driver.close()


@pytest.mark.parametrize(
    ("problem", "mark"),
    [
        ("ok", Mark.GOOD),
        ("SQLITE_INTERRUPT", Mark.LOOK),
        ("*** in database main ***", Mark.DO),
        ("row 1 missing from index", Mark.DO),
        ("SQLITE_CORRUPT", Mark.DO),
        ("SQLITE_NOTADB", Mark.DO),
    ],
)
def test_what_sqlite_says_of_its_file(problem: str, mark: Mark) -> None:
    assert checkup._integrity(said(problem)).mark is mark


def on_disk(monkeypatch: pytest.MonkeyPatch, free: float, path: Path) -> Finding:
    usage = SimpleNamespace(free=int(free * GIB))
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    (found,) = checkup.free_disk(path)
    return found


def test_room_for_two_copies_and_a_gigabyte_at_least_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder" / "clinic.db"
    assert on_disk(monkeypatch, 1, path).mark is Mark.GOOD
    short = on_disk(monkeypatch, 0.5, path)
    assert (short.mark, short.text.split(". ")[0][:16]) == (Mark.DO, "Only 0.5 GiB are")
    assert "1.0 GiB are wanted" in short.text
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(3 * GIB)
    assert on_disk(monkeypatch, 6, path).mark is Mark.GOOD
    assert "6.0 GiB are wanted" in on_disk(monkeypatch, 5.9, path).text
    assert "7.5 GiB are free" in on_disk(monkeypatch, 7.5, path).text


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "is_good"),
    [
        (0o700, 0o644, True),
        (0o766, 0o644, True),  # nobody gets in
        (0o755, 0o600, True),
        (0o755, 0o633, True),  # to write or run it is not to read it
        (0o755, 0o640, False),
        (0o710, 0o640, False),
        (0o711, 0o604, False),
        (0o701, 0o604, False),
    ],
)
def test_a_database_that_others_can_read_is_told(
    tmp_path: Path, folder_mode: int, file_mode: int, is_good: bool
) -> None:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)  # pytest closes them
    file = tmp_path / "open" / "clinic.db"
    file.parent.mkdir()
    file.write_bytes(b"")
    file.chmod(file_mode)
    file.parent.chmod(folder_mode)
    (found,) = checkup.secrecy(file)
    assert found.mark is (Mark.GOOD if is_good else Mark.DO)
    assert is_good or f"chmod 700 {file.parent}" in found.text
