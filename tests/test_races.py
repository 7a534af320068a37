"""Real concurrency: gunicorn with two workers and threads, many clients, one truth."""

import http.client
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
from conftest import Portal, emptied
from flask import Flask
from live import KEY, Service, not_on_waitress, service
from loads import children

import sync
import upsert
from engine import settle
from engine.index import Index

CLIENTS = 16
ROUNDS = 5

PERSON = {"name": "Ali Hassan", "dateOfBirth": "1990-05-05"}
BOOKING = {"patientNo": "P-0", "date": "2026-06-15", "timeFrom": "10:30"}
BY_KEY = {
    "clinic by code": ("clinic", {"code": "C-1", "name": "Children"}),
    "doctor by code": ("doctor", {"code": "D-1", "name": "Sara"}),
    "doctor by license": ("doctor", {"licenseNumber": "L-1", "name": "Sara"}),
    "patient by number": ("patient", {"patientNo": "P-1"} | PERSON),
    "patient by national id": ("patient", {"nationalID": "N-1"} | PERSON),
    "patient by phone and name": ("patient", {"mobile": "0502222222"} | PERSON),
    "patient by all keys": (
        "patient",
        {"patientNo": "P-1", "nationalID": "N-1", "mobile": "0502222222"} | PERSON,
    ),
    "appointment by number": ("appointment", {"appointmentNo": "A-1"} | BOOKING),
    "appointment by slot": ("appointment", BOOKING),
}


@pytest.fixture(scope="module")
def live(any_app: Flask, database_url: str) -> Iterator[Service]:
    with service(database_url) as running:
        yield running


@pytest.mark.parametrize("case", BY_KEY)
def test_sixteen_clients_with_one_new_record_store_one(
    live: Service, any_app: Flask, case: str
) -> None:
    entity, record = BY_KEY[case]
    for _ in range(ROUNDS):
        portal = Portal(emptied(any_app))
        if entity == "appointment":
            portal.send("patient", patientNo="P-0", name="Omar")
        before = portal.count(entity)
        told = live.at_once([(f"/{entity}", record)] * CLIENTS)
        assert Counter(status for status, _ in told) == {201: 1, 200: CLIENTS - 1}, told
        assert Counter(answer["action"] for _, answer in told) == {
            "created": 1,
            "unchanged": CLIENTS - 1,
        }
        assert len({answer["id"] for _, answer in told}) == 1
        assert portal.count(entity) == before + 1


def test_two_bulks_with_the_same_people_in_opposite_order_double_nobody(
    live: Service, any_app: Flask
) -> None:
    people = [
        {
            "patientNo": f"P-{i}",
            "nationalID": f"N-{i}",
            "mobile": f"05{i:08}",
            "name": f"Person {i}",
        }
        for i in range(1500)
    ]
    for email in ("first@clinic.example", "second@clinic.example"):
        portal = Portal(any_app) if email.startswith("second") else Portal(emptied(any_app))
        changed = [person | {"email": email} for person in people]
        told = live.at_once([("/patients", changed), ("/patients", changed[::-1])])
        assert [status for status, _ in told] == [200, 200], [
            answer["results"][:3] for _, answer in told
        ]
        assert portal.count("patient") == len(people)
        assert {row["email"] for row in portal.stored("patient")} == {email}


def test_two_clients_who_take_a_number_in_turn_leave_it_with_one(
    live: Service, any_app: Flask
) -> None:
    for _ in range(ROUNDS):
        portal = Portal(emptied(any_app))
        for i in range(8):
            portal.send(
                "patient", nationalID=f"N-{i}", name=f"Person {i}", patientNo=f"P-{i}"
            )
        wishes = [
            (
                "/patient",
                {"nationalID": f"N-{i}", "name": f"Person {i}", "patientNo": "P-X"},
            )
            for i in range(8)
        ]
        told = live.at_once(wishes)
        assert Counter(status for status, _ in told) == {200: 1, 409: 7}
        assert [row["patient_no"] for row in portal.stored("patient")].count("P-X") == 1


def test_single_records_pass_while_a_bulk_runs(live: Service, any_app: Flask) -> None:
    portal = Portal(emptied(any_app))
    people = [{"patientNo": f"B-{i}", "name": f"Person {i}"} for i in range(5000)]
    singles = [
        ("/patient", {"patientNo": f"S-{i}", "name": f"Single {i}"}) for i in range(CLIENTS)
    ]
    told = live.at_once([("/patients", people), *singles])
    assert [status for status, _ in told] == [200] + [201] * CLIENTS
    assert portal.count("patient") == len(people) + CLIENTS


def decide_while(
    portal: Portal, keep: int, drop: int, meanwhile: Callable[[], Any]
) -> None:
    """Merge two patients; after both are read, and before anything is written, let somebody else work."""
    other = threading.Thread(target=meanwhile)

    def work(index: Index) -> None:
        records = [index.of("patient").get(record_id) for record_id in (keep, drop)]
        if other.ident is None:
            other.start()
            other.join(1)  # on SQLite it waits for us, elsewhere it is faster than we are
        if all(records):
            upsert.merge(upsert.PATIENT, *records, index)

    with portal.app.app_context():
        sync.decide(work, "patient", None)
    other.join()


def test_a_merge_loses_no_update_that_comes_between(portal: Portal) -> None:
    keep = portal.send("patient", patientNo="K-1", name="Ali Hassan")["id"]
    drop = portal.send("patient", patientNo="D-1", nationalID="N-1", name="Ali Hassan")[
        "id"
    ]
    update = {
        "nationalID": "N-1",
        "patientNo": "D-2",
        "name": "Ali Hassan",
        "email": "new@clinic.example",
    }
    told = []
    decide_while(portal, keep, drop, lambda: told.append(portal.send("patient", update)))
    assert told[0]["action"] == "updated"
    (patient,) = portal.stored("patient")
    assert (patient["national_id"], patient["email"]) == ("N-1", "new@clinic.example")
    for number in ("K-1", "D-1", "D-2"):
        booked = portal.send(
            "appointment", patientNo=number, date="2026-06-15", timeFrom="10:30"
        )
        assert booked["data"]["patientId"] == patient["id"]


def test_two_overlapping_merges_leave_no_number_without_a_record(portal: Portal) -> None:
    ids = [
        portal.send("patient", patientNo=number, name="Ali Hassan")["id"]
        for number in ("Z-1", "K-1", "D-1")
    ]
    last, keep, drop = ids
    decide_while(
        portal,
        keep,
        drop,
        lambda: portal.command("merge", "patient", str(last), str(keep), "--yes"),
    )
    left = {row["id"] for row in portal.stored("patient")}
    assert {row["record_id"] for row in portal.stored("former_key")} <= left
    assert last in left
    for number in ("Z-1", "K-1", "D-1"):
        told = portal.send("patient", patientNo=number, name="Ali Hassan")
        assert told["success"], told


def test_a_holder_of_a_shared_phone_who_leaves_lets_no_double_in(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"name": "Ali Hassan", "mobile": "0502222222"}
    for number, born in (("X", "1960-01-01"), ("Y", "1990-01-01")):
        portal.send("patient", shared, patientNo=number, dateOfBirth=born)
    new = shared | {"dateOfBirth": "2001-01-01"}

    def meanwhile() -> None:
        portal.send("patient", patientNo="X", mobile="0555555555")
        portal.send("patient", new)

    other, write = threading.Thread(target=meanwhile), settle.write

    def write_later(index: Index, now: str, *plain: Any) -> None:
        if other.ident is None:
            other.start()
            other.join(1)  # on SQLite it waits for us, elsewhere it is faster than we are
        write(index, now, *plain)

    monkeypatch.setattr(settle, "write", write_later)
    told = portal.send("patient", new)
    other.join()
    assert told["success"]
    assert [row["date_of_birth"] for row in portal.stored("patient")].count(
        "2001-01-01"
    ) == 1
    assert portal.count("patient") == 3


def test_a_broken_chunk_is_a_bad_request_and_the_service_goes_on(live: Service) -> None:
    head = "POST /api/healthcare/patients HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"X-API-Key: {KEY}\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n[]\r\n0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert b" 400 " in connection.recv(65536).split(b"\r\n")[0]
    assert live.post("/patients", [])[0] == 200


@not_on_waitress
def test_a_stranger_cannot_write_lines_into_the_access_log(
    database_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    with service(
        database_url, "--access-logfile", str(log), WEB_CONCURRENCY="1"
    ) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port)
        connection.request("GET", "/x%0aFORGED%1b[31m?patientNo=P-1")
        connection.getresponse().read()
        connection.close()
        running.post("/patient", {"patientNo": "P-SECRET", "name": "Somebody"})
    lines = log.read_text().splitlines()
    assert [line for line in lines if line.startswith("FORGED")] == []
    assert any("/x%0AFORGED" in line for line in lines)
    assert [line for line in lines if KEY in line or "P-" in line] == []
    told = [line.split()[3] for line in lines if "/patient" in line and "/x" not in line]
    assert told == ["live"]  # the key's name


@not_on_waitress
def test_what_was_answered_survives_a_kill(any_app: Flask, database_url: str) -> None:
    portal = Portal(emptied(any_app))
    stored = []
    for round_ in range(3):
        with service(database_url, WEB_CONCURRENCY="1") as running:
            for i in range(20):
                status, answer = running.post(
                    "/patient", {"patientNo": f"K-{round_}-{i}", "name": "Somebody"}
                )
                assert status == 201
                stored.append(answer["key"])
            (worker,) = children(running.process.pid)
            os.kill(worker, signal.SIGKILL)
    assert [row["patient_no"] for row in portal.stored("patient")] == stored


@not_on_waitress
def test_a_killed_atomic_bulk_leaves_nothing(any_app: Flask, database_url: str) -> None:
    portal = Portal(emptied(any_app))
    people = [{"patientNo": f"P-{i}", "name": f"Person {i}"} for i in range(100_000)]
    with service(database_url, WEB_CONCURRENCY="1") as running:
        (worker,) = children(running.process.pid)
        killer = threading.Timer(1, os.kill, (worker, signal.SIGKILL))
        killer.start()
        with pytest.raises((OSError, http.client.HTTPException)):
            running.post("/patients?atomic=true", people)
        killer.join()
        # A worker that is just starting misses SIGTERM.
        servers.wait_until(running.answers, running.process)
    assert portal.count("patient") == 0


def test_a_number_that_becomes_a_former_one_meanwhile_makes_no_second_patient(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between matching and writing others create the patient and renumber it; where writers take turns, they wait."""
    write, others = settle.write, []
    sara = {"nationalID": "1000000001", "name": "Sara Ali"}

    def create_and_renumber() -> None:
        for number in ("P-5", "P-6"):
            portal.send("patient", sara | {"patientNo": number})

    def write_later(*args: Any) -> None:
        monkeypatch.setattr(settle, "write", write)
        others.append(threading.Thread(target=create_and_renumber))
        others[0].start()
        others[0].join(1)
        write(*args)

    monkeypatch.setattr(settle, "write", write_later)
    told = portal.send("patient", patientNo="P-5", name="Sara Ali")
    others[0].join()
    assert told["action"] in ("created", "unchanged")
    assert [patient["patient_no"] for patient in portal.stored("patient")] == ["P-6"]
    assert [(it["value"], it["record_id"]) for it in portal.stored("former_key")] == [
        ("P-5", told["id"])
    ]
