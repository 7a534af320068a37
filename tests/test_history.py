"""The sync history: what was sent, by whom, and what became of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import API, KEY, Http, Portal, emptied
from flask import Flask

import history
import sync
from models import SyncRun, db, instant

ALI = {"patientNo": "P-1", "name": "Ali"}
SARA = {"patientNo": "P-2", "nationalID": "N-2", "name": "Sara"}


@pytest.fixture
def http(any_app: Flask) -> Http:
    return Http(emptied(any_app).test_client())


def rows(http: Http, **query: Any) -> list[dict[str, Any]]:
    answer = http.client.get(f"{API}/syncs", headers={"X-API-Key": KEY}, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json["data"]


def counts(row: dict[str, Any]) -> list[int]:
    return [row[name] for name in ("total", "created", "updated", "unchanged", "failed")]


def test_a_list_leaves_one_row_that_says_who_sent_what(http: Http) -> None:
    http.post(
        "/patients", [ALI, SARA, {"name": "Nobody"}], headers={"X-Request-Id": "night-1"}
    )
    (row,) = rows(http)
    assert counts(row) == [3, 2, 0, 0, 1]
    told = {
        name: row[name] for name in ("requestId", "keyName", "entity", "path", "dryRun")
    }
    assert told == {
        "requestId": "night-1",
        "keyName": "tests",
        "entity": "patients",
        "path": f"{API}/patients",
        "dryRun": False,
    }
    (failure,) = row["failures"]
    assert failure.keys() == {"index", "key", "status", "code", "errors"}
    assert (failure["index"], failure["status"], list(failure["errors"])) == (
        2,
        422,
        ["patientNo"],
    )
    assert datetime.fromisoformat(row["at"]) <= datetime.now(UTC)
    assert row["durationMs"] >= 0
    assert KEY not in str(row)


def test_a_sync_leaves_a_row_for_each_entity_that_was_sent(http: Http) -> None:
    http.post(
        "/sync",
        {
            "clinics": [],
            "patients": [ALI],
            "appointments": [{"patientNo": "P-9"}],
            "doctors": None,
        },
    )
    assert [(row["entity"], counts(row)) for row in rows(http)] == [
        ("appointments", [1, 0, 0, 0, 1]),
        ("patients", [1, 1, 0, 0, 0]),
        ("clinics", [0, 0, 0, 0, 0]),
    ]


def test_single_records_leave_rows_refused_ones_too(http: Http) -> None:
    for record in (
        ALI,
        ALI,
        ALI | {"email": "a@b.example"},
        {},
        SARA,
        ALI | {"nationalID": "N-2"},
    ):
        http.post("/patient", record)
    assert [
        (counts(row), [it["code"] for it in row["failures"]]) for row in rows(http)
    ] == [
        ([1, 0, 0, 0, 1], ["identity_conflict"]),
        ([1, 1, 0, 0, 0], []),
        ([1, 0, 0, 0, 1], ["validation_failed"]),
        ([1, 0, 1, 0, 0], []),
        ([1, 0, 0, 1, 0], []),
        ([1, 1, 0, 0, 0], []),
    ]
    ids = [
        it["id"]
        for it in http.client.get(f"{API}/patients", headers={"X-API-Key": KEY}).json[
            "data"
        ]
    ]
    assert [it["id"] for it in rows(http)[0]["failures"][0]["candidates"]] == ids


def test_a_dry_run_leaves_nothing_but_its_row(http: Http) -> None:
    http.post("/patients", [ALI], dryRun="true")
    http.post("/patient", ALI, dryRun="true")
    http.post("/patients", [ALI, {}], dryRun="true", atomic="true")
    assert [(row["dryRun"], counts(row)) for row in rows(http)] == [
        (True, [2, 0, 0, 0, 1]),
        (True, [1, 1, 0, 0, 0]),
        (True, [1, 1, 0, 0, 0]),
    ]
    assert Portal(http.client.application).count("patient") == 0


def test_a_rolled_back_request_counts_nothing_as_stored(http: Http) -> None:
    http.post("/patients", [ALI, SARA, ALI | {"nationalID": "N-2"}], atomic="true")
    http.post("/patients", [ALI, SARA], atomic="true")
    assert [counts(row) for row in rows(http)] == [[2, 2, 0, 0, 0], [3, 0, 0, 0, 1]]


def test_what_is_no_record_leaves_no_row(http: Http) -> None:
    for path, body in (
        ("/patient", []),
        ("/patients", {}),
        ("/sync", {"people": []}),
        ("/patients", b"["),
    ):
        assert http.post(path, body).status_code == 400
    assert rows(http) == []


def test_the_first_thousand_failures_are_kept(http: Http) -> None:
    http.post("/patients", [{"name": f"Nobody {i}"} for i in range(1100)])
    (row,) = rows(http)
    assert row["failed"] == 1100
    assert [it["index"] for it in row["failures"]] == list(range(1000))
    assert row["failuresLeftOut"] == row["failed"] - 1000 > 0


WRONG = dict.fromkeys(("email", "gender", "dateOfBirth", "name", "phone"), "x" * 201)


def test_a_row_is_bounded_in_bytes_and_says_what_it_leaves_out(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert history.ROW_BYTES < 1 << 20  # what the least server takes at once
    monkeypatch.setattr(history, "ROW_BYTES", 50_000)
    wrong = [WRONG | {"patientNo": "\u0645" * 60 + str(i)} for i in range(500)]
    good = [{"patientNo": f"P-{i}", "name": "Somebody"} for i in range(10)]
    answer = http.post("/patients", [*good, *wrong]).json
    assert (answer["created"], answer["failed"]) == (10, 500)
    (row,) = rows(http)
    assert counts(row) == [510, 10, 0, 0, 500]
    kept = row["failures"]
    assert [it["index"] for it in kept] == list(range(10, 10 + len(kept)))
    assert row["failuresLeftOut"] == 500 - len(kept) > 0
    assert 45_000 < len(json.dumps(kept)) <= 50_000


def test_a_page_is_bounded_in_bytes(http: Http, any_app: Flask) -> None:
    at = instant(datetime.now(UTC))
    numbers = dict.fromkeys(("total", "failed"), 1) | dict.fromkeys(
        ("created", "updated", "unchanged", "dry_run", "duration_ms"), 0
    )
    names = dict.fromkeys(("request_id", "key_name", "entity", "path"), "x")
    failures = json.dumps([{"index": 0, "key": "x" * 900_000}])
    row = numbers | names | {"at": at, "failures": failures, "dry_run": False}
    with any_app.app_context(), db.engine.begin() as connection:
        for _ in range(12):
            connection.execute(sa.insert(SyncRun), row)
    found, pages, query = [], [], {"limit": "1000"}
    while query:
        answer = http.client.get(
            f"{API}/syncs", headers={"X-API-Key": KEY}, query_string=query
        ).json
        pages.append(len(answer["data"]))
        found += [it["id"] for it in answer["data"]]
        query = {"limit": "1000", "after": answer["next"]} if answer["next"] else {}
    assert pages == [5, 5, 2]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 12


def test_a_bulk_of_several_chunks_leaves_one_row(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "CHUNK", 2)
    http.post(
        "/patients", [{"patientNo": f"P-{i}", "name": "Somebody"} for i in range(4)] + [{}]
    )
    (row,) = rows(http)
    assert counts(row) == [5, 4, 0, 0, 1]
    http.post(
        "/patients", [{}, *({"patientNo": f"P-{i}", "name": "Somebody"} for i in range(4))]
    )
    assert counts(rows(http)[0]) == [5, 0, 0, 4, 1]
    assert rows(http)[0]["failures"][0]["index"] == 0


def test_the_newest_come_first_page_by_page(http: Http) -> None:
    for i in range(5):
        http.post("/patients", [], headers={"X-Request-Id": f"r{i}"})
    seen, query = [], {"limit": 2}
    while query:
        answer = http.client.get(
            f"{API}/syncs", headers={"X-API-Key": KEY}, query_string=query
        ).json
        seen += [row["requestId"] for row in answer["data"]]
        query = answer["next"] and {"limit": 2, "after": answer["next"]}
    assert seen == ["r4", "r3", "r2", "r1", "r0"]
    for wrong in ({"after": "x"}, {"limit": "0"}, {"colour": "red"}):
        answer = http.client.get(
            f"{API}/syncs", headers={"X-API-Key": KEY}, query_string=wrong
        )
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_parameter")


def test_a_single_record_and_its_row_are_one_commit(http: Http) -> None:
    commits = []

    def note(connection: sa.Connection) -> None:
        commits.append(connection)

    with http.client.application.app_context():
        engine = db.engine
    sa.event.listen(engine, "commit", note)
    http.post("/patient", ALI)
    sa.event.remove(engine, "commit", note)
    assert len(commits) == 1


def test_old_rows_are_removed_a_few_at_a_time(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        http.post("/patients", [])
    ids = [row["id"] for row in reversed(rows(http))]
    date(http, dict.fromkeys(ids[:3], days_ago(92)) | {ids[3]: days_ago(2)})
    monkeypatch.setattr(history, "PRUNED_AT_ONCE", 2)
    monkeypatch.setattr(history, "PRUNING", 0)
    http.post("/patients", [])
    assert len(rows(http)) == 6
    monkeypatch.setattr(history, "PRUNING", 1)
    http.post("/patients", [])
    assert [row["id"] for row in rows(http)][-3:] == [ids[4], ids[3], ids[2]]
    http.post("/patients", [])
    assert [row["id"] for row in rows(http)][-2:] == [ids[4], ids[3]]


@pytest.mark.parametrize("ahead", [2, 80, 200, 3650])  # days
def test_a_clock_that_jumped_ahead_has_a_day_to_be_set_right(
    http: Http, ahead: int
) -> None:
    for _ in range(4):
        http.post("/patients", [])
    ids = [row["id"] for row in reversed(rows(http))]
    date(http, {ids[0]: days_ago(88), ids[1]: days_ago(1), ids[2]: days_ago(0)})
    date(http, {ids[3]: days_ago(-ahead)})
    prune(http, datetime.now(UTC) + timedelta(days=ahead, hours=23))
    assert len(rows(http)) == 4
    prune(http, datetime.now(UTC) + timedelta(days=ahead, hours=25))
    assert ids[0] not in [row["id"] for row in rows(http)]


@pytest.mark.parametrize("back", [1, 89, 91, 9000])  # days
def test_a_clock_that_jumped_back_removes_nothing(http: Http, back: int) -> None:
    for _ in range(3):
        http.post("/patients", [])
    ids = [row["id"] for row in reversed(rows(http))]
    date(http, {ids[0]: days_ago(89), ids[1]: days_ago(2)})
    prune(http, datetime.now(UTC) - timedelta(days=back))
    assert len(rows(http)) == 3


def days_ago(days: int) -> str:
    return instant(datetime.now(UTC) - timedelta(days=days))


def date(http: Http, dates: dict[int, str]) -> None:
    """Let rows be of other instants."""
    for run, at in dates.items():
        write(http, sa.update(SyncRun).where(SyncRun.id == run).values(at=at))


def write(http: Http, statement: Any) -> None:
    with http.client.application.app_context():
        sync.transact(lambda connection: connection.execute(statement))


def prune(http: Http, now: datetime) -> None:
    with http.client.application.app_context():
        sync.transact(lambda connection: history.prune(connection, now, keep_days=90))


def test_a_decision_is_noted(http: Http) -> None:
    portal = Portal(http.client.application)
    keep, drop = (portal.send("patient", record)["id"] for record in (ALI, SARA))
    portal.command("merge", "patient", str(keep), str(drop), "--yes")
    portal.command("retire", "patient", str(keep), "--yes")
    assert [
        (row["keyName"], row["entity"], row["path"], row["updated"]) for row in rows(http)
    ] == [
        ("command", "patients", f"flask retire patient {keep}", 1),
        ("command", "patients", f"flask merge patient {keep} {drop}", 1),
    ]


def test_the_history_needs_the_key(http: Http) -> None:
    assert http.client.get(f"{API}/syncs").status_code == 401


def test_a_history_that_cannot_be_written_takes_no_record_of_a_list_along(
    any_app: Flask, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise sa.exc.DataError("INSERT INTO sync_run", {}, Exception("no room"))

    monkeypatch.setattr(history, "write", fail)
    answer = http.post(
        "/patients", [{"patientNo": f"P-{i}", "name": "Sara Ali"} for i in range(3)]
    ).get_json()
    assert (answer["created"], answer["failed"]) == (3, 0)
    assert Portal(any_app).count("patient") == 3
