"""Log-ins: an address may be wrong ten times in five minutes, whatever the number of workers."""

import http.client
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa
from conftest import Portal, emptied
from flask import Flask
from live import service

from engine.problems import TooManyRequests
from models import LoginAttempt, db
from portal import logins

RIGHT, HERE, THERE = "the right password", "192.0.2.1", "192.0.2.2"


@pytest.fixture
def portal_open(portal: Portal) -> Iterator[Portal]:
    with portal.app.app_context():
        yield portal


def test_the_right_password_opens_and_costs_no_try(portal_open: Portal) -> None:
    assert all(logins.opens(RIGHT, RIGHT, HERE) for _ in range(15))


@pytest.mark.parametrize(
    "sent", ["", "wrong", "the right passwor", "The right password", "كلمة", "\udc80"]
)
def test_a_wrong_password_does_not_open(portal_open: Portal, sent: str) -> None:
    assert not logins.opens(RIGHT, sent, HERE)


def test_after_ten_wrong_ones_even_the_right_one_waits(portal_open: Portal) -> None:
    assert [logins.opens(RIGHT, "wrong", HERE) for _ in range(10)] == [False] * 10
    with pytest.raises(TooManyRequests) as refused:
        logins.opens(RIGHT, RIGHT, HERE)
    assert 295 <= int(refused.value.headers["Retry-After"]) <= 300
    assert logins.opens(RIGHT, RIGHT, THERE)


def test_a_right_one_between_does_not_forgive_the_wrong_ones(portal_open: Portal) -> None:
    for _ in range(9):
        logins.opens(RIGHT, "wrong", HERE)
    assert logins.opens(RIGHT, RIGHT, HERE)
    assert not logins.opens(RIGHT, "wrong", HERE)
    with pytest.raises(TooManyRequests):
        logins.opens(RIGHT, RIGHT, HERE)


def test_after_five_minutes_the_right_one_works_again_and_nothing_is_left(
    portal_open: Portal,
) -> None:
    for _ in range(10):
        logins.opens(RIGHT, "wrong", HERE)
    wait(seconds=270)
    with pytest.raises(TooManyRequests):
        logins.opens(RIGHT, RIGHT, HERE)
    wait(seconds=31)
    assert logins.opens(RIGHT, RIGHT, HERE)
    with db.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(LoginAttempt)) == 0


# Seconds by which the clock was ahead when the wrong passwords came; then it was set right.
AHEAD = [1, 60, 24 * 3600, 10 * 365 * 24 * 3600]


@pytest.mark.parametrize("seconds", AHEAD)
def test_a_clock_that_was_ahead_locks_for_five_minutes_and_no_longer(
    portal_open: Portal, seconds: int
) -> None:
    for _ in range(10):
        logins.opens(RIGHT, "wrong", HERE)
    wait(seconds=-seconds)
    assert refused_for() <= 300
    wait(seconds=200)
    assert refused_for() <= 100
    wait(seconds=101)
    assert logins.opens(RIGHT, RIGHT, HERE)


@pytest.mark.parametrize("seconds", AHEAD)
def test_tries_of_a_clock_that_was_ahead_count_with_those_of_now(
    portal_open: Portal, seconds: int
) -> None:
    for _ in range(4):
        logins.opens(RIGHT, "wrong", HERE)
    wait(seconds=-seconds)
    assert [logins.opens(RIGHT, "wrong", HERE) for _ in range(6)] == [False] * 6
    assert refused_for() <= 300
    assert logins.opens(RIGHT, RIGHT, THERE)


def refused_for() -> int:
    """Return the seconds that HERE is told to wait."""
    with pytest.raises(TooManyRequests) as refused:
        logins.opens(RIGHT, RIGHT, HERE)
    return int(refused.value.headers["Retry-After"])


@pytest.mark.parametrize("ahead", [0, 4])
def test_of_many_at_once_ten_are_checked(portal_open: Portal, ahead: int) -> None:
    for _ in range(ahead):
        logins.opens(RIGHT, "wrong", HERE)
    wait(seconds=-24 * 3600)
    start = Barrier(16)

    def attempt(_: int) -> bool:
        start.wait()
        with portal_open.app.app_context():
            try:
                return logins.opens(RIGHT, "wrong", HERE)
            except TooManyRequests:
                return True

    with ThreadPoolExecutor(16) as clients:
        checked = Counter(clients.map(attempt, range(16)))[False]
    assert checked == 10 - ahead


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("", "unknown"),
        ("no address", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, network: str) -> None:
    assert logins.network_of(address) == network


def wait(seconds: int) -> None:
    """Let the stored attempts grow older."""
    with (
        db.engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        for row in connection.execute(sa.select(LoginAttempt.__table__)).all():
            at = datetime.fromisoformat(row.at).replace(tzinfo=UTC) - timedelta(
                seconds=seconds
            )
            where = (LoginAttempt.address == row.address, LoginAttempt.slot == row.slot)
            connection.execute(
                sa.update(LoginAttempt).where(*where).values(at=f"{at:%Y-%m-%d %H:%M:%S}")
            )


def test_of_a_thousand_wrong_passwords_over_four_workers_ten_are_checked(
    database_url: str, any_app: Flask
) -> None:
    emptied(any_app)
    settings = {"SECRET_KEY": "s" * 32, "PORTAL_PASSWORD": RIGHT, "WEB_CONCURRENCY": "4"}
    with service(database_url, **settings) as live, ThreadPoolExecutor(20) as clients:
        statuses = [
            status
            for told in clients.map(lambda _: attempts(live.port, 50), range(20))
            for status in told
        ]
    assert Counter(statuses) == {401: 10, 429: 990}


def attempts(port: int, count: int) -> list[int]:
    """Send so many wrong passwords from one browser and return the statuses."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        return list(statuses_of(connection, count))


def statuses_of(connection: http.client.HTTPConnection, count: int) -> Iterator[int]:
    connection.request("GET", "/login")
    page = connection.getresponse()
    cookie, token = (
        page.headers["Set-Cookie"].split(";")[0],
        re.search(rb'csrf_token" value="([^"]+)', page.read()),
    )
    assert token
    form = f"csrf_token={token[1].decode()}&password=wrong"
    for _ in range(count):
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/login", form, headers)
        answer = connection.getresponse()
        answer.read()
        yield answer.status
