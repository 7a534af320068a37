"""The index: the stored records that a chunk's keys and references can touch, with its changes on top.

It reads in sets (a query a key for any number of values) and writes in sets (executemany), within one
transaction that somebody else begins and ends. A value that nobody asked for beforehand is asked for
when it is looked up, so that what `find` answers is always right, and only speed depends on `ask`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import count, repeat
from operator import attrgetter, itemgetter
from typing import Any

import sqlalchemy as sa

from engine import canonical
from models import (
    AS_READ,
    Columns,
    DoctorClinic,
    FormerKey,
    among,
    insert_all,
    insert_rows,
    others_write,
    rows_among,
    update_rows,
)

Values = dict[str, Any]
Names = tuple[str, ...]
FORMER = "former_"  # prefix of the weak key that looks up numbers given up


class LostRace(Exception):
    """Somebody else wrote a record between our reading and our writing of it."""


@dataclass(frozen=True)
class Ranked:
    """A weak key that several records may share: a key column, and the rank among those who do.

    Rank 0 is the first record with that key; UNIQUE (column, rank) makes two simultaneous creations collide.
    """

    name: str
    sources: tuple[str, ...]
    column: str
    rank: str
    key: Callable[..., str]

    def of(self, values: Values) -> str | None:
        """Return the key that the values make, or None unless all its sources are known."""
        try:
            parts = self.parts(values)
        except KeyError:
            return None
        return self.key(*parts) if all(parts) else None

    @cached_property
    def parts(self) -> Callable[[Values], tuple]:
        """What takes the sources from values."""
        return itemgetter(*self.sources)


CONTACT = Ranked(
    "mobile+name", ("mobile", "name"), "contact_key", "contact_rank", canonical.contact_key
)
SLOT = Ranked(
    "patient+date+time_from",
    ("patient_id", "date", "time_from"),
    "slot_key",
    "slot_rank",
    canonical.slot_key,
)
RANKED = {ranked.name: ranked for ranked in (CONTACT, SLOT)}


@dataclass(frozen=True)
class Reference:
    """A column that holds another record's id (`many`: ids), and the fields by which the sender names it."""

    column: str
    code: str
    target: str
    many: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Keys:
    """By which keys an entity's records are found, in order, what they refer to, and what new ones are at first."""

    entity: str
    table: sa.Table
    unique: tuple[str, ...]
    weak: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def number(self) -> str | None:
        """The unique key whose former values still lead to the record."""
        return next((key.removeprefix(FORMER) for key in self.weak if key.startswith(FORMER)), None)

    @cached_property
    def formers(self) -> sa.ColumnElement[bool]:
        """The condition that a former number is of this entity."""
        return FormerKey.__table__.c.entity == self.entity

    @cached_property
    def ranked(self) -> Ranked | None:
        """The weak key that records may share, or None."""
        return next((RANKED[key] for key in self.weak if key in RANKED), None)

    @cached_property
    def codes(self) -> dict[str, str]:
        """By which field the sender names each column that refers to other records."""
        return {reference.column: reference.code for reference in self.references}

    @cached_property
    def links(self) -> Reference | None:
        """The reference to many records, or None."""
        return next((reference for reference in self.references if reference.many), None)

    @cached_property
    def columns(self) -> list[str]:
        """The columns but for the id."""
        return [column.name for column in self.table.c if column.name != "id"]

    @cached_property
    def shown(self) -> tuple[sa.Column, ...]:
        """The columns as they are read: the id comes last."""
        return (*(self.table.c[name] for name in self.columns), self.table.c.id)

    @cached_property
    def blank(self) -> Values:
        """The values of a new record of which nothing is told."""
        return {
            **dict.fromkeys(self.columns),
            **({self.links.column: ()} if self.links else {}),
            **self.defaults,
        }

    @cached_property
    def key_columns(self) -> dict[str, str]:
        """The column in which each key stands."""
        ranked = {self.ranked.name: self.ranked.column} if self.ranked else {}
        return {key: key for key in self.unique} | ranked

    @cached_property
    def guarded(self) -> list[str]:
        """The columns of keys, which unique constraints guard."""
        return [*self.key_columns.values(), *([self.ranked.rank] if self.ranked else [])]

    @cached_property
    def makes_keys(self) -> set[str]:
        """The columns of which keys are made."""
        return {*self.unique, *(self.ranked.sources if self.ranked else ())}

    @cached_property
    def key_values(self) -> Callable[[Values], Any]:
        """What takes the guarded columns from a record's values."""
        return itemgetter(*self.guarded)


class Batch:
    """Clean data of records as rows: `kinds[kind[place]]` are the names of the values in `rows[place]`."""

    def __init__(self, names: Sequence[Names], rows: Sequence[tuple]):
        kinds = {it: kind for kind, it in enumerate(dict.fromkeys(names))}
        self.kinds, self.rows = [*kinds], rows
        self.kind = [kinds[it] for it in names] if len(kinds) > 1 else [0] * len(names)
        self._columns = (
            dict(zip(names[0], zip(*rows, strict=True), strict=True)) if len(kinds) == 1 else {}
        )

    @classmethod
    def of(cls, records: Iterable[Values]) -> "Batch":
        """Return a batch of data by name."""
        records = list(records)
        return cls([tuple(data) for data in records], [tuple(data.values()) for data in records])

    def __getitem__(self, place: int) -> Values:
        return dict(zip(self.kinds[self.kind[place]], self.rows[place], strict=True))

    def column(self, name: str, places: Collection[int], absent: Any = None) -> Sequence[Any]:
        """Return the value of that name of each of these records, whose places ascend."""
        if len(self.kinds) > 1:
            at = [names.index(name) if name in names else None for names in self.kinds]
            return [
                absent if (i := at[self.kind[it]]) is None else self.rows[it][i] for it in places
            ]
        column = self._columns.get(name)
        if column is None:
            return [absent] * len(places)
        return column if len(places) == len(column) else [column[place] for place in places]

    def keys(self, key: str, places: Collection[int]) -> Sequence[Any]:
        """Return the value of a key of each of these records, None where it has none."""
        if key not in RANKED:
            return self.column(key, places)
        made, sources = (
            RANKED[key].key,
            [self.column(source, places) for source in RANKED[key].sources],
        )
        return [made(*parts) if all(parts) else None for parts in zip(*sources, strict=True)]


class Stored:
    """One record. `values` are as they shall be, `before` as they are in the database (None: not there).

    The id of a record that is not there yet is negative.
    """

    __slots__ = ("before", "id", "removed", "values")

    def __init__(self, record_id: int, values: Values, before: Values | None):
        self.id, self.values, self.before, self.removed = record_id, values, before, False

    @property
    def public_id(self) -> int | None:
        """The id to tell: None while there is none."""
        return self.id if self.id > 0 else None

    @property
    def age(self) -> tuple[bool, int]:
        """What orders records from the oldest on."""
        return self.id < 0, abs(self.id)


class Unread(Stored):
    """A stored record of which only the row is known; its values are made of that when somebody asks for them."""

    __slots__ = ("_columns", "_row")

    def __init__(self, columns: Sequence[str], row: Sequence[Any]):
        self.id, self.removed, self._columns, self._row = row[-1], False, columns, row

    def __getattr__(self, name: str) -> Any:
        self.values = self.before = dict(zip(self._columns, self._row, strict=False))
        return object.__getattribute__(self, name)


class Stranger(Stored):
    """A new record to which no key leads; its values are taken from columns when somebody asks for them."""

    __slots__ = ("_at", "_columns")

    def __init__(self, record_id: int, columns: Mapping[str, Sequence[Any]], at: int):
        self.id, self.before, self.removed, self._columns, self._at = (
            record_id,
            None,
            False,
            columns,
            at,
        )

    def __getattr__(self, name: str) -> Any:
        self.values = {column: values[self._at] for column, values in self._columns.items()}
        return object.__getattribute__(self, name)


@lru_cache(maxsize=256)
def _picker(keys: Keys, names: Names) -> Callable[[Sequence], tuple]:
    """Return what takes the id and these columns from a row: a getter of one thing would make no tuple of it."""
    return itemgetter(-1, *map(keys.columns.index, names))


def _stamps(now: str) -> Values:
    """Return what a new record is given when it is written."""
    return {"created_at": now, "updated_at": now, "version": 1}


class Shelf:
    """The records of one entity."""

    def __init__(self, index: "Index", keys: Keys):
        self.index, self.keys = index, keys
        self.records: dict[int, Stored] = {}
        self._connection = index.connection
        self._by: dict[str, dict[Any, list[Stored]]] = defaultdict(dict)
        self._strangers: list[
            Stranger
        ] = []  # that stand under no key yet, and the columns from which all of them read
        self._strange: dict[str, Sequence[Any]] = {}
        self._held = [(self._by[key], column) for key, column in keys.key_columns.items()]
        self._asked: dict[str, set] = defaultdict(set)
        self._former = f"{FORMER}{keys.number}"
        self._formers_changed: set[str] = set()
        self._touched: dict[Stored, None] = {}
        self._moved: set[Stored] = set()  # whose keys may have changed
        self._rekeyed: list[
            Stored
        ] = []  # of the touched, the stored ones whose keys change; the other stored ones
        self._rewritten: list[Stored] = []
        self._changing: set[str] = {
            "updated_at",
            "version",
        }  # the columns that change in any stored one: all get them

    # Reading

    def ask(self, key: str, values: Iterable[Any]) -> None:
        """Load, with one query, every record that one of `values` leads to by `key` (a key's name, or `id`).

        Of numbers that nobody holds it is also asked who gave them up.
        """
        self._shelve_strangers()
        values = [*values]
        unknown = self._unknown(key, values)
        self._asked[key].update(values)
        if key == self._former:
            self._ask_formers(unknown)
        else:
            self._take_in(key, unknown, self._rows(key, unknown))

    def ask_unless_stored(
        self, key: str, sent: Mapping[int, Any], batch: Batch
    ) -> dict[int, Stored]:
        """Load, with one query, what values of a key lead to, but for a value's only record if it holds all the data.

        `sent` are the values by place in the batch. Returned are the records that are so, at the same places; they
        count neither as loaded nor as asked for.
        """
        self._shelve_strangers()
        unknown = self._unknown(key, sent.values())
        found, column = (
            self._rows(key, unknown),
            self.keys.columns.index(self.keys.key_columns[key]),
        )
        rows = {row[column]: row for row in found}
        if key not in self.keys.unique:
            times = Counter([row[column] for row in found])
            rows = {
                value: row
                for value, row in rows.items()
                if times[value] == 1 and not self._by[key].get(value)
            }
        holding = self._holding(rows, sent, batch)
        others = {value for place, value in sent.items() if place not in holding}.intersection(
            unknown
        )
        self._asked[key] |= others
        self._take_in(key, others, [row for row in found if row[column] in others])
        return holding

    def taken(self, key: str, values: Collection[Any]) -> set[Any]:
        """Return those of the values of a key that lead to a record, or led to one, or are there twice."""
        times = Counter(values)
        taken = (
            {value for value, count in times.items() if count > 1}
            if len(times) < len(values)
            else set()
        )
        taken |= times.keys() & self._by[key].keys()
        if key == self.keys.number:
            taken |= times.keys() & self._by[self._former].keys()
        return taken - {None}

    def shares(self, weak_key: str | None) -> bool:
        """Tell whether somebody has this weak key by now."""
        ranked = self.keys.ranked
        return bool(weak_key and ranked and self._by[ranked.name].get(weak_key))

    def _unknown(self, key: str, values: Iterable[Any]) -> list[Any]:
        """Return those of the values of which it is not known already to whom they lead, each once, in order."""
        asked = self._asked[key]
        held: Collection[Any] = (
            self.records if key == "id" else self._by[key] if key in self.keys.unique else ()
        )
        return [
            value for value in dict.fromkeys(values) if value not in asked and value not in held
        ]

    def _holding(
        self, rows: Mapping[Any, Sequence], sent: Mapping[int, Any], batch: Batch
    ) -> dict[int, Stored]:
        """Return the records of the rows that hold all the data at the places from which their values were sent."""
        if self.keys.links:  # more than a row
            return {}
        pickers = [_picker(self.keys, names) for names in batch.kinds]
        held = [(place, rows[value]) for place, value in sent.items() if value in rows]
        equal = [
            (at, row)
            for at, row in held
            if pickers[batch.kind[at]](row) == (row[-1], *batch.rows[at])
        ]
        return {place: Unread(self.keys.columns, row) for place, row in equal}

    def find(self, key: str, value: Any) -> Sequence[Stored]:
        """Return the records that `value` leads to by `key`."""
        if value not in self._asked[key]:
            self.ask(key, (value,))
        self._shelve_strangers()
        return self._by[key].get(value, ())

    def get(self, record_id: int) -> Stored | None:
        """Return the record with this id, or None."""
        self.ask("id", (record_id,))
        return self.records.get(record_id)

    def the(self, record_id: int) -> Stored:
        """Return the record with this id, to which another one led; LostRace if it has gone since."""
        record = self.get(record_id)
        if record is None:
            raise LostRace
        return record

    def has_given_up(self, record: Stored, key: str, value: Any) -> bool:
        """Tell whether `value` is a former number of `record`."""
        return (
            key == self.keys.number
            and record.values[key] != value
            and record in self.find(self._former, value)
        )

    def _rows(self, key: str, values: Collection[Any]) -> Sequence[sa.Row]:
        """Return the rows that are not loaded yet, the id at the end of each."""
        if not values:
            return ()
        column = self.keys.table.c[self.keys.key_columns.get(key, key)]
        found = rows_among(self._connection, self.keys.shown, column, values).all()
        return [row for row in found if row[-1] not in self.records] if self.records else found

    def _take_in(self, key: str, asked: Collection[Any], rows: Sequence[sa.Row]) -> None:
        """Shelve all that these values of a key lead to; of numbers that nobody holds ask who gave them up."""
        columns, links = self.keys.columns, self.keys.links
        linked = self._linked([row[-1] for row in rows]) if links and rows else {}
        for row in rows:
            values = dict(zip(columns, row))  # noqa: B905 the id at its end is left out
            if links:
                values[links.column] = tuple(sorted(linked[row[-1]]))
            self._shelve(Stored(row[-1], values, values))
        if key == self.keys.number:
            self.ask(self._former, [number for number in asked if not self._by[key].get(number)])

    def _linked(self, owners: Collection[int]) -> Mapping[int, list[int]]:
        """Return the ids of the records to which each of these is linked."""
        c, links = DoctorClinic.__table__.c, defaultdict(list)
        for owner, linked in rows_among(
            self._connection, (c.doctor_id, c.clinic_id), c.doctor_id, owners
        ):
            links[owner].append(linked)
        return links

    def _ask_formers(self, numbers: Collection[str]) -> None:
        c = FormerKey.__table__.c
        shown = (c.value, c.record_id)
        rows = (
            rows_among(self._connection, shown, c.value, numbers, self.keys.formers).all()
            if numbers
            else ()
        )
        self.ask("id", [record_id for _, record_id in rows])
        for number, record_id in rows:
            self._by[self._former].setdefault(number, [self.the(record_id)])

    def _shelve(self, record: Stored) -> None:
        """Put a record under its keys."""
        self.records[record.id] = record
        values = record.values
        for held, column in self._held:
            value = values[column]
            if value in held:
                held[value].append(record)
            elif value is not None:
                held[value] = [record]

    def _shelve_strangers(self) -> None:
        """Put strangers under their keys, for somebody looks there."""
        for record in self._strangers:
            self._shelve(record)
            self._touched[record] = None
        self._strangers, self._strange = [], {}

    def _move(self, record: Stored, old: Values) -> None:
        """Put a record under its new keys; `old` are the values under which it stands."""
        for key, column in self.keys.key_columns.items():
            value, before = record.values[column], old[column]
            if before is not None and value != before:
                self._by[key][before].remove(record)
            if value is not None and value != before:
                self._by[key].setdefault(value, []).append(record)
        self._moved.add(record)

    # Changing

    def add(self, values: Values) -> Stored:
        """Take in a new record; what `values` leave out is as it is at first."""
        record = Stored(-1 - len(self.records), self.keys.blank | values, None)
        self._set_weak_key(record.values)
        self._take(values)
        self._shelve(record)
        self._touched[record] = None
        return record

    def add_strangers(self, batch: Batch, weak_keys: Mapping[int, str | None]) -> list[Stored]:
        """Take in new records of these places, whose keys lead to nobody, with the weak keys that they make.

        They stand under their keys as soon as somebody looks there: no two of them have the same.
        """
        if self.keys.links:
            return [self.add(batch[place]) for place in weak_keys]
        self._shelve_strangers()
        columns = {
            name: batch.column(name, weak_keys, absent) for name, absent in self.keys.blank.items()
        }
        if ranked := self.keys.ranked:
            columns[ranked.column] = [*weak_keys.values()]
            columns[ranked.rank] = [None if key is None else 0 for key in weak_keys.values()]
        first = -1 - len(self.records)
        self._strangers = [
            *map(Stranger, range(first, first - len(weak_keys), -1), repeat(columns), count())
        ]
        self._strange = columns
        return [*self._strangers]

    def change(self, record: Stored, changes: Values) -> None:
        """Change a record; a number that it gives up for another becomes a former one."""
        number = self.keys.number
        old, record.values = record.values, record.values | changes
        if self.keys.ranked and not changes.keys().isdisjoint(self.keys.ranked.sources):
            self._set_weak_key(record.values)
        if number and number in changes:
            if old[number] is not None:
                self.set_former(old[number], record)
            self._take(changes)
        if not changes.keys().isdisjoint(self.keys.makes_keys):
            self._move(record, old)
        self._changing |= changes.keys()
        self._touched[record] = None

    def give_up_keys(self, record: Stored) -> None:
        """Take all keys from a record, former ones too: nothing leads to it any more but its id."""
        old, record.values = record.values, record.values | dict.fromkeys(self.keys.guarded)
        self._move(record, old)
        for number in self.formers_of(record):
            self.set_former(number, None)
        self._touched[record] = None

    def remove(self, record: Stored) -> None:
        """Delete a record."""
        self.give_up_keys(record)
        record.removed = True

    def formers_of(self, record: Stored) -> list[str]:
        """Return the former numbers of a record."""
        if not self.keys.number:
            return []
        c = FormerKey.__table__.c
        mine = sa.select(c.value).where(self.keys.formers, c.record_id == record.id)
        self.ask(self._former, self._connection.scalars(mine).all())
        return [number for number, holders in self._by[self._former].items() if record in holders]

    def set_former(self, number: str, record: Stored | None) -> None:
        """Make `number` lead to `record`, and to no other, as a former one; None: to nobody."""
        self._asked[self._former].add(number)
        self._by[self._former][number] = [record] if record else []
        self._formers_changed.add(number)

    def _take(self, values: Values) -> None:
        """See to it that a number now current is former for nobody."""
        number = self.keys.number and values.get(self.keys.number)
        if number and self.find(self._former, number):
            self.set_former(number, None)

    def _set_weak_key(self, values: Values) -> None:
        """Put in the weak key that the values make; a new key's rank is given when it is written."""
        ranked = self.keys.ranked
        if ranked and (key := ranked.of(values)) != values[ranked.column]:
            values[ranked.column], values[ranked.rank] = key, None

    # Writing

    def prepare_writing(self, now: str) -> None:
        """Give ranks and times to what has really changed, and forget the rest.

        A witness is a record on which a change rests without changing it: the holder of a former number, the first of
        those who share a weak key. Its version is raised, so that nobody can take it away at the same moment.
        """
        if self._touched:  # strangers are written as columns, but only alone
            self._shelve_strangers()
        witnesses = {
            it: None for number in self._formers_changed for it in self._by[self._former][number]
        }
        self._touched = {
            r: None for r in self._touched if r.before is None or r.removed or r.values != r.before
        }
        witnesses |= self._give_ranks()
        if self._strangers:
            self._strange |= {
                name: [value] * len(self._strangers) for name, value in _stamps(now).items()
            }
        for record in self._touched:
            values = record.values
            values["created_at"] = values["created_at"] or now
            values["updated_at"], values["version"] = now, (values["version"] or 0) + 1
        for record in [it for it in witnesses if it not in self._touched]:
            record.values = record.values | {"version": record.values["version"] + 1}
            self._touched[record] = None
        for record in sorted(
            [record for record in self._touched if record.before], key=attrgetter("id")
        ):
            rekeyed = record in self._moved and self._changes_keys(record)
            (self._rekeyed if rekeyed else self._rewritten).append(record)

    def _give_ranks(self) -> dict[Stored, None]:
        """Give each new holder of a weak key its rank; returns the first holder of each key that has others."""
        witnesses: dict[Stored, None] = {}
        if not (ranked := self.keys.ranked):
            return witnesses
        ranking = [
            r for r in self._touched if r.values[ranked.column] and r.values[ranked.rank] is None
        ]
        if not ranking:
            return witnesses
        self.ask(ranked.name, [record.values[ranked.column] for record in ranking])
        for record in ranking:
            holders = self.find(ranked.name, record.values[ranked.column])
            if len(holders) == 1:
                record.values[ranked.rank] = 0
                continue
            ranks = {it.values[ranked.rank]: it for it in holders}
            others = [it for rank, it in ranks.items() if rank is not None and it.before]
            witnesses |= dict.fromkeys(sorted(others, key=lambda it: it.values[ranked.rank])[:1])
            record.values[ranked.rank] = next(
                rank for rank in range(len(ranks) + 1) if rank not in ranks
            )
        return witnesses

    def release_keys(self) -> None:
        """Set changing keys to NULL first: a value may pass from one record to another in this very write."""
        keys = self.keys.guarded
        stored = [(record, record.before or {}) for record in self._rekeyed]
        changing = [
            r.id
            for r, before in stored
            if any(r.values[key] != before[key] is not None for key in keys)
        ]
        if changing:
            c = self.keys.table.c
            nothing = {key: None for key in keys if c[key].nullable}
            mine = among(self._connection, c.id, changing)
            self._connection.execute(sa.update(self.keys.table).where(mine).values(nothing))

    def insert(self) -> None:
        """Insert the new records, in order, and learn their ids."""
        fresh: Sequence[Stored] = self._strangers or [
            record for record in self._touched if record.before is None
        ]
        if not fresh:
            return
        columns = self._strange or {
            name: [it.values[name] for it in fresh] for name in self.keys.columns
        }
        for record, new in zip(
            fresh, insert_all(self._connection, self.keys.table, columns), strict=True
        ):
            record.id = new
        self.records = {record.id: record for record in self.records.values()}

    def update(self) -> None:
        """Update what changed or goes; raise LostRace if one of the records was written by somebody else."""
        # A column that is set costs the upkeep of its index, even if its value stays.
        others = self._changing.difference(self.keys.guarded)
        for records, changing in (
            (self._rekeyed, others.union(self.keys.guarded)),
            (self._rewritten, others),
        ):
            if not records:
                continue
            columns = {
                name: [it.values[name] for it in records]
                for name in self.keys.columns
                if name in changing
            }
            as_read = [
                [it.id for it in records],
                [it.before["version"] for it in records if it.before],
            ]
            columns |= dict(zip(AS_READ, as_read, strict=True))
            if update_rows(self._connection, self.keys.table, columns) != len(records):
                raise LostRace

    def _changes_keys(self, record: Stored) -> bool:
        """Tell whether a stored record's keys shall be others than they are in the database."""
        return self.keys.key_values(record.values) != self.keys.key_values(record.before or {})

    def look_again_for_formers(self) -> None:
        """Raise LostRace if a number that a record takes became somebody's former one since it was looked up.

        Keys guard what is there, not what was absent. Once the number is written nobody else can give it up.
        """
        number, c = self.keys.number, FormerKey.__table__.c
        if not number or not others_write(self._connection):
            return
        taking = [
            r
            for r in self._touched
            if not r.removed and r.values[number] != (r.before or {}).get(number)
        ]
        taken = {record.values[number] for record in taking} | {*self._strange.get(number, ())}
        taken -= {*self._formers_changed, None}
        if (
            taken
            and rows_among(self._connection, (c.value,), c.value, taken, self.keys.formers).first()
        ):
            raise LostRace

    def write_links(self) -> None:
        """Write the links of the records whose links changed: all anew."""
        if not (links := self.keys.links):
            return
        stale = [
            r
            for r in self._touched
            if (r.before or {}).get(links.column, ()) != r.values[links.column]
        ]
        stale += [r for r in self._touched if r.removed]
        owners = [record.id for record in stale if record.before]
        rows = [(r.id, linked) for r in stale if not r.removed for linked in r.values[links.column]]
        columns = {
            "doctor_id": [owner for owner, _ in rows],
            "clinic_id": [linked for _, linked in rows],
        }
        self._replace(DoctorClinic.__table__.c.doctor_id, owners, columns)

    def write_formers(self) -> None:
        """Write the numbers that became former, or are so no more."""
        c, entity = FormerKey.__table__.c, self.keys.entity
        held = [
            number for number in sorted(self._formers_changed) if self._by[self._former][number]
        ]
        holders = [self._by[self._former][number][0].id for number in held]
        columns: Columns = {"entity": [entity] * len(held), "value": held, "record_id": holders}
        self._replace(c.value, self._formers_changed, columns, self.keys.formers)

    def _replace(
        self, column: sa.Column, old: Collection[Any], columns: Columns, *also: sa.ColumnElement
    ) -> None:
        """Delete the rows of a table that hold one of `old` in this column, and insert those that `columns` make."""
        if old:
            mine = among(self._connection, column, old)
            self._connection.execute(sa.delete(column.table).where(mine, *also))
        if any(columns.values()):
            insert_rows(self._connection, column.table, columns)

    def delete(self) -> None:
        """Delete the removed records; what refers to them must be gone."""
        self._replace(
            self.keys.table.c.id, [record.id for record in self._touched if record.removed], {}
        )


class Index:
    """The shelves of all entities within one transaction."""

    def __init__(self, connection: sa.Connection):
        self.connection = connection
        self._shelves: dict[str, Shelf] = {}

    def shelf(self, keys: Keys) -> Shelf:
        """Return the shelf of an entity."""
        if keys.entity not in self._shelves:
            self._shelves[keys.entity] = Shelf(self, keys)
        return self._shelves[keys.entity]

    def write(self, now: str) -> None:
        """Write all changes; `now` is UTC, as `2026-06-15 09:00:00`. Raises LostRace and what the database raises."""
        shelves = list(self._shelves.values())
        for shelf in shelves:
            shelf.prepare_writing(now)
            shelf.release_keys()
        # Links and formers need the ids that the insert gives.
        steps = (
            Shelf.insert,
            Shelf.update,
            Shelf.look_again_for_formers,
            Shelf.write_links,
            Shelf.write_formers,
        )
        for step in steps:
            for shelf in shelves:
                step(shelf)
        for shelf in reversed(shelves):  # what refers to others goes first
            shelf.delete()
