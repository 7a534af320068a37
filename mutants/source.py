"""The mutants of a file: what cosmic-ray would change in it, one place at a time."""

import ast
import difflib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cosmic_ray import plugins
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec

Position = tuple[int, int]  # line and column
# What the program compares with `is` has no equality of its own: these change nothing.
SAME = ("ReplaceComparisonOperator_Is_Eq", "ReplaceComparisonOperator_IsNot_NotEq")


@dataclass(frozen=True)
class Mutant:
    """A file's text with one change."""

    file: str
    before: str
    after: str

    def diff(self) -> str:
        """Return the change as a diff."""
        lines = self.before.splitlines(), self.after.splitlines()
        changed = difflib.unified_diff(*lines, self.file, self.file, lineterm="", n=1)
        return "\n".join(changed)


def mutants(tree: Path, file: str, count: int, seed: int) -> Iterator[Mutant]:
    """Yield all mutants of a file, or `count` random ones if it has more.

    A mutant of an annotation is none: the program does not read them. What is no Python is none either.
    """
    before = (tree / file).read_text(encoding="utf-8")
    annotations = list(_annotations(before))
    found = [spec for spec in _all(tree / file) if not _is_in(annotations, spec)]
    random.Random(seed).shuffle(found)
    changed = filter(None, (_mutated(before, spec) for spec in found))
    for after in islice(changed, count):
        yield Mutant(file, before, after)


def _mutated(source: str, spec: MutationSpec) -> str | None:
    """Return the text with one change; None if it is no Python, as any test would tell."""
    operator = plugins.get_operator(spec.operator_name)(**spec.operator_args)
    try:
        changed = mutate_code(source, operator, spec.occurrence)
        ast.parse(changed)
    except (AttributeError, SyntaxError):
        # Of the first kind are exceptions written with a dot: cosmic-ray 8.7 cannot replace them.
        return None
    return changed


def _all(path: Path) -> list[MutationSpec]:
    with use_db(":memory:") as work:
        init([path], work, {})
        specs = [item.mutations[0] for item in work.work_items]
    return [spec for spec in specs if not spec.operator_name.endswith(SAME)]


def _annotations(source: str) -> Iterator[tuple[Position, Position]]:
    """Yield where each annotation begins and ends."""
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            found = getattr(node, name, None)
            if found:
                yield (
                    (found.lineno, found.col_offset),
                    (found.end_lineno, found.end_col_offset),
                )


def _is_in(places: list[tuple[Position, Position]], spec: MutationSpec) -> bool:
    return any(first <= spec.start_pos <= last for first, last in places)
