"""Placeholders are no identity: newborns, nobody, and phones of many."""

from typing import Any

import pytest
from conftest import Portal
from test_matching import (
    ALI,
    MOBILE,
    SARA,
    candidates,
    formers,
    found,
    new,
    refused,
    row,
)

BABY = {"name": "Baby of Fatima Ali", "mobile": MOBILE, "dateOfBirth": "2026-06-01"}
NEWBORNS = [
    *(
        "Baby of Fatima Ali",
        "BABY BOY",
        "Baby girl",
        "B/O Fatima",
        "b/o: Fatima",
        "Newborn",
        "Twin A",
        "Baby",
        "Baby 2",
    ),
    *("مولود", "مولودة فاطمة", "رضيع", "طفل فاطمة", "طفلة", "توأم", "بيبي"),
]
NOBODIES = [
    "Unknown",
    "Unknown Male",
    "Patient",
    "Test",
    "TEST 2",
    "Test Patient",
    "مجهول",
    "مجهولة الهوية",
    "N/A",
    "Nil",
]


def pair(portal: Portal, first: dict, second: dict) -> tuple[int, int]:
    """Send two people twice; each must have a file of his own, and both be unchanged the second time."""
    ids = new(portal, "patient", first), new(portal, "patient", second)
    again = [portal.send("patient", person) for person in (first, second)]
    assert [(it.get("action"), it.get("id")) for it in again] == [
        ("unchanged", ids[0]),
        ("unchanged", ids[1]),
    ]
    return ids


# --- Newborns and twins ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NEWBORNS)
def test_newborns_with_own_numbers_are_two_even_if_all_else_is_the_same(
    portal: Portal, name: str
) -> None:
    pair(
        portal,
        BABY | {"name": name, "patientNo": "P-1"},
        BABY | {"name": name, "patientNo": "P-2"},
    )


@pytest.mark.parametrize("number", [{}, {"patientNo": "P-9"}])
def test_twins_of_both_genders_are_two_with_one_number_or_none(
    portal: Portal, number: dict
) -> None:
    pair(portal, BABY | {"gender": "Male"} | number, BABY | {"gender": "Female"})


def test_one_newborn_without_a_number_is_found_by_phone_and_name(portal: Portal) -> None:
    baby = new(portal, "patient", BABY)
    found(portal, baby, "mobile+name", "patient", BABY, patientNo="P-1")


@pytest.mark.parametrize(
    "name",
    [
        "Baby Thomas",
        "Twinkle Khanna",
        "Newborne Smith",
        "مولوده علي".replace("مولوده", "مولي"),
    ],
)
def test_a_name_that_only_begins_alike_is_a_name(portal: Portal, name: str) -> None:
    person = new(portal, "patient", BABY | {"name": name, "patientNo": "P-1"})
    found(
        portal, person, "mobile+name", "patient", BABY | {"name": name, "patientNo": "P-2"}
    )


def test_a_newborn_with_the_mothers_id_gets_its_own_file(portal: Portal) -> None:
    mother = new(
        portal,
        "patient",
        name="Fatima Ali",
        patientNo="P-1",
        nationalID="1000000007",
        dateOfBirth="1990-01-01",
    )
    for _ in range(2):
        answer = portal.send("patient", BABY, patientNo="P-2", nationalID="1000000007")
        assert answer["warnings"] == [
            f'nationalID: "1000000007" is left out: it is that of patient {mother},'
            " and this is a newborn: it is the mother's, or a twin's"
        ]
        assert answer["data"]["nationalID"] is None
    assert (answer["action"], portal.count("patient")) == ("unchanged", 2)
    assert row(portal, "patient", mother)["name"] == "Fatima Ali"


def test_a_newborn_whose_name_does_not_come_along_is_one_by_its_number(
    portal: Portal,
) -> None:
    new(portal, "patient", name="Fatima Ali", patientNo="P-1", nationalID="1000000007")
    baby = new(portal, "patient", BABY, patientNo="P-2")
    found(
        portal,
        baby,
        "patientNo",
        "patient",
        patientNo="P-2",
        nationalID="1000000007",
        name="???? ??",
    )


def test_twins_with_the_mothers_id_who_is_no_patient_are_two(portal: Portal) -> None:
    """They agree in all but their numbers; the id stays with the first."""
    first = new(portal, "patient", BABY, patientNo="P-1", nationalID="1000000007")
    second = new(portal, "patient", BABY, patientNo="P-2", nationalID="1000000007")
    assert [row(portal, "patient", it)["national_id"] for it in (first, second)] == [
        "1000000007",
        None,
    ]


def test_a_newborn_with_an_id_of_its_own_keeps_it(portal: Portal) -> None:
    baby = new(portal, "patient", BABY, nationalID="1000000007")
    answer = found(
        portal,
        baby,
        "nationalID",
        "patient",
        BABY,
        nationalID="1000000007",
        patientNo="P-1",
    )
    assert (answer["changed"], answer["warnings"]) == (["patientNo"], [])


def test_a_newborn_that_has_nothing_but_the_mothers_id_is_refused(portal: Portal) -> None:
    new(portal, "patient", SARA, patientNo="P-1", nationalID="1000000007")
    answer = refused(
        portal, "validation_failed", "patient", name="Newborn", nationalID="1000000007"
    )
    assert list(answer["errors"]) == ["patientNo"]


def test_a_grown_up_with_somebody_elses_id_is_still_refused(portal: Portal) -> None:
    new(portal, "patient", SARA, patientNo="P-1", nationalID="1000000007")
    refused(
        portal,
        "identity_conflict",
        "patient",
        ALI,
        patientNo="P-2",
        nationalID="1000000007",
    )


# --- Gender ------------------------------------------------------------------------------------

NOOR = {"name": "Noor Ali", "mobile": MOBILE}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"dateOfBirth": "1990-01-01"}, {}),
        ({}, {"patientNo": "P-2"}),
    ],
)
def test_a_man_and_a_woman_who_share_phone_and_name_are_two(
    portal: Portal, first: dict, second: dict
) -> None:
    pair(
        portal,
        NOOR | {"gender": "Male", "patientNo": "P-1"} | first,
        NOOR | {"gender": "Female"} | second,
    )


@pytest.mark.parametrize(
    "genders",
    [
        ("Male", "Unknown"),
        ("Other", "Female"),
        ("Male", None),
        (None, "Female"),
        ("M", "ذكر"),
    ],
)
def test_other_genders_contradict_nothing(portal: Portal, genders: tuple) -> None:
    noor = new(portal, "patient", NOOR, gender=genders[0])
    found(portal, noor, "mobile+name", "patient", NOOR, gender=genders[1])


def test_one_birth_date_tells_that_the_gender_was_mistyped(portal: Portal) -> None:
    noor = new(portal, "patient", NOOR, gender="Male", dateOfBirth="1990-01-01")
    found(
        portal,
        noor,
        "mobile+name",
        "patient",
        NOOR,
        gender="Female",
        dateOfBirth="1990-01-01",
    )


def test_a_mistyped_gender_is_mended_by_a_number(portal: Portal) -> None:
    noor = new(portal, "patient", NOOR, gender="Male", patientNo="P-1")
    assert found(
        portal, noor, "patientNo", "patient", NOOR, gender="Female", patientNo="P-1"
    )["changed"] == ["gender"]


# --- Nobody ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NOBODIES)
def test_two_whom_a_name_does_not_name_are_two(portal: Portal, name: str) -> None:
    pair(
        portal,
        {"name": name, "mobile": MOBILE, "patientNo": "P-1"},
        {"name": name, "mobile": MOBILE, "patientNo": "P-2"},
    )


@pytest.mark.parametrize("name", NOBODIES)
def test_a_name_that_names_nobody_is_no_key(portal: Portal, name: str) -> None:
    answer = refused(portal, "validation_failed", "patient", name=name, mobile=MOBILE)
    assert f'"{name}" names nobody' in answer["errors"]["patientNo"][0]


@pytest.mark.parametrize(
    "name", ["Test Ali", "Patience Smith", "Unknown Soldier Ali", "Tester", "Nila"]
)
def test_who_has_a_name_beside_it_is_somebody(portal: Portal, name: str) -> None:
    somebody = new(portal, "patient", name=name, mobile=MOBILE)
    found(portal, somebody, "mobile+name", "patient", name=name, mobile=MOBILE)


# --- Families ----------------------------------------------------------------------------------

KHAN = {"name": "Mohammed Khan", "mobile": MOBILE}


def three_khans(portal: Portal) -> list[int]:
    births = ("1950-01-01", "1980-01-01", "2010-01-01")
    return [
        new(portal, "patient", KHAN, patientNo=f"P-{i}", dateOfBirth=born)
        for i, born in enumerate(births)
    ]


def test_a_fourth_with_an_own_number_gets_a_file_of_his_own_and_is_told_of_the_others(
    portal: Portal,
) -> None:
    khans = three_khans(portal)
    answer = portal.send("patient", KHAN, patientNo="P-9")
    assert answer["action"] == "created"
    named = ", ".join(map(str, khans))
    assert answer["warnings"] == [
        f"mobile: it is, with the name, also that of patient {named}: a file of its own"
    ]
    assert (
        found(portal, answer["id"], "patientNo", "patient", KHAN, patientNo="P-9")["action"]
        == "unchanged"
    )


def test_a_fourth_is_still_refused_without_a_number_or_beside_one_who_has_none(
    portal: Portal,
) -> None:
    khans = three_khans(portal)
    answer = refused(portal, "ambiguous_match", "patient", KHAN)
    assert answer["candidates"] == candidates(*[(khan, "mobile+name") for khan in khans])
    new(portal, "patient", KHAN, nationalID="1000000007", dateOfBirth="1999-09-09")
    refused(portal, "ambiguous_match", "patient", KHAN, patientNo="P-9")


def test_ids_in_a_warning_are_those_of_what_is_stored_in_the_same_list(
    portal: Portal,
) -> None:
    sent = [
        KHAN | {"patientNo": f"P-{i}", "dateOfBirth": f"19{60 + i}-01-01"} for i in range(2)
    ]
    sent.append(KHAN | {"patientNo": "P-9"})
    told = portal.send_many({"patient": sent})["patient"]["results"]
    assert f"patient {told[0]['id']}, {told[1]['id']}:" in told[2]["warnings"][0]


@pytest.mark.parametrize("options", [{"dry_run": True}, {"atomic": True}])
def test_ids_that_nobody_has_are_told_in_no_warning(
    portal: Portal, options: dict[str, bool]
) -> None:
    sent: list[Any] = [
        KHAN | {"patientNo": f"P-{i}", "dateOfBirth": f"19{60 + i}-01-01"} for i in range(2)
    ]
    sent += [
        KHAN | {"patientNo": "P-9"},
        *([] if "dry_run" in options else [{"name": "Nobody"}]),
    ]
    told = portal.send_many({"patient": sent}, **options)["patient"]["results"]
    assert "patient (new), (new):" in told[2]["warnings"][0]
    assert portal.count("patient") == 0


# --- Renumbered by phone and name alone --------------------------------------------------------


def test_a_new_number_by_phone_and_name_alone_is_told(portal: Portal) -> None:
    ali = new(portal, "patient", name="Ali Hassan", mobile=MOBILE, patientNo="P-1")
    answer = found(
        portal,
        ali,
        "mobile+name",
        "patient",
        name="Ali Hassan",
        mobile=MOBILE,
        patientNo="P-2",
    )
    (warning,) = answer["warnings"]
    assert [word in warning for word in ("P-1", "P-2", f"patient {ali}")] == [True] * 3
    assert formers(portal) == {"P-1": ali}


@pytest.mark.parametrize("sent", [ALI, {"name": "Ali Hassan", "patientNo": None}])
def test_a_birth_date_or_no_number_at_all_is_no_reason_to_warn(
    portal: Portal, sent: dict
) -> None:
    ali = new(portal, "patient", ALI, mobile=MOBILE, patientNo="P-1")
    answer = found(
        portal, ali, "mobile+name", "patient", {"patientNo": "P-2", "mobile": MOBILE} | sent
    )
    assert answer["warnings"] == []
