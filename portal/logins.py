"""Log-ins: does a password open the portal, and may this address try once more?

An address has TRIES slots. To check a password takes one, the right password gives it back, and a wrong one leaves it
taken for WINDOW. The table's primary key keeps to that over all workers: two cannot take the same slot.
"""

import hashlib
import hmac
import ipaddress
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

import sync
from engine.problems import TooManyRequests
from models import LoginAttempt

TRIES = 10
WINDOW = timedelta(minutes=5)
NETWORK_BITS = 64  # of an IPv6 address; the rest its owner may choose at will (RFC 4291)


def opens(password: str, sent: str, address: str) -> bool:
    """Return whether `sent` is the password; raise TooManyRequests if this address was wrong too often."""
    network = network_of(address)
    # Looking first: a flood of tries keeps no writer waiting.
    sync.look(lambda connection: _first_free(connection, network))
    slot = sync.transact(lambda connection: _take_slot(connection, network))
    right = hmac.compare_digest(_digest(password), _digest(sent))
    if right:
        sync.transact(lambda connection: _free_slot(connection, network, slot))
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


def _first_free(connection: sa.Connection, network: str) -> int:
    c, now = LoginAttempt.__table__.c, datetime.now(UTC)
    query = sa.select(c.slot, c.at).where(
        c.address == network, c.at > _stored(now - WINDOW)
    )
    taken: dict[int, str] = {row.slot: row.at for row in connection.execute(query)}
    if len(taken) >= TRIES:
        raise _too_many(min(taken.values()), now)
    return min(set(range(TRIES)) - taken.keys())


def _take_slot(connection: sa.Connection, network: str) -> int:
    now = datetime.now(UTC)
    connection.execute(
        sa.delete(LoginAttempt).where(LoginAttempt.__table__.c.at <= _stored(now - WINDOW))
    )
    slot = _first_free(connection, network)
    connection.execute(
        sa.insert(LoginAttempt), {"address": network, "slot": slot, "at": _stored(now)}
    )
    return slot


def _free_slot(connection: sa.Connection, network: str, slot: int) -> None:
    c = LoginAttempt.__table__.c
    connection.execute(sa.delete(LoginAttempt).where(c.address == network, c.slot == slot))


def _too_many(since: str, now: datetime) -> TooManyRequests:
    ends = datetime.fromisoformat(since).replace(tzinfo=UTC) + WINDOW
    wait = max(1, round((ends - now).total_seconds()) + 1)
    minutes = WINDOW.seconds // 60
    detail = f"{TRIES} wrong passwords in {minutes} minutes came from this address. Try again in {wait} seconds."
    return TooManyRequests(detail, headers={"Retry-After": str(wait)})


def _stored(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest()
