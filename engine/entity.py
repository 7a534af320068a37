"""An entity's wire format: JSON records in, a batch of clean columns out, and stored values to JSON.

A schema cleans many records column by column. Only a record that does not pass goes through marshmallow, which calls
the same rules of the fields and gathers every error. Source: the contract, sections 2 and 3.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import lru_cache
from itertools import chain
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from engine.fields import (
    ABSENT,
    LEFT_OUT,
    ODD,
    SHOWN,
    WRONG,
    Clean,
    Doubt,
    first_of,
)
from engine.nothing import Nothing
from engine.problems import Problem, ValidationFailed
from engine.rules import Rules, Values

Column = Sequence[Any]
Columns = dict[str, Column]  # by Python name, all of the same length
# By Python name, which of ABSENT, WRONG and Doubt stand in its column.
Odd = Mapping[str, set[type]]
Errors = Mapping[str, Sequence[str]]  # by field, sentences

T = TypeVar("T")

UNKNOWN_FIELD = "unknown field: "
NO_OBJECT = "Must be a JSON object."

_OTHER_NAMES = {"national_id": "nationalID"}


@lru_cache(maxsize=1024)
def json_name(name: str) -> str:
    """Return the JSON name of a Python name: `cost_center_no` is `costCenterNo`, `a+b_c` is `a+bC`."""
    return _OTHER_NAMES.get(name) or "+".join(map(_camel, name.split("+")))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _pascal(name: str) -> str:
    """Return a JSON name as .NET writes it by default: `CostCenterNo`."""
    return name[0].upper() + name[1:]


@dataclass
class Batch:
    """Sent records in columns. `columns[name][place]` is a clean value, ABSENT where the record sends none.

    By place: `keys` are what each record was sent by, `warnings` and `refused` only those of records that have any.
    `gappy` are the names of the columns that may hold ABSENT. The columns of refused records mean nothing.
    """

    size: int
    columns: Columns = field(default_factory=dict)
    gappy: set[str] = field(default_factory=set)
    keys: list[str | None] = field(default_factory=list)
    warnings: dict[int, list[str]] = field(default_factory=dict)
    refused: dict[int, Problem] = field(default_factory=dict)

    def data(self, place: int) -> Values:
        """Return the clean data of one record: only what it sends."""
        return self.records([place])[0]

    def records(self, places: Sequence[int]) -> list[Values]:
        """Return the clean data of records: only what each sends."""
        if not self.columns:
            return [{} for _ in places]
        names = [*self.columns]
        columns = [[column[place] for place in places] for column in self.columns.values()]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return [*map(_without_gaps, rows)] if self.gappy else rows

    @property
    def fit(self) -> list[int]:
        """The places of the records that can be stored."""
        return [place for place in range(self.size) if place not in self.refused]

    def part(self, places: Sequence[int]) -> "Batch":
        """Return these records as a batch of their own."""
        if len(places) == self.size:
            return self
        return Batch(
            size=len(places),
            columns={
                name: [column[at] for at in places] for name, column in self.columns.items()
            },
            gappy=self.gappy,
            keys=[self.keys[place] for place in places],
            warnings=_at_places(self.warnings, places),
            refused=_at_places(self.refused, places),
        )


def _without_gaps(values: Values) -> Values:
    return {name: value for name, value in values.items() if value is not ABSENT}


def _at_places(by_place: Mapping[int, T], places: Sequence[int]) -> dict[int, T]:
    """Return the items of these places, by their new places: the first of these is 0."""
    return {at: by_place[place] for at, place in enumerate(places) if place in by_place}


class Shape(NamedTuple):
    """How a record is spelt: the position of each field, a warning for each unknown one, errors of those sent twice."""

    positions: dict[str, int]
    warnings: list[str]
    twice: dict[str, list[str]]


class Entity(Schema):
    """One entity of the wire format: `clean_all` reads records, `dump` writes a stored one.

    `rules` say what a record must carry; `asking` is the sentence where it does not. `nothing` are the words for none.
    """

    rules: ClassVar[Rules]
    asking: ClassVar[str]
    nothing: ClassVar[Nothing]

    id = fields.Integer(dump_only=True)

    class Meta:
        unknown = EXCLUDE

    def __init__(self, phone_region: str, zone: tzinfo, reads_hijri: bool = True):
        self.phone_region, self.zone, self.reads_hijri = phone_region, zone, reads_hijri
        super().__init__()
        self._fields = cast("dict[str, Clean]", self.load_fields)
        self._names = _spellings(self.load_fields)
        identities, names = self.rules.identities, {*self.rules.name_fields}
        self._carried = {name for identity in identities for name in identity}
        # A name may be a placeholder, so an identity with a name needs `faults`.
        self._without_names = [
            identity for identity in identities if names.isdisjoint(identity)
        ]
        self._read_only = _spellings(self.dump_fields).keys() - self._names.keys()

    def on_bind_field(self, field_name: str, field_obj: fields.Field) -> None:
        field_obj.data_key = json_name(field_name)

    # Names

    def field_named(self, spelling: str) -> str | None:
        """Return the JSON name of the field that is spelt so in some case; None if there is none that can be sent."""
        name = self._names.get(_lower(spelling))
        return json_name(name) if name else None

    def only_answers(self, spelling: str) -> bool:
        """Return whether this is a field that only answers carry."""
        return _lower(spelling) in self._read_only

    @property
    def names(self) -> list[str]:
        """The JSON names of all fields that can be sent."""
        return [*map(json_name, self.load_fields)]

    # Reading

    def clean(self, sent: dict[str, Any]) -> tuple[Values, Sequence[str]]:
        """Return the data of one record, only what was really sent, and warnings; or raise ValidationFailed."""
        batch = self.clean_all([sent])
        if batch.refused:
            raise batch.refused[0]
        return batch.data(0), batch.warnings.get(0, [])

    def clean_all(self, records: Sequence[Any]) -> Batch:
        """Return a batch of sent records, whatever they are."""
        shapes = _Shapes(self._shape)
        spelt = [
            shapes[tuple(record) if isinstance(record, dict) else None]
            for record in records
        ]
        sent = _columns(records, spelt, shapes.values())
        batch = Batch(len(records))
        odd = self._clean_columns(batch, sent)
        _settle_doubts(batch, odd, spelt)
        self.settle(batch)
        batch.keys = self.keys(batch.columns, batch.size)
        if any(shape.warnings for shape in shapes.values()):
            _warn_of_unknown(batch, spelt)
        suspects = self.suspects(batch)
        wrong = {place for place in suspects if self.faults(batch.data(place))}
        wrong |= _wrong(batch, odd)
        if any(shape.twice or shape is NO_SHAPE for shape in shapes.values()):
            wrong |= _misspelt(spelt)
        for place in wrong:
            self._refuse(batch, place, spelt[place], sent)
        return batch

    def _clean_columns(self, batch: Batch, sent: Columns) -> Odd:
        """Clean the columns, and return which of ABSENT, WRONG and Doubt stand in each that changed."""
        columns = {
            name: self._fields[name].clean_all(column) for name, column in sent.items()
        }
        # A column that comes back as it went in holds values alone.
        formed = [name for name, column in columns.items() if column is not sent[name]]
        odd = {name: ODD.intersection(map(type, columns[name])) for name in formed}
        batch.columns = columns
        batch.gappy = {name for name in formed if odd[name]}
        return odd

    def _shape(self, spellings: tuple[str, ...] | None) -> Shape:
        """Return the shape of a record with these names; None is no object."""
        if spellings is None:
            return NO_SHAPE
        positions: dict[str, int] = {}
        twice: dict[str, list[str]] = {}
        unknown = []
        for place, spelling in enumerate(spellings):
            name = self._names.get(spelling) or self._names.get(_lower(spelling))
            if name is None:
                unknown.append(spelling)
            elif name in positions:
                twice[name] = ["Sent twice, in two spellings."]
            else:
                positions[name] = place
        warnings = self._warnings_of(unknown) if unknown else []
        return Shape(positions, warnings, twice)

    def _warnings_of(self, unknown: Sequence[str]) -> list[str]:
        """Return a warning for each unknown field; one that only answers carry may come back."""
        told = [name for name in unknown if _lower(name) not in self._read_only]
        return [UNKNOWN_FIELD + name[:SHOWN] for name in first_of(told)]

    def settle(self, batch: Batch) -> None:
        """Settle values that depend on others of their record."""

    def keys(self, columns: Mapping[str, Column], count: int) -> list[str | None]:
        """Return the first value that each record carries of those by which it can be found, or None."""
        keys: Sequence[Any] = [None] * count
        for name, *_ in self.rules.identities:
            if name in columns and not all(keys):
                pairs = zip(keys, columns[name], strict=True)
                keys = [key or value or None for key, value in pairs]
        return [*keys]

    # What is wrong

    def suspects(self, batch: Batch) -> Collection[int]:
        """Return the places of the records in which `faults` may find something, as columns alone show."""
        suspects: Collection[int] = range(batch.size)
        for identity in self._without_names:
            if batch.columns.keys() >= {*identity}:
                lacking = _lacking([batch.columns[name] for name in identity])
                suspects = lacking.intersection(suspects)
            if not suspects:
                break
        return suspects

    def faults(
        self, data: Mapping[str, Any], wrong: frozenset[str] = frozenset()
    ) -> dict[str, str]:
        """Return what is wrong with the fields together; `wrong` are those that already have an error."""
        missing = {name for name in self._carried if data.get(name) is None} - wrong
        for identity in self.rules.identities:
            if missing.isdisjoint(identity) or all(map(data.get, identity)):
                return {}
        return {name: self.asking for name in self.rules.fields_to_send if name in missing}

    def _refuse(self, batch: Batch, place: int, shape: Shape, sent: Columns) -> None:
        """Refuse a record with every error that it has."""
        values = {
            name: column[place] for name, column in sent.items() if name in shape.positions
        }
        warnings = batch.warnings.pop(place, ())
        problem = ValidationFailed(NO_OBJECT)
        if shape is not NO_SHAPE:
            problem = self._invalid(shape, values, warnings)
        batch.keys[place], batch.refused[place] = problem.key, problem

    def _invalid(
        self, shape: Shape, sent: Mapping[str, Any], warnings: Sequence[str]
    ) -> ValidationFailed:
        """Gather every error of a record, by marshmallow's road."""
        data, found = self._load(sent)
        errors: dict[str, Sequence[str]] = {
            name: found[name] for name in shape.positions if name in found
        }
        errors |= shape.twice
        missing = {
            name: [said] for name, said in self.faults(data, frozenset(errors)).items()
        }
        errors |= explained(missing, warnings, self._carried)
        (key,) = self.keys({name: [value] for name, value in data.items()}, 1)
        return ValidationFailed(_hint(shape.warnings), errors=errors, key=key)

    def _load(self, sent: Mapping[str, Any]) -> tuple[Values, Errors]:
        """Return the data of a record, and the errors, both by Python name."""
        body = {json_name(name): value for name, value in sent.items() if value is not None}
        valid, found = self._valid(body)
        errors = {self._names[name]: sentences for name, sentences in found.items()}
        return _without_gaps(valid), errors

    def _valid(self, body: Mapping[str, Any]) -> tuple[Values, Errors]:
        """Return what is valid of a body, and the errors, by JSON name."""
        try:
            return self.load(body), {}
        except ValidationError as error:
            # Its frames hold what was sent, and one of them the error: such a circle lives until it is collected.
            error.__traceback__ = None
            return cast(Values, error.valid_data), error.messages_dict


def _lower(spelling: str) -> str:
    """Return the beginning of a field's name in lower case: no field of ours has a longer name."""
    return spelling[:SHOWN].lower()


def _misspelt(spelt: Sequence[Shape]) -> set[int]:
    """Return the places of what is no object, and of records that send a field twice."""
    return {at for at, shape in enumerate(spelt) if shape.twice or shape is NO_SHAPE}


def _lacking(columns: Sequence[Column]) -> set[int]:
    """Return the places at which any of these columns has no value."""
    gappy = [column for column in columns if not all(column)]
    return {place for column in gappy for place, value in enumerate(column) if not value}


def _warn_of_unknown(batch: Batch, spelt: Sequence[Shape]) -> None:
    """Put the warnings of unknown fields before a record's other ones."""
    for place, shape in enumerate(spelt):
        if shape.warnings:
            batch.warnings[place] = [*shape.warnings, *batch.warnings.get(place, ())]


def _settle_doubts(batch: Batch, odd: Odd, spelt: Sequence[Shape]) -> None:
    """Put values in the place of doubts, and note their warnings, as the fields stand in the record."""
    warnings: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for name in [name for name, kinds in odd.items() if Doubt in kinds]:
        for place, doubt in _take_doubts(batch, name).items():
            sentence = f"{json_name(name)}: {doubt.warning}"
            warnings[place].append((spelt[place].positions[name], sentence))
    for place, found in warnings.items():
        batch.warnings[place] = [sentence for _, sentence in sorted(found)]


def _take_doubts(batch: Batch, name: str) -> dict[int, Doubt]:
    """Put values in the place of a column's doubts, and return the doubts by place."""
    settled = list(batch.columns[name])
    doubts = {place: doubt for place, doubt in enumerate(settled) if type(doubt) is Doubt}
    for place, doubt in doubts.items():
        settled[place] = doubt.value
    batch.columns[name] = settled
    return doubts


def _wrong(batch: Batch, odd: Odd) -> set[int]:
    """Return the places of the records that have a wrong value."""
    wrong: set[int] = set()
    for name, kinds in odd.items():
        if type(WRONG) in kinds:
            wrong |= {at for at, value in enumerate(batch.columns[name]) if value is WRONG}
    return wrong


NO_SHAPE = Shape({}, [], {})  # of what is no JSON object


class _Shapes(dict):
    """The shapes of the records of one batch, by their spellings."""

    def __init__(self, shape: Callable[[tuple[str, ...] | None], Shape]):
        super().__init__()
        self._shape = shape

    def __missing__(self, spellings: tuple[str, ...] | None) -> Shape:
        self[spellings] = shape = self._shape(spellings)
        return shape


def _columns(
    records: Sequence[Any], spelt: Sequence[Shape], shapes: Collection[Shape]
) -> Columns:
    """Return what was sent, by Python name; None where a record does not send a field."""
    if len(shapes) == 1 and spelt[0] is not NO_SHAPE:
        sent = [*zip(*[record.values() for record in records], strict=True)]
        return {name: sent[place] for name, place in spelt[0].positions.items()}
    return _columns_of_many_shapes(records, spelt, shapes)


def _columns_of_many_shapes(
    records: Sequence[Any], spelt: Sequence[Shape], shapes: Iterable[Shape]
) -> Columns:
    names = dict.fromkeys(chain.from_iterable([shape.positions for shape in shapes]))
    columns: dict[str, list[Any]] = {name: [None] * len(records) for name in names}
    for place, shape in enumerate(spelt):
        values = [*records[place].values()] if shape.positions else []
        for name, at in shape.positions.items():
            columns[name][place] = values[at]
    return {**columns}


def _spellings(names: Iterable[str]) -> dict[str, str]:
    """Return Python names by their usual spellings, and by the lower case in which all others are looked up."""
    found = {json_name(name): name for name in names}
    lower = {spelling.lower(): name for spelling, name in found.items()}
    pascal = {_pascal(spelling): name for spelling, name in found.items()}
    return found | lower | pascal


def explained(
    errors: Errors, warnings: Sequence[str], names: Collection[str] = ()
) -> Errors:
    """Return errors of missing fields, each with why what was sent for it was left out.

    `names` are other fields for which the same is to be said.
    """
    found: dict[str, Sequence[str]] = dict(errors)
    for name in dict.fromkeys((*errors, *names)) if errors else ():
        if reasons := _reasons(name, warnings):
            found[name] = [*found.get(name, ()), *reasons]
    return found


def _reasons(name: str, warnings: Sequence[str]) -> list[str]:
    """Return why what was sent for a field was left out."""
    begins = f"{json_name(name)}: "
    mine = [
        warning.removeprefix(begins) for warning in warnings if warning.startswith(begins)
    ]
    return [warning for warning in mine if warning.endswith(LEFT_OUT)]


def _hint(warnings: Sequence[str]) -> str:
    """Return the summary of a refused record; a misspelt name often is the reason."""
    unknown = [warning.removeprefix(UNKNOWN_FIELD) for warning in warnings]
    which = f" Fields not known here: {', '.join(unknown)}." if unknown else ""
    return f"Some fields are not right.{which}"
