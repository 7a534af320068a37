"""Intake: exported records, portion by portion, on the road that the lists of a request take."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import answers
import history
import sync
from answers import Item, Report
from engine.problems import DatabaseUnavailable, ValidationFailed
from schemas import Schemas
from terminal.exports import Row
from terminal.headings import Columns, Members
from terminal.rejects import Rejects

PORTION = 5000  # records that are in memory at once
PORTION_SIZE = 8 * 1024 * 1024  # characters of these
REFUSALS, WARNINGS = 10, 5  # that are told one by one

Layout = Columns | Members


def portions(rows: Iterable[Row], most: int, size: int) -> Iterator[list[Row]]:
    """Yield rows in lists of so many at most, and so many characters."""
    portion: list[Row] = []
    weight = 0
    for row in rows:
        portion.append(row)
        weight += row.size
        if len(portion) == most or weight >= size:
            yield portion
            portion, weight = [], 0
    if portion:
        yield portion


class Intake:
    """The records of one file on their way.

    `report` counts all of them, and holds the failures that the history keeps. `refusals` and `warnings` are lines
    about the first of each; `warned` is how many records have warnings.
    """

    def __init__(
        self,
        schemas: Schemas,
        entity: str,
        layout: Layout,
        rejects: Rejects,
        options: sync.Options,
    ):
        self._schemas, self._entity, self._layout = schemas, entity, layout
        self._rejects, self._options = rejects, options
        self.report = Report()
        self.refusals: list[str] = []
        self.warnings: list[str] = []
        self.warned = 0

    def take(self, rows: Sequence[Row]) -> None:
        """Store a portion; raise DatabaseUnavailable where the database fails."""
        fit = [at for at, row in enumerate(rows) if not row.fault]
        report = self._store([rows[at] for at in fit], whole=len(fit) == len(rows))
        self._note_warnings(report, [rows[at] for at in fit])
        failures = _failures(rows, fit, report)
        self._count(report.counts, failures, len(rows) - len(fit))
        for at in sorted(failures):
            self._refuse(rows[at], failures[at])
        lost = [
            item for item in failures.values() if item["code"] == DatabaseUnavailable.code
        ]
        if lost:
            raise DatabaseUnavailable(lost[0]["detail"])

    def _store(self, rows: Sequence[Row], *, whole: bool) -> Report:
        """Store rows that are records. Nothing of an atomic import is stored where others are none."""
        options = self._options
        if options.atomic and not whole:
            options = replace(options, dry_run=True)
        records = [self._layout.record(row) for row in rows]
        if not records:
            return Report()
        return sync.many(self._schemas, {self._entity: records}, options)[self._entity]

    def _count(self, counts: Counter, failures: dict[int, Item], unfit: int) -> None:
        before = self.report.counts.total()
        self.report.counts += counts
        if unfit:
            self.report.counts["failed"] += unfit
        room = max(0, history.FAILURES - len(self.report.failures))
        for at in sorted(failures)[:room]:
            self.report.failures.append(failures[at] | {"index": before + at})

    def _refuse(self, row: Row, item: Item) -> None:
        reason = reason_of(item)
        self._rejects.add(self._layout.cells(row), row.more, reason)
        if len(self.refusals) < REFUSALS:
            self.refusals.append(_line_about(row, item, reason))

    def _note_warnings(self, report: Report, rows: Sequence[Row]) -> None:
        items = json.loads(f"[{','.join(report.texts)}]")
        warned = [item for item in items if item.get("warnings")]
        self.warned += len(warned)
        for item in warned[: WARNINGS - len(self.warnings)]:
            told = " ".join(item["warnings"])
            self.warnings.append(_line_about(rows[item["index"]], item, told))


def _failures(rows: Sequence[Row], fit: Sequence[int], report: Report) -> dict[int, Item]:
    """Return the failures by the place of their row; those of a report count the fit rows alone."""
    refused = {fit[item["index"]]: item for item in report.failures}
    return refused | {at: _unfit(row) for at, row in enumerate(rows) if row.fault}


def _line_about(row: Row, item: Item, sentence: str) -> str:
    who = f" ({item['key']})" if item["key"] else ""
    return f"line {row.line}{who}: {sentence}"


def _unfit(row: Row) -> Item:
    """Return the failure of a row that is no record."""
    return answers.failure(ValidationFailed(row.fault, errors={"row": [row.fault]}))


def reason_of(item: Item) -> str:
    """Return why a record was refused, as a person reads it."""
    errors: dict[str, Any] = item.get("errors", {})
    parts = [f"{field}: {' '.join(sentences)}" for field, sentences in errors.items()]
    candidates = [
        f"id {it['id']} (by {it['matchedBy']})" for it in item.get("candidates", ())
    ]
    named = f" Stored records: {', '.join(candidates)}." if candidates else ""
    return ("; ".join(parts) or item["detail"]) + named
