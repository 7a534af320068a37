"""The docs keep up with the code, and the README's commands do what it says."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import migrated
from live import KEY, Service, service

import bench.scaling
import chaos.__main__
import config
from engine import problems
from engine.entity import json_name
from schemas import ENTITIES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    url = f"sqlite:///{tmp_path_factory.mktemp('docs') / 'clinic.db'}"
    with migrated(url), service(url) as running:
        yield running


def answers(shell: str, live: Service) -> list[dict]:
    """Run a block of the README against the live service and return the JSON of each line."""
    script = f"KEY={KEY}\n" + shell.replace(":5082", f":{live.port}")
    printed = subprocess.run(
        ["bash", "-ec", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def test_the_readmes_curl_lines_do_what_it_says(live: Service) -> None:
    blocks = [
        block
        for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
        if "curl" in block
    ]
    samples, many, everything, reading = blocks
    assert [it["action"] for it in answers(samples, live)] == ["created"] * 4
    assert [it["action"] for it in answers(samples, live)] == ["unchanged"] * 4
    (told,) = answers(many, live)
    assert (told["created"], told["failed"]) == (2, 1)
    (told,) = answers(everything, live)
    assert told["success"]
    assert (told["patients"]["updated"], told["appointments"]["created"]) == (1, 1)
    (told,) = answers(reading, live)
    assert [patient["mobile"] for patient in told["data"]] == ["+966502222222"]
