"""Platforms: the service starts from the files that they read, with the variables that they set, on PostgreSQL."""

import fnmatch
import http.client
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import servers
import sqlalchemy as sa
import yaml

import config

ROOT = Path(__file__).parent.parent
KEY = "a-key-for-the-platforms-only"
# What a platform sets itself, or is told to generate.
GENERATED = {
    "API_KEYS": KEY,
    "SECRET_KEY": "s" * 64,
    "PORTAL_PASSWORD": "the-portal-password",
}
APP = json.loads((ROOT / "app.json").read_text())
RENDER = yaml.safe_load((ROOT / "render.yaml").read_text())
RAILWAY = json.loads((ROOT / "railway.json").read_text())
FLY = tomllib.loads((ROOT / "fly.toml").read_text())

# --- The Dockerfile, read as a builder reads it ------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Return each instruction of the Dockerfile and its arguments."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, rest in (line.split(" ", 1) for line in lines)]


def arguments(wanted: str) -> list[str]:
    return [rest for name, rest in instructions() if name == wanted]


def container_environment() -> dict[str, str]:
    (line,) = arguments("ENV")
    return dict(word.split("=", 1) for word in line.split())


def health_command() -> str:
    (line,) = arguments("HEALTHCHECK")
    return line.split("CMD ", 1)[1]


def ignored(path: Path, by: str = ".dockerignore") -> bool:
    """Tell whether a builder, or whoever reads the file `by`, leaves out this path of the project."""
    patterns = [it for it in (ROOT / by).read_text().splitlines() if it[:1] != "#"]
    return any(_fits(path, pattern, everywhere=by == ".gitignore") for pattern in patterns)


def _fits(path: Path, pattern: str, *, everywhere: bool) -> bool:
    """Docker looks for a pattern in the root alone, unless it begins with `**/`; git looks everywhere."""
    bare = pattern.removeprefix("**/")
    if everywhere or bare != pattern:
        return fnmatch.fnmatch(path.name, bare)
    return fnmatch.fnmatch(path.parts[0], pattern)


def left_out(folder: str, names: list[str]) -> set[str]:
    inner = Path(folder).relative_to(ROOT)
    return {name for name in names if ignored(inner / name)}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that stand in the container."""
    folder = tmp_path_factory.mktemp("image") / "app"
    servers.open_to_servers(folder.parent)
    shutil.copytree(ROOT, folder, ignore=left_out)
    return folder


# --- How each platform starts the service ------------------------------------------------------


@dataclass(frozen=True)
class Platform:
    """What a platform runs, one after the other, and the variables that it sets."""

    commands: list[str]
    variables: dict[str, str]
    proxies: str = "192.0.2.9"  # what its router adds to X-Forwarded-For


def procfile() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def render_variables() -> dict[str, str]:
    return {
        it["key"]: it["value"] for it in RENDER["services"][0]["envVars"] if "value" in it
    }


HEROKU = {name: it["value"] for name, it in APP["env"].items() if "value" in it}
CONTAINER = container_environment()
PLATFORMS = {
    "Heroku": Platform(
        [procfile()["release"], procfile()["web"]], {"DYNO": "web.1"} | HEROKU
    ),
    "Render": Platform(
        [RENDER["services"][0]["preDeployCommand"], RENDER["services"][0]["startCommand"]],
        {"RENDER": "true"} | render_variables(),
    ),
    "Railway": Platform(
        arguments("CMD"),
        CONTAINER | {"RAILWAY_ENVIRONMENT_NAME": "production", "TRUSTED_PROXIES": "1"},
    ),
    "Fly": Platform(
        arguments("CMD"),
        CONTAINER | {"FLY_APP_NAME": "clinic"} | FLY["env"],
        "192.0.2.9, 198.51.100.1",
    ),
}


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if "postgresql" not in servers.available(required=bool(os.environ.get("CI"))):
        pytest.skip("PostgreSQL is not installed")
    with servers.running("postgresql", tmp_path_factory.mktemp("platforms")) as url:
        yield url


@pytest.fixture
def postgresql(server_url: str) -> str:
    """The address of an empty database, as platforms write it."""
    engine = sa.create_engine(server_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
    return server_url.replace("postgresql://", "postgres://")


def shell(command: str, image: Path, **settings: str) -> subprocess.Popen:
    """Run a line as a platform does: by sh, in the project, with nothing but its variables."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    # A test listens on this machine only.
    line = command.replace("HOST=0.0.0.0", "HOST=127.0.0.1")
    environment = {
        "PATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        **settings,
        "HOST": "127.0.0.1",
    }
    return subprocess.Popen(
        ["sh", "-c", line],
        cwd=image,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def done(command: str, image: Path, **settings: str) -> tuple[int, str]:
    """Run a line to its end; return its status and what it wrote."""
    process = shell(command, image, **settings)
    written, _ = process.communicate(timeout=servers.PATIENCE)
    return process.returncode, written


@contextmanager
def running(name: str, image: Path, url: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Start the service as a platform does; yield its port and its settings. It must end well."""
    platform, port = PLATFORMS[name], servers.free_port()
    settings = GENERATED | platform.variables | {"DATABASE_URL": url, "PORT": str(port)}
    for command in platform.commands[:-1]:
        status, written = done(command, image, **settings)
        assert status == 0, written
    process = shell(platform.commands[-1], image, **settings)
    try:
        servers.wait_until(lambda: asked(port, "/healthz")[0] > 0, process)
        assert asked(port, "/healthz")[0] == 200
        yield port, settings
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        written, _ = process.communicate(timeout=servers.PATIENCE)
    assert "Shutting down: Master" in written, written
    assert "address=192.0.2.9" in written


def asked(port: int, path: str, body: Any = None, **headers: str) -> tuple[int, Any, str]:
    """Ask as a router does; return status, headers and body."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        raw = None if body is None else json.dumps(body)
        try:
            connection.request("GET" if raw is None else "POST", path, raw, headers)
            answer = connection.getresponse()
        except OSError:
            return 0, {}, ""
        return answer.status, answer.headers, answer.read().decode()


@pytest.mark.parametrize("name", PLATFORMS)
def test_each_platform_starts_the_service(name: str, image: Path, postgresql: str) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": PLATFORMS[name].proxies}
    sent = {"X-API-Key": KEY, "Content-Type": "application/json"} | forwarded
    with running(name, image, postgresql) as (port, settings):
        patient = {"patientNo": f"P-{name}", "name": "Ali Hassan"}
        status, _, text = asked(port, "/api/healthcare/patient", patient, **sent)
        assert (status, json.loads(text)["action"]) == (201, "created")
        _, headers, _ = asked(port, "/login", **forwarded)
        assert "Secure" in headers["Set-Cookie"]
        status, _, page = asked(port, "/", Host="clinic.example", **forwarded)
        assert "https://clinic.example/api" in page
        assert done(health_command(), image, PORT=settings["PORT"])[0] == 0
    assert done(health_command(), image, PORT=settings["PORT"])[0] != 0


@pytest.mark.parametrize("name", PLATFORMS)
def test_no_platform_starts_on_a_file_that_it_forgets(name: str, image: Path) -> None:
    settings = GENERATED | PLATFORMS[name].variables
    status, written = done(PLATFORMS[name].commands[0], image, **settings)
    assert status != 0
    assert f"On {name} an SQLite file vanishes" in written
    assert not (image / "instance").exists()


@pytest.mark.parametrize("name", PLATFORMS)
def test_gunicorn_listens_on_every_address_of_a_platform(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = GENERATED | PLATFORMS[name].variables
    for variable, value in (
        settings | {"DATABASE_URL": "postgres://h/n", "PORT": "8080"}
    ).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("HOST", raising=False)
    assert runpy.run_path(str(ROOT / "gunicorn.conf.py"))["bind"] == "0.0.0.0:8080"


# --- The files fit each other and the program --------------------------------------------------


def test_every_variable_in_the_files_is_a_setting() -> None:
    """And what stands there makes sense."""
    names = {name.upper() for name in config.Settings.__dataclass_fields__}
    rendered = {it["key"] for it in RENDER["services"][0]["envVars"]}
    assert {*APP["env"], *rendered, *FLY["env"]} - names == set()
    for settings in (HEROKU, render_variables(), FLY["env"]):
        config.read(GENERATED | settings)


def test_all_platforms_have_the_same_limits() -> None:
    limits = ("WEB_CONCURRENCY", "MAX_BATCH", "MAX_CONTENT_LENGTH")
    told = [
        [it[name] for name in limits] for it in (HEROKU, render_variables(), FLY["env"])
    ]
    assert told[0] == told[1] == told[2]
    page = (ROOT / "docs/platform.md").read_text(encoding="utf-8")
    assert [
        f"{name}={value}"
        for name, value in zip(limits, told[0], strict=True)
        if f"{name}={value}" not in page
    ] == []


def test_the_files_know_where_the_service_is_and_how_it_is() -> None:
    port = container_environment()["PORT"]
    assert arguments("EXPOSE") == [port]
    assert FLY["http_service"]["internal_port"] == int(port) == 5082
    checks = [RENDER["services"][0], RAILWAY["deploy"], *FLY["http_service"]["checks"]]
    paths = [
        it.get("healthCheckPath") or it.get("healthcheckPath") or it["path"]
        for it in checks
    ]
    assert {*paths} == {"/healthz"}
    (database,) = RENDER["databases"]
    variables = {it["key"]: it for it in RENDER["services"][0]["envVars"]}
    assert variables["DATABASE_URL"]["fromDatabase"]["name"] == database["name"]


def test_container_and_platforms_have_one_python() -> None:
    version = (ROOT / ".python-version").read_text().strip()
    assert re.fullmatch(rf"python:{re.escape(version)}-slim-\w+", arguments("FROM")[0])


# What the pages have somebody write into the program's folder: keys, and patients.
PRIVATE = [".env", "clinic.env", "clinic.dump", "clinic.sql", "copies/clinic.db"]
PRIVATE += [f"before-upgrade.{kind}" for kind in ("db", "dump", "sql")]
PRIVATE += ["samples/patients.csv.rejected.csv", "patients.csv.rejected-2026-06-01.csv"]


@pytest.mark.parametrize("name", PRIVATE)
def test_keys_and_patients_get_into_no_container_and_no_repository(name: str) -> None:
    assert ignored(Path(name))
    assert ignored(Path(name), by=".gitignore")


def test_the_container_is_small_and_not_roots(image: Path) -> None:
    names = [name for name, _ in instructions()]
    assert names.index("USER") > max(
        at for at, name in enumerate(names) if name in ("RUN", "COPY")
    )
    assert arguments("USER") == ["clinic"]
    assert arguments("VOLUME") == [f"{arguments('WORKDIR')[0]}/instance"]
    held = {path.name for path in image.iterdir()}
    assert held == {
        *(path.name for path in ROOT.glob("*.py")),
        *(
            "engine",
            "portal",
            "terminal",
            "migrations",
            "samples",
            "openapi.json",
            "openapi_entity.json",
        ),
        "requirements.txt",
        "flask",
    }
    assert [
        path
        for path in image.rglob("*")
        if path.name[0] == "." or path.name == "__pycache__"
    ] == []
