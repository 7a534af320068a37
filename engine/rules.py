"""Rules: by which keys an entity's records are found, what they refer to, and what speaks against a match.

Rules are data, and the only statement of the keys. What a record must carry, what the index loads, and what the
document and the reference say follow from them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

if TYPE_CHECKING:
    from engine.index import EntityIndex, Lookup, Record
    from engine.outcome import Notices

Values = dict[str, Any]  # by Python name
Names = tuple[str, ...]
T = TypeVar("T")
FORMER = "former_"  # prefix of the weak key that looks up numbers given up


def without(data: Values, name: str) -> Values:
    """Return data without one field."""
    return {field: value for field, value in data.items() if field != name}


def _never(text: str) -> bool:
    return False


def reads(*fields: str, if_shared: bool = False) -> Callable[[T], T]:
    """Mark a named rule with the fields that it compares, of the data and the stored record.

    A record that changes one of them is careful. One that changes none may be plain: then the rule is not asked, so it
    must have nothing to say. `if_shared`: only where the shared key alone found the stored record. For `rules_out` that
    is always so.
    """

    def mark(rule: Any) -> Any:
        rule.reads = frozenset(fields)
        rule.if_shared = if_shared
        return rule

    return mark


def _mark_of(rule: Any) -> tuple[frozenset[str], bool]:
    """Return what a named rule reads, and whether only where the shared key alone found the record."""
    if not hasattr(rule, "reads"):
        raise ValueError(f"{rule.__name__} does not say what it reads")
    return rule.reads, rule.if_shared


@dataclass(frozen=True)
class SharedKey:
    """A weak key that several records may share. It is made of `sources`, and stands in `column`.

    `rank` is the column that counts those who share it: the first holder has rank 0. UNIQUE (column, rank) makes two
    simultaneous creations collide. `crowd_is_nobody`: if a crowd shares it (`index.CROWD`), it identifies nobody.
    """

    name: str
    sources: Names
    column: str
    rank: str
    make: Callable[..., str]
    crowd_is_nobody: bool = False


@dataclass(frozen=True)
class Reference:
    """A column that holds another record's id, and the field by which the sender names that record.

    With a `link_table` the column holds many ids: they stand in that table, one row for each.
    """

    column: str
    code: str
    target: str
    link_table: sa.Table | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Rules:
    """How an entity's records are matched (the contract's section 4).

    Keys: `unique` and `weak` ones, in order; `shared` is the weak key that several may share. `former_table` holds the
    numbers that records gave up.
    A weak match: `contradicts` are fields that rule it out where both sides know them and they differ; `rules_out` are
    named rules that do, for what the shared key found.
    A new number: `agrees` are fields that tell a renumbered record from another one. `birth` is the date among them.
    `given_name` is a field with the first word of the name; `first_word` takes that from a folded name, and `is_none`
    tells whether it says nothing.
    A new record: `needs` are the fields without which none is created, `defaults` its values at first.
    Named rules. All but `leaves_out` are marked with the fields that they read, and so are `rules_out`. `leaves_out`
    removes, before matching, what is another record's. `belongs` returns whether a record that a unique key found takes
    the data; `belongs_not` is the sentence if it does not. `moves` returns the data with what follows from them, for
    every careful record that matched, or raises a problem. `warns` returns what the sender should look at, where
    something changes.
    """

    entity: str
    table: sa.Table
    unique: Names
    weak: Names = ()
    shared: SharedKey | None = None
    former_table: sa.Table | None = None
    references: tuple[Reference, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    contradicts: Names = ()
    rules_out: tuple[Callable[[Values, "Record"], bool], ...] = ()
    agrees: Names = ()
    birth: str = ""
    given_name: str = ""
    first_word: Callable[[str], str] = str
    is_none: Callable[[str], bool] = _never
    needs: Names = ("name",)
    leaves_out: Callable[[Values, "Lookup"], tuple[Values, "Notices"]] | None = None
    belongs: Callable[[Values, "Record"], bool] | None = None
    belongs_not: str = ""
    moves: Callable[[Values, "Record", "EntityIndex"], tuple[Values, "Notices"]] | None = (
        None
    )
    warns: Callable[[Values, "Record", str, "EntityIndex"], "Notices"] | None = None

    def __post_init__(self) -> None:
        """Refuse rules that contradict their table or each other, or a named rule that does not say what it reads."""
        named = {*self.guarded, *self.key_fields, *self.defaults, *self.needs, self.birth}
        named |= {reference.column for reference in self.references}
        named |= self.judged | self.judged_if_shared
        missing = named.difference(self.blank, ("",))
        if missing:
            raise ValueError(f"{self.entity}: no column {', '.join(sorted(missing))}")
        if self.shared and self.shared.name not in self.weak:
            raise ValueError(f"{self.entity}: {self.shared.name} is no weak key")
        former = [key for key in self.weak if key.startswith(FORMER)]
        if former not in ([], [f"{FORMER}{self.unique[0]}"]):
            raise ValueError(f"{self.entity}: only the first unique key has former values")

    # Keys

    @cached_property
    def plural(self) -> str:
        """The entity's plural, as it stands in paths and answers."""
        return f"{self.entity}s"

    @cached_property
    def number(self) -> str:
        """The unique key whose former values still lead to the record, or ''."""
        former = [key for key in self.weak if key.startswith(FORMER)]
        return former[0].removeprefix(FORMER) if former else ""

    @cached_property
    def former(self) -> str:
        """The name of the weak key that leads from a former value of that number."""
        return f"{FORMER}{self.number}"

    @cached_property
    def key_columns(self) -> dict[str, str]:
        """The column of each key that stands in the table, in order."""
        columns = {key: key for key in self.unique}
        return columns | {self.shared.name: self.shared.column} if self.shared else columns

    @cached_property
    def crowded(self) -> str:
        """The name of the shared key, if a crowd that shares it is nobody; else ''."""
        return self.shared.name if self.shared and self.shared.crowd_is_nobody else ""

    @cached_property
    def guarded(self) -> Names:
        """The columns that unique constraints guard."""
        return (*self.key_columns.values(), *([self.shared.rank] if self.shared else []))

    @cached_property
    def key_fields(self) -> frozenset[str]:
        """The columns of which keys are made."""
        return frozenset((*self.unique, *(self.shared.sources if self.shared else ())))

    @cached_property
    def name_fields(self) -> Names:
        """The fields of `agrees` that hold names."""
        return tuple(name for name in self.agrees if name != self.birth)

    @cached_property
    def _read(self) -> list[tuple[frozenset[str], bool]]:
        """What each named rule reads, and whether only where the shared key alone found the record."""
        rules = [rule for rule in (self.belongs, self.moves, self.warns) if rule]
        return [
            *map(_mark_of, rules),
            *[(_mark_of(rule)[0], True) for rule in self.rules_out],
        ]

    @cached_property
    def judged(self) -> frozenset[str]:
        """The fields that can change what a record is taken for, whichever key found it."""
        fields = (*self.key_fields, *self.contradicts, *self.agrees, self.given_name)
        return frozenset(fields).union(
            *[read for read, if_shared in self._read if not if_shared]
        )

    @cached_property
    def judged_if_shared(self) -> frozenset[str]:
        """The fields that can do so where the shared key alone found it."""
        return frozenset().union(*[read for read, _ in self._read])

    # What a record carries

    @cached_property
    def sent_as(self) -> dict[str, str]:
        """The field in which the sender sends each column: a code in the place of an id."""
        codes = {reference.column: reference.code for reference in self.references}
        return dict(zip(self.blank, self.blank, strict=True)) | codes

    @cached_property
    def identities(self) -> tuple[Names, ...]:
        """The sets of fields, each of which is enough to find a record again; it must send all fields of one set."""
        sets: list[Names] = [(key,) for key in self.unique]
        if self.shared:
            ways = [self._ways_to_send(source) for source in self.shared.sources]
            sets += product(*ways)
        return tuple(sets)

    def _ways_to_send(self, column: str) -> Names:
        """Return the fields in which the sender can send a column: a code or an id, or the column itself."""
        return tuple(dict.fromkeys((self.sent_as[column], column)))

    @cached_property
    def fields_to_send(self) -> Names:
        """The fields to ask for where no identity is sent.

        The first key; or the fields of the shared key, if a new record needs all of them.
        """
        if self.shared and set(self.shared.sources) <= set(self.needs):
            return tuple(self.sent_as[source] for source in self.shared.sources)
        return self.unique[:1]

    # Columns

    @cached_property
    def list_reference(self) -> Reference | None:
        """The reference to many records, or None."""
        return next(
            (
                reference
                for reference in self.references
                if reference.link_table is not None
            ),
            None,
        )

    @cached_property
    def columns(self) -> Names:
        """The table's columns but for the id."""
        return tuple(column.name for column in self.table.c if column.name != "id")

    @cached_property
    def selected(self) -> tuple[sa.Column, ...]:
        """The columns as they are read: the id comes last."""
        return (*(self.table.c[name] for name in self.columns), self.table.c.id)

    @cached_property
    def blank(self) -> Values:
        """The values of a new record of which nothing is known."""
        linked = {self.list_reference.column: ()} if self.list_reference else {}
        return {**dict.fromkeys(self.columns), **linked, **self.defaults}

    @cached_property
    def of_this_entity(self) -> sa.ColumnElement[bool]:
        """The condition that a row of `former_table` is of this entity."""
        return self.former_columns.entity == self.entity

    @cached_property
    def former_columns(self) -> Any:
        """The columns of `former_table`."""
        assert self.former_table is not None, "rules with a former key name its table"
        return self.former_table.c
