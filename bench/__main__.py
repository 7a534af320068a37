"""The bench: the service beside raw SQL and other programs that upsert over HTTP, in one interleaved run.

`make bench` takes about a quarter of an hour and writes bench/RESULTS.md and bench/results.svg. `make bench
ARGS=--quick` takes two minutes, with one round and smaller lists: it shows that the bench works, its figures mean
little, and go to instance/bench.
Whatever cannot be installed or run is told and left out. All that is started listens on loopback and is ended.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import cases, machine
from bench.cases import FULL, QUICK, Plan
from bench.chart import svg
from bench.figures import Figures, Step, play
from bench.peers import PEERS, ROOT
from bench.report import markdown, summary
from tests import servers


def main() -> None:
    """Measure, print the goals, and write the report."""
    plan = QUICK if _arguments().quick else FULL
    # An exit ends what was started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    # A client that has its answer should not wait long for its turn to look at the clock.
    sys.setswitchinterval(0.001)
    about, figures, start = machine.described(), Figures(), time.monotonic()
    print(*about, sep="\n", flush=True)
    with ExitStack() as stack:
        play(_steps(figures, plan, stack), figures, plan.rounds)
    print(f"\n{summary(figures, plan)}\n\n{(time.monotonic() - start) / 60:.1f} minutes")
    _write(figures, plan, about)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round of small lists, two minutes"
    )
    return parser.parse_args()


def _steps(figures: Figures, plan: Plan, stack: ExitStack) -> dict[str, Step]:
    """Return what a round plays, in order; prepares tables and starts what all rounds share."""
    base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    steps: dict[str, Step] = {"raw SQLite": lambda _: cases.raw_sqlite(figures, plan, base)}
    for kind in PEERS:
        steps[kind.name] = partial(_each, cases.bulk_and_singles, kind, figures, plan, base)
    steps["lists of other sizes"] = lambda _: cases.sizes(figures, plan, base)
    steps["messy records"] = lambda _: cases.untidy(figures, plan, base)
    for kind in cases.MIXED:
        steps[f"mixed, {kind.name}"] = partial(
            _each, cases.mixed, kind, figures, plan, base
        )
    if _prepared(figures, "growth", lambda: cases.fill(plan, base)):
        steps["growth"] = lambda number: cases.growth(figures, plan, base, number)
    urls: list[str] = []
    if _prepared(figures, "PostgreSQL", lambda: urls.append(_postgresql(stack, base))):
        steps["PostgreSQL"] = lambda number: cases.postgresql(
            figures, plan, base, urls[0], number
        )
    return steps


def _each(case: Callable[..., None], *arguments: object) -> None:
    case(*arguments[:-1])  # the last is the round's number


def _prepared(figures: Figures, what: str, work: Callable[[], None]) -> bool:
    print(f"preparing: {what}", flush=True)
    try:
        work()
    except Exception as error:
        figures.hole(what, error)
        return False
    return True


def _postgresql(stack: ExitStack, base: Path) -> str:
    if "postgresql" not in servers.available():
        raise RuntimeError("no PostgreSQL server is installed")
    folder = base / "postgresql"
    folder.mkdir()
    return stack.enter_context(servers.running("postgresql", folder))


def _write(figures: Figures, plan: Plan, about: list[str]) -> None:
    folder = ROOT / "bench" if plan is FULL else ROOT / "instance" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.svg").write_text(svg(figures, plan), encoding="utf-8")
    (folder / "RESULTS.md").write_text(
        markdown(figures, plan, about, "results.svg"), encoding="utf-8"
    )
    print(f"Written: {(folder / 'RESULTS.md').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
