"""Writers take turns: nobody overtakes for ever, nobody waits for ever, and the dead hold nothing."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Portal

import sync
from engine import database, settle, turns
from engine.sqlite_file import SQLiteFile
from models import db

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "clinic.db")


def greedy(path: str, held: Any, stop: Any, count: Any) -> None:
    """Write chunk after chunk without a pause, as a bulk does."""
    queue = turns.of(path)
    while not stop.is_set():
        with queue.turn(10):
            held.set()
            count.value += 1
            time.sleep(0.002)


@pytest.mark.parametrize("kind", [threading.Thread, FORK.Process])
def test_a_bulk_lets_a_single_writer_in_between_two_chunks(
    path: str, kind: Callable[..., Any]
) -> None:
    held, stop, count = FORK.Event(), FORK.Event(), FORK.Value("i", 0)
    bulk = kind(target=greedy, args=(path, held, stop, count))
    bulk.start()
    try:
        assert held.wait(10)
        chunks = []
        for _ in range(20):
            before = count.value
            with turns.of(path).turn(10):
                chunks.append(count.value - before)
    finally:
        stop.set()
        bulk.join()
    # The chunk that runs, and at most one that stood in the door before.
    assert max(chunks) <= 2


@pytest.mark.parametrize("kind", [threading.Thread, FORK.Process])
def test_one_at_a_time_has_the_turn(
    path: str, kind: Callable[..., Any], tmp_path: Path
) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count() -> None:
        for _ in range(25):
            with turns.of(path).turn(10):
                read = int(counter.read_text())
                time.sleep(0.0005)
                counter.write_text(str(read + 1))

    writers = [kind(target=count) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert counter.read_text() == "150"


@pytest.mark.parametrize("kind", [threading.Thread, FORK.Process])
def test_whoever_has_the_turn_learns_that_somebody_waits(
    path: str, kind: Callable[..., Any]
) -> None:
    queue, go = turns.of(path), FORK.Event()
    other = kind(target=pass_by, args=(path, go))
    other.start()
    with queue.turn(1):
        assert not queue.wanted()
        go.set()
        ends = time.monotonic() + 10
        while not queue.wanted() and time.monotonic() < ends:
            time.sleep(0.001)
        assert queue.wanted()
    other.join()
    with queue.turn(1):
        assert not queue.wanted()


@pytest.mark.parametrize("waits", [False, True], ids=["alone", "somebody waits"])
def test_chunks_share_a_transaction_until_somebody_waits(
    sqlite_portal: Portal, monkeypatch: pytest.MonkeyPatch, *, waits: bool
) -> None:
    monkeypatch.setattr(sync, "CHUNK", 2)
    monkeypatch.setattr(sync, "MORE_CHUNKS", 3)
    path = str(sqlite_portal.app.config["SQLALCHEMY_DATABASE_URI"].database)
    commits: list[Any] = []
    with sqlite_portal.app.app_context():
        sa.event.listen(db.engine, "commit", commits.append)
    write, others = settle.write, []

    def write_later(*args: Any) -> None:
        if waits:
            others.append(threading.Thread(target=pass_by, args=(path,)))
            others[-1].start()
            while not turns.of(path).wanted():
                time.sleep(0.001)
        write(*args)

    monkeypatch.setattr(settle, "write", write_later)
    patients = [{"patientNo": f"P-{i}", "name": "Sara Ali"} for i in range(12)]
    assert sqlite_portal.send_many({"patient": patients})["patient"]["created"] == 12
    for other in others:
        other.join()
    assert len(commits) == (6 if waits else 2)


def test_whoever_waits_for_the_turn_holds_no_connection(path: str) -> None:
    """Else a few of them would keep everybody who only reads waiting, too."""
    kind = database.of_name("sqlite")
    limits = kind.options() | {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.5}
    engine = sa.create_engine(f"sqlite:///{path}", **limits)
    kind.prepare(engine)
    kind.prepare_upgrade(engine)  # which may create the file
    queue, ask = turns.of(path), sa.text("SELECT 1")
    with ThreadPoolExecutor(1) as other:
        with queue.turn(1):
            writing = other.submit(database.transact, engine, lambda it: it.scalar(ask))
            while not queue.wanted():
                time.sleep(0.001)
            reading = database.transact(engine, lambda it: it.scalar(ask), writes=False)
        assert (reading, writing.result()) == (1, 1)
    engine.dispose()


def test_whoever_waits_too_long_is_told_and_blocks_nobody(path: str) -> None:
    with turns.of(path).turn(1), ThreadPoolExecutor(3) as others:
        waiting = [others.submit(hold, path, 0.05) for _ in range(3)]
        assert [type(it.exception()) for it in waiting] == [turns.NoTurn] * 3
    with turns.of(path).turn(0.5):
        pass


def test_nobody_writes_between_matching_and_writing(
    sqlite_portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that nobody held when it was matched might be somebody's former one when it is written."""
    write = settle.write
    queue = turns.of(str(sqlite_portal.app.config["SQLALCHEMY_DATABASE_URI"].database))

    def write_later(*args: Any) -> None:
        with ThreadPoolExecutor(1) as other:
            waiting = other.submit(take, queue)
            assert type(waiting.exception()) is turns.NoTurn
        write(*args)

    monkeypatch.setattr(settle, "write", write_later)
    patient = {"patientNo": "P-1", "name": "Sara Ali"}
    assert sqlite_portal.send("patient", patient)["action"] == "created"
    assert sqlite_portal.send_many({"patient": [patient]})["patient"]["unchanged"] == 1


def test_a_killed_process_holds_nothing(path: str) -> None:
    held = FORK.Event()
    holder = FORK.Process(target=hold, args=(path, 1, held))
    holder.start()
    assert held.wait(10)
    with pytest.raises(turns.NoTurn), turns.of(path).turn(0.05):
        pass
    holder.kill()
    holder.join()
    with turns.of(path).turn(5):
        pass


def test_a_lock_that_belongs_to_somebody_else_can_be_used(path: str) -> None:
    for gate in ("door", "room"):
        Path(f"{path}-{gate}").touch(mode=0o444)
    with turns.of(path).turn(1):
        pass


def test_where_no_file_can_be_locked_everybody_goes_on_and_the_log_says_so_once(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(f"{path}-door").mkdir()
    queue = turns.Turns(path)
    for _ in range(2):
        with queue.turn(1):
            assert not queue.wanted()
    (line,) = caplog.messages
    assert line.startswith("clinic.db-door cannot be locked (Is a directory)")


def test_a_turn_that_failed_leaves_others_theirs(path: str) -> None:
    with pytest.raises(ZeroDivisionError), turns.of(path).turn(1):
        raise ZeroDivisionError
    with turns.of(path).turn(0):
        pass


def hold(path: str, seconds: float, held: Any = None) -> None:
    with turns.of(path).turn(seconds):
        if held:
            held.set()
            time.sleep(60)


def pass_by(path: str, go: Any = None) -> None:
    if go:
        go.wait()
    with turns.of(path).turn(10):
        pass


def take(queue: turns.Turns) -> None:
    with queue.turn(0.05):
        pass


# --- Time, as the test tells it ------------------------------------------------------------------


class Clock:
    """A clock that goes on by a second at each look, and by no pause."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: float = 1.0):
        self.now, self.step, self.pauses = 100.0, step, 0
        monkeypatch.setattr(turns, "time", self)

    def monotonic(self) -> float:
        self.now += self.step
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds == 0.0002
        self.pauses += 1


@pytest.mark.parametrize("seconds", [0, 3, 7])
def test_a_lock_of_another_process_is_asked_for_until_the_time_is_over(
    path: str, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    mine, other = turns.FileLock(path), turns.FileLock(path)
    assert other.acquire(timeout=0)
    clock = Clock(monkeypatch)
    assert not mine.acquire(timeout=seconds)
    assert clock.pauses == seconds
    other.release()
    assert mine.acquire(timeout=0)
    mine.release()


def test_the_door_and_the_room_share_the_time_that_there_is(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    class Gate:
        def acquire(self, *, timeout: float) -> bool:
            asked.append(timeout)
            return True

        def release(self) -> None:
            pass

    queue = turns.Turns(path)
    queue._gates = [(Gate(), Gate()), (Gate(), Gate())]
    Clock(monkeypatch)
    with queue.turn(3):
        assert asked == [2, 1, 0, 0]
        asked.clear()
        assert not queue.wanted()
        assert asked == [0, 0]


def test_a_file_has_one_queue_in_a_process(path: str) -> None:
    assert turns.of(path) is turns.of(path)
    assert turns.of(path) is not turns.of(f"{path}2")


def test_where_a_disk_knows_no_locks_everybody_goes_on(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(*_: int) -> None:
        raise OSError(37, "No locks available")

    assert turns.fcntl
    monkeypatch.setattr(turns.fcntl, "flock", unknown)
    lock = turns.FileLock(path)
    for _ in range(2):
        assert lock.acquire(timeout=1) is True
        lock.release()
    files = [Path(f"/proc/self/fd/{file}") for file in os.listdir("/proc/self/fd")]
    assert path not in [os.path.realpath(file) for file in files]
    (line,) = caplog.messages
    assert line.startswith("clinic.db cannot be locked (No locks available)")


def test_the_files_of_the_queue_can_be_read_by_all(path: str) -> None:
    before = os.umask(0)
    try:
        with turns.Turns(path).turn(1):
            pass
    finally:
        os.umask(before)
    files = [Path(f"{path}-{gate}") for gate in ("door", "room")]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o644, 0o644]


# Seconds left for SQLite's lock (None: none were set), what a connection waits, and what it is told in milliseconds.
WAITS: dict[str, tuple[float | None, float, int | None]] = {
    "as it is": (None, 10, None),
    "again the whole time": (None, 3, 10_000),
    "what is left": (3, 10, 3000),
    "a part of a second": (1.25, 10, 1250),
    "hardly less": (9.6, 10, None),
    "hardly more": (10.4, 10, None),
    "just less": (9.4, 10, 9400),
    "just more": (10.6, 10, 10_600),
    "no time at all": (-1, 10, 50),
    "nearly none": (0.01, 10, 50),
}


@pytest.mark.parametrize(("left", "before", "told"), WAITS.values(), ids=WAITS)
def test_sqlites_lock_is_waited_for_until_the_moment_that_was_set(
    monkeypatch: pytest.MonkeyPatch, left: float | None, before: float, told: int | None
) -> None:
    Clock(monkeypatch, step=0)
    options = {"writes": True} | ({} if left is None else {"until": 100.0 + left})
    statements = begun(options, info := {"wait": before})
    waits = [] if told is None else [f"PRAGMA busy_timeout={told}"]
    assert statements == [*waits, "BEGIN IMMEDIATE"]
    assert info["wait"] == pytest.approx(before if told is None else told / 1000)


def test_who_only_reads_takes_no_lock() -> None:
    assert begun({}, {"wait": 3}) == ["BEGIN"]


def test_nobody_writes_to_a_file_that_is_marked_as_damaged(path: str) -> None:
    Path(path).touch()
    file = SQLiteFile(path)
    file.identity = (0, 0)
    Path(file.mark).touch()
    refused: list[str] = []
    file.refuse_if_marked = lambda: refused.append(path)  # type: ignore[method-assign]
    assert begun({"writes": True}, {"wait": 10}, file) == ["BEGIN IMMEDIATE"]
    assert refused == [path]
    assert begun({}, {"wait": 10}, file) == ["BEGIN"]
    Path(file.mark).unlink()
    assert begun({"writes": True}, {"wait": 10}, file) == ["BEGIN IMMEDIATE"]
    assert refused == [path]


def begun(
    options: dict[str, Any], info: dict[str, float], file: SQLiteFile | None = None
) -> list[str]:
    """Begin a transaction; return the statements of which it takes."""
    statements: list[str] = []
    connection: Any = SimpleNamespace(
        get_execution_options=lambda: options, info=info, exec_driver_sql=statements.append
    )
    turns.begin(file or SQLiteFile("none"), connection)
    return statements
