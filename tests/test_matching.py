"""Matching: no double entries, no wrong merges (the contract's section 4, rule by rule, each from both sides)."""

import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import Portal

from engine.entity import json_name
from upsert import RULES

TABLES = ("clinic", "doctor", "doctor_clinic", "patient", "appointment", "former_key")
STATUS = {
    "identity_conflict": 409,
    "ambiguous_match": 409,
    "slot_taken": 409,
    "validation_failed": 422,
    "unknown_reference": 422,
}
CONTRACT = {  # entity: unique keys, weak keys, contradicts, agrees
    "clinic": (["code"], [], [], []),
    "doctor": (
        ["code", "licenseNumber"],
        ["formerCode"],
        ["licenseNumber", "dateOfBirth"],
        ["name", "aName", "dateOfBirth"],
    ),
    "patient": (
        ["patientNo", "nationalID"],
        ["formerPatientNo", "mobile+name"],
        ["nationalID", "dateOfBirth"],
        ["name", "dateOfBirth"],
    ),
    "appointment": (["appointmentNo"], ["patient+date+timeFrom"], ["appointmentNo"], []),
}

ALI = {"name": "Ali Hassan", "dateOfBirth": "1960-01-01"}
SARA = {"name": "Sara Omar", "dateOfBirth": "1990-05-05"}
HUDA = {"name": "Dr. Huda Ali", "aName": "د. هدى علي", "dateOfBirth": "1979-11-03"}
OMAR = {"name": "Dr. Omar Zaid", "aName": "د. عمر زيد", "dateOfBirth": "1985-02-02"}
MOBILE, OTHER_MOBILE = "0501111111", "0502222222"
SLOT = {"date": "2026-06-15", "timeFrom": "10:00"}
LATER = {"date": "2026-06-16", "timeFrom": "11:00"}
SLOT_KEY = "patient+date+timeFrom"


def everything(portal: Portal) -> dict[str, list]:
    return {table: portal.stored(table) for table in TABLES}


def row(portal: Portal, table: str, record_id: int) -> dict[str, Any]:
    (found,) = [it for it in portal.stored(table) if it["id"] == record_id]
    return found


def formers(portal: Portal, entity: str = "patient") -> dict[str, int]:
    return {
        it["value"]: it["record_id"]
        for it in portal.stored("former_key")
        if it["entity"] == entity
    }


def new(portal: Portal, entity: str, record: dict | None = None, /, **fields: Any) -> int:
    """Send what must become a new record; returns its id."""
    before = portal.count(entity)
    answer = portal.send(entity, record, **fields)
    assert (answer["action"], answer.get("matchedBy")) == ("created", None), answer
    assert portal.count(entity) == before + 1
    return answer["id"]


def found(
    portal: Portal,
    record_id: int,
    key: str,
    entity: str,
    record: dict | None = None,
    /,
    **fields: Any,
) -> dict[str, Any]:
    """Send what must be taken for this stored record, found by this key; returns the answer."""
    before = portal.count(entity)
    answer = portal.send(entity, record, **fields)
    assert (answer["success"], answer.get("id"), answer.get("matchedBy")) == (
        True,
        record_id,
        key,
    ), answer
    assert portal.count(entity) == before
    return answer


def refused(
    portal: Portal, code: str, entity: str, record: dict | None = None, /, **fields: Any
) -> dict[str, Any]:
    """Send what must be refused, and see that nothing changed; returns the answer."""
    before = everything(portal)
    answer = portal.send(entity, record, **fields)
    assert (answer["success"], answer.get("code"), answer.get("status")) == (
        False,
        code,
        STATUS[code],
    ), answer
    assert everything(portal) == before
    return answer


def cases(table: dict[str, tuple]) -> list:
    """Return parameters with their names."""
    return [pytest.param(*values, id=name) for name, values in table.items()]


def candidates(*pairs: tuple[int, str]) -> list[dict[str, Any]]:
    return [{"id": record_id, "matchedBy": key} for record_id, key in pairs]


def patients(portal: Portal) -> tuple[int, int]:
    """Store P-1 and P-2, for bookings."""
    return new(portal, "patient", ALI, patientNo="P-1"), new(
        portal, "patient", SARA, patientNo="P-2"
    )


def renumbered_patient(portal: Portal) -> int:
    """Store Ali, P-1 once and now P-2."""
    ali = new(portal, "patient", ALI, patientNo="P-1", nationalID="N-1")
    found(portal, ali, "nationalID", "patient", ALI, patientNo="P-2", nationalID="N-1")
    return ali


def renumbered_doctor(portal: Portal) -> int:
    """Store Huda, D-1 once and now D-2."""
    huda = new(portal, "doctor", HUDA, code="D-1", licenseNumber="L-1")
    found(portal, huda, "licenseNumber", "doctor", HUDA, code="D-2", licenseNumber="L-1")
    return huda


# --- The table ---------------------------------------------------------------------------------


def test_entities_resolve_in_the_contracts_order() -> None:
    assert list(RULES) == list(CONTRACT)


@pytest.mark.parametrize("entity", CONTRACT)
def test_the_rules_are_the_contracts_table(entity: str) -> None:
    rules = RULES[entity]
    stand = [
        [json_name(it) for it in its]
        for its in (rules.unique, rules.weak, rules.contradicts, rules.agrees)
    ]
    assert stand == list(CONTRACT[entity])


UNIQUE = [
    ("clinic", "code"),
    ("doctor", "code"),
    ("doctor", "licenseNumber"),
    ("patient", "patientNo"),
    ("patient", "nationalID"),
]


@pytest.mark.parametrize(("entity", "key"), UNIQUE)
def test_a_unique_key_finds_its_record_in_any_spelling(
    portal: Portal, entity: str, key: str
) -> None:
    stored = new(portal, entity, {key: "KEY-1", "name": "Somebody"})
    assert found(portal, stored, key, entity, {key: " key-١ "})["action"] == "unchanged"


@pytest.mark.parametrize(("entity", "key"), UNIQUE)
def test_another_unique_key_is_another_record_whatever_the_name(
    portal: Portal, entity: str, key: str
) -> None:
    first = new(portal, entity, {key: "KEY-1", "name": "Somebody"})
    assert new(portal, entity, {key: "KEY-2", "name": "Somebody"}) != first


def test_a_clinic_with_a_known_code_is_that_clinic_whatever_its_name(portal: Portal) -> None:
    clinic = new(portal, "clinic", code="C-1", name="Teeth")
    assert found(portal, clinic, "code", "clinic", code="C-1", name="Children")["changed"] == [
        "name"
    ]


def test_a_booking_is_found_by_its_number_alone(portal: Portal) -> None:
    patients(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    answer = found(
        portal, booking, "appointmentNo", "appointment", appointmentNo="a-1", status="Confirmed"
    )
    assert answer["changed"] == ["status"]


def test_a_booking_is_found_by_patient_date_and_time(portal: Portal) -> None:
    ali, _ = patients(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-1")
    assert (
        found(portal, booking, SLOT_KEY, "appointment", SLOT, patientId=ali)["action"]
        == "unchanged"
    )


@pytest.mark.parametrize(
    "other", [{"patientNo": "P-2"}, {"date": "2026-06-16"}, {"timeFrom": "10:01"}]
)
def test_another_patient_date_or_time_is_another_booking(portal: Portal, other: dict) -> None:
    patients(portal)
    new(portal, "appointment", SLOT, patientNo="P-1")
    new(portal, "appointment", SLOT | {"patientNo": "P-1"} | other)


# --- 1. Unique keys: every one is looked up -----------------------------------------------------

TWO_KEYS = [
    ("patient", "patientNo", "nationalID", ALI),
    ("doctor", "code", "licenseNumber", HUDA),
]


@pytest.mark.parametrize(("entity", "first", "second", "person"), TWO_KEYS)
def test_keys_of_two_stored_records_are_a_conflict(
    portal: Portal, entity: str, first: str, second: str, person: dict
) -> None:
    one = new(portal, entity, person, **{first: "K-1"})
    other = new(portal, entity, person, **{second: "N-1"})
    answer = refused(
        portal, "identity_conflict", entity, person, **{first: "K-1", second: "N-1"}
    )
    assert answer["candidates"] == candidates((one, first), (other, second))


@pytest.mark.parametrize(("entity", "first", "second", "person"), TWO_KEYS)
def test_keys_of_one_stored_record_find_it_by_the_first(
    portal: Portal, entity: str, first: str, second: str, person: dict
) -> None:
    stored = new(portal, entity, person, **{first: "K-1", second: "N-1"})
    new(portal, entity, name="Somebody else", **{first: "K-2", second: "N-2"})
    answer = found(portal, stored, first, entity, person, **{first: "K-1", second: "N-1"})
    assert answer["action"] == "unchanged"


@pytest.mark.parametrize(("entity", "first", "second", "person"), TWO_KEYS)
def test_a_key_that_the_record_lacked_is_filled_in(
    portal: Portal, entity: str, first: str, second: str, person: dict
) -> None:
    stored = new(portal, entity, person, **{first: "K-1"})
    assert found(portal, stored, first, entity, {first: "K-1", second: "N-1"})["changed"] == [
        second
    ]
    assert found(portal, stored, second, entity, {second: "N-1"})["action"] == "unchanged"


# Name and birth date, as stored and as sent.
AGREEING = {
    "same name and birth date": (("Ali Hassan", "1960-01-01"), ("Ali Hassan", "1960-01-01")),
    "same name, birth date not sent": (("Ali Hassan", "1960-01-01"), ("ALI  hassan", None)),
    "same name, birth date not stored": (("Ali Hassan", None), ("ali hassan", "1960-01-01")),
    "same name, no birth date": (("Ali Hassan", None), ("Ali Hassan", None)),
    "same folded name": (("أحمد علي", None), ("احمد على", None)),
    "same birth date and first word": (
        ("Sara Omar", "1990-05-05"),
        ("SARA Ali", "1990-05-05T00:00:00"),
    ),
    "titles left out": (("Dr. Sara Omar", "1990-05-05"), ("Prof Sara Ali", "1990-05-05")),
    "a title on one side": (("Sara Omar", "1990-05-05"), ("Dr Sara Ali", "1990-05-05")),
    "an Arabic title": (("د. سارة عمر", "1990-05-05"), ("ساره علي", "1990-05-05")),
}
DISAGREEING = {
    "same name, other birth date": (("Ali Hassan", "1960-01-01"), ("Ali Hassan", "1990-05-05")),
    "only the title is the same": (
        ("Dr Sara Omar", "1990-05-05"),
        ("Dr Huda Omar", "1990-05-05"),
    ),
    "only the Arabic title is the same": (("د سارة", "1990-05-05"), ("د هدى", "1990-05-05")),
    "same birth date, other first word": (
        ("Sara Omar", "1990-05-05"),
        ("Huda Omar", "1990-05-05"),
    ),
    "same birth date, first word only alike": (
        ("Sara Omar", "1990-05-05"),
        ("Sarah Omar", "1990-05-05"),
    ),
    "same first word, other birth date": (
        ("Sara Omar", "1990-05-05"),
        ("Sara Ali", "1990-05-06"),
    ),
    "same first word, birth date not sent": (("Sara Omar", "1990-05-05"), ("Sara Ali", None)),
    "same first word, birth date not stored": (("Sara Omar", None), ("Sara Ali", "1990-05-05")),
    "same birth date, no name": (("Sara Omar", "1990-05-05"), (None, "1990-05-05")),
    "nothing to agree by": (("Sara Omar", "1990-05-05"), (None, None)),
}
RENUMBERINGS = pytest.mark.parametrize(  # entity, the key that finds, the key that differs
    "keys",
    [
        ("patient", "nationalID", "patientNo"),
        ("patient", "patientNo", "nationalID"),
        ("doctor", "licenseNumber", "code"),
        ("doctor", "code", "licenseNumber"),
    ],
    ids=" ".join,
)


def person(name: str | None, birth: str | None, **keys: str) -> dict:
    return {"name": name, "dateOfBirth": birth} | keys


@RENUMBERINGS
@pytest.mark.parametrize(("stored", "sent"), cases(AGREEING))
def test_another_key_is_taken_where_name_and_birth_date_agree(
    portal: Portal, keys: tuple, stored: tuple, sent: tuple
) -> None:
    entity, finds, differs = keys
    record_id = new(portal, entity, person(*stored, **{finds: "K-1", differs: "N-1"}))
    answer = found(
        portal, record_id, finds, entity, person(*sent, **{finds: "K-1", differs: "N-2"})
    )
    assert (answer["data"][differs], differs in answer["changed"]) == ("N-2", True)


@RENUMBERINGS
@pytest.mark.parametrize(("stored", "sent"), cases(DISAGREEING))
def test_another_key_is_a_conflict_where_name_and_birth_date_do_not_agree(
    portal: Portal, keys: tuple, stored: tuple, sent: tuple
) -> None:
    entity, finds, differs = keys
    record_id = new(portal, entity, person(*stored, **{finds: "K-1", differs: "N-1"}))
    again = person(*sent, **{finds: "K-1", differs: "N-2"})
    assert refused(portal, "identity_conflict", entity, again)["candidates"] == candidates(
        (record_id, finds)
    )


def test_the_fathers_id_typed_for_his_twins_is_refused_for_both(portal: Portal) -> None:
    father = new(portal, "patient", ALI, patientNo="P-1", nationalID="N-1", mobile=MOBILE)
    for number, name in (("P-2", "Omar Ali Hassan"), ("P-3", "Zaid Ali Hassan")):
        twin = {
            "name": name,
            "dateOfBirth": "2020-07-07",
            "patientNo": number,
            "mobile": MOBILE,
        }
        answer = refused(portal, "identity_conflict", "patient", twin, nationalID="N-1")
        assert answer["candidates"] == candidates((father, "nationalID"))
        new(portal, "patient", twin)  # without the wrong id, the twin is a patient
    assert portal.count("patient") == 3


def test_the_fathers_id_typed_for_his_twins_only_goes_to_the_first_of_them(
    portal: Portal,
) -> None:
    born = {"dateOfBirth": "2020-07-07", "nationalID": "N-1"}
    omar = new(portal, "patient", born, name="Omar Ali Hassan", patientNo="P-2")
    answer = refused(
        portal, "identity_conflict", "patient", born, name="Zaid Ali Hassan", patientNo="P-3"
    )
    assert answer["candidates"] == candidates((omar, "nationalID"))


@pytest.mark.parametrize(("entity", "number", "other"), [(e, k, o) for e, k, o, _ in TWO_KEYS])
class TestANumberGivenToANewPerson:
    OLD, NEW = ALI, SARA

    def test_is_a_conflict(self, portal: Portal, entity: str, number: str, other: str) -> None:
        old = new(portal, entity, self.OLD, **{number: "K-1"})
        answer = refused(portal, "identity_conflict", entity, self.NEW, **{number: "K-1"})
        assert answer["candidates"] == candidates((old, number))

    def test_is_a_conflict_with_an_id_that_nobody_has(
        self, portal: Portal, entity: str, number: str, other: str
    ) -> None:
        old = new(portal, entity, self.OLD, **{number: "K-1"})
        answer = refused(
            portal, "identity_conflict", entity, self.NEW, **{number: "K-1", other: "N-9"}
        )
        assert answer["candidates"] == candidates((old, number))

    def test_is_no_conflict_unless_name_and_birth_date_both_differ(
        self, portal: Portal, entity: str, number: str, other: str
    ) -> None:
        halves = [
            {"name": self.OLD["name"]},
            {"name": None},
            {"dateOfBirth": "1960-01-01"},
            {"dateOfBirth": None},
        ]
        for place, half in enumerate(halves):
            key = {number: f"K-{place}"}
            old = new(portal, entity, self.OLD, **key)
            assert (
                found(portal, old, number, entity, self.NEW | half, **key)["action"]
                == "updated"
            )

    def test_is_no_conflict_if_the_old_birth_date_is_not_stored(
        self, portal: Portal, entity: str, number: str, other: str
    ) -> None:
        old = new(portal, entity, name="Ali Hassan", **{number: "K-1"})
        answer = found(portal, old, number, entity, self.NEW, **{number: "K-1"})
        assert answer["changed"] == ["dateOfBirth", "name"]

    def test_is_no_conflict_where_the_other_key_is_the_same_too(
        self, portal: Portal, entity: str, number: str, other: str
    ) -> None:
        both = {number: "K-1", other: "N-1"}
        old = new(portal, entity, self.OLD, **both)
        assert found(portal, old, number, entity, self.NEW, **both)["changed"] == [
            "dateOfBirth",
            "name",
        ]

    def test_is_a_conflict_where_the_other_key_alone_says_so(
        self, portal: Portal, entity: str, number: str, other: str
    ) -> None:
        old = new(portal, entity, self.OLD, **{other: "N-1"})
        answer = refused(portal, "identity_conflict", entity, self.NEW, **{other: "N-1"})
        assert answer["candidates"] == candidates((old, other))


@pytest.mark.parametrize("stored", [{"patientNo": "P-1"}, {"patientId": True}])
def test_the_one_booked_for_the_wrong_patient_moves_to_the_right_one(
    portal: Portal, stored: dict
) -> None:
    ali, sara = patients(portal)
    wrong = {"patientId": ali} if "patientId" in stored else stored
    booking = new(portal, "appointment", SLOT, **wrong, appointmentNo="A-1", status="Confirmed")
    answer = found(
        portal,
        booking,
        "appointmentNo",
        "appointment",
        SLOT,
        patientNo="P-2",
        appointmentNo="A-1",
    )
    assert (answer["changed"], answer["data"]["patientId"], answer["data"]["status"]) == (
        ["patientNo"],
        sara,
        "Confirmed",
    )


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param({}, id="neither date nor time"),
        pytest.param({"date": "2026-06-15"}, id="no time"),
        pytest.param({"timeFrom": "10:00"}, id="no date"),
        pytest.param({"date": "2026-06-16", "timeFrom": "10:00"}, id="other date"),
        pytest.param({"date": "2026-06-15", "timeFrom": "11:00"}, id="other time"),
    ],
)
def test_a_booking_of_another_patient_at_another_moment_is_a_conflict(
    portal: Portal, moment: dict
) -> None:
    patients(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    answer = refused(
        portal, "identity_conflict", "appointment", moment, patientNo="P-2", appointmentNo="A-1"
    )
    assert answer["candidates"] == candidates((booking, "appointmentNo"))


def test_a_former_number_of_the_bookings_patient_is_no_other_patient(portal: Portal) -> None:
    renumbered_patient(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-2", appointmentNo="A-1")
    answer = found(
        portal,
        booking,
        "appointmentNo",
        "appointment",
        LATER,
        patientNo="P-1",
        appointmentNo="A-1",
    )
    assert answer["changed"] == ["date", "timeFrom"]


# --- 2. Weak keys ------------------------------------------------------------------------------


@pytest.mark.parametrize("mobile", [MOBILE, "+966501111111", "00966501111111", "٠٥٠١١١١١١١"])
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
        found(portal, son, "mobile+name", "patient", family, dateOfBirth="1990-05-05")["action"]
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
    answer = found(portal, sara, "mobile+name", "patient", SARA, mobile=MOBILE, patientNo="P-1")
    assert (answer["data"]["patientNo"], formers(portal)) == ("P-1", {"P-9": sara})


def test_a_contact_is_the_stored_mobile_and_name_and_no_earlier_ones(portal: Portal) -> None:
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
    pytest.param({"name": "Sara Omar", "dateOfBirth": True}, id="other name, same birth date"),
    pytest.param({"dateOfBirth": True}, id="same birth date, no name"),
]
FORMER_FITS_NOT = [
    pytest.param({"name": "Sara Omar"}, id="other name, birth date not sent"),
    pytest.param(
        {"name": "Sara Omar", "dateOfBirth": "1990-05-05"}, id="other name and birth date"
    ),
    pytest.param({"name": True, "dateOfBirth": "1990-05-05"}, id="same name, other birth date"),
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
        {"nationalID": "licenseNumber"}.get(name, name): value for name, value in sent.items()
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
            {"name": "H. Ali", "aName": "د. هدي على"}, True, id="other name, same Arabic name"
        ),
        pytest.param(
            {"name": "Dr. Huda Ali", "aName": "هدى العلي"},
            True,
            id="same name, other Arabic name",
        ),
        pytest.param({"aName": "د. هدى علي"}, True, id="Arabic name alone"),
        pytest.param({"name": "H. Ali", "aName": "د. هند علي"}, False, id="both names differ"),
        pytest.param({"name": "H. Ali"}, False, id="other name, no Arabic name sent"),
    ],
)
class TestADoctorsNameOrArabicName:
    def test_tells_a_renumbered_doctor(self, portal: Portal, names: dict, agree: bool) -> None:
        huda = new(portal, "doctor", HUDA, code="D-1", licenseNumber="L-1")
        again = names | {"code": "D-2", "licenseNumber": "L-1"}
        if agree:
            assert "code" in found(portal, huda, "licenseNumber", "doctor", again)["changed"]
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
        assert found(portal, huda, "licenseNumber", "doctor", again)["data"]["code"] == "D-2"
    else:
        refused(portal, "identity_conflict", "doctor", again)


def test_a_booking_with_another_number_is_another_booking_at_the_same_slot(
    portal: Portal,
) -> None:
    patients(portal)
    cancelled = new(
        portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1", status="Cancelled"
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
        portal, anew, "appointmentNo", "appointment", SLOT, patientNo="P-1", appointmentNo="A-2"
    )


def test_a_booking_without_number_finds_the_numbered_one_at_its_slot(portal: Portal) -> None:
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


# --- Folded names ------------------------------------------------------------------------------

SAME_NAME = [
    pytest.param("Ali Hassan", "ALI hassan", id="case"),
    pytest.param("Anna Weiß", "ANNA WEISS", id="case folding"),
    pytest.param("Ali Hassan", "  Ali \u3000  Hassan ", id="white space"),
    pytest.param("Ali Hassan", "Ali\u00a0Hassan", id="no-break space"),
    pytest.param("Ali Hassan", "Ａｌｉ Ｈａｓｓａｎ", id="NFKC, full width"),
    pytest.param("عبد الله", "عبد \ufe8d\ufedf\ufee0\ufeea", id="NFKC, presentation forms"),
    pytest.param("Andr\u00e9", "Andre\u0301", id="composed or not"),
    pytest.param("Ali 2", "Ali ٢", id="Arabic-Indic digits"),
    pytest.param("Ali 2", "Ali ۲", id="Persian digits"),
    pytest.param("محمد علي", "مُحَمَّدٌ عَلِيّ", id="diacritics"),
    pytest.param("عبد الرحمن", "عبد الرحمٰن", id="superscript alef"),
    pytest.param("محمد", "محـــمد", id="tatweel"),
    pytest.param("احمد", "أحمد", id="alef with hamza above"),
    pytest.param("احمد", "ا\u0654حمد", id="alef and a hamza of its own"),
    pytest.param("ابراهيم", "إبراهيم", id="alef with hamza below"),
    pytest.param("امنة", "آمنة", id="alef with madda"),
    pytest.param("الله", "ٱلله", id="alef wasla"),
    pytest.param("مصطفي", "مصطفى", id="alef maksura"),
    pytest.param("علي", "علی", id="Persian yeh"),
    pytest.param("كريم", "کریم", id="Persian keheh"),
    pytest.param("فاطمه", "فاطمة", id="teh marbuta"),
]
OTHER_NAME = [
    pytest.param("Ali Hassan", "AliHassan", id="white space left out"),
    pytest.param("Ali Hassan", "Hassan Ali", id="order"),
    pytest.param("Andre", "André", id="Latin accent"),
    pytest.param("Ali 2", "Ali 3", id="digit"),
    pytest.param("حسن", "حسين", id="another letter"),
    pytest.param("مومن", "مؤمن", id="waw with hamza"),
    pytest.param("عايشة", "عائشة", id="yeh with hamza"),
    pytest.param("سما", "سماء", id="hamza at the end"),
    pytest.param("هدا", "هدى", id="alef for alef maksura"),
    pytest.param("بنت", "بنة", id="teh for teh marbuta"),
]


@pytest.mark.parametrize(("one", "other"), SAME_NAME)
def test_names_are_compared_folded_and_stored_as_sent(
    portal: Portal, one: str, other: str
) -> None:
    stored = new(portal, "patient", name=one, mobile=MOBILE)
    answer = found(portal, stored, "mobile+name", "patient", name=other, mobile=MOBILE)
    assert answer["data"]["name"] == unicodedata.normalize("NFC", other.strip())
    assert (
        found(portal, stored, "mobile+name", "patient", name=one, mobile=MOBILE)["data"]["name"]
        == one
    )


def test_a_name_in_another_spelling_replaces_the_stored_one(portal: Portal) -> None:
    stored = new(portal, "patient", name="أحمد عليّ", mobile=MOBILE)
    assert row(portal, "patient", stored)["name"] == "أحمد عليّ"
    answer = found(portal, stored, "mobile+name", "patient", name="احمد على", mobile=MOBILE)
    assert (answer["changed"], row(portal, "patient", stored)["name"]) == (["name"], "احمد على")


@pytest.mark.parametrize(("one", "other"), OTHER_NAME)
def test_names_that_differ_in_a_letter_stay_two_patients(
    portal: Portal, one: str, other: str
) -> None:
    assert new(portal, "patient", name=one, mobile=MOBILE) != new(
        portal, "patient", name=other, mobile=MOBILE
    )


# --- Former numbers ----------------------------------------------------------------------------


def test_a_renumbered_patients_old_number_still_resolves_in_matching_and_in_a_booking(
    portal: Portal,
) -> None:
    ali = new(portal, "patient", ALI, patientNo="P-1", nationalID="N-1")
    answer = found(portal, ali, "nationalID", "patient", ALI, patientNo="P-2", nationalID="N-1")
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
    answer = found(portal, ali, "mobile+name", "patient", ALI, patientNo="P-2", mobile=MOBILE)
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
    assert (row(portal, "patient", ali)["patient_no"], formers(portal)) == ("P-2", {"P-1": ali})


def test_a_former_number_of_the_found_record_is_no_difference(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    answer = found(
        portal, ali, "nationalID", "patient", name="Sara", patientNo="P-1", nationalID="N-1"
    )
    assert (answer["changed"], answer["data"]["patientNo"]) == (["name"], "P-2")
    refused(
        portal, "identity_conflict", "patient", name="Zaid", patientNo="P-3", nationalID="N-1"
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


def test_a_former_number_taken_by_a_stored_patient_is_former_no_more(portal: Portal) -> None:
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


def test_somebody_elses_former_number_is_a_difference_like_any_other(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    sara = new(portal, "patient", SARA, patientNo="P-9", nationalID="N-9")
    answer = refused(portal, "identity_conflict", "patient", patientNo="P-1", nationalID="N-9")
    assert answer["candidates"] == candidates((sara, "nationalID"))
    assert formers(portal) == {"P-1": ali}


def test_a_number_is_former_for_the_last_that_gave_it_up(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    sara = new(portal, "patient", SARA, patientNo="P-1", nationalID="N-9")
    found(portal, sara, "nationalID", "patient", SARA, patientNo="P-3", nationalID="N-9")
    assert formers(portal) == {"P-1": sara}
    assert portal.send("appointment", SLOT, patientNo="P-1")["data"]["patientId"] == sara
    found(portal, sara, "formerPatientNo", "patient", patientNo="P-1")
    answer = found(portal, ali, "nationalID", "patient", ALI, patientNo="P-1", nationalID="N-1")
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
    refused(portal, "unknown_reference", "appointment", SLOT, patientNo="P-2", doctorCode="P-2")


def test_two_numbers_swapped_in_one_array_end_with_their_new_holders(portal: Portal) -> None:
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
    stored = {it["id"]: (it["code"], it["license_number"]) for it in portal.stored("doctor")}
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
        portal, ali, "mobile+name", "patient", name="Ali Hassan", mobile=MOBILE, patientNo="P-2"
    )


# --- Rescheduling ------------------------------------------------------------------------------

HALF_AN_HOUR, AT_NIGHT = ("10:00", "10:30"), ("23:45", "00:15")
BOTH = ["timeFrom", "timeTo"]
# What is stored, what is sent, what then stands, and what is told as changed.
MOVES = {
    "another time": (HALF_AN_HOUR, {"timeFrom": "11:15"}, ("11:15:00", "11:45:00"), BOTH),
    "another date": (HALF_AN_HOUR, {"date": "2026-06-20"}, ("10:00:00", "10:30:00"), ["date"]),
    "another date and time": (HALF_AN_HOUR, LATER, ("11:00:00", "11:30:00"), ["date", *BOTH]),
    "to past midnight": (HALF_AN_HOUR, {"timeFrom": "23:45"}, ("23:45:00", "00:15:00"), BOTH),
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
    "the end alone": (HALF_AN_HOUR, {"timeTo": "10:45"}, ("10:00:00", "10:45:00"), ["timeTo"]),
    "not at all": (HALF_AN_HOUR, {"timeFrom": "10:00"}, ("10:00:00", "10:30:00"), []),
}


@pytest.mark.parametrize(("stored", "sent", "then", "changed"), cases(MOVES))
def test_the_moved_booking_keeps_its_id_and_its_length(
    portal: Portal, stored: tuple, sent: dict, then: tuple, changed: list
) -> None:
    patients(portal)
    at = {"date": "2026-06-15", "timeFrom": stored[0], "timeTo": stored[1]}
    booking = new(portal, "appointment", at, patientNo="P-1", appointmentNo="A-1")
    answer = found(portal, booking, "appointmentNo", "appointment", sent, appointmentNo="A-1")
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
    assert (answer["changed"], answer["data"]["appointmentNo"]) == (["appointmentNo"], "A-1")
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
    refused(portal, "slot_taken", "appointment", LATER, appointmentNo="A-1", patientNo="P-1")


def test_a_slot_may_be_shared_by_two_bookings_with_numbers(portal: Portal) -> None:
    patients(portal)
    moved = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    holder = new(
        portal, "appointment", LATER, patientNo="P-1", appointmentNo="A-2", status="Cancelled"
    )
    answer = found(portal, moved, "appointmentNo", "appointment", LATER, appointmentNo="A-1")
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
        portal.send("appointment", SLOT, patientId=ali, patientNo="P-1")["data"]["patientNo"]
        == "P-2"
    )
    new(portal, "patient", SARA, patientNo="P-1")
    refused(portal, "validation_failed", "appointment", LATER, patientId=ali, patientNo="P-1")


# --- One record, several faults ----------------------------------------------------------------


def test_all_wrong_fields_come_before_unknown_references(portal: Portal) -> None:
    wrong = {"date": "15/06/2026", "timeFrom": "ten", "status": "x" * 41}
    answer = refused(
        portal, "validation_failed", "appointment", wrong, patientNo="P-9", doctorCode="D-9"
    )
    assert set(answer["errors"]) == set(wrong)


def test_an_end_before_its_sent_start_comes_before_unknown_references(portal: Portal) -> None:
    answer = refused(
        portal, "validation_failed", "appointment", SLOT, timeTo="09:00", patientNo="P-9"
    )
    assert list(answer["errors"]) == ["timeTo"]


def test_an_id_and_code_that_disagree_come_before_unknown_references(portal: Portal) -> None:
    ali, _ = patients(portal)
    sent = SLOT | {"patientId": ali, "patientNo": "P-2", "doctorCode": "D-9"}
    assert (
        "doctorCode" not in refused(portal, "validation_failed", "appointment", sent)["errors"]
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
    for conflict in (LATER | {"patientNo": "P-2"}, LATER):  # an identity conflict, a taken slot
        answer = refused(
            portal, "unknown_reference", "appointment", conflict | unknown, appointmentNo="A-1"
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


# --- A refused person in /sync -----------------------------------------------------------------


def sync(portal: Portal, **batches: list) -> dict[str, list]:
    return {entity: answer["results"] for entity, answer in portal.send_many(batches).items()}


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
    told = sync(portal, appointment=[SLOT | {"patientNo": "P-1"}])  # in a request of its own
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
    assert told["appointment"][1]["action"] == "created"  # nobody was refused under this number


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
    "a given name in two words": ({"name": "عبد الله بن سعد"}, {"name": "عبد الرحمن بن سعد"}),
    "the same in Latin letters": ({"name": "Abdul Aziz Saad"}, {"name": "Abdul Rahman Saad"}),
    "a family name first": ({"name": "Qahtani, Reem"}, {"name": "Qahtani, Nora"}),
    "another firstName": (
        {"name": "Saad 1", "firstName": "Reem"},
        {"name": "Saad 2", "firstName": "Nora"},
    ),
}


@pytest.mark.parametrize("names", TWINS.values(), ids=TWINS)
def test_twins_with_one_id_stay_two_though_their_first_words_are_the_same(
    portal: Portal, names: tuple
) -> None:
    born = {"dateOfBirth": "2020-02-01", "nationalID": "N-1"}
    portal.send("patient", names[0] | born, patientNo="P-1")
    before = portal.stored("patient")
    told = portal.send("patient", names[1] | born, patientNo="P-2")
    assert (told["status"], told["code"]) == (409, "identity_conflict")
    assert portal.stored("patient") == before


def test_one_who_got_a_longer_name_and_a_new_number_is_one(portal: Portal) -> None:
    born = {"dateOfBirth": "2020-02-01", "nationalID": "N-1"}
    portal.send("patient", born, patientNo="P-1", name="Reem Saad", firstName="Reem")
    told = portal.send(
        "patient", born, patientNo="P-2", name="Reem Bint Fahad", firstName="REEM"
    )
    assert (told["action"], told["matchedBy"]) == ("updated", "nationalID")
