"""Kinds of field: one pure rule each, and the same rule for a whole column.

`clean(value)` returns what is stored, None to clear the stored value, or ABSENT to leave it; a Doubt if the sender is
to be warned. It raises ValueError with a sentence for the sender. `clean_all` does the same for many values: most
columns can be seen to stay as they are without a look at each value. Source: the contract, section 2.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from marshmallow import ValidationError, fields, validate

from engine import canonical, nothing
from engine.memo import SHORT, Memo

if TYPE_CHECKING:
    from engine.entity import Entity


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

IDENTIFIER, TEXT = 64, 200  # lengths in characters
_WRITTEN = (
    str,
    int,
    float,
    Decimal,
)  # values that may be of any length; a list is a matter of its items
_YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
_STARTED = _YESTERDAY.isoformat()  # a day that has begun in every time zone
MUCH = 16  # times its limit: text that is longer is refused before anything is done to it
LARGEST_ID = 2**63 - 1
SHOWN = 80  # characters of a value or an unknown field's name that a warning repeats
NAMED = 100  # unknown fields or odd codes of a record that warnings name

STANDS_FOR_NONE = "stands for none"
LEFT_OUT = ", left out"  # how a warning ends whose value counts as absent
LETTERS_LOST = "letters were lost before sending; send UTF-8"
DIGITS_LOST = "is a number in scientific notation: a spreadsheet lost its digits. Send it as text with all its digits."

BLANK_CLEARS, BLANK_IS_ABSENT, BLANK_IS_REFUSED = "clears", "absent", "refused"

# --- What surely stays as it is -----------------------------------------------------------------------------

# What surely stays as it is. Where words for none count as absent, it is none of them.
# Nothing in a pattern may depend on the Python that runs it:
# possessive and atomic groups are wrong in 3.11.2, Debian 12's.
_LETTERS = "A-Za-z\u0621-\u063a\u0641-\u064a"
# Printable ASCII but ?, and the letters of Arabic (no marks).
SURE_TEXT = re.compile(rf"(?! )[ ->@-~{_LETTERS}]+(?<! )")
SURE_NAME = re.compile(rf"[{_LETTERS}][ ->@-~{_LETTERS}]*(?<! )")
SURE_IDENTIFIER = re.compile(r"[A-Z]+[-/_#]?[0-9][0-9A-Z/_-]*|[1-9][0-9]*")
SURE_DOCUMENT = re.compile(
    rf"[A-Z]+[-/_#]?[0-9][0-9A-Z/_-]*|(?!(?:{nothing.FILLER})$)[1-9][0-9]*", re.MULTILINE
)
SURE_EMAIL = re.compile(
    r"\w+(?:@|[.+-]\w+@)[a-z0-9]{1,31}(?:\.|-[a-z0-9]{1,31}\.)(?:[a-z]{2,24}|[a-z0-9]{1,31}\.[a-z]{2,24})",
    re.ASCII,
)
NEVER = re.compile("(?!)")


def shown(value: Any) -> str:
    """Return a value as a warning repeats it."""
    text = str(value)
    return f'"{text}"' if len(text) <= SHOWN else f'"{text[:SHOWN]}…"'


def first_of(things: Sequence[str]) -> list[str]:
    """Return the first of many things to tell a sender, and how many more there are."""
    more = len(things) - NAMED
    return [*things[:NAMED], f"… and {more} more"] if more > 0 else [*things]


# --- JSON schemas ------------------------------------------------------------------------------

Json = dict[str, Any]

# Where the OpenAPI document keeps what several fields share.
COMPONENTS = "#/components/schemas/"
NONE_MARK = "{none}"  # stands in a pattern for the words for none
_BLANKS = r"[ \t\r\n]*"
_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
_LINES = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"
_DATE = r"[0-9]{4}-(0[0-9]|1[0-2])-(0[0-9]|[12][0-9]|3[01])"
_END = r"24:00(:00(\.0+)?)?|1\.00:00:00(\.0+)?"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?"
_MOMENT = rf"{_DATE}[Tt ]{_TIME}( ?([Zz]|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?))?"
_TICKS = r"/Date\(-?[0-9]{1,14}([+-]([01][0-9]|2[0-3])[0-5][0-9])?\)/"

# --- Text --------------------------------------------------------------------------------------


def _left_out(came: str, reason: str) -> Doubt:
    """Return a value that counts as absent, with the warning."""
    return Doubt(ABSENT, f"{shown(came)} {reason}{LEFT_OUT}")


class Clean(fields.Field):
    """A field with one `rule`. `meaning`, and what it `accepts`, are words for the reference."""

    accepts: str
    length: int | None = None  # characters at most
    too_long: str  # what the sender is told of a longer one
    # JSON schemas: of what may be sent, of what makes the field present, of what is answered. A pattern is that of a
    # string without the blanks around it, and maxLength stands for the field's own.
    sent: ClassVar[Json]
    present: ClassVar[Json] = {}
    answered: ClassVar[Json]
    # The schema that holds the field: it knows the region and the time zone.
    schema: "Entity"

    def __init__(self, meaning: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.meaning = meaning

    def sent_schema(self) -> Json:
        """Return the JSON schema of what may be sent."""
        schema = self._with_length(self.sent)
        if "pattern" in schema:
            pattern = schema["pattern"].replace(NONE_MARK, self.schema.nothing.pattern)
            schema["pattern"] = self._among_blanks(pattern)
        return schema

    def _among_blanks(self, pattern: str) -> str:
        return f"^{_BLANKS}({pattern})?{_BLANKS}$"

    def answered_schema(self) -> Json:
        """Return the JSON schema of what is answered."""
        return self._with_length(self.answered)

    def _with_length(self, schema: Json) -> Json:
        return schema | ({"maxLength": self.length} if "maxLength" in schema else {})

    def clean(self, value: Any) -> Any:
        """Return the canonical value of what was sent, which is not null; in a Doubt if the sender is to be warned.

        Raises ValueError. Nothing is done to what is far too long: already a copy would take its room once more.
        """
        most = MUCH * (self.length or IDENTIFIER)
        if isinstance(value, _WRITTEN) and len(str(value)) > most:
            raise ValueError(self.too_long)
        return self.rule(value)

    def rule(self, value: Any) -> Any:
        """Do the work of `clean`."""
        # Each kind of field brings its own rule.
        raise NotImplementedError(type(self).__name__)

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
        self.schema = parent

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

    accepts = "text"
    length: int = TEXT
    sent = {
        "type": ["string", "integer", "null"],
        "maxLength": TEXT,
        "pattern": f"[^{_CONTROLS}]*",
    }
    present = {"type": ["string", "integer"], "pattern": r"\S"}
    answered: ClassVar[Json] = {"type": "string", "maxLength": TEXT}
    blank = BLANK_CLEARS
    no_text = "Must be text."
    recurs = True  # whether many records have the same value
    is_respelt = False  # whether `spell` does anything
    sure = SURE_TEXT  # what surely stays as it is

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
        self.too_long = f"Longer than {self.length} characters."
        self.blank = blank or self.blank
        self.layout = layout
        self.accepts += ", line breaks stay" if layout else ""

    def rule(self, value: Any) -> Any:
        text = canonical.text(self._string(value), layout=self.layout)
        came = f"{text}.0" if isinstance(value, float | Decimal) else text
        if not text:
            return self._blank()
        if reason := self.left_out(text):
            return _left_out(came, reason)
        formed = self.form(text)
        if not isinstance(formed, str):
            return formed
        if self.is_zero(formed):
            return _left_out(came, STANDS_FOR_NONE) if isinstance(value, str) else ABSENT
        return self._checked(came, text, formed)

    def _checked(self, came: str, text: str, formed: str) -> Any:
        """Return the canonical form, in a Doubt if the sender is to be warned."""
        if not formed:
            return self._blank()
        # An invisible mark may have hidden that the text says nothing.
        if formed != text and (reason := self.left_out(formed)):
            return _left_out(came, reason)
        self._refuse_too_long(formed)
        doubt = self.doubt(came, formed)
        return Doubt(formed, f"{shown(came)} {doubt}") if doubt else formed

    def _refuse_too_long(self, text: str) -> None:
        if len(text) > self.length:
            raise ValueError(self.too_long)

    def _among_blanks(self, pattern: str) -> str:
        if self.layout:
            return _LINES
        optional = "" if self.blank == BLANK_IS_REFUSED else "?"
        return f"^{_BLANKS}({pattern}){optional}{_BLANKS}$"

    def is_none(self, text: str) -> bool:
        """Return whether people write this text for no value."""
        return False

    def is_zero(self, text: str) -> bool:
        """Return whether programs write this text for no value."""
        return False

    def left_out(self, text: str) -> str:
        """Return why trimmed text says nothing and counts as absent; '' if it does not."""
        if self.is_none(text):
            return STANDS_FOR_NONE
        lost = "?" in text or not text.isascii()
        if lost and canonical.is_damaged(text) and not canonical.letters_and_digits(text):
            return f"says nothing: {LETTERS_LOST}"
        return ""

    def form(self, text: str) -> Any:
        """Return the canonical form of trimmed text; '' is blank. If it is no text, `clean` returns it as it is."""
        return text

    def doubt(self, came: str, formed: str) -> str:
        """Return what the sender is to know of a value that is stored; '' for nothing."""
        if canonical.is_float(came) and not canonical.is_float(formed):
            return "is taken for the whole number"
        if canonical.is_damaged(came):
            return f"is stored as it came, but {LETTERS_LOST}"
        return ""

    def clean_all(self, column: Sequence[Any]) -> Sequence[Any]:
        """Clean a column. It is returned itself if its values do not recur, and all of it stays as it is."""
        if self.recurs and self.length <= TEXT:
            try:
                return [*map(self._memo.__getitem__, column)]
            except TypeError:  # no memo has a list for a key
                return super().clean_all(column)
        if None not in column:
            return self._clean_lines(column)
        cleaned = iter(self._clean_lines([value for value in column if value is not None]))
        return [ABSENT if value is None else next(cleaned) for value in column]

    def _clean_lines(self, values: Sequence[Any]) -> Sequence[Any]:
        """Clean values as lines of one text: to find those that stay so takes a tenth of looking at each.

        The text begins and ends with a line break, so each value stands between two: `\\nP-1\\nP-2\\n`.
        """
        try:
            fit = max(map(len, values), default=0) <= self.length
            lines = "\n".join(["", *values, ""]) if fit else ""
        except TypeError:  # not all of them are text
            return super().clean_all(values)
        if lines.count("\n") != len(values) + 1:
            return super().clean_all(values)
        spelt = self.spell(lines) if self.is_respelt else lines
        unsure = self._unsure(spelt)
        if not unsure and spelt == lines:
            return values
        pairs = zip(values, spelt.split("\n")[1:-1], strict=True)
        return [self.cleaned(value) if line in unsure else line for value, line in pairs]

    def _unsure(self, lines: str) -> Set[str]:
        """Return the lines that do not surely stay as they are."""
        sure = self._sure_lines.match(lines, 1)
        end = sure.end() if sure else 1
        if end == len(lines):
            return set()
        return {found["unsure"] for found in self._unsure_lines.finditer(lines, end - 1)}

    # Not in __init__: marshmallow copies a field for each schema.
    @cached_property
    def _memo(self) -> Memo:
        return Memo(self.cleaned, longest=min(SHORT, self.length))

    @cached_property
    def _sure_lines(self) -> re.Pattern:
        return re.compile(f"(?:(?:{self.sure.pattern})\n)*", self.sure.flags | re.MULTILINE)

    @cached_property
    def _unsure_lines(self) -> re.Pattern:
        return re.compile(
            rf"\n(?!(?:{self.sure.pattern})\n|\Z)(?P<unsure>.*)",
            self.sure.flags | re.MULTILINE,
        )

    def spell(self, lines: str) -> str:
        """Return lines in which a usual spelling of a value is put into the one that is stored.

        Only a line that then is sure counts. Any other value is cleaned as it was sent."""
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


class Value(Text):
    """Text that a screen asks for: people type words such as N/A where there is none."""

    def is_none(self, text: str) -> bool:
        return self.schema.nothing.is_word(text)


class Identifier(Value):
    accepts = "identifier: upper case, Western digits, single blanks; 0 and words for none count as absent"
    length = IDENTIFIER
    blank = BLANK_IS_ABSENT
    recurs = False
    sure = SURE_IDENTIFIER

    def is_zero(self, text: str) -> bool:
        return nothing.is_zero(text)

    def left_out(self, text: str) -> str:
        if reason := super().left_out(text):
            return reason
        return f"is not what it was: {LETTERS_LOST}" if canonical.is_damaged(text) else ""

    def form(self, text: str) -> str:
        formed = canonical.identifier(text)
        if canonical.is_scientific(formed):
            raise ValueError(f"{shown(text)} {DIGITS_LOST}")
        return formed


class Code(Identifier):
    """A code, which may be a word: NA and 000 are codes."""

    accepts = "code: upper case, Western digits, single blanks; 0 and N/A count as absent"

    def _bind_to_schema(self, field_name: str, parent: Any) -> None:
        super()._bind_to_schema(field_name, parent)
        words = [re.escape(word.upper()) for word in self.schema.nothing.never_a_code]
        form = rf"(?!(?:{'|'.join(words)})$)[A-Z][0-9A-Z_-]*|[1-9][0-9]*"
        self.sure = re.compile(form, re.MULTILINE)

    def is_none(self, text: str) -> bool:
        return self.schema.nothing.is_never_a_code(text)

    def is_zero(self, text: str) -> bool:
        return nothing.is_zero_for_a_code(text)


class OfficialId(Identifier):
    """A number that an authority gives to one person: what people fill a screen with (9999999999) is none."""

    accepts = f"{Identifier.accepts}, as does what fills a form (9999999999)"
    sure = SURE_DOCUMENT

    def is_none(self, text: str) -> bool:
        return self.schema.nothing.is_word_or_filler(text)


class NationalId(OfficialId):
    """An official number that is written with and without hyphens."""

    accepts = f"{OfficialId.accepts}; of digits, blanks and hyphens the digits count"

    def form(self, text: str) -> str:
        return canonical.digits_of_number(super().form(text))


class DocumentNumber(Value):
    """A number of a document that identifies nobody here."""

    accepts = "text; 0, words for none and what fills a form (9999999999) count as absent"
    recurs = False
    sure = SURE_DOCUMENT

    def is_none(self, text: str) -> bool:
        return self.schema.nothing.is_word_or_filler(text)

    def is_zero(self, text: str) -> bool:
        return nothing.is_zero(text)


class CardNumber(DocumentNumber):
    """The number of a card that is written with and without hyphens."""

    accepts = f"{DocumentNumber.accepts}; of digits, blanks and hyphens the digits count"

    def form(self, text: str) -> str:
        return canonical.digits_of_number(text)


class Name(Text):
    accepts = "text with a letter or digit"
    sent = Text.sent | {"pattern": rf"[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*"}
    present = {"type": ["string", "integer"]}
    blank = BLANK_IS_REFUSED
    recurs = False
    sure = SURE_NAME

    def left_out(self, text: str) -> str:
        unreadable = canonical.is_visible(text) and not canonical.is_readable(text)
        return f"is no name: {LETTERS_LOST}" if unreadable else ""

    def form(self, text: str) -> str:
        return text if canonical.is_visible(text) else ""


_PUNCTUATION = str.maketrans("", "", " ().-")
_SPELT = re.compile(r"[ -]|\.0")  # what international numbers are written with, too
_LATE_PLUS = re.compile(r"[ ().-]\+")
_FLOAT_LINE = re.compile(r"\.00?$", re.MULTILINE)


class Phone(Value):
    accepts = "phone, stored as +966502222222 where it is a valid number; words for none count as absent"
    recurs = False
    is_respelt = True

    def _bind_to_schema(self, field_name: str, parent: Any) -> None:
        super()._bind_to_schema(field_name, parent)
        self.sure = canonical.sure_numbers(self.schema.phone_region) or NEVER

    def spell(self, lines: str) -> str:
        """Drop blanks and ( ) . -, and put the calling code before numbers as people of the region write them.

        A number that fits `sure` now is right, and needs no parser. All others are parsed as they were sent.
        """
        plus = lines.count("+")
        if plus == lines.count("\n") - 1 and not _SPELT.search(lines):
            return lines
        lines = lines if lines.isascii() else canonical.without_marks(lines)
        if plus > lines.count(
            "\n+"
        ):  # "(+966) 55" is no number: with a "?" it does not fit
            lines = _LATE_PLUS.sub("?", lines)
        if ".0" in lines:  # a float's, or a part of the number: `form` decides
            lines = _FLOAT_LINE.sub("?", lines)
        code, local = canonical.local_line(self.schema.phone_region)
        return local.sub(f"\n{code}", lines.translate(_PUNCTUATION))

    def form(self, text: str) -> str:
        return canonical.phone(text, self.schema.phone_region)

    def doubt(self, came: str, formed: str) -> str:
        if canonical.is_phone(formed):
            return ""
        return f"is not a valid phone number for {self.schema.phone_region}, kept as sent"


class Email(Value):
    accepts = "e-mail address; words for none count as absent"
    sent = {
        "maxLength": TEXT,
        "anyOf": [
            {"type": "string", "format": "idn-email", "pattern": r"@.+\."},
            {"$ref": f"{COMPONENTS}None"},
        ],
    }
    recurs = False
    sure = SURE_EMAIL
    _valid = validate.Email()

    def form(self, text: str) -> str:
        try:
            return self._valid(text)
        except ValidationError as error:
            raise ValueError(*error.messages) from None


WORD: Json = {"type": ["string", "null"], "pattern": NONE_MARK}


class Choice(Value):
    """One of a few values; `spellings` maps what may be sent, in any case, to them. `spaced`: blanks are ignored."""

    sure = NEVER

    def __init__(self, meaning: str, spellings: Mapping[str, str], *, spaced: bool = False):
        super().__init__(meaning)
        self.spellings, self.spaced = spellings, spaced
        self.choices = tuple(dict.fromkeys(spellings.values()))
        self.accepts = (
            f"one of {', '.join(self.choices)}; other words for none count as absent"
        )
        self._folded = {
            canonical.fold_name(spelling): choice for spelling, choice in spellings.items()
        }

    def sent_schema(self) -> Json:
        choices = nothing.any_case(self.spellings, " *" if self.spaced else "")
        pattern = f"{choices}|{self.schema.nothing.pattern}"
        return WORD | {
            "pattern": self._among_blanks(pattern),
            "examples": list(self.choices),
        }

    def answered_schema(self) -> Json:
        return {"type": "string", "enum": list(self.choices)}

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


class Day(Value):
    """A calendar date, ISO text; a zero date is absent. `birth`: not in the future, and left out where it is NoDay."""

    accepts = (
        "date as 2026-06-15, or a date-time; zero dates and words for none count as absent"
    )
    sent = WORD | {"pattern": f"{_DATE}|{_MOMENT}|{_TICKS}|{NONE_MARK}"}
    present = {"type": "string"}
    answered: ClassVar[Json] = {"type": "string", "format": "date"}
    recurs = False
    is_respelt = True
    no_text = canonical.NO_DATE

    def __init__(
        self, meaning: str, *, birth: bool = False, purpose: str = "the day", **kwargs: Any
    ):
        super().__init__(meaning, **kwargs)
        self.birth, self.purpose = birth, purpose
        self.sure = canonical.sure_dates(int(_STARTED[:4]) if birth else 2100)
        self.accepts += "; not in the future" if birth else ""

    def form(self, text: str) -> Any:
        try:
            day, was_hijri = canonical.calendar_date(
                text, self.schema.zone, reads_hijri=self.schema.reads_hijri
            )
        except canonical.NoDay as reason:
            return self._no_day(text, reason)
        if day is None:
            return ABSENT
        if self.birth and self._is_future(day):
            raise ValueError("Lies in the future.")
        doubt = f"{shown(text)} is read as a Hijri date: {day}"
        return Doubt(day, doubt) if was_hijri else day

    def _is_future(self, day: str) -> bool:
        # The first comparison spares most dates the second.
        return day > _STARTED and day > datetime.now(self.schema.zone).date().isoformat()

    def _no_day(self, text: str, reason: canonical.NoDay) -> Doubt:
        if self.birth:
            return Doubt(ABSENT, f"{shown(text)} is no day: {reason}{LEFT_OUT}")
        raise ValueError(
            f"{shown(text)} cannot be {self.purpose}: {reason}. Is it a Hijri date? See HIJRI_DATES."
        )

    def _of_number(self, written: str) -> str:
        raise ValueError(self.no_text)

    def spell(self, lines: str) -> str:
        return lines.replace("T00:00:00\n", "\n")


class Clock(Value):
    """A time of day, HH:MM:SS."""

    accepts = "time as 10:30 or 10:30:00, or a date-time; words for none count as absent"
    sent = WORD | {"pattern": f"{_TIME}|{_MOMENT}|{_TICKS}|{NONE_MARK}"}
    present = {"type": "string"}
    answered: ClassVar[Json] = {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}:[0-9]{2}$"}
    sure = NEVER
    no_text = canonical.NO_TIME

    def form(self, text: str) -> Any:
        return canonical.clock_time(
            text, self.schema.zone, reads_hijri=self.schema.reads_hijri
        )[0]

    def _of_number(self, written: str) -> str:
        raise ValueError(self.no_text)


class End(Clock):
    """The time of day at which something ends. 24:00 is the day's end.

    Midnight without a day is what .NET sends for an unset TimeSpan: it counts as absent.
    """

    accepts = (
        f"{Clock.accepts}, as does 00:00:00;"
        " the end of the day is 24:00, or the next day's midnight as a date-time"
    )

    sent = WORD | {"pattern": f"{_TIME}|{_END}|{_MOMENT}|{_TICKS}|{NONE_MARK}"}

    def form(self, text: str) -> Any:
        schema = self.schema
        end = canonical.end_time(text, schema.zone, reads_hijri=schema.reads_hijri)
        return end or ABSENT


class Flag(Clean):
    accepts = "true or false; also 1, 0, -1 and, as text, yes and no"
    sent = {
        "type": ["boolean", "integer", "string", "null"],
        "minimum": -1,
        "maximum": 1,
        "pattern": nothing.any_case(
            ("true", "false", "yes", "no", "1", "0", "-1", "نعم", "لا")
        ),
    }
    answered = {"type": "boolean"}
    _spellings: ClassVar = {
        **dict.fromkeys(("true", "1", "-1", "yes", "نعم"), True),
        **dict.fromkeys(("false", "0", "no", "لا"), False),
    }
    _numbers: ClassVar = {1: True, 0: False, -1: True}  # -1 is Access' true
    no_flag = too_long = "Must be true or false."

    def clean_all(self, column: Sequence[Any]) -> Sequence[Any]:
        return column if set(map(type, column)) == {bool} else super().clean_all(column)

    def rule(self, value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, str):
            text = canonical.text(value)
            flag = self._spellings.get(text.lower()) if text else ABSENT
        else:
            flag = self._numbers.get(value) if isinstance(value, int) else None
        if flag is None:
            raise ValueError(self.no_flag)
        return flag


class RecordId(Clean):
    """The id of a stored record. .NET sends 0 for an unset int, and a negative number where nothing is selected."""

    accepts = (
        "id of a stored record, a whole number; 0 and negative numbers count as absent"
    )
    sent = {
        "type": ["integer", "string", "null"],
        "pattern": f"0+|-[0-9]+|{NONE_MARK}",
        "maximum": LARGEST_ID,
    }
    present = {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}
    answered = {"type": "integer", "minimum": 1}
    no_id = too_long = "Must be the id of a stored record, a positive whole number."

    def rule(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._of_text(canonical.text(value))
        if isinstance(value, bool) or not isinstance(value, int) or value > LARGEST_ID:
            raise ValueError(self.no_id)
        return value if value > 0 else ABSENT

    def _of_text(self, text: str) -> Any:
        if not canonical.is_visible(text):
            return ABSENT
        if self.schema.nothing.is_word(text) or nothing.is_zero(text):
            return Doubt(ABSENT, f"{shown(text)} {STANDS_FOR_NONE}{LEFT_OUT}")
        raise ValueError(self.no_id)


class Codes(Clean):
    """A list of codes; a list of nothing but what counts as absent is absent."""

    accepts = "list of codes; it replaces the stored list, [] clears it"
    sent = {"type": ["array", "null"], "items": {"$ref": f"{COMPONENTS}Identifier"}}
    answered = {"type": "array", "items": {"type": "string", "maxLength": IDENTIFIER}}
    no_list = too_long = "Must be a list of codes."

    def _bind_to_schema(self, field_name: str, parent: Any) -> None:
        super()._bind_to_schema(field_name, parent)
        self._code = Code("one of the codes")
        self._code.schema = parent

    def rule(self, value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError(self.no_list)
        cleaned = [self._code.clean(item) for item in value if item is not None]
        doubts = [code.warning for code in cleaned if isinstance(code, Doubt)]
        codes = {code.value if isinstance(code, Doubt) else code for code in cleaned}
        codes -= {None, ABSENT}
        known = tuple(sorted(codes)) if codes or not value else ABSENT
        return Doubt(known, "; ".join(first_of(doubts))) if doubts else known


class Instant(fields.Field):
    """Answered only: RFC 3339 in UTC, from `2026-06-15 09:00:00`; null for what a dry run would create."""

    meaning = "null in a dry run, for what would be created"

    def answered_schema(self) -> Json:
        """Return the JSON schema of what is answered."""
        return {"type": "string", "format": "date-time"}

    def _serialize(
        self, value: Any, attr: str | None, obj: Any, **kwargs: Any
    ) -> str | None:
        return value and f"{value.replace(' ', 'T')}Z"
