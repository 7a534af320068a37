"""An attack on one engine: rounds of load and kills, and after each the check of the books."""

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from chaos import audit, sites
from chaos.books import Books
from chaos.kills import KILLS, Kill
from chaos.ledger import Fault, Ledger
from chaos.load import Load
from chaos.sites import GALERA, Site

LONGEST_PEACE = 2  # seconds before a kill, and after the last of a round
KILLS_OF_A_ROUND = (1, 1, 2, 3)


@dataclass(frozen=True)
class Plan:
    """How long: so many minutes, or so many kills. `seed` decides what is sent and killed, not to the millisecond.

    `settings` are those of the database servers, as `name=value`.
    """

    seed: int
    minutes: float = 1
    kills: int | None = None
    settings: Sequence[str] = ()

    def kills_left(self, started: float, kills: int) -> float:
        """Return how many kills are to follow, after so many since `started`."""
        if self.kills is not None:
            return self.kills - kills
        return math.inf if time.monotonic() - started < self.minutes * 60 else 0


class Attack:
    """An attack on what runs at a site, with these kinds of kills."""

    def __init__(self, engine: str, plan: Plan, site: Site, kinds: Sequence[Kill]) -> None:
        self.engine, self.plan, self.site = engine, plan, site
        self.ledger = Ledger(stale_reads=engine == GALERA)
        self.kills: Counter[str] = Counter()
        self.faults = 0
        self._rng = random.Random(plan.seed)
        self._deck = _deck(kinds, self._rng)
        ports = [service.port for service in site.services]
        self._load = Load(plan.seed, self.ledger, ports)
        self._books = Books([service.url for service in site.services])

    def run(self, tell: Callable[[Fault], None]) -> None:
        """Play all rounds, and tell each fault."""
        with closing(self._load):
            for fault in self._play():
                self.faults += 1
                tell(fault)

    def line(self) -> str:
        """Return the line that tells what was done, and what came of it."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        ledger = self.ledger
        return (
            f"{self.engine}: {self.kills.total()} kills ({kinds}), {ledger.sent:,} requests,"
            f" {ledger.answered:,} records answered, {ledger.unanswered:,} unanswered,"
            f" {ledger.refused:,} refused, {self.faults} faults"
        )

    def _play(self) -> Iterator[Fault]:
        self._load.furnish()
        yield from self._check()
        started = time.monotonic()
        while left := self.plan.kills_left(started, self.kills.total()):
            self._round(min(left, self._rng.choice(KILLS_OF_A_ROUND)))
            yield from self._check()

    def _check(self) -> list[Fault]:
        return audit.check(self.ledger, self._books.read(f"{self._load.prefix}-"))

    def _round(self, kills: float) -> None:
        with self._load.running():
            for _ in range(int(kills)):
                self._wait_a_while()
                self._kill(next(self._deck))
            self._wait_a_while()
        self.site.wait()

    def _kill(self, kill: Kill) -> None:
        kill(self.site, self._load, self._rng)
        self.kills[kill.__name__] += 1

    def _wait_a_while(self) -> None:
        time.sleep(self._rng.uniform(0.2, LONGEST_PEACE))


def _deck(kinds: Sequence[Kill], rng: random.Random) -> Iterator[Kill]:
    """Yield kills in any order, but each kind once before one comes again."""
    while True:
        yield from rng.sample(kinds, len(kinds))


def attack(
    engine: str,
    plan: Plan,
    folder: Path,
    tell: Callable[[Fault], None],
    kinds: Sequence[Kill] = (),
) -> Attack:
    """Attack an engine in an empty folder, and tell each fault. `kinds`: others than the engine's own kills."""
    with sites.running(engine, folder, plan.settings) as site:
        played = Attack(engine, plan, site, kinds or KILLS[engine])
        played.run(tell)
    return played
