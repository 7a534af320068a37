"""Overdue syncs: when each key last sent a list, and whether that is too long ago.

A monitor asks without an API key, so it gets a time at most: a name that has sent no list and a name that no key has
are answered alike, after the same work.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import sqlalchemy as sa

import reading
from engine.problems import InvalidParameter, Problem
from models import SyncRun, instant, moment_of
from schemas import PLURALS

NIGHTLY = timedelta(hours=26)  # a night may begin later, and take longer, than the last one
# Paths of lists as LIKE takes them, and what `flask import` notes in their place.
LISTS = [*(f"%/{name}" for name in (*PLURALS, "sync")), "flask import %"]
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
SPAN = "[1-9][0-9]{0,3}[mhd]"
PARAMETERS = {
    "within": "503, too, if the last sync is older than this: minutes, hours or days, as 90m, 26h or 2d;"
    " 26h where only `key` is sent",
    "key": "the name of the key whose last sync counts; without it that of any key",
}
RETRY_AFTER = {"Retry-After": "600"}


class SyncOverdue(Problem):
    status, code, title = 503, "sync_overdue", "The last sync is too long ago"
    advice = "At /healthz alone: see why the program that sends the lists has stopped."
    example: ClassVar[Mapping[str, Any]] = {
        "detail": "The last sync was at 2026-06-01T02:10:00Z, 38 hours ago; within 26 hours there was none."
    }


@dataclass(frozen=True)
class Question:
    """What a monitor asks: is the last sync of a key, or of any (None), no older than this?"""

    within: timedelta
    key_name: str | None


def asked(sent: reading.Parameters) -> Question | None:
    """Return what a query asks, None if nothing; raise InvalidParameter."""
    wanted = reading.single(sent, PARAMETERS)
    if not wanted:
        return None
    within = _span(wanted["within"]) if "within" in wanted else NIGHTLY
    return Question(within, wanted.get("key"))


def _span(text: str) -> timedelta:
    if not re.fullmatch(SPAN, text):
        raise InvalidParameter(
            "within must be a whole number from 1 to 9999 and a unit: 90m (minutes), 26h (hours), 2d (days)."
        )
    return timedelta(**{UNITS[text[-1]]: int(text[:-1])})


def last_lists(connection: sa.Connection) -> dict[str, datetime]:
    """Return when each key last sent a list, by its name.

    Dry runs do not count, nor do rows that a clock that was ahead dated in the future.
    """
    c = SyncRun.__table__.c
    counts = (is_list(c.path), c.dry_run == sa.false(), c.at <= instant(datetime.now(UTC)))
    query = sa.select(c.key_name, sa.func.max(c.at)).where(*counts).group_by(c.key_name)
    return {name: moment_of(at) for name, at in connection.execute(query)}


def is_list(path: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a row's path is that of a list: no single record, and no command."""
    return sa.or_(*map(path.like, LISTS))


def refuse(question: Question, lasts: Mapping[str, datetime]) -> None:
    """Raise SyncOverdue if the last sync is older than a monitor allows, or if there is none."""
    own = [at for name, at in lasts.items() if question.key_name in (None, name)]
    if not own:
        raise _overdue("No such sync is in the history.")
    age = datetime.now(UTC) - max(own)
    if age > question.within:
        when = f"{max(own):%Y-%m-%dT%H:%M:%SZ}, {words(age)} ago"
        raise _overdue(
            f"The last sync was at {when}; within {words(question.within)} there was none."
        )


def _overdue(detail: str) -> SyncOverdue:
    return SyncOverdue(detail, headers=RETRY_AFTER)


def stopped(names: Iterable[str], lasts: Mapping[str, datetime]) -> dict[str, datetime]:
    """Return the last sync of those keys that sent lists before, and none since NIGHTLY."""
    since = datetime.now(UTC) - NIGHTLY
    return {name: lasts[name] for name in names if name in lasts and lasts[name] < since}


def words(span: timedelta) -> str:
    """Return a span of time in words: minutes, hours from two on, days from two on."""
    minutes = span // timedelta(minutes=1)
    for unit, length in (("days", 24 * 60), ("hours", 60)):
        if minutes >= 2 * length:
            return f"{minutes // length} {unit}"
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
