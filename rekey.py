"""Forming stored keys anew: what older rules stored is put into the form in which it would be stored today.

A migration calls it after each change of a form, and `flask rekey` tells beforehand what it would do. Nobody is merged:
where two records come to the same form, the first keeps it, and a person decides about the other.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from engine.database import AS_READ, among, update_rows
from engine.entity import json_name
from engine.fields import ABSENT, Clean, Doubt
from engine.index import Index
from engine.rules import FORMER, Rules
from models import FormerKey
from schemas import ENTITIES
from upsert import RULES

CHUNK = 1000  # rows read and written at once
FORMED, EMPTIED, STUCK, NEEDED, REFUSED, SHARED = (
    "formed",
    "emptied",
    "stuck",
    "needed",
    "refused",
    "shared",
)
Row = dict[str, Any]

SENTENCES = {
    FORMED: "{entity} {id}: {field} is put into today's form",
    EMPTIED: "{entity} {id}: {field} stands for none and is emptied",
    STUCK: "{entity} {id}: {field} stays as it is, for {entity} {other} holds today's form."
    " One person? flask --app app merge {entity} {other} {id}",
    NEEDED: "{entity} {id}: {field} stands for none, but is needed: it stays. Give the {entity} another one",
    REFUSED: "{entity} {id}: {field} would be refused today: it stays. Send the right one",
    SHARED: "{entity} {id}: {field} is compared in another way now",
}
BY_ITSELF = {FORMED, EMPTIED, SHARED}  # nobody has to do anything


@dataclass(frozen=True)
class Finding:
    """What becomes of one field of one stored record; `other` is the id of the record that is in its way."""

    what: str
    entity: str
    record_id: int
    field: str
    other: int | None = None

    def __str__(self) -> str:
        field = json_name(self.field)
        return SENTENCES[self.what].format(
            entity=self.entity, id=self.record_id, field=field, other=self.other
        )


def form_anew(connection: sa.Connection) -> list[Finding]:
    """Put every stored key into today's form, within a transaction of somebody else's; return what was found."""
    findings: list[Finding] = []
    for rules in RULES.values():
        fields: dict[str, Any] = ENTITIES[rules.entity](
            "SA", UTC
        ).load_fields  # no form of a key depends on region or zone
        without_formers: set[int] = set()
        for rows in _chunks(connection, rules):
            found = _form_chunk(connection, rules, fields, rows)
            findings += found
            without_formers |= {
                finding.record_id
                for finding in found
                if finding.what == EMPTIED and finding.field != rules.number
            }
        if rules.number:
            findings += _form_formers(connection, rules, fields[rules.number], without_formers)
    return findings


def summary(findings: Sequence[Finding], *, whole: bool) -> Iterator[str]:
    """Yield lines that tell findings, by ids and without values; not `whole`: only those that somebody must look at."""
    for finding in findings:
        if whole or finding.what not in BY_ITSELF:
            yield str(finding)
    counts = Counter((finding.entity, finding.field, finding.what) for finding in findings)
    for (entity, field, what), count in sorted(counts.items()):
        yield f"{count} {RULES[entity].plural}: {json_name(field)} {what}"


def _chunks(connection: sa.Connection, rules: Rules) -> Iterator[list[Row]]:
    """Yield all rows of an entity, by id, as far as keys need them."""
    c, last = rules.table.c, 0
    made = (*rules.shared.sources, rules.shared.column, rules.shared.rank) if rules.shared else ()
    names = dict.fromkeys(("id", "version", "updated_at", *rules.unique, *made))
    while True:
        query = (
            sa.select(*[c[name] for name in names]).where(c.id > last).order_by(c.id).limit(CHUNK)
        )
        rows = [dict(row) for row in connection.execute(query).mappings()]
        if not rows:
            return
        last = rows[-1]["id"]
        yield rows


def _form_chunk(
    connection: sa.Connection, rules: Rules, fields: Mapping[str, Any], rows: Sequence[Row]
) -> list[Finding]:
    findings: list[Finding] = []
    changes: dict[int, Row] = defaultdict(dict)
    for key in rules.unique:
        findings += _form_key(connection, rules, fields[key], rows, changes)
    _take_numbers(connection, rules, changes)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    for change in changes.values():
        change["updated_at"] = now
    findings += _rank_anew(connection, rules, rows, changes)
    _write(connection, rules, [row for row in rows if row["id"] in changes], changes)
    return findings


def _form_key(
    connection: sa.Connection,
    rules: Rules,
    field: Clean,
    rows: Sequence[Row],
    changes: dict[int, Row],
) -> Iterator[Finding]:
    """Note the changes that one unique key needs, and yield what is found."""
    key, wanted = str(field.name), dict[int, str]()
    for row in rows:
        what, form = _form_of(field, row[key])
        if what == EMPTIED and not rules.table.c[key].nullable:
            what = NEEDED
        if what == EMPTIED:
            changes[row["id"]][key] = None
        if what == FORMED:
            wanted[row["id"]] = form
        elif what:
            yield Finding(what, rules.entity, row["id"], key)
    column = rules.table.c[key]
    shown = (column, rules.table.c.id)
    index = Index(connection, RULES)
    rows_found = index.rows_among(shown, column, {*wanted.values()})
    holders = {row[0]: row[1] for row in rows_found}
    for record_id, form in wanted.items():
        other = holders.setdefault(form, record_id)
        if other == record_id:
            changes[record_id][key] = form
            yield Finding(FORMED, rules.entity, record_id, key)
        else:
            yield Finding(STUCK, rules.entity, record_id, key, other)


def _form_of(field: Clean, stored: str | None) -> tuple[str, Any]:
    """Return what is to be done with a stored key, '' for nothing, and its form today."""
    if stored is None:
        return "", None
    try:
        cleaned = field.clean(stored)
    except ValueError:
        return REFUSED, None
    form = cleaned.value if isinstance(cleaned, Doubt) else cleaned
    if form is ABSENT:
        return EMPTIED, None
    return ("", form) if form == stored else (FORMED, form)


def _take_numbers(connection: sa.Connection, rules: Rules, changes: Mapping[int, Row]) -> None:
    """A number that is current for somebody is former for nobody."""
    taken = {
        change[rules.number]
        for change in changes.values()
        if rules.number and change.get(rules.number)
    }
    if taken:
        c = FormerKey.__table__.c
        connection.execute(
            sa.delete(FormerKey.__table__).where(rules.is_former, among(connection, c.value, taken))
        )


def _rank_anew(
    connection: sa.Connection, rules: Rules, rows: Sequence[Row], changes: dict[int, Row]
) -> Iterator[Finding]:
    """Note the changes of the weak key that records may share: who comes to one takes the lowest free rank."""
    shared = rules.shared
    if not shared:
        return
    # A retired record has none, whatever it would make.
    records = Index(connection, RULES).of(rules.entity)
    made = {row["id"]: records.shared_key(row) for row in rows if row[shared.column] is not None}
    moving = {
        row["id"]: made[row["id"]]
        for row in rows
        if row["id"] in made and made[row["id"]] != row[shared.column]
    }
    if not moving:
        return
    c = rules.table.c
    nothing = {shared.column: None, shared.rank: None}
    connection.execute(
        sa.update(rules.table).where(among(connection, c.id, [*moving])).values(nothing)
    )
    keys = {key for key in moving.values() if key}
    held: dict[str, set[int]] = defaultdict(set)
    for key, rank in (
        records.index.rows_among((c[shared.column], c[shared.rank]), c[shared.column], keys)
        if keys
        else ()
    ):
        held[key].add(rank)
    for record_id, made_key in moving.items():
        rank = _lowest_free(held[made_key]) if made_key else None
        changes[record_id] |= {shared.column: made_key, shared.rank: rank}
        yield Finding(SHARED, rules.entity, record_id, shared.name)


def _lowest_free(ranks: set[int]) -> int:
    """Return the lowest rank that is not among these, and add it."""
    rank = next(rank for rank in range(len(ranks) + 1) if rank not in ranks)
    ranks.add(rank)
    return rank


def _write(
    connection: sa.Connection, rules: Rules, rows: Iterable[Row], changes: Mapping[int, Row]
) -> None:
    written = [row | changes[row["id"]] | {"version": row["version"] + 1} for row in rows]
    if not written:
        return
    columns = {
        name: [row[name] for row in written] for name in (*rules.guarded, "updated_at", "version")
    }
    as_read = ([row["id"] for row in written], [row["version"] - 1 for row in written])
    update_rows(connection, rules.table, columns | dict(zip(AS_READ, as_read, strict=True)))


def _form_formers(
    connection: sa.Connection, rules: Rules, field: Clean, without_formers: set[int]
) -> Iterator[Finding]:
    """Put former numbers into today's form, where nobody else has it; those of records in `without_formers` go.

    Such a record stood under a number that many share, so its former numbers are other people's.
    """
    c = FormerKey.__table__.c
    stored = connection.execute(
        sa.select(c.value, c.record_id).where(rules.is_former).order_by(c.value)
    ).all()
    for value, record_id in stored:
        mine = (rules.is_former, c.value == value)
        what, form = _form_of(field, value)
        other = _holder(connection, rules, str(field.name), form) if what == FORMED else None
        if what == EMPTIED or record_id in without_formers or other == record_id:
            connection.execute(sa.delete(FormerKey.__table__).where(*mine))
        elif other:
            yield Finding(STUCK, rules.entity, record_id, f"{FORMER}{field.name}", other)
        elif what == FORMED:
            connection.execute(sa.update(FormerKey.__table__).where(*mine).values(value=form))


def _holder(connection: sa.Connection, rules: Rules, number: str, form: str) -> int | None:
    """Return the id of the record whose number, or former number, this is; None: nobody's."""
    c = FormerKey.__table__.c
    current = sa.select(rules.table.c.id).where(rules.table.c[number] == form)
    former = sa.select(c.record_id).where(rules.is_former, c.value == form)
    return connection.scalars(current).first() or connection.scalars(former).first()
