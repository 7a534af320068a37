"""Chaos: kill the service and its databases at random moments under load, and check the books after each round.

`make chaos` attacks each engine that is installed for a minute; `make chaos ARGS="--minutes 20 --engine sqlite"` one of
them for longer. It prints a line for each engine, and ends with 1 if it found a fault. A fault is printed with the
record; what was stored and logged is then kept in a folder. All that is started listens on loopback and is ended.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from chaos import sites
from chaos.attack import Plan, attack
from chaos.ledger import Fault

MOST_SHOWN = 20  # faults of an engine


def main() -> None:
    """Attack the engines, one after the other."""
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("ended")
    )  # ends what was started, too
    chosen = arguments()
    plan = Plan(chosen.seed, chosen.minutes, chosen.kills, chosen.setting)
    print(f"seed {plan.seed}", flush=True)
    faults = sum([_attack(engine, plan) for engine in chosen.engine or sites.available()])
    sys.exit(1 if faults else 0)


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--engine",
        action="append",
        choices=sites.ENGINES,
        help="only this one (again: and that)",
    )
    parser.add_argument(
        "--minutes", type=float, default=1, help="of each engine (default: 1)"
    )
    parser.add_argument("--kills", type=int, help="of each engine, instead of minutes")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="what is sent and killed"
    )
    parser.add_argument(
        "--setting",
        action="append",
        default=[],
        help="of the database servers, as synchronous_commit=off (again: and that)",
    )
    return parser.parse_args()


def _attack(engine: str, plan: Plan) -> int:
    """Attack an engine and print what came of it; return the number of faults."""
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{engine}-"))
    shown: list[Fault] = []

    def tell(fault: Fault) -> None:
        shown.append(fault)
        if len(shown) <= MOST_SHOWN:
            print(
                f"{engine}, seed {plan.seed}: {fault.kind}: {fault.text}\n  {fault.record}",
                flush=True,
            )

    played = attack(engine, plan, folder, tell)
    print(played.line(), flush=True)
    if played.faults:
        print(f"{engine}: see {folder}", flush=True)
    else:
        shutil.rmtree(folder)
    return played.faults


if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("ended")
    )  # ends what was started, too
    main()
