"""Wire format: what each entity looks like in JSON, in and out.

Each field has one pure rule, `clean(value)`: it returns what is stored, None to clear the stored value, or ABSENT to
leave it; in a Doubt, if the sender is to be warned. It raises ValueError with a sentence for the sender. A schema
cleans many records column by column, because most columns can be seen to stay as they are without a look at each
value; only a record that does not pass goes through marshmallow, which calls the same rules and gathers every error.
Sources: the contract, sections 2 and 3.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache, cached_property
from itertools import compress, repeat
from operator import is_, itemgetter
from typing import Any, ClassVar, NamedTuple, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

import words
from engine import canonical
from engine.problems import Problem, ValidationFailed

Record = dict[str, Any]  # by Python name


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


class _Wrong(_Absent):
    def __repr__(self) -> str:
        return "WRONG"


ABSENT: Any = _Absent()
WRONG: Any = _Wrong()


@dataclass(frozen=True, slots=True)
class Doubt:
    """A clean value with a warning: what came, and what was done with it."""

    value: Any
    warning: str


ODD = {_Absent, _Wrong, Doubt}
READ_ONLY = {"id", "createdat", "updatedat"}

IDENTIFIER, STATUS, TEXT, LONG_TEXT = 64, 40, 200, 4000  # lengths in characters
_STARTED = (
    datetime.now(UTC).date() - timedelta(days=1)
).isoformat()  # it has begun in every time zone
MUCH = 16  # times its limit: text that is longer is refused before it is trimmed
LARGEST_ID = 2**63 - 1
TIME_TO_WRONG = "Must be after timeFrom (past midnight: 12 hours at most)."
UNKNOWN_FIELD = "unknown field: "
NO_OBJECT = "Must be a JSON object."
REMEMBERED = 4096  # values of one field
SHOWN = 80  # characters of a value or an unknown field's name that a warning repeats

STANDS_FOR_NONE = "stands for none"
LEFT_OUT = ", left out"  # how a warning ends whose value counts as absent
LETTERS_LOST = "letters were lost before sending; send UTF-8"
DIGITS_LOST = "is a number in scientific notation: a spreadsheet lost its digits. Send it as text with all its digits."

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

# What surely stays as it is, and is no word for none. Nothing in a pattern may depend on the Python that runs it:
# possessive and atomic groups are wrong in 3.11.2, Debian 12's.
_LETTERS = "A-Za-z\u0621-\u063a\u0641-\u064a"
PLAIN_TEXT = re.compile(
    rf"(?! )[ ->@-~{_LETTERS}]+(?<! )"
)  # printable ASCII but ?, and the letters of Arabic (no marks)
PLAIN_NAME = re.compile(rf"[{_LETTERS}][ ->@-~{_LETTERS}]*(?<! )")
PLAIN_IDENTIFIER = re.compile(r"[A-Z]+[-/_#]?[0-9][0-9A-Z/_-]*|[1-9][0-9]*")
PLAIN_CODE = re.compile(r"(?!NULL$)[A-Z][0-9A-Z_-]*|[1-9][0-9]*", re.MULTILINE)
PLAIN_DOCUMENT = re.compile(
    r"[A-Z]+[-/_#]?[0-9][0-9A-Z/_-]*|[1-9](?!([0-9])\1{3}|23456)[0-9]*"
)  # and no filler
PLAIN_EMAIL = re.compile(
    r"\w+(?:@|[.+-]\w+@)[a-z0-9]{1,31}(?:\.|-[a-z0-9]{1,31}\.)(?:[a-z]{2,24}|[a-z0-9]{1,31}\.[a-z]{2,24})",
    re.ASCII,
)
NOTHING = re.compile("(?!)")


def _shown(value: Any) -> str:
    """Return a value as a warning repeats it."""
    text = str(value)
    return f'"{text}"' if len(text) <= SHOWN else f'"{text[:SHOWN]}…"'


def _never(value: str) -> bool:
    return False


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
        """Return the canonical value of what was sent (never null), in a Doubt if it was not taken as it came."""
        raise NotImplementedError(type(self).__name__)  # each kind of field brings its own rule

    def clean_all(self, column: Sequence[Any]) -> Sequence[Any]:
        """Return what `cleaned` makes of each value of a column."""
        return [self.cleaned(value) for value in column]

    def cleaned(self, value: Any) -> Any:
        """Return what `clean` makes of a value: ABSENT of null, WRONG where it raises."""
        try:
            return ABSENT if value is None else self.clean(value)
        except ValueError:
            return WRONG

    def _bind_to_schema(self, field_name: str, parent: Any) -> None:
        super()._bind_to_schema(field_name, parent)
        self.entity = parent

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            cleaned = self.clean(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        return cleaned.value if isinstance(cleaned, Doubt) else cleaned


class Text(Clean):
    """Text, trimmed; a whole number is taken for its digits. `layout`: line breaks stay.

    `is_none` and `is_zero` tell what stands for no value: people write the one, programs the other.
    """

    told = "text"
    length: int = TEXT
    blank = BLANK_CLEARS
    no_text = "Must be text."
    recurs = True  # whether many records have the same value
    plain = PLAIN_TEXT  # what surely stays as it is
    is_none: Callable[[str], bool] = staticmethod(_never)
    is_zero: Callable[[str], bool] = staticmethod(_never)

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
        string = self._string(value)
        if (
            len(string) > MUCH * self.length
        ):  # nothing is done to it: some forms take more time than it is long
            raise ValueError(f"Longer than {self.length} characters.")
        text = canonical.text(string, layout=self.layout)
        came = f"{text}.0" if isinstance(value, float | Decimal) else text
        if not text:
            return self._blank()
        if reason := self.left_out(text):
            return Doubt(ABSENT, f"{_shown(came)} {reason}{LEFT_OUT}")
        formed = self.form(text)
        if not isinstance(formed, str):
            return formed
        if not formed:
            return self._blank()
        if formed != text and (
            reason := self.left_out(formed)
        ):  # an invisible mark may have hidden it
            return Doubt(ABSENT, f"{_shown(came)} {reason}{LEFT_OUT}")
        if self.is_zero(formed):
            return (
                Doubt(ABSENT, f"{_shown(came)} {STANDS_FOR_NONE}{LEFT_OUT}")
                if isinstance(value, str)
                else ABSENT
            )
        if len(formed) > self.length:
            raise ValueError(f"Longer than {self.length} characters.")
        doubt = self.doubt(came, formed)
        return Doubt(formed, f"{_shown(came)} {doubt}") if doubt else formed

    def left_out(self, text: str) -> str:
        """Return why trimmed text says nothing and counts as absent; '' if it does not."""
        if self.is_none(text):
            return STANDS_FOR_NONE
        lost = "?" in text or not text.isascii()
        if lost and canonical.is_damaged(text) and not canonical.letters_and_digits(text):
            return f"says nothing: {LETTERS_LOST}"
        return ""

    def form(self, text: str) -> Any:
        """Return the canonical form of trimmed text; '' is blank. What is no text comes out of `clean` as it is."""
        return text

    def doubt(self, came: str, formed: str) -> str:
        """Return what the sender is to know of a value that is stored; '' for nothing."""
        if canonical.is_float(came) and not canonical.is_float(formed):
            return "is taken for the whole number"
        return f"is stored as it came, but {LETTERS_LOST}" if canonical.is_damaged(came) else ""

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
            lines = "\n".join(["", *values, ""])
        except TypeError:  # not all of them are text
            return super().clean_all(values)
        if lines.count("\n") > len(values) + 1 or max(map(len, values), default=0) > self.length:
            return super().clean_all(values)
        forms = self.spell(lines)
        odd = self._odd(forms)
        if not odd:
            return values if forms == lines else forms.split("\n")[1:-1]
        pairs = zip(values, forms.split("\n")[1:-1], strict=True)
        return [self.cleaned(value) if form in odd else form for value, form in pairs]

    def _odd(self, lines: str) -> Set[str]:
        """Return the lines that are not plain; each has its end, and one stands before the first."""
        plain = self._plain_lines.match(lines, 1)
        at = plain.end() if plain else 1
        return (
            {found["odd"] for found in self._odd_lines.finditer(lines, at - 1)}
            if at < len(lines)
            else set()
        )

    # Not in __init__: marshmallow copies a field for each schema.
    @cached_property
    def _memo(self) -> Memo:
        return Memo(self.cleaned)

    @cached_property
    def _plain_lines(self) -> re.Pattern:
        return re.compile(f"(?:(?:{self.plain.pattern})\n)*", self.plain.flags | re.MULTILINE)

    @cached_property
    def _odd_lines(self) -> re.Pattern:
        return re.compile(
            rf"\n(?!(?:{self.plain.pattern})\n|\Z)(?P<odd>.*)", self.plain.flags | re.MULTILINE
        )

    def spell(self, lines: str) -> str:
        """Return lines in which a usual spelling of a value is put into the plain one; others are left."""
        return lines

    def _string(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, float | Decimal):
            return self._of_number(str(value))
        raise ValueError(self.no_text)

    def _of_number(self, written: str) -> str:
        """Return the digits of a number with a point or an exponent; raise ValueError unless all of them are there."""
        if "E" in written.upper():
            raise ValueError(f"{written[:SHOWN]} {DIGITS_LOST}")
        if not _WHOLE_NUMBER.fullmatch(written):
            raise ValueError(f"{self.no_text} A number with a fraction is none.")
        whole = written.partition(".")[0]
        return whole if whole.strip("-0") else "0"

    def _blank(self) -> Any:
        if self.blank == BLANK_IS_REFUSED:
            raise ValueError("May not be blank.")
        return None if self.blank == BLANK_CLEARS else ABSENT


_WHOLE_NUMBER = re.compile(r"-?[0-9]+\.0+")


class Identifier(Text):
    told = "identifier: upper case, Western digits, single blanks; 0 and words for none count as absent"
    length = IDENTIFIER
    blank = BLANK_IS_ABSENT
    recurs = False
    plain = PLAIN_IDENTIFIER
    is_none = staticmethod(words.is_none)
    is_zero = staticmethod(words.is_zero)

    def left_out(self, text: str) -> str:
        if reason := super().left_out(text):
            return reason
        return f"is not what it was: {LETTERS_LOST}" if canonical.is_damaged(text) else ""

    def form(self, text: str) -> str:
        formed = canonical.identifier(text)
        if canonical.is_scientific(formed):
            raise ValueError(f"{_shown(text)} {DIGITS_LOST}")
        return formed


class Code(Identifier):
    """A clinic's or doctor's code, which may be a word: NA and 000 are codes."""

    told = "code: upper case, Western digits, single blanks; 0 and N/A count as absent"
    plain = PLAIN_CODE
    is_none = staticmethod(words.is_none_for_a_code)
    is_zero = staticmethod(words.is_zero_for_a_code)


class OfficialId(Identifier):
    """A number that an authority gives to one person: what people fill forms with is none."""

    told = f"{Identifier.told}, as does what fills a form (9999999999)"
    plain = PLAIN_DOCUMENT
    is_none = staticmethod(words.is_none_or_filler)


class NationalId(OfficialId):
    """An official number that is written with and without hyphens."""

    told = f"{OfficialId.told}; of digits, blanks and hyphens the digits count"

    def form(self, text: str) -> str:
        return canonical.document_number(super().form(text))


class DocumentNumber(Text):
    """A number of a document that identifies nobody here."""

    told = "text; 0, words for none and what fills a form (9999999999) count as absent"
    recurs = False
    plain = PLAIN_DOCUMENT
    is_none = staticmethod(words.is_none_or_filler)
    is_zero = staticmethod(words.is_zero)


class CardNumber(DocumentNumber):
    """The number of a card that is written with and without hyphens."""

    told = f"{DocumentNumber.told}; of digits, blanks and hyphens the digits count"

    def form(self, text: str) -> str:
        return canonical.document_number(text)


class Name(Text):
    told = "text with a letter or digit"
    blank = BLANK_IS_REFUSED
    recurs = False
    plain = PLAIN_NAME

    def left_out(self, text: str) -> str:
        unreadable = canonical.is_visible(text) and not words.is_readable(text)
        return f"is no name: {LETTERS_LOST}" if unreadable else ""

    def form(self, text: str) -> str:
        return text if canonical.is_visible(text) else ""


class Phone(Text):
    told = (
        "phone, stored as +966502222222 where it is a valid number; words for none count as absent"
    )
    recurs = False
    is_none = staticmethod(words.is_none)

    def _bind_to_schema(self, field_name: str, parent: Any) -> None:
        super()._bind_to_schema(field_name, parent)
        self.plain = canonical.plain_numbers(self.entity.phone_region) or NOTHING

    def spell(self, lines: str) -> str:
        international = (
            lines.count("+") == lines.count("\n") - 1 and " " not in lines and ".0" not in lines
        )
        return lines if international else canonical.phone_lines(lines, self.entity.phone_region)

    def form(self, text: str) -> str:
        return canonical.phone(text, self.entity.phone_region)

    def doubt(self, came: str, formed: str) -> str:
        if canonical.is_phone(formed):
            return ""
        return f"is not a valid phone number for {self.entity.phone_region}, kept as sent"


class Email(Text):
    told = "e-mail address; words for none count as absent"
    recurs = False
    plain = PLAIN_EMAIL
    is_none = staticmethod(words.is_none)
    _valid = validate.Email()

    def form(self, text: str) -> str:
        try:
            return self._valid(text)
        except ValidationError as error:
            raise ValueError(*error.messages) from None


class Choice(Text):
    """One of a few values; `spellings` maps what may be sent, in any case, to them. `spaced`: blanks are ignored."""

    plain = NOTHING
    is_none = staticmethod(words.is_none)

    def __init__(self, meaning: str, spellings: Mapping[str, str], *, spaced: bool = False):
        super().__init__(meaning)
        self.spellings, self.spaced = spellings, spaced
        self.choices = tuple(dict.fromkeys(spellings.values()))
        self.told = f"one of {', '.join(self.choices)}; other words for none count as absent"
        self._folded = {
            canonical.fold_name(spelling): choice for spelling, choice in spellings.items()
        }

    def left_out(self, text: str) -> str:
        return "" if self._fold(text) in self._folded else super().left_out(text)

    def form(self, text: str) -> str:
        choice = self._folded.get(self._fold(text))
        if choice is None:
            raise ValueError(f"Must be one of: {', '.join(self.choices)}.")
        return choice

    def _fold(self, text: str) -> str:
        folded = canonical.fold_name(text)
        return folded.replace(" ", "") if self.spaced else folded


class Day(Text):
    """A calendar date, ISO text; a zero date is absent. `birth`: not in the future, and left out where it is no day."""

    told = "date as 2026-06-15, or a date-time; zero dates and words for none count as absent"
    recurs = False
    no_text = canonical.NO_DATE
    is_none = staticmethod(words.is_none)

    def __init__(self, meaning: str, *, birth: bool = False, **kwargs: Any):
        super().__init__(meaning, **kwargs)
        self.birth = birth
        self.plain = canonical.plain_dates(int(_STARTED[:4]) if birth else 2100)
        self.told += "; not in the future" if birth else ""

    def form(self, text: str) -> Any:
        try:
            day, was_hijri = canonical.calendar_date(
                text, self.entity.zone, reads_hijri=self.entity.reads_hijri
            )
        except canonical.NoDay as reason:
            return self._no_day(text, reason)
        if day is None:
            return ABSENT
        # The first comparison spares most dates the second.
        if (
            self.birth
            and day > _STARTED
            and day > datetime.now(self.entity.zone).date().isoformat()
        ):
            raise ValueError("Lies in the future.")
        return Doubt(day, f"{_shown(text)} is read as a Hijri date: {day}") if was_hijri else day

    def _no_day(self, text: str, reason: canonical.NoDay) -> Doubt:
        if self.birth:
            return Doubt(ABSENT, f"{_shown(text)} is no day: {reason}{LEFT_OUT}")
        raise ValueError(
            f"{_shown(text)} cannot be a booking's day: {reason}. Is it a Hijri date? See HIJRI_DATES."
        )

    def _of_number(self, written: str) -> str:
        raise ValueError(self.no_text)

    def spell(self, lines: str) -> str:
        return lines.replace("T00:00:00\n", "\n")


class Clock(Text):
    """A time of day, HH:MM:SS."""

    told = "time as 10:30 or 10:30:00, or a date-time; words for none count as absent"
    plain = NOTHING
    no_text = canonical.NO_TIME
    is_none = staticmethod(words.is_none)

    def form(self, text: str) -> Any:
        return canonical.clock_time(text, self.entity.zone, reads_hijri=self.entity.reads_hijri)[0]

    def _of_number(self, written: str) -> str:
        raise ValueError(self.no_text)


class End(Clock):
    """The time of day at which something ends. 24:00 is the day's end, midnight without a day .NET's unset TimeSpan."""

    told = f"{Clock.told}, as does 00:00:00; the end of the day is 24:00, or the next day's midnight as a date-time"

    def form(self, text: str) -> Any:
        return (
            canonical.end_time(text, self.entity.zone, reads_hijri=self.entity.reads_hijri)
            or ABSENT
        )


class Flag(Clean):
    told = "true or false; also 1, 0, -1 and, as text, yes and no"
    _spellings: ClassVar = {
        **dict.fromkeys(("true", "1", "-1", "yes", "نعم"), True),
        **dict.fromkeys(("false", "0", "no", "لا"), False),
    }
    _numbers: ClassVar = {1: True, 0: False, -1: True}  # -1 is Access' true

    def clean_all(self, column: Sequence[Any]) -> Sequence[Any]:
        return column if set(map(type, column)) == {bool} else super().clean_all(column)

    def clean(self, value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, str):
            text = canonical.text(value) if len(value) <= MUCH * IDENTIFIER else value
            flag = self._spellings.get(text.lower()) if text else ABSENT
        else:
            flag = self._numbers.get(value) if isinstance(value, int) else None
        if flag is None:
            raise ValueError("Must be true or false.")
        return flag


class RecordId(Clean):
    """The id of a stored record; 0 is .NET's unset int, a negative number its nothing selected."""

    told = "id of a stored record, a whole number; 0 and negative numbers count as absent"

    def clean(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) <= MUCH * IDENTIFIER:
            return self._of_text(canonical.text(value))
        if isinstance(value, bool) or not isinstance(value, int) or value > LARGEST_ID:
            raise ValueError(self._wrong)
        return value if value > 0 else ABSENT

    def _of_text(self, text: str) -> Any:
        if not canonical.is_visible(text):
            return ABSENT
        if words.is_none(text) or words.is_zero(text):
            return Doubt(ABSENT, f"{_shown(text)} {STANDS_FOR_NONE}{LEFT_OUT}")
        raise ValueError(self._wrong)

    _wrong = "Must be the id of a stored record, a positive whole number."


class Codes(Clean):
    """A list of codes; a list of nothing but what counts as absent is absent."""

    told = "list of codes; it replaces the stored list, [] clears it"
    _code = Code("one of the codes")

    def clean(self, value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("Must be a list of codes.")
        cleaned = [ABSENT if item is None else self._code.clean(item) for item in value]
        doubts = [it.warning for it in cleaned if isinstance(it, Doubt)]
        plain = [it.value if isinstance(it, Doubt) else it for it in cleaned]
        codes = tuple(sorted({code for code in plain if code}))
        known = codes if codes or not value else ABSENT
        return Doubt(known, "; ".join(doubts)) if doubts else known


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
    `asked_for` are reported missing, with `asking` as the sentence. `sure` are those that do, whatever their values.
    """

    identities: ClassVar[tuple[tuple[str, ...], ...]]
    sure: ClassVar[tuple[tuple[str, ...], ...]]
    asked_for: ClassVar[tuple[str, ...]]
    asking: ClassVar[str]

    id = fields.Integer(dump_only=True)

    class Meta:
        unknown = EXCLUDE

    def __init__(self, phone_region: str, zone: tzinfo, reads_hijri: bool = True):
        self.phone_region, self.zone, self.reads_hijri = phone_region, zone, reads_hijri
        super().__init__()
        self._fields = cast("dict[str, Clean]", self.load_fields)
        self._names = {json_name(name): name for name in self.load_fields}
        self._names |= {
            other: name
            for spelling, name in self._names.items()
            for other in (spelling.lower(), _pascal(spelling))
        }
        self._identifiers = [first for first, *_ in self.identities]

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
            for place, entry in zip(
                places, self._clean_alike(self._shape(spellings), rows), strict=True
            ):
                entries[place] = entry
        return entries

    def _clean_alike(self, shape: Shape, rows: Sequence[tuple]) -> list[Entry]:
        """Clean records that are spelt alike, column by column."""
        sent = list(zip(*rows, strict=True))
        columns = {
            name: self._fields[name].clean_all(sent[place]) for name, place in shape.places.items()
        }
        formed = {
            name: columns[name]
            for name, place in shape.places.items()
            if columns[name] is not sent[place]
        }
        kinds = {name: ODD.intersection(map(type, column)) for name, column in formed.items()}
        doubts = self.settle(columns, [name for name, odd in kinds.items() if Doubt in odd])
        settled = [name for name, column in formed.items() if columns[name] is not column]
        kinds |= {name: ODD.intersection(map(type, columns[name])) for name in settled}
        gappy = [name for name, odd in kinds.items() if _Absent in odd]
        names, values = _without_gaps(columns, gappy, len(rows))
        entries = [
            *map(Entry, self.keys(columns, len(rows)), names, values, repeat(shape.warnings))
        ]
        for place, warnings in doubts.items():
            entries[place].warnings = [*shape.warnings, *warnings]
        faulty = [name for name, odd in kinds.items() if _Wrong in odd]
        wrong = {
            place for name in faulty for place, value in enumerate(columns[name]) if value is WRONG
        }
        wrong |= {
            place for place in self.suspects(columns, len(rows)) if self.faults(entries[place].data)
        }
        for place in range(len(rows)) if shape.twice else wrong:
            problem = self._invalid(shape, rows[place], entries[place].warnings)
            entries[place] = Entry(problem.key, result=problem)
        return entries

    def settle(
        self, columns: dict[str, Sequence[Any]], doubtful: Iterable[str]
    ) -> dict[int, list[str]]:
        """Put values in the place of the doubts that these columns hold, and return the warnings by place."""
        warnings: dict[int, list[str]] = defaultdict(list)
        for name in doubtful:
            doubts = {place: it for place, it in enumerate(columns[name]) if type(it) is Doubt}
            columns[name] = settled = list(columns[name])
            for place, doubt in doubts.items():
                settled[place] = doubt.value
                warnings[place].append(f"{json_name(name)}: {doubt.warning}")
        return warnings

    def faults(
        self, data: Mapping[str, Any], wrong: frozenset[str] = frozenset()
    ) -> dict[str, str]:
        """Return what is wrong with the fields together; `wrong` are those that already have an error."""
        for identity in self.identities:
            if all(map(data.get, identity)):
                return {}
        unknown = {
            name for names in self.identities for name in names if data.get(name) is None
        } - wrong
        if any(unknown.isdisjoint(identity) for identity in self.identities):
            return {}
        return {name: self.asking for name in self.asked_for if name in unknown}

    def suspects(self, columns: Mapping[str, Sequence[Any]], count: int) -> Collection[int]:
        """Return the places of the records in which `faults` may find something, as columns alone show."""
        suspects: Collection[int] = range(count)
        for identity in self.sure:
            if columns.keys() >= {*identity}:
                gappy = [columns[name] for name in identity if not all(columns[name])]
                if not gappy:
                    return ()
                lacking = {
                    place for column in gappy for place, value in enumerate(column) if not value
                }
                suspects = lacking.intersection(suspects)
        return suspects

    def keys(self, columns: Mapping[str, Sequence[Any]], count: int) -> Sequence[str | None]:
        """Return the first identifier that each record carries, or None."""
        keys, *others = [columns[name] for name in self._identifiers if name in columns] or [
            [None] * count
        ]
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
                    warnings.append(UNKNOWN_FIELD + spelling[:SHOWN])
            elif name in places:
                twice[name] = ["Sent twice, in two spellings."]
            else:
                places[name] = place
        return Shape(places, warnings, twice)

    def _invalid(
        self, shape: Shape, row: Sequence[Any], warnings: Sequence[str]
    ) -> ValidationFailed:
        """Gather every error of a record by marshmallow's road."""
        sent = {
            json_name(name): row[place]
            for name, place in shape.places.items()
            if row[place] is not None
        }
        try:
            valid, told = self.load(sent), {}
        except ValidationError as error:
            valid, told = error.valid_data, error.messages_dict
        data = {name: value for name, value in valid.items() if value is not ABSENT}
        errors = {
            name: told[json_name(name)] for name in shape.places if json_name(name) in told
        } | shape.twice
        missing = {
            name: [sentence] for name, sentence in self.faults(data, frozenset(errors)).items()
        }
        errors |= explained(
            missing, warnings, {name for names in self.identities for name in names}
        )
        (key,) = self.keys({name: [value] for name, value in data.items()}, 1)
        return ValidationFailed(_hint(shape.warnings), errors=errors, key=key)


def explained(
    errors: Mapping[str, Sequence[str]], warnings: Sequence[str], names: Collection[str] = ()
) -> dict[str, Sequence[str]]:
    """Return errors of missing fields, with what was sent for them, or for the other names, and left out."""
    told: dict[str, Sequence[str]] = dict(errors)
    for name in dict.fromkeys((*errors, *names)) if errors else ():
        begins = f"{json_name(name)}: "
        mine = [warning.removeprefix(begins) for warning in warnings if warning.startswith(begins)]
        reasons = [warning for warning in mine if warning.endswith(LEFT_OUT)]
        if reasons:
            told[name] = [*told.get(name, ()), *reasons]
    return told


def _without_gaps(
    columns: Mapping[str, Sequence[Any]], gappy: Sequence[str], count: int
) -> tuple[Iterable[tuple[str, ...]], Iterable[tuple]]:
    """Return the names and the values of each of the records that columns make, without what is absent."""
    names, rows = (
        tuple(columns),
        zip(*columns.values(), strict=True) if columns else repeat((), count),
    )
    if not gappy:
        return repeat(names), rows
    kinds = [*zip(*[map(is_, columns[name], repeat(ABSENT)) for name in gappy], strict=True)]
    left = {kind: _left(names, {*compress(gappy, kind)}) for kind in {*kinds}}
    lefts = [*map(left.__getitem__, kinds)]
    return [kept for kept, _ in lefts], [
        pick(row) for (_, pick), row in zip(lefts, rows, strict=True)
    ]


def _left(
    names: tuple[str, ...], absent: Set[str]
) -> tuple[tuple[str, ...], Callable[[Sequence[Any]], tuple]]:
    """Return the names but for the absent ones, and what takes their values from a row."""
    places = [place for place, name in enumerate(names) if name not in absent]
    pick = (
        itemgetter(*places)
        if len(places) > 1
        else lambda row: tuple([row[place] for place in places])
    )
    return tuple([names[place] for place in places]), pick


def _hint(warnings: Sequence[str]) -> str:
    """Return the summary of a refused record; a misspelt name often is the reason."""
    unknown = [told.removeprefix(UNKNOWN_FIELD) for told in warnings]
    return "Some fields are not right." + (
        f" Fields not known here: {', '.join(unknown)}." if unknown else ""
    )


_GENDERS = {
    "male": "Male",
    "m": "Male",
    "female": "Female",
    "f": "Female",
    "other": "Other",
    "unknown": "Unknown",
}
_GENDERS |= {"ذكر": "Male", "أنثى": "Female"}
_BLOOD_TYPES = {
    f"{group}{spelling}".lower(): f"{group}{sign}"
    for group in ("A", "B", "AB", "O")
    for sign, spellings in {"+": ("+", "+ve"), "-": ("-", "-ve", "\u2212", "\u2013")}.items()
    for spelling in spellings
}


class ClinicSchema(Entity):
    """Where patients are seen: a room, a department or a branch."""

    identities = sure = (("code",),)
    asked_for = ("code",)
    asking = "Missing: a clinic is known by its code."

    code = Code("the clinic's own code, which never changes")
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

    identities = sure = (("code",), ("license_number",))
    asked_for = ("code",)
    asking = "Missing: send code or licenseNumber, a doctor is known by one of them."

    code = Code("the doctor's number in the desktop program")
    license_number = OfficialId("licence to practise")
    name = Name("full name, with or without title")
    a_name = Name("full name in Arabic", blank=BLANK_CLEARS)
    branch = Text("branch of the company")
    gender = Choice("gender", _GENDERS)
    date_of_birth = Day("date of birth", birth=True)
    medical_reg_number = DocumentNumber("number in the medical register")
    id_number = CardNumber("number of the identity card")
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
    sure = identities[:2]
    asked_for = ("patient_no",)
    asking = "Missing: send patientNo or nationalID, or mobile with name; a patient is known by one of them."

    patient_no = Identifier("the patient's file number in the desktop program")
    national_id = NationalId("national identity or residence number")
    name = Name("full name")
    first_name = Text("given name")
    second_name = Text("father's name")
    last_name = Text("family name")
    mobile = Phone("mobile phone; with the name it can stand for a number")
    date_of_birth = Day("date of birth", birth=True)
    gender = Choice("gender", _GENDERS)
    email = Email("e-mail")
    phone = Phone("another phone")
    blood_type = Choice("blood group", _BLOOD_TYPES, spaced=True)
    is_active = Flag("whether the file is in use; at first true")
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)

    def faults(
        self, data: Mapping[str, Any], wrong: frozenset[str] = frozenset()
    ) -> dict[str, str]:
        """A name that names nobody identifies nobody."""
        name = data.get("name")
        if name and words.is_nobodys(name):
            data = {other: value for other, value in data.items() if other != "name"}
            return super().faults(data, wrong) and {
                "patient_no": f"{self.asking} {_shown(name)} names nobody."
            }
        return super().faults(data, wrong)


class AppointmentSchema(Entity):
    """A booking of a patient, with a doctor, in a clinic, at a time."""

    identities = sure = (
        ("appointment_no",),
        ("patient_no", "date", "time_from"),
        ("patient_id", "date", "time_from"),
    )
    asked_for = ("patient_no", "date", "time_from")
    asking = "Missing: needed unless the booking is stored and found by its appointmentNo."

    appointment_no = Identifier(
        "the booking's number in the desktop program; with it a booking can move"
    )
    patient_no = Identifier("who comes, by file number")
    patient_id = RecordId("who comes, by the portal's id")
    doctor_code = Code("to which doctor, by code")
    doctor_id = RecordId("to which doctor, by the portal's id")
    clinic_code = Code("in which clinic, by code")
    clinic_id = RecordId("in which clinic, by the portal's id")
    date = Day("day of the booking", blank=BLANK_IS_REFUSED)
    time_from = Clock("its beginning", blank=BLANK_IS_REFUSED)
    time_to = End("its end, past midnight by 12 hours at most")
    status = Text(
        "how it stands, in the clinic's own words; at first Scheduled",
        length=STATUS,
        blank=BLANK_IS_ABSENT,
    )
    notes = Text("notes", length=LONG_TEXT, layout=True)
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)

    def faults(
        self, data: Mapping[str, Any], wrong: frozenset[str] = frozenset()
    ) -> dict[str, str]:
        found = super().faults(data, wrong)
        if data.get("patient_id") or "patient_id" in wrong:
            found.pop("patient_no", None)
        time_from, time_to = data.get("time_from"), data.get("time_to")
        if time_from and time_to and not canonical.is_dated(time_to):
            found |= {} if canonical.ends_well(time_from, time_to) else {"time_to": TIME_TO_WRONG}
        return found

    def settle(
        self, columns: dict[str, Sequence[Any]], doubtful: Iterable[str]
    ) -> dict[int, list[str]]:
        """An end that is some day's midnight is the booking's end, or none; without a date the stored one will tell."""
        warnings = super().settle(columns, doubtful)
        days, ends = columns.get("date"), columns.get("time_to")
        if not days or not ends:
            return warnings
        dated = [at for at, end in enumerate(ends) if days[at] and end and canonical.is_dated(end)]
        if dated:
            columns["time_to"] = settled = list(ends)
        for at in dated:
            end, warning = canonical.settled_end(days[at], ends[at])
            settled[at] = end or ABSENT
            if warning:
                warnings[at].append(f"timeTo: {warning}")
        return warnings

    def suspects(self, columns: Mapping[str, Sequence[Any]], count: int) -> Collection[int]:
        return range(count) if "time_to" in columns else super().suspects(columns, count)

    def keys(self, columns: Mapping[str, Sequence[Any]], count: int) -> Sequence[str | None]:
        """Return each booking's number, else who and when: `P-1 2026-06-15 10:30`."""
        names, nothing = (
            ("appointment_no", "patient_no", "patient_id", "date", "time_from"),
            [None] * count,
        )
        return [*map(_booking_key, *[columns.get(name, nothing) for name in names])]


def _booking_key(
    number: str, patient_no: str, patient_id: int, day: str, time_from: str
) -> str | None:
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


def all_for(phone_region: str, zone: tzinfo, reads_hijri: bool) -> dict[str, Entity]:
    """Return the schema of each entity, for a region (ISO 3166-1), a time zone, and with Hijri dates or without."""
    return {name: entity(phone_region, zone, reads_hijri) for name, entity in ENTITIES.items()}
