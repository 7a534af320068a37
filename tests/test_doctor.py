"""The doctor: each line says that something is good, or what to do about it; it changes nothing and shows no secret."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import programs
import pytest
from conftest import emptied, execute, migrated
from flask import Flask
from test_outages import damage
from test_overdue import ago, note

import config
from engine import checkup
from engine.checkup import Bug, Finding, Mark
from models import REVISION
from terminal import doctor

STRONG = "kX2vQ9pLm4Zt7RwB"
SECRETS = {
    "API_KEYS": f"tests:{STRONG}-1,second:{STRONG}-2",
    "SECRET_KEY": f"{STRONG}-3",
    "PORTAL_PASSWORD": f"{STRONG}-4",
}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Settings that are good, with a database that is not there yet."""
    return SECRETS | {"DATABASE_URL": f"sqlite:///{tmp_path}/data/clinic.db"}


@pytest.fixture
def ready(env: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """The same, with a database of this program's revision and a backup."""
    with migrated(env["DATABASE_URL"]):
        backup_of(tmp_path, "clinic-2026-06-01-020000.db")
        yield env


def backup_of(folder: Path, name: str, **age: float) -> Path:
    file = folder / "data" / "backups" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"SQLite format 3\0")
    then = time.time() - timedelta(**age).total_seconds()
    os.utime(file, (then, then))
    return file


def case(env: dict[str, str], text: str | None = None) -> doctor.Case:
    """Return a case whose `.env` is beside the database's folder; with this text, if it is there."""
    file = Path(env["DATABASE_URL"].removeprefix("sqlite:///")).parent.parent / ".env"
    if text is not None:
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
    return doctor.Case(env, file)


def told(findings: Iterator[Finding], *marks: Mark) -> list[str]:
    """Return what is not good, or has one of these marks; nothing may hold a secret."""
    found = list(findings)
    assert STRONG not in str(found)
    wanted = marks or (Mark.LOOK, Mark.DO)
    return [it.text for it in found if it.mark in wanted]


def examined(env: dict[str, str]) -> list[str]:
    """Return what is to be done."""
    return told(doctor.examine(case(env)), Mark.DO)


# --- The whole ---------------------------------------------------------------------------------


def test_where_all_is_good_there_is_nothing_to_do(ready: dict[str, str]) -> None:
    lines = list(doctor.examine(case(ready, "# all in the environment\n")))
    assert [it.text for it in lines if it.mark is Mark.DO] == []
    assert len(lines) > 12
    assert re.fullmatch(r"(good |look |DO   ) \S.*", str(lines[0]))


def test_it_changes_nothing(ready: dict[str, str], tmp_path: Path) -> None:
    before = {
        file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()
    }
    list(doctor.examine(case(ready)))
    after = {
        file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()
    }
    beside = re.compile("-(wal|shm)$")  # SQLite's own, while it is open
    assert {it: at for it, at in after.items() if not beside.search(it.name)} == {
        it: at for it, at in before.items() if not beside.search(it.name)
    }


def test_a_database_that_is_not_there_is_a_line_and_nobody_makes_one(
    env: dict[str, str], tmp_path: Path
) -> None:
    lines = examined(env)
    assert "is without tables. Run: flask --app app db upgrade" in lines[0]
    assert not (tmp_path / "data").exists()


def test_a_check_that_fails_is_a_line_and_the_next_goes_on(
    ready: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise PermissionError("/secret/place")

    monkeypatch.setattr(doctor, "CHECKS", (fail, doctor.backups))
    lines = [it.text for it in doctor.examine(case(ready))]
    assert lines[0] == "fail: could not be looked at (PermissionError)."
    assert "last backup" in lines[1]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no.such.host.invalid"])
@pytest.mark.parametrize("scheme", ["postgresql", "mariadb"])
def test_a_database_that_is_down_is_told_without_its_password(
    env: dict[str, str], scheme: str, address: str
) -> None:
    url = f"{scheme}://clinic:{STRONG}@{address}/clinic"
    lines = list(
        doctor.examine(doctor.Case(env | {"DATABASE_URL": url}, Path("/none/.env")))
    )
    assert STRONG not in str(lines)
    (down,) = [it.text for it in lines if it.mark is Mark.DO]
    assert address.partition(":")[0] in down
    assert any("TIME_ZONE" in it.text for it in lines)  # it went on


# --- As a command ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs.copied(tmp_path_factory.mktemp("doctor"))


def flask_doctor(root: Path, **settings: str) -> tuple[int, str]:
    """Run the command; returns its exit status and what it printed."""
    left = {"API_KEYS": "", "DATABASE_URL": ""}  # not those of whoever runs the tests
    process = programs.started(
        (sys.executable, "-m", "flask", "--app", "app", "doctor"), root, **(left | settings)
    )
    said, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    return process.returncode, said


def test_it_works_without_a_single_setting(root: Path) -> None:
    status, said = flask_doctor(root)
    assert status == 1
    assert "DO    API_KEYS is not set." in said
    assert "`flask serve`: it writes one" in said
    assert "is without tables" in said


def test_it_works_where_the_service_does_not_start(
    root: Path, ready: dict[str, str]
) -> None:
    status, said = flask_doctor(root, **(ready | {"PORT": "x", "MAX_BATCH": "0"}))
    assert status == 1
    assert re.findall(r"DO +(\w+) must be", said) == ["PORT", "MAX_BATCH"]
    assert f"(revision {REVISION})" in said
    assert STRONG not in said


def test_its_exit_status_is_0_if_nothing_is_to_be_done(
    root: Path, ready: dict[str, str]
) -> None:
    status, said = flask_doctor(root, **ready)
    assert (status, "DO " in said) == (0, False), said


# --- Settings and secrets ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "PORTAL_PASWORD=x\n",
            ["sets PORTAL_PASWORD, which no setting is called. Is it PORTAL_PASSWORD?"],
        ),
        ("port=1\n", ["sets port, which no setting is called. Is it PORT?"]),
        ("COLOUR=red\n", ["sets COLOUR, which no setting is called. Take it out."]),
        ("# one\n\nthis is no setting\n", ["line 3: is no NAME=value."]),
        ("PORT=1\nHOST=x\nPORT=2\n", ["sets PORT twice"]),
        ("# none\nexport PORT=1\n\nFLASK_DEBUG=0\nPYTHONUTF8=1\n", []),
        ("\ufeffPORT=1\n", []),  # as Windows' editors save it
    ],
)
def test_names_and_lines_that_mean_nothing(
    env: dict[str, str], text: str, expected: list[str]
) -> None:
    it = case(env, text)
    lines = told(doctor.env_lines(it)) + told(doctor.env_names(it))
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert words in line


def test_each_setting_that_makes_no_sense_is_told_at_once(env: dict[str, str]) -> None:
    wrong = {"PORT": "x", "TIME_ZONE": "Mars", "API_KEYS": "", "HISTORY_DAYS": "-1"}
    lines = told(doctor.settings(case(env | wrong)))
    assert {line.split()[0] for line in lines} == {*wrong}


def test_a_fault_of_two_settings_together_is_told(env: dict[str, str]) -> None:
    alone = {name: value for name, value in env.items() if name != "SECRET_KEY"}
    (line,) = told(doctor.settings(case(alone)))
    assert "needs a SECRET_KEY" in line


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"HOST": "0.0.0.0"}, "HOST"),
        ({"HOST": "0.0.0.0", "TRUSTED_PROXIES": "1"}, "TRUSTED_PROXIES"),
        ({"HISTORY_DAYS": "1"}, "HISTORY_DAYS"),
        ({"LOG_LEVEL": "debug"}, "LOG_LEVEL"),
    ],
)
def test_odd_values_are_told(
    env: dict[str, str], changes: dict[str, str], name: str
) -> None:
    assert told(doctor.odd_values(case(env))) == []
    (line,) = told(doctor.odd_values(case(env | changes)))
    assert line.startswith(name)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"API_KEYS": "tests:short"}, "API_KEYS: THE KEY 'tests' IS EASY TO GUESS"),
        ({"API_KEYS": f"a:{config.PLACEHOLDER}"}, "THE KEY 'a' IS EASY"),
        ({"API_KEYS": f"a:{'abc' * 9}"}, "API_KEYS: the key 'a' IS EASY TO GUESS: few"),
        ({"SECRET_KEY": "1" * 32}, "SECRET_KEY IS EASY TO GUESS"),
        ({"PORTAL_PASSWORD": "clinic"}, "PORTAL_PASSWORD IS EASY TO GUESS. Anybody"),
        ({"PORTAL_PASSWORD": f"{STRONG}-3"}, "PORTAL_PASSWORD is the same as another"),
        ({"API_KEYS": f"a:{STRONG},b:{STRONG}"}, "the key 'b' is the same as another"),
    ],
)
def test_secrets_that_are_easy_to_guess(
    env: dict[str, str], changes: dict[str, str], expected: str | None
) -> None:
    found = told(doctor.secrets(case(env | changes)))
    assert any(expected in line for line in found) if expected else found == []


@pytest.mark.parametrize(
    ("mode", "is_good"), [(0o600, True), (0o640, False), (0o604, False)]
)
def test_who_may_read_the_secrets(env: dict[str, str], mode: int, is_good: bool) -> None:
    it = case(env, "PORT=1\n")
    it.file.chmod(mode)
    assert (told(doctor.env_file(it)) == []) == is_good


# --- Files -------------------------------------------------------------------------------------


def test_a_log_beside_the_database_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "is_exposed", lambda file: file.name.endswith("-wal"))
    (line,) = told(checkup.secrecy(tmp_path / "clinic.db"))
    assert "clinic.db-wal." in line


# --- SQLite ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "has_it"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),  # Debian 12's
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_which_versions_of_sqlite_have_the_bug(
    version: tuple[int, ...], has_it: bool
) -> None:
    (bug,) = checkup.BUGS
    assert bug.is_in(version) == has_it


def test_a_known_bug_is_something_to_look_at(
    ready: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for since, mark in (((3, 0, 0), Mark.LOOK), ((9, 0, 0), Mark.GOOD)):
        monkeypatch.setattr(checkup, "BUGS", (Bug(since, ((9, 9, 9),), "it bites"),))
        (line,) = [it for it in doctor.examine(case(ready)) if "SQLite " in it.text]
        assert (line.mark, "it bites" in line.text) == (mark, mark is Mark.LOOK)


def test_a_damaged_file_is_told_and_left_as_it_is(
    ready: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "data" / "clinic.db"
    damage(file)
    before = file.read_bytes()
    assert any("is damaged. Keep a copy" in line for line in examined(ready))
    assert file.read_bytes() == before
    assert not file.with_name("clinic.db-damaged").exists()


def test_a_large_file_is_not_checked_for_ever(
    ready: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "QUICK_CHECK_SECONDS", -1)
    monkeypatch.setattr(checkup, "STEPS", 1)
    lines = told(doctor.examine(case(ready)))
    assert any("too large to check" in line for line in lines)
    assert any("No row is in the future" in it.text for it in doctor.examine(case(ready)))


def test_unsafe_settings_are_told_with_what_they_cost() -> None:
    values = {"journal_mode": "delete", "synchronous": 1, "foreign_keys": 1}
    lines = told(checkup.compared(checkup.SQLITE, values.get), Mark.DO)
    assert [line.split()[0] for line in lines] == ["journal_mode", "synchronous"]
    assert "Set it to 2." in lines[1]


# --- Servers -----------------------------------------------------------------------------------


@pytest.fixture
def prepared(any_app: Flask, database_url: str) -> dict[str, str]:
    emptied(any_app)
    return SECRETS | {"DATABASE_URL": database_url}


def on_server(env: dict[str, str], *marks: Mark) -> list[str]:
    return told(doctor.of_database(doctor.Case(env, Path("/none/.env"))), *marks)


def test_a_database_as_it_is_installed_is_good(
    prepared: dict[str, str], backend: str
) -> None:
    assert on_server(prepared, Mark.DO) == []
    good = " ".join(on_server(prepared, Mark.GOOD))
    expected = {
        "sqlite": "synchronous is 2",
        "postgresql": "fsync is on. full_page_writes is on. synchronous_commit is on.",
        "mariadb": "innodb_flush_log_at_trx_commit is 1.",
    }
    assert expected[backend] in good


@contextmanager
def changed(app: Flask, change: str, back: str) -> Iterator[None]:
    """Change something in a database or on its server, and undo it."""
    execute(app, change)
    try:
        yield
    finally:
        execute(app, back)


UNSAFE = {
    "postgresql": [
        (
            "ALTER DATABASE postgres SET synchronous_commit = off",
            "ALTER DATABASE postgres RESET synchronous_commit",
            "synchronous_commit is off: after a power cut",
        ),
    ],
    "mariadb": [
        (
            "SET GLOBAL innodb_flush_log_at_trx_commit = 2",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
            "innodb_flush_log_at_trx_commit is 2: after a power cut",
        ),
        (
            "SET GLOBAL max_allowed_packet = 1048576",
            "SET GLOBAL max_allowed_packet = 16777216",
            "max_allowed_packet is 1048576",
        ),
        (
            "SET GLOBAL sql_mode = 'EMPTY_STRING_IS_NULL'",
            "SET GLOBAL sql_mode = DEFAULT",
            "sql_mode holds EMPTY_STRING_IS_NULL",
        ),
        (
            "ALTER TABLE former_key CONVERT TO CHARACTER SET latin1",
            "ALTER TABLE former_key CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "The table former_key is not in utf8mb4",
        ),
    ],
}


def test_what_is_unsafe_on_a_server_is_told(
    server: None, any_app: Flask, prepared: dict[str, str], backend: str
) -> None:
    for change, back, expected in UNSAFE[backend]:
        with changed(any_app, change, back):
            assert any(expected in line for line in on_server(prepared, Mark.DO))


def test_clocks_that_differ_are_told(
    server: None, prepared: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dict.fromkeys(checkup.CLOCK, "SELECT 0")
    monkeypatch.setattr(checkup, "CLOCK", wrong)
    assert any(
        "The clocks of this machine" in line for line in on_server(prepared, Mark.DO)
    )


# --- What the rows tell ------------------------------------------------------------------------


@pytest.mark.parametrize("revision", ["0001", "9999"])
def test_tables_of_another_revision_are_told(
    any_app: Flask, prepared: dict[str, str], revision: str
) -> None:
    text = "UPDATE alembic_version SET version_num = '{}'"
    with changed(any_app, text.format(revision), text.format(REVISION)):
        (line,) = on_server(prepared, Mark.DO)
    assert ("newer" if revision > REVISION else "older") in line


def test_a_row_in_the_future_tells_of_a_wrong_clock(
    any_app: Flask, prepared: dict[str, str]
) -> None:
    note(any_app, {"at": ago(hours=1)}, {"at": ago(minutes=-3)})
    assert on_server(prepared, Mark.DO) == []
    note(any_app, {"at": ago(days=-3, minutes=-1)})
    (line,) = on_server(prepared, Mark.DO)
    assert "is 3 days in the future" in line


def test_the_last_sync_of_each_key(any_app: Flask, prepared: dict[str, str]) -> None:
    note(any_app, {"at": ago(hours=50)}, {"at": ago(hours=99), "key_name": "gone"})
    assert "second: no sync yet." in on_server(prepared, Mark.GOOD)
    (line,) = on_server(prepared, Mark.DO)
    assert line.startswith("tests: the last sync was 2 days ago. See")
    note(any_app, {"at": ago(hours=3)})
    assert "tests: the last sync was 3 hours ago." in on_server(prepared, Mark.GOOD)


# --- Backups and the clock ---------------------------------------------------------------------


def test_a_backup_is_wanted_each_night(env: dict[str, str], tmp_path: Path) -> None:
    def found() -> list[str]:
        return told(doctor.backups(case(env)))

    assert "There is no backup" in found()[0]
    assert "BACKUP_FOLDER" in found()[0]
    backup_of(tmp_path, ".unfinished-copy-1.db")
    backup_of(tmp_path, "notes.txt")
    backup_of(tmp_path, "clinic-2026-06-04-020000.db").write_bytes(b"")
    assert "There is no backup" in found()[0]
    backup_of(tmp_path, "clinic-2026-06-01-020000.db", hours=27)
    assert "is 27 hours old. See why" in found()[0]
    backup_of(tmp_path, "clinic-2026-06-02-020000.db", hours=25)
    assert found() == []
    backup_of(
        tmp_path, "clinic-2026-06-03-020000.db", hours=-9
    )  # of a clock that was ahead
    assert found() == []


def test_backups_that_lie_elsewhere_are_found(env: dict[str, str], tmp_path: Path) -> None:
    elsewhere = env | {"BACKUP_FOLDER": str(tmp_path / "usb" / "data" / "backups")}
    assert "There is no backup" in told(doctor.backups(case(elsewhere)))[0]
    backup_of(tmp_path / "usb", "Thumbs.db", hours=1)
    assert "There is no backup" in told(doctor.backups(case(elsewhere)))[0]
    backup_of(tmp_path / "usb", "clinic-2026-06-01-020000.db", hours=1)
    assert told(doctor.backups(case(elsewhere))) == []


def test_the_time_of_the_clinic_is_told(env: dict[str, str]) -> None:
    before = datetime.now(UTC) + timedelta(hours=4)
    (line,) = told(doctor.time_zone(case(env | {"TIME_ZONE": "Asia/Dubai"})), Mark.GOOD)
    after = datetime.now(UTC) + timedelta(hours=4)
    assert any(f"{moment:%Y-%m-%d %H:}" in line for moment in (before, after))
    assert "Asia/Dubai" in line
