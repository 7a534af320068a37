"""Wire format: what each entity looks like in JSON, in and out.

Each field has one pure rule, `clean(value)`: it returns what is stored, None to clear the stored
value, or ABSENT to leave it; it raises ValueError with a sentence for the sender. A schema cleans many
records column by column, because most columns can be seen to stay as they are without a look at each
value; only a record that does not pass goes through marshmallow, which calls the same rules and gathers
every error. Sources: the contract, sections 2 and 3.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, cached_property, lru_cache
from itertools import compress, repeat
from operator import is_, itemgetter
from typing import Any, ClassVar, NamedTuple, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

import canonical
from problems import Problem, ValidationFailed

Record = dict[str, Any]  # by Python name

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "ABSENT", "__bool__": lambda self: False})()
WRONG: Any = type("Wrong", (), {"__repr__": lambda self: "WRONG", "__bool__": lambda self: False})()
ODD = {ABSENT, WRONG}
# How dates begin that programs write for none at all: .NET, SQL Server, OLE, SQL Server again, .NET's old JSON.
UNSET_DAYS = ("0001-01-01", "1753-01-01", "1899-12-30", "1900-01-01", "/Date(")
READ_ONLY = {"id", "createdat", "updatedat"}

IDENTIFIER, STATUS, TEXT, LONG_TEXT = 64, 40, 200, 4000  # lengths in characters
_STARTED = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()  # it has begun in every time zone
LARGEST_ID = 2**63 - 1
TIME_TO_WRONG = "Must be after timeFrom (past midnight: 12 hours at most)."
UNKNOWN_FIELD = "unknown field: "
NO_OBJECT = "Must be a JSON object."
REMEMBERED = 4096  # values of one field
SHOWN_NAME = 80  # characters of an unknown field's name that a warning repeats

BLANK_CLEARS, BLANK_IS_ABSENT, BLANK_IS_REFUSED = "clears", "absent", "refused"

_OTHER_NAMES = {"national_id": "nationalID", "patient_id": "patientId"}


@cache
def json_name(name: str) -> str:
    """Return the JSON name of a Python name: `cost_center_no` is `costCenterNo`, `a+b_c` is `a+bC`."""
    return _OTHER_NAMES.get(name) or "+".join(map(_camel, name.split("+")))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _pascal(name: str) -> str:
    """Return a JSON name as .NET writes it where nobody told it otherwise: `PatientNo`."""
    return name[0].upper() + name[1:]


# --- Fields ------------------------------------------------------------------------------------

# Printable ASCII and the letters of Arabic (no marks), without blanks around.
PLAIN_TEXT = re.compile("(?! )[ -~\u0621-\u063a\u0641-\u064a]++(?<! )")
PLAIN_IDENTIFIER = re.compile("[!-`{-~]++")
PLAIN_EMAIL = re.compile(
    r"\w++(?:[.+-]\w++)*+@(?:[a-z0-9]{1,31}+(?:-[a-z0-9]{1,31}+)?+\.)++[a-z]{2,24}",
    re.ASCII,
)
NOTHING = re.compile("(?!)")


class Memo(dict):
    """What a rule made of values that come again and again: `memo[value]` is `rule(value)`."""

    def __init__(self, rule: Callable[[Any], Any]):
        super().__init__()
        self._rule = rule

    def __missing__(self, value: Any) -> Any:
        made = self._rule(value)
        # Text only, because 1 and True are one key; short text, because nobody bounds what blanks are sent.
        if value is None or (isinstance(value, str) and len(value) <= TEXT):
            if len(self) >= REMEMBERED:
                self.clear()
            self[value] = made
        return made


class Clean(fields.Field):
    """A field whose whole rule is `clean`. `meaning` and `told`, its form, are in words, for the reference."""

    told: str
    length: int | None = None  # characters at most
    entity: "Entity"  # the schema that holds the field: it knows the region and the time zone

    def __init__(self, meaning: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.meaning = meaning

    def clean(self, value: Any) -> Any:
        """Return the canonical value of what was sent (never null)."""
        raise NotImplementedError(type(self).__name__)  # each kind of field brings its own rule

    def clean_all(self, column: Sequence[Any]) -> Sequence[Any]:
        """Return what `clean` makes of each value of a column: ABSENT of null, WRONG where it raises."""
        return [self._cleaned(value) for value in column]

    def warnings(self, sent: Sequence[Any], cleaned: Sequence[Any]) -> Iterable[tuple[int, str]]:
        """Return what the sender is to know of values of a column that were not taken as they were meant, by place."""
        return ()

    def _cleaned(self, value: Any) -> Any:
        try:
            return ABSENT if value is None else self.clean(value)
        except ValueError:
            return WRONG

    def _bind_to_schema(self, field_name: str, parent: Any) -> None:
        super()._bind_to_schema(field_name, parent)
        self.entity = parent

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return self.clean(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Text(Clean):
    """Text, trimmed; a whole number is taken for its digits. `layout`: line breaks stay."""

    told = "text"
    length: int = TEXT
    blank = BLANK_CLEARS
    no_text = "Must be text."
    recurs = True  # whether many records have the same value
    plain = PLAIN_TEXT  # what surely stays as it is

    def __init__(
        self,
        meaning: str,
        *,
        length: int = 0,
        blank: str = "",
        layout: bool = False,
        recurs: bool | None = None,
        **kwargs: Any,
    ):
        super().__init__(meaning, **kwargs)
        self.recurs = self.recurs if recurs is None else recurs
        self.length = length or self.length
        self.blank = blank or self.blank
        self.layout = layout
        self.told += ", line breaks stay" if layout else ""

    def clean(self, value: Any) -> Any:
        formed = self.form(canonical.text(self._string(value), layout=self.layout))
        if formed == "":
            return self._blank()
        if formed and len(formed) > self.length:
            raise ValueError(f"Longer than {self.length} characters.")
        return formed

    def clean_all(self, column: Sequence[Any]) -> Sequence[Any]:
        """Return the column itself where all of it stays as it is."""
        if self.recurs and self.length <= TEXT:
            return self._remembered(column)
        known = [value for value in column if value is not None] if None in column else column
        cleaned = self._clean_lines(known)
        if known is column:
            return cleaned
        rest = iter(cleaned)
        return [ABSENT if value is None else next(rest) for value in column]

    def _remembered(self, column: Sequence[Any]) -> Sequence[Any]:
        try:
            return [*map(self._memo.__getitem__, column)]
        except TypeError:  # no memo has a list for a key
            return super().clean_all(column)

    def _clean_lines(self, values: Sequence[Any]) -> Sequence[Any]:
        """Clean values as lines of one text: to find those that stay so takes a tenth of looking at each."""
        try:
            lines = "\n".join([*values, ""])
        except TypeError:  # not all of them are text
            return super().clean_all(values)
        if lines.count("\n") > len(values) or max(map(len, values), default=0) > self.length:
            return super().clean_all(values)
        forms = self.spell(lines)
        odd = self._odd(forms)
        if not odd:
            return values if forms == lines else forms.split("\n")[:-1]
        pairs = zip(forms.split("\n"), values)  # noqa: B905 the last line is empty
        return [self._cleaned(value) if form in odd else form for form, value in pairs]

    def _odd(self, lines: str) -> Set[str]:
        """Return the lines that are not plain."""
        return _odd_lines(self._plain_lines, lines)

    # Not in __init__: marshmallow copies a field for each schema.
    @cached_property
    def _memo(self) -> Memo:
        return Memo(self._cleaned)

    @cached_property
    def _plain_lines(self) -> re.Pattern:
        return re.compile(f"(?:^(?:{self.plain.pattern})\n)++", self.plain.flags | re.MULTILINE)

    def spell(self, lines: str) -> str:
        """Return lines in which a usual spelling of a value is put into the plain one; others are left."""
        return lines

    def form(self, text: str) -> Any:
        """Return the canonical form of trimmed text; '' is blank."""
        return text

    def _string(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(self.no_text)
        return str(value)

    def _blank(self) -> Any:
        if self.blank == BLANK_IS_REFUSED:
            raise ValueError("May not be blank.")
        return None if self.blank == BLANK_CLEARS else ABSENT


def _odd_lines(plain: re.Pattern, lines: str) -> Set[str]:
    left = plain.sub("", lines)
    return {*left.split("\n")} if left else set()


_odd_phones = lru_cache(maxsize=4)(_odd_lines)  # a column is asked for when it is cleaned, and again for its warnings


class Identifier(Text):
    told = "identifier: upper case, Western digits, single blanks"
    length = IDENTIFIER
    blank = BLANK_IS_ABSENT
    recurs = False
    plain = PLAIN_IDENTIFIER

    def form(self, text: str) -> str:
        return canonical.identifier(text)


class Name(Text):
    told = "text with a letter or digit"
    blank = BLANK_IS_REFUSED
    recurs = False

    def form(self, text: str) -> str:
        return text if text.isascii() or canonical.fold_name(text) else ""


class Phone(Text):
    told = "phone, stored as +966502222222 where it is a valid number"
    recurs = False

    def _bind_to_schema(self, field_name: str, parent: Any) -> None:
        super()._bind_to_schema(field_name, parent)
        self.plain = canonical.plain_numbers(self.entity.phone_region) or NOTHING

    def spell(self, lines: str) -> str:
        international = lines.count("+") == lines.count("\n") and " " not in lines
        return lines if international else canonical.phone_lines(lines, self.entity.phone_region)

    def _odd(self, lines: str) -> Set[str]:
        return _odd_phones(self._plain_lines, lines)

    def form(self, text: str) -> str:
        return canonical.phone(text, self.entity.phone_region)

    def warnings(self, sent: Sequence[Any], cleaned: Sequence[Any]) -> Iterable[tuple[int, str]]:
        kept = {it for it in self._odd("\n".join([*filter(None, cleaned), ""])) if not canonical.is_phone(it)}
        told = f"{self.data_key}: not a valid phone number for {self.entity.phone_region}, kept as sent"
        return [(place, told) for place, value in enumerate(cleaned) if value in kept] if kept else ()


class Email(Text):
    told = "e-mail address"
    recurs = False
    plain = PLAIN_EMAIL
    _valid = validate.Email()

    def form(self, text: str) -> str:
        try:
            return self._valid(text) if text else text
        except ValidationError as error:
            raise ValueError(*error.messages) from None


class Choice(Text):
    """One of a few values; `spellings` maps what may be sent, in lower case, to them. `spaced`: blanks are ignored."""

    plain = NOTHING

    def __init__(self, meaning: str, spellings: Mapping[str, str], *, spaced: bool = False):
        super().__init__(meaning)
        self.spellings, self.spaced = spellings, spaced
        self.choices = tuple(dict.fromkeys(spellings.values()))
        self.told = f"one of {', '.join(self.choices)}"

    def form(self, text: str) -> str:
        folded = ("".join(text.split()) if self.spaced else text).lower()
        if folded and folded not in self.spellings:
            raise ValueError(f"Must be one of: {', '.join(self.choices)}.")
        return self.spellings.get(folded, "")


class Day(Text):
    """A calendar date, ISO text; a zero date is absent."""

    told = "date as 2026-06-15, or a date-time"
    recurs = False
    no_text = canonical.NO_DATE

    def __init__(self, meaning: str, *, past: bool = False, **kwargs: Any):
        super().__init__(meaning, **kwargs)
        self.past = past
        self.plain = canonical.plain_dates(int(_STARTED[:4]) if past else 2100)
        self.told += "; not in the future" if past else ""

    def form(self, text: str) -> Any:
        day = canonical.calendar_date(text, self.entity.zone) if text else ""
        # The first comparison spares most dates the second.
        if self.past and day and day > _STARTED and day > datetime.now(self.entity.zone).date().isoformat():
            raise ValueError("Lies in the future.")
        return ABSENT if day is None else day

    def warnings(self, sent: Sequence[Any], cleaned: Sequence[Any]) -> Iterable[tuple[int, str]]:
        """Tell of days before 1900, unless they are such as programs write for none at all."""
        left_out = [place for place, value in enumerate(cleaned) if value is ABSENT and sent[place]]
        told = f"{self.data_key}: lies before 1900, left out"
        return [(place, told) for place in left_out if not sent[place].strip().startswith(UNSET_DAYS)]

    def spell(self, lines: str) -> str:
        return lines.replace("T00:00:00\n", "\n")


class Clock(Text):
    """A time of day, HH:MM:SS; `zero` tells whether midnight is a value or .NET's unset TimeSpan."""

    told = "time as 10:30 or 10:30:00, or a date-time"
    plain = NOTHING
    no_text = canonical.NO_TIME

    def __init__(self, meaning: str, *, zero: bool = True, **kwargs: Any):
        super().__init__(meaning, **kwargs)
        self.zero = zero
        self.told += "" if zero else "; 00:00:00 counts as absent"

    def form(self, text: str) -> Any:
        clock = canonical.clock_time(text, self.entity.zone) if text else ""
        return ABSENT if clock == canonical.MIDNIGHT and not self.zero else clock


class Flag(Clean):
    told = "true or false; also 1, 0 and the words as text"
    _spellings: ClassVar = {"true": True, "false": False, "": ABSENT}

    def clean_all(self, column: Sequence[Any]) -> Sequence[Any]:
        return column if set(map(type, column)) == {bool} else super().clean_all(column)

    def clean(self, value: Any) -> Any:
        if value is True or value is False:
            return value
        if isinstance(value, str):
            value = self._spellings.get(canonical.text(value).lower())
        if value is ABSENT:
            return ABSENT
        if not isinstance(value, int) or value not in (0, 1):
            raise ValueError("Must be true or false.")
        return bool(value)


class RecordId(Clean):
    """The id of a stored record; 0 is .NET's unset int."""

    told = "id of a stored record, a whole number; 0 counts as absent"

    def clean(self, value: Any) -> Any:
        if isinstance(value, str) and not canonical.text(value):
            return ABSENT
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_ID:
            raise ValueError("Must be the id of a stored record, a positive whole number.")
        return value or ABSENT


class Codes(Clean):
    """A list of identifiers; blanks among them count for nothing."""

    told = "list of codes; it replaces the stored list, [] clears it"
    _code = Identifier("one of the codes")

    def clean(self, value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("Must be a list of codes.")
        return tuple(sorted({code for item in value if item is not None and (code := self._code.clean(item))}))


class Instant(fields.Field):
    """Answered only: RFC 3339 in UTC, from `2026-06-15 09:00:00`; null in a dry run."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return value and f"{value.replace(' ', 'T')}Z"


# --- Entities ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Entry:
    """One sent record on its way: clean data, only what was really sent, then what became of it.

    `names` are the Python names of the values in `row`, the same object for records that are alike; `result` is the
    Problem of a record that is refused.
    """

    key: str | None = None
    names: tuple[str, ...] = ()
    row: tuple = ()
    warnings: Sequence[str] = ()
    result: Any = None

    @property
    def data(self) -> Record:
        """The clean data by Python name."""
        return dict(zip(self.names, self.row, strict=True))

    @property
    def refused(self) -> bool:
        """Whether the record has a problem."""
        return isinstance(self.result, Problem)


class Shape(NamedTuple):
    """How records are spelt: the place of each field, a warning for each unknown one, errors of those sent twice."""

    places: dict[str, int]
    warnings: list[str]
    twice: dict[str, list[str]]


class Entity(Schema):
    """One entity of the wire format. `clean` reads a record, `dump` writes a stored one.

    `identities` are the sets of fields of which one must be there; without any, the fields of
    `asked_for` are reported missing, with `asking` as the sentence.
    """

    identities: ClassVar[tuple[tuple[str, ...], ...]]
    asked_for: ClassVar[tuple[str, ...]]
    asking: ClassVar[str]

    id = fields.Integer(dump_only=True)

    class Meta:
        unknown = EXCLUDE

    def __init__(self, phone_region: str, zone: tzinfo):
        self.phone_region, self.zone = phone_region, zone
        super().__init__()
        self._fields = cast("dict[str, Clean]", self.load_fields)
        self._names = {json_name(name): name for name in self.load_fields}
        self._names |= {
            other: name for spelling, name in self._names.items() for other in (spelling.lower(), _pascal(spelling))
        }
        self._identifiers = [first for first, *_ in self.identities]
        kinds = (Phone, Day)
        self._warning = [name for kind in kinds for name, field in self._fields.items() if isinstance(field, kind)]

    def on_bind_field(self, field_name: str, field_obj: fields.Field) -> None:
        field_obj.data_key = json_name(field_name)

    def clean(self, sent: dict[str, Any]) -> tuple[Record, Sequence[str]]:
        """Return the record by Python name, only what was really sent, and the warnings; or raise ValidationFailed."""
        (entry,) = self.clean_all([sent])
        if entry.refused:
            raise entry.result
        return entry.data, entry.warnings

    def clean_all(self, records: Sequence[Any]) -> list[Entry]:
        """Return an entry for each sent record, whatever it is."""
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        entries: list[Any] = [None] * len(records)
        for place, record in enumerate(records):
            if isinstance(record, dict):
                alike[tuple(record)].append(place)
            else:
                entries[place] = Entry(result=ValidationFailed(NO_OBJECT))
        for spellings, places in alike.items():
            rows = [tuple(records[place].values()) for place in places]
            for place, entry in zip(places, self._clean_alike(self._shape(spellings), rows), strict=True):
                entries[place] = entry
        return entries

    def _clean_alike(self, shape: Shape, rows: Sequence[tuple]) -> list[Entry]:
        """Clean records that are spelt alike, column by column."""
        sent = list(zip(*rows, strict=True))
        columns = {name: self._fields[name].clean_all(sent[place]) for name, place in shape.places.items()}
        odd = {name: found for name, column in columns.items() if (found := ODD.intersection(column))}
        names, values = _without_gaps(columns, [name for name, found in odd.items() if ABSENT in found], len(rows))
        entries = [*map(Entry, self.keys(columns, len(rows)), names, values, repeat(shape.warnings))]
        faulty = [name for name, found in odd.items() if WRONG in found]
        wrong = {place for name in faulty for place, value in enumerate(columns[name]) if value is WRONG}
        wrong |= {place for place in self.suspects(columns, len(rows)) if self.faults(entries[place].data)}
        for name in self._warning:
            if name in columns and columns[name] is not sent[shape.places[name]]:
                for place, told in self._fields[name].warnings(sent[shape.places[name]], columns[name]):
                    entries[place].warnings = [*entries[place].warnings, told]
        for place in range(len(rows)) if shape.twice else wrong:
            problem = self._invalid(shape, rows[place])
            entries[place] = Entry(problem.key, result=problem)
        return entries

    def faults(self, data: Mapping[str, Any], wrong: frozenset[str] = frozenset()) -> dict[str, str]:
        """Return what is wrong with the fields together; `wrong` are those that already have an error."""
        for identity in self.identities:
            if all(map(data.get, identity)):
                return {}
        unknown = {name for names in self.identities for name in names if data.get(name) is None} - wrong
        if any(unknown.isdisjoint(identity) for identity in self.identities):
            return {}
        return {name: self.asking for name in self.asked_for if name in unknown}

    def suspects(self, columns: Mapping[str, Sequence[Any]], count: int) -> Collection[int]:
        """Return the places of the records in which `faults` may find something, as columns alone show."""
        suspects: Collection[int] = range(count)
        for identity in self.identities:
            if columns.keys() >= {*identity}:
                gappy = [columns[name] for name in identity if not all(columns[name])]
                if not gappy:
                    return ()
                lacking = {place for column in gappy for place, value in enumerate(column) if not value}
                suspects = lacking.intersection(suspects)
        return suspects

    def keys(self, columns: Mapping[str, Sequence[Any]], count: int) -> Sequence[str | None]:
        """Return the first identifier that each record carries, or None."""
        keys, *others = [columns[name] for name in self._identifiers if name in columns] or [[None] * count]
        for other in others:
            keys = keys if all(keys) else [key or its for key, its in zip(keys, other, strict=True)]
        return keys if all(keys) else [key or None for key in keys]

    def _shape(self, spellings: Iterable[str]) -> Shape:
        places: dict[str, int] = {}
        warnings, twice = [], {}
        for place, spelling in enumerate(spellings):
            name = self._names.get(spelling) or self._names.get(spelling.lower())
            if name is None:
                if spelling.lower() not in READ_ONLY:
                    warnings.append(UNKNOWN_FIELD + spelling[:SHOWN_NAME])
            elif name in places:
                twice[name] = ["Sent twice, in two spellings."]
            else:
                places[name] = place
        return Shape(places, warnings, twice)

    def _invalid(self, shape: Shape, row: Sequence[Any]) -> ValidationFailed:
        """Gather every error of a record by marshmallow's road."""
        sent = {json_name(name): row[place] for name, place in shape.places.items() if row[place] is not None}
        try:
            valid, told = self.load(sent), {}
        except ValidationError as error:
            valid, told = error.valid_data, error.messages_dict
        data = {name: value for name, value in valid.items() if value is not ABSENT}
        errors = {name: told[json_name(name)] for name in shape.places if json_name(name) in told} | shape.twice
        errors |= {name: [sentence] for name, sentence in self.faults(data, frozenset(errors)).items()}
        (key,) = self.keys({name: [value] for name, value in data.items()}, 1)
        return ValidationFailed(_hint(shape.warnings), errors=errors, key=key)


def _without_gaps(
    columns: Mapping[str, Sequence[Any]], gappy: Sequence[str], count: int
) -> tuple[Iterable[tuple[str, ...]], Iterable[tuple]]:
    """Return the names and the values of each of the records that columns make, without what is absent."""
    names, rows = tuple(columns), zip(*columns.values(), strict=True) if columns else repeat((), count)
    if not gappy:
        return repeat(names), rows
    kinds = [*zip(*[map(is_, columns[name], repeat(ABSENT)) for name in gappy], strict=True)]
    left = {kind: _left(names, {*compress(gappy, kind)}) for kind in {*kinds}}
    lefts = [*map(left.__getitem__, kinds)]
    return [kept for kept, _ in lefts], [pick(row) for (_, pick), row in zip(lefts, rows, strict=True)]


def _left(names: tuple[str, ...], absent: Set[str]) -> tuple[tuple[str, ...], Callable[[Sequence[Any]], tuple]]:
    """Return the names but for the absent ones, and what takes their values from a row."""
    places = [place for place, name in enumerate(names) if name not in absent]
    pick = itemgetter(*places) if len(places) > 1 else lambda row: tuple([row[place] for place in places])
    return tuple([names[place] for place in places]), pick


def _hint(warnings: Sequence[str]) -> str:
    """Return the summary of a refused record; a misspelt name often is the reason."""
    unknown = [told.removeprefix(UNKNOWN_FIELD) for told in warnings]
    return "Some fields are not right." + (f" Fields not known here: {', '.join(unknown)}." if unknown else "")


_GENDERS = {"male": "Male", "m": "Male", "female": "Female", "f": "Female", "other": "Other", "unknown": "Unknown"}
_BLOOD_TYPES = {
    f"{group}{spelling}".lower(): f"{group}{sign}"
    for group in ("A", "B", "AB", "O")
    for sign, spellings in {"+": ("+", "+ve"), "-": ("-", "-ve", "\u2212", "\u2013")}.items()
    for spelling in spellings
}


class ClinicSchema(Entity):
    """Where patients are seen: a room, a department or a branch."""

    identities = (("code",),)
    asked_for = ("code",)
    asking = "Missing: a clinic is known by its code."

    code = Identifier("the clinic's own code, which never changes")
    name = Name("the clinic's name")
    number = Text("its number in the house")
    specialization = Text("what it treats")
    clinic_type = Text("kind of clinic, as Outpatient")
    branch = Text("branch of the company")
    floor = Text("floor")
    location = Text("where to find it")
    account_no = Text("account in the ledger")
    cost_center_no = Text("cost centre")
    address = Text("postal address", length=LONG_TEXT, layout=True)
    phone = Phone("phone of the desk")
    email = Email("e-mail of the desk")
    is_active = Flag("whether it is in use; at first true")
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class DoctorSchema(Entity):
    """Who sees patients, and in which clinics."""

    identities = (("code",), ("license_number",))
    asked_for = ("code",)
    asking = "Missing: send code or licenseNumber, a doctor is known by one of them."

    code = Identifier("the doctor's number in the desktop program")
    license_number = Identifier("licence to practise")
    name = Name("full name, with or without title")
    a_name = Text("full name in Arabic", recurs=False)
    branch = Text("branch of the company")
    gender = Choice("gender", _GENDERS)
    date_of_birth = Day("date of birth", past=True)
    medical_reg_number = Text("number in the medical register", recurs=False)
    id_number = Text("number of the identity card", recurs=False)
    account_no = Text("account in the ledger")
    cost_center = Text("cost centre")
    description = Text("what patients read about the doctor", length=LONG_TEXT, layout=True)
    email = Email("e-mail")
    phone = Phone("phone")
    specialization = Text("medical field")
    is_active = Flag("whether the doctor works here; at first true")
    clinic_codes = Codes("clinics in which the doctor works, by code")
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class PatientSchema(Entity):
    """Who is treated, and logs in to the portal."""

    identities = (("patient_no",), ("national_id",), ("mobile", "name"))
    asked_for = ("patient_no",)
    asking = "Missing: send patientNo or nationalID, or mobile with name; a patient is known by one of them."

    patient_no = Identifier("the patient's file number in the desktop program")
    national_id = Identifier("national identity or residence number")
    name = Name("full name")
    first_name = Text("given name")
    second_name = Text("father's name")
    last_name = Text("family name")
    mobile = Phone("mobile phone; with the name it can stand for a number")
    date_of_birth = Day("date of birth", past=True)
    gender = Choice("gender", _GENDERS)
    email = Email("e-mail")
    phone = Phone("another phone")
    blood_type = Choice("blood group", _BLOOD_TYPES, spaced=True)
    is_active = Flag("whether the file is in use; at first true")
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class AppointmentSchema(Entity):
    """A booking of a patient, with a doctor, in a clinic, at a time."""

    identities = (
        ("appointment_no",),
        ("patient_no", "date", "time_from"),
        ("patient_id", "date", "time_from"),
    )
    asked_for = ("patient_no", "date", "time_from")
    asking = "Missing: needed unless the booking is stored and found by its appointmentNo."

    appointment_no = Identifier("the booking's number in the desktop program; with it a booking can move")
    patient_no = Identifier("who comes, by file number")
    patient_id = RecordId("who comes, by the portal's id")
    doctor_code = Identifier("to which doctor, by code")
    doctor_id = RecordId("to which doctor, by the portal's id")
    clinic_code = Identifier("in which clinic, by code")
    clinic_id = RecordId("in which clinic, by the portal's id")
    date = Day("day of the booking", blank=BLANK_IS_REFUSED)
    time_from = Clock("its beginning", blank=BLANK_IS_REFUSED)
    time_to = Clock("its end, past midnight by 12 hours at most", zero=False)
    status = Text("how it stands, in the clinic's own words; at first Scheduled", length=STATUS, blank=BLANK_IS_ABSENT)
    notes = Text("notes", length=LONG_TEXT, layout=True)
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)

    def faults(self, data: Mapping[str, Any], wrong: frozenset[str] = frozenset()) -> dict[str, str]:
        found = super().faults(data, wrong)
        if data.get("patient_id") or "patient_id" in wrong:
            found.pop("patient_no", None)
        if data.get("time_to") and data.get("time_from"):
            found |= {} if canonical.ends_well(data["time_from"], data["time_to"]) else {"time_to": TIME_TO_WRONG}
        return found

    def suspects(self, columns: Mapping[str, Sequence[Any]], count: int) -> Collection[int]:
        return range(count) if "time_to" in columns else super().suspects(columns, count)

    def keys(self, columns: Mapping[str, Sequence[Any]], count: int) -> Sequence[str | None]:
        """Return each booking's number, else who and when: `P-1 2026-06-15 10:30`."""
        names, nothing = ("appointment_no", "patient_no", "patient_id", "date", "time_from"), [None] * count
        return [*map(_booking_key, *[columns.get(name, nothing) for name in names])]


def _booking_key(number: str, patient_no: str, patient_id: int, day: str, time_from: str) -> str | None:
    who = patient_no or (patient_id and f"#{patient_id}")
    if number or not (who and day and time_from):
        return number or None
    return f"{who} {day} {time_from.removesuffix(':00')}"


ENTITIES: dict[str, type[Entity]] = {
    "clinic": ClinicSchema,
    "doctor": DoctorSchema,
    "patient": PatientSchema,
    "appointment": AppointmentSchema,
}
