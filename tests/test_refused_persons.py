"""A refused person in /sync: whose bookings fall with it."""

from conftest import Portal
from test_matching import (
    ALI,
    HUDA,
    OMAR,
    SARA,
    SLOT,
    everything,
    new,
    patients,
    renumbered_patient,
)


def sync(portal: Portal, **batches: list) -> dict[str, list]:
    return {
        entity: answer["results"] for entity, answer in portal.send_many(batches).items()
    }


def test_a_booking_for_a_patient_refused_in_the_same_sync_is_an_unknown_reference(
    portal: Portal,
) -> None:
    ali, _ = patients(portal)
    before = everything(portal)
    told = sync(
        portal,
        patient=[SARA | {"patientNo": "p-1"}],
        appointment=[SLOT | {"patientNo": "P-1 "}],
    )
    assert (told["patient"][0]["status"], told["patient"][0]["code"]) == (
        409,
        "identity_conflict",
    )
    assert (told["appointment"][0]["status"], told["appointment"][0]["code"]) == (
        422,
        "unknown_reference",
    )
    assert list(told["appointment"][0]["errors"]) == ["patientNo"]
    assert everything(portal) == before
    # The same booking, in a request of its own.
    told = sync(portal, appointment=[SLOT | {"patientNo": "P-1"}])
    assert told["appointment"][0]["action"] == "created"
    assert portal.stored("appointment")[0]["patient_id"] == ali


def test_a_booking_with_a_doctor_refused_in_the_same_sync_is_an_unknown_reference(
    portal: Portal,
) -> None:
    patients(portal)
    new(portal, "doctor", HUDA, code="D-1")
    before = everything(portal)
    told = sync(
        portal,
        doctor=[OMAR | {"code": "D-1"}],
        appointment=[SLOT | {"patientNo": "P-1", "doctorCode": "D-1"}],
    )
    assert told["doctor"][0]["code"] == "identity_conflict"
    assert told["appointment"][0]["code"] == "unknown_reference"
    assert list(told["appointment"][0]["errors"]) == ["doctorCode"]
    assert everything(portal) == before


def test_a_booking_by_a_former_number_of_somebody_refused_in_the_same_sync_is_an_unknown_reference(
    portal: Portal,
) -> None:
    renumbered_patient(portal)
    new(portal, "patient", SARA, nationalID="N-2")
    stranger = ALI | {"patientNo": "P-1", "nationalID": "N-2"}
    told = sync(
        portal,
        patient=[stranger],
        appointment=[SLOT | {"patientNo": "P-1"}, SLOT | {"patientNo": "P-2"}],
    )
    assert told["patient"][0]["code"] == "identity_conflict"
    assert told["appointment"][0]["code"] == "unknown_reference"
    # Nobody was refused under this number.
    assert told["appointment"][1]["action"] == "created"


def test_only_bookings_for_the_refused_are_refused_in_a_sync(portal: Portal) -> None:
    patients(portal)
    new(portal, "doctor", HUDA, code="P-1")  # a doctor's code is no patient's number
    booking = SLOT | {"patientNo": "P-2", "doctorCode": "P-1"}
    told = sync(
        portal,
        patient=[SARA | {"patientNo": "P-1"}, {"patientNo": "P-2"}],
        appointment=[booking],
    )
    assert [it.get("code") for it in told["patient"]] == ["identity_conflict", None]
    assert told["appointment"][0]["action"] == "created"


def test_a_patient_who_is_only_invalid_keeps_the_bookings_of_the_same_sync(
    portal: Portal,
) -> None:
    ali, _ = patients(portal)
    told = sync(
        portal,
        patient=[{"patientNo": "P-1", "email": "no address"}],
        appointment=[SLOT | {"patientNo": "P-1"}],
    )
    assert told["patient"][0]["code"] == "validation_failed"
    assert (
        told["appointment"][0]["action"],
        portal.stored("appointment")[0]["patient_id"],
    ) == (
        "created",
        ali,
    )


def test_a_refused_person_takes_the_whole_of_an_atomic_sync_back(portal: Portal) -> None:
    patients(portal)
    before = everything(portal)
    told = portal.send_many(
        {
            "patient": [SARA | {"patientNo": "P-1"}],
            "appointment": [SLOT | {"patientNo": it} for it in ("P-1", "P-2")],
        },
        atomic=True,
    )
    assert told["patient"]["results"][0]["code"] == "identity_conflict"
    assert [it.get("code") for it in told["appointment"]["results"]] == [
        "unknown_reference",
        None,
    ]
    assert everything(portal) == before
