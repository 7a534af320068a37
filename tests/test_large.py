"""Large bodies take turns; a single record never waits, and who waits too long is told so."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Http, Portal
from flask import Flask

import large
from engine.problems import ServiceBusy
from large import Large, Room
from weight import FLOOR

PATIENT = b'{"patientNo": "P-1", "name": "Ali Hassan"}'
SIZE = 2000  # what is large here


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch, sqlite_app: Flask) -> Iterator[Large]:
    """The turns of a service that takes one body of more than SIZE bytes at once, and lets nobody wait."""
    monkeypatch.setattr(large, "SMALL", SIZE)
    monkeypatch.setattr(large, "PLACES", 2)
    monkeypatch.setattr(large, "PATIENCE", 0)
    mine, kept = Large(FLOOR), []

    def turn() -> large.Turn:
        kept.append(Large.turn(mine))  # else it would end with its request anyhow
        return kept[-1]

    monkeypatch.setattr(mine, "turn", turn)
    monkeypatch.setitem(sqlite_app.extensions, "large", mine)
    yield mine


def fits(room: Room, size: int) -> bool:
    """Return whether there is room for so many at once."""
    try:
        with room.take(size, 0):
            return True
    except ServiceBusy:
        return False


def is_free(turns: Large) -> bool:
    """Return whether nobody holds a place or room."""
    return fits(turns._places, 2) and fits(turns._room, FLOOR)


def working(turns: Large) -> large.Turn:
    """Return the turn of a large body that is worked on."""
    turn = turns.turn()
    turn.receive(SIZE + 1)
    turn.work(SIZE + 1)
    return turn


def test_a_large_body_that_waits_too_long_is_a_503(
    http: Http, sqlite_portal: Portal, turns: Large
) -> None:
    turn = working(turns)
    busy = http.post("/patients", (b"[%s]" % PATIENT).ljust(SIZE + 1))
    assert (busy.status_code, busy.get_json()["code"]) == (503, "service_busy")
    assert busy.headers["Retry-After"] == "0"
    assert sqlite_portal.count("patient") == sqlite_portal.count("sync_run") == 0
    turn.end()
    assert http.post("/patients", (b"[%s]" % PATIENT).ljust(SIZE + 1)).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/patient", PATIENT, 201),
        ("/patient", PATIENT.ljust(SIZE), 201),
        ("/patients", (b"[%s]" % PATIENT).ljust(SIZE), 200),
        ("/sync", b'{"patients": [%s]}' % PATIENT, 200),
        ("/patient", b"{", 400),
    ],
)
def test_a_small_body_waits_for_nobody(
    *, http: Http, turns: Large, path: str, body: bytes, status: int
) -> None:
    first, second = working(turns), turns.turn()
    second.receive(SIZE + 1)
    assert http.post(path, body).status_code == status
    first.end()
    second.end()


def test_no_more_than_so_many_large_bodies_are_read_at_once(
    http: Http, turns: Large
) -> None:
    arriving = [turns.turn(), turns.turn()]
    for turn in arriving:
        turn.receive(SIZE + 1)
    busy = http.post("/patients", b"[".ljust(SIZE + 1))
    assert (busy.status_code, busy.get_json()["code"]) == (503, "service_busy")
    arriving[0].end()
    assert http.post("/patients", b"[".ljust(SIZE + 1)).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/patients", b"[%s]" % PATIENT, 200),
        ("/patient", PATIENT, 201),
        ("/patient", b"[]", 400),
        ("/patients", b"[", 400),
        ("/patients", b'["\xff"]', 400),
        ("/patient", b"{}", 422),
        ("/sync", b'{"people": []}', 400),
    ],
)
@pytest.mark.parametrize("again", range(3))
def test_whatever_becomes_of_a_large_body_its_room_is_given_back(
    *, http: Http, turns: Large, path: str, body: bytes, status: int, again: int
) -> None:
    assert http.post(path, body.ljust(SIZE * 50)).status_code == status
    assert is_free(turns)


def test_the_room_of_a_body_that_is_too_large_is_given_back(
    http: Http, turns: Large, sqlite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sqlite_app.config, "MAX_CONTENT_LENGTH", SIZE + 2)
    chunked: Any = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    chunked["HTTP_TRANSFER_ENCODING"] = "chunked"
    told = http.client.post(
        "/api/healthcare/patients",
        data=b"[".ljust(SIZE * 2),
        headers={"X-API-Key": "a-key-for-the-tests-only"},
        content_type="application/json",
        environ_overrides=chunked,
    )
    assert told.status_code == 413
    assert is_free(turns)


def test_there_is_room_for_one_body_of_the_limit_or_some_smaller_ones() -> None:
    turns = Large(4 * FLOOR)
    room = turns._room
    with room.take(FLOOR, 0), room.take(3 * FLOOR, 0):
        assert not fits(room, 1)
    assert fits(room, 4 * FLOOR)


def test_a_body_of_the_limit_fits_however_small_or_large_the_limit_is() -> None:
    for most in (1, large.SMALL + 1, FLOOR, FLOOR + 1, 10 * FLOOR):
        turn = Large(most).turn()
        turn.receive(most)
        turn.work(most)
        turn.end()


def test_who_comes_first_gets_in_first() -> None:
    """A small one does not pass a large one that waits: else that could wait for ever."""
    room = Room(10)
    done: list[str] = []

    def come(name: str, size: int, line: int) -> threading.Thread:
        def wait() -> None:
            with room.take(size, 60):
                done.append(name)

        thread = threading.Thread(target=wait)
        thread.start()
        while len(room._line) < line and not done:
            time.sleep(0.001)
        return thread

    with room.take(5, 0):
        threads = [come("large", 10, 1), come("small", 1, 2), come("other", 1, 3)]
        assert done == []
    for thread in threads:
        thread.join()
    assert done[0] == "large"
    assert sorted(done) == ["large", "other", "small"]


def test_who_gave_up_waiting_is_no_longer_in_the_line() -> None:
    room = Room(1)
    with room.take(1, 0):
        assert not fits(room, 1)
    assert fits(room, 1)
