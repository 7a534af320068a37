"""Nothing, damaged or shared by many makes one person of many."""

from typing import Any

import pytest
from conftest import KEY, Http, Portal, emptied
from hypothesis import given, settings
from hypothesis import strategies as st
from test_matching import MOBILE, found, new, patients, refused, row
from test_none_and_damage import OFFICIAL, SPELLINGS, ZEROS, left_out
from test_values import LEAST, SCHEMAS
from test_values import refused as refused_by_schema

import words

# --- Nobody is made of many --------------------------------------------------------------------


@pytest.mark.parametrize(
    "zero", [0, "0", "000", -1, "00000000-0000-0000-0000-000000000000"]
)
def test_two_patients_with_a_number_of_zero_are_two(portal: Portal, zero: Any) -> None:
    first = new(portal, "patient", patientNo=zero, name="Ali Hassan", mobile=MOBILE)
    second = new(portal, "patient", patientNo=zero, name="Sara Omar", mobile="0502222222")
    assert [row(portal, "patient", it)["patient_no"] for it in (first, second)] == [
        None,
        None,
    ]
    assert (
        found(
            portal,
            first,
            "mobile+name",
            "patient",
            patientNo=zero,
            name="Ali Hassan",
            mobile=MOBILE,
        )["action"]
        == "unchanged"
    )


@pytest.mark.parametrize("zero", [0, "0", "N/A", -1])
def test_two_bookings_with_a_number_of_zero_are_two(portal: Portal, zero: Any) -> None:
    patients(portal)
    for day in ("2026-06-15", "2026-06-16"):
        new(
            portal,
            "appointment",
            appointmentNo=zero,
            patientNo="P-1",
            date=day,
            timeFrom="10:00",
        )


@pytest.mark.parametrize(
    "filler", ["9999999999", "N/A", "NULL", "-", "1111111111", "لا يوجد", 1000000000]
)
def test_ten_patients_with_one_filler_for_an_id_are_ten(
    portal: Portal, filler: Any
) -> None:
    for _ in range(2):
        sent = [
            {
                "patientNo": f"P-{i}",
                "name": f"Ali {i}",
                "dateOfBirth": "1980-01-01",
                "nationalID": filler,
            }
            for i in range(10)
        ]
        told = portal.send_many({"patient": sent})["patient"]["results"]
        assert {len(it["warnings"]) for it in told} == {1}
        assert portal.count("patient") == 10
    assert {it["action"] for it in told} == {"unchanged"}


@pytest.mark.parametrize("zero", [0, "N/A", "???"])
def test_a_reference_to_none_is_absent(portal: Portal, zero: Any) -> None:
    patients(portal)
    booking = new(
        portal,
        "appointment",
        patientNo="P-1",
        doctorCode=zero,
        clinicCode=zero,
        date="2026-06-15",
        timeFrom="10:00",
    )
    assert row(portal, "appointment", booking)["doctor_id"] is None
    answer = refused(
        portal,
        "validation_failed",
        "appointment",
        patientNo=zero,
        date="2026-06-15",
        timeFrom="10:00",
    )
    assert "patientNo" in answer["errors"]


@pytest.mark.parametrize("spelling", ["'00123", "00123.0", "٠٠١٢٣", " 00123 ", "’00123"])
def test_what_a_spreadsheet_adds_makes_no_second_patient(
    portal: Portal, spelling: str
) -> None:
    stored = new(portal, "patient", patientNo="00123", name="Ali")
    found(portal, stored, "patientNo", "patient", patientNo=spelling)


# All of them are whole numbers, as far as their digits go.
LOST = b"1.08E+09 1.08e9 1E+2 1.0864E+4 1.08640E+4 1.50E+1 10.0E-1 0E+3 -1E0".split()


def test_a_number_as_a_float_is_the_number(http: Http) -> None:
    """Over HTTP, where only the text of the JSON tells how it was written."""
    assert (
        http.post("/patient", b'{"patientNo": 10928, "name": "Ali"}').json["action"]
        == "created"
    )
    answer = http.post("/patient", b'{"patientNo": 10928.0, "name": "Ali"}').json
    assert (answer["action"], answer["warnings"]) == (
        "unchanged",
        ['patientNo: "10928.0" is taken for the whole number'],
    )
    assert (
        http.post("/patient", b'{"patientNo": 12345678901234567890.0, "name": "Ali"}').json[
            "key"
        ]
        == "12345678901234567890"
    )
    for lost in LOST:
        answer = http.post("/patient", b'{"patientNo": ' + lost + b', "name": "Ali"}')
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["patientNo"])
        assert "a spreadsheet lost its digits" in answer.json["errors"]["patientNo"][0]
    assert (
        "fraction"
        in http.post("/patient", b'{"patientNo": 10928.5, "name": "Ali"}').json["errors"][
            "patientNo"
        ][0]
    )


def test_a_filter_that_counts_as_absent_is_a_400(http: Http) -> None:
    for query in (
        "patientNo=0",
        "nationalID=N/A",
        "mobile=-",
        "nationalID=9999999999",
        "patientNo=%EF%BF%BD1",
    ):
        answer = http.client.get(
            f"/api/healthcare/patients?{query}", headers={"X-API-Key": KEY}
        )
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_parameter"), (
            query
        )


# --- A night of it -----------------------------------------------------------------------------

NONES = [*SPELLINGS, *ZEROS, 0, -1, "", None, "\ufffd", "?? 12", "P\ufffd"]
FILLERS = ["9999999999", "1000000000", "1234567890"]
NAMES = ["Ali Hassan", "Sara Omar", "Huda Nasser", "Reem Saad", "عبد الله علي", "Omar Zaid"]
nothing = st.sampled_from(NONES)


@st.composite
def made_up_people(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return people who differ, each known by something real, with none and damage in every other field."""
    people = []
    for i in range(draw(st.integers(1, 6))):
        known = draw(
            st.sets(st.sampled_from(["patientNo", "nationalID", "mobile"]), min_size=1)
        )
        person = {
            "name": NAMES[i],
            "patientNo": f"P-{i}" if "patientNo" in known else draw(nothing),
            "nationalID": f"10000000{i}7"
            if "nationalID" in known
            else draw(nothing | st.sampled_from(FILLERS)),
            "mobile": f"055123456{i}"
            if "mobile" in known
            else draw(st.sampled_from(["-", "N/A", "", None, "(null)"])),
            "dateOfBirth": draw(
                st.sampled_from(
                    [
                        f"19{60 + i}-01-01",
                        "0001-01-01",
                        "0000-00-00",
                        "N/A",
                        "1405-02-30",
                        None,
                    ]
                )
            ),
            "email": draw(st.sampled_from(["-", "N/A", None])),
            "firstName": draw(st.sampled_from(["????", "N/A", None])),
        }
        people.append(person)
    return people


@settings(max_examples=settings.default.max_examples // 2)
@given(people=made_up_people(), order=st.randoms())
def test_the_patients_stored_are_the_people_there_are(
    sqlite_portal: Portal, people: list[dict], order: Any
) -> None:
    emptied(sqlite_portal.app)
    first = sqlite_portal.send_many({"patient": people})["patient"]["results"]
    assert {it.get("action") for it in first} == {"created"}, first
    assert sorted(it["name"] for it in sqlite_portal.stored("patient")) == sorted(
        it["name"] for it in people
    )
    again = list(people)
    order.shuffle(again)
    told = sqlite_portal.send_many({"patient": again})["patient"]["results"]
    assert {it.get("action") for it in told} == {"unchanged"}, told
    assert sqlite_portal.count("patient") == len(people)


def test_every_list_of_words_holds_what_it_says() -> None:
    assert all(map(words.NOTHING.is_word, words.WORDS_FOR_NONE))
    assert all(map(words.NOTHING.is_never_a_code, words.NEVER_A_CODE))
    assert all(map(words.is_newborn_name, words.NEWBORN))
    assert all(map(words.is_placeholder_name, words.NOBODY))


def test_the_point_of_a_float_makes_no_number_where_local_ones_have_no_prefix() -> None:
    """In Kuwait 51234560 is a number, and so is what a column would make of 5123456.0 without its point."""
    mobile = (
        SCHEMAS["patient"].__class__("KW", SCHEMAS["patient"].zone).load_fields["mobile"]
    )
    first, second = mobile.clean_all(["51234560", "5123456.0"])
    assert (first, second.value) == ("+96551234560", "5123456")


@pytest.mark.parametrize(
    "filler",
    ["9999999999.0", "1111111111.00", "1234567890.0", "'0123456789.0", "99999999.0"],
)
@pytest.mark.parametrize(("entity", "name"), OFFICIAL)
def test_a_filler_as_a_float_is_one(entity: str, name: str, filler: str) -> None:
    assert left_out(entity, name, filler) == [
        f'{name}: "{filler}" stands for none, left out'
    ]


@pytest.mark.parametrize("mark", ["\u200f", "\u200d", "\u00ad"])
def test_an_invisible_mark_hides_no_damage(mark: str) -> None:
    assert "letters were lost" in left_out("patient", "nationalID", f"A{mark}?B")[0]


@pytest.mark.parametrize(
    ("entity", "name"), [("patient", "isActive"), ("appointment", "patientId")]
)
def test_long_text_for_a_flag_or_an_id_is_refused_unread(entity: str, name: str) -> None:
    # Composing it would take minutes.
    sent = LEAST[entity] | {name: "1" + "\u0315\u0300" * 200_000}
    assert len(refused_by_schema(entity, sent)) == 1
