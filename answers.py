"""Answers: what became of each record of a list, and how many there were of each kind."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from engine.entity import Batch, json_name
from engine.index import Record
from engine.outcome import Outcome, Outcomes, Result
from engine.problems import Problem
from upsert import RULES

ACTIONS = ("created", "updated", "unchanged")
COUNTS = (*ACTIONS, "failed")

Item = dict[str, Any]  # one record's part of an answer
UNDONE: Item = {
    "success": False,
    "action": None,
    "id": None,
    "matchedBy": None,
    "changed": [],
}

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass
class Report:
    """What became of the records of a list: counts by action, the items of the failures, all items shown as JSON."""

    counts: Counter = field(default_factory=Counter)
    failures: list[Item] = field(default_factory=list)
    # Each is of one item or several, with commas between.
    texts: list[str] = field(default_factory=list)
    # With the whole atomic request, though perhaps none of this list failed.
    rolled_back: bool = False

    def __add__(self, more: "Report") -> "Report":
        return Report(
            self.counts + more.counts,
            self.failures + more.failures,
            self.texts + more.texts,
            self.rolled_back or more.rolled_back,
        )

    def extend(self, more: "Report") -> None:
        """Take in a report of further records of the list."""
        self.counts += more.counts
        self.failures += more.failures
        self.texts += more.texts
        self.rolled_back |= more.rolled_back

    @property
    def stored_any(self) -> bool:
        """Whether any record was stored, now or before."""
        return any(self.counts[action] for action in ACTIONS)


def report(
    batch: Batch, results: Outcomes, first: int = 0, *, minimal: bool = False
) -> Report:
    """Return what became of a batch's records, whose places in their list begin with `first`."""
    counts = Counter([getattr(result, "action", "failed") for result in results])
    failures, texts = [], []
    for place, result in enumerate(results):
        if isinstance(result, Problem):
            failures.append(item(batch, place, result, first + place))
            texts.append(encode(failures[-1]))
        elif result.warnings or place in batch.warnings:
            texts.append(encode(item(batch, place, result, first + place)))
        elif not minimal:
            texts.append(_success_text(batch.keys[place], result, first + place))
    return Report(counts, failures, [",".join(texts)] if texts else [])


def report_of(
    items: Iterable[Item], *, minimal: bool = False, rolled_back: bool = False
) -> Report:
    """Return a report of items."""
    items = list(items)
    shown = (
        [item for item in items if _failed(item) or item["warnings"]] if minimal else items
    )
    counts = Counter(item.get("action", "failed") for item in items)
    failures = [item for item in items if _failed(item)]
    return Report(counts, failures, [encode(item) for item in shown], rolled_back)


def undone(batch: Batch, results: Outcomes) -> list[Item]:
    """Return the items of a request that was taken back: no success has an id, and ids of new records are hidden."""
    items = [item(batch, place, result, place) for place, result in enumerate(results)]
    given = {answer["id"] for answer in items if answer.get("action") == "created"}
    for place, result in enumerate(results):
        _forget(items[place], given)
        if isinstance(result, Outcome):
            items[place] |= UNDONE | {"warnings": _warnings(batch, place, result, given)}
    return items


def _forget(answer: Item, given: Set[int]) -> None:
    """Hide these ids among the candidates of a refused record."""
    for candidate in answer.get("candidates", ()):
        if candidate["id"] in given:
            candidate["id"] = None


def item(batch: Batch, place: int, result: Result, at: int = 0) -> Item:
    """Return one record's part of the answer; `at` is its place in the list."""
    key = batch.keys[place]
    if isinstance(result, Problem):
        return failure(result) | {"index": at, "key": key}
    own = {"index": at, "id": result.record_id, "key": key}
    success = _success(result.action, result.matched_by, result.changed)
    return success | own | {"warnings": _warnings(batch, place, result)}


def _warnings(
    batch: Batch, place: int, outcome: Outcome, gone: Set[int] = frozenset()
) -> list[str]:
    """Return the warnings of a record; ids in `gone` are nobody's any more."""
    matching = [
        f"{json_name(notice.field)}: {notice.text(gone)}" for notice in outcome.warnings
    ]
    return [*batch.warnings.get(place, ()), *matching]


def alone(batch: Batch, result: Result, dry_run: bool) -> Item:
    """Return the answer to a single record: it has no place in a list."""
    answer = item(batch, 0, result) | ({"dryRun": True} if dry_run else {})
    del answer["index"]
    return answer


def failure(problem: Problem) -> Item:
    """Return the item of a failure without what is the record's own: index and key."""
    own = {
        "index": None,
        "success": False,
        "status": problem.status,
        "code": problem.code,
    }
    return own | {"key": None, "detail": problem.detail} | members(problem)


def _success(action: str, matched_by: str, changed: Iterable[str]) -> Item:
    """Return the item of a success without what is the record's own: index, id, key and warnings."""
    success = {"index": None, "success": True, "action": action, "id": None, "key": None}
    return success | {
        "matchedBy": json_name(matched_by) if matched_by else None,
        "changed": sorted(map(json_name, changed)),
        "warnings": [],
    }


def _success_text(key: str | None, outcome: Outcome, at: int) -> str:
    """Return the JSON of the item of a success without warnings: most share all but index, id and key."""
    shared = _shared(outcome.action, outcome.matched_by, outcome.changed)
    before, between, then, after = shared
    record_id = "null" if outcome.record_id is None else outcome.record_id
    return f"{before}{at}{between}{record_id}{then}{encode(key)}{after}"


@lru_cache(maxsize=1024)
def _shared(action: str, matched_by: str, changed: tuple[str, ...]) -> list[str]:
    """Return the JSON of a success without warnings as what stands before, between and behind its index, id and key."""
    return encode(_success(action, matched_by, changed)).split("null", 3)


def members(problem: Problem) -> Item:
    """Return the members of a failure that only some have: `errors`, `candidates`, and `candidateCount` of many."""
    found: Item = {}
    if problem.errors:
        errors = problem.errors.items()
        found["errors"] = {json_name(name): list(sentences) for name, sentences in errors}
    if problem.candidates:
        found["candidates"] = _candidates(problem.candidates)
    if problem.candidate_count > len(problem.candidates):
        found["candidateCount"] = problem.candidate_count
    return found


def _candidates(candidates: Sequence[tuple[Record, str]]) -> list[Item]:
    """Return the stored records in question, each with the first key that led to it."""
    keys: dict[Record, str] = {}
    for record, key in candidates:
        keys.setdefault(record, key)
    return [
        {"id": record.public_id, "matchedBy": json_name(key)}
        for record, key in keys.items()
    ]


def _failed(answer: Item) -> bool:
    """Return whether a record itself has a problem, and was not only rolled back with others."""
    return "code" in answer


# --- The whole ---------------------------------------------------------------------------------


def totals(reports: Collection[Report], *, dry_run: bool = False) -> Item:
    """Return the counts of an answer, over all its lists."""
    counted = sum((report.counts for report in reports), Counter())
    rolled_back = any(report.rolled_back for report in reports)
    success = not (counted["failed"] or rolled_back)
    answer: Item = {"success": success, "total": counted.total()}
    answer |= {name: counted[name] for name in COUNTS}
    if dry_run:
        answer["dryRun"] = True
    if rolled_back:
        answer["rolledBack"] = True
    return answer


def listed(report: Report, *, dry_run: bool = False) -> str:
    """Return the JSON of the answer to one list."""
    answer = totals([report], dry_run=dry_run)
    return _with(answer, {"results": f"[{','.join(report.texts)}]"})


def all_listed(reports: Mapping[str, Report], *, dry_run: bool = False) -> str:
    """Return the JSON of the answer to several lists, by entity."""
    parts = {
        RULES[entity].plural: listed(report, dry_run=dry_run)
        for entity, report in reports.items()
    }
    return _with(totals(reports.values(), dry_run=dry_run), parts)


def _with(answer: Item, parts: Mapping[str, str]) -> str:
    """Return the JSON of an object, with members that are JSON already."""
    more = "".join([f",{encode(name)}:{text}" for name, text in parts.items()])
    return f"{encode(answer)[:-1]}{more}}}"


def status(answer: Mapping[str, Any]) -> int:
    """Return the HTTP status of an answer to many: 200, 207 some failed, 422 all failed or rolled back."""
    if not answer["failed"]:
        return 200
    return 422 if answer["failed"] == answer["total"] or answer.get("rolledBack") else 207
