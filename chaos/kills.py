"""Kills: what is done to a site under load, each at once when it is called; afterwards all runs again."""

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import sleep

from bench import processes
from chaos.galera import Node
from chaos.load import Load
from chaos.sites import GALERA, Site
from tests.servers import Server

Kill = Callable[[Site, Load, random.Random], None]

LONGEST_FREEZE = 3  # seconds
LONGEST_OUTAGE = 2  # seconds in which a killed server is away
LONGEST_ABSENCE = 10  # seconds in which a killed node is away: the others go on


def worker(site: Site, load: Load, rng: random.Random) -> None:
    """Kill a worker; gunicorn starts another one."""
    service = rng.choice(site.services)
    os.kill(rng.choice(service.workers()), signal.SIGKILL)


def master(site: Site, load: Load, rng: random.Random) -> None:
    """Kill a gunicorn with all its workers, as the kernel does when memory ends, and start it again."""
    service = rng.choice(site.services)
    service.kill()
    sleep(rng.uniform(0, 1))
    service.start()


def frozen(site: Site, load: Load, rng: random.Random) -> None:
    """Stop a worker for a while, whatever it holds; then it goes on."""
    pid = rng.choice(rng.choice(site.services).workers())
    os.kill(pid, signal.SIGSTOP)
    sleep(rng.uniform(0.5, LONGEST_FREEZE))
    os.kill(pid, signal.SIGCONT)


def terminated(site: Site, load: Load, rng: random.Random) -> None:
    """End a gunicorn as its operator would, with fifty further requests in flight, and start it again."""
    service = rng.choice(site.services)
    with load.burst():
        sleep(rng.uniform(0, 0.3))
        service.stop()
    service.start()


def server(site: Site, load: Load, rng: random.Random) -> None:
    """Kill the database server with all its processes, and start it again on the same folder."""
    (only,) = site.servers
    kill(only)
    sleep(rng.uniform(0, LONGEST_OUTAGE))
    only.start()


def backend(site: Site, load: Load, rng: random.Random) -> None:
    """Kill a process of PostgreSQL that serves a connection; the server then ends all others, and recovers."""
    (only,) = site.servers
    assert only.process
    serving = [pid for pid in processes.children(only.process.pid) if serves(pid)]
    if serving:
        with suppress(ProcessLookupError):  # it has hung up meanwhile
            os.kill(rng.choice(serving), signal.SIGKILL)


def node(site: Site, load: Load, rng: random.Random) -> None:
    """Kill a node of the cluster; it joins again, with what it missed or with a copy of all."""
    chosen = rng.choice(site.servers)
    assert isinstance(chosen, Node)
    kill(chosen)
    sleep(rng.uniform(0, LONGEST_ABSENCE))
    chosen.joins_by_copy = rng.random() < 0.5
    chosen.start()


def kill(chosen: Server) -> None:
    """Kill a database server with all its processes."""
    assert chosen.process
    os.kill(
        chosen.process.pid, signal.SIGSTOP
    )  # it must not start another process meanwhile
    for pid in (*processes.children(chosen.process.pid), chosen.process.pid):
        os.kill(pid, signal.SIGKILL)
    chosen.process.wait()


def serves(pid: int) -> bool:
    """Return whether a process of PostgreSQL serves a connection: its title names the client's address."""
    try:
        return b"127.0.0.1(" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return False


OF_THE_SERVICE: tuple[Kill, ...] = (worker, master, frozen, terminated)
KILLS: dict[str, tuple[Kill, ...]] = {
    "sqlite": OF_THE_SERVICE,
    "postgresql": (*OF_THE_SERVICE, server, backend),
    "mariadb": (*OF_THE_SERVICE, server),
    GALERA: (*OF_THE_SERVICE, node),
}
