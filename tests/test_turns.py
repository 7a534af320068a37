"""Writers take turns: nobody overtakes for ever, nobody waits for ever, and the dead hold nothing."""

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Portal

import sync
from engine import database, settle, turns
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
