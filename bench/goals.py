"""Goals: the ratios that the service is to reach, and whether it does."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

from bench.cases import Plan
from bench.figures import Figures
from bench.records import CASES

AGAINST: dict[str, dict[str, float]] = {  # peer: the goal of each case
    "raw": {"insert": 0.20, "unchanged": 0.30, "changed": 0.20},
    "PocketBase": {"insert": 12, "unchanged": 15, "changed": 15},
    "Datasette": {"insert": 1, "unchanged": 1, "changed": 1},
    "session.merge": {"insert": 25, "unchanged": 25, "changed": 25},
}
SIZES = (0.75, 0.9)  # of the usual list's rate: a small one, a large one
MEMORY = (110, 280)  # MiB: the usual list, a large one
POSTGRESQL = {"insert": 0.25, "unchanged": 1.0, "changed": 0.4}


@dataclass(frozen=True)
class Goal:
    """A figure and its bound; either is None where it could not be measured."""

    what: str
    value: float | None
    bound: float | None
    reached: Callable[[float, float], bool] = operator.ge

    def verdict(self) -> str:
        """Return what stands beside the figure."""
        if self.bound is None:
            return "goal not known: what it is compared with was not measured"
        sign = "≥" if self.reached is operator.ge else "≤"
        goal = f"goal {sign} {self.bound:.3g}"
        if self.value is None:
            return f"{goal}: NOT MEASURED"
        return f"{goal}: {'met' if self.reached(self.value, self.bound) else 'NOT MET'}"


def number(value: float | None) -> str:
    """Return a figure with as many digits as mean something."""
    if value is None:
        return "-"
    if value == int(value):
        return f"{value:,.0f}"
    return (
        f"{value:,.0f}"
        if abs(value) >= 100
        else f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.3f}"
    )


def goals(figures: Figures, plan: Plan) -> list[Goal]:
    """Return every goal beside its figure."""
    return [
        *_bulk(figures),
        *_singles(figures),
        *_mixed(figures, plan),
        *_sizes(figures, plan),
        *_growth(figures, plan),
        *_postgresql(figures),
    ]


def exponent(figures: Figures, plan: Plan, what: str, case: str) -> float | None:
    """Return the power of a table's size that the cost of a record grows with: the slope of the logarithms."""
    costs = [figures.median("growth", what, case, str(size)) for size in plan.tables]
    if None in costs:
        return None
    sizes = [math.log(size) for size in plan.tables]
    logs = [math.log(cost) for cost in costs if cost]
    middle, mean = sum(sizes) / len(sizes), sum(logs) / len(logs)
    rise = sum(
        (size - middle) * (cost - mean) for size, cost in zip(sizes, logs, strict=True)
    )
    return rise / sum((size - middle) ** 2 for size in sizes)


def _bulk(figures: Figures) -> list[Goal]:
    return [
        Goal(
            f"bulk against {peer}, {case}",
            figures.ratio(("bulk", "service", case), ("bulk", peer, case)),
            bound,
        )
        for peer, bounds in AGAINST.items()
        for case, bound in bounds.items()
    ]


def _singles(figures: Figures) -> list[Goal]:
    ours, theirs = ("singles", "service"), ("singles", "PocketBase")
    per_second = figures.ratio((*ours, "requests/s"), (*theirs, "requests/s"))
    slowest = figures.ratio((*ours, "p99"), (*theirs, "p99"))
    spread = figures.ratio((*ours, "p99"), (*ours, "p50"))
    return [
        Goal("one record, 8 connections: requests/s against PocketBase", per_second, 1.0),
        Goal(
            "one record, 8 connections: p99 against PocketBase's", slowest, 1.0, operator.le
        ),
        Goal("one record, 8 connections: p99 against p50", spread, 3.0, operator.le),
    ]


def _mixed(figures: Figures, plan: Plan) -> list[Goal]:
    busy, alone = ("mixed", "service", "beside a bulk"), ("mixed", "service", "alone")
    what = f"one record beside a bulk of {2 * plan.records:,}"
    slower = figures.ratio((*busy, "p99"), (*alone, "p99"))
    return [
        Goal(f"{what}: p99 against that alone", slower, 10, operator.le),
        Goal(f"{what}: errors", figures.total(*busy, "errors"), 0, operator.le),
    ]


def _sizes(figures: Figures, plan: Plan) -> list[Goal]:
    found = [
        Goal(
            f"{size:,} in one request against {plan.records:,}, {case}",
            _of_usual(figures, str(size), case),
            bound,
        )
        for size, bound in zip(plan.sizes, SIZES, strict=True)
        for case in CASES
    ]
    for size, bound in zip((plan.records, plan.sizes[1]), MEMORY, strict=True):
        peak = figures.median("memory", "service", str(size))
        found.append(
            Goal(f"worker's peak memory at {size:,}, MiB", peak, bound, operator.le)
        )
    messy = figures.ratio(
        ("messy", "service", "unchanged"), ("bulk", "service", "unchanged")
    )
    return [*found, Goal("messy records against clean ones, unchanged", messy, 0.8)]


def _of_usual(figures: Figures, size: str, case: str) -> float | None:
    return figures.ratio(("sizes", size, case), ("bulk", "service", case))


def _growth(figures: Figures, plan: Plan) -> list[Goal]:
    what = f"growth from {plan.tables[0]:,} to {plan.tables[-1]:,} rows, exponent"
    ours = {
        case: exponent(figures, plan, "service", case) for case in ("unchanged", "changed")
    }
    return [
        Goal(f"{what}, unchanged", ours["unchanged"], 0.10, operator.le),
        Goal(
            f"{what}, changed (goal: raw's)",
            ours["changed"],
            exponent(figures, plan, "raw", "changed"),
            operator.le,
        ),
    ]


def _postgresql(figures: Figures) -> list[Goal]:
    ours = ("postgresql", "service")
    against = [
        Goal(
            f"PostgreSQL: bulk against COPY + ON CONFLICT, {case}",
            figures.ratio((*ours, case), ("postgresql", "raw", case)),
            bound,
        )
        for case, bound in POSTGRESQL.items()
    ]
    again = [
        Goal(
            f"PostgreSQL: re-sync against insert, {case}",
            figures.ratio((*ours, case), (*ours, "insert")),
            1.0,
        )
        for case in ("unchanged", "changed")
    ]
    return [*against, *again]
