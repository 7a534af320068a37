"""README's commands, one block after the other in a copy of the project: each does what the page says."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import programs
import servers
import shown
from live import Service

BLOCKS = shown.blocks("README.md")
(
    RUN,
    TEST,  # it would run this test
    KEY,
    SAMPLES,
    MANY,
    SYNC,
    CLIENTS,
    READING,
    DOCTOR,
    WAYS_OUT,
    COPIES,
) = BLOCKS


@dataclass
class Project:
    """A copy of the project, the port at which it serves, and the commands that were started in it."""

    root: Path
    port: int
    started: list[str] = field(default_factory=list)

    def start(self, block: str, **options: int) -> subprocess.Popen[str]:
        """Start a block of commands, as they stand on the page but for the port."""
        path = f"{self.root}/.venv/bin:{os.environ['PATH']}"  # for python3
        self.started.append(block)
        return subprocess.Popen(
            ["bash", "-euc", block.replace(":5082", f":{self.port}")],
            cwd=self.root,
            env=programs.own_environment() | {"PORT": str(self.port), "PATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, block: str, typed: str = "", status: int = 0) -> str:
        """Run a block to its end; return what it wrote."""
        process = self.start(block)
        said, _ = process.communicate(typed, timeout=120)
        assert process.returncode == status, said
        return said

    def answers(self, block: str) -> list[dict]:
        """Run a block that sends requests; return the JSON of each answer."""
        lines = self.run(KEY + block).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def ids(self, what: str) -> list[int]:
        """Return the ids of what is stored."""
        (answer,) = self.answers(READING.replace("patients?patientNo=P-1", what))
        return [record["id"] for record in answer["data"]]

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve as README says, and end it as Ctrl+C does: that is for all of its processes."""
        process = self.start(RUN, process_group=0)
        try:
            servers.wait_until(Service(self.port, process).answers, process)
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=60)


def copied(folder: Path) -> Project:
    """Copy the project as it is installed, but not its data and `.env`."""
    root, port = programs.installed(folder), servers.free_port()
    os.utime(root / "requirements.txt", (0, 0))  # they are installed
    for client in (root / "samples/clients").iterdir():
        client.write_text(client.read_text().replace(":5082", f":{port}"))
    return Project(root, port)


def test_the_commands_of_readme_do_what_it_says(tmp_path: Path) -> None:
    assert TEST == "make test\n"
    project = copied(tmp_path)
    with project.served():
        sync_first(project)
        let_the_doctor_look(project)
        end_conflicts(project)
    shown_here = "".join(block for block in BLOCKS if block not in (TEST, COPIES))
    run = "\n".join(project.started)
    assert [line for line in shown_here.splitlines() if line not in run] == []


def sync_first(project: Project) -> None:
    assert actions(project.answers(SAMPLES)) == ["created"] * 4
    assert actions(project.answers(SAMPLES)) == ["unchanged"] * 4
    (many,) = project.answers(MANY)
    assert (many["created"], many["failed"]) == (2, 1)
    (sync,) = project.answers(SYNC)
    assert sync["success"]
    assert (sync["patients"]["updated"], sync["appointments"]["created"]) == (1, 1)
    assert project.run(KEY + CLIENTS).count("unchanged") == 2
    (reading,) = project.answers(READING)
    assert [patient["mobile"] for patient in reading["data"]] == ["+966502222222"]


def let_the_doctor_look(project: Project) -> None:
    lines = project.run(DOCTOR, status=1).splitlines()
    to_do = [line for line in lines if re.match(r"\W*DO\b", line)]
    assert [True for line in to_do if "backup" in line] == [True] * len(to_do)
    assert to_do


def end_conflicts(project: Project) -> None:
    fill(project)
    merge, retire_patient, retire_booking = WAYS_OUT.splitlines()
    project.run(retire_patient, typed="y\n")
    assert project.ids("patients?isActive=false") == [23]
    project.run(merge, typed="y\n")
    assert project.ids("patients")[-1] == 22
    project.run(retire_booking, typed="y\n")
    assert 5 not in project.ids("appointments")


def actions(answers: list[dict]) -> list[str]:
    return [answer["action"] for answer in answers]


def fill(project: Project) -> None:
    """Store patients up to the id 23, and bookings up to 5."""
    missing = range(len(project.ids("patients")) + 1, 24)
    patients = [{"patientNo": f"N-{id}", "name": "Huda Salem"} for id in missing]
    slots = [
        {"patientNo": "P-1", "date": f"2027-01-0{day}", "timeFrom": "09:00"}
        for day in (3, 4, 5)
    ]
    lists = {"patients": patients, "appointments": slots}
    sent = re.sub("'{.*?}'", f"'{json.dumps(lists)}'", SYNC, flags=re.DOTALL)
    (answer,) = project.answers(sent)
    assert answer["success"]
    assert project.ids("patients")[-1] == 23


def test_copies_are_made_while_it_runs_and_put_back_after_a_stop(tmp_path: Path) -> None:
    project, disk = copied(tmp_path), tmp_path / "disk"
    disk.mkdir()
    copy, other_copy, restore = COPIES.splitlines()
    with project.served():
        project.run(copy)
        project.run(other_copy.replace("/mnt/usb/clinic", str(disk)))
        assert len(list(disk.iterdir())) == 1
        project.answers(MANY)
        assert len(project.ids("patients")) == 2
    (made,) = (project.root / "instance/backups").iterdir()
    made.rename(project.root / restore.partition("FILE=")[2])
    project.run(restore)
    with project.served():
        assert project.ids("patients") == []


OLD = """#!/bin/sh
[ "$1" = -c ] || exit 9
exec python3 -c "import sys; sys.version_info = (3, 10, 13); $2"
"""


def test_an_older_python_is_told_and_makes_no_environment(tmp_path: Path) -> None:
    python, environment = tmp_path / "python3.10", tmp_path / "environment"
    python.write_text(OLD)
    python.chmod(0o755)
    made = f"{environment}/installed"
    command = ["make", made, f"PYTHON={python}", f"VENV={environment}"]
    ended = subprocess.run(
        command, cwd=programs.ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode
    assert "Python 3.11 or newer is needed, and this is 3.10." in ended.stderr
    assert not environment.exists()
