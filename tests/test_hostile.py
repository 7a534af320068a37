"""Requests that no honest client sends: each is answered in kind, leaks nothing, and harms nobody who comes after."""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import API, KEY, Http, Portal

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
ODD_TEXT = [NUL, HALF, "\udfff", "x\udc00y", UNIT, DELETE, "a\x85b", "a\x9fb", "\x00", "a\x1bb"]
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
    *("/Date(999999999999999)/", "/Date(9999999999999999999999)/", "/Date(--1)/", "/Date(٣)x/"),
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
            yield f"{entity}.{name} in two spellings", entity, name, json.dumps(twice).encode()
            last = json.dumps(VALID[entity]).encode()[:-1] + b', "' + name.encode() + b'": [1]}'
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
    ("patient", "4,000 digits in an unknown field", PLAIN + b', "x": ' + b"9" * 4000 + b"}"),
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


# --- Bodies that are no record at all ----------------------------------------------------------

NO_JSON = [
    *(
        b"",
        b" ",
        b"\n",
        b"\x00",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"{",
        b"}",
        b"[",
        b"[,]",
        b"{,}",
        b'"',
        b"'",
    ),
    *(
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"nan",
        b"1e400",
        b"-1e400",
        b"1" * 5000,
        b"-" + b"1" * 5000,
        b"01",
        b"0x1",
        b"1.",
    ),
    *(
        b"undefined",
        b"None",
        b"True",
        b"nul",
        b"{}{}",
        b"[][]",
        b"{} x",
        b"{a: 1}",
        b"{'a': 1}",
        b"[1,]",
        b"/**/{}",
        b"--",
    ),
    *(
        PLAIN + b', "x": NaN}',
        PLAIN + b', "x": 1e999}',
        PLAIN + b', "x": -Infinity}',
        PLAIN + b', "x": ' + b"7" * 5000 + b"}",
    ),
    *(
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ),
    *(
        b'[{"a":' * 50_000,
        PLAIN + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 20_000 + b"]" * 20_000,
    ),
    *(
        PLAIN + b', "x": ' + b'{"y":' * 20_000 + b"1" + b"}" * 20_001,
        b"\xff",
        b"\xfe\xff\x00{\x00}",
        b"\xff\xfe{\x00}\x00",
    ),
    *(
        b'{"name": "\xc3"}',
        b'{"name": "\xed\xa0\x80"}',
        b'{"name": "\xf5\x80\x80\x80"}',
        b'{"\xe9": 1}',
        b"\x1f\x8b\x08\x00",
    ),
    *(
        b'{"name": "a\x00b"}',
        b'{"name": "a\nb"}',
        b'{"name": "\\x41"}',
        b'{"name": "\\u00"}',
        b"<xml/>",
        b"a=1&b=2",
        b"--x\r\n",
    ),
]
NO_RECORD = [
    b"null",
    b'"x"',
    b'""',
    b"1",
    b"-0",
    b"0.1",
    b"true",
    b"false",
    b'"[]"',
    b"9223372036854775808",
    b'"\\ud800"',
]
OF_THE_WRONG_KIND = [
    *(
        ("/patient", body)
        for body in (b"[]", b"[{}]", b"[[]]", b"[null]", b"[" + PLAIN + b"}]", b"[[[[[]]]]]")
    ),
    *(("/patients", body) for body in (b"{}", PLAIN + b"}", b'{"patients": []}', b'{"0": {}}')),
    *(
        ("/sync", body)
        for body in (
            b"[]",
            b"[{}]",
            b'[{"patients": []}]',
            b'{"patient": []}',
            b'{"Patients": [], "patients": []}',
        )
    ),
    *(
        ("/sync", body)
        for body in (
            b'{"patients": {}}',
            b'{"patients": 1}',
            b'{"patients": "[]"}',
            b'{"patients": false}',
        )
    ),
    *(
        ("/sync", body)
        for body in (
            b'{"": []}',
            b'{"\\ud800": []}',
            b'{"\\u0000": 1}',
            b'{"x": []}',
            b'{"results": []}',
        )
    ),
    ("/sync", b'{"' + b"x" * 100_000 + b'": []}'),
    ("/sync", b'{"patients": [], "patients": {}}'),
    ("/sync", b'{"clinics": [], "doctors": 0}'),
]
NO_ELEMENT = [
    b"null",
    b"1",
    b'"x"',
    b"true",
    b"[]",
    b"[[]]",
    b"[{}]",
    b"1.5",
    b'"\\ud800"',
    b"[" * 300 + b"]" * 300,
    b"-0",
]


def odd_bodies() -> Iterator[Request]:
    for path in ("/patient", "/patients", "/sync"):
        for body in NO_JSON:
            yield Request(f"{path} {body[:30]!r}", 400, "invalid_json", API + path, body)
        for body in NO_RECORD:
            yield Request(f"{path} {body!r}", 400, "invalid_body", API + path, body)
    for path, body in OF_THE_WRONG_KIND:
        yield Request(f"{path} {body[:30]!r}", 400, "invalid_body", API + path, body)
    for element in NO_ELEMENT:
        yield Request(
            f"/patients [{element[:20]!r}]", 422, None, f"{API}/patients", b"[" + element + b"]"
        )
        yield Request(
            f"/sync [{element[:20]!r}]",
            422,
            None,
            f"{API}/sync",
            b'{"patients": [' + element + b"]}",
        )
    yield Request(
        "/patients 5,000 nulls", 422, None, f"{API}/patients", b"[" + b"null," * 4999 + b"null]"
    )
    yield Request("/patient {}", 422, "validation_failed", body=b"{}")


# --- Odd paths, queries, headers and methods ---------------------------------------------------

GOOD = PLAIN + b"}"
UNKNOWN_PATHS = [
    *(
        "/patient/",
        "//patient",
        "/patient//",
        "/./patient/x",
        "/PATIENT",
        "/patient%00",
        "/patient%0d%0aX-Evil:1",
        "/%FF%FE",
    ),
    *(
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/app.py",
        "/patient;drop=1",
        "/patient'--",
        "/%F0%9F%98%80",
        "/{}",
        "/<any>",
    ),
    *(
        "/" + "x" * 50_000,
        "/x" * 5_000,
        "/patient%20",
        "/%20patient",
        "/patient%2Fx",
        "/patient\\",
        "/sync/patients",
        "/*",
    ),
    *(
        "/patients/-1/x",
        "/openapi.json",
        "/healthz",
        "/%25",
        "/patient%",
        "/%zz",
        "/\u0430ppointment",
    ),
]
BAD_QUERIES = [
    *(
        "dryRun=1",
        "dryRun=",
        "dryRun=True%00",
        "dryRun=%FF",
        "dryRun[]=true",
        "dryrun=true",
        "DRYRUN=true",
        "=",
        "a",
    ),
    *(
        "atomic=true&atomic=true",
        "atomic=%ud800",
        "x=" + "y" * 50_000,
        "&".join(f"a{n}=1" for n in range(1500)),
    ),
    *(
        "'%20OR%201=1--=1",
        "%00=1",
        "%FF=1",
        "%ED%A0%80=1",
        "dryRun=true%0d%0aX-Evil:%201",
        "__proto__=1",
    ),
    *(
        "atomic=" + "true" * 10_000,
        "dryRun=٣",
        "dry%52un=tru",
        "id=1",
        "after=x",
        "%s=%s",
        "<script>=1",
    ),
]
BAD_TYPES: list[str | None] = [
    *(
        None,
        "",
        " ",
        ";",
        "/",
        "application",
        "application/",
        "/json",
        "json",
        "text/json",
        "text/plain",
        "*/*",
        "application/*",
    ),
    *(
        "application/json/x",
        "application/json x",
        "application/jsonx",
        "application/x-www-form-urlencoded",
        "text/html",
    ),
    *(
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "application/json, text/plain",
        "a" * 10_000,
        "\xe9/json",
    ),
    *(
        "application/json; charset=utf-7",
        "application/json; charset=utf-16le",
        "application/json; charset=base64",
    ),
    *(
        "application/json; charset=" + "x" * 10_000,
        "application/json; charset=../../x",
    ),
    *(
        "application/json; charset=idna",
        "application/json; charset=unicode_escape",
    ),
]
MALFORMED_TYPES = [
    "application/json; charset=\xe9",
    "application/json; charset=utf-8\x00",
    "application/json; =",
]
BAD_ENCODINGS = ["gzip", "deflate", "br", "identity, gzip", "x" * 5_000, "\xe9"]
WEIRD_HEADERS: list[dict[str, str | None]] = [
    *(
        {"Prefer": value}
        for value in (
            ";;;,,,",
            "=",
            '"',
            "return=",
            "return=minimal" * 1000,
            "\xe9",
            "x" * 50_000,
            "\x00",
        )
    ),
    *(
        {"Accept": value}
        for value in ("text/html", "", "\xe9", "application/xml;q=9", "*" * 10_000)
    ),
    *(
        {"X-Request-Id": value}
        for value in ("x" * 10_000, "\xe9", "'; DROP TABLE patient", "<script>", "\x00", " ")
    ),
    *(
        {"Cookie": value}
        for value in ("session=x", "session=" + "x" * 50_000, ";;;===", "\xe9=\xe9", '"')
    ),
    *(
        {"Authorization": value}
        for value in ("Basic x", "Bearer", "Basic \xe9", "Digest x=", "Basic Og==")
    ),
    {"X-HTTP-Method-Override": "DELETE"},
    {
        "X-Forwarded-For": "'; --",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
    },
    {"Forwarded": "for=;;;"},
    {"Range": "bytes=0-1"},
    {"If-Match": '"x"', "If-Modified-Since": "never"},
    {"Expect": "the unexpected"},
    {"Origin": "null", "Referer": "\xe9"},
    {
        "Accept-Language": "\xe9;q=x",
        "Accept-Encoding": "???;q=-1",
        "User-Agent": "() { :; }; echo",
    },
    {"Date": "yesterday", "Content-MD5": "x", "Content-Language": "\xe9", "Content-Range": "x"},
    {f"X-Odd-{number}": "x" for number in range(300)},
]
BAD_KEYS = [
    "",
    " ",
    "x",
    KEY + "\x00",
    f"{KEY},",
    f"{KEY},{KEY}",
    "\xe9" * 50,
    "k" * 50_000,
    "' OR '1'='1",
    "%",
    "None",
    "null",
]
CHUNKED = {
    "wsgi.input_terminated": True,
    "HTTP_TRANSFER_ENCODING": "chunked",
    "CONTENT_LENGTH": "",
}
BEYOND = 64 * 1024 * 1024 + 1


TARGETS = [
    (f"{API}/patient", GOOD, 201),
    (f"{API}/patients", b"[" + GOOD + b"]", 200),
    (f"{API}/sync", b'{"patients": [' + GOOD + b"]}", 200),
]


def odd_addresses() -> Iterator[Request]:
    for path in UNKNOWN_PATHS:
        yield Request(f"path {path[:40]}", 404, "not_found", API + path, GOOD)
        yield Request(
            f"no key, path {path[:40]}",
            401,
            "unauthorized",
            API + path,
            GOOD,
            {"X-API-Key": None},
        )
    for path, body, _ in TARGETS:
        for query in BAD_QUERIES:
            yield Request(
                f"{path}?{query[:40]}", 400, "invalid_parameter", f"{path}?{query}", body
            )
        for method in (
            "PUT",
            "PATCH",
            "DELETE",
            "TRACE",
            "CONNECT",
            "PROPFIND",
            "X" * 1000,
            "\xe9",
        ):
            yield Request(
                f"{method[:20]} {path}", 405, "method_not_allowed", path, body, method=method
            )
    for host in (
        "",
        "a b",
        "x" * 300,
        "[::1",
        "evil.example:99999",
        "\xe9",
        "..",
        "a..b",
        "-",
        "%00",
    ):
        yield Request(
            f"Host {host[:20]}", 0, None, body=GOOD, environ={"HTTP_HOST": host}, stores=True
        )


def odd_headers() -> Iterator[Request]:
    no_header, no_page = (
        {"HTTP_X_API_KEY": "مفتاح\ud800"},
        {"Upgrade": "websocket", "Connection": "Upgrade"},
    )
    for path, body, done in TARGETS:
        for kind in BAD_TYPES:
            about = f"{path} Content-Type {ascii(kind)[:60]}"
            yield Request(
                about, 415, "unsupported_media_type", path, body, {"Content-Type": kind}
            )
        for kind in MALFORMED_TYPES:
            yield Request(
                f"{path} Content-Type {kind}",
                0,
                None,
                path,
                body,
                {"Content-Type": kind},
                stores=True,
            )
        for coding in BAD_ENCODINGS:
            about = f"{path} Content-Encoding {coding[:40]}"
            yield Request(
                about, 415, "unsupported_media_type", path, body, {"Content-Encoding": coding}
            )
        for headers in WEIRD_HEADERS:
            yield Request(
                f"{path} {ascii(headers)[:60]}", done, None, path, body, headers, stores=True
            )
        for key in BAD_KEYS:
            yield Request(
                f"{path} key {key[:40]}", 401, "unauthorized", path, body, {"X-API-Key": key}
            )
        yield Request(
            f"{path} key no header can carry",
            401,
            "unauthorized",
            path,
            body,
            environ=no_header,
        )
        # Where another method has the same path, werkzeug answers 405 instead of 400.
        refused = (
            (405, "method_not_allowed") if path.endswith("patients") else (400, "invalid_body")
        )
        yield Request(f"{path} asks for a websocket", *refused, path, body, no_page)


def odd_lengths() -> Iterator[Request]:
    for path, body, _ in TARGETS:
        for how, environ in {
            "plainly": {},
            "chunked": CHUNKED,
            "promised": {"CONTENT_LENGTH": "9" * 30},
        }.items():
            about = f"{path} {how} beyond the limit"
            yield Request(
                about, 413, "payload_too_large", path, lambda: b" " * BEYOND, environ=environ
            )
        yield Request(f"{path} chunked junk", 400, "invalid_json", path, b"{]", environ=CHUNKED)
        yield Request(
            f"{path} chunked nothing", 400, "invalid_json", path, b"", environ=CHUNKED
        )
        for length in ("0", "5", "-1", "x", "1e3", "\xe9", ""):
            lie = {"CONTENT_LENGTH": length}
            yield Request(
                f"{path} Content-Length {length}", 400, "invalid_json", path, body, environ=lie
            )
        lie = {"CONTENT_LENGTH": str(len(body) + 100)}
        yield Request(
            f"{path} hangs up in mid-body", 400, "invalid_body", path, body, environ=lie
        )


TABLE = [
    *refused_records(),
    *taken_records(),
    *odd_bodies(),
    *odd_addresses(),
    *odd_headers(),
    *odd_lengths(),
]


def check_problem(answer: Any, request: Request) -> None:
    assert answer["status"] == request.status
    assert answer["code"] == request.code
    assert answer["success"] is False
    assert answer["detail"]
    if request.wrong:
        assert list(answer["errors"]) == [request.wrong]


def check_many(answer: Any, request: Request) -> None:
    (part,) = [
        it for it in (answer, *answer.values()) if isinstance(it, dict) and "results" in it
    ]
    assert answer["success"] is (request.status == 200)
    assert {item["success"] for item in part["results"]} == {request.status == 200}
    if request.status != 200:
        assert {(item["status"], item["code"]) for item in part["results"]} == {
            (422, "validation_failed")
        }
    if request.wrong:
        assert [list(item["errors"]) for item in part["results"]] == [[request.wrong]]


@pytest.mark.parametrize(
    "request_", TABLE, ids=lambda it: it.about.encode("ascii", "replace").decode()
)
def test_a_hostile_request_is_answered_in_kind_and_harms_nobody(
    http: Http, sqlite_portal: Portal, request_: Request
) -> None:
    response = request_.send(http)
    text = response.get_data(as_text=True)
    if request_.status:
        assert response.status_code == request_.status, text[:500]
    assert response.status_code < 500, text[:500]
    answer = json.loads(text)
    if request_.code:
        assert response.content_type == PROBLEM
        check_problem(answer, request_)
    elif request_.status in (200, 422):
        assert response.content_type == JSON
        check_many(answer, request_)
    elif request_.status == 0:
        assert response.content_type == (JSON if response.status_code < 400 else PROBLEM)
    sent = b"" if callable(request_.body) else request_.body
    leaks = [
        it
        for it in LEAKS.findall(text)
        if it.encode() not in sent + request_.path.encode("utf-8", "replace")
    ]
    assert leaks == []
    assert KEY not in text
    if not request_.stores:
        assert [sqlite_portal.count(entity) for entity in ENTITIES] == [0, 0, 0, 0]
    following = http.post("/patient", NEXT)
    assert (following.status_code, following.get_json()["data"]["name"]) == (
        201,
        "Next Patient",
    )


def test_the_table_is_long_and_covers_every_kind_of_path() -> None:
    assert len(TABLE) >= 110
    for path in ("patient", "patients", "sync"):
        assert sum(request.path == f"{API}/{path}" for request in TABLE) >= 110


@pytest.mark.parametrize(
    "name", [INJECTION, "%s :name", "<b>Ali</b>", "' OR '1'='1", "A\\'; --"]
)
def test_text_that_looks_like_code_is_stored_as_it_is(
    http: Http, sqlite_portal: Portal, name: str
) -> None:
    assert http.post("/patient", PATIENT | {"name": name}).get_json()["data"]["name"] == name
    assert [row["name"] for row in sqlite_portal.stored("patient")] == [name]


@pytest.mark.parametrize("entity", ENTITIES)
@pytest.mark.parametrize("path", ["plural", "sync"])
def test_hostile_records_between_good_ones_fail_alone(
    http: Http, sqlite_portal: Portal, entity: str, path: str
) -> None:
    http.post("/patient", PATIENT)
    wrong = [(name, record) for _, its, name, record in wrong_records() if its == entity]
    key = next(iter(VALID[entity]))
    good = [
        VALID[entity] | {key: f"G-{n}", "timeFrom": f"{n // 60:02}:{n % 60:02}"}
        for n in range(len(wrong))
    ]
    pairs = zip(wrong, good, strict=True)
    raw = (
        b"["
        + b",".join(it for (_, bad), fine in pairs for it in (bad, json.dumps(fine).encode()))
        + b"]"
    )
    plural = f"{entity}s"
    response = (
        http.post(f"/{plural}", raw)
        if path == "plural"
        else http.post("/sync", b'{"%s": %s}' % (plural.encode(), raw))
    )
    answer = response.get_json() if path == "plural" else response.get_json()[plural]
    assert (response.status_code, answer["created"], answer["failed"]) == (
        207,
        len(good),
        len(wrong),
    )
    assert [item["success"] for item in answer["results"]] == [False, True] * len(good)
    assert [list(item["errors"]) for item in answer["results"][::2]] == [
        [name] for name, _ in wrong
    ]
    assert sqlite_portal.count(entity) == len(good) + (entity == "patient")


def test_a_number_of_5000_digits_is_refused_in_words_for_the_sender(http: Http) -> None:
    detail = http.post("/patient", PLAIN + b', "mobile": ' + b"7" * 5000 + b"}").get_json()[
        "detail"
    ]
    assert "sys." not in detail
    assert "digits" in detail
