"""Peers: programs that upsert patients over HTTP, each on an empty SQLite file of its own and a loopback port."""

import http.client
import json
import os
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from bench import processes
from bench.processes import Unusable
from bench.raw import COLUMNS, KEYS
from bench.records import Record
from tests import servers

ROOT = Path(__file__).resolve().parent.parent
KEY = "a-key-for-the-bench-only"
TIMEOUT = 900  # seconds for one answer


class Refused(Exception):
    """An answer that is no success; the message is its status and its beginning."""


class Client:
    """One HTTP connection that is kept open."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self.headers = {"Content-Type": "application/json"} | headers

    def send(self, path: str, body: bytes, method: str = "POST") -> bytes:
        """Send a body and return the whole answer; raise Refused unless all of it succeeded."""
        self.connection.request(method, path, body, self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            raise Refused(f"{answer.status} {text[:300].decode(errors='replace')}")
        return text

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


class Peer:
    """A program to compare with; used as a context it runs on an empty database, and ends with the block."""

    name = ""
    bulk_path = ""
    one_path = ""
    health_path = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True, parents=True)
        self.database = self.folder / "data.db"
        self.port = servers.free_port()
        self.headers: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self.workplace = self.folder

    def __enter__(self) -> Self:
        log = self.folder / "log.txt"
        self.prepare()
        self.process = processes.start(
            self.command(), self.workplace, log, self.environment
        )
        try:
            processes.wait(self.process, self.port, self.health_path, log)
            self.opened()
        except BaseException:
            processes.stop(self.process)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        processes.stop(self.process)

    def prepare(self) -> None:
        """Make the empty database."""

    def command(self) -> list[str]:
        """Return the command that serves."""
        raise NotImplementedError  # each peer has a way of its own

    def opened(self) -> None:
        """Finish what can only be done while the program runs."""

    def client(self) -> Client:
        """Return a new connection."""
        return Client(self.port, self.headers)

    def bulk(self, records: list[Record]) -> bytes:
        """Return the body of a request that upserts many."""
        return _json(records)

    def one(self, record: Record) -> bytes:
        """Return the body of a request that upserts one."""
        return _json(record)

    def check(self, answer: bytes, action: str, count: int) -> None:
        """Raise Unusable if the answer to a bulk tells of something else than `count` times `action`."""

    def peak_memory(self) -> float | None:
        """Return the peak memory in MiB of the program, or of the largest of its workers."""
        return processes.peak_memory(self.process.pid)

    def stored(self) -> tuple[int, int]:
        """Return how many patients are stored, and how many of them have been changed."""
        with closing(sqlite3.connect(self.database, timeout=60)) as connection:
            counts = "SELECT count(*), count(CASE WHEN email LIKE 'new%' THEN 1 END) FROM patient"
            return tuple(connection.execute(counts).fetchone())

    def send(self, client: Client, body: bytes) -> tuple[float, bytes]:
        """Send a bulk, and return the seconds until the whole answer is there, and the answer."""
        start = time.perf_counter()
        answer = client.send(self.bulk_path, body)
        return time.perf_counter() - start, answer


class Service(Peer):
    """Our own, as it is shipped: two workers, or as many as are asked for."""

    name = "service"
    bulk_path = "/api/healthcare/patients"
    one_path = "/api/healthcare/patient"
    health_path = "/healthz"

    def __init__(self, folder: Path, url: str | None = None, workers: int = 2) -> None:
        super().__init__(folder)
        self.workplace = ROOT
        self.headers = {"X-API-Key": KEY}
        self.url = url
        settings = {
            "API_KEYS": f"bench:{KEY}",
            "DATABASE_URL": url or f"sqlite:///{self.database}",
        }
        settings |= {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "LOG_LEVEL": "WARNING",
            "WEB_CONCURRENCY": str(workers),
        }
        self.environment = settings

    def prepare(self) -> None:
        """Bring the tables up to date; a file is migrated once a run and then copied."""
        if self.url or self.database.exists():
            self._migrate()
            return
        empty = self.folder.parent / "empty.db"
        if empty.exists():
            shutil.copy(empty, self.database)
            return
        self._migrate()
        shutil.copy(self.database, empty)

    def _migrate(self) -> None:
        processes.run(
            [sys.executable, "-m", "flask", "--app", "app", "db", "upgrade"],
            ROOT,
            self.environment,
        )

    def command(self) -> list[str]:
        """Return the command of the Procfile, without a log of every request."""
        return [sys.executable, "-m", "gunicorn", "--access-logfile", os.devnull, "app:app"]

    def check(self, answer: bytes, action: str, count: int) -> None:
        """Read the counts, which stand before the results: to parse 10,000 of those would be the bench's own time."""
        head, _, _ = answer.partition(b',"results"')
        counts = json.loads(head if head.endswith(b"}") else head + b"}")
        if counts[action] != count:
            raise Unusable(f"{action} should be {count}: {counts}")


class MergeService(Peer):
    """`merge_service.py`, served as the service is."""

    name = "session.merge"
    bulk_path = "/patients"
    one_path = "/patient"
    health_path = "/healthz"

    def prepare(self) -> None:
        """Make the tables."""
        # Not the root, whose gunicorn.conf.py is the service's.
        self.workplace = ROOT / "bench"
        self.environment = {"DATABASE_URL": f"sqlite:///{self.database}"}
        create = self.environment | {"CREATE_TABLES": "1"}
        processes.run(
            [sys.executable, "-c", "import merge_service"], self.workplace, create
        )

    def command(self) -> list[str]:
        """Return the command that serves it."""
        options = f"-w 2 -k gthread --threads 8 --timeout {TIMEOUT} --no-control-socket -b 127.0.0.1:{self.port}"
        return [sys.executable, "-m", "gunicorn", *options.split(), "merge_service:app"]


class PocketBase(Peer):
    """PocketBase upserts by its own id, in a batch; one record is a batch of one."""

    name = "PocketBase"
    bulk_path = one_path = "/api/batch"
    health_path = "/api/health"
    login = ("bench@mail.example", "a-password-for-the-bench-only")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.database = self.folder / "pb_data" / "data.db"

    def prepare(self) -> None:
        """Make the data and who may write it."""
        processes.run(
            [_installed("pocketbase"), "superuser", "upsert", *self.login], self.folder, {}
        )

    def command(self) -> list[str]:
        """Return the command that serves it."""
        return [_installed("pocketbase"), "serve", "--http", f"127.0.0.1:{self.port}"]

    def opened(self) -> None:
        """Log in, allow batches of any size, and make the collection."""
        with closing(self.client()) as client:
            login = _json(dict(zip(("identity", "password"), self.login, strict=True)))
            token = json.loads(
                client.send("/api/collections/_superusers/auth-with-password", login)
            )["token"]
        self.headers = {"Authorization": token}
        batch = {
            "enabled": True,
            "maxRequests": 1_000_000,
            "timeout": TIMEOUT,
            "maxBodySize": 1 << 30,
        }
        with closing(self.client()) as client:
            client.send(
                "/api/settings",
                _json({"batch": batch, "rateLimits": {"enabled": False}}),
                "PATCH",
            )
            client.send("/api/collections", _json(_collection()))

    def bulk(self, records: list[Record]) -> bytes:
        """Return a batch; an id has 15 characters."""
        url = "/api/collections/patient/records"
        bodies = [record | {"id": f"p{record['patientNo'][2:]:0>14}"} for record in records]
        return _json(
            {"requests": [{"method": "PUT", "url": url, "body": body} for body in bodies]}
        )

    def one(self, record: Record) -> bytes:
        """Return a batch of one."""
        return self.bulk([record])


class Datasette(Peer):
    """Datasette upserts by the table's primary key."""

    name = "Datasette"
    bulk_path = one_path = "/data/patient/-/upsert"
    health_path = "/-/versions.json"
    secret = "a-secret-for-the-bench-only"

    def prepare(self) -> None:
        """Make the table, in a WAL file, which stays one."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            keys = KEYS.replace("UNIQUE (patientNo)", "PRIMARY KEY (patientNo)")
            connection.execute(f"CREATE TABLE patient ({COLUMNS}, {keys})")
        command = [_installed("datasette"), "create-token", "root", "--secret", self.secret]
        self.headers = {
            "Authorization": f"Bearer {processes.run(command, self.folder, {})}"
        }

    def command(self) -> list[str]:
        """Return the command that serves it, without limits of a request."""
        options = f"-h 127.0.0.1 -p {self.port} --root --secret {self.secret}"
        limits = "--setting max_insert_rows 1000000 --setting max_post_body_bytes 0"
        return [
            _installed("datasette"),
            "serve",
            str(self.database),
            *options.split(),
            *limits.split(),
        ]

    def bulk(self, records: list[Record]) -> bytes:
        """Return rows."""
        return _json({"rows": records})

    def one(self, record: Record) -> bytes:
        """Return one row."""
        return self.bulk([record])


PEERS: tuple[type[Peer], ...] = (Service, MergeService, PocketBase, Datasette)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _installed(program: str) -> str:
    return str(Path(sys.executable).parent / program)


def _collection() -> dict[str, Any]:
    texts = (
        "patientNo",
        "nationalID",
        "name",
        "firstName",
        "secondName",
        "lastName",
        "mobile",
        "phone",
        "dateOfBirth",
    )
    fields: list[dict[str, Any]] = [{"name": name, "type": "text"} for name in texts]
    fields += [{"name": "email", "type": "email"}, {"name": "isActive", "type": "bool"}]
    fields += [{"name": "gender", "type": "select", "values": ["Male", "Female"]}]
    fields += [{"name": "bloodType", "type": "select", "values": ["O+", "A+"]}]
    keys = {"number": "patientNo", "national": "nationalID", "contact": "mobile, name"}
    indexes = [
        f"CREATE UNIQUE INDEX patient_{name} ON patient ({columns})"
        for name, columns in keys.items()
    ]
    return {"name": "patient", "type": "base", "fields": fields, "indexes": indexes}
