"""The portal at a glance: what is stored, the last requests of each key, and what each day brought."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

import answers
import overdue
import sync
from models import SyncRun, instant
from upsert import RULES

KINDS = ("sync", "single record")  # of requests by an API key


def stored() -> dict[str, int]:
    """Return how many records of each entity are stored, by its plural."""
    count = sa.select(sa.func.count())
    queries = {rules.plural: count.select_from(rules.table) for rules in RULES.values()}

    def work(connection: sa.Connection) -> dict[str, int]:
        return {
            name: connection.execute(query).scalar_one() for name, query in queries.items()
        }

    return sync.look(work)


def last_requests(names: Iterable[str]) -> dict[str, dict[str, dict[str, Any] | None]]:
    """Return the last request of each kind by the name of its API key, with the sums over its rows.

    Those of these names come first, and have each kind of KINDS, None where there was none. Dry runs do not count.
    """
    c, newest = SyncRun.__table__.c, _newest()
    last = (
        sa.select(SyncRun.__table__, newest.c.kind)
        .join(newest, c.id == newest.c.id)
        .subquery()
        .c
    )
    same_request = [
        c[name] == last[name] for name in ("request_id", "key_name", "path", "at")
    ]
    columns = (c.key_name, last.kind, c.path, c.at)
    query = (
        sa.select(*columns, *_sums(c, "total", *answers.COUNTS))
        .where(*same_request)
        .group_by(*columns)
    )
    found: dict[str, Any] = {name: dict.fromkeys(KINDS) for name in names}
    for row in sync.look(lambda connection: connection.execute(query).mappings().all()):
        whole = _whole(row) | {"at": f"{row['at'].replace(' ', 'T')}Z"}
        found.setdefault(row["key_name"], {})[row["kind"]] = whole
    return found


def _newest() -> sa.Subquery:
    """Return the query of the newest row of each kind and key."""
    c, (of_lists, of_records) = SyncRun.__table__.c, KINDS
    kind = sa.case(
        (overdue.is_list(c.path), of_lists),
        (c.path.like("flask %"), "command"),
        else_=of_records,
    )
    # PostgreSQL would not see that two CASEs with parameters are one.
    rows = sa.select(c.id, c.key_name, kind.label("kind")).where(c.dry_run == sa.false())
    row = rows.subquery().c
    newest = sa.select(row.kind, sa.func.max(row.id).label("id"))
    return newest.group_by(row.key_name, row.kind).subquery()


def stopped(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the keys of these names whose nightly sync stopped: when the last one was, and how long ago."""
    lasts = overdue.stopped(names, sync.look(overdue.last_lists))
    now = datetime.now(UTC)
    return {
        name: {"at": at.isoformat(), "age": overdue.words(now - at)}
        for name, at in lasts.items()
    }


def daily(zone: tzinfo, days: int) -> list[dict[str, Any]]:
    """Return what was created, updated and refused on each of the last days in a zone, the oldest first.

    What a clock that was ahead dated after today belongs to none of them.
    """
    today = datetime.now(zone).date()
    dates = [today - timedelta(days=back) for back in reversed(range(days))]
    ends = [_midnight(day + timedelta(days=1), zone) for day in dates]
    c, nothing = SyncRun.__table__.c, {"created": 0, "updated": 0, "failed": 0}
    place = sa.case(*((c.at < end, number) for number, end in enumerate(ends)))
    rows_of_days = sa.select(place.label("place"), c.created, c.updated, c.failed).where(
        c.at >= _midnight(dates[0], zone), c.at < ends[-1], c.dry_run == sa.false()
    )
    # PostgreSQL would not see that two CASEs with parameters are one.
    placed = rows_of_days.subquery().c
    query = sa.select(placed.place, *_sums(placed, *nothing)).group_by(placed.place)
    rows = sync.look(lambda connection: connection.execute(query).mappings().all())
    found = {row["place"]: _whole(row) for row in rows}
    return [
        {"date": day.isoformat()} | found.get(number, nothing)
        for number, day in enumerate(dates)
    ]


def _midnight(day: date, zone: tzinfo) -> str:
    """Return the instant at which a day begins in a zone."""
    return instant(datetime.combine(day, time(), zone))


def _sums(columns: Any, *names: str) -> list[sa.Label]:
    return [sa.func.sum(columns[name]).label(name) for name in names]


def _whole(row: sa.RowMapping) -> dict[str, Any]:
    """Return a row whose sums are whole numbers; MariaDB answers decimals."""
    return {
        name: int(value) if isinstance(value, Decimal) else value
        for name, value in row.items()
    }
