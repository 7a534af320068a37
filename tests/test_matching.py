"""Matching by unique and weak keys: the table of the contract's section 4."""

import unicodedata
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


def test_a_clinic_with_a_known_code_is_that_clinic_whatever_its_name(
    portal: Portal,
) -> None:
    clinic = new(portal, "clinic", code="C-1", name="Teeth")
    assert found(portal, clinic, "code", "clinic", code="C-1", name="Children")[
        "changed"
    ] == ["name"]


def test_a_booking_is_found_by_its_number_alone(portal: Portal) -> None:
    patients(portal)
    booking = new(portal, "appointment", SLOT, patientNo="P-1", appointmentNo="A-1")
    answer = found(
        portal,
        booking,
        "appointmentNo",
        "appointment",
        appointmentNo="a-1",
        status="Confirmed",
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
def test_another_patient_date_or_time_is_another_booking(
    portal: Portal, other: dict
) -> None:
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
    assert found(portal, stored, first, entity, {first: "K-1", second: "N-1"})[
        "changed"
    ] == [second]
    assert found(portal, stored, second, entity, {second: "N-1"})["action"] == "unchanged"


# Name and birth date, as stored and as sent.
AGREEING = {
    "same name and birth date": (
        ("Ali Hassan", "1960-01-01"),
        ("Ali Hassan", "1960-01-01"),
    ),
    "same name, birth date not sent": (("Ali Hassan", "1960-01-01"), ("ALI  hassan", None)),
    "same name, birth date not stored": (
        ("Ali Hassan", None),
        ("ali hassan", "1960-01-01"),
    ),
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
    "same name, other birth date": (
        ("Ali Hassan", "1960-01-01"),
        ("Ali Hassan", "1990-05-05"),
    ),
    "only the title is the same": (
        ("Dr Sara Omar", "1990-05-05"),
        ("Dr Huda Omar", "1990-05-05"),
    ),
    "only the Arabic title is the same": (
        ("د سارة", "1990-05-05"),
        ("د هدى", "1990-05-05"),
    ),
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
    "same first word, birth date not sent": (
        ("Sara Omar", "1990-05-05"),
        ("Sara Ali", None),
    ),
    "same first word, birth date not stored": (
        ("Sara Omar", None),
        ("Sara Ali", "1990-05-05"),
    ),
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
        portal,
        "identity_conflict",
        "patient",
        born,
        name="Zaid Ali Hassan",
        patientNo="P-3",
    )
    assert answer["candidates"] == candidates((omar, "nationalID"))


@pytest.mark.parametrize(
    ("entity", "number", "other"), [(e, k, o) for e, k, o, _ in TWO_KEYS]
)
class TestANumberGivenToANewPerson:
    OLD, NEW = ALI, SARA

    def test_is_a_conflict(
        self, portal: Portal, entity: str, number: str, other: str
    ) -> None:
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
    booking = new(
        portal, "appointment", SLOT, **wrong, appointmentNo="A-1", status="Confirmed"
    )
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
        portal,
        "identity_conflict",
        "appointment",
        moment,
        patientNo="P-2",
        appointmentNo="A-1",
    )
    assert answer["candidates"] == candidates((booking, "appointmentNo"))


def test_a_former_number_of_the_bookings_patient_is_no_other_patient(
    portal: Portal,
) -> None:
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
        found(portal, stored, "mobile+name", "patient", name=one, mobile=MOBILE)["data"][
            "name"
        ]
        == one
    )


def test_a_name_in_another_spelling_replaces_the_stored_one(portal: Portal) -> None:
    stored = new(portal, "patient", name="أحمد عليّ", mobile=MOBILE)
    assert row(portal, "patient", stored)["name"] == "أحمد عليّ"
    answer = found(portal, stored, "mobile+name", "patient", name="احمد على", mobile=MOBILE)
    assert (answer["changed"], row(portal, "patient", stored)["name"]) == (
        ["name"],
        "احمد على",
    )


@pytest.mark.parametrize(("one", "other"), OTHER_NAME)
def test_names_that_differ_in_a_letter_stay_two_patients(
    portal: Portal, one: str, other: str
) -> None:
    assert new(portal, "patient", name=one, mobile=MOBILE) != new(
        portal, "patient", name=other, mobile=MOBILE
    )


def test_each_change_and_nothing_else_raises_the_version(portal: Portal) -> None:
    """By its version a writer sees that another one was faster."""
    versions = []
    for email in ("a@example.com", "a@example.com", "b@example.com", "c@example.com"):
        portal.send("patient", ALI, patientNo="P-1", email=email)
        versions += [it["version"] for it in portal.stored("patient")]
    assert versions == [1, 1, 2, 3]


def test_so_it_does_in_a_list(portal: Portal) -> None:
    versions = []
    for email in ("a@example.com", "a@example.com", "b@example.com", "c@example.com"):
        records = [ALI | {"patientNo": f"P-{n}", "email": email} for n in range(3)]
        portal.send_many({"patient": records})
        versions += [[it["version"] for it in portal.stored("patient")]]
    assert versions == [[1] * 3, [1] * 3, [2] * 3, [3] * 3]


def test_what_a_dry_run_would_create_has_no_id_for_later_records_either(
    portal: Portal,
) -> None:
    records = [ALI | {"patientNo": "P-1"}] * 2
    told = portal.send_many({"patient": records}, dry_run=True)["patient"]["results"]
    assert [(it["action"], it["id"]) for it in told] == [
        ("created", None),
        ("unchanged", None),
    ]
    assert portal.count("patient") == 0
