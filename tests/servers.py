"""Real database servers for the tests: started on a free loopback port, ended by their process id."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from glob import glob
from pathlib import Path

import sqlalchemy as sa

PATIENCE = 60  # seconds for a server to come up
# For servers; Linux gives clients ports from 32768 on, other systems higher ones.
PORTS = range(10_000, 32_000)
FOR_ALL = 0o055  # the right of group and others to read and enter a folder


def program(name: str, *places: str) -> str | None:
    """Return the path of a program that is installed, or None."""
    return shutil.which(name) or next(
        (hit for place in places for hit in sorted(glob(f"{place}/{name}"))), None
    )


@cache
def available(required: bool = False) -> list[str]:
    """Return the databases that tests can run on here; `required`: fail unless they are all here."""
    found = ["sqlite"]
    if program("initdb", "/usr/lib/postgresql/*/bin"):
        found.append("postgresql")
    if program("mariadbd", "/usr/sbin") and program("mariadb-install-db"):
        found.append("mariadb")
    if required and len(found) < 3:
        raise RuntimeError(f"PostgreSQL and MariaDB must be installed; found only {found}")
    return found


@dataclass
class Server:
    """A database server on a folder of its own. It may be killed, and started again on the same folder."""

    url: str
    command: list[str]
    user: str | None
    folder: Path
    ends_at: signal.Signals = signal.SIGTERM
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        _wait_for(self.url, self.run())

    def run(self, *options: str) -> subprocess.Popen:
        """Start the server, and do not wait. What it says is added to a file."""
        command = [*self.command, *options]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(command, user=self.user, stdout=log, stderr=log)
        return self.process

    def stop(self) -> None:
        """End the server as its operator would."""
        if self.process:
            self.process.send_signal(self.ends_at)
            self.process.wait(PATIENCE)


@contextmanager
def running(backend: str, folder: Path) -> Iterator[str]:
    """Run a database in an empty folder and yield its SQLAlchemy URL; of a server that runs already, only that.

    Its URL stands in the environment, as RUNNING_POSTGRESQL: starting one would take longer than some tests.
    """
    if url := os.environ.get(f"RUNNING_{backend.upper()}"):
        yield url
        return
    if backend == "sqlite":
        yield f"sqlite:///{folder / 'clinic.db'}"
        return
    server = prepared(backend, folder)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def prepared(backend: str, folder: Path) -> Server:
    """Make the files of a database server in an empty folder; it is not started."""
    open_to_servers(folder)
    makers = {"postgresql": _postgresql, "mariadb": _mariadb}
    return makers[backend](folder, free_port())


def open_to_servers(folder: Path) -> None:
    """Let the servers, which run as users of their own, reach a folder that is root's."""
    for parent in (folder, *folder.parents):
        if parent.owner() != "root":
            break
        mode = parent.stat().st_mode
        if mode & FOR_ALL != FOR_ALL:
            parent.chmod(mode | FOR_ALL)


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Stop a server and all its processes, so that its connections stay open and nobody answers; go on afterwards."""
    assert server.process
    parent = server.process.pid
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
    """Return a TCP port that nobody listens on.

    It is none of those that a system gives to clients: one of them could take it while a killed server is away.
    """
    while True:
        port = secrets.choice(PORTS)  # not from a generator that a test has seeded
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _server_user(name: str) -> str | None:
    """Return the user a server runs as: servers refuse to be root."""
    return (
        name
        if os.getuid() == 0 and name in {entry.pw_name for entry in pwd.getpwall()}
        else None
    )


def _postgresql(folder: Path, port: int) -> Server:
    user = _server_user("postgres")
    initdb = program("initdb", "/usr/lib/postgresql/*/bin")
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
    url = f"postgresql://tests@127.0.0.1:{port}/postgres"
    return Server(
        url, command, user, folder, ends_at=signal.SIGINT
    )  # which ends it at once


def _mariadb(folder: Path, port: int) -> Server:
    server = mariadb(folder, port)
    install_mariadb(server)
    return server


def mariadb(folder: Path, port: int) -> Server:
    """Make the folder of a MariaDB server, for data that are not there yet."""
    user = _server_user("mysql")
    data = folder / "data"
    data.mkdir()
    if user:
        shutil.chown(folder, user)
        shutil.chown(data, user)
    mariadbd = program("mariadbd", "/usr/sbin")
    assert mariadbd
    command = [
        mariadbd,
        "--no-defaults",
        f"--datadir={data}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
    ]
    command += [f"--socket={folder / 'server.sock'}", "--skip-log-bin"]
    return Server(f"mariadb://root@127.0.0.1:{port}/test", command, user, folder)


def install_mariadb(server: Server) -> None:
    """Make the system's tables of a MariaDB server."""
    data = next(word for word in server.command if word.startswith("--datadir="))
    password = "--auth-root-authentication-method=normal"
    install = ["mariadb-install-db", "--no-defaults", data, password]
    quiet = subprocess.DEVNULL
    subprocess.run(install, user=server.user, check=True, stdout=quiet, stderr=quiet)


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
    raise RuntimeError(f"the server did not come up: {process.args!r}")
