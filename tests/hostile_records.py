"""Hostile records: each fails alone, or is taken as it is."""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from conftest import API, KEY, Http

PROBLEM, JSON = "application/problem+json", "application/json"
ENTITIES = ["clinic", "doctor", "patient", "appointment"]
VALID: dict[str, dict[str, Any]] = {
    "clinic": {"code": "C-1", "name": "Teeth"},
    "doctor": {"code": "D-1", "name": "Huda"},
    "patient": {"patientNo": "P-1", "name": "Ali"},
    "appointment": {
        "appointmentNo": "A-1",
        "patientNo": "P-1",
        "date": "2026-06-15",
        "timeFrom": "10:30",
    },
}
PATIENT = VALID["patient"]
NEXT = {"patientNo": "NEXT-1", "name": "Next Patient", "mobile": "0509999999"}
# What must never be told, unless the sender said it.
LEAKS = re.compile(
    r"Traceback|File \"|\.py\b|\bline \d+, in\b|sqlalchemy|sqlite|psycopg|pymysql|werkzeug|marshmallow"
    r"|\bSELECT\b|\bINSERT INTO\b|\bUPDATE \w+ SET\b|\bDELETE FROM\b|\bDROP TABLE\b|RecursionError|OverflowError"
    r"|UnicodeEncodeError|object at 0x|<class"
)


@dataclass
class Request:
    """One hostile request and its due answer.

    `code` is that of a problem, None means a JSON answer; a status of 0: whatever is no 5xx.
    """

    about: str
    status: int
    code: str | None = None
    path: str = f"{API}/patient"
    body: bytes | Callable[[], bytes] = b""
    headers: dict[str, str | None] = field(default_factory=dict)
    method: str = "POST"
    environ: dict[str, Any] = field(default_factory=dict)
    wrong: str | None = None  # the one field of the one record that is not right
    stores: bool = False

    def send(self, http: Http) -> Any:
        body = self.body() if callable(self.body) else self.body
        headers = {"X-API-Key": KEY, "Content-Type": JSON} | self.headers
        headers = {name: value for name, value in headers.items() if value is not None}
        return http.client.open(
            self.path,
            method=self.method,
            headers=headers,
            input_stream=io.BytesIO(body),
            environ_overrides={"CONTENT_LENGTH": str(len(body))} | self.environ,
        )


def bodies(entity: str, record: Any) -> Iterator[tuple[str, bytes, bool]]:
    """Yield the record for each kind of path, and whether that one is for many."""
    raw = record if isinstance(record, bytes) else json.dumps(record).encode()
    yield f"{API}/{entity}", raw, False
    yield f"{API}/{entity}s", b"[" + raw + b"]", True
    yield f"{API}/sync", b'{"' + entity.encode() + b's": [' + raw + b"]}", True


# --- Records with one wrong field --------------------------------------------------------------

NUL, HALF, UNIT, DELETE = "a\x00b", "\ud800", "a\x1fb", "a\x7fb"
NO_TEXT: list[Any] = [True, False, 1.5, -0.5, 1e300, [], {}, ["x"], {"x": 1}, [[]]]
ODD_TEXT = [
    NUL,
    HALF,
    "\udfff",
    "x\udc00y",
    UNIT,
    DELETE,
    "a\x85b",
    "a\x9fb",
    "\x00",
    "a\x1bb",
]
NO_DATE: list[Any] = [
    *(20260615, 0, 1, -1, 2**63, 10**200, 1781481600000, *NO_TEXT, *ODD_TEXT),
    *(
        "20260615",
        "15/06/2026",
        "06/15/2026",
        "15-06-2026",
        "2026/06/15",
        "2026-6-5",
        "2026-06",
        "2026",
        "26-06-15",
    ),
    *(
        "2026-13-01",
        "2026-02-30",
        "2026-06-31",
        "2025-02-29",
        "0000-13-01",
        "1448-13-01",
        "1448-01-32",
        "-2026-06-15",
    ),
    *(
        "10000-01-01",
        "+2026-06-15",
        "2026-W25-1",
        "2026-166",
        "today",
        "nullx",
        "2026-06-15x",
        "2026-06-15 x",
    ),
    *(
        "2026-06-15T",
        "2026-06-15T10",
        "2026-06-15T24:00:01",
        "2026-06-15T25:00",
        "2026-06-15T10:60",
        "2026-06-15T1:00",
    ),
    *(
        "2026-06-15T10:30:61",
        "2026-06-15T10:30:00.",
        "2026-06-15T10:30:00Zx",
        "2026-06-15T10:30:00+99:00",
    ),
    *(
        "2026-06-15T10:30:00+24:00",
        "2026-06-15T10:30:00+3",
        "2026-06-15Z",
        "2026-06-15+03:00",
        "2026-06-15TT10:30",
    ),
    *(
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T21:00:01Z",
        "２０２６-06-15",
        "2026\u221206\u221215",
        "२०२६-06-15",
    ),
    *(
        "/Date()/",
        "/Date(x)/",
        "/Date(1.5)/",
        "/Date(1e3)/",
        "Date(0)",
        "/Date(0)",
        "/date(1781481600000)/",
    ),
    *(
        "/Date(1781481600000+9999)/",
        "/Date(1781481600000+3)/",
        "/Date(1781481600000Z)/",
        "/Date( 0)/",
    ),
    *(
        "/Date(999999999999999)/",
        "/Date(9999999999999999999999)/",
        "/Date(--1)/",
        "/Date(٣)x/",
    ),
]
NO_TIME: list[Any] = [
    *(1030, 0, 2**63, *NO_TEXT, *ODD_TEXT),
    *(
        "24:01",
        "24:00:01",
        "25:00",
        "10:60",
        "10:30:60",
        "10",
        "1030",
        "1:30",
        "10:3",
        "10.30",
        "10:30 AM",
        "noon",
    ),
    *(
        "-10:30",
        "+10:30",
        "10:30Z",
        "10:30+03:00",
        "T10:30",
        "10:30:00.",
        "10:30:00:00",
        "2026-06-15",
        "1.10:30:00",
    ),
    *("PT10H", "２０:30", "/Date()/", "9999-12-31T23:59:59-14:00"),
]
NO_BOOKING_DATE = [
    "2026-00-10",
    "0000-01-01",
    "1405-02-30",
    "1880-01-01",
    "1320-05-05T00:00:00",
]
NO_ID: list[Any] = [
    2**63,
    2**64,
    10**100,
    True,
    False,
    1.0,
    1.5,
    1e3,
    "x",
    "17",
    NUL,
    HALF,
    [],
    {},
    [1],
]
NO_FLAG: list[Any] = [
    2,
    -2,
    2**63,
    1.0,
    0.0,
    1.5,
    "y",
    "n",
    "on",
    "2",
    "t",
    "truee",
    NUL,
    HALF,
    [],
    {},
    [True],
]
NO_CODES: list[Any] = [
    *(
        "C-1",
        0,
        1,
        True,
        1.5,
        {},
        {"0": "C-1"},
        [["C-1"]],
        [[]],
        [{}],
        [True],
        [1.5],
        [NUL],
        [HALF],
        ["x" * 65],
        [10**64],
    ),
    ["C-1", "C-2", False],
]
NO_GENDER: list[Any] = [
    *NO_TEXT,
    *ODD_TEXT,
    "X",
    "Male Female",
    "0",
    0,
    1,
    2**63,
    "رجل",
    "x" * 10_000,
]
NO_BLOOD: list[Any] = [
    *NO_TEXT,
    *ODD_TEXT,
    "C+",
    "O",
    "+O",
    "A++",
    "A+ve+",
    "ABO+",
    0,
    2**63,
    "Rh+",
]
NO_EMAIL: list[Any] = [
    *(
        *NO_TEXT,
        *ODD_TEXT,
        0,
        2**63,
        "x",
        "a@",
        "@b.example",
        "a b@c.example",
        "a@b@c.example",
        "a@.example",
        "<a@b.example>",
    ),
    *(
        "a@b.example\nBcc: c@d.example",
        "a@b.example,c@d.example",
        "a@" + "b" * 10_000,
        "a" + "@" * 10_000,
    ),
]
LONG_TEXT_WRONG: list[Any] = [*NO_TEXT, *ODD_TEXT, "x" * 4001, "x" * 1_000_000]
TEXT_WRONG: list[Any] = [
    *NO_TEXT,
    *ODD_TEXT,
    "x" * 201,
    10**200,
    "x" * 1_000_000,
    "a" + "😀" * 200,
    "a\nb",
    "a\tb",
]
NAME_WRONG: list[Any] = [*TEXT_WRONG, "", " ", "\u00a0", "\u200f\u200b"]
IDENTIFIER_WRONG: list[Any] = [
    *NO_TEXT,
    *ODD_TEXT,
    "x" * 65,
    12**60,
    12**3900,
    "ß" * 40,
    "\ufdfa" * 10,
    "a\nb\x00",
]
IDENTIFIER_WRONG += ["1.08E+09", "1e-5", "٧E+٠٩"]
WRONG: list[tuple[str, str, list[Any]]] = [
    ("clinic", "code", IDENTIFIER_WRONG),
    ("clinic", "name", NAME_WRONG),
    ("clinic", "address", LONG_TEXT_WRONG),
    ("clinic", "isActive", NO_FLAG),
    ("clinic", "costCenterNo", TEXT_WRONG),
    ("doctor", "licenseNumber", IDENTIFIER_WRONG),
    ("doctor", "aName", TEXT_WRONG),
    ("doctor", "description", LONG_TEXT_WRONG),
    ("doctor", "clinicCodes", NO_CODES),
    ("doctor", "dateOfBirth", [*NO_DATE, "2999-01-01", "9999-12-31"]),
    ("patient", "patientNo", IDENTIFIER_WRONG),
    ("patient", "nationalID", IDENTIFIER_WRONG),
    ("patient", "name", NAME_WRONG),
    ("patient", "mobile", [*NO_TEXT, *ODD_TEXT, "5" * 201, 10**200]),
    ("patient", "phone", [*NO_TEXT, *ODD_TEXT, "x" * 201]),
    ("patient", "dateOfBirth", [*NO_DATE, "2999-01-01", "9999-12-31T00:00:00+14:00"]),
    ("patient", "gender", NO_GENDER),
    ("patient", "bloodType", NO_BLOOD),
    ("patient", "email", NO_EMAIL),
    ("patient", "isActive", NO_FLAG),
    ("appointment", "appointmentNo", IDENTIFIER_WRONG),
    ("appointment", "patientNo", IDENTIFIER_WRONG),
    ("appointment", "doctorCode", IDENTIFIER_WRONG),
    ("appointment", "clinicCode", IDENTIFIER_WRONG),
    ("appointment", "patientId", NO_ID),
    ("appointment", "doctorId", NO_ID),
    ("appointment", "clinicId", NO_ID),
    ("appointment", "date", [*NO_DATE, *NO_BOOKING_DATE, ""]),
    ("appointment", "timeFrom", [*NO_TIME, "24:00", "24:00:00", "1.00:00:00", ""]),
    ("appointment", "timeTo", [*NO_TIME, "10:30", "10:29", "00:00:01"]),
    ("appointment", "status", [*NO_TEXT, *ODD_TEXT, "x" * 41, 10**40]),
    ("appointment", "notes", LONG_TEXT_WRONG),
]


def wrong_records() -> Iterator[tuple[str, str, str, bytes]]:
    """Yield (about, entity, field, record) for each record with one wrong field."""
    for entity, name, values in WRONG:
        for value in values:
            about = f"{entity}.{name}={ascii(value)[:40]}"
            yield about, entity, name, json.dumps(VALID[entity] | {name: value}).encode()
    for entity in ENTITIES:
        for name, value in VALID[entity].items():
            twice = VALID[entity] | {name.upper(): value}
            yield (
                f"{entity}.{name} in two spellings",
                entity,
                name,
                json.dumps(twice).encode(),
            )
            last = (
                json.dumps(VALID[entity]).encode()[:-1]
                + b', "'
                + name.encode()
                + b'": [1]}'
            )
            yield f"{entity}.{name} twice, the last one a list", entity, name, last
    yield (
        "patient.name twice, one null",
        "patient",
        "name",
        b'{"patientNo": "P-1", "name": "Ali", "Name": null}',
    )


def refused_records() -> Iterator[Request]:
    """Yield each wrong record for its singular path, and in turn for the plural one or /sync."""
    for turn, (about, entity, name, record) in enumerate(wrong_records()):
        one, *others = bodies(entity, record)
        for path, body, many in (one, others[turn % 2]):
            code = None if many else "validation_failed"
            yield Request(f"{path[len(API) :]} {about}", 422, code, path, body, wrong=name)


# --- Records that are odd, and taken -----------------------------------------------------------

INJECTION = "Robert'); DROP TABLE patient;--"
PLAIN = json.dumps(PATIENT).encode()[:-1]
TAKEN: list[tuple[str, str, bytes]] = [
    *(
        ("patient", f"patient with {ascii(more)[:40]}", json.dumps(PATIENT | more).encode())
        for more in [
            {"name": INJECTION},
            {"name": "' OR '1'='1"},
            {"name": '"; DELETE FROM patient; --'},
            {"name": "%s %(name)s :name ? {0} ${7*7} {{7*7}}"},
            {"name": "<script>alert(1)</script>"},
            {"name": "../../etc/passwd"},
            {"name": "a" + "😀" * 199},
            {"name": "\u202eevil\u202c"},
            {"name": "a" + "\u0301" * 199},
            {"name": 2**63},
            {"name": -(2**63) - 1},
            {"patientNo": 2**64},
            {"patientNo": "P-1' --"},
            {"nationalID": "%"},
            {"nationalID": 10**63},
            {"firstName": "\ufffe\uffff"},
            {"mobile": 2**63},
            {"mobile": "' OR 1=1 --"},
            {"mobile": "5" * 200},
            {"mobile": "+" * 200},
            {"phone": "0" * 200},
            {"phone": "٠" * 50},
            {"dateOfBirth": "0001-01-01T00:00:01+14:00"},
            {"dateOfBirth": "0001-01-01T00:00:00-14:00"},
            {"dateOfBirth": "/Date(-999999999999999)/"},
            {"dateOfBirth": "/Date(-1+1400)/"},
            {"dateOfBirth": "1999-12-31T23:59:59.999999999999999999999999Z"},
            {"id": -1, "createdAt": [], "updatedAt": {"x": NUL}},
            {"ID": 2**63},
            {"__proto__": {"isActive": False}, "constructor": 1, "__class__": "x"},
            {HALF: 1},
            {NUL: HALF},
            {"": ""},
            {"x" * 100_000: "y"},
            {"x": "y" * 100_000},
            {"SELECT * FROM patient": 1},
            {"contactKey": "x", "contact_key": 1, "version": 9, "patient_no": "P-2"},
            {f"field{number}": number for number in range(2000)},
            {"deep": json.loads("[" * 400 + "]" * 400)},
        ]
    ),
    (
        "patient",
        "name twice to the letter",
        b'{"patientNo": "P-1", "name": "First", "name": "Second"}',
    ),
    (
        "patient",
        "name twice, a list first",
        b'{"patientNo": "P-1", "name": [1], "name": "Second"}',
    ),
    ("patient", "an exponent in an unknown field", PLAIN + b', "x": 1e308}'),
    ("patient", "a tiny number in an unknown field", PLAIN + b', "x": 1e-999}'),
    (
        "patient",
        "4,000 digits in an unknown field",
        PLAIN + b', "x": ' + b"9" * 4000 + b"}",
    ),
    (
        "patient",
        "escapes for letters",
        b'{"\\u0070atientNo": "P-1", "name": "\\u0041\\/\\ud83d\\ude00"}',
    ),
    (
        "clinic",
        "SQL in a clinic's code",
        json.dumps({"code": "1; SELECT 1", "name": "x"}).encode(),
    ),
    (
        "clinic",
        "a huge number for a code",
        json.dumps({"code": 10**63, "name": 10**199}).encode(),
    ),
    (
        "doctor",
        "10,000 unknown clinics",
        json.dumps(VALID["doctor"] | {"clinicCodes": list(range(10_000))}).encode(),
    ),
    (
        "doctor",
        "nulls and blanks for clinics",
        json.dumps(VALID["doctor"] | {"clinicCodes": [None, "", " "]}).encode(),
    ),
    (
        "doctor",
        "huge numbers for clinics",
        json.dumps(VALID["doctor"] | {"clinicCodes": [2**63, -(2**63)]}).encode(),
    ),
]


def taken_records() -> Iterator[Request]:
    for entity, about, record in TAKEN:
        for path, body, many in bodies(entity, record):
            yield Request(
                f"{path[len(API) :]} {about}",
                200 if many else 201,
                None,
                path,
                body,
                stores=True,
            )
