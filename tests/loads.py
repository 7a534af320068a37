"""Load: clients that send new patients to a running service without a pause, and know what was answered."""

import http.client
import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from live import KEY, Service

CLIENTS = 6
BURST = 20  # records of a list
PATH = "/api/healthcare/patients"


@dataclass
class Load:
    """Clients that send; `stored` holds the numbers that were answered as stored."""

    live: Service
    stored: set[str] = field(default_factory=set)
    started: Event = field(default_factory=Event)
    ended: Event = field(default_factory=Event)

    def send(self, client: int) -> None:
        for burst in range(10**6):
            if self.ended.is_set():
                return
            numbers = [f"P-{client}-{burst}-{place}" for place in range(BURST)]
            records = [{"patientNo": number, "name": "Sara Omar"} for number in numbers]
            if self.post(records) == 200:
                self.stored.update(numbers)
                self.started.set()

    def post(self, records: list[dict]) -> int | None:
        """Return the status of the whole answer, or None if the service has ended."""
        address = ("127.0.0.1", self.live.port)
        with closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
            headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
            try:
                connection.request("POST", PATH, json.dumps(records), headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return None
            return answer.status


@contextmanager
def loaded(live: Service) -> Iterator[Load]:
    """Yield when the first list is stored; more come in until the end."""
    load = Load(live)
    with ThreadPoolExecutor(CLIENTS) as clients:
        for client in range(CLIENTS):
            clients.submit(load.send, client)
        try:
            assert load.started.wait(60)
            yield load
        finally:
            load.ended.set()


def children(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    return [
        int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]


def numbers_in(path: Path) -> set[str]:
    """Return the numbers of the patients in a file that is sound."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return {
            number for (number,) in connection.execute("SELECT patient_no FROM patient")
        }
