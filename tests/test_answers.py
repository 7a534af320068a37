"""How each request is answered: one record."""

import re
from typing import Any

import pytest
from conftest import Http, Portal

import sync

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
    assert set(unchanged["data"]) == {
        "id",
        "createdAt",
        "updatedAt",
        *FIELDS[entity].split(),
    }
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
    http: Http,
    sqlite_portal: Portal,
    stored: dict[str, dict],
    monkeypatch: pytest.MonkeyPatch,
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
        (
            "clinic",
            {"costCenterNo": "CC-1", "clinicType": "x"},
            ["clinicType", "costCenterNo"],
        ),
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
        {
            "appointmentNo": "a-1",
            "patientNo": "p-1",
            "date": "2026-06-15",
            "timeFrom": "10:30",
        },
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
    assert (
        told(http.post("/patient", {"patientNo": "p-7", "email": "no"}), 422)["key"]
        == "P-7"
    )
