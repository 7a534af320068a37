"""Settling a chunk: the plain records in columns, all others one by one, in order.

A plain record has nothing to be judged (`plain.py`). Every other one is careful: it goes through `match`, on the index.
If careful records touched anything that plain ones rest on, they clash: then all records of the chunk are done again
as careful ones, before anything is written. So a chunk ends as its records would one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from engine import plain, references
from engine.entity import Batch
from engine.index import EntityIndex, Index, Lookup
from engine.match import Match, is_certain, match, refuse_too_little
from engine.outcome import Notice, Outcome, Outcomes, Result
from engine.plain import Plain
from engine.problems import Problem
from engine.references import Refused
from engine.rules import Rules, Values, without
from engine.write import write

T = TypeVar("T")


def settle(
    rules: Rules, batch: Batch, new_index: Callable[[], Index], refused: Refused, now: str
) -> Outcomes:
    """Decide what becomes of the records of a batch, none of which is refused, and write it.

    `refused` are (entity, number) to which nothing may refer. `now` is UTC, as `2026-06-15 09:00:00`. Raises LostRace
    and what the database raises.
    """
    everybody, index = range(batch.size), new_index()
    if batch.size == 1:
        return _write(carefully(rules, batch, index, refused, everybody), index, now)
    divided = plain.divide(rules, batch, index, refused)
    outcomes = carefully(rules, batch, index, refused, sorted(divided.careful))
    if divided.clash():
        index = new_index()
        divided.hand_over(index, everybody)
        return _write(carefully(rules, batch, index, refused, everybody), index, now)
    return _write(outcomes, index, now, divided)


def _write(
    outcomes: dict[int, Result], index: Index, now: str, divided: Plain | None = None
) -> Outcomes:
    """Write the changes of the index and plain records; return all outcomes in order, with the ids of new records."""
    write(index.connection, index.prepare(now), now, divided)
    for outcome in outcomes.values():
        if isinstance(outcome, Outcome) and outcome.record:
            outcome.record_id = outcome.record.id
    outcomes |= divided.outcomes() if divided else {}
    return [outcomes[place] for place in sorted(outcomes)]


def carefully(
    rules: Rules, batch: Batch, index: Index, refused: Refused, places: Sequence[int]
) -> dict[int, Result]:
    """Settle the records at these places in order, in the index; nothing is written."""
    sent = batch.records(places)
    references.foresee(rules, sent, index)
    resolved = [_attempt(references.resolve, rules, data, index, refused) for data in sent]
    good = [result[0] for result in resolved if not isinstance(result, Problem)]
    _foresee(rules, good, index.of(rules.entity))
    outcomes: dict[int, Result] = {}
    for place, result in zip(places, resolved, strict=True):
        if isinstance(result, Problem):
            outcomes[place] = result
        else:
            outcomes[place] = _attempt(_settle_resolved, rules, *result, index, place)
    return outcomes


def _attempt(step: Callable[..., T], *args: Any) -> T | Problem:
    """Return what a step returns, or the problem that it raises."""
    try:
        return step(*args)
    except Problem as problem:
        return problem


def _foresee(rules: Rules, sent: Sequence[Values], records: EntityIndex) -> None:
    """Load, with few queries, what the keys of these data lead to. It is for speed alone."""
    for key in rules.unique:
        records.load(key, [data[key] for data in sent if data.get(key)])
    if rules.shared:
        keys = [_next_shared_key(data, records) for data in sent]
        records.load(rules.shared.name, [key for key in keys if key is not None])


def _next_shared_key(data: Values, records: EntityIndex) -> str | None:
    """Return the shared key to load for data.

    If a unique key finds a record, that is the key which the record would get, or None if it keeps its own.
    """
    shared = records.rules.shared
    stored = _first_found(data, records)
    if stored is None or shared is None:
        return records.shared_key(data)
    if all(data.get(source, stored[source]) == stored[source] for source in shared.sources):
        return None
    return records.shared_key(stored | data)


def _first_found(data: Values, records: EntityIndex) -> Values | None:
    """Return the values of the first record that a unique key finds, or None."""
    for key in records.rules.unique:
        held = records.find(key, data[key]) if data.get(key) else ()
        if held:
            return held[0].values
    return None


# --- One record --------------------------------------------------------------------------------


def settle_alone(rules: Rules, data: Values, index: Index, now: str) -> Result:
    """Settle one record in the index, and write it; without `now` nothing is written."""
    warnings: list[Notice] = []
    try:
        if rules.references:
            data, warnings = references.resolve(rules, data, index, frozenset())
        outcome = _settle_resolved(rules, data, warnings, index)
    except Problem as problem:
        return problem
    if now:
        write(index.connection, index.prepare(now), now)
        outcome.record_id = outcome.record.id if outcome.record else None
    return outcome


def _settle_resolved(
    rules: Rules, data: Values, warnings: list[Notice], index: Index, place: int = 0
) -> Outcome:
    """Settle one record whose references are resolved."""
    records = index.of(rules.entity)
    lookup = records.look_up(data)
    if is_certain(rules, lookup):
        return _update(Match(*lookup.found[0], warnings), data, lookup, records)
    if lookup.found and rules.leaves_out:
        data, left_out = rules.leaves_out(data, lookup)
        warnings = [*warnings, *left_out]
        lookup = records.look_up(data) if left_out else lookup
    matched = match(rules, data, lookup)
    warnings = [*warnings, *matched.warnings]
    if matched.record:
        return _update(replace(matched, warnings=warnings), data, lookup, records)
    refuse_too_little(rules, data, lookup)
    record = records.add(data, lookup.shared_key, place)
    return Outcome("created", None, warnings=warnings, record=record)


def _update(matched: Match, data: Values, lookup: Lookup, records: EntityIndex) -> Outcome:
    """Put the data into the matched record, in the index."""
    rules, record = records.rules, matched.record
    assert record is not None
    warnings = [*matched.warnings]
    is_former_holder = record in lookup.former_holders
    if is_former_holder and record.values[rules.number] not in (None, data[rules.number]):
        data = _without_former_number(rules, data, warnings)
    if rules.moves:
        data, moved = rules.moves(data, record, records)
        warnings += moved
    stored = record.values
    changes = {name: value for name, value in data.items() if stored[name] != value}
    outcome = Outcome("unchanged", max(record.id, 0) or None, matched.key, record=record)
    outcome.warnings = warnings
    if changes:
        _apply(outcome, changes, data, records)
    return outcome


def _apply(outcome: Outcome, changes: Values, data: Values, records: EntityIndex) -> None:
    """Change a record, and note that it was updated."""
    rules, record = records.rules, outcome.record
    assert record is not None
    if rules.warns:
        warnings = rules.warns(data, record, outcome.matched_by, records)
        outcome.warnings = [*outcome.warnings, *warnings]
    records.change(record, changes)
    outcome.action = "updated"
    outcome.changed = tuple(rules.sent_as[name] for name in changes)


def _without_former_number(rules: Rules, data: Values, warnings: list[Notice]) -> Values:
    """Return the data without a former number of the record, which keeps its current one; warn of it."""
    kept = f"is a former number of this {rules.entity}, which keeps its current one"
    warnings.append(Notice(rules.number, f"{data[rules.number]} {kept}"))
    return without(data, rules.number)
