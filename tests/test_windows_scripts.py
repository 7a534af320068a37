"""The scripts of Windows: read by their grammars, for no Windows is here to run them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = [ROOT / "flask.cmd", *sorted((ROOT / "deploy/windows").iterdir())]
GRAMMARS = {".cmd": "batch", ".ps1": "powershell"}
PACKAGES = ["web-tree-sitter", *(f"tree-sitter-{name}" for name in GRAMMARS.values())]
HAS_GRAMMARS = bool(
    shutil.which("node") and all((ROOT / "node_modules" / it).exists() for it in PACKAGES)
)
by_grammar = pytest.mark.skipif(
    not HAS_GRAMMARS and not os.environ.get("CI"), reason="npm's grammars are not here"
)
named = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)


def faults(path: Path) -> list[str]:
    """Return what the grammar of a script does not understand."""
    # Without the flag node compiles the grammar once more, for speed, and does not end before.
    node = ["node", "--liftoff-only", str(ROOT / "tests/grammars.mjs")]
    command = [*node, GRAMMARS[path.suffix], str(path)]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()


@by_grammar
@named
def test_each_script_is_what_its_grammar_allows(script: Path) -> None:
    assert faults(script) == []


@by_grammar
@pytest.mark.parametrize("name", ["run.cmd", "install.ps1"])
def test_the_grammars_see_a_block_that_is_not_closed(tmp_path: Path, name: str) -> None:
    spoilt = tmp_path / name
    text = (ROOT / "deploy/windows" / name).read_text(encoding="ascii")
    spoilt.write_text(f"{text}if exist x (\n  echo x\n", encoding="ascii")
    assert faults(spoilt)


@named
def test_each_script_is_ascii_with_the_line_ends_of_windows(script: Path) -> None:
    """A code page, or a label behind a bare line feed, would be read wrongly there."""
    raw = script.read_bytes()
    assert raw.isascii()
    assert raw.count(b"\n") == raw.count(b"\r\n") > 0


@named
def test_what_a_script_names_is_there(script: Path) -> None:
    text = script.read_text(encoding="ascii")
    ours = re.findall(r"(?:flask|run|service)\.cmd|requirements\.txt|docs\\\w+\.md", text)
    found = [ROOT, ROOT / "deploy/windows"]
    missing = {
        name
        for name in ours
        if not any((folder / name.replace("\\", "/")).exists() for folder in found)
    }
    assert missing == set()


def test_an_older_python_makes_no_environment() -> None:
    text = (ROOT / "deploy/windows/run.cmd").read_text(encoding="ascii")
    looks = 'py -3 -c "import sys; sys.exit(sys.version_info < (3, 11))"'
    assert f"{looks}\nif errorlevel 1 goto nopython\npy -3 -m venv .venv\n" in text


def test_each_label_that_run_goes_to_is_there_once() -> None:
    text = (ROOT / "deploy/windows/run.cmd").read_text(encoding="ascii")
    labels = re.findall(r"^:(\w+)", text, re.MULTILINE)
    assert {*re.findall(r"goto (\w+)", text)} <= {*labels}
    assert len(labels) == len({*labels})


@pytest.mark.parametrize(
    "needed",
    [
        "ExecutionTimeLimit = 'PT0S'",
        "AllowStartIfOnBatteries ",
        "DontStopIfGoingOnBatteries ",
        "-RestartCount ",
        "-AtStartup",
        "-Profile @('Private', 'Domain') -RemoteAddress LocalSubnet",
        "backup --keep $Keep",
    ],
)
def test_the_service_is_kept_running_and_open_to_the_local_network_only(
    needed: str,
) -> None:
    text = (ROOT / "deploy/windows/install.ps1").read_text(encoding="ascii")
    assert needed in text
