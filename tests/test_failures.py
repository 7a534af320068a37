"""Failures over HTTP: wrong bodies, paths and methods, errors, and a database that is away."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import API, KEY, Http, Portal, migrated
from flask import Flask
from test_http import PAIRS, PATIENT, PLURAL, SINGULAR, WRITING, refused, with_charset

import history
import logs
import sync
from engine import database
from models import db

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
    response = http.post(
        "/patient", b'{"patientNo": "P-1", "name": "First", "name": "Second"}'
    )
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
    body = {"/patient": PATIENT, "/patients": [PATIENT], "/sync": {"patients": [PATIENT]}}[
        path
    ]
    response = http.client.post(
        f"{API}{path}?{query}", json=body, headers={"X-API-Key": KEY}
    )
    refused(response, 400, "invalid_parameter")
    assert sqlite_portal.stored("patient") == []


@pytest.mark.parametrize(
    "query",
    ["dryRun=false", "atomic=false&dryRun=false", "atomic=true", "&", "dryRun=FALSE"],
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


# --- Errors ------------------------------------------------------------------------------------

ERRORS: list[tuple[str, Any, dict, dict, int, str]] = [
    ("/patient", b"{", {}, {}, 400, "invalid_json"),
    ("/patient", [], {}, {}, 400, "invalid_body"),
    ("/patient", PATIENT, {}, {"x": "1"}, 400, "invalid_parameter"),
    ("/patient", PATIENT, {"X-API-Key": None}, {}, 401, "unauthorized"),
    ("/nix", PATIENT, {}, {}, 404, "not_found"),
    (
        "/patient",
        PATIENT,
        {"Content-Type": "text/plain"},
        {},
        415,
        "unsupported_media_type",
    ),
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
            "/patient",
            {"patientNo": f"P-{number}", "nationalID": f"N-{number}", "name": name},
        )
    before = sqlite_portal.stored("patient")
    response = http.post(
        "/patient", {"patientNo": "P-1", "nationalID": "N-2", "name": "Ali"}
    )
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
    written = "\n".join(map(logs.Text().format, caplog.records))
    assert "call-17" in written
    assert "RuntimeError" in written
    assert "1122334455" not in written + caplog.text


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


def fail_at_each_insert(patched: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise sa.exc.DataError("INSERT INTO patient", {}, Exception())

    patched.setattr(database, "insert_for_ids", fail)


def fail_at_the_history_once(patched: pytest.MonkeyPatch) -> None:
    write, failures = history.write, []

    def fail_once(*args: Any, **options: Any) -> None:
        if not failures:
            failures.append(sa.exc.DataError("INSERT INTO sync_run", {}, Exception()))
            raise failures[0]
        write(*args, **options)

    patched.setattr(history, "write", fail_once)


@pytest.mark.parametrize(
    ("path", "body", "query", "spoil"),
    [
        ("/patient", PATIENT, {}, fail_at_each_insert),
        ("/patients", [PATIENT] * 2, {"atomic": "true"}, fail_at_the_history_once),
    ],
)
def test_what_ends_in_a_500_stands_in_the_history(
    *,
    http: Http,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: Any,
    query: dict,
    spoil: Callable[[pytest.MonkeyPatch], None],
) -> None:
    spoil(monkeypatch)
    refused(http.post(path, body, **query), 500, "internal_error")
    (row,) = http.client.get(f"{API}/syncs", headers={"X-API-Key": KEY}).json["data"]
    count = len(body) if isinstance(body, list) else 1
    assert (row["path"], row["failed"], row["total"]) == (f"{API}{path}", count, count)
    assert {failure["code"] for failure in row["failures"]} == {"internal_error"}


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
        (
            "/sync",
            {"clinics": [{"code": "C-1", "name": "Teeth"}], "patients": [PATIENT]},
            {},
        ),
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
