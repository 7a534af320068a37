"""The portal at a glance: what is stored, the last sync of each key, and what each day brought."""

from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

import answers
import sync
from models import SyncRun, instant
from upsert import RULES


def stored() -> dict[str, int]:
    """Return how many records of each entity are stored, by its plural."""
    count = sa.select(sa.func.count())
    queries = {rules.plural: count.select_from(rules.table) for rules in RULES.values()}

    def work(connection: sa.Connection) -> dict[str, int]:
        return {
            name: connection.execute(query).scalar_one() for name, query in queries.items()
        }

    return sync.look(work)


def last_syncs() -> dict[str, dict[str, Any]]:
    """Return the last request of each API key (or of `flask` commands) by name, with the sums over its rows.

    Dry runs do not count.
    """
    c, last = SyncRun.__table__.c, SyncRun.__table__.alias()
    newest = (
        sa.select(sa.func.max(c.id)).where(c.dry_run == sa.false()).group_by(c.key_name)
    )
    same_request = sa.and_(
        c.request_id == last.c.request_id, c.key_name == last.c.key_name, c.at == last.c.at
    )
    query = (
        sa.select(c.key_name, c.path, c.at, *_sums(c, "total", *answers.COUNTS))
        .select_from(sa.join(last, SyncRun.__table__, same_request))
        .where(last.c.id.in_(newest))
        .group_by(c.key_name, c.path, c.at)
    )
    rows = sync.look(lambda connection: connection.execute(query).mappings().all())
    return {
        row["key_name"]: _whole(row) | {"at": f"{row['at'].replace(' ', 'T')}Z"}
        for row in rows
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
