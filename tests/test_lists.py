"""Lists and /sync: what became of each record, and what fails alone."""

import re
import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Http, Portal
from test_answers import BAD_EMAIL, PATHS, PATIENT, faces, fine, nothing_stored, told

import sync
from engine import database, settle
from engine.index import Index

# --- Many --------------------------------------------------------------------------------------


def test_many_with_some_failed_is_a_207_with_an_item_for_each(
    http: Http, sqlite_portal: Portal
) -> None:
    old = told(http.post("/patient", {"patientNo": "P-2", "name": "Sara"}), 201)["id"]
    records = [
        PATIENT,
        {"patientNo": "p-2", "name": "Sara"},
        {"patientNo": "P-3", "name": "x", "email": "no address"},
    ]
    answer = told(http.post("/patients", records), 207)
    failed = answer["results"][2]
    assert failed.pop("detail")
    new = answer["results"][0]["id"]
    assert answer == {
        **{
            "success": False,
            "total": 3,
            "created": 1,
            "updated": 0,
            "unchanged": 1,
            "failed": 1,
        },
        "results": [
            fine(0, "created", new, "P-1"),
            fine(1, "unchanged", old, "P-2", "patientNo"),
            {
                **{
                    "index": 2,
                    "success": False,
                    "status": 422,
                    "code": "validation_failed",
                    "key": "P-3",
                },
                "errors": BAD_EMAIL,
            },
        ],
    }
    assert [row["id"] for row in sqlite_portal.stored("patient")] == [old, new]


def test_the_members_of_the_answer_to_many_stand_in_the_contracts_order(http: Http) -> None:
    answer = told(http.post("/patients", [PATIENT, {}]), 207)
    assert list(answer) == [
        "success",
        "total",
        "created",
        "updated",
        "unchanged",
        "failed",
        "results",
    ]
    good, bad = answer["results"]
    assert list(good) == [
        "index",
        "success",
        "action",
        "id",
        "key",
        "matchedBy",
        "changed",
        "warnings",
    ]
    assert list(bad) == ["index", "success", "status", "code", "key", "detail", "errors"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", [{}, {"atomic": "true"}, {"dryRun": "true"}], ids=str)
def test_an_empty_array_is_a_200(http: Http, path: str, query: dict) -> None:
    counts = {
        "success": True,
        "total": 0,
        "created": 0,
        "updated": 0,
        "unchanged": 0,
        "failed": 0,
    }
    dry_run = {"dryRun": True} if "dryRun" in query else {}
    assert told(http.post(f"/{path}", [], **query), 200) == counts | dry_run | {
        "results": []
    }


def test_all_succeeded_is_a_200_and_the_counts_are_by_action(http: Http) -> None:
    records = [
        PATIENT,
        PATIENT,
        PATIENT | {"email": "a@b.example"},
        {"patientNo": "P-2", "name": "Sara"},
    ]
    answer = told(http.post("/patients", records), 200)
    assert faces(
        answer,
        {
            "success": True,
            "total": 4,
            "created": 2,
            "updated": 1,
            "unchanged": 1,
            "failed": 0,
        },
    )
    first = answer["results"][0]["id"]
    assert answer["results"][:3] == [
        fine(0, "created", first, "P-1"),
        fine(1, "unchanged", first, "P-1", "patientNo"),
        fine(2, "updated", first, "P-1", "patientNo", changed=["email"]),
    ]


def test_all_failed_is_a_422_in_the_shape_of_many(
    http: Http, sqlite_portal: Portal
) -> None:
    response = http.post("/patients", [{}, {"name": 1.5}])
    answer = told(response, 422)
    assert response.content_type == "application/json"
    assert faces(answer, {"success": False, "total": 2, "created": 0, "failed": 2})
    assert [item["status"] for item in answer["results"]] == [422, 422]
    assert nothing_stored(sqlite_portal)


@pytest.mark.parametrize("element", [None, 1, "x", True, [], [PATIENT], 1.5, ""], ids=repr)
def test_an_element_that_is_no_object_fails_alone(
    http: Http, sqlite_portal: Portal, element: Any
) -> None:
    answer = told(http.post("/patients", [element, PATIENT]), 207)
    assert faces(
        answer["results"][0],
        {"index": 0, "success": False, "status": 422, "code": "validation_failed"},
    )
    assert answer["results"][0]["key"] is None
    assert answer["results"][1]["action"] == "created"
    assert sqlite_portal.count("patient") == 1


def test_a_conflict_in_bulk_is_a_409_with_its_candidates(http: Http) -> None:
    one = told(http.post("/patient", PATIENT | {"nationalID": "N-1"}), 201)["id"]
    two = told(
        http.post("/patient", {"patientNo": "P-2", "nationalID": "N-2", "name": "Sara"}),
        201,
    )["id"]
    (item,) = told(
        http.post("/patients", [{"patientNo": "P-2", "nationalID": "N-1", "name": "x"}]),
        422,
    )["results"]
    assert faces(item, {"status": 409, "code": "identity_conflict", "key": "P-2"})
    assert item["candidates"] == [
        {"id": two, "matchedBy": "patientNo"},
        {"id": one, "matchedBy": "nationalID"},
    ]


def test_one_bad_record_among_1200_is_the_only_one_missing(
    http: Http, sqlite_portal: Portal
) -> None:
    records = [
        {"patientNo": f"P-{number}", "name": f"Patient {number}"} for number in range(1200)
    ]
    records[1100]["gender"] = "X"
    answer = told(http.post("/patients", records), 207)
    assert faces(answer, {"success": False, "total": 1200, "created": 1199, "failed": 1})
    assert [item["index"] for item in answer["results"]] == list(range(1200))
    assert [item["index"] for item in answer["results"] if not item["success"]] == [1100]
    numbers = {row["patient_no"]: row["id"] for row in sqlite_portal.stored("patient")}
    assert numbers == {
        item["key"]: item["id"] for item in answer["results"] if item["success"]
    }
    assert numbers.keys() == {f"P-{number}" for number in range(1200)} - {"P-1100"}


def refuse_to_insert(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the database refuse whatever is inserted together with a record of this name."""
    insert = database.insert_for_ids

    def fail(
        connection: sa.Connection, table: sa.Table, columns: dict[str, list[Any]]
    ) -> Any:
        if name in columns["name"]:
            raise sa.exc.DataError(
                "INSERT INTO patient", {"name": name}, Exception("value 1122 too long")
            )
        return insert(connection, table, columns)

    monkeypatch.setattr(database, "insert_for_ids", fail)


@pytest.mark.parametrize("path", ["/patients", "/sync"])
def test_a_database_error_on_one_record_does_not_stop_the_others(
    http: Http, sqlite_portal: Portal, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    refuse_to_insert(monkeypatch, "Unlucky")
    records = [
        PATIENT,
        {"patientNo": "P-2", "name": "Unlucky"},
        {"patientNo": "P-3", "name": "Sara"},
    ]
    response = http.post(path, records if path == "/patients" else {"patients": records})
    answer = told(response, 207)
    results = answer["results"] if path == "/patients" else answer["patients"]["results"]
    assert faces(answer, {"created": 2, "failed": 1})
    assert [item["success"] for item in results] == [True, False, True]
    assert faces(results[1], {"status": 500, "code": "internal_error", "key": "P-2"})
    assert not re.search("INSERT|1122|DataError", response.text)
    assert [row["patient_no"] for row in sqlite_portal.stored("patient")] == ["P-1", "P-3"]


@pytest.mark.parametrize("place", [0, 1, 4, 5, 10])
def test_an_atomic_request_with_a_database_error_names_its_record_and_stores_nothing(
    http: Http, sqlite_portal: Portal, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(sync, "CHUNK", 4)
    refuse_to_insert(monkeypatch, "Unlucky")
    records = [{"patientNo": f"P-{at}", "name": f"Patient {at} Ali"} for at in range(11)]
    records[place]["name"] = "Unlucky"
    body = {"clinics": [{"code": "C-1", "name": "Teeth"}], "patients": records}
    response = http.post("/sync", body, atomic="true")
    answer = told(response, 422)
    assert faces(answer, {"rolledBack": True, "total": 12, "created": 0, "failed": 1})
    failed = [item for item in answer["patients"]["results"] if "code" in item]
    wanted = {"index": place, "status": 500, "code": "internal_error", "key": f"P-{place}"}
    assert len(failed) == 1
    assert faces(failed[0], wanted)
    assert not re.search("INSERT|1122|DataError", response.text)
    assert nothing_stored(sqlite_portal)


def fail_from_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the database go away for good at the given write (1: the first)."""
    write, calls = settle.write, []

    def fail(index: Index, now: str, *plain: Any) -> None:
        calls.append(now)
        if len(calls) >= number:
            raise sa.exc.OperationalError(
                "INSERT", {}, sqlite3.OperationalError("disk I/O error")
            )
        write(index, now, *plain)

    monkeypatch.setattr(settle, "write", fail)


def test_a_database_that_fails_in_mid_bulk_leaves_a_report_of_what_was_stored(
    http: Http, sqlite_portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_from_write(monkeypatch, sync.MORE_CHUNKS + 2)
    monkeypatch.setattr(sync, "CHUNK", 100)
    records = [
        {"patientNo": f"P-{number}", "name": f"Patient {number}"} for number in range(1200)
    ]
    answer = told(http.post("/patients", [*records, {}]), 207)
    stored = sqlite_portal.stored("patient")
    assert faces(
        answer,
        {
            "success": False,
            "total": 1201,
            "created": len(stored),
            "failed": 1201 - len(stored),
        },
    )
    assert 0 < len(stored) < 1200
    good = [item for item in answer["results"] if item["success"]]
    assert [item["id"] for item in good] == [row["id"] for row in stored]
    bad = [item for item in answer["results"] if not item["success"]]
    assert {(item["status"], item["code"]) for item in bad[:-1]} == {
        (503, "database_unavailable")
    }
    assert faces(bad[-1], {"status": 422, "code": "validation_failed"})


@pytest.mark.parametrize(
    ("path", "body", "query"),
    [
        ("/patient", PATIENT, {}),
        ("/patients", [PATIENT], {}),
        ("/patients", [PATIENT], {"atomic": "true"}),
        ("/patients", [PATIENT, {}], {}),
        (
            "/sync",
            {"clinics": [{"code": "C-1", "name": "Teeth"}], "patients": [PATIENT]},
            {},
        ),
        (
            "/sync",
            {"clinics": [{"code": "C-1", "name": "Teeth"}], "patients": [PATIENT]},
            {"atomic": "true"},
        ),
    ],
)
def test_a_database_that_fails_before_anything_is_stored_is_a_503(
    *,
    http: Http,
    sqlite_portal: Portal,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: Any,
    query: dict,
) -> None:
    fail_from_write(monkeypatch, 1)
    response = http.post(path, body, **query)
    assert told(response, 503)["code"] == "database_unavailable"
    assert response.content_type == "application/problem+json"
    assert int(response.headers["Retry-After"]) > 0
    assert nothing_stored(sqlite_portal)


# --- /sync -------------------------------------------------------------------------------------


def test_sync_answers_the_totals_and_one_object_for_each_entity_sent(
    http: Http, sqlite_portal: Portal, samples: dict[str, dict]
) -> None:
    body = {f"{entity}s": [sample] for entity, sample in reversed(samples.items())}
    answer = told(http.post("/sync", body), 200)
    parts = {name: answer.pop(name) for name in PATHS}
    assert answer == {
        "success": True,
        "total": 4,
        "created": 4,
        "updated": 0,
        "unchanged": 0,
        "failed": 0,
    }
    for name, part in parts.items():
        (row,) = sqlite_portal.stored(name.removesuffix("s"))
        (item,) = part.pop("results")
        assert part == {
            "success": True,
            "total": 1,
            "created": 1,
            "updated": 0,
            "unchanged": 0,
            "failed": 0,
        }
        assert faces(item, {"index": 0, "action": "created", "id": row["id"]})


def test_sync_tells_each_entitys_failures_under_its_name(
    http: Http, sqlite_portal: Portal
) -> None:
    booking = {"patientNo": "P-1", "date": "2026-06-15", "timeFrom": "10:30"}
    body = {
        "clinics": [{}],
        "patients": [PATIENT],
        "appointments": [booking, booking | {"patientNo": "P-9"}],
    }
    answer = told(http.post("/sync", body), 207)
    assert faces(
        answer,
        {
            "success": False,
            "total": 4,
            "created": 2,
            "updated": 0,
            "unchanged": 0,
            "failed": 2,
        },
    )
    assert "doctors" not in answer
    assert "results" not in answer
    assert {
        name: (answer[name]["success"], answer[name]["failed"])
        for name in PATHS
        if name in answer
    } == {
        "clinics": (False, 1),
        "patients": (True, 0),
        "appointments": (False, 1),
    }
    assert [item["index"] for item in answer["appointments"]["results"]] == [0, 1]
    assert answer["appointments"]["results"][1]["code"] == "unknown_reference"
    assert [sqlite_portal.count(table) for table in ("patient", "appointment")] == [1, 1]


@pytest.mark.parametrize(
    "body", [{}, {"clinics": None}, {"clinics": [], "patients": None}], ids=str
)
def test_sync_of_nothing_is_a_200(http: Http, body: dict) -> None:
    answer = told(http.post("/sync", body), 200)
    assert faces(answer, {"success": True, "total": 0, "failed": 0})
    assert answer.keys() & PATHS.keys() == {
        name for name, records in body.items() if records is not None
    }


def test_sync_of_failures_only_is_a_422(http: Http) -> None:
    answer = told(http.post("/sync", {"clinics": [{}], "doctors": [{}]}), 422)
    assert faces(answer, {"success": False, "total": 2, "failed": 2})


def test_a_booking_of_a_patient_refused_in_the_same_sync_is_refused(
    http: Http, sqlite_portal: Portal
) -> None:
    http.post(
        "/patients",
        [
            PATIENT | {"nationalID": "N-1"},
            {"patientNo": "P-2", "nationalID": "N-2", "name": "Sara"},
        ],
    )
    booking = {"patientNo": "P-1", "date": "2026-06-15", "timeFrom": "10:30"}
    mixed_up = {"patientNo": "P-1", "nationalID": "N-2", "name": "Ali"}
    answer = told(
        http.post("/sync", {"patients": [mixed_up], "appointments": [booking]}), 422
    )
    assert answer["patients"]["results"][0]["code"] == "identity_conflict"
    assert faces(
        answer["appointments"]["results"][0], {"status": 422, "code": "unknown_reference"}
    )
    assert sqlite_portal.count("appointment") == 0
