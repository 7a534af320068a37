"""What means none, and what was damaged on its way."""

import re
from decimal import Decimal
from typing import Any

import pytest
from conftest import Portal
from test_matching import MOBILE, found, new, refused
from test_values import LEAST, SCHEMAS, clean, warned
from test_values import refused as refused_by_schema

import words

NUMBERS = [("patient", "patientNo"), ("patient", "nationalID"), ("doctor", "licenseNumber")]
CODES = [("clinic", "code"), ("doctor", "code")]
REFERENCES = ["patientNo", "doctorCode", "clinicCode"]
IDS = ["patientId", "doctorId", "clinicId"]
OFFICIAL = [
    ("patient", "nationalID"),
    ("doctor", "licenseNumber"),
    ("doctor", "idNumber"),
    ("doctor", "medicalRegNumber"),
]
WITH_NONE = [
    *NUMBERS,
    *OFFICIAL[2:],
    ("appointment", "appointmentNo"),
    ("appointment", "patientNo"),
    *(
        ("patient", name)
        for name in ("mobile", "phone", "email", "gender", "bloodType", "dateOfBirth")
    ),
    *(("doctor", name) for name in ("phone", "email", "gender", "dateOfBirth")),
    *(("appointment", name) for name in ("date", "timeFrom", "timeTo", *IDS)),
    ("clinic", "phone"),
    ("clinic", "email"),
]
OTHER_KEY = {
    "patient": {"mobile": MOBILE, "name": "Ali"},
    "doctor": {"code": "D-9"},
    "appointment": {"appointmentNo": "A-9"},
}


def without(entity: str, name: str) -> dict[str, Any]:
    """Return a record of an entity that is known by something else than this field."""
    record = LEAST[entity] if name not in LEAST[entity] else OTHER_KEY.get(entity, {})
    if name == "appointmentNo":
        record = {"patientNo": "P-1", "date": "2026-06-15", "timeFrom": "10:30"}
    return {other: value for other, value in record.items() if other != name}


def left_out(entity: str, name: str, value: Any) -> list[str]:
    """Return the warnings of a value that must count as absent."""
    least = without(entity, name)
    data, warnings = SCHEMAS[entity].clean(least | {name: value})
    assert data == SCHEMAS[entity].clean(least)[0]
    return warnings


# --- Words for none ----------------------------------------------------------------------------

SPELLINGS = [
    *(
        "-",
        ".",
        "--",
        "/",
        "…",
        "( )",
        "N/A",
        "#N/A",
        "NA",
        "n.a.",
        "NULL",
        "(null)",
        "<null>",
        "NONE",
        "none.",
        "NIL",
    ),
    *(
        "NaN",
        "undefined",
        "لا يوجد",
        "لايوجد",
        "لا  يوجد.",
        "غير معروف",
        "بدون",
        "بِدون",
        "ＮＵＬＬ",
        "????",
    ),
]


@pytest.mark.parametrize("word", [*SPELLINGS, "UNKNOWN", "Unknown."])
@pytest.mark.parametrize(("entity", "name"), WITH_NONE)
def test_a_word_for_none_counts_as_absent_with_a_warning_that_repeats_it(
    entity: str, name: str, word: str
) -> None:
    if name == "gender" and word == "UNKNOWN":
        assert clean(entity, gender=word)["gender"] == "Unknown"
        return
    assert left_out(entity, name, word) == [
        f'{name}: "{word.strip()}" stands for none, left out'
    ]


@pytest.mark.parametrize(
    "word", ["-", ".", "N/A", "n/a", "#N/A", "N / A", "NULL", "(null)", "null"]
)
@pytest.mark.parametrize(
    ("entity", "name"),
    [*CODES, ("appointment", "doctorCode"), ("appointment", "clinicCode")],
)
def test_few_words_are_none_for_a_code(entity: str, name: str, word: str) -> None:
    if (entity, name) == ("clinic", "code"):
        assert (
            f'"{word}" stands for none, left out'
            in refused_by_schema("clinic", {"code": word})["code"]
        )
        return
    least = {"licenseNumber": "L-1"} if entity == "doctor" else LEAST[entity]
    assert SCHEMAS[entity].clean(least | {name: word})[1] == [
        f'{name}: "{word}" stands for none, left out'
    ]


@pytest.mark.parametrize(
    "code", ["NA", "NONE", "NIL", "UNKNOWN", "000", "00", "999999999", "بدون", "N-A"]
)
@pytest.mark.parametrize("entity", ["clinic", "doctor"])
def test_a_code_may_be_a_word(entity: str, code: str) -> None:
    assert SCHEMAS[entity].clean({"code": code}) == ({"code": code}, [])
    assert clean("appointment", doctorCode=code, clinicCode=code)["clinic_code"] == code


@pytest.mark.parametrize(
    "close",
    [
        "NA-1",
        "Nadia",
        "N/A-17",
        "NULLA",
        "NONE-5",
        "P-",
        "NILS",
        "UNKNOWN-7",
        "0-7A",
        "-7A",
    ],
)
@pytest.mark.parametrize(("entity", "name"), NUMBERS)
def test_the_list_is_closed(entity: str, name: str, close: str) -> None:
    data, warnings = SCHEMAS[entity].clean(without(entity, name) | {name: close})
    assert (close.upper() in data.values(), warnings) == (True, [])


@pytest.mark.parametrize("name", ["firstName", "lastName"])
def test_other_text_may_be_a_word_for_none(name: str) -> None:
    assert SCHEMAS["patient"].clean({"patientNo": "P-1", name: "None"})[1] == []


# --- Zero values -------------------------------------------------------------------------------

ZEROS = [
    "0",
    "000",
    "00000000-0000-0000-0000-000000000000",
    "{00000000-0000-0000-0000-000000000000}",
    "-1",
    "-17",
    "٠",
    "0.0",
    "'0",
]


@pytest.mark.parametrize("zero", ZEROS)
@pytest.mark.parametrize(
    ("entity", "name"),
    [
        *NUMBERS,
        *OFFICIAL[2:],
        ("appointment", "appointmentNo"),
        ("appointment", "patientNo"),
        *(("appointment", it) for it in IDS),
    ],
)
def test_a_zero_as_text_counts_as_absent_with_a_warning(
    entity: str, name: str, zero: str
) -> None:
    assert left_out(entity, name, zero) == [f'{name}: "{zero}" stands for none, left out']


@pytest.mark.parametrize("zero", [0, -1, -17, -(2**63)])
@pytest.mark.parametrize(
    ("entity", "name"),
    [
        *NUMBERS,
        ("doctor", "code"),
        ("appointment", "appointmentNo"),
        *(("appointment", it) for it in (*REFERENCES, *IDS)),
    ],
)
def test_a_zero_as_a_number_counts_as_absent_in_silence(
    entity: str, name: str, zero: int
) -> None:
    least = {"licenseNumber": "L-1"} if name == "code" else without(entity, name)
    assert SCHEMAS[entity].clean(least | {name: zero}) == SCHEMAS[entity].clean(least)


@pytest.mark.parametrize("zero", [0.0, -1.0, Decimal("0.0"), Decimal("-0.0")])
def test_a_zero_as_a_float_is_one(zero: Any) -> None:
    assert left_out("patient", "nationalID", zero) == []


@pytest.mark.parametrize("zero", ["0", "-1", 0, -5])
def test_a_code_of_zero_is_none(zero: Any) -> None:
    assert "Missing" in refused_by_schema("clinic", {"code": zero})["code"][0]
    assert "code" not in SCHEMAS["doctor"].clean({"licenseNumber": "L-1", "code": zero})[0]
    assert clean("appointment", doctorCode=zero, clinicCode=zero) == {
        "appointment_no": "A-1"
    }


@pytest.mark.parametrize("nothing", [["N/A"], ["", None], ["-", 0], [None]])
def test_a_list_of_codes_that_holds_nothing_is_absent(nothing: list) -> None:
    assert clean("doctor", clinicCodes=nothing) == {"code": "D-1"}
    assert clean("doctor", clinicCodes=[*nothing, "c-1"])["clinic_codes"] == ("C-1",)


# --- Fillers, and forms ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filler",
    [
        "9999999999",
        "99999999",
        "1111111111",
        "1000000000",
        "20000000",
        "1234567890",
        "0123456789",
        "123456789",
        "٩٩٩٩٩٩٩٩",
    ],
)
@pytest.mark.parametrize(("entity", "name"), OFFICIAL)
def test_what_fills_a_form_is_no_official_number(
    entity: str, name: str, filler: str
) -> None:
    assert left_out(entity, name, filler) == [
        f'{name}: "{filler}" stands for none, left out'
    ]
    assert left_out(entity, name, int(filler)) == [
        f'{name}: "{int(filler)}" stands for none, left out'
    ]


def test_a_filler_in_hyphens_is_one() -> None:
    assert left_out("patient", "nationalID", "999-9999-9999999-9")


@pytest.mark.parametrize(
    "real", ["1000000001", "9999999", "1122334455", "1999999999", "12345678", "2111111112"]
)
@pytest.mark.parametrize(("entity", "name"), OFFICIAL)
def test_what_only_looks_like_a_filler_is_a_number(
    entity: str, name: str, real: str
) -> None:
    data, warnings = SCHEMAS[entity].clean(LEAST[entity] | {name: real})
    assert (real in data.values(), warnings) == (True, [])


@pytest.mark.parametrize("number", ["9999999999", "1000000000", "123456789"])
def test_a_file_number_or_a_code_may_be_one(number: str) -> None:
    assert SCHEMAS["patient"].clean({"patientNo": number}) == ({"patient_no": number}, [])
    assert SCHEMAS["doctor"].clean({"code": number}) == ({"code": number}, [])


@pytest.mark.parametrize(
    "spelling",
    ["784-1990-1234567-1", "784 1990 1234567 1", "٧٨٤-١٩٩٠-١٢٣٤٥٦٧-١", "784–1990–12345671"],
)
def test_hyphens_and_blanks_do_not_tell_national_ids_apart(spelling: str) -> None:
    assert clean("patient", nationalID=spelling)["national_id"] == "784199012345671"
    assert clean("doctor", idNumber=spelling)["id_number"] == "784199012345671"


@pytest.mark.parametrize("other", ["784-1990-A", "N-1", "7/8"])
def test_hyphens_stay_where_there_are_letters(other: str) -> None:
    assert clean("patient", nationalID=other)["national_id"] == other


SCIENTIFIC = ["1.08E+09", "1.08e+09", "1E-5", "7E+0", "١E+٠٩", Decimal("1.08E+9"), 1e22]


@pytest.mark.parametrize("lost", SCIENTIFIC)
@pytest.mark.parametrize(
    ("entity", "name"),
    [
        *NUMBERS,
        *CODES,
        ("appointment", "appointmentNo"),
        *(("appointment", it) for it in REFERENCES),
    ],
)
def test_scientific_notation_is_refused(entity: str, name: str, lost: Any) -> None:
    (sentence, *_) = refused_by_schema(entity, LEAST[entity] | {name: lost})[
        next(
            it
            for it, field in SCHEMAS[entity].load_fields.items()
            if field.data_key == name
        )
    ]
    assert "a spreadsheet lost its digits" in sentence


@pytest.mark.parametrize("code", ["12E5", "1.08E09", "E+5", "1.E+5", "A1E+5"])
def test_a_code_with_an_e_is_a_code(code: str) -> None:
    assert clean("patient", patientNo=code)["patient_no"] == code


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("50222222.0", "50222222"),
        ("502222222.0", "+966502222222"),
        ("0502222222.00", "+966502222222"),
        (502222222.0, "+966502222222"),
        ("٠٥٠٢٢٢٢٢٢٢.٠", "+966502222222"),
        ("966502222222.0", "+966502222222"),
    ],
)
def test_the_point_of_a_float_is_no_digit_of_a_phone(sent: Any, stored: str) -> None:
    assert clean("patient", mobile=sent)["mobile"] == stored
    first, second = SCHEMAS["patient"].load_fields["mobile"].clean_all(["0551234567", sent])
    assert first == "+966551234567"
    assert stored in (second, getattr(second, "value", None))


# --- Damaged text ------------------------------------------------------------------------------

DAMAGED = [
    "???? ???",
    "?? علي",
    "Ali ???",
    "؟؟؟ ؟؟",
    "M?hammed",
    "سا\ufffdرة",
    "\ufffd\ufffd",
    "Ali (??)",
]
NO_LETTER = [".", "-", "...", "😀", "ـــ", "---"]


@pytest.mark.parametrize("name", [*DAMAGED, *NO_LETTER])
@pytest.mark.parametrize(
    ("entity", "field"),
    [("clinic", "name"), ("doctor", "name"), ("doctor", "aName"), ("patient", "name")],
)
def test_a_damaged_name_counts_as_absent_and_says_why(
    entity: str, field: str, name: str
) -> None:
    (warning,) = left_out(entity, field, name)
    assert (
        warning
        == f'{field}: "{name}" is no name: letters were lost before sending; send UTF-8, left out'
    )


@pytest.mark.parametrize(
    "name", ["Ali?", "Who? Ali", "٧", "X", "Dr. Ali", "O'Neil", "محمد؟"]
)
def test_a_name_with_letters_or_digits_is_one(name: str) -> None:
    assert SCHEMAS["patient"].clean({"patientNo": "P-1", "name": name}) == (
        {"patient_no": "P-1", "name": name},
        [],
    )


@pytest.mark.parametrize("text", ["????", "؟؟ ؟؟", "\ufffd\ufffd.", "?? - ??"])
@pytest.mark.parametrize(
    ("entity", "field"),
    [("patient", "firstName"), ("appointment", "notes"), ("appointment", "status")],
)
def test_text_of_nothing_but_damage_is_left_out(entity: str, field: str, text: str) -> None:
    (warning,) = left_out(entity, field, text)
    assert "letters were lost before sending; send UTF-8" in warning


@pytest.mark.parametrize(
    "text", ["allergic to ???", "Jos\ufffd", "M?ller", "see a.example/b?c=d"]
)
@pytest.mark.parametrize(
    ("entity", "field"), [("patient", "lastName"), ("appointment", "notes")]
)
def test_damaged_text_with_letters_left_is_stored_with_a_warning(
    entity: str, field: str, text: str
) -> None:
    assert text in clean(entity, **{field: text}).values()
    assert warned(entity, **{field: text}) == [
        f'{field}: "{text}" is stored as it came, but letters were lost before sending; send UTF-8'
    ]


@pytest.mark.parametrize("identifier", ["P-\ufffd1", "?? 12", "A?B"])
def test_a_damaged_identifier_is_nobodys(identifier: str) -> None:
    assert "letters were lost" in left_out("patient", "nationalID", identifier)[0]
    assert "letters were lost" in left_out("appointment", "doctorCode", identifier)[0]


def test_a_stored_name_outlives_a_damaged_one(portal: Portal) -> None:
    sara = new(portal, "patient", patientNo="P-1", name="سارة عمر")
    answer = found(portal, sara, "patientNo", "patient", patientNo="P-1", name="???? ???")
    assert (answer["action"], answer["data"]["name"]) == ("unchanged", "سارة عمر")
    assert "letters were lost before sending; send UTF-8" in answer["warnings"][0]


@pytest.mark.parametrize("name", ["???? ???", ".", "\ufffd"])
def test_a_new_patient_with_a_damaged_name_is_refused_and_told_why(
    portal: Portal, name: str
) -> None:
    answer = refused(portal, "validation_failed", "patient", patientNo="P-1", name=name)
    missing, why = answer["errors"]["name"]
    assert missing.startswith("Missing")
    assert "letters were lost before sending; send UTF-8" in why


@pytest.mark.parametrize(
    "fields", [{"patientNo": "0"}, {"nationalID": "N/A"}, {"mobile": "-", "name": "Ali"}]
)
def test_who_has_no_key_but_words_for_none_is_told_of_them(
    portal: Portal, fields: dict
) -> None:
    answer = refused(portal, "validation_failed", "patient", fields)
    sentences = [sentence for them in answer["errors"].values() for sentence in them]
    assert any("stands for none" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    "text", ["N/A", "n.a.", "(null)", "لا يوجد", "لايوجد", "-", "--", ". .", "None"]
)
def test_the_documents_pattern_takes_every_word_for_none(text: str) -> None:
    assert re.fullmatch(words.NOTHING.pattern, text)
    assert words.NOTHING.is_word(text)


@pytest.mark.parametrize("text", ["", " ", "NATO", "A-1", "none else", "(0)"])
def test_the_documents_pattern_takes_nothing_else(text: str) -> None:
    assert not re.fullmatch(words.NOTHING.pattern, text)
    assert not words.NOTHING.is_word(text)
