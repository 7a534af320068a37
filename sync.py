"""One request's work: validate, cut into chunks, transact, re-run lost races, and say what became of each record."""

import logging
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa

import answers
import history
import upsert
from answers import Item, Report
from engine import turns
from engine.problems import DatabaseUnavailable, InternalError, Problem, ValidationFailed
from history import Origin
from index import Batch, Index, LostRace, Values
from models import LOCK_WAIT_SECONDS, Fault, db, fault_of
from schemas import Entity, Entry, explained
from upsert import RULES, Outcome, Rules

CHUNK = 1000  # records matched and written at once: a live booking waits for so many at most
ALONG = 9  # further chunks in the same transaction, as long as nobody waits to write
OUTAGES = 2  # chunks in a row that the database fails before the rest is not tried any more
LOSSES = 3  # lost races after which a chunk goes record by record
PATIENCE = LOCK_WAIT_SECONDS  # seconds of lost races after which a request gives up
LONGEST_PAUSE = 0.25  # seconds between two attempts
CONFLICT = 409

BUSY = "The database does not answer or is busy. Nothing was half-written: send the same again."
RETRY_AFTER = {"Retry-After": "10"}
REFUSED = {
    Fault.RECORD: "The database refused this record; the service's log says more.",
    Fault.REFERENCE: "Rows of another table refer to this record, or it refers to none; the service's log says more.",
}

Results = dict[str, Report]  # by entity
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How a request wants to be handled (contract, section 2); without an origin it leaves no history."""

    atomic: bool = False
    dry_run: bool = False
    minimal: bool = False
    origin: Origin | None = None

    @property
    def told(self) -> dict[str, bool]:
        """What the answer's counts depend on."""
        return {"atomic": self.atomic, "dry_run": self.dry_run}


def one(
    schemas: Mapping[str, Entity], entity: str, sent: Mapping[str, Any], options: Options
) -> Item:
    """Upsert one record and return the answer with the whole stored record; raise the Problem that it has."""
    rules, (entry,) = RULES[entity], schemas[entity].clean_all([sent])

    def work(index: Index) -> Values:
        _store(index, rules, [entry], set(), options.dry_run)
        if not options.dry_run:
            _note(index, options, {entity: answers.report([entry], minimal=True)})
        return (
            upsert.describe(rules, entry.result.record, index)
            if isinstance(entry.result, Outcome)
            else {}
        )

    unread = entry.refused
    described = {} if unread else transact(work, dry_run=options.dry_run)
    if unread or options.dry_run:
        _note_alone(options, {entity: answers.report([entry], minimal=True)})
    if isinstance(entry.result, Problem):
        entry.result.key = entry.key
        raise entry.result
    told = answers.item(entry)
    del told["index"]  # of one there is none
    return (
        told
        | ({"dryRun": True} if options.dry_run else {})
        | {"data": schemas[entity].dump(described)}
    )


def many(
    schemas: Mapping[str, Entity], batches: Mapping[str, list[Any]], options: Options
) -> Results:
    """Upsert lists of records by entity, in the order of RULES, and tell what became of each record.

    The lists are used up: they are the most that a large request holds in memory. Raises DatabaseUnavailable if nothing
    could be stored.
    """
    run = _Run(schemas, options)
    order = [(RULES[entity], batches[entity]) for entity in RULES if entity in batches]
    if options.atomic or options.dry_run:
        return run.at_once(order)
    return run.in_chunks(order)


def decide(work: Callable[[Index], T], entity: str, origin: Origin | None) -> T:
    """Do a person's work (merge, retire) on an index of an entity, write what it changes and commit."""

    def work_and_write(index: Index) -> T:
        done = work(index)
        index.write(_now())
        _note(index, Options(origin=origin), {entity: Report(Counter(updated=1))})
        return done

    return transact(work_and_write)


def look(work: Callable[[Index], T]) -> T:
    """Do work that only reads."""
    return transact(work, dry_run=True)


@dataclass
class _Chunk:
    """Records of one list in a row, from the place `first` on. They are cleaned when it is their turn."""

    rules: Rules
    first: int
    sent: list[Any] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    report: Report = field(default_factory=Report)

    def clean(self, schemas: Mapping[str, Entity]) -> None:
        """Make entries of what was sent, unless that is done."""
        if self.sent:
            self.entries, self.sent = schemas[self.rules.entity].clean_all(self.sent), []

    def tell(self, minimal: bool) -> None:
        """Report what became of the entries, which is all that is kept of it."""
        self.report = answers.report(self.entries, self.first, minimal=minimal)
        for entry in _fit(self.entries):
            entry.result = None

    def records(self) -> list["_Chunk"]:
        """Return each record as a chunk of its own, or nothing of a single one."""
        places = range(len(self.entries)) if len(self.entries) > 1 else ()
        return [
            _Chunk(self.rules, self.first + place, entries=[self.entries[place]])
            for place in places
        ]


class _Run:
    """One request for many records; it remembers which identifiers belong to refused persons."""

    def __init__(self, schemas: Mapping[str, Entity], options: Options):
        self.schemas, self.options = schemas, options
        self._refused: set[tuple[str, str]] = set()
        self._together = True  # until a transaction fails: chunks share one, and the last takes the history along
        self._outages: list[
            DatabaseUnavailable
        ] = []  # of the last chunks, without a success between

    def in_chunks(self, order: Iterable[tuple[Rules, list[Any]]]) -> Results:
        """Store chunk by chunk; the transaction of the last one takes the history along."""
        results: Results = {}
        waiting: deque[_Chunk] = deque()
        for rules, sent in order:
            results[rules.entity] = Report()
            waiting.extend(
                _Chunk(rules, at, sent[at : at + CHUNK]) for at in range(0, len(sent) or 1, CHUNK)
            )
            sent.clear()
        noted = False
        while waiting:
            noted = self._store_next(waiting, results)
        if results and not noted:
            _note_alone(self.options, results)
        if self._outages and not any(report.stored_any for report in results.values()):
            raise self._outages[0]
        return results

    def at_once(self, order: Iterable[tuple[Rules, Sequence[Any]]]) -> Results:
        """Do everything in one transaction: all or nothing, or a dry run that stores nothing."""
        cleaned = [(rules, self.schemas[rules.entity].clean_all(sent)) for rules, sent in order]
        entries = [entry for _, entries in cleaned for entry in entries]
        # What cannot end well need not hold up writers.
        doomed = self.options.atomic and any(entry.refused for entry in entries)
        dry_run = self.options.dry_run or doomed

        def work(index: Index) -> bool:
            self._refused.clear()
            self._all(index, cleaned, dry_run)
            undone = self.options.atomic and any(entry.refused for entry in entries)
            if undone:
                index.connection.rollback()
            elif not dry_run:
                _note(index, self.options, self._reports(cleaned))
            return undone

        undone = transact(work, dry_run=dry_run)
        results = self._reports(cleaned, undone)
        if undone or dry_run:
            _note_alone(self.options, results)
        return results

    def _reports(
        self, cleaned: Iterable[tuple[Rules, list[Entry]]], undone: bool = False
    ) -> Results:
        minimal = self.options.minimal
        if undone:
            return {
                rules.entity: answers.report_of(answers.undone(it), minimal=minimal)
                for rules, it in cleaned
            }
        return {
            rules.entity: answers.report(entries, minimal=minimal) for rules, entries in cleaned
        }

    def _all(
        self, index: Index, cleaned: Iterable[tuple[Rules, list[Entry]]], dry_run: bool
    ) -> None:
        for rules, entries in cleaned:
            fit = _fit(entries)
            for start in range(0, len(fit), CHUNK):
                chunk = fit[start : start + CHUNK]
                # A dry run's changes are nowhere but in the index; else the database has them.
                index = index if dry_run else Index(index.connection)
                _store(index, rules, chunk, self._refused, dry_run)

    def _store_next(self, waiting: deque[_Chunk], results: Results) -> bool:
        """Store the next chunks in a transaction, and append what became of them to the results.

        What cannot be stored together is put back in parts, so that one record fails alone. Returns whether the history
        was written along.
        """
        chunks = [waiting.popleft()]
        try:
            noted = self._transact(chunks, waiting, results)
        except (DatabaseUnavailable, InternalError) as problem:
            if parts := _parts(chunks, problem):
                waiting.extendleft(reversed(parts))
                self._together = False
                return False
            if isinstance(problem, DatabaseUnavailable):
                self._outages.append(problem)
            for entry in _fit(chunks[0].entries):
                entry.result = problem
            chunks[0].tell(self.options.minimal)
            noted = False
        for chunk in chunks:
            results[chunk.rules.entity].extend(chunk.report)
        return noted

    def _transact(self, chunks: list[_Chunk], waiting: deque[_Chunk], results: Results) -> bool:
        """Store a chunk in a transaction, and move waiting ones to it as long as nobody else waits to write."""

        def work(index: Index) -> set[tuple[str, str]]:
            if len(chunks) > 1:  # this is run again, for one of them lost a race
                waiting.extendleft(reversed(chunks[1:]))
                del chunks[1:]
                self._together = False
            refused = set(self._refused)
            self._store_chunk(index, chunks[0], refused)
            while waiting and self._together and len(chunks) <= ALONG and _nobody_waits():
                chunks.append(waiting.popleft())
                self._store_chunk(Index(index.connection), chunks[-1], refused)
            if self._together and not waiting:
                reports = dict(results)
                for chunk in chunks:
                    reports[chunk.rules.entity] = reports[chunk.rules.entity] + chunk.report
                _note(index, self.options, reports)
            return refused

        chunks[0].clean(self.schemas)
        if not _fit(chunks[0].entries):
            chunks[0].tell(self.options.minimal)
            return False
        if len(self._outages) >= OUTAGES:
            raise self._outages[0]
        self._refused = transact(work, losses=LOSSES if len(chunks[0].entries) > 1 else None)
        self._outages.clear()
        return self._together and not waiting

    def _store_chunk(self, index: Index, chunk: _Chunk, refused: set[tuple[str, str]]) -> None:
        chunk.clean(self.schemas)
        _store(index, chunk.rules, _fit(chunk.entries), refused)
        chunk.tell(self.options.minimal)


def _fit(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries of records that have been read, which alone can be stored."""
    return [entry for entry in entries if entry.names]


def _parts(chunks: list[_Chunk], problem: Problem) -> list[_Chunk]:
    """Return what is left to try one by one: an outage is no single record's fault."""
    if len(chunks) > 1:
        return chunks
    return [] if isinstance(problem, DatabaseUnavailable) else chunks[0].records()


def _store(
    index: Index,
    rules: Rules,
    entries: Sequence[Entry],
    refused: set[tuple[str, str]],
    dry_run: bool = False,
) -> None:
    """Match entries and write what follows, within a transaction; note on each what became of it.

    Adds to `refused` the numbers of persons refused with 409: no booking of this request may use them.
    """
    results = upsert.upsert(
        rules, Batch([e.names for e in entries], [e.row for e in entries]), index, refused
    )
    if not dry_run:
        index.write(_now())
    number = rules.unique[0]
    for entry, result in zip(entries, results, strict=True):
        entry.result = result
        if isinstance(result, ValidationFailed):
            result.errors = explained(result.errors, entry.warnings)
        if isinstance(result, Problem) and result.status == CONFLICT and entry.data.get(number):
            refused.add((rules.entity, entry.data[number]))


def _note(index: Index, options: Options, results: Results) -> None:
    """Write the history of a request in the transaction of its index."""
    if options.origin:
        history.write(index.connection, options.origin, results, options.dry_run)


def _note_alone(options: Options, results: Results) -> None:
    """Write the history of a request that stored nothing, or stored it before; if that fails, only the log knows."""
    try:
        transact(lambda index: _note(index, options, results))
    except Problem as problem:
        log.error("no history of a request: %s", problem.code)


def transact(work: Callable[[Index], T], *, dry_run: bool = False, losses: int | None = None) -> T:
    """Run `work` in a transaction and commit; a lost race re-runs it in a new one.

    Raises DatabaseUnavailable when the database fails or PATIENCE ends, InternalError when it refuses what no
    re-run mends, or after so many `losses`.
    """
    started, attempt = time.monotonic(), 0
    seen: set[Fault] = set()
    while True:
        attempt += 1
        try:
            with (
                db.engine.connect().execution_options(writes=not dry_run) as connection,
                _turn(dry_run),
                connection.begin(),
            ):
                return work(Index(connection))
        except turns.NoTurn:
            raise DatabaseUnavailable(BUSY, headers=RETRY_AFTER) from None
        except LostRace:
            log.debug("lost a race: a record was written meanwhile")
        except sa.exc.SQLAlchemyError as error:
            seen.add(_mendable(error, seen))
        if losses and attempt >= losses:
            raise InternalError("Others kept writing these records.")
        if attempt >= LOSSES and time.monotonic() - started > PATIENCE:
            raise DatabaseUnavailable(BUSY, headers=RETRY_AFTER)
        time.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.005 * 2**attempt)))  # noqa: S311 jitter is no secret


def _queue() -> turns.Turns | None:
    """Return the queue of writers, where those on one box must take turns."""
    path = db.engine.url.database if db.engine.dialect.name == "sqlite" else None
    return turns.of(path) if path else None


def _turn(dry_run: bool) -> AbstractContextManager[None]:
    queue = _queue()
    return nullcontext() if dry_run or not queue else queue.turn(PATIENCE)


def _nobody_waits() -> bool:
    """Tell whoever has the turn to write that he may go on; where there are no turns, nobody knows."""
    queue = _queue()
    return queue is not None and not queue.wanted()


def _mendable(error: sa.exc.SQLAlchemyError, seen: Set[Fault]) -> Fault:
    """Return the fault of a database error that a re-run may mend; raise what the sender is told of any other."""
    fault, name = fault_of(error)
    if fault is Fault.RACE or (fault is Fault.REFERENCE and fault not in seen):
        log.debug("lost a race: %s", name)
        return fault
    log.error("database error %s", name)
    if fault is Fault.OUTAGE:
        raise DatabaseUnavailable(BUSY, headers=RETRY_AFTER) from None
    raise InternalError(REFUSED[fault]) from None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
