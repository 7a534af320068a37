"""Merging two records of one person, and retiring one."""

from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Portal
from test_matching import (
    ALI,
    HUDA,
    LATER,
    MOBILE,
    OMAR,
    SARA,
    SLOT,
    SLOT_KEY,
    formers,
    found,
    new,
    renumbered_doctor,
    renumbered_patient,
    row,
)
from test_ways_out import AT_ELEVEN, AT_TEN, FAMILY, merge, retire, run_in_vain

import upsert
from models import db

# --- Merging -----------------------------------------------------------------------------------


def test_a_merge_moves_bookings(portal: Portal) -> None:
    keep, drop = (
        new(portal, "patient", ALI, patientNo="P-1"),
        new(portal, "patient", ALI, patientNo="P-2"),
    )
    kept = new(portal, "appointment", AT_TEN)
    moved = new(portal, "appointment", LATER, patientNo="P-2", notes="Fasting.")
    merge(portal, "patient", keep, drop)
    assert [it["id"] for it in portal.stored("patient")] == [keep]
    bookings = {
        it["id"]: (it["patient_id"], it["notes"]) for it in portal.stored("appointment")
    }
    assert bookings == {kept: (keep, None), moved: (keep, "Fasting.")}
    found(portal, moved, SLOT_KEY, "appointment", AT_ELEVEN)
    found(portal, moved, SLOT_KEY, "appointment", LATER, patientNo="P-2")


def test_a_merge_leaves_everybody_elses_bookings(portal: Portal) -> None:
    keep, drop = (
        new(portal, "patient", ALI, patientNo="P-1"),
        new(portal, "patient", ALI, patientNo="P-2"),
    )
    other = new(portal, "patient", SARA, patientNo="P-3")
    new(portal, "appointment", SLOT, patientNo="P-3")
    before = row(portal, "patient", other), portal.stored("appointment")
    merge(portal, "patient", keep, drop)
    assert (row(portal, "patient", other), portal.stored("appointment")) == before


@pytest.mark.parametrize(("entity", "number", "renumbered"), [
    ("patient", "patientNo", renumbered_patient),
    ("doctor", "code", renumbered_doctor),
])  # fmt: skip
def test_a_merge_keeps_all_numbers_of_both_the_dropped_ones_as_former(
    portal: Portal, entity: str, number: str, renumbered: Any
) -> None:
    person = {"patient": ALI, "doctor": HUDA}[entity]
    drop = renumbered(portal)
    last = {
        it["id"]: it["patient_no" if entity == "patient" else "code"]
        for it in portal.stored(entity)
    }[drop]
    keep = new(portal, entity, person, **{number: "K-1"})
    first = next(iter(formers(portal, entity)))
    merge(portal, entity, keep, drop)
    assert formers(portal, entity) == {first: keep, last: keep}
    for former in (first, last):
        key = "formerPatientNo" if entity == "patient" else "formerCode"
        assert found(portal, keep, key, entity, {number: former})["data"][number] == "K-1"


def test_a_number_that_the_kept_patient_lacks_becomes_the_current_one(
    portal: Portal,
) -> None:
    keep, drop = (
        new(portal, "patient", ALI, nationalID="N-1"),
        renumbered_patient_of_no_id(portal),
    )
    merge(portal, "patient", keep, drop)
    assert (row(portal, "patient", keep)["patient_no"], formers(portal)) == (
        "P-2",
        {"P-1": keep},
    )


def renumbered_patient_of_no_id(portal: Portal) -> int:
    ali = new(portal, "patient", FAMILY, patientNo="P-1")
    found(portal, ali, "mobile+name", "patient", FAMILY, patientNo="P-2")
    return ali


def test_a_number_once_given_up_by_the_kept_patient_comes_back_as_former(
    portal: Portal,
) -> None:
    keep = renumbered_patient(portal)
    drop = new(portal, "patient", SARA, patientNo="P-1")
    assert formers(portal) == {}
    merge(portal, "patient", keep, drop)
    assert (row(portal, "patient", keep)["patient_no"], formers(portal)) == (
        "P-2",
        {"P-1": keep},
    )


def test_a_merge_fills_empty_fields_and_the_kept_values_win(portal: Portal) -> None:
    keep = new(
        portal, "patient", ALI, patientNo="P-1", email="a@clinic.example", isActive=False
    )
    full = {
        "patientNo": "P-2",
        "nationalID": "N-2",
        "mobile": MOBILE,
        "email": "b@clinic.example",
        "gender": "F",
    }
    drop = new(portal, "patient", SARA | full)
    merge(portal, "patient", keep, drop)
    data = portal.send("patient", patientNo="P-1")["data"]
    assert {name: data[name] for name in (*ALI, *full, "isActive", "bloodType")} == ALI | {
        "patientNo": "P-1",
        "nationalID": "N-2",
        "mobile": "+966501111111",
        "email": "a@clinic.example",
        "gender": "Female",
        "isActive": False,
        "bloodType": None,
    }


@pytest.mark.parametrize(
    "key", [{"nationalID": "N-2"}, {"name": "Ali Hassan", "mobile": MOBILE}]
)
def test_a_key_that_fills_an_empty_field_finds_the_kept_patient(
    portal: Portal, key: dict
) -> None:
    keep = new(portal, "patient", ALI, patientNo="P-1")
    drop = new(portal, "patient", FAMILY, nationalID="N-2")
    merge(portal, "patient", keep, drop)
    found(
        portal, keep, "nationalID" if "nationalID" in key else "mobile+name", "patient", key
    )


def test_a_key_that_lost_to_the_kept_one_leads_to_nobody(portal: Portal) -> None:
    keep = new(portal, "patient", ALI, patientNo="P-1", nationalID="N-1")
    drop = new(portal, "patient", ALI, patientNo="P-2", nationalID="N-2")
    merge(portal, "patient", keep, drop)
    assert new(portal, "patient", ALI, nationalID="N-2") != keep


def test_a_doctor_merge_moves_bookings_and_keys_and_fills_in_clinics(
    portal: Portal,
) -> None:
    new(portal, "patient", ALI, patientNo="P-1")
    clinic = new(portal, "clinic", {"code": "C-1", "name": "Teeth"})
    keep = new(portal, "doctor", HUDA, licenseNumber="L-1")
    drop = new(
        portal, "doctor", OMAR | {"code": "D-2", "phone": MOBILE, "clinicCodes": ["C-1"]}
    )
    booking = new(portal, "appointment", AT_TEN, doctorCode="D-2")
    merge(portal, "doctor", keep, drop)
    (doctor,) = portal.stored("doctor")
    stand = {
        name: doctor[name] for name in ("id", "name", "code", "license_number", "phone")
    }
    assert stand == {
        "id": keep,
        "name": "Dr. Huda Ali",
        "code": "D-2",
        "license_number": "L-1",
        "phone": "+966501111111",
    }
    assert portal.stored("doctor_clinic") == [{"doctor_id": keep, "clinic_id": clinic}]
    assert row(portal, "appointment", booking)["doctor_id"] == keep


def test_a_doctor_merge_leaves_the_clinic_that_has_the_dropped_ones_id(
    portal: Portal,
) -> None:
    new(portal, "patient", ALI, patientNo="P-1")
    clinic = new(portal, "clinic", {"code": "C-1", "name": "Teeth"})
    keep, drop = [new(portal, "doctor", HUDA, code=code) for code in ("D-1", "D-2")]
    set_id(portal, "clinic", clinic, drop)
    booking = new(portal, "appointment", AT_TEN, doctorCode="D-2", clinicCode="C-1")
    merge(portal, "doctor", keep, drop)
    stored = row(portal, "appointment", booking)
    assert (stored["doctor_id"], stored["clinic_id"]) == (keep, drop)


def set_id(portal: Portal, table: str, old: int, new: int) -> None:
    t = db.metadata.tables[table]
    with (
        portal.app.app_context(),
        db.engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        connection.execute(sa.update(t).where(t.c.id == old).values(id=new))


def test_a_doctor_merge_keeps_the_kept_doctors_clinics(portal: Portal) -> None:
    clinic, other = [
        new(portal, "clinic", {"code": code, "name": "Teeth"}) for code in ("C-1", "C-2")
    ]
    keep = new(portal, "doctor", HUDA | {"code": "D-1", "clinicCodes": ["C-1"]})
    drop = new(portal, "doctor", HUDA | {"code": "D-2", "clinicCodes": ["C-2"]})
    merge(portal, "doctor", keep, drop)
    assert clinic != other
    assert portal.stored("doctor_clinic") == [{"doctor_id": keep, "clinic_id": clinic}]


def test_two_doctors_bookings_of_one_patient_stay_apart_in_a_merge(portal: Portal) -> None:
    new(portal, "patient", ALI, patientNo="P-1")
    keep, drop = (
        new(portal, "doctor", HUDA | {"code": "D-1"}),
        new(portal, "doctor", HUDA | {"code": "D-2"}),
    )
    new(portal, "appointment", AT_TEN, appointmentNo="A-1", doctorCode="D-1")
    new(portal, "appointment", AT_TEN, appointmentNo="A-2", doctorCode="D-2")
    merge(portal, "doctor", keep, drop)
    bookings = {
        it["appointment_no"]: it["doctor_id"] for it in portal.stored("appointment")
    }
    assert bookings == {"A-1": keep, "A-2": keep}


# The number of the kept patient's booking, of the dropped one's, and of the one that is left.
@pytest.mark.parametrize(
    ("kept", "dropped", "left"),
    [(None, None, None), ("A-1", None, "A-1"), (None, "A-2", "A-2")],
)
def test_twin_bookings_at_one_slot_become_one_in_a_merge(
    portal: Portal, kept: str | None, dropped: str | None, left: str | None
) -> None:
    keep, drop = (
        new(portal, "patient", ALI, patientNo="P-1"),
        new(portal, "patient", ALI, patientNo="P-2"),
    )
    twin = new(portal, "appointment", AT_TEN, appointmentNo=kept, status="Confirmed")
    new(
        portal,
        "appointment",
        SLOT,
        appointmentNo=dropped,
        patientNo="P-2",
        notes="Fasting.",
        status="Cancelled",
    )
    merge(portal, "patient", keep, drop)
    (booking,) = portal.stored("appointment")
    stand = tuple(
        booking[name] for name in ("id", "patient_id", "appointment_no", "status", "notes")
    )
    assert stand == (twin, keep, left, "Confirmed", "Fasting.")
    found(portal, twin, SLOT_KEY, "appointment", AT_TEN)


def test_two_numbered_bookings_at_one_slot_stay_two_in_a_merge(portal: Portal) -> None:
    keep, drop = (
        new(portal, "patient", ALI, patientNo="P-1"),
        new(portal, "patient", ALI, patientNo="P-2"),
    )
    new(portal, "appointment", AT_TEN, appointmentNo="A-1")
    new(portal, "appointment", SLOT, appointmentNo="A-2", patientNo="P-2")
    merge(portal, "patient", keep, drop)
    bookings = {
        it["appointment_no"]: it["patient_id"] for it in portal.stored("appointment")
    }
    assert bookings == {"A-1": keep, "A-2": keep}


def test_a_stale_sync_after_a_merge_does_not_bring_the_dropped_patient_back(
    portal: Portal,
) -> None:
    keep, drop = (
        new(portal, "patient", ALI, patientNo="P-1"),
        new(portal, "patient", ALI, patientNo="P-2"),
    )
    merge(portal, "patient", keep, drop)
    answer = portal.send_many(
        {
            "patient": [ALI | {"patientNo": "P-2"}],
            "appointment": [SLOT | {"patientNo": "P-2"}],
        }
    )
    assert answer["patient"]["results"][0]["id"] == keep
    assert [it["patient_id"] for it in portal.stored("appointment")] == [keep]
    assert [it["id"] for it in portal.stored("patient")] == [keep]


# --- Retiring ----------------------------------------------------------------------------------


def test_persons_can_be_merged_and_whatever_has_keys_to_give_up_retired() -> None:
    assert upsert.MERGEABLE == ("doctor", "patient")
    assert upsert.RETIRABLE == ("doctor", "patient", "appointment")


def test_who_is_retired_is_inactive_without_a_key_and_keeps_nobody(portal: Portal) -> None:
    retired = new(portal, "patient", ALI, patientNo="P-1")
    retire(portal, "patient", retired)
    stored = row(portal, "patient", retired)
    assert (stored["is_active"], stored["patient_no"]) == (False, None)
    again = new(portal, "patient", ALI, patientNo="P-1")
    told = run_in_vain(portal, "merge", "patient", retired, again, "--yes").output
    assert "Merge the other way round." in told


def test_a_booking_that_is_retired_is_gone(portal: Portal) -> None:
    new(portal, "patient", ALI, patientNo="P-1")
    retire(portal, "appointment", new(portal, "appointment", AT_TEN))
    assert portal.stored("appointment") == []
