"""docs/upgrading.md, done on each database with the rows that the service's first version stored.

`first_version.json` holds what was sent to that version over HTTP (commit 196f4b5), and the rows that it made of it.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
import live
import programs
import pytest
import servers
import shown
import sqlalchemy as sa
from test_upgrades_at_once import differences, on, stored
from test_upgrading import as_text, refusal

import rekey
from app import create_app
from engine.entity import json_name
from models import db

ROOT = programs.ROOT
PAGE = (ROOT / "docs/upgrading.md").read_text(encoding="utf-8")
FIRST = json.loads(Path(__file__).with_name("first_version.json").read_text("utf-8"))
PROGRAM = (sys.executable, "-P", "-m", "flask", "--app", str(ROOT / "app"))  # ./flask
BLOCKS = shown.blocks("docs/upgrading.md")
BACKUP = {"sqlite": "./flask backup", "postgresql": "pg_dump", "mariadb": "mariadb-dump"}
BACK = {"sqlite": "rm -f", "postgresql": "dropdb", "mariadb": "mariadb --execute"}
ASKED = ("./flask rekey", "./flask db upgrade", "./flask doctor", "curl")
NOT_TRIED = ("git pull",)  # the page says so

# What today's rules make of what the first version stored: plural, id, field.
FORMED = {
    ("patients", 3): {"nationalID": "784199012345671"},
    ("patients", 5): {"patientNo": "10928"},
}
SENT = sum(map(len, FIRST["sent"].values()))
STUCK = "patient 1: patientNo stays as it is, for patient 15 holds today's form."


# --- The rows of the first version -------------------------------------------------------------


def tables() -> dict[str, sa.Table]:
    """Return the tables as they are in the database, by name."""
    metadata = sa.MetaData()
    metadata.reflect(db.engine, only=[*FIRST["rows"]])
    return {name: metadata.tables[name] for name in FIRST["rows"]}


def store_first_version() -> None:
    """Make the tables of the first revision, and the rows that its program made."""
    flask_migrate.upgrade(revision="0001")
    with db.engine.connect().execution_options(writes=True) as connection:
        for name, table in tables().items():
            # Each database gives the ids itself, so that it goes on behind them.
            rows = [{k: v for k, v in row.items() if k != "id"} for row in rows_of(name)]
            connection.execute(sa.insert(table), rows)
        connection.commit()


def rows_of(name: str) -> list[dict[str, Any]]:
    return FIRST["rows"][name]


def all_rows() -> dict[str, list[dict[str, Any]]]:
    """Return the rows that are stored now, as they stand in the file."""
    with db.engine.connect() as connection:
        return {name: in_order(connection, it) for name, it in tables().items()}


def in_order(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    found = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
    return [{name: plain(name, value) for name, value in row.items()} for row in found]


def plain(name: str, value: Any) -> Any:
    if name == "is_active":
        return bool(value)
    return value if isinstance(value, int | None) else str(value)


# --- The page's commands -----------------------------------------------------------------------


def test_every_command_of_the_page_is_run_or_said_not_to_be_tried() -> None:
    known = (*BACKUP.values(), *BACK.values(), *ASKED, *NOT_TRIED)
    assert [block for block in BLOCKS if not block.startswith(known)] == []
    assert [
        start for start in known if not any(it.startswith(start) for it in BLOCKS)
    ] == []


def block_of(start: str) -> str:
    """Return the page's block that begins like this."""
    (block,) = [block for block in BLOCKS if block.startswith(start)]
    return block.strip()


def run_block(start: str, url: sa.URL, folder: Path, port: int = 0) -> str:
    """Run a block of the page for this database and port, and return what it printed."""
    database = r"instance/clinic\.db|\bclinic\b"
    block = re.sub(database, str(url.database), block_of(start))
    block = block.replace("./flask", shlex.join(PROGRAM))
    done = subprocess.run(
        ["bash", "-ec", block.replace(":5082", f":{port}")],
        cwd=folder,
        env=os.environ | settings(url) | client_settings(url, folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_flask(words: str, url: sa.URL) -> str:
    """Run a `flask` command of the page, without a process of its own, and return what it printed."""
    app = create_app(**settings(url))
    runner = app.test_cli_runner(env=settings(url))  # which the doctor reads itself
    printed = runner.invoke(args=words.split()[1:]).output
    with app.app_context():
        db.engine.dispose()
    return printed


def client_settings(url: sa.URL, folder: Path) -> dict[str, str]:
    """Say where the servers' own programs find server and user, as whoever runs them has to."""
    login = f"host={url.host}\nport={url.port}\nuser={url.username}\n"
    (folder / ".my.cnf").write_text(f"[client]\n{login}")
    places = {"PGHOST": url.host, "PGPORT": url.port, "PGUSER": url.username}
    return {"HOME": str(folder)} | {name: str(place) for name, place in places.items()}


def settings(url: sa.URL) -> dict[str, str]:
    return {
        "API_KEYS": f"live:{live.KEY}",
        "DATABASE_URL": as_text(url),
        "LOG_LEVEL": "INFO",
    }


def back_up(backend: str, url: sa.URL, folder: Path) -> None:
    """Back up as the page says."""
    run_block(BACKUP[backend], url, folder)


# --- The service -------------------------------------------------------------------------------


@contextmanager
def four_at_once(url: sa.URL, folder: Path) -> Iterator[live.Service]:
    """Start two upgrades and two services at once; yields a service. What all of them say is in a file."""
    services = [in_background("./flask serve", url, folder) for _ in range(2)]
    try:
        upgrades = [in_background(block_of("./flask db"), url, folder) for _ in range(2)]
        ends = [upgrade.process.wait(servers.PATIENCE) for upgrade in upgrades]
        assert ends == [0, 0], said(folder)
        for service in services:
            servers.wait_until(service.answers, service.process)
        yield services[0]
    finally:
        for service in services:
            service.process.terminate()
            service.process.wait(servers.PATIENCE)


def in_background(words: str, url: sa.URL, folder: Path) -> live.Service:
    """Start a `flask` command of the page."""
    port = servers.free_port()
    with (folder / "said.txt").open("a") as output:
        process = subprocess.Popen(
            [*PROGRAM, *words.split()[1:]],
            cwd=ROOT,
            env=os.environ | settings(url) | {"PORT": str(port), "WEB_CONCURRENCY": "1"},
            stdout=output,
            stderr=output,
        )
    return live.Service(port, process)


def said(folder: Path) -> str:
    return (folder / "said.txt").read_text(encoding="utf-8")


def listed(service: live.Service, plural: str) -> list[dict[str, Any]]:
    """Return all records of an entity, by id, as a caller gets them."""
    url = f"http://127.0.0.1:{service.port}/api/healthcare/{plural}?limit=1000"
    request = urllib.request.Request(url, headers={"X-API-Key": live.KEY})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["data"]


def expected(plural: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return what a caller must get of a row of the first version: as it was, but for the form of numbers."""
    shown = {json_name(name): value for name, value in row.items()}
    return shown | FORMED.get((plural, row["id"]), {})


def check_all_is_there(service: live.Service) -> None:
    for plural in FIRST["sent"]:
        rows, records = rows_of(plural.removesuffix("s")), listed(service, plural)
        assert [record["id"] for record in records] == [row["id"] for row in rows]
        for row, record in zip(rows, records, strict=True):
            wanted = expected(plural, row)
            common = wanted.keys() & record.keys() - {"createdAt", "updatedAt"}
            assert {it: record[it] for it in common} == {it: wanted[it] for it in common}


def check_all_is_unchanged(service: live.Service) -> None:
    """Send the night again; it names records by references and former forms, which must lead to the same ones."""
    status, told = service.post("/sync", FIRST["sent"])
    assert (status, told["unchanged"], told["total"]) == (200, SENT, SENT), told


# --- The page, from top to bottom --------------------------------------------------------------


def test_the_first_version_is_upgraded_by_the_page_and_can_go_back(
    backend: str, empty: sa.URL, tmp_path: Path
) -> None:
    with on(empty):
        store_first_version()
        assert all_rows() == FIRST["rows"]
    back_up(backend, empty, tmp_path)
    assert STUCK in run_flask(block_of("./flask rekey"), empty)
    with four_at_once(empty, tmp_path) as service:
        assert said(tmp_path).count(STUCK) == 1
        assert "are this program's" in run_flask(block_of("./flask doctor"), empty)
        assert '"ok"' in run_block("curl", empty, tmp_path, service.port)
        check_all_is_there(service)
        follow_advice(empty, tmp_path)
        check_all_is_unchanged(service)
    run_block(BACK[backend], empty, tmp_path)
    with on(empty):
        assert stored("SELECT version_num FROM alembic_version") == [("0001",)]
        assert all_rows() == FIRST["rows"]
        flask_migrate.upgrade()
        assert differences() == []


def follow_advice(url: sa.URL, folder: Path) -> None:
    """Do what the upgrade advises about the record that waits for a person."""
    (advice,) = re.findall(r"flask --app app (merge patient .*)", said(folder))
    assert "Merged: " in run_flask(f"flask {advice} --yes", url)


# --- Half-way ----------------------------------------------------------------------------------


def test_what_was_done_of_an_upgrade_that_failed_is_as_the_page_says(
    backend: str, empty: sa.URL
) -> None:
    with on(empty):
        store_first_version()
        make_table_in_the_way()
    assert "A table that the upgrade creates is there already" in refusal(empty)
    with on(empty):
        done = "0004" if backend == "mariadb" else "0001"
        assert stored("SELECT version_num FROM alembic_version") == [(done,)]
        make_table_in_the_way(drop=True)
        flask_migrate.upgrade()
        assert differences() == []


def make_table_in_the_way(drop: bool = False) -> None:
    """Make (or drop) a table of the last revision, as if an upgrade had ended just behind it."""
    words = "DROP TABLE portal_session" if drop else "CREATE TABLE portal_session (x INT)"
    with db.engine.connect().execution_options(writes=True) as connection:
        connection.exec_driver_sql(words)
        connection.commit()


def test_numbers_are_put_into_todays_form_all_or_none(
    empty: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on(empty):
        store_first_version()
        with monkeypatch.context() as broken:
            broken.setattr(rekey._Rekeying, "_form_formers", power_cut)
            with pytest.raises(KeyboardInterrupt):
                flask_migrate.upgrade()
        assert all_rows() == FIRST["rows"]
        flask_migrate.upgrade()
        assert differences() == []
        (row,) = stored("SELECT national_id FROM patient WHERE id = 3")
        assert row == ("784199012345671",)


def power_cut(_: Any) -> None:
    """End an upgrade behind the rows, and before the former numbers."""
    raise KeyboardInterrupt
