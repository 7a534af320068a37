"""Cases: what is measured. Each function plays one round of one case and notes its figures."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psycopg
from sqlalchemy.engine import make_url

from bench.figures import Figures
from bench.load import Sample, for_seconds, hammer, milliseconds, rate
from bench.peers import PEERS, Client, Datasette, Peer, Service
from bench.processes import Unusable
from bench.raw import RawPostgresql, RawSqlite, tuples
from bench.records import CASES, Record, cases, changed, messy, patient

SINGLES = 2_000_000  # the first numbers of those who are sent one at a time
MIXED = [kind for kind in PEERS if kind is not Datasette]


@dataclass(frozen=True)
class Plan:
    """How much is measured; `sizes` are records a request, `tables` rows of a table."""

    rounds: int
    records: int
    sizes: tuple[int, int]
    seconds: float
    tables: tuple[int, ...]


FULL = Plan(
    rounds=5,
    records=10_000,
    sizes=(1_000, 100_000),
    seconds=4,
    tables=(10_000, 100_000, 1_000_000),
)
QUICK = Plan(
    rounds=1, records=2_000, sizes=(200, 10_000), seconds=2, tables=(5_000, 20_000, 50_000)
)


@contextmanager
def _folder(base: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=base) as folder:
        yield Path(folder)


# --- Bulk, and one at a time -------------------------------------------------------------------


def raw_sqlite(figures: Figures, plan: Plan, base: Path) -> None:
    """Raw SQLite: the bulk, and one durable commit of one row."""
    lists = {
        case: tuples(records) for case, records in cases(_patients(plan.records)).items()
    }
    with _folder(base) as folder, closing(RawSqlite(folder / "raw.db")) as sqlite:
        for case, rows in lists.items():
            figures.add("bulk", "raw", case, value=len(rows) / sqlite.send(rows))
        singles = [tuples([patient(SINGLES + number)]) for number in range(200)]
        figures.add(
            "commit", value=sum(sqlite.send(rows) for rows in singles) / len(singles) * 1e6
        )


def bulk_and_singles(kind: type[Peer], figures: Figures, plan: Plan, base: Path) -> None:
    """A peer: the bulk, its memory, what it stored, then one at a time."""
    with _folder(base) as folder, kind(folder / "peer") as running:
        _bulk(running, figures, ("bulk", kind.name), cases(_patients(plan.records)))
        figures.add("memory", kind.name, str(plan.records), value=running.peak_memory())
        if running.stored() != (plan.records, plan.records):
            raise Unusable(
                f"stored and changed should be {plan.records}: {running.stored()}"
            )
        samples = hammer(running, SINGLES, for_seconds(plan.seconds))
        _note_singles(samples, figures, ("singles", kind.name))


def sizes(figures: Figures, plan: Plan, base: Path) -> None:
    """The service: as many requests of a small list as make up the usual one, and one large list; and its memory."""
    small, large = plan.sizes
    with (
        _folder(base) as folder,
        Service(folder / "small") as running,
        closing(running.client()) as client,
    ):
        for case, records in cases(_patients(plan.records)).items():
            bodies = [
                running.bulk(records[start : start + small])
                for start in range(0, len(records), small)
            ]
            seconds = sum(_checked(running, client, body, case, small) for body in bodies)
            figures.add("sizes", str(small), case, value=len(records) / seconds)
    with _folder(base) as folder, Service(folder / "large") as running:
        _bulk(running, figures, ("sizes", str(large)), cases(_patients(large)))
        figures.add("memory", Service.name, str(large), value=running.peak_memory())


def untidy(figures: Figures, plan: Plan, base: Path) -> None:
    """The service: a bulk of records as desktop programs send them."""
    with _folder(base) as folder, Service(folder / "messy") as running:
        _bulk(
            running,
            figures,
            ("messy", Service.name),
            cases([messy(number) for number in range(plan.records)]),
        )


def _bulk(
    running: Peer, figures: Figures, name: tuple[str, ...], lists: dict[str, list[Record]]
) -> None:
    with closing(running.client()) as client:
        for case, records in lists.items():
            seconds = _checked(running, client, running.bulk(records), case, len(records))
            figures.add(*name, case, value=len(records) / seconds)


def _checked(running: Peer, client: Client, body: bytes, case: str, count: int) -> float:
    seconds, answer = running.send(client, body)
    running.check(answer, CASES[case], count)
    return seconds


def _patients(count: int) -> list[Record]:
    return [patient(number) for number in range(count)]


def _note_singles(samples: list[Sample], figures: Figures, name: tuple[str, ...]) -> None:
    if not samples:
        raise Unusable("no single request was answered")
    figures.add(*name, "requests/s", value=rate(samples))
    figures.add(*name, "p50", value=milliseconds(samples, 0.5))
    figures.add(*name, "p99", value=milliseconds(samples, 0.99))
    figures.add(*name, "errors", value=sum(not sample.succeeded for sample in samples))


# --- Mixed -------------------------------------------------------------------------------------


def mixed(kind: type[Peer], figures: Figures, plan: Plan, base: Path) -> None:
    """One at a time alone, then while one bulk after another changes a table of twice the usual size."""
    records = _patients(2 * plan.records)
    with _folder(base) as folder, kind(folder / "mixed") as running:
        with closing(running.client()) as client:
            running.send(client, running.bulk(records))
        alone = hammer(running, SINGLES, for_seconds(plan.seconds))
        busy, times = _beside_bulks(running, records, plan.seconds)
    _note_singles(alone, figures, ("mixed", kind.name, "alone"))
    overlapping = [
        it
        for it in busy
        if any(it.sent < end and it.answered > start for start, end in times)
    ]
    _note_singles(overlapping, figures, ("mixed", kind.name, "beside a bulk"))
    rates = [len(records) / (end - start) for start, end in times]
    figures.add("mixed", kind.name, "bulk", value=sum(rates) / len(rates))


def _beside_bulks(
    running: Peer, records: list[Record], seconds: float
) -> tuple[list[Sample], list[tuple[float, float]]]:
    """Return the single requests, and when each bulk began and ended; bulks follow each other for some seconds."""
    done, failures = Event(), []
    times: list[tuple[float, float]] = []

    def bulks() -> None:
        going = for_seconds(seconds)
        try:
            with closing(running.client()) as client:
                while going():
                    body = running.bulk(
                        [changed(record, len(times) + 1) for record in records]
                    )
                    start = time.perf_counter()
                    client.send(running.bulk_path, body)
                    times.append((start, time.perf_counter()))
        except Exception as error:  # told by the thread that waits
            failures.append(error)
        finally:
            done.set()

    thread = Thread(target=bulks)
    thread.start()
    samples = hammer(running, 2 * SINGLES, lambda: not done.is_set())
    thread.join()
    if failures:
        raise Unusable(f"a bulk beside single requests: {failures[0]}")
    return samples, times


# --- Growth ------------------------------------------------------------------------------------


def fill(plan: Plan, base: Path) -> None:
    """Make the tables whose growth is measured, of the service and raw."""
    for size in plan.tables:
        folder = base / f"table-{size}"
        with Service(folder) as running, closing(running.client()) as client:
            for start in range(0, size, 50_000):
                records = [
                    patient(number) for number in range(start, min(size, start + 50_000))
                ]
                _checked(running, client, running.bulk(records), "insert", len(records))
        with closing(RawSqlite(folder / "raw.db")) as sqlite:
            sqlite.send(tuples(_patients(size)))


def growth(figures: Figures, plan: Plan, base: Path, number: int) -> None:
    """Re-sync patients from all over a table, unchanged and changed, in tables of each size.

    What is timed comes second: the first re-sync of a process, and of a connection, warms it.
    """
    for size in plan.tables:
        known = [patient(place) for place in range(0, size, size // min(plan.tables))]
        old = [changed(record, number) for record in known] if number else known
        new = [changed(record, number + 1) for record in known]
        folder = base / f"table-{size}"
        with Service(folder) as running, closing(running.client()) as client:
            running.send(client, running.bulk(old))
            for case, records in (("unchanged", old), ("changed", new)):
                seconds = _checked(
                    running, client, running.bulk(records), case, len(records)
                )
                figures.add(
                    "growth",
                    Service.name,
                    case,
                    str(size),
                    value=seconds / len(records) * 1e6,
                )
        with closing(RawSqlite(folder / "raw.db")) as sqlite:
            sqlite.send(tuples(old))
            for case, records in (("unchanged", old), ("changed", new)):
                seconds = sqlite.send(tuples(records))
                figures.add(
                    "growth", "raw", case, str(size), value=seconds / len(records) * 1e6
                )


# --- PostgreSQL --------------------------------------------------------------------------------


def postgresql(figures: Figures, plan: Plan, base: Path, url: str, number: int) -> None:
    """The bulk on PostgreSQL, raw and through the service, each in a database of its own."""
    databases = [f"{name}_{number}" for name in ("raw", "service")]
    with psycopg.connect(url, autocommit=True) as connection:
        for database in databases:
            connection.execute(f"CREATE DATABASE {database}")
    raw_url, service_url = (
        make_url(url).set(database=name).render_as_string(hide_password=False)
        for name in databases
    )
    lists = cases(_patients(plan.records))
    with closing(RawPostgresql(raw_url)) as server:
        for case, records in lists.items():
            figures.add(
                "postgresql", "raw", case, value=len(records) / server.send(tuples(records))
            )
    with _folder(base) as folder, Service(folder / "service", service_url) as running:
        _bulk(running, figures, ("postgresql", Service.name), lists)
