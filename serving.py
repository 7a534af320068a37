"""Serving: one start everywhere, with gunicorn or waitress, on a port that is free; it greets whoever started it."""

import errno
import gc
import os
import shlex
import socket
import sys
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

import config
from engine import database
from engine.in_use import WINDOWS
from engine.outages import watch_of
from models import db

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 only compared with HOST: every address of this machine
FAR_AWAY = "192.0.2.1"  # nobody's (RFC 5737); the way there is the way out of this machine
NO_LAN = ("127.", "169.254.")  # how addresses begin that nobody else can use

ANOTHER_PORT = "Set another PORT in .env"
REFUSALS = {
    errno.EADDRINUSE: "Port {port} is in use: the service is running already, or another program has the port."
    f" Stop that one first. Or: {ANOTHER_PORT}.",
    errno.EACCES: f"This user may not listen on port {{port}}. {ANOTHER_PORT}, above 1023.",
}
NO_ADDRESS = (
    "HOST={host} is no address of this machine."
    " Set it in .env to 127.0.0.1 (this machine only) or to 0.0.0.0 (the whole network)."
)

ALONE = """
Serving at {here}, for this machine only.
To let others on the network use it: set HOST=0.0.0.0 in .env, and start again.
"""
SHARED = """
Serving at {everywhere} for the network, at {here} for this machine.
"""
BY_BROWSER = """Stop with Ctrl+C. To try it, open {here} in a browser of this machine.
PORTAL_PASSWORD in .env logs you in there.
"""
BY_CURL = """Stop with Ctrl+C. Try it from another terminal:

curl -H "X-API-Key: $(sed -n 's/^API_KEYS=[^:]*:\\([^,]*\\).*/\\1/p' {env})" \
-H 'Content-Type: application/json' --data-binary @{sample} {here}/api/healthcare/clinic
"""


def serve(application: Any, listener: socket.socket, settings: config.Settings) -> None:
    """Serve until somebody stops it. Only on Windows this returns; elsewhere the process becomes gunicorn."""
    if WINDOWS:
        _with_waitress(application, listener, settings)
    else:
        listener.close()
        _become_gunicorn()


def _with_waitress(
    application: Any, listener: socket.socket, settings: config.Settings
) -> None:
    import windows  # noqa: PLC0415  waitress is installed where it is needed

    spare_collector()
    tell_outage(db.engine)
    text = greeting(settings) if is_greeted() else ""
    windows.serve(application, listener, settings.max_content_length, text)
    db.engine.dispose()  # the last connection that is closed leaves one file
    database.of_name(settings.database_url.get_backend_name()).tidy(settings.database_url)


def _become_gunicorn() -> None:
    environment = config.own_environment() | {"FLASK_SKIP_DOTENV": "1"}
    command = [sys.executable, "-m", "gunicorn", "app:app"]
    os.chdir(config.ROOT)
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 no shell: our own words


def spare_collector() -> None:
    """Collect garbage less often, for a bulk makes thousands of records."""
    gc.set_threshold(200_000, 20, 100)


def tell_outage(engine: sa.Engine) -> None:
    """Log at the start if the database takes no records."""
    outage = database.outage_of(engine)
    if outage:
        watch_of(engine).begins(outage, "at the start")


# --- Where it listens --------------------------------------------------------------------------


def listen(host: str, port: int) -> socket.socket:
    """Return a socket with this address; end the process with a sentence if it cannot be had."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    # On Windows two programs may share a port, unless one asks for it alone.
    alone = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
    listener.setsockopt(socket.SOL_SOCKET, alone, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SystemExit(_refusal(error, host, port)) from None
    return listener


def _refusal(error: OSError, host: str, port: int) -> str:
    sentence = REFUSALS.get(error.errno or 0, NO_ADDRESS)
    return f"Cannot start: {sentence.format(host=host, port=port)}"


def address(host: str, port: int) -> str:
    """Return host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# --- The greeting ------------------------------------------------------------------------------


def is_greeted() -> bool:
    """Return whether a person started this: a platform has no `.env`, and needs no greeting."""
    return (config.ROOT / ".env").exists()


def greeting(settings: config.Settings) -> str:
    """Return where the service can be reached from here and from other machines, and a way to try it."""
    host, port = settings.host, settings.port
    here = f"http://{address('127.0.0.1' if host in EVERYWHERE else host, port)}"
    return _place(host, port, here) + (BY_BROWSER if WINDOWS else BY_CURL).format(
        here=here,
        env=shlex.quote(str(config.ROOT / ".env")),
        sample=shlex.quote(str(config.ROOT / "samples" / "clinic.json")),
    )


def is_local(host: str) -> bool:
    """Return whether only this machine can reach a service that listens on a host."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _place(host: str, port: int, here: str) -> str:
    if is_local(host):
        return ALONE.format(here=here)
    others = lan_addresses() if host in EVERYWHERE else [host]
    urls = [f"http://{address(other, port)}" for other in others]
    return SHARED.format(here=here, everywhere=", ".join(urls) or "every address")


def lan_addresses() -> list[str]:
    """Return this machine's IPv4 addresses by which others on its network can reach it."""
    found = _on_the_way_out() or _of_own_name()
    return [one for one in found if not one.startswith(NO_LAN)]


def _on_the_way_out() -> list[str]:
    with socket.socket(type=socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect((FAR_AWAY, 9))  # this sends nothing
        return [probe.getsockname()[0]]
    return []


def _of_own_name() -> list[str]:
    """Return the addresses of this machine's name, for a network that leads nowhere else."""
    with suppress(OSError):
        return socket.gethostbyname_ex(socket.gethostname())[2]
    return []
