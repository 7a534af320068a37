"""Crowds: a phone and name that more than twenty share identify nobody, and cost no more than others."""

from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa
from conftest import Portal, emptied, migrated
from hypothesis import given
from hypothesis import strategies as st
from test_matching import MOBILE, new, refused
from test_placeholders import KHAN
from test_sequence import as_arrays, one_by_one, outcomes, state

import sync
from engine.index import CROWD, Index
from models import Patient, db

STORED = "+966501111111"
SLOT = {"patientNo": "P-1", "date": "2026-06-15", "timeFrom": "10:30"}


def crowd(portal: Portal, count: int) -> None:
    sent = [
        KHAN | {"nationalID": f"20000{i:05}7", "dateOfBirth": f"{1950 + i % 70}-01-01"}
        for i in range(count)
    ]
    assert portal.send_many({"patient": sent})["patient"]["failed"] == 0


def test_a_phone_and_name_of_more_than_twenty_is_no_identity(portal: Portal) -> None:
    crowd(portal, 21)
    answer = portal.send("patient", KHAN, nationalID="1000000007")
    assert (answer["action"], len(answer["warnings"])) == ("created", 1)
    assert "more than 20 patients" in answer["warnings"][0]
    answer = refused(portal, "ambiguous_match", "patient", KHAN)
    assert (len(answer["candidates"]), answer["candidateCount"]) == (20, 22)
    refused(portal, "ambiguous_match", "patient", KHAN, dateOfBirth="1950-01-01")


def test_a_phone_and_name_of_twenty_is_one(portal: Portal) -> None:
    crowd(portal, 20)
    refused(portal, "ambiguous_match", "patient", KHAN, nationalID="")
    answer = portal.send("patient", KHAN, dateOfBirth="1950-01-01")
    assert (answer["action"], answer["matchedBy"]) == ("unchanged", "mobile+name")


def test_those_earlier_in_the_request_count_too(portal: Portal) -> None:
    crowd(portal, 15)
    more = [
        KHAN | {"nationalID": f"30000{i:05}7", "dateOfBirth": f"{1990 + i}-01-01"}
        for i in range(6)
    ]
    told = portal.send_many({"patient": [*more, KHAN | {"nationalID": "1000000007"}]})[
        "patient"
    ]["results"]
    assert [it["action"] for it in told] == ["created"] * 7
    assert [len(it["warnings"]) for it in told] == [0] * 6 + [1]


def ids_of_khans(portal: Portal) -> list[int]:
    """Return the ids of those who have the crowd's phone and name."""
    return [row["id"] for row in portal.stored("patient") if row["mobile"] == STORED]


def leaving(numbers: Iterable[int]) -> list[dict[str, Any]]:
    """Return records that give members of a crowd another phone."""
    return [{"nationalID": f"20000{i:05}7", "mobile": "0509999999"} for i in numbers]


def test_the_oldest_of_a_crowd_are_named_and_all_are_counted(portal: Portal) -> None:
    crowd(portal, 150)
    newest = [KHAN | {"patientNo": f"P-{i}"} for i in range(2)]
    sent = [KHAN, *leaving([0]), KHAN, *leaving([5]), *newest, KHAN, *leaving([149]), KHAN]
    told = portal.send_many({"patient": sent})["patient"]["results"]
    counts = [it["candidateCount"] for it in told if "candidates" in it]
    assert counts == [150, 149, 150, 149]
    oldest = ids_of_khans(portal)[:CROWD]
    assert [it["id"] for it in told[-1]["candidates"]] == oldest


def test_the_oldest_are_named_where_as_many_left_before(portal: Portal) -> None:
    crowd(portal, 150)
    newest = [KHAN | {"patientNo": f"P-{i}"} for i in range(25)]
    sent = [*newest, *leaving(range(30)), KHAN]
    told = portal.send_many({"patient": sent})["patient"]["results"]
    assert told[-1]["candidateCount"] == 145
    assert [it["id"] for it in told[-1]["candidates"]] == ids_of_khans(portal)[:CROWD]


def test_members_that_a_dry_run_meets_later_are_not_counted_twice(portal: Portal) -> None:
    crowd(portal, 150)
    members = [
        {"nationalID": f"20000{i:05}7", "email": "a@clinic.example"} for i in (7, 99)
    ]
    sent = [KHAN, KHAN, KHAN, *members, KHAN]
    with mock.patch.object(sync, "CHUNK", 3):
        told = portal.send_many({"patient": sent}, dry_run=True)["patient"]["results"]
    counts = [it["candidateCount"] for it in told if "candidates" in it]
    assert counts == [150] * 4


def test_a_crowd_that_shrinks_to_twenty_within_a_list_is_none_any_more(
    portal: Portal,
) -> None:
    crowd(portal, 65)
    sent = [*leaving(range(45)), KHAN | {"dateOfBirth": "2010-01-01"}]
    told = portal.send_many({"patient": sent})["patient"]["results"]
    assert (told[-1]["action"], told[-1]["matchedBy"]) == ("unchanged", "mobile+name")


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of rows that each query of an index returned."""
    counts: list[int] = []
    original = Index.rows_among

    def counted(*args: Any, **kwargs: Any) -> Any:
        rows = original(*args, **kwargs)
        counts.append(len(rows))
        return rows

    monkeypatch.setattr(Index, "rows_among", counted)
    yield counts


LISTS = {
    "with ids": [KHAN | {"nationalID": f"40000{i:05}7"} for i in range(100)],
    "with numbers": [KHAN | {"patientNo": f"P-{i}"} for i in range(100)],
    "without either": [KHAN] * 100,
    "that come to it": [
        {"nationalID": f"50000{i:05}7", "name": KHAN["name"]} for i in range(100)
    ],
}


@pytest.mark.parametrize("sent", LISTS.values(), ids=LISTS)
def test_of_a_crowd_few_are_read(
    portal: Portal, rows_read: list[int], sent: list[dict[str, Any]]
) -> None:
    others = [
        {"nationalID": f"50000{i:05}7", "name": f"Guest {i}", "mobile": MOBILE}
        for i in range(100)
    ]
    assert portal.send_many({"patient": others})["patient"]["failed"] == 0
    crowd(portal, 1000)
    rows_read.clear()
    portal.send("patient", sent[0])
    assert sum(rows_read) <= 3 * CROWD
    rows_read.clear()
    portal.send_many({"patient": sent})
    assert sum(rows_read) <= 3 * CROWD + 4 * len(sent)


def test_many_bookings_with_numbers_share_a_slot_and_one_without_takes_none(
    portal: Portal,
) -> None:
    new(portal, "patient", name="Cash customer", patientNo="P-1")
    sent = [SLOT | {"appointmentNo": f"A-{i}"} for i in range(30)]
    told = portal.send_many({"appointment": sent})["appointment"]
    assert told["created"] == 30
    answer = refused(portal, "ambiguous_match", "appointment", SLOT)
    assert (len(answer["candidates"]), answer["candidateCount"]) == (20, 30)
    moving = SLOT | {"appointmentNo": "A-99"}
    assert portal.send("appointment", moving)["action"] == "created"


# --- Bulk means sequence, where three are a crowd ----------------------------------------------


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    url = f"sqlite:///{tmp_path_factory.mktemp('crowds') / 'clinic.db'}"
    loaded, named = [mock.patch(f"engine.{name}.CROWD", 2) for name in ("index", "match")]
    with migrated(url) as app, loaded, named:
        yield Portal(app)


NUMBERS = [f"P-{i}" for i in range(30)]
# Most share one phone and name, so that a list leads to few keys, and the crowd is loaded in part.
COMING = st.fixed_dictionaries(
    {"name": st.sampled_from(["Ali", "Ali", "Ali", "Omar"])},
    optional={
        "patientNo": st.sampled_from(NUMBERS),
        "nationalID": st.sampled_from(["784-1", "784-2"]),
        "mobile": st.sampled_from([MOBILE, MOBILE, MOBILE, "0509999999"]),
        "dateOfBirth": st.sampled_from(["1990-01-01", "1991-01-01"]),
        "email": st.sampled_from(["a@clinic.example", "b@clinic.example"]),
    },
)


def _seed(count: int) -> list[dict[str, Any]]:
    return [
        {"name": "Ali", "mobile": MOBILE, "patientNo": NUMBERS[i]} for i in range(count)
    ]


def counted(results: list[dict]) -> list[tuple[Any, Any]]:
    return [(it.get("action"), it.get("candidateCount")) for it in results]


@given(count=st.integers(2, 30), sent=st.lists(COMING, min_size=1, max_size=12))
def test_bulk_means_sequence_in_a_crowd(
    few: Portal, count: int, sent: list[dict[str, Any]]
) -> None:
    batches = {"patient": [*_seed(count), *sent]}
    told, stored = one_by_one(few, batches)
    emptied(few.app)
    first = few.send_many({"patient": _seed(count)})["patient"]["results"]
    second = few.send_many({"patient": sent})["patient"]["results"]
    assert outcomes(few, {"patient": [*first, *second]}) == told
    assert state(few) == stored
    assert as_arrays(few, batches) == (told, stored)
    emptied(few.app)
    few.send_many({"patient": _seed(count)})
    with mock.patch.object(sync, "CHUNK", 3):
        foretold = few.send_many({"patient": sent}, dry_run=True)
    assert counted(foretold["patient"]["results"]) == counted(second)
    with mock.patch.object(sync, "CHUNK", 3):
        assert as_arrays(few, batches) == (told, stored)


@given(count=st.integers(2, 30), sent=st.lists(COMING, min_size=1, max_size=12))
def test_who_is_named_and_counted_is_who_is_stored(
    few: Portal, count: int, sent: list[dict[str, Any]]
) -> None:
    emptied(few.app)
    few.send_many({"patient": [*_seed(count), *sent]})
    answer = few.send("patient", name="Ali", mobile=MOBILE)
    holders = _holders(few)
    if len(holders) > 2:
        assert [it["id"] for it in answer["candidates"]] == holders[:2]
        assert answer["candidateCount"] == len(holders)


def _holders(portal: Portal) -> list[int]:
    """Return the ids of those who have the phone and name of the crowd."""
    c = Patient.__table__.c
    query = sa.select(c.id).where(c.name == "Ali", c.mobile == STORED).order_by(c.id)
    with portal.app.app_context(), db.engine.connect() as connection:
        return list(connection.scalars(query))
