"""atomic, dryRun and Prefer: return=minimal."""

from typing import Any

import pytest
from conftest import Http, Portal
from test_answers import (
    BAD_EMAIL,
    FIELDS,
    PATHS,
    PATIENT,
    everything,
    faces,
    fine,
    nothing_stored,
    told,
    undone,
)

import answers

# --- atomic ------------------------------------------------------------------------------------


def test_atomic_stores_nothing_if_one_fails(http: Http, sqlite_portal: Portal) -> None:
    http.post("/patient", {"patientNo": "P-2", "name": "Sara"})
    before = everything(sqlite_portal)
    changed = {"patientNo": "P-2", "name": "Sara", "email": "s@mail.example", "mobil": "1"}
    records = [
        PATIENT,
        changed,
        {"patientNo": "P-3", "name": "x", "email": "no address"},
        None,
    ]
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
        answer,
        {"success": False, "rolledBack": True, "total": 4, "created": 0, "failed": 1},
    )
    assert answer["clinics"]["results"] == [undone(0, "CLN-CHILD-02")]
    assert faces(
        answer["clinics"],
        {"success": False, "rolledBack": True, "created": 0, "failed": 0, "total": 1},
    )
    assert answer["appointments"]["results"][0]["code"] == "unknown_reference"
    assert nothing_stored(sqlite_portal)


@pytest.mark.parametrize(
    ("record", "status"), [(PATIENT, 201), ({"patientNo": "P-1"}, 422)]
)
def test_atomic_changes_nothing_on_a_singular_path(
    http: Http, record: dict, status: int
) -> None:
    plain = told(http.post("/patient", record, dryRun="false"), status)
    told(http.post("/patient", {"patientNo": "P-2", "name": "Sara"}, atomic="true"), 201)
    atomic = told(
        http.post("/patient", record, atomic="true"), 200 if status == 201 else 422
    )
    assert plain.keys() == atomic.keys()
    assert "rolledBack" not in atomic


# --- dryRun ------------------------------------------------------------------------------------


def test_a_dry_run_of_one_new_record_is_a_201_without_an_id(
    http: Http, sqlite_portal: Portal
) -> None:
    answer = told(http.post("/patient", PATIENT, dryRun="true"), 201)
    assert faces(
        answer,
        {"success": True, "action": "created", "id": None, "key": "P-1", "dryRun": True},
    )
    assert faces(answer["data"], PATIENT | {"id": None, "mobile": None, "isActive": True})
    assert set(answer["data"]) == {
        "id",
        "createdAt",
        "updatedAt",
        *FIELDS["patient"].split(),
    }
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
        http.post("/patient", {"patientNo": "P-2", "nationalID": "N-2", "name": "Sara"}),
        201,
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
    assert {item["action"] == "created" or bool(item["matchedBy"]) for item in items} == {
        True
    }
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
            http.post("/doctor", {"code": code, "licenseNumber": "L-1", "name": "Huda"}),
            status,
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
        assert item == {"index": 0} | {
            name: alone[name] for name in item if name != "index"
        }


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
        http.post(
            "/patients", MIXED[:2], headers={"Prefer": "return=minimal"}, atomic="true"
        ),
        200,
    )
    assert [item["index"] for item in answer["results"]] == [1]
