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

import phonenumbers

# Soft hyphen, joiners, direction marks and isolates, byte-order mark: they come along when
# Arabic text is pasted, and nobody sees them (Unicode Standard, chapter 23; UAX #9).
_INVISIBLE = dict.fromkeys(
    [0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)]
)
_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "0123456789" * 2)
# Tatweel, harakat, superscript alef and Quranic marks: ornament, not letters.
_ORNAMENT = dict.fromkeys(
    {0x640, 0x670, *range(0x610, 0x61B), *range(0x64B, 0x660), *range(0x6D6, 0x6EE)} - {0x6DD, 0x6DE, 0x6E9}
)
_LETTERS = str.maketrans("أإآٱىیکة", "ااااييكه")
_UNSEEN = _INVISIBLE | _DIGITS
_FOLDED = _UNSEEN | _ORNAMENT | _LETTERS

_TITLES = {"dr", "prof", "د"}
# Words that are no given name by themselves: عبد الله and عبد الرحمن are two, as are two newborns called Baby.
_NOT_ALONE = {"عبد", "ابو", "ام", "بنت", "ابن", "طفل", "طفله", "مولود", "مولوده", "توام", "ولد"}
_NOT_ALONE |= {
    "abd",
    "abdul",
    "abdel",
    "abdal",
    "abdur",
    "abu",
    "umm",
    "um",
    "bin",
    "bint",
    "baby",
    "twin",
    "newborn",
    "al",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL_BUT_LAYOUT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LINE_END = re.compile(r"\r+\n")
_COUNTRIES = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
_PUNCTUATION = str.maketrans("", "", " ().-")
_LATE_PLUS = re.compile(r"[ ().-]\+")
_PHONE = re.compile(r"\+?[\d\s().\-\u2010-\u2015]+")

_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](?P<time>\d\d:\d\d(?::\d\d)?)(?:\.\d+)? ?(?P<offset>[Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TICKS = re.compile(r"/Date\((?P<ms>-?\d{1,15})(?P<offset>[+-]\d{4})?\)/", re.ASCII)
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Days before this one are the zero dates of .NET (0001-01-01) and SQL Server (1900-01-01).
_FIRST_DAY = "1900-01-02"
_ZERO_MS = -2_240_524_800_000  # 1899-01-01: an earlier instant is as zero, and may leave the calendar
_LONGEST_OVERNIGHT = timedelta(hours=12)

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
        raise ValueError(f"Contains a character that cannot be stored (U+{ord(found[0]):04X}); remove it.")
    return unicodedata.normalize("NFC", _LINE_END.sub("\n", value).strip())


def identifier(value: str) -> str:
    """Return the one stored form of an identifier: `doc-sarah-04` and `DOC-SARAH-04` are one."""
    if value.isascii():
        return " ".join(value.upper().split())
    return _settled(value, lambda it: unicodedata.normalize("NFKC", it).translate(_UNSEEN).upper())


def fold_name(value: str) -> str:
    """Return a name as it is compared: without case, ornament and spelling habits. Never stored."""
    if value.isascii():
        return " ".join(value.lower().split())
    return _settled(value, lambda it: unicodedata.normalize("NFKC", it).casefold().translate(_FOLDED))


def first_word(folded: str) -> str:
    """Return the first word of a folded name that is no title, or ''; the whole name if that word is no given name."""
    words = re.split(r"[\s./]+", folded)
    first = next((word for word in words if word and word not in _TITLES), "")
    return folded if first in _NOT_ALONE or first.endswith(",") else first


def contact_key(mobile: str, name: str) -> str:
    """Return the digest under which a mobile and a name are one contact (32 hex digits).

    A digest, because NFKC can make many characters of one: no column would be sure to hold them.
    """
    return hashlib.blake2b(f"{mobile}\n{fold_name(name)}".encode(), digest_size=16).hexdigest()


def slot_key(patient_id: int, day: str, time_from: str) -> str:
    """Return the text under which the bookings of one patient at one moment meet."""
    return f"{patient_id} {day} {time_from}"


def phone(value: str, region: str) -> str:
    """Return E.164 where `value` is one valid number for `region` (ISO 3166-1), else `value` as sent."""
    if is_phone(value):
        return value
    kept = unicodedata.normalize("NFC", value.translate(_INVISIBLE).strip())
    return _e164(kept, region) or kept


@lru_cache(maxsize=1 << 12)  # asked for twice for each
def is_phone(stored: str) -> bool:
    """Tell whether a stored phone is a valid number, and not kept as it was sent."""
    if not stored.startswith("+"):
        return False
    plain = _plain_numbers(stored[1:4])
    return bool(plain and plain.fullmatch(stored)) or _e164(stored, "ZZ") == stored


def calendar_date(value: str, zone: tzinfo) -> str | None:
    """Return the ISO date that is meant, or None for a zero date.

    With an offset `value` is an instant and counts in `zone`; written as midnight, or without
    an offset, a whole day was meant, and the date as written counts.
    """
    if _DAY.fullmatch(value) and value >= _FIRST_DAY and _is_day(value):
        return value
    moment = _moment(value, zone)
    if moment is None:
        raise ValueError(NO_DATE)
    written = moment.date().isoformat()
    if moment.tzinfo and written >= _FIRST_DAY and moment.strftime("%H:%M:%S") != MIDNIGHT:
        written = _in_zone(moment, zone).date().isoformat()
    return written if written >= _FIRST_DAY else None


def clock_time(value: str, zone: tzinfo) -> str:
    """Return the time of day that is meant as HH:MM:SS; fractions of a second are dropped.

    The time of a date-time with an offset counts in `zone`; with a zero date it counts as written.
    """
    value = _readable(value)
    if _CLOCK.fullmatch(value):
        value = f"{_FIRST_DAY}T{value}"
    moment = _moment(value, zone) if ":" in value or value.startswith("/") else None
    if moment is None:
        raise ValueError(NO_TIME)
    if moment.tzinfo and moment.date().isoformat() >= _FIRST_DAY:
        moment = _in_zone(moment, zone)
    return moment.strftime("%H:%M:%S")


def ends_well(time_from: str, time_to: str) -> bool:
    """Tell whether a booking ends after it starts, on the same day or past midnight within 12 hours."""
    return time_from < time_to or timedelta() < duration(time_from, time_to) <= _LONGEST_OVERNIGHT


def duration(time_from: str, time_to: str) -> timedelta:
    """Return how long a booking lasts (0 up to 24 h); one that ends before it starts ends past midnight."""
    return (_clock(time_to) - _clock(time_from)) % timedelta(days=1)


def time_after(time_from: str, lasting: timedelta) -> str:
    """Return the time of day `lasting` after `time_from`, past midnight where it must."""
    return (_clock(time_from) + lasting).strftime("%H:%M:%S")


def _settled(value: str, step: Callable[[str], str]) -> str:
    """Repeat `step` until nothing changes: a form is canonical only if it is its own canonical form."""
    after = " ".join(step(value).split())
    return after if after == value else _settled(after, step)


def plain_dates(end: int) -> re.Pattern:
    """Return a pattern of ISO dates that surely are real ones, from 1900-01-02 to before the year `end`."""
    decade, year = divmod(end, 10)
    years = [rf"{it}\d" for it in range(190, decade)] + [f"{decade}[0-{year - 1}]"] * (year > 0)
    day = r"(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31"
    return re.compile(rf"(?!1900-01-01)(?:{'|'.join(years)})-(?:{day})", re.ASCII)


def _is_day(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _readable(value: str) -> str:
    return value if value.isascii() else value.translate(_UNSEEN)


@lru_cache(maxsize=1 << 10)
def _plain_numbers(start: str) -> re.Pattern | None:
    """Return a pattern of E.164 numbers, given their first digits, that are surely valid: it spares most the parser.

    Only where one region has the calling code to itself; and numbers that begin like its national prefix are left to
    the library, which may take them for something else.
    """
    codes = [start[:size] for size in (1, 2, 3) if re.fullmatch("[1-9][0-9]*", start[:size])]
    country = next((code for code in codes if int(code) in _COUNTRIES), "0")
    regions = _COUNTRIES.get(int(country), ())
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(regions[0]) if len(regions) == 1 else None
    if metadata is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    kinds = (metadata.mobile, metadata.fixed_line)
    plain = "|".join(kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern)
    general = metadata.general_desc and metadata.general_desc.national_number_pattern
    return re.compile(rf"\+{country}{f'(?!{prefix})' if prefix else ''}(?=(?:{general})$)(?:{plain})", re.A | re.M)


def phone_lines(lines: str, region: str) -> str:
    """Return lines in which numbers stand without blanks, those as people of a region write them with its calling code.

    Only what is a plain number then was surely meant so: it spares most numbers the parser. Each line has its end.
    """
    lines, (code, local) = f"\n{_readable(lines)}", _local_line(region)
    if lines.count("+") > lines.count("\n+"):  # "(+966) 55" is no number
        lines = _LATE_PLUS.sub("?", lines)
    return local.sub(f"\n{code}", lines.translate(_PUNCTUATION))[1:]


def plain_numbers(region: str) -> re.Pattern | None:
    """Return a pattern of E.164 numbers that are surely valid ones of a region, of each line of a text or of none."""
    return _plain_numbers(str(phonenumbers.country_code_for_region(region)))


@lru_cache(maxsize=1 << 16)
def _e164(value: str, region: str) -> str | None:
    # More than a number (letters, an extension, a second number) would be cut: it is not one.
    return _parsed(value, region) if _PHONE.fullmatch(value) else None


@lru_cache
def _local_line(region: str) -> tuple[str, re.Pattern]:
    """Return the calling code, and what it stands for in a line's beginning; nothing where the plan has exceptions."""
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


def _moment(value: str, zone: tzinfo) -> datetime | None:
    """Return the date-time as it is written (naive without an offset), or None if it is none."""
    value = _readable(value)
    ticks = _TICKS.fullmatch(value)
    written = _MOMENT.fullmatch(value)
    try:
        if ticks:
            place = datetime.strptime(ticks["offset"], "%z").tzinfo if ticks["offset"] else zone
            return (_EPOCH + timedelta(milliseconds=max(int(ticks["ms"]), _ZERO_MS))).astimezone(place)
        if written:
            offset = (written["offset"] or "").upper()
            return datetime.fromisoformat(f"{written['day']}T{written['time'] or '00:00'}{offset}")
    except (ValueError, OverflowError):
        pass
    return None


def _in_zone(moment: datetime, zone: tzinfo) -> datetime:
    try:
        return moment.astimezone(zone)
    except OverflowError:
        raise ValueError("Lies outside the calendar (years 1 to 9999).") from None


def _clock(value: str) -> datetime:
    return datetime.strptime(value, "%H:%M:%S")
