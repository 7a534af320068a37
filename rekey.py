"""Forming stored keys anew: what older rules stored is put into the form of today's rules.

A migration calls it after each change of a form, and `flask rekey --dry-run` tells beforehand what it would do. Nobody
is merged: where two records come to the same form, one keeps it: who has it already, or else the lowest id.
A person decides about the other.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, filterfalse
from typing import Any

import sqlalchemy as sa

from engine.database import among, as_read, update_rows
from engine.entity import json_name
from engine.fields import ABSENT, Clean, Doubt
from engine.index import Index
from engine.rules import FORMER, Rules, SharedKey
from models import FormerKey
from schemas import ENTITIES
from upsert import MERGEABLE, RULES

CHUNK = 1000  # rows read and written at once
FORMED, EMPTIED, STUCK, NEEDED, REFUSED, RECOMPUTED, DROPPED = (
    "formed",
    "emptied",
    "stuck",
    "needed",
    "refused",
    "recomputed",
    "dropped",
)
Row = dict[str, Any]
Ranks = dict[str | None, set[int]]  # by shared key
FORMER_KEYS = FormerKey.__table__

SENTENCES = {
    FORMED: "{entity} {id}: {field} is put into today's form",
    EMPTIED: "{entity} {id}: {field} stands for none and is emptied",
    STUCK: "{entity} {id}: {field} stays as it is, for {entity} {other} holds today's form.{advice}",
    NEEDED: "{entity} {id}: {field} stands for none, but is needed: it stays. Give the {entity} another one",
    REFUSED: "{entity} {id}: {field} would be refused today: it stays. Send the right one",
    DROPPED: "{entity} {id}: {field} is removed: it stands for none, is another {entity}'s, or is here already",
    RECOMPUTED: "{entity} {id}: {field} is compared in another way now",
}
BY_ITSELF = {FORMED, EMPTIED, RECOMPUTED, DROPPED}  # nobody has to do anything


@dataclass(frozen=True)
class Finding:
    """What becomes of one field of one stored record; `other` is the id of the record that is in its way."""

    what: str
    entity: str
    record_id: int
    field: str
    other: int | None = None

    def __str__(self) -> str:
        merge = f" One person? flask --app app merge {self.entity} {self.other} {self.record_id}"
        return SENTENCES[self.what].format(
            entity=self.entity,
            id=self.record_id,
            field=json_name(self.field),
            other=self.other,
            advice=merge if self.entity in MERGEABLE else "",
        )


def form_anew(connection: sa.Connection) -> list[Finding]:
    """Put every stored key into today's form, in the caller's transaction; return what was found.

    A table that is not there yet, because a later migration creates it, holds nothing.
    """
    findings: list[Finding] = []
    there = sa.inspect(connection).get_table_names()
    for rules in [rules for rules in RULES.values() if rules.table.name in there]:
        # No form of a key depends on the region or the time zone.
        fields: dict[str, Any] = ENTITIES[rules.entity]("SA", UTC).load_fields
        findings += _Rekeying(connection, rules, fields).run()
    return findings


def summary(findings: Sequence[Finding], *, whole: bool) -> Iterator[str]:
    """Yield lines about findings, by ids and without values, and how many there are of each kind.

    Not `whole`: of single findings only those that somebody must look at."""
    for finding in findings:
        if whole or finding.what not in BY_ITSELF:
            yield str(finding)
    counts = Counter((finding.entity, finding.field, finding.what) for finding in findings)
    for (entity, field, what), number in sorted(counts.items()):
        yield f"{number} {RULES[entity].plural}: {json_name(field)} {what}"


class _Rekeying:
    """Puts the keys of one entity into today's form."""

    def __init__(self, connection: sa.Connection, rules: Rules, fields: Mapping[str, Any]):
        self.connection, self.rules, self.fields = connection, rules, fields
        self.records = Index(connection, RULES).of(rules.entity)
        self.findings: list[Finding] = []
        # Records whose former numbers are other people's.
        self.without_formers: set[int] = set()

    def run(self) -> list[Finding]:
        """Do all rows, and the former numbers; return what was found."""
        for rows in self._chunks():
            self._form_chunk(rows)
        if self.rules.number:
            self._form_formers()
        return self.findings

    def _add_finding(
        self, what: str, record_id: int, field: str, other: int | None = None
    ) -> None:
        self.findings.append(Finding(what, self.rules.entity, record_id, field, other))

    # The rows

    def _chunks(self) -> Iterator[list[Row]]:
        """Yield all rows in chunks, ordered by id, with the columns that keys need."""
        c, last, shared = self.rules.table.c, 0, self.rules.shared
        made = (*shared.sources, shared.column, shared.rank) if shared else ()
        names = dict.fromkeys(("id", "version", "updated_at", *self.rules.unique, *made))
        query = sa.select(*[c[name] for name in names]).order_by(c.id).limit(CHUNK)
        while True:
            found = self.connection.execute(query.where(c.id > last)).mappings()
            rows = [dict(row) for row in found]
            if not rows:
                return
            last = rows[-1]["id"]
            yield rows

    def _form_chunk(self, rows: Sequence[Row]) -> None:
        changes: dict[int, Row] = defaultdict(dict)
        for key in self.rules.unique:
            self._form_key(key, rows, changes)
        self._delete_formers_taken(changes.values())
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        for change in changes.values():
            change["updated_at"] = now
        self._rank_anew(rows, changes)  # nobody sees ranks: the time of such a row stays
        self._write([row for row in rows if row["id"] in changes], changes)

    def _form_key(self, key: str, rows: Iterable[Row], changes: dict[int, Row]) -> None:
        """Note the changes that one unique key needs."""
        formed: dict[int, str] = {}
        for row in rows:
            what, form = _form_of(self.fields[key], row[key])
            if what == FORMED:
                formed[row["id"]] = form
            elif what == EMPTIED and not self.rules.table.c[key].nullable:
                self._add_finding(NEEDED, row["id"], key)
            elif what:
                self._add_finding(what, row["id"], key)
            if what == EMPTIED and self.rules.table.c[key].nullable:
                self._empty(row["id"], key, changes)
        self._give_forms(key, formed, changes)

    def _empty(self, record_id: int, key: str, changes: dict[int, Row]) -> None:
        changes[record_id][key] = None
        if key != self.rules.number:
            # This key was a word for none, and made several people one record: its former numbers are theirs.
            self.without_formers.add(record_id)

    def _give_forms(
        self, key: str, formed: Mapping[int, str], changes: dict[int, Row]
    ) -> None:
        """Note today's form of a key. Whoever holds it already keeps it, else the record with the lowest id gets it."""
        c = self.rules.table.c
        rows = self.records.index.rows_among((c[key], c.id), c[key], {*formed.values()})
        holders = {row[0]: row[1] for row in rows}
        for record_id, form in formed.items():
            other = holders.setdefault(form, record_id)
            if other == record_id:
                changes[record_id][key] = form
                self._add_finding(FORMED, record_id, key)
            else:
                self._add_finding(STUCK, record_id, key, other)

    def _delete_formers_taken(self, changes: Iterable[Row]) -> None:
        """Delete the former numbers that these changes make current."""
        number = self.rules.number
        taken = {change[number] for change in changes if change.get(number)}
        if taken:
            theirs = among(self.connection, FORMER_KEYS.c.value, taken)
            self.connection.execute(
                sa.delete(FORMER_KEYS).where(self.rules.of_this_entity, theirs)
            )

    def _rank_anew(self, rows: Iterable[Row], changes: dict[int, Row]) -> None:
        """Note the changes of the shared key: who comes to one takes the lowest free rank."""
        shared = self.rules.shared
        if shared is None:
            return
        # A retired record has none, whatever it would make.
        keyed = [row for row in rows if row[shared.column] is not None]
        made = [(row, self.records.shared_key(row)) for row in keyed]
        moving = {row["id"]: key for row, key in made if key != row[shared.column]}
        if moving:
            self._release(shared, moving)
            self._give_ranks(shared, moving, changes)

    def _give_ranks(
        self, shared: SharedKey, made: Mapping[int, str | None], changes: dict[int, Row]
    ) -> None:
        taken = self._ranks(shared, {*made.values()} - {None})
        free = {key: _free(ranks) for key, ranks in taken.items()}
        for record_id, key in made.items():
            rank = None if key is None else next(free[key])
            changes[record_id] |= {shared.column: key, shared.rank: rank}
            self._add_finding(RECOMPUTED, record_id, shared.name)

    def _release(self, shared: SharedKey, record_ids: Collection[int]) -> None:
        theirs = among(self.connection, self.rules.table.c.id, record_ids)
        nulls = {shared.column: None, shared.rank: None}
        self.connection.execute(sa.update(self.rules.table).where(theirs).values(nulls))

    def _ranks(self, shared: SharedKey, keys: Collection[str | None]) -> Ranks:
        """Return the ranks that are taken, by shared key."""
        c = self.rules.table.c
        taken: Ranks = {key: set() for key in keys}
        shown = (c[shared.column], c[shared.rank])
        held = self.records.index.rows_among(shown, shown[0], keys)
        for key, rank in held:
            taken[key].add(rank)
        return taken

    def _write(self, rows: Sequence[Row], changes: Mapping[int, Row]) -> None:
        written = [_next_version(row | changes[row["id"]]) for row in rows]
        names = (*self.rules.guarded, "updated_at", "version")
        columns = {name: [row[name] for row in written] for name in names}
        columns |= as_read([row["id"] for row in rows], [row["version"] for row in rows])
        update_rows(self.connection, self.rules.table, columns)

    # Former numbers

    def _form_formers(self) -> None:
        """Put former numbers into today's form, where nobody else has it."""
        c = FORMER_KEYS.c
        query = (
            sa.select(c.value, c.record_id)
            .where(self.rules.of_this_entity)
            .order_by(c.value)
        )
        for value, record_id in self.connection.execute(query).all():
            self._form_former(value, record_id)

    def _form_former(self, value: str, record_id: int) -> None:
        name = f"{FORMER}{self.rules.number}"
        mine = (self.rules.of_this_entity, FORMER_KEYS.c.value == value)
        what, form = _form_of(self.fields[self.rules.number], value)
        other = self._holder(form) if what == FORMED else None
        if what == EMPTIED or record_id in self.without_formers or other == record_id:
            self.connection.execute(sa.delete(FORMER_KEYS).where(*mine))
            self._add_finding(DROPPED, record_id, name)
        elif other:
            self._add_finding(STUCK, record_id, name, other)
        elif what == FORMED:
            self.connection.execute(sa.update(FORMER_KEYS).where(*mine).values(value=form))
            self._add_finding(FORMED, record_id, name)

    def _holder(self, form: str) -> int | None:
        """Return the id of the record whose number, or former number, this is; None: nobody's."""
        current = self.rules.table.c[self.rules.number] == form
        former = (self.rules.of_this_entity, FORMER_KEYS.c.value == form)
        held = self.connection.scalars(
            sa.select(self.rules.table.c.id).where(current)
        ).first()
        given_up = sa.select(FORMER_KEYS.c.record_id).where(*former)
        return held or self.connection.scalars(given_up).first()


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


def _next_version(row: Row) -> Row:
    return row | {"version": row["version"] + 1}


def _free(taken: set[int]) -> Iterator[int]:
    """Return the ranks that are not taken, the lowest first."""
    return filterfalse(taken.__contains__, count())
