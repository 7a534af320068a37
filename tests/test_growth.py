"""What is sent takes time and memory in proportion to its length, whatever it is."""

import gc
import re
import time
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterator
from itertools import cycle, islice, pairwise
from typing import Any

import pytest
from conftest import API, KEY, Http
from hypothesis import example, given
from hypothesis import strategies as st
from test_every_value import FORMS, any_text
from test_values import BOM, FIELDS, LEAST, RLM, SCHEMAS, ZWJ, record_with, sixteenfold

from engine import canonical, fields
from engine.problems import ValidationFailed

Record = dict[str, Any]

# --- How growth is measured --------------------------------------------------------------------

FLOOR = 0.005  # seconds: what takes less at its largest is no danger
# So much more input may take so much more time: what is refused is looked at twice. What is quadratic takes 64 times
# as much.
TIMES, MOST = 8, 24
TRIALS = 5


def cpu_time(work: Callable[[], Any]) -> float:
    """Return the seconds that work takes, without those of the garbage collector: they depend on the other tests."""
    gc.disable()
    started = time.thread_time()
    try:
        work()
        return time.thread_time() - started
    finally:
        gc.enable()


def growth(small: Callable[[], Any], large: Callable[[], Any]) -> float:
    """Return how many times as long the larger work takes, each in its best trial; 0 if it takes no time.

    It is tried again only as long as it seems too much.
    """
    briefest, longest = cpu_time(small), cpu_time(large)
    for _ in range(TRIALS):
        if longest < FLOOR:
            return 0.0
        if longest <= MOST * briefest:
            break
        briefest = min(briefest, cpu_time(small))
        longest = min(longest, cpu_time(large))
    return longest / briefest


def test_growth_tells_what_is_quadratic_from_what_is_linear():
    def steps(count: int) -> Callable[[], Any]:
        return lambda: sum(range(count))

    assert growth(steps(10**5), steps(TIMES * 10**5)) <= MOST
    assert growth(steps(10**5), steps(TIMES**2 * 10**5)) > MOST


# --- Hostile texts -----------------------------------------------------------------------------

# Marks in the wrong order, of one class and of several; those that decompose into others; letters that bring some.
MARKS = (
    "\u0301\u0316",
    "\u0301\u0345\u0316\u05b0\u0f71\u0334",
    "\u0344\u0316",
    "\uff9e\u0334",
    "\u0651\u064b\u0654\u06ed",
    "\u01d6\u0327",
    "\u0f77\u0f81",
    "\U0001d160\U0001d16d",
    "e\u0301",
)
LETTERS = (
    *("\u1100\u1161\u11a8", "\u1161", "\uac00", "\u304b\u3099", "\ufdfa", "\ufefb"),
    *(
        "أ",
        "ة\u0640",
        "\u0640",
        "عبد ",
        "ابو عبد ",
        "ال ",
        "د ",
        "ß",
        "İ",
        "ΐ",
        "ᾳ\u0308\u0345",
    ),
    *("😀", "a", "A b", "\u00a8", "ﬁ"),
)
UNSEEN = (ZWJ, RLM, BOM, "\u034f", f"A{ZWJ}\u0301", f"1{RLM}")
BLANKS = ("\r", "\r\r\n", "\n", "\t", " ", "\u00a0", "\u3000", " \n", ". ")
SIGNS = (
    *("'", "’", "‘`", "?", "؟", "!?", "a?", "??a", "?? ", "\ufffd", "a\ufffd", '"', "\\"),
    *(".", "a.", "-", "- ", "_", "+", "(", "{", "@", "a@", "a@b.", "/", ":", "%", "xn--"),
)
DIGITS = ("0", "9", "١", "۹-", "00-", "0 5", "+966", "1.", ".0", "1E", "00:", "0}", "2026-")
UNITS = (*MARKS, *LETTERS, *UNSEEN, *BLANKS, *SIGNS, *DIGITS)
# A run that ends in what does not fit makes a pattern look for another way.
ENDS = (("", ""), ("1", "1"), ("a@?? ", ".z"))


def repeated(unit: str, length: int) -> str:
    return (unit * (length // len(unit) + 1))[:length]


def hostile_texts(length: int) -> Iterator[str]:
    for unit in UNITS:
        for before, after in ENDS:
            middle = repeated(unit, length - len(before) - len(after))
            yield f"{before}{middle}{after}"
    for first, second in pairwise(UNITS):
        yield repeated(first, length // 2) + repeated(second, length // 2)


# --- Time --------------------------------------------------------------------------------------

LONG = 8_000  # characters, of which a quadratic form takes many times FLOOR


@pytest.mark.parametrize(("entity", "name"), FORMS.values())
def test_no_text_takes_more_time_than_its_length(entity, name):
    schema, field = SCHEMAS[entity], SCHEMAS[entity].load_fields[name]

    def clean(text: str) -> Callable[[], Any]:
        return lambda: schema.clean_all([record_with(entity, name, text)])

    large = min(sixteenfold(field), LONG)
    texts = zip(hostile_texts(large // TIMES), hostile_texts(large), strict=True)
    grown = [(text[:20], growth(clean(small), clean(text))) for small, text in texts]
    assert [(text, times) for text, times in grown if times > MOST] == []


@pytest.mark.parametrize(("entity", "name"), FORMS.values())
def test_no_column_takes_more_time_than_its_values(entity, name):
    schema, field = SCHEMAS[entity], SCHEMAS[entity].load_fields[name]
    texts = [*hostile_texts(field.length or fields.IDENTIFIER)]

    def clean(count: int) -> Callable[[], Any]:
        own = (f"{text[:-4]}{at:04}" for at, text in enumerate(islice(cycle(texts), count)))
        records = [record_with(entity, name, text) for text in own]
        return lambda: schema.clean_all(records)

    assert growth(clean(50), clean(TIMES * 50)) <= MOST


def records_of_own_names(count: int) -> list[Record]:
    return [LEAST["patient"] | {f"unknown{number}": 1} for number in range(count)]


def one_of_many_names(count: int) -> list[Record]:
    return [LEAST["patient"] | {f"unknown{number}": 1 for number in range(count)}]


def one_with_a_long_name(count: int) -> list[Record]:
    return [LEAST["patient"] | {"İ" * count: 1}]


def one_with_many_codes(count: int) -> list[Record]:
    codes = [f"C-{number}" if number % 2 else f"-{number}" for number in range(count)]
    return [LEAST["doctor"] | {"clinicCodes": codes}]


def one_with_a_long_number(count: int) -> list[Record]:
    return [{"patientNo": fields.Decimal(f"1.{'0' * count}")}]


@pytest.mark.parametrize(
    ("records", "count"),
    [
        (records_of_own_names, 5_000),
        (one_of_many_names, 20_000),
        (one_with_a_long_name, 100_000),
        (one_with_many_codes, 5_000),
        (one_with_a_long_number, 100_000),
    ],
)
def test_no_record_and_no_list_takes_more_time_than_its_parts(records, count):
    def clean(count: int) -> Callable[[], Any]:
        batch = records(count)
        entity = "doctor" if "code" in batch[0] else "patient"
        return lambda: SCHEMAS[entity].clean_all(batch)

    assert growth(clean(count), clean(TIMES * count)) <= MOST


# --- Memory ------------------------------------------------------------------------------------

HUGE = 2**18  # characters: each takes a byte or more


def peak(work: Callable[[], Any]) -> int:
    """Return the bytes that work takes at its worst."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("entity", "name"), FIELDS)
def test_a_text_of_more_than_sixteen_times_its_limit_is_refused_as_it_is(entity, name):
    """Not even a copy is made of it, in a column or by the road that gathers errors."""
    for character in ("a", "0", " ", "é", "\u0301", "\ufdfa"):
        record = record_with(entity, name, character * HUGE)
        records = [record, LEAST[entity], record]
        assert peak(lambda batch=records: SCHEMAS[entity].clean_all(batch)) < HUGE / 2
        assert sorted(SCHEMAS[entity].clean_all(records).refused) == [0, 2]


@pytest.mark.parametrize(("entity", "name"), FIELDS)
def test_blanks_count_up_to_sixteen_times_the_limit(entity, name):
    """Whatever a blank is to a field: one more than the limit is another fault."""
    most = sixteenfold(SCHEMAS[entity].load_fields[name])
    blank, long, longer = (
        answer(entity, name, " " * length) for length in (1, most, most + 1)
    )
    assert long == blank != longer


def answer(entity: str, name: str, text: str) -> Any:
    try:
        return SCHEMAS[entity].clean(record_with(entity, name, text))
    except ValidationFailed as refusal:
        return refusal.errors


def test_a_filter_is_refused_like_a_value(http: Http):
    query = {
        "patientNo": " " * sixteenfold(SCHEMAS["patient"].load_fields["patient_no"]) + "P-1"
    }
    told = http.client.get(
        f"{API}/patients", query_string=query, headers={"X-API-Key": KEY}
    )
    assert told.status_code == 400
    assert told.json["detail"] == "patientNo: Longer than 64 characters."


def test_a_name_of_a_field_that_is_not_known_is_not_copied():
    record = LEAST["patient"] | {"x" * HUGE: 1}
    assert peak(lambda: SCHEMAS["patient"].clean_all([record])) < HUGE / 2


def test_a_record_of_many_unknown_fields_names_some_and_counts_the_others():
    _, warnings = SCHEMAS["patient"].clean(one_of_many_names(100_000)[0])
    assert warnings[:2] == ["unknown field: unknown0", "unknown field: unknown1"]
    assert len(warnings) == fields.NAMED + 1
    assert warnings[-1] == f"unknown field: … and {100_000 - fields.NAMED} more"


def test_a_list_of_many_odd_codes_names_some_and_counts_the_others():
    odd = [*["-"] * 100_000, "C-1"]
    data, (warning,) = SCHEMAS["doctor"].clean(LEAST["doctor"] | {"clinicCodes": odd})
    assert data["clinic_codes"] == ("C-1",)
    assert warning.count("stands for none") == fields.NAMED
    assert warning.endswith(f"; … and {100_000 - fields.NAMED} more")


def test_a_doctor_of_many_unknown_clinics_is_told_of_some_and_of_how_many_more(
    sqlite_portal,
):
    codes = [f"C-{number}" for number in range(2 * fields.NAMED)]
    told = sqlite_portal.send("doctor", code="D-1", name="Huda", clinicCodes=codes)
    assert len(told["warnings"]) == fields.NAMED + 1
    assert told["warnings"][-1] == f"clinicCodes: … and {fields.NAMED} more"


# --- Forms -------------------------------------------------------------------------------------

odd_marks = st.text(
    st.sampled_from(sorted({*"".join(MARKS + LETTERS)} - {"\ufdfa"})), min_size=1
)
long_texts = st.lists(odd_marks, min_size=1).map(
    lambda words: " ".join(repeated(word, canonical.FEW + 1) for word in words)
)


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@given(text=long_texts | any_text)
@example(text="a" + "\u0301\u0316" * canonical.FEW)
@example(text="\u0301" * canonical.FEW + " \u0316\u0301")
def test_a_text_is_normalized_as_unicode_says(form, text):
    assert canonical.normalized(form, text) == unicodedata.normalize(form, text)


@given(text=st.text("\r\na"))
def test_line_breaks_become_one_character_each(text):
    expected = re.sub("\r+\n", "\n", f"a{text}a")
    assert canonical.text(f"a{text}a", layout=True) == expected


@pytest.mark.parametrize("form", [canonical.identifier, canonical.fold_name])
@given(text=any_text | odd_marks)
@example(text="\u0345\u1fbe\u0344\u2126\u0f72\u06cc")
def test_a_form_is_settled_after_few_rounds(form, text):
    """Each round is of linear time: none may call for another one without end."""
    rounds = []

    def counted(*args: str) -> str:
        rounds.append(args)
        return unicodedata.normalize(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canonical, "normalized", counted)
        form(f"{text}{len(text)}é")
    assert len(rounds) <= 4
