"""Flask's test client over a real waitress: HTTP_SERVER=waitress sends the tests of HTTP through Windows' server."""

import http.client
import string
import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from urllib.parse import quote

from flask import Flask
from flask.testing import FlaskClient

import serving
import windows

SENT = (
    string.printable
)  # characters that are not quoted, even where a URL must not hold them
UNSENT = {"HTTP_HOST", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"}
FINISHED: dict[
    int, threading.Event
] = {}  # by the port of a client's connection, if somebody waits


class Channel(windows.Channel):
    """A connection that tells when all work on its request is done: its line is logged after the answer is sent."""

    def service(self) -> None:
        super().service()
        if finished := FINISHED.pop(self.addr[1], None):
            finished.set()


@cache
def port_of(app: Flask) -> int:
    """Start the server of an application, which lasts as long as the tests; return its port."""
    listener = serving.listen("127.0.0.1", 0)
    most = app.extensions["settings"].max_content_length
    server = windows.make_server(app, listener, most)
    server.channel_class = Channel
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    return listener.getsockname()[1]


def serve(server: Any) -> None:
    while True:
        windows.turn(server)


class Client(FlaskClient):
    """A client whose requests go over a socket."""

    def run_wsgi_app(self, environ: dict[str, Any], buffered: bool = False) -> Any:
        app = self.application
        port = port_of(app)
        self.application = lambda env, start: over(port, env, start)  # type: ignore[assignment]
        try:
            return super().run_wsgi_app(environ, buffered)
        finally:
            self.application = app


def over(
    port: int, environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    """Send a request, as WSGI describes it, to a port; return its answer when the server is done with it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    finished = FINISHED[connection.sock.getsockname()[1]] = threading.Event()
    path, query = environ["REQUEST_URI"].partition("?")[0], environ["QUERY_STRING"]
    target = quote(f"{path}?{query}" if query else path, SENT, encoding="latin-1")
    connection.putrequest(
        environ["REQUEST_METHOD"], target, skip_host=True, skip_accept_encoding=True
    )
    for name, value in headers(environ):
        connection.putheader(name, value.encode("latin-1"))
    connection.endheaders(body(environ))
    answer = connection.getresponse()
    start_response(f"{answer.status} {answer.reason}", answer.getheaders())
    content = answer.read()
    assert finished.wait(60)
    connection.close()
    return [content]


def headers(environ: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "Host", environ["HTTP_HOST"]
    for name in ("CONTENT_LENGTH", "CONTENT_TYPE"):
        if environ.get(name):
            yield name.replace("_", "-"), environ[name]
    for name, value in environ.items():
        if name.startswith("HTTP_") and name not in UNSENT:
            yield name.removeprefix("HTTP_").replace("_", "-"), value


def body(environ: dict[str, Any]) -> bytes | None:
    """Return the body as it goes over the wire: chunked, if it is not told how long it is."""
    raw = environ["wsgi.input"].read()
    if "HTTP_TRANSFER_ENCODING" not in environ:
        return raw
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(raw), raw) if raw else b"0\r\n\r\n"
