"""Plain records: those of a chunk that have nothing to be judged. They are settled in columns.

A record is plain if it sends a key, refers only by codes that records have now and that were not refused before, and
one of two things holds:

* The first of the keys that it sends leads to exactly one stored row, and every field that it sends and that can change
  what it is taken for equals the row's. Those are `Rules.judged`, and `judged_if_shared` if the shared key found the
  row. Its other fields may be new values.
* None of its keys leads to any record, former numbers included, and nothing is missing that a new record needs.

And no other record of the chunk sends one of its keys, or one of its row's keys: what a plain record rests on is its
own. All other records are careful.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import ne
from typing import Any, TypeVar

import sqlalchemy as sa

from engine import database
from engine.entity import Batch, Column, Columns
from engine.fields import ABSENT
from engine.index import EntityIndex, Index, Links, Rows
from engine.outcome import Outcome
from engine.references import Refused, resolve_columns
from engine.rules import Rules, SharedKey

T = TypeVar("T")
ByPlace = dict[int, Any]  # by the record's place in the chunk
Loaded = tuple[str, ByPlace, Rows]  # a key, its values by place, the rows that these led to


@dataclass
class Plain:
    """The plain records of a chunk, and the places of the careful ones.

    `rows` are the stored rows (`Rules.selected`) by place, `found_by` the keys that led to them, `changes` the fields
    that change. `new_places` are those of new records. `batch` is the chunk's, with ids in the place of codes.
    """

    records: EntityIndex
    batch: Batch
    careful: set[int] = field(default_factory=set)
    rows: dict[int, sa.Row] = field(default_factory=dict)
    found_by: dict[int, str] = field(default_factory=dict)
    changes: dict[int, list[str]] = field(default_factory=dict)
    new_places: list[int] = field(default_factory=list)
    new_ids: Sequence[int] = ()
    loaded: list[Loaded] = field(default_factory=list)
    # By place; None unless all its sources are sent.
    shared_keys: ByPlace = field(default_factory=dict)

    @property
    def rules(self) -> Rules:
        """The entity's rules."""
        return self.records.rules

    @property
    def has_changes(self) -> bool:
        """Whether any plain record is new or changes."""
        return bool(self.new_places or self.changes)

    def clash(self) -> bool:
        """Return whether a careful record touched anything that a plain one rests on."""
        if not self.careful:
            return False
        record_ids = [row[-1] for row in self.rows.values()]
        rests_on = {key: self.rests_on(key).values() for key in self.rules.key_columns}
        return self.records.touches(record_ids, rests_on)

    def key_values(self, key: str, places: Iterable[int]) -> ByPlace:
        """Return the values of a key that records send, by place; those that send none are left out."""
        shared = self.rules.shared
        if shared and key == shared.name:
            return self._shared_values(shared, [*places])
        column = self.batch.columns.get(key)
        return {at: column[at] for at in places if column[at]} if column else {}

    def _shared_values(self, shared: SharedKey, places: Sequence[int]) -> ByPlace:
        keys = self.shared_keys
        self._make_shared_keys(shared, [at for at in places if at not in keys])
        return {at: keys[at] for at in places if keys[at] is not None}

    def _make_shared_keys(self, shared: SharedKey, places: Sequence[int]) -> None:
        """Make the shared keys of these records: each is made once."""
        parts = [self.sent(source, places) for source in shared.sources]
        for place, values in zip(places, zip(*parts, strict=True), strict=True):
            self.shared_keys[place] = shared.make(*values) if all(values) else None

    def rests_on(self, key: str) -> ByPlace:
        """Return the values of a key on which plain records rest, by place: their row's, or what they send."""
        at = self.rules.columns.index(self.rules.key_columns[key])
        rows = _without(self.rows, self.careful)
        stored = {place: row[at] for place, row in rows.items() if row[at] is not None}
        new = [place for place in self.new_places if place not in self.careful]
        return stored | self.key_values(key, new)

    def outcomes(self) -> dict[int, Outcome]:
        """Return what became of the plain records, by place, once they are written."""
        keys, rows = self.found_by, self.rows.items()
        outcomes = {
            place: Outcome("unchanged", row[-1], keys[place]) for place, row in rows
        }
        self._note_changes(outcomes)
        created = [Outcome("created", record_id) for record_id in self.new_ids]
        return outcomes | dict(zip(self.new_places, created, strict=True))

    def _note_changes(self, outcomes: dict[int, Outcome]) -> None:
        sent_as = self.rules.sent_as
        for place, names in self.changes.items():
            outcomes[place].action = "updated"
            outcomes[place].changed = tuple(sent_as[name] for name in names)

    def hand_over(self, index: Index, places: Collection[int]) -> None:
        """Let an index learn what the keys of the records at these places led to."""
        records = index.of(self.rules.entity)
        for key, sent, rows in self.loaded:
            values = {value for place, value in sent.items() if place in places}
            if values:
                at = self.rules.columns.index(self.rules.key_columns[key])
                records.learn(key, values, [row for row in rows if row[at] in values])

    # Writing

    def sent(self, name: str, places: Iterable[int]) -> list[Any]:
        """Return what these records send of a field, ABSENT where they do not."""
        column = self.batch.columns.get(name)
        return [ABSENT if column is None else column[place] for place in places]

    def new_columns(self, now: str) -> Columns:
        """Return the columns of the new rows."""
        columns: Columns = {}
        for name in self.rules.columns:
            columns[name] = self._sent_or_blank(name)
        stamps = {"created_at": now, "updated_at": now, "version": 1}
        columns |= {name: [value] * len(self.new_places) for name, value in stamps.items()}
        return columns | self._shared_columns()

    def _sent_or_blank(self, name: str) -> list[Any]:
        blank = self.rules.blank[name]
        return [
            blank if value is ABSENT else value
            for value in self.sent(name, self.new_places)
        ]

    def _shared_columns(self) -> Columns:
        """Return the shared keys of the new rows, and their ranks: each is the first."""
        shared = self.rules.shared
        if shared is None:
            return {}
        keys = self.key_values(shared.name, self.new_places)
        ranks = [0 if place in keys else None for place in self.new_places]
        return {
            shared.column: [keys.get(place) for place in self.new_places],
            shared.rank: ranks,
        }

    def changed_columns(self, now: str) -> Columns:
        """Return the columns of the rows that change, with the ids and versions that they must still have."""
        rows = [self.rows[place] for place in self.changes]
        changing = {name for names in self.changes.values() for name in names}
        names = changing.intersection(self.rules.columns)
        columns: Columns = {
            name: self._sent_or_stored(name, rows) for name in sorted(names)
        }
        return columns | _stamps(rows, self.rules.columns.index("version"), now)

    def _sent_or_stored(self, name: str, rows: Rows) -> list[Any]:
        at, sent = self.rules.columns.index(name), self.sent(name, self.changes)
        pairs = zip(sent, rows, strict=True)
        return [row[at] if value is ABSENT else value for value, row in pairs]

    def new_links(self, name: str) -> Links:
        """Return the ids to which records are to be linked, by the record's id, where that is new."""
        changed = [place for place, names in self.changes.items() if name in names]
        ids = [self.rows[place][-1] for place in changed]
        new = zip(self.new_ids, self.sent(name, self.new_places), strict=True)
        linked = {record_id: others for record_id, others in new if others}
        return linked | dict(zip(ids, self.sent(name, changed), strict=True))


def _stamps(rows: Rows, version: int, now: str) -> Columns:
    """Return the times and new versions of rows that change, with the ids and versions that they must still have."""
    versions = [row[version] for row in rows]
    written = {
        "updated_at": [now] * len(rows),
        "version": [number + 1 for number in versions],
    }
    return {**written, **database.as_read([row[-1] for row in rows], versions)}


def divide(rules: Rules, batch: Batch, index: Index, refused: Refused) -> Plain:
    """Find the plain records of a batch.

    The index learns what was read of careful ones on the way, so that it is not read again."""
    resolved, careful = resolve_columns(rules, batch, index, refused)
    plain = Plain(index.of(rules.entity), resolved, careful)
    _find_rows(plain)
    _compare_rows(plain)
    _check_new(plain)
    _part_overlapping(plain)
    plain.hand_over(index, plain.careful)
    return plain


def _find_rows(plain: Plain) -> None:
    """Find the row to which the first key of each record leads, with one query a key.

    Records whose key leads to no row may be new. Those that send no key are careful.
    """
    left = [place for place in range(plain.batch.size) if place not in plain.careful]
    for key in plain.rules.key_columns:
        sent = plain.key_values(key, left)
        if sent:
            _follow(plain, key, sent)
        left = [place for place in left if place not in sent]
    plain.careful |= {*left}
    plain.new_places.sort()
    plain.rows = dict(sorted(plain.rows.items()))


def _follow(plain: Plain, key: str, sent: ByPlace) -> None:
    """Note to which row each value of a key leads: to one, to none, or to several.

    If crowds share the key, all who sent it are careful.
    """
    rows, are_all = plain.records.rows(key, dict.fromkeys(sent.values()))
    if not are_all:
        plain.careful.update(sent)
        return
    plain.loaded.append((key, sent, rows))
    at = plain.rules.columns.index(plain.rules.key_columns[key])
    by_value = {row[at]: row for row in rows}
    found = {place: by_value[value] for place, value in sent.items() if value in by_value}
    plain.new_places += [place for place in sent if place not in found]
    plain.rows |= found
    plain.found_by |= dict.fromkeys(found, key)
    if len(by_value) < len(rows):
        times = Counter([row[at] for row in rows])
        plain.careful |= {place for place, value in sent.items() if times[value] > 1}


def _compare_rows(plain: Plain) -> None:
    """Compare what was sent with the rows: a judged field that differs makes a record careful, another one changes."""
    for name, stored in _stored(plain).items():
        differing = _differing(plain, name, stored)
        if name in plain.rules.judged:
            plain.careful.update(differing)
            continue
        for place in differing:
            plain.changes.setdefault(place, []).append(name)
    if plain.rules.shared:
        _judge_shared(plain, plain.rules.shared.name)


def _differing(plain: Plain, name: str, stored: Column) -> Iterable[int]:
    """Return the places of the found records that send another value than their row has."""
    sent = plain.batch.columns[name]
    if len(plain.rows) < plain.batch.size:
        sent = plain.sent(name, plain.rows)
    if name in plain.batch.gappy:
        pairs = zip(sent, stored, strict=True)
        sent = [old if new is ABSENT else new for new, old in pairs]
    return compress(plain.rows, map(ne, sent, stored))


def _judge_shared(plain: Plain, key: str) -> None:
    """Make careful whoever changes a field of `judged_if_shared`, if the shared key found the row."""
    read = plain.rules.judged_if_shared
    changing = [
        place for place, names in plain.changes.items() if not read.isdisjoint(names)
    ]
    plain.careful |= {place for place in changing if plain.found_by[place] == key}


def _stored(plain: Plain) -> dict[str, Column]:
    """Return those columns of the rows that were found of which something was sent."""
    rows, sent = plain.rows.values(), plain.batch.columns
    if not rows:
        return {}
    by_column = zip(*rows, strict=True)
    # The id at the end is left out.
    columns: dict[str, Column] = dict(zip(plain.rules.columns, by_column, strict=False))
    links = plain.rules.list_reference
    if links and links.column in sent:
        linked = plain.records.linked([row[-1] for row in rows])
        columns[links.column] = [linked[row[-1]] for row in rows]
    return {name: column for name, column in columns.items() if name in sent}


def _check_new(plain: Plain) -> None:
    """Make careful whoever may be new, but lacks what a new record needs, or has a key that leads to somebody.

    A former number leads to somebody, too.
    """
    new = [place for place in plain.new_places if place not in plain.careful]
    for key in plain.rules.key_columns:
        sent = plain.key_values(key, new)
        held = _held(plain, key, {*sent.values()})
        plain.careful |= {place for place, value in sent.items() if value in held}
    lacking = [_lacks(plain, name, new) for name in plain.rules.needs]
    plain.careful.update(*lacking)


def _lacks(plain: Plain, name: str, places: Iterable[int]) -> list[int]:
    """Return the places of those that do not send a field."""
    pairs = zip(places, plain.sent(name, places), strict=True)
    return [place for place, value in pairs if not value]


def _held(plain: Plain, key: str, values: set[Any]) -> set[Any]:
    """Return those of the values of a key that lead to a record, or that a record gave up; all, if crowds share it."""
    rules = plain.rules
    column = rules.table.c[rules.key_columns[key]]
    rows, are_all = plain.records.rows(key, values, column)
    held = {row[0] for row in rows} if are_all else values
    if key == rules.number:
        held = held.union([row[0] for row in plain.records.former_rows(values)])
    return held


def _part_overlapping(plain: Plain) -> None:
    """Make careful whoever rests on what another record of the chunk sends or rests on."""
    if len(plain.careful) < plain.batch.size:
        for key in plain.rules.key_columns:
            _part_by(plain, key)
    plain.rows = _without(plain.rows, plain.careful)
    plain.changes = _without(plain.changes, plain.careful)
    plain.new_places = [place for place in plain.new_places if place not in plain.careful]


def _without(by_place: dict[int, T], places: Collection[int]) -> dict[int, T]:
    return {place: found for place, found in by_place.items() if place not in places}


def _part_by(plain: Plain, key: str) -> None:
    values = plain.rests_on(key)
    others = plain.key_values(key, plain.careful)
    times = Counter([*values.values(), *others.values()])
    if len(times) < len(values) + len(others):
        plain.careful |= {place for place, value in values.items() if times[value] > 1}
