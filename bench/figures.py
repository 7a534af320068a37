"""Figures: what was measured, round by round, and what could not be."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

Step = Callable[[int], None]  # plays one round
Name = tuple[str, ...]  # as ("bulk", "PocketBase", "insert")


class Figures:
    """Measured values by name, one a round; `holes` tells why something has none."""

    def __init__(self) -> None:
        self.rounds: dict[Name, list[float]] = defaultdict(list)
        self.holes: dict[str, str] = {}

    def add(self, *name: str, value: float | None) -> None:
        """Note a round's value; None, where nothing can be measured, leaves no trace."""
        if value is not None:
            self.rounds[name].append(value)

    def median(self, *name: str) -> float | None:
        """Return the median of the rounds, None if there are none."""
        return statistics.median(self.rounds[name]) if self.rounds.get(name) else None

    def total(self, *name: str) -> float | None:
        """Return the sum of the rounds, None if there are none."""
        return sum(self.rounds[name]) if self.rounds.get(name) else None

    def ratio(self, name: Name, other: Name) -> float | None:
        """Return one median as a share of another."""
        one, two = self.median(*name), self.median(*other)
        return one / two if one is not None and two else None

    def hole(self, what: str, reason: object) -> None:
        """Note that something could not be measured, and say so at once."""
        self.holes[what] = " ".join(str(reason).split())[:300]
        print(f"  {what}: NOT MEASURED: {self.holes[what]}", flush=True)


def play(steps: Mapping[str, Step], figures: Figures, rounds: int) -> None:
    """Play all rounds; a step that fails is reported, and left out of the rounds that follow."""
    for number in range(rounds):
        for name, step in steps.items():
            if name in figures.holes:
                continue
            start = time.monotonic()
            try:
                step(number)
            except Exception as error:
                why = f"in round {number + 1}: {type(error).__name__}: {error}"
                figures.hole(name, why)
            seconds = time.monotonic() - start
            print(f"round {number + 1}: {name} ({seconds:.0f} s)", flush=True)
