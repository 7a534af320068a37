"""How gunicorn serves the application: `gunicorn app:app` from the project's root."""

import ctypes
import gc
import os
import re
import signal
import socket
import struct
from contextlib import suppress
from datetime import timedelta
from sys import exc_info

from gunicorn.glogging import Logger

import logs
import serving
from config import load
from engine import database
from models import db

settings = load()

bind = serving.address(settings.host, settings.port)
workers = settings.web_concurrency
# Threads, because a sync worker drops at SIGTERM whoever still waits for it, and one stalled client blocks it.
worker_class = "gthread"
# Most of them are for waiting: for a client that sends slowly, for room for a large list, for a connection of the pool.
threads = 64
timeout = 120  # seconds without a sign of life from a worker
graceful_timeout = 60  # seconds for what is in flight at SIGTERM
keepalive = 5
control_socket_disable = True
# Gunicorn takes nobody's word for scheme and path, not even from this machine or a Unix socket: the application alone
# knows how many proxies are trusted (TRUSTED_PROXIES).
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
STALL = 60  # seconds in which a client must send or take something, or its connection ends
loglevel = settings.log_level.lower()
accesslog = "-"

INVALID = re.compile(r"Invalid request from ip=\S*:(?= )")
M_MMAP_THRESHOLD = -3  # of mallopt(3)


class Log(Logger):
    """Gunicorn's log in the form of all others. It tells nothing that a client sent but method, path and address."""

    def setup(self, cfg):
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(logs.formatter(settings.log_format))

    def access(self, resp, req, environ, request_time):
        milliseconds = request_time // timedelta(milliseconds=1)
        logs.answered(environ, resp.status, resp.sent, milliseconds, self.access_log)

    def warning(self, msg, *args, **kwargs):
        # What follows repeats what cannot be read: a header with a key in it, or a part of a body.
        if refused := INVALID.match(msg):
            msg = f"{refused[0]} {type(exc_info()[1]).__name__}"
        super().warning(msg, *args, **kwargs)

    def exception(self, msg, *args, **kwargs):
        # An address may have a query with a patient's number.
        bare = [str(arg).partition("?")[0] for arg in args]
        super().exception(msg, *bare, **kwargs)


logger_class = Log


def when_ready(server):
    """Close a connection on which nothing comes or goes for STALL seconds: it inherits its listener's limits."""
    limit = struct.pack("@ll", STALL, 0)  # seconds and microseconds
    for listener in server.LISTENERS:
        for kind in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            listener.sock.setsockopt(socket.SOL_SOCKET, kind, limit)


def post_fork(server, worker):
    """Collect garbage less often, and give memory back.

    What a large request held goes back to the system: glibc would keep up to 64 MiB of it.
    """
    serving.spare_collector()
    with suppress(AttributeError):  # another libc
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 4 << 20)


def post_worker_init(worker):
    """Exclude the loaded application from garbage collection, and tell what is wrong with the database.

    The last worker that starts greets whoever started this by hand; a platform has no .env and needs no greeting.
    """
    gc.freeze()
    stop_in_one_way(worker)
    if worker.age == 1:
        with worker.wsgi.app_context():
            serving.tell_outage(db.engine)
    if worker.age == worker.cfg.workers and serving.is_greeted():
        print(serving.greeting(settings), flush=True)


def stop_in_one_way(worker):
    """Let Ctrl+C end what is in flight as SIGTERM does. Gunicorn's own quick way often locks itself up for a minute."""
    for quick in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(quick, worker.handle_exit)


def on_exit(server):
    """Leave one SQLite file that is everything, even if workers had to be killed, or closed it at the same moment."""
    for worker in server.WORKERS:  # killed a moment ago, when their time was up
        with suppress(ChildProcessError):
            os.waitpid(worker, 0)
    database.of_name(settings.database_url.get_backend_name()).tidy(settings.database_url)
