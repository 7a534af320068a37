"""Bulk over real HTTP: how near does one request of 10,000 patients come to raw SQLite?

`python bench/bulk.py [--rounds 5] [--records 10000]` runs gunicorn with one worker on a loopback port, on a new
database each round, and sends the same list three times: new, unchanged, and with other e-mails and last names.
Raw is what no service can beat: ready tuples, one `executemany` of `INSERT ... ON CONFLICT DO UPDATE`, one durable
commit (WAL, synchronous=FULL), into a table with the unique keys that a patient has. Rounds of both are interleaved,
medians are shown. Nothing is judged: absolute figures change from machine to machine, only the ratio is worth a goal.
"""

import argparse
import http.client
import json
import os
import platform
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KEY = "a-key-for-the-bench-only"
PATIENCE = 30  # seconds for gunicorn to come up, and to go down
GOAL = 0.08  # of raw: the first goal
COMMON = {"firstName": "Yousef", "secondName": "Bin", "lastName": "Khalid", "gender": "Male", "bloodType": "O+"}
COMMON |= {"isActive": True}
EXPECTED = {"insert": "created", "unchanged": "unchanged", "changed": "updated"}

Record = dict[str, Any]
Rates = dict[str, float]


def main() -> None:
    """Measure and print."""
    options = _arguments()
    lists = _lists(options.records)
    bodies = {case: json.dumps(records, ensure_ascii=False).encode() for case, records in lists.items()}
    print(
        _machine(),
        f"{options.records} patients, {len(bodies['insert']) / 1e6:.1f} MB, {options.rounds} rounds",
        sep="\n",
    )
    with tempfile.TemporaryDirectory() as folder:
        empty = _migrated(Path(folder) / "empty.db")
        rounds = [_round(Path(folder) / str(number), empty, lists, bodies) for number in range(options.rounds)]
    _show(*([_medians(rates) for rates in zip(*rounds, strict=True)]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=10_000)
    return parser.parse_args()


def _machine() -> str:
    versions = [f"{name} {version(name)}" for name in ("flask", "marshmallow", "sqlalchemy", "gunicorn")]
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return ", ".join([f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}", python, *versions])


# --- What is sent ------------------------------------------------------------------------------


def _lists(count: int) -> dict[str, list[Record]]:
    """Return the patients of each case: complete records, well spelt; what identifies is each patient's own."""
    patients = [COMMON | _own(number) for number in range(count)]
    return {"insert": patients, "unchanged": patients, "changed": [patient | _other(patient) for patient in patients]}


def _own(number: int) -> Record:
    digits = f"{number:07}"
    return {
        "patientNo": f"P-{digits}",
        "nationalID": f"112{digits}",
        "name": f"Yousef Bin Khalid {digits}",
        "mobile": f"+96655{digits}",
        "phone": f"+96656{digits}",
        "dateOfBirth": f"{1940 + number % 80}-{1 + number % 12:02}-{1 + number % 28:02}",
        "email": f"patient{number}@mail.example",
    }


def _other(patient: Record) -> Record:
    return {"email": f"new.{patient['email']}", "lastName": f"{patient['lastName']} II"}


# --- One round ---------------------------------------------------------------------------------


def _round(folder: Path, empty: Path, lists: dict[str, list[Record]], bodies: dict[str, bytes]) -> tuple[Rates, Rates]:
    """Return the records a second of each case: raw, and over HTTP; each on a new database."""
    folder.mkdir()
    raw = _raw(folder / "raw.db", lists)
    served = _served(shutil.copy(empty, folder / "served.db"), bodies, len(lists["insert"]))
    shutil.rmtree(folder)
    return raw, served


def _raw(path: Path, lists: dict[str, list[Record]]) -> Rates:
    fields = list(lists["insert"][0])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        keys = "UNIQUE (patientNo), UNIQUE (nationalID), UNIQUE (mobile, name)"
        connection.execute(f"CREATE TABLE patient (id INTEGER PRIMARY KEY, {', '.join(fields)}, {keys})")
        upsert = _upsert(fields)
        rows = {case: [tuple(record.values()) for record in records] for case, records in lists.items()}
        return {
            case: len(rows[case]) / _seconds(lambda case=case: _write(connection, upsert, rows[case])) for case in rows
        }


def _upsert(fields: list[str]) -> str:
    changes = ", ".join(f"{field}=excluded.{field}" for field in fields if field != "patientNo")
    marks = ", ".join("?" * len(fields))
    return f"INSERT INTO patient ({', '.join(fields)}) VALUES ({marks}) ON CONFLICT (patientNo) DO UPDATE SET {changes}"


def _write(connection: sqlite3.Connection, statement: str, rows: list[tuple]) -> None:
    with connection:
        connection.executemany(statement, rows)


def _served(database: Path, bodies: dict[str, bytes], count: int) -> Rates:
    with _gunicorn(database) as port, closing(http.client.HTTPConnection("127.0.0.1", port, timeout=600)) as client:
        answers: dict[str, Record] = {}
        seconds = {
            case: _seconds(lambda case=case: answers.update({case: _post(client, bodies[case])})) for case in bodies
        }
    for case, action in EXPECTED.items():
        if answers[case][action] != count:
            raise SystemExit(f"{case}: {action} should be {count}: {answers[case]}")
    return {case: count / taken for case, taken in seconds.items()}


def _post(client: http.client.HTTPConnection, body: bytes) -> Record:
    """Send a list and return the answer's counts, the whole answer having arrived."""
    client.request("POST", "/api/healthcare/patients", body, {"X-API-Key": KEY, "Content-Type": "application/json"})
    answer = client.getresponse().read()
    # The counts stand before the results: parsing 10,000 of those is the bench's time, not the service's.
    head, _, _ = answer.partition(b',"results"')
    return json.loads(head if head.endswith(b"}") else head + b"}")


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# --- The service -------------------------------------------------------------------------------


def _migrated(database: Path) -> Path:
    """Return the file of an empty database with the schema up to date."""
    command = [sys.executable, "-m", "flask", "--app", "app", "db", "upgrade"]
    subprocess.run(command, cwd=ROOT, env=_environment(database, 1), check=True, capture_output=True)
    return database


@contextmanager
def _gunicorn(database: Path) -> Iterator[int]:
    """Serve a database with one worker; yield the port. Ends by its process id."""
    port = _free_port()
    log = database.with_suffix(".log")
    with log.open("w") as output:
        command = [sys.executable, "-m", "gunicorn", "app:app"]
        environment = _environment(database, port)
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        _wait_for(port, server, log)
        yield port
    finally:
        server.terminate()
        server.wait(PATIENCE)


def _environment(database: Path, port: int) -> dict[str, str]:
    settings = {"API_KEYS": f"bench:{KEY}", "DATABASE_URL": f"sqlite:///{database}", "LOG_LEVEL": "WARNING"}
    return os.environ | settings | {"HOST": "127.0.0.1", "PORT": str(port), "WEB_CONCURRENCY": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _healthy(port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"gunicorn did not come up:\n{log.read_text()}")
        time.sleep(0.05)


def _healthy(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as client:
        try:
            client.request("GET", "/healthz")
            return client.getresponse().status == http.client.OK
        except OSError:
            return False


# --- What is shown -----------------------------------------------------------------------------


def _medians(rates: tuple[Rates, ...]) -> Rates:
    return {case: statistics.median(rate[case] for rate in rates) for case in EXPECTED}


def _show(raw: Rates, served: Rates) -> None:
    print(f"\n{'':10} {'raw/s':>10} {'HTTP/s':>10} {'ratio':>7} {'goal':>7}")
    for case in EXPECTED:
        ratio = served[case] / raw[case]
        print(f"{case:10} {raw[case]:10,.0f} {served[case]:10,.0f} {ratio:7.3f} {GOAL:7.2f}")


if __name__ == "__main__":
    main()
