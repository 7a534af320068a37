"""Sessions: who is logged in, and until when.

A browser's cookie holds a random token, the table its digest only: to read the table opens nothing, and a session that
is ended is ended for every worker and every copy of the cookie.
"""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from functools import partial

import sqlalchemy as sa

import sync
from models import PortalSession, instant

LIFETIME = timedelta(hours=8)
TOKEN_BYTES = 32


def begin(instead_of: str = "") -> str:
    """Begin a session and return its token; the session that this browser had before ends."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    sync.transact(partial(_replace, instead_of, token))
    return token


def lasts(token: str) -> bool:
    """Return whether a token's session has begun and not ended; raise DatabaseUnavailable if nobody can know."""
    return bool(token) and sync.look(partial(_lasts, token))


def end(token: str) -> None:
    """End a token's session, if there is one."""
    sync.transact(partial(_remove, token))


def _replace(old: str, new: str, connection: sa.Connection) -> None:
    now = datetime.now(UTC)
    _remove(old, connection)
    _tidy(connection, now)
    connection.execute(
        sa.insert(PortalSession),
        {
            "digest": _digest(new),
            "created_at": instant(now),
            "expires_at": instant(now + LIFETIME),
        },
    )


def _lasts(token: str, connection: sa.Connection) -> bool:
    c = PortalSession.__table__.c
    query = sa.select(c.digest).where(
        c.digest == _digest(token), _lasting(datetime.now(UTC))
    )
    return connection.scalar(query) is not None


def _remove(token: str, connection: sa.Connection) -> None:
    c = PortalSession.__table__.c
    connection.execute(sa.delete(PortalSession).where(c.digest == _digest(token)))


def _tidy(connection: sa.Connection, now: datetime) -> None:
    connection.execute(sa.delete(PortalSession).where(sa.not_(_lasting(now))))


def _lasting(now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a session lasts: one that begins in the future was made while the clock was ahead."""
    c = PortalSession.__table__.c
    return sa.and_(c.created_at <= instant(now), c.expires_at > instant(now))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
