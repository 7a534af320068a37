"""Parts of the fields: JSON schemas, what warnings repeat, limits, and which columns are left as they are."""

import re
from datetime import UTC
from typing import Any

import pytest
from test_values import SCHEMAS

from engine.fields import (
    ABSENT,
    LARGEST_ID,
    WRONG,
    Doubt,
    Instant,
    Text,
    first_of,
    shown,
)


def field(path: str) -> Any:
    entity, name = path.split(".")
    return SCHEMAS[entity].load_fields[name]


FIELDS = [
    f"{entity}.{name}" for entity, schema in SCHEMAS.items() for name in schema.load_fields
]

# --- JSON schemas ---------------------------------------------------------------------------------

# Of each kind of field: what may be sent, and what may not, as far as a JSON schema can say it.
FITS = {
    "patient.name": (["Ali", " Ali ", "علي"], ["", "  ", "a\nb"]),
    "patient.patient_no": (["P-1", " p 1 ", "", "  "], ["a\nb", "a\x00b"]),
    "appointment.notes": (["a\nb", "a\tb", ""], ["a\x00b"]),
    "patient.gender": (["male", "F", " ذكر ", "N/A", ""], ["ma le", "otherwise"]),
    "patient.blood_type": (["O+", "o +", "AB -", "n/a", ""], ["C+"]),
    "patient.date_of_birth": (
        ["2020-06-15", "2020-06-15T10:30:00Z", "/Date(1592179200000)/", "N/A", ""],
        ["15/06/2020", "2020-13-15"],
    ),
    "appointment.time_from": (
        ["10:30", "10:30:00", "2020-06-15T10:30:00"],
        ["25:00", "24:00"],
    ),
    "appointment.time_to": (["10:30", "24:00", "1.00:00:00"], ["25:00", "24:01"]),
    "patient.is_active": (["true", "YES", "نعم", "-1", "0", ""], ["maybe", "2"]),
    "appointment.patient_id": (["0", "000", "-17", "N/A", ""], ["17", "x"]),
}


def pattern(name: str) -> str:
    """Return the pattern of what may be sent, which must be one of a JSON schema."""
    found = field(name).sent_schema()["pattern"]
    assert found.startswith("^")
    assert found.endswith("$")
    return found[:-1] + r"\Z"


@pytest.mark.parametrize("name", [name for name in FITS if name in FIELDS])
def test_the_pattern_of_what_is_sent_takes_what_the_field_takes(name: str) -> None:
    fit, unfit = FITS[name]
    assert [text for text in fit if not re.match(pattern(name), text)] == []
    assert [text for text in unfit if re.match(pattern(name), text)] == []


def test_each_example_of_a_pattern_is_a_field() -> None:
    assert set(FITS) - set(FIELDS) == set()


@pytest.mark.parametrize("name", FIELDS)
def test_a_length_in_a_schema_is_the_fields_own(name: str) -> None:
    this = field(name)
    for schema in (this.sent_schema(), this.answered_schema()):
        assert schema.get("maxLength", this.length) == this.length
        assert schema["type"] if "anyOf" not in schema else schema["anyOf"]


def test_the_schemas_of_numbers_name_their_bounds() -> None:
    flag, record_id = field("patient.is_active"), field("appointment.patient_id")
    assert (flag.sent["minimum"], flag.sent["maximum"]) == (-1, 1)
    assert flag.answered == {"type": "boolean"}
    assert (record_id.sent["maximum"], record_id.answered["minimum"]) == (LARGEST_ID, 1)
    assert record_id.present == {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}
    assert LARGEST_ID == 9_223_372_036_854_775_807  # of a 64-bit integer


@pytest.mark.parametrize("name", ["patient.gender", "patient.blood_type"])
def test_a_choice_is_described_by_its_values(name: str) -> None:
    this = field(name)
    assert this.sent_schema()["type"] == ["string", "null"]
    assert this.sent_schema()["examples"] == [*this.choices]
    assert this.answered_schema() == {"type": "string", "enum": [*this.choices]}


@pytest.mark.parametrize("name", FIELDS)
def test_words_for_the_reference_say_what_is_special(name: str) -> None:
    this = field(name)
    assert ("line breaks stay" in this.accepts) == getattr(this, "layout", False)
    assert ("not in the future" in this.accepts) == getattr(this, "birth", False)


def test_an_instant_is_answered_in_utc() -> None:
    instant = Instant()
    assert instant._serialize("2026-06-15 09:00:00", "at", {}) == "2026-06-15T09:00:00Z"
    assert instant._serialize(None, "at", {}) is None


# --- What a warning repeats -----------------------------------------------------------------------


def test_a_warning_repeats_80_characters_of_a_value() -> None:
    assert shown("x" * 79) == f'"{"x" * 79}"'
    assert shown("x" * 80) == f'"{"x" * 80}"'
    assert shown("x" * 81) == f'"{"x" * 80}…"'
    assert shown(17) == '"17"'


def test_a_warning_names_a_hundred_things_and_counts_the_rest() -> None:
    things = [f"f{number}" for number in range(250)]
    assert first_of(things[:99]) == things[:99]
    assert first_of(things[:100]) == things[:100]
    assert first_of(things[:101]) == [*things[:100], "… and 1 more"]
    assert first_of(things) == [*things[:100], "… and 150 more"]


def test_a_list_of_codes_tells_which_of_them_it_leaves_out() -> None:
    codes = field("doctor.clinic_codes")
    assert codes.clean(["C-2", "C-1", "C-2"]) == ("C-1", "C-2")
    made = codes.clean(["C-1", "n/a", "0"])
    assert isinstance(made, Doubt)
    assert made.value == ("C-1",)
    assert made.warning == '"n/a" stands for none, left out; "0" stands for none, left out'


# --- Limits ---------------------------------------------------------------------------------------


def test_a_value_may_be_as_long_as_its_field() -> None:
    for name, end in (("patient_no", "1"), ("name", "i"), ("email", "@mail.example")):
        this = field(f"patient.{name}")
        longest = "A" * (this.length - len(end)) + end
        assert [*this.clean_all([longest] * 3)] == [longest] * 3
        assert [*this.clean_all(["A" + longest] * 3)] == [WRONG] * 3


# --- Columns that stay as they are ----------------------------------------------------------------

PLAIN = {
    "patient.patient_no": ["P-1", "P-2", "10928"],
    "patient.name": ["Ali Hassan", "علي حسن", "A"],
    "patient.national_id": ["784199012345671", "1"],
    "patient.mobile": ["+966502222222", "+966503333333"],
    "patient.email": ["ali@mail.example", "b.c@mail.example"],
    "patient.date_of_birth": ["1990-05-05", "2020-02-28"],
    "patient.is_active": [True, False],
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_column_that_stays_as_it_is_comes_back_itself(name: str) -> None:
    column = PLAIN[name] * 2
    assert field(name).clean_all(column) is column
    assert [*field(name).clean_all(column[:1])] == column[:1]


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("at", range(3))
def test_one_odd_value_changes_no_other(name: str, at: int) -> None:
    column: list[Any] = [*PLAIN[name][:1], *PLAIN[name]]
    column.insert(at, "????")
    made = [*field(name).clean_all(column)]
    alone = field(name).cleaned("????")
    assert repr(made[at]) == repr(alone)
    assert made[:at] + made[at + 1 :] == column[:at] + column[at + 1 :]


def test_what_recurs_is_cleaned_once() -> None:
    class Counted(Text):
        times = 0

        def form(self, text: str) -> str:
            Counted.times += 1
            return text

    text = Counted("a text")
    text.schema = type("Region", (), {"phone_region": "SA", "zone": UTC})()
    assert text.clean_all(["?!", "?!", None, "?!"])[2] is ABSENT
    assert Counted.times == 1
    rare = Counted("a text", recurs=False)
    rare.schema = text.schema
    rare.clean_all(["é", "é"])
    assert Counted.times == 3


@pytest.mark.parametrize("mark", ["\u200f", "\u200b", "\ufeff"])
@pytest.mark.parametrize(
    "name", ["patient.patient_no", "patient.national_id", "clinic.code"]
)
def test_an_identifier_in_which_a_mark_hid_damage_is_left_out(name: str, mark: str) -> None:
    made = field(name).clean(f"A{mark}?B")
    assert isinstance(made, Doubt)
    assert made.value is ABSENT
    assert made.warning.endswith("letters were lost before sending; send UTF-8, left out")
    assert field(name).clean(f"A{mark}B-1") == "AB-1"
