"""What older rules stored, names in one word or two, and bookings without numbers."""

from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Portal
from test_matching import (
    HUDA,
    MOBILE,
    OMAR,
    SARA,
    SLOT,
    found,
    new,
    patients,
    renumbered_patient,
)

from models import Patient, db

# --- What older rules stored -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["????? ???", ".", "سا\ufffdرة", "---"])
def test_a_stored_name_that_would_be_refused_today_cannot_speak(
    portal: Portal, name: str
) -> None:
    sara = new(portal, "patient", SARA, patientNo="P-1")
    overwrite(portal, sara, name=name)
    answer = found(
        portal,
        sara,
        "patientNo",
        "patient",
        patientNo="P-1",
        name="سارة عمر",
        dateOfBirth="1991-01-01",
    )
    assert answer["data"]["name"] == "سارة عمر"


@pytest.mark.parametrize("given", ["N/A", "-", "????", "غير معروف"])
def test_a_given_name_that_is_none_cannot_speak(portal: Portal, given: str) -> None:
    sara = new(
        portal, "patient", SARA, patientNo="P-1", nationalID="1000000007", firstName="Sara"
    )
    overwrite(portal, sara, first_name=given)
    again = SARA | {
        "name": "Sara Ali",
        "firstName": "SARA",
        "patientNo": "P-2",
        "nationalID": "1000000007",
    }
    assert found(portal, sara, "nationalID", "patient", again)["data"]["patientNo"] == "P-2"


def overwrite(portal: Portal, record_id: int, **values: Any) -> None:
    """Store what the service would not."""
    with (
        portal.app.app_context(),
        db.engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        connection.execute(
            sa.update(Patient.__table__)
            .where(Patient.__table__.c.id == record_id)
            .values(**values)
        )


def test_a_record_whose_number_was_emptied_takes_its_former_one_back(
    portal: Portal,
) -> None:
    ali = renumbered_patient(portal)
    overwrite(portal, ali, patient_no=None)
    answer = found(portal, ali, "formerPatientNo", "patient", patientNo="P-1")
    assert (answer["data"]["patientNo"], answer["warnings"]) == ("P-1", [])
    found(portal, ali, "patientNo", "patient", patientNo="P-1")


# --- Names that are written in one word or two -------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("عبدالله علي", "عبد الله علي"),
        ("أبوبكر سالم", "ابو بكر سالم"),
        ("محمد آل سعود", "محمد ال سعود"),
        ("ابو عبدالرحمن", "أبو عبد الرحمن"),
        ("آل عبدالله", "ال عبد الله"),
    ],
)
def test_the_blank_behind_abd_abu_and_al_makes_no_second_patient(
    portal: Portal, one: str, other: str
) -> None:
    stored = new(portal, "patient", name=one, mobile=MOBILE)
    found(portal, stored, "mobile+name", "patient", name=other, mobile=MOBILE)


@pytest.mark.parametrize(
    ("one", "other"),
    [("جمال علي", "جمالعلي"), ("سعبد الله", "سعبدالله"), ("عبد", "عبدالله")],
)
def test_other_blanks_tell_names_apart(portal: Portal, one: str, other: str) -> None:
    assert new(portal, "patient", name=one, mobile=MOBILE) != new(
        portal, "patient", name=other, mobile=MOBILE
    )


# --- Bookings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "table"), [("doctorCode", "doctor"), ("clinicCode", "clinic")]
)
def test_another_doctor_or_clinic_at_the_same_moment_replaces_the_first_and_is_told(
    portal: Portal, name: str, table: str
) -> None:
    patients(portal)
    for code, person in (("K-1", HUDA), ("K-2", OMAR)):
        portal.send(table, {"code": code, "name": person["name"]})
    booking = new(portal, "appointment", SLOT, patientNo="P-1", **{name: "K-1"})
    answer = found(
        portal,
        booking,
        "patient+date+timeFrom",
        "appointment",
        SLOT,
        patientNo="P-1",
        **{name: "K-2"},
    )
    assert answer["changed"] == [name]
    assert answer["warnings"] == [
        f"{name}: K-1 is replaced by K-2: without a number two bookings at one time are one"
    ]


@pytest.mark.parametrize(
    "again", [{"doctorCode": "D-1"}, {}, {"appointmentNo": "A-1", "doctorCode": "D-2"}]
)
def test_the_same_doctor_none_or_a_number_replaces_nobody_silently(
    portal: Portal, again: dict
) -> None:
    patients(portal)
    for code, person in (("D-1", HUDA), ("D-2", OMAR)):
        new(portal, "doctor", person, code=code)
    first = (
        SLOT
        | {"patientNo": "P-1", "doctorCode": "D-1"}
        | ({"appointmentNo": "A-1"} if "appointmentNo" in again else {})
    )
    booking = new(portal, "appointment", first)
    answer = portal.send("appointment", SLOT | {"patientNo": "P-1"} | again)
    assert (answer["id"], answer["warnings"]) == (booking, [])


BOOKED = {
    "patientNo": "P-1",
    "date": "2026-06-15",
    "timeFrom": "22:00",
    "appointmentNo": "A-1",
}


@pytest.mark.parametrize(
    "end",
    [
        "24:00",
        "24:00:00",
        "24:00:00.0000000",
        "1.00:00:00",
        "2026-06-16T00:00:00",
        "2026-06-15T21:00:00Z",
        "2026-06-15T24:00:00",
    ],
)
def test_a_booking_may_end_with_its_day(portal: Portal, end: str) -> None:
    patients(portal)
    new(portal, "appointment", BOOKED, timeTo=end)
    answer = portal.send("appointment", appointmentNo="A-1", timeTo=end)
    assert (answer["action"], answer["data"]["timeTo"]) == ("unchanged", "00:00:00")


@pytest.mark.parametrize(
    "end",
    ["2026-06-15T00:00:00", "2026-06-18T00:00:00", "00:00:00", "1970-01-01T00:00:00Z"],
)
def test_the_midnight_of_another_day_is_no_end(portal: Portal, end: str) -> None:
    patients(portal)
    new(portal, "appointment", BOOKED, timeTo="23:00")
    for sent in (BOOKED | {"timeTo": end}, {"appointmentNo": "A-1", "timeTo": end}):
        answer = portal.send("appointment", sent)
        assert (answer["action"], answer["data"]["timeTo"]) == ("unchanged", "23:00:00")
        assert bool(answer["warnings"]) == (end == "2026-06-18T00:00:00")


@pytest.mark.parametrize(
    ("start", "ends"), [("00:00", "02:00:00"), ("21:30", "23:30:00"), ("22:00", "00:00:00")]
)
def test_a_booking_until_midnight_keeps_its_length_when_it_moves(
    portal: Portal, start: str, ends: str
) -> None:
    patients(portal)
    new(portal, "appointment", BOOKED, timeTo="24:00")
    answer = portal.send("appointment", BOOKED | {"date": "2026-06-17", "timeFrom": start})
    assert answer["data"]["timeTo"] == ends


def test_a_whole_day_is_booked_and_a_booking_may_move_to_end_at_midnight(
    portal: Portal,
) -> None:
    patients(portal)
    assert new(portal, "appointment", BOOKED | {"timeFrom": "00:00", "timeTo": "24:00"})
    new(
        portal,
        "appointment",
        BOOKED | {"appointmentNo": "A-2", "timeFrom": "08:00", "timeTo": "12:00"},
    )
    moved = portal.send("appointment", appointmentNo="A-2", timeFrom="20:00")
    assert moved["data"]["timeTo"] == "00:00:00"


def test_a_former_number_decides_alone_and_a_contact_only_where_it_leaves_nobody(
    portal: Portal,
) -> None:
    ali = renumbered_patient(portal)
    sara = new(portal, "patient", SARA, mobile=MOBILE)
    found(
        portal,
        ali,
        "formerPatientNo",
        "patient",
        patientNo="P-1",
        mobile=MOBILE,
        name="Ali Hassan",
    )
    found(portal, sara, "mobile+name", "patient", SARA, patientNo="P-1", mobile=MOBILE)


def test_a_stale_number_of_a_newborns_own_leaves_its_id_to_it(portal: Portal) -> None:
    known = {"nationalID": "1000000007", "dateOfBirth": "2026-06-01"}
    baby = new(portal, "patient", known, patientNo="P-1", name="Sara Ali")
    found(portal, baby, "nationalID", "patient", known, patientNo="P-2", name="Sara Ali")
    found(portal, baby, "patientNo", "patient", known, patientNo="P-2", name="Baby of Huda")
    answer = found(
        portal, baby, "nationalID", "patient", known, patientNo="P-1", name="Baby of Huda"
    )
    assert [it for it in answer["warnings"] if "mother" in it] == []


@pytest.mark.parametrize("stored", [True, False])
def test_the_last_day_of_the_calendar_is_a_day_like_others(
    portal: Portal, stored: bool
) -> None:
    patients(portal)
    last = {
        "appointmentNo": "A-1",
        "patientNo": "P-1",
        "date": "9999-12-31",
        "timeFrom": "10:00",
    }
    if stored:
        new(portal, "appointment", last)
        last = {"appointmentNo": "A-1"}
    told = portal.send_many(
        {
            "appointment": [
                last | {"timeTo": "2026-01-01T00:00:00"},
                BOOKED | {"appointmentNo": "A-2"},
            ]
        }
    )
    assert [it["success"] for it in told["appointment"]["results"]] == [True, True]
