"""`flask backup` and `flask restore`: whole copies under load, and one of them in the place of the database."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import flask_migrate
import programs
import pytest
import servers
import sqlalchemy as sa
from conftest import KEY, emptied, migrated
from flask import Flask
from live import Service, not_on_waitress, service
from loads import loaded, numbers_in

from app import create_app
from engine import copies, in_use
from engine.connecting import Unusable
from engine.sqlite_file import SQLiteFile
from models import db
from terminal import backups

TIMES = int(os.environ.get("COPIES", "3"))  # COPIES=20: the long form
PATIENTS = 50


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A database with some patients, and a later state of it, with others besides. Nobody has them open."""
    folder = tmp_path_factory.mktemp("originals")
    with migrated(f"sqlite:///{folder}/clinic.db") as app:
        fill(app, "P")
        copies.back_up(f"{folder}/clinic.db", folder / "early.db", ["patient"])
        fill(app, "Q")
    return folder / "early.db", folder / "clinic.db"


def fill(app: Flask, letter: str) -> None:
    records = [{"patientNo": number, "name": "Sara Omar"} for number in those(letter)]
    http = app.test_client()
    path, headers = "/api/healthcare/patients", {"X-API-Key": KEY}
    assert http.post(path, json=records, headers=headers).status_code == 200


@pytest.fixture
def path(originals: tuple[Path, Path], tmp_path: Path) -> Path:
    """A database with some patients in a folder of its own."""
    (tmp_path / "data").mkdir()
    return Path(shutil.copy(originals[0], tmp_path / "data" / "clinic.db"))


def flask(path: Path, *words: str | Path, **further: Any) -> tuple[int, str]:
    """Run a command of the service's, with `further` settings; returns its exit status and all that it wrote.

    This process has shared the file afterwards if the command opened it as the service does.
    """
    app = create_app(**settings(path), **further, LOG_LEVEL="ERROR")
    result = app.test_cli_runner().invoke(args=[*map(str, words)])
    with app.app_context():
        db.engine.dispose()
    told, status = result.output, result.exit_code
    if isinstance(result.exception, SystemExit) and isinstance(result.exception.code, str):
        told += result.exception.code
    else:
        assert isinstance(result.exception, SystemExit | None), result.exception
    return status, told


def started(
    path: Path, *words: str | Path, before: tuple[str, ...] = ()
) -> subprocess.Popen:
    command = (*before, sys.executable, "-m", "flask", "--app", "app", *map(str, words))
    return programs.started(command, **settings(path))


def settings(path: Path) -> dict[str, str]:
    return {"API_KEYS": f"tests:{KEY}", "DATABASE_URL": f"sqlite:///{path}"}


def refused(path: Path, *words: str | Path) -> str:
    """Run a command that must end with one line; returns it."""
    return checked(*flask(path, *words))


def refused_as_program(path: Path, *words: str | Path, before: tuple[str, ...] = ()) -> str:
    """Run a command as a program, which the rights of files bind."""
    process = started(path, *words, before=before)
    _, told = process.communicate(timeout=120)
    return checked(process.returncode, told)


def checked(status: int, told: str) -> str:
    assert (status, told.count("\n"), told[:7]) == (1, 1, "Error: "), told
    return told


def those(letter: str) -> set[str]:
    return {f"{letter}-{number}" for number in range(PATIENTS)}


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# --- A backup ----------------------------------------------------------------------------------


def test_backups_under_load_are_sound_and_hold_all_that_had_been_answered(
    path: Path,
) -> None:
    url = f"sqlite:///{path}"
    with service(url) as live, loaded(live) as load:
        for number in range(TIMES):
            target = path.parent / f"copy-{number}.db"
            answered = set(load.stored)
            status, told = flask(path, "backup", target)
            assert status == 0, told
            assert answered <= numbers_in(target)
        assert len(load.stored) > len(answered)  # nobody was held up to the end


def test_a_backup_is_one_file_for_its_owner_with_date_and_time(path: Path) -> None:
    status, told = flask(path, "backup")
    assert (status, f"{PATIENTS} patients" in told) == (0, True)
    folder = path.parent / "backups"
    (copy,) = folder.iterdir()
    assert str(copy) in told
    assert [copy] == copies.made_in(folder, str(path))
    assert [stat.S_IMODE(entry.stat().st_mode) for entry in (folder, copy)] == [
        0o700,
        0o600,
    ]
    assert numbers_in(copy) == those("P")


def test_a_backup_into_a_folder_is_named_there(path: Path, tmp_path: Path) -> None:
    assert flask(path, "backup", tmp_path)[0] == 0
    assert len(copies.made_in(tmp_path, str(path))) == 1


def test_backups_go_into_the_folder_of_the_settings_if_it_is_there(
    path: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "usb"
    told = checked(*flask(path, "backup", BACKUP_FOLDER=elsewhere))
    assert f"There is no folder {elsewhere}" in told
    assert names(tmp_path) == ["data"]
    elsewhere.mkdir()
    assert flask(path, "backup", BACKUP_FOLDER=elsewhere)[0] == 0
    assert len(copies.made_in(elsewhere, str(path))) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_backs_up_belongs_to_the_service(path: Path) -> None:
    os.chown(path.parent, 1234, 1234)
    os.chown(path, 1234, 1234)
    assert flask(path, "backup")[0] == 0
    folder = path.parent / "backups"
    (copy,) = folder.iterdir()
    assert [entry.stat().st_uid for entry in (folder, copy)] == [1234, 1234]


OLD = [f"clinic-2020-01-0{day}-020000.db" for day in range(1, 5)]
OTHERS = [
    "clinic-2020-01-01.db",
    "clinic.db",
    "other-2020-01-01-020000.db",
    "clinic-2020-01-01-020000.db.gz",
    "clinic-before-restore-2020-01-01-020000.db",
    "my-clinic-2020-01-01-020000.db",
]


def test_only_older_copies_of_its_own_names_are_removed(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    for name in (*OLD, *OTHERS):
        (folder / name).write_text(name)
    status, told = flask(path, "backup", folder, "--keep", "3")
    assert (status, told.count("Removed")) == (0, 2)
    left = {*names(folder)} - {*OTHERS}
    assert {*OLD[2:]} < left
    assert len(left) == 3
    assert {*OTHERS} < {*names(folder)}


def test_whoever_names_the_file_removes_none(path: Path, tmp_path: Path) -> None:
    assert "give a folder" in refused(path, "backup", tmp_path / "mine.db", "--keep", "3")
    assert names(tmp_path) == ["data"]


def spoil_nothing(_: Path) -> None:
    pass


def put_in_the_way(path: Path) -> None:
    path.with_name("copy.db").write_text("mine")


def link_in_the_way(path: Path) -> None:
    path.with_name("copy.db").symlink_to("nowhere")


def write_letter(path: Path) -> None:
    path.write_text("Dear clinic, this is a letter.\n" * 100)


def damage(path: Path) -> None:
    """Overwrite the second half, as a bad disk does."""
    pages = path.read_bytes()
    half = len(pages) // 8192 * 4096
    path.write_bytes(pages[:half] + b"\xff" * (len(pages) - half))


def untie(path: Path) -> None:
    """Leave a row that refers to nothing, as other programs do."""
    change(path, "INSERT INTO doctor_clinic VALUES (98, 99)")


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("spoil", "target", "expected"),
    [
        (put_in_the_way, "copy.db", "copy.db is there already"),
        (link_in_the_way, "copy.db", "copy.db is there already"),
        (spoil_nothing, "no/copy.db", "There is no folder "),
        (Path.unlink, "copy.db", "There is no file "),
        (write_letter, "copy.db", "clinic.db is no SQLite database"),
        (damage, "copy.db", "clinic.db is damaged"),
        (untie, "copy.db", "rows refer to others that are not there"),
    ],
)
def test_a_backup_that_cannot_be_made_says_why_and_leaves_nothing(
    path: Path, spoil: Callable[[Path], None], target: str, expected: str
) -> None:
    spoil(path)
    there = {*names(path.parent)} | {"clinic.db-in-use"}
    assert expected in refused(path, "backup", path.parent / target)
    assert {*names(path.parent)} <= there


def test_a_folder_that_may_not_be_written_is_told(path: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir(0o500)
    told = refused_as_program(path, "backup", tmp_path / "copies")
    assert "This user may not open and write the file " in told


def test_a_disk_that_takes_no_more_is_told_and_nothing_is_left(
    path: Path, tmp_path: Path
) -> None:
    full = ("prlimit", "--fsize=20000")
    told = refused_as_program(path, "backup", tmp_path, before=full)
    assert f"The disk of the database {tmp_path}/clinic-" in told
    assert names(tmp_path) == ["data"]


def test_what_killed_backups_left_is_removed_after_a_day(
    path: Path, tmp_path: Path
) -> None:
    old, young = (tmp_path / f"{copies.UNFINISHED}{name}" for name in ("old", "young"))
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 2 * copies.LEFT_OVER,) * 2)
    copies.back_up(str(path), tmp_path / "copy.db", ["patient"])
    assert names(tmp_path) == [young.name, "copy.db", "data"]


def test_a_copy_that_lacks_rows_is_not_kept(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_and_lose(source: str, copy: Path, **names: Path) -> None:
        vacuum(source, copy, **names)
        change(copy, "DELETE FROM patient WHERE patient_no = 'P-1'")

    vacuum = copies.vacuum
    monkeypatch.setattr(copies, "vacuum", copy_and_lose)
    with pytest.raises(Unusable, match="lacks rows"):
        copies.back_up(str(path), tmp_path / "copy.db", ["patient"])
    assert names(tmp_path) == ["data"]


# --- A restore ---------------------------------------------------------------------------------


@pytest.fixture
def copy(path: Path, originals: tuple[Path, Path]) -> Path:
    """A copy of the database; then others were added to the database."""
    target = path.parent / "backups" / "copy.db"
    target.parent.mkdir()
    copies.back_up(str(path), target, ["patient"])
    shutil.copy(originals[1], path)
    return target


def kept_by(path: Path) -> Path:
    """Return what was there before a restore."""
    (kept,) = path.parent.glob("clinic-before-restore-*.db")
    return kept


def restored(path: Path, copy: Path) -> str:
    """Restore a copy, which must succeed; returns what was told."""
    status, told = flask(path, "restore", copy)
    assert status == 0, told
    return told


def leave_log(path: Path) -> None:
    """Leave another patient in the log, as a killed program does."""
    subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert Path(f"{path}-wal").stat().st_size


KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("UPDATE patient SET patient_no = 'LAST' WHERE patient_no = 'P-0'")
connection.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_restore_brings_back_what_was_and_keeps_what_is(path: Path, copy: Path) -> None:
    told = restored(path, copy)
    assert f"{PATIENTS} patients" in told
    assert str(kept_by(path)) in told
    assert numbers_in(path) == numbers_in(copy) == those("P")
    assert numbers_in(kept_by(path)) == those("P") | those("Q")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_restore_kept_can_be_restored(path: Path, copy: Path) -> None:
    leave_log(path)
    kept = copies.put_in_place(copy, str(path))
    assert kept
    restored(path, kept.rename(path.parent / "kept.db"))
    assert numbers_in(path) == (those("P") | those("Q") | {"LAST"}) - {"P-0"}


def test_the_log_of_what_was_there_does_not_get_into_what_is_restored(
    path: Path, copy: Path
) -> None:
    leave_log(path)
    restored(path, copy)
    assert numbers_in(path) == those("P")
    assert "LAST" in numbers_in(kept_by(path))


def test_a_damaged_database_is_replaced_and_kept_with_its_log(
    path: Path, copy: Path
) -> None:
    leave_log(path)
    write_letter(path)
    SQLiteFile(str(path)).mark_damaged()
    restored(path, copy)
    assert numbers_in(path) == those("P")
    assert not Path(f"{path}-damaged").exists()
    assert kept_by(path).read_text().startswith("Dear clinic")
    assert Path(f"{kept_by(path)}-wal").stat().st_size


def test_a_lost_database_is_restored_beside_its_left_log(path: Path, copy: Path) -> None:
    leave_log(path)
    path.unlink()
    assert "kept" not in restored(path, copy)
    assert numbers_in(path) == those("P")


def test_a_restore_into_a_new_folder_makes_it(copy: Path, tmp_path: Path) -> None:
    restored(tmp_path / "new" / "clinic.db", copy)
    assert numbers_in(tmp_path / "new" / "clinic.db") == those("P")


def test_a_copy_with_its_log_is_restored_whole(path: Path, copy: Path) -> None:
    leave_log(copy)
    restored(path, copy)
    assert numbers_in(path) == (those("P") | {"LAST"}) - {"P-0"}


def test_an_older_copy_is_upgraded(path: Path, tmp_path: Path) -> None:
    older = tmp_path / "older.db"
    with migrated(f"sqlite:///{older}") as app, app.app_context():
        flask_migrate.downgrade(revision="0003")
    restored(path, older)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM portal_session").fetchall() == []


def test_a_link_to_the_database_stays_one(path: Path, copy: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    restored(link, copy)
    assert link.is_symlink()
    assert numbers_in(path) == those("P")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_restores_still_belongs_to_the_service(path: Path, copy: Path) -> None:
    os.chown(path, 12345, 12345)
    restored(path, copy)
    assert path.stat().st_uid == 12345


def renumber(path: Path) -> None:
    change(path, "UPDATE alembic_version SET version_num = '0099'")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def take_tables(path: Path) -> None:
    path.unlink()
    change(path, "CREATE TABLE shelf (number)")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (Path.unlink, "There is no file "),
        (write_letter, "copy.db is no SQLite database"),
        (empty, "copy.db is no SQLite database"),
        (damage, "copy.db is damaged"),
        (untie, "rows refer to others that are not there"),
        (take_tables, "copy.db holds no tables of this program"),
        (renumber, "of revision 0099, which this program does not know"),
    ],
)
def test_what_is_no_sound_copy_is_refused_and_nothing_changes(
    path: Path, copy: Path, spoil: Callable[[Path], None], expected: str
) -> None:
    spoil(copy)
    there = names(path.parent)
    assert expected in refused(path, "restore", copy)
    assert names(path.parent) == sorted({*there, "clinic.db-in-use"})
    assert numbers_in(path) == those("P") | those("Q")


def test_the_database_is_no_copy_of_itself(path: Path) -> None:
    assert "is the database itself" in refused(path, "restore", path)


# --- Who has the file --------------------------------------------------------------------------


@pytest.fixture
def live(path: Path) -> Iterator[Service]:
    with service(f"sqlite:///{path}") as running:
        yield running


@not_on_waitress  # it runs as if there were no locks
def test_nothing_is_restored_while_the_service_runs(
    path: Path, copy: Path, live: Service
) -> None:
    assert "is running" in refused(path, "restore", copy)
    assert live.post("/patient", {"patientNo": "R-1", "name": "Sara Omar"})[0] == 201
    assert "R-1" in numbers_in(path)


@not_on_waitress  # it runs as if there were no locks
def test_a_service_whose_file_is_gone_is_running_all_the_same(
    path: Path, copy: Path, live: Service
) -> None:
    path.unlink()
    assert "is running" in refused(path, "restore", copy)


def test_a_killed_service_is_not_running(path: Path, copy: Path, live: Service) -> None:
    live.process.send_signal(signal.SIGKILL)
    live.process.wait()
    servers.wait_until(lambda: flask(path, "restore", copy)[0] == 0, SILENT)
    assert numbers_in(path) == those("P")


class Silent:
    """In the place of a process that is waited for: its workers end a moment after it."""

    def poll(self) -> None:
        return None


SILENT = Silent()


def test_while_a_restore_is_under_way_others_wait(path: Path, tmp_path: Path) -> None:
    with in_use.alone(str(path)):
        assert "A restore is under way" in refused(path, "backup", tmp_path)
        status, told = flask(path, "db", "upgrade")
        assert (status, "is locked" in told) == (1, True)
        status, told = flask(path, "retire", "patient", "1", "--yes")
        assert (status, "busy" in told) == (1, True)
    assert flask(path, "retire", "patient", "1", "--yes")[0] == 0


def test_without_locks_everybody_goes_on_but_what_cannot_be_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    monkeypatch.setattr(in_use, "fcntl", None)
    with in_use.shared(str(path)), in_use.shared(str(path)):
        pass
    with pytest.raises(in_use.InUse), in_use.alone(str(path)):
        raise PermissionError


# --- Killed in the middle ----------------------------------------------------------------------

# Each child is killed before another of its operations on files; the last one comes to its end.
KILLED_AT_EACH = """
import os, shutil, signal, sys
from pathlib import Path
from engine import copies

EVENTS = {"open", "os.rename", "os.link", "os.remove", "os.chown", "sqlite3.connect"}

def kill_before(step):
    def count(event, _):
        nonlocal step
        step -= event in EVENTS
        if step == 0 and event in EVENTS:  # the kill is an event, too
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)

def work(folder):
    path = folder / "clinic.db"
    if sys.argv[2] == "backup":
        copies.back_up(str(path), copies.new_name(str(path), folder / "backups"), ["patient"])
    else:
        copies.put_in_place(folder / "backups" / "copy.db", str(path))

step, status = 0, signal.SIGKILL
while status == signal.SIGKILL:
    step += 1
    folder = Path(shutil.copytree(sys.argv[1], f"{sys.argv[1]}-{step}"))
    child = os.fork()
    if not child:
        kill_before(step)
        work(folder)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
assert not status
print(step)
"""


def killed_at_each(folder: Path, command: str) -> list[Path]:
    """Return the folders that were left, the last one by a program that came to its end."""
    script = (sys.executable, "-c", KILLED_AT_EACH, str(folder), command)
    process = programs.started(script)
    said, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return [Path(f"{folder}-{step}") for step in range(1, int(said) + 1)]


def test_a_backup_that_is_killed_leaves_nothing_that_looks_like_one(
    path: Path, copy: Path
) -> None:
    leave_log(path)
    *killed, ended = killed_at_each(path.parent, "backup")
    assert len(killed) > 5
    for folder in killed:
        for found in copies.made_in(folder / "backups", str(path)):
            assert "LAST" in numbers_in(found)  # killed after it got its name
    assert len(copies.made_in(ended / "backups", str(path))) == 1
    assert copies.made_in(killed[len(killed) // 2] / "backups", str(path)) == []


def test_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one(
    path: Path, copy: Path
) -> None:
    leave_log(path)
    old = (those("P") | those("Q") | {"LAST"}) - {"P-0"}
    *killed, ended = killed_at_each(path.parent, "restore")
    found = [numbers_in(folder / "clinic.db") for folder in killed]
    assert [numbers for numbers in found if numbers not in (old, those("P"))] == []
    assert old in found
    assert numbers_in(ended / "clinic.db") == those("P")


# --- Database servers --------------------------------------------------------------------------


def test_a_database_server_has_programs_of_its_own_for_that(
    server_url: sa.URL, any_app: Flask, tmp_path: Path
) -> None:
    fill(emptied(any_app), "P")
    save = told_instead(any_app, "backup")
    subprocess.run(["bash", "-ec", save], cwd=tmp_path, check=True, capture_output=True)
    emptied(any_app)
    put_back = told_instead(any_app, "restore", "clinic.dump")
    subprocess.run(["bash", "-ec", put_back], cwd=tmp_path, check=True, capture_output=True)
    with any_app.app_context(), db.engine.connect() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM patient").scalar()
    assert count == PATIENTS


@pytest.fixture
def server_url(server: None, any_app: Flask) -> sa.URL:
    return any_app.extensions["settings"].database_url


def told_instead(app: Flask, *words: str) -> str:
    """Return the command that is told instead of doing anything."""
    result = app.test_cli_runner().invoke(args=list(words))
    assert result.exit_code == 1
    return result.output.partition("run: ")[2]


def test_no_password_is_told() -> None:
    url = sa.make_url("mysql+pymysql://sara:the-secret@db.example:3307/clinic")
    told = backups._options(url, "mysql")
    assert told == "--host=db.example --port=3307 --user=sara --password"


# --- make --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["backup", "ARGS=/mnt/usb --keep 14"],
            "flask --app app backup /mnt/usb --keep 14",
        ),
        (["restore", "FILE=my copy.db"], 'flask --app app restore "my copy.db"'),
    ],
)
def test_make_calls_the_command(words: list[str], expected: str) -> None:
    command = ["make", "--dry-run", *words]
    assert expected in subprocess.check_output(command, cwd=programs.ROOT, text=True)
