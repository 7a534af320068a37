"""Mutants: change the code in one place at a time, and see whether a test fails.

`make mutants` tries `upsert.py` and those files of `engine/` that `selection.py` names; `make mutants
FILE=engine/match.py COUNT=50 SEED=7` at most 50 mutants of one file, and the same ones again with the same seed. It
works on a copy of the tree. It prints each mutant that no test has killed, and the share of those that were killed,
file by file.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mutants import worker
from mutants.selection import ON_SERVERS, TESTS
from mutants.source import Mutant, mutants
from tests import servers

ROOT = Path(__file__).parent.parent
NOT_COPIED = (
    ".git",
    ".venv*",
    "node_modules",
    "instance",
    "__pycache__",
    ".*_cache",
    ".env",
)


@dataclass
class Score:
    """What became of the mutants of one file."""

    file: str
    seconds: list[float] = field(default_factory=list)
    survivors: list[Mutant] = field(default_factory=list)
    not_imported: int = 0
    out_of_time: int = 0

    def line(self) -> str:
        """Return a row of the table."""
        tried = len(self.seconds)
        killed = tried - len(self.survivors)
        share = f"{100 * killed / tried:5.1f} %" if tried else "      -"
        slow = max(self.seconds, default=0)
        how = f"{self.not_imported:11}{self.out_of_time:9}"
        return f"{self.file:24}{tried:6}{killed:8}{share:>9}{how}{slow:8.1f} s"


def main() -> None:
    """Try the mutants of each file, and print what survived."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which ends the servers, too
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutants-", dir=_fast_folder()) as folder:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
        Path(folder).chmod(0o755)  # others can enter it, as /tmp
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
        files = arguments.file or [*TESTS]
        with _servers_for(files, Path(folder)):
            scores = [_try(tree, file, arguments.count, arguments.seed) for file in files]
    print(
        f"\n{'file':24}{'tried':>6}{'killed':>8}{'':>9}{'at import':>11}{'by time':>9}{'longest':>10}"
    )
    print(*[score.line() for score in scores], sep="\n")
    _print_sum(scores)


@contextmanager
def _servers_for(files: Collection[str], folder: Path) -> Iterator[None]:
    """Run the database servers that are installed, if tests of any of these files want them.

    The tests find them by the environment.
    """
    with ExitStack() as stack:
        wanted = worker.SERVERS if ON_SERVERS.intersection(files) else ()
        for backend in sorted({*wanted}.intersection(servers.available())):
            (folder / backend).mkdir()
            url = stack.enter_context(servers.running(backend, folder / backend))
            os.environ[f"RUNNING_{backend.upper()}"] = url
        yield


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--file", action="append", choices=TESTS, help="only this one")
    parser.add_argument("--count", type=int, default=300, help="at most so many a file")
    parser.add_argument("--seed", type=int, default=1, help="which, if a file has more")
    return parser.parse_args()


def _fast_folder() -> str | None:
    """Return a folder in memory if there is one: tests wait for the disk most of their time."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _try(tree: Path, file: str, count: int, seed: int) -> Score:
    """Run the tests of a file for each of its mutants."""
    score = Score(file)
    _try_unchanged(tree, file)
    original = (tree / file).read_text(encoding="utf-8")
    for mutant in mutants(tree, file, count, seed):
        _try_one(tree, mutant, score)
    (tree / file).write_text(original, encoding="utf-8")
    print(score.line(), flush=True)
    return score


def _try_unchanged(tree: Path, file: str) -> None:
    """Run the tests of a file without a mutant: they must pass, and leave a mutant time to fail."""
    compiling = worker.run(tree, file, seconds=worker.COMPILING, cached=True)
    run = worker.run(tree, file, seconds=worker.COMPILING)
    if compiling.code or run.code:
        sys.exit(f"The tests of {file} fail without a mutant: {TESTS[file]}")
    if run.seconds > worker.UNCHANGED:
        sys.exit(
            f"The tests of {file} take {run.seconds:.1f} s of CPU without a mutant; {worker.UNCHANGED} are allowed."
            " Leave some out (mutants/selection.py), or try again when the machine is idle."
        )


def _try_one(tree: Path, mutant: Mutant, score: Score) -> None:
    path = tree / mutant.file
    path.write_text(mutant.after, encoding="utf-8")
    _forget(path)
    run = worker.run(tree, mutant.file)
    score.seconds.append(run.seconds)
    score.not_imported += run.code in worker.FAILED_TO_IMPORT
    score.out_of_time += run.code < 0
    if run.code == 0:
        score.survivors.append(mutant)
        print(mutant.diff(), flush=True)


def _forget(path: Path) -> None:
    """Remove a file's bytecode: it is taken for that of another text of the same length and second."""
    for cached in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        cached.unlink()


def _print_sum(scores: list[Score]) -> None:
    tried = sum(len(score.seconds) for score in scores)
    survived = sum(len(score.survivors) for score in scores)
    if tried:
        share = 100 - 100 * survived / tried
        print(f"{tried - survived} of {tried} killed: {share:.1f} %")


if __name__ == "__main__":
    main()
