"""On every Python from 3.11 on the rules are the same: no pattern means something else on another patch level."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from re import _constants, _parser
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
import pytest

import schemas
from engine import canonical, fields

ROOT = Path(__file__).parent.parent
FOLDERS = (ROOT, ROOT / "engine", ROOT / "terminal", ROOT / "portal")
SOURCES = sorted({path for folder in FOLDERS for path in folder.glob("*.py")})
SOURCES += sorted(ROOT.glob("migrations/**/*.py"))
MODULES = [
    importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for path in SOURCES
    if path.parent in FOLDERS and "." not in path.stem
]
SCHEMAS = schemas.all_for("SA", ZoneInfo("Asia/Riyadh"), True)
TEXT_FIELDS = {
    f"{entity}-{name}": field
    for entity, schema in SCHEMAS.items()
    for name, field in schema.load_fields.items()
    if isinstance(field, fields.Text)
}

# --- How a pattern is judged -------------------------------------------------------------------

# Wrong in 3.11.2, Debian 12's: possessive quantifiers and atomic groups, which never give back what they took.
POSSESSIVE = [
    "a++",
    "a*+b",
    "a?+",
    "a{2}+",
    "a{2,28}+",
    "[+]++",
    r"\+++",
    "(?>a)",
    "(?:(?:b)++)",
    "(x(?=y(?>z)))",
]
POSSESSIVE += [
    "a|b*+",
    "(?:^(?:05[0-9]{8})\n)*+",
    "(a)?(?(1)b++|c)",
    "(?i:a++)",
    "(?<!a)(?!b++)",
]
ORDINARY = [
    "a+",
    "a+?",
    "[+]+",
    r"\++",
    r"C\+\+",
    r"\++\++",
    "(a+)+",
    "(?=a)b",
    "(?!)",
    "(?:[+-][0-9]+)?",
    r"\(\?>a",
]
ORDINARY += [
    "[*+]+",
    "[]?+]+",
    "[^]*+]",
    r"[\]?+]+",
    "a{27}b{28}",
    "a{27,28}",
    "\x1b\x1c",
    "[\x1b\x1c]+",
]


def operations(part: Any) -> Iterator[Any]:
    """Yield every operation of a parsed pattern; their arguments may be the same numbers."""
    if isinstance(part, _parser.SubPattern):
        for operation, argument in part:
            yield operation
            yield from operations(argument)
    elif isinstance(part, tuple | list):
        for it in part:
            yield from operations(it)


def is_possessive(pattern: str | bytes, flags: int = 0) -> bool:
    """Tell whether a pattern has a possessive quantifier or an atomic group, as Python reads it."""
    found = operations(_parser.parse(pattern, flags))
    return not {_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP}.isdisjoint(found)


def looks_possessive(text: str) -> bool:
    """Tell the same of a text that may be a part of a pattern only."""
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "x", re.sub(r"\\.", "x", text, flags=re.DOTALL))
    return bool(re.search(r"[*+?}]\+|\(\?>", bare))


@pytest.mark.parametrize("pattern", POSSESSIVE)
def test_a_possessive_pattern_is_seen(pattern: str) -> None:
    assert is_possessive(pattern)
    assert looks_possessive(pattern)


@pytest.mark.parametrize("pattern", ORDINARY)
def test_an_ordinary_pattern_is_not_possessive(pattern: str) -> None:
    assert not is_possessive(pattern)
    assert not looks_possessive(pattern)


# --- The program's text ------------------------------------------------------------------------

# What only patterns have; a sentence about C++ has none of it.
SIGN = re.compile(r"\(\?|\\[AbBdDsSwWZ]|\[[^\]\n]+\][*+?{]")


def patterns_in(program: str) -> list[str]:
    """Return the texts of a program that are patterns: given to `re`, or with a sign of one. Values in them are x."""
    tree = ast.parse(program)
    for_re = {id(it) for node in ast.walk(tree) if is_of_re(node) for it in ast.walk(node)}
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    texts = [(node, text_of(node)) for node in ast.walk(tree) if id(node) not in parts]
    return [
        text for node, text in texts if text and (id(node) in for_re or SIGN.search(text))
    ]


def is_of_re(node: ast.AST) -> bool:
    """Tell whether a node is a call of `re.compile`, `re.sub` and so on."""
    function = node.func if isinstance(node, ast.Call) else None
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
    )


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "x" for part in node.values)
    return (
        node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    )


@pytest.mark.parametrize(
    "program",
    [
        *(
            're.compile("a++")',
            're.sub("a" "*+", "", it)',
            're.compile(rf"{a}++")',
            're.compile(rf"[{a}]*+")',
        ),
        *(
            're.split("".join(["a", "(?>b)"]), it)',
            """re.compile(rf"a{f'{b}?+' if b else ''}")""",
        ),
        *(
            r'HOUR = r"\d\d?+"',
            'PART = "(?:a)++"',
            'FIELDS = {"plain": ("[A-Z]++",)}',
            'PART = f"(?>{a})"',
        ),
    ],
)
def test_a_possessive_pattern_in_a_program_is_seen(program: str) -> None:
    assert any(map(looks_possessive, patterns_in(program)))


@pytest.mark.parametrize(
    "program",
    [
        *(
            'told = "in C++ and C#"',
            'told = f"{name}++"',
            '"""In C++."""',
            "a = 1  # a++ and (?>a)",
            "sum = a ++ b",
        ),
        *(
            're.compile("[+]+")',
            r're.compile(r"\++")',
            're.compile(rf"[{a}+]+")',
            r're.compile(rf"\+{a}")',
        ),
    ],
)
def test_prose_and_ordinary_patterns_in_a_program_are_not_possessive(program: str) -> None:
    assert not any(map(looks_possessive, patterns_in(program)))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_pattern_in_the_programs_text_is_possessive(source: Path) -> None:
    assert [
        text
        for text in patterns_in(source.read_text(encoding="utf-8"))
        if looks_possessive(text)
    ] == []


# --- The patterns that the program makes -------------------------------------------------------


@cache
def compiled(module: ModuleType) -> dict[str, re.Pattern]:
    """Return the patterns that a module holds, in its classes and collections too, by name."""
    return dict(held(module.__name__, vars(module), module))


def held(name: str, value: Any, module: ModuleType) -> Iterator[tuple[str, re.Pattern]]:
    """Yield a value if it is a pattern, or those that it holds, with their names."""
    if isinstance(value, re.Pattern):
        yield name, value
    elif isinstance(value, type) and value.__module__ == module.__name__:
        yield from held(name, dict(vars(value)), module)
    elif isinstance(value, Mapping):
        for key, it in value.items():
            yield from held(f"{name}.{key}", it, module)
    elif isinstance(value, tuple | list | set | frozenset):
        for place, it in enumerate(value):
            yield from held(f"{name}.{place}", it, module)


def wrong(patterns: Mapping[str, re.Pattern]) -> dict[str, str]:
    return {
        name: it.pattern
        for name, it in patterns.items()
        if is_possessive(it.pattern, it.flags)
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_no_pattern_of_a_module_is_possessive(module: ModuleType) -> None:
    assert wrong(compiled(module)) == {}


def test_the_patterns_of_modules_and_classes_are_found() -> None:
    names = {name for module in MODULES for name in compiled(module)}
    assert names >= {
        "engine.canonical._PHONE",
        "engine.nothing._FILLER",
        "app.REQUEST_ID",
        "engine.fields.SURE_NAME",
        "engine.fields.Email.sure",
    }


@pytest.mark.parametrize("name", TEXT_FIELDS)
def test_no_pattern_of_a_field_is_possessive(name: str) -> None:
    field = TEXT_FIELDS[name]
    assert (
        wrong(
            {
                "sure": field.sure,
                "sure lines": field._sure_lines,
                "unsure lines": field._unsure_lines,
            }
        )
        == {}
    )


@pytest.mark.parametrize("year", [1999, 2000, 2026, 2100])
def test_no_pattern_of_dates_is_possessive(year: int) -> None:
    assert wrong({"dates": canonical.sure_dates(year)}) == {}


def test_no_pattern_of_a_countrys_numbers_is_possessive() -> None:
    """They are made of the library's, which another version may write in another way."""
    regions = phonenumbers.SUPPORTED_REGIONS
    numbers = {
        region: pattern for region in regions if (pattern := canonical.sure_numbers(region))
    }
    assert numbers.keys() >= {"SA", "AE", "EG"}
    assert wrong(numbers) == {}
    assert wrong({region: canonical.local_line(region)[1] for region in regions}) == {}


# --- What Debian's Python was wrong about ------------------------------------------------------

# Columns of which it took a part of a line for the next one.
COLUMNS = [
    ("mobile", ["0501234567", "051234567", "0501234567"]),
    ("date_of_birth", ["1990-01-01", "1990-", "1990-01-01"]),
    ("name", ["Sara Ali", " Sara Ali", "Sara Ali "]),
    ("patient_no", ["P-1", " P-1", "p-1"]),
    ("email", ["a@mail.example", "a@", "a@mail.example"]),
]


@pytest.mark.parametrize(("name", "column"), COLUMNS, ids=[name for name, _ in COLUMNS])
def test_a_column_is_cleaned_as_each_of_its_values_alone(
    name: str, column: list[str]
) -> None:
    field = SCHEMAS["patient"].load_fields[name]
    assert list(map(repr, field.clean_all(tuple(column)))) == [
        repr(field.cleaned(value)) for value in column
    ]
