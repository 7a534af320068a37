"""Encodings: every name is stored as it was sent, whatever a database is set to; or the database is refused."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flask_migrate
import pytest
import sqlalchemy as sa
from conftest import KEY, Http, Portal
from flask import Flask
from test_failures import refused

import app as program
import config
import serving
from engine import database
from models import db

NAME = "ريم 😀 Élodie"
DOWN = "database_unavailable"
REEM = {"patientNo": "ع-1", "name": NAME}


@pytest.fixture
def server(backend: str, database_url: str) -> Iterator[sa.Engine]:
    url = config.read({"API_KEYS": KEY * 2, "DATABASE_URL": database_url}).database_url
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def run(server: sa.Engine, *statements: str) -> None:
    with server.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def created(server: sa.Engine, options: str) -> sa.URL:
    """Return the address of a new database with these options."""
    name = f"encoded_{uuid.uuid4().hex}"
    run(server, f"CREATE DATABASE {name} {options}")
    return server.url.set(database=name)


@contextmanager
def started(url: sa.URL) -> Iterator[Flask]:
    """Build an application as its start does, and tell what is wrong with its database."""
    text = url.render_as_string(hide_password=False)
    app = program.create_app(API_KEYS=f"tests:{KEY}", DATABASE_URL=text, LOG_LEVEL="ERROR")
    with app.app_context():
        serving.tell_outage(db.engine)
    yield app
    with app.app_context():
        db.engine.dispose()


def upgrade(app: Flask) -> None:
    with app.app_context():
        flask_migrate.upgrade()


# --- PostgreSQL: what a database is made in cannot be changed ----------------------------------


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "WIN1256"])
def test_a_database_in_another_encoding_is_refused_by_one_sentence_everywhere(
    server: sa.Engine, caplog: pytest.LogCaptureFixture, encoding: str
) -> None:
    if server.dialect.name != "postgresql":
        return
    url = created(server, f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    advice = "It cannot hold every name. Create it again: CREATE DATABASE ..."
    with started(url) as app:
        (told,) = [
            it.getMessage() for it in caplog.records if it.levelno == logging.CRITICAL
        ]
        assert f"THE DATABASE IS NOT IN UTF-8. {advice}" in told
        health = refused(app.test_client().get("/healthz"), 503, DOWN)
        answer = refused(
            Http(app.test_client()).post("/patient", REEM), 503, health["code"]
        )
        assert "it is not in UTF-8" in health["detail"] == answer["detail"]
        with pytest.raises(SystemExit, match="is not in UTF-8") as ended:
            upgrade(app)
        assert advice in str(ended.value)


def test_so_is_one_that_has_tables_from_before(server: sa.Engine) -> None:
    """An older program made them, and stored what it could."""
    if server.dialect.name != "postgresql":
        return
    url = created(server, "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    other = sa.create_engine(url, connect_args={"client_encoding": "utf8"})
    with other.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0005')")
    other.dispose()
    with started(url) as app:
        answer = refused(Http(app.test_client()).post("/patients", [REEM]), 503, DOWN)
        assert "it is not in UTF-8" in answer["detail"]


# --- MariaDB: its tables say what they are in --------------------------------------------------


def stores_every_name(url: sa.URL) -> None:
    with started(url) as app:
        upgrade(app)
        answer = Http(app.test_client()).post("/patient", REEM)
        assert answer.status_code in (200, 201), answer.text
        assert [it["name"] for it in Portal(app).stored("patient")] == [NAME]


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3", "cp1256"])
def test_a_mariadb_database_of_another_charset_stores_every_name(
    server: sa.Engine, charset: str
) -> None:
    if server.dialect.name == "mariadb":
        stores_every_name(created(server, f"CHARACTER SET {charset}"))


OPTIONS: list[dict[str, Any]] = [
    {"charset": "latin1"},
    {"charset": "utf8"},
    {"charset": "utf8mb3"},
    {"use_unicode": "0"},
]


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_a_charset_in_the_address_loses_no_letter(
    server: sa.Engine, option: dict[str, Any]
) -> None:
    if server.dialect.name == "mariadb":
        stores_every_name(created(server, "").update_query_dict(option))


@pytest.mark.parametrize("encoding", ["latin1", "sql_ascii"])
def test_nor_does_an_encoding_in_the_address(server: sa.Engine, encoding: str) -> None:
    if server.dialect.name == "postgresql":
        url = created(server, "ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0")
        stores_every_name(url.update_query_dict({"client_encoding": encoding}))


def test_a_server_that_prefers_another_charset_loses_no_letter(server: sa.Engine) -> None:
    if server.dialect.name != "mariadb":
        return
    names = [f"character_set_{it}" for it in ("server", "client", "connection", "results")]
    run(server, *(f"SET GLOBAL {name} = latin1" for name in names))
    try:
        stores_every_name(created(server, ""))
    finally:
        run(server, *(f"SET GLOBAL {name} = utf8mb4" for name in names))


def test_tables_that_somebody_converted_are_told_as_such(
    server: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    if server.dialect.name != "mariadb":
        return
    url = created(server, "")
    with started(url) as app:
        upgrade(app)
        caplog.clear()
        run(server, f"ALTER TABLE {url.database}.patient CONVERT TO CHARACTER SET latin1")
        answer = refused(Http(app.test_client()).post("/patient", REEM), 503, DOWN)
        assert "not in utf8mb4" in answer["detail"]
        assert "CONVERT TO CHARACTER SET utf8mb4" in caplog.text
        assert Portal(app).stored("patient") == []


def test_the_encoding_is_known_without_a_question(server: sa.Engine) -> None:
    """The server tells it as it connects."""
    if server.dialect.name != "postgresql":
        return
    statements: list[str] = []
    engine = sa.create_engine(server.url, **database.of_name("postgresql").options())
    database.of_name("postgresql").prepare(engine)
    sa.event.listen(engine, "before_cursor_execute", lambda *its: statements.append(its[2]))
    with engine.connect():
        pass
    engine.dispose()
    assert [it for it in statements if "encoding" in it] == []
