"""What a sender may write and what is kept of it: the contract's sections 2 and 3, without a database."""

import json
import unicodedata
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

import schemas
from engine import canonical, fields
from engine.entity import NO_OBJECT, Batch, Entity, json_name
from engine.problems import ValidationFailed
from models import db
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

FIELDS = [(entity, name) for entity, schema in SCHEMAS.items() for name in schema.load_fields]
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
    schema = type("StricterSchema", (schemas.PatientSchema,), {"rules": stricter})("SA", RIYADH)
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
    refusing = {("appointment", "date"), ("appointment", "timeFrom"), ("doctor", "clinicCodes")}
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
        *(("doctor", "licenseNumber"), ("patient", "nationalID"), ("appointment", "patientNo")),
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
        in refused(entity, {name: f" {RLM}{ZWJ} "})[SCHEMAS[entity].rules.asked_for[0]][0]
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
    assert SCHEMAS[entity].clean(LEAST[entity] | {name: "whatever"}) == SCHEMAS[entity].clean(
        LEAST[entity]
    )


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
    ("entity", "name"), [("patient", "name"), ("patient", "first_name"), ("clinic", "branch")]
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
    ["\0", "\x01", "\x08", "\x0b", "\x0c", "\x1b", "\x7f", "\x80", "\x9f", "\ud83d", "\udc00"],
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


# --- Identifiers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("doc-sarah-04", "DOC-SARAH-04"),
        ("  p   1  ", "P 1"),
        ("p\u00a0\u30001", "P 1"),
        (f"{RLM}P-{LRM}1{BOM}", "P-1"),
        (f"P{ZWJ}-{ZWNJ}1\u200b\u00ad\u061c\u202b\u2067\u2060", "P-1"),
        ("٠٩٨٧٦٥٤٣٢١", "0987654321"),
        ("۰۹۸۷۶۵۴۳۲۱", "0987654321"),
        ("'00123", "00123"),
        ("’٠٠١٢٣", "00123"),
        ("''77.0", "77"),
        ("10928.00", "10928"),
        ("10928.000", "10928.000"),
        ("12E5", "12E5"),
        ("O'NEIL-5", "O'NEIL-5"),
        ("Ｐ－１", "P-1"),
        ("ﬁle", "FILE"),
        ("straße", "STRASSE"),
        ("ملف ١٢", "ملف 12"),
        (10928, "10928"),
    ],
)
@pytest.mark.parametrize(("entity", "name"), IDENTIFIERS)
def test_an_identifier_has_one_form(entity, name, sent, stored):
    assert one_value(entity, name, sent) == stored


def test_the_codes_of_a_doctors_clinics_are_canonical_single_and_sorted():
    assert clean("doctor", clinicCodes=["c-2", " C-1", f"C-2{RLM}", 3])["clinic_codes"] == (
        "3",
        "C-1",
        "C-2",
    )


@pytest.mark.parametrize(
    "wrong", ["C-1", 5, {}, True, [1.5], [True], [["C-1"]], [{}], ["C" * 65], ["C\0"]]
)
def test_clinic_codes_that_are_no_list_of_codes_are_refused(wrong):
    assert only_fault("doctor", clinicCodes=wrong)


@pytest.mark.parametrize(
    ("entity", "name"), [("appointment", "patient_id"), ("appointment", "doctor_id")]
)
@pytest.mark.parametrize("good", [1, 17, 2**63 - 1])
def test_an_id_is_a_positive_whole_number(entity, name, good):
    assert one_value(entity, name, good) == good


@pytest.mark.parametrize("name", ["patientId", "doctorId", "clinicId"])
@pytest.mark.parametrize("wrong", [1.0, True, "x", "17", [], 2**63])
def test_any_other_id_is_refused(name, wrong):
    assert only_fault("appointment", **{name: wrong})


# --- Phones ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        "0502222222",
        "00966502222222",
        "966502222222",
        "٠٥٠٢٢٢٢٢٢٢",
        "+966502222222",
        "۰۵۰۲۲۲۲۲۲۲",
        "050 222 2222",
        "050-222-2222",
        "(050) 222.2222",
        "+966 50 222 2222",
        f"{LRM}+966502222222{RLM}",
        f"\u202a0502222222\u202c{ZWNJ}",
        502222222,
        966502222222,
    ],
)
@pytest.mark.parametrize("name", ["mobile", "phone"])
def test_spellings_of_one_number_are_one_number(name, spelling):
    assert clean("patient", **{name: spelling})[name] == "+966502222222"
    assert warned("patient", **{name: spelling}) == []


@pytest.mark.parametrize(
    "odd",
    [
        "0",
        "123",
        "reception",
        "0502222222 ext. 5",
        "0502222222 x5",
        "0502222222;ext=5",
        "0502222222 / 0503333333",
        "0502222222, 0503333333",
        "0502222222 0503333333",
        "0502222222 (mother)",
        "+1 23",
        "05022222222",
    ],
)
@pytest.mark.parametrize("name", ["mobile", "phone"])
def test_what_is_no_single_valid_number_is_kept_as_sent_with_a_warning(name, odd):
    data, (warning,) = SCHEMAS["patient"].clean({"patientNo": "P-1", name: f"  {odd} "})
    assert data[name] == odd
    assert warning == f'{name}: "{odd}" is not a valid phone number for SA, kept as sent'


def test_marks_that_nobody_sees_are_taken_out_of_a_phone_that_is_kept():
    assert clean("patient", phone=f"{RLM}12{ZWJ}3")["phone"] == "123"


def test_a_phone_is_read_for_the_region_that_is_set():
    emirates = schemas.PatientSchema("AE", ZoneInfo("Asia/Dubai"))
    assert emirates.clean({"patientNo": "P-1", "mobile": "0501234567"}) == (
        {"patient_no": "P-1", "mobile": "+971501234567"},
        [],
    )
    assert emirates.clean({"patientNo": "P-1", "mobile": "+966502222222"})[1] == []


# --- Dates -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "day"),
    [
        ("2026-06-15", "2026-06-15"),
        (" 2026-06-15 ", "2026-06-15"),
        ("2026-06-15T00:00:00", "2026-06-15"),
        ("2026-06-15T00:00:00Z", "2026-06-15"),
        ("2026-06-15T00:00:00+03:00", "2026-06-15"),
        ("2026-06-15T00:00:00-05:00", "2026-06-15"),
        ("2026-06-15T00:00:00+05:00", "2026-06-15"),
        ("2026-06-15T00:00:00.0000000-12:00", "2026-06-15"),
        ("2026-06-14T21:00:00Z", "2026-06-15"),
        ("2026-06-14T20:59:59Z", "2026-06-14"),
        ("2026-06-15T20:59:59Z", "2026-06-15"),
        ("2026-06-15T21:00:00Z", "2026-06-16"),
        ("2026-06-15T23:30:00", "2026-06-15"),
        ("2026-06-15 23:30:00", "2026-06-15"),
        ("2026-06-15 21:30:00Z", "2026-06-16"),
        ("2026-06-15T23:30", "2026-06-15"),
        ("2026-06-15T01:30:00+05:00", "2026-06-14"),
        ("2026-06-15T01:30:00+0500", "2026-06-14"),
        ("2026-06-15T22:00:00-05:00", "2026-06-16"),
        ("2026-06-15T10:30:00.1", "2026-06-15"),
        ("2026-06-15T10:30:00.1234567", "2026-06-15"),
        ("2026-06-15T21:30:00.123456789012Z", "2026-06-16"),
        ("2026-06-15T00:00:00.0000000+03:00", "2026-06-15"),
        ("/Date(1781481600000+0300)/", "2026-06-15"),
        ("/Date(1781470800000+0300)/", "2026-06-15"),
        ("/Date(1781470800000)/", "2026-06-15"),
        ("/Date(1781470799999)/", "2026-06-14"),
        ("/Date(1781470799999+0300)/", "2026-06-14"),
        ("/Date(1781481600000+0000)/", "2026-06-15"),
        ("/Date(1781470800000-0500)/", "2026-06-15"),
        ("2024-02-29", "2024-02-29"),
    ],
)
def test_a_date_is_the_day_that_is_meant(sent, day):
    assert clean("appointment", date=sent)["date"] == day


@pytest.mark.parametrize(
    "wrong",
    [
        "15/06/2026",
        "06/15/2026",
        "15-06-2026",
        "20260615",
        "2026-6-15",
        "2026/06/15",
        "2026-02-29",
        "2026-13-01",
        "2026-06-31",
        "2026-06-15T",
        "2026-06-15T25:00:00",
        "2026-06-15T10:60:00",
        "2026-06-15T10:30:00+25:00",
        "2026-06-15T10:30:00 Riyadh",
        "2026-06-15_10:30:00",
        "2026-06-15  10:30",
        "2026-W25-1",
        "2026-166",
        "10:30",
        "Date(1781481600000)",
        "/Date(soon)/",
        "/Date(1781481600000+9900)/",
        "today",
        "9999-12-31T23:00:00Z",
        20260615,
        1781481600,
        2026.5,
        True,
        ["2026-06-15"],
        {},
    ],
)
@pytest.mark.parametrize(
    ("entity", "name"), [("appointment", "date"), ("patient", "dateOfBirth")]
)
def test_what_is_no_date_is_refused(entity, name, wrong):
    assert only_fault(entity, **{name: wrong})


def test_an_instant_counts_in_the_time_zone_that_is_set():
    new_york = schemas.AppointmentSchema("US", ZoneInfo("America/New_York"))
    data, _ = new_york.clean(
        {
            "appointmentNo": "A-1",
            "date": "2026-06-15T02:00:00Z",
            "timeFrom": "2026-06-15T02:00:00Z",
        }
    )
    assert data == {"appointment_no": "A-1", "date": "2026-06-14", "time_from": "22:00:00"}


class LateEvening(datetime):
    """A clock that stands at 22:00 UTC on 14 June 2026, in Riyadh already the 15th."""

    @classmethod
    def now(cls, tz=None):
        return datetime(2026, 6, 14, 22, tzinfo=ZoneInfo("UTC")).astimezone(tz)


@pytest.mark.parametrize("entity", ["patient", "doctor"])
def test_nobody_is_born_in_the_future(entity, monkeypatch):
    monkeypatch.setattr(fields, "datetime", LateEvening)
    monkeypatch.setattr(fields, "_STARTED", "2026-06-01")
    assert clean(entity, dateOfBirth="2026-06-15")["date_of_birth"] == "2026-06-15"
    assert only_fault(entity, dateOfBirth="2026-06-16") == "Lies in the future."


def test_a_booking_may_lie_in_the_future():
    assert clean("appointment", date="2999-01-01")["date"] == "2999-01-01"


# --- Times -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("10:30", "10:30:00"),
        ("10:30:00", "10:30:00"),
        ("10:30:15", "10:30:15"),
        ("10:30:00.0000000", "10:30:00"),
        ("10:30:59.9999999", "10:30:59"),
        (" 10:30 ", "10:30:00"),
        ("23:59:59", "23:59:59"),
        ("2026-06-15T10:30:00", "10:30:00"),
        ("2026-06-15 10:30", "10:30:00"),
        ("1900-01-01T10:30:00", "10:30:00"),
        ("1899-12-30T10:30:00Z", "10:30:00"),
        ("1753-01-01T10:30:00+03:00", "10:30:00"),
        ("1970-01-01T10:30:00.000Z", "10:30:00"),
        ("2000-01-01T10:30:00.000Z", "10:30:00"),
        ("1448-06-21T07:30:00Z", "10:30:00"),
        ("0001-01-01T10:30:00", "10:30:00"),
        ("2026-06-15T07:30:00Z", "10:30:00"),
        ("2026-06-15T10:30:00+03:00", "10:30:00"),
        ("2026-06-15T02:30:00.1234567-05:00", "10:30:00"),
        ("/Date(1781508600000)/", "10:30:00"),
        ("/Date(1781508600000-0500)/", "10:30:00"),
    ],
)
@pytest.mark.parametrize("name", ["time_from", "time_to"])
def test_a_time_is_stored_to_the_second(name, sent, stored):
    assert one_value("appointment", name, sent) == stored


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            "24:01",
            "25:30",
            "10:60",
            "10:30:60",
            "10",
            "1030",
            "10.30",
            "10:30 AM",
            "10:3",
            "10:30:",
            "half past ten",
        ),
        *(
            "2026-06-15",
            "15/06/2026 10:30",
            "-10:30",
            "10:30-11:00",
            "1.10:30:00",
            "10:30:00.",
            1030,
            10.5,
            True,
            [],
            {},
        ),
    ],
)
@pytest.mark.parametrize("name", ["timeFrom", "timeTo"])
def test_what_is_no_time_is_refused(name, wrong):
    assert only_fault("appointment", **{name: wrong})


@pytest.mark.parametrize(
    ("time_from", "time_to"),
    [
        ("10:30", "10:30:01"),
        ("10:30", "11:00"),
        ("00:00", "23:59:59"),
        ("06:00", "22:00"),
        ("23:45", "00:15"),
        ("22:00", "10:00:00"),
        ("12:00:01", "00:00:01"),
        ("23:59:59", "00:00:01"),
    ],
)
def test_a_booking_ends_later_or_past_midnight_within_12_hours(time_from, time_to):
    data = clean("appointment", timeFrom=time_from, timeTo=time_to)
    assert data["time_to"].startswith(time_to)


@pytest.mark.parametrize(
    ("time_from", "time_to"),
    [
        ("10:30", "10:30"),
        ("22:00", "10:00:01"),
        ("12:00", "00:00:01"),
        ("10:30", "10:29:59"),
        ("23:00", "22:59:59"),
    ],
)
def test_a_booking_that_ends_when_it_starts_or_before_is_refused(time_from, time_to):
    assert refused("appointment", SLOT | {"timeFrom": time_from, "timeTo": time_to}).keys() == {
        "time_to"
    }


def test_a_booking_of_a_whole_day_lasts_a_day():
    assert canonical.duration("00:00:00", "00:00:00") == timedelta(days=1)
    assert canonical.duration("22:00:00", "00:00:00") == timedelta(hours=2)


# --- Choices, flags, e-mail --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "spellings"),
    [
        ("Male", "Male male MALE M m"),
        ("Female", "Female FEMALE F f"),
        ("Other", "Other other"),
        ("Unknown", "Unknown UNKNOWN"),
    ],
)
@pytest.mark.parametrize("entity", ["patient", "doctor"])
def test_a_gender_is_understood_in_any_case(entity, stored, spellings):
    assert {
        clean(entity, gender=f" {spelling} ")["gender"] for spelling in spellings.split()
    } == {stored}


@pytest.mark.parametrize(
    "wrong", ["x", "O", "U", "man", "fe male", "male female", "رجل", 1, 0, True, 1.5, [], {}]
)
@pytest.mark.parametrize("entity", ["patient", "doctor"])
def test_any_other_gender_is_refused(entity, wrong):
    assert only_fault(entity, gender=wrong)


@pytest.mark.parametrize("group", ["A", "B", "AB", "O"])
@pytest.mark.parametrize("sign", ["+", "-"])
def test_a_blood_type_is_understood_in_any_case_and_spacing(group, sign):
    spellings = [
        f"{group}{sign}",
        f"{group.lower()} {sign}",
        f" {group}{sign}ve",
        f"{group.lower()} {sign} VE ",
    ]
    assert {clean("patient", bloodType=spelling)["blood_type"] for spelling in spellings} == {
        f"{group}{sign}"
    }


@pytest.mark.parametrize(
    "wrong",
    [
        "C+",
        "A",
        "O",
        "+O",
        "0+",
        "A++",
        "A positive",
        "A+B",
        "BA+",
        "ABO+",
        1,
        True,
        1.5,
        [],
        {},
    ],
)
def test_any_other_blood_type_is_refused(wrong):
    assert only_fault("patient", bloodType=wrong)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        (" false ", False),
        (1, True),
        (0, False),
        (-1, True),
        ("1", True),
        ("0", False),
        (" -1 ", True),
        ("Yes", True),
        ("NO", False),
        ("نعم", True),
        ("لا", False),
    ],
)
@pytest.mark.parametrize("entity", ["clinic", "doctor", "patient"])
def test_a_flag_is_true_or_false_and_nothing_else(entity, sent, stored):
    assert clean(entity, isActive=sent)["is_active"] is stored


@pytest.mark.parametrize("wrong", [2, -2, 1.0, 0.0, "y", "2", "on", "t", [], {}, [True]])
@pytest.mark.parametrize("entity", ["clinic", "doctor", "patient"])
def test_any_other_flag_is_refused(entity, wrong):
    assert only_fault(entity, isActive=wrong)


@pytest.mark.parametrize(
    "good", ["a@mail.example", "a.b+c@mail.example", "A@Mail.Example", "سارة@mail.example"]
)
def test_an_email_is_kept_as_sent(good):
    assert clean("patient", email=f" {good} ")["email"] == good


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            "a",
            "a@",
            "@mail.example",
            "a@b",
            "a b@mail.example",
            "a@mail..example",
            "a@b@mail.example",
            "a.@mail.example",
        ),
        *("a@mail.example, b@c.example", "<a@mail.example>", 5),
    ],
)
@pytest.mark.parametrize("entity", ["clinic", "doctor", "patient"])
def test_what_is_no_email_is_refused(entity, wrong):
    assert only_fault(entity, email=wrong) == "Not a valid email address."


def test_any_status_is_kept_as_sent():
    assert clean("appointment", status=" No show ")["status"] == "No show"


# --- The record as a whole ---------------------------------------------------------------------


def test_all_wrong_fields_are_told_at_once():
    wrong = {
        "nationalID": 1.5,
        "name": " ",
        "email": "x",
        "gender": "x",
        "bloodType": "x",
        "isActive": "x",
    }
    wrong |= {
        "dateOfBirth": "15/06/2026",
        "firstName": "x" * 201,
        "mobile": [],
        "PHONE": "1",
        "phone": "2",
    }
    errors = refused("patient", wrong)
    assert set(map(json_name, errors)) == wrong.keys() - {"PHONE"}
    assert all(len(sentences) == 1 for sentences in errors.values())


def test_a_missing_identity_is_told_together_with_a_wrong_field():
    assert refused("patient", {"name": "Sara", "email": "x"}).keys() == {"patient_no", "email"}


def test_a_wrong_time_to_is_told_together_with_a_wrong_field():
    errors = refused("appointment", SLOT | {"timeTo": "10:00", "status": "x" * 41})
    assert errors.keys() == {"time_to", "status"}


@pytest.mark.parametrize(
    ("entity", "sent", "missing"),
    [
        ("clinic", {}, {"code"}),
        ("clinic", {"name": "North", "code": " "}, {"code"}),
        ("doctor", {"name": "Sara"}, {"code"}),
        ("doctor", {"name": "Sara", "code": "", "licenseNumber": None}, {"code"}),
        ("patient", {}, {"patient_no"}),
        ("patient", {"name": "Sara"}, {"patient_no"}),
        ("patient", {"mobile": "0502222222"}, {"patient_no"}),
        ("patient", {"mobile": " ", "name": "Sara"}, {"patient_no"}),
        ("appointment", {}, {"patient_no", "date", "time_from"}),
        ("appointment", {"patientNo": "P-1"}, {"date", "time_from"}),
        ("appointment", {"patientId": 17, "date": "2026-06-15"}, {"time_from"}),
        (
            "appointment",
            {"patientId": 0, "date": "2026-06-15", "timeFrom": "10:30"},
            {"patient_no"},
        ),
        (
            "appointment",
            {"date": "2026-06-15", "timeFrom": "10:30", "doctorCode": "D-1"},
            {"patient_no"},
        ),
    ],
)
def test_a_record_without_identity_is_refused(entity, sent, missing):
    assert refused(entity, sent).keys() == missing


@pytest.mark.parametrize(
    ("entity", "sent", "key"),
    [
        ("clinic", {"code": "c-1"}, "C-1"),
        ("doctor", {"code": "d-1", "licenseNumber": "l-1"}, "D-1"),
        ("doctor", {"licenseNumber": "l-1"}, "L-1"),
        (
            "patient",
            {"nationalID": "1", "patientNo": "p-1", "mobile": "0502222222", "name": "S"},
            "P-1",
        ),
        ("patient", {"nationalID": "١", "mobile": "0502222222", "name": "S"}, "1"),
        ("patient", {"mobile": "0502222222", "name": "S"}, "+966502222222"),
        ("patient", {"mobile": "0502222222", "name": "S", "patientNo": " "}, "+966502222222"),
        ("appointment", SLOT | {"appointmentNo": "a-1"}, "A-1"),
        ("appointment", SLOT, "P-1 2026-06-15 10:30"),
        ("appointment", SLOT | {"timeFrom": "10:00:00"}, "P-1 2026-06-15 10:00"),
        (
            "appointment",
            {"patientId": 17, "date": "2026-06-15", "timeFrom": "10:30"},
            "#17 2026-06-15 10:30",
        ),
        ("appointment", SLOT | {"patientId": 17}, "P-1 2026-06-15 10:30"),
    ],
)
def test_the_key_is_the_first_identifier_that_a_record_carries(entity, sent, key):
    schema = SCHEMAS[entity]
    assert schema.clean_all([sent]).keys[0] == key


@pytest.mark.parametrize(
    ("entity", "sent", "key"),
    [
        ("patient", {"patientNo": "p-3", "email": "x"}, "P-3"),
        ("patient", {"patientNo": 1.5, "nationalID": "7"}, "7"),
        ("patient", {"patientNo": 1.5}, None),
        ("clinic", {"name": "North"}, None),
        ("appointment", SLOT | {"timeTo": "x"}, "P-1 2026-06-15 10:30"),
        ("appointment", {"patientNo": "P-1", "date": "2026-06-15"}, None),
    ],
)
def test_a_refused_record_tells_its_key(entity, sent, key):
    with pytest.raises(ValidationFailed) as caught:
        SCHEMAS[entity].clean(sent)
    assert caught.value.key == key


@pytest.mark.parametrize("entity", LEAST)
def test_a_sample_is_clean_without_a_warning(entity, samples):
    data, warnings = SCHEMAS[entity].clean(samples[entity])
    assert warnings == []
    assert set(map(json_name, data)) == samples[entity].keys()


# --- Schemas and tables ------------------------------------------------------------------------


def _column(entity: str, name: str) -> sa.Column | None:
    return db.metadata.tables[entity].columns.get(name)


@pytest.mark.parametrize(
    ("entity", "name"), [*TEXTS, *IDENTIFIERS, ("patient", "mobile"), ("clinic", "email")]
)
def test_a_text_field_is_as_long_as_its_column(entity, name):
    column = _column(entity, name)
    expected = 64 if column is None else column.type.length  # a reference is no column
    assert SCHEMAS[entity].load_fields[name].length == expected


@pytest.mark.parametrize(
    ("entity", "name"), [("patient", "gender"), ("doctor", "gender"), ("patient", "blood_type")]
)
def test_every_choice_fits_its_column(entity, name):
    choices = SCHEMAS[entity].load_fields[name].spellings.values()
    assert max(map(len, choices)) <= _column(entity, name).type.length


@pytest.mark.parametrize("entity", LEAST)
def test_every_field_is_a_column_or_a_reference(entity):
    references = {
        "doctor": {"clinic_codes"},
        "appointment": {"patient_no", "doctor_code", "clinic_code"},
    }
    own = {"id", "created_at", "updated_at"}
    bookkeeping = {"version", "contact_key", "contact_rank", "slot_key", "slot_rank"}
    columns = set(db.metadata.tables[entity].columns.keys()) - bookkeeping
    assert set(SCHEMAS[entity].load_fields) == columns - own | references.get(entity, set())
    assert set(SCHEMAS[entity].dump_fields) == columns | references.get(entity, set())


# --- What holds for every value ----------------------------------------------------------------

letters = st.characters(exclude_categories=["Cs"])
odd_letters = st.sampled_from(
    [*"ßİıſKﷺﬁأإآٱىیکةـَّ٠۹ＰA aǰΐ\u0345\u0301", RLM, ZWJ, BOM, "\u00a0", "\u034f", "\u1e9e"]
)
any_text = st.text(odd_letters) | st.text(letters | odd_letters)
any_phone = st.text(st.sampled_from([*"0123456789٠١٢٣+-() .x/", RLM]), max_size=16) | any_text


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
    line, plain = field.spell(f"\n{sent}\n")[1:-1], canonical.plain_numbers(region)
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
scalars = st.none() | st.booleans() | st.integers() | st.integers(-2, 2) | st.floats() | strings
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=3),
)


def sent_records(entity: str) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from([json_name(name) for name in SCHEMAS[entity].load_fields])
    spelt = names | names.map(str.upper) | strings
    return st.dictionaries(spelt, values, max_size=8).map(lambda record: LEAST[entity] | record)


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
    (type(field), field.accepts, field.length, getattr(field, "blank", None)): (entity, name)
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
    if not isinstance(field, fields.Text) or field.plain is fields.NEVER:
        return st.lists(sent, max_size=5)
    plain = st.from_regex(field.plain, fullmatch=True)
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
    pattern, first = canonical.plain_dates(end), date(1899, 1, 1)
    days = [
        first + timedelta(days=number) for number in range((date(end + 2, 1, 1) - first).days)
    ]
    plain = {str(day) for day in days if pattern.fullmatch(str(day))}
    assert plain == {str(day) for day in days if day > date(1900, 1, 1) and day.year < end} - {
        f"{year}-02-29" for year in range(1900, end)
    }
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


def test_a_rule_remembers_few_values_and_short_ones():
    memo = fields.Memo(str.strip)
    for number in range(fields.REMEMBERED + 10):
        assert memo[f" {number} "] == str(number)
    assert memo["long" + " " * fields.TEXT] == "long"
    assert 0 < len(memo) <= fields.REMEMBERED
    assert max(map(len, memo)) <= fields.TEXT


def test_a_rule_does_not_take_one_for_true():
    memo = fields.Memo(repr)
    assert [memo[1], memo[True], memo["1"], memo[1.0]] == ["1", "True", "'1'", "1.0"]


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
        assert (cleaned.value if isinstance(cleaned, fields.Doubt) else cleaned, []) == expected
