"""The code keeps to the design: imports point one way, functions fit in the eye, everything public is documented."""

import ast
from pathlib import Path

import pytest
from marshmallow import Schema
from marshmallow.fields import Field
from sqlalchemy.types import TypeDecorator

ROOT = Path(__file__).parent.parent
MODULES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.glob("*.py") if "." not in path.stem}
MAY_IMPORT = {
    "problems": set(),
    "config": set(),
    "hijri": set(),
    "canonical": {"hijri"},
    "words": {"canonical"},
    "models": set(),
    "schemas": {"canonical", "problems", "words"},
    "index": {"canonical", "models"},
    "answers": {"problems", "schemas", "upsert"},
    "history": {"answers", "models"},
    "upsert": {"canonical", "index", "models", "problems", "words"},
    "turns": set(),
    "sync": {"answers", "history", "index", "models", "problems", "schemas", "turns", "upsert"},
    "reading": {"index", "models", "problems", "schemas", "sync", "upsert"},
    "logins": {"models", "problems", "sync"},
    "overview": {"answers", "models", "sync", "upsert"},
    "pages": {"logins", "overview", "problems", "reading", "schemas", "upsert"},
    "openapi": {"answers", "config", "history", "problems", "reading", "schemas", "sync", "upsert", "words"},
    "rekey": {"index", "models", "schemas", "upsert"},
    "commands": {"history", "index", "problems", "rekey", "sync", "upsert"},
    "app": {
        "answers",
        "commands",
        "config",
        "history",
        "models",
        "openapi",
        "pages",
        "problems",
        "reading",
        "schemas",
        "sync",
        "upsert",
    },
}


def imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def functions() -> list[tuple[str, ast.FunctionDef]]:
    nodes = [(name, node) for name, tree in MODULES.items() for node in ast.walk(tree)]
    return [(name, node) for name, node in nodes if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    assert imports(MODULES[module]) & set(MODULES) <= MAY_IMPORT[module]


def test_each_edge_of_the_program_is_known_in_one_place() -> None:
    flask_aware = {name for name, tree in MODULES.items() if "flask" in imports(tree)}
    assert flask_aware == {"app", "commands", "pages"}
    assert {name for name, tree in MODULES.items() if "os" in imports(tree)} == {"config"}
    assert {name for name, tree in MODULES.items() if "marshmallow" in imports(tree)} == {"schemas"}


def test_no_function_is_longer_than_30_lines() -> None:
    lengths = {f"{module}.{node.name}": node.end_lineno - node.lineno + 1 for module, node in functions()}
    assert {name: length for name, length in lengths.items() if length > 30} == {}


def documented() -> set[str]:
    """The functions of the program, and of the classes of others that it derives from, that have a docstring."""
    ours = {node.name for _, node in functions() if ast.get_docstring(node)}
    theirs = {
        name for base in (Field, Schema, TypeDecorator) for name, it in vars(base).items() if getattr(it, "__doc__", "")
    }
    return ours | theirs


def test_every_public_function_and_module_says_what_it_does() -> None:
    """A function that overrides another has its docstring."""
    silent = [name for name, tree in MODULES.items() if not ast.get_docstring(tree)]
    told = documented()
    for name, tree in MODULES.items():
        public = [it for it in tree.body if isinstance(it, ast.FunctionDef) and not it.name.startswith("_")]
        silent += [f"{name}.{it.name}" for it in public if not ast.get_docstring(it)]
        members = [it for node in tree.body if isinstance(node, ast.ClassDef) for it in node.body]
        methods = [it for it in members if isinstance(it, ast.FunctionDef) and not it.name.startswith("_")]
        silent += [f"{name}.{it.name}" for it in methods if it.name not in told]
    assert silent == []
