"""One request's work: cut its lists into chunks, clean and settle chunk after chunk, and report on each record.

A transaction holds one chunk or several. An atomic or dry run cleans everything first, and is stored, or judged, in one
transaction.
"""

import logging
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa

import answers
import history
from answers import Report
from engine import database, references, settle
from engine.database import FEW_LOSSES, PATIENCE
from engine.entity import Batch, explained
from engine.index import Index
from engine.outcome import Outcomes, Result
from engine.problems import DatabaseUnavailable, InternalError, Problem, ValidationFailed
from engine.rules import Rules, Values
from engine.write import write
from history import Origin
from models import db
from schemas import Schemas
from upsert import RULES

CHUNK = 1000  # records matched and written at once: unless a request is atomic, who wants to write waits for one chunk
MORE_CHUNKS = 9  # further chunks in the same transaction, as long as nobody queues for the turn to write
# After so many chunks in a row in which the database failed, or so many seconds of them, the rest is not tried.
GIVE_UP_AFTER, WAITED_LONG = 2, PATIENCE / 2
CONFLICT = 409
SHORT_PATIENCE = (
    1  # seconds that the history of what stores nothing waits for other writers
)

Reports = dict[str, Report]  # by entity
# (entity, code) of records of the request that were refused with a conflict: nothing may refer to them.
RefusedCodes = set[tuple[str, str]]
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How a request wants to be handled (contract, section 2); without an origin it leaves no history."""

    atomic: bool = False
    dry_run: bool = False
    minimal: bool = False
    origin: Origin | None = None


# --- One record --------------------------------------------------------------------------------


def one(
    schemas: Schemas, entity: str, sent: Mapping[str, Any], options: Options
) -> answers.Item:
    """Upsert one record and return the answer with the whole record; raise the Problem that it has."""
    batch = schemas[entity].clean_all([sent])
    if batch.refused:
        note_afterwards(options, {entity: answers.report(batch, [batch.refused[0]])})
        raise batch.refused[0]
    single = _Single(RULES[entity], batch, batch.data(0), options)
    try:
        result, answer, described = database.transact(
            db.engine, single.work, writes=not options.dry_run
        )
    except InternalError as problem:
        note_afterwards(options, {entity: answers.report(batch, [problem])})
        raise
    if options.dry_run:
        note_afterwards(options, {entity: answers.report(batch, [result])})
    if isinstance(result, Problem):
        result.key = batch.keys[0]
        raise result
    return answer | {"data": schemas[entity].dump(described)}


@dataclass
class _Single:
    """One record that is settled in a transaction of its own."""

    rules: Rules
    batch: Batch
    data: Values
    options: Options

    def work(self, connection: sa.Connection) -> tuple[Result, answers.Item, Values]:
        """Settle the record, and return outcome, answer and the whole record; unless dry, write the history, too."""
        index, now = Index(connection, RULES), "" if self.options.dry_run else _now()
        result = settle.settle_alone(self.rules, self.data, index, now)
        if isinstance(result, Problem):
            _explain(result, self.batch, 0)
        answer = answers.alone(self.batch, result, self.options.dry_run)
        if not self.options.dry_run:
            report = answers.report(self.batch, [result])
            reports = {self.rules.entity: report}
            history.write(connection, self.options.origin, reports, dry_run=False)
        if isinstance(result, Problem) or result.record is None:
            return result, answer, {}
        return result, answer, references.describe(self.rules, result.record, index)


# --- Many records ------------------------------------------------------------------------------


def many(schemas: Schemas, batches: Mapping[str, list[Any]], options: Options) -> Reports:
    """Upsert lists of records by entity, in the order of RULES, and report what became of each record.

    Raises DatabaseUnavailable if the database failed and nothing was stored, or what was may be lost. The lists are
    emptied to free memory.
    """
    order = [(RULES[entity], batches[entity]) for entity in RULES if entity in batches]
    if options.atomic or options.dry_run:
        return _AtOnce(schemas, options).run(order)
    return _InChunks(schemas, options).run(order)


def _store(
    rules: Rules,
    batch: Batch,
    index: Callable[[], Index],
    refused: RefusedCodes,
    dry_run: bool,
) -> Outcomes:
    """Settle a batch, and return what became of each record. Adds the codes of conflicts to `refused`."""
    fit = batch.fit
    part = batch.part(fit)
    work = _dry_run if dry_run else _settle
    settled = dict(zip(fit, work(rules, part, index, refused), strict=True))
    for place, result in settled.items():
        if isinstance(result, Problem):
            _explain(result, batch, place)
            number = batch.data(place).get(rules.unique[0])
            if result.status == CONFLICT and number:
                refused.add((rules.entity, number))
    return [batch.refused.get(place) or settled[place] for place in range(batch.size)]


def _settle(
    rules: Rules, batch: Batch, index: Callable[[], Index], refused: RefusedCodes
) -> Outcomes:
    return settle.settle(rules, batch, index, refused, _now()) if batch.size else []


def _dry_run(
    rules: Rules, batch: Batch, index: Callable[[], Index], refused: RefusedCodes
) -> Outcomes:
    """Settle a batch in the index alone, carefully; nothing is written."""
    outcomes = settle.carefully(rules, batch, index(), refused, range(batch.size))
    return [outcomes[place] for place in range(batch.size)]


def _explain(problem: Problem, batch: Batch, place: int) -> None:
    """Add to each error why what was sent for its field was left out, if it was."""
    if isinstance(problem, ValidationFailed):
        problem.errors = explained(problem.errors, batch.warnings.get(place, ()))


def _chunks(batch: Batch) -> Iterator[Batch]:
    for first in range(0, batch.size, CHUNK):
        yield batch.part(range(first, min(first + CHUNK, batch.size)))


class _AtOnce:
    """A request that is stored in one transaction, all or nothing; or a dry run that stores nothing."""

    def __init__(self, schemas: Schemas, options: Options):
        self.schemas, self.options = schemas, options
        self.results: dict[str, Outcomes] = {}
        self.settled = 0  # records, in whole chunks

    def run(self, order: Iterable[tuple[Rules, list[Any]]]) -> Reports:
        """Settle everything, and report."""
        cleaned = {rules.entity: self._clean(rules, sent) for rules, sent in order}
        try:
            return self._run(cleaned)
        except InternalError as problem:
            if not self._blame(cleaned, problem):
                self._fail(cleaned, problem)
                raise
        return self._run(cleaned)

    def _run(self, cleaned: Mapping[str, Batch]) -> Reports:
        # An atomic request with an invalid record is taken back anyhow: a dry run of it holds up no writer.
        doomed = self.options.atomic and any(batch.refused for batch in cleaned.values())
        dry_run = self.options.dry_run or doomed

        def work(connection: sa.Connection) -> bool:
            self._settle(connection, cleaned, dry_run)
            undone = self.options.atomic and self._any_refused()
            if undone:
                connection.rollback()
            elif not dry_run:
                reports = self._reports(cleaned)
                history.write(connection, self.options.origin, reports, dry_run=False)
            return undone

        undone = transact(work, writes=not dry_run)
        reports = self._reports(cleaned, undone)
        if undone or dry_run:
            note_afterwards(self.options, reports)
        return reports

    def _clean(self, rules: Rules, sent: list[Any]) -> Batch:
        batch = self.schemas[rules.entity].clean_all(sent)
        sent.clear()
        return batch

    def _settle(
        self, connection: sa.Connection, cleaned: Mapping[str, Batch], dry_run: bool
    ) -> None:
        refused: RefusedCodes = set()
        # A dry run's changes exist only in the index, so all chunks share one.
        lasting = Index(connection, RULES)
        index = (lambda: lasting) if dry_run else (lambda: Index(connection, RULES))
        self.settled = 0
        for entity, batch in cleaned.items():
            results = self.results[entity] = []
            for part in _chunks(batch):
                results += _store(RULES[entity], part, index, refused, dry_run)
                self.settled += part.size

    def _blame(self, cleaned: Mapping[str, Batch], problem: InternalError) -> bool:
        """Refuse the first record that the database does not take; return whether there is one.

        It is in the chunk that follows the settled ones. Each trial is a transaction that is rolled back.
        """
        if self.options.dry_run:
            return False
        total = sum(batch.size for batch in cleaned.values())
        counts = range(1, min(self.settled + CHUNK, total) + 1)
        fails = partial(self._fails, cleaned)
        number = bisect_left(counts, True, self.settled, key=fails)
        if number == len(counts):
            return False
        batch, place = _place_of(number, cleaned)
        batch.refused[place] = InternalError(problem.detail)
        return True

    def _fails(self, cleaned: Mapping[str, Batch], count: int) -> bool:
        """Return whether the database refuses one of the first `count` records; nothing is stored."""

        def work(connection: sa.Connection) -> None:
            self._settle(connection, _first(cleaned, count), dry_run=False)
            connection.rollback()

        try:
            transact(work)
        except InternalError:
            return True
        return False

    def _fail(self, cleaned: Mapping[str, Batch], problem: InternalError) -> None:
        """Note in the history that every record failed with the same problem."""
        for entity, batch in cleaned.items():
            self.results[entity] = [problem] * batch.size
        note_afterwards(self.options, self._reports(cleaned))

    def _any_refused(self) -> bool:
        every = (result for results in self.results.values() for result in results)
        return any(isinstance(result, Problem) for result in every)

    def _reports(self, cleaned: Mapping[str, Batch], undone: bool = False) -> Reports:
        minimal, reports = self.options.minimal, {}
        for entity, batch in cleaned.items():
            results = self.results[entity]
            if undone:
                items = answers.undone(batch, results)
                reports[entity] = answers.report_of(
                    items, minimal=minimal, rolled_back=True
                )
            else:
                reports[entity] = answers.report(batch, results, minimal=minimal)
        return reports


def _place_of(number: int, batches: Mapping[str, Batch]) -> tuple[Batch, int]:
    """Return the batch and the place in it of a record by its number, which counts over all batches from 0."""
    for batch in batches.values():
        if number < batch.size:
            return batch, number
        number -= batch.size
    raise IndexError


def _first(batches: Mapping[str, Batch], count: int) -> dict[str, Batch]:
    """Return so many of the first records of all batches."""
    found = {}
    for entity, batch in batches.items():
        places = range(min(count, batch.size))
        found[entity] = batch.part(places)
        count -= len(places)
    return found


@dataclass
class _Chunk:
    """Consecutive records of one list, from the place `first` on. They are cleaned when it is their turn."""

    rules: Rules
    first: int
    sent: list[Any] = field(default_factory=list)
    batch: Batch = field(default_factory=lambda: Batch(0))
    report: Report = field(default_factory=Report)

    def clean(self, schemas: Schemas) -> None:
        """Make a batch of what was sent, unless that is done."""
        if self.sent:
            self.batch, self.sent = schemas[self.rules.entity].clean_all(self.sent), []

    def report_on(self, results: Outcomes, minimal: bool) -> None:
        """Report what became of the records; the results are not kept."""
        self.report = answers.report(self.batch, results, self.first, minimal=minimal)

    def single_chunks(self) -> list["_Chunk"]:
        """Return each record as a chunk of its own, or nothing of a single one."""
        places = range(self.batch.size) if self.batch.size > 1 else ()
        return [
            _Chunk(self.rules, self.first + place, batch=self.batch.part([place]))
            for place in places
        ]


class _InChunks:
    """A request that is stored chunk by chunk; it remembers the codes of records that were refused with a conflict."""

    def __init__(self, schemas: Schemas, options: Options):
        self.schemas, self.options = schemas, options
        self.reports: Reports = {}
        self.waiting: deque[_Chunk] = deque()
        self._refused: RefusedCodes = set()
        # Several chunks share a transaction until some have to be tried in parts. The last one also writes the history.
        self._together = True
        # Of the last chunks, without a success between; and in how many seconds.
        self._outages: list[DatabaseUnavailable] = []
        self._waited = 0.0

    def run(self, order: Iterable[tuple[Rules, list[Any]]]) -> Reports:
        """Settle chunk after chunk, and report."""
        for rules, sent in order:
            self.reports[rules.entity] = Report()
            starts = range(0, len(sent) or 1, CHUNK)
            self.waiting.extend(_Chunk(rules, at, sent[at : at + CHUNK]) for at in starts)
            sent.clear()
        noted = False
        while self.waiting:
            noted = self._next()
        if self._outages and not any(report.stored_any for report in self.reports.values()):
            raise self._outages[0]
        if self.reports and not noted:
            note_afterwards(self.options, self.reports)
        return self.reports

    def _next(self) -> bool:
        """Settle the next chunks in a transaction, and extend the reports; return whether that wrote the history.

        What cannot be stored together is put back in parts, so that one record fails alone.
        """
        chunks, begun = [self.waiting.popleft()], time.monotonic()
        noted = False
        try:
            noted = self._settle(chunks)
        except (DatabaseUnavailable, InternalError) as problem:
            if isinstance(problem, DatabaseUnavailable):
                self._note_outage(problem, time.monotonic() - begun)
            if parts := _parts(chunks, problem):
                self.waiting.extendleft(reversed(parts))
                self._together = False
                return False
            self._fail(chunks[0], problem)
        for chunk in chunks:
            self.reports[chunk.rules.entity].extend(chunk.report)
        return noted

    def _note_outage(self, outage: DatabaseUnavailable, seconds: float) -> None:
        """Remember an outage that was noticed after so long; raise it if what was stored before may be lost."""
        if outage.loses_all:
            raise outage
        self._outages.append(outage)
        self._waited += seconds

    def _fail(self, chunk: _Chunk, problem: DatabaseUnavailable | InternalError) -> None:
        """Report the same problem for each record of a chunk that is not refused already."""
        refused, places = chunk.batch.refused, range(chunk.batch.size)
        results: Outcomes = [refused.get(place) or problem for place in places]
        chunk.report_on(results, self.options.minimal)

    def _settle(self, chunks: list[_Chunk]) -> bool:
        """Settle the first chunk in a transaction, and take further ones along as long as nobody waits to write."""
        first = chunks[0]
        first.clean(self.schemas)
        if not first.batch.fit:
            refusals: Outcomes = [first.batch.refused[at] for at in range(first.batch.size)]
            first.report_on(refusals, self.options.minimal)
            return False
        if len(self._outages) >= GIVE_UP_AFTER or self._waited >= WAITED_LONG:
            raise self._outages[0]
        most_losses = FEW_LOSSES if first.batch.size > 1 else None
        work = partial(self._store_together, chunks)
        self._refused = transact(work, most_losses=most_losses)
        self._outages.clear()
        self._waited = 0.0
        return self._together and not self.waiting

    def _store_together(
        self, chunks: list[_Chunk], connection: sa.Connection
    ) -> RefusedCodes:
        """Store chunks in a transaction, and the history with the last; return the refused numbers."""
        self._put_back(chunks)
        refused = set(self._refused)
        self._store_chunk(connection, chunks[0], refused)
        while self._may_go_on(chunks):
            chunks.append(self.waiting.popleft())
            self._store_chunk(connection, chunks[-1], refused)
        if self._together and not self.waiting:
            self._note_results(connection, chunks)
        return refused

    def _put_back(self, chunks: list[_Chunk]) -> None:
        """Put back all chunks but the first: the transaction runs again, for one of them lost a race."""
        if len(chunks) > 1:
            self.waiting.extendleft(reversed(chunks[1:]))
            del chunks[1:]
            self._together = False

    def _may_go_on(self, chunks: list[_Chunk]) -> bool:
        """Return whether a further chunk goes into the same transaction."""
        if not (self.waiting and self._together and len(chunks) <= MORE_CHUNKS):
            return False
        return database.of(db.engine.dialect).nobody_waits(db.engine)

    def _store_chunk(
        self, connection: sa.Connection, chunk: _Chunk, refused: RefusedCodes
    ) -> None:
        chunk.clean(self.schemas)
        results = _store(
            chunk.rules,
            chunk.batch,
            lambda: Index(connection, RULES),
            refused,
            dry_run=False,
        )
        chunk.report_on(results, self.options.minimal)

    def _note_results(self, connection: sa.Connection, chunks: list[_Chunk]) -> None:
        """Write the history of the whole request."""
        reports = dict(self.reports)
        for chunk in chunks:
            reports[chunk.rules.entity] = reports[chunk.rules.entity] + chunk.report
        history.write(connection, self.options.origin, reports, dry_run=False)


def _parts(chunks: list[_Chunk], problem: Problem) -> list[_Chunk]:
    """Return the parts that are to be tried alone: chunks that were together, or the records of one chunk.

    None for a chunk of one record, and none after an outage of one chunk: that is no record's fault.
    """
    if len(chunks) > 1:
        return chunks
    return [] if isinstance(problem, DatabaseUnavailable) else chunks[0].single_chunks()


# --- Transactions ------------------------------------------------------------------------------


def transact(
    work: Callable[[sa.Connection], T],
    *,
    writes: bool = True,
    most_losses: int | None = None,
    patience: float = PATIENCE,
) -> T:
    """Run `work` in a transaction of the service's database; see `database.transact`."""
    return database.transact(
        db.engine, work, writes=writes, most_losses=most_losses, patience=patience
    )


def look(work: Callable[[sa.Connection], T]) -> T:
    """Do work that only reads."""
    return transact(work, writes=False)


def decide(work: Callable[[Index], T], entity: str, origin: Origin | None) -> T:
    """Do a person's work (merge, retire) on an index, write what it changes and commit."""

    def work_and_write(connection: sa.Connection) -> T:
        index = Index(connection, RULES)
        done = work(index)
        now = _now()
        write(connection, index.prepare(now), now)
        reports = {entity: Report(Counter(updated=1))}
        history.write(connection, origin, reports, dry_run=False)
        return done

    return transact(work_and_write)


def note_afterwards(options: Options, reports: Reports) -> None:
    """Write the history in a transaction of its own, after the request's work; if that fails, log it.

    Where nothing was stored, nobody waits long for it.
    """
    stored = not options.dry_run and any(report.stored_any for report in reports.values())

    def work(connection: sa.Connection) -> None:
        history.write(connection, options.origin, reports, dry_run=options.dry_run)

    try:
        transact(work, patience=PATIENCE if stored else SHORT_PATIENCE)
    except Problem as problem:
        log.error("no history of a request: %s", problem.code)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
