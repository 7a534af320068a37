"""The programs of the project as real processes, which the rights of files bind even where the tests run as root."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEY = "a-key-for-the-programs-only"
GUNICORN = (sys.executable, "-m", "gunicorn", "app:app")
UPGRADE = (sys.executable, "-m", "flask", "--app", "app", "db", "upgrade")
WRITE_ENV = (sys.executable, "config.py")
OVERRIDES = "-dac_override,-dac_read_search"  # capabilities by which root reads and writes whatever it likes


def started(
    command: tuple[str, ...], root: Path = ROOT, **settings: str
) -> subprocess.Popen:
    """Start a program in a project's root with these settings."""
    # Flask's own loader of .env runs before the program and is not under test.
    environment = {**os.environ, "FLASK_SKIP_DOTENV": "1", **settings}
    return subprocess.Popen(
        [*_bound_by_rights(), *command],
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(command: tuple[str, ...], root: Path = ROOT, **settings: str) -> tuple[int, str]:
    """Run a program to its end; returns its exit status and what it wrote to stderr."""
    process = started(command, root, **settings)
    _, told = process.communicate(timeout=120)
    return process.returncode, told


def copied(folder: Path) -> Path:
    """Return the root of a copy of the project, without a `.env`."""
    left_out = shutil.ignore_patterns(
        *(".*", "__pycache__", "node_modules", "instance", "tests", "bench")
    )
    return Path(shutil.copytree(ROOT, folder / "project", ignore=left_out))


def installed(folder: Path) -> Path:
    """Return the root of such a copy with a Python, and nothing else that an installation makes."""
    root = copied(folder)
    (root / ".venv").symlink_to(sys.prefix)
    return root


def own_environment() -> dict[str, str]:
    """Return an environment without settings of this service, and without those of a make that runs the tests."""
    unset = {"API_KEYS", "DATABASE_URL", "FLASK_SKIP_DOTENV", "HOST", "LOG_LEVEL"}
    unset |= {"ARGS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}
    return {name: it for name, it in os.environ.items() if name not in unset}


def _bound_by_rights() -> tuple[str, ...]:
    if os.getuid() != 0:
        return ()
    return ("setpriv", f"--bounding-set={OVERRIDES}", f"--inh-caps={OVERRIDES}")
