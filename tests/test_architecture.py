"""The code keeps to the design: imports point one way, functions fit in the eye, everything public is documented."""

import ast
import re
from collections.abc import Iterator
from itertools import product
from logging import Formatter
from pathlib import Path

import pytest
import sqlalchemy as sa
from marshmallow import Schema
from marshmallow.fields import Field
from sqlalchemy.types import TypeDecorator

from engine.rules import Rules
from upsert import RULES

ROOT = Path(__file__).parent.parent
FOLDERS = [ROOT, *(ROOT / name for name in ("engine", "terminal", "portal"))]
FILES = [path for folder in FOLDERS for path in folder.glob("*.py")]
NAMES = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES}
MODULES = {
    name.removesuffix(".__init__"): ast.parse(path.read_text(encoding="utf-8"))
    for path, name in NAMES.items()
    if path.name != "gunicorn.conf.py"
}
# A part may import what stands before it, and itself.
ORDER = ["engine", "root", "terminal", "portal", "app"]
AT_THE_TOP = ("app", "commands")  # over HTTP, and at the terminal


def part_of(module: str) -> str:
    first = module.split(".", maxsplit=1)[0]
    if first in AT_THE_TOP:
        return "app"
    return first if first in ORDER else "root"


def at_run_time(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes of a module but for what only the type checker reads."""
    for node in tree.body:
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from ast.walk(node)


def imports(tree: ast.Module) -> set[str]:
    """Return the modules that a module imports: those of ours by their whole names, others by their first."""
    found = set()
    for node in at_run_time(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}.intersection(
                MODULES
            )
            found |= inner or {node.module}
    return {name if name in MODULES else name.split(".")[0] for name in found}


def functions() -> list[tuple[str, ast.FunctionDef]]:
    nodes = [(name, node) for name, tree in MODULES.items() for node in ast.walk(tree)]
    return [(name, node) for name, node in nodes if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_from_app_to_portal_to_root_to_engine(module: str) -> None:
    ours = imports(MODULES[module]).intersection(MODULES)
    allowed = ORDER[: ORDER.index(part_of(module)) + 1]
    assert {name for name in ours if part_of(name) not in allowed} == set()


def test_no_two_modules_import_each_other() -> None:
    """Not through others, either."""
    behind = {name: imports(tree).intersection(MODULES) for name, tree in MODULES.items()}
    while behind:
        ready = {name for name, needed in behind.items() if not needed}
        assert ready, f"a circle among {sorted(behind)}"
        behind = {
            name: needed - ready for name, needed in behind.items() if name not in ready
        }


def test_each_edge_of_the_program_is_known_in_one_place() -> None:
    aware = {
        package: {name for name, tree in MODULES.items() if package in imports(tree)}
        for package in EDGES
    }
    assert aware == EDGES


EDGES = {
    "flask": {"app", "commands", "portal.pages"},
    "os": {
        "config",
        "engine.copies",
        "engine.database",
        "engine.in_use",
        "engine.sqlite_file",
        "engine.turns",
        "serving",
    },
    "marshmallow": {"engine.entity", "engine.fields"},
    "flask_sqlalchemy": {"models"},
}


# What Python lacks on Windows, or has only on newer ones.
NOT_ON_WINDOWS = re.compile(
    r"import (fcntl|grp|pwd|resource|syslog|termios)\b"
    r"|os\.(O_CLOEXEC|O_DIRECTORY|O_NOFOLLOW|chown|fchmod|fchown|fork|getegid|geteuid|getgid|getloadavg|getuid|killpg"
    r"|lchown|mkfifo|nice|posix_\w+|setsid|statvfs|sync|sysconf|uname|wait3)\b"
    r"|signal\.(SIGALRM|SIGCHLD|SIGHUP|SIGKILL|SIGQUIT|SIGUSR1|SIGUSR2|alarm|pthread_\w+)\b"
)


def test_what_windows_lacks_is_used_where_its_lack_is_looked_at() -> None:
    found = {
        (name, hit[0])
        for name, tree in MODULES.items()
        for hit in NOT_ON_WINDOWS.finditer(ast.unparse(tree))
    }
    assert found == {
        *product(("engine.turns", "engine.in_use"), ("import fcntl", "os.O_CLOEXEC")),
        *product(["engine.copies"], ("os.geteuid", "os.chown")),
    }


def test_no_function_is_longer_than_40_lines() -> None:
    lengths = {
        f"{module}.{node.name}": node.end_lineno - node.lineno + 1
        for module, node in functions()
    }
    assert {name: length for name, length in lengths.items() if length > 40} == {}


def test_the_plural_of_an_entity_is_made_in_one_place() -> None:
    made = {
        name: found
        for name, tree in MODULES.items()
        if (found := re.findall(r"entity(?:\.\w+)?\}s\b|entity \+ 's'", ast.unparse(tree)))
    }
    assert made == {"engine.rules": ["entity}s"]}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_each_key_and_nothing_else_is_guarded_by_a_constraint(rules: Rules) -> None:
    """Rules state the keys; the tables have to follow."""
    keys = {(key,) for key in rules.unique}
    if rules.shared:
        keys.add((rules.shared.column, rules.shared.rank))
    guarded = {
        tuple(column.name for column in constraint.columns)
        for constraint in rules.table.constraints
        if isinstance(constraint, sa.UniqueConstraint)
    }
    assert guarded == keys


def documented() -> set[str]:
    """The functions of the program, and of the classes of others that it derives from, that have a docstring."""
    ours = {node.name for _, node in functions() if ast.get_docstring(node)}
    theirs = {
        name
        for base in (Field, Formatter, Schema, TypeDecorator)
        for name, it in vars(base).items()
        if getattr(it, "__doc__", "")
    }
    return ours | theirs


def test_every_public_function_and_module_says_what_it_does() -> None:
    """A function that overrides another has its docstring."""
    silent = [name for name, tree in MODULES.items() if not ast.get_docstring(tree)]
    told = documented()
    for name, tree in MODULES.items():
        public = [
            it
            for it in tree.body
            if isinstance(it, ast.FunctionDef) and not it.name.startswith("_")
        ]
        silent += [f"{name}.{it.name}" for it in public if not ast.get_docstring(it)]
        members = [
            it for node in tree.body if isinstance(node, ast.ClassDef) for it in node.body
        ]
        methods = [
            it
            for it in members
            if isinstance(it, ast.FunctionDef) and not it.name.startswith("_")
        ]
        silent += [f"{name}.{it.name}" for it in methods if it.name not in told]
    assert silent == []
