"""`flask serve`: one start from any folder, on a port that is free, with a greeting that helps."""

import errno
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import live
import programs
import pytest
import servers
from conftest import KEY

import config
import serving

FLASK = str(Path(sys.executable).parent / "flask")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that nobody has started, in a folder whose name may need quotes anywhere."""
    root = programs.copied(tmp_path).rename(tmp_path / "عيادة النور 100%")
    (root / ".venv").symlink_to(programs.ROOT / ".venv")
    return root


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another program's folder, with files of the same names."""
    other = tmp_path / "elsewhere"
    other.mkdir()
    settings = f"API_KEYS=other:{KEY}\nDATABASE_URL=sqlite:///{other}/other.db\nPORT=1\n"
    for name in (".env", ".flaskenv"):
        (other / name).write_text(settings)
    for name in ("app.py", "config.py", "click.py"):
        (other / name).write_text("raise SystemExit('the wrong program')\n")
    return other


class Serving:
    """A `flask serve` that runs, and what it says."""

    def __init__(self, process: subprocess.Popen, port: int):
        self.service = live.Service(port, process)
        self.process = process

    def ends(self) -> tuple[int, str]:
        """Stop it as its operator would; return its exit status and all that it said."""
        self.process.send_signal(signal.SIGTERM)
        told, _ = self.process.communicate(timeout=servers.PATIENCE)
        return self.process.returncode, told


@contextmanager
def served(command: list[str], folder: Path, **settings: str) -> Iterator[Serving]:
    """Run a command that serves, in a folder, with no settings but these and its own `.env`."""
    port = servers.free_port()
    unset = {"API_KEYS", "DATABASE_URL", "FLASK_SKIP_DOTENV", "HOST", "LOG_LEVEL"}
    environment = {name: it for name, it in os.environ.items() if name not in unset}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment | {"PORT": str(port), "WEB_CONCURRENCY": "1"} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Serving(process, port)
    try:
        servers.wait_until(running.service.answers, process)
        yield running
    finally:
        process.kill()
        process.wait()


def revision(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


# --- From any folder ---------------------------------------------------------------------------


def commands(project: Path) -> dict[str, list[str]]:
    return {
        "flask": [FLASK, "--app", str(project / "app"), "serve"],
        "wrapper": [str(project / "flask"), "serve"],
        "windows": live.waitress(project),
    }


@pytest.mark.parametrize("way", ["flask", "wrapper", "windows"])
def test_the_first_start_from_another_folder_makes_everything_in_the_project(
    project: Path, elsewhere: Path, way: str
) -> None:
    with served(commands(project)[way], elsewhere) as running:
        status, told = running.ends()
    assert status == 0, told
    assert "Wrote .env with a new API key" in told
    assert told.count("created the tables") == 1
    assert told.count(f"Serving at http://127.0.0.1:{running.service.port}") == 1
    assert revision(project / "instance" / "clinic.db")
    assert not (elsewhere / "other.db").exists()


def test_the_second_start_says_nothing_of_the_tables(project: Path) -> None:
    told = []
    for _ in range(2):
        with served(["./flask", "serve"], project) as running:
            told.append(running.ends()[1])
    assert ["the tables" in it for it in told] == [True, False]
    assert ["Wrote .env" in it for it in told] == [True, False]


def test_a_broken_env_of_another_folder_ends_no_command_of_the_wrapper(
    project: Path, elsewhere: Path
) -> None:
    (elsewhere / ".env").write_bytes("API_KEYS=other".encode("utf-16"))
    command = (str(project / "flask"), "db", "upgrade")
    environment = os.environ | {"API_KEYS": f"tests:{KEY}", "DATABASE_URL": ""}
    done = subprocess.run(
        command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_wrapper_tells_of_its_own_broken_env_in_a_sentence(project: Path) -> None:
    (project / ".env").write_bytes("API_KEYS=other".encode("utf-16"))
    status, told = programs.run(("./flask", "serve"), project)
    assert (status, told.count("\n")) == (1, 1), told
    assert ".env is not UTF-8" in told


@pytest.fixture
def from_flask(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """The state in which `flask` asks for the application, in another program's folder."""
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "true")
    monkeypatch.delenv("FLASK_SKIP_DOTENV", raising=False)
    monkeypatch.setenv("PORT", "1")  # as its .env says
    return monkeypatch


def test_what_flask_took_from_another_folders_env_does_not_count(
    from_flask: pytest.MonkeyPatch,
) -> None:
    assert "PORT" not in config.environment()


def test_what_somebody_set_counts_whatever_another_folders_env_says(
    from_flask: pytest.MonkeyPatch,
) -> None:
    from_flask.setenv("PORT", "2")
    assert config.environment()["PORT"] == "2"


def test_without_flasks_own_reading_the_environment_counts_as_it_is(
    from_flask: pytest.MonkeyPatch,
) -> None:
    from_flask.setenv("FLASK_SKIP_DOTENV", "1")
    assert config.environment()["PORT"] == "1"


def test_whoever_has_keys_in_the_environment_needs_no_env(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.setenv("API_KEYS", f"tests:{KEY}")
    config.write_own_env()
    assert not (tmp_path / ".env").exists()


# --- The port ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["wrapper", "windows"])
def test_a_port_in_use_is_told_in_a_sentence_and_nothing_is_made(
    project: Path, way: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = tuple(commands(project)[way])
        settings = {"PORT": str(port), "API_KEYS": f"tests:{KEY}"}
        status, told = programs.run(command, project, **settings)
    assert (status, told.count("\n")) == (1, 1), told
    assert told.startswith(f"Cannot start: Port {port} is in use")
    assert "set another PORT in .env" in told.replace("Set", "set")
    assert not (project / "instance").exists()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "2001:db8::1"])
def test_an_address_of_another_machine_is_told_in_a_sentence(host: str) -> None:
    with pytest.raises(SystemExit, match="is no address of this machine") as told:
        serving.listen(host, servers.free_port())
    assert f"HOST={host} " in str(told.value)


def test_a_port_that_this_user_may_not_have_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(serving.socket.socket, "bind", refuse)
    with pytest.raises(SystemExit, match="may not listen on port 80"):
        serving.listen("127.0.0.1", 80)


def test_two_programs_never_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows would let them, unless the first one asks for the port alone."""
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)
    with serving.listen("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


# --- The greeting ------------------------------------------------------------------------------


def greeting(host: str) -> str:
    env = {"API_KEYS": f"tests:{KEY}", "HOST": host, "PORT": "5082"}
    return serving.greeting(config.read(env))


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("localhost", "localhost"),
        ("::1", "[::1]"),
    ],
)
def test_who_listens_for_this_machine_only_is_told_how_to_let_others_in(
    host: str, here: str
) -> None:
    told = greeting(host)
    assert f"Serving at http://{here}:5082, for this machine only" in told
    assert "HOST=0.0.0.0" in told


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
@pytest.mark.parametrize(
    ("addresses", "shown"),
    [
        (["192.168.1.7"], "http://192.168.1.7:5082 "),
        (["192.168.1.7", "10.0.0.7"], "http://192.168.1.7:5082, http://10.0.0.7:5082 "),
        ([], "every address "),
    ],
)
def test_who_listens_everywhere_is_told_the_addresses_for_others(
    monkeypatch: pytest.MonkeyPatch, host: str, addresses: list[str], shown: str
) -> None:
    monkeypatch.setattr(serving, "lan_addresses", lambda: addresses)
    told = greeting(host)
    assert f"Serving at {shown}for the network" in told
    assert " http://127.0.0.1:5082/api/healthcare/clinic" in told
    assert host not in told.split()


def test_on_windows_the_way_to_try_it_is_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "WINDOWS", True)
    told = greeting("127.0.0.1")
    assert "open http://127.0.0.1:5082 in a browser" in told
    assert "curl" not in told


def test_one_address_is_told_as_it_is() -> None:
    assert "Serving at http://192.168.1.7:5082 for the network" in greeting("192.168.1.7")


@pytest.mark.parametrize("way_out", ["192.0.2.1", "127.0.0.1", "no.such.host.invalid"])
def test_no_loopback_address_is_told_to_others(
    monkeypatch: pytest.MonkeyPatch, way_out: str
) -> None:
    monkeypatch.setattr(serving, "FAR_AWAY", way_out)
    assert [it for it in serving.lan_addresses() if it.startswith(("127.", "169."))] == []


def test_without_a_way_out_the_addresses_of_the_machines_name_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = ("here", [], ["127.0.1.1", "169.254.9.9", "192.168.1.7"])
    monkeypatch.setattr(serving, "FAR_AWAY", "no.such.host.invalid")
    monkeypatch.setattr(socket, "gethostbyname_ex", lambda _: found)
    assert serving.lan_addresses() == ["192.168.1.7"]


# --- The tables --------------------------------------------------------------------------------


def test_an_upgrade_says_what_it_did_with_the_tables(tmp_path: Path) -> None:
    settings = {
        "API_KEYS": f"tests:{KEY}",
        "DATABASE_URL": f"sqlite:///{tmp_path}/clinic.db",
    }
    first = (*programs.UPGRADE, "0004")
    told = [programs.run(it, **settings)[1] for it in (first, *[programs.UPGRADE] * 2)]
    assert "created the tables (revision 0004)" in told[0]
    assert "now, before of 0004" in told[1]
    assert told[2] == ""
