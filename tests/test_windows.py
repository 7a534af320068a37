"""Windows: its server, waitress, does what gunicorn does elsewhere, in a Python that lacks what Windows lacks."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import live
import over_waitress
import pytest
import servers
from conftest import API, KEY, migrated
from flask import Flask

import logs
import windows

MOST = 2000  # bytes of a body
PATIENT = b'{"patientNo": "P-1", "name": "Sara Ali"}'


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    url = f"sqlite:///{tmp_path_factory.mktemp('windows') / 'clinic.db'}"
    with migrated(url, MAX_CONTENT_LENGTH=str(MOST), TRUSTED_PROXIES="1") as app:
        yield app


@pytest.fixture
def connection(app: Flask) -> Iterator[http.client.HTTPConnection]:
    port = over_waitress.port_of(app)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as opened:
        yield opened


def post(
    connection: http.client.HTTPConnection, body: object, **headers: str
) -> http.client.HTTPResponse:
    """Post a body, as chunks if it is a list of them."""
    sent = {"X-API-Key": KEY, "Content-Type": "application/json"} | headers
    chunked = isinstance(body, list)
    connection.request(
        "POST",
        f"{API}/patient",
        body,
        sent,
        encode_chunked=chunked,  # type: ignore[arg-type]
    )
    return connection.getresponse()


# --- Bodies ------------------------------------------------------------------------------------


SIZES = [MOST + 1, 2 * MOST - 1, 2 * MOST]
LARGER = [(False, 50 * MOST)]  # in chunks the end of the connection may overtake the answer


@pytest.mark.parametrize(("chunked", "size"), [*product((False, True), SIZES), *LARGER])
def test_too_large_a_body_is_refused_by_the_service_itself(
    connection: http.client.HTTPConnection, *, size: int, chunked: bool
) -> None:
    body = PATIENT.ljust(size)
    answer = post(connection, [body] if chunked else body)
    told = json.loads(answer.read())
    assert (answer.status, told["code"]) == (413, "payload_too_large")
    assert f"{MOST} bytes" in told["detail"]
    assert answer.headers["X-Request-Id"]


def test_too_large_a_body_without_the_key_is_a_401(
    connection: http.client.HTTPConnection,
) -> None:
    assert post(connection, b"x" * 10 * MOST, **{"X-API-Key": "no"}).status == 401


@pytest.mark.parametrize("size", [len(PATIENT), MOST])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_at_most_the_limit_is_taken(
    connection: http.client.HTTPConnection, *, size: int, chunked: bool
) -> None:
    body = PATIENT.ljust(size)
    assert post(connection, [body] if chunked else body).status in (200, 201)


def test_several_requests_go_over_one_connection(
    connection: http.client.HTTPConnection,
) -> None:
    for _ in range(3):
        answer = post(connection, PATIENT)
        answer.read()
        assert answer.status in (200, 201)
        assert connection.sock is not None


def test_a_client_that_waits_for_continue_is_told_to_go_on(app: Flask) -> None:
    head = (
        f"POST {API}/patient HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(PATIENT)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", over_waitress.port_of(app))) as client:
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(PATIENT)
        assert re.match(rb"HTTP/1.1 20[01] ", client.recv(1000))


# --- The access log ----------------------------------------------------------------------------


def logged(caplog: pytest.LogCaptureFixture, mark: str) -> str:
    """Return the line with this mark, which may be written a moment after the answer has come."""
    form = logs.formatter("TEXT")
    for _ in range(1000):
        lines = [form.format(it) for it in caplog.records if it.name == "access"]
        if marked := [line for line in lines if mark in line]:
            return marked[0]
        time.sleep(0.01)
    raise AssertionError(lines)


def test_the_access_log_has_what_gunicorns_has(
    connection: http.client.HTTPConnection, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"X-Request-Id": "night-7", "X-Forwarded-For": "192.0.2.7"}
    answer = post(connection, PATIENT, **headers)
    size = len(answer.read())
    line = logged(caplog, "night-7")
    start = f"night-7 tests POST {API}/patient {answer.status} bytes={size} durationMs="
    assert re.search(rf"INFO {re.escape(start)}\d+ address=192.0.2.7$", line)


def test_a_stranger_cannot_write_lines_into_the_access_log(
    connection: http.client.HTTPConnection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.request("GET", "/a%0Ab?secret=1", headers={"X-API-Key": "not-this-one"})
    assert connection.getresponse().status == 404
    line = logged(caplog, "a%0Ab")
    assert " - GET /a%0Ab 404 " in line
    assert "secret" not in line
    assert "not-this-one" not in line


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nX-Key: secret\r\nContent-Length: secret\r\n\r\n",
        b"GET / HTTP/1.1\r\nsecret header: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Key: " + b"secret" * 100_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: secret\r\n\r\n",
    ],
    ids=["length", "name", "size", "encoding"],
)
def test_what_is_no_request_has_a_line_that_tells_nothing_of_it(
    app: Flask, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", over_waitress.port_of(app))) as stranger:
        stranger.sendall(sent)
        answer = stranger.makefile("rb").readline()
    (line,) = [it.getMessage() for it in caplog.records if it.name == "windows"]
    assert re.fullmatch(r"Invalid request from ip=127\.0\.0\.1: \w+", line)
    assert re.match(rb"HTTP/1\.\d (400|431|501) ", answer)
    assert "secret" not in caplog.text


# --- The end -----------------------------------------------------------------------------------


@contextmanager
def served(folder: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    port = servers.free_port()
    settings = {
        "API_KEYS": f"live:{KEY}",
        "DATABASE_URL": f"sqlite:///{folder}/clinic.db",
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    process = subprocess.Popen(live.waitress(live.ROOT), env=os.environ | settings)
    try:
        servers.wait_until(live.Service(port, process).answers, process)
        yield process, port
    finally:
        process.kill()
        process.wait()


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("ends_at", [signal.SIGINT, signal.SIGTERM])
def test_what_is_in_flight_at_the_end_is_finished_and_idle_clients_keep_nobody(
    tmp_path: Path, ends_at: signal.Signals
) -> None:
    head = (
        f"POST {API}/patient HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(PATIENT)}\r\n\r\n"
    )
    with served(tmp_path) as (process, port):
        idle = socket.create_connection(("127.0.0.1", port))
        client = socket.create_connection(("127.0.0.1", port))
        with idle, client:
            client.sendall(head.encode() + PATIENT[:5])
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(1000).startswith(b"HTTP/1.1 200 ")
            process.send_signal(ends_at)
            servers.wait_until(lambda: not is_open(port), process)
            client.sendall(PATIENT[5:])
            assert client.recv(1000).startswith(b"HTTP/1.1 201 ")
            assert process.wait(servers.PATIENCE) == 0
    # All of it is in the one file.
    assert not (tmp_path / "clinic.db-wal").exists()


def test_who_asks_twice_for_the_end_gets_it_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = windows.Stop()
    try:
        stop.on_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked.wait(10)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Console:
    """What ctypes is on Windows, as far as it is asked."""

    c_int = c_uint = None

    def __init__(self) -> None:
        self.handlers: list = []
        kernel = SimpleNamespace(SetConsoleCtrlHandler=self._add)
        self.windll = SimpleNamespace(kernel32=kernel)

    def WINFUNCTYPE(self, *_types: object) -> object:
        return lambda function: function

    def _add(self, handler: object, add: bool) -> None:
        assert add
        self.handlers.append(handler)


@pytest.mark.parametrize("event", [2, 5, 6])
def test_a_closed_console_waits_until_what_is_in_flight_is_finished(event: int) -> None:
    console, stop = Console(), windows.Stop()
    stop.on_console(console)
    (handler,) = console.handlers
    closing_it = threading.Thread(target=handler, args=(event,))
    closing_it.start()
    assert stop.asked.wait(10)
    assert closing_it.is_alive()
    stop.reached.set()
    closing_it.join(10)
    assert not closing_it.is_alive()


@pytest.mark.parametrize("event", [0, 1])
def test_ctrl_c_and_ctrl_break_are_left_to_the_signals(event: int) -> None:
    console, stop = Console(), windows.Stop()
    stop.on_console(console)
    assert console.handlers[0](event) is False
    assert not stop.asked.is_set()


# --- The limits --------------------------------------------------------------------------------


def test_clients_that_stall_are_let_go_and_never_hold_a_thread(app: Flask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = windows.make_server(app, listener, MOST)
    limits = server.adj
    server.task_dispatcher.shutdown()
    server.close()
    assert (limits.channel_timeout, limits.threads) == (60, 64)
    assert limits.outbuf_high_watermark > 1 << 32
    assert limits.connection_limit < 512
