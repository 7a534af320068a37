"""Slow clients: whoever sends slowly, or stops, keeps nobody else waiting, and is let go in the end."""

import runpy
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Timer
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from conftest import API, KEY, Http, Portal, migrated
from live import KEY as LIVE_KEY
from live import Service, not_on_waitress, service

import config
from engine import database

ROOT = Path(__file__).parent.parent
COUNT = 40
POST = (
    f"POST {API}/patient HTTP/1.1\r\nHost: x\r\nX-API-Key: {LIVE_KEY}\r\n"
    "Content-Type: application/json\r\n"
)
BEGINNINGS = {
    "nothing": "",
    "a request line": "GET /heal",
    "headers": "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "a body": f'{POST}Content-Length: 5000\r\n\r\n{{"name": "',
    "a chunked body": f'{POST}Transfer-Encoding: chunked\r\n\r\n2000\r\n{{"name": "',
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    url = f"sqlite:///{tmp_path_factory.mktemp('slow') / 'clinic.db'}"
    with (
        migrated(url),
        service(url, "--graceful-timeout", "1", WEB_CONCURRENCY="1") as running,
    ):
        yield running


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS)
def test_others_are_served_while_forty_clients_send_no_more_than_a_beginning(
    live: Service, beginning: str
) -> None:
    with ExitStack() as held:
        for _ in range(COUNT):
            client = socket.create_connection(("127.0.0.1", live.port))
            held.enter_context(closing(client)).sendall(beginning.encode())
        assert live.answers()
        status, _ = live.post("/patient", {"patientNo": "P-1", "name": "Ali Hassan"})
        assert status in (200, 201)


def test_however_many_threads_a_process_has_eight_connections_to_a_server(
    backend: str, database_url: str
) -> None:
    if backend == "sqlite":
        return  # a file has no limit of connections
    kind = database.of_name(backend)
    url = config.read({"API_KEYS": f"tests:{KEY}", "DATABASE_URL": database_url})
    engine = sa.create_engine(url.database_url, **kind.options() | {"pool_timeout": 0.1})
    with ExitStack() as held:
        for _ in range(8):
            held.enter_context(engine.connect())
        with pytest.raises(sa.exc.TimeoutError):
            engine.connect()
    engine.dispose()


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service's end of a connection whose client does nothing, with a limit of a second instead of a minute."""
    monkeypatch.setenv("API_KEYS", f"tests:{KEY}")
    ready = runpy.run_path(str(ROOT / "gunicorn.conf.py"))["when_ready"]
    ready.__globals__["STALL"] = 1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ready(SimpleNamespace(LISTENERS=[SimpleNamespace(sock=listener)]))
        client = socket.create_connection(listener.getsockname())
        last = Timer(20, client.close)  # without a limit it would last for ever
        last.start()
        with client, closing(listener.accept()[0]) as accepted:
            accepted.setblocking(True)  # as gunicorn does
            yield accepted
        last.cancel()


def test_a_client_that_sends_nothing_is_let_go(stalled: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        stalled.recv(1)


def test_a_client_that_takes_nothing_is_let_go(stalled: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        stalled.sendall(b"x" * 100_000_000)


class Stalling:
    """A body that ends with an error of its connection."""

    def __init__(self, error: OSError):
        self._parts = iter([b'{"name": "'])
        self._error = error

    def read(self, size: int = -1) -> bytes:
        part = next(self._parts, None)
        if part is None:
            raise self._error
        return part


@not_on_waitress
@pytest.mark.parametrize("error", [BlockingIOError(11, "x"), ConnectionResetError()])
def test_a_body_that_stops_coming_is_a_400_that_says_so(
    http: Http, sqlite_portal: Portal, error: OSError
) -> None:
    answer = http.client.post(
        f"{API}/patient",
        content_type="application/json",
        headers={"X-API-Key": KEY},
        environ_overrides={"wsgi.input": Stalling(error), "wsgi.input_terminated": True},
    )
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_body")
    assert "ended early, stopped coming" in answer.json["detail"]
    assert sqlite_portal.count("patient") == 0
