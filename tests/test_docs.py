"""The docs keep up with the code."""

import re
import sys
from pathlib import Path

import pytest
import shown
from flask import Flask
from flask.cli import FlaskGroup

import bench.scaling
import chaos.__main__
import config
from engine import problems
from engine.entity import json_name
from schemas import ENTITIES

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_field_is_in_the_docs(entity: str) -> None:
    section = (
        (ROOT / "docs/fields.md")
        .read_text(encoding="utf-8")
        .split(f"## {entity.title()}\n")[1]
        .split("\n## ")[0]
    )
    missing = [
        name
        for name in map(json_name, ENTITIES[entity]("SA", None).load_fields)
        if f"`{name}`" not in section
    ]
    assert missing == []


def test_every_conflict_is_in_the_docs() -> None:
    text = (ROOT / "docs/matching.md").read_text(encoding="utf-8")
    conflicts = [
        problem.code
        for problem in problems.Problem.__subclasses__()
        if problem.status == 409
    ]
    assert conflicts
    assert [code for code in conflicts if f"`{code}`" not in text] == []


def test_every_setting_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    settings = [name.upper() for name in config.Settings.__dataclass_fields__]
    assert [name for name in settings if f"{name}=" not in example] == []


DOCS = [
    ROOT / "README.md",
    ROOT / "bench/SCALING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_link_of_the_docs_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not _leads(page, link)]
    assert broken == []


def _leads(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    goal = page.parent / name if name else page
    return goal.exists() and (not anchor or anchor in _anchors(goal))


def _anchors(page: Path) -> list[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings]
    return [text.replace(" ", "-") for text in words]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_make_command_of_the_docs_is_one(page: Path) -> None:
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^(\w+):", rules, re.MULTILINE)
    named = re.findall(r"[`\n]make (\w+)", page.read_text(encoding="utf-8"))
    assert [name for name in named if name not in targets] == []


CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
OURS = re.compile(r"\bflask(?:\.cmd)? (?:--app app )?([a-z]+)")


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_command_of_the_program_in_the_docs_is_one(
    page: Path, sqlite_app: Flask
) -> None:
    code = "\n".join(CODE.findall(page.read_text(encoding="utf-8")))
    known = {*FlaskGroup().commands, *sqlite_app.cli.commands}
    assert [name for name in OURS.findall(code) if name not in known] == []


# What runs the commands of a page; or the sentence of the page that says that nobody did.
TRIED = {
    "README.md": "test_readme.py",
    "docs/import.md": "test_import_page.py",
    "docs/linux.md": "test_linux.py",
    "docs/platform.md": "**On no platform itself were they tried, nor with Docker**",
    "docs/upgrading.md": "test_from_first_version.py",
    "docs/windows.md": "**What was not tried on Windows itself:** everything on this page",
}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_the_commands_of_a_page_are_run_or_it_says_that_they_were_not(page: Path) -> None:
    name = str(page.relative_to(ROOT))
    if not shown.blocks(name):
        assert name not in TRIED
    elif TRIED[name].startswith("test_"):
        test = (ROOT / "tests" / TRIED[name]).read_text(encoding="utf-8")
        assert f'shown.blocks("{name}")' in test or f'shown.lines("{name}")' in test
    else:
        assert TRIED[name] in page.read_text(encoding="utf-8")


PROGRAMS = {"chaos": chaos.__main__.arguments, "scaling": bench.scaling.arguments}
SCALING = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_about_scaling_calls_programs_as_they_want_it(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = re.findall(rf'make {program}(?: ARGS="(.*?)")?', SCALING)
    assert calls
    for options in calls:
        monkeypatch.setattr(sys, "argv", [program, *options.split()])
        PROGRAMS[program]()


def test_the_page_about_scaling_names_tests_that_there_are() -> None:
    named = re.findall(r"`(tests/\w+\.py)`", SCALING)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
