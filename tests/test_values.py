"""What a sender may write and what is kept of it: absence, zero values, names and text."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import schemas
from engine import fields
from engine.entity import json_name
from engine.problems import ValidationFailed
from upsert import CONTACT, PATIENT

RIYADH = ZoneInfo("Asia/Riyadh")
SCHEMAS = {entity: schema("SA", RIYADH) for entity, schema in schemas.ENTITIES.items()}
# Enough to be a record of each entity, by JSON name.
LEAST: dict[str, dict[str, Any]] = {
    "clinic": {"code": "C-1"},
    "doctor": {"code": "D-1"},
    "patient": {"patientNo": "P-1"},
    "appointment": {"appointmentNo": "A-1"},
}
SLOT = {"patientNo": "P-1", "date": "2026-06-15", "timeFrom": "10:30"}
RLM, LRM, ZWJ, ZWNJ, BOM = "\u200f", "\u200e", "\u200d", "\u200c", "\ufeff"

FIELDS = [
    (entity, name) for entity, schema in SCHEMAS.items() for name in schema.load_fields
]
TEXTS = [
    pair
    for pair in FIELDS
    if type(SCHEMAS[pair[0]].load_fields[pair[1]]) in (fields.Text, fields.Name)
]
IDENTIFIERS = [
    pair
    for pair in FIELDS
    if isinstance(SCHEMAS[pair[0]].load_fields[pair[1]], fields.Identifier)
]
LAID_OUT = [("clinic", "address"), ("doctor", "description"), ("appointment", "notes")]


def clean(entity: str, **fields: Any) -> dict[str, Any]:
    """Return the clean data of the least record of an entity with these fields (by JSON name)."""
    return SCHEMAS[entity].clean(LEAST[entity] | fields)[0]


def warned(entity: str, **fields: Any) -> list[str]:
    return SCHEMAS[entity].clean(LEAST[entity] | fields)[1]


def refused(entity: str, sent: dict[str, Any]) -> dict[str, Any]:
    """Return the errors by Python name of a record that must be refused."""
    with pytest.raises(ValidationFailed) as caught:
        SCHEMAS[entity].clean(sent)
    return dict(caught.value.errors)


def only_fault(entity: str, **fields: Any) -> str:
    """Return the one sentence that refuses the least record with this one wrong field."""
    errors = refused(entity, LEAST[entity] | fields)
    ((name, (sentence,)),) = errors.items()
    assert json_name(name) == list(fields)[-1]
    return sentence


def one_value(entity: str, name: str, value: Any) -> Any:
    """Return what becomes of one value, `absent` where nothing does."""
    return clean(entity, **{json_name(name): value}).get(name, "absent")


def record_with(entity: str, name: str, text: str) -> dict[str, Any]:
    """Return the least record of an entity with a text in a field, within a list where the field takes one."""
    is_list = isinstance(SCHEMAS[entity].load_fields[name], fields.Codes)
    return LEAST[entity] | {json_name(name): [text] if is_list else text}


def sixteenfold(field: fields.Clean) -> int:
    """Return the characters of the longest text that a field looks at."""
    return fields.MUCH * (field.length or fields.IDENTIFIER)


# --- Absent, null, blank -----------------------------------------------------------------------


@pytest.mark.parametrize("entity", LEAST)
def test_null_is_the_same_as_absent_for_every_field(entity):
    nulls = {json_name(name): None for name in SCHEMAS[entity].load_fields}
    schema = SCHEMAS[entity]
    assert schema.clean(nulls | LEAST[entity]) == schema.clean(LEAST[entity])


def test_what_a_record_must_carry_follows_from_the_rules():
    """A weak key that needs one field more identifies nobody without it."""
    contact = replace(
        CONTACT, name="mobile+name+born", sources=(*CONTACT.sources, "date_of_birth")
    )
    stricter = replace(PATIENT, shared=contact, weak=("former_patient_no", contact.name))
    schema = type("StricterSchema", (schemas.PatientSchema,), {"rules": stricter})(
        "SA", RIYADH
    )
    sent = {"mobile": "0551234567", "name": "Sara Ali"}
    with pytest.raises(ValidationFailed) as caught:
        schema.clean(sent)
    assert list(caught.value.errors) == ["patient_no"]
    assert schema.clean(sent | {"dateOfBirth": "1990-05-05"})[1] == []


def test_nothing_that_was_not_sent_appears():
    assert clean("patient") == {"patient_no": "P-1"}


BLANK_CLEARS = {
    "clinic": "number specialization clinicType branch floor location accountNo costCenterNo address phone email",
    "doctor": "aName branch gender dateOfBirth medicalRegNumber idNumber accountNo costCenter description email phone"
    " specialization",
    "patient": "firstName secondName lastName mobile dateOfBirth gender email phone bloodType",
    "appointment": "timeTo notes",
}
BLANK_IS_ABSENT = {
    "clinic": "isActive",
    "doctor": "licenseNumber isActive",
    "patient": "nationalID isActive",
    "appointment": "doctorCode clinicCode doctorId clinicId patientNo patientId status",
}


@pytest.mark.parametrize("blank", ["", "  ", "\t\r\n"])
@pytest.mark.parametrize(("entity", "names"), BLANK_CLEARS.items())
def test_a_blank_clears_an_optional_field(entity, names, blank):
    cleared = clean(entity, **dict.fromkeys(names.split(), blank))
    assert {json_name(name): value for name, value in cleared.items()} == LEAST[
        entity
    ] | dict.fromkeys(names.split())


@pytest.mark.parametrize("blank", ["", "  ", "\t\r\n"])
@pytest.mark.parametrize(("entity", "names"), BLANK_IS_ABSENT.items())
def test_a_blank_identifier_reference_flag_or_status_counts_as_absent(entity, names, blank):
    assert clean(entity, **dict.fromkeys(names.split(), blank)) == clean(entity)


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        ("clinic", "name"),
        ("doctor", "name"),
        ("patient", "name"),
        ("appointment", "date"),
        ("appointment", "timeFrom"),
    ],
)
@pytest.mark.parametrize("blank", ["", " \t "])
def test_a_blank_name_date_or_time_from_is_refused(entity, name, blank):
    assert only_fault(entity, **{name: blank}) == "May not be blank."


def test_blankness_and_absence_together_name_every_field_of_an_entity():
    told = {
        (e, n)
        for table in (BLANK_CLEARS, BLANK_IS_ABSENT)
        for e, names in table.items()
        for n in names.split()
    }
    refusing = {
        ("appointment", "date"),
        ("appointment", "timeFrom"),
        ("doctor", "clinicCodes"),
    }
    refusing |= {(entity, "name") for entity in ("clinic", "doctor", "patient")}
    known = {
        ("clinic", "code"),
        ("doctor", "code"),
        ("patient", "patientNo"),
        ("appointment", "appointmentNo"),
    }
    assert told | refusing | known == {(entity, json_name(name)) for entity, name in FIELDS}


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        *(
            ("doctor", "licenseNumber"),
            ("patient", "nationalID"),
            ("appointment", "patientNo"),
        ),
        *(("appointment", "doctorCode"), ("appointment", "clinicCode")),
    ],
)
def test_an_identifier_of_marks_that_nobody_sees_is_blank(entity, name):
    assert clean(entity, **{name: f" {RLM}{ZWJ} "}) == clean(entity)


@pytest.mark.parametrize(
    ("entity", "name"), [("clinic", "code"), ("doctor", "code"), ("patient", "patientNo")]
)
def test_a_number_of_marks_that_nobody_sees_identifies_nobody(entity, name):
    assert (
        "Missing"
        in refused(entity, {name: f" {RLM}{ZWJ} "})[
            SCHEMAS[entity].rules.fields_to_send[0]
        ][0]
    )


def test_an_empty_list_clears_the_clinics_and_an_absent_or_null_one_does_not():
    assert clean("doctor", clinicCodes=[])["clinic_codes"] == ()
    assert "clinic_codes" not in clean("doctor", clinicCodes=None)
    assert "clinic_codes" not in clean("doctor")


# --- Zero values -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["patientId", "doctorId", "clinicId"])
def test_an_id_of_zero_is_absent(name):
    assert clean("appointment", **{name: 0}) == {"appointment_no": "A-1"}


@pytest.mark.parametrize(
    "zero",
    [
        "00:00:00",
        "00:00",
        "00:00:00.0000000",
        "0001-01-01T00:00:00",
        "1970-01-01T00:00:00Z",
        "0000-00-00 00:00",
    ],
)
def test_a_time_to_of_zero_is_absent(zero):
    assert clean("appointment", timeTo=zero) == {"appointment_no": "A-1"}


def test_midnight_is_a_time_to_begin():
    assert clean("appointment", timeFrom="00:00:00")["time_from"] == "00:00:00"


ZERO_DATES = [
    "0001-01-01",
    "0001-01-01T00:00:00",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+03:00",
    "0001-01-01T05:00:00Z",
    "1753-01-01T00:00:00",
    "1899-12-30T00:00:00",
    "1899-12-31",
    "0000-00-00",
    "0000-00-00 00:00:00",
    "1900-01-01",
    "1900-01-01 00:00:00.000",
    "/Date(-62135596800000)/",
    "/Date(-62135596800000+0300)/",
    "/Date(-999999999999999)/",
]


@pytest.mark.parametrize("zero", ZERO_DATES)
@pytest.mark.parametrize("entity", ["patient", "doctor"])
def test_a_zero_date_of_birth_is_absent_without_a_warning(entity, zero):
    assert SCHEMAS[entity].clean(LEAST[entity] | {"dateOfBirth": zero}) == SCHEMAS[
        entity
    ].clean(LEAST[entity])


def test_1900_01_02_is_a_birthday():
    assert clean("patient", dateOfBirth="1900-01-02")["date_of_birth"] == "1900-01-02"


def test_a_booking_on_a_zero_date_lacks_its_date():
    assert refused("appointment", SLOT | {"date": "0001-01-01T00:00:00"}).keys() == {"date"}


# --- Field names -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["patientNo", "PatientNo", "PATIENTNO", "patientno"])
def test_names_match_without_regard_to_case(name):
    assert SCHEMAS["patient"].clean({name: "P-1"}) == ({"patient_no": "P-1"}, [])


@pytest.mark.parametrize("second", ["P-1", "P-2", None])
def test_one_field_in_two_spellings_is_refused(second):
    assert refused("patient", {"patientNo": "P-1", "PatientNo": second}).keys() == {
        "patient_no"
    }


def test_an_unknown_field_is_ignored_with_a_warning():
    sent = {"patientNo": "P-1", "mobil": "0502222222", "patient_no": "P-2"}
    assert SCHEMAS["patient"].clean(sent) == (
        {"patient_no": "P-1"},
        ["unknown field: mobil", "unknown field: patient_no"],
    )


def test_an_unknown_field_may_hold_anything():
    assert warned("clinic", extra={"deep": [1.5, None]}) == ["unknown field: extra"]


def test_a_refused_record_names_the_unknown_field_that_may_be_the_reason():
    with pytest.raises(ValidationFailed, match="patientNumber"):
        SCHEMAS["patient"].clean({"patientNumber": "P-1", "name": "Sara"})


@pytest.mark.parametrize("entity", LEAST)
@pytest.mark.parametrize(
    "name", ["id", "createdAt", "updatedAt", "ID", "CreatedAt", "UPDATEDAT"]
)
def test_read_only_fields_are_ignored_without_a_warning(entity, name):
    assert SCHEMAS[entity].clean(LEAST[entity] | {name: "whatever"}) == SCHEMAS[
        entity
    ].clean(LEAST[entity])


# --- Text --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Sara", "Sara"),
        ("  Sara  Ali \t\r\n", "Sara  Ali"),
        ("\u00a0Sara\u3000", "Sara"),
        ("Jose\u0301", "José"),
        ("سارة", "سارة"),
        ("ﷺ", "ﷺ"),
        ("DOC-sarah", "DOC-sarah"),
        (10928, "10928"),
        (0, "0"),
        (-5, "-5"),
    ],
)
@pytest.mark.parametrize(
    ("entity", "name"),
    [("patient", "name"), ("patient", "first_name"), ("clinic", "branch")],
)
def test_text_is_trimmed_composed_and_kept(entity, name, sent, kept):
    assert one_value(entity, name, sent) == kept


@pytest.mark.parametrize(
    ("entity", "name"), TEXTS + IDENTIFIERS + [("patient", "mobile"), ("clinic", "phone")]
)
@pytest.mark.parametrize("wrong", [True, False, [], ["P-1"], {}])
def test_what_is_neither_text_nor_a_whole_number_is_refused(entity, name, wrong):
    assert only_fault(entity, **{json_name(name): wrong}) == "Must be text."


@pytest.mark.parametrize(
    ("entity", "name"), TEXTS + IDENTIFIERS + [("patient", "mobile"), ("clinic", "phone")]
)
@pytest.mark.parametrize("wrong", [1.5, -0.5, Decimal("10928.01"), Decimal("0.1")])
def test_a_number_with_a_fraction_is_refused_and_told_so(entity, name, wrong):
    assert "fraction" in only_fault(entity, **{json_name(name): wrong})


@pytest.mark.parametrize(("entity", "name"), TEXTS + IDENTIFIERS)
@pytest.mark.parametrize("whole", [10928.0, Decimal("10928.0"), Decimal("10928.000")])
def test_a_whole_number_with_a_fraction_of_zero_is_taken_for_its_digits_with_a_warning(
    entity, name, whole
):
    sent = json_name(name)
    assert one_value(entity, name, whole) == "10928"
    assert warned(entity, **{sent: whole}) == [
        f'{sent}: "10928.0" is taken for the whole number'
    ]


@pytest.mark.parametrize(("entity", "name"), TEXTS + IDENTIFIERS)
@pytest.mark.parametrize(
    "character",
    [
        "\0",
        "\x01",
        "\x08",
        "\x0b",
        "\x0c",
        "\x1b",
        "\x7f",
        "\x80",
        "\x9f",
        "\ud83d",
        "\udc00",
    ],
)
def test_control_characters_and_lone_surrogates_are_refused(entity, name, character):
    sentence = only_fault(entity, **{json_name(name): f"a{character}b"})
    assert f"U+{ord(character):04X}" in sentence
    assert character not in sentence


@pytest.mark.parametrize(
    "name", ["mobile", "phone", "email", "gender", "bloodType", "dateOfBirth"]
)
@pytest.mark.parametrize("character", ["\0", "\n", "\x7f", "\ud83d"])
def test_control_characters_are_refused_in_fields_with_a_form_too(name, character):
    assert "U+" in only_fault("patient", **{name: f"a{character}b"})


@pytest.mark.parametrize("character", ["\0", "\x7f", "\x85", "\x9f"])
def test_a_control_character_at_the_edge_is_refused_and_not_trimmed(character):
    assert "U+" in only_fault("patient", name=f"Sara{character}")


@pytest.mark.parametrize("name", ["patientId", "doctorId", "clinicId"])
def test_a_control_character_is_no_blank_id(name):
    assert "U+0085" in only_fault("appointment", **{name: "\x85"})


def test_a_control_character_beside_a_flag_is_refused_and_not_trimmed():
    assert "U+001F" in only_fault("clinic", isActive="true\x1f")


@pytest.mark.parametrize(("entity", "name"), LAID_OUT)
def test_tab_and_line_breaks_stay_in_long_text_and_cr_lf_becomes_lf(entity, name):
    assert one_value(entity, name, "one\r\n\ttwo\n\nthree\r\n") == "one\n\ttwo\n\nthree"


@pytest.mark.parametrize("character", ["\t", "\n", "\r", "\r\n"])
@pytest.mark.parametrize(
    ("entity", "name"), [pair for pair in TEXTS + IDENTIFIERS if pair not in LAID_OUT]
)
def test_tab_and_line_breaks_are_refused_in_any_other_text(entity, name, character):
    assert "U+" in only_fault(entity, **{json_name(name): f"a{character}b"})


def test_emoji_are_text():
    assert clean("appointment", notes="😀 well")["notes"] == "😀 well"


# --- Lengths -----------------------------------------------------------------------------------


def limit(name: str) -> int:
    """Return the contract's limit of a text field."""
    identifiers = {
        "code",
        "license_number",
        "patient_no",
        "national_id",
        "appointment_no",
        "doctor_code",
        "clinic_code",
    }
    others = {"status": 40, "address": 4000, "description": 4000, "notes": 4000}
    return 64 if name in identifiers else others.get(name, 200)


@pytest.mark.parametrize(
    ("entity", "name"), TEXTS + IDENTIFIERS + [("patient", "mobile"), ("doctor", "phone")]
)
def test_a_text_at_its_limit_is_kept_and_one_longer_is_refused_not_cut(entity, name):
    most = limit(name)
    assert one_value(entity, name, f"  {'X' * most} ") == "X" * most
    assert str(most) in only_fault(entity, **{json_name(name): "X" * (most + 1)})


def test_an_email_has_200_characters_at_most():
    fits = "a" * 187 + "@mail.example"
    assert clean("patient", email=f" {fits} ")["email"] == fits
    assert "200" in only_fault("patient", email=f"a{fits}")


@pytest.mark.parametrize(
    ("name", "sent", "length"),
    [
        ("name", "e\u0301" * 200, 200),
        ("patientNo", "P" * 64 + RLM, 64),
        ("patientNo", "P" * 31 + "    " + "P" * 32, 64),
        ("nationalID", "ß" * 32, 64),
        ("name", "a" + "😀" * 199, 200),
    ],
)
def test_a_length_is_measured_after_canonicalising(name, sent, length):
    (value,) = [
        value
        for key, value in clean("patient", **{name: sent}).items()
        if json_name(key) == name
    ]
    assert len(value) == length


@pytest.mark.parametrize(
    ("name", "sent"),
    [("patientNo", "ﷺ" * 4), ("nationalID", "ß" * 33), ("name", "e\u0301" * 201)],
)
def test_what_grows_beyond_the_limit_is_refused(name, sent):
    assert "Longer than" in only_fault("patient", **{name: sent})
