"""Writing: the changes of an index, and plain records, in few statements.

A unique value may pass from one record to another in one chunk. So the keys of rows that give one up are first set to
NULL, then rows are inserted, then updated. An updated row must still have the version that was read.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import sqlalchemy as sa

from engine import database
from engine.database import Columns, LostRace
from engine.index import Changes, Links, Record, Records, link_columns
from engine.plain import Plain
from engine.rules import Reference


def write(
    connection: sa.Connection,
    changes: Sequence[Changes],
    now: str,
    plain: Plain | None = None,
) -> None:
    """Write all changes, and plain records; `now` is UTC, as `2026-06-15 09:00:00`.

    Raises LostRace and what the database raises.
    """
    writers = _writers(connection, changes, now, plain)
    for writer in writers:
        if writer.stored:
            writer.release_keys()
    for writer in writers:
        if writer.new or writer.plain:
            writer.insert()
    others_write = database.of_name(connection.dialect.name).lets_others_write
    for writer in writers:  # links and formers need the ids of new records
        if writer.stored or writer.plain:
            writer.update()
        if writer.rules.number and others_write:
            writer.look_again_for_formers()
        if writer.rules.list_reference:
            writer.write_links(writer.rules.list_reference)
        if writer.former_numbers:
            writer.write_formers()
    for writer in reversed(writers):  # what refers to others goes first
        if any(record.removed for record in writer.stored):
            writer.delete()


def _writers(
    connection: sa.Connection, changes: Sequence[Changes], now: str, plain: Plain | None
) -> list["_Writer"]:
    """Return a writer for each entity that changes; one of them writes the plain records."""
    writers = [_Writer(connection, change, now) for change in changes]
    if plain is None or not plain.has_changes:
        return writers
    for writer in writers:
        if writer.records is plain.records:
            writer.plain = plain
            return writers
    nothing = Changes(plain.records, [], [], {}, set())
    return [*writers, _Writer(connection, nothing, now, plain)]


class _Writer:
    """Writes what shall become of the records of one entity."""

    def __init__(
        self,
        connection: sa.Connection,
        changes: Changes,
        now: str,
        plain: Plain | None = None,
    ):
        self.connection, self.now, self.plain = connection, now, plain
        self.records = changes.records
        self.rules = changes.records.rules
        self.new, self.stored = changes.new, changes.stored
        self.former_numbers = changes.former_numbers
        self.changed_fields = changes.changed_fields

    def release_keys(self) -> None:
        """Set the keys of rows that give one up to NULL: the value may pass to another record in this very write."""
        keys, c = self.rules.guarded, self.rules.table.c
        releasing = [record.id for record in self.stored if self._gives_up_a_key(record)]
        if releasing:
            nothing = {key: None for key in keys if c[key].nullable}
            mine = database.among(self.connection, c.id, releasing)
            self.connection.execute(sa.update(self.rules.table).where(mine).values(nothing))

    def _gives_up_a_key(self, record: Record) -> bool:
        before = record.before or {}
        keys = self.rules.guarded
        return any(record.values[key] != before[key] is not None for key in keys)

    def insert(self) -> None:
        """Insert the new records, in the order of their places, and learn their ids."""
        plain_places = self.plain.new_places if self.plain else []
        places = [*plain_places, *[record.place for record in self.new]]
        if not places:
            return
        order = sorted(range(len(places)), key=places.__getitem__)
        ids = database.insert_for_ids(
            self.connection, self.rules.table, self._new_columns(order)
        )
        by_place = {places[at]: record_id for at, record_id in zip(order, ids, strict=True)}
        if self.plain:
            self.plain.new_ids = [by_place[place] for place in plain_places]
        for record in self.new:
            record.id = by_place[record.place]

    def _new_columns(self, order: Sequence[int]) -> Columns:
        """Return the columns of the plain new rows and the others, in this order."""
        if not self.new and self.plain:
            return self.plain.new_columns(self.now)  # they are in order
        before = self.plain.new_columns(self.now) if self.plain else {}
        columns = {}
        for name in self.rules.columns:
            column = [*before.get(name, ()), *[record.values[name] for record in self.new]]
            columns[name] = [column[at] for at in order]
        return columns

    def update(self) -> None:
        """Update what changed or goes; raise LostRace if another writer changed one of the records."""
        if self.plain and self.plain.changes:
            self._update_plain(self.plain)
        rekeyed: list[Record] = []
        others: list[Record] = []
        for record in self.stored:
            (rekeyed if self._is_rekeyed(record) else others).append(record)
        # A column that is set costs the upkeep of its index, even if its value stays.
        if rekeyed:
            self._update(rekeyed, self.changed_fields.union(self.rules.guarded))
        if others:
            self._update(others, self.changed_fields.difference(self.rules.guarded))

    def _is_rekeyed(self, record: Record) -> bool:
        """Return whether a stored record's keys shall be others than they are in the database."""
        values, before = record.values, record.before or {}
        return any(values[key] != before[key] for key in self.rules.guarded)

    def _update(self, records: Records, names: Collection[str]) -> None:
        written = [name for name in self.rules.columns if name in names]
        columns = {name: [record.values[name] for record in records] for name in written}
        versions = [(record.before or {})["version"] for record in records]
        columns |= database.as_read([record.id for record in records], versions)
        database.update_rows(self.connection, self.rules.table, columns)

    def _update_plain(self, plain: Plain) -> None:
        columns = plain.changed_columns(self.now)
        database.update_rows(self.connection, self.rules.table, columns)

    def look_again_for_formers(self) -> None:
        """Raise LostRace if a number that a record takes became a former one since it was looked up.

        No unique key guards a row that was not there when we looked. Now that the number is ours, nobody else can give
        it up, so this look is the last that is needed.
        """
        number = self.rules.number
        taken = {record.values[number] for record in self.new}
        taken |= {
            record.values[number] for record in self.stored if self._takes(number, record)
        }
        if self.plain:
            taken |= {*self.plain.key_values(number, self.plain.new_places).values()}
        taken -= {*self.former_numbers, None}
        if taken and self.records.former_rows(taken):
            raise LostRace

    def _takes(self, number: str, record: Record) -> bool:
        before = record.before or {}
        return not record.removed and record.values[number] != before[number]

    def write_links(self, reference: Reference) -> None:
        """Write the links of the records whose links changed: all anew."""
        linked = self.plain.new_links(reference.column) if self.plain else {}
        linked |= self._changed_links(reference.column)
        owner, other = link_columns(self.rules, reference)
        owners = [record_id for record_id, others in linked.items() for _ in others]
        columns = {owner.name: owners, other.name: [*chain(*linked.values())]}
        self._replace(owner, [*linked], columns)

    def _changed_links(self, column: str) -> Links:
        """Return the ids to which records are to be linked, by the record's id, where that changes."""
        linked: Links = {}
        for record in (*self.new, *self.stored):
            before = record.before or {column: ()}
            if record.removed:
                linked[record.id] = ()
            elif record.values[column] != before[column]:
                linked[record.id] = record.values[column]
        return linked

    def write_formers(self) -> None:
        """Write the numbers that became former, or are so no more."""
        assert self.rules.former_table is not None
        held = {
            number: record.id for number, record in self.former_numbers.items() if record
        }
        entity = [self.rules.entity] * len(held)
        columns: Columns = {
            "entity": entity,
            "value": [*held],
            "record_id": [*held.values()],
        }
        self._replace(
            self.rules.former_table.c.value,
            [*self.former_numbers],
            columns,
            self.rules.of_this_entity,
        )

    def delete(self) -> None:
        """Delete the removed records; what refers to them must be gone."""
        removed = [record.id for record in self.stored if record.removed]
        self._replace(self.rules.table.c.id, removed, {})

    def _replace(
        self,
        column: sa.Column,
        old: Collection[Any],
        columns: Mapping[str, Sequence[Any]],
        *also: sa.ColumnElement,
    ) -> None:
        """Delete the rows of a table that hold one of `old` in this column, and insert those that `columns` make."""
        if old:
            mine = database.among(self.connection, column, old)
            self.connection.execute(sa.delete(column.table).where(mine, *also))
        if any(columns.values()):
            database.insert_rows(self.connection, column.table, columns)
