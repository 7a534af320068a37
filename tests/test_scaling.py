"""What docs/scaling.md promises of several services, of a COMMIT, and of the nodes of a cluster."""

import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import servers
import sqlalchemy as sa
from conftest import API, KEY, Portal, emptied, migrated
from flask import Flask
from live import service

from chaos import galera, kills
from chaos import sites as attacked
from chaos.client import Line
from config import DRIVERS
from models import db

PERSON = {"patientNo": "P-1", "name": "Ali Hassan", "dateOfBirth": "1990-05-05"}
NEWCOMER = {"patientNo": "P-2", "name": "Sara Omar"}
BOOKING = {"patientNo": "P-2", "date": "2027-01-10", "timeFrom": "10:30"}


# --- Several services ----------------------------------------------------------------------------


def test_two_services_on_one_server_store_a_newcomer_once(
    server: None, any_app: Flask, database_url: str
) -> None:
    with service(database_url) as one, service(database_url) as other:
        portal = Portal(emptied(any_app))
        for number in range(20):
            newcomer = PERSON | {"patientNo": f"P-{number}", "name": f"Ali {number}"}
            assert _sent_to_both([one, other], newcomer) == {"created": 1, "unchanged": 7}
    assert portal.count("patient") == 20


def _sent_to_both(services: list[Any], record: dict[str, Any]) -> Counter:
    """Send a record four times at once to each service; return the actions."""
    answers: list[dict[str, Any]] = []

    def send(to: Any) -> None:
        answers.extend(answer for _, answer in to.at_once([("/patient", record)] * 4))

    threads = [threading.Thread(target=send, args=[to]) for to in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(answer["action"] for answer in answers)


# --- A COMMIT whose answer is lost ---------------------------------------------------------------


class Breaker:
    """A TCP relay before a server. When told to, it keeps the server's next answer to a COMMIT, and hangs up."""

    def __init__(self, port: int) -> None:
        self.lost = 0
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._is_armed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_next(self) -> None:
        """Lose the answer to the next COMMIT."""
        self._is_armed.set()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._relay, args=ends, daemon=True).start()

    def _relay(self, source: socket.socket, goal: socket.socket, asks: bool) -> None:
        with suppress(OSError), source, goal:
            while data := source.recv(65536):
                if asks and b"COMMIT" in data and self._is_armed.is_set():
                    self._lose(data, source, goal)
                    return
                goal.sendall(data)

    def _lose(self, data: bytes, client: socket.socket, server: socket.socket) -> None:
        self._is_armed.clear()
        self.lost += 1
        client.shutdown(socket.SHUT_RDWR)
        server.sendall(data)


@pytest.fixture
def breaker(database_url: str) -> Iterator[Breaker]:
    port = sa.make_url(database_url).port
    assert port
    relay = Breaker(port)
    yield relay
    relay.close()


@pytest.mark.parametrize("path", ["/patient", "/patients"])
def test_after_a_lost_answer_to_a_commit_the_repeat_finds_the_record(
    server: None, any_app: Flask, database_url: str, breaker: Breaker, path: str
) -> None:
    portal = Portal(emptied(any_app))
    body: Any = PERSON if path == "/patient" else [PERSON]
    url = sa.make_url(database_url).set(port=breaker.port)
    with service(str(url), "--workers=1") as live:
        breaker.lose_next()
        status, answer = live.post(path, body)
        assert (status, answer["code"]) == (503, "database_unavailable")
        assert breaker.lost == 1
        assert _until_served(live, path, body)["action"] == "unchanged"
    assert portal.count("patient") == 1


def _until_served(live: Any, path: str, body: Any) -> dict[str, Any]:
    """Send again until the pause after the outage is over; return what became of the record."""
    servers.wait_until(lambda: live.post(path, body)[0] != 503, live.process)
    _, answer = live.post(path, body)
    return answer["results"][0] if "results" in answer else answer


# --- Settings of the servers ---------------------------------------------------------------------

CARELESS = {
    "postgresql": ("synchronous_commit=off", "wal_writer_delay=10s"),
    "mariadb": ("innodb-flush-log-at-trx-commit=0",),
}


@pytest.mark.parametrize("engine", CARELESS)
def test_a_server_that_does_not_wait_for_its_disk_loses_what_was_answered(
    engine: str,
    folder: Path,
) -> None:
    if engine not in servers.available(required=bool(os.environ.get("CI"))):
        pytest.skip(f"{engine} is not installed")
    with attacked.running(engine, folder, CARELESS[engine]) as site:
        assert any(_loses(site, f"P-{number}") for number in range(10))


def _loses(site: attacked.Site, number: str) -> bool:
    """Store a patient, and kill the server at once; return whether it knows no such patient when it runs again."""
    assert _action(site, number) == "created"
    (server,) = site.servers
    kills.kill(server)
    server.start()
    site.wait()
    return _action(site, number) == "created"


def _action(site: attacked.Site, number: str) -> str:
    """Send a patient; return what became of it."""
    with closing(Line([site.services[0].port], 0)) as line:
        _, answer = line.post("/patient", PERSON | {"patientNo": number}, "a-test")
    return answer["action"]


# --- Nodes of a cluster --------------------------------------------------------------------------


class Site:
    """A node of a cluster, and the service at it."""

    def __init__(self, node: galera.Node, app: Flask) -> None:
        self.portal = Portal(app)
        url = sa.make_url(node.url).set(drivername=DRIVERS["mariadb"])
        self.engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")

    def set(self, name: str, value: int) -> None:
        """Set a variable of the node for all connections that the service makes from now on."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql(f"SET GLOBAL {name} = {value}")
        with self.portal.app.app_context():
            db.engine.dispose()

    def numbers(self) -> list[str]:
        """Return the numbers of all patients, as the service tells them."""
        client = self.portal.app.test_client()
        answer = client.get(f"{API}/patients", headers={"X-API-Key": KEY})
        return [patient["patientNo"] for patient in answer.get_json()["data"]]

    @contextmanager
    def lagging(self) -> Iterator[sa.Connection]:
        """Keep the node from applying what the others commit; yields a connection to it."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SET SESSION wsrep_sync_wait = 0")
            connection.exec_driver_sql("FLUSH TABLES WITH READ LOCK")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("UNLOCK TABLES")


@pytest.fixture
def sites(folder: Path) -> Iterator[list[Site]]:
    """Two nodes of a cluster."""
    if not galera.available(required=bool(os.environ.get("CI"))):
        pytest.skip("Galera is not installed")
    with ExitStack() as stack:
        nodes = galera.prepared(folder)[:2]
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        apps = [stack.enter_context(migrated(node.url)) for node in nodes]
        yield [Site(node, app) for node, app in zip(nodes, apps, strict=True)]


def test_a_mariadb_node_that_lags_answers_from_the_past(sites: list[Site]) -> None:
    here, there = sites
    here.portal.send("patient", PERSON)
    there.set("wsrep_sync_wait", 1)
    assert there.numbers() == ["P-1"]
    there.set("wsrep_sync_wait", 0)
    with there.lagging():
        change = PERSON | {"email": "ali@mail.example"}
        assert here.portal.send("patient", change)["action"] == "updated"
        assert here.portal.send("patient", NEWCOMER)["action"] == "created"
        assert here.numbers() == ["P-1", "P-2"]
        assert there.numbers() == ["P-1"]
        booking = there.portal.send("appointment", BOOKING)
        assert booking["code"] == "unknown_reference"
        assert there.portal.send("patient", PERSON)["action"] == "unchanged"


def test_a_mariadb_node_that_lags_is_waited_for_with_wsrep_sync_wait(
    sites: list[Site],
) -> None:
    here, there = sites
    there.set("wsrep_sync_wait", 1)
    with ThreadPoolExecutor(1) as reader:
        with there.lagging() as watched:
            here.portal.send("patient", PERSON)
            reading = reader.submit(there.numbers)
            _wait_for_a_query(watched, reading)
        assert reading.result() == ["P-1"]


def _wait_for_a_query(connection: sa.Connection, reading: Future) -> None:
    """Wait until another connection waits for the node to catch up, or the reading is over."""
    query = sa.text(
        "SELECT count(*) FROM information_schema.processlist"
        " WHERE id <> connection_id() AND command = 'Query'"
    )
    while not (reading.done() or connection.scalar(query)):
        sleep(0.05)
