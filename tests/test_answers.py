"""What a write answers over HTTP, shape by shape and status by status (contract, section 2)."""

import re
import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Http, Portal

import answers
import sync
from engine import database, settle
from engine.index import Index
from models import db

TABLES = ["clinic", "doctor", "doctor_clinic", "patient", "appointment", "former_key"]
PATHS = {
    "clinics": "/clinic",
    "doctors": "/doctor",
    "patients": "/patient",
    "appointments": "/appointment",
}
PATIENT = {"patientNo": "P-1", "name": "Ali Hassan"}
BAD_EMAIL = {"email": ["Not a valid email address."]}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
FIELDS = {
    "clinic": "name code number specialization clinicType branch floor location accountNo costCenterNo address phone"
    " email isActive",
    "doctor": "name aName code licenseNumber branch gender dateOfBirth medicalRegNumber idNumber accountNo costCenter"
    " description email phone specialization isActive clinicCodes",
    "patient": "name patientNo nationalID firstName secondName lastName mobile dateOfBirth gender email phone bloodType"
    " isActive",
    "appointment": "patientNo patientId doctorCode doctorId clinicCode clinicId date timeFrom timeTo status notes"
    " appointmentNo",
}


def everything(portal: Portal) -> dict[str, list[dict[str, Any]]]:
    return {table: portal.stored(table) for table in TABLES}


def nothing_stored(portal: Portal) -> bool:
    return not any(everything(portal).values())


def told(response: Any, status: int) -> Any:
    """Assert the status of an answer; returns its JSON."""
    assert response.status_code == status, response.text
    return response.get_json()


def fine(
    index: int,
    action: str,
    record_id: int | None,
    key: str,
    matched_by: str | None = None,
    **more: Any,
) -> dict:
    """Return the item of `results` for a record that succeeded."""
    item = {
        "index": index,
        "success": True,
        "action": action,
        "id": record_id,
        "key": key,
        "matchedBy": matched_by,
    }
    return item | {"changed": [], "warnings": []} | more


def undone(index: int, key: str, **more: Any) -> dict:
    """Return the item of `results` for a good record of an atomic request that was rolled back."""
    item = {
        "index": index,
        "success": False,
        "action": None,
        "id": None,
        "key": key,
        "matchedBy": None,
    }
    return item | {"changed": [], "warnings": []} | more


def faces(item: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Tell whether the item has these members and values; others may be there."""
    return {name: item.get(name) for name in expected} == expected


@pytest.fixture
def stored(http: Http, samples: dict[str, dict]) -> dict[str, dict]:
    """The four samples, stored; returns them as they were sent."""
    assert (
        told(
            http.post("/sync", {f"{entity}s": [sample] for entity, sample in samples.items()}),
            200,
        )["created"]
        == 4
    )
    return samples


# --- One record --------------------------------------------------------------------------------


@pytest.mark.parametrize("entity", FIELDS)
def test_one_record_is_created_updated_or_unchanged(
    http: Http, stored: dict[str, dict], entity: str
) -> None:
    sample = stored[entity]
    key = (
        next(iter(set(sample) & {"patientNo", "code"}))
        if entity != "appointment"
        else "appointmentNo"
    )
    unchanged = told(http.post(f"/{entity}", sample), 200)
    assert list(unchanged) == [
        "success",
        "action",
        "id",
        "key",
        "matchedBy",
        "changed",
        "warnings",
        "data",
    ]
    assert faces(
        unchanged,
        {"success": True, "action": "unchanged", "key": sample[key], "matchedBy": key},
    )
    assert (unchanged["changed"], unchanged["warnings"]) == ([], [])
    assert set(unchanged["data"]) == {"id", "createdAt", "updatedAt", *FIELDS[entity].split()}
    assert unchanged["data"]["id"] == unchanged["id"]


def test_a_created_record_is_answered_whole_with_nulls_where_empty(http: Http) -> None:
    answer = told(http.post("/patient", PATIENT), 201)
    data = answer.pop("data")
    record_id = answer["id"]
    assert answer == {
        **{
            "success": True,
            "action": "created",
            "id": record_id,
            "key": "P-1",
            "matchedBy": None,
        },
        **{"changed": [], "warnings": []},
    }
    assert INSTANT.fullmatch(data.pop("createdAt"))
    assert INSTANT.fullmatch(data.pop("updatedAt"))
    empty = dict.fromkeys(FIELDS["patient"].split())
    assert data == empty | {
        "id": record_id,
        "patientNo": "P-1",
        "name": "Ali Hassan",
        "isActive": True,
    }


def test_the_data_of_every_entity_is_in_its_stored_form(
    http: Http, stored: dict[str, dict]
) -> None:
    data = {
        entity: told(http.post(f"/{entity}", sample), 200)["data"]
        for entity, sample in stored.items()
    }
    assert faces(data["clinic"], stored["clinic"])
    assert faces(data["doctor"], stored["doctor"])
    assert faces(
        data["patient"],
        stored["patient"] | {"mobile": "+966551112233", "dateOfBirth": "2019-02-27"},
    )
    ids = {f"{entity}Id": data[entity]["id"] for entity in ("patient", "doctor", "clinic")}
    assert faces(data["appointment"], stored["appointment"] | ids | {"date": "2026-12-01"})


def test_an_update_names_what_changed_sorted_and_moves_updated_at(
    http: Http, stored: dict[str, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = told(http.post("/patient", stored["patient"]), 200)["data"]
    monkeypatch.setattr(sync, "_now", lambda: "2031-01-02 03:04:05")
    change = {
        "patientNo": "P-20417",
        "lastName": "Q",
        "bloodType": "o-",
        "email": "new@mail.example",
        "gender": "F",
    }
    answer = told(http.post("/patient", change), 200)
    assert faces(
        answer,
        {
            "action": "updated",
            "changed": ["bloodType", "email", "lastName"],
            "id": before["id"],
        },
    )
    changed = {
        "lastName": "Q",
        "bloodType": "O-",
        "email": "new@mail.example",
        "updatedAt": "2031-01-02T03:04:05Z",
    }
    assert answer["data"] == before | changed


def test_an_unchanged_record_is_not_written(
    http: Http, sqlite_portal: Portal, stored: dict[str, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(sqlite_portal)
    monkeypatch.setattr(sync, "_now", lambda: "2031-01-02 03:04:05")
    for entity, sample in stored.items():
        assert told(http.post(f"/{entity}", sample), 200)["action"] == "unchanged"
    assert everything(sqlite_portal) == before


@pytest.mark.parametrize(
    ("entity", "change", "changed"),
    [
        ("appointment", {"doctorCode": "D-2"}, ["doctorCode"]),
        ("appointment", {"clinicCode": "C-2", "status": "Done"}, ["clinicCode", "status"]),
        ("doctor", {"clinicCodes": ["C-2"]}, ["clinicCodes"]),
        ("doctor", {"clinicCodes": []}, ["clinicCodes"]),
        ("clinic", {"costCenterNo": "CC-1", "clinicType": "x"}, ["clinicType", "costCenterNo"]),
        ("patient", {"nationalID": "2233"}, ["nationalID"]),
    ],
)
def test_changed_holds_the_names_of_the_json_and_references_by_their_code(
    *, http: Http, stored: dict[str, dict], entity: str, change: dict, changed: list[str]
) -> None:
    http.post("/clinic", {"code": "C-2", "name": "Teeth"})
    http.post("/doctor", {"code": "D-2", "name": "Omar"})
    answer = told(http.post(f"/{entity}", stored[entity] | change), 200)
    assert faces(answer, {"action": "updated", "changed": changed})


KEYS = [
    ("clinics", {"code": " cln-1 ", "name": "x"}, "CLN-1"),
    ("doctors", {"code": "d-1", "licenseNumber": "l-1", "name": "x"}, "D-1"),
    ("doctors", {"licenseNumber": "lic  ٧", "name": "x"}, "LIC 7"),
    ("patients", {"patientNo": 10928, "nationalID": "n-1", "name": "x"}, "10928"),
    ("patients", {"nationalID": "n-1", "mobile": "0502222222", "name": "x"}, "N-1"),
    ("patients", {"mobile": "0502222222", "name": "x"}, "+966502222222"),
    ("patients", {"mobile": "٠٥٠٢٢٢٢٢٢٢"}, "+966502222222"),
    ("patients", {"patientNo": "p-1", "email": "no"}, "P-1"),
    ("patients", {"patientNo": True, "nationalID": "n-1", "name": "x"}, "N-1"),
    ("patients", {"name": "x"}, None),
    ("patients", {}, None),
    (
        "appointments",
        {"appointmentNo": "a-1", "patientNo": "p-1", "date": "2026-06-15", "timeFrom": "10:30"},
        "A-1",
    ),
    (
        "appointments",
        {"patientNo": "p-1", "date": "2026-06-15T00:00:00", "timeFrom": "10:30:00"},
        "P-1 2026-06-15 10:30",
    ),
    (
        "appointments",
        {"patientNo": "p-1", "date": "2026-06-15", "timeFrom": "00:00"},
        "P-1 2026-06-15 00:00",
    ),
    (
        "appointments",
        {"patientId": 17, "date": "2026-06-15", "timeFrom": "10:30"},
        "#17 2026-06-15 10:30",
    ),
    (
        "appointments",
        {"patientId": 17, "patientNo": "p-1", "date": "2026-06-15", "timeFrom": "10:30"},
        "P-1 2026-06-15 10:30",
    ),
    ("appointments", {"date": "2026-06-15", "timeFrom": "10:30"}, None),
]


@pytest.mark.parametrize(("path", "record", "key"), KEYS)
@pytest.mark.parametrize("query", [{}, {"dryRun": "true"}, {"atomic": "true"}], ids=str)
def test_the_key_is_the_first_identifier_in_canonical_form(
    *, http: Http, path: str, record: dict, key: str | None, query: dict
) -> None:
    results = http.post(f"/{path}", [record], **query).get_json()["results"]
    assert [item["key"] for item in results] == [key]


def test_a_refused_single_record_tells_its_key(http: Http) -> None:
    assert told(http.post("/patient", {"patientNo": "p-7", "email": "no"}), 422)["key"] == "P-7"


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
    assert told(http.post(f"/{path}", [], **query), 200) == counts | dry_run | {"results": []}


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
        {"success": True, "total": 4, "created": 2, "updated": 1, "unchanged": 1, "failed": 0},
    )
    first = answer["results"][0]["id"]
    assert answer["results"][:3] == [
        fine(0, "created", first, "P-1"),
        fine(1, "unchanged", first, "P-1", "patientNo"),
        fine(2, "updated", first, "P-1", "patientNo", changed=["email"]),
    ]


def test_all_failed_is_a_422_in_the_shape_of_many(http: Http, sqlite_portal: Portal) -> None:
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
        http.post("/patient", {"patientNo": "P-2", "nationalID": "N-2", "name": "Sara"}), 201
    )["id"]
    (item,) = told(
        http.post("/patients", [{"patientNo": "P-2", "nationalID": "N-1", "name": "x"}]), 422
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
    assert numbers == {item["key"]: item["id"] for item in answer["results"] if item["success"]}
    assert numbers.keys() == {f"P-{number}" for number in range(1200)} - {"P-1100"}


def refuse_to_insert(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the database refuse whatever is inserted together with a record of this name."""
    insert = database.insert_for_ids

    def fail(connection: sa.Connection, table: sa.Table, columns: dict[str, list[Any]]) -> Any:
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


def test_an_atomic_request_with_a_database_error_stores_nothing(
    http: Http, sqlite_portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_insert(monkeypatch, "Unlucky")
    response = http.post(
        "/patients", [PATIENT, {"patientNo": "P-2", "name": "Unlucky"}], atomic="true"
    )
    assert response.status_code >= 400
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
    fail_from_write(monkeypatch, sync.ALONG + 2)
    monkeypatch.setattr(sync, "CHUNK", 100)
    records = [
        {"patientNo": f"P-{number}", "name": f"Patient {number}"} for number in range(1200)
    ]
    answer = told(http.post("/patients", [*records, {}]), 207)
    stored = sqlite_portal.stored("patient")
    assert faces(
        answer,
        {"success": False, "total": 1201, "created": len(stored), "failed": 1201 - len(stored)},
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
        ("/sync", {"clinics": [{"code": "C-1", "name": "Teeth"}], "patients": [PATIENT]}, {}),
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
        {"success": False, "total": 4, "created": 2, "updated": 0, "unchanged": 0, "failed": 2},
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
    answer = told(http.post("/sync", {"patients": [mixed_up], "appointments": [booking]}), 422)
    assert answer["patients"]["results"][0]["code"] == "identity_conflict"
    assert faces(
        answer["appointments"]["results"][0], {"status": 422, "code": "unknown_reference"}
    )
    assert sqlite_portal.count("appointment") == 0


# --- atomic ------------------------------------------------------------------------------------


def test_atomic_stores_nothing_if_one_fails(http: Http, sqlite_portal: Portal) -> None:
    http.post("/patient", {"patientNo": "P-2", "name": "Sara"})
    before = everything(sqlite_portal)
    changed = {"patientNo": "P-2", "name": "Sara", "email": "s@mail.example", "mobil": "1"}
    records = [PATIENT, changed, {"patientNo": "P-3", "name": "x", "email": "no address"}, None]
    answer = told(http.post("/patients", records, atomic="true"), 422)
    results = answer.pop("results")
    assert answer == {
        **{
            "success": False,
            "total": 4,
            "created": 0,
            "updated": 0,
            "unchanged": 0,
            "failed": 2,
        },
        "rolledBack": True,
    }
    assert results[:2] == [
        undone(0, "P-1"),
        undone(1, "P-2", warnings=["unknown field: mobil"]),
    ]
    assert faces(
        results[2],
        {"index": 2, "success": False, "status": 422, "key": "P-3", "errors": BAD_EMAIL},
    )
    assert faces(results[3], {"index": 3, "success": False, "status": 422, "key": None})
    assert everything(sqlite_portal) == before


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(
            {"patientNo": "P-9999", "name": "x", "email": "no address"}, id="not valid"
        ),
        pytest.param({"patientNo": "P-0", "nationalID": "N-1", "name": "x"}, id="conflict"),
        pytest.param({"patientNo": "P-9999"}, id="no name"),
    ],
)
def test_atomic_holds_over_chunks(http: Http, sqlite_portal: Portal, last: dict) -> None:
    records = [
        {"patientNo": f"P-{number}", "nationalID": f"N-{number}", "name": f"P{number}"}
        for number in range(1001)
    ]
    answer = told(http.post("/patients", [*records, last], atomic="true"), 422)
    assert faces(
        answer,
        {
            "rolledBack": True,
            "created": 0,
            "updated": 0,
            "unchanged": 0,
            "failed": 1,
            "total": 1002,
        },
    )
    assert {item["action"] for item in answer["results"][:-1]} == {None}
    assert nothing_stored(sqlite_portal)


def test_atomic_that_succeeds_is_as_any_other(http: Http, sqlite_portal: Portal) -> None:
    answer = told(http.post("/patients", [PATIENT, PATIENT], atomic="true"), 200)
    (row,) = sqlite_portal.stored("patient")
    assert answer == {
        **{
            "success": True,
            "total": 2,
            "created": 1,
            "updated": 0,
            "unchanged": 1,
            "failed": 0,
        },
        "results": [
            fine(0, "created", row["id"], "P-1"),
            fine(1, "unchanged", row["id"], "P-1", "patientNo"),
        ],
    }


def test_atomic_sync_is_all_or_nothing_over_all_four(
    http: Http, sqlite_portal: Portal, samples: dict
) -> None:
    body = {f"{entity}s": [sample] for entity, sample in samples.items()}
    body["appointments"] = [samples["appointment"] | {"patientNo": "P-404"}]
    answer = told(http.post("/sync", body, atomic="true"), 422)
    assert faces(
        answer, {"success": False, "rolledBack": True, "total": 4, "created": 0, "failed": 1}
    )
    assert answer["clinics"]["results"] == [undone(0, "CLN-CHILD-02")]
    assert faces(
        answer["clinics"], {"created": 0, "updated": 0, "unchanged": 0, "failed": 0, "total": 1}
    )
    assert answer["appointments"]["results"][0]["code"] == "unknown_reference"
    assert nothing_stored(sqlite_portal)


@pytest.mark.parametrize(("record", "status"), [(PATIENT, 201), ({"patientNo": "P-1"}, 422)])
def test_atomic_changes_nothing_on_a_singular_path(
    http: Http, record: dict, status: int
) -> None:
    plain = told(http.post("/patient", record, dryRun="false"), status)
    told(http.post("/patient", {"patientNo": "P-2", "name": "Sara"}, atomic="true"), 201)
    atomic = told(http.post("/patient", record, atomic="true"), 200 if status == 201 else 422)
    assert plain.keys() == atomic.keys()
    assert "rolledBack" not in atomic


# --- dryRun ------------------------------------------------------------------------------------


def test_a_dry_run_of_one_new_record_is_a_201_without_an_id(
    http: Http, sqlite_portal: Portal
) -> None:
    answer = told(http.post("/patient", PATIENT, dryRun="true"), 201)
    assert faces(
        answer, {"success": True, "action": "created", "id": None, "key": "P-1", "dryRun": True}
    )
    assert faces(answer["data"], PATIENT | {"id": None, "mobile": None, "isActive": True})
    assert set(answer["data"]) == {"id", "createdAt", "updatedAt", *FIELDS["patient"].split()}
    assert nothing_stored(sqlite_portal)


@pytest.mark.parametrize("entity", FIELDS)
def test_a_dry_run_creates_no_entity(
    http: Http, sqlite_portal: Portal, stored: dict, entity: str
) -> None:
    keys = {
        "clinic": "code",
        "doctor": "code",
        "patient": "patientNo",
        "appointment": "appointmentNo",
    }
    new = stored[entity] | {
        keys[entity]: "NEW-1",
        "licenseNumber": "L-9",
        "nationalID": "N-9",
        "mobile": "0555555555",
    }
    new = {name: value for name, value in new.items() if name in FIELDS[entity]} | {
        "dateOfBirth": "1990-01-01"
    }
    if entity == "appointment":
        new["date"] = "2026-12-02"
    before = everything(sqlite_portal)
    answer = told(http.post(f"/{entity}", new, dryRun="true"), 201)
    assert faces(answer, {"action": "created", "id": None, "key": "NEW-1", "dryRun": True})
    assert everything(sqlite_portal) == before


@pytest.mark.parametrize(
    ("change", "action", "changed"),
    [({}, "unchanged", []), ({"email": "a@b.example"}, "updated", ["email"])],
)
def test_a_dry_run_of_one_stored_record_tells_what_would_be(
    *, http: Http, sqlite_portal: Portal, change: dict, action: str, changed: list[str]
) -> None:
    record_id = told(http.post("/patient", PATIENT), 201)["id"]
    before = everything(sqlite_portal)
    answer = told(http.post("/patient", PATIENT | change, dryRun="true"), 200)
    assert faces(
        answer,
        {"action": action, "changed": changed, "id": record_id, "matchedBy": "patientNo"},
    )
    assert answer["dryRun"] is True
    assert faces(answer["data"], PATIENT | change)
    assert everything(sqlite_portal) == before


@pytest.mark.parametrize(
    "record", [{}, {"patientNo": "P-9"}, PATIENT | {"email": "no"}], ids=str
)
def test_a_dry_run_refuses_what_the_real_run_refuses(
    http: Http, sqlite_portal: Portal, record: dict
) -> None:
    assert told(http.post("/patient", record, dryRun="true"), 422) == told(
        http.post("/patient", record), 422
    )
    assert nothing_stored(sqlite_portal)


def test_a_dry_run_of_many_has_null_ids_for_the_new_and_for_who_meets_them(
    http: Http, sqlite_portal: Portal
) -> None:
    old = told(
        http.post("/patient", {"patientNo": "P-2", "nationalID": "N-2", "name": "Sara"}), 201
    )["id"]
    before = everything(sqlite_portal)
    records = [
        PATIENT | {"nationalID": "N-1"},
        PATIENT | {"email": "a@b.example"},
        {"patientNo": "P-2", "name": "Sara"},
        {"patientNo": "P-1", "nationalID": "N-2", "name": "x"},
        None,
    ]
    answer = told(http.post("/patients", records, dryRun="true"), 207)
    results = answer.pop("results")
    assert answer == {
        **{
            "success": False,
            "total": 5,
            "created": 1,
            "updated": 1,
            "unchanged": 1,
            "failed": 2,
        },
        "dryRun": True,
    }
    assert results[:3] == [
        fine(0, "created", None, "P-1"),
        fine(1, "updated", None, "P-1", "patientNo", changed=["email"]),
        fine(2, "unchanged", old, "P-2", "patientNo"),
    ]
    assert results[3]["candidates"] == [
        {"id": None, "matchedBy": "patientNo"},
        {"id": old, "matchedBy": "nationalID"},
    ]
    assert everything(sqlite_portal) == before


def test_a_dry_run_of_sync_resolves_references_to_what_it_would_store(
    http: Http, sqlite_portal: Portal, samples: dict[str, dict]
) -> None:
    body = {f"{entity}s": [sample, sample] for entity, sample in samples.items()}
    answer = told(http.post("/sync", body, dryRun="true"), 200)
    assert faces(
        answer,
        {
            "success": True,
            "total": 8,
            "created": 4,
            "unchanged": 4,
            "failed": 0,
            "dryRun": True,
        },
    )
    items = [item for name in PATHS for item in answer[name]["results"]]
    assert [item["action"] for item in items] == ["created", "unchanged"] * 4
    assert {item["id"] for item in items} == {None}
    assert {item["action"] == "created" or bool(item["matchedBy"]) for item in items} == {True}
    assert nothing_stored(sqlite_portal)


def test_a_dry_run_tells_what_the_real_run_then_does(
    http: Http, samples: dict[str, dict]
) -> None:
    def without_ids(answer: Any) -> Any:
        if isinstance(answer, dict):
            return {
                name: without_ids(it)
                for name, it in answer.items()
                if name not in ("id", "dryRun")
            }
        return [without_ids(it) for it in answer] if isinstance(answer, list) else answer

    body = {
        f"{entity}s": [sample, {}, sample | {"email": "new@b.example"}]
        for entity, sample in samples.items()
    }
    dry = told(http.post("/sync", body, dryRun="true"), 207)
    assert without_ids(dry) == without_ids(told(http.post("/sync", body), 207))


def test_a_dry_run_crosses_chunks(http: Http, sqlite_portal: Portal) -> None:
    records = [
        {"patientNo": f"P-{number % 1100}", "name": f"Patient {number % 1100}"}
        for number in range(1200)
    ]
    answer = told(http.post("/patients", records, dryRun="true"), 200)
    assert faces(answer, {"created": 1100, "unchanged": 100, "failed": 0})
    assert nothing_stored(sqlite_portal)


def test_atomic_and_dry_run_together_tell_that_it_would_be_rolled_back(
    http: Http, sqlite_portal: Portal
) -> None:
    answer = told(http.post("/patients", [PATIENT, {}], atomic="true", dryRun="true"), 422)
    assert faces(
        answer,
        {
            "success": False,
            "dryRun": True,
            "rolledBack": True,
            "created": 0,
            "failed": 1,
            "total": 2,
        },
    )
    assert answer["results"][0] == undone(0, "P-1")
    assert answer["results"][1]["code"] == "validation_failed"
    assert nothing_stored(sqlite_portal)


def test_atomic_and_dry_run_together_tell_that_it_would_succeed(
    http: Http, sqlite_portal: Portal
) -> None:
    answer = told(http.post("/patients", [PATIENT], atomic="true", dryRun="true"), 200)
    assert answer == {
        **{
            "success": True,
            "total": 1,
            "created": 1,
            "updated": 0,
            "unchanged": 0,
            "failed": 0,
            "dryRun": True,
        },
        "results": [fine(0, "created", None, "P-1")],
    }
    assert nothing_stored(sqlite_portal)


def test_after_a_dry_run_the_real_one_works(http: Http) -> None:
    for _ in range(2):
        http.post("/patients", [PATIENT], dryRun="true")
    assert told(http.post("/patient", PATIENT), 201)["action"] == "created"


# --- Prefer: return=minimal --------------------------------------------------------------------

MIXED = [
    PATIENT,
    {"patientNo": "P-2", "name": "Sara", "mobil": "1"},
    {"patientNo": "P-3", "name": ""},
    PATIENT,
]


@pytest.mark.parametrize(
    "prefer",
    [
        "return=minimal",
        "Return=minimal",
        'return="minimal"',
        "respond-async, return=minimal",
        "return = minimal",
    ],
)
def test_minimal_keeps_only_failures_and_warnings(http: Http, prefer: str) -> None:
    response = http.post("/patients", MIXED, headers={"Prefer": prefer})
    answer = told(response, 207)
    assert response.headers["Preference-Applied"] == "return=minimal"
    assert faces(
        answer, {"success": False, "total": 4, "created": 2, "unchanged": 1, "failed": 1}
    )
    assert [item["index"] for item in answer["results"]] == [1, 2]
    assert answer["results"][0]["warnings"] == ["unknown field: mobil"]
    assert answer["results"][1]["errors"].keys() == {"name"}


def test_warnings_stand_in_the_order_of_their_origin(http: Http) -> None:
    """What is unknown in the record, what it refers to, what its keys found; alike in one and in many."""
    for code, status in {"D-1": 201, "D-2": 200}.items():
        told(
            http.post("/doctor", {"code": code, "licenseNumber": "L-1", "name": "Huda"}), status
        )
    sent = {
        "code": "D-1",
        "licenseNumber": "L-1",
        "null": None,
        'a "quoted" one': 1,
        "clinicCodes": ["C-1"],
    }
    expected = [
        "unknown field: null",
        'unknown field: a "quoted" one',
        "clinicCodes: clinic C-1 is not stored, left out",
    ]
    expected += ["code: D-1 is a former number of this doctor, which keeps its current one"]
    alone = told(http.post("/doctor", sent), 200)
    assert alone["warnings"] == expected
    for prefer in (None, "return=minimal"):
        (item,) = told(http.post("/doctors", [sent], headers={"Prefer": prefer}), 200)[
            "results"
        ]
        assert item == {"index": 0} | {name: alone[name] for name in item if name != "index"}


def test_no_warning_is_remembered_beyond_its_answer(http: Http) -> None:
    """Nobody bounds how many unknown fields are sent, and under how many names."""
    sizes = []
    for unknown in "abc":
        (item,) = told(
            http.post("/patients", [{"patientNo": "P-1", "name": "Sara", unknown: 1}]), 200
        )["results"]
        assert item["warnings"] == [f"unknown field: {unknown}"]
        sizes.append(answers._shared.cache_info().currsize)
    assert sizes[1] == sizes[2]


def test_minimal_keeps_a_warning_of_what_is_referred_to(http: Http) -> None:
    sent = [
        {"code": "D-1", "name": "Huda", "clinicCodes": ["C-1"]},
        {"code": "D-2", "name": "Sara"},
    ]
    (item,) = told(http.post("/doctors", sent, headers={"Prefer": "return=minimal"}), 200)[
        "results"
    ]
    assert (item["index"], item["warnings"]) == (
        0,
        ["clinicCodes: clinic C-1 is not stored, left out"],
    )


@pytest.mark.parametrize(
    "prefer", [None, "return=representation", "minimal", "return=minimalist", "wait=10"]
)
def test_without_that_preference_every_record_is_answered(
    http: Http, prefer: str | None
) -> None:
    response = http.post("/patients", MIXED, headers={"Prefer": prefer})
    assert "Preference-Applied" not in response.headers
    assert len(told(response, 207)["results"]) == 4


def test_minimal_holds_for_sync_and_for_dry_runs(http: Http) -> None:
    body = {"clinics": [{"code": "C-1", "name": "Teeth"}], "patients": MIXED}
    for query in ({"dryRun": "true"}, {}):
        response = http.post("/sync", body, headers={"Prefer": "return=minimal"}, **query)
        answer = told(response, 207)
        assert response.headers["Preference-Applied"] == "return=minimal"
        assert answer["clinics"]["results"] == []
        assert answer["clinics"]["created"] == 1
        assert [item["index"] for item in answer["patients"]["results"]] == [1, 2]


def test_minimal_holds_for_an_atomic_request_that_succeeds(http: Http) -> None:
    answer = told(
        http.post("/patients", MIXED[:2], headers={"Prefer": "return=minimal"}, atomic="true"),
        200,
    )
    assert [item["index"] for item in answer["results"]] == [1]


# --- Absent, null, blank, zero -----------------------------------------------------------------

IDENTITY = {
    "clinic": "code",
    "doctor": "code",
    "patient": "patientNo",
    "appointment": "appointmentNo",
}
CLEARED = {
    "clinic": "number specialization clinicType branch floor location accountNo costCenterNo address phone email",
    "doctor": "aName branch gender dateOfBirth medicalRegNumber idNumber accountNo costCenter description email phone"
    " specialization",
    "patient": "firstName secondName lastName mobile dateOfBirth gender email phone bloodType",
    "appointment": "timeTo notes",
}


def identity(stored: dict[str, dict], entity: str) -> dict[str, str]:
    return {IDENTITY[entity]: stored[entity][IDENTITY[entity]]}


@pytest.mark.parametrize(
    ("entity", "name"),
    [(entity, name) for entity in CLEARED for name in CLEARED[entity].split()],
)
@pytest.mark.parametrize("blank", ["", " \t\r\n "], ids=repr)
def test_a_blank_string_clears_an_optional_field(
    *, http: Http, stored: dict[str, dict], entity: str, name: str, blank: str
) -> None:
    answer = told(http.post(f"/{entity}", identity(stored, entity) | {name: blank}), 200)
    assert faces(answer, {"action": "updated", "changed": [name]})
    assert answer["data"][name] is None


@pytest.mark.parametrize("entity", FIELDS)
def test_absent_and_null_keep_every_stored_value(
    http: Http, stored: dict[str, dict], entity: str
) -> None:
    whole = told(http.post(f"/{entity}", stored[entity]), 200)["data"]
    for record in ({}, dict.fromkeys(FIELDS[entity].split())):
        answer = told(http.post(f"/{entity}", record | identity(stored, entity)), 200)
        assert (answer["action"], answer["changed"], answer["warnings"]) == (
            "unchanged",
            [],
            [],
        )
        assert answer["data"] == whole


BLANK_IS_ABSENT = [
    ("doctor", "licenseNumber"),
    ("patient", "nationalID"),
    ("appointment", "patientNo"),
    ("appointment", "doctorCode"),
    ("appointment", "clinicCode"),
    ("appointment", "patientId"),
    ("appointment", "status"),
    *((entity, "isActive") for entity in ("clinic", "doctor", "patient")),
]


@pytest.mark.parametrize(("entity", "name"), BLANK_IS_ABSENT)
@pytest.mark.parametrize("blank", ["", "  "], ids=repr)
def test_a_blank_identifier_reference_flag_or_status_counts_as_absent(
    *, http: Http, stored: dict[str, dict], entity: str, name: str, blank: str
) -> None:
    before = told(http.post(f"/{entity}", identity(stored, entity) | {"isActive": False}), 200)[
        "data"
    ]
    answer = told(http.post(f"/{entity}", identity(stored, entity) | {name: blank}), 200)
    assert (answer["action"], answer["data"]) == ("unchanged", before)


@pytest.mark.parametrize(
    ("entity", "blank", "found_by", "matched_by"),
    [
        ("doctor", "code", ["licenseNumber"], "licenseNumber"),
        ("patient", "patientNo", ["nationalID"], "nationalID"),
        ("patient", "patientNo", ["mobile", "name"], "mobile+name"),
        (
            "appointment",
            "appointmentNo",
            ["patientNo", "date", "timeFrom"],
            "patient+date+timeFrom",
        ),
    ],
)
def test_a_record_with_a_blank_first_identifier_is_found_by_the_next(
    *,
    http: Http,
    stored: dict[str, dict],
    entity: str,
    blank: str,
    found_by: list[str],
    matched_by: str,
) -> None:
    record = {name: stored[entity][name] for name in found_by}
    answer = told(http.post(f"/{entity}", record | {blank: " \u200f"}), 200)
    assert faces(answer, {"action": "unchanged", "matchedBy": matched_by})


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        ("clinic", "name"),
        ("doctor", "name"),
        ("patient", "name"),
        ("appointment", "date"),
        ("appointment", "timeFrom"),
    ],
)
@pytest.mark.parametrize("blank", ["", " \t "], ids=repr)
def test_a_blank_name_date_or_time_from_is_refused(
    *,
    http: Http,
    sqlite_portal: Portal,
    stored: dict[str, dict],
    entity: str,
    name: str,
    blank: str,
) -> None:
    before = everything(sqlite_portal)
    answer = told(http.post(f"/{entity}", stored[entity] | {name: blank}), 422)
    assert (answer["code"], list(answer["errors"])) == ("validation_failed", [name])
    assert everything(sqlite_portal) == before


ZERO_DATES = [
    *(
        "0001-01-01",
        "0001-01-01T00:00:00",
        "1900-01-01",
        "1900-01-01 00:00:00",
        "1899-12-30",
        "1753-01-01",
    ),
    *(
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+03:00",
        "/Date(-62135596800000)/",
        "/Date(-2208988800000)/",
    ),
]


@pytest.mark.parametrize(
    ("entity", "name", "zero"),
    [
        *(
            (entity, "dateOfBirth", zero)
            for entity in ("doctor", "patient")
            for zero in ZERO_DATES
        ),
        *(("appointment", "date", zero) for zero in ZERO_DATES),
        *(
            ("appointment", "timeTo", zero)
            for zero in ("00:00:00", "00:00", "00:00:00.0000000", "0001-01-01T00:00:00")
        ),
        *(("appointment", name, 0) for name in ("patientId", "doctorId", "clinicId")),
    ],
)
def test_a_zero_value_of_dotnet_or_sql_server_counts_as_absent(
    *, http: Http, stored: dict[str, dict], entity: str, name: str, zero: Any
) -> None:
    before = told(http.post(f"/{entity}", stored[entity]), 200)["data"]
    answer = told(http.post(f"/{entity}", identity(stored, entity) | {name: zero}), 200)
    assert (answer["action"], answer["data"]) == ("unchanged", before)


def test_the_first_day_that_is_no_zero_value_is_stored(http: Http) -> None:
    answer = told(http.post("/patient", PATIENT | {"dateOfBirth": "1900-01-02"}), 201)
    assert answer["data"]["dateOfBirth"] == "1900-01-02"


def test_midnight_is_a_time_to_begin(http: Http, stored: dict[str, dict]) -> None:
    booking = {
        "patientNo": "P-20417",
        "date": "2026-06-15",
        "timeFrom": "00:00:00",
        "timeTo": "00:30",
    }
    data = told(http.post("/appointment", booking), 201)["data"]
    assert (data["timeFrom"], data["timeTo"]) == ("00:00:00", "00:30:00")


def test_a_list_of_no_clinics_clears_them(http: Http, stored: dict[str, dict]) -> None:
    answer = told(http.post("/doctor", identity(stored, "doctor") | {"clinicCodes": []}), 200)
    assert (answer["changed"], answer["data"]["clinicCodes"]) == (["clinicCodes"], [])


def test_an_unknown_clinic_code_is_left_out_with_a_warning(
    http: Http, stored: dict[str, dict]
) -> None:
    http.post("/clinic", {"code": "A-1", "name": "Teeth"})
    codes = ["cln-child-02", "c-404", "A-1", "a-1"]
    answer = told(
        http.post("/doctor", identity(stored, "doctor") | {"clinicCodes": codes}), 200
    )
    assert answer["data"]["clinicCodes"] == ["A-1", "CLN-CHILD-02"]
    assert [("C-404" in warning) for warning in answer["warnings"]] == [True]


@pytest.mark.parametrize(
    ("entity", "record", "defaults"),
    [
        ("clinic", {"code": "C-1", "name": "Teeth"}, {"isActive": True}),
        ("doctor", {"code": "D-1", "name": "Huda"}, {"isActive": True, "clinicCodes": []}),
        ("patient", PATIENT, {"isActive": True}),
    ],
)
@pytest.mark.parametrize("unset", [None, "", ...], ids=["null", "blank", "absent"])
def test_on_create_what_is_absent_takes_its_default(
    *, http: Http, entity: str, record: dict, defaults: dict, unset: Any
) -> None:
    sent = {} if unset is ... else dict.fromkeys(FIELDS[entity].split(), unset)
    if unset == "" and entity == "doctor":
        del sent["clinicCodes"]
    data = told(http.post(f"/{entity}", sent | record), 201)["data"]
    expected = dict.fromkeys(FIELDS[entity].split()) | record | defaults
    assert faces(data, expected)


@pytest.mark.parametrize("status", [None, "", "  "], ids=repr)
def test_a_booking_is_scheduled_by_default(
    http: Http, stored: dict[str, dict], status: str | None
) -> None:
    booking = {
        "patientNo": "P-20417",
        "date": "2026-06-15",
        "timeFrom": "10:30",
        "status": status,
    }
    data = told(http.post("/appointment", booking), 201)["data"]
    unset = {
        "timeTo": None,
        "notes": None,
        "doctorCode": None,
        "doctorId": None,
        "appointmentNo": None,
    }
    assert faces(data, unset | {"status": "Scheduled", "timeFrom": "10:30:00"})


# --- Field names and values --------------------------------------------------------------------


def test_unknown_fields_are_warned_of_and_read_only_ones_ignored(http: Http) -> None:
    odd = {"mobil": "1", "Room": None, "id": 5, "createdAt": "x", "UPDATEDAT": 7, "ID": "y"}
    answer = told(http.post("/patient", PATIENT | odd), 201)
    assert sorted(answer["warnings"]) == ["unknown field: Room", "unknown field: mobil"]
    assert answer["data"]["createdAt"].startswith("20")
    assert answer["id"] == answer["data"]["id"]


def test_warnings_of_many_stand_with_their_record(http: Http) -> None:
    records = [PATIENT, {"patientNo": "P-2", "name": "Sara", "mobil": "1", "mobile": "123"}]
    first, second = told(http.post("/patients", records), 200)["results"]
    assert first["warnings"] == []
    assert second["warnings"][0] == "unknown field: mobil"
    assert [warning.startswith("mobile: ") for warning in second["warnings"]] == [False, True]


def test_names_match_without_regard_to_case(http: Http) -> None:
    answer = told(
        http.post("/patient", {"PATIENTNO": "p-1", "Name": "Ali", "nationalid": "n-1"}), 201
    )
    assert faces(answer["data"], {"patientNo": "P-1", "name": "Ali", "nationalID": "N-1"})
    assert answer["warnings"] == []


@pytest.mark.parametrize("second", ["Ali Hassan", "Sara", None])
def test_a_field_in_two_spellings_is_refused(
    http: Http, sqlite_portal: Portal, second: str | None
) -> None:
    answer = told(http.post("/patient", PATIENT | {"NAME": second}), 422)
    assert (answer["code"], list(answer["errors"])) == ("validation_failed", ["name"])
    assert nothing_stored(sqlite_portal)


def test_whole_numbers_are_taken_for_text(http: Http) -> None:
    data = told(http.post("/clinic", {"code": 7, "name": 12, "floor": -1, "number": 0}), 201)[
        "data"
    ]
    assert faces(data, {"code": "7", "name": "12", "floor": "-1", "number": "0"})


@pytest.mark.parametrize(
    ("entity", "name", "sent", "kept"),
    [
        ("patient", "mobile", "٠٥٠٢٢٢٢٢٢٢", "+966502222222"),
        ("patient", "mobile", 966502222222, "+966502222222"),
        ("patient", "gender", " f ", "Female"),
        ("patient", "bloodType", "ab -ve", "AB-"),
        ("patient", "dateOfBirth", "2020-06-14T21:00:00Z", "2020-06-15"),
        ("patient", "dateOfBirth", "2020-06-15T00:00:00Z", "2020-06-15"),
        ("patient", "dateOfBirth", "/Date(1592168400000)/", "2020-06-15"),
        ("patient", "isActive", "FALSE", False),
        ("patient", "isActive", 0, False),
        ("patient", "name", "  Ali\u0301  ", "Al\u00ed"),
        ("clinic", "address", "a\r\nb\tc", "a\nb\tc"),
    ],
)
def test_values_are_answered_in_their_stored_form(
    *, http: Http, entity: str, name: str, sent: Any, kept: Any
) -> None:
    record = {"code": "X-1", "patientNo": "X-1", "name": "x"} | {name: sent}
    assert told(http.post(f"/{entity}", record), 201)["data"][name] == kept


@pytest.mark.parametrize(
    ("entity", "name", "limit"),
    [
        *(("patient", name, 64) for name in ("patientNo", "nationalID")),
        *(("doctor", name, 64) for name in ("code", "licenseNumber")),
        *(
            ("clinic", name, limit)
            for name, limit in (("code", 64), ("name", 200), ("floor", 200), ("address", 4000))
        ),
        *(
            ("doctor", name, limit)
            for name, limit in (("aName", 200), ("description", 4000), ("idNumber", 200))
        ),
        *(
            ("appointment", name, limit)
            for name, limit in (("appointmentNo", 64), ("status", 40), ("notes", 4000))
        ),
    ],
)
def test_text_of_the_limit_is_stored_whole_and_one_more_is_refused_with_the_limit_named(
    *, http: Http, stored: dict[str, dict], entity: str, name: str, limit: int
) -> None:
    new = {"code": "N-1", "patientNo": "N-1", "name": "New", "appointmentNo": "N-1"}
    record = (
        new
        if entity != "appointment"
        else stored["appointment"] | {"appointmentNo": "N-1", "date": "2026-12-09"}
    )
    data = told(http.post(f"/{entity}", record | {name: "X" * limit}), 201)["data"]
    assert data[name] == "X" * limit
    errors = told(http.post(f"/{entity}", record | {name: "Y" * (limit + 1)}), 422)["errors"]
    assert list(errors) == [name]
    assert str(limit) in errors[name][0]


def test_one_locked_chunk_does_not_take_the_rest_with_it(
    http: Http, sqlite_portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "CHUNK", 2)
    insert = database.insert_for_ids

    def locked(connection: Any, table: Any, columns: dict[str, list[Any]]) -> Any:
        if columns["patient_no"][0] == "P-2":
            raise sa.exc.OperationalError(
                "", None, sqlite3.OperationalError("database is locked")
            )
        return insert(connection, table, columns)

    monkeypatch.setattr(database, "insert_for_ids", locked)
    answer = told(
        http.post("/patients", [{"patientNo": f"P-{i}", "name": "Somebody"} for i in range(6)]),
        207,
    )
    assert [item.get("status") for item in answer["results"]] == [
        None,
        None,
        503,
        503,
        None,
        None,
    ]
    assert [row["patient_no"] for row in sqlite_portal.stored("patient")] == [
        "P-0",
        "P-1",
        "P-4",
        "P-5",
    ]


def wrapped(error: sqlite3.Error) -> BaseException:
    return sa.exc.DBAPIError.instance("", None, error, sqlite3.Error)


@pytest.mark.parametrize(
    "fault",
    [
        wrapped(sqlite3.OperationalError("locked")),
        wrapped(sqlite3.IntegrityError("a check")),
        database.LostRace(),
    ],
    ids=["outage", "fault", "race"],
)
def test_chunks_that_fail_together_are_stored_each_alone(
    http: Http, sqlite_portal: Portal, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    monkeypatch.setattr(sync, "CHUNK", 2)
    write, calls = settle.write, []

    def fails_once(index: Index, now: str, *plain: Any) -> None:
        calls.append(now)
        if len(calls) == 3:
            raise fault
        write(index, now, *plain)

    monkeypatch.setattr(settle, "write", fails_once)
    commits: list[Any] = []
    with sqlite_portal.app.app_context():
        sa.event.listen(db.engine, "commit", commits.append)
    people = [{"patientNo": f"P-{i}", "name": "Somebody"} for i in range(8)]
    conflict = [
        {"patientNo": "P-1", "nationalID": "1"},
        {"patientNo": "P-0", "nationalID": "1"},
    ]
    booking = {"patientNo": "P-0", "date": "2026-06-15", "timeFrom": "10:30"}
    answer = told(
        http.post("/sync", {"patients": [*people, *conflict], "appointments": [booking]}), 207
    )
    assert len(commits) == 6 + 1  # the history's own, for once
    told_of_people = answer["patients"]["results"]
    assert [item.get("code") for item in told_of_people] == [None] * 9 + ["identity_conflict"]
    assert [item["index"] for item in told_of_people] == [*range(10)]
    assert answer["appointments"]["results"][0]["code"] == "unknown_reference"
    stored = {row["id"]: row["patient_no"] for row in sqlite_portal.stored("patient")}
    assert {item["id"]: item["key"] for item in told_of_people[:8]} == stored
    runs = {run["entity"]: run for run in sqlite_portal.stored("sync_run")}
    assert faces(runs["patients"], {"created": 8, "updated": 1, "failed": 1})
    assert faces(runs["appointments"], {"created": 0, "failed": 1})


def test_who_is_not_refused_after_a_lost_race_may_be_booked(
    http: Http, sqlite_portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"patientNo": "P-9", "nationalID": "1", "name": "Sara"}
    other_id = sqlite_portal.send_many({"patient": [PATIENT, other]})["patient"]["results"][1][
        "id"
    ]
    write, calls = settle.write, []

    def loses_once(index: Index, now: str, *plain: Any) -> None:
        calls.append(now)
        if len(calls) == 2:
            raise database.LostRace
        write(index, now, *plain)

    def retire_the_other(_seconds: float) -> None:
        sqlite_portal.command("retire", "patient", str(other_id), "--yes")

    monkeypatch.setattr(settle, "write", loses_once)
    monkeypatch.setattr(database.time, "sleep", retire_the_other)
    booking = {"patientNo": "P-1", "date": "2026-06-15", "timeFrom": "10:30"}
    taken = PATIENT | {"nationalID": "1"}
    answer = told(http.post("/sync", {"patients": [taken], "appointments": [booking]}), 200)
    assert (answer["updated"], answer["created"]) == (1, 1)


def test_a_rolled_back_request_names_no_ids_that_it_gave_on_the_way(http: Http) -> None:
    stored = told(
        http.post("/patient", {"patientNo": "P-0", "nationalID": "N-0", "name": "Omar"}), 201
    )["id"]
    people = [
        {"patientNo": "P-1", "name": "Ali"},
        {"patientNo": "P-2", "nationalID": "N-2", "name": "Sara"},
    ]
    conflicts = [
        {"patientNo": "P-1", "nationalID": "N-2"},
        {"patientNo": "P-1", "nationalID": "N-0"},
    ]
    answer = told(http.post("/patients", [*people, *conflicts], atomic="true"), 422)
    assert [it["id"] for it in answer["results"][2]["candidates"]] == [None, None]
    assert [it["id"] for it in answer["results"][3]["candidates"]] == [None, stored]
