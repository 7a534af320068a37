"""What holds for every value, whatever is sent."""

import json
import unicodedata
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError
from test_values import (
    BOM,
    LEAST,
    RIYADH,
    RLM,
    SCHEMAS,
    ZWJ,
    one_value,
)

import schemas
from engine import canonical, fields
from engine.entity import NO_OBJECT, Batch, Entity, json_name
from engine.problems import ValidationFailed

# --- What holds for every value ----------------------------------------------------------------

letters = st.characters(exclude_categories=["Cs"])
odd_letters = st.sampled_from(
    [*"ßİıſKﷺﬁأإآٱىیکةـَّ٠۹ＰA aǰΐ\u0345\u0301", RLM, ZWJ, BOM, "\u00a0", "\u034f", "\u1e9e"]
)
any_text = st.text(odd_letters) | st.text(letters | odd_letters)
any_phone = (
    st.text(st.sampled_from([*"0123456789٠١٢٣+-() .x/", RLM]), max_size=16) | any_text
)


@given(any_text)
@example(f"A{ZWJ}\u0301")  # composes only when the joiner is gone
def test_an_identifier_is_its_own_canonical_form(text):
    once = canonical.identifier(text)
    assert canonical.identifier(once) == once


@given(any_text)
@example(f"A{ZWJ}\u0301")
def test_a_folded_name_is_its_own_folded_form(text):
    once = canonical.fold_name(text)
    assert canonical.fold_name(once) == once


@given(
    st.text(
        st.characters(max_codepoint=0x24F)
        | st.characters(min_codepoint=0x600, max_codepoint=0x6FF)
    )
)
def test_case_and_composition_make_no_other_identifier(latin_or_arabic):
    spellings = [
        latin_or_arabic.upper(),
        *(unicodedata.normalize(form, latin_or_arabic) for form in ("NFC", "NFD", "NFKD")),
    ]
    assert {canonical.identifier(spelling) for spelling in spellings} == {
        canonical.identifier(latin_or_arabic)
    }


local_phone = st.from_regex(
    r"\(?0{0,2}[0-9٠-٩]{1,3}[ ().-]{0,2}[0-9]{2,4}[ -]{0,2}[0-9]{2,4}", fullmatch=True
)
written_phone = st.from_regex(
    r"[ (]?\+(966|20|44|49|1|39)\)?[ ().-]{0,2}0?[1-9][0-9][ ().-]{0,2}[0-9]{3}[ -]?[0-9]{4,5}",
    fullmatch=True,
)
regions = st.sampled_from(
    [
        "SA",
        "AE",
        "KW",
        "QA",
        "EG",
        "JO",
        "YE",
        "IL",
        "GB",
        "DE",
        "IT",
        "FR",
        "US",
        "AU",
        "KR",
        "BR",
    ]
)


@settings(max_examples=10 * settings.default.max_examples)
@given(local_phone | written_phone | any_phone, regions)
@example("(+966) 551234567", "SA")
@example(" +966551234567", "SA")
def test_a_number_that_skips_the_parser_is_what_the_parser_makes_of_it(sent, region):
    number = plainly(sent, region)
    assert number is None or number == canonical.phone(sent, region)


@pytest.mark.parametrize(
    "sent",
    [
        "0551234567",
        "055 123 4567",
        "(055) 123-4567",
        "٠٥٥١٢٣٤٥٦٧",
        "+966 55 123 4567",
        "+966-55-1234567",
    ],
)
def test_a_usual_number_skips_the_parser(sent):
    assert plainly(sent, "SA") == "+966551234567"


def plainly(sent: str, region: str) -> str | None:
    """Return what a number is in a column, if it needs no second look there."""
    field = schemas.PatientSchema(region, RIYADH).load_fields["mobile"]
    line, plain = field.spell(f"\n{sent}\n")[1:-1], canonical.sure_numbers(region)
    return line if plain and "\n" not in sent and plain.fullmatch(line) else None


@given(any_phone, st.sampled_from(["SA", "AE", "US", "IT"]))
def test_a_stored_phone_is_its_own_canonical_form(text, region):
    once = canonical.phone(text, region)
    assert canonical.phone(once, region) == once


moments = st.datetimes() | st.datetimes(timezones=st.timezones())


@given(st.dates().map(str) | moments.map(str) | moments.map(datetime.isoformat))
def test_a_canonical_date_means_itself(text):
    try:
        once, _ = canonical.calendar_date(text, RIYADH)
    except (
        ValueError
    ):  # the last hours of 9999, an offset with seconds, or no day of today's calendars
        return
    assert once is None or canonical.calendar_date(once, RIYADH) == (once, False)


strings = st.sampled_from(
    [
        *(
            "",
            " ",
            "a",
            "P-1",
            "0502222222",
            "123",
            "a@mail.example",
            "a@\u2025.example",
            "M",
            "o+ve",
            "true",
            RLM,
            "x" * 201,
        ),
        *(
            "2026-06-15",
            "2026-06-14T21:00:00Z",
            "/Date(0)/",
            "0001-01-01",
            "9999-12-31T23:59:59-12:00",
            "10:30",
            "23:45",
        ),
        *("00:00", "e\u0301" * 200, "a\0b", "\ud83d", "a\r\nb"),
        *(
            "-",
            "N/A",
            "#n/a",
            "(null)",
            "لا يوجد",
            "Unknown",
            "0",
            "000",
            "-1",
            "{00000000-0000}",
            "9999999999",
        ),
        *(
            "10000000",
            "123456789",
            "???",
            "؟؟ علي",
            "M?hammed",
            "\ufffd",
            "P\ufffd1",
            ".",
            "1.08E+09",
            "12E5",
            "1e5",
        ),
        *(
            "'00123",
            "77.0",
            "784-1990-1",
            "50222222.0",
            "502222222.0",
            "24:00",
            "1.00:00:00",
            "2026-06-16T00:00:00",
        ),
        *(
            "1405-03-12",
            "1405-02-30",
            "1448-06-21T00:00:00",
            "0000-00-00",
            "1980-00-00",
            "1880-05-05",
            "Baby",
            "Test",
        ),
    ]
) | st.text(max_size=30)
scalars = (
    st.none() | st.booleans() | st.integers() | st.integers(-2, 2) | st.floats() | strings
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=3),
)


def sent_records(entity: str) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from([json_name(name) for name in SCHEMAS[entity].load_fields])
    spelt = names | names.map(str.upper) | strings
    return st.dictionaries(spelt, values, max_size=8).map(
        lambda record: LEAST[entity] | record
    )


@pytest.mark.parametrize("entity", LEAST)
@given(data=st.data())
def test_whatever_is_sent_is_taken_or_refused_and_never_fails(entity, data):
    schema = SCHEMAS[entity]
    try:
        cleaned, warnings = schema.clean(data.draw(sent_records(entity)))
    except ValidationFailed as refusal:
        assert refusal.errors
        assert all(
            isinstance(sentence, str)
            for sentences in refusal.errors.values()
            for sentence in sentences
        )
    else:
        assert set(cleaned) <= set(schema.load_fields)
        assert all(isinstance(warning, str) for warning in warnings)


@pytest.mark.parametrize(
    ("entity", "name", "sent"),
    [
        ("appointment", "notes", "one\r\r\ntwo"),
        ("patient", "phone", f"e{ZWJ}\u0301"),
        ("clinic", "phone", f"1 {RLM} 2"),
    ],
)
def test_an_odd_value_is_stored_in_a_form_that_stays(entity, name, sent):
    once = one_value(entity, name, sent)
    assert one_value(entity, name, once) == once


@pytest.mark.parametrize("entity", LEAST)
@given(data=st.data())
def test_what_was_stored_may_be_sent_again_and_stays_the_same(entity, data):
    schema = SCHEMAS[entity]
    try:
        once, _ = schema.clean(data.draw(sent_records(entity)))
    except ValidationFailed:
        return
    again, _ = schema.clean(
        json.loads(json.dumps({json_name(name): value for name, value in once.items()}))
    )
    assert again == {name: value for name, value in once.items() if value is not None}


def by_marshmallow(
    schema: Entity, record: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return data and errors by Python name, by the road that reports errors."""
    try:
        loaded, errors = schema.load(record), {}
    except ValidationError as error:
        loaded, errors = error.valid_data, error.messages_dict
    by_python_name = {json_name(name): name for name in schema.load_fields}
    errors = {by_python_name[name]: told for name, told in errors.items()}
    columns = {name: [value] for name, value in loaded.items()}
    batch = Batch(1, columns)
    schema.settle(batch)
    columns = batch.columns
    data = {name: value for name, (value,) in columns.items() if value is not fields.ABSENT}
    return data, errors | {
        name: [told] for name, told in schema.faults(data, frozenset(errors)).items()
    }


@pytest.mark.parametrize("entity", LEAST)
@given(data=st.data())
def test_both_roads_agree(entity, data):
    schema = SCHEMAS[entity]
    some = {
        json_name(name): values.filter(lambda value: value is not None)
        for name in schema.load_fields
    }
    record = data.draw(st.fixed_dictionaries({}, optional=some))
    expected, errors = by_marshmallow(schema, record)
    try:
        assert (schema.clean(record)[0], {}) == (expected, errors)
    except ValidationFailed as refusal:
        explained = refusal.errors  # with what was left out, of fields that are missing
        assert {
            name: list(explained[name])[: len(told)] for name, told in errors.items()
        } == errors


FORMS = {
    (type(field), field.accepts, field.length, getattr(field, "blank", None)): (
        entity,
        name,
    )
    for entity, schema in SCHEMAS.items()
    for name, field in schema.load_fields.items()
}
usual = (
    st.emails()
    | st.dates().map(str)
    | moments.map(datetime.isoformat)
    | st.times().map(lambda time: time.isoformat("minutes"))
    | st.from_regex(r"(\+966|00966|0)5[0-9]{8}", fullmatch=True)
    | st.text("ابتثجحخدأإآىةـ٠١٢ abcXYZ-019", max_size=220)
    | st.lists(st.sampled_from(["C-1", "c-2", "", None, 7]))
    | st.sampled_from(["male", "F", "AB +", "o-VE", "False", "TRUE", "1"])
)


def one_by_one(field: fields.Clean, value: Any) -> Any:
    try:
        return fields.ABSENT if value is None else field.clean(value)
    except ValueError:
        return fields.WRONG


def columns(field: fields.Clean) -> st.SearchStrategy[list[Any]]:
    """Return columns: all in spellings that can be put right at one go, or anything among them."""
    sent = usual | values
    if not isinstance(field, fields.Text) or field.sure is fields.NEVER:
        return st.lists(sent, max_size=5)
    plain = st.from_regex(field.sure, fullmatch=True)
    if isinstance(field, fields.Day):
        plain |= plain.map("{}T00:00:00".format)
    if isinstance(field, fields.Phone):
        plain |= st.from_regex(
            r"[ (]?05[0-9]{1,2}[ ).-]{0,2}[0-9]{3}[ -]?[0-9]{3,4}", fullmatch=True
        )
    return st.lists(plain, max_size=4) | st.lists(plain | sent, max_size=5)


COLUMNS = {form: columns(SCHEMAS[form[0]].load_fields[form[1]]) for form in FORMS.values()}


@pytest.mark.parametrize(("entity", "name"), FORMS.values())
@settings(max_examples=2 * settings.default.max_examples)
@given(data=st.data())
def test_a_column_comes_out_as_each_of_its_values_alone(entity, name, data):
    field = SCHEMAS[entity].load_fields[name]
    column = data.draw(COLUMNS[entity, name])
    expected = [one_by_one(field, value) for value in column]
    assert list(map(repr, field.clean_all(tuple(column)))) == list(map(repr, expected))


def test_a_day_of_this_year_may_lie_in_the_future_and_is_looked_at():
    today = datetime.now(SCHEMAS["patient"].zone).date()
    column = [str(today + timedelta(days=days)) for days in (-1, 0, 1, 2)]
    assert SCHEMAS["patient"].load_fields["date_of_birth"].clean_all(column) == [
        *column[:2],
        *[fields.WRONG] * 2,
    ]


@pytest.mark.parametrize("end", [1950, 1999, 2000, 2001, 2010, 2026, 2030, 2100])
def test_plain_dates_are_the_real_ones_of_their_years_but_for_leap_days(end: int) -> None:
    pattern, first = canonical.sure_dates(end), date(1899, 1, 1)
    days = [
        first + timedelta(days=number)
        for number in range((date(end + 2, 1, 1) - first).days)
    ]
    plain = {str(day) for day in days if pattern.fullmatch(str(day))}
    assert plain == {
        str(day) for day in days if day > date(1900, 1, 1) and day.year < end
    } - {f"{year}-02-29" for year in range(1900, end)}
    assert not [
        it
        for it in ("2001-02-30", "2001-04-31", "2001-00-10", "2001-13-01")
        if pattern.fullmatch(it)
    ]


def test_records_of_many_shapes_come_out_in_the_order_in_which_they_were_sent():
    sent: list[Any] = [
        {"patientNo": "P-1", "name": "One"},
        7,
        {"name": "Two", "patientNo": "P-2"},
        {},
        {"patientNo": "P-3", "name": "Three", "shoe": 1},
        {"patientNo": "P-4", "name": "Four"},
        {"PatientNo": "P-5", "patientNo": "P-6", "name": "Five"},
        ["patientNo", "name"],
        {"patientNo": "P-7", "name": ""},
    ]
    told = SCHEMAS["patient"].clean_all(sent)
    seen = [
        sorted(told.refused[place].errors)
        if place in told.refused
        else told.data(place)["name"]
        for place in range(told.size)
    ]
    assert seen == [
        *("One", [], "Two", ["patient_no"], "Three", "Four", ["patient_no"], [], ["name"])
    ]
    assert told.warnings[4] == ["unknown field: shoe"]
    assert [told.refused[place].detail for place in (1, 7)] == [NO_OBJECT] * 2


@pytest.mark.parametrize(("entity", "name"), FORMS.values())
@given(value=usual | values.filter(lambda value: value is not None))
def test_both_roads_agree_on_every_form_of_a_field(entity, name, value):
    schema = SCHEMAS[entity]
    try:
        loaded, errors = schema.load({json_name(name): value}), {}
    except ValidationError as error:
        loaded, errors = error.valid_data, error.messages_dict
    expected = loaded.get(name, fields.ABSENT), errors.get(json_name(name), [])
    try:
        cleaned = schema.load_fields[name].clean(value)
    except ValueError as error:
        assert (fields.ABSENT, [str(error)]) == expected
    else:
        assert (
            cleaned.value if isinstance(cleaned, fields.Doubt) else cleaned,
            [],
        ) == expected
