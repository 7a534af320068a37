"""What a process knows of its database's outage, and what it logs of it. Without a database that fails."""

import logging
import math
import time

import pytest
import sqlalchemy as sa

from engine import outages
from engine.outages import PAUSE, Outage, Unfit, Watch, meant_by

NEVER = math.inf  # seconds since the last wait that failed


def seconds_ago(seconds: float) -> float:
    return time.monotonic() - seconds


# --- Refused at once ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outage", "since"),
    [(outages.DAMAGED, PAUSE + 1), (outages.DAMAGED, 0), (outages.DOWN, 0)],
)
def test_nobody_tries_a_damaged_file_or_waits_again_for_a_silent_server(
    outage: Outage, since: float
) -> None:
    with pytest.raises(Unfit) as refused:
        Watch(outage=outage, last_failed_wait=seconds_ago(since)).refuse_at_once()
    assert (refused.value.outage, refused.value.is_known) == (outage, True)


@pytest.mark.parametrize(
    ("outage", "since"),
    [
        (outages.DOWN, PAUSE + 1),
        (outages.DOWN, NEVER),
        (outages.FULL, 0),
        (outages.LOCKED, 0),
        (None, 0),
    ],
)
def test_any_other_outage_is_tried_again(outage: Outage | None, since: float) -> None:
    Watch(outage=outage, last_failed_wait=seconds_ago(since)).refuse_at_once()


@pytest.mark.parametrize(("waited", "noted"), [(0.5, False), (1, False), (1.5, True)])
def test_only_a_long_wait_makes_others_pause(waited: float, noted: bool) -> None:
    watch = Watch()
    watch.note_wait(waited)
    assert (watch.last_failed_wait > 0) is noted


# --- The revision ------------------------------------------------------------------------------


def tables_of(revision: str | None) -> sa.Connection:
    """Return a connection to tables of a revision; None: the table of revisions is empty."""
    connection = sa.create_engine("sqlite://").connect()
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num)")
    if revision:
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (revision,))
    return connection


@pytest.mark.parametrize(
    ("stored", "outage"),
    [(None, outages.NO_TABLES), ("0006", outages.OLDER), ("0008", outages.NEWER)],
)
def test_tables_of_another_revision_are_refused(stored: str | None, outage: Outage) -> None:
    with tables_of(stored) as connection, pytest.raises(Unfit) as refused:
        Watch(revision="0007").refuse_other_revision(connection)
    assert (refused.value.outage, refused.value.is_known) == (outage, False)


def test_tables_of_this_revision_are_known_to_be_so() -> None:
    with tables_of("0007") as connection:
        Watch(revision="0007").refuse_other_revision(connection)
        assert connection.info["checked"] <= time.monotonic()


def test_a_program_that_knows_no_revision_takes_any_tables() -> None:
    with tables_of("0008") as connection:
        Watch().refuse_other_revision(connection)
        assert "checked" not in connection.info


# --- The log -----------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(it.levelno, it.getMessage()) for it in caplog.records]


def test_an_outage_that_lasts_is_one_critical_line_with_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch()
    for _ in range(3):
        watch.begins(outages.FULL, "SQLITE_FULL")
    first, *more = lines(caplog)
    advice = "Make room on its disk. Nothing was half-written."
    assert first == (logging.CRITICAL, f"THE DATABASE IS FULL. {advice} (SQLITE_FULL)")
    assert more == [(logging.ERROR, "database error: full (SQLITE_FULL)")] * 2
    assert watch.outage is outages.FULL


def test_another_outage_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    for outage in (outages.DOWN, outages.FULL):
        watch.begins(outage, "some error")
    assert [level for level, _ in lines(caplog)] == [logging.CRITICAL] * 2


def test_a_locked_database_wakes_nobody(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    watch.begins(outages.LOCKED, "SQLITE_BUSY")
    assert [level for level, _ in lines(caplog)] == [logging.ERROR]
    assert watch.outage is None


@pytest.mark.parametrize(
    "outage",
    [
        it
        for it in vars(outages).values()
        if isinstance(it, Outage) and it.reason != "locked"
    ],
    ids=lambda outage: outage.reason,
)
def test_every_other_outage_needs_somebody(outage: Outage) -> None:
    assert outage.is_urgent


def test_the_end_of_an_outage_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    watch = Watch(outage=outages.FULL)
    watch.note_success(wrote=True)
    assert lines(caplog) == [(logging.WARNING, "the database takes records again")]
    assert watch.outage is None


def test_that_records_can_be_read_ends_no_outage_that_lets_read() -> None:
    watch, other = Watch(outage=outages.FULL), Watch(outage=outages.DOWN)
    for each in (watch, other):
        each.note_success(wrote=False)
    assert (watch.outage, other.outage) == (outages.FULL, None)


# --- Codes -------------------------------------------------------------------------------------

CODES = {1290: outages.READ_ONLY, "53": outages.FULL, "SQLITE_IOERR": outages.DOWN}


@pytest.mark.parametrize(
    ("codes", "outage"),
    [
        ([1290], outages.READ_ONLY),
        (["53100"], outages.FULL),
        (["SQLITE_IOERR_WRITE"], outages.DOWN),
        (["other", 1290], outages.READ_ONLY),
        ([12900], None),
        (["42553"], None),
        ([], None),
    ],
)
def test_a_code_means_an_outage_if_it_is_known_or_begins_like_one(
    codes: list, outage: Outage | None
) -> None:
    assert meant_by(codes, CODES) is outage
