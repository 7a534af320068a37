"""Outages: when one is over, and what looks like one and is none."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import API, KEY, Http, migrated
from flask import Flask
from test_failures import refused

from app import create_app
from engine import outages
from models import db

ALI = {"patientNo": "P-1", "name": "Ali"}
MANY = [{"patientNo": f"N-{i}", "name": f"Somebody {i}"} for i in range(1000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database file, in a folder of its own."""
    return tmp_path / "data" / "clinic.db"


@pytest.fixture
def app(path: Path) -> Iterator[Flask]:
    with migrated(f"sqlite:///{path}") as app:
        yield app


@pytest.fixture
def engine(app: Flask) -> sa.Engine:
    with app.app_context():
        return db.engine


@pytest.fixture
def http(app: Flask) -> Http:
    return Http(app.test_client())


def get(http: Http, path: str) -> Any:
    return http.client.get(f"{API}{path}", headers={"X-API-Key": KEY})


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [it.getMessage() for it in caplog.records if it.levelno == level]


@pytest.fixture
def full(engine: sa.Engine) -> Iterator[None]:
    """As if the disk had no room for another page."""

    def limit(connection: sa.Connection) -> None:
        connection.exec_driver_sql(
            "PRAGMA max_page_count=1"
        )  # SQLite takes its size for it

    sa.event.listen(engine, "begin", limit)
    yield
    sa.event.remove(engine, "begin", limit)


@pytest.mark.usefixtures("full")
def test_a_full_disk_stays_full_while_others_only_read(
    http: Http, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        refused(http.post("/patients", MANY), 503, "database_unavailable")
        assert get(http, "/patients").status_code == 200
    assert len(messages(caplog, logging.CRITICAL)) == 1
    assert messages(caplog, logging.WARNING) == []


def test_it_is_over_when_somebody_wrote(
    http: Http, caplog: pytest.LogCaptureFixture, engine: sa.Engine
) -> None:
    outages.watch_of(engine).begins(outages.FULL, "test")
    assert http.post("/patient", ALI).status_code == 201
    (warning,) = messages(caplog, logging.WARNING)
    assert "takes records again" in warning


def test_a_pool_that_is_used_up_is_no_outage_of_the_server(
    http: Http,
    engine: sa.Engine,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine.pool, "_timeout", outages.LONG + 0.1)
    pool = engine.pool
    held = [engine.connect() for _ in range(pool.size() + pool._max_overflow)]
    refused(get(http, "/patients"), 503, "database_unavailable")
    for connection in held:
        connection.close()
    assert get(http, "/patients").status_code == 200
    assert messages(caplog, logging.CRITICAL) == []


def test_a_folder_that_is_gone_is_an_outage(http: Http, path: Path) -> None:
    away = path.parent.with_name("away")
    assert http.post("/patient", ALI).status_code == 201
    path.parent.rename(away)
    path.parent.write_text("a file in the place of the folder", encoding="utf-8")
    refused(get(http, "/patients"), 503, "database_unavailable")
    assert http.client.get("/healthz").status_code == 503
    path.parent.unlink()
    away.rename(path.parent)
    assert "P-1" in get(http, "/patients").text


def test_a_file_that_cannot_be_opened_is_told_as_that(
    http: Http, path: Path, engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.dispose()
    path.rename(path.with_name("away.db"))
    path.mkdir()
    refused(get(http, "/patients"), 503, "database_unavailable")
    assert "unreadable" in messages(caplog, logging.CRITICAL)[0].lower()
    path.rmdir()
    os.rename(path.with_name("away.db"), path)
    assert http.post("/patient", ALI).status_code == 201


def test_tables_are_checked_also_right_after_the_machine_was_started(
    path: Path, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.connect().execution_options(writes=True) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    another = create_app(API_KEYS=f"t:{KEY}", DATABASE_URL=f"sqlite:///{path}")
    started = time.monotonic() - 3
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() - started)
    answer = Http(another.test_client()).post("/patient", ALI)
    refused(answer, 503, "database_unavailable")
