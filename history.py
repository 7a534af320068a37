"""The sync history: a row for each list and each single record that was sent, and for each decision of a person.

It is written in the request's last transaction where that is possible, and then costs no commit of its own. After a dry
run, a rollback, chunks that had to be tried in parts, or where nothing could be stored, it gets a transaction of its
own. No row is left by what is no list of records (400, 413, 415), or fails as a whole with the database.
"""

import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import sqlalchemy as sa

from answers import ACTIONS, Item, Report
from engine.database import among
from models import INSTANT, SyncRun, instant, moment_of
from upsert import RULES

FAILURES = 1000  # of a list, that a row keeps
ROW_BYTES = (
    1_000_000  # of failures: a server of MariaDB's kind may take no more than 1 MiB at once
)
PRUNED_AT_ONCE = 500  # rows: one request never pays for a long past
PRUNING = 0.02  # share of requests that prune
DAY = timedelta(days=1)
# What is kept of a failure.
KEPT = (
    "index",
    "key",
    "status",
    "code",
    "errors",
    "candidates",
    "candidateCount",
)


@dataclass(frozen=True)
class Origin:
    """Where a request comes from; `key_name` is the name of its key, never the key."""

    request_id: str
    key_name: str
    path: str
    keep_days: int
    started: float = field(default_factory=time.monotonic)


def write(
    connection: sa.Connection,
    origin: Origin | None,
    reports: Mapping[str, Report],
    *,
    dry_run: bool,
) -> None:
    """Write a row for each entity's report, and now and then remove what is too old; nothing without an origin."""
    if origin is None:
        return
    now = datetime.now(UTC)
    common = {
        "at": now.strftime(INSTANT),
        "request_id": origin.request_id,
        "key_name": origin.key_name,
        "path": origin.path,
        "dry_run": dry_run,
        "duration_ms": round((time.monotonic() - origin.started) * 1000),
    }
    rows = [
        common | {"entity": RULES[entity].plural} | _summary(report)
        for entity, report in reports.items()
    ]
    if rows:
        connection.execute(sa.insert(SyncRun.__table__), rows)
    if random.random() < PRUNING:  # noqa: S311 chance only spreads the work
        prune(connection, now, origin.keep_days)


def prune(connection: sa.Connection, now: datetime, keep_days: int) -> None:
    """Remove some of the oldest rows, if they are older than so many days.

    Ages are not counted from the clock, which may have jumped ahead, but from the newest row that is at least a day
    old, plus a day.
    """
    c = SyncRun.__table__.c
    a_day_old = c.at <= instant(now - DAY)
    newest = connection.scalar(sa.select(sa.func.max(c.at)).where(a_day_old))
    if newest is None:
        return
    before = moment_of(newest) + DAY - timedelta(days=keep_days)
    old = sa.select(c.id).where(c.at < instant(before)).order_by(c.at, c.id)
    ids = connection.scalars(old.limit(PRUNED_AT_ONCE)).all()
    if ids:
        connection.execute(sa.delete(SyncRun.__table__).where(among(connection, c.id, ids)))


def _summary(report: Report) -> dict[str, Any]:
    counts = {action: report.counts[action] for action in ACTIONS}
    failed = {
        "failed": report.counts["failed"],
        "failures": f"[{','.join(_kept(report.failures))}]" if report.failures else "[]",
    }
    return {"total": report.counts.total()} | counts | failed


def _kept(failures: Iterable[Item]) -> Iterator[str]:
    """Yield the JSON of the first failures, as many as a row keeps."""
    room = ROW_BYTES
    for failure in islice(failures, FAILURES):
        kept = {name: failure[name] for name in KEPT if name in failure}
        text = json.dumps(kept, ensure_ascii=True)
        room -= len(text) + 1  # with a comma or bracket
        if room < 1:
            return
        yield text
