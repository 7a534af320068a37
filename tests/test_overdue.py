"""Overdue syncs: any monitor can tell that lists stopped coming, and a stranger learns no more than a time."""

from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import API, KEY, Http, Portal, emptied
from flask import Flask
from test_failures import refused
from werkzeug.test import TestResponse

import overdue
from engine import database
from models import SyncRun, db, instant

ALI = {"patientNo": "P-1", "name": "Ali"}
USUAL = dict.fromkeys(("total", "created", "updated", "unchanged", "failed"), 0)
USUAL |= {"duration_ms": 0, "request_id": "r", "entity": "patients", "failures": "[]"}


@pytest.fixture
def app(any_app: Flask) -> Flask:
    return emptied(any_app)


@pytest.fixture
def http(app: Flask) -> Http:
    return Http(app.test_client())


def ago(**span: float) -> str:
    return instant(datetime.now(UTC) - timedelta(**span))


def note(app: Flask, *rows: dict[str, Any]) -> None:
    """Put rows into the history; a list of the key `tests` where a row says nothing else."""
    usual = USUAL | {"key_name": "tests", "path": f"{API}/patients", "dry_run": False}
    with (
        app.app_context(),
        db.engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        connection.execute(sa.insert(SyncRun), [usual | row for row in rows])


def asked(http: Http, **query: Any) -> TestResponse:
    return http.client.get("/healthz", query_string=query)


def status(http: Http, **query: Any) -> int:
    return asked(http, **query).status_code


# --- What counts -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/clinics", "/doctors", "/patients", "/appointments"])
def test_a_list_is_a_sync_though_it_be_empty(http: Http, path: str) -> None:
    assert status(http, within="26h") == 503
    http.post(path, [])
    assert status(http, within="26h") == 200
    assert status(http, within="1m", key="tests") == 200


def test_all_lists_at_once_are_a_sync(http: Http) -> None:
    http.post("/sync", {"patients": [ALI]})
    assert status(http, within="26h", key="tests") == 200


def test_a_list_of_which_all_is_refused_came_nevertheless(http: Http) -> None:
    http.post("/patients", [{}])
    assert status(http, within="26h") == 200


def test_single_records_dry_runs_and_commands_are_none(http: Http, app: Flask) -> None:
    http.post("/patient", ALI)
    http.post("/patient", {})
    http.post("/patients", [ALI], dryRun="true")
    (patient,) = Portal(app).stored("patient")
    Portal(app).command("retire", "patient", str(patient["id"]), "--yes")
    assert Portal(app).count("sync_run") == 4
    for query in ({}, {"key": "tests"}, {"key": "command"}):
        assert status(http, within="26h", **query) == 503


def test_a_list_that_is_imported_is_a_sync(http: Http, app: Flask) -> None:
    note(app, {"at": ago(hours=1), "key_name": "command", "path": "flask import patients"})
    assert status(http, within="26h") == 200
    assert status(http, within="26h", key="command") == 200
    assert status(http, within="26h", key="tests") == 503


def test_each_key_has_its_own_last_sync(http: Http, app: Flask) -> None:
    note(app, {"at": ago(hours=30)}, {"at": ago(hours=1), "key_name": "عيادة"})
    assert status(http, within="26h") == 200
    assert status(http, within="26h", key="عيادة") == 200
    assert status(http, within="26h", key="tests") == 503
    assert status(http, within="31h", key="tests") == 200
    assert (
        status(http, within="26h", key="Tests") == 503
    )  # names are compared to the letter


@pytest.mark.parametrize(
    ("within", "age"),
    [
        ("90m", {"minutes": 90}),
        ("26h", {"hours": 26}),
        ("2d", {"days": 2}),
        ("9999d", {"days": 9999}),
    ],
)
def test_minutes_hours_and_days(http: Http, app: Flask, within: str, age: Any) -> None:
    span = timedelta(**age)
    note(app, {"at": ago(seconds=span.total_seconds() + 5)})
    assert status(http, within=within) == 503
    note(app, {"at": ago(seconds=span.total_seconds() - 50)})
    assert status(http, within=within) == 200


def test_a_row_that_a_clock_dated_in_the_future_keeps_no_monitor_quiet(
    http: Http, app: Flask
) -> None:
    note(app, {"at": ago(hours=30)}, {"at": ago(days=-3650)})
    assert status(http, within="26h") == 503
    assert status(http, within="31h") == 200


# --- What is answered --------------------------------------------------------------------------


def test_it_is_told_when_the_last_sync_was(http: Http, app: Flask) -> None:
    at = ago(hours=38, minutes=5)
    note(app, {"at": ago(days=9)}, {"at": at})
    for query in ({}, {"key": "tests"}):
        answer = refused(asked(http, within="26h", **query), 503, "sync_overdue")
        told = f"{at.replace(' ', 'T')}Z, 38 hours ago; within 26 hours"
        assert told in answer["detail"]


def test_a_key_that_never_synced_cannot_be_told_from_one_that_is_not_there(
    http: Http, app: Flask
) -> None:
    http.post("/patient", ALI, headers={"X-API-Key": f"{KEY}-2"})
    names = ("second", "nobody", "secon", "x" * 300, "é\n'\"")
    answers = [asked(http, within="26h", key=name) for name in names]
    assert {answer.status_code for answer in answers} == {503}
    assert len({answer.get_data() for answer in answers}) == 1
    assert "second" not in answers[0].text


def test_an_unknown_name_costs_the_same_work(http: Http, app: Flask) -> None:
    note(app, {"at": ago(hours=1)})
    statements: list[list[str]] = []

    def write_down(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements[-1].append(statement)

    with app.app_context():
        sa.event.listen(db.engine, "before_cursor_execute", write_down)
        for name in ("tests", "second", "nobody"):
            statements.append([])
            asked(http, within="26h", key=name)
        sa.event.remove(db.engine, "before_cursor_execute", write_down)
    known, *others = [[it for it in each if "sync_run" in it] for each in statements]
    assert others == [known, known]
    assert len(known) == 1


def test_a_key_alone_means_a_night(http: Http, app: Flask) -> None:
    note(app, {"at": ago(hours=25)}, {"at": ago(hours=27), "key_name": "second"})
    assert (status(http, key="tests"), status(http, key="second")) == (200, 503)


SPANS = ["", " ", "26", "h", "26H", "1w", "-1h", "+1h", "1.5h", "0h", "026h", "10000d"]


@pytest.mark.parametrize("within", [*SPANS, "٢٦h", "26h ", "26h\n", "1h30m", "P1D"])
def test_a_time_that_is_none_is_told(http: Http, within: str) -> None:
    answer = refused(asked(http, within=within), 400, "invalid_parameter")
    assert "within" in answer["detail"]


@pytest.mark.parametrize(
    "query",
    ["within=1h&within=2h", "within=1h&key=", "whithin=26h", "within=26h&Key=tests"],
)
def test_a_misspelt_question_is_no_silent_yes(http: Http, query: str) -> None:
    refused(http.client.get(f"/healthz?{query}"), 400, "invalid_parameter")


def test_without_a_question_nobody_looks_at_the_history(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "last_lists", None)
    assert status(http) == 200


def test_a_history_that_takes_long_to_read_is_not_waited_for(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask, one reads."""
    calls, over = [], Event()

    def read_slowly(*_: Any) -> None:
        calls.append(1)
        over.wait(60)

    monkeypatch.setattr(database, "HEALTH_SECONDS", 0.05)
    monkeypatch.setattr(overdue, "last_lists", read_slowly)
    assert [status(http, within="26h", key=f"k{i}") for i in range(5)] == [503] * 5
    over.set()
    assert len(calls) == 1


def test_a_database_that_is_unfit_is_told_first(
    http: Http, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(app, {"at": ago(hours=1)})
    with app.app_context():
        monkeypatch.setattr(database.watch_of(db.engine), "revision", "9999")
    answer = refused(asked(http, within="26h"), 503, "database_unavailable")
    assert "older" in answer["detail"]


WORDS = {0: "0 minutes", 1: "1 minute", 119: "119 minutes", 120: "2 hours"}
WORDS |= {26 * 60: "26 hours", 48 * 60 - 1: "47 hours", 48 * 60: "2 days"}


@pytest.mark.parametrize(("minutes", "words"), WORDS.items())
def test_spans_in_words(minutes: int, words: str) -> None:
    assert overdue.words(timedelta(minutes=minutes)) == words
