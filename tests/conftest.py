"""Fixtures: a service on an empty database, spoken to without HTTP (`portal`) or with it (`http`)."""

import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import servers
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from library import Library, opened
from live import SERVER

import answers
import config
import sync
from app import create_app
from engine.problems import Problem
from models import db

KEY = "a-key-for-the-tests-only"
API = "/api/healthcare"
SAMPLES = Path(__file__).parent.parent / "samples"

slow = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
settings.register_profile("default", max_examples=300, **slow)
settings.register_profile("quick", max_examples=60, **slow)
settings.register_profile("thorough", max_examples=5000, **slow)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for `backend` on every database of this machine (on CI: on every database there is)."""
    if "backend" in metafunc.fixturenames:
        names = servers.available(required=bool(os.environ.get("CI")))
        if "server" in metafunc.fixturenames:  # SQLite has none
            names = [name for name in names if name != "sqlite"]
        metafunc.parametrize("backend", names, scope="session")


def pytest_report_header() -> str:
    return f"databases: {', '.join(servers.available())}"


@pytest.fixture(scope="session")
def database_url(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.running(backend, tmp_path_factory.mktemp(backend)) as url:
        yield url


@pytest.fixture(scope="session")
def any_app(database_url: str) -> Iterator[Flask]:
    with migrated(database_url) as app:
        yield app


@pytest.fixture(scope="session")
def server() -> None:
    """Ask for a database that is a server: see `pytest_generate_tests`."""


@pytest.fixture(scope="session")
def sqlite_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with migrated(f"sqlite:///{tmp_path_factory.mktemp('main') / 'clinic.db'}") as app:
        yield app


@pytest.fixture
def empty(backend: str, database_url: str, tmp_path: Path) -> sa.URL:
    """The address of an empty database; SQLite's is not there yet, nor is its folder."""
    if backend == "sqlite":
        return sa.make_url(f"sqlite:///{tmp_path}/data/clinic.db")
    url = config.read({"API_KEYS": KEY * 2, "DATABASE_URL": database_url}).database_url
    name = f"empty_{uuid.uuid4().hex}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return url.set(database=name)


@contextmanager
def migrated(url: str, **settings: str) -> Iterator[Flask]:
    """Yield an application whose database's schema is up to date."""
    app = create_app(
        **{
            "API_KEYS": f"tests:{KEY},second:{KEY}-2",
            "DATABASE_URL": url,
            "LOG_LEVEL": "WARNING",
        }
        | settings
    )
    if SERVER == "waitress":
        from over_waitress import Client

        app.test_client_class = Client
    with app.app_context():
        flask_migrate.upgrade()
    yield app
    with app.app_context():
        db.engine.dispose()


def emptied(app: Flask) -> Flask:
    """Return the application with all tables empty."""
    with (
        app.app_context(),
        db.engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        for table in reversed(db.metadata.sorted_tables):
            connection.execute(sa.delete(table))
    return app


class Portal:
    """The service without HTTP: what a record becomes, and what is stored."""

    def __init__(self, app: Flask):
        self.app = app
        self.schemas = app.extensions["schemas"]

    def send(
        self, entity: str, record: dict[str, Any] | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Send one record; a refusal comes back as in the results of a bulk."""
        with self.app.app_context():
            try:
                return sync.one(
                    self.schemas, entity, (record or {}) | fields, sync.Options()
                )
            except Problem as problem:
                told = {
                    "success": False,
                    "action": None,
                    "status": problem.status,
                    "code": problem.code,
                }
                return (
                    told
                    | {"key": problem.key, "detail": problem.detail}
                    | answers.members(problem)
                )

    def send_many(
        self, batches: dict[str, list], **options: bool
    ) -> dict[str, dict[str, Any]]:
        """Send lists by entity; returns the answer by entity."""
        wanted = sync.Options(**options)
        with self.app.app_context():
            used_up = {entity: list(records) for entity, records in batches.items()}
            reports = sync.many(self.schemas, used_up, wanted)
            return {
                entity: json.loads(answers.listed(it, dry_run=wanted.dry_run))
                for entity, it in reports.items()
            }

    def command(self, *words: str) -> str:
        """Run a `flask` command that must succeed."""
        result = self.app.test_cli_runner().invoke(args=list(words))
        assert result.exit_code == 0, result.output
        return result.output

    def stored(self, table: str) -> list[dict[str, Any]]:
        """Return all rows of a table, by id where it has one."""
        with self.app.app_context(), db.engine.connect() as connection:
            t = db.metadata.tables[table]
            rows = connection.execute(sa.select(t).order_by(*t.primary_key)).mappings()
            return [dict(row) for row in rows]

    def count(self, table: str) -> int:
        return len(self.stored(table))


@pytest.fixture
def portal(any_app: Flask) -> Portal:
    """On every database."""
    return Portal(emptied(any_app))


@pytest.fixture
def sqlite_portal(sqlite_app: Flask) -> Portal:
    """On SQLite only, for what does not depend on the database."""
    return Portal(emptied(sqlite_app))


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that stays open to servers: pytest closes its own to other users when another session starts."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        yield Path(name)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """The engine on records that are no clinic's."""
    with opened(tmp_path / "library.db") as empty:
        yield empty


def execute(app: Flask, statement: str) -> None:
    """Run a statement on an application's database behind its back; its next connections are new ones."""
    with app.app_context():
        with db.engine.connect() as connection:
            connection.execution_options(writes=True).exec_driver_sql(statement)
            connection.commit()
        db.engine.dispose()


class Http:
    """The service over HTTP, with the key."""

    def __init__(self, client: FlaskClient):
        self.client = client

    def post(
        self, path: str, body: Any, *, headers: dict[str, str] | None = None, **query: str
    ) -> Any:
        """Post JSON (or bytes as they are) below the API's root; returns werkzeug's test response."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"X-API-Key": KEY, "Content-Type": "application/json"} | (headers or {})
        sent = {name: value for name, value in sent.items() if value is not None}
        return self.client.post(f"{API}{path}", data=raw, headers=sent, query_string=query)


@pytest.fixture
def http(sqlite_app: Flask) -> Http:
    return Http(emptied(sqlite_app).test_client())


@pytest.fixture
def samples() -> dict[str, dict[str, Any]]:
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in SAMPLES.glob("*.json")
    }


@pytest.fixture
def stored(http: Http, samples: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The four samples, stored; returns them as they were sent."""
    records = {f"{entity}s": [sample] for entity, sample in samples.items()}
    assert http.post("/sync", records).get_json()["created"] == len(samples)
    return samples


@pytest.fixture(scope="session")
def document(sqlite_app: Flask) -> dict[str, Any]:
    answer = sqlite_app.test_client().get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    return answer.json
