"""The outermost layer over HTTP: who is let in, what bodies are read, how every failure is answered."""

import io
import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import API, KEY, Http, Portal, emptied, migrated
from flask import Flask

import sync
from engine import database
from models import db

SINGULAR = ["/clinic", "/doctor", "/patient", "/appointment"]
PLURAL = ["/clinics", "/doctors", "/patients", "/appointments"]
PAIRS = list(zip(SINGULAR, PLURAL, strict=True))
WRITING = [*SINGULAR, *PLURAL, "/sync"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"]
PATIENT = {"patientNo": "P-1", "name": "Ali Hassan"}
PROBLEM = "application/problem+json"
ARABIC, ACCENTED = "ريم بنت فهد القحطاني", "Zoë Müller-Lefèvre"


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """Assert that the answer is the problem it should be; returns it."""
    told = response.get_json()
    assert (response.status_code, response.content_type) == (status, PROBLEM)
    assert (told["status"], told["code"], told["success"]) == (status, code, False)
    assert isinstance(told["type"], str)
    assert told["title"]
    assert told["detail"]
    assert response.headers["X-Request-Id"]
    return told


def with_charset(charset: str) -> dict[str, str]:
    return {"Content-Type": f"application/json; charset={charset}"}


# --- Access ------------------------------------------------------------------------------------

BELOW_API = [
    *(f"{API}{path}" for path in WRITING),
    *(f"{API}{path}/1" for path in PLURAL),
    f"{API}/syncs",
    f"{API}/no-such-thing",
    f"{API}/",
    f"{API}/patient/",
    f"{API}//patient",
    f"{API}/%70atient",
    "/%61pi/healthcare/patient",
    "/api/",
    "/api/x",
    "/api/../api/healthcare/patient",
]
WRONG_KEYS = {
    "missing": None,
    "empty": "",
    "cut": KEY[:-1],
    "longer": f"{KEY}x",
    "upper case": KEY.upper(),
    "with its name": f"tests:{KEY}",
    "a key's name": "tests",
    "joined by a comma": f"{KEY},{KEY}",
    "joined by a comma and a blank": f"{KEY}, {KEY}-2",
    "Latin-1": "cl\xe9-pour-les-tests",
    "UTF-8 bytes": "مفتاح".encode().decode("latin-1"),
    "NUL": "\x00",
    "huge": "k" * 100_000,
}


@pytest.mark.parametrize("path", BELOW_API)
@pytest.mark.parametrize("method", METHODS)
def test_without_the_key_nothing_below_api_answers_but_401(
    http: Http, method: str, path: str
) -> None:
    for key in (None, "a-wrong-key-of-some-length"):
        response = http.client.open(
            path, method=method, headers={} if key is None else {"X-API-Key": key}
        )
        assert response.status_code == 401
        assert response.content_type == PROBLEM
        if method != "HEAD":
            refused(response, 401, "unauthorized")


@pytest.mark.parametrize("key", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
@pytest.mark.parametrize("path", ["/patient", "/patients", "/sync", "/no-such-thing"])
def test_a_wrong_key_is_a_401(http: Http, path: str, key: str | None) -> None:
    refused(http.post(path, PATIENT, headers={"X-API-Key": key}), 401, "unauthorized")


def test_a_key_that_no_header_can_carry_is_a_401(http: Http) -> None:
    response = http.client.post(
        f"{API}/patient", json=PATIENT, environ_overrides={"HTTP_X_API_KEY": "مفتاح\ud800"}
    )
    refused(response, 401, "unauthorized")


@pytest.mark.parametrize(
    ("body", "headers", "query"),
    [
        pytest.param(b"{", {}, {}, id="not JSON"),
        pytest.param(b"\xff\xfe", {}, {}, id="undecodable"),
        pytest.param(b"[" * 100_000, {}, {}, id="nested"),
        pytest.param(b"x", {"Content-Type": "text/plain"}, {}, id="415"),
        pytest.param(b"x", {"Content-Encoding": "gzip"}, {}, id="encoded"),
        pytest.param(b"{}", {}, {"dryRum": "true"}, id="bad parameter"),
        pytest.param(b"[]", {}, {}, id="array"),
    ],
)
def test_the_key_is_looked_at_before_anything_else(
    http: Http, body: bytes, headers: dict, query: dict
) -> None:
    refused(
        http.post("/patient", body, headers={**headers, "X-API-Key": None}, **query),
        401,
        "unauthorized",
    )


@pytest.mark.parametrize("key", [KEY, f"{KEY}-2"])
def test_each_configured_key_works(http: Http, key: str) -> None:
    assert http.post("/patient", PATIENT, headers={"X-API-Key": key}).status_code == 201


def test_wrong_keys_never_lock_the_right_one_out(http: Http) -> None:
    for _ in range(50):
        http.post("/patient", PATIENT, headers={"X-API-Key": "wrong"})
    assert http.post("/patient", PATIENT).status_code == 201


def test_after_a_401_nothing_is_stored(http: Http, sqlite_portal: Portal) -> None:
    http.post("/patient", PATIENT, headers={"X-API-Key": "wrong"})
    assert sqlite_portal.stored("patient") == []


def test_the_log_names_the_key_and_never_holds_one(
    http: Http, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    http.post("/patients", [PATIENT], headers={"X-API-Key": f"{KEY}-2"})
    http.post("/patients", [PATIENT], headers={"X-API-Key": "wrong-key-of-somebody"})
    assert "second" in caplog.text
    assert KEY not in caplog.text
    assert "wrong-key-of-somebody" not in caplog.text


def test_a_401_tells_no_key(http: Http) -> None:
    text = http.post("/patient", PATIENT, headers={"X-API-Key": "sent-but-wrong"}).get_data(
        as_text=True
    )
    assert KEY not in text
    assert "sent-but-wrong" not in text
    assert "X-API-Key" in text


# --- Content-Type and charset ------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json;",
        "application/vnd.clinic.v1+json",
        "application/problem+json",
        "application/ld+json; profile=x",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; charset=utf8",
        "application/json; Charset=Utf-8; odd=1",
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
def test_json_in_utf_8_is_read(http: Http, kind: str, mark: bytes) -> None:
    body = mark + json.dumps(PATIENT | {"name": ARABIC}, ensure_ascii=False).encode()
    response = http.post("/patient", body, headers={"Content-Type": kind})
    assert (response.status_code, response.get_json()["data"]["name"]) == (201, ARABIC)


@pytest.mark.parametrize(
    ("charset", "codec", "name"),
    [
        ("windows-1256", "cp1256", ARABIC),
        ("Windows-1256", "cp1256", ARABIC),
        ('"windows-1256"', "cp1256", ARABIC),
        ("windows-1252", "cp1252", ACCENTED),
        ("WINDOWS-1252", "cp1252", "€ “Zoë” Žižek"),
    ],
)
@pytest.mark.parametrize("path", ["/patient", "/patients"])
def test_a_windows_code_page_that_is_declared_is_stored_right(
    *, http: Http, sqlite_portal: Portal, path: str, charset: str, codec: str, name: str
) -> None:
    record = PATIENT | {"name": name}
    body = json.dumps(record if path == "/patient" else [record], ensure_ascii=False).encode(
        codec
    )
    assert http.post(path, body, headers=with_charset(charset)).status_code in (200, 201)
    assert [row["name"] for row in sqlite_portal.stored("patient")] == [name]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": None},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "text/json"},
        {"Content-Type": "text/html; charset=utf-8"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/octet-stream"},
        {"Content-Type": "application/xml"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/json-seq"},
        {"Content-Type": "application/+json"},
        {"Content-Type": "json"},
        {"Content-Type": "application/json, application/json"},
        {"Content-Type": "*/*"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json; charset=utf-32"},
        {"Content-Type": "application/json; charset=iso-8859-6"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json; charset=rot13"},
        {"Content-Type": "application/json; charset=no-such-thing"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "deflate"},
        {"Content-Encoding": "br"},
        {"Content-Encoding": "utf-8"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/patient", "/patients", "/sync"])
def test_anything_else_is_a_415_that_says_what_to_send(
    http: Http, path: str, headers: dict
) -> None:
    body = {"/patient": PATIENT, "/patients": [PATIENT], "/sync": {"patients": [PATIENT]}}[path]
    detail = refused(http.post(path, body, headers=headers), 415, "unsupported_media_type")[
        "detail"
    ]
    assert re.search("application/json|UTF-8|Content-Encoding", detail)


def test_a_415_stores_nothing(http: Http, sqlite_portal: Portal) -> None:
    http.post("/patient", PATIENT, headers={"Content-Type": "text/plain"})
    assert sqlite_portal.stored("patient") == []


@pytest.mark.parametrize(
    ("body", "position", "charset"),
    [
        pytest.param(b'{"name": "Zo\xeb"}', 12, None, id="an ANSI letter"),
        pytest.param(b'{"name": "Zo\xeb"}', 12, "utf-8", id="an ANSI letter, declared UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"name": "Zo\xeb"}', 15, None, id="after a BOM"),
        pytest.param(b'\xe9{"name": "Zo\xeb"}', 0, None, id="the first byte"),
        pytest.param(
            '{"name": "ريم'.encode() + b'\xd9"}',
            16,
            None,
            id="after Arabic letters, counted in bytes",
        ),
        pytest.param(b'{"name": "\xed\xa0\x80"}', 10, None, id="a surrogate in UTF-8"),
        pytest.param(b'{"name": "\xc0\x80"}', 10, None, id="an overlong NUL"),
        pytest.param(b'{"name": "Zo\xc3', 12, None, id="cut in mid-letter"),
        pytest.param(
            b'{"name": "\x81"}', 10, "windows-1252", id="a byte that windows-1252 leaves free"
        ),
        pytest.param(json.dumps(PATIENT).encode("utf-16"), 0, None, id="UTF-16"),
    ],
)
@pytest.mark.parametrize("path", ["/patient", "/patients", "/sync"])
def test_a_byte_that_does_not_decode_is_named_by_its_position(
    http: Http, path: str, body: bytes, position: int, charset: str | None
) -> None:
    told = refused(
        http.post(path, body, headers=with_charset(charset) if charset else {}),
        400,
        "invalid_json",
    )
    assert re.findall(r"position (\d+)", told["detail"]) == [str(position)]
    assert "UTF-8" in told["detail"]
    assert "curl --data-binary @" in told["detail"]


# --- Limits ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    url = f"sqlite:///{tmp_path_factory.mktemp('small') / 'clinic.db'}"
    with migrated(url, MAX_BATCH="3", MAX_CONTENT_LENGTH="2000") as app:
        yield app


@pytest.fixture
def small(small_app: Flask) -> Http:
    return Http(emptied(small_app).test_client())


@pytest.fixture
def small_portal(small_app: Flask) -> Portal:
    return Portal(small_app)


def chunked(http: Http, path: str, body: bytes) -> Any:
    """Post without a Content-Length, as .NET's PostAsJsonAsync does."""
    as_chunks = {
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
    }
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    return http.client.post(
        f"{API}{path}",
        input_stream=io.BytesIO(body),
        headers=headers,
        environ_overrides=as_chunks,
    )


def patients(count: int) -> list[dict[str, str]]:
    return [
        {"patientNo": f"P-{number}", "name": f"Patient {number}"} for number in range(count)
    ]


def test_exactly_max_batch_records_are_taken(small: Http, small_portal: Portal) -> None:
    response = small.post("/patients", patients(3))
    assert (response.status_code, response.get_json()["created"]) == (200, 3)
    assert small_portal.count("patient") == 3


@pytest.mark.parametrize("query", [{}, {"atomic": "true"}, {"dryRun": "true"}])
def test_one_more_than_max_batch_is_a_413_that_names_the_limit(
    small: Http, small_portal: Portal, query: dict[str, str]
) -> None:
    told = refused(small.post("/patients", patients(4), **query), 413, "payload_too_large")
    assert re.search(r"\b3 records", told["detail"])
    assert small_portal.count("patient") == 0


def test_in_sync_max_batch_counts_all_four_together(small: Http, small_portal: Portal) -> None:
    one_each = {
        "clinics": [{"code": "C-1", "name": "Teeth"}],
        "doctors": [{"code": "D-1", "name": "Huda"}],
    }
    too_many = refused(
        small.post("/sync", one_each | {"patients": patients(2)}), 413, "payload_too_large"
    )
    assert re.search(r"\b3 records", too_many["detail"])
    assert [small_portal.count(table) for table in ("clinic", "doctor", "patient")] == [0, 0, 0]
    enough = small.post("/sync", one_each | {"patients": patients(1), "appointments": None})
    assert (enough.status_code, enough.get_json()["created"]) == (200, 3)


@pytest.mark.parametrize("send", [Http.post, chunked], ids=["with a length", "chunked"])
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/patient", json.dumps(PATIENT).encode(), 201),
        ("/patients", b"[]", 200),
        ("/sync", b"{}", 200),
    ],
)
def test_a_body_of_exactly_the_limit_is_taken(
    small: Http, send: Any, path: str, body: bytes, status: int
) -> None:
    assert send(small, path, body.ljust(2000)).status_code == status


@pytest.mark.parametrize("send", [Http.post, chunked], ids=["with a length", "chunked"])
@pytest.mark.parametrize("length", [2001, 2002, 100_000])
@pytest.mark.parametrize(
    ("path", "body"),
    [("/patient", json.dumps(PATIENT).encode()), ("/patients", b"[]"), ("/sync", b"{}")],
)
def test_a_longer_body_is_a_413_that_names_the_limit(
    *, small: Http, small_portal: Portal, send: Any, path: str, body: bytes, length: int
) -> None:
    told = refused(send(small, path, body.ljust(length)), 413, "payload_too_large")
    assert "2000 bytes" in told["detail"]
    assert small_portal.count("patient") == 0


def test_a_body_too_long_without_the_key_is_a_401(small: Http) -> None:
    refused(
        small.post("/patients", b"[]".ljust(5000), headers={"X-API-Key": None}),
        401,
        "unauthorized",
    )


# --- The wrong kind of body, parameter, path or method -----------------------------------------


@pytest.mark.parametrize(("singular", "plural"), PAIRS)
@pytest.mark.parametrize("query", [{}, {"dryRun": "true"}])
def test_an_array_to_a_singular_path_names_the_plural_one(
    http: Http, singular: str, plural: str, query: dict[str, str]
) -> None:
    told = refused(http.post(singular, [PATIENT], **query), 400, "invalid_body")
    assert re.search(rf"{API}{plural}\b", told["detail"])


@pytest.mark.parametrize(("singular", "plural"), PAIRS)
def test_an_object_to_a_plural_path_names_the_singular_one(
    http: Http, singular: str, plural: str
) -> None:
    told = refused(http.post(plural, PATIENT), 400, "invalid_body")
    assert re.search(rf"{API}{singular}\b", told["detail"])


@pytest.mark.parametrize("body", [None, "x", "", 1, 0, True, False, 1.5, "{}"], ids=repr)
@pytest.mark.parametrize("path", WRITING)
def test_a_body_that_is_neither_object_nor_array_is_a_400(
    http: Http, path: str, body: Any
) -> None:
    refused(http.post(path, body), 400, "invalid_body")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([], "clinics"),
        ([PATIENT], "patients"),
        ({"patient": [PATIENT]}, "patient"),
        ({"Patient": [PATIENT]}, "Patient"),
        ({"patients": [PATIENT], "Patients": []}, "Patients"),
        ({"patients": [PATIENT], "rooms": []}, "rooms"),
        ({"patients": [PATIENT], "rooms": None}, "rooms"),
        ({"patients": PATIENT}, "patients"),
        ({"patients": "x"}, "patients"),
        ({"patients": [PATIENT], "clinics": 0}, "clinics"),
        ({"patients": [PATIENT], "clinics": False}, "clinics"),
        ({"patients": [PATIENT], "appointments": {}}, "appointments"),
    ],
)
def test_sync_refuses_unknown_members_and_members_that_are_no_lists(
    http: Http, sqlite_portal: Portal, body: Any, named: str
) -> None:
    assert named in refused(http.post("/sync", body), 400, "invalid_body")["detail"]
    assert sqlite_portal.stored("patient") == []


def test_a_null_member_of_sync_counts_as_absent(http: Http) -> None:
    told = http.post(
        "/sync", {"clinics": None, "patients": [PATIENT], "doctors": None}
    ).get_json()
    assert (told["total"], told["created"]) == (1, 1)
    assert "patients" in told
    assert not told.keys() & {"clinics", "doctors", "appointments"}


def test_of_a_json_name_given_twice_the_last_one_counts(http: Http) -> None:
    response = http.post("/patient", b'{"patientNo": "P-1", "name": "First", "name": "Second"}')
    assert (response.status_code, response.get_json()["data"]["name"]) == (201, "Second")


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b" ",
            b"\xef\xbb\xbf",
            b"{",
            b"{]",
            b"{'a': 1}",
            b'{"a": 1,}',
            b'{"a"}',
            b"{} {}",
            b"nul",
            b"\x00",
        ),
        *(
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b'{"a": -Infinity}',
            b'{"a": 1e400}',
            b'{"a": -1e400}',
            b"NaN",
        ),
        *(
            b'{"a": 01}',
            b'{"a": +1}',
            b'{"a": .5}',
            b'{"a": 0x10}',
            b'{"a": "\n"}',
            b'{"a": "\\x"}',
            b'{"a": "\\u12"}',
        ),
        *(
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"[" * 100_000 + b"]" * 100_000,
            b"a=1&b=2",
            b"<patient/>",
        ),
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize("path", ["/patient", "/patients", "/sync"])
def test_a_body_that_is_no_json_is_a_400(http: Http, path: str, body: bytes) -> None:
    refused(http.post(path, body), 400, "invalid_json")


@pytest.mark.parametrize(
    "query",
    [
        *(
            "dryrun=true",
            "DryRun=true",
            "dry_run=true",
            "atomik=true",
            "x=1",
            "x",
            "limit=1",
            "=true",
        ),
        *(
            "dryRun=",
            "dryRun",
            "dryRun=1",
            "dryRun=yes",
            "dryRun=%20true",
            "dryRun=true,false",
            "dryRun=null",
        ),
        *(
            "atomic=0",
            "atomic=on",
            "atomic=truee",
            "atomic=%FF",
            "atomic=%00",
            "atomic=true%00",
        ),
        *(
            "dryRun=true&dryRun=true",
            "dryRun=true&dryRun=false",
            "atomic=true&dryRun=false&atomic=true",
        ),
        *("dryRun=true&x=1", "dryRun=true;atomic=true", "dryRun[]=true"),
    ],
)
@pytest.mark.parametrize("path", ["/patient", "/patients", "/sync"])
def test_a_bad_misspelt_or_repeated_parameter_is_a_400(
    http: Http, sqlite_portal: Portal, path: str, query: str
) -> None:
    body = {"/patient": PATIENT, "/patients": [PATIENT], "/sync": {"patients": [PATIENT]}}[path]
    response = http.client.post(f"{API}{path}?{query}", json=body, headers={"X-API-Key": KEY})
    refused(response, 400, "invalid_parameter")
    assert sqlite_portal.stored("patient") == []


@pytest.mark.parametrize(
    "query", ["dryRun=false", "atomic=false&dryRun=false", "atomic=true", "&", "dryRun=FALSE"]
)
def test_parameters_that_are_right_are_taken(http: Http, query: str) -> None:
    response = http.client.post(
        f"{API}/patients?{query}", json=[PATIENT], headers={"X-API-Key": KEY}
    )
    assert (response.status_code, response.get_json()["created"]) == (200, 1)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/nix",
            "/patient/",
            "/patients/",
            "//patient",
            "/Patient",
            "/PATIENTS",
            "/patientss",
            "/sync/x",
        ),
        *(
            "/patient/1/2",
            "/clinicss",
            "/%00",
            "/%FF",
            "/patient%2F",
            "/patient%20",
            "/..%2Fpatient",
            "/patient;x=1",
        ),
    ],
)
def test_an_unknown_path_is_a_404(http: Http, path: str) -> None:
    response = http.client.post(f"{API}{path}", json=PATIENT, headers={"X-API-Key": KEY})
    refused(response, 404, "not_found")
    assert response.get_json()["detail"].endswith("appointments, sync, syncs.")


@pytest.mark.parametrize("path", [*SINGULAR, "/sync"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_another_method_is_a_405_with_allow(http: Http, path: str, method: str) -> None:
    response = http.client.open(f"{API}{path}", method=method, headers={"X-API-Key": KEY})
    refused(response, 405, "method_not_allowed")
    assert set(re.split(", *", response.headers["Allow"])) == {"POST", "OPTIONS"}


@pytest.mark.parametrize("path", PLURAL)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_another_method_on_a_plural_path_is_a_405_that_allows_post(
    http: Http, path: str, method: str
) -> None:
    response = http.client.open(f"{API}{path}", method=method, headers={"X-API-Key": KEY})
    refused(response, 405, "method_not_allowed")
    assert "POST" in response.headers["Allow"]


def test_head_of_a_writing_path_is_a_405_without_a_body(http: Http) -> None:
    response = http.client.head(f"{API}/patient", headers={"X-API-Key": KEY})
    assert (response.status_code, response.data) == (405, b"")
    assert "POST" in response.headers["Allow"]


# --- The request id ----------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["a", "7", "-", ".", "_", "Sync-2026.06.15_1", "x" * 64])
@pytest.mark.parametrize("path", ["/patient", "/no-such-thing"])
def test_the_callers_own_request_id_comes_back(http: Http, path: str, sent: str) -> None:
    assert http.post(path, PATIENT, headers={"X-Request-Id": sent}).headers.getlist(
        "X-Request-Id"
    ) == [sent]


@pytest.mark.parametrize(
    "sent",
    [None, "", "x" * 65, "a b", "a,b", "a/b", "a:b", "<b>", "a\x00", "\xe9", "٣", "x\x7f"],
)
def test_a_request_id_of_other_characters_or_length_is_replaced(
    http: Http, sent: str | None
) -> None:
    as_bytes = sent and sent.encode().decode("latin-1")
    answers = [
        http.post("/patient", PATIENT, headers={"X-Request-Id": as_bytes}) for _ in range(2)
    ]
    first, second = (response.headers["X-Request-Id"] for response in answers)
    assert first not in (sent, as_bytes)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", first)
    assert first != second


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("POST", f"{API}/patient", KEY, 201),
        ("POST", f"{API}/patient", None, 401),
        ("POST", f"{API}/nix", KEY, 404),
        ("GET", f"{API}/patient", KEY, 405),
        ("GET", "/healthz", None, 200),
        ("GET", "/no-such-page", None, 404),
    ],
)
def test_every_answer_carries_a_request_id(
    http: Http, method: str, path: str, key: str | None, status: int
) -> None:
    headers = {"X-Request-Id": "mine"} | ({"X-API-Key": key} if key else {})
    response = http.client.open(path, method=method, json=PATIENT, headers=headers)
    assert (response.status_code, response.headers["X-Request-Id"]) == (status, "mine")


# --- Errors ------------------------------------------------------------------------------------

ERRORS: list[tuple[str, Any, dict, dict, int, str]] = [
    ("/patient", b"{", {}, {}, 400, "invalid_json"),
    ("/patient", [], {}, {}, 400, "invalid_body"),
    ("/patient", PATIENT, {}, {"x": "1"}, 400, "invalid_parameter"),
    ("/patient", PATIENT, {"X-API-Key": None}, {}, 401, "unauthorized"),
    ("/nix", PATIENT, {}, {}, 404, "not_found"),
    ("/patient", PATIENT, {"Content-Type": "text/plain"}, {}, 415, "unsupported_media_type"),
    ("/patient", {}, {}, {}, 422, "validation_failed"),
    ("/patient", {"patientNo": "P-9"}, {}, {}, 422, "validation_failed"),
    ("/patient", PATIENT | {"email": "no"}, {}, {}, 422, "validation_failed"),
    (
        "/appointment",
        {"patientNo": "P-9", "date": "2026-06-15", "timeFrom": "10:30"},
        {},
        {},
        422,
        "unknown_reference",
    ),
]


@pytest.mark.parametrize(("path", "body", "headers", "query", "status", "code"), ERRORS)
def test_every_error_is_problem_json(
    *,
    http: Http,
    sqlite_portal: Portal,
    path: str,
    body: Any,
    headers: dict,
    query: dict,
    status: int,
    code: str,
) -> None:
    told = refused(http.post(path, body, headers=headers, **query), status, code)
    assert list(told)[:6] == ["type", "title", "status", "detail", "success", "code"]
    assert ("errors" in told) == (status == 422)
    assert sqlite_portal.stored("patient") == []


def test_several_bad_fields_are_reported_together(http: Http) -> None:
    bad = {
        "patientNo": "P-1",
        "name": "",
        "email": "no",
        "gender": "X",
        "dateOfBirth": "15/06/2026",
        "isActive": 2,
    }
    errors = refused(http.post("/patient", bad), 422, "validation_failed")["errors"]
    assert errors.keys() == {"name", "email", "gender", "dateOfBirth", "isActive"}
    assert all(
        isinstance(sentence, str) for sentences in errors.values() for sentence in sentences
    )


def test_several_references_are_reported_together(http: Http) -> None:
    booking = {
        "patientNo": "p-7",
        "doctorCode": "d-7",
        "clinicCode": "c-7",
        "date": "2026-06-15",
        "timeFrom": "10:30",
    }
    errors = refused(http.post("/appointment", booking), 422, "unknown_reference")["errors"]
    assert errors.keys() == {"patientNo", "doctorCode", "clinicCode"}
    assert [("P-7" in errors["patientNo"][0]), ("D-7" in errors["doctorCode"][0])] == [
        True,
        True,
    ]


def test_a_409_names_the_candidates_and_none_of_their_values(
    http: Http, sqlite_portal: Portal
) -> None:
    for number, name in (("1", "Secretly Stored"), ("2", "Somebody Hidden")):
        http.post(
            "/patient", {"patientNo": f"P-{number}", "nationalID": f"N-{number}", "name": name}
        )
    before = sqlite_portal.stored("patient")
    response = http.post("/patient", {"patientNo": "P-1", "nationalID": "N-2", "name": "Ali"})
    told = refused(response, 409, "identity_conflict")
    first, second = (row["id"] for row in before)
    assert told["candidates"] == [
        {"id": first, "matchedBy": "patientNo"},
        {"id": second, "matchedBy": "nationalID"},
    ]
    assert "Secret" not in response.text
    assert "Hidden" not in response.text
    assert sqlite_portal.stored("patient") == before


@pytest.mark.parametrize(
    ("path", "function", "body"),
    [
        ("/patient", "one", PATIENT),
        ("/patients", "many", [PATIENT]),
        ("/sync", "many", {"patients": [PATIENT]}),
    ],
)
def test_what_nobody_expected_is_a_500_that_tells_its_request_id_only(
    *,
    http: Http,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
    function: str,
    body: Any,
) -> None:
    secret = "Ali Hassan's number 1122334455"  # held apart from the raising line: frames show source lines

    def fail(*_: Any) -> None:
        raise RuntimeError(secret)

    monkeypatch.setattr(sync, function, fail)
    response = http.post(path, body, headers={"X-Request-Id": "call-17"})
    told = refused(response, 500, "internal_error")
    assert "call-17" in told["detail"]
    assert response.headers["X-Request-Id"] == "call-17"
    assert not re.search("Traceback|RuntimeError|sync.py|1122334455", response.text)
    assert "call-17" in caplog.text
    assert "RuntimeError" in caplog.text
    assert "1122334455" not in caplog.text


def test_a_database_error_of_one_record_is_a_500_that_carries_the_request_id_and_no_sql(
    http: Http, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise sa.exc.DataError(
            "INSERT INTO patient",
            {"name": "Ali"},
            Exception("DETAIL: Key (national_id)=(1122)"),
        )

    monkeypatch.setattr(database, "insert_for_ids", fail)
    response = http.post("/patient", PATIENT, headers={"X-Request-Id": "call-17"})
    told = refused(response, 500, "internal_error")
    assert response.headers["X-Request-Id"] == "call-17"
    assert not re.search("INSERT|DETAIL|DataError|1122", response.text)
    assert not re.search("INSERT INTO|DETAIL|1122", caplog.text)
    assert "call-17" in told["detail"]


# --- The database is away ----------------------------------------------------------------------


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Flask]:
    """A service of its own that waits for a lock for 50 ms instead of 10 s."""

    def wait_less(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA busy_timeout=50")

    with migrated(f"sqlite:///{tmp_path / 'locked.db'}") as app:
        with app.app_context():
            sa.event.listen(db.engine, "connect", wait_less)
            db.engine.dispose()  # the connection that migrated still waits for long
        yield app


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
@pytest.mark.parametrize(
    ("path", "body", "query"),
    [
        ("/patient", PATIENT, {}),
        ("/patients", [PATIENT], {}),
        ("/patients", [PATIENT], {"atomic": "true"}),
        ("/patients", [PATIENT, {"name": 1}], {}),
        ("/sync", {"clinics": [{"code": "C-1", "name": "Teeth"}], "patients": [PATIENT]}, {}),
    ],
)
def test_a_locked_database_is_a_503_and_the_repeat_works(
    *, impatient: Flask, tmp_path: Path, path: str, body: Any, query: dict, lock: str
) -> None:
    http, portal = Http(impatient.test_client()), Portal(impatient)
    with closing(sqlite3.connect(tmp_path / "locked.db", isolation_level=None)) as other:
        other.execute(f"BEGIN {lock}")
        response = http.post(path, body, **query)
        assert int(response.headers["Retry-After"]) > 0
        refused(response, 503, "database_unavailable")
        other.execute("ROLLBACK")
    assert [portal.count("patient"), portal.count("clinic")] == [0, 0]
    assert http.post(path, body, **query).status_code in (200, 201, 207)
    assert portal.count("patient") == 1


def test_a_locked_database_is_still_healthy(impatient: Flask, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "locked.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert impatient.test_client().get("/healthz").status_code == 200


def test_without_tables_writing_is_a_503(tmp_path: Path) -> None:
    with migrated(f"sqlite:///{tmp_path / 'empty.db'}") as app:
        with app.app_context(), db.engine.begin() as connection:
            connection.execute(sa.text("PRAGMA foreign_keys=OFF"))
            connection.execute(sa.text("DROP TABLE appointment"))
            connection.execute(sa.text("DROP TABLE patient"))
        response = Http(app.test_client()).post("/patient", PATIENT)
        refused(response, 503, "database_unavailable")
        assert "patient" not in response.get_json()["detail"]


def test_healthz_needs_no_key_and_tells_that_the_database_answers(http: Http) -> None:
    response = http.client.get("/healthz")
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.get_json() == {"status": "ok"}


def test_healthz_is_a_503_when_the_database_does_not_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with migrated(f"sqlite:///{tmp_path / 'there.db'}") as app:
        with app.app_context():
            db.engine.dispose()
        for file in tmp_path.iterdir():
            file.unlink()
        tmp_path.rmdir()
        response = app.test_client().get("/healthz")
    assert response.status_code == 503
    assert response.headers["X-Request-Id"]
    assert str(tmp_path) not in response.text
    assert str(tmp_path) not in caplog.text


# --- Advice that fits the mistake --------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "advice"),
    [
        ("/patients", json.dumps([PATIENT]), "encoded twice"),
        ("/patient", json.dumps(PATIENT), "encoded twice"),
        ("/sync", json.dumps({"patients": [PATIENT]}), "encoded twice"),
        ("/sync", {"patients": json.dumps([PATIENT])}, "encoded twice"),
        (
            "/patients",
            {"patients": [PATIENT]},
            f"goes to {API}/sync; here, send the list that stands in 'patients'",
        ),
        ("/patients", {"Patients": [PATIENT], "Clinics": []}, f"goes to {API}/sync"),
        (
            "/patients",
            {"value": [PATIENT], "@odata.context": "x"},
            "send what stands in 'value'",
        ),
        ("/patients", {"data": [PATIENT]}, "send what stands in 'data'"),
        ("/patients", {"0": PATIENT, "1": PATIENT}, "members are numbered"),
        ("/clinics", {"0": {}}, "members are numbered"),
        ("/sync", {"data": {"patients": [PATIENT]}}, "Send what stands in 'data' alone"),
        ("/sync", {"patients": {"value": [PATIENT]}}, "send what stands in 'value'"),
    ],
)
def test_the_advice_fits_what_was_sent(
    http: Http, sqlite_portal: Portal, path: str, body: Any, advice: str
) -> None:
    assert advice in refused(http.post(path, body), 400, "invalid_body")["detail"]
    assert sqlite_portal.stored("patient") == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("charset", ["utf-8", "windows-1256"])
def test_utf_16_is_told_as_what_it_is(http: Http, encoding: str, charset: str) -> None:
    raw = json.dumps(PATIENT).encode(encoding)
    assert (
        "UTF-16"
        in refused(
            http.post("/patient", raw, headers=with_charset(charset)), 400, "invalid_json"
        )["detail"]
    )


@pytest.mark.parametrize("name", ["patients", "Patients", "PATIENTS", "pAtIeNtS"])
def test_the_members_of_sync_match_in_any_case(http: Http, name: str) -> None:
    answer = http.post("/sync", {name: [PATIENT]}).json
    assert (answer["created"], answer["patients"]["total"]) == (1, 1)


@pytest.mark.parametrize("null", [None, []])
def test_a_member_of_sync_in_two_spellings_is_refused(
    http: Http, sqlite_portal: Portal, null: Any
) -> None:
    told = refused(
        http.post("/sync", {"patients": [PATIENT], "Patients": null}), 400, "invalid_body"
    )
    assert "two spellings" in told["detail"]
    assert sqlite_portal.stored("patient") == []


def test_each_line_of_the_log_names_the_request_and_its_key(
    http: Http, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    second = {"X-API-Key": f"{KEY}-2", "X-Request-Id": "call-18"}
    http.post("/patients", [PATIENT], headers=second)
    lines = [record.getMessage() for record in caplog.records]
    assert lines
    assert all(line.startswith("call-18 second ") for line in lines)
