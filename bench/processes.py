"""Processes: what bench and chaos start, how they wait for it, what memory it took, and how it ends, by its id."""

import http.client
import os
import subprocess
import time
from contextlib import closing
from pathlib import Path

PATIENCE = 60  # seconds for a server to come up, and to go down


class Unusable(Exception):
    """A program that cannot be installed or run, or does not do what is measured; the message says what happened."""


def start(
    command: list[str], folder: Path, log: Path, environment: dict[str, str]
) -> subprocess.Popen:
    """Start a server; what it says is added to a file."""
    try:
        with log.open("a") as output:
            return subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | environment,
                stdout=output,
                stderr=output,
            )
    except OSError as error:
        raise Unusable(f"{Path(command[0]).name}: {error.strerror}") from error


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a command to its end and return what it prints."""
    try:
        surroundings = os.environ | environment
        done = subprocess.run(
            command,
            check=False,
            cwd=folder,
            env=surroundings,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise Unusable(f"{Path(command[0]).name}: {error.strerror}") from error
    if done.returncode:
        raise Unusable(f"{Path(command[0]).name}: {done.stderr[-300:]}")
    return done.stdout.strip()


def wait(process: subprocess.Popen, port: int, path: str, log: Path) -> None:
    """Wait until a server answers; fail as soon as it ends."""
    deadline = time.monotonic() + PATIENCE
    while not _answers(port, path):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unusable(f"did not come up: {log.read_text()[-300:]}")
        time.sleep(0.05)


def stop(process: subprocess.Popen) -> None:
    """End a server by its id."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def peak_memory(pid: int) -> float | None:
    """Return the peak resident memory, in MiB, of a process or of the largest of its children, whichever is more.

    From Linux' /proc (VmHWM); None elsewhere.
    """
    peaks = [kilobytes(each, "status", "VmHWM:") for each in family(pid)]
    return max((peak / 1024 for peak in peaks if peak), default=None)


def resident_memory(pid: int) -> float:
    """Return the resident memory of a process, in MiB: VmRSS of Linux' /proc; 0 elsewhere."""
    return (kilobytes(pid, "status", "VmRSS:") or 0) / 1024


def memory(pid: int) -> float:
    """Return the memory, in MiB, of a process and its children; of what several share, each counts its part.

    From Linux' /proc (Pss); 0 elsewhere.
    """
    return sum(kilobytes(each, "smaps_rollup", "Pss:") or 0 for each in family(pid)) / 1024


def family(pid: int) -> list[int]:
    """Return the process ids of a process and its children."""
    return [pid, *children(pid)]


def _answers(port: int, path: str) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as client:
        try:
            client.request("GET", path)
            return client.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


def children(pid: int) -> list[int]:
    """Return the process ids of a process's children, from Linux' /proc."""
    stats = {int(stat.parent.name): stat for stat in Path("/proc").glob("[0-9]*/stat")}
    return [child for child, stat in stats.items() if _parent(stat) == pid]


def _parent(stat: Path) -> int | None:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # ended meanwhile
        return None


def kilobytes(pid: int, file: str, name: str) -> int | None:
    """Return a figure of a file of Linux' /proc/PID, in kilobytes; None if it is not there."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)
