"""Plain records beside careful ones: in a list, a key that leads to several is in doubt as it is alone."""

import re
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Portal, emptied
from library import (
    EMMA,
    FORMERS,
    ULYSSES,
    Library,
    actions,
)

from engine import plain
from engine.outcome import Outcome
from engine.problems import AmbiguousMatch, Problem

TITLES = [{"title": "Emma", "author": "Austen"}, {"title": "Ulysses", "author": "Joyce"}]
OTHER_EMMA = EMMA | {"inventory": "B-9", "isbn": "978-9"}


@pytest.mark.parametrize("order", [1, -1])
def test_in_a_list_too_a_key_that_several_share_finds_nobody(
    library: Library,
    order: int,
) -> None:
    library.send("book", EMMA, OTHER_EMMA, ULYSSES)
    emma, ulysses = library.send("book", *TITLES[::order])[::order]
    assert isinstance(emma, AmbiguousMatch)
    assert [candidate[0].id for candidate in emma.candidates] == [1, 2]
    assert isinstance(ulysses, Outcome)
    assert (ulysses.action, ulysses.matched_by) == ("unchanged", "title+author")
    noted = [title | {"note": "worn"} for title in TITLES]
    emma, ulysses = library.send("book", *noted[::order])[::order]
    assert isinstance(emma, AmbiguousMatch)
    assert isinstance(ulysses, Outcome)
    assert ulysses.action == "updated"
    assert [library.described("book", it)["note"] for it in (1, 2, 3)] == [
        None,
        None,
        "worn",
    ]


def test_several_become_one_again_when_their_titles_differ(
    library: Library,
) -> None:
    library.send("book", EMMA, OTHER_EMMA)
    renamed = OTHER_EMMA | {"title": "Emma II"}
    done = library.send("book", renamed, TITLES[0], TITLES[0] | {"note": "worn"})
    assert actions(done) == ["updated", "unchanged", "updated"]
    assert [library.described("book", it)["note"] for it in (1, 2)] == ["worn", None]


def test_two_of_a_list_with_one_key_are_one(library: Library) -> None:
    done = library.send("book", EMMA, ULYSSES, EMMA, ULYSSES | {"note": "worn"})
    assert actions(done) == ["created", "created", "unchanged", "updated"]
    done = library.send("book", TITLES[0], EMMA | {"note": "torn"}, TITLES[1])
    assert actions(done) == ["unchanged", "updated", "unchanged"]


STALE = EMMA | {"note": "stale"}  # with a number that was given up
NEW = {"inventory": "B-1", "isbn": "978-7", "title": "Anna", "author": "Tolstoy"}


@pytest.mark.parametrize("sent", [NEW, STALE, NEW | {"isbn": None}], ids=str)
def test_a_former_number_is_looked_at_in_a_list_as_it_is_alone(
    library: Library,
    sent: dict[str, str],
) -> None:
    library.send("book", EMMA)
    library.send("book", EMMA | {"inventory": "C-1"})
    in_list, _ = library.send("book", sent, ULYSSES)
    again, _ = library.send("book", sent, ULYSSES)
    with library.engine.connect() as connection:
        formers = connection.execute(sa.select(FORMERS.c.value, FORMERS.c.record_id)).all()
    if sent is STALE:
        assert actions([in_list, again]) == ["updated", "unchanged"]
        assert isinstance(in_list, Outcome)
        assert [notice.field for notice in in_list.warnings] == ["inventory"]
        assert formers == [("B-1", 1)]
    else:
        assert actions([in_list, again]) == ["created", "unchanged"]
        assert formers == []  # the number is the new book's
    assert library.described("book", 1)["inventory"] == "C-1"


# --- Which are plain ------------------------------------------------------------------------------

ANNA = {"inventory": "B-5", "isbn": "978-5", "title": "Anna", "author": "Tolstoy"}
WAR = {"inventory": "B-6", "isbn": "978-6", "title": "War", "author": "Tolstoy"}
GOTH = {"inventory": "B-7", "isbn": "978-7", "title": "Faust", "author": "Goethe"}
# What is sent, and the places of those that are careful. Stored are EMMA, OTHER_EMMA and ULYSSES, once B-2, now C-2.
HELD = ULYSSES | {"inventory": "C-2"}
DIVIDED: dict[str, tuple[list[dict], set[int]]] = {
    "new ones": ([ANNA, WAR, GOTH], set()),
    "unchanged ones": ([EMMA, HELD], set()),
    "changed ones": ([EMMA | {"note": "x"}, HELD | {"note": "y"}], set()),
    "new and stored ones": ([ANNA, EMMA, WAR | {"note": "x"}, HELD], set()),
    "by another key": ([{"isbn": "978-2", "note": "x"}, EMMA], set()),
    "by what none shares": ([TITLES[1] | {"note": "x"}, EMMA], set()),
    "by what two share": ([TITLES[0], HELD], {0}),
    "one twice": ([EMMA, HELD, EMMA, ANNA], {0, 2}),
    "a new one thrice": ([ANNA, WAR, ANNA, ANNA], {0, 2, 3}),
    "new ones that share": ([ANNA, WAR, ANNA | {"inventory": "B-8", "isbn": "x"}], {0, 2}),
    "another title": ([HELD | {"title": "Emma"}, ANNA], {0}),
    "another number": ([HELD | {"inventory": "B-9X"}, ANNA], {0}),
    "another isbn": ([HELD | {"isbn": "978-22"}, ANNA], {0}),
    "an isbn where none was sent before": ([TITLES[1] | {"isbn": "978-3"}, EMMA], {0}),
    "a former number": ([ANNA, WAR | {"inventory": "B-2"}], {1}),
    "a former number for its own": ([ANNA, ULYSSES], {1}),
    "no title": ([{"inventory": "B-8"}, ANNA], {0}),
    "a shelf that is not there": ([ANNA | {"shelf": "S-9"}, WAR], {0}),
    "a key of another's row": ([EMMA, ANNA, WAR | {"isbn": "978-1"}], {0, 2}),
    "all of them": ([EMMA, EMMA], {0, 1}),
}


@pytest.fixture
def stored(library: Library) -> Library:
    """A library with some books, whose ids are no other number of theirs."""
    fillers = [
        {"inventory": f"F-{at}", "title": f"Filler {at}", "author": "X"} for at in range(7)
    ]
    library.send("book", *fillers)
    library.send("book", EMMA, OTHER_EMMA, ULYSSES)
    library.send("book", HELD)
    return library


@pytest.fixture
def divisions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[int], list[bool]]]:
    """The places of the careful records of each chunk, and whether they clashed with others."""
    seen: list[tuple[set[int], list[bool]]] = []
    divide, clash = plain.divide, plain.Plain.clash

    def noted(*sent: Any) -> plain.Plain:
        divided = divide(*sent)
        seen.append(({*divided.careful}, []))
        return divided

    def told(divided: plain.Plain) -> bool:
        seen[-1][1].append(clash(divided))
        return seen[-1][1][-1]

    monkeypatch.setattr(plain, "divide", noted)
    monkeypatch.setattr(plain.Plain, "clash", told)
    return seen


@pytest.mark.parametrize(("sent", "careful"), DIVIDED.values(), ids=DIVIDED)
def test_who_has_nothing_to_be_judged_is_plain(
    stored: Library, divisions: list, sent: list[dict], careful: set[int]
) -> None:
    stored.send("book", *sent)
    assert divisions == [(careful, [False])]


def test_a_careful_record_that_touches_a_plain_ones_clashes(
    stored: Library, divisions: list
) -> None:
    stale = {"inventory": "B-2", "title": "Ulysses", "note": "stale"}
    held, found = stored.send("book", {"isbn": "978-2", "note": "first"}, stale)
    assert divisions == [({1}, [True])]
    assert actions([held, found]) == ["updated", "updated"]
    assert stored.described("book", 10)["note"] == "stale"


def test_each_outcome_has_the_id_of_its_record(stored: Library) -> None:
    sent = [HELD, ANNA, EMMA | {"note": "x"}, WAR, OTHER_EMMA, OTHER_EMMA]
    assert [it.record_id for it in found(stored.send("book", *sent))] == [
        10,
        11,
        8,
        12,
        9,
        9,
    ]
    assert [it.record_id for it in found(stored.send("book", *sent))] == [
        10,
        11,
        8,
        12,
        9,
        9,
    ]


def found(outcomes: list[Outcome | Problem]) -> list[Outcome]:
    assert all(isinstance(outcome, Outcome) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Outcome)]


def test_only_what_changes_of_several_is_written(stored: Library) -> None:
    changes = [
        EMMA | {"note": "x"},
        HELD | {"author": "JOYCE"},
        OTHER_EMMA | {"shelf": None},
    ]
    stored.send("book", *changes)
    described = [stored.described("book", at) for at in (8, 9, 10)]
    assert [book["note"] for book in described] == ["x", None, None]
    assert [book["author"] for book in described] == ["Austen", "Austen", "JOYCE"]
    readers = [{"card": f"R-{at}", "name": f"Reader {at}"} for at in range(12)]
    stored.send("reader", *readers)
    lent = [readers[at] | {"books": ["C-2"]} for at in (3, 11)]
    stored.send("reader", readers[1], *lent)
    books = [stored.described("reader", at + 1).get("books") for at in (1, 3, 11)]
    assert [[*codes] for codes in books] == [[], ["C-2"], ["C-2"]]


# --- Found by what several may share ----------------------------------------------------------------

FATHER = {"patientNo": "P-1", "mobile": "0501234567", "name": "Ali Hassan"}
FATHER |= {"dateOfBirth": "1960-01-01", "gender": "male", "email": "ali@mail.example"}
HIS = {"mobile": "0501234567", "name": "ali  HASSAN"}
SENT: list[dict[str, str]] = [
    HIS,
    HIS | {"dateOfBirth": "1960-01-01"},
    HIS
    | {"dateOfBirth": "1990-01-01"},  # a son of the same name, who has his father's phone
    HIS | {"dateOfBirth": "1990-01-01", "patientNo": "P-9"},
    HIS | {"gender": "female"},
    HIS | {"email": "new@mail.example"},
    HIS | {"nationalID": "N-1"},
    HIS | {"patientNo": "P-1", "dateOfBirth": "1990-01-01"},
    HIS | {"patientNo": "P-9"},
]


@pytest.mark.parametrize("sent", SENT, ids=str)
@pytest.mark.parametrize("has_birth", [True, False])
def test_in_a_list_a_person_is_taken_for_whom_he_is_alone(
    sqlite_portal: Portal, sent: dict[str, str], has_birth: bool
) -> None:
    stored = {name: it for name, it in FATHER.items() if has_birth or name != "dateOfBirth"}
    others = [{"patientNo": f"O-{at}", "name": f"Other {at}"} for at in range(3)]
    told = [
        done(sqlite_portal, {"patient": [stored]}, "patient", records)
        for records in ([sent], [*others, sent])
    ]
    assert told[0] == told[1]


SLOT = {"patientNo": "P-1", "date": "2027-01-10", "timeFrom": "10:30"}
BOOKINGS: list[dict[str, str]] = [
    SLOT,
    SLOT | {"notes": "worn"},
    SLOT | {"doctorCode": "1"},
    SLOT | {"doctorCode": "2"},  # somebody else's booking, at the same moment
    SLOT | {"doctorCode": "1", "clinicCode": "2"},
    SLOT | {"clinicCode": "2"},
    SLOT | {"timeTo": "11:30"},
    SLOT | {"appointmentNo": "A-1", "doctorCode": "2"},
    SLOT | {"appointmentNo": "A-9", "doctorCode": "2"},
    SLOT | {"appointmentNo": "A-9"},
]


@pytest.mark.parametrize("sent", BOOKINGS, ids=str)
@pytest.mark.parametrize("number", [{}, {"appointmentNo": "A-1"}], ids=str)
def test_in_a_list_a_booking_is_taken_for_which_it_is_alone(
    sqlite_portal: Portal, sent: dict[str, str], number: dict[str, str]
) -> None:
    both = [{"code": "1", "name": "Sara Omar"}, {"code": "2", "name": "Huda Salem"}]
    booking = SLOT | number | {"doctorCode": "1", "clinicCode": "1"}
    stored = {"clinic": both, "doctor": both, "patient": [FATHER], "appointment": [booking]}
    others = [SLOT | {"timeFrom": f"1{hour}:00"} for hour in (2, 4, 6)]
    told = [
        done(sqlite_portal, stored, "appointment", records)
        for records in ([sent], [*others, sent])
    ]
    assert told[0] == told[1]


def done(
    portal: Portal, stored: dict[str, list], entity: str, records: list[dict[str, str]]
) -> tuple[Any, ...]:
    """Store records in an empty portal, and send others; return what became of the last, and of the first stored."""
    emptied(portal.app)
    portal.send_many(stored)
    last = portal.send_many({entity: records})[entity]["results"][-1]
    first = portal.stored(entity)[0]
    kept = {name: it for name, it in first.items() if not re.search("id$|_at$|key$", name)}
    told = ("action", "matchedBy", "changed", "status", "code")
    return [last.get(name) for name in told], len(last.get("warnings", ())), kept
