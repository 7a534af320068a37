"""Windows: waitress serves the application there, with gunicorn's access log, limits and end.

It receives a whole request before the application is asked, so slow clients keep no thread. Nothing here is bound to
Windows but the events of its console; so all of it is tested on other systems, too.
"""

import ctypes
import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import InternalServerError, RequestEntityTooLarge
from werkzeug.wsgi import ClosingIterator

import logs

THREADS = (
    64  # as gunicorn's, most of them to wait: for room for a large list, for a database
)
CONNECTIONS = 480  # select() of Windows takes 512 sockets
STALL = 60  # seconds in which a client must send or take something
GRACE = 60  # seconds for what is in flight at the end
TICK = 1  # seconds within which a signal is noticed
FRAMING = (
    2  # a chunked body may take so many times its size, until it is refused before its end
)
NEVER = 1 << 40  # bytes
# Of a console: its window is closed, its user logs off, the system shuts down.
CONSOLE_ENDS = (2, 5, 6)

log = logging.getLogger(__name__)

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass
class Stop:
    """The end of the service: asked for by a signal or the console, reached when nothing is in flight."""

    asked: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    def on_signals(self) -> None:
        """Listen to Ctrl+C, Ctrl+Break and who ends a process."""
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._on_signal)

    def _on_signal(self, number: int, _frame: Any) -> None:
        self.asked.set()
        signal.signal(number, signal.SIG_DFL)  # who asks once more means it

    def on_console(self, api: Any) -> Any:
        """Listen to the end of a Windows console; return what must be kept as long as that may come.

        `api` is ctypes. Windows ends the process when the handler returns, or after about five seconds.
        """

        def handle(event: int) -> bool:
            if event not in CONSOLE_ENDS:
                return False
            self.asked.set()
            self.reached.wait()
            return True

        handler = api.WINFUNCTYPE(api.c_int, api.c_uint)(handle)
        api.windll.kernel32.SetConsoleCtrlHandler(handler, True)
        return handler


def serve(application: Application, listener: Any, most: int, greeting: str) -> None:
    """Greet, serve until somebody stops it, and finish what is in flight. A body may have `most` bytes."""
    stop = Stop()
    stop.on_signals()
    # Kept until the end: Windows may call it.
    _handler = stop.on_console(ctypes) if hasattr(ctypes, "windll") else None
    gc.freeze()  # the application lives as long as the process
    server = make_server(application, listener, most)
    print(greeting, flush=True)
    while not stop.asked.is_set():
        turn(server)
    _drain(server)
    stop.reached.set()


def make_server(application: Application, listener: Any, most: int) -> BaseWSGIServer:
    """Return a waitress on this socket, which serves while its `turn` comes again and again."""
    logging.getLogger("waitress").setLevel(logging.WARNING)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = create_server(
        logged(application),
        sockets=[listener],
        threads=THREADS,
        connection_limit=CONNECTIONS,
        channel_timeout=STALL,
        cleanup_interval=STALL // 6,
        max_request_body_size=FRAMING * most,
        outbuf_high_watermark=NEVER,  # a client that takes no answer would hold a thread; it waits in a file
        # The application knows how many proxies are trusted (TRUSTED_PROXIES).
        clear_untrusted_proxy_headers=False,
        log_socket_errors=False,  # of a client that went away
        ident=None,
    )
    server.channel_class = Channel
    return server


def turn(server: BaseWSGIServer, seconds: float = TICK) -> None:
    """Receive and send what can be, or wait so long for it."""
    wasyncore.loop(timeout=seconds, use_poll=True, map=server._map, count=1)


def _drain(server: BaseWSGIServer) -> None:
    """Take no new connection, let each request end, and close."""
    server.del_channel()
    server.socket.close()
    ends = time.monotonic() + GRACE
    while server.active_channels and time.monotonic() < ends:
        for channel in list(server.active_channels.values()):
            channel.will_close |= not _is_busy(channel)
        turn(server, 0.1)
    server.task_dispatcher.shutdown(timeout=0.1)
    wasyncore.close_all(server._map)


def _is_busy(channel: HTTPChannel) -> bool:
    """Return whether a request is received, worked on or answered. They overlap in this order."""
    return bool(channel.request or channel.requests or channel.total_outbufs_len)


class Channel(HTTPChannel):
    """A connection whose too large bodies are refused by the application, in its own words."""

    @staticmethod
    def error_task_class(channel: HTTPChannel, request: Any) -> Task:
        """Return the task that answers what cannot be taken."""
        if not isinstance(request.error, RequestEntityTooLarge):
            return Refusal(channel, request)
        size = max(request.content_length, request.body_bytes_received)
        request.headers["CONTENT_LENGTH"] = str(size)
        task = WSGITask(channel, request)
        task.set_close_on_finish()  # the rest of the body is not read
        return task


class Refusal(ErrorTask):
    """The answer to what is no HTTP request, with gunicorn's line in the log: it tells nothing of what was sent."""

    def execute(self) -> None:
        """Answer, and log the line."""
        error = self.request.error
        if not isinstance(error, InternalServerError):  # of which waitress has told
            kind = type(error).__name__
            log.warning("Invalid request from ip=%s: %s", self.channel.addr[0], kind)
        super().execute()


# --- The access log ----------------------------------------------------------------------------


def logged(application: Application) -> Application:
    """Return the application with a line in the log for each answer."""

    def serve_logged(
        environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        line = Line(environ)
        body = application(environ, line.listening(start_response))
        return ClosingIterator(body, line.write)

    return serve_logged


class Line:
    """What the access log tells of one answer: no query, no secret, nothing of a record."""

    def __init__(self, environ: Environ):
        self._environ, self._started = environ, time.monotonic()
        self._status, self._size = "000", 0

    def listening(self, start_response: Callable[..., Any]) -> Callable[..., Any]:
        """Return a `start_response` that notes status and size here."""

        def note(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            self._status = status
            lengths = [value for name, value in headers if name.lower() == "content-length"]
            self._size = int(lengths[0]) if lengths else 0
            return start_response(status, headers, *error)

        return note

    def write(self) -> None:
        """Log the line."""
        milliseconds = round((time.monotonic() - self._started) * 1000)
        logs.answered(self._environ, self._status, self._size, milliseconds)
