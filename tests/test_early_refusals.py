"""Early refusals: who is refused before his body is read comes to read why, though he sends all of it first."""

import http.client
import itertools
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from threading import Event, Thread
from typing import Any

import pytest
from conftest import API, KEY, Http, migrated
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import InvalidChunkSize
from gunicorn.http.unreader import SocketUnreader
from live import KEY as LIVE_KEY
from live import Service, not_on_waitress, service

import payload

SIZE = 20_000_000  # bytes: more than what lies in a connection's buffers
LIMIT = 30_000_000
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
# Path, method, key, content type, size; and the answer.
REFUSED = {
    "no known key": (f"{API}/patients", "POST", "wrong", JSON, SIZE, 401),
    "an unknown path": (f"{API}/persons", "POST", LIVE_KEY, JSON, SIZE, 404),
    "an unknown path outside the API": ("/patients", "POST", LIVE_KEY, JSON, SIZE, 404),
    "another method": (f"{API}/patients", "PUT", LIVE_KEY, JSON, SIZE, 405),
    "no JSON": (f"{API}/patients", "POST", LIVE_KEY, "text/csv", SIZE, 415),
    "a large form": ("/login", "POST", "", FORM, SIZE, 413),
    "an unknown parameter": (f"{API}/patients?dry=1", "POST", LIVE_KEY, JSON, SIZE, 400),
    "too many bytes": (f"{API}/patients", "POST", LIVE_KEY, JSON, LIMIT + 9, 413),
    "too many bytes, and no key": (f"{API}/sync", "POST", "", JSON, LIMIT + 9, 401),
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    url = f"sqlite:///{tmp_path_factory.mktemp('refusals') / 'clinic.db'}"
    settings = {"SECRET_KEY": "s" * 32, "PORTAL_PASSWORD": "the-portal-password"}
    with (
        migrated(url),
        service(url, MAX_CONTENT_LENGTH=str(LIMIT), **settings) as running,
    ):
        yield running


@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_who_sends_everything_first_reads_why_he_is_refused(
    live: Service, case: tuple[str, str, str, str, int, int], chunked: bool
) -> None:
    path, method, key, kind, size, status = case
    body = itertools.repeat(b" " * 100_000, size // 100_000 + 1) if chunked else b" " * size
    headers = {"X-API-Key": key, "Content-Type": kind}
    with closing(http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)) as client:
        client.request(method, path, body, headers, encode_chunked=chunked)
        answer = client.getresponse()
        answer.read()
        assert answer.status == status or (
            kind == FORM and chunked and answer.status == 400
        )


def test_the_connection_goes_on_after_a_refusal(live: Service) -> None:
    wrong = {"X-API-Key": "wrong", "Content-Type": JSON}
    record = json.dumps({"patientNo": "P-1", "name": "Ali Hassan"})
    with closing(http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)) as client:
        client.request("POST", f"{API}/patients", b" " * SIZE, wrong)
        connection = client.sock
        assert b"unauthorized" in client.getresponse().read()
        client.request("POST", f"{API}/patient", record, wrong | {"X-API-Key": LIVE_KEY})
        answer = client.getresponse()
        answer.read()
        assert (answer.status, client.sock) == (201, connection)


class Endless:
    """A body that is sent and sent."""

    def __init__(self) -> None:
        self.parts = 0

    def read(self, size: int = -1) -> bytes:
        self.parts += 1
        assert self.parts < 1_000_000, "it is read for ever"
        return b" "


class Ending(Endless):
    """A body of one part, after which there is an error at each try."""

    def __init__(self, error: Exception):
        super().__init__()
        self.error = error

    def read(self, size: int = -1) -> bytes:
        part = super().read(size)
        if self.parts > 1:
            raise self.error
        return part


def refused(http: Http, body: Any, key: str = "wrong", **environ: Any) -> str:
    """Send a body; return the code of the answer."""
    answer = http.client.post(
        f"{API}/patients",
        content_type=JSON,
        headers={"X-API-Key": key},
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True} | environ,
    )
    return answer.get_json()["code"]


@not_on_waitress
def test_a_body_without_an_end_is_answered_after_a_while(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "LONGEST_REST", 0.05)
    assert refused(http, Endless()) == "unauthorized"


@not_on_waitress
@pytest.mark.parametrize(
    "error", [ConnectionResetError(), BlockingIOError(11, "x"), InvalidChunkSize(b"zz")]
)
def test_a_refused_body_that_breaks_off_is_refused_for_the_first_reason(
    http: Http, error: Exception
) -> None:
    assert refused(http, Ending(error)) == "unauthorized"


@not_on_waitress
def test_a_body_that_broke_off_is_not_read_again(http: Http) -> None:
    body = Ending(ConnectionResetError())
    assert refused(http, body, KEY) == "invalid_body"
    assert body.parts == 2


@not_on_waitress
def test_a_fault_of_our_own_is_logged_and_the_refusal_is_told(
    http: Http, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR")
    assert refused(http, Ending(ZeroDivisionError("secret"))) == "unauthorized"
    assert [record.getMessage() for record in caplog.records] == ["ZeroDivisionError"]


@not_on_waitress
def test_a_slow_client_keeps_a_thread_for_the_while_only(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read of gunicorn's ends when it has all that it wants, whatever the time between two bytes."""
    monkeypatch.setattr(payload, "LONGEST_REST", 0.1)
    client, connection = socket.socketpair()
    ended = Event()
    sender = Thread(target=trickle, args=(client, ended))
    with client, connection:
        sender.start()
        length = 10 * payload.PART
        body = Body(LengthReader(SocketUnreader(connection), length))
        place = {"gunicorn.socket": connection, "CONTENT_LENGTH": str(length)}
        assert refused(http, body, **place) == "unauthorized"
        assert not ended.is_set()
        ended.set()
        sender.join()


def trickle(client: socket.socket, ended: Event) -> None:
    """Send a byte now and then, for half a minute at most."""
    for _ in range(600):
        if ended.wait(0.05):
            return
        client.send(b" ")
    client.shutdown(socket.SHUT_WR)
    ended.set()
