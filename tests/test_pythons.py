"""Every Python from 3.11 on: no pattern means something else on another patch level of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from re import _constants, _parser
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import canonical
import schemas
import words

ROOT = Path(__file__).parent.parent
SOURCES = sorted({*ROOT.glob("*.py"), *ROOT.glob("migrations/**/*.py")})
# Wrong in 3.11.2, Debian 12's: `(?:^(?:05[0-9]{8})\n)++` takes a part of the next line.
WITHOUT_WAY_BACK = {_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP}


def operations(parsed: Any) -> Iterator[Any]:
    """Yield every operation of a parsed pattern."""
    for part in parsed:
        if isinstance(part, _parser.SubPattern | list | tuple):
            yield from operations(part)
        else:
            yield part


def has_no_way_back(pattern: str, flags: int = 0) -> bool:
    return any(it in WITHOUT_WAY_BACK for it in operations(_parser.parse(pattern, flags)) if not isinstance(it, str))


@pytest.mark.parametrize("pattern", ["a++", "a*+b", "a?+", "a{2}+", "(?>a)", "(?:(?:b)++)", "(x(?=y(?>z)))"])
def test_a_possessive_or_atomic_group_is_seen(pattern: str) -> None:
    assert has_no_way_back(pattern)


@pytest.mark.parametrize("pattern", ["a+", "[+]+", r"\++", "a+?", "(?=a)b", r"C\+\+", "(a+)+"])
def test_an_ordinary_pattern_is_none(pattern: str) -> None:
    assert not has_no_way_back(pattern)


def texts(source: Path) -> Iterator[str]:
    """Yield every text of a program but its docstrings, parts of formatted ones too."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_text_of_the_program_looks_like_one(source: Path) -> None:
    assert [text for text in texts(source) if re.search(r"[*+?})\]\w]\+\+|[*?}]\+(?![\]\w])|\(\?>", text)] == []


def patterns() -> Iterator[tuple[str, re.Pattern]]:
    """Yield every pattern of the program with its name: of modules, and those that the fields make."""
    for module in (canonical, schemas, words):
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{module.__name__}.{name}", value
    for entity, schema in schemas.all_for("SA", ZoneInfo("Asia/Riyadh"), True).items():
        for name, field in schema.load_fields.items():
            if isinstance(field, schemas.Text):
                yield f"{entity}.{name}", field.plain
                yield f"{entity}.{name}, plain lines", field._plain_lines
                yield f"{entity}.{name}, odd lines", field._odd_lines


@pytest.mark.parametrize(("name", "pattern"), [*patterns()], ids=lambda it: it if isinstance(it, str) else "")
def test_no_pattern_is_one(name: str, pattern: re.Pattern) -> None:
    assert not has_no_way_back(pattern.pattern, pattern.flags & ~re.UNICODE)


LISTS = [  # field, and a column of which Debian's Python took the second for a part of the first
    ("mobile", ["0501234567", "051234567", "0501234567"]),
    ("date_of_birth", ["1990-01-01", "1990-", "1990-01-01"]),
    ("name", ["Sara Ali", " Sara Ali", "Sara Ali "]),
    ("patient_no", ["P-1", " P-1", "p-1"]),
    ("email", ["a@mail.example", "a@", "a@mail.example"]),
]


@pytest.mark.parametrize(("name", "column"), LISTS)
def test_a_list_is_stored_as_each_of_its_values_alone(name: str, column: list[str]) -> None:
    field = schemas.all_for("SA", ZoneInfo("Asia/Riyadh"), True)["patient"].load_fields[name]
    assert list(map(repr, field.clean_all(tuple(column)))) == [repr(field.cleaned(value)) for value in column]
