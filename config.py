"""Settings: read from the environment or `.env`, checked and refused in one place.

Run as a program it writes a `.env` with fresh secrets, if there is none: `python config.py`.
"""

import hashlib
import io
import logging
import os
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
import sqlalchemy as sa
from dotenv import dotenv_values, find_dotenv

import logs
from engine.in_use import WINDOWS

ROOT = Path(__file__).resolve().parent
PLACEHOLDER = "put-a-long-random-key-here"
# Windows has no modes of files; there deploy/windows/run.cmd closes the folder.
WHO_READS = "See that nobody else can." if WINDOWS else "Only you can read it."
SHORTEST_KEY = (
    16  # characters: a shorter SECRET_KEY is refused, a shorter API key warned of
)
SHORTEST_PASSWORD = 10  # characters: ten tries in five minutes cannot guess as many; a shorter one is warned of
WEAK_KEY = "API_KEYS: THE KEY {!r} IS EASY TO GUESS. Anybody who does can write patients."
WEAK_LOGIN = "PORTAL_PASSWORD IS EASY TO GUESS. Anybody who does can read the API keys and the history."
LONGEST_NAME = 64  # characters of a key's name
COUNTRY = "a country's two letters (ISO 3166), as SA"
OTHER_CALENDARS = ("IR", "AF")  # where a year of 1400 is one of the Persian calendar
TABLE_SIGNS = (
    'patientNo,0123;|\t"\r\n'  # in every code page of an export they are the same bytes
)
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Scheme that people and platforms write, and the driver that is meant.
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

# What each platform sets on its machines, and its name. There files vanish, and a router must reach the service.
PLATFORMS = {
    "DYNO": "Heroku",
    "RENDER": "Render",
    "RAILWAY_ENVIRONMENT": "Railway",
    "RAILWAY_ENVIRONMENT_NAME": "Railway",
    "FLY_APP_NAME": "Fly",
}

log = logging.getLogger(__name__)


class SettingError(Exception):
    """A setting that makes no sense; the message names it and says what to do."""


@dataclass(frozen=True)
class ApiKey:
    """An API key and its name. What is sent is compared with its digest (SHA-256); only the portal shows `secret`."""

    name: str
    secret: str = field(repr=False)

    @cached_property
    def digest(self) -> bytes:
        """The key's digest: all have one length, as `compare_digest` wants it."""
        return hashlib.sha256(self.secret.encode()).digest()


@dataclass(frozen=True, repr=False)
class Settings:
    """Everything that can be set. `max_content_length` in bytes, `max_batch` in records."""

    api_keys: tuple[ApiKey, ...]
    database_url: sa.URL
    allow_sqlite: bool
    host: str
    port: int
    web_concurrency: int
    secret_key: str | None
    portal_password: str | None
    trusted_proxies: int
    phone_region: str
    time_zone: ZoneInfo
    hijri_dates: bool
    max_batch: int
    max_content_length: int
    history_days: int
    backup_folder: Path | None
    import_encoding: str
    log_level: str
    log_format: str


def environment() -> dict[str, str]:
    """Return `.env` of the project's root, and the process's environment over it."""
    read = dotenv_values(stream=io.StringIO(_text_of(ROOT / ".env")))
    return {
        name: value for name, value in read.items() if value is not None
    } | own_environment()


def own_environment() -> dict[str, str]:
    """Return the process's environment without what the `flask` command put there from the current folder's files.

    Before it asks for the application it reads the nearest `.env` and `.flaskenv`, which may be another program's.
    """
    taken: dict[str, str | None] = {}
    if "FLASK_RUN_FROM_CLI" in os.environ and not os.environ.get("FLASK_SKIP_DOTENV"):
        for name in (".flaskenv", ".env"):
            taken |= dotenv_values(find_dotenv(name, usecwd=True) or os.devnull)
    return {name: value for name, value in os.environ.items() if taken.get(name) != value}


def _text_of(path: Path) -> str:
    """Return the text of a file that a person wrote with some editor, "" if it is not there.

    Raises SettingError unless it can be read and is UTF-8.
    """
    try:
        # Windows' editors put a mark before the first name.
        text = _bytes_of(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16
        raise SettingError(
            f"{path.name} is not UTF-8. Save it again as UTF-8 (Notepad: Save as, Encoding, UTF-8)."
        )
    return text


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            return b""
        raise SettingError(
            f"{path} cannot be read ({error.strerror}). It must be a file that whoever starts this may read:"
            " look at its owner, at its mode, and where it links to."
        ) from None


def load() -> Settings:
    """Return this process's settings; one that makes no sense ends the process with a sentence about it."""
    try:
        env = environment()
        # First of all, for the other settings may be warned of.
        logs.configure(_log_level(env), _log_format(env))
        return read(env)
    except SettingError as error:
        raise SystemExit(f"Cannot start: {error}") from None


def read(env: Mapping[str, str]) -> Settings:
    """Check every setting, and warn of what is easy to guess; raise SettingError for the first that makes no sense."""
    settings = checked(env)
    for weakness in weaknesses(settings):
        log.warning("%s", weakness)
    return settings


def weaknesses(settings: Settings) -> list[str]:
    """Return a sentence for each secret that is easy to guess."""
    password = settings.portal_password
    found = [WEAK_KEY.format(key.name) for key in settings.api_keys if _is_weak(key)]
    if password and len(password) < SHORTEST_PASSWORD:
        found.append(WEAK_LOGIN)
    return found


def _is_weak(key: ApiKey) -> bool:
    return len(key.secret) < SHORTEST_KEY or key.secret == PLACEHOLDER


def checked(env: Mapping[str, str]) -> Settings:
    """Check every setting; raise SettingError for the first that makes no sense."""
    return Settings(
        api_keys=_api_keys(env.get("API_KEYS", "")),
        database_url=_database_url(env),
        allow_sqlite=_on(env, "ALLOW_SQLITE", "off"),
        host=_host(env.get("HOST") or _own_host(env)),
        port=_whole_number(env, "PORT", 5082, most=65535),
        web_concurrency=_whole_number(env, "WEB_CONCURRENCY", 2, most=1000),
        secret_key=_secret_key(env),
        portal_password=env.get("PORTAL_PASSWORD") or None,
        trusted_proxies=_whole_number(env, "TRUSTED_PROXIES", 0, least=0, most=10),
        phone_region=_one_of(
            env, "PHONE_REGION", "SA", phonenumbers.SUPPORTED_REGIONS, COUNTRY
        ),
        time_zone=_time_zone(env.get("TIME_ZONE") or "Asia/Riyadh"),
        hijri_dates=_hijri_dates(env),
        max_batch=_whole_number(env, "MAX_BATCH", 100_000),
        max_content_length=_whole_number(env, "MAX_CONTENT_LENGTH", 64 * 1024 * 1024),
        history_days=_whole_number(env, "HISTORY_DAYS", 90, most=36_500),
        backup_folder=_folder(env.get("BACKUP_FOLDER", "").strip()),
        import_encoding=code_page(env.get("IMPORT_ENCODING") or "windows-1256"),
        log_level=_log_level(env),
        log_format=_log_format(env),
    )


def _api_keys(text: str) -> tuple[ApiKey, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise SettingError(
            "API_KEYS is not set. Give each client a key: API_KEYS=desktop:<a long random key>"
        )
    keys = []
    for part in parts:
        name, colon, secret = part.partition(":")
        keys.append(
            ApiKey(name.strip() or "default", secret.strip())
            if colon
            else ApiKey("default", part)
        )
    return _checked_keys(keys)


def _checked_keys(keys: list[ApiKey]) -> tuple[ApiKey, ...]:
    names = [key.name for key in keys]
    if len(set(names)) < len(names):
        example = "API_KEYS=desktop:<key>,nightly:<key>"
        raise SettingError(f"API_KEYS has two keys of one name. Name each: {example}")
    for key in keys:
        _check_key(key)
    return tuple(keys)


def _check_key(key: ApiKey) -> None:
    if len(key.name) > LONGEST_NAME:
        reason = f"of more than {LONGEST_NAME} characters; the history keeps it."
        raise SettingError(f"API_KEYS has a key's name {reason}")
    if not (key.secret.isascii() and key.secret.isprintable() and key.secret):
        reason = "must be printable ASCII text, as a header carries it."
        raise SettingError(f"API_KEYS: the key {key.name!r} {reason}")


def _secret_key(env: Mapping[str, str]) -> str | None:
    secret = env.get("SECRET_KEY") or None
    if secret and len(secret) < SHORTEST_KEY:
        raise SettingError(
            f"SECRET_KEY must have {SHORTEST_KEY} characters or more: it signs who is logged in."
        )
    if env.get("PORTAL_PASSWORD") and not secret:
        raise SettingError(
            "PORTAL_PASSWORD needs a SECRET_KEY, which signs who is logged in. Set any long random text."
        )
    return secret


def _database_url(env: Mapping[str, str]) -> sa.URL:
    text = env.get("DATABASE_URL", "").strip() or "sqlite:///clinic.db"
    try:
        url = sa.make_url(text)
        url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
        url.get_dialect().import_dbapi()
    except ImportError as error:
        raise SettingError(
            f"DATABASE_URL needs the Python package {error.name}: install it."
        ) from None
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ValueError):
        raise SettingError(
            "DATABASE_URL is no database's address. Example: postgresql://user:password@host/name"
        ) from None
    return _checked_sqlite(url, env) if url.get_backend_name() == "sqlite" else url


def _checked_sqlite(url: sa.URL, env: Mapping[str, str]) -> sa.URL:
    name = platform_of(env)
    if name and not _on(env, "ALLOW_SQLITE", "off"):
        raise SettingError(
            f"On {name} an SQLite file vanishes at each restart. Set DATABASE_URL to a server's database"
            " (postgresql://...), or ALLOW_SQLITE=on if the file lies on a disk that is kept."
        )
    if url.database in (None, "", ":memory:"):
        raise SettingError(
            "DATABASE_URL: SQLite in memory forgets everything. Give a file: sqlite:///clinic.db"
        )
    # An absolute path stays as it is.
    return url.set(database=str(ROOT / "instance" / url.database))


def platform_of(env: Mapping[str, str]) -> str | None:
    """Return the name of the platform that this runs on; None on a machine of one's own."""
    names = [name for variable, name in PLATFORMS.items() if env.get(variable)]
    return names[0] if names else None


def _own_host(env: Mapping[str, str]) -> str:
    return "0.0.0.0" if platform_of(env) else "127.0.0.1"  # noqa: S104 (its router comes from outside)


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", text):
        raise SettingError(
            "HOST must be an address or a name to listen on, as 127.0.0.1 or 0.0.0.0."
        )
    return text


def _time_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingError(
            "TIME_ZONE must be a time zone's name, as Asia/Riyadh."
        ) from None


def _hijri_dates(env: Mapping[str, str]) -> bool:
    region = (env.get("PHONE_REGION") or "").upper()
    return _on(env, "HIJRI_DATES", "off" if region in OTHER_CALENDARS else "on")


def _on(env: Mapping[str, str], name: str, default: str) -> bool:
    return _one_of(env, name, default, ("ON", "OFF"), "on or off") == "ON"


def _log_level(env: Mapping[str, str]) -> str:
    wanted = f"one of {', '.join(LOG_LEVELS)}"
    return _one_of(env, "LOG_LEVEL", "INFO", LOG_LEVELS, wanted)


def _log_format(env: Mapping[str, str]) -> str:
    return _one_of(env, "LOG_FORMAT", "text", logs.FORMATS, "text or json")


def code_page(name: str) -> str:
    """Return the name of an encoding in which a table can be written; raise SettingError."""
    try:
        fits = TABLE_SIGNS.encode().decode(name) == TABLE_SIGNS
    except (LookupError, ValueError):
        fits = False
    if not fits:
        raise SettingError(
            "IMPORT_ENCODING (or --encoding) must be a code page, as windows-1256 or iso-8859-6."
        )
    return name


def _folder(text: str) -> Path | None:
    """Return the path of a folder, from the project's root on; None if none is named."""
    folder = ROOT / text
    return folder if text else None


def _whole_number(
    env: Mapping[str, str], name: str, default: int, most: int = 2**53, least: int = 1
) -> int:
    text = env.get(name, "").strip() or str(default)
    if not (
        text.isascii()
        and text.isdecimal()
        and len(text) <= len(str(most))
        and least <= int(text) <= most
    ):
        raise SettingError(f"{name} must be a whole number from {least} to {most}.")
    return int(text)


def _one_of(
    env: Mapping[str, str], name: str, default: str, choices: Collection[str], wanted: str
) -> str:
    text = (env.get(name) or default).upper()
    if text not in choices:
        raise SettingError(f"{name} must be {wanted}.")
    return text


def write_env(path: Path) -> bool:
    """Write a `.env` with a generated key, secret and password, readable by its owner only; False if there is one.

    Raises SettingError if it cannot be written, or the one that is there cannot be read.
    """
    try:
        path.touch(mode=0o600, exist_ok=False)
        _fill(path)
    except FileExistsError:
        _text_of(path)
        return False
    except OSError as error:
        raise SettingError(
            f"{path} cannot be written ({error.strerror})."
            " Let this user write into its folder, or copy .env.example there and fill it in."
        ) from None
    return True


def _fill(path: Path) -> None:
    """Write the settings into an empty `.env`; remove it if that fails, for nobody would write it again."""
    try:
        path.write_text(
            "# Written once with secrets of its own; .env.example explains every setting.\n"
            f"API_KEYS=desktop:{secrets.token_urlsafe(32)}\n"
            f"SECRET_KEY={secrets.token_hex(32)}\n"
            f"PORTAL_PASSWORD={secrets.token_urlsafe(12)}\n",
            encoding="utf-8",
        )
    except OSError:
        path.unlink()
        raise


def write_own_env() -> None:
    """Write the project's `.env` if there is none, and say so; end the process with a sentence if that fails.

    Whoever has API keys in the environment needs none.
    """
    if own_environment().get("API_KEYS"):
        return
    try:
        written = write_env(ROOT / ".env")
    except SettingError as error:
        raise SystemExit(str(error)) from None
    if written:
        print(f"Wrote .env with a new API key, secret and portal password. {WHO_READS}")


if __name__ == "__main__":
    write_own_env()
