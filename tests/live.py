"""The service as it runs: gunicorn on a free loopback port, and clients that speak real HTTP to it."""

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

import servers

ROOT = Path(__file__).parent.parent
KEY = "a-key-for-the-live-tests"


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
def service(url: str, *options: str, **settings: str) -> Iterator[Service]:
    """Run gunicorn with two workers, and options of its own, on a database that is up to date."""
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
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--access-logfile",
        os.devnull,
        "--log-level",
        "error",
    ]
    process = subprocess.Popen([*command, *options, "app:app"], cwd=ROOT, env=environment)
    running = Service(port, process)
    try:
        servers.wait_until(running.answers, process)
        yield running
    finally:
        process.terminate()
        process.wait(servers.PATIENCE)
