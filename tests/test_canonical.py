"""Canonical forms, part by part: which characters count, which days and numbers surely stay as they are."""

import re
import unicodedata
from datetime import UTC

import phonenumbers
import pytest

from engine import canonical

BMP = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]


def those(ranges: str) -> set[str]:
    """Return the characters of such a text: `00AD 200B-200F`."""
    ends = [
        [int(end, 16) for end in part.partition("-")[::2] if end] for part in ranges.split()
    ]
    return {chr(code) for found in ends for code in range(found[0], found[-1] + 1)}


# What nobody sees: soft hyphen, joiners, direction marks and isolates, the byte order mark.
UNSEEN = those("00AD 034F 061C 180E 200B-200F 202A-202E 2060-206F FEFF")
# Tatweel, harakat and Quranic marks; not the signs between them that are no marks of a letter.
ORNAMENTS = those("0610-061A 0640 064B-065F 0670 06D6-06DC 06DF-06E8 06EA-06ED")


def test_what_nobody_sees_makes_nothing_visible() -> None:
    hidden = {char for char in BMP if not canonical.is_visible(char)}
    assert {char for char in hidden if char.strip()} == UNSEEN
    assert {char for char in BMP if canonical.identifier(f"A{char}B") == "AB"} == UNSEEN


def test_ornaments_of_a_name_make_no_other_one() -> None:
    composed = [char for char in BMP if unicodedata.is_normalized("NFKC", char)]
    same = {char for char in composed if canonical.fold_name(f"د{char}م") == "دم"}
    assert same == UNSEEN | ORNAMENTS


@pytest.mark.parametrize("name", ["عبد الله", "ابو علي", "ال سعود"])
def test_a_blank_behind_these_words_makes_no_other_name(name: str) -> None:
    joined = name.replace(" ", "")
    assert canonical.fold_name(name) == canonical.fold_name(joined)
    assert canonical.fold_name(f"سعد {name}") == canonical.fold_name(f"سعد {joined}")


@pytest.mark.parametrize("name", ["سعد علي", "نو علي", "جمال علي", "خالد الله"])
def test_a_blank_behind_other_words_does(name: str) -> None:
    assert canonical.fold_name(name) != canonical.fold_name(name.replace(" ", ""))


def test_a_contact_key_has_128_bits() -> None:
    key = canonical.contact_key("+966502222222", "ali")
    assert re.fullmatch("[0-9a-f]{32}", key)


# --- Days -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [1901, 1910, 2019, 2020, 2026, 2027, 2030, 2100])
def test_a_sure_day_lies_before_the_year_that_was_given(end: int) -> None:
    sure = canonical.sure_dates(end)
    found = [year for year in range(1800, 2300) if sure.fullmatch(f"{year}-05-05")]
    assert found == [*range(1900, end)]


MS_OF_A_DAY = 86_400_000
NET_ZERO = -62_135_596_800_000  # 0001-01-01 in milliseconds from 1970


def day(text: str) -> str | None:
    return canonical.calendar_date(text, UTC)[0]


def test_dot_nets_zero_date_is_none_at_every_offset() -> None:
    for moved in (-MS_OF_A_DAY // 2, 0, MS_OF_A_DAY, 2 * MS_OF_A_DAY - 1):
        assert day(f"/Date({NET_ZERO + moved})/") is None
    for moved in (2 * MS_OF_A_DAY, 3 * MS_OF_A_DAY):
        with pytest.raises(canonical.NoDay, match="before 1900"):
            day(f"/Date({NET_ZERO + moved})/")


def test_the_first_day_is_the_second_of_1900() -> None:
    assert day("1900-01-01") is None
    assert day("1900-01-02") == "1900-01-02"
    assert day("1900-01-02T00:00:00") == "1900-01-02"
    assert day("1900-01-03") == "1900-01-03"
    for before in ("1899-12-29", "1899-12-29T00:00:00"):
        with pytest.raises(canonical.NoDay, match="before 1900"):
            canonical.calendar_date(before, UTC, reads_hijri=False)


# --- Phones ---------------------------------------------------------------------------------------

ALONE = ["SA", "AE", "EG", "JO", "TR", "DE", "FR", "KW", "OM", "SY"]
SHARED = [
    "US",
    "CA",
    "GB",
    "RU",
    "KZ",
    "IT",
    "MA",
    "NO",
]  # calling codes of several regions


@pytest.mark.parametrize("region", ALONE)
def test_a_usual_number_of_a_region_is_sure(region: str) -> None:
    sure = canonical.sure_numbers(region)
    assert sure
    for kind in (
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE,
    ):
        example = phonenumbers.example_number_for_type(region, kind)
        number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        assert sure.fullmatch(number), number
        assert canonical.is_phone(number)
        assert not sure.fullmatch(number + "0" * 9)
        assert not sure.fullmatch(number[1:])


@pytest.mark.parametrize("region", SHARED)
def test_of_a_calling_code_that_regions_share_no_number_is_sure(region: str) -> None:
    assert canonical.sure_numbers(region) is None


def test_a_number_that_begins_like_its_national_prefix_is_left_to_the_library() -> None:
    sure = canonical.sure_numbers("SA")
    assert sure
    assert not sure.fullmatch("+9660502222222")
    assert re.fullmatch(f"(?:{sure.pattern}\n)+", "+966502222222\n+966503333333\n", re.M)
