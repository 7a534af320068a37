"""Reading over HTTP: lists, filters, the cursor, one record."""

import threading
from typing import Any

import pytest
from conftest import API, KEY, Http, emptied
from flask import Flask

CLINICS = [{"code": f"C-{i}", "name": f"Clinic {i}", "isActive": i != 2} for i in range(3)]
DOCTORS = [
    {"code": "D-1", "licenseNumber": "L-1", "name": "Sara", "clinicCodes": ["C-0", "C-1"]},
    {"code": "D-2", "name": "Huda"},
]
PATIENTS = [
    {"patientNo": "P-1", "nationalID": "N-1", "name": "Ali", "mobile": "0502222222"},
    {"patientNo": "P-2", "name": "Omar", "mobile": "+966502222222", "isActive": False},
    {"nationalID": "N-3", "name": "ريم"},
]
APPOINTMENTS = [
    {
        "appointmentNo": "A-1",
        "patientNo": "P-1",
        "doctorCode": "D-1",
        "clinicCode": "C-0",
        "date": "2026-06-15",
        "timeFrom": "10:30",
    },
    {
        "appointmentNo": "A-2",
        "patientNo": "P-1",
        "doctorCode": "D-2",
        "date": "2026-06-16",
        "timeFrom": "10:30",
    },
    {"appointmentNo": "A-3", "patientNo": "P-2", "date": "2026-06-17", "timeFrom": "10:30"},
]
SAMPLES = {
    "clinics": CLINICS,
    "doctors": DOCTORS,
    "patients": PATIENTS,
    "appointments": APPOINTMENTS,
}


@pytest.fixture
def http(any_app: Flask) -> Http:
    return Http(emptied(any_app).test_client())


@pytest.fixture
def filled(http: Http) -> Http:
    """A service with a few records of each entity; P-1 was P-0 once."""
    http.post("/patient", {"patientNo": "P-0", "nationalID": "N-1", "name": "Ali"})
    assert http.post("/sync", SAMPLES).status_code == 200
    return http


def get(http: Http, path: str, **query: Any) -> Any:
    return http.client.get(f"{API}{path}", headers={"X-API-Key": KEY}, query_string=query)


def keys(http: Http, path: str, name: str, **query: Any) -> list[Any]:
    answer = get(http, path, **query)
    assert answer.status_code == 200, answer.text
    return [record[name] for record in answer.json["data"]]


@pytest.mark.parametrize(
    ("path", "name", "query", "found"),
    [
        ("/clinics", "code", {}, ["C-0", "C-1", "C-2"]),
        ("/clinics", "code", {"code": " c-1 "}, ["C-1"]),
        ("/clinics", "code", {"isActive": "false"}, ["C-2"]),
        ("/clinics", "code", {"isActive": "TRUE", "code": "C-2"}, []),
        ("/doctors", "code", {"licenseNumber": "l-1"}, ["D-1"]),
        ("/doctors", "code", {"clinicCodes": "C-1"}, ["D-1"]),
        ("/patients", "patientNo", {"patientNo": "p-١"}, ["P-1"]),
        ("/patients", "patientNo", {"patientNo": "P-0"}, ["P-1"]),
        ("/patients", "nationalID", {"nationalID": "N-3"}, ["N-3"]),
        ("/patients", "patientNo", {"mobile": "00966502222222"}, ["P-1", "P-2"]),
        ("/patients", "patientNo", {"mobile": "0502222222", "isActive": "true"}, ["P-1"]),
        ("/patients", "patientNo", {"patientNo": "P-9"}, []),
        ("/appointments", "appointmentNo", {"patientNo": "P-1"}, ["A-1", "A-2"]),
        ("/appointments", "appointmentNo", {"patientNo": "P-0"}, ["A-1", "A-2"]),
        ("/appointments", "appointmentNo", {"doctorCode": "d-2"}, ["A-2"]),
        ("/appointments", "appointmentNo", {"clinicCode": "C-0"}, ["A-1"]),
        ("/appointments", "appointmentNo", {"dateFrom": "2026-06-16"}, ["A-2", "A-3"]),
        (
            "/appointments",
            "appointmentNo",
            {"dateFrom": "2026-06-16", "dateTo": "2026-06-16"},
            ["A-2"],
        ),
        ("/appointments", "appointmentNo", {"appointmentNo": "a-3"}, ["A-3"]),
        (
            "/patients",
            "patientNo",
            {"updatedSince": "2020-01-01T00:00:00Z"},
            ["P-1", "P-2", None],
        ),
        ("/patients", "patientNo", {"updatedSince": "2199-01-01T00:00:00+03:00"}, []),
        (
            "/patients",
            "patientNo",
            {"updatedSince": "2020-01-01T00:00:00 03:00"},
            ["P-1", "P-2", None],
        ),
    ],
)
def test_a_list_is_filtered(
    filled: Http, path: str, name: str, query: dict[str, str], found: list[str]
) -> None:
    assert keys(filled, path, name, **query) == found


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/clinics", {"colour": "red"}),
        ("/clinics", {"code": " "}),
        ("/clinics", {"code": "x" * 65}),
        ("/clinics", {"code": ["C-1", "C-2"]}),
        ("/clinics", {"dateFrom": "2026-01-01"}),
        ("/patients", {"isActive": "maybe"}),
        ("/patients", {"limit": "0"}),
        ("/patients", {"limit": "1001"}),
        ("/patients", {"limit": "ten"}),
        ("/patients", {"after": "nonsense"}),
        ("/patients", {"after": "aWQ6MQ=="}),
        ("/patients", {"updatedSince": "2026-06-15"}),
        ("/patients", {"updatedSince": "2026-06-15T00:00:00"}),
        ("/patients", {"updatedSince": "0001-01-01T00:00:00+14:00"}),
        ("/patients", {"updatedSince": "20260615T000000Z"}),
        ("/patients", {"updatedSince": "2026-06-15T00Z"}),
        ("/patients", {"updatedSince": "2026-W25-1T00:00:00Z"}),
        ("/patients", {"updatedSince": "2026-06-15T00:00:00+0300"}),
        ("/patients", {"updatedSince": "٢٠٢٦-06-15T00:00:00Z"}),
        ("/appointments", {"dateTo": "15/06/2026"}),
        ("/appointments", {"dateTo": "0001-01-01"}),
        ("/appointments", {"patientId": "0"}),
        ("/appointments", {"patientId": "-1"}),
        ("/appointments", {"patientId": str(2**63)}),
    ],
)
def test_a_bad_parameter_is_a_400(filled: Http, path: str, query: dict[str, Any]) -> None:
    answer = get(filled, path, **query)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_parameter")


def test_a_reference_is_found_by_id_too(filled: Http) -> None:
    (patient,) = get(filled, "/patients", patientNo="P-1").json["data"]
    assert keys(filled, "/appointments", "appointmentNo", patientId=patient["id"]) == [
        "A-1",
        "A-2",
    ]


def test_one_record_reads_as_it_was_answered_on_writing(filled: Http) -> None:
    for plural, sample in (
        ("clinics", CLINICS),
        ("doctors", DOCTORS),
        ("patients", PATIENTS),
        ("appointments", APPOINTMENTS),
    ):
        written = filled.post(f"/{plural[:-1]}", sample[0]).json["data"]
        assert get(filled, f"/{plural}/{written['id']}").json == written


@pytest.mark.parametrize("record_id", ["999999", "0", "99999999999999999999", "-1", "x"])
def test_an_unknown_id_is_a_404(filled: Http, record_id: str) -> None:
    answer = get(filled, f"/patients/{record_id}")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_reading_needs_the_key(filled: Http) -> None:
    for path in ("/patients", "/patients/1"):
        assert filled.client.get(f"{API}{path}").status_code == 401


def test_pages_miss_nobody_and_repeat_nobody_while_others_write(http: Http) -> None:
    people = [{"patientNo": f"P-{i}", "name": "Somebody"} for i in range(5000)]
    assert http.post("/patients", people).status_code == 200
    done = threading.Event()

    def write() -> None:
        other, number = Http(http.client.application.test_client()), 0
        while not done.is_set():
            number += 1
            assert (
                other.post(
                    "/patient", {"patientNo": f"NEW-{number}", "name": "Late"}
                ).status_code
                == 201
            )
            assert (
                other.post(
                    "/patient", {"patientNo": f"P-{number}", "email": "a@b.example"}
                ).status_code
                == 200
            )

    writer = threading.Thread(target=write)
    writer.start()
    seen, cursor = [], {}
    while cursor is not None:
        answer = get(http, "/patients", limit=100, **cursor).json
        seen += [record["patientNo"] for record in answer["data"]]
        cursor = answer["next"] and {"after": answer["next"]}
    done.set()
    writer.join()
    assert len(seen) == len(set(seen))
    assert [number for number in seen if number.startswith("P-")] == [
        person["patientNo"] for person in people
    ]
