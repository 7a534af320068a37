"""Weak keys: phone and name, slots, and placeholders."""

import pytest
from conftest import Portal
from test_matching import (
    ALI,
    HUDA,
    MOBILE,
    OTHER_MOBILE,
    SARA,
    SLOT,
    SLOT_KEY,
    candidates,
    formers,
    found,
    new,
    patients,
    refused,
    renumbered_doctor,
    renumbered_patient,
    row,
)

# --- 2. Weak keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mobile", [MOBILE, "+966501111111", "00966501111111", "٠٥٠١١١١١١١"]
)
def test_mobile_and_name_find_a_patient(portal: Portal, mobile: str) -> None:
    ali = new(portal, "patient", ALI, mobile=MOBILE)
    assert (
        found(portal, ali, "mobile+name", "patient", ALI, mobile=mobile)["action"]
        == "unchanged"
    )


@pytest.mark.parametrize("other", [{"mobile": OTHER_MOBILE}, {"name": "Ali Omar"}])
def test_mobile_or_name_alone_find_nobody(portal: Portal, other: dict) -> None:
    new(portal, "patient", ALI, mobile=MOBILE)
    new(portal, "patient", ALI | {"mobile": MOBILE} | other)


@pytest.mark.parametrize("half", [{"name": "Ali Hassan"}, {"mobile": MOBILE}])
def test_half_of_mobile_and_name_is_never_filled_from_what_is_stored(
    portal: Portal, half: dict
) -> None:
    ali = new(portal, "patient", ALI, mobile=MOBILE)
    refused(portal, "validation_failed", "patient", half)
    refused(portal, "validation_failed", "patient", mobile=MOBILE, nationalID="N-1")
    other = new(portal, "patient", name="Ali Hassan", nationalID="N-1")
    assert other != ali


@pytest.mark.parametrize(
    ("father", "son", "key"),
    [
        ({"dateOfBirth": "1960-01-01"}, {"dateOfBirth": "1990-05-05"}, "mobile+name"),
        ({"nationalID": "N-1"}, {"nationalID": "N-2"}, "nationalID"),
        (
            {"nationalID": "N-1", "dateOfBirth": "1960-01-01"},
            {"dateOfBirth": "1990-05-05"},
            "mobile+name",
        ),
        (
            {"patientNo": "P-1", "dateOfBirth": "1960-01-01"},
            {"patientNo": "P-2", "dateOfBirth": "1990-05-05"},
            "patientNo",
        ),
    ],
)
def test_a_father_and_a_son_who_share_a_phone_and_a_name_stay_two_patients(
    portal: Portal, father: dict, son: dict, key: str
) -> None:
    family = {"name": "Ali Hassan", "mobile": MOBILE}
    ids = new(portal, "patient", family | father), new(portal, "patient", family | son)
    assert found(portal, ids[1], key, "patient", family | son)["action"] == "unchanged"
    assert portal.send("patient", family | father)["id"] == ids[0]


@pytest.mark.parametrize("field", ["nationalID", "dateOfBirth"])
@pytest.mark.parametrize("knows", ["stored", "sent"])
def test_what_only_one_side_knows_contradicts_nothing(
    portal: Portal, field: str, knows: str
) -> None:
    plain = {"name": "Ali Hassan", "mobile": MOBILE}
    telling = plain | {field: {"nationalID": "N-1", "dateOfBirth": "1960-01-01"}[field]}
    stored, sent = (telling, plain) if knows == "stored" else (plain, telling)
    ali = new(portal, "patient", stored)
    changed = [] if knows == "stored" else [field]
    assert found(portal, ali, "mobile+name", "patient", sent)["changed"] == changed


def test_two_who_fit_equally_well_are_ambiguous(portal: Portal) -> None:
    family = {"name": "Ali Hassan", "mobile": MOBILE}
    father = new(portal, "patient", family, dateOfBirth="1960-01-01")
    son = new(portal, "patient", family, dateOfBirth="1990-05-05")
    answer = refused(portal, "ambiguous_match", "patient", family, patientNo="P-9")
    both = candidates((father, "mobile+name"), (son, "mobile+name"))
    assert sorted(answer["candidates"], key=lambda it: it["id"]) == both
    assert (
        found(portal, son, "mobile+name", "patient", family, dateOfBirth="1990-05-05")[
            "action"
        ]
        == "unchanged"
    )
    assert (
        found(portal, father, "mobile+name", "patient", family, dateOfBirth="1960-01-01")[
            "action"
        ]
        == "unchanged"
    )
    new(portal, "patient", family, dateOfBirth="2015-05-05")


def test_a_former_number_decides_before_a_contact_of_somebody_else(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    new(portal, "patient", name="Ali Hassan", mobile=MOBILE)
    found(
        portal,
        ali,
        "formerPatientNo",
        "patient",
        name="Ali Hassan",
        patientNo="P-1",
        mobile=MOBILE,
    )


def test_a_former_number_and_a_contact_of_one_record_find_it_by_the_former_number(
    portal: Portal,
) -> None:
    ali = renumbered_patient(portal)
    found(portal, ali, "patientNo", "patient", patientNo="P-2", mobile=MOBILE)
    found(
        portal,
        ali,
        "formerPatientNo",
        "patient",
        name="Ali Hassan",
        patientNo="P-1",
        mobile=MOBILE,
    )
    found(portal, ali, "mobile+name", "patient", name="Ali Hassan", mobile=MOBILE)


def test_a_former_number_of_somebody_who_contradicts_goes_to_the_one_found_by_contact(
    portal: Portal,
) -> None:
    renumbered_patient(portal)
    sara = new(portal, "patient", SARA, mobile=MOBILE, patientNo="P-9")
    answer = found(
        portal, sara, "mobile+name", "patient", SARA, mobile=MOBILE, patientNo="P-1"
    )
    assert (answer["data"]["patientNo"], formers(portal)) == ("P-1", {"P-9": sara})


def test_a_contact_is_the_stored_mobile_and_name_and_no_earlier_ones(
    portal: Portal,
) -> None:
    ali = new(portal, "patient", name="Ali Hassan", mobile=MOBILE, nationalID="N-1")
    found(portal, ali, "nationalID", "patient", nationalID="N-1", mobile=OTHER_MOBILE)
    found(portal, ali, "mobile+name", "patient", name="Ali Hassan", mobile=OTHER_MOBILE)
    new(portal, "patient", name="Ali Hassan", mobile=MOBILE)
    found(portal, ali, "nationalID", "patient", nationalID="N-1", mobile="")
    new(portal, "patient", name="Ali Hassan", mobile=OTHER_MOBILE)


def test_a_unique_key_goes_before_every_weak_one(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    other = new(portal, "patient", name="Ali Hassan", mobile=MOBILE)
    found(
        portal,
        ali,
        "nationalID",
        "patient",
        name="Ali Hassan",
        patientNo="P-1",
        nationalID="N-1",
        mobile=MOBILE,
    )
    assert (
        row(portal, "patient", ali)["mobile"]
        == row(portal, "patient", other)["mobile"]
        == "+966501111111"
    )


# What a record with the former number P-1 (doctor: D-1) says besides; the stored one is named
# Ali Hassan (Huda), and its id is N-1 (L-1).
FORMER_FITS = [
    pytest.param({}, id="the number alone"),
    pytest.param({"name": True}, id="same name"),
    pytest.param({"name": True, "dateOfBirth": True}, id="same name and birth date"),
    pytest.param(
        {"name": "Sara Omar", "dateOfBirth": True}, id="other name, same birth date"
    ),
    pytest.param({"dateOfBirth": True}, id="same birth date, no name"),
]
FORMER_FITS_NOT = [
    pytest.param({"name": "Sara Omar"}, id="other name, birth date not sent"),
    pytest.param(
        {"name": "Sara Omar", "dateOfBirth": "1990-05-05"}, id="other name and birth date"
    ),
    pytest.param(
        {"name": True, "dateOfBirth": "1990-05-05"}, id="same name, other birth date"
    ),
    pytest.param({"name": True, "nationalID": "N-9"}, id="same name, other id"),
    pytest.param(
        {"name": "Sara Omar", "dateOfBirth": True, "nationalID": "N-9"},
        id="same birth date, other id",
    ),
]


def as_stored(sent: dict, person: dict) -> dict:
    return {name: person[name] if value is True else value for name, value in sent.items()}


def for_doctor(sent: dict) -> dict:
    return {
        {"nationalID": "licenseNumber"}.get(name, name): value
        for name, value in sent.items()
    }


@pytest.mark.parametrize("sent", FORMER_FITS)
def test_a_former_number_finds_its_patient(portal: Portal, sent: dict) -> None:
    ali = renumbered_patient(portal)
    answer = found(
        portal, ali, "formerPatientNo", "patient", as_stored(sent, ALI), patientNo="P-1"
    )
    assert answer["data"]["patientNo"] == "P-2"


@pytest.mark.parametrize("sent", FORMER_FITS_NOT)
def test_a_former_number_with_somebody_elses_name_or_id_is_a_new_patient(
    portal: Portal, sent: dict
) -> None:
    ali = renumbered_patient(portal)
    sara = new(portal, "patient", as_stored(sent, ALI), patientNo="P-1")
    assert (
        row(portal, "patient", sara)["patient_no"],
        row(portal, "patient", ali)["patient_no"],
    ) == ("P-1", "P-2")
    assert formers(portal) == {}


@pytest.mark.parametrize("sent", FORMER_FITS)
def test_a_former_code_finds_its_doctor(portal: Portal, sent: dict) -> None:
    huda = renumbered_doctor(portal)
    answer = found(
        portal, huda, "formerCode", "doctor", for_doctor(as_stored(sent, HUDA)), code="D-1"
    )
    assert answer["data"]["code"] == "D-2"


@pytest.mark.parametrize("sent", FORMER_FITS_NOT)
def test_a_former_code_with_somebody_elses_name_or_licence_is_a_new_doctor(
    portal: Portal, sent: dict
) -> None:
    huda = renumbered_doctor(portal)
    other = new(portal, "doctor", for_doctor(as_stored(sent, HUDA)), code="D-1")
    assert (row(portal, "doctor", other)["code"], row(portal, "doctor", huda)["code"]) == (
        "D-1",
        "D-2",
    )
    assert formers(portal, "doctor") == {}


def test_a_former_number_is_not_compared_by_a_birth_date_that_is_not_stored(
    portal: Portal,
) -> None:
    ali = new(portal, "patient", name="Ali Hassan", patientNo="P-1", nationalID="N-1")
    found(
        portal,
        ali,
        "nationalID",
        "patient",
        name="Ali Hassan",
        patientNo="P-2",
        nationalID="N-1",
    )
    new(portal, "patient", SARA, patientNo="P-1")


@pytest.mark.parametrize(
    ("names", "agree"),
    [
        pytest.param(
            {"name": "H. Ali", "aName": "د. هدي على"},
            True,
            id="other name, same Arabic name",
        ),
        pytest.param(
            {"name": "Dr. Huda Ali", "aName": "هدى العلي"},
            True,
            id="same name, other Arabic name",
        ),
        pytest.param({"aName": "د. هدى علي"}, True, id="Arabic name alone"),
        pytest.param(
            {"name": "H. Ali", "aName": "د. هند علي"}, False, id="both names differ"
        ),
        pytest.param({"name": "H. Ali"}, False, id="other name, no Arabic name sent"),
    ],
)
class TestADoctorsNameOrArabicName:
    def test_tells_a_renumbered_doctor(
        self, portal: Portal, names: dict, agree: bool
    ) -> None:
        huda = new(portal, "doctor", HUDA, code="D-1", licenseNumber="L-1")
        again = names | {"code": "D-2", "licenseNumber": "L-1"}
        if agree:
            assert (
                "code" in found(portal, huda, "licenseNumber", "doctor", again)["changed"]
            )
        else:
            answer = refused(portal, "identity_conflict", "doctor", again)
            assert answer["candidates"] == candidates((huda, "licenseNumber"))

    def test_tells_whose_former_code_it_is(
        self, portal: Portal, names: dict, agree: bool
    ) -> None:
        huda = renumbered_doctor(portal)
        if agree:
            found(portal, huda, "formerCode", "doctor", names, code="D-1")
        else:
            new(portal, "doctor", names, code="D-1")

    def test_tells_a_code_given_to_a_new_doctor(
        self, portal: Portal, names: dict, agree: bool
    ) -> None:
        huda = new(portal, "doctor", HUDA, code="D-1")
        again = names | {"code": "D-1", "dateOfBirth": "1985-02-02"}
        if agree:
            assert "dateOfBirth" in found(portal, huda, "code", "doctor", again)["changed"]
        else:
            refused(portal, "identity_conflict", "doctor", again)


@pytest.mark.parametrize(
    ("names", "agree"),
    [
        ({"name": "H. Ali", "aName": "هدي الزهراني"}, True),
        ({"name": "Prof. Huda Z.", "aName": "هند"}, True),
        ({"name": "Dr. Hind Ali", "aName": "د. هند علي"}, False),
    ],
)
def test_a_doctors_first_word_counts_without_title_in_either_name(
    portal: Portal, names: dict, agree: bool
) -> None:
    huda = new(portal, "doctor", HUDA, code="D-1", licenseNumber="L-1")
    again = HUDA | names | {"code": "D-2", "licenseNumber": "L-1"}
    if agree:
        assert (
            found(portal, huda, "licenseNumber", "doctor", again)["data"]["code"] == "D-2"
        )
    else:
        refused(portal, "identity_conflict", "doctor", again)


def test_a_booking_with_another_number_is_another_booking_at_the_same_slot(
    portal: Portal,
) -> None:
    patients(portal)
    cancelled = new(
        portal,
        "appointment",
        SLOT,
        patientNo="P-1",
        appointmentNo="A-1",
        status="Cancelled",
    )
    anew = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-2")
    found(
        portal,
        cancelled,
        "appointmentNo",
        "appointment",
        SLOT,
        patientNo="P-1",
        appointmentNo="A-1",
    )
    found(
        portal,
        anew,
        "appointmentNo",
        "appointment",
        SLOT,
        patientNo="P-1",
        appointmentNo="A-2",
    )


def test_a_booking_without_number_finds_the_numbered_one_at_its_slot(
    portal: Portal,
) -> None:
    patients(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    answer = found(
        portal, booking, SLOT_KEY, "appointment", SLOT, patientNo="P-1", notes="Fasting."
    )
    assert (answer["changed"], answer["data"]["appointmentNo"]) == (["notes"], "A-1")


def test_a_booking_without_number_at_a_slot_of_two_is_ambiguous(portal: Portal) -> None:
    patients(portal)
    first = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    second = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-2")
    answer = refused(portal, "ambiguous_match", "appointment", SLOT, patientNo="P-1")
    both = candidates((first, SLOT_KEY), (second, SLOT_KEY))
    assert sorted(answer["candidates"], key=lambda it: it["id"]) == both


# --- Placeholder mobiles -----------------------------------------------------------------------

PLACEHOLDERS = pytest.mark.parametrize("mobile", ["0", "123"])


@PLACEHOLDERS
def test_a_placeholder_mobile_is_no_identity_where_both_carry_a_number(
    portal: Portal, mobile: str
) -> None:
    first = new(portal, "patient", name="Ali Hassan", mobile=mobile, patientNo="P-1")
    second = new(portal, "patient", name="Ali Hassan", mobile=mobile, patientNo="P-2")
    assert (
        row(portal, "patient", first)["mobile"],
        row(portal, "patient", second)["mobile"],
    ) == (
        mobile,
        mobile,
    )
    answer = refused(portal, "ambiguous_match", "patient", name="Ali Hassan", mobile=mobile)
    assert len(answer["candidates"]) == 2


@PLACEHOLDERS
@pytest.mark.parametrize(
    ("stored", "sent"), [({}, {}), ({"patientNo": "P-1"}, {}), ({}, {"patientNo": "P-1"})]
)
def test_a_placeholder_mobile_matches_where_not_both_carry_a_number(
    portal: Portal, mobile: str, stored: dict, sent: dict
) -> None:
    ali = new(portal, "patient", stored, name="Ali Hassan", mobile=mobile)
    answer = found(
        portal, ali, "mobile+name", "patient", sent, name="Ali Hassan", mobile=mobile
    )
    assert (answer["changed"], len(answer["warnings"])) == (list(sent), 1)


def test_a_valid_mobile_matches_where_both_carry_a_number(portal: Portal) -> None:
    ali = new(portal, "patient", name="Ali Hassan", mobile=MOBILE, patientNo="P-1")
    found(
        portal,
        ali,
        "mobile+name",
        "patient",
        name="Ali Hassan",
        mobile=MOBILE,
        patientNo="P-2",
    )


def test_who_comes_by_phone_and_name_without_a_number_is_told_of_none(
    portal: Portal,
) -> None:
    ali = {"mobile": MOBILE, "name": "Ali Hassan"}
    stored = new(portal, "patient", ali, patientNo="P-1")
    told = found(portal, stored, "mobile+name", "patient", ali, email="ali@example.com")
    assert (told["changed"], told["warnings"]) == (["email"], [])
