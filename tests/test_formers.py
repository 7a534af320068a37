"""Former numbers: a record keeps to what it was called."""

import pytest
from conftest import Portal
from test_matching import (
    ALI,
    HUDA,
    LATER,
    MOBILE,
    OMAR,
    SARA,
    SLOT,
    TWO_KEYS,
    candidates,
    everything,
    formers,
    found,
    new,
    patients,
    refused,
    renumbered_doctor,
    renumbered_patient,
    row,
)

# --- Former numbers ----------------------------------------------------------------------------


def test_a_renumbered_patients_old_number_still_resolves_in_matching_and_in_a_booking(
    portal: Portal,
) -> None:
    ali = new(portal, "patient", ALI, patientNo="P-1", nationalID="N-1")
    answer = found(
        portal, ali, "nationalID", "patient", ALI, patientNo="P-2", nationalID="N-1"
    )
    assert (answer["changed"], answer["data"]["patientNo"], answer["warnings"]) == (
        ["patientNo"],
        "P-2",
        [],
    )
    assert formers(portal) == {"P-1": ali}
    found(portal, ali, "formerPatientNo", "patient", patientNo="P-1")
    booking = portal.send("appointment", SLOT, patientNo="P-1")
    assert (booking["data"]["patientId"], booking["data"]["patientNo"]) == (ali, "P-2")
    refused(portal, "unknown_reference", "appointment", LATER, patientNo="P-3")


def test_a_renumbered_doctors_old_code_still_resolves_in_matching_and_in_a_booking(
    portal: Portal,
) -> None:
    patients(portal)
    huda = renumbered_doctor(portal)
    assert formers(portal, "doctor") == {"D-1": huda}
    found(portal, huda, "formerCode", "doctor", code="D-1")
    booking = portal.send("appointment", SLOT, patientNo="P-1", doctorCode="D-1")
    assert (booking["data"]["doctorId"], booking["data"]["doctorCode"]) == (huda, "D-2")
    refused(
        portal, "unknown_reference", "appointment", LATER, patientNo="P-1", doctorCode="D-3"
    )


def test_mobile_and_name_renumber_a_patient_too(portal: Portal) -> None:
    ali = new(portal, "patient", ALI, patientNo="P-1", mobile=MOBILE)
    answer = found(
        portal, ali, "mobile+name", "patient", ALI, patientNo="P-2", mobile=MOBILE
    )
    assert (answer["changed"], formers(portal)) == (["patientNo"], {"P-1": ali})


def test_a_first_number_makes_nothing_former(portal: Portal) -> None:
    ali = new(portal, "patient", ALI, nationalID="N-1")
    assert found(portal, ali, "nationalID", "patient", nationalID="N-1", patientNo="P-1")[
        "changed"
    ] == ["patientNo"]
    assert formers(portal) == {}


@pytest.mark.parametrize(("entity", "number", "other", "person"), TWO_KEYS)
def test_an_id_or_licence_given_up_leads_to_nobody(
    portal: Portal, entity: str, number: str, other: str, person: dict
) -> None:
    stored = new(portal, entity, person, **{number: "K-1", other: "N-1"})
    found(portal, stored, number, entity, person, **{number: "K-1", other: "N-2"})
    assert formers(portal, entity) == {}
    assert new(portal, entity, person, **{other: "N-1"}) != stored


STALE = [
    pytest.param({}, "formerPatientNo", id="found by the former number"),
    pytest.param({"nationalID": "N-1"}, "nationalID", id="found by the id"),
    pytest.param(
        {"name": "Ali Hassan", "mobile": MOBILE},
        "formerPatientNo",
        id="found by number and contact",
    ),
]


@pytest.mark.parametrize(("sent", "key"), STALE)
def test_a_stale_client_with_its_own_former_number_keeps_the_current_one_with_a_warning(
    portal: Portal, sent: dict, key: str
) -> None:
    ali = renumbered_patient(portal)
    found(portal, ali, "patientNo", "patient", patientNo="P-2", mobile=MOBILE)
    before = everything(portal)
    answer = found(portal, ali, key, "patient", sent, patientNo="P-1")
    assert (answer["action"], answer["changed"], answer["data"]["patientNo"]) == (
        "unchanged",
        [],
        "P-2",
    )
    (warning,) = answer["warnings"]
    assert "P-1" in warning
    assert everything(portal) == before


@pytest.mark.parametrize(
    ("sent", "key"), [({}, "formerCode"), ({"licenseNumber": "L-1"}, "licenseNumber")]
)
def test_a_stale_client_with_a_doctors_former_code_keeps_the_current_one_with_a_warning(
    portal: Portal, sent: dict, key: str
) -> None:
    huda = renumbered_doctor(portal)
    answer = found(portal, huda, key, "doctor", sent, code="D-1", specialization="Teeth")
    assert (answer["changed"], answer["data"]["code"]) == (["specialization"], "D-2")
    (warning,) = answer["warnings"]
    assert "D-1" in warning


def test_two_clients_one_of_them_stale_never_flip_a_number_back_and_forth(
    portal: Portal,
) -> None:
    ali = renumbered_patient(portal)
    for number, warnings in (("P-1", 1), ("P-2", 0)) * 2:
        answer = found(
            portal,
            ali,
            "patientNo" if number == "P-2" else "nationalID",
            "patient",
            ALI,
            patientNo=number,
            nationalID="N-1",
        )
        assert (answer["action"], len(answer["warnings"])) == ("unchanged", warnings)
    assert (row(portal, "patient", ali)["patient_no"], formers(portal)) == (
        "P-2",
        {"P-1": ali},
    )


def test_a_former_number_of_the_found_record_is_no_difference(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    answer = found(
        portal, ali, "nationalID", "patient", name="Sara", patientNo="P-1", nationalID="N-1"
    )
    assert (answer["changed"], answer["data"]["patientNo"]) == (["name"], "P-2")
    refused(
        portal,
        "identity_conflict",
        "patient",
        name="Zaid",
        patientNo="P-3",
        nationalID="N-1",
    )


def test_a_former_code_of_the_found_doctor_is_no_difference(portal: Portal) -> None:
    huda = renumbered_doctor(portal)
    renamed = HUDA | {"name": "H. Zaid", "aName": "هند زيد"}
    answer = found(
        portal, huda, "licenseNumber", "doctor", renamed, code="D-1", licenseNumber="L-1"
    )
    assert answer["data"]["code"] == "D-2"
    refused(portal, "identity_conflict", "doctor", HUDA, code="D-3", licenseNumber="L-1")


def test_all_former_numbers_of_a_patient_resolve(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    found(portal, ali, "nationalID", "patient", ALI, patientNo="P-3", nationalID="N-1")
    assert formers(portal) == {"P-1": ali, "P-2": ali}
    for number in ("P-1", "P-2"):
        assert (
            found(portal, ali, "formerPatientNo", "patient", ALI, patientNo=number)["data"][
                "patientNo"
            ]
            == "P-3"
        )


def test_a_former_number_taken_by_a_new_patient_is_former_no_more(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    sara = new(portal, "patient", SARA, patientNo="P-1")
    assert formers(portal) == {}
    found(portal, sara, "patientNo", "patient", patientNo="P-1")
    assert portal.send("appointment", SLOT, patientNo="P-1")["data"]["patientId"] == sara
    assert portal.send("appointment", SLOT, patientNo="P-2")["data"]["patientId"] == ali


def test_a_former_number_taken_by_a_stored_patient_is_former_no_more(
    portal: Portal,
) -> None:
    renumbered_patient(portal)
    sara = new(portal, "patient", SARA, patientNo="P-9", nationalID="N-9")
    answer = found(
        portal, sara, "nationalID", "patient", SARA, patientNo="P-1", nationalID="N-9"
    )
    assert (answer["changed"], answer["warnings"], formers(portal)) == (
        ["patientNo"],
        [],
        {"P-9": sara},
    )
    assert portal.send("appointment", SLOT, patientNo="P-1")["data"]["patientId"] == sara


def test_somebody_elses_former_number_is_a_difference_like_any_other(
    portal: Portal,
) -> None:
    ali = renumbered_patient(portal)
    sara = new(portal, "patient", SARA, patientNo="P-9", nationalID="N-9")
    answer = refused(
        portal, "identity_conflict", "patient", patientNo="P-1", nationalID="N-9"
    )
    assert answer["candidates"] == candidates((sara, "nationalID"))
    assert formers(portal) == {"P-1": ali}


def test_a_number_is_former_for_the_last_that_gave_it_up(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    sara = new(portal, "patient", SARA, patientNo="P-1", nationalID="N-9")
    found(portal, sara, "nationalID", "patient", SARA, patientNo="P-3", nationalID="N-9")
    assert formers(portal) == {"P-1": sara}
    assert portal.send("appointment", SLOT, patientNo="P-1")["data"]["patientId"] == sara
    found(portal, sara, "formerPatientNo", "patient", patientNo="P-1")
    answer = found(
        portal, ali, "nationalID", "patient", ALI, patientNo="P-1", nationalID="N-1"
    )
    assert (answer["data"]["patientNo"], formers(portal)) == ("P-1", {"P-2": ali})


def test_a_number_that_is_current_for_somebody_is_read_as_former_for_nobody(
    portal: Portal,
) -> None:
    ali = renumbered_patient(portal)
    sara = new(portal, "patient", SARA, patientNo="P-1")
    answer = refused(
        portal, "identity_conflict", "patient", ALI, patientNo="P-1", nationalID="N-1"
    )
    assert answer["candidates"] == candidates((sara, "patientNo"), (ali, "nationalID"))
    refused(portal, "identity_conflict", "patient", ALI, patientNo="P-1")


def test_patients_and_doctors_have_former_numbers_of_their_own(portal: Portal) -> None:
    renumbered_patient(portal)
    new(portal, "doctor", HUDA, code="P-1")
    assert len(formers(portal)) == 1
    refused(
        portal, "unknown_reference", "appointment", SLOT, patientNo="P-2", doctorCode="P-2"
    )


def test_two_numbers_swapped_in_one_array_end_with_their_new_holders(
    portal: Portal,
) -> None:
    ali = new(portal, "patient", ALI, patientNo="P-1", nationalID="N-1")
    sara = new(portal, "patient", SARA, patientNo="P-2", nationalID="N-2")
    swap = [
        ALI | {"patientNo": "P-0", "nationalID": "N-1"},
        SARA | {"patientNo": "P-1", "nationalID": "N-2"},
        ALI | {"patientNo": "P-2", "nationalID": "N-1"},
    ]
    answer = portal.send_many({"patient": swap})["patient"]
    assert [(it["action"], it["id"]) for it in answer["results"]] == [
        ("updated", it) for it in (ali, sara, ali)
    ]
    assert {it["id"]: it["patient_no"] for it in portal.stored("patient")} == {
        ali: "P-2",
        sara: "P-1",
    }
    assert formers(portal) == {"P-0": ali}


def test_two_numbers_swapped_at_a_stroke_are_refused_one_by_one(portal: Portal) -> None:
    new(portal, "patient", ALI, patientNo="P-1", nationalID="N-1")
    new(portal, "patient", SARA, patientNo="P-2", nationalID="N-2")
    before = everything(portal)
    swap = [
        ALI | {"patientNo": "P-2", "nationalID": "N-1"},
        SARA | {"patientNo": "P-1", "nationalID": "N-2"},
    ]
    answer = portal.send_many({"patient": swap})["patient"]
    assert [it["code"] for it in answer["results"]] == ["identity_conflict"] * 2
    assert everything(portal) == before


def test_two_codes_and_two_ids_swapped_in_one_array_end_with_their_new_holders(
    portal: Portal,
) -> None:
    huda = new(portal, "doctor", HUDA, code="D-1", licenseNumber="L-1")
    omar = new(portal, "doctor", OMAR, code="D-2", licenseNumber="L-2")
    by_licence = [
        HUDA | {"code": "D-0", "licenseNumber": "L-1"},
        OMAR | {"code": "D-1", "licenseNumber": "L-2"},
        HUDA | {"code": "D-2", "licenseNumber": "L-1"},
    ]
    by_code = [
        HUDA | {"code": "D-2", "licenseNumber": "L-0"},
        OMAR | {"code": "D-1", "licenseNumber": "L-1"},
        HUDA | {"code": "D-2", "licenseNumber": "L-2"},
    ]
    answer = portal.send_many({"doctor": by_licence + by_code})["doctor"]
    assert [(it.get("action"), it.get("id")) for it in answer["results"]] == [
        ("updated", it) for it in (huda, omar, huda) * 2
    ]
    stored = {
        it["id"]: (it["code"], it["license_number"]) for it in portal.stored("doctor")
    }
    assert stored == {huda: ("D-2", "L-2"), omar: ("D-1", "L-1")}


def test_several_records_of_one_person_in_one_array_are_one_person(portal: Portal) -> None:
    answer = portal.send_many(
        {
            "patient": [
                ALI | {"patientNo": "P-1", "mobile": MOBILE},
                ALI | {"nationalID": "N-1", "mobile": MOBILE},
                ALI | {"patientNo": "P-2", "nationalID": "N-1"},
                {"patientNo": "P-1"},
                SARA | {"patientNo": "P-1"},
            ]
        }
    )["patient"]
    told = [(it["action"], it["matchedBy"]) for it in answer["results"]]
    assert told == [
        ("created", None),
        ("updated", "mobile+name"),
        ("updated", "nationalID"),
        ("unchanged", "formerPatientNo"),
        ("created", None),
    ]
    ali, sara = portal.stored("patient")
    assert ((ali["patient_no"], ali["national_id"]), sara["patient_no"]) == (
        ("P-2", "N-1"),
        "P-1",
    )
    assert formers(portal) == {}
