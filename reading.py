"""Reading: lists with filters and a cursor, and one record. The contract's section 5."""

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate
from typing import Any

import sqlalchemy as sa

import sync
from engine import references
from engine.entity import Entity, json_name
from engine.fields import ABSENT, LARGEST_ID, SHOWN, Codes, Doubt, Identifier, RecordId
from engine.index import Index, link_columns
from engine.problems import InvalidParameter, NotFound
from engine.rules import Reference, Rules, Values
from models import SyncRun
from upsert import RULES

LIMIT, MOST = 100, 1000  # records a page: by default, at most
PAGE_BYTES = (
    4_000_000  # of failures in a page of the history, beside those of its first row
)
PAGING = {
    "limit": f"records a page, 1 to {MOST}, default {LIMIT}",
    "after": "the cursor `next` of the page before",
}
DATES = {"dateFrom": "on this day or later", "dateTo": "on this day or earlier"}
# RFC 3339; an unescaped + arrives as a blank.
INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d+)?)([Zz]|[-+ ]\d\d:\d\d)", re.ASCII
)
Parameters = Mapping[str, Sequence[str]]


def page(schema: Entity, rules: Rules, sent: Parameters) -> dict[str, Any]:
    """Return one page of records, ordered by id, and the cursor of the next; raise InvalidParameter."""
    wanted, c = _single(sent), rules.table.c
    limit = _limit(wanted.pop("limit", str(LIMIT)))
    conditions = [_condition(schema, rules, name, value) for name, value in wanted.items()]
    query = sa.select(c.id).where(*conditions).order_by(c.id).limit(limit + 1)
    found, described = sync.look(partial(_described, query, limit, rules))
    following = _cursor(found[limit - 1]) if len(found) > limit else None
    return {"data": [schema.dump(values) for values in described], "next": following}


def _described(
    query: sa.Select, limit: int, rules: Rules, connection: sa.Connection
) -> tuple[Sequence[int], list[Values]]:
    """Return the ids that a query finds, and as many records as a page has."""
    found = connection.scalars(query).all()
    records = Index(connection, RULES).of(rules.entity)
    return found, references.describe_all(found[:limit], records)


def one(schema: Entity, rules: Rules, record_id: int) -> dict[str, Any]:
    """Return one record; raise NotFound."""
    ids = [min(record_id, LARGEST_ID)]

    def work(connection: sa.Connection) -> list[Values]:
        return references.describe_all(ids, Index(connection, RULES).of(rules.entity))

    known = sync.look(work)
    if not known:
        raise NotFound(f"No {rules.entity} with id {record_id} is stored.")
    return schema.dump(known[0])


def syncs(sent: Parameters) -> dict[str, Any]:
    """Return one page of the sync history, the newest first, and the cursor of the next; raise InvalidParameter."""
    wanted = single(sent, PAGING)
    return runs(_limit(wanted.get("limit", str(LIMIT))), wanted.get("after"))


def runs(
    limit: int, after: str | None = None, *, failed: bool = False, run: int | None = None
) -> dict[str, Any]:
    """Return a page of the history: all of it, what has failures, or the row of one id; raise InvalidParameter."""
    c = SyncRun.__table__.c
    conditions = [c.failed > 0] if failed else []
    conditions += [] if after is None else [c.id < _position(after)]
    conditions += [] if run is None else [c.id == max(0, min(run, LARGEST_ID))]
    sizes = sa.select(c.id, sa.func.length(c.failures)).where(*conditions)
    query = sizes.order_by(c.id.desc()).limit(limit + 1)
    rows, more = sync.look(partial(_rows_of_page, query, limit))
    following = _cursor(rows[-1]["id"]) if more else None
    return {"data": [*map(_run, rows)], "next": following}


def _rows_of_page(
    query: sa.Select, limit: int, connection: sa.Connection
) -> tuple[Sequence[sa.RowMapping], bool]:
    """Return the rows of the history that go into one page, and whether there are more."""
    sizes = connection.execute(query).all()
    ends = accumulate(size for _, size in sizes[1:limit])
    ids = [row_id for row_id, _ in sizes[: 1 + sum(end <= PAGE_BYTES for end in ends)]]
    c = SyncRun.__table__.c
    rows = sa.select(*c).where(c.id.in_(ids)).order_by(c.id.desc())
    return connection.execute(rows).mappings().all(), len(ids) < len(sizes)


def _run(row: Any) -> dict[str, Any]:
    """Return a row of the history as it is answered."""
    answer = {json_name(name): value for name, value in row.items()}
    failures = json.loads(row["failures"])
    left_out = row["failed"] - len(failures)
    at = f"{row['at'].replace(' ', 'T')}Z"
    return answer | {"at": at, "failures": failures, "failuresLeftOut": left_out}


def _unknown_parameter(name: str, known: Iterable[str]) -> InvalidParameter:
    return InvalidParameter(
        f"Unknown parameter {name[:SHOWN]!r}. There are {', '.join(known)}."
    )


def filters(schema: Entity, rules: Rules) -> dict[str, str]:
    """Return the parameters that a list takes, by JSON name, each with what it means."""
    by_field = {
        json_name(name): "equal, as on writing" for name in _filtered_fields(schema)
    }
    dates = DATES if "date" in rules.table.c else {}
    since = {"updatedSince": "written at this instant (RFC 3339) or later"}
    return by_field | dates | since | PAGING


def _filtered_fields(schema: Entity) -> list[str]:
    """Return the fields that filter: identifiers, references, mobile and isActive."""
    kinds = Identifier | RecordId | Codes
    return [
        name
        for name, field in schema.load_fields.items()
        if isinstance(field, kinds) or name in ("mobile", "is_active")
    ]


def single(sent: Parameters, known: Collection[str]) -> dict[str, str]:
    """Return the parameters of a query, each sent once and not blank; raise InvalidParameter."""
    wanted = _single(sent)
    unknown = wanted.keys() - {*known}
    if unknown:
        raise _unknown_parameter(min(unknown), known)
    return wanted


def _single(sent: Parameters) -> dict[str, str]:
    for name, values in sent.items():
        if len(values) > 1:
            raise InvalidParameter(f"{name[:SHOWN]} is sent twice.")
        if not values[0].strip():
            raise InvalidParameter(
                f"{name[:SHOWN]} is blank. Leave it out, or give it a value."
            )
    return {name: values[0] for name, values in sent.items()}


def _condition(
    schema: Entity, rules: Rules, name: str, value: str
) -> sa.ColumnElement[bool]:
    c = rules.table.c
    if name == "after":
        return c.id > _position(value)
    if name == "updatedSince":
        return c.updated_at >= _instant(value)
    if name in DATES and "date" in c:
        day = _cleaned(schema.load_fields["date"], name, value)
        return c.date >= day if name == "dateFrom" else c.date <= day
    fields = {json_name(field): field for field in _filtered_fields(schema)}
    if name not in fields:
        raise _unknown_parameter(name, filters(schema, rules))
    field = fields[name]
    return _equal(rules, field, _cleaned(schema.load_fields[field], name, value))


def _equal(rules: Rules, field: str, value: Any) -> sa.ColumnElement[bool]:
    """Return the condition that a field, or the record that a field refers to, has a value; former numbers count."""
    for reference in rules.references:
        if reference.code == field:
            return _refers_to(rules, reference, value)
    if rules.number == field:
        return _has_number(rules, value)
    return rules.table.c[field] == value


def _refers_to(rules: Rules, reference: Reference, value: Any) -> sa.ColumnElement[bool]:
    """Return the condition that a record refers to one with this code, or to one of these codes."""
    target = RULES[reference.target]
    if reference.link_table is None:
        ids = sa.select(target.table.c.id).where(_has_number(target, value))
        return rules.table.c[reference.column].in_(ids)
    owner, other = link_columns(rules, reference)
    wanted = sa.select(target.table.c.id).where(target.table.c[target.unique[0]].in_(value))
    return sa.exists(sa.select(other).where(owner == rules.table.c.id, other.in_(wanted)))


def _has_number(rules: Rules, value: str) -> sa.ColumnElement[bool]:
    """Return the condition that a record has this first unique key, or gave it up."""
    current = rules.table.c[rules.unique[0]] == value
    if rules.former_table is None:
        return current
    c = rules.former_table.c
    former = sa.select(c.record_id).where(rules.of_this_entity, c.value == value)
    return sa.or_(current, rules.table.c.id.in_(former))


def _cleaned(field: Any, name: str, value: str) -> Any:
    try:
        if isinstance(field, RecordId) and re.fullmatch("[0-9]{1,19}", value):
            cleaned = field.clean(int(value))
        else:
            cleaned = field.clean([value] if isinstance(field, Codes) else value)
    except ValueError as error:
        raise InvalidParameter(f"{name}: {error}") from None
    cleaned = cleaned.value if isinstance(cleaned, Doubt) else cleaned
    if cleaned is None or cleaned in (ABSENT, ()):
        raise InvalidParameter(
            f"{name} is blank, or stands for none. Leave it out, or give it a value."
        )
    return cleaned


def _limit(value: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", value) or not 1 <= int(value) <= MOST:
        raise InvalidParameter(f"limit must be a whole number from 1 to {MOST}.")
    return int(value)


def _instant(value: str) -> str:
    """Return an RFC 3339 instant as it is stored."""
    found = INSTANT.fullmatch(value)
    try:
        if not found:
            raise ValueError
        day, time, offset = found.groups()
        offset = offset.upper().replace(" ", "+")
        moment = datetime.fromisoformat(f"{day}T{time}{offset}")
        return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        raise InvalidParameter(
            "updatedSince must be an instant with its offset, as 2026-06-15T09:00:00Z."
        ) from None


def _cursor(record_id: int) -> str:
    return base64.urlsafe_b64encode(f"id:{record_id}".encode()).decode().rstrip("=")


def _position(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not re.fullmatch("id:[0-9]{1,18}", text) or _cursor(int(text[3:])) != cursor:
        raise InvalidParameter("after must be the cursor `next` of the page before.")
    return int(text[3:])
