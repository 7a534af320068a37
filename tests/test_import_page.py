"""The commands of docs/import.md do what it says, in a copy of the project."""

import shlex
import sys
from pathlib import Path

import pytest
import shown
from programs import KEY, UPGRADE, copied, run

FLASK = "./flask"


def commands() -> list[tuple[str, ...]]:
    lines = shown.lines("docs/import.md")
    assert all(line.startswith(f"{FLASK} ") for line in lines)
    python = (sys.executable, "-m", "flask")
    return [(*python, *shlex.split(line)[1:]) for line in lines]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return copied(tmp_path)


def test_the_commands_of_the_page_do_what_it_says(root: Path) -> None:
    settings = {"API_KEYS": f"tests:{KEY}", "DATABASE_URL": f"sqlite:///{root}/clinic.db"}
    assert run(UPGRADE, root, **settings)[0] == 0
    dry, first, again = commands()
    rejected = root / "samples/patients.csv.rejected.csv"
    assert run(dry, root, **settings)[0] == 1
    assert not (root / "instance/import").exists()
    assert run(first, root, **settings)[0] == 1
    text = rejected.read_text("utf-8-sig")
    assert text.count("\n") == 2
    rejected.write_text(text.replace("31/12/1990", "1990-12-31"), "utf-8-sig")
    assert run(again, root, **settings)[0] == 0
    assert (root / "instance/import/patient.json").exists()
