"""Outages: why a database as a whole takes no records, and what its operator does about that."""

import logging
import math
import time
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa

RECHECK = 10  # seconds for which a connection's tables are known to be this program's
PAUSE = (
    5  # seconds after a wait for a server has failed, in which nobody waits for it again
)
LONG = 1  # seconds: a shorter wait harms nobody

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outage:
    """`reason` in a word or two, and `advice` for the operator.

    `is_urgent`: somebody must do something. `lets_read`: that records can be read does not mean that it is over.
    """

    reason: str
    advice: str
    is_urgent: bool = True
    lets_read: bool = False


UPGRADE = "Run: flask --app app db upgrade"
LOCKED = Outage("locked", "Another program holds it for long.", is_urgent=False)
DOWN = Outage("down", "Start the database's server, and see DATABASE_URL.")
UNREADABLE = Outage(
    "unreadable",
    "Its file cannot be opened or read. See its owner, its folder and the disk.",
)
READ_ONLY = Outage(
    "read-only",
    "It takes no writes, as after a fail-over, or on a disk or for a user that may only read. See DATABASE_URL.",
    lets_read=True,
)
FULL = Outage("full", "Make room on its disk. Nothing was half-written.", lets_read=True)
DAMAGED = Outage(
    "damaged",
    "Nothing is written until somebody has looked. Restore a backup and start the service again.",
)
REPLACED = Outage(
    "replaced",
    "The file was removed or replaced under the running service. Put the right one there; then work goes on.",
)
NO_TABLES = Outage("without tables", UPGRADE)
OLDER = Outage("of an older revision", UPGRADE)
NEWER = Outage("of a newer revision", "A newer program upgraded it. Update this program.")


NOT_UTF8 = Outage(
    "not in UTF-8",
    "It cannot hold every name. Create it again:"
    " CREATE DATABASE ... ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0",
)
CONVERTED = Outage(
    "not in utf8mb4",
    "Somebody converted a table, which cannot hold every name any more: SHOW TABLE STATUS tells which."
    " Then: ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
)


class Unfit(Exception):
    """The database takes no records now; `is_known`: raised without asking the database."""

    def __init__(self, outage: Outage, *, is_known: bool = False):
        super().__init__(outage.reason)
        self.outage, self.is_known = outage, is_known


@dataclass
class Watch:
    """What this process knows of a database: the revision that its tables must have, and the outage that lasts."""

    revision: str = ""
    outage: Outage | None = None
    last_failed_wait: float = -math.inf

    def refuse_at_once(self) -> None:
        """Raise Unfit where to try again would only wait, or do harm."""
        is_recent = time.monotonic() - self.last_failed_wait < PAUSE
        if self.outage is DAMAGED or (self.outage is DOWN and is_recent):
            raise Unfit(self.outage, is_known=True)

    def refuse_other_revision(self, connection: sa.Connection) -> None:
        """Raise Unfit unless the tables have the revision that this program writes."""
        if not self.revision:
            return
        stored = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        if stored is None:
            raise Unfit(NO_TABLES)
        if stored != self.revision:
            raise Unfit(OLDER if stored < self.revision else NEWER)
        connection.info["checked"] = time.monotonic()

    def note_wait(self, seconds: float) -> None:
        """Note that a wait for the database has failed, after so many seconds."""
        if seconds > LONG:
            self.last_failed_wait = time.monotonic()

    def begins(self, outage: Outage, name: str) -> None:
        """Remember an urgent outage and log it as CRITICAL; while it lasts, and if it is not urgent, log the error.

        `name` is the error's, without any value.
        """
        if not outage.is_urgent or outage == self.outage:
            log.error("database error: %s (%s)", outage.reason, name)
            return
        self.outage = outage
        log.critical(
            "THE DATABASE IS %s. %s (%s)", outage.reason.upper(), outage.advice, name
        )

    def note_success(self, *, wrote: bool) -> None:
        """Note that somebody wrote, or only read: the outage may be over."""
        if self.outage and (wrote or not self.outage.lets_read):
            log.warning("the database takes records again")
            self.outage = None


WATCHES: "WeakKeyDictionary[sa.Engine, Watch]" = WeakKeyDictionary()


def watch_of(engine: sa.Engine) -> Watch:
    """Return what this process knows of an engine's database."""
    return WATCHES.setdefault(engine, Watch())


def meant_by(codes: list[Any], outages: dict[Any, Outage]) -> Outage | None:
    """Return the outage that one of the codes means; a text matches all codes that begin with it."""
    for code in codes:
        for known, outage in outages.items():
            if code == known or (isinstance(code, str) and code.startswith(str(known))):
                return outage
    return None
