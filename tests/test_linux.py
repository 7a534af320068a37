"""Linux: what docs/linux.md and deploy/linux say, with a real nginx and a real service where they can be had."""

import configparser
import http.client
import json
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import live
import programs
import pytest
import servers
import shown
from conftest import API, migrated

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/linux.md").read_text(encoding="utf-8")
FILES = ROOT / "deploy/linux"
HOME = "/opt/clinic-api"  # where the page installs it
UNITS = sorted([*FILES.glob("*.service"), *FILES.glob("*.timer")])
# Commands that test_backups runs.
ELSEWHERE = {"backup", "restore"}

NGINX = servers.program("nginx", "/usr/sbin")
VERIFY = servers.program("systemd-analyze")
CI = bool(os.environ.get("CI"))
needs_nginx = pytest.mark.skipif(not (NGINX or CI), reason="nginx is not here")
needs_systemd = pytest.mark.skipif(not (VERIFY or CI), reason="systemd is not here")

# --- The page ----------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    """Return the commands of the page without sudo, in words."""
    bare = [
        re.sub(r"^sudo (-u clinic )?", "", line) for line in shown.lines("docs/linux.md")
    ]
    return [shlex.split(line, comments=True) for line in bare]


def of_the_project(command: list[str]) -> bool:
    return command[0] in (f"{HOME}/flask", ".venv/bin/python")


def test_each_command_of_the_page_is_run_here_or_named_as_not_tried() -> None:
    told = PAGE.split("**What was not tried")[1].split("\n\n")[0]
    named = set(re.findall(r"`(?:flask )?([\w./-]+)`", told))
    others = {words[0] for words in commands() if not of_the_project(words)} - {"cd"}
    assert others == named
    ours = {tuple(words[1:]) for words in commands() if of_the_project(words)}
    assert {words for words in ours if words[0] not in ELSEWHERE} == set(RUN)


RUN = [("config.py",), ("db", "upgrade"), ("doctor",)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return programs.installed(tmp_path)


def called(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the page or of a unit, with the folder in place of the page's."""
    return subprocess.run(
        shlex.split(command.replace(HOME, str(folder))),
        cwd=folder,
        env=programs.own_environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_installation_leaves_nothing_that_the_doctor_wants_done_but_a_backup(
    project: Path,
) -> None:
    (project / "instance").mkdir(mode=0o700)
    ours = [shlex.join(words) for words in commands() if of_the_project(words)]
    runs = [line for line in ours if tuple(shlex.split(line)[1:]) in RUN]
    assert len(runs) == len(RUN)
    *steps, doctor = runs
    for step in steps:
        told = called(step, project)
        assert told.returncode == 0, told.stderr
    to_do = [
        line for line in called(doctor, project).stdout.splitlines() if "DO" in line[:6]
    ]
    assert [line for line in to_do if "backup" not in line] == []


# --- The units ---------------------------------------------------------------------------------


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FILES / name, encoding="utf-8")
    return parser


def values(name: str, setting: str) -> list[str]:
    """Return all values of a setting that may be repeated."""
    text = (FILES / name).read_text(encoding="utf-8")
    return re.findall(rf"^{setting}=(.*)$", text, re.MULTILINE)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    assert VERIFY
    for path in UNITS:
        text = path.read_text(encoding="utf-8").replace(HOME, str(ROOT))
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    copies = [str(tmp_path / path.name) for path in UNITS]
    told = subprocess.run(
        [VERIFY, "verify", "--man=no", *copies],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    ours = [line for line in told.stderr.splitlines() if str(tmp_path) in line]
    assert (told.returncode, ours) == (0, [])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_what_a_unit_names_is_there(path: Path) -> None:
    named = re.findall(rf"{HOME}/([\w./-]+)", path.read_text(encoding="utf-8"))
    made = {"instance"}  # by the installation
    assert [it for it in named if not (ROOT / it).exists() and it not in made] == []
    assert path.name in PAGE or path.name.startswith("clinic-api")


def test_the_units_call_commands_that_there_are(sqlite_app: Any) -> None:
    lines = [line for path in UNITS for line in values(path.name, "ExecStart")]
    called = {line.split()[1] for line in lines}
    assert called == {"serve", "backup"}
    assert called <= set(sqlite_app.cli.commands)


def test_a_stop_waits_longer_than_the_service_does() -> None:
    text = (ROOT / "gunicorn.conf.py").read_text(encoding="utf-8")
    grace = int(re.findall(r"^graceful_timeout = (\d+)", text, re.MULTILINE)[0])
    service = unit("clinic-api.service")["Service"]
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > grace


# --- Rotating a key ----------------------------------------------------------------------------

OLD, NEW, KEPT = (f"{name}-{'k' * 30}" for name in ("old", "new", "kept"))


def write_key(project: Path, text: str) -> None:
    (project / ".env").write_text(f"API_KEYS={text}\n", encoding="utf-8")


@contextmanager
def started(project: Path, told_to: socket.socket | None = None) -> Iterator[live.Service]:
    """Run what the unit runs; it tells a socket when it is ready, as systemd wants it."""
    port = servers.free_port()
    notify = {"NOTIFY_SOCKET": told_to.getsockname()} if told_to else {}
    (command,) = values("clinic-api.service", "ExecStart")
    process = subprocess.Popen(
        shlex.split(command.replace(HOME, str(project))),
        cwd=project,
        env=programs.own_environment()
        | {"PORT": str(port), "WEB_CONCURRENCY": "2"}
        | notify,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with live.running(port, process) as running:
        yield running


def reloaded(project: Path, service: live.Service) -> str:
    """Do what `systemctl reload` does; return what the first command that fails says, or ""."""
    for line in values("clinic-api.service", "ExecReload"):
        told = called(line.replace("$MAINPID", str(service.process.pid)), project)
        if told.returncode:
            return told.stderr
    return ""


@dataclass
class Clients:
    """Clients that send without a pause, each with one key; what became of their requests."""

    port: int
    ended: Event = field(default_factory=Event)
    statuses: Counter = field(default_factory=Counter)

    def status(self, key: str) -> Any:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as it:
            headers = {"X-API-Key": key, "Content-Type": "application/json"}
            body = json.dumps([{"patientNo": f"P-{n}", "name": "Sara"} for n in range(3)])
            it.request("POST", f"{API}/patients", body, headers)
            answer = it.getresponse()
            answer.read()
            return answer.status

    def send(self, key: str) -> None:
        while not self.ended.wait(0.02):
            try:
                outcome = self.status(key)
            except (OSError, http.client.HTTPException) as error:
                outcome = repr(error)
            self.statuses[key, outcome] += 1

    def wait_for(self, key: str, status: int) -> None:
        """Wait until the workers with other keys are gone: ten answers in a row."""
        row = 0
        for _ in range(3000):
            row = row + 1 if self.status(key) == status else 0
            if row == 10:
                return
            time.sleep(0.01)
        raise AssertionError(f"the key was never answered with {status}")


def begun(port: int, body: bytes) -> http.client.HTTPConnection:
    """Send a request but for its last byte."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", f"{API}/patient")
    for name, value in {"X-API-Key": KEPT, "Content-Type": "application/json"}.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:-1])
    return connection


def test_a_reload_rotates_a_key_and_loses_no_request(project: Path, tmp_path: Path) -> None:
    write_key(project, f"desktop:{OLD},other:{KEPT}")
    with (
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd,
        ThreadPoolExecutor(6) as pool,
    ):
        systemd.bind(str(tmp_path / "notify"))
        with started(project, systemd) as service:
            assert b"READY=1" in systemd.recv(4096)
            clients = Clients(service.port)
            for key in [OLD, NEW] * 3:
                pool.submit(clients.send, key)
            try:
                clients.wait_for(OLD, 200)
                body = json.dumps({"patientNo": "P-LAST", "name": "Ali"}).encode()
                last = begun(service.port, body)
                time.sleep(0.5)  # until a worker reads it
                write_key(project, f"desktop:{NEW},other:{KEPT}")
                assert reloaded(project, service) == ""
                clients.wait_for(NEW, 200)
                last.send(body[-1:])
                assert last.getresponse().status == 201
                last.close()
                clients.wait_for(OLD, 401)
                write_key(project, "desktop:")
                assert reloaded(project, service).startswith("Cannot start: API_KEYS")
                assert clients.status(NEW) == 200
            finally:
                clients.ended.set()
    outcomes = {outcome for _, outcome in clients.statuses}
    assert outcomes == {200, 401}


@pytest.mark.parametrize("text", ["desktop:", "desktop:كلمة"])
def test_a_mistake_in_the_file_is_told_before_gunicorn_is_asked(
    project: Path, text: str
) -> None:
    """It would end."""
    write_key(project, text)
    (check, _) = values("clinic-api.service", "ExecReload")
    told = called(check, project)
    assert told.returncode == 1
    assert told.stderr.startswith("Cannot start: API_KEYS")
    write_key(project, f"desktop:{OLD}")
    assert called(check, project).returncode == 0


# --- nginx -------------------------------------------------------------------------------------

WRAPPING = """
daemon off; {user} worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 768; }}  # as Debian sets it
http {{
  {paths}
  include {folder}/clinic-api.conf;
}}
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def own_certificate(folder: Path) -> Path:
    """Make a certificate for localhost that its own key signs."""
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    name = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    command = ["openssl", *options.split(), *name.split(), *files]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "fullchain.pem"


@dataclass
class Front:
    """An nginx with the documented file: its two ports, and whom to trust."""

    port: int
    plain_port: int
    trust: ssl.SSLContext

    def connect(self, source: str = "127.0.0.1", wait: float = 60) -> socket.socket:
        address = ("127.0.0.1", self.port)
        raw = socket.create_connection(address, wait, source_address=(source, 0))
        return self.trust.wrap_socket(raw, server_hostname="localhost")

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        source: str = "127.0.0.1",
        **headers: str,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Get a path over TLS, or post a body to it."""
        connection = http.client.HTTPConnection("localhost", self.port)
        connection.sock = self.connect(source)
        own = {"X-API-Key": live.KEY, "Content-Type": "application/json"}
        sent = own | {name.replace("_", "-"): it for name, it in headers.items()}
        with closing(connection):
            connection.request("GET" if body is None else "POST", path, body, sent)
            answer = connection.getresponse()
            return answer, answer.read()


@contextmanager
def nginx(folder: Path, service_port: int) -> Iterator[Front]:
    """Run nginx with the documented file; only its ports, its paths and the service's port are others."""
    assert NGINX
    port, plain_port = servers.free_port(), servers.free_port()
    text = (FILES / "nginx.conf").read_text(encoding="utf-8")
    for there, here in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "listen 80;": f"listen 127.0.0.1:{plain_port};",
        "/etc/ssl/clinic-api/": f"{folder}/",
        "127.0.0.1:5082": f"127.0.0.1:{service_port}",
    }.items():
        assert there in text
        text = text.replace(there, here)
    (folder / "clinic-api.conf").write_text(text, encoding="utf-8")
    paths = " ".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    user = "user root;" if os.getuid() == 0 else ""
    main = folder / "nginx.conf"
    main.write_text(WRAPPING.format(folder=folder, paths=paths, user=user))
    certificate = own_certificate(folder)
    trust = ssl.create_default_context(cafile=str(certificate))
    process = subprocess.Popen([NGINX, "-e", str(folder / "error.log"), "-c", str(main)])
    front = Front(port, plain_port, trust)
    try:
        servers.wait_until(lambda: listens(port), process)
        yield front
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(servers.PATIENCE)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service's access log."""
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[Front]:
    """A service of one process behind nginx."""
    folder = tmp_path_factory.mktemp("nginx")
    url = f"sqlite:///{folder / 'clinic.db'}"
    settings = {"WEB_CONCURRENCY": "1", "TRUSTED_PROXIES": "1"}
    portal = {"SECRET_KEY": "s" * 32, "PORTAL_PASSWORD": "the-portal-password"}
    options = ("--access-logfile", str(log), "--graceful-timeout", "1")
    with (
        migrated(url),
        live.service(url, *options, server="gunicorn", **settings, **portal) as service,
        nginx(folder, service.port) as running,
    ):
        yield running


def night(size: int) -> bytes:
    """Return a list of so many bytes. Blanks make it large, which are quickly read and stored."""
    count = 1000
    records = [
        json.dumps({"patientNo": f"N-{n}", "name": "سارة عمر"}).encode()
        for n in range(count)
    ]
    blanks = b" " * ((size - 2 - sum(map(len, records))) // count - 1)
    return b"[" + (b"," + blanks).join(records) + b"]"


@needs_nginx
def test_a_night_of_sixty_megabytes_passes(front: Front) -> None:
    body = night(60_000_000)
    answer, text = front.ask(f"{API}/patients", body, Prefer="return=minimal")
    assert len(body) > 59_000_000
    assert (answer.status, json.loads(text)["created"]) == (200, 1000)


@needs_nginx
def test_the_callers_own_address_and_https_reach_the_service_whatever_he_says(
    front: Front, log: Path
) -> None:
    forged = {"X_Forwarded_For": "192.0.2.9", "X_Forwarded_Proto": "http"}
    host = {"X_Forwarded_Host": "stranger.example"}
    answer, _ = front.ask("/login", source="127.0.0.7", **forged)
    assert "Secure" in answer.headers["Set-Cookie"]
    assert line_with("GET /login 200", log).endswith("address=127.0.0.7")
    _, page = front.ask("/", **forged, **host)
    assert f"https://localhost:{front.port}{API}".encode() in page


def line_with(text: str, log: Path) -> str:
    """Return a line of the log, which is written after the answer is sent."""
    for _ in range(600):
        for line in log.read_text(encoding="utf-8").splitlines():
            if text in line:
                return line
        time.sleep(0.05)
    raise AssertionError(f"not in the log: {text}")


@needs_nginx
def test_a_hundred_clients_that_send_a_byte_a_second_keep_nobody_waiting(
    front: Front,
) -> None:
    head = f"POST {API}/patient HTTP/1.1\r\nHost: x\r\nX-API-Key: {live.KEY}\r\n"
    kind = "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
    ended = Event()
    with ExitStack() as held:
        slow = [held.enter_context(closing(front.connect())) for _ in range(100)]
        for client in slow:
            client.sendall(f"{head}{kind}[".encode())
        sender = Thread(target=trickle, args=(slow, ended))
        sender.start()
        held.callback(sender.join)
        held.callback(ended.set)
        time.sleep(1)
        assert min(seconds(lambda: front.ask("/healthz")) for _ in range(3)) < 2
        body = json.dumps({"patientNo": "P-1", "name": "Ali Hassan"}).encode()
        answer, _ = front.ask(f"{API}/patient", body)
        assert answer.status == 201


def trickle(clients: list[ssl.SSLSocket], ended: Event) -> None:
    """Send a blank from each, every second."""
    while not ended.wait(1):
        for client in clients:
            client.sendall(b" ")


def seconds(action: Callable[[], Any]) -> float:
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


@needs_nginx
def test_a_body_that_is_too_large_is_refused_in_the_form_of_the_service(
    front: Front,
) -> None:
    most = 64 * 1024 * 1024
    answer, _ = front.ask(f"{API}/patients", b" " * most)
    assert answer.status == 400  # of the service, which has read it
    for size in (most + 1, 80_000_000):
        answer, text = front.ask(f"{API}/patients", b" " * size)
        problem = json.loads(text)
        assert answer.status == problem["status"] == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (problem["code"], problem["success"]) == ("payload_too_large", False)
        assert "nginx" in problem["detail"]


@needs_nginx
def test_a_night_that_is_refused_before_it_is_read_is_told_why(front: Front) -> None:
    body = night(30_000_000)
    for _ in range(3):
        answer, text = front.ask(f"{API}/patients", body, X_API_Key="wrong")
        assert (answer.status, json.loads(text)["code"]) == (401, "unauthorized")
        answer, text = front.ask(f"{API}/persons", body)
        assert (answer.status, json.loads(text)["code"]) == (404, "not_found")


@needs_nginx
def test_without_https_no_key_is_taken(front: Front) -> None:
    for path, status in {f"{API}/clinics": 403, "/history": 301}.items():
        plain = http.client.HTTPConnection("127.0.0.1", front.plain_port)
        with closing(plain):
            plain.request("GET", path)
            assert plain.getresponse().status == status


@needs_nginx
def test_while_the_service_is_away_its_clients_are_told_to_come_again(
    tmp_path: Path,
) -> None:
    with nginx(tmp_path, servers.free_port()) as front:
        answer, text = front.ask(f"{API}/patient", b"{}")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert json.loads(text)["status"] == 503
