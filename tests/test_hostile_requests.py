"""Hostile requests: odd paths, queries, headers and methods."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import API, KEY, Http, Portal
from hostile_bodies import odd_bodies
from hostile_records import (
    ENTITIES,
    INJECTION,
    JSON,
    LEAKS,
    NEXT,
    PATIENT,
    PLAIN,
    PROBLEM,
    VALID,
    Request,
    refused_records,
    taken_records,
    wrong_records,
)
from live import not_on_waitress

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
        for value in (
            "x" * 10_000,
            "\xe9",
            "'; DROP TABLE patient",
            "<script>",
            "\x00",
            " ",
        )
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
    {
        "Date": "yesterday",
        "Content-MD5": "x",
        "Content-Language": "\xe9",
        "Content-Range": "x",
    },
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
                f"{method[:20]} {path}",
                405,
                "method_not_allowed",
                path,
                body,
                method=method,
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
            f"Host {host[:20]}",
            0,
            None,
            body=GOOD,
            environ={"HTTP_HOST": host},
            stores=True,
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
                about,
                415,
                "unsupported_media_type",
                path,
                body,
                {"Content-Encoding": coding},
            )
        for headers in WEIRD_HEADERS:
            yield Request(
                f"{path} {ascii(headers)[:60]}",
                done,
                None,
                path,
                body,
                headers,
                stores=True,
            )
        for key in BAD_KEYS:
            yield Request(
                f"{path} key {key[:40]}",
                401,
                "unauthorized",
                path,
                body,
                {"X-API-Key": key},
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
            (405, "method_not_allowed")
            if path.endswith("patients")
            else (400, "invalid_body")
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
                about,
                413,
                "payload_too_large",
                path,
                lambda: b" " * BEYOND,
                environ=environ,
            )
        yield Request(
            f"{path} chunked junk", 400, "invalid_json", path, b"{]", environ=CHUNKED
        )
        yield Request(
            f"{path} chunked nothing", 400, "invalid_json", path, b"", environ=CHUNKED
        )
        for length in ("0", "5", "-1", "x", "1e3", "\xe9", ""):
            lie = {"CONTENT_LENGTH": length}
            yield Request(
                f"{path} Content-Length {length}",
                400,
                "invalid_json",
                path,
                body,
                environ=lie,
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


# A server refuses these itself, or waits for the rest: only Flask's own client brings them to the application.
UNSENT = re.compile(
    r"^\? |\0|: '\\x00'|key no header can carry|promised beyond|Content-Length (-1|x|1e3|\?)|hangs up"
)


def case(request: Request) -> Any:
    """Return a row of the table as a parameter."""
    name = request.about.encode("ascii", "replace").decode()
    marks = [not_on_waitress] if UNSENT.search(name) else []
    return pytest.param(request, id=name, marks=marks)


@pytest.mark.parametrize("request_", list(map(case, TABLE)))
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
    assert (
        http.post("/patient", PATIENT | {"name": name}).get_json()["data"]["name"] == name
    )
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
        + b",".join(
            it for (_, bad), fine in pairs for it in (bad, json.dumps(fine).encode())
        )
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
