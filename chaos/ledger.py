"""The ledger: what was sent, and what was answered.

A record is sent in editions. What was answered must be stored, unless something later may have replaced it. What was
not answered, or with an error of the server, is in doubt: it may be stored or not, but not in part.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from chaos import records
from chaos.records import Identity, Values

ACTIONS = ("created", "updated", "unchanged")
REFUSED = "refused"

Place = tuple[str, str]  # an identity's entity and tag


class Fault(NamedTuple):
    """What must not be: its kind in a word or two, a sentence, and the record as it was sent last."""

    kind: str
    text: str
    record: Values | None = None


@dataclass(eq=False, slots=True)
class Sending:
    """A record in a request. `action` is one of ACTIONS, or REFUSED; None while it is in doubt.

    `needs` is the patient of a booking in the same request, unless it was stored before.
    """

    identity: Identity
    edition: int
    record: Values
    needs: "Sending | None" = None
    action: str | None = None
    id: int | None = None

    @property
    def stored(self) -> bool:
        """Whether the answer says that it is stored."""
        return self.action in ACTIONS


@dataclass(eq=False)
class Request:
    """A request: its records by entity, when it began, and when it was over. `counts` as answered, by entity."""

    id: str
    path: str
    atomic: bool
    sendings: dict[str, list[Sending]]
    started: float = field(default_factory=time.monotonic)
    ended: float = math.inf
    counts: dict[str, Counter] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.path}{'?atomic=true' if self.atomic else ''} (request {self.id})"

    @property
    def all(self) -> list[Sending]:
        """All its records, in the order in which the service stores them."""
        return [sending for sendings in self.sendings.values() for sending in sendings]

    @property
    def single(self) -> bool:
        """Whether it is sent as one record, not as a list."""
        return self.path.lstrip("/") in records.TAGGED

    @property
    def in_doubt(self) -> bool:
        """Whether nobody knows what became of any of its records."""
        return all(sending.action is None for sending in self.all)


@dataclass(slots=True)
class Entry:
    """What is known of an identity: the last edition sent, that found at the last check, and each sending since then.

    `keys` are those that surely lead to its record.
    """

    edition: int = 0
    found: int | None = None
    id: int | None = None
    keys: list[str] = field(default_factory=list)
    sendings: list[tuple[Request, Sending]] = field(default_factory=list)


class Ledger:
    """Everything that was sent. Each client writes its own requests.

    `stale_reads`: the database may answer with what was stored a moment ago.
    """

    def __init__(self, stale_reads: bool = False) -> None:
        self.stale_reads = stale_reads
        self.sent = self.answered = self.unanswered = self.refused = 0  # requests; records
        self.entries: dict[Place, Entry] = {}
        self.requests: list[Request] = []  # since the last check
        self.faults: list[Fault] = []  # that answers showed since then
        self._lock = Lock()

    def next_edition(self, identity: Identity, again: bool = False) -> int:
        """Return a new edition of a record to send, or (`again`) the last one."""
        with self._lock:
            entry = self._entry(identity)
            entry.edition += not (again and entry.edition)
            return entry.edition

    def sure_number(self, identity: Identity) -> str | None:
        """Return a number that surely leads to this patient, if there is one."""
        with self._lock:
            numbers = [key for key in self._entry(identity).keys if key.startswith("P")]
            return numbers[-1] if numbers else None

    def begin(self, request: Request) -> None:
        """Note a request that is about to be sent."""
        with self._lock:
            self.sent += 1
            self.requests.append(request)
            for sending in request.all:
                self._entry(sending.identity).sendings.append((request, sending))
        request.started = time.monotonic()

    def end(self, request: Request, goes_on: bool = False) -> None:
        """Note that a request is over: each of its records has the action that was answered, or none.

        `goes_on`: the client only waits no longer, which is a fault of the service.
        """
        request.ended = math.inf if goes_on else time.monotonic()
        if goes_on:
            self.blame("no answer", f"{request} took too long")
        with self._lock:
            for sending in request.all:
                self._learn(sending)

    def blame(self, kind: str, text: str, record: Values | None = None) -> None:
        """Note a fault that an answer shows."""
        self.faults.append(Fault(kind, text, record))

    def settle(
        self, known: Mapping[Place, tuple[int, int | None]], leads: Mapping[str, int]
    ) -> None:
        """Begin anew with what is stored: `known` are id and edition, `leads` the ids to which keys lead."""
        for place, entry in self.entries.items():
            entry.id, entry.found = known.get(place, (None, None))
            entry.keys = [key for key in entry.keys if leads.get(key, 0) == entry.id]
            entry.sendings = []
        self.requests, self.faults = [], []

    def _entry(self, identity: Identity) -> Entry:
        return self.entries.setdefault((identity.entity, identity.tag), Entry())

    def _learn(self, sending: Sending) -> None:
        self.answered += sending.stored
        self.refused += sending.action == REFUSED
        self.unanswered += sending.action is None
        if sending.stored and sending.identity.entity == "patient":
            entry = self._entry(sending.identity)
            sent = records.keys(sending.identity, sending.edition)
            entry.keys += [key for key in sent if key not in entry.keys]
