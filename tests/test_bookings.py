"""Bookings: rescheduling, references, several faults, two clients."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import Portal
from test_matching import (
    ALI,
    HUDA,
    LATER,
    MOBILE,
    SARA,
    SLOT,
    SLOT_KEY,
    candidates,
    cases,
    found,
    new,
    patients,
    refused,
    renumbered_patient,
    row,
)

# --- Rescheduling ------------------------------------------------------------------------------

HALF_AN_HOUR, AT_NIGHT = ("10:00", "10:30"), ("23:45", "00:15")
BOTH = ["timeFrom", "timeTo"]
# What is stored, what is sent, what then stands, and what is told as changed.
MOVES = {
    "another time": (HALF_AN_HOUR, {"timeFrom": "11:15"}, ("11:15:00", "11:45:00"), BOTH),
    "another date": (
        HALF_AN_HOUR,
        {"date": "2026-06-20"},
        ("10:00:00", "10:30:00"),
        ["date"],
    ),
    "another date and time": (
        HALF_AN_HOUR,
        LATER,
        ("11:00:00", "11:30:00"),
        ["date", *BOTH],
    ),
    "to past midnight": (
        HALF_AN_HOUR,
        {"timeFrom": "23:45"},
        ("23:45:00", "00:15:00"),
        BOTH,
    ),
    "from past midnight": (AT_NIGHT, {"timeFrom": "10:00"}, ("10:00:00", "10:30:00"), BOTH),
    "without an end": (
        ("10:00", None),
        {"timeFrom": "11:00"},
        ("11:00:00", None),
        ["timeFrom"],
    ),
    "with an end": (
        HALF_AN_HOUR,
        {"timeFrom": "11:00", "timeTo": "11:10"},
        ("11:00:00", "11:10:00"),
        BOTH,
    ),
    "with the same end": (
        HALF_AN_HOUR,
        {"timeFrom": "10:10", "timeTo": "10:30"},
        ("10:10:00", "10:30:00"),
        ["timeFrom"],
    ),
    "with a blank end": (
        HALF_AN_HOUR,
        {"timeFrom": "11:00", "timeTo": ""},
        ("11:00:00", None),
        BOTH,
    ),
    "with .NET's zero": (
        HALF_AN_HOUR,
        {"timeFrom": "11:00", "timeTo": "00:00:00"},
        ("11:00:00", "11:30:00"),
        BOTH,
    ),
    "the end alone": (
        HALF_AN_HOUR,
        {"timeTo": "10:45"},
        ("10:00:00", "10:45:00"),
        ["timeTo"],
    ),
    "not at all": (HALF_AN_HOUR, {"timeFrom": "10:00"}, ("10:00:00", "10:30:00"), []),
}


@pytest.mark.parametrize(("stored", "sent", "then", "changed"), cases(MOVES))
def test_the_moved_booking_keeps_its_id_and_its_length(
    portal: Portal, stored: tuple, sent: dict, then: tuple, changed: list
) -> None:
    patients(portal)
    at = {"date": "2026-06-15", "timeFrom": stored[0], "timeTo": stored[1]}
    booking = new(portal, "appointment", at, patientNo="P-1", appointmentNo="A-1")
    answer = found(
        portal, booking, "appointmentNo", "appointment", sent, appointmentNo="A-1"
    )
    assert (answer["changed"], (answer["data"]["timeFrom"], answer["data"]["timeTo"])) == (
        changed,
        then,
    )
    kept = row(portal, "appointment", booking)
    assert (kept["time_from"], kept["time_to"], kept["date"]) == (
        *then,
        sent.get("date", "2026-06-15"),
    )


def test_a_moved_booking_frees_its_old_slot(portal: Portal) -> None:
    patients(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    found(portal, booking, "appointmentNo", "appointment", LATER, appointmentNo="A-1")
    found(portal, booking, SLOT_KEY, "appointment", LATER, patientNo="P-1")
    new(portal, "appointment", SLOT, patientNo="P-1")


def test_a_moved_booking_without_number_is_a_new_one(portal: Portal) -> None:
    patients(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-1")
    assert new(portal, "appointment", LATER, patientNo="P-1") != booking


def test_a_booking_without_number_takes_one_at_its_slot(portal: Portal) -> None:
    patients(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-1")
    answer = found(
        portal, booking, SLOT_KEY, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1"
    )
    assert (answer["changed"], answer["data"]["appointmentNo"]) == (
        ["appointmentNo"],
        "A-1",
    )
    found(portal, booking, "appointmentNo", "appointment", LATER, appointmentNo="A-1")


def test_a_booking_without_number_takes_none_at_another_slot(portal: Portal) -> None:
    patients(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-1")
    new(portal, "appointment", LATER, patientNo="P-1", appointmentNo="A-1")
    assert row(portal, "appointment", booking)["appointment_no"] is None


def test_a_slot_held_by_a_booking_without_number_is_taken(portal: Portal) -> None:
    patients(portal)
    new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    holder = new(portal, "appointment", LATER, patientNo="P-1")
    answer = refused(portal, "slot_taken", "appointment", LATER, appointmentNo="A-1")
    assert answer["candidates"] == candidates((holder, SLOT_KEY))
    refused(
        portal, "slot_taken", "appointment", LATER, appointmentNo="A-1", patientNo="P-1"
    )


def test_a_slot_may_be_shared_by_two_bookings_with_numbers(portal: Portal) -> None:
    patients(portal)
    moved = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    holder = new(
        portal,
        "appointment",
        LATER,
        patientNo="P-1",
        appointmentNo="A-2",
        status="Cancelled",
    )
    answer = found(
        portal, moved, "appointmentNo", "appointment", LATER, appointmentNo="A-1"
    )
    assert answer["changed"] == ["date", "timeFrom"]
    found(
        portal,
        holder,
        "appointmentNo",
        "appointment",
        LATER,
        patientNo="P-1",
        appointmentNo="A-2",
    )


def test_a_slot_of_another_patient_is_not_taken(portal: Portal) -> None:
    patients(portal)
    moved = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    new(portal, "appointment", LATER, patientNo="P-2")
    found(portal, moved, "appointmentNo", "appointment", LATER, appointmentNo="A-1")


def test_two_bookings_swap_their_slots_in_one_array(portal: Portal) -> None:
    patients(portal)
    first = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    second = new(portal, "appointment", LATER, patientNo="P-1", appointmentNo="A-2")
    swap = [LATER | {"appointmentNo": "A-1"}, SLOT | {"appointmentNo": "A-2"}]
    answer = portal.send_many({"appointment": swap})["appointment"]
    assert [(it["action"], it["id"]) for it in answer["results"]] == [
        ("updated", first),
        ("updated", second),
    ]
    days = {it["id"]: (it["date"], it["time_from"]) for it in portal.stored("appointment")}
    assert days == {first: ("2026-06-16", "11:00:00"), second: ("2026-06-15", "10:00:00")}


def test_the_right_patients_slot_may_be_taken_too(portal: Portal) -> None:
    patients(portal)
    new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    holder = new(portal, "appointment", SLOT, patientNo="P-2")
    answer = refused(
        portal, "slot_taken", "appointment", SLOT, appointmentNo="A-1", patientNo="P-2"
    )
    assert answer["candidates"] == candidates((holder, SLOT_KEY))


def test_the_right_patients_slot_is_shared_with_a_numbered_booking(portal: Portal) -> None:
    _, sara = patients(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    new(portal, "appointment", SLOT, patientNo="P-2", appointmentNo="A-2")
    answer = found(
        portal,
        booking,
        "appointmentNo",
        "appointment",
        SLOT,
        appointmentNo="A-1",
        patientNo="P-2",
    )
    assert answer["data"]["patientId"] == sara


# --- References --------------------------------------------------------------------------------

REFERENCES = pytest.mark.parametrize(  # entity, the field of its number, and how a booking names it by id and by code
    "names",
    [
        ("patient", "patientNo", "patientId", "patientNo"),
        ("doctor", "code", "doctorId", "doctorCode"),
        ("clinic", "code", "clinicId", "clinicCode"),
    ],
    ids=lambda names: names[0],
)


def two_to_refer_to(portal: Portal, entity: str, number: str) -> tuple[int, int, dict]:
    """Store K-1 and K-2; returns their ids, and the rest of a booking."""
    ids = [
        new(portal, entity, {"name": name, number: code})
        for name, code in (("One", "K-1"), ("Other", "K-2"))
    ]
    booking = (
        SLOT
        if entity == "patient"
        else SLOT | {"patientId": new(portal, "patient", ALI, patientNo="P-1")}
    )
    return ids[0], ids[1], booking


@REFERENCES
def test_a_booking_refers_by_id_or_code_or_both(portal: Portal, names: tuple) -> None:
    entity, number, by_id, by_code = names
    first, _, booking = two_to_refer_to(portal, entity, number)
    for reference in ({by_id: first}, {by_code: "k-1"}, {by_id: first, by_code: "K-1"}):
        data = portal.send("appointment", booking | reference)["data"]
        assert (data[by_id], data[by_code]) == (first, "K-1")
    assert portal.count("appointment") == 1


@REFERENCES
def test_an_id_and_a_code_that_disagree_are_refused(portal: Portal, names: tuple) -> None:
    entity, number, by_id, by_code = names
    first, _, booking = two_to_refer_to(portal, entity, number)
    answer = refused(
        portal, "validation_failed", "appointment", booking | {by_id: first, by_code: "K-2"}
    )
    assert set(answer["errors"]) & {by_id, by_code}


@REFERENCES
def test_an_id_or_a_code_that_is_not_stored_is_an_unknown_reference(
    portal: Portal, names: tuple
) -> None:
    entity, number, by_id, by_code = names
    first, second, booking = two_to_refer_to(portal, entity, number)
    nobody = second + 999
    for reference in ({by_id: nobody}, {by_code: "K-9"}, {by_id: nobody, by_code: "K-9"}):
        answer = refused(portal, "unknown_reference", "appointment", booking | reference)
        assert set(answer["errors"]) == set(reference)
    answer = refused(
        portal, "unknown_reference", "appointment", booking | {by_id: first, by_code: "K-9"}
    )
    assert list(answer["errors"]) == [by_code]


def test_an_appointment_with_a_patient_id_needs_no_patient_number(portal: Portal) -> None:
    walk_in = new(portal, "patient", ALI, mobile=MOBILE)
    answer = portal.send("appointment", SLOT, patientId=walk_in)
    assert (answer["action"], answer["key"]) == ("created", f"#{walk_in} 2026-06-15 10:00")
    assert (answer["data"]["patientId"], answer["data"]["patientNo"]) == (walk_in, None)


def test_an_id_and_a_former_number_of_one_patient_agree(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    assert (
        portal.send("appointment", SLOT, patientId=ali, patientNo="P-1")["data"][
            "patientNo"
        ]
        == "P-2"
    )
    new(portal, "patient", SARA, patientNo="P-1")
    refused(
        portal, "validation_failed", "appointment", LATER, patientId=ali, patientNo="P-1"
    )


# --- One record, several faults ----------------------------------------------------------------


def test_all_wrong_fields_come_before_unknown_references(portal: Portal) -> None:
    wrong = {"date": "15/06/2026", "timeFrom": "ten", "status": "x" * 41}
    answer = refused(
        portal, "validation_failed", "appointment", wrong, patientNo="P-9", doctorCode="D-9"
    )
    assert set(answer["errors"]) == set(wrong)


def test_an_end_before_its_sent_start_comes_before_unknown_references(
    portal: Portal,
) -> None:
    answer = refused(
        portal, "validation_failed", "appointment", SLOT, timeTo="09:00", patientNo="P-9"
    )
    assert list(answer["errors"]) == ["timeTo"]


def test_an_id_and_code_that_disagree_come_before_unknown_references(
    portal: Portal,
) -> None:
    ali, _ = patients(portal)
    sent = SLOT | {"patientId": ali, "patientNo": "P-2", "doctorCode": "D-9"}
    assert (
        "doctorCode"
        not in refused(portal, "validation_failed", "appointment", sent)["errors"]
    )


def test_wrong_fields_come_before_conflicts(portal: Portal) -> None:
    new(portal, "patient", ALI, patientNo="P-1")
    new(portal, "patient", SARA, nationalID="N-2")
    both = {"patientNo": "P-1", "nationalID": "N-2"}
    answer = refused(
        portal, "validation_failed", "patient", both, email="no address", gender="yes"
    )
    assert set(answer["errors"]) == {"email", "gender"}
    assert "candidates" not in answer


def test_all_unknown_references_come_before_conflicts(portal: Portal) -> None:
    patients(portal)
    new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    new(portal, "appointment", LATER, patientNo="P-1")
    unknown = {"doctorCode": "D-9", "clinicId": 999999}
    for conflict in (
        LATER | {"patientNo": "P-2"},
        LATER,
    ):  # an identity conflict, a taken slot
        answer = refused(
            portal,
            "unknown_reference",
            "appointment",
            conflict | unknown,
            appointmentNo="A-1",
        )
        assert set(answer["errors"]) == set(unknown)
        assert "candidates" not in answer
    nobody = {"patientNo": "P-9", "doctorCode": "D-9", "clinicCode": "C-9"}
    answer = refused(portal, "unknown_reference", "appointment", SLOT | nobody)
    assert set(answer["errors"]) == set(nobody)


def test_conflicts_come_before_what_needs_the_stored_record(portal: Portal) -> None:
    patients(portal)
    new(portal, "patient", SARA, nationalID="N-2")
    refused(portal, "identity_conflict", "patient", patientNo="P-1", nationalID="N-2")
    new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1", timeTo="10:30")
    new(portal, "appointment", SLOT | {"date": "2026-06-16"}, patientNo="P-1")
    early = {"appointmentNo": "A-1", "timeTo": "09:00"}
    refused(portal, "identity_conflict", "appointment", early, patientNo="P-2")
    refused(portal, "slot_taken", "appointment", early, date="2026-06-16")
    assert list(refused(portal, "validation_failed", "appointment", early)["errors"]) == [
        "timeTo"
    ]


@pytest.mark.parametrize(
    ("entity", "keys"),
    [
        ("clinic", {"code": "C-1"}),
        ("doctor", {"code": "D-1", "aName": "هدى"}),
        ("patient", {"patientNo": "P-1", "mobile": MOBILE}),
        ("patient", {"nationalID": "N-1"}),
    ],
)
def test_a_name_is_needed_to_create_but_not_to_update(
    portal: Portal, entity: str, keys: dict
) -> None:
    assert list(refused(portal, "validation_failed", entity, keys)["errors"]) == ["name"]
    stored = new(portal, entity, keys, name="Somebody")
    assert found(portal, stored, next(iter(keys)), entity, keys)["action"] == "unchanged"


def test_a_booking_found_by_no_number_needs_patient_date_and_time(portal: Portal) -> None:
    answer = refused(portal, "validation_failed", "appointment", appointmentNo="A-9")
    assert set(answer["errors"]) == {"patientNo", "date", "timeFrom"}


def test_a_contradicted_former_number_without_a_name_creates_nobody(portal: Portal) -> None:
    renumbered_patient(portal)
    answer = refused(
        portal, "validation_failed", "patient", patientNo="P-1", dateOfBirth="1990-05-05"
    )
    assert list(answer["errors"]) == ["name"]


# --- Two clients at the same moment ------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "record"),
    [
        ("clinic", {"code": "C-1", "name": "Teeth"}),
        ("doctor", HUDA | {"licenseNumber": "L-1"}),
        ("patient", ALI | {"patientNo": "P-9"}),
        ("patient", ALI | {"mobile": MOBILE}),
        ("appointment", SLOT | {"patientNo": "P-1"}),
    ],
)
def test_clients_that_send_the_same_new_record_at_once_leave_one(
    portal: Portal, entity: str, record: dict
) -> None:
    patients(portal)
    before = portal.count(entity)
    start = threading.Barrier(4)

    def send(_: int) -> str:
        start.wait()
        return portal.send(entity, record)["action"]

    with ThreadPoolExecutor(4) as pool:
        actions = list(pool.map(send, range(4)))
    assert sorted(actions) == ["created", "unchanged", "unchanged", "unchanged"]
    assert portal.count(entity) == before + 1


TWINS = {
    "a given name in two words": (
        {"name": "عبد الله بن سعد"},
        {"name": "عبد الرحمن بن سعد"},
    ),
    "the same in Latin letters": (
        {"name": "Abdul Aziz Saad"},
        {"name": "Abdul Rahman Saad"},
    ),
    "a family name first": ({"name": "Qahtani, Reem"}, {"name": "Qahtani, Nora"}),
    "another firstName": (
        {"name": "Saad 1", "firstName": "Reem"},
        {"name": "Saad 2", "firstName": "Nora"},
    ),
}


@pytest.mark.parametrize("order", [1, -1], ids=["as told", "the other first"])
@pytest.mark.parametrize("names", TWINS.values(), ids=TWINS)
def test_twins_with_one_id_stay_two_though_their_first_words_are_the_same(
    portal: Portal, names: tuple, order: int
) -> None:
    born = {"dateOfBirth": "2020-02-01", "nationalID": "N-1"}
    first, second = names[::order]
    portal.send("patient", first | born, patientNo="P-1")
    before = portal.stored("patient")
    told = portal.send("patient", second | born, patientNo="P-2")
    assert (told["status"], told["code"]) == (409, "identity_conflict")
    assert portal.stored("patient") == before


def test_one_who_got_a_longer_name_and_a_new_number_is_one(portal: Portal) -> None:
    born = {"dateOfBirth": "2020-02-01", "nationalID": "N-1"}
    portal.send("patient", born, patientNo="P-1", name="Reem Saad", firstName="Reem")
    told = portal.send(
        "patient", born, patientNo="P-2", name="Reem Bint Fahad", firstName="REEM"
    )
    assert (told["action"], told["matchedBy"]) == ("updated", "nationalID")


def test_bookings_in_a_list_may_name_patients_and_doctors_by_id(portal: Portal) -> None:
    patient = portal.send("patient", patientNo="P-1", name="Ali")["id"]
    doctors = [portal.send("doctor", code=f"D-{n}", name="Sara")["id"] for n in range(2)]
    for doctor in doctors:
        bookings = [
            {"appointmentNo": f"A-{hour}", "patientId": patient, "doctorId": doctor}
            | {"date": "2026-06-15", "timeFrom": f"{hour}:30"}
            for hour in (10, 11, 12)
        ]
        portal.send_many({"appointment": bookings})
        stored = portal.stored("appointment")
        assert [(row["patient_id"], row["doctor_id"]) for row in stored] == [
            (patient, doctor)
        ] * 3
