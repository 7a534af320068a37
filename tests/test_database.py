"""Transactions and what an error means for them, on a file of one table; and what servers are told, without one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from test_outages import DriverError

from engine import database, outages
from engine.database import Fault, Joined, LostRace, failure_of, transact
from engine.outages import Outage, Unfit
from engine.problems import DatabaseUnavailable, InternalError

SHELVES = sa.Table(
    "shelf",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("label", sa.String(64)),
    sa.Column("version", sa.Integer),
    sqlite_autoincrement=True,
)
WRITES = {"writes": True}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shelves.db'}")
    kind = database.of_name("sqlite")
    kind.prepare(engine)
    kind.prepare_upgrade(engine)
    with engine.connect().execution_options(**WRITES) as connection, connection.begin():
        SHELVES.create(connection)
    yield engine
    engine.dispose()


def store(connection: sa.Connection) -> None:
    database.insert_rows(connection, SHELVES, {"label": ["A"], "version": [1]})


def labels(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return [*connection.scalars(sa.select(SHELVES.c.label).order_by(SHELVES.c.id))]


def failed(code: Any) -> sa.exc.DBAPIError:
    """Return an error of the class that takes its meaning from its code alone."""
    return sa.exc.DatabaseError("INSERT", {}, DriverError(code))


# --- What an error means -----------------------------------------------------------------------

FAULTS = {
    Fault.RACE: [
        *(1213, 1020, 1062, "40001", "40P01", "23505", "SQLITE_BUSY_SNAPSHOT"),
        *("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"),
    ],
    Fault.REFERENCE: [1451, 1452, "23503", "SQLITE_CONSTRAINT_FOREIGNKEY"],
    Fault.INTERNAL: ["XX000"],
    Fault.RECORD: [
        1406,
        1364,
        "22001",
        "23514",
        "SQLITE_TOOBIG",
        "SQLITE_CONSTRAINT_CHECK",
    ],
}
OUTAGES = {
    outages.NO_TABLES: [1146, "42P01", "SQLITE_ERROR"],
    outages.LOCKED: [1205, "55P03", "SQLITE_BUSY", "SQLITE_LOCKED"],
    outages.READ_ONLY: [
        1142,
        1290,
        1792,
        1836,
        "25006",
        "42501",
        "SQLITE_READONLY",
        "SQLITE_READONLY_DIRECTORY",
    ],
    outages.REPLACED: ["SQLITE_READONLY_DBMOVED"],
    outages.FULL: [1021, 1114, "53100", "SQLITE_FULL"],
    outages.DAMAGED: [
        *(1034, 1035, 1194, 1195, 1712, "XX001", "XX002"),
        *("SQLITE_CORRUPT", "SQLITE_CORRUPT_INDEX", "SQLITE_NOTADB"),
    ],
    outages.UNREADABLE: ["SQLITE_CANTOPEN", "SQLITE_IOERR_WRITE"],
    outages.CONVERTED: [1267],
    outages.DOWN: [
        1030,
        1040,
        1047,
        1053,
        2006,
        2013,
        "08006",
        "53300",
        "57P01",
        "57P03",
        "58030",
    ],
}


def pairs(table: dict[Any, list]) -> list[tuple[Any, Any]]:
    return [(code, meant) for meant, codes in table.items() for code in codes]


@pytest.mark.parametrize(("code", "fault"), pairs(FAULTS))
def test_a_code_has_its_fault(code: Any, fault: Fault) -> None:
    assert failure_of(failed(code)).fault is fault


@pytest.mark.parametrize(("code", "outage"), pairs(OUTAGES))
def test_a_code_of_the_whole_database_has_its_outage(code: Any, outage: Outage) -> None:
    failure = failure_of(failed(code))
    assert (failure.fault, failure.outage) == (Fault.OUTAGE, outage)


def test_an_error_of_the_connection_is_an_outage_whatever_its_code() -> None:
    error = sa.exc.OperationalError("INSERT", {}, DriverError(9999))
    assert failure_of(error) == database.Failure(Fault.OUTAGE, "DriverError 9999")


def test_that_all_connections_are_in_use_does_not_mean_that_the_server_is_down() -> None:
    failure = failure_of(sa.exc.TimeoutError("no connection is free"))
    assert (failure.fault, failure.outage) == (Fault.OUTAGE, outages.LOCKED)


def test_the_name_of_an_error_holds_its_codes_and_no_value() -> None:
    error = DriverError("23505")
    error.args = ("Key (national_id)=(784) already exists",)
    assert (
        failure_of(sa.exc.IntegrityError("INSERT", {}, error)).name == "DriverError 23505"
    )


# --- Transactions ------------------------------------------------------------------------------


class Work:
    """Stores a shelf, and fails so many times before."""

    def __init__(self, error: Exception, times: int = 99):
        self.error, self.times, self.attempts = error, times, 0

    def __call__(self, connection: sa.Connection) -> str:
        self.attempts += 1
        store(connection)
        if self.attempts <= self.times:
            raise self.error
        return "done"


@pytest.mark.parametrize(
    "error", [LostRace(), *[failed(code) for code in FAULTS[Fault.RACE]]], ids=repr
)
def test_a_lost_race_is_run_again_and_stored_once(
    engine: sa.Engine, error: Exception
) -> None:
    work = Work(error, times=2)
    assert transact(engine, work) == "done"
    assert (work.attempts, labels(engine)) == (3, ["A"])


def test_a_race_may_be_lost_so_many_times(engine: sa.Engine) -> None:
    work = Work(LostRace())
    with pytest.raises(InternalError, match="Others kept writing"):
        transact(engine, work, most_losses=2)
    assert (work.attempts, labels(engine)) == (2, [])


def test_after_three_losses_patience_ends(engine: sa.Engine) -> None:
    work = Work(LostRace())
    with pytest.raises(DatabaseUnavailable) as refused:
        transact(engine, work, patience=0.01)
    assert work.attempts >= 3
    assert refused.value.headers == {"Retry-After": "10"}
    assert labels(engine) == []


def test_a_reference_that_fails_is_tried_twice(engine: sa.Engine) -> None:
    """Another writer may have removed the other record meanwhile."""
    work = Work(failed("23503"))
    with pytest.raises(InternalError, match="Rows of another table refer to this record"):
        transact(engine, work)
    assert (work.attempts, labels(engine)) == (2, [])


def test_what_the_database_refuses_is_not_tried_again(engine: sa.Engine) -> None:
    work = Work(failed("22001"))
    with pytest.raises(InternalError, match="The database refused this record"):
        transact(engine, work)
    assert (work.attempts, labels(engine)) == (1, [])


@pytest.mark.parametrize(
    ("fail", "reason", "loses_all"),
    [
        (failed("55P03"), "does not answer or is busy", False),
        (failed("57P01"), "does not answer or is busy", False),
        (failed("SQLITE_FULL"), "it is full", False),
        (failed("25006"), "it is read-only", False),
        (failed("SQLITE_READONLY_DBMOVED"), "it is replaced", True),
        (Unfit(outages.OLDER), "it is of an older revision", False),
        (failed("SQLITE_CORRUPT"), "it is damaged", True),
    ],
    ids=repr,
)
def test_an_outage_is_told_at_once_and_nothing_is_stored(
    engine: sa.Engine, fail: Exception, reason: str, loses_all: bool
) -> None:
    work = Work(fail)
    with pytest.raises(DatabaseUnavailable, match=reason) as refused:
        transact(engine, work)
    assert (work.attempts, refused.value.loses_all) == (1, loses_all)
    assert refused.value.headers == {"Retry-After": "10"}
    assert labels(engine) == []


def test_a_damaged_file_is_not_written_to_again(engine: sa.Engine) -> None:
    for work in (Work(failed("SQLITE_NOTADB")), Work(LostRace(), times=0)):
        with pytest.raises(DatabaseUnavailable, match="it is damaged"):
            transact(engine, work)
    assert work.attempts == 0
    assert database.outage_of(engine) is outages.DAMAGED


def test_an_outage_ends_with_the_next_record_that_is_stored(engine: sa.Engine) -> None:
    with pytest.raises(DatabaseUnavailable):
        transact(engine, Work(failed("SQLITE_FULL")))
    transact(engine, store)
    assert outages.watch_of(engine).outage is None
    assert labels(engine) == ["A"]


def test_who_only_reads_waits_for_no_turn(engine: sa.Engine) -> None:
    def read(connection: sa.Connection) -> int:
        return connection.scalar(sa.select(sa.func.count(SHELVES.c.id))) or 0

    def write(connection: sa.Connection) -> int:
        store(connection)
        return transact(engine, read, writes=False)

    assert transact(engine, write) == 0  # what is not committed is not seen
    assert transact(engine, read, writes=False) == 1


# --- Health ------------------------------------------------------------------------------------


def test_a_database_that_takes_records_is_healthy(engine: sa.Engine) -> None:
    assert database.outage_of(engine) is None


def test_a_database_without_this_programs_tables_is_not(engine: sa.Engine) -> None:
    outages.watch_of(engine).revision = "0007"
    assert database.outage_of(engine) is outages.NO_TABLES


def test_a_database_whose_file_is_gone_was_replaced(engine: sa.Engine) -> None:
    Path(str(engine.url.database)).unlink()
    assert database.outage_of(engine) is outages.REPLACED


# --- Rows --------------------------------------------------------------------------------------

TWO: dict[str, list] = {"label": ["A", "B"], "version": [1, 1]}


def test_ids_come_in_the_order_of_the_rows(engine: sa.Engine) -> None:
    with engine.connect().execution_options(**WRITES) as connection, connection.begin():
        assert [*database.insert_for_ids(connection, SHELVES, TWO)] == [1, 2]
        connection.execute(sa.delete(SHELVES))
        assert [*database.insert_for_ids(connection, SHELVES, TWO)] == [3, 4]  # none again


def change(connection: sa.Connection, versions: list[int]) -> None:
    read = database.as_read([1, 2], versions)
    database.update_rows(connection, SHELVES, {"label": ["C", "D"], **read})


def test_rows_are_updated_as_they_were_read(engine: sa.Engine) -> None:
    transact(engine, lambda connection: database.insert_rows(connection, SHELVES, TWO))
    transact(engine, lambda connection: change(connection, [1, 1]))
    assert labels(engine) == ["C", "D"]


@pytest.mark.parametrize("versions", [[1, 2], [0, 1], [0, 0]])
def test_a_row_that_somebody_else_wrote_is_a_lost_race(
    engine: sa.Engine, versions: list[int]
) -> None:
    transact(engine, lambda connection: database.insert_rows(connection, SHELVES, TWO))
    with pytest.raises(InternalError, match="Others kept writing"):
        transact(engine, lambda connection: change(connection, versions), most_losses=1)
    assert labels(engine) == ["A", "B"]


def test_values_are_found_among_others(engine: sa.Engine) -> None:
    transact(engine, lambda connection: database.insert_rows(connection, SHELVES, TWO))
    with engine.connect() as connection:
        among = database.among(connection, SHELVES.c.label, ["B", "C"])
        assert connection.scalars(sa.select(SHELVES.c.id).where(among)).all() == [2]


# --- What servers are told ---------------------------------------------------------------------

LIMITS = {
    "postgresql": {
        "connect_timeout": 3,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 11_000,
        "client_encoding": "utf8",
    },
    "mariadb": {"connect_timeout": 3, "read_timeout": 11, "write_timeout": 11},
    "sqlite": {"timeout": 10},
}


@pytest.mark.parametrize("name", LIMITS, ids=lambda name: f"of {name}")
def test_every_wait_for_a_database_has_a_limit(name: str) -> None:
    """So that a database that is frozen is answered for within 15 seconds."""
    options = database.of_name(name).options()
    told = options["connect_args"]
    assert {limit: told[limit] for limit in LIMITS[name]} == LIMITS[name]
    assert options["pool_timeout"] == 10
    assert options["hide_parameters"] is True


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("postgresql", "-c lock_timeout=10s -c plan_cache_mode=force_custom_plan"),
        ("mariadb", "SET SESSION innodb_lock_wait_timeout=10, sql_mode="),
    ],
    ids=["postgres", "maria"],
)
def test_a_server_is_told_how_long_to_wait_for_a_lock(name: str, told: str) -> None:
    assert told in " ".join(
        map(str, database.of_name(name).options()["connect_args"].values())
    )


def test_a_kind_that_is_not_known_is_treated_as_mariadb_is() -> None:
    assert type(database.of_name("other")) is type(database.of_name("mariadb"))


@pytest.mark.parametrize(
    ("values", "joined"),
    [([], ""), (["A"], "A"), (["A", None, 3], "A\x1f\x1e\x1f3"), (["", "B"], "\x1fB")],
)
def test_values_are_joined_for_postgresql(values: list, joined: str) -> None:
    assert (
        Joined().process_bind_param(values, sa.create_engine("sqlite://").dialect) == joined
    )


@pytest.mark.parametrize("values", [["A\x1fB"], ["\x1e"], ["A", "\x1f"], [""]])
def test_values_that_cannot_be_joined_are_refused(values: list) -> None:
    with pytest.raises(ValueError, match="separator"):
        Joined().process_bind_param(values, sa.create_engine("sqlite://").dialect)
