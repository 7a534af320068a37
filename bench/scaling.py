"""Scaling: what workers, services, nodes and settings of durability bring or cost, and what a clinic of its own needs.

`make scaling` takes a quarter of an hour and writes bench/SCALING.md; `make scaling ARGS=--quick` shows that it works.
A rate means little by itself: clients, services and servers share one machine. Each is given beside that of another
case, measured in turn with it.
"""

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from bench import machine, processes
from bench.cases import SINGLES
from bench.figures import Figures, Step, play
from bench.goals import number
from bench.load import CONNECTIONS, for_seconds, hammer, rate
from bench.peers import ROOT, Client, Service
from bench.records import Record, patient
from bench.report import table
from chaos import galera
from chaos.kills import serves
from chaos.sites import GALERA
from config import DRIVERS
from tests import servers
from tests.servers import Server

CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


@dataclass(frozen=True)
class Plan:
    """How much is measured. `records` are in each of eight lists, `patients` are a clinic's."""

    rounds: int
    seconds: float
    records: int
    clinics: int
    patients: int


FULL = Plan(rounds=5, seconds=3, records=2_500, clinics=10, patients=5_000)
QUICK = Plan(rounds=1, seconds=1, records=200, clinics=2, patients=500)


@dataclass(frozen=True)
class Case:
    """A way to run the service. `workers`: of each service; `beside`: the case of the same engine to compare it with.

    `setting` is SQL, done on each node before, and `undone` afterwards.
    """

    engine: str
    name: str
    workers: tuple[int, ...] = (2,)
    beside: str = ""
    setting: str = ""
    undone: str = ""


ONE, TWO, APART = "one worker", "two workers", "two services of one worker"
NODES = "two services, each at a node of its own"
READS = 100  # of a round, of a record that was just written at another node
FLUSH = "SET GLOBAL innodb_flush_log_at_trx_commit = {}"
WAIT = "SET GLOBAL wsrep_sync_wait = {}"
CASES = (
    Case("sqlite", ONE, (1,)),
    Case("sqlite", TWO, beside=ONE),
    Case("postgresql", ONE, (1,)),
    Case("postgresql", TWO, beside=ONE),
    Case("postgresql", APART, (1, 1), beside=TWO),
    Case(
        "postgresql",
        "synchronous_commit = off",
        beside=TWO,
        setting="ALTER DATABASE {database} SET synchronous_commit = off",
    ),
    Case("mariadb", ONE, (1,)),
    Case("mariadb", TWO, beside=ONE),
    Case("mariadb", APART, (1, 1), beside=TWO),
    Case(
        "mariadb",
        "innodb_flush_log_at_trx_commit = 0",
        beside=TWO,
        setting=FLUSH.format(0),
        undone=FLUSH.format(1),
    ),
    Case(GALERA, TWO),
    Case(GALERA, NODES, (1, 1), beside=TWO),
    Case(
        GALERA,
        "the same, wsrep_sync_wait = 1",
        (1, 1),
        beside=NODES,
        setting=WAIT.format(1),
        undone=WAIT.format(0),
    ),
)
KINDS = ("singles", "new", "unchanged")


class Fleet(Service):
    """Services on one database. Clients are dealt out to them in turn."""

    def __init__(self, services: list[Service]) -> None:
        self.services = services
        self._next = cycle(services)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for service in self.services:
                stack.enter_context(service)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def client(self) -> Client:
        """Return a new connection to the next service."""
        return next(self._next).client()


# --- Rates -------------------------------------------------------------------------------------


def measure(
    case: Case, nodes: list[Server], figures: Figures, plan: Plan, base: Path, round_: int
) -> None:
    """Play a round of a case on a database of its own: single records, then lists, new and again."""
    with (
        tempfile.TemporaryDirectory(dir=base) as name,
        _database(case, nodes, Path(name), round_) as urls,
        Fleet(_services(case, urls, Path(name))) as fleet,
    ):
        _rates(case, fleet, figures, plan)
        if case.engine == "postgresql":
            _connections(case, nodes[0], urls[0], figures)
        if case.engine == GALERA and len(case.workers) > 1:
            _reads_elsewhere(case, fleet, figures)


def _services(case: Case, urls: list[str], folder: Path) -> list[Service]:
    return [
        Service(folder / f"service-{place}", urls[place % len(urls)], workers)
        for place, workers in enumerate(case.workers)
    ]


def _rates(case: Case, fleet: Fleet, figures: Figures, plan: Plan) -> None:
    samples = hammer(fleet, SINGLES, for_seconds(plan.seconds))
    if not all(sample.succeeded for sample in samples):
        raise processes.Unusable("a single record was refused")
    figures.add(case.engine, case.name, "singles", value=rate(samples))
    for kind, action in (("new", "created"), ("unchanged", "unchanged")):
        per_second = _lists(fleet, plan.records, action)
        figures.add(case.engine, case.name, kind, value=per_second)


def _lists(fleet: Fleet, size: int, action: str) -> float:
    """Send eight lists at once, each over a connection of its own; return the records a second of all."""
    firsts = [place * size for place in range(CONNECTIONS)]
    bodies = [fleet.bulk(_patients(first, size)) for first in firsts]

    def send(body: bytes) -> bytes:
        with closing(fleet.client()) as client:
            return fleet.send(client, body)[1]

    with ThreadPoolExecutor(CONNECTIONS) as clients:
        start = time.perf_counter()
        answers = [*clients.map(send, bodies)]
        seconds = time.perf_counter() - start
    for answer in answers:
        fleet.check(answer, action, size)
    return CONNECTIONS * size / seconds


def _patients(first: int, count: int) -> list[Record]:
    return [patient(each) for each in range(first, first + count)]


def _connections(case: Case, server: Server, url: str, figures: Figures) -> None:
    """Note how many connections the services keep after the load, and the server's memory for one."""
    assert server.process
    backends = [pid for pid in processes.children(server.process.pid) if serves(pid)]
    (row,) = _run(url, CONNECTED)
    figures.add("connections", case.name, value=row[0] - 1)  # without this one
    shares = [processes.memory(pid) for pid in backends]
    figures.add("connections", "MiB", value=sum(shares) / len(shares))


def _reads_elsewhere(case: Case, fleet: Fleet, figures: Figures) -> None:
    """Write records at one node, and read each at the other at once: note how many are not there, and the time."""
    here, there = (service.client() for service in fleet.services)
    missing, times = 0, []
    with closing(here), closing(there):
        for record in _patients(SINGLES // 2, READS):
            here.send(fleet.one_path, fleet.one(record))
            path = f"{fleet.bulk_path}?patientNo={record['patientNo']}"
            start = time.perf_counter()
            answer = there.send(path, b"", "GET")
            times.append(time.perf_counter() - start)
            missing += b'"data":[]' in answer.replace(b" ", b"")
    figures.add("elsewhere", case.name, "missing", value=missing)
    figures.add("elsewhere", case.name, "ms", value=statistics.median(times) * 1000)


# --- Databases ---------------------------------------------------------------------------------


@contextmanager
def _database(
    case: Case, nodes: list[Server], folder: Path, round_: int
) -> Iterator[list[str]]:
    """Make an empty database; yields its URL at each node."""
    if not nodes:
        yield [f"sqlite:///{folder / 'clinic.db'}"]
        return
    database = f"case_{CASES.index(case)}_{round_}"
    _run(nodes[0].url, f"CREATE DATABASE {database}")
    for node in nodes:
        _run(node.url, case.setting.format(database=database))
    try:
        yield [_named(node.url, database) for node in nodes]
    finally:
        for node in nodes:
            _run(node.url, case.undone)


def _named(url: str, database: str) -> str:
    return sa.make_url(url).set(database=database).render_as_string(hide_password=False)


def _run(url: str, statement: str) -> list[sa.Row]:
    """Run a statement, if there is one, outside of any transaction; return its rows."""
    if not statement:
        return []
    address = sa.make_url(url)
    driver = DRIVERS[address.get_backend_name()]
    engine = sa.create_engine(address.set(drivername=driver), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return [*result.all()] if result.returns_rows else []
    finally:
        engine.dispose()


# --- A clinic of its own -----------------------------------------------------------------------


def clinics(figures: Figures, plan: Plan, base: Path) -> None:
    """Services of one worker and one file each: their memory, and a night of each alone and of all at once."""
    with tempfile.TemporaryDirectory(dir=base) as name, ExitStack() as stack:
        services = [
            stack.enter_context(Service(Path(name) / str(place), workers=1))
            for place in range(plan.clinics)
        ]
        _note_memory(services, figures, "started")
        records = _patients(0, plan.patients)
        for service in services:
            _night(records, "created", service)
        _note_bytes(services[0], records, figures)
        alone = [_night(records, "unchanged", service) for service in services]
        together = _nights_at_once(records, services)
        figures.add("nights", "alone", value=sum(alone))
        figures.add("nights", "at once", value=together)
        _note_memory(services, figures, "after the nights")


def _night(records: list[Record], action: str, service: Service) -> float:
    """Send all patients of a clinic; return the seconds."""
    with closing(service.client()) as client:
        seconds, answer = service.send(client, service.bulk(records))
    service.check(answer, action, len(records))
    return seconds


def _nights_at_once(records: list[Record], services: list[Service]) -> float:
    with ThreadPoolExecutor(len(services)) as clients:
        start = time.perf_counter()
        for _ in clients.map(partial(_night, records, "unchanged"), services):
            pass
        return time.perf_counter() - start


def _note_memory(services: list[Service], figures: Figures, when: str) -> None:
    """Note a service's part of the memory, and a worker's resident memory."""
    masters = [service.process.pid for service in services]
    shares = [processes.memory(pid) for pid in masters]
    workers = [processes.resident_memory(processes.children(pid)[0]) for pid in masters]
    figures.add("memory", "service", when, value=sum(shares) / len(shares))
    figures.add("memory", "worker", when, value=sum(workers) / len(workers))


def _note_bytes(service: Service, records: list[Record], figures: Figures) -> None:
    """Note the bytes of a record: as it is sent, answered, answered with only what failed, and stored."""
    body = service.bulk(records)
    minimal = {"Prefer": "return=minimal"}
    with closing(service.client()) as client:
        answer = client.send(service.bulk_path, body)
        client.headers |= minimal
        short = client.send(service.bulk_path, body)
    files = service.database, service.database.with_name(f"{service.database.name}-wal")
    sizes = {"sent": len(body), "answered": len(answer), "answered, minimal": len(short)}
    sizes["file and its log"] = sum(file.stat().st_size for file in files)
    for what, size in sizes.items():
        figures.add("bytes", what, value=size / len(records))


# --- A run -------------------------------------------------------------------------------------


def main() -> None:
    """Measure, print the tables, and write them down."""
    plan = QUICK if arguments().quick else FULL
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # ends what was started
    sys.setswitchinterval(0.001)
    about, figures = machine.described(), Figures()
    with ExitStack() as stack:
        play(_steps(figures, plan, stack), figures, plan.rounds)
    text = markdown(figures, plan, about)
    print(text)
    folder = ROOT / "bench" if plan is FULL else ROOT / "instance" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SCALING.md").write_text(text, encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="bench.scaling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of little")
    return parser.parse_args()


def _steps(figures: Figures, plan: Plan, stack: ExitStack) -> dict[str, Step]:
    base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scaling-")))
    servers.open_to_servers(base)
    steps: dict[str, Step] = {"clinics": lambda _: clinics(figures, plan, base)}
    for engine in dict.fromkeys(case.engine for case in CASES):
        try:
            nodes = _nodes(engine, base, stack)
        except Exception as error:
            figures.hole(engine, error)
            continue
        for case in CASES:
            if case.engine == engine:
                arguments = case, nodes, figures, plan, base
                steps[f"{engine}, {case.name}"] = partial(measure, *arguments)
    return steps


def _nodes(engine: str, base: Path, stack: ExitStack) -> list[Server]:
    """Start the servers of an engine."""
    if engine == "sqlite":
        return []
    folder = base / engine
    folder.mkdir()
    nodes: list[Server] = (
        [*galera.prepared(folder)]
        if engine == GALERA
        else [servers.prepared(engine, folder)]
    )
    for node in nodes:
        stack.callback(node.stop)
        node.start()
    return nodes


# --- The report --------------------------------------------------------------------------------


def markdown(figures: Figures, plan: Plan, about: list[str]) -> str:
    """Return the report."""
    method = (
        f"Medians of {plan.rounds} rounds, all cases in turn in each; clients, services and servers on one machine."
        " `make scaling` measures anew."
    )
    parts = ["# Scaling, measured", method, "\n".join(f"* {line}" for line in about)]
    parts += ["## Rates, as a multiple of the case beside", _ratios(figures)]
    parts += ["## Rates, in records a second", _absolute(figures)]
    parts += ["## Galera: a record read at another node at once", _elsewhere(figures)]
    parts += ["## A clinic with a service of one worker and a file of its own"]
    parts += [_clinic(figures, plan), "## Not measured", _holes(figures)]
    return "\n\n".join(parts) + "\n"


def _ratios(figures: Figures) -> str:
    rows = [_ratio_row(figures, case) for case in CASES if case.beside]
    return table(("engine", "case", "beside", *KINDS), rows)


def _ratio_row(figures: Figures, case: Case) -> list[str]:
    ratios = [
        figures.ratio((case.engine, case.name, kind), (case.engine, case.beside, kind))
        for kind in KINDS
    ]
    return [case.engine, case.name, case.beside, *map(_short, ratios)]


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _absolute(figures: Figures) -> str:
    rows = [
        [
            case.engine,
            case.name,
            *(_spread(figures, case.engine, case.name, kind) for kind in KINDS),
        ]
        for case in CASES
    ]
    text = "Single records over eight connections; eight lists at once. In brackets the lowest and the highest round."
    return f"{text}\n\n{table(('engine', 'case', *KINDS), rows)}"


def _spread(figures: Figures, *name: str) -> str:
    values = figures.rounds.get(name)
    if not values:
        return "-"
    middle, low, high = figures.median(*name), min(values), max(values)
    return f"{number(round(middle))} ({number(round(low))} to {number(round(high))})"


def _elsewhere(figures: Figures) -> str:
    names = [name[1] for name in figures.rounds if name[::2] == ("elsewhere", "ms")]
    rows = [
        (
            name,
            number(figures.total("elsewhere", name, "missing")),
            number(READS * len(figures.rounds["elsewhere", name, "ms"])),
            _short(figures.median("elsewhere", name, "ms")),
        )
        for name in names
    ]
    return table(("case", "not there", "of", "ms of a read"), rows)


def _clinic(figures: Figures, plan: Plan) -> str:
    rows = [
        (f"MiB of the {what}, {when}", _of(figures, "memory", what, when))
        for what in ("service", "worker")
        for when in ("started", "after the nights")
    ]
    sizes = ("sent", "answered", "answered, minimal", "file and its log")
    rows += [(f"bytes a patient: {what}", _of(figures, "bytes", what)) for what in sizes]
    at_once = figures.ratio(("nights", "alone"), ("nights", "at once"))
    rows += [
        (
            f"{plan.clinics} nights one after another, in seconds",
            _of(figures, "nights", "alone"),
        ),
        ("the same at once: so many times as fast", _short(at_once)),
        ("PostgreSQL: connections kept by one worker", _of(figures, "connections", ONE)),
        ("PostgreSQL: connections kept by two", _of(figures, "connections", TWO)),
        (
            "PostgreSQL: MiB of its process for a connection",
            _of(figures, "connections", "MiB"),
        ),
    ]
    text = (
        f"{plan.clinics} such services at once; a night is a list of {plan.patients:,} patients, all stored and"
        " unchanged. A service is a master and its worker; what processes share is divided among them (Pss). A worker's"
        " own figure is its resident memory."
    )
    return f"{text}\n\n{table(('', ''), rows)}"


def _of(figures: Figures, *name: str) -> str:
    return _short(figures.median(*name))


def _holes(figures: Figures) -> str:
    lines = [f"* {what}: {reason}" for what, reason in figures.holes.items()]
    return "\n".join(lines) or "Nothing."


if __name__ == "__main__":
    main()
