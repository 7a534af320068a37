"""README's commands, one block after the other in a copy of the project: each does what the page says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import programs
import pytest
import servers
import shown
from live import Service

BLOCKS = shown.blocks("README.md")
(
    RUN,
    _TEST,  # which is this one's
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
    """A copy of the project, and the port at which it serves."""

    root: Path
    port: int

    def start(self, block: str, **options: int) -> subprocess.Popen[str]:
        """Start a block of commands, as they stand on the page but for the port."""
        unset = {"API_KEYS", "DATABASE_URL", "FLASK_SKIP_DOTENV", "HOST", "LOG_LEVEL"}
        inherited = {name: it for name, it in os.environ.items() if name not in unset}
        return subprocess.Popen(
            ["bash", "-euc", block.replace(":5082", f":{self.port}")],
            cwd=self.root,
            env=inherited | {"PORT": str(self.port)},
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
        """Serve as README says, and end it as Ctrl+C does."""
        process = self.start(RUN, process_group=0)
        try:
            servers.wait_until(Service(self.port, process).answers, process)
            yield
        finally:
            process.terminate()
            process.communicate(timeout=60)


def copied(folder: Path) -> Project:
    """Copy the project as it is installed, but not its data and `.env`."""
    root, port = programs.copied(folder), servers.free_port()
    (root / ".venv").symlink_to(sys.prefix)
    for client in (root / "samples/clients").iterdir():
        client.write_text(client.read_text().replace(":5082", f":{port}"))
    return Project(root, port)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = copied(tmp_path_factory.mktemp("readme"))
    with project.served():
        yield project


def test_the_commands_of_the_first_pages_do_what_readme_says(served: Project) -> None:
    assert actions(served.answers(SAMPLES)) == ["created"] * 4
    assert actions(served.answers(SAMPLES)) == ["unchanged"] * 4
    (many,) = served.answers(MANY)
    assert (many["created"], many["failed"]) == (2, 1)
    (sync,) = served.answers(SYNC)
    assert sync["success"]
    assert (sync["patients"]["updated"], sync["appointments"]["created"]) == (1, 1)
    assert served.run(KEY + CLIENTS).count("unchanged") == 2
    (reading,) = served.answers(READING)
    assert [patient["mobile"] for patient in reading["data"]] == ["+966502222222"]


def actions(answers: list[dict]) -> list[str]:
    return [answer["action"] for answer in answers]


def test_the_doctor_finds_nothing_to_do_but_a_backup(served: Project) -> None:
    lines = served.run(DOCTOR, status=1).splitlines()
    to_do = [line for line in lines if re.match(r"\W*DO\b", line)]
    assert [True for line in to_do if "backup" in line] == [True] * len(to_do)
    assert to_do


def test_each_way_out_of_a_conflict_asks_and_is_gone(served: Project) -> None:
    fill(served)
    merge, retire_patient, retire_booking = WAYS_OUT.splitlines()
    served.run(retire_patient, typed="y\n")
    assert served.ids("patients?isActive=false") == [23]
    served.run(merge, typed="y\n")
    assert served.ids("patients")[-1] == 22
    served.run(retire_booking, typed="y\n")
    assert 5 not in served.ids("appointments")


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
        project.run(other_copy.replace("/mnt/usb", str(disk)))
        assert len(list(disk.iterdir())) == 1
        project.answers(MANY)
        assert len(project.ids("patients")) == 2
    (made,) = (project.root / "instance/backups").iterdir()
    made.rename(project.root / restore.partition("FILE=")[2])
    project.run(restore)
    with project.served():
        assert project.ids("patients") == []


def test_every_block_of_readme_is_run() -> None:
    run_here = [RUN, KEY, SAMPLES, MANY, SYNC, CLIENTS, READING, DOCTOR, WAYS_OUT, COPIES]
    assert [block for block in BLOCKS if block not in run_here] == ["make test\n"]
