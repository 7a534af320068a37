"""Sites: what runs for each engine: its database servers, and a service on each."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import Unusable
from chaos import galera
from chaos.service import Service
from tests import servers
from tests.servers import Server

GALERA = "galera"
SHOWN = 2000  # characters of a log
ENGINES = ("sqlite", "postgresql", "mariadb", GALERA)


@dataclass
class Site:
    """The services of an engine, all on the same data; and its servers, one for each service, or none."""

    services: list[Service]
    servers: list[Server] = field(default_factory=list)

    def wait(self) -> None:
        """Wait until every service answers again; raises Unusable with what the database servers said last."""
        try:
            for service in self.services:
                service.wait()
        except Unusable as error:
            logs = [(server.folder / "server.log").read_text() for server in self.servers]
            said = "\n".join(log[-SHOWN:] for log in logs)
            raise Unusable(f"{error}\n{said}") from None


def available(required: bool = False) -> list[str]:
    """Return the engines that can be attacked on here; `required`: fail unless all can."""
    found = servers.available(required)
    return [*found, GALERA] if galera.available(required) else found


@contextmanager
def running(engine: str, folder: Path, settings: Sequence[str] = ()) -> Iterator[Site]:
    """Run an engine and its services in an empty folder, with all tables up to date.

    `settings` are those of its servers, as `name=value`.
    """
    with ExitStack() as stack:
        nodes = _servers(engine, folder)
        for node in nodes:
            node.command += [f"--{setting}" for setting in settings]
            stack.callback(node.stop)
            node.start()
        urls = [node.url for node in nodes] or [f"sqlite:///{folder / 'clinic.db'}"]
        workers = 1 if engine == GALERA else 2
        services = [Service(url, folder, workers) for url in urls]
        services[0].migrate()
        for service in services:
            service.start()
            stack.callback(service.stop)
        yield Site(services, nodes)


def _servers(engine: str, folder: Path) -> list[Server]:
    if engine == "sqlite":
        return []
    return (
        [*galera.prepared(folder)]
        if engine == GALERA
        else [servers.prepared(engine, folder)]
    )
