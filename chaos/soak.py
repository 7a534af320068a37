"""A soak: mixed load without a kill, and what the service takes meanwhile: memory, open files, log and database.

`python -m chaos.soak --minutes 10 --engine sqlite` prints a line every ten seconds, and at the end how memory grew. The
database grows all the time, as the load stores new records; a service that leaks grows with it.
"""

import argparse
import random
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from bench import processes
from chaos import sites
from chaos.ledger import Ledger
from chaos.load import Load
from chaos.service import KEY, Service
from chaos.sites import Site

EVERY = 10  # seconds between two samples
WARM_UP = 1 / 3  # share of the time that does not count: caches and pools fill
MIB = 1 << 20
READ = ("/api/healthcare/patients?limit=200", "/api/healthcare/syncs", "/healthz", "/")


@dataclass(frozen=True)
class Sample:
    """What a service took at one moment; `memory` is what all its workers have for themselves (bytes)."""

    seconds: float
    memory: int
    files: int
    log: int
    database: int
    wal: int

    def line(self) -> str:
        """Return the sample as a line of a table."""
        sizes = {
            "memory": self.memory,
            "log": self.log,
            "database": self.database,
            "wal": self.wal,
        }
        shown = "  ".join(f"{name} {size / MIB:.1f}" for name, size in sizes.items())
        return f"{self.seconds:6.0f} s  files {self.files}  {shown}"


def main() -> None:
    """Soak one engine, and print samples and the growth."""
    parser = argparse.ArgumentParser(prog="chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--engine", choices=sites.ENGINES, default="sqlite")
    arguments = parser.parse_args()
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        for sample in soak(arguments.engine, arguments.minutes * 60, Path(name)):
            samples.append(sample)
            print(sample.line(), flush=True)
    print(f"memory grows by {growth(samples):.1f} MiB an hour (MiB everywhere above)")


def soak(engine: str, seconds: float, folder: Path) -> Iterator[Sample]:
    """Load an engine's services for so long; yield samples of the first one."""
    ledger = Ledger(stale_reads=engine == sites.GALERA)
    with sites.running(engine, folder) as site:
        ports = [service.port for service in site.services]
        with closing(Load(random.randrange(10**6), ledger, ports)) as load:
            load.furnish()
            with load.running(), _readers(site):
                yield from _samples(site.services[0], folder, seconds)
    print(f"{ledger.sent:,} requests, {ledger.answered:,} records answered")


@contextmanager
def _readers(site: Site) -> Iterator[None]:
    """Read pages while the block runs, too."""
    stop = Event()

    def read(port: int) -> None:
        while not stop.wait(0.2):
            for path in READ:
                address = f"http://127.0.0.1:{port}{path}"
                request = urllib.request.Request(address, headers={"X-API-Key": KEY})
                with urllib.request.urlopen(request, timeout=60) as answer:
                    answer.read()

    with ThreadPoolExecutor() as pool:
        reading = [pool.submit(read, service.port) for service in site.services]
        try:
            yield
        finally:
            stop.set()
    for future in reading:
        future.result()


def _samples(service: Service, folder: Path, seconds: float) -> Iterator[Sample]:
    started = time.monotonic()
    while (now := time.monotonic() - started) < seconds:
        workers = service.workers()
        yield Sample(
            now,
            sum(map(_memory, workers)),
            sum(len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in workers),
            _size(*folder.glob("service-*.log")),
            _size(folder / "clinic.db"),
            _size(folder / "clinic.db-wal"),
        )
        time.sleep(EVERY)


def _memory(pid: int) -> int:
    return (processes.kilobytes(pid, "status", "RssAnon:") or 0) * 1024


def _size(*paths: Path) -> int:
    return sum(path.stat().st_size for path in paths if path.exists())


def growth(samples: list[Sample]) -> float:
    """Return by how many MiB an hour the memory grows, once warm."""
    warm = samples[int(len(samples) * WARM_UP) :]
    hours = [sample.seconds / 3600 for sample in warm]
    return statistics.linear_regression(hours, [each.memory / MIB for each in warm]).slope


if __name__ == "__main__":
    main()
