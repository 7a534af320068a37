"""Real database servers for the tests: started on a free loopback port, ended by their process id."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from glob import glob
from pathlib import Path

import sqlalchemy as sa

PATIENCE = 60  # seconds for a server to come up

processes: dict[str, subprocess.Popen] = {}  # of the servers that run, by URL


def _program(name: str, *places: str) -> str | None:
    return shutil.which(name) or next(
        (hit for place in places for hit in sorted(glob(f"{place}/{name}"))), None
    )


@cache
def available(required: bool = False) -> list[str]:
    """Return the databases that tests can run on here; `required`: fail unless they are all here."""
    found = ["sqlite"]
    if _program("initdb", "/usr/lib/postgresql/*/bin"):
        found.append("postgresql")
    if _program("mariadbd", "/usr/sbin") and _program("mariadb-install-db"):
        found.append("mariadb")
    if required and len(found) < 3:
        raise RuntimeError(f"PostgreSQL and MariaDB must be installed; found only {found}")
    return found


@contextmanager
def running(backend: str, folder: Path) -> Iterator[str]:
    """Run a database in an empty folder and yield its SQLAlchemy URL."""
    starters = {"postgresql": _postgresql, "mariadb": _mariadb}
    if backend == "sqlite":
        yield f"sqlite:///{folder / 'clinic.db'}"
        return
    for parent in (folder, *folder.parents):
        if parent.owner() != "root" or parent == Path("/tmp"):
            break
        parent.chmod(0o755)  # the servers run as users of their own
    port = free_port()
    url, command, user = starters[backend](folder, port)
    process = subprocess.Popen(
        command, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    processes[url] = process
    try:
        _wait_for(url, process)
        yield url
    finally:
        # SIGINT stops PostgreSQL at once.
        process.send_signal(signal.SIGINT if backend == "postgresql" else signal.SIGTERM)
        process.wait(PATIENCE)


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """Stop a server and all its processes, so that its connections stay open and nobody answers; go on afterwards."""
    parent = processes[url].pid
    children = Path(f"/proc/{parent}/task/{parent}/children")
    pids = [parent, *map(int, children.read_text().split())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _server_user(name: str) -> str | None:
    """Return the user a server runs as: servers refuse to be root."""
    return (
        name
        if os.getuid() == 0 and name in {entry.pw_name for entry in pwd.getpwall()}
        else None
    )


def _postgresql(folder: Path, port: int) -> tuple[str, list[str], str | None]:
    user = _server_user("postgres")
    initdb = _program("initdb", "/usr/lib/postgresql/*/bin")
    assert initdb
    data = folder / "data"
    if user:
        shutil.chown(folder, user)
    options = [
        "--auth=trust",
        "--username=tests",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]
    subprocess.run(
        [initdb, "-D", data, *options],
        user=user,
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )
    server = str(Path(initdb).resolve().parent / "postgres")
    command = [
        server,
        "-D",
        str(data),
        "-p",
        str(port),
        "-h",
        "127.0.0.1",
        "-k",
        str(folder),
    ]
    return f"postgresql://tests@127.0.0.1:{port}/postgres", command, user


def _mariadb(folder: Path, port: int) -> tuple[str, list[str], str | None]:
    user = _server_user("mysql")
    data = folder / "data"
    data.mkdir()
    if user:
        shutil.chown(folder, user)
        shutil.chown(data, user)
    install = [
        "mariadb-install-db",
        "--no-defaults",
        f"--datadir={data}",
        "--auth-root-authentication-method=normal",
    ]
    subprocess.run(
        install, user=user, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    server = _program("mariadbd", "/usr/sbin")
    assert server
    command = [
        server,
        "--no-defaults",
        f"--datadir={data}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
    ]
    command += [f"--socket={folder / 'server.sock'}", "--skip-log-bin"]
    return f"mariadb://root@127.0.0.1:{port}/test", command, user


def _wait_for(url: str, process: subprocess.Popen) -> None:
    drivers = {"postgresql://": "postgresql+psycopg://", "mariadb://": "mariadb+pymysql://"}
    for scheme, driver in drivers.items():
        url = url.replace(scheme, driver)
    engine = sa.create_engine(url)
    wait_until(lambda: _answers(engine), process)
    engine.dispose()


def _answers(engine: sa.Engine) -> bool:
    try:
        engine.connect().close()
    except sa.exc.OperationalError:
        return False
    return True


def wait_until(ready: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait for a started server; fail as soon as it ends."""
    for _ in range(PATIENCE * 20):
        if ready():
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"the server did not come up: {process.args}")
