"""HTTP: access, content types, limits and request ids."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import API, KEY, Http, Portal, emptied, migrated
from flask import Flask
from live import not_on_waitress

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


WRONG = [
    # waitress refuses the whole request
    pytest.param(key, id=name, marks=[not_on_waitress] if name == "NUL" else [])
    for name, key in WRONG_KEYS.items()
]


@pytest.mark.parametrize("key", WRONG)
@pytest.mark.parametrize("path", ["/patient", "/patients", "/sync", "/no-such-thing"])
def test_a_wrong_key_is_a_401(http: Http, path: str, key: str | None) -> None:
    refused(http.post(path, PATIENT, headers={"X-API-Key": key}), 401, "unauthorized")


@not_on_waitress
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
    body = json.dumps(
        record if path == "/patient" else [record], ensure_ascii=False
    ).encode(codec)
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
    body = {"/patient": PATIENT, "/patients": [PATIENT], "/sync": {"patients": [PATIENT]}}[
        path
    ]
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
        pytest.param(
            b'{"name": "Zo\xeb"}', 12, "utf-8", id="an ANSI letter, declared UTF-8"
        ),
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
            b'{"name": "\x81"}',
            10,
            "windows-1252",
            id="a byte that windows-1252 leaves free",
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


def test_in_sync_max_batch_counts_all_four_together(
    small: Http, small_portal: Portal
) -> None:
    one_each = {
        "clinics": [{"code": "C-1", "name": "Teeth"}],
        "doctors": [{"code": "D-1", "name": "Huda"}],
    }
    too_many = refused(
        small.post("/sync", one_each | {"patients": patients(2)}), 413, "payload_too_large"
    )
    assert re.search(r"\b3 records", too_many["detail"])
    assert [small_portal.count(table) for table in ("clinic", "doctor", "patient")] == [
        0,
        0,
        0,
    ]
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


# --- The request id ----------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["a", "7", "-", ".", "_", "Sync-2026.06.15_1", "x" * 64])
@pytest.mark.parametrize("path", ["/patient", "/no-such-thing"])
def test_the_callers_own_request_id_comes_back(http: Http, path: str, sent: str) -> None:
    assert http.post(path, PATIENT, headers={"X-Request-Id": sent}).headers.getlist(
        "X-Request-Id"
    ) == [sent]


@pytest.mark.parametrize(
    "sent",
    [
        *(None, "", "x" * 65, "a b", "a,b", "a/b", "a:b", "<b>", "\xe9", "٣"),
        *(pytest.param(text, marks=not_on_waitress) for text in ("a\x00", "x\x7f")),
    ],
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
