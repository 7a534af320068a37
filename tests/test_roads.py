"""Plain or careful: a list ends as its records would one by one, whatever is stored before it.

A record alone is always careful, so sending the records one by one is the oracle.
"""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from conftest import Portal, emptied, migrated
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sequence import UNSTABLE, outcomes, state

import sync
from engine import plain, settle
from engine.database import LostRace
from engine.index import Index
from upsert import RULES

Record = dict[str, Any]
# The records that a desktop holds, by entity and number.
World = dict[str, dict[int, Record]]

COUNTS = {"clinic": 3, "doctor": 6, "patient": 16, "appointment": 24}
# So that a phone makes a contact of two.
NAMES = (
    "Ali Hassan",
    "احمد علي",
    "أحمد عليّ",
    "Baby of Sara",
)
BIRTHS = ("1960-01-01", "1990-05-05", "2001-09-09")


# --- Lists as desktops send them ---------------------------------------------------------------


def clinic(chance: random.Random, number: int) -> Record:
    return {
        "code": f"C{number}",
        "name": chance.choice(["Teeth", "Eyes"]),
        "floor": str(number),
    }


def doctor(chance: random.Random, number: int) -> Record:
    clinics = chance.sample(["C1", "C2", "C3", "C9"], chance.randint(0, 3))
    return {
        "code": f"D{number}",
        "licenseNumber": f"L{number}",
        "name": chance.choice(NAMES),
        "dateOfBirth": chance.choice(BIRTHS),
        "clinicCodes": clinics,
    }


def patient(chance: random.Random, number: int) -> Record:
    return {
        "patientNo": f"P{number}",
        "nationalID": f"10000000{number:02}",
        "name": chance.choice(NAMES),
        "mobile": f"05011111{number:02}",
        "dateOfBirth": chance.choice(BIRTHS),
        "gender": chance.choice(["Male", "Female", "Unknown"]),
        "email": f"p{number}@clinic.example",
    }


def appointment(chance: random.Random, number: int) -> Record:
    return {
        "appointmentNo": f"A{number}",
        "patientNo": f"P{chance.randint(1, 5)}",
        "doctorCode": f"D{chance.randint(1, COUNTS['doctor'])}",
        "clinicCode": f"C{chance.randint(1, 4)}",
        "date": chance.choice(["2026-06-15", "2026-06-16"]),
        "timeFrom": chance.choice(["10:00", "11:00"]),
        "timeTo": chance.choice(["10:30", "11:30", "24:00", "2026-06-16T00:00:00", ""]),
        "notes": "first",
    }


MAKERS = {
    "clinic": clinic,
    "doctor": doctor,
    "patient": patient,
    "appointment": appointment,
}
KEYS = {
    "clinic": ("code",),
    "doctor": ("code", "licenseNumber"),
    "patient": ("patientNo", "nationalID"),
    "appointment": ("appointmentNo",),
}
# By what a record can be known without its numbers.
ALONE = {
    "patient": ("name", "mobile", "dateOfBirth", "email"),
    "appointment": ("patientNo", "date", "timeFrom"),
}
# What moves a record to where another one is.
MOVING = {
    "clinic": ("name",),
    "doctor": ("code", "licenseNumber", "name", "clinicCodes"),
    "patient": (
        "mobile",
        "mobile",
        "name",
        "patientNo",
        "nationalID",
        "dateOfBirth",
        "gender",
    ),
    "appointment": ("date", "timeFrom", "timeFrom", "patientNo", "timeTo", "doctorCode"),
}
# What two records have in common, and what moves one to where the other is.
BESIDE = {
    "patient": ("name", ("mobile",)),
    "appointment": ("patientNo", ("date", "timeFrom")),
}
# What tells one from another.
TELLING = {
    "clinic": ("name",),
    "doctor": ("name", "dateOfBirth"),
    "patient": ("dateOfBirth", "gender"),
    "appointment": ("timeTo", "doctorCode"),
}
HARMLESS = {
    "clinic": "floor",
    "doctor": "email",
    "patient": "email",
    "appointment": "notes",
}


def known(chance: random.Random, world: World, entity: str, number: int) -> Record:
    """Return a record of the world, a new one if it is not there yet; some are known without their numbers."""
    if number not in world[entity]:
        made = MAKERS[entity](chance, number)
        if chance.random() < 0.4:
            made = {name: made[name] for name in ALONE.get(entity, [*made])}
        world[entity][number] = {
            name: it for name, it in made.items() if chance.random() < 0.95
        }
    return dict(world[entity][number])


def partly(chance: random.Random, world: World, entity: str) -> Record:
    """Return a few fields of one record beside some of another: renumberings, swaps, moves and typing errors."""
    one, other = [
        known(chance, world, entity, number)
        for number in chance.sample(range(1, COUNTS[entity] + 1), 2)
    ]
    key = chance.choice(KEYS[entity])
    names = chance.sample([*one], min(len(one), chance.choice([0, 0, 1, 2])))
    mixed = {name: one[name] for name in (key, *names) if name in one}
    moving = chance.choice(MOVING[entity])
    if moving in other:
        mixed[moving] = other[moving]
    if chance.random() < 0.1:
        mixed[key] = f"Z{chance.randint(1, 5)}"
    return mixed


def moved_beside(chance: random.Random, world: World, entity: str) -> Record:
    """Return what moves a record to where another one is: by its stored and its sent parts together."""
    same, moving = BESIDE[entity]
    records = [it for it in world[entity].values() if KEYS[entity][0] in it and same in it]
    if not records:
        return partly(chance, world, entity)
    one = chance.choice(records)
    others = [
        it for it in world[entity].values() if it.get(same) == one[same] and it is not one
    ]
    other = chance.choice(others or [one])
    moved = {name: other[name] for name in moving if name in other}
    return {KEYS[entity][0]: one[KEYS[entity][0]]} | moved


def sent_list(chance: random.Random, world: World, entity: str) -> list[Record]:
    """Return a list: most records as they are known, some with a harmless change, a few that touch others."""
    numbers = range(1, COUNTS[entity] + 1)
    some = chance.sample(numbers, chance.randint(0, COUNTS[entity]))
    records = [known(chance, world, entity, number) for number in some]
    for record in records:
        if chance.random() < 0.2:
            record[HARMLESS[entity]] = f"n{chance.randint(1, 3)}@clinic.example"
        if chance.random() < 0.1:
            other = MAKERS[entity](chance, chance.choice(numbers))
            record |= {name: other[name] for name in TELLING[entity]}
    for _ in range(chance.choice([0, 0, 1, 2])):
        records.insert(chance.randint(0, len(records)), partly(chance, world, entity))
    if entity in BESIDE:
        records.insert(chance.randint(0, len(records)), moved_beside(chance, world, entity))
    if chance.random() < 0.1:
        records += chance.sample(records, min(len(records), 2))
    return records


def two_syncs(seed: int) -> tuple[dict[str, list], dict[str, list]]:
    chance = random.Random(seed)
    world: World = {entity: {} for entity in RULES}
    first, second = [
        {entity: sent_list(chance, world, entity) for entity in RULES} for _ in range(2)
    ]
    return first, second


# --- The property ------------------------------------------------------------------------------


def in_lists(portal: Portal, batches: dict[str, list]) -> dict[str, list]:
    """Send each entity's list by itself; returns the results."""
    return {
        entity: portal.send_many({entity: it})[entity]["results"]
        for entity, it in batches.items()
    }


def one_by_one(portal: Portal, batches: dict[str, list]) -> dict[str, list]:
    return {
        entity: [portal.send(entity, it) for it in sent] for entity, sent in batches.items()
    }


def check(portal: Portal, seed: int) -> None:
    first, second = two_syncs(seed)
    seen = []
    for chunk, send in ((1000, one_by_one), (1000, in_lists), (7, in_lists)):
        emptied(portal.app)
        in_lists(portal, first)
        with mock.patch.object(sync, "CHUNK", chunk):
            answers = send(portal, second)
        seen.append((outcomes(portal, answers), state(portal)))
    assert seen[1] == seen[0]
    assert seen[2] == seen[0]


@contextmanager
def counted() -> Iterator[Counter]:
    """Count what becomes of records: plain (new, unchanged, changed), careful, redone."""
    counts: Counter = Counter()
    clash = plain.Plain.clash

    def count(part: plain.Plain) -> bool:
        redone = clash(part)
        counts["chunks"] += 1
        counts["clashes"] += redone
        counts["redone"] += part.batch.size if redone else 0
        counts["new"] += 0 if redone else len(part.new_places)
        counts["changed"] += 0 if redone else len(part.changes)
        counts["unchanged"] += 0 if redone else len(part.rows) - len(part.changes)
        counts["careful"] += 0 if redone else len(part.careful)
        return redone

    with mock.patch.object(plain.Plain, "clash", count):
        yield counts


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A portal on SQLite of its own, for many transactions."""
    with migrated(f"sqlite:///{tmp_path_factory.mktemp('roads') / 'clinic.db'}") as app:
        yield Portal(app)


@given(seed=st.integers(0, 2**32))
def test_a_list_ends_as_its_records_would_one_by_one(fast: Portal, seed: int) -> None:
    check(fast, seed)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_so_it_does_on_every_database(any_app: Any, seed: int) -> None:
    check(Portal(any_app), seed)


def test_the_lists_go_every_way(fast: Portal) -> None:
    """What the property tests send reaches each part of the engine, clashes too."""
    with counted() as counts:
        for seed in range(60):
            first, second = two_syncs(seed)
            emptied(fast.app)
            in_lists(fast, first)
            in_lists(fast, second)
    kinds = ("new", "unchanged", "changed", "careful", "clashes")
    assert {kind: counts[kind] > 0 for kind in kinds} == dict.fromkeys(kinds, True), counts


# --- Clashes, one of each kind -----------------------------------------------------------------

ALI = {
    "patientNo": "P-1",
    "nationalID": "1000000001",
    "name": "Ali Hassan",
    "mobile": "0501111111",
}
OMAR = {
    "patientNo": "P-2",
    "nationalID": "1000000002",
    "name": "Ali Hassan",
    "mobile": "0502222222",
}
NEW = {"patientNo": "P-3", "name": "Ali Hassan", "mobile": "0503333333"}
NEWER = NEW | {"patientNo": "P-4"}
CLASHES: dict[str, list[Record]] = {
    "one comes to a contact that makes another ambiguous": [
        {"patientNo": "P-1", "mobile": OMAR["mobile"]},
        {"mobile": OMAR["mobile"], "name": "Ali Hassan"},
    ],
    "one leaves a contact in which a new one comes": [
        {"patientNo": "P-1", "mobile": "0509999999"},
        {"patientNo": "P-9", "name": "Ali Hassan", "mobile": ALI["mobile"]},
    ],
    "one comes to the contact of a new one": [
        {"patientNo": "P-1", "mobile": NEW["mobile"]},
        NEW,
    ],
    "one gives up the number that a new one takes": [
        {"patientNo": "P-7", "nationalID": ALI["nationalID"], "name": "Ali Hassan"},
        {"patientNo": "P-1", "name": "Huda", "mobile": "0508888888"},
    ],
    "one moves twice, to where another stays": [
        {"patientNo": "P-1", "mobile": "0509999999"},
        {"patientNo": "P-1", "mobile": OMAR["mobile"]},
        {"mobile": OMAR["mobile"], "name": "Ali Hassan", "email": "b@clinic.example"},
    ],
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("case", CLASHES)
def test_a_clash_is_settled_in_order(fast: Portal, case: str, *, backwards: bool) -> None:
    sent = [*reversed(CLASHES[case])] if backwards else CLASHES[case]
    seen = []
    for send in (one_by_one, in_lists):
        emptied(fast.app)
        in_lists(fast, {"patient": [ALI, OMAR]})
        seen.append((outcomes(fast, send(fast, {"patient": sent})), state(fast)))
    assert seen[1] == seen[0]


def test_a_slot_that_a_refused_move_asked_for_is_not_settled_beside_it(
    fast: Portal,
) -> None:
    """It was free when the columns were compared, and taken at the turn of the move."""
    slot = {"patientNo": "P-1", "date": "2026-06-16", "timeFrom": "10:00"}
    move = {"appointmentNo": "A-1", "date": "2026-06-16", "timeTo": "09:00"}
    stored = slot | {"appointmentNo": "A-1", "date": "2026-06-15"}
    codes = []
    for send in (one_by_one, in_lists):
        emptied(fast.app)
        in_lists(fast, {"patient": [ALI], "appointment": [stored]})
        told = send(fast, {"appointment": [slot, move]})["appointment"]
        codes.append([it.get("code") for it in told])
    assert codes == [[None, "slot_taken"]] * 2


def test_ids_of_references_count_in_a_list(fast: Portal) -> None:
    emptied(fast.app)
    doctors = [{"code": f"D{number}", "name": "Huda"} for number in (1, 2)]
    slots = [{"date": "2026-06-16", "timeFrom": f"{hour}:00"} for hour in (10, 11)]
    bookings = [
        it | {"appointmentNo": f"A-{it['timeFrom']}", "patientNo": "P-1"} for it in slots
    ]
    first = in_lists(fast, {"doctor": doctors, "patient": [ALI], "appointment": bookings})
    doctor_id = first["doctor"][1]["id"]
    again = [it | {"doctorId": doctor_id} for it in bookings]
    told = in_lists(fast, {"appointment": again})["appointment"]
    assert [it["changed"] for it in told] == [["doctorCode"]] * 2
    assert [row["doctor_id"] for row in fast.stored("appointment")] == [doctor_id] * 2


# --- Races -------------------------------------------------------------------------------------


def face(portal: Portal) -> dict[str, list]:
    """Return what is stored without ids, ranks and times."""
    people = {
        row["id"]: row["patient_no"] or row["national_id"]
        for row in portal.stored("patient")
    }
    rows = {
        table: [
            {name: value for name, value in row.items() if name not in UNSTABLE}
            | ({"patient_id": people[row["patient_id"]]} if "patient_id" in row else {})
            | {"doctor_id": None, "clinic_id": None}
            for row in portal.stored(table)
        ]
        for table in ("patient", "appointment")
    }
    return {table: sorted(map(repr, found)) for table, found in rows.items()}


@contextmanager
def meanwhile(portal: Portal, record: Record) -> Iterator[list[threading.Thread]]:
    """Let another client send a patient between the matching and the writing of the first chunk of patients."""
    write, others = settle.write, []

    def send() -> None:
        portal.send("patient", record)

    def write_later(connection: Any, changes: Any, now: str, *part: Any) -> None:
        if not others and threading.current_thread() is threading.main_thread():
            others.append(threading.Thread(target=send))
            others[0].start()
            # On SQLite it waits for us, elsewhere it is faster than we are.
            others[0].join(0.5)
        write(connection, changes, now, *part)

    with mock.patch.object(settle, "write", write_later):
        yield others


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_another_client_in_between_comes_before_or_after(any_app: Any, seed: int) -> None:
    portal, chance = Portal(any_app), random.Random(seed)
    first, second = two_syncs(seed)
    world: World = {entity: {} for entity in RULES}
    other = chance.choice(second["patient"] or [patient(chance, 1)])
    record = dict(other) | partly(chance, world, "patient")
    faces = []
    for before, after in (([record], []), ([], [record])):
        emptied(portal.app)
        in_lists(portal, first)
        one_by_one(portal, {"patient": before})
        in_lists(portal, {"patient": second["patient"]})
        one_by_one(portal, {"patient": after})
        faces.append(face(portal))
    emptied(portal.app)
    in_lists(portal, first)
    with meanwhile(portal, record) as others:
        in_lists(portal, {"patient": second["patient"]})
    for thread in others:
        thread.join()
    if not others:
        one_by_one(portal, {"patient": [record]})
    assert face(portal) in faces


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_a_chunk_that_lost_a_race_ends_as_if_it_had_not(fast: Portal, seed: int) -> None:
    first, second = two_syncs(seed)
    chance, write, seen = random.Random(seed), settle.write, []

    def sometimes_lost(*args: Any) -> None:
        if chance.random() < 0.3:
            raise LostRace
        write(*args)

    for lossy in (False, True):
        emptied(fast.app)
        in_lists(fast, first)
        with mock.patch.object(settle, "write", sometimes_lost if lossy else write):
            answers = in_lists(fast, second)
        seen.append((outcomes(fast, answers), state(fast)))
    assert seen[1] == seen[0]


def test_a_dry_run_is_careful(fast: Portal) -> None:
    """It keeps its changes in the index, where the plain road does not look."""
    with counted() as counts:
        fast.send_many({"patient": [ALI, OMAR]}, dry_run=True)
    assert counts == Counter()


def test_careful_records_see_nothing_but_the_index(fast: Portal) -> None:
    """What `touches` compares is all that they saw: looked up, found, taken, given up."""
    emptied(fast.app)
    in_lists(fast, {"patient": [ALI, OMAR]})
    with fast.app.app_context():

        def work(connection: Any) -> None:
            index = Index(connection, RULES)
            records = index.of("patient")
            settle.settle_alone(
                RULES["patient"], {"patient_no": "P-1", "mobile": "+9665"}, index, ""
            )
            ali = records.find("patient_no", "P-1")[0]
            contact = records.shared_key(ali.before or {})
            touched = {
                "its row": records.touches([ali.id], {}),
                "its number": records.touches([], {"patient_no": ["P-1"]}),
                "another key of its row": records.touches(
                    [], {"national_id": ["1000000001"]}
                ),
                "the contact that it gives up": records.touches(
                    [], {"mobile+name": [contact]}
                ),
                "the contact that it takes": records.touches(
                    [], {"mobile+name": [records.shared_key(ali.values)]}
                ),
            }
            assert set(touched.values()) == {True}, touched
            assert not records.touches([ali.id + 1], {"patient_no": ["P-2"]})
            records.load(RULES["patient"].former, ["P-9"])
            assert records.touches([], {"patient_no": ["P-9"]}), (
                "a former number is one, too"
            )

        sync.look(work)
