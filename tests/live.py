"""The service as it runs: gunicorn on a free loopback port, and clients that speak real HTTP to it.

With HTTP_SERVER=waitress in the environment it is the server of Windows, in a Python that lacks what Windows lacks.
"""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import servers

ROOT = Path(__file__).parent.parent
KEY = "a-key-for-the-live-tests"
SERVER = os.environ.get("HTTP_SERVER", "gunicorn")
# For tests of gunicorn's own ways, or with what only Flask's client can send.
not_on_waitress = pytest.mark.skipif(SERVER == "waitress", reason="not for this server")
GUNICORN = [
    sys.executable,
    "-m",
    "gunicorn",
    "--access-logfile",
    os.devnull,
    "--log-level",
    "error",
]
# `flask serve` as on Windows.
ON_WINDOWS = """
import os, sys
sys.modules["fcntl"] = None
del os.O_CLOEXEC, os.fork, os.getuid, os.geteuid, os.fchmod, os.chown
sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[2])))
import serving
serving.WINDOWS = True
from flask.cli import main
main()
"""


def waitress(root: Path) -> list[str]:
    """Return the command that serves a project as on Windows."""
    return [sys.executable, "-P", "-c", ON_WINDOWS, "--app", str(root / "app"), "serve"]


@dataclass
class Service:
    """A running service."""

    port: int
    process: subprocess.Popen

    def post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Post JSON; returns the status and the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        connection.request("POST", f"/api/healthcare{path}", raw, headers)
        answer = connection.getresponse()
        told = answer.status, json.loads(answer.read())
        connection.close()
        return told

    def at_once(
        self, requests: Sequence[tuple[str, Any]]
    ) -> list[tuple[int, dict[str, Any]]]:
        """Send all requests at the same moment, each from a client of its own."""
        start = Barrier(len(requests))

        def send(request: tuple[str, Any]) -> tuple[int, dict[str, Any]]:
            start.wait()
            return self.post(*request)

        with ThreadPoolExecutor(len(requests)) as clients:
            return list(clients.map(send, requests))

    def answers(self) -> bool:
        """Tell whether the service is up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def service(
    url: str, *options: str, server: str = SERVER, **settings: str
) -> Iterator[Service]:
    """Run gunicorn with two workers and options of its own, or waitress, on a database that is up to date."""
    port = int(settings.get("PORT") or servers.free_port())
    defaults = {
        "API_KEYS": f"live:{KEY}",
        "DATABASE_URL": url,
        "PORT": str(port),
        "WEB_CONCURRENCY": "2",
    }
    environment = {
        **os.environ,
        **defaults,
        "HOST": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
        **settings,
    }
    on_gunicorn = [*GUNICORN, *options, "app:app"]
    command = waitress(ROOT) if server == "waitress" else on_gunicorn
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    with running(port, process) as started:
        yield started


@contextmanager
def running(port: int, process: subprocess.Popen) -> Iterator[Service]:
    """Wait until a service that was started answers; yield it, and end it afterwards."""
    started = Service(port, process)
    try:
        servers.wait_until(started.answers, process)
        yield started
    finally:
        process.terminate()
        process.wait(servers.PATIENCE)
