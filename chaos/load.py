"""Load: clients that send to the service, each as soon as its last request is answered."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event
from time import sleep
from typing import Any

from chaos import answers, drafts
from chaos.client import Line, Lost
from chaos.drafts import Crowd, Draft, Drafts
from chaos.ledger import Ledger, Request
from chaos.records import ALL
from upsert import RULES

CLIENTS = 8
IN_FLIGHT = 50  # further requests at a SIGTERM
PAUSE = 0.5  # seconds at most, after a request without success


class Client:
    """One caller. After a request without a whole answer it often sends the same again."""

    def __init__(
        self, space: int, seed: int, ledger: Ledger, crowd: Crowd, line: Line
    ) -> None:
        self.space, self.ledger, self.line = space, ledger, line
        self.rng = random.Random(f"{seed} {space}")
        self.drafts = Drafts(space, self.rng, ledger, crowd)
        self.count = 0  # of its requests
        self.unfinished: Request | None = None

    def work(self, prefix: str, stop: Event) -> None:
        """Send until told to stop. Request ids begin with `prefix`."""
        while not stop.is_set():
            self.send_one(prefix)

    def send_one(self, prefix: str) -> None:
        """Send one request of any kind, or wait a moment while no service takes a connection."""
        if self.line.is_open():
            self.send(prefix, self._next())
        else:
            self._pause()

    def _next(self) -> Draft:
        unfinished, self.unfinished = self.unfinished, None
        if unfinished and self.rng.random() < 0.5:
            return drafts.again(unfinished)
        return self.drafts.next()

    def send(self, prefix: str, draft: Draft) -> None:
        """Send a request, unless it is empty, and note what became of it."""
        self.count += 1
        request_id = f"{prefix}-{self.space}-{self.count}"
        request = Request(request_id, draft.path, draft.atomic, draft.sendings)
        if not request.all:
            return
        self.ledger.begin(request)
        goes_on = self._exchange(request)
        self.ledger.end(request, goes_on)
        if request.in_doubt:
            self._look_back(request)

    def _exchange(self, request: Request) -> bool:
        """Send a request and read the answer; returns whether the service still works on it."""
        path = f"{request.path}?atomic=true" if request.atomic else request.path
        try:
            status, answer = self.line.post(path, body(request), request.id)
        except Lost as lost:
            return lost.goes_on
        answers.read(self.ledger, request, status, answer)
        return False

    def _look_back(self, request: Request) -> None:
        """Hold the patients of an atomic request in doubt; remember any other one to send it again."""
        if request.atomic:
            self.drafts.hold(request)
        else:
            self.unfinished = request
        self._pause()

    def _pause(self) -> None:
        sleep(self.rng.uniform(0, PAUSE))


def body(request: Request) -> Any:
    """Return what a request carries, as it becomes JSON."""
    lists = {
        RULES[entity].plural: [sending.record for sending in sendings]
        for entity, sendings in request.sendings.items()
    }
    if request.path == "/sync":
        return lists
    (only,) = lists.values()
    return only[0] if request.single else only


class Load:
    """All clients, on the services of a site. `ports`: where these listen."""

    def __init__(self, seed: int, ledger: Ledger, ports: Sequence[int]) -> None:
        crowd = Crowd()
        self._all = [
            Client(space, seed, ledger, crowd, Line(ports, space))
            for space in range(1 + CLIENTS + IN_FLIGHT)
        ]
        self._owner, *callers = self._all
        assert self._owner.space == ALL
        self._clients, self._others = callers[:CLIENTS], callers[CLIENTS:]
        self.prefix = "house"  # of the ids of the last round's requests
        self._rounds = 0

    def furnish(self) -> None:
        """Store the clinics and doctors of the house."""
        self._owner.send(self.prefix, self._owner.drafts.house())

    def close(self) -> None:
        """Have all clients hang up."""
        for client in self._all:
            client.line.close()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the clients send while the block runs, which is a new round."""
        self._rounds += 1
        self.prefix = f"r{self._rounds}"
        for client in self._all:
            client.drafts.release()
        stop = Event()
        with ThreadPoolExecutor(CLIENTS) as pool:
            working = [pool.submit(it.work, self.prefix, stop) for it in self._clients]
            try:
                yield
            finally:
                stop.set()
        for future in working:
            future.result()

    @contextmanager
    def burst(self) -> Iterator[None]:
        """Have fifty further requests in flight when the block begins."""
        start = Barrier(IN_FLIGHT + 1)

        def send(client: Client) -> None:
            start.wait()
            client.send_one(self.prefix)

        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            sending = [pool.submit(send, client) for client in self._others]
            start.wait()
            yield
        for future in sending:
            future.result()
