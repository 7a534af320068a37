"""Log-ins: does a password open the portal, and may this address try once more?

An address has TRIES slots. To check a password takes one, the right password gives it back, and a wrong one leaves it
taken for WINDOW. The table's primary key keeps to that over all workers: two cannot take the same slot.
"""

import hashlib
import hmac
import ipaddress
import math
from datetime import UTC, datetime, timedelta
from functools import partial

import sqlalchemy as sa

import sync
from engine.problems import TooManyRequests
from models import LoginAttempt, instant, moment_of

TRIES = 10
WINDOW = timedelta(minutes=5)
NETWORK_BITS = 64  # of an IPv6 address; the rest its owner may choose at will (RFC 4291)

Taken = dict[int, str]  # slots, and when they were taken


def opens(password: str, sent: str, address: str) -> bool:
    """Return whether `sent` is the password; raise TooManyRequests if all slots of this address are taken."""
    network = network_of(address)
    # Looking first: a flood of tries keeps no writer waiting.
    _first_free(sync.look(partial(_taken, network)))
    slot = _first_free(sync.transact(partial(_take_slot, network)))
    right = hmac.compare_digest(_digest(password), _digest(sent))
    if right:
        sync.transact(partial(_free_slot, network, slot))
    return right


def network_of(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or an IPv6 network; some proxies add a port."""
    bare = address[1:].partition("]")[0] if address.startswith("[") else address
    try:
        known = ipaddress.ip_address(
            bare.partition(":")[0] if bare.count(":") == 1 else bare
        )
    except ValueError:
        return "unknown"  # as behind a Unix socket
    if isinstance(known, ipaddress.IPv6Address):
        mapped = known.ipv4_mapped
        return str(mapped or ipaddress.ip_network((int(known), NETWORK_BITS), strict=False))
    return str(known)


def _first_free(taken: Taken) -> int:
    """Return the first slot that is free beside those taken; raise TooManyRequests if none is."""
    if len(taken) >= TRIES:
        raise _too_many(min(taken.values()))
    return min(set(range(TRIES)) - taken.keys())


def _taken(network: str, connection: sa.Connection) -> Taken:
    """Return the slots that tries of the last minutes hold."""
    c, now = LoginAttempt.__table__.c, datetime.now(UTC)
    lately = sa.and_(c.at > instant(now - WINDOW), c.at <= instant(now))
    query = sa.select(c.slot, c.at).where(c.address == network, lately)
    return {row.slot: row.at for row in connection.execute(query)}


def _take_slot(network: str, connection: sa.Connection) -> Taken:
    """Take the first free slot, if there is one, and return those that were taken before."""
    now = datetime.now(UTC)
    _tidy(connection, now)
    taken = _taken(network, connection)
    if len(taken) < TRIES:
        slot = {"address": network, "slot": _first_free(taken), "at": instant(now)}
        connection.execute(sa.insert(LoginAttempt), slot)
    return taken


def _tidy(connection: sa.Connection, now: datetime) -> None:
    """Remove the tries that are too old, and let those of the future count as made now: the clock was ahead."""
    at = LoginAttempt.__table__.c.at
    connection.execute(sa.delete(LoginAttempt).where(at <= instant(now - WINDOW)))
    connection.execute(
        sa.update(LoginAttempt).where(at > instant(now)).values(at=instant(now))
    )


def _free_slot(network: str, slot: int, connection: sa.Connection) -> None:
    c = LoginAttempt.__table__.c
    connection.execute(sa.delete(LoginAttempt).where(c.address == network, c.slot == slot))


def _too_many(since: str) -> TooManyRequests:
    left = moment_of(since) + WINDOW - datetime.now(UTC)
    wait = max(1, math.ceil(left.total_seconds()))
    minutes = WINDOW.seconds // 60
    detail = f"{TRIES} wrong passwords in {minutes} minutes came from this address. Try again in {wait} seconds."
    return TooManyRequests(detail, headers={"Retry-After": str(wait)})


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest()
