"""Sessions: they begin with a log-in and end with a log-out, for every worker, or after eight hours."""

import hashlib
import http.client
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa
from conftest import Portal, emptied
from flask import Flask
from live import KEY, service

import sync
from models import PortalSession, instant, moment_of
from portal import sessions

PASSWORD = "the-portal-password"
SETTINGS = {"SECRET_KEY": "s" * 32, "PORTAL_PASSWORD": PASSWORD}
HOURS = 3600


@pytest.fixture
def portal_open(portal: Portal) -> Iterator[Portal]:
    with portal.app.app_context():
        yield portal


def test_a_session_lasts_until_it_is_ended(portal_open: Portal) -> None:
    mine, yours = sessions.begin(), sessions.begin()
    assert (sessions.lasts(mine), sessions.lasts(yours)) == (True, True)
    sessions.end(mine)
    sessions.end(mine)
    assert (sessions.lasts(mine), sessions.lasts(yours)) == (False, True)


def test_of_a_token_only_its_digest_is_kept(portal_open: Portal) -> None:
    token = sessions.begin()
    (row,) = portal_open.stored("portal_session")
    assert row["digest"] == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(row)
    assert not sessions.lasts(row["digest"])


@pytest.mark.parametrize("wrong", ["", "x", "\x00", "كلمة", "\udc80", "x" * 100_000])
def test_another_token_opens_nothing(portal_open: Portal, wrong: str) -> None:
    token = sessions.begin()
    for other in (wrong, token + wrong + "x", token[:-1], token.swapcase()):
        assert not sessions.lasts(other)


def test_no_two_tokens_are_the_same(portal_open: Portal) -> None:
    tokens = {sessions.begin() for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 43  # 256 bits


def test_a_session_ends_after_eight_hours(portal_open: Portal) -> None:
    token = sessions.begin()
    pass_by(8 * HOURS - 600)
    assert sessions.lasts(token)
    pass_by(600)
    assert not sessions.lasts(token)


# Seconds that the clock jumped after the log-in; a negative number is a jump back.
@pytest.mark.parametrize(
    "jump", [-600, -24 * HOURS, -87_600 * HOURS, 8 * HOURS, 87_600 * HOURS]
)
def test_a_clock_that_jumped_either_way_keeps_no_session_alive(
    portal_open: Portal, jump: int
) -> None:
    token = sessions.begin()
    pass_by(jump)
    assert not sessions.lasts(token)
    later = sessions.begin()
    assert [row["digest"] for row in portal_open.stored("portal_session")] == [
        hashlib.sha256(later.encode()).hexdigest()
    ]


def test_a_log_in_removes_what_ended_and_nothing_else(portal_open: Portal) -> None:
    old = [sessions.begin() for _ in range(3)]
    pass_by(4 * HOURS)
    lasting = sessions.begin()
    pass_by(4 * HOURS)
    assert portal_open.count("portal_session") == 4
    new = sessions.begin()
    assert portal_open.count("portal_session") == 2
    assert [sessions.lasts(token) for token in (*old, lasting, new)] == [False] * 3 + [
        True
    ] * 2


def test_a_log_in_in_the_same_browser_replaces_its_session(portal_open: Portal) -> None:
    first = sessions.begin()
    second = sessions.begin(instead_of=first)
    assert (sessions.lasts(first), sessions.lasts(second)) == (False, True)


def test_of_many_log_ins_at_once_each_has_its_session(portal_open: Portal) -> None:
    start = Barrier(12)

    def begin(_: int) -> str:
        start.wait()
        with portal_open.app.app_context():
            return sessions.begin()

    with ThreadPoolExecutor(12) as browsers:
        tokens = list(browsers.map(begin, range(12)))
    assert all(map(sessions.lasts, tokens))


def pass_by(seconds: int) -> None:
    """Let the stored sessions be older by so many seconds."""
    by = timedelta(seconds=seconds)

    def work(connection: sa.Connection) -> None:
        for row in connection.execute(sa.select(PortalSession.__table__)).all():
            older = {
                name: instant(moment_of(getattr(row, name)) - by)
                for name in ("created_at", "expires_at")
            }
            this = PortalSession.digest == row.digest
            connection.execute(sa.update(PortalSession).where(this).values(older))

    sync.transact(work)


# --- On every worker ---------------------------------------------------------------------------


class Browser:
    """A browser that asks a new connection each time, and so one worker or another."""

    def __init__(self, port: int):
        self.port, self.cookie, self.csrf_token = port, "", ""

    def ask(self, path: str, form: str | None = None) -> tuple[int, str]:
        """Get a path, or post a form with the token of the last page; returns status and text."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": self.cookie,
        }
        body = None if form is None else f"csrf_token={self.csrf_token}&{form}"
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as way:
            way.request("GET" if form is None else "POST", path, body, headers)
            answer = way.getresponse()
            text = answer.read().decode()
        self.cookie = answer.headers.get("Set-Cookie", self.cookie).split(";")[0]
        found = re.search('csrf_token" value="([^"]+)', text)
        self.csrf_token = found[1] if found else self.csrf_token
        return answer.status, text


def test_after_log_out_no_worker_takes_the_old_cookie(
    database_url: str, any_app: Flask
) -> None:
    emptied(any_app)
    with service(database_url, **SETTINGS, WEB_CONCURRENCY="4") as live:
        browser, copy = Browser(live.port), Browser(live.port)
        browser.ask("/login")
        assert browser.ask("/login", f"password={PASSWORD}")[0] == 303
        browser.ask("/")
        copy.cookie, copy.csrf_token = browser.cookie, browser.csrf_token
        assert {copy.ask("/history")[0] for _ in range(20)} == {200}
        assert {KEY in copy.ask("/key", "")[1] for _ in range(20)} == {True}
        assert browser.ask("/logout", "")[0] == 303
        assert {copy.ask("/history")[0] for _ in range(40)} == {302}
        told = [copy.ask("/key", "") for _ in range(40)]
        assert {status for status, _ in told} == {401}
        assert not any(KEY in text for _, text in told)
