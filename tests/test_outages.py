"""Outages: a database that takes no records is told as what it is, once, and nothing is written to it."""

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
import servers
import sqlalchemy as sa
from conftest import API, KEY, Http, Portal, emptied, execute, migrated
from flask import Flask
from test_failures import refused

import app as program
import history
import serving
import sync
from engine import database, outages
from engine.sqlite_file import SQLiteFile
from models import REVISION, db

ALI = {"patientNo": "P-1", "name": "Ali"}
SARA = {"patientNo": "P-2", "name": "Sara"}
MANY = [{"patientNo": f"N-{i}", "name": f"Somebody {i}"} for i in range(3000)]


# --- What an error means -----------------------------------------------------------------------


class DriverError(Exception):
    """An error as a driver raises it: with a number, an SQLSTATE or SQLite's name for it."""

    def __init__(self, code: Any):
        super().__init__(*([code] if isinstance(code, int) else []))
        name = "sqlite_errorname" if str(code).startswith("SQLITE") else "sqlstate"
        setattr(self, name, None if isinstance(code, int) else code)


# --- A file that is replaced, removed or damaged -----------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clinic.db"


@pytest.fixture
def app(path: Path) -> Iterator[Flask]:
    with migrated(f"sqlite:///{path}") as app:
        yield app


@pytest.fixture
def http(app: Flask) -> Http:
    return Http(app.test_client())


def copy_of(path: Path, name: str = "copy.db") -> Path:
    """Return a whole copy of a database that is in use."""
    copy = path.parent / name
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    return copy


def numbers(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("SELECT patient_no FROM patient")]


def criticals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it.getMessage() for it in caplog.records if it.levelno == logging.CRITICAL]


def healthy(http: Http) -> tuple[int, str]:
    answer = http.client.get("/healthz")
    return answer.status_code, answer.get_data(as_text=True)


def replace(path: Path) -> None:
    os.replace(copy_of(path), path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [replace, remove])
@pytest.mark.parametrize(
    ("where", "body"), [("/patient", SARA), ("/patients", [SARA]), ("/patients", MANY)]
)
def test_a_file_that_is_replaced_or_removed_is_noticed_before_the_next_commit(
    *,
    http: Http,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[Path], None],
    where: str,
    body: Any,
) -> None:
    assert http.post("/patient", ALI).status_code == 201
    kept = copy_of(path, "kept.db")
    change(path)
    refused(http.post(where, body), 503, "database_unavailable")
    assert len(criticals(caplog)) == 1
    assert "REPLACED" in criticals(caplog)[0]
    if not path.exists():
        assert healthy(http)[0] == 503
        refused(http.post(where, body), 503, "database_unavailable")
        assert not path.exists()  # nobody made an empty one
        os.replace(kept, path)
    assert http.post("/patient", SARA).status_code == 201
    assert numbers(path) == ["P-1", "P-2"]
    assert healthy(http)[0] == 200


def test_a_file_that_is_replaced_during_a_bulk_is_noticed_before_its_commit(
    http: Http, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert http.post("/patient", ALI).status_code == 201
    write = history.write

    def write_and_replace(*args: Any, **kwargs: Any) -> None:
        write(*args, **kwargs)
        os.replace(copy, path)

    copy = copy_of(path)
    monkeypatch.setattr(history, "write", write_and_replace)
    refused(http.post("/patients", [SARA]), 503, "database_unavailable")
    assert numbers(path) == ["P-1"]


def test_a_file_that_is_moved_away_and_back_is_the_right_one(
    http: Http, path: Path
) -> None:
    assert http.post("/patient", ALI).status_code == 201
    os.rename(path, path.parent / "away.db")
    refused(http.post("/patient", SARA), 503, "database_unavailable")
    os.rename(path.parent / "away.db", path)
    assert http.post("/patient", SARA).status_code == 201
    assert numbers(path) == ["P-1", "P-2"]


def damage(path: Path, *, header: bool = False) -> None:
    """Overwrite all pages of a file but the first, or the first alone."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(0 if header else 4096)
        file.write(b"\xa5" * (100 if header else size - 4096))


@pytest.mark.parametrize("header", [False, True])
def test_nothing_is_written_to_a_damaged_file_until_somebody_has_looked(
    http: Http, path: Path, app: Flask, caplog: pytest.LogCaptureFixture, header: bool
) -> None:
    assert http.post("/patient", ALI).status_code == 201
    kept = copy_of(path, "kept.db")
    with app.app_context():
        db.engine.dispose()  # what is in memory hides the damage
    damage(path, header=header)
    for body in ([SARA], MANY):
        refused(http.post("/patients", body), 503, "database_unavailable")
    assert len(criticals(caplog)) == 1
    assert "DAMAGED" in criticals(caplog)[0]
    assert path.with_name("clinic.db-damaged").exists()  # for the other processes
    with migrated_again(path) as other:
        refused(
            Http(other.test_client()).post("/patient", SARA), 503, "database_unavailable"
        )
    os.replace(kept, path)
    with migrated(f"sqlite:///{path}") as restarted:
        assert Http(restarted.test_client()).post("/patient", SARA).status_code == 201
    assert numbers(path) == ["P-1", "P-2"]


def test_a_mark_keeps_every_process_from_its_file_and_no_other(
    http: Http, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert http.post("/patient", ALI).status_code == 201
    SQLiteFile(str(path)).mark_damaged()
    refused(http.post("/patient", SARA), 503, "database_unavailable")
    assert "damaged" in healthy(http)[1]
    assert numbers(path) == ["P-1"]
    replace(path)
    with migrated_again(path) as restarted:
        assert Http(restarted.test_client()).post("/patient", SARA).status_code == 201


def migrated_again(path: Path) -> Any:
    """Return another process's application on the same file; it upgrades nothing."""
    return nullcontext(started(f"sqlite:///{path}"))


def started(url: str) -> Flask:
    return program.create_app(API_KEYS=f"tests:{KEY}", DATABASE_URL=url, LOG_LEVEL="ERROR")


# --- Health ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE alembic_version SET version_num = '0001'", "of an older revision"),
        ("UPDATE alembic_version SET version_num = '9999'", "of a newer revision"),
        ("DELETE FROM alembic_version", "without tables"),
        ("DROP TABLE alembic_version", "without tables"),
    ],
)
def test_tables_of_another_revision_are_told_and_not_written_to(
    http: Http, app: Flask, change: str, reason: str
) -> None:
    with app.app_context():
        with db.engine.connect() as connection, connection.begin():
            connection.exec_driver_sql(change)
        db.engine.dispose()
    status, text = healthy(http)
    assert (status, reason in text) == (503, True)
    answer = refused(http.post("/patients", [ALI]), 503, "database_unavailable")
    assert reason in answer["detail"]
    assert Portal(app).stored("patient") == []


def test_a_running_service_notices_an_upgrade_by_a_newer_program(
    http: Http, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert http.post("/patient", ALI).status_code == 201
    monkeypatch.setattr(outages, "RECHECK", 0)
    with app.app_context(), db.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    refused(http.post("/patient", SARA), 503, "database_unavailable")
    with app.app_context(), db.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{REVISION}'")
    assert http.post("/patient", SARA).status_code == 201


def tell_outage(app: Flask) -> None:
    with app.app_context():
        serving.tell_outage(db.engine)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///{folder}/none.db", "WITHOUT TABLES"),
        ("postgresql://clinic:a-secret-password@127.0.0.1:1/clinic", "DOWN"),
    ],
)
def test_the_start_tells_what_is_wrong_with_the_database(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str, reason: str
) -> None:
    tell_outage(started(url.format(folder=tmp_path)))
    (told,) = criticals(caplog)
    assert reason in told
    assert "a-secret-password" not in caplog.text
    assert list(tmp_path.iterdir()) == []


SET = "UPDATE alembic_version SET version_num = '{}'"
HIDE, SHOW = (
    f"ALTER TABLE {name} RENAME TO {other}"
    for name, other in (("alembic_version", "hidden"), ("hidden", "alembic_version"))
)


@pytest.mark.parametrize(
    ("change", "back", "reason"),
    [
        (SET.format("0001"), SET.format(REVISION), "of an older revision"),
        (SET.format("9999"), SET.format(REVISION), "of a newer revision"),
        (HIDE, SHOW, "without tables"),
    ],
)
def test_every_database_of_another_revision_is_told_at_the_start(
    any_app: Flask,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
    change: str,
    back: str,
    reason: str,
) -> None:
    execute(any_app, change)
    try:
        app = started(database_url)
        tell_outage(app)
        (told,) = criticals(caplog)
        assert f"THE DATABASE IS {reason.upper()}. " in told
        http = Http(app.test_client())
        assert (
            reason
            in refused(http.client.get("/healthz"), 503, "database_unavailable")["detail"]
        )
        refused(http.post("/patients", [ALI]), 503, "database_unavailable")
        with app.app_context():
            db.engine.dispose()
    finally:
        execute(any_app, back)


def test_the_revision_is_the_newest_of_the_migrations() -> None:
    files = (Path(__file__).parent.parent / "migrations/versions").glob("[0-9]*.py")
    assert max(files).name.split("_")[0] == REVISION


def test_a_full_disk_and_a_file_that_can_only_be_read_are_told(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
        assert healthy(http)[0] == 503
        assert "full" in healthy(http)[1]
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)  # root may write to everything
        assert "read-only" in healthy(http)[1]
    assert healthy(http) == (200, '{"status":"ok"}\n')


def test_a_check_that_hangs_is_answered_and_holds_one_thread(
    http: Http, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "HEALTH_SECONDS", 0.05)
    calls = []

    def hang(*_: Any) -> None:
        calls.append(1)
        time.sleep(1)

    monkeypatch.setattr(database, "_look", hang)
    assert [healthy(http)[0] for _ in range(5)] == [503] * 5
    assert len(calls) == 1


# --- Servers -----------------------------------------------------------------------------------


def admin(app: Flask, *statements: str) -> None:
    with app.app_context():
        with db.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        db.engine.dispose()


def test_a_server_that_became_read_only_is_an_outage_of_the_whole(
    any_app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    kind = any_app.config["SQLALCHEMY_DATABASE_URI"].get_backend_name()
    if kind != "postgresql":
        return  # MariaDB's root may write all the same; SQLite has its own tests
    http = Http(emptied(any_app).test_client())
    name = any_app.config["SQLALCHEMY_DATABASE_URI"].database
    admin(any_app, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        refused(http.post("/patient", ALI), 503, "database_unavailable")
        refused(http.post("/patients", MANY), 503, "database_unavailable")
        assert "read-only" in healthy(http)[1]
    finally:
        admin(
            any_app,
            "SET default_transaction_read_only = off",
            f"ALTER DATABASE {name} RESET default_transaction_read_only",
        )
    assert len(criticals(caplog)) == 1
    assert len(caplog.records) < 10
    assert http.post("/patient", ALI).status_code == 201


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[servers.Server]:
    """A server of its own: to freeze it harms nobody else."""
    if request.param not in servers.available(required=bool(os.environ.get("CI"))):
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path / "server"
    folder.mkdir()
    started = servers.prepared(request.param, folder)
    started.start()
    yield started
    started.stop()


def test_a_frozen_server_holds_nobody_for_long(
    server: servers.Server, caplog: pytest.LogCaptureFixture
) -> None:
    with migrated(server.url) as app:
        http = Http(app.test_client())
        assert http.post("/patient", ALI).status_code == 201
        with servers.frozen(server):
            assert _seconds(lambda: healthy(http)) < 3
            assert healthy(http)[0] == 503
            assert _seconds(lambda: http.client.get("/healthz?within=26h")) < 3
            assert _seconds(lambda: http.post("/patient", SARA)) < 16
            # Whoever comes now is not kept waiting.
            assert _seconds(lambda: http.post("/patients", MANY)) < 3
            assert http.post("/patient", SARA).status_code == 503
        assert len(criticals(caplog)) == 1
        time.sleep(outages.PAUSE)
        assert http.post("/patient", SARA).status_code == 201
        assert healthy(http)[0] == 200


def test_whoever_keeps_asking_is_served_when_the_pause_is_over(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise sa.exc.OperationalError("INSERT", {}, DriverError(2013))

    monkeypatch.setattr(outages, "PAUSE", 0.3)
    monkeypatch.setattr(outages, "LONG", -1)
    with monkeypatch.context() as patch:
        patch.setattr(database, "insert_for_ids", fail)
        refused(http.post("/patient", ALI), 503, "database_unavailable")
    ends = time.monotonic() + 5
    while http.post("/patient", ALI).status_code == 503:
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert http.post("/patient", SARA).status_code == 201


def _seconds(work: Callable[[], Any]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


# --- Waiting -----------------------------------------------------------------------------------


def test_a_dry_run_beside_a_locked_file_waits_a_second_at_most_for_its_history(
    http: Http, app: Flask, path: Path
) -> None:
    assert http.post("/patient", ALI).status_code == 201
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        assert http.post("/patients", [SARA], dryRun="true").status_code == 200
        assert time.monotonic() - started < database.LOCK_WAIT_SECONDS / 2
        other.execute("ROLLBACK")
    assert http.post("/patients", [SARA], dryRun="true").status_code == 200
    rows = http.client.get(f"{API}/syncs", headers={"X-API-Key": KEY}).json["data"]
    assert [it["dryRun"] for it in rows] == [True, False]


def test_the_wait_for_the_turn_is_part_of_the_wait_for_the_lock(
    app: Flask, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []

    def note(connection: Any, _record: Any) -> None:
        connection.set_trace_callback(
            lambda sql: waits.append(int(sql.rpartition("=")[2])) if "busy" in sql else None
        )

    with app.app_context():
        db.engine.dispose()
        sa.event.listen(db.engine, "connect", note)
        for seconds in (3, 3, 10):
            database.transact(db.engine, lambda _: None, patience=seconds)
    assert [round(wait / 1000) for wait in waits] == [3, 10]


def test_the_log_of_a_file_shrinks_again_after_a_long_reader(
    http: Http, app: Flask, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = path.parent / "clinic.db-wal"
    with app.app_context():
        db.engine.dispose()
        sa.event.listen(db.engine, "connect", _small_log)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM patient").fetchone()
        assert http.post("/patients", MANY).status_code == 200
        grown = log.stat().st_size
        assert grown > 5 * LOG_BYTES
    for i in range(3):
        assert http.post("/patient", ALI | {"email": f"a{i}@x.example"}).status_code < 300
    assert log.stat().st_size <= 2 * LOG_BYTES


LOG_BYTES = 40_000


def _small_log(connection: sqlite3.Connection, _record: Any) -> None:
    """Let the limit and the checkpoint come sooner than in the service, so that the test can be small."""
    (limit,) = connection.execute("PRAGMA journal_size_limit").fetchone()
    assert 0 < limit <= 64 << 20
    connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
    connection.execute("PRAGMA wal_autocheckpoint=10")


@pytest.mark.parametrize("lock", ["door", "room"])
def test_a_lock_that_cannot_be_had_is_told_once_and_everybody_goes_on(
    http: Http, path: Path, caplog: pytest.LogCaptureFixture, lock: str
) -> None:
    file = path.parent / f"clinic.db-{lock}"
    file.unlink(missing_ok=True)
    file.symlink_to(path.parent / "nowhere" / "at-all")  # neither readable nor to be made
    for i in range(3):
        assert http.post("/patient", ALI | {"email": f"a{i}@x.example"}).status_code < 300
    told = [
        it.getMessage() for it in caplog.records if "cannot be locked" in it.getMessage()
    ]
    assert len(told) == 1
    assert str(path.parent) not in told[0]


@pytest.mark.parametrize(("seconds", "tries"), [(database.PATIENCE, 1), (0, 2)])
def test_a_request_waits_for_a_locked_database_once(
    http: Http, monkeypatch: pytest.MonkeyPatch, seconds: float, tries: int
) -> None:
    """However many chunks there are, so that its answer is there within 15 seconds. A short outage is tried twice."""
    clock, tried = Clock(), []

    def wait_in_vain(*_: Any, **__: Any) -> None:
        tried.append(1)
        clock.now += seconds
        raise database.unavailable()

    monkeypatch.setattr(sync, "time", clock)
    monkeypatch.setattr(database, "transact", wait_in_vain)
    body = {"clinics": [{"code": "C-1", "name": "Teeth"}], "patients": [ALI], "doctors": []}
    refused(http.post("/sync", body), 503, "database_unavailable")
    assert len(tried) == tries


class Clock:
    """Time that passes when somebody says so."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_the_history_of_an_outage_is_not_waited_for(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fail(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise database.unavailable()

    monkeypatch.setattr(database, "transact", fail)
    monkeypatch.setattr(sync, "GIVE_UP_AFTER", 2)
    refused(http.post("/patients", [ALI]), 503, "database_unavailable")
    assert len(tried) == 1
