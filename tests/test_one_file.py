"""After a stop one SQLite file is everything: whoever closes it last puts the write-ahead log into it."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import programs
import pytest
from conftest import migrated
from live import Service, service
from loads import children, loaded, numbers_in

from engine.sqlite_file import SQLiteFile

TIMES = int(os.environ.get("COPIES", "1"))  # COPIES=20: the long form


def copied_alone(path: Path) -> Path:
    """Return a copy of a database's file without its log."""
    target = path.parent / "copies" / path.name
    target.parent.mkdir(exist_ok=True)
    return Path(shutil.copy(path, target))


def hang(live: Service) -> None:
    for worker in children(live.process.pid):
        os.kill(worker, signal.SIGSTOP)
    live.process.terminate()


STOPS: dict[str, Callable[[Service], None]] = {
    "terminated": lambda live: live.process.send_signal(signal.SIGTERM),
    "interrupted": lambda live: live.process.send_signal(signal.SIGINT),
    "terminated with workers that hang": hang,
}


@pytest.mark.parametrize("time", range(TIMES))
@pytest.mark.parametrize("stop", STOPS)
def test_a_plain_copy_after_a_stop_under_load_holds_all_that_was_answered(
    tmp_path: Path, stop: str, time: int
) -> None:
    path = tmp_path / "clinic.db"
    url = f"sqlite:///{path}"
    limit = ("--graceful-timeout", "1" if "hang" in stop else "60")
    with migrated(url), service(url, *limit) as live, loaded(live) as load:
        STOPS[stop](live)
        assert live.process.wait(90) == 0
    assert not Path(f"{path}-wal").exists()
    assert load.stored - numbers_in(copied_alone(path)) == set()


READ = """
import gc
from app import create_app
from models import db
app = create_app()
with app.app_context(), db.engine.connect() as connection:
    connection.execute(db.text("SELECT * FROM clinic"))
gc.freeze()  # as a worker does: nothing is tidied up at the end
"""


def test_a_program_that_ends_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "clinic.db"
    with migrated(f"sqlite:///{path}"):
        pass
    settings = {"API_KEYS": programs.KEY, "DATABASE_URL": f"sqlite:///{path}"}
    programs.run((sys.executable, "-c", READ), **settings)
    assert not Path(f"{path}-wal").exists()


# --- What a killed program left ----------------------------------------------------------------

KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode=WAL")
connection.executescript("CREATE TABLE shelf (number); INSERT INTO shelf VALUES (1), (2)")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A file whose program was killed: everything stands in the log."""
    path = tmp_path / "clinic.db"
    subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert Path(f"{path}-wal").stat().st_size
    return path


def rows_of(path: Path) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT number FROM shelf").fetchall()


def test_the_log_of_a_killed_program_is_put_into_the_file(left: Path) -> None:
    SQLiteFile(str(left)).put_log_in()
    assert not Path(f"{left}-wal").exists()
    assert rows_of(copied_alone(left)) == [(1,), (2,)]


def test_the_log_of_a_file_that_is_in_use_stays_with_it(left: Path) -> None:
    with closing(sqlite3.connect(left)) as other:
        other.execute("SELECT * FROM shelf")
        SQLiteFile(str(left)).put_log_in()
        assert Path(f"{left}-wal").exists()
        assert other.execute("SELECT number FROM shelf").fetchall() == [(1,), (2,)]


def test_nothing_is_put_into_a_damaged_file(left: Path) -> None:
    file = SQLiteFile(str(left))
    file.mark_damaged()
    before = left.read_bytes()
    file.put_log_in()
    assert left.read_bytes() == before
    assert Path(f"{left}-wal").stat().st_size


def test_what_is_no_database_or_not_there_is_left_as_it_is(tmp_path: Path) -> None:
    letter = tmp_path / "letter.db"
    letter.write_text("Dear clinic, this is a letter.\n" * 100)
    SQLiteFile(str(letter)).put_log_in()
    (tmp_path / "nothing.db-wal").write_text("a log without its file")
    SQLiteFile(str(tmp_path / "nothing.db")).put_log_in()
    assert {path.name for path in tmp_path.iterdir()} == {"letter.db", "nothing.db-wal"}
