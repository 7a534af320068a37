"""The canonical form of each kind of field: identifiers, phones, dates, times, choices."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from test_values import (
    BOM,
    IDENTIFIERS,
    LRM,
    RLM,
    SCHEMAS,
    SLOT,
    ZWJ,
    ZWNJ,
    clean,
    one_value,
    only_fault,
    refused,
    warned,
)

import schemas
from engine import canonical, fields

# --- Identifiers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("doc-sarah-04", "DOC-SARAH-04"),
        ("  p   1  ", "P 1"),
        ("p\u00a0\u30001", "P 1"),
        (f"{RLM}P-{LRM}1{BOM}", "P-1"),
        (f"P{ZWJ}-{ZWNJ}1\u200b\u00ad\u061c\u202b\u2067\u2060\u206f", "P-1"),
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
    assert refused(
        "appointment", SLOT | {"timeFrom": time_from, "timeTo": time_to}
    ).keys() == {"time_to"}


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
    "wrong",
    ["x", "O", "U", "man", "fe male", "male female", "رجل", 1, 0, True, 1.5, [], {}],
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
    assert {
        clean("patient", bloodType=spelling)["blood_type"] for spelling in spellings
    } == {f"{group}{sign}"}


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


# --- Ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("midnight_of", "end", "warning"),
    [
        ("2027-01-01", "00:00:00", ""),
        ("2026-12-31", None, ""),
        (
            "2026-12-30",
            None,
            '"2026-12-30 00:00:00" is not the end of 2026-12-31, left out',
        ),
        (
            "2027-01-02",
            None,
            '"2027-01-02 00:00:00" is not the end of 2026-12-31, left out',
        ),
    ],
)
def test_the_midnight_after_a_day_is_its_end(
    midnight_of: str, end: str | None, warning: str
) -> None:
    time_to = f"{midnight_of} 00:00:00"
    assert canonical.is_dated(time_to)
    assert canonical.settled_end("2026-12-31", time_to) == (end, warning)


@pytest.mark.parametrize(
    ("time_from", "time_to", "fits"),
    [
        ("10:00:00", "10:00:01", True),
        ("10:00:00", "10:00:00", False),
        ("10:00:00", "09:59:59", False),
        ("23:45:00", "00:15:00", True),
        ("23:45:00", "11:45:00", True),  # 12 hours
        ("23:45:00", "11:45:01", False),
        ("00:00:01", "00:00:00", True),  # the end of the day, whatever the length
    ],
)
def test_an_end_is_later_that_day_or_12_hours_past_midnight_at_most(
    time_from: str, time_to: str, fits: bool
) -> None:
    assert not canonical.is_dated(time_to)
    assert canonical.ends_well(time_from, time_to) is fits


@pytest.mark.parametrize(
    ("time_from", "time_to", "hours"),
    [
        ("10:00:00", "10:30:00", 0.5),
        ("23:45:00", "00:15:00", 0.5),
        ("10:00:00", "00:00:00", 14),
    ],
)
def test_a_booking_that_moves_keeps_its_length(
    time_from: str, time_to: str, hours: float
) -> None:
    length = canonical.duration(time_from, time_to)
    assert length == timedelta(hours=hours)
    assert canonical.time_after(time_from, length) == time_to


@pytest.mark.parametrize("sent", ["2026-12-31T24:00", "2026-12-31 24:00:00"])
def test_24_00_of_a_day_is_the_next_ones_midnight(sent: str) -> None:
    end = canonical.end_time(sent, ZoneInfo("Asia/Riyadh"))
    assert end == "2027-01-01 00:00:00"
