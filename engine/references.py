"""References: the ids of the records that a record refers to, by the codes or ids that were sent."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from typing import Any

from engine.entity import Batch
from engine.fields import ABSENT
from engine.index import EntityIndex, Index, Record
from engine.outcome import Notice
from engine.problems import UnknownReference, ValidationFailed
from engine.rules import Reference, Rules, Values

Refused = Set[
    tuple[str, str]
]  # (entity, number) of records that were refused: nothing may refer to them
Resolved = tuple[Values, list[Notice]]  # data with ids in the place of codes, and warnings


# --- One record --------------------------------------------------------------------------------


def foresee(rules: Rules, sent: Sequence[Values], index: Index) -> None:
    """Load, with few queries, the records to which these data refer."""
    for reference in rules.references:
        records = index.of(reference.target)
        codes = [data[reference.code] for data in sent if data.get(reference.code)]
        if reference.many:
            codes = [code for several in codes for code in several]
        records.ask(records.rules.unique[0], codes)
        records.ask("id", [data[reference.column] for data in sent if reference.column in data])


def resolve(rules: Rules, data: Values, index: Index, refused: Refused) -> Resolved:
    """Return the data with ids in the place of codes, and warnings.

    Raises ValidationFailed or UnknownReference with all that is wrong with any reference.
    """
    data, warnings = dict(data), []
    wrong: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    for reference in rules.references:
        records = index.of(reference.target)
        if reference.many:
            warnings += _resolve_many(reference, data, records)
        else:
            _resolve_one(reference, data, records, refused, wrong, unknown)
    if wrong:
        raise ValidationFailed("An id and a code name two different records.", errors=wrong)
    if unknown:
        detail = "The record refers to what is not stored. Send that first."
        raise UnknownReference(detail, errors=unknown)
    return data, warnings


def _resolve_one(
    reference: Reference,
    data: Values,
    records: EntityIndex,
    refused: Refused,
    wrong: dict[str, list[str]],
    unknown: dict[str, list[str]],
) -> None:
    """Put the id of one reference into the data, or note what is wrong with it."""
    target = reference.target
    record_id, code = data.pop(reference.column, None), data.pop(reference.code, None)
    is_refused = (target, code) in refused
    by_id = records.get(record_id) if record_id else None
    by_code = records.by_number(code) if code and not is_refused else None
    if record_id and not by_id:
        unknown[reference.column] = [f"No {target} with id {record_id} is stored."]
    if is_refused:
        unknown[reference.code] = [f"The {target} {code} was refused in this same request."]
    elif code and not by_code:
        unknown[reference.code] = [f"No {target} {code} is stored."]
    if by_id and by_code and by_id is not by_code:
        wrong[reference.code] = [f"Is not the {target} with id {record_id}."]
    if record := by_id or by_code:
        data[reference.column] = record.id


def _resolve_many(reference: Reference, data: Values, records: EntityIndex) -> list[Notice]:
    """Put the ids of a list of codes into the data; return a warning for each code that nobody has."""
    codes = data.pop(reference.code, None)
    if codes is None:
        return []
    found = {code: records.by_number(code) for code in codes}
    data[reference.column] = tuple(sorted({it.id for it in found.values() if it}))
    missing = [code for code, record in found.items() if record is None]
    left_out = [f"{reference.target} {code} is not stored, left out" for code in missing]
    return [Notice(reference.code, sentence) for sentence in left_out]


# --- Columns -----------------------------------------------------------------------------------


def resolve_columns(
    rules: Rules, batch: Batch, index: Index, refused: Refused
) -> tuple[Batch, set[int]]:
    """Return the batch with ids in the place of codes, and the places of the records that need more than that.

    Those are careful ones: they send an id, or a code that no record has now.
    """
    columns, gappy, odd = dict(batch.columns), {*batch.gappy}, set()
    for reference in rules.references:
        ids = columns.pop(reference.column, ())
        codes = columns.pop(reference.code, None)
        odd |= {place for place, record_id in enumerate(ids) if record_id is not ABSENT}
        if codes is not None:
            known = _ids_by_code(reference, codes, index, refused)
            columns[reference.column] = found = _found(reference, codes, known)
            odd |= {place for place, it in enumerate(found) if it is None}
        if reference.code in gappy:
            gappy.add(reference.column)
    return replace(batch, columns=columns, gappy=gappy), odd


def _ids_by_code(
    reference: Reference, codes: Sequence[Any], index: Index, refused: Refused
) -> dict[str, int]:
    """Return the id of each current code among these, but for refused ones."""
    target = index.rules[reference.target]
    column, sent = target.table.c[target.unique[0]], {it for it in codes if it is not ABSENT}
    if reference.many:
        sent = {code for several in sent for code in several}
    rows = index.rows_among((column, target.table.c.id), column, sent)
    return {code: record_id for code, record_id in rows if (target.entity, code) not in refused}


def _found(reference: Reference, codes: Iterable[Any], known: dict[str, int]) -> list[Any]:
    """Return a column of ids: ABSENT where no code was sent, None where one is not known."""
    if not reference.many:
        return [ABSENT if code is ABSENT else known.get(code) for code in codes]
    lists = {codes: _ids(codes, known) for codes in {*codes}}
    return [lists[several] for several in codes]


def _ids(codes: Any, known: dict[str, int]) -> Any:
    if codes is ABSENT:
        return ABSENT
    ids = [known.get(code) for code in codes]
    return None if None in ids else tuple(sorted(set(ids)))


# --- Answers -----------------------------------------------------------------------------------


def describe(record: Record, records: EntityIndex) -> Values:
    """Return a record's values with the codes of what it refers to."""
    values = record.values | {"id": record.public_id}
    for reference in records.rules.references:
        others, linked = records.index.of(reference.target), values[reference.column]
        if reference.many:
            others.ask("id", linked)
            values[reference.code] = sorted(_code(others, record_id) for record_id in linked)
        else:
            values[reference.code] = None if linked is None else _code(others, linked)
            values[reference.column] = linked if linked and linked > 0 else None
    return values


def _code(records: EntityIndex, record_id: int) -> Any:
    return records.the(record_id).values[records.rules.unique[0]]


def describe_all(record_ids: Sequence[int], records: EntityIndex) -> list[Values]:
    """Return the described records with these ids, with a few queries; one that is not stored is left out."""
    records.ask("id", record_ids)
    stored = [records.records[it] for it in record_ids if it in records.records]
    for reference in records.rules.references:
        linked = [record.values[reference.column] for record in stored]
        if reference.many:
            linked = [record_id for several in linked for record_id in several]
        records.index.of(reference.target).ask("id", [it for it in linked if it is not None])
    return [describe(record, records) for record in stored]
