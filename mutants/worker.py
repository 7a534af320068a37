"""A run of tests in a child of this process, which has imported already what does not change."""

import importlib
import os
import resource
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pytest

from mutants.selection import ON_SERVERS, SLOW, TESTS

# What the program and its tests stand on. Each child would import it anew: that takes a second.
for name in (
    "alembic.command",
    "flask_migrate",
    "flask_sqlalchemy",
    "hypothesis",
    "marshmallow",
    "phonenumbers",
    "sqlalchemy.dialects.sqlite",
    "_pytest.assertion.rewrite",
):
    importlib.import_module(name)

CPU, MEMORY = 5, 3 << 30  # seconds and bytes after which the run of a mutant has failed
UNCHANGED = 4  # seconds of CPU that a run without a mutant may take
COMPILING = (
    20  # seconds of CPU for a run without a mutant, which may compile the tests, too
)
PATIENCE = 30  # seconds, for what waits and needs no CPU: many, for the machine may be busy
FAILED_TO_IMPORT = (2, 4)  # pytest's codes: in a file of tests, in conftest.py
SERVERS = ("postgresql", "mariadb")
# Hypothesis is here before pytest, and pytest warns of it.
OPTIONS = [
    "-q",
    "-x",
    "-p",
    "no:cacheprovider",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
]


@dataclass(frozen=True)
class Run:
    """How a run ended: pytest's exit code, or the signal that ended it below zero. And the CPU seconds that it took."""

    code: int
    seconds: float


@dataclass(frozen=True)
class Chosen:
    """Leaves out tests that need HTTP, hypothesis or one of `servers`, and those that are too slow."""

    servers: Collection[str] = SERVERS

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the fast ones."""
        items[:] = [
            item for item in items if _is_fast(item) and not _needs(item, self.servers)
        ]


def _is_fast(item: pytest.Item) -> bool:
    return (
        isinstance(item, pytest.Function)
        and not {"http", "live"}.intersection(item.fixturenames)
        and not hasattr(item.obj, "hypothesis")
        and item.originalname not in SLOW
    )


def _needs(item: pytest.Item, servers: Collection[str]) -> bool:
    values = item.callspec.params if hasattr(item, "callspec") else {}
    return any(values.get(fixture) in servers for fixture in ("backend", "server"))


def run(tree: Path, file: str, *, seconds: int = CPU, cached: bool = False) -> Run:
    """Run the tests of a file of a tree in a child until the first fails, or it has taken so much CPU.

    `cached`: it may write bytecode.
    """
    child = os.fork()
    if child == 0:
        _be_child(tree, file, seconds, cached)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.alarm(PATIENCE)
    _, status, used = os.wait4(child, 0)
    signal.alarm(0)
    _end_group(child)
    return Run(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)


def _end_group(child: int) -> None:
    """End what a run has started and left behind."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return


def _be_child(tree: Path, file: str, seconds: int, cached: bool) -> None:
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.chdir(tree)
        sys.path.insert(0, str(tree))
        sys.dont_write_bytecode = not cached
        _silence()
        chosen = Chosen(() if file in ON_SERVERS else SERVERS)
        code = pytest.main([*OPTIONS, *_files(TESTS[file])], [chosen])
    finally:
        os._exit(code)


def _files(tests: str) -> list[str]:
    return [f"tests/test_{name}.py" for name in tests.split()]


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
