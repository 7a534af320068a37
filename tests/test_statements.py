"""How many SQL statements a request costs: a handful, whatever its size."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Portal, emptied, migrated
from flask import Flask
from sqlalchemy.dialects import postgresql

from engine.database import Joined, insert_for_ids
from models import db

PEOPLE = [
    {
        "patientNo": f"P-{i}",
        "nationalID": f"N-{i}",
        "mobile": f"+96650{i:07}",
        "name": f"Person {i}",
        "email": "a@b.example",
    }
    for i in range(1000)
]
BOOKINGS = [
    {
        "appointmentNo": f"A-{i}",
        "patientNo": f"P-{i}",
        "date": "2026-06-15",
        "timeFrom": "10:30",
    }
    for i in range(1000)
]


@pytest.fixture
def statements(portal: Portal) -> Iterator[list[str]]:
    """Every statement that reaches the database."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    with portal.app.app_context():
        engine = db.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(engine, "before_cursor_execute", note)


def test_a_thousand_patients_with_every_key_cost_no_more_than_25(
    portal: Portal, statements: list[str]
) -> None:
    changed = [
        person | {"email": "new@b.example", "name": person["name"] + " II"}
        for person in PEOPLE
    ]
    for people, action in (
        (PEOPLE, "created"),
        (PEOPLE, "unchanged"),
        (changed, "updated"),
    ):
        statements.clear()
        assert portal.send_many({"patient": people})["patient"][action] == 1000
        assert 1 <= len(statements) <= 25, statements


@pytest.mark.parametrize(
    "change",
    [
        {"patientNo": "Q-{}"},  # found by the national id
        {"nationalID": None, "patientNo": "Q-{}"},  # found by mobile and name
        {"nationalID": None, "mobile": "+96651{:07}"},  # what it shares with others changes
        {"patientNo": None, "nationalID": None},
    ],
    ids=str,
)
def test_a_thousand_patients_that_are_looked_at_one_by_one_cost_no_more_than_30(
    portal: Portal, statements: list[str], change: dict[str, str | None]
) -> None:
    portal.send_many({"patient": PEOPLE})
    sent = [
        person | {name: it and it.format(at) for name, it in change.items()}
        for at, person in enumerate(PEOPLE)
    ]
    statements.clear()
    report = portal.send_many({"patient": sent})["patient"]
    assert report["updated"] + report["unchanged"] == 1000
    assert 1 <= len(statements) <= 30, statements


def test_a_thousand_bookings_with_every_reference_cost_no_more_than_25(
    portal: Portal, statements: list[str]
) -> None:
    portal.send_many({"patient": PEOPLE})
    moved = [booking | {"date": "2026-06-16", "timeTo": "11:00"} for booking in BOOKINGS]
    for bookings, action in (
        (BOOKINGS, "created"),
        (BOOKINGS, "unchanged"),
        (moved, "updated"),
    ):
        statements.clear()
        assert portal.send_many({"appointment": bookings})["appointment"][action] == 1000
        assert 1 <= len(statements) <= 25, statements


PREPARED = "FROM pg_prepared_statements WHERE cardinality(parameter_types) > 0"  # others have one plan only
KEPT_PLANS = {"postgresql": f"SELECT coalesce(sum(generic_plans), 0) {PREPARED}"}


def test_no_plan_is_kept_from_when_the_tables_were_empty(any_app: Flask) -> None:
    portal = Portal(emptied(any_app))
    for _ in range(40):
        portal.send_many({"patient": PEOPLE[:1]}, dry_run=True)
    with any_app.app_context(), db.engine.connect() as connection:
        kept = KEPT_PLANS.get(connection.dialect.name, "SELECT 0")
        assert connection.scalar(sa.text(kept)) == 0


DATES = {"postgresql": "ALTER DATABASE {} SET datestyle TO {}"}


def test_a_server_that_writes_dates_its_own_way_changes_nothing(any_app: Flask) -> None:
    portal = Portal(emptied(any_app))
    booking = {"patientNo": "P-1", "date": "2026-06-15", "timeFrom": "10:30:00"}
    sent = {
        "patient": [PEOPLE[1] | {"dateOfBirth": "1980-02-01"}],
        "appointment": [booking],
    }
    portal.send_many(sent)
    with any_app.app_context():
        engine = db.engine
    write_dates = DATES.get(engine.dialect.name, "SELECT 0")
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                write_dates.format(engine.url.database, "'German, DMY'")
            )
        engine.dispose()
        assert [told["unchanged"] for told in portal.send_many(sent).values()] == [1, 1]
        assert [row["date_of_birth"] for row in portal.stored("patient")] == ["1980-02-01"]
        assert [
            (row["date"], row["time_from"]) for row in portal.stored("appointment")
        ] == [("2026-06-15", "10:30:00")]
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(write_dates.format(engine.url.database, "DEFAULT"))
        engine.dispose()


ODD = [
    "NULL",
    "None",
    "{a,b}",
    '"q"',
    "it's",
    "\\N",
    "\\x",
    "a\\,b",
    "%s :name",
    "\u0633\u0627\u0631\u0629",
    "a\U0001f600",
    "null",
]


def test_values_of_a_list_stay_apart_whatever_they_hold(any_app: Flask) -> None:
    portal = Portal(emptied(any_app))
    people = [
        {"patientNo": f"P-{place}", "name": odd, "firstName": odd}
        | ({"lastName": odd} if place % 2 else {})
        for place, odd in enumerate(ODD)
    ]
    changed = [
        person | {"lastName": odd}
        for person, odd in zip(people, reversed(ODD), strict=True)
    ]
    for sent, action in (
        (people, "created"),
        (people, "unchanged"),
        (changed, "updated"),
        (changed, "unchanged"),
    ):
        counts = portal.send_many({"patient": sent})["patient"]
        assert counts[action] >= len(ODD) - 1, counts
        rows = [
            (row["name"], row["first_name"], row["last_name"])
            for row in portal.stored("patient")
        ]
        assert rows == [(it["name"], it["firstName"], it.get("lastName")) for it in sent]


@pytest.mark.parametrize(
    "values", [["a", "a\x1fb", None], ["\x1f"], ["a", "\x1e", None], [""]]
)
def test_values_that_would_be_taken_for_others_are_refused(
    values: list[str | None],
) -> None:
    with pytest.raises(ValueError, match="separator"):
        Joined().process_bind_param(values, postgresql.dialect())


@pytest.mark.parametrize(("name", "length"), [("code", 65), ("name", 201)])
def test_what_is_too_long_for_its_column_is_not_cut(
    any_app: Flask, name: str, length: int
) -> None:
    """The schemas refuse it before; SQLite knows no lengths."""
    emptied(any_app)
    row = {"code": "C-1", "name": "Teeth", "is_active": True, "version": 1} | {
        name: "y" * length
    }
    row |= dict.fromkeys(("created_at", "updated_at"), "2026-06-15 09:00:00")
    with any_app.app_context(), db.engine.connect() as connection:
        limits = connection.dialect.name != "sqlite"
        with pytest.raises(sa.exc.DataError) if limits else nullcontext():
            insert_for_ids(
                connection,
                db.metadata.tables["clinic"],
                {name: [value] for name, value in row.items()},
            )


def test_a_chunk_of_the_longest_records_fits_into_a_statement(any_app: Flask) -> None:
    longest = dict.fromkeys(
        ("name", "aName", "branch", "accountNo", "costCenter", "specialization"),
        "a" + "\U0001f600" * 199,
    )
    longest |= {"description": "\U0001f600" * 4000, "phone": "5" + "\U0001f600" * 199}
    doctors = [longest | {"code": f"D-{i}"} for i in range(1000)]
    told = Portal(emptied(any_app)).send_many({"doctor": doctors})["doctor"]
    assert (told["created"], told["failed"]) == (1000, 0)


@pytest.fixture
def analysed(tmp_path: Path) -> Iterator[Portal]:
    """An SQLite file whose statistics tell of twenty patients."""
    with migrated(f"sqlite:///{tmp_path / 'clinic.db'}") as app:
        portal = Portal(app)
        portal.send_many({"patient": PEOPLE[:20]})
        with app.app_context():
            with db.engine.begin() as connection:
                connection.exec_driver_sql("ANALYZE")
            db.engine.dispose()  # they are read when the file is opened
        yield portal


def test_statistics_of_a_small_table_do_not_make_look_ups_slow(analysed: Portal) -> None:
    """SQLite keeps what an ANALYZE told, and would go on to read the whole table for each list of keys."""
    seen: list[tuple[str, Any]] = []

    def note(
        _connection: object,
        _cursor: object,
        statement: str,
        parameters: Any,
        *_rest: object,
    ) -> None:
        if "json_each" in statement:
            seen.append((statement, parameters))

    with analysed.app.app_context():
        sa.event.listen(db.engine, "before_cursor_execute", note)
        analysed.send_many(
            {"patient": [*PEOPLE[10:30], {"mobile": "+966500000001", "name": "Person 1"}]}
        )
        sa.event.remove(db.engine, "before_cursor_execute", note)
        with db.engine.connect() as connection:
            plans = [
                connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {it}", given).all()
                for it, given in seen
            ]
    steps = [row[-1] for plan in plans for row in plan]
    assert len(seen) >= 4
    assert {
        step for step in steps if step.startswith("SCAN") and "VIRTUAL" not in step
    } == set(), steps
