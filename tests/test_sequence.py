"""Property tests of the general promises: bulk means sequence, keys stay whose they are, all or nothing."""

import re
from collections.abc import Iterable
from typing import Any
from unittest import mock

import pytest
from conftest import Portal, emptied, migrated
from hypothesis import given
from hypothesis import strategies as st

import sync
from engine import canonical
from upsert import RULES

# Small pools, so that records collide all the time; each key in more than one spelling.
NAMES = [
    "Ali Hassan",
    "ALI  hassan",
    "Ali Omar",
    "Sara Hassan",
    "أحمد عليّ",
    "احمد علي",
    "Dr. Ali Nasser",
]
MOBILES = ["0501111111", "+966501111111", "0502222222", "0", "123"]
NUMBERS = ["P1", "p1", "P2", "P3", "P4"]
IDENTITIES = ["N1", "N2", "N3"]
BIRTHS = ["1960-01-01", "1990-05-05", "1990-05-05T00:00:00", "2001-09-09"]
UNSTABLE = {
    "id",
    "version",
    "created_at",
    "updated_at",
    "contact_rank",
    "slot_rank",
    "slot_key",
}


def one_of(values: Iterable[Any]) -> st.SearchStrategy:
    return st.sampled_from(list(values))


def records(**fields: st.SearchStrategy) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


CLINICS = records(
    code=one_of(["C1", "c1", "C2"]),
    name=one_of(["Children", "Teeth", ""]),
    floor=one_of(["1", "2", ""]),
)
DOCTORS = records(
    code=one_of(["D1", "D2", "d3"]),
    licenseNumber=one_of(["L1", "L2"]),
    name=one_of(NAMES),
    aName=one_of(["سارة علي", "ساره علي", "هدى"]),
    dateOfBirth=one_of(BIRTHS),
    clinicCodes=st.lists(one_of(["C1", "C2", "C9"]), max_size=2),
)
KNOWN = records(
    patientNo=one_of(NUMBERS),
    nationalID=one_of([*IDENTITIES, ""]),
    name=one_of([*NAMES, None, "x" * 201]),
    mobile=one_of([*MOBILES, ""]),
    dateOfBirth=one_of([*BIRTHS, "", "yesterday"]),
    email=one_of(["a@clinic.example", "b@clinic.example", "no address"]),
)
# The same with what means none, what was damaged, and names that many share.
SHARED_NAMES = [
    "Baby of Sara",
    "Baby of Sara",
    "Unknown",
    "عبد الله علي",
    "عبدالله علي",
    "????",
    ".",
]
PATIENTS = KNOWN | records(
    patientNo=one_of([*NUMBERS, "'P1", "0", "N/A", -1, "1.08E+09"]),
    nationalID=one_of([*IDENTITIES, "9999999999", "-", "7-84", "784"]),
    name=one_of([*NAMES, *SHARED_NAMES]),
    mobile=one_of([*MOBILES[:3], "N/A", "050222222.0"]),
    dateOfBirth=one_of([*BIRTHS[:2], "1405-03-12", "0000-00-00", "1405-02-30"]),
    gender=one_of(["Male", "Female", "Unknown", "-"]),
)
APPOINTMENTS = records(
    appointmentNo=one_of(["A1", "A2", "A3", "0"]),
    patientNo=one_of([*NUMBERS, "0"]),
    doctorCode=one_of(["D1", "D2"]),
    clinicCode=one_of(["C1", "C2"]),
    date=one_of(["2026-06-15", "2026-06-16"]),
    timeFrom=one_of(["10:00", "11:00"]),
    timeTo=one_of(["10:30", "11:30", "", "24:00", "2026-06-16T00:00:00", "N/A"]),
    status=one_of(["Confirmed", "Cancelled"]),
)
BATCHES = st.fixed_dictionaries(
    {
        "clinic": st.lists(CLINICS, max_size=3),
        "doctor": st.lists(DOCTORS, max_size=5),
        "patient": st.lists(PATIENTS, max_size=10),
        "appointment": st.lists(APPOINTMENTS, max_size=8),
    }
).map(lambda batches: {entity: batches[entity] for entity in RULES})


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A portal on SQLite, for which three are a crowd; these tests need many transactions."""
    url = f"sqlite:///{tmp_path_factory.mktemp('sequence') / 'clinic.db'}"
    loaded, named = [mock.patch(f"engine.{name}.CROWD", 2) for name in ("index", "match")]
    with migrated(url) as app, loaded, named:
        yield Portal(app)


def state(portal: Portal) -> dict[str, list]:
    """Return all that is stored, with ids as their order and without times."""
    rows = {
        table: portal.stored(table)
        for table in ("clinic", "doctor", "patient", "appointment")
    }
    order = {
        table: {row["id"]: place for place, row in enumerate(rows[table])} for table in rows
    }
    seen: dict[str, list] = {}
    for table, its in rows.items():
        seen[table] = [
            {
                name: _in_order(order, name, value)
                for name, value in row.items()
                if name not in UNSTABLE
            }
            for row in its
        ]
    links = portal.stored("doctor_clinic")
    seen["links"] = sorted(
        (order["doctor"][it["doctor_id"]], order["clinic"][it["clinic_id"]]) for it in links
    )
    formers = portal.stored("former_key")
    seen["formers"] = sorted(
        (it["entity"], it["value"], order[it["entity"]][it["record_id"]]) for it in formers
    )
    return seen


def _in_order(order: dict[str, dict], name: str, value: Any) -> Any:
    return (
        order[name.removesuffix("_id")].get(value)
        if name in ("patient_id", "doctor_id", "clinic_id")
        else value
    )


def outcomes(portal: Portal, answers: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Return results without place and data, with ids as their order."""
    told: dict[str, list[dict]] = {}
    for entity, results in answers.items():
        order = {row["id"]: place for place, row in enumerate(portal.stored(entity))}
        told[entity] = [_told(result, order) for result in results]
    return told


def _told(result: dict, order: dict[int, int]) -> dict:
    told = {name: value for name, value in result.items() if name not in ("index", "data")}
    if told.get("action") is None:
        told.pop("action", None)
    if "candidates" in told:
        told["candidates"] = [it | {"id": order.get(it["id"])} for it in told["candidates"]]
    if "warnings" in told:
        told["warnings"] = [
            IDS.sub(lambda found: _ordered(found[0], order), it) for it in told["warnings"]
        ]
    return told | ({"id": order.get(told["id"])} if "id" in told else {})


# The ids that a warning names.
IDS = re.compile(r"(?<=patient )(?:\(new\)|[0-9]+)(?:, (?:\(new\)|[0-9]+))*")


def _ordered(ids: str, order: dict[int, int]) -> str:
    return ", ".join(
        it if it == "(new)" else str(order.get(int(it))) for it in ids.split(", ")
    )


def one_by_one(portal: Portal, batches: dict[str, list]) -> tuple[Any, Any]:
    emptied(portal.app)
    answers = {
        entity: [portal.send(entity, record) for record in sent]
        for entity, sent in batches.items()
    }
    return outcomes(portal, answers), state(portal)


def as_arrays(portal: Portal, batches: dict[str, list]) -> tuple[Any, Any]:
    emptied(portal.app)
    answers = {
        entity: portal.send_many({entity: sent})[entity]["results"]
        for entity, sent in batches.items()
    }
    return outcomes(portal, answers), state(portal)


def as_sync(portal: Portal, batches: dict[str, list]) -> tuple[Any, Any]:
    emptied(portal.app)
    answers = {
        entity: answer["results"] for entity, answer in portal.send_many(batches).items()
    }
    return outcomes(portal, answers), state(portal)


def uses_a_refused_person(batches: dict[str, list], told: dict[str, list[dict]]) -> bool:
    """Tell whether a booking refers to a number that a refused person carried: section 4's one exception."""
    for entity, number in (("patient", "patientNo"), ("doctor", "code")):
        sent = zip(batches[entity], told[entity], strict=True)
        refused = {
            str(it.get(number)).upper()
            for it, result in sent
            if result.get("status") == 409
        }
        name = "doctorCode" if entity == "doctor" else number
        if any(
            str(it[name]).upper() in refused for it in batches["appointment"] if name in it
        ):
            return True
    return False


@given(batches=BATCHES)
def test_bulk_means_sequence(fast: Portal, batches: dict[str, list]) -> None:
    told, stored = one_by_one(fast, batches)
    assert as_arrays(fast, batches) == (told, stored)
    with mock.patch.object(sync, "CHUNK", 3):
        assert as_arrays(fast, batches) == (told, stored)
        told_by_sync, stored_by_sync = as_sync(fast, batches)
    if uses_a_refused_person(batches, told):
        del (
            told["appointment"],
            told_by_sync["appointment"],
            stored["appointment"],
            stored_by_sync["appointment"],
        )
    assert (told_by_sync, stored_by_sync) == (told, stored)


@given(first=BATCHES, second=BATCHES)
def test_a_dry_run_foretells_and_stores_nothing(
    fast: Portal, first: dict[str, list], second: dict[str, list]
) -> None:
    emptied(fast.app)
    fast.send_many(first)
    before = [
        fast.stored(table)
        for table in ("clinic", "doctor", "patient", "appointment", "former_key")
    ]
    with mock.patch.object(sync, "CHUNK", 3):
        foretold = fast.send_many(second, dry_run=True)
    assert [
        fast.stored(table)
        for table in ("clinic", "doctor", "patient", "appointment", "former_key")
    ] == before
    assert _without_ids(foretold) == _without_ids(fast.send_many(second))


def _without_ids(answers: dict[str, dict]) -> dict[str, list]:
    for answer in answers.values():
        for result in answer["results"]:
            result.pop("id", None)
            result["warnings"] = [IDS.sub("#", it) for it in result.get("warnings", ())]
            for candidate in result.get("candidates", ()):
                candidate.pop("id")
    return {entity: answer["results"] for entity, answer in answers.items()}


@given(first=BATCHES, second=BATCHES)
def test_atomic_is_all_or_nothing(
    fast: Portal, first: dict[str, list], second: dict[str, list]
) -> None:
    emptied(fast.app)
    fast.send_many(first)
    before = state(fast)
    answers = fast.send_many(second, atomic=True)
    after = state(fast)
    if any(answer.get("rolledBack") for answer in answers.values()):
        assert after == before
        assert {
            it["success"] for answer in answers.values() for it in answer["results"]
        } == {False}
    emptied(fast.app)
    fast.send_many(first)
    plainly = fast.send_many(second)
    failures = [
        it for answer in answers.values() for it in answer["results"] if "status" in it
    ]
    assert [it["key"] for it in failures] == [
        it["key"]
        for answer in plainly.values()
        for it in answer["results"]
        if not it["success"]
    ]
    if not failures:
        assert state(fast) == after


@given(sent=st.lists(KNOWN, max_size=20))
def test_no_key_changes_hands_without_agreement(fast: Portal, sent: list[dict]) -> None:
    emptied(fast.app)
    for record in sent:
        before = {row["id"]: row for row in fast.stored("patient")}
        fast.send("patient", record)
        after = fast.stored("patient")
        for key in ("patient_no", "national_id"):
            held = [row[key] for row in after if row[key] is not None]
            assert len(held) == len(set(held))
        for row in after:
            old = before.get(row["id"])
            if old and any(
                old[key] and old[key] != row[key] for key in ("patient_no", "national_id")
            ):
                assert agrees(record, old)


def agrees(record: dict, old: dict) -> bool:
    """Section 4, step 1, written again for the test."""
    names = [canonical.fold_name(it) for it in (record.get("name") or "", old["name"])]
    births = [(record.get("dateOfBirth") or "")[:10], old["date_of_birth"] or ""]
    if names[0] == names[1]:
        return "" in births or births[0] == births[1]
    firsts = [
        [word for word in name.replace(".", " ").split() if word != "dr"][:1]
        for name in names
    ]
    return births[0] == births[1] != "" and firsts[0] == firsts[1]


CONTACT = {"mobile": "+966551234567", "name": "Sara Ali"}
STEPS = [
    {"patientNo": "P-5", name: value}
    for name, value in sorted(CONTACT.items(), reverse=True)
]


@pytest.mark.parametrize(
    "newcomer", [[], [{"patientNo": "P-5", "name": "Huda"}]], ids=["new", "stored"]
)
@pytest.mark.parametrize(
    "options", [{}, {"atomic": True}, {"dry_run": True}], ids=["many", "atomic", "dry run"]
)
def test_who_comes_to_share_a_contact_in_two_steps_makes_it_ambiguous(
    fast: Portal, newcomer: list[dict[str, Any]], options: dict[str, bool]
) -> None:
    """The third record was stored as sent when the list came, but no longer leads to one patient at its turn."""
    emptied(fast.app)
    for record in [{"patientNo": "P-1"} | CONTACT, *newcomer]:
        fast.send("patient", record)
    sent = [*STEPS, CONTACT, {"patientNo": "P-1"} | CONTACT]
    told = fast.send_many({"patient": sent}, **options)["patient"]["results"]
    assert (told[2]["code"], len(told[2]["candidates"])) == ("ambiguous_match", 2)


@pytest.mark.parametrize(
    "newcomer", [[], [{"patientNo": "P-5", "name": "Huda"}]], ids=["new", "stored"]
)
@pytest.mark.parametrize("options", [{}, {"dry_run": True}], ids=["many", "dry run"])
def test_who_comes_to_have_a_contact_in_two_steps_is_found_by_it(
    fast: Portal, newcomer: list[dict[str, Any]], options: dict[str, bool]
) -> None:
    """Nobody had the contact when the list came, but the third record is no stranger any more at its turn."""
    emptied(fast.app)
    for record in newcomer:
        fast.send("patient", record)
    told = fast.send_many(
        {"patient": [*STEPS, CONTACT | {"nationalID": "1000000001"}]}, **options
    )["patient"]
    found = {
        name: told["results"][2].get(name) for name in ("action", "matchedBy", "changed")
    }
    assert found == {
        "action": "updated",
        "matchedBy": "mobile+name",
        "changed": ["nationalID"],
    }


@pytest.mark.parametrize(
    "options", [{}, {"atomic": True}, {"dry_run": True}], ids=["many", "atomic", "dry run"]
)
def test_who_changed_in_an_earlier_chunk_still_shares_a_contact(
    fast: Portal, options: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the two is loaded already when the other is found to be stored as it was sent."""
    emptied(fast.app)
    for record in [{"patientNo": "P-1"} | CONTACT, *STEPS]:
        fast.send("patient", record)
    monkeypatch.setattr(sync, "CHUNK", 1)
    sent = [{"patientNo": "P-1", "email": "new@b.example"}, CONTACT]
    told = fast.send_many({"patient": sent}, **options)["patient"]["results"]
    assert (told[1]["code"], len(told[1]["candidates"])) == ("ambiguous_match", 2)


@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_a_dry_run_finds_whom_it_would_have_created(
    fast: Portal, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers stand nowhere but in the index, and are looked for there by every key."""
    emptied(fast.app)
    monkeypatch.setattr(sync, "CHUNK", chunk)
    new = [
        {"patientNo": f"P-{i}", "nationalID": f"100000000{i}"}
        | CONTACT
        | {"name": f"Sara {i}"}
        for i in range(4)
    ]
    again = [
        {name: new[0][name] for name in ("patientNo", "name")},
        {"nationalID": "1000000001"},
    ]
    again += [
        {name: new[2][name] for name in CONTACT},
        {"patientNo": "P-3", "email": "a@b.example"},
    ]
    bookings = [
        {"patientNo": f"P-{i}", "date": "2026-06-15", "timeFrom": "10:30"} for i in range(5)
    ]
    told = fast.send_many(
        {"patient": [*new, *again], "appointment": bookings}, dry_run=True
    )
    assert [it["action"] for it in told["patient"]["results"]] == ["created"] * 4 + [
        "unchanged"
    ] * 3 + ["updated"]
    assert [it.get("code") for it in told["appointment"]["results"]] == [None] * 4 + [
        "unknown_reference"
    ]
