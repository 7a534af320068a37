"""References: the ids of the records that a record refers to, by the codes or ids that were sent."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from engine.entity import Batch, Column
from engine.fields import ABSENT, first_of
from engine.index import EntityIndex, Index, Record
from engine.outcome import Notice
from engine.problems import UnknownReference, ValidationFailed
from engine.rules import Reference, Rules, Values

# (entity, code) of records of this request that were refused with a conflict: nothing may refer to them
Refused = Set[tuple[str, str]]
Resolved = tuple[Values, list[Notice]]  # data with ids in the place of codes, and warnings


# --- One record --------------------------------------------------------------------------------


def foresee(rules: Rules, sent: Sequence[Values], index: Index) -> None:
    """Load, with few queries, the records to which these data refer."""
    for reference in rules.references:
        records = index.of(reference.target)
        codes = [data[reference.code] for data in sent if data.get(reference.code)]
        ids = [data[reference.column] for data in sent if reference.column in data]
        records.load(records.rules.unique[0], _each(reference, codes))
        records.load("id", ids)


def _each(reference: Reference, column: Iterable[Any]) -> list[Any]:
    """Return the values of a column, ABSENT left out; of a column of lists, what these hold."""
    sent = [value for value in column if value is not ABSENT]
    return sent if reference.link_table is None else [*chain.from_iterable(sent)]


def resolve(rules: Rules, data: Values, index: Index, refused: Refused) -> Resolved:
    """Return the data with ids in the place of codes, and warnings.

    Raises ValidationFailed if an id and a code name two records, otherwise UnknownReference if one of them is not
    stored; for all references at once.
    """
    named = [(reference, *index.named(reference, data)) for reference in rules.references]
    resolved, faults = dict(data), _Faults()
    for reference, by_id, by_code in named:
        codes = resolved.pop(reference.code, None)
        record_id = resolved.pop(reference.column, None)
        if reference.link_table is not None and codes is not None:
            found = {record.id for record in by_code.values() if record}
            resolved[reference.column] = tuple(sorted(found))
            faults.left_out(reference, by_code)
        elif reference.link_table is None and (codes or record_id):
            faults.judge(reference, record_id, by_id, codes, by_code.get(codes), refused)
            record = by_id or by_code.get(codes)
            resolved[reference.column] = record.id if record else None
    faults.refuse()
    return resolved, faults.warnings


@dataclass
class _Faults:
    """What is wrong with the references of a record, by field."""

    wrong: dict[str, list[str]] = field(default_factory=dict)
    unknown: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[Notice] = field(default_factory=list)

    def judge(
        self,
        reference: Reference,
        record_id: int | None,
        by_id: Record | None,
        code: str | None,
        by_code: Record | None,
        refused: Refused,
    ) -> None:
        """Note what is wrong with an id and a code, of which each led to a record or to None."""
        target = reference.target
        if record_id and not by_id:
            self.unknown[reference.column] = [f"No {target} with id {record_id} is stored."]
        if (target, code) in refused:
            refusal = f"The {target} {code} was refused in this same request."
            self.unknown[reference.code] = [refusal]
        elif code and not by_code:
            self.unknown[reference.code] = [f"No {target} {code} is stored."]
        elif by_id and by_code and by_id is not by_code:
            self.wrong[reference.code] = [f"Is not the {target} with id {record_id}."]

    def left_out(self, reference: Reference, by_code: Mapping[str, Record | None]) -> None:
        """Warn of each code of a list that nobody has."""
        missing = [code for code, record in by_code.items() if record is None]
        sentences = [
            f"{reference.target} {code} is not stored, left out" for code in missing
        ]
        self.warnings += [Notice(reference.code, said) for said in first_of(sentences)]

    def refuse(self) -> None:
        """Raise ValidationFailed if ids and codes disagree, otherwise UnknownReference if one is not stored."""
        if self.wrong:
            detail = "An id and a code name two different records."
            raise ValidationFailed(detail, errors=self.wrong)
        if self.unknown:
            detail = "The record refers to what is not stored. Send that first."
            raise UnknownReference(detail, errors=self.unknown)


# --- Columns -----------------------------------------------------------------------------------


def resolve_columns(
    rules: Rules, batch: Batch, index: Index, refused: Refused
) -> tuple[Batch, set[int]]:
    """Return the batch with ids in the place of codes, and the places of careful records.

    Those send an id, a code that no record has now, or the code of a refused record.
    """
    columns, gappy, odd = dict(batch.columns), {*batch.gappy}, set()
    for reference in rules.references:
        ids = columns.pop(reference.column, ())
        codes = columns.pop(reference.code, None)
        odd |= {place for place, record_id in enumerate(ids) if record_id is not ABSENT}
        if codes is not None:
            known = _ids_by_code(reference, codes, index, refused)
            columns[reference.column] = found = _found(reference, codes, known)
            odd |= {place for place, record_id in enumerate(found) if record_id is None}
        if reference.code in gappy:
            gappy.add(reference.column)
    return replace(batch, columns=columns, gappy=gappy), odd


def _ids_by_code(
    reference: Reference, codes: Column, index: Index, refused: Refused
) -> dict[str, int]:
    """Return the id of each current code among these, but for refused ones."""
    target = index.rules[reference.target]
    column = target.table.c[target.unique[0]]
    sent = {*_each(reference, codes)}
    rows = index.rows_among((column, target.table.c.id), column, sent)
    return {
        code: record_id for code, record_id in rows if (target.entity, code) not in refused
    }


def _found(reference: Reference, codes: Iterable[Any], known: dict[str, int]) -> list[Any]:
    """Return a column of ids: ABSENT where no code was sent, None where one is not known."""
    if reference.link_table is None:
        return [ABSENT if code is ABSENT else known.get(code) for code in codes]
    lists = {codes: _ids(codes, known) for codes in {*codes}}
    return [lists[several] for several in codes]


def _ids(codes: Any, known: dict[str, int]) -> Any:
    if codes is ABSENT:
        return ABSENT
    ids = [known.get(code) for code in codes]
    return None if None in ids else tuple(sorted(set(ids)))


# --- Answers -----------------------------------------------------------------------------------


def describe(rules: Rules, record: Record, index: Index) -> Values:
    """Return a record's values with the codes of what it refers to."""
    values = record.values | {"id": max(record.id, 0) or None}
    for reference in rules.references:
        linked = values[reference.column]
        if reference.link_table is not None:
            values[reference.code] = sorted(index.codes(reference, linked))
        elif linked:
            values[reference.code] = index.codes(reference, [linked])[0]
            values[reference.column] = max(linked, 0) or None
        else:
            values[reference.code] = None
    return values


def describe_all(record_ids: Sequence[int], records: EntityIndex) -> list[Values]:
    """Return the described records with these ids, with a few queries; one that is not stored is left out."""
    records.load("id", record_ids)
    stored = [*filter(None, map(records.by_id.get, record_ids))]
    for reference in records.rules.references:
        linked = _each(reference, [record.values[reference.column] for record in stored])
        records.index.of(reference.target).load("id", filter(None, linked))
    return [describe(records.rules, record, records.index) for record in stored]
