"""Whose word counts: no header says who calls, over what and where, unless proxies are trusted."""

import http.client
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import servers
from conftest import emptied, migrated
from flask import Flask
from live import not_on_waitress, service

PASSWORD = "the-portal-password"
SETTINGS = {"SECRET_KEY": "s" * 32, "PORTAL_PASSWORD": PASSWORD}
STRANGER = "stranger.example"
# What one or another server, middleware or platform takes for the truth.
HEADERS: list[dict[str, str]] = [
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Ssl": "on"},
    {"X-Forwarded-Protocol": "ssl"},
    {"X-Forwarded-Scheme": "https"},
    {"X-Url-Scheme": "https"},
    {"Front-End-Https": "on"},
    {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"},
    {"X-Forwarded-Proto": "http", "X-Forwarded-Protocol": "ssl"},
    {"X_Forwarded_Proto": "https"},
    {"Forwarded": f"for=192.0.2.9;proto=https;host={STRANGER}"},
    {"X-Forwarded-Host": STRANGER},
    {"X-Forwarded-Server": STRANGER},
    {"X-Forwarded-Prefix": f"/{STRANGER}"},
    {"X-Forwarded-Port": "443"},
    {"SCRIPT_NAME": f"/{STRANGER}"},
    {"SCRIPT_NAME": "/login"},
    {"PATH_INFO": f"/{STRANGER}"},
    {"REMOTE_USER": STRANGER, "REMOTE_ADDR": "192.0.2.9"},
]


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def is_secure(self) -> bool:
        return "Secure" in self.headers["Set-Cookie"]


class Place(http.client.HTTPConnection):
    """Where a service listens: a TCP port of this machine, or a Unix socket."""

    def __init__(self, port: int, path: str | None = None):
        super().__init__("127.0.0.1", port, timeout=60)
        self.path = path

    def connect(self) -> None:
        if self.path is None:
            return super().connect()
        self.sock = socket.socket(socket.AF_UNIX)
        return self.sock.connect(self.path)

    def ask(
        self, path: str, form: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Get a path, or post a form to it."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        self.request("GET" if form is None else "POST", path, form, kind | (headers or {}))
        answer = self.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode())

    def log_in(self, password: str, headers: dict[str, str]) -> Answer:
        page = self.ask("/login", headers=headers)
        found = re.search('csrf_token" value="([^"]+)', page.text)
        assert found
        cookie = {"Cookie": page.headers["Set-Cookie"].split(";")[0]}
        form = f"csrf_token={found[1]}&password={password}"
        return self.ask("/login", form, headers | cookie)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    url = f"sqlite:///{tmp_path_factory.mktemp('proxies') / 'clinic.db'}"
    with migrated(url, **SETTINGS) as app:
        yield app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sockets")


def listening(app: Flask, *sockets: Path, **settings: str) -> Iterator[int]:
    """Run the service on a TCP port, and on Unix sockets besides; yields the port."""
    port = servers.free_port()
    binds = [f"127.0.0.1:{port}", *(f"unix:{path}" for path in sockets)]
    options = [word for bind in binds for word in ("--bind", bind)]
    url = str(app.extensions["settings"].database_url)
    with service(url, *options, PORT=str(port), **SETTINGS, **settings):
        yield port


@pytest.fixture(scope="module")
def alone(app: Flask, folder: Path) -> Iterator[int]:
    """The port of a service without a proxy, on a platform that tells gunicorn to trust everybody."""
    yield from listening(app, folder / "socket", FORWARDED_ALLOW_IPS="*")


@pytest.fixture(scope="module")
def behind(app: Flask) -> Iterator[int]:
    """The port of a service behind one proxy."""
    yield from listening(app, TRUSTED_PROXIES="1")


@pytest.fixture(params=["port", pytest.param("socket", marks=not_on_waitress)])
def stranger(
    request: pytest.FixtureRequest, alone: int, folder: Path, app: Flask
) -> Iterator[Place]:
    """A caller that no proxy stands before."""
    emptied(app)
    path = str(folder / "socket") if request.param == "socket" else None
    with closing(Place(alone, path)) as place:
        yield place


@pytest.fixture
def proxy(behind: int, app: Flask) -> Iterator[Place]:
    emptied(app)
    with closing(Place(behind)) as place:
        yield place


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_no_header_of_a_stranger_counts(stranger: Place, headers: dict[str, str]) -> None:
    page = stranger.ask("/login", headers=headers)
    assert (page.status, page.is_secure) == (200, False)
    reference = stranger.ask("/", headers=headers | {"Host": "clinic.example"})
    assert reference.status == 200
    assert "http://clinic.example/api" in reference.text
    assert STRANGER not in reference.text


def test_a_stranger_that_names_other_addresses_has_ten_tries(stranger: Place) -> None:
    names = ("X-Forwarded-For", "X-Real-Ip", "X-Client-Ip", "REMOTE_ADDR", "Forwarded")
    statuses = [
        stranger.log_in("wrong", dict.fromkeys(names, f"192.0.2.{number}")).status
        for number in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2


def test_the_line_of_the_proxy_protocol_is_no_request(alone: int) -> None:
    line = b"PROXY TCP4 192.0.2.9 192.0.2.1 4711 80\r\n"
    with socket.create_connection(("127.0.0.1", alone), timeout=60) as connection:
        connection.sendall(line + b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 400 " in connection.recv(100)


def test_a_trusted_proxy_says_whether_it_was_asked_over_https(proxy: Place) -> None:
    assert proxy.ask("/login", headers={"X-Forwarded-Proto": "https"}).is_secure
    assert not proxy.ask("/login", headers={"X-Forwarded-Proto": "http"}).is_secure
    assert not proxy.ask("/login").is_secure
    logged_in = proxy.log_in(PASSWORD, {"X-Forwarded-Proto": "https"})
    assert (logged_in.status, logged_in.is_secure) == (303, True)


@pytest.mark.parametrize(
    "headers",
    [
        it
        for it in HEADERS
        if it.keys().isdisjoint({"X-Forwarded-Proto", "X-Forwarded-Host"})
    ],
    ids=str,
)
def test_other_headers_of_a_trusted_proxy_do_not_count(
    proxy: Place, headers: dict[str, str]
) -> None:
    page = proxy.ask("/login", headers=headers | {"X-Forwarded-Proto": "https"})
    assert (page.status, page.is_secure) == (200, True)
    plain = proxy.ask("/login", headers=headers)
    assert (plain.status, plain.is_secure) == (200, False)


def test_a_trusted_proxy_says_by_which_name_it_was_asked(proxy: Place) -> None:
    page = proxy.ask("/", headers={"X-Forwarded-Host": "clinic.example"}).text
    assert "http://clinic.example/api" in page


def test_the_address_that_a_trusted_proxy_adds_counts_not_the_callers_word(
    proxy: Place,
) -> None:
    statuses = [
        proxy.log_in("wrong", {"X-Forwarded-For": f"192.0.2.{number}, 198.51.100.1"}).status
        for number in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    other = {"X-Forwarded-For": "192.0.2.1, 198.51.100.2"}
    assert proxy.log_in("wrong", other).status == 401


@pytest.mark.parametrize("host", [STRANGER, f"{STRANGER}:81", 'x"><b>', ""])
def test_a_redirect_names_no_host(stranger: Place, host: str) -> None:
    asked = stranger.ask("/history", headers={"Host": host, "X-Forwarded-Host": STRANGER})
    assert (asked.status, asked.headers["Location"]) == (302, "/login?next=history")
    logged_in = stranger.log_in(PASSWORD, {"Host": host})
    assert (logged_in.status, logged_in.headers["Location"]) == (303, "/")


@pytest.fixture(scope="module")
def behind_two(app: Flask) -> Iterator[int]:
    """The port of a service behind two proxies."""
    yield from listening(app, TRUSTED_PROXIES="2")


def test_two_proxies_each_add_an_address_and_hand_on_one_scheme(
    behind_two: int, app: Flask
) -> None:
    """So does Fly, and so does nginx before nginx."""
    emptied(app)
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "clinic.example"}
    with closing(Place(behind_two)) as place:
        assert place.ask("/login", headers=headers).is_secure
        assert "https://clinic.example/api" in place.ask("/", headers=headers).text
        statuses = [
            place.log_in(
                "wrong", {"X-Forwarded-For": f"{address}, 203.0.113.7"} | headers
            ).status
            for address in ["192.0.2.9, 198.51.100.1"] * 11 + ["198.51.100.2"]
        ]
    assert statuses == [401] * 10 + [429, 401]
