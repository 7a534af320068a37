"""Canonical forms: how identifiers, phones, names, dates and times are compared and stored.

Pure functions of text; what cannot be read raises ValueError with a sentence for the sender.
The rules are the contract's, sections 2 ("Field names and values") and 4.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import groupby
from typing import Literal

import phonenumbers

from engine import hijri
from engine.memo import Memo

# Soft hyphen, joiners, direction marks and isolates, byte-order mark: they come along when
# Arabic text is pasted, and nobody sees them (Unicode Standard, chapter 23; UAX #9).
_INVISIBLE = dict.fromkeys(
    [
        0xAD,
        0x34F,
        0x61C,
        0x180E,
        0xFEFF,
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
    ]
)
_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "0123456789" * 2)
# Tatweel, harakat, superscript alef and Quranic marks: ornament, not letters.
_ORNAMENT = dict.fromkeys(
    {0x640, 0x670, *range(0x610, 0x61B), *range(0x64B, 0x660), *range(0x6D6, 0x6EE)}
    - {0x6DD, 0x6DE, 0x6E9}
)
_LETTERS = str.maketrans("أإآٱىیکة", "ااااييكه")
_UNSEEN = _INVISIBLE | _DIGITS
_FOLDED = _UNSEEN | _ORNAMENT | _LETTERS

# The blank behind these words is a matter of taste: عبد الله and عبدالله are one.
_JOINED = re.compile(r"(?<!\S)(عبد|ابو|ال) ")
# Letters that a client's code page did not have: it sent U+FFFD, or question marks in their place.
_LOST = re.compile(r"\ufffd|(?<![\w!?؟])[?؟]{2,}(?![\w!?؟])|(?<=[^\W\d_])[?؟]+(?=[^\W\d_])")
# What a spreadsheet puts before text that looks like a number, and what a float has behind it.
_QUOTED = re.compile(r"['’‘`]+(?=[0-9])")
_FLOAT = re.compile(r"([0-9]+)\.00?")
_SCIENTIFIC = re.compile(r"[0-9]+(?:\.[0-9]+)?E[+-][0-9]+")
_SPACED_DIGITS = re.compile(r"[0-9](?:[0-9 \u2010-\u2015\u2212-]*[0-9])?")
_LETTER_OR_DIGIT = re.compile(r"[^\W_\u0640]")
_NEITHER = re.compile(r"[\W_]+")  # letter nor digit
_NO_DIGIT = re.compile(r"[^0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL_BUT_LAYOUT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LINE_END = re.compile(
    r"\r(?<!\r\r)\r*\n"
)  # from the first \r of a run only: else its time is quadratic
_COUNTRIES = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
_FLOAT_PHONE = re.compile(r"^([^.]*\d)\.[0٠۰]{1,2}$")  # the point is the number's only one
_PHONE = re.compile(r"\+?[\d\s().\-\u2010-\u2015]+")

_HOUR = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?"
_MOMENT = re.compile(
    rf"(?P<day>\d{{4}}-\d\d-\d\d)(?:[Tt ](?P<time>{_HOUR})(?:\.\d+)? ?(?P<offset>[Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TICKS = re.compile(r"/Date\((?P<ms>-?\d{1,15})(?P<offset>[+-]\d{4})?\)/", re.ASCII)
_CLOCK = re.compile(rf"{_HOUR}(?:(?<=:\d\d:\d\d)\.\d+)?", re.ASCII)
# 1.00:00:00 is how .NET writes a TimeSpan of one day.
_DAYS_END = re.compile(r"(?:24:00(?::00)?|1\.00:00:00)(?:(?<=:00:00)\.0+)?")
_DATED_END = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ]24:00(?::00(?:\.0+)?)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What programs write for no date: .NET, SQL Server, OLE and Excel, SQL Server again, MySQL.
_ZERO_DAYS = {
    "0001-01-01",
    "1753-01-01",
    "1899-12-30",
    "1899-12-31",
    "1900-01-01",
    "0000-00-00",
}
_FIRST_DAY = "1900-01-02"
# Two days after .NET's 0001-01-01, because an offset moves that day. Whatever lies before is no date.
_FIRST_MS = -62_135_596_800_000 + 2 * 86_400_000
# Days that programs put before a time alone: Unix and Prisma, Rails. In a written date-time zero days count as such,
# too, and so do days before 1900 that are not read as Hijri dates.
_TIME_ALONE = {"1970-01-01", "2000-01-01"}
_LAST_MONTH, _LAST_DAY_OF_A_MONTH = 12, 31
_LONGEST_OVERNIGHT = timedelta(hours=12)

Form = Literal["NFC", "NFKC"]
_DECOMPOSED: dict[Form, Literal["NFD", "NFKD"]] = {"NFC": "NFD", "NFKC": "NFKD"}
FEW = 256  # characters that Python normalizes fast enough, whatever they are
NAMES, PHONES = 1 << 12, 1 << 13  # that are remembered, phones of each region

MIDNIGHT = "00:00:00"
NO_DATE = "Not a valid date. Send it as 2026-06-15."
NO_TIME = "Not a valid time. Send two digits each, as 09:30 or 09:30:00."


def text(value: str, *, layout: bool = False) -> str:
    """Trim and compose (NFC); `layout` lets tabs and line breaks stand, CR LF becoming LF."""
    if value.isascii() and value.isprintable():
        return value.strip()
    value = value.strip(" \t\r\n")
    found = (_CONTROL_BUT_LAYOUT if layout else _CONTROL).search(value)
    if found:
        raise ValueError(
            f"Contains a character that cannot be stored (U+{ord(found[0]):04X}); remove it."
        )
    return normalized("NFC", _LINE_END.sub("\n", value).strip())


def normalized(form: Form, text: str) -> str:
    """Return the normal form (NFC or NFKC) of a text, in linear time.

    Python puts the marks behind a letter in order by exchanging neighbours. That takes quadratic time, in which no
    other thread runs.
    """
    if len(text) <= FEW:
        return unicodedata.normalize(form, text)
    if unicodedata.is_normalized(form, text):
        return text
    words = text.split(" ")  # no mark passes a blank
    in_order = [word if len(word) <= FEW else _marks_in_order(form, word) for word in words]
    return unicodedata.normalize(form, " ".join(in_order))


def _marks_in_order(form: Form, text: str) -> str:
    """Return a text whose runs of marks are decomposed and in canonical order (UAX #15, section 1.3)."""
    letters, decomposed = {*text}, _DECOMPOSED[form]
    parts = {ord(letter): unicodedata.normalize(decomposed, letter) for letter in letters}
    marks = {
        letter for letter in letters if all(map(unicodedata.combining, parts[ord(letter)]))
    }
    runs = []
    for is_of_marks, found in groupby(text, marks.__contains__):
        run = "".join(found)
        runs.append(_in_order(run.translate(parts)) if is_of_marks else run)
    return "".join(runs)


def _in_order(marks: str) -> str:
    """Return marks in canonical order; those of one class stay as they are."""
    return "".join(sorted(marks, key=unicodedata.combining))


def identifier(value: str) -> str:
    """Return the one stored form of an identifier: `doc-sarah-04` and `DOC-SARAH-04` are one."""
    if value.isascii():
        return _without_leftovers(" ".join(value.upper().split()))
    return _without_leftovers(
        _settled(
            value,
            lambda string: normalized("NFKC", string).translate(_UNSEEN).upper(),
        )
    )


def _without_leftovers(identifier: str) -> str:
    """Return an identifier without what spreadsheets and floats add to it: `'00123` and `123.0` are 00123 and 123."""
    quoted = _QUOTED.match(identifier)
    bare = identifier[quoted.end() :] if quoted else identifier
    float_ = _FLOAT.fullmatch(bare)
    return float_[1] if float_ else bare


def is_float(value: str) -> bool:
    """Return whether a text is a whole number as a float is written: 123.0."""
    return bool(_FLOAT.fullmatch(without_marks(value).strip()))


def is_scientific(identifier: str) -> bool:
    """Return whether an identifier is a number in scientific notation: a spreadsheet lost its digits."""
    return bool(_SCIENTIFIC.fullmatch(identifier))


def digits_of_number(value: str) -> str:
    """Return the digits where digits, blanks and hyphens are all there is, else the value as it is."""
    readable = without_marks(value)
    return _NO_DIGIT.sub("", readable) if _SPACED_DIGITS.fullmatch(readable) else value


def letters_and_digits(value: str) -> str:
    """Return a text folded, without blanks and punctuation."""
    return _NEITHER.sub("", fold_name(value))


def has_letter_or_digit(value: str) -> bool:
    """Return whether a text has a letter or digit; tatweel is none."""
    return bool(_LETTER_OR_DIGIT.search(value))


def is_visible(value: str) -> bool:
    """Return whether anything of a text can be seen."""
    return bool(value.translate(_INVISIBLE).strip())


def is_damaged(value: str) -> bool:
    """Return whether letters of a text were lost on its way: those that a client's code page did not have."""
    return ("?" in value or not value.isascii()) and bool(_LOST.search(value))


def is_readable(name: str) -> bool:
    """Return whether a name can be one: it has a letter or digit, and lost none on its way."""
    return has_letter_or_digit(name) and not is_damaged(name)


def fold_name(value: str) -> str:
    """Return a name as it is compared: without case, ornament and spelling habits. Never stored."""
    if value.isascii():
        return " ".join(value.lower().split())
    return _FOLDED_NAMES[value]


def _fold(value: str) -> str:
    folded = _settled(
        value,
        lambda string: normalized("NFKC", string).casefold().translate(_FOLDED),
    )
    # To look whether one of the words may be there takes a tenth of looking for each.
    may_be_there = "د " in folded or "و " in folded or "ل " in folded
    return _JOINED.sub(r"\1", folded) if may_be_there else folded


_FOLDED_NAMES = Memo(_fold, entries=NAMES)  # each name is folded several times on its way


def contact_key(mobile: str, name: str) -> str:
    """Return the digest under which a mobile and a name are one contact (32 hex digits).

    A digest, because NFKC can make a name longer than any column.
    """
    contact = f"{mobile}\n{fold_name(name)}"
    return hashlib.blake2b(contact.encode(), digest_size=16).hexdigest()


def phone(value: str, region: str) -> str:
    """Return E.164 where `value` is one valid number, else `value` without invisible marks and a float's .0.

    `region` (ISO 3166-1) is that of numbers without a calling code.
    """
    if is_phone(value):
        return value
    kept = normalized("NFC", value.translate(_INVISIBLE).strip())
    kept = _FLOAT_PHONE.sub(r"\1", kept)
    return _e164(kept, region) or kept


def is_phone(stored: str) -> bool:
    """Return whether a stored phone is a valid number, and not kept as it was sent."""
    return stored.startswith("+") and _VALID_PHONES[stored]


def _is_valid_phone(stored: str) -> bool:
    plain = _sure_numbers(stored[1:4])
    return bool(plain and plain.fullmatch(stored)) or _e164(stored, "ZZ") == stored


_VALID_PHONES = Memo(_is_valid_phone)  # each is asked for twice


class NoDay(ValueError):
    """A date in the right form that cannot be used: before 1900, no Hijri day, or with a month or day of 00."""


def calendar_date(
    value: str, zone: tzinfo, *, reads_hijri: bool = True
) -> tuple[str | None, bool]:
    """Return the ISO date that is meant, or None for a zero date, and whether it was sent as a Hijri one.

    With an offset `value` is an instant and counts in `zone`; written as midnight, or without an offset, a whole day
    was meant, and the date as written counts. Raises NoDay or ValueError.
    """
    if _DAY.fullmatch(value) and value >= _FIRST_DAY and _is_day(value):
        return value, False
    moment, was_hijri = _moment(value, zone, reads_hijri)
    if moment is None:
        return None, False
    if moment.tzinfo and moment.strftime("%H:%M:%S") != MIDNIGHT:
        moment = _in_zone(moment, zone)
    day = moment.date().isoformat()
    if day in _ZERO_DAYS:
        return None, False
    if day < _FIRST_DAY:
        raise NoDay(f"{day} lies before 1900")
    return day, was_hijri


def clock_time(
    value: str, zone: tzinfo, *, reads_hijri: bool = True
) -> tuple[str, str | None]:
    """Return the time of day that is meant as HH:MM:SS, and the date that was sent with it, or None.

    Fractions of a second are dropped. The time of a date-time with an offset counts in `zone`; with a date that
    programs put before a time alone it counts as written, and the date says nothing.
    """
    value = without_marks(value)
    if _CLOCK.fullmatch(value):
        return _to_the_second(value), None
    written = _MOMENT.fullmatch(value)
    if not (written and written["time"]) and not _TICKS.fullmatch(value):
        raise ValueError(NO_TIME)
    moment = (
        None
        if written and written["day"] in _TIME_ALONE
        else _moment_of_time(value, zone, reads_hijri)
    )
    if moment is None:
        return _to_the_second(written["time"]) if written else MIDNIGHT, None
    moment = _in_zone(moment, zone) if moment.tzinfo else moment
    return moment.strftime("%H:%M:%S"), moment.date().isoformat()


def _moment_of_time(value: str, zone: tzinfo, reads_hijri: bool) -> datetime | None:
    """Return the date-time as it is written, or None if its date is none."""
    try:
        return _moment(value, zone, reads_hijri)[0]
    except NoDay:
        return None
    except ValueError:
        raise ValueError(NO_TIME) from None


def _to_the_second(clock: str) -> str:
    return f"{clock}:00"[: len(MIDNIGHT)]


def end_time(value: str, zone: tzinfo, *, reads_hijri: bool = True) -> str | None:
    """Return the time of day at which something ends, or None for a midnight without a day: programs write it for none.

    The end of the day is MIDNIGHT. A midnight that was sent with a day stays so, as `2026-06-16 00:00:00`: whether it
    is the end depends on the day of the beginning (`settled_end`).
    """
    readable = without_marks(value)
    if _DAYS_END.fullmatch(readable):
        return MIDNIGHT
    dated = _DATED_END.fullmatch(readable)
    if dated:
        day, _ = calendar_date(dated[1], zone, reads_hijri=reads_hijri)
        return day and f"{_next_day(day)} {MIDNIGHT}"
    clock, day = clock_time(value, zone, reads_hijri=reads_hijri)
    if clock != MIDNIGHT:
        return clock
    return day and f"{day} {MIDNIGHT}"


def is_dated(time_to: str) -> bool:
    """Return whether an end is the midnight of some day, as `end_time` returns it."""
    return len(time_to) > len(MIDNIGHT)


def settled_end(day: str, time_to: str) -> tuple[str | None, str]:
    """Return what an end `2026-06-16 00:00:00` means for what begins on `day`, and a warning or "".

    The midnight after the day is MIDNIGHT, its end. The day's own midnight is None: programs write it where there is no
    end. The midnight of any other day is None, with a warning.
    """
    midnight_of = time_to.removesuffix(MIDNIGHT).strip()
    if date.fromisoformat(midnight_of) - timedelta(days=1) == date.fromisoformat(day):
        return MIDNIGHT, ""
    if midnight_of == day:
        return None, ""
    return None, f'"{time_to}" is not the end of {day}, left out'


def _next_day(day: str) -> str:
    try:
        return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    except OverflowError:
        raise ValueError("Lies outside the calendar (years 1 to 9999).") from None


def ends_well(time_from: str, time_to: str) -> bool:
    """Return whether an end fits a start.

    It is later that day, at the end of the day, or past midnight if the whole lasts 12 hours at most.
    """
    if time_to == MIDNIGHT or time_from < time_to:
        return True
    return timedelta() < duration(time_from, time_to) <= _LONGEST_OVERNIGHT


def duration(time_from: str, time_to: str) -> timedelta:
    """Return how long something lasts (0 to 24 h); what ends before it starts ends past midnight."""
    day = timedelta(days=1)
    if time_from == time_to == MIDNIGHT:
        return day
    return (_clock(time_to) - _clock(time_from)) % day


def time_after(time_from: str, lasting: timedelta) -> str:
    """Return the time of day `lasting` after `time_from`, past midnight where it must."""
    return (_clock(time_from) + lasting).strftime("%H:%M:%S")


def _settled(value: str, step: Callable[[str], str]) -> str:
    """Repeat `step` until nothing changes: a form is canonical only if it is its own canonical form."""
    before = None
    while value != before:
        before, value = value, " ".join(step(value).split())
    return value


def sure_dates(end: int) -> re.Pattern:
    """Return a pattern of ISO dates that surely are real ones, from 1900-01-02 to before the year `end`."""
    decade, year = divmod(end, 10)
    years = [rf"{tens}\d" for tens in range(190, decade)] + [f"{decade}[0-{year - 1}]"] * (
        year > 0
    )
    day = r"(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31"
    return re.compile(rf"(?!1900-01-01)(?:{'|'.join(years)})-(?:{day})", re.ASCII)


def _is_day(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def without_marks(value: str) -> str:
    """Return a text without invisible marks, and with Western digits."""
    return value if value.isascii() else value.translate(_UNSEEN)


@lru_cache(maxsize=1 << 10)
def _sure_numbers(start: str) -> re.Pattern | None:
    """Return a pattern of E.164 numbers, given their first digits, that are surely valid: it spares most the parser.

    Only where one region has the calling code to itself; and numbers that begin like its national prefix are left to
    the library, which may take them for something else.
    """
    codes = [
        start[:size] for size in (1, 2, 3) if re.fullmatch("[1-9][0-9]*", start[:size])
    ]
    country = next((code for code in codes if int(code) in _COUNTRIES), "0")
    regions = _COUNTRIES.get(int(country), ())
    metadata = (
        phonenumbers.PhoneMetadata.metadata_for_region(regions[0])
        if len(regions) == 1
        else None
    )
    if metadata is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    kinds = (metadata.mobile, metadata.fixed_line)
    plain = "|".join(
        kind.national_number_pattern
        for kind in kinds
        if kind and kind.national_number_pattern
    )
    general = metadata.general_desc and metadata.general_desc.national_number_pattern
    return re.compile(
        rf"\+{country}{f'(?!{prefix})' if prefix else ''}(?=(?:{general})$)(?:{plain})",
        re.A | re.M,
    )


def sure_numbers(region: str) -> re.Pattern | None:
    """Return a pattern of E.164 numbers that are surely valid in a region; None if there is no such pattern."""
    return _sure_numbers(str(phonenumbers.country_code_for_region(region)))


def _e164(value: str, region: str) -> str | None:
    # More than a number (letters, an extension, a second number) would be cut: it is not one.
    return _numbers(region)[value] if _PHONE.fullmatch(value) else None


@lru_cache
def _numbers(region: str) -> Memo:
    """Return what the parser made of phones of a region: it takes longer than all else that is done to a record."""
    return Memo(lambda value: _parsed(value, region), entries=PHONES)


@lru_cache
def local_line(region: str) -> tuple[str, re.Pattern]:
    """Return the calling code (+966), and a pattern of what it replaces where a line begins: 0, or nothing.

    Where a region's numbers are not so simple, the code is '' and the pattern matches nothing.
    """
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    prefix = metadata and (metadata.national_prefix_for_parsing or "")
    if metadata is None or prefix not in ("", "0") or metadata.international_prefix != "00":
        return "", re.compile("(?!)")
    return f"+{metadata.country_code}", re.compile(rf"\n{prefix}(?=[1-9][0-9]*\n)")


def _parsed(value: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _moment(value: str, zone: tzinfo, reads_hijri: bool) -> tuple[datetime | None, bool]:
    """Return the date-time, None for a zero date; and whether it is Hijri.

    One that is written without an offset is naive; `/Date(…)/` never is.

    Raises NoDay or ValueError.
    """
    value = without_marks(value)
    if ticks := _TICKS.fullmatch(value):
        return _instant(ticks, zone), False
    written = _MOMENT.fullmatch(value)
    if not written:
        raise ValueError(NO_DATE)
    if written["day"] in _ZERO_DAYS:
        return None, False
    reads_hijri = reads_hijri and _is_hijri(written["day"])
    day = _day_of_hijri(written["day"]) if reads_hijri else _day_from_1900(written["day"])
    offset = (written["offset"] or "").upper()
    try:
        return datetime.fromisoformat(
            f"{day}T{written['time'] or '00:00'}{offset}"
        ), reads_hijri
    except ValueError:
        raise ValueError(NO_DATE) from None


def _instant(ticks: re.Match[str], zone: tzinfo) -> datetime | None:
    """Return the moment that .NET's old JSON counts in milliseconds, at its offset; None for .NET's zero date."""
    if int(ticks["ms"]) < _FIRST_MS:
        return None
    try:
        offset = (
            datetime.strptime(ticks["offset"], "%z").tzinfo if ticks["offset"] else zone
        )
        return (_EPOCH + timedelta(milliseconds=int(ticks["ms"]))).astimezone(offset)
    except (ValueError, OverflowError):
        raise ValueError(NO_DATE) from None


def _parts(day: str) -> tuple[int, int, int]:
    """Return year, month and day of an ISO text; raise ValueError for a month or day that no calendar has."""
    year, month, day_of_month = map(int, day.split("-"))
    if month > _LAST_MONTH or day_of_month > _LAST_DAY_OF_A_MONTH:
        raise ValueError(NO_DATE)
    if not month or not day_of_month:
        raise NoDay(f"{day} has a month or day of 00")
    return year, month, day_of_month


def _is_hijri(day: str) -> bool:
    """Return whether a date's year is one of the Hijri calendar's table (1343 to 1500)."""
    return hijri.FIRST_YEAR <= int(day[:4]) <= hijri.LAST_YEAR


def _day_of_hijri(day: str) -> str:
    found = hijri.to_gregorian(*_parts(day))
    if found is None:
        raise NoDay(f"the Hijri calendar (Umm al-Qura) has no {day}")
    return found.isoformat()


def _day_from_1900(day: str) -> str:
    year, _, _ = _parts(day)
    if year < int(_FIRST_DAY[:4]):
        raise NoDay(f"{day} lies before 1900")
    return day


def _in_zone(moment: datetime, zone: tzinfo) -> datetime:
    try:
        return moment.astimezone(zone)
    except OverflowError:
        raise ValueError("Lies outside the calendar (years 1 to 9999).") from None


def _clock(value: str) -> datetime:
    return datetime.strptime(value, "%H:%M:%S")
