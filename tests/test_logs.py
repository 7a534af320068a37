"""The log: each line has one form, whoever writes it, and nothing that is sent can forge one or be read in it."""

import json
import logging
import re
import runpy
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import programs
import pytest
import servers
from conftest import KEY, Http, migrated
from gunicorn.config import Config
from test_http import PATIENT

import logs
import sync

FORMS = {"text": logs.Text(), "json": logs.Json()}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"
LINE = re.compile(rf"{TIME} (DEBUG|INFO|WARNING|ERROR|CRITICAL) \S+ \S+ \S.*")
ANSWERED = (
    r"INFO call-18 second POST /api/healthcare/patients 207"
    r" total=2 created=1 updated=0 unchanged=0 failed=1 bytes=7 durationMs=35 address=127\.0\.0\.1"
)
SECRET = "Ali Hassan's number 1122334455"


def record_of(message: Any, *args: Any, **more: Any) -> logging.LogRecord:
    """Return what a logger makes of a call."""
    return logging.getLogger("some").makeRecord(
        "some",
        logging.ERROR,
        "some.py",
        1,
        message,
        args,
        more.pop("exc_info", None),
        **more,
    )


def told_by(form: str, record: logging.LogRecord) -> str:
    """Return the sentence of a record, as its line tells it."""
    line = FORMS[form].format(record)
    return json.loads(line)["message"] if form == "json" else line.split(" ", 4)[4]


# --- A request's line --------------------------------------------------------------------------


@pytest.fixture
def environs(http: Http, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the application got of each request, and added to it."""
    app, got = http.client.application, []
    handed_on = app.wsgi_app

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        got.append(environ)
        return handed_on(environ, start_response)

    monkeypatch.setattr(app, "wsgi_app", application)
    return got


@pytest.fixture
def line(
    http: Http, environs: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> Callable[..., logging.LogRecord]:
    """Post to the service; return the record of the request's line, as a WSGI server lets it be written."""

    def post(path: str, body: Any, **headers: str) -> logging.LogRecord:
        response = http.post(path, body, headers=headers)
        caplog.clear()
        logs.answered(environs[-1], response.status, 7, 35)
        (record,) = caplog.records
        return record

    return post


def test_the_line_of_a_list_tells_who_sent_what_and_what_became_of_it(
    line: Callable[..., logging.LogRecord],
) -> None:
    sent = {"X-API-Key": f"{KEY}-2", "X-Request-Id": "call-18"}
    record = line("/patients", [PATIENT, {"name": "Nobody"}], **sent)
    assert re.fullmatch(f"{TIME} {ANSWERED}", FORMS["text"].format(record))


def test_in_json_each_fact_is_a_member_by_the_name_that_the_history_has(
    line: Callable[..., logging.LogRecord],
) -> None:
    sent = {"X-API-Key": f"{KEY}-2", "X-Request-Id": "call-18"}
    members = json.loads(FORMS["json"].format(line("/patients", [PATIENT], **sent)))
    assert re.fullmatch(TIME, members.pop("time"))
    assert members == {
        "level": "INFO",
        "logger": "access",
        "message": "POST /api/healthcare/patients 200",
        "requestId": "call-18",
        "keyName": "second",
        "method": "POST",
        "path": "/api/healthcare/patients",
        "status": 200,
        "total": 1,
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "failed": 0,
        "bytes": 7,
        "durationMs": 35,
        "address": "127.0.0.1",
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_key_has_no_name_and_is_not_told(
    line: Callable[..., logging.LogRecord], form: str
) -> None:
    told = FORMS[form].format(line("/patients", [PATIENT], **{"X-API-Key": "wrong-key"}))
    assert "401" in told
    assert not re.search(f"wrong-key|{KEY}|keyName", told)


@pytest.mark.parametrize("path", ["/", "/healthz", "/openapi.json", "/nowhere"])
def test_a_known_key_is_named_where_none_is_needed_too(
    http: Http, environs: list[dict[str, Any]], path: str
) -> None:
    http.client.get(path, headers={"X-API-Key": f"{KEY}-2"})
    http.client.get(path, headers={"X-API-Key": "wrong-key"})
    assert [environ.get("key_name") for environ in environs] == ["second", None]


def test_a_server_that_refuses_a_request_itself_can_have_it_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logs.answered({"REQUEST_METHOD": None}, "400 Bad Request", 0, 0)
    (record,) = caplog.records
    assert (
        FORMS["text"]
        .format(record)
        .endswith(" INFO - - None - 400 bytes=0 durationMs=0 address=-")
    )


FORGED = f"{KEY} 200 bytes=1\n2026-01-01T00:00:00.000+00:00 INFO - - FORGED \x1b[31m"


@pytest.mark.parametrize("name", ["PATH_INFO", "REQUEST_METHOD", "REMOTE_ADDR"])
def test_a_stranger_cannot_forge_a_requests_line(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": "::1"}
    logs.answered(environ | {name: FORGED}, "200 OK", 7, 35)
    written = FORMS["text"].format(caplog.records[0])
    words = f"{TIME} INFO - - \\S+ \\S+ 200 bytes=7 durationMs=35 address=\\S+"
    assert re.fullmatch(words, written)
    assert written.isprintable()


def test_a_long_path_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    logs.answered(
        {"PATH_INFO": "/" + "م".encode().decode("latin-1") * 9000}, "404 X", 7, 35
    )
    assert len(FORMS["text"].format(caplog.records[0])) < 1000


def test_requests_have_their_lines_whatever_the_level(http: Http) -> None:
    assert not logging.getLogger().isEnabledFor(logging.INFO)
    assert logs.ACCESS.isEnabledFor(logging.INFO)


# --- Every line --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "sent",
    [
        "a\nFORGED",
        "a\r\nFORGED",
        "a\x1b[2K\x1b[31mFORGED",
        "a\x85b\u2028c\u2029d",
        "a\x00\x07\x7f\x9b",
        "\u202eright to left\u2066",
        "\ud800 and \udfff",
        "%s %(name)s",
    ],
    ids=ascii,
)
def test_whatever_a_message_holds_it_is_one_line(form: str, sent: str) -> None:
    for record in (
        record_of(sent),
        record_of("from %s", sent),
        record_of("%(it)s", {"it": sent}),
    ):
        written = FORMS[form].format(record)
        assert written.isprintable()
        assert written.encode()
        assert LINE.fullmatch(written) or json.loads(written)["message"]


@pytest.mark.parametrize("form", FORMS)
def test_what_can_be_read_is_written_as_it_is(form: str) -> None:
    assert told_by(form, record_of("the key %r, 100 %%", "مكتب")) == "the key 'مكتب', 100 %"
    assert told_by(form, record_of("100 %")) == "100 %"


@pytest.mark.parametrize("form", FORMS)
def test_of_an_error_its_class_and_frames_are_told_and_not_its_words(form: str) -> None:
    try:
        int(SECRET)
    except ValueError as error:
        caught = [
            record_of("failed", exc_info=sys.exc_info()),
            record_of("failed: %s", error),
            record_of(error),
        ]
    for record in caught:
        written = FORMS[form].format(record)
        assert "ValueError" in written
        assert "1122334455" not in written
    lines = FORMS["text"].format(caught[0]).splitlines()
    assert LINE.fullmatch(lines[0])
    assert re.match(r'  File ".*test_logs\.py", line \d+, in test_of_an_error', lines[1])
    assert json.loads(FORMS["json"].format(caught[0]))["traceback"] == "\n".join(lines[1:])


@pytest.mark.parametrize("form", FORMS)
def test_an_error_of_ours_is_told_with_the_request_and_its_frames(
    form: str, http: Http, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = SECRET  # held apart from the raising line, which the frames show

    def fail(*_: Any) -> None:
        raise RuntimeError(secret)

    monkeypatch.setattr(sync, "one", fail)
    sent = {"X-API-Key": f"{KEY}-2", "X-Request-Id": "call-18"}
    assert http.post("/patient", PATIENT, headers=sent).status_code == 500
    ours = [record for record in caplog.records if record.name != "access"]
    written = [FORMS[form].format(record) for record in ours]
    assert len(written) == 2
    assert all("call-18" in it and "second" in it for it in written)
    assert "RuntimeError" in written[0]
    assert "in fail" in written[0]
    assert not re.search("1122334455|Ali", "".join(written))


def test_a_mapping_of_others_is_not_told() -> None:
    """A server may hand over all headers, and let the format choose."""
    record = record_of("%(path)s", {"path": "/", "x-api-key": KEY})
    for form in FORMS.values():
        assert KEY not in form.format(record)


def test_gunicorn_tells_no_query_where_a_request_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_KEYS", f"live:{KEY}")
    log = runpy.run_path(str(programs.ROOT / "gunicorn.conf.py"))["Log"](Config())
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("Error handling request %s %s", "GET", "/x?nationalID=1122334455")
    written = capsys.readouterr().err
    assert " ERROR - - Error handling request GET /x\n" in written
    assert "1122334455" not in written


# --- The service as it runs --------------------------------------------------------------------

UNREADABLE = {
    "a header without a colon": f"GET / HTTP/1.1\r\nHost: x\r\nX-API-Key {KEY}\r\n\r\n",
    "a version": f"GET /?nationalID=1122334455 HTTP/{KEY}\r\nHost: x\r\n\r\n",
    "an escape code": f"GET /?nationalID=1122334455\x1b[31m{KEY} HTTP/1.1\r\nHost: x\r\n\r\n",
    "an end too early": f"GET / HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nX",
}


def converse(port: int, *requests: str) -> None:
    """Send each request, and wait for what comes back."""
    for request in requests:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


def posted(path: str, body: Any) -> str:
    """Return a request with the key."""
    text = json.dumps(body)
    headers = f"Host: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    ending = f"Connection: close\r\nContent-Length: {len(text)}\r\n\r\n"
    return f"POST /api/healthcare{path} HTTP/1.1\r\n{headers}{ending}{text}"


@pytest.fixture(scope="module", params=FORMS)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, list[str]]]:
    """A form, and all lines of a service that was started, spoken to in every way, and stopped."""
    folder = tmp_path_factory.mktemp("logs")
    url, port = f"sqlite:///{folder / 'clinic.db'}", servers.free_port()
    settings = {
        "API_KEYS": f"live:{KEY},weak:short",
        "DATABASE_URL": url,
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": request.param,
    }
    with migrated(url):
        lines = lines_of(programs.copied(folder), settings)
    yield request.param, lines


def lines_of(root: Path, settings: dict[str, str]) -> list[str]:
    """Run gunicorn, be its clients, stop it; return what it wrote."""
    port = int(settings["PORT"])
    process = programs.started(programs.GUNICORN, root, **settings)
    try:
        servers.wait_until(lambda: is_open(port), process)
        converse(port, "GET /?nationalID=1122334455 HTTP/1.0\r\n\r\n", *UNREADABLE.values())
        converse(
            port, posted("/patients", [PATIENT, {"name": "x"}]), posted("/patient", PATIENT)
        )
    finally:
        process.terminate()
        written = process.communicate(timeout=servers.PATIENCE)
    return "".join(written).splitlines()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_each_line_of_the_running_service_has_the_form(
    written: tuple[str, list[str]],
) -> None:
    form, lines = written
    odd = [line for line in lines if not LINE.fullmatch(line)] if form == "text" else []
    assert odd == []
    told = [line if form == "text" else json.loads(line)["message"] for line in lines]
    for part in (
        "EASY TO GUESS",
        "Listening at",
        "/api/healthcare/patients 207",
        "Shutting down",
    ):
        assert [line for line in told if part in line], part


def test_no_line_of_the_running_service_holds_what_was_sent(
    written: tuple[str, list[str]],
) -> None:
    _, lines = written
    values = [str(value) for value in PATIENT.values()]
    assert [line for line in lines if re.search(f"{KEY}|1122334455", line)] == []
    assert [line for line in lines if any(value in line for value in values)] == []
    assert (
        len(
            [line for line in lines if "Invalid request from ip=127.0.0.1: Invalid" in line]
        )
        == 3
    )


def test_the_counts_of_a_list_are_in_its_line(written: tuple[str, list[str]]) -> None:
    form, lines = written
    (line,) = [line for line in lines if "/api/healthcare/patients 207" in line]
    counts = "total=2 created=1 updated=0 unchanged=0 failed=1"
    if form == "json":
        members = json.loads(line)
        counts_there = [
            f"{name}={members[name]}"
            for name in ("total", "created", "updated", "unchanged", "failed")
        ]
        assert " ".join(counts_there) == counts
        assert members["keyName"] == "live"
    else:
        assert f" live POST /api/healthcare/patients 207 {counts} bytes=" in line
