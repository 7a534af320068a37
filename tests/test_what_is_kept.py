"""Absent, null, blank and odd values over HTTP: what is kept and what is cleared."""

import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Http, Portal
from test_answers import FIELDS, PATIENT, everything, faces, nothing_stored, told

import sync
from engine import database, settle
from engine.index import Index
from models import db

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
    before = told(
        http.post(f"/{entity}", identity(stored, entity) | {"isActive": False}), 200
    )["data"]
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
    answer = told(
        http.post("/doctor", identity(stored, "doctor") | {"clinicCodes": []}), 200
    )
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
    assert [warning.startswith("mobile: ") for warning in second["warnings"]] == [
        False,
        True,
    ]


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
    data = told(
        http.post("/clinic", {"code": 7, "name": 12, "floor": -1, "number": 0}), 201
    )["data"]
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
            for name, limit in (
                ("code", 64),
                ("name", 200),
                ("floor", 200),
                ("address", 4000),
            )
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
    errors = told(http.post(f"/{entity}", record | {name: "Y" * (limit + 1)}), 422)[
        "errors"
    ]
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
        http.post(
            "/patients", [{"patientNo": f"P-{i}", "name": "Somebody"} for i in range(6)]
        ),
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
        http.post("/sync", {"patients": [*people, *conflict], "appointments": [booking]}),
        207,
    )
    assert len(commits) == 6 + 1  # the history's own, for once
    told_of_people = answer["patients"]["results"]
    assert [item.get("code") for item in told_of_people] == [None] * 9 + [
        "identity_conflict"
    ]
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
    other_id = sqlite_portal.send_many({"patient": [PATIENT, other]})["patient"]["results"][
        1
    ]["id"]
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
        http.post("/patient", {"patientNo": "P-0", "nationalID": "N-0", "name": "Omar"}),
        201,
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
