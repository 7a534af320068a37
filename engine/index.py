"""The index: the stored records that a chunk's careful records can touch, and what will be written of them.

It reads in sets: one query a key, for any number of values. A value that nobody asked for beforehand is asked for when
it is looked up. So what `find` returns is always right, and only speed depends on `load`. Nothing is written here.

Careful records look at nothing but the index. So it holds all that they touched, and `touches` compares that with what
plain records rest on.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, filterfalse
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from engine import database
from engine.database import LostRace
from engine.rules import Reference, Rules, SharedKey, Values


class Record:
    """One record, stored or new. `values` are as they shall be, `before` as they are in the database (None: not there).

    A new record has a negative id until it is written; `place` is its place in the chunk.
    """

    __slots__ = ("before", "id", "place", "removed", "values")

    def __init__(
        self, record_id: int, values: Values, before: Values | None, place: int = 0
    ):
        self.id, self.values, self.before = record_id, values, before
        self.place, self.removed = place, False

    @property
    def public_id(self) -> int | None:
        """The id to answer with: None while there is none."""
        return self.id if self.id > 0 else None

    @property
    def age(self) -> tuple[bool, int]:
        """What orders records from the oldest on."""
        return self.id < 0, abs(self.id)


# If more records than this share a key, they are a crowd: not all of them are loaded, and not all are named.
CROWD = 20
AGE = attrgetter("age")

Records = Sequence[Record]
Rows = Sequence[sa.Row]
Links = dict[int, tuple[int, ...]]  # by the owner's id, the ids to which it is linked


@dataclass
class Lookup:
    """What the keys of data lead to. `found` are the records of unique keys, each with its key, in order.

    `former_holders` are those who gave the number up, if nobody holds it. Only where no unique key finds a record,
    `sharing` are those with the same shared key, which is `shared_key`, the oldest first; `sharers` is how many they
    are. Of a crowd `sharing` may be some only, and `sharers` any number over CROWD if the data have a unique key.
    """

    found: list[tuple[Record, str]] = field(default_factory=list)
    former_holders: Records = ()
    shared_key: str | None = None
    sharing: Records = ()
    sharers: int = 0


@dataclass
class Changes:
    """What is to be written of one entity: new and stored records, and by former number the record that it leads to."""

    records: "EntityIndex"
    new: list[Record]
    stored: list[Record]
    former_numbers: dict[str, Record | None]
    changed_fields: set[str]  # that change in any record; the writer adds the keys


@dataclass(eq=False)
class EntityIndex:
    """The records of one entity: those that somebody asked for, and new ones."""

    index: "Index"
    rules: Rules
    by_id: dict[int, Record] = field(default_factory=dict)
    changed: dict[Record, None] = field(default_factory=dict)  # new ones, too; in order
    _changed_fields: set[str] = field(default_factory=set)
    changed_formers: set[str] = field(default_factory=set)
    # By key the values whose holders are here, of a crowd CROWD + 1: those that were asked for, and unique ones of
    # records here.
    _known: dict[str, set] = field(default_factory=lambda: defaultdict(set))
    # By key and value, the oldest first.
    _holders: dict[str, dict[Any, list[Record]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    # The shared keys of crowds: not all members are here. How many are missing, where that was counted.
    _crowds: set[str] = field(default_factory=set)
    _missing: dict[str, int] = field(default_factory=dict)

    # Reading

    def load(self, key: str, values: Iterable[Any]) -> None:
        """Load, with few queries, every record that one of `values` leads to by `key` (a key's name, or a column's).

        For numbers that nobody holds, the records that gave them up are loaded, too.
        """
        known = self._known[key]
        unknown = [value for value in dict.fromkeys(values) if value not in known]
        if unknown:
            self._load_unknown(key, unknown)

    def _load_unknown(self, key: str, values: Sequence[Any]) -> None:
        if key == self.rules.former:
            self._load_formers(values)
            return
        rows, are_all = self.rows(key, values)
        if are_all:
            self.learn(key, values, rows)
        else:
            self._learn_crowds(key, values, rows)

    def rows(
        self, key: str, values: Collection[Any], *shown: sa.Column
    ) -> tuple[Rows, bool]:
        """Return rows that values of a key lead to, and whether they are all: if not, rows of any value may be missing.

        `shown` are the columns to return, by default `Rules.selected`.
        """
        rules = self.rules
        column = rules.table.c[rules.key_columns.get(key, key)]
        most = CROWD * len(values) if key == rules.crowded else None
        rows = self.index.rows_among(shown or rules.selected, column, values, most=most)
        return rows, most is None or len(rows) <= most

    def learn(self, key: str, values: Collection[Any], rows: Rows) -> None:
        """Take in the rows that these values of a key lead to: all of them, or of a crowd CROWD + 1."""
        self._known[key].update(values)
        new = [row for row in rows if row[-1] not in self.by_id]
        for row in new:
            # The id at the end of a row is left out.
            stored = dict(zip(self.rules.columns, row, strict=False))
            self._take_in(Record(row[-1], stored, stored))
        if self.rules.list_reference and new:
            self._learn_links(self.rules.list_reference.column, [row[-1] for row in new])
        if key == self.rules.number:
            held = self._holders[key]
            self.load(
                self.rules.former, [number for number in values if not held.get(number)]
            )

    def _learn_links(self, column: str, record_ids: Sequence[int]) -> None:
        for record_id, linked in self.linked(record_ids).items():
            self.by_id[record_id].values[column] = linked  # `before` is the same dict

    def linked(self, owners: Collection[int]) -> Links:
        """Return the ids to which each of these records is linked, in order."""
        assert self.rules.list_reference is not None
        columns = link_columns(self.rules, self.rules.list_reference)
        found: dict[int, list[int]] = {record_id: [] for record_id in owners}
        for record_id, linked in self.index.rows_among(columns, columns[0], [*found]):
            found[record_id].append(linked)
        return {record_id: tuple(sorted(ids)) for record_id, ids in found.items()}

    def former_rows(self, numbers: Collection[str]) -> Rows:
        """Return those of these numbers that were given up, each with the id of the record that did so."""
        c, mine = self.rules.former_columns, self.rules.of_this_entity
        return self.index.rows_among((c.value, c.record_id), c.value, numbers, mine)

    def _load_formers(self, numbers: Collection[str]) -> None:
        self._known[self.rules.former].update(numbers)
        rows = self.former_rows(numbers)
        self.load("id", [record_id for _, record_id in rows])
        for number, record_id in rows:
            self._holders[self.rules.former].setdefault(number, [self.existing(record_id)])

    def _take_in(self, record: Record) -> None:
        """Put a record under its id and its keys."""
        self.by_id[record.id] = record
        self._known["id"].add(record.id)
        self._hold(record, self.rules.key_columns)
        if self._crowds and record.before:
            # A member of a crowd is missing no more.
            self._missing.pop(record.before[self._crowd_column], None)

    def _hold(self, record: Record, keys: Iterable[str]) -> None:
        """Put a record under these of its keys; who holds a unique key is its only holder."""
        for key in keys:
            value = record.values[self.rules.key_columns[key]]
            if value is None:
                continue
            held = self._holders[key].setdefault(value, [])
            if held and held[-1].age > record.age:
                insort(held, record, key=AGE)
            else:
                held.append(record)
            if key in self.rules.unique:
                self._known[key].add(value)

    def find(self, key: str, value: Any) -> Records:
        """Return the records that `value` leads to by `key`, the oldest first: all of them, or more than CROWD."""
        if value not in self._known[key]:
            self._load_unknown(key, [value])
        held = self._holders[key].get(value, ())
        if self._crowds and key == self.rules.crowded and len(held) <= CROWD:
            return self._with_missing(key, value)
        return held

    def get(self, record_id: int) -> Record | None:
        """Return the record with this id, or None."""
        if record_id not in self.by_id:
            self.load("id", (record_id,))
        return self.by_id.get(record_id)

    def existing(self, record_id: int) -> Record:
        """Return the record with this id; raise LostRace if another writer has deleted it."""
        record = self.get(record_id)
        if record is None:
            raise LostRace
        return record

    def by_code(self, code: str) -> Record | None:
        """Return the record with this code (its first unique key), or else the one that gave it up."""
        key = self.rules.unique[0]
        held = self.find(key, code)
        if not held and self.rules.number:
            held = self.find(self.rules.former, code)
        return held[0] if held else None

    def look_up(self, data: Values) -> Lookup:
        """Return what the keys of data lead to."""
        rules, lookup = self.rules, Lookup()
        for key in rules.unique:
            if value := data.get(key):
                lookup.found += [(record, key) for record in self.find(key, value)]
        number = data.get(rules.number)
        if number and not self._holders[rules.number].get(number):
            lookup.former_holders = self.find(rules.former, number)
        if rules.shared and not lookup.found:
            lookup.shared_key = made = self.shared_key(data)
            lookup.sharing = self.find(rules.shared.name, made) if made else ()
            lookup.sharers = len(lookup.sharing)
            if rules.crowded and lookup.sharers > CROWD:
                self._add_oldest_of_crowd(lookup, data)
        return lookup

    def shared_key(self, values: Values) -> str | None:
        """Return the shared key that values make, or None unless all its sources are known."""
        shared = self.rules.shared
        parts = [values.get(source) for source in shared.sources] if shared else []
        return shared.make(*parts) if shared and all(parts) else None

    def former_numbers_of(self, record: Record) -> list[str]:
        """Return the former numbers of a record."""
        if not self.rules.number:
            return []
        former, c = self.rules.former, self.rules.former_columns
        mine = sa.select(c.value).where(self.rules.of_this_entity, c.record_id == record.id)
        self.load(former, self.index.connection.scalars(mine).all())
        return [number for number, held in self._holders[former].items() if record in held]

    # Crowds

    @cached_property
    def _crowd_column(self) -> str:
        """The column of the key that a crowd may share."""
        return self.rules.key_columns[self.rules.crowded]

    def _learn_crowds(self, key: str, values: Collection[str], rows: Rows) -> None:
        """Take in some rows of each crowd among these, of which more are stored; load those of other values.

        There are more than CROWD rows for each value on average: so at least one of them is a crowd.
        """
        at = self.rules.columns.index(self._crowd_column)
        for value, mine in _by_value(rows, at).items():
            if len(mine) > CROWD:
                self._crowds.add(value)
                self.learn(key, [value], mine[: CROWD + 1])
        self.load(key, values)

    def _with_missing(self, key: str, value: str) -> Records:
        """Return those who share a key: all of them, or of a crowd more than CROWD."""
        if value in self._crowds:
            self._load_missing(key, value)
        return self._holders[key].get(value, ())

    def _load_missing(self, key: str, value: str) -> None:
        """Load more of a crowd from which too many who were here have gone."""
        most, column = CROWD + len(self.by_id), self.rules.table.c[self._crowd_column]
        rows = self.index.rows_among(self.rules.selected, column, [value], most=most)
        if len(rows) <= most:
            self._crowds.discard(value)
        self.learn(key, [value], rows)

    def _add_oldest_of_crowd(self, lookup: Lookup, data: Values) -> None:
        """Let a look-up hold the oldest of a crowd, and how many they are, for data that have no other key."""
        key = lookup.shared_key
        if key is None or any(data.get(name) for name in self.rules.unique):
            return
        if key in self._crowds and key not in self._missing:
            self._count_missing(key)
        held = self._holders[self.rules.crowded][key]
        lookup.sharing = held[:CROWD]
        lookup.sharers = len(held) + self._missing.get(key, 0)

    def _count_missing(self, key: str) -> None:
        """Load the oldest of a crowd, and count those who are not here."""
        c = self.rules.table.c
        mine = c[self._crowd_column] == key
        self._load_oldest(mine, CROWD + self._loaded_of(key))  # as many may have left it
        stored = self.index.connection.scalar(sa.select(sa.func.count(c.id)).where(mine))
        self._missing[key] = (stored or 0) - self._loaded_of(key)

    def _load_oldest(self, mine: sa.ColumnElement[bool], count: int) -> None:
        c = self.rules.table.c
        oldest = sa.select(c.id).where(mine).order_by(c.id).limit(count)
        self.load("id", self.index.connection.scalars(oldest).all())

    def _loaded_of(self, key: str) -> int:
        """Return how many of those are here who are stored with this shared key."""
        stored = [record.before for record in self.by_id.values() if record.before]
        return sum(values[self._crowd_column] == key for values in stored)

    # Changing

    def add(self, data: Values, shared_key: str | None, place: int) -> Record:
        """Take in a new record with the shared key that its data make; what they leave out is as in a blank one."""
        record = Record(-1 - len(self.by_id), self.rules.blank | data, None, place)
        if self.rules.shared:
            record.values[self.rules.shared.column] = shared_key
        self._end_former(data)
        self._take_in(record)
        self.changed[record] = None
        return record

    def change(self, record: Record, changes: Values) -> None:
        """Change a record; a number that it gives up for another one becomes a former one."""
        old = record.values
        record.values = old | changes
        self.changed[record] = None
        self._changed_fields |= changes.keys()
        if not self.rules.key_fields.isdisjoint(changes):
            self._rekey(record, old, changes)

    def _rekey(self, record: Record, old: Values, changes: Values) -> None:
        """Put a changed record under the keys that it has now; `old` are the values under which it stands."""
        number = self.rules.number
        self._make_shared_key(record)
        if number in changes and old[number] is not None:
            self.set_former(old[number], record)
        self._end_former(changes)
        self._move(record, old)

    def give_up_keys(self, record: Record) -> None:
        """Take all keys from a record, former ones too: only its id leads to it then."""
        old = record.values
        record.values = old | dict.fromkeys(self.rules.guarded)
        self._move(record, old)
        for number in self.former_numbers_of(record):
            self.set_former(number, None)
        self.changed[record] = None

    def remove(self, record: Record) -> None:
        """Mark a record for deletion: it gives up its keys at once."""
        self.give_up_keys(record)
        record.removed = True

    def set_former(self, number: str, record: Record | None) -> None:
        """Let `number` lead to `record` alone as a former one; None: to nobody."""
        self._known[self.rules.former].add(number)
        self._holders[self.rules.former][number] = [record] if record else []
        self.changed_formers.add(number)

    def _end_former(self, data: Values) -> None:
        """If the number in the data is a former one, end that: a record takes it."""
        number = data.get(self.rules.number)
        if number and self.find(self.rules.former, number):
            self.set_former(number, None)

    def _make_shared_key(self, record: Record) -> None:
        """Put in the shared key that a record's values make; a new key's rank is given when it is written."""
        shared = self.rules.shared
        if shared is None:
            return
        key = self.shared_key(record.values)
        if key != record.values[shared.column]:
            record.values[shared.column], record.values[shared.rank] = key, None

    def _move(self, record: Record, old: Values) -> None:
        """Put a record under its new keys; `old` are the values under which it stands."""
        columns = self.rules.key_columns.items()
        moved = [key for key, column in columns if record.values[column] != old[column]]
        for key in moved:
            before = old[self.rules.key_columns[key]]
            if before is not None:
                self._holders[key][before].remove(record)
        self._hold(record, moved)

    # Before writing

    def prepare(self, now: str) -> Changes:
        """Return what is to be written, with its ranks, times and versions."""
        changed = [
            record
            for record in self.changed
            if record.removed or record.values != record.before
        ]
        formers = {
            number: self._former_holder(number) for number in sorted(self.changed_formers)
        }
        witnesses = [*self._give_ranks(changed), *formers.values()]
        for record in changed:
            _stamp(record, now)
        changed += _increase_versions(changed, witnesses)
        new = [record for record in changed if record.before is None]
        stored = [record for record in changed if record.before is not None]
        names = self._changed_fields | {"updated_at", "version"}
        return Changes(self, new, sorted(stored, key=attrgetter("id")), formers, names)

    def _former_holder(self, number: str) -> Record | None:
        held = self._holders[self.rules.former].get(number)
        return held[0] if held else None

    def _give_ranks(self, changed: Records) -> list[Record | None]:
        """Give each new holder of a shared key the lowest free rank, in a crowd the one after the last.

        Returns the first holder of each key that is stored and loaded.
        """
        shared = self.rules.shared
        if shared is None:
            return []
        unranked = _unranked(changed, shared)
        self.load(shared.name, unranked)
        return [self._rank(shared, key, records) for key, records in unranked.items()]

    def _rank(self, shared: SharedKey, key: str, unranked: Records) -> Record | None:
        """Give ranks to those who come to one shared key; return its first stored holder."""
        holders = self._holders[shared.name][key]
        ranked = {holder.values[shared.rank]: holder for holder in holders}
        ranked.pop(None, None)  # those who have none yet
        first = self._rank_behind(key) if key in self._crowds else 0
        free = filterfalse(ranked.__contains__, count(first))
        for record, rank in zip(unranked, free, strict=False):
            record.values[shared.rank] = rank
        stored = [rank for rank, holder in ranked.items() if holder.before]
        return ranked.get(min(stored, default=None))

    def _rank_behind(self, key: str) -> int:
        """Return the rank after the last one of a crowd."""
        shared = self.rules.shared
        assert shared is not None
        c = self.rules.table.c
        last = sa.select(sa.func.max(c[shared.rank])).where(c[shared.column] == key)
        return self.index.connection.execute(last).scalar_one() + 1

    # Comparing

    def touches(
        self, record_ids: Collection[int], keys: Mapping[str, Collection[Any]]
    ) -> bool:
        """Return whether careful records looked at, took or gave up any of these records or (key, value).

        A number counts as one key, whether it is current or former.
        """
        if not self.by_id.keys().isdisjoint(record_ids):
            return True
        return any(self._saw(key, values) for key, values in keys.items())

    def _saw(self, key: str, values: Collection[Any]) -> bool:
        """Return whether any of these values was asked for, or is or was a key of a record here."""
        kinds = (key, self.rules.former) if key == self.rules.number else (key,)
        seen = [self._known[kind] | self._holders[kind].keys() for kind in kinds]
        return not all(some.isdisjoint(values) for some in seen)


def _by_value(rows: Rows, at: int) -> dict[Any, list[sa.Row]]:
    """Return rows by the value that they have at a position."""
    found: dict[Any, list[sa.Row]] = defaultdict(list)
    for row in rows:
        found[row[at]].append(row)
    return found


def _unranked(records: Records, shared: SharedKey) -> dict[str, list[Record]]:
    """Return those that have come to a shared key, by that key."""
    coming: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        key = record.values[shared.column]
        if key and record.values[shared.rank] is None:
            coming[key].append(record)
    return coming


def _stamp(record: Record, now: str) -> None:
    """Give a record that is written its times and its version."""
    version = 0 if record.before is None else record.before["version"]
    created = {"created_at": now} if record.before is None else {}
    record.values = record.values | created | {"updated_at": now, "version": version + 1}


def _increase_versions(
    changed: Records, witnesses: Iterable[Record | None]
) -> list[Record]:
    """Add 1 to the version of each witness that does not change itself, and return these.

    A witness is a record on which a change rests: the holder of a former number, or the first of those who share a key.
    A writer who changes it at the same moment loses the race, or we do.
    """
    known = {*changed, None}
    unchanged = [
        record for record in dict.fromkeys(witnesses) if record and record not in known
    ]
    for record in unchanged:
        record.values = record.values | {"version": record.values["version"] + 1}
    return unchanged


def link_columns(rules: Rules, reference: Reference) -> tuple[sa.Column, sa.Column]:
    """Return the columns of a table of links: the owner's id, and the other record's."""
    assert reference.link_table is not None
    c = reference.link_table.c
    return c[f"{rules.entity}_id"], c[f"{reference.target}_id"]


@dataclass
class Index:
    """The records of all entities within one transaction. `rules` are those of every entity, by its name."""

    connection: sa.Connection
    rules: Mapping[str, Rules]
    _entities: dict[str, EntityIndex] = field(default_factory=dict)

    def of(self, entity: str) -> EntityIndex:
        """Return the index of one entity."""
        if entity not in self._entities:
            self._entities[entity] = EntityIndex(self, self.rules[entity])
        return self._entities[entity]

    def named(
        self, reference: Reference, data: Values
    ) -> tuple[Record | None, dict[str, Record | None]]:
        """Return the record that a reference's id names, and by code the records that its code or codes name."""
        records, record_id = self.of(reference.target), data.get(reference.column)
        code = data.get(reference.code) or ()
        codes = (code,) if isinstance(code, str) else code
        by_id = records.get(record_id) if record_id else None
        return by_id, {code: records.by_code(code) for code in codes}

    def codes(self, reference: Reference, record_ids: Collection[int]) -> list[Any]:
        """Return the codes of records to which others refer; raise LostRace if one has gone since."""
        records = self.of(reference.target)
        records.load("id", record_ids)
        code = records.rules.unique[0]
        return [records.existing(record_id).values[code] for record_id in record_ids]

    def prepare(self, now: str) -> list[Changes]:
        """Return what is to be written, with its ranks, times and versions; `now` is UTC, as `2026-06-15 09:00:00`."""
        every = self._entities.values()
        return [
            records.prepare(now)
            for records in every
            if records.changed or records.changed_formers
        ]

    def rows_among(
        self,
        shown: tuple[sa.Column, ...],
        column: sa.Column,
        values: Collection[Any],
        *also: sa.ColumnElement[bool],
        most: int | None = None,
    ) -> Rows:
        """Return the columns `shown` of the rows whose `column` is one of `values`, and that meet conditions.

        `most`: so many rows, and one more if there are more. No value may come twice: its rows would, too.
        Pass the same condition objects each time: the statement is cached by them.
        """
        if not values:
            return ()
        name, limited = self.connection.dialect.name, most is not None
        query = database.selection(name, shown, column, *also, limited=limited)
        return self.connection.execute(
            query, {"values": list(values), "limit": (most or 0) + 1}
        ).all()
