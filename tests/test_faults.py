"""Faults: an error at any statement, or at COMMIT, leaves what an undisturbed run leaves, or is a clean 503."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Http, Portal, emptied
from flask import Flask
from test_outages import DriverError
from test_sequence import state

from engine import database, outages
from models import db

# One code of a server stands for the others of its kind: test_database says what each means.
RACES = {"sqlite": ["SQLITE_BUSY_SNAPSHOT", "SQLITE_CONSTRAINT_UNIQUE"]}
RACES |= {"postgresql": ["40001", "XX000"], "mysql": [1213]}
OUTAGES = {"sqlite": ["SQLITE_BUSY", "SQLITE_IOERR_FSYNC", "SQLITE_FULL"]}
OUTAGES |= {"postgresql": ["25006"], "mysql": [2013]}

SEED = {
    "clinics": [{"code": "C-1", "name": "Teeth"}],
    "doctors": [{"code": "D-1", "name": "Huda", "clinicCodes": ["C-1"]}],
    "patients": [
        {"patientNo": "P-1", "name": "Ali", "mobile": "0501111111", "nationalID": "N-1"},
        {"patientNo": "P-2", "name": "Sara", "email": "a@clinic.example"},
    ],
}
SYNC = {
    "clinics": [{"code": "C-1", "name": "Teeth and gums"}, {"code": "C-2", "name": "Eyes"}],
    "doctors": [{"code": "D-1", "clinicCodes": ["C-1", "C-2"]}],
    "patients": [
        {"patientNo": "P-3", "name": "Omar"},
        {"patientNo": "P-9", "name": "Ali", "mobile": "0501111111", "nationalID": "N-1"},
        {"patientNo": "P-2", "email": "b@clinic.example"},
        {"patientNo": "P-1", "name": "Somebody else"},
    ],
    "appointments": [
        {
            "patientNo": "P-3",
            "date": "2026-06-15",
            "timeFrom": "10:30",
            "appointmentNo": "A-1",
        },
        {
            "patientNo": "P-8",
            "date": "2026-06-15",
            "timeFrom": "10:30",
            "appointmentNo": "A-2",
        },
    ],
}
REQUESTS = {
    "a new record": ("/patient", {"patientNo": "P-3", "name": "Omar"}, {}),
    "a renumbered one": ("/patient", SYNC["patients"][1], {}),
    "a list": ("/patients", SYNC["patients"], {}),
    "a sync": ("/sync", SYNC, {}),
    "an atomic list": ("/patients", SYNC["patients"][:3], {"atomic": "true"}),
    "a dry run": ("/sync", SYNC, {"dryRun": "true"}),
}


class Fault:
    """An error that is raised once, at the statement with this number; COMMIT is a statement, too."""

    def __init__(self, at: int = -1, error: Exception | None = None):
        self.at, self.error, self.count = at, error, 0

    def reach(self, *_: Any, **__: Any) -> None:
        self.count += 1
        if self.error and self.count - 1 == self.at:
            raise self.error


@contextmanager
def faulty(app: Flask, fault: Fault) -> Iterator[Fault]:
    with app.app_context():
        engine = db.engine
    hooks = [(engine, name, fault.reach) for name in ("before_cursor_execute", "commit")]
    for hook in hooks:
        sa.event.listen(*hook)
    try:
        yield fault
    finally:
        for hook in hooks:
            sa.event.remove(*hook)


@pytest.fixture
def service(any_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Http:
    monkeypatch.setattr(outages, "PAUSE", 0)
    monkeypatch.setattr(database, "LONGEST_PAUSE", 0)
    return Http(any_app.test_client())


def run(http: Http, app: Flask, request: tuple, fault: Fault) -> tuple[int, Any, Any]:
    """Send a request to a database that holds SEED; return status, what became of each record, and what is stored."""
    emptied(app)
    assert http.post("/sync", SEED).json["failed"] == 0
    path, body, query = request
    with faulty(app, fault):
        answer = http.post(path, body, **query)
    return answer.status_code, results(answer.json), state(Portal(app))


def results(answer: Any) -> Any:
    """Return what became of each record, without ids and times."""
    if "results" in answer:
        return [results(it) for it in answer["results"]]
    parts = [answer[name]["results"] for name in SYNC if name in answer]
    if parts:
        return [results(it) for part in parts for it in part]
    return answer.get("status", 200), answer.get("action"), answer.get("changed")


def _error(code: Any) -> Exception:
    return sa.exc.OperationalError("INSERT", {}, DriverError(code))


def kind_of(app: Flask) -> str:
    name = app.config["SQLALCHEMY_DATABASE_URI"].get_backend_name()
    return "mysql" if name == "mariadb" else name


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_lost_race_at_any_statement_changes_nothing(
    service: Http, any_app: Flask, request_: tuple
) -> None:
    undisturbed = Fault()
    expected = run(service, any_app, request_, undisturbed)
    assert undisturbed.count > 3
    for code in RACES[kind_of(any_app)]:
        for at in range(undisturbed.count):
            fault = Fault(at, _error(code))
            assert run(service, any_app, request_, fault) == expected, (code, at)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_an_outage_at_any_statement_is_a_clean_503(
    service: Http, any_app: Flask, request_: tuple
) -> None:
    undisturbed = Fault()
    expected = run(service, any_app, request_, undisturbed)
    emptied(any_app)
    service.post("/sync", SEED)
    seeded = state(Portal(any_app))
    path, body, query = request_
    for code in OUTAGES[kind_of(any_app)]:
        for at in range(undisturbed.count):
            status, told, stored = run(service, any_app, request_, Fault(at, _error(code)))
            if status == 503:
                assert stored == seeded, (code, at)
            elif (status, told, stored) != expected:
                assert status == 207, (code, at)
                assert {it[0] for it in told} >= {503}, (code, at)
            # To send it again is what the answer says.
            again = service.post(path, body, **query)
            assert again.status_code in (200, 201, 207), (code, at)
            assert state(Portal(any_app)) == expected[2], (code, at)
