"""The clients that programmers copy from samples/clients: each runs as it stands, and tells what it should."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import csharp
import pytest
import servers
from conftest import API, SAMPLES, emptied, migrated
from flask import Flask
from live import KEY, Service, service

CLIENTS = SAMPLES / "clients"
ADDRESS = "http://127.0.0.1:5082"
# In the order in which they refer to each other.
ENTITIES = (
    "clinic",
    "doctor",
    "patient",
    "appointment",
)
RECORDS = {
    entity: json.loads((SAMPLES / f"{entity}.json").read_text(encoding="utf-8"))
    for entity in ENTITIES
}
EVERYTHING = {f"{entity}s": [record] for entity, record in RECORDS.items()}
LANGUAGES = {".sh": "curl", ".cs": "csharp", ".py": "python"}
PUSH = [f"push{ending}" for ending in LANGUAGES]
NIGHT = [f"night{ending}" for ending in LANGUAGES]
NOBODY = {"firstName": "Nobody"}  # neither a number nor a name with a phone
BUSY = (
    503,
    {"Content-Type": "application/problem+json", "Retry-After": "1"},
    b'{"success": false, "code": "database_unavailable", "detail": "Send the same again."}',
)
PAGE = b"<html><body>The proxy has lost its way.</body></html>"


@dataclass
class Ran:
    """A sample that has ended: what it printed where, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def told(self) -> str:
        return self.out + self.err

    def counts(self, name: str, number: int) -> bool:
        """Tell whether this count was printed, in JSON or in words."""
        return re.search(rf'\b{name}"?[: ]{number}\b', self.out) is not None


class Clients:
    """The samples, changed as the reference page changes them, and run in folders of their own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.programs: dict[str, list[str]] = {}

    def run(
        self,
        name: str,
        address: str,
        body: Any,
        entity: str = "patient",
        **environment: str,
    ) -> Ran:
        """Run a sample with this body (bytes as they are) in the file that it sends."""
        program = self._program(name, shown(name, address, entity))
        folder = self._folder()
        raw = (
            body
            if isinstance(body, bytes)
            else json.dumps(body, ensure_ascii=False).encode()
        )
        (folder / (f"{entity}.json" if name in PUSH else "everything.json")).write_bytes(
            raw
        )
        # Nothing of this machine's environment: a proxy, for one, would come between.
        environment = {"PATH": os.environ["PATH"], "API_KEY": KEY, **environment}
        ended = subprocess.run(
            program,
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def _program(self, name: str, text: str) -> list[str]:
        """Return the command that runs this text of a sample, made when it is first asked for."""
        if text not in self.programs:
            source = self._folder() / name
            source.write_text(text, encoding="utf-8")
            self.programs[text] = command(source)
        return self.programs[text]

    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))


@cache
def shown(name: str, address: str = ADDRESS, entity: str = "patient") -> str:
    """Return a sample as the reference page shows it for this address and, where it sends one record, this entity."""
    text = (CLIENTS / name).read_text(encoding="utf-8").replace(ADDRESS, address)
    return text.replace("patient", entity) if name in PUSH else text


def command(source: Path) -> list[str]:
    """Return what runs a program."""
    if source.suffix == ".cs":
        return csharp.compiled(source)
    return (
        ["bash", str(source)]
        if source.suffix == ".sh"
        else [sys.executable, "-W", "error", str(source)]
    )


class Stub(ThreadingHTTPServer):
    """A server that gives the answers it was told to give, the last one for good, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StubHandler)
        self.address = f"http://127.0.0.1:{self.server_port}"

    def will_answer(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []


class StubHandler(BaseHTTPRequestHandler):
    """One request to the stub."""

    server: Stub

    def do_POST(self) -> None:
        stub = self.server
        stub.sent.append(self.rfile.read(int(self.headers["Content-Length"])))
        status, headers, body = (
            stub.answers.pop(0) if len(stub.answers) > 1 else stub.answers[0]
        )
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: Any) -> None:
        """Keep quiet."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for `push`, `night` or `name` (any of both) in every language, called by its name."""
    for wanted, names in {"push": PUSH, "night": NIGHT, "name": PUSH + NIGHT}.items():
        if wanted in metafunc.fixturenames:
            ids = [f"{Path(it).stem}_{LANGUAGES[Path(it).suffix]}" for it in names]
            metafunc.parametrize(wanted, names, ids=ids, indirect=True)


def runnable(request: pytest.FixtureRequest) -> str:
    """Return the sample's name; without a C# compiler skip its tests, except on CI, where they fail."""
    if request.param.endswith(".cs") and not csharp.available(
        required=bool(os.environ.get("CI"))
    ):
        pytest.skip("C# needs Debian's mono-mcs and the package dotnetcore2")
    return request.param


push = pytest.fixture(runnable, name="push")
night = pytest.fixture(runnable, name="night")
name = pytest.fixture(runnable, name="name")


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    return Clients(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, Service]]:
    url = f"sqlite:///{tmp_path_factory.mktemp('samples') / 'clinic.db'}"
    with migrated(url) as app, service(url) as live:
        yield app, live


@pytest.fixture
def live(running: tuple[Flask, Service]) -> Service:
    """The live service, with nothing stored."""
    emptied(running[0])
    return running[1]


@pytest.fixture
def address(live: Service) -> str:
    return f"http://127.0.0.1:{live.port}"


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with Stub() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def unanswered(clients: Clients) -> dict[str, Ran]:
    """What each sample says when nobody listens."""
    return at_once(clients, f"http://127.0.0.1:{servers.free_port()}")


@pytest.fixture(scope="module")
def put_off(clients: Clients, stub: Stub) -> dict[str, Ran]:
    """What each sample says when the service stays busy."""
    stub.will_answer(BUSY)
    return at_once(clients, stub.address)


def at_once(clients: Clients, address: str) -> dict[str, Ran]:
    """Run each sample that can run here, all at the same time, for each of them waits a while."""
    names = [it for it in PUSH + NIGHT if csharp.available() or not it.endswith(".cs")]
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(
            zip(
                names, pool.map(lambda it: clients.run(it, address, {}), names), strict=True
            )
        )


def stored(address: str, entity: str) -> list[dict[str, Any]]:
    """Read back all records of an entity."""
    with urlopen(
        Request(f"{address}{API}/{entity}s", headers={"X-API-Key": KEY})
    ) as answer:
        return json.load(answer)["data"]


def is_no_crash(ran: Ran) -> bool:
    """Tell whether a sample that failed says so in words."""
    return ran.status == 1 and not re.search(
        r"Traceback|Unhandled|^\s+at .*\(", ran.told, re.MULTILINE
    )


# --- As the page shows them --------------------------------------------------------------------


@pytest.mark.parametrize("file", PUSH + NIGHT)
def test_a_sample_names_the_address_once_near_its_top_and_takes_the_key_from_the_environment(
    file: str,
) -> None:
    text = shown(file)
    assert text.count(ADDRESS) == 1
    assert text.index(ADDRESS) < len(text) / 2
    assert "API_KEY" in text


@pytest.mark.parametrize("file", PUSH)
def test_the_entity_is_named_only_where_another_can_take_its_place(file: str) -> None:
    text = shown(file)
    places = text.count("patient.json") + text.count(f"{API}/patient")
    assert places >= 2
    assert len(re.findall("patient", text, re.IGNORECASE)) == places


# --- One record --------------------------------------------------------------------------------


def test_the_push_sample_creates_each_record_and_then_finds_it_unchanged(
    push: str, clients: Clients, address: str
) -> None:
    for action in ("created", "unchanged"):
        for entity in ENTITIES:
            ran = clients.run(
                push, address, (SAMPLES / f"{entity}.json").read_bytes(), entity
            )
            assert (ran.status, ran.err) == (0, ""), ran.told
            assert action in ran.out
            assert str(stored(address, entity)[0]["id"]) in ran.out
    for entity, field in (("clinic", "name"), ("doctor", "aName"), ("patient", "name")):
        assert stored(address, entity)[0][field] == RECORDS[entity][field]


def test_the_push_sample_tells_the_reasons_of_a_refusal(
    push: str, clients: Clients, address: str
) -> None:
    ran = clients.run(push, address, NOBODY | {"email": "nobody"})
    assert is_no_crash(ran)
    for reason in (
        "422",
        "validation_failed",
        "patientNo",
        "email",
        "Not a valid email address.",
    ):
        assert reason in ran.told
    assert stored(address, "patient") == []


def test_the_push_sample_tells_the_candidates_of_a_conflict(
    push: str, clients: Clients, live: Service
) -> None:
    address = f"http://127.0.0.1:{live.port}"
    _, first = live.post("/patient", {"patientNo": "P-1", "name": "Ali Hassan"})
    _, second = live.post("/patient", {"nationalID": "1122334455", "name": "Sara Omar"})
    ran = clients.run(
        push,
        address,
        {"patientNo": "P-1", "nationalID": "1122334455", "name": "Ali Hassan"},
    )
    assert is_no_crash(ran)
    for reason in (
        "409",
        "identity_conflict",
        str(first["id"]),
        str(second["id"]),
        "patientNo",
        "nationalID",
    ):
        assert reason in ran.told


def test_the_push_sample_tells_a_warning_even_to_a_log_that_has_no_arabic_letters(
    push: str, clients: Clients, address: str
) -> None:
    record = RECORDS["patient"] | {"الاسم": "ريم"}
    ran = clients.run(push, address, record, PYTHONIOENCODING="cp1252", LC_ALL="C")
    assert (ran.status, ran.err) == (0, "")
    assert "unknown field: الاسم" in ran.out


def test_a_file_in_an_ansi_code_page_is_refused_not_stored_as_question_marks(
    name: str, clients: Clients, address: str
) -> None:
    record = RECORDS["patient"] if name in PUSH else {"patients": [RECORDS["patient"]]}
    ran = clients.run(
        name, address, json.dumps(record, ensure_ascii=False).encode("windows-1256")
    )
    assert is_no_crash(ran)
    assert "invalid_json" in ran.told
    assert stored(address, "patient") == []


# --- A night -----------------------------------------------------------------------------------


def test_the_night_sample_counts_what_was_stored(
    night: str, clients: Clients, address: str
) -> None:
    ran = clients.run(night, address, EVERYTHING)
    assert (ran.status, ran.err) == (0, "")
    assert ran.counts("created", 4)
    ran = clients.run(night, address, EVERYTHING)
    assert (ran.status, ran.err) == (0, "")
    assert ran.counts("unchanged", 4)
    assert ran.counts("failed", 0)
    assert stored(address, "patient")[0]["name"] == RECORDS["patient"]["name"]


def test_the_night_sample_tells_each_refused_record_and_fails(
    night: str, clients: Clients, address: str
) -> None:
    wrong = {"patientNo": "م-7", "name": "هيفاء", "email": "nobody", "mobil": "1"}
    homeless = {
        "appointmentNo": "A-9",
        "patientNo": "P-404",
        "date": "2026-12-01",
        "timeFrom": "10:00",
    }
    body = EVERYTHING | {
        "patients": [RECORDS["patient"], wrong],
        "appointments": [RECORDS["appointment"], homeless],
    }
    ran = clients.run(night, address, body, PYTHONIOENCODING="cp1252", LC_ALL="C")
    assert is_no_crash(ran)
    assert all((ran.counts("total", 6), ran.counts("created", 4), ran.counts("failed", 2)))
    for reason in ("م-7", "validation_failed", "Not a valid email address."):
        assert reason in ran.out
    for reason in ("A-9", "unknown_reference", "P-404"):
        assert reason in ran.out
    assert "P-20417" not in ran.out  # what went well is only counted
    assert len(stored(address, "patient")) == 1


def test_the_night_sample_tells_the_reasons_when_every_record_is_refused(
    night: str, clients: Clients, address: str
) -> None:
    ran = clients.run(
        night, address, {"patients": [NOBODY], "clinics": [{"name": "No code"}]}
    )
    assert is_no_crash(ran)
    assert ran.counts("failed", 2)
    assert ran.out.count("validation_failed") == 2


def test_the_night_sample_tells_what_it_was_warned_of(
    night: str, clients: Clients, address: str
) -> None:
    ran = clients.run(night, address, {"patients": [RECORDS["patient"] | {"mobil": "1"}]})
    assert ran.status == 0
    assert "unknown field: mobil" in ran.out
    assert "P-20417" in ran.out


# --- When the service is not what answers ------------------------------------------------------


def test_a_wrong_key_is_told_in_the_services_words(
    name: str, clients: Clients, address: str
) -> None:
    ran = clients.run(name, address, {}, API_KEY="wrong")
    assert is_no_crash(ran)
    for reason in ("401", "unauthorized", "X-API-Key"):
        assert reason in ran.told


def test_a_key_that_is_not_set_is_told(name: str, clients: Clients, address: str) -> None:
    ran = clients.run(name, address, {}, API_KEY="")
    assert is_no_crash(ran)
    assert "API_KEY" in ran.told


def test_a_service_that_does_not_answer_is_told_without_a_stack_trace(
    name: str, unanswered: dict[str, Ran]
) -> None:
    ran = unanswered[name]
    assert ran.status != 0
    assert is_no_crash(Ran(1, ran.out, ran.err))  # curl has statuses of its own
    assert "127.0.0.1" in ran.err


@pytest.mark.parametrize("status", [502, 200, 301])
def test_a_page_of_a_proxy_is_no_success_and_no_stack_trace(
    name: str, status: int, clients: Clients, stub: Stub
) -> None:
    # curl tries a 502 again by itself; it waits as long as it is told.
    stub.will_answer(
        (
            status,
            {"Content-Type": "text/html", "Location": "/elsewhere", "Retry-After": "1"},
            PAGE,
        )
    )
    ran = clients.run(name, stub.address, {})
    assert is_no_crash(ran)
    assert str(status) in ran.err
    assert "lost its way" in ran.told


def test_a_busy_service_is_asked_again_with_the_whole_body(
    name: str, clients: Clients, stub: Stub
) -> None:
    counts = dict.fromkeys(("total", "created"), 1) | dict.fromkeys(
        ("updated", "unchanged", "failed"), 0
    )
    success = {"success": True, "action": "created", "id": 17, "warnings": []} | counts
    stub.will_answer(
        BUSY, (200, {"Content-Type": "application/json"}, json.dumps(success).encode())
    )
    ran = clients.run(name, stub.address, {"name": "هيفاء"})
    assert (ran.status, ran.err) == (0, "")
    assert "created" in ran.out
    assert "database_unavailable" not in ran.out
    assert [json.loads(body) for body in stub.sent] == [{"name": "هيفاء"}] * 2


def test_a_service_that_stays_busy_is_told_once_in_its_own_words(
    name: str, put_off: dict[str, Ran]
) -> None:
    ran = put_off[name]
    assert is_no_crash(ran)
    assert "503" in ran.told
    assert ran.told.count("database_unavailable") == 1
    assert "Send the same again." in ran.told
