"""The service as the README runs it: gunicorn on a free loopback port. It may be killed, and started again."""

import os
import signal
import sys
import time
from pathlib import Path

from bench import processes
from tests import servers

ROOT = Path(__file__).resolve().parent.parent
KEY = "a-key-for-chaos-only"


class Service:
    """One gunicorn with its workers, on a database that others may share."""

    def __init__(self, url: str, folder: Path, workers: int) -> None:
        self.url = url
        self.port = servers.free_port()
        self._log = folder / f"service-{self.port}.log"
        self._environment = {
            "API_KEYS": f"chaos:{KEY}",
            "DATABASE_URL": url,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": str(workers),
            "LOG_LEVEL": "WARNING",
            "FLASK_SKIP_DOTENV": "1",
        }

    def migrate(self) -> None:
        """Bring the tables up to date."""
        command = [sys.executable, "-m", "flask", "--app", "app", "db", "upgrade"]
        processes.run(command, ROOT, self._environment)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--access-logfile",
            os.devnull,
            "app:app",
        ]
        self._process = processes.start(command, ROOT, self._log, self._environment)
        self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        processes.wait(self._process, self.port, "/healthz", self._log)

    def workers(self) -> list[int]:
        """Return the process ids of its workers, as soon as there are any."""
        while not (found := processes.children(self._process.pid)):
            time.sleep(0.01)
        return found

    def kill(self) -> None:
        """Kill the master and all workers at one moment."""
        os.kill(
            self._process.pid, signal.SIGSTOP
        )  # it must not start another worker meanwhile
        workers = processes.children(self._process.pid)
        for pid in (self._process.pid, *workers):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it as its operator would: what is in flight may be finished."""
        processes.stop(self._process)
