"""The audit: whether what is stored agrees with what was sent and answered."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from chaos import records
from chaos.ledger import REFUSED, Entry, Fault, Ledger, Place, Request, Sending
from chaos.records import Identity, Values

WRITES = ("created", "updated")


class Row(NamedTuple):
    """A stored record; `values` by JSON name, a booking's patient by tag."""

    entity: str
    tag: str
    id: int
    values: Values


@dataclass
class Stored:
    """What a database holds. `leads`: which patient each number, former number and national id leads to.

    `runs`: the counts in the history, by request id and entity.
    """

    rows: Iterable[Row]
    leads: Mapping[str, int]
    runs: Mapping[tuple[str, str], list[Counter]]
    faults: list[Fault] = field(default_factory=list)


class Found(NamedTuple):
    """What is remembered of a row: the edition that it claims to be, and whether it is that in whole."""

    id: int
    edition: int | None
    whole: bool


Finds = Mapping[Place, list[Found]]


def check(ledger: Ledger, stored: Stored) -> list[Fault]:
    """Return what is wrong, while nobody sends; what is stored is then what the ledger knows: a fault is told once."""
    strangers: list[Fault] = []
    finds = _found(ledger, stored.rows, strangers)
    faults = [*ledger.faults, *stored.faults, *strangers]
    for place, entry in ledger.entries.items():
        faults += _faults_of(
            place, entry, finds.get(place, []), stored.leads, ledger.stale_reads
        )
    for request in ledger.requests:
        faults += _halves(request, finds, ledger.entries)
        faults += _history_faults(request, stored.runs)
    known = {place: (rows[0].id, rows[0].edition) for place, rows in finds.items()}
    ledger.settle(known, stored.leads)
    return faults


def _found(ledger: Ledger, rows: Iterable[Row], strangers: list[Fault]) -> Finds:
    """Return the rows of each identity; those that nobody sent are added to `strangers`."""
    finds: dict[Place, list[Found]] = defaultdict(list)
    for row in rows:
        place = row.entity, row.tag
        if place in ledger.entries:
            finds[place].append(_find(row))
        else:
            text = f"{row.entity} with the id {row.id} was never sent"
            strangers.append(Fault("stranger", text, row.values))
    return finds


def _find(row: Row) -> Found:
    space, number = row.tag.split("-")
    identity = Identity(row.entity, int(space), int(number))
    edition = records.edition_of(row.entity, row.values)
    whole = edition is not None and records.agree(identity, edition, row.values)
    return Found(row.id, edition, whole)


# --- One identity ------------------------------------------------------------------------------


def _faults_of(
    place: Place,
    entry: Entry,
    rows: list[Found],
    leads: Mapping[str, int],
    stale_reads: bool,
) -> Iterator[Fault]:
    record = entry.sendings[-1][1].record if entry.sendings else None
    for kind, text in _wrong(entry, rows, leads, stale_reads):
        yield Fault(kind, f"{' '.join(place)} {text}", record)


def _wrong(
    entry: Entry, rows: list[Found], leads: Mapping[str, int], stale_reads: bool
) -> Iterator[tuple[str, str]]:
    """Yield the kind of each fault of an identity, and how its sentence goes on."""
    answered = [sending for _, sending in entry.sendings if sending.stored]
    if len(rows) > 1:
        yield (
            "double",
            f"is stored {len(rows)} times, with the ids {[row.id for row in rows]}",
        )
    elif rows:
        yield from _wrong_row(entry, rows[0], stale_reads)
        yield from _wrong_answers(entry, rows[0], answered)
        yield from _lost_keys(entry, rows[0], leads)
    elif answered or entry.found is not None:
        told = answered[-1].action if answered else f"edition {entry.found} before"
        yield "lost", f"is not stored, and was {told}"


def _wrong_row(entry: Entry, row: Found, stale_reads: bool) -> Iterator[tuple[str, str]]:
    possible = _possible(entry, stale_reads)
    if row.edition not in possible:
        expected = " or ".join(sorted(map(str, possible)))
        yield "wrong edition", f"is stored as edition {row.edition}, not {expected}"
    elif not row.whole:
        yield "altered", f"is not stored as its edition {row.edition} was sent"


def _wrong_answers(
    entry: Entry, row: Found, answered: list[Sending]
) -> Iterator[tuple[str, str]]:
    """Yield what answers say of the stored row, and is not so."""
    ids = {entry.id or row.id, *[sending.id for sending in answered]}
    if ids != {row.id}:
        yield "other id", f"has the id {row.id}, and was answered {sorted(map(str, ids))}"
    created = [sending for sending in answered if sending.action == "created"]
    if len(created) + (entry.found is not None) > 1:
        yield "created twice", "is answered 'created' while it is stored"


def _lost_keys(
    entry: Entry, row: Found, leads: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """Yield the keys of a patient that were answered for, and do not lead to its row."""
    lost = [key for key in entry.keys if leads.get(key) != row.id]
    if lost:
        yield "lost key", f"is not found by {', '.join(lost)}"


def _possible(entry: Entry, stale_reads: bool) -> set[int | None]:
    """Return the editions that may be stored: each that no answered one must have replaced.

    What was answered 'unchanged' was not written. So it replaced nothing that was in doubt, whose commit may come
    later; and where reads may be stale, nothing at all.
    """
    live = [it for it in _last_in_their_requests(entry) if it[1].action != REFUSED]
    answered = [it for it in live if it[1].stored]
    last_write = _latest_start(it for it in answered if it[1].action in WRITES)
    last_answer = last_write if stale_reads else _latest_start(answered)
    possible: set[int | None] = {
        sending.edition
        for request, sending in live
        if request.ended >= (last_answer if sending.stored else last_write)
    }
    return possible if answered else possible | {entry.found}


def _latest_start(sendings: Iterable[tuple[Request, Sending]]) -> float:
    return max((request.started for request, _ in sendings), default=-math.inf)


def _last_in_their_requests(entry: Entry) -> list[tuple[Request, Sending]]:
    """Return the sendings but those that a later record of their own request has surely replaced."""
    replaced: set[Request] = set()
    kept = []
    for request, sending in reversed(entry.sendings):
        if request not in replaced:
            kept.append((request, sending))
        if sending.stored:
            replaced.add(request)
    return kept


# --- One request -------------------------------------------------------------------------------


def _halves(
    request: Request, finds: Finds, entries: Mapping[Place, Entry]
) -> Iterator[Fault]:
    """Yield the fault of an atomic request in doubt of which some records are stored and others are not."""
    if not (request.atomic and request.in_doubt):
        return
    last = {(it.identity.entity, it.identity.tag): it for it in request.all}
    told: dict[bool, list[Sending]] = {True: [], False: []}
    for place, sending in last.items():
        if _is_proof(request, sending, entries[place]):
            editions = [row.edition for row in finds.get(place, [])]
            told[editions == [sending.edition]].append(sending)
    if told[True] and told[False]:
        text = (
            f"{request}: {len(told[True])} records are stored, {len(told[False])} are not"
        )
        yield Fault("half", text, told[False][0].record)


def _is_proof(request: Request, sending: Sending, entry: Entry) -> bool:
    """Return whether the edition is stored if, and only if, this request of the record is.

    Nobody else sent the record while the request ran, or afterwards; and the edition was new.
    """
    others = [(other, it) for other, it in entry.sendings if other is not request]
    older = {entry.found, *[it.edition for _, it in others]}
    before = all(other.ended < request.started for other, _ in others)
    return before and sending.edition not in older


def _history_faults(
    request: Request, runs: Mapping[tuple[str, str], list[Counter]]
) -> Iterator[Fault]:
    """Yield where the history does not tell what was answered.

    It is written in the transaction of a single record and of an atomic request. That of a list is missing where the
    database was away. Of what is in doubt it may know more than the answer.
    """
    if any(sending.action is None for sending in request.all):
        return
    certain = request.single or request.atomic
    for entity, counts in request.counts.items():
        kept = runs.get((request.id, entity), [])
        if counts not in kept and (kept or (certain and not counts["failed"])):
            text = f"{request}: the history tells of {entity} {kept}, not {counts}"
            yield Fault("history", text)
