"""The doctor: looks at all on which the clinic's data depend, and says what is good and what to do. It changes nothing.

Each check is a small function. One that fails is a line, too, and the next one goes on.
"""

import difflib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path

import sqlalchemy as sa
from dotenv.parser import Binding, parse_stream

import config
import overdue
from engine import checkup, copies, database
from engine.checkup import Findings, do, good, look
from engine.connecting import Unusable, connect
from engine.in_use import WINDOWS
from engine.outages import Unfit, watch_of
from models import REVISION, SyncRun, db, instant, moment_of
from serving import is_local
from terminal.backups import folder_of

KNOWN = [name.upper() for name in config.Settings.__dataclass_fields__]
# Names in `.env` that are other programs'.
OTHERS = ("FLASK_", "GUNICORN_", "PYTHON")
FEWEST_LETTERS = 8  # different ones, of a secret that nobody guesses
CLOCK_AHEAD = timedelta(minutes=5)
# In place of settings that make no sense, so that the others can be looked at.
STAND_IN = {"API_KEYS": f"none:{'-' * 32}", "SECRET_KEY": "-" * 32}


@dataclass(frozen=True)
class Case:
    """What is looked at: the settings as the service would read them, and the `.env` that they may come from."""

    env: Mapping[str, str]
    file: Path

    @cached_property
    def faults(self) -> dict[str, str]:
        """What is wrong with settings that make no sense, by name; of a fault of several under ""."""
        names = [name for name in KNOWN if name in self.env or name == "API_KEYS"]
        alone = {name: _fault({name: self.env.get(name, "")}) for name in names}
        found = {name: fault for name, fault in alone.items() if fault}
        if not found and (fault := _fault(self.env, {})):
            found[""] = fault
        return found

    @cached_property
    def settings(self) -> config.Settings:
        """The settings, those that make no sense left out."""
        kept = {name: self.env[name] for name in KNOWN if self.env.get(name)}
        sound = {name: it for name, it in kept.items() if name not in self.faults}
        return config.checked(STAND_IN | sound)

    @cached_property
    def keys(self) -> tuple[config.ApiKey, ...]:
        """The API keys that are set, if they make sense."""
        return () if "API_KEYS" in self.faults else self.settings.api_keys

    @property
    def database(self) -> Path | None:
        """The file of the database, if it is one."""
        url = self.settings.database_url
        is_file = url.get_backend_name() == "sqlite" and "DATABASE_URL" not in self.faults
        return Path(str(url.database)) if is_file else None


def _fault(env: Mapping[str, str], beside: Mapping[str, str] = STAND_IN) -> str:
    try:
        config.checked({**beside, **env})
    except config.SettingError as error:
        return str(error)
    return ""


def examine(case: Case) -> Findings:
    """Yield what each check finds."""
    for check in CHECKS:
        yield from _guarded(check.__name__, partial(check, case))


def _guarded(name: str, check: Callable[[], Findings]) -> Findings:
    """Yield what a check finds; if it fails, yield that."""
    try:
        yield from check()
    except (sa.exc.SQLAlchemyError, OSError) as error:
        original = getattr(error, "orig", None) or error
        yield look(f"{name}: could not be looked at ({type(original).__name__}).")


# --- Settings ----------------------------------------------------------------------------------


def env_file(case: Case) -> Findings:
    """Look at `.env` itself, and who may read it."""
    if not case.file.exists():
        yield look(
            f"There is no {case.file}: all settings come from the environment."
            " If that is not meant, start the service once with `flask serve`: it writes one."
        )
    elif WINDOWS:
        yield look(
            f"Who may read {case.file} cannot be seen on Windows: let it be its owner alone."
        )
    elif case.file.stat().st_mode & 0o077:
        yield do(f"Other users may read or change {case.file}. Run: chmod 600 {case.file}")
    else:
        yield good(f"Nobody but its owner may read {case.file}.")


def env_lines(case: Case) -> Findings:
    """Look for lines of `.env` that are no settings."""
    for binding in filter(lambda it: it.error, _bindings(case.file)):
        text = binding.original.string
        line = binding.original.line + text[: -len(text.lstrip())].count("\n")
        yield do(f"{case.file.name}, line {line}: is no NAME=value.")


def env_names(case: Case) -> Findings:
    """Look for names in `.env` that no setting has, or that stand there twice."""
    names = [binding.key for binding in _bindings(case.file) if binding.key]
    for name in sorted({*names}.difference(KNOWN)):
        if not name.startswith(OTHERS):
            yield do(
                f"{case.file.name} sets {name}, which no setting is called.{_advice(name)}"
            )
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield do(
            f"{case.file.name} sets {name} twice; the last one counts. Take the other out."
        )


def _bindings(file: Path) -> Iterator[Binding]:
    text = file.read_text(encoding="utf-8-sig") if file.exists() else ""
    return parse_stream(io.StringIO(text))


def _advice(name: str) -> str:
    similar = difflib.get_close_matches(name.upper(), KNOWN, 1)
    return f" Is it {similar[0]}?" if similar else " Take it out."


def settings(case: Case) -> Findings:
    """Look for values that make no sense: all of them, where the start names the first."""
    yield from map(do, case.faults.values())
    if not case.faults:
        yield good("Every setting makes sense.")


ODD: tuple[tuple[Callable[[config.Settings], bool], str], ...] = (
    (
        lambda it: not is_local(it.host) and not it.trusted_proxies,
        "HOST lets the network in over plain http, which carries keys and names: put a proxy with TLS before it.",
    ),
    (
        lambda it: bool(it.trusted_proxies) and not is_local(it.host),
        "TRUSTED_PROXIES believes whoever reaches the service: let only the proxy reach it, or set HOST=127.0.0.1.",
    ),
    (
        lambda it: it.history_days < 7,  # noqa: PLR2004 a week
        "HISTORY_DAYS is short: whether a sync stopped, and what was refused, is soon unknown.",
    ),
    (lambda it: it.log_level == "DEBUG", "LOG_LEVEL=DEBUG fills the disk with lines."),
)


def odd_values(case: Case) -> Findings:
    """Look for values that are allowed, and often a mistake."""
    return (look(text) for is_odd, text in ODD if is_odd(case.settings))


# --- Secrets -----------------------------------------------------------------------------------


def secrets(case: Case) -> Findings:
    """Look for secrets that are easy to guess, or used twice. None is shown."""
    named = _secrets(case)
    found = config.weaknesses(case.settings)
    found += [
        f"{name} IS EASY TO GUESS: few different letters."
        for name, it in named
        if _is_plain(it)
    ]
    found += [
        f"{name} is the same as another secret. Give it one of its own."
        for name in _used_twice(named)
    ]
    yield from map(do, found)
    if named and not found:
        yield good("No secret is easy to guess.")


def _secrets(case: Case) -> list[tuple[str, str]]:
    named = [(f"API_KEYS: the key {key.name!r}", key.secret) for key in case.keys]
    others = [
        (name, case.env.get(name) or "") for name in ("SECRET_KEY", "PORTAL_PASSWORD")
    ]
    return named + [(name, secret) for name, secret in others if secret]


def _is_plain(secret: str) -> bool:
    return len({*secret}) < FEWEST_LETTERS


def _used_twice(named: list[tuple[str, str]]) -> list[str]:
    seen = [secret for _, secret in named]
    return [name for number, (name, secret) in enumerate(named) if secret in seen[:number]]


# --- The database ------------------------------------------------------------------------------


def files(case: Case) -> Findings:
    """Look at the database's file, its folder and its disk, where it is a file."""
    if case.database:
        for check in checkup.OF_FILES:
            yield from _guarded(check.__name__, partial(check, case.database))


def of_database(case: Case) -> Findings:
    """Look at the database from within."""
    if "DATABASE_URL" in case.faults:
        yield look("The database is not looked at before DATABASE_URL is mended.")
        return
    engine = _engine(case.settings.database_url)
    try:
        with connect(engine) as connection:
            yield good(f"The database answers ({engine.url.get_backend_name()}).")
            yield from _within(case, connection)
    except Unusable as unusable:
        yield do(str(unusable))
    finally:
        engine.dispose()


def _engine(url: sa.URL) -> sa.Engine:
    """Return an engine that connects as the service does."""
    kind = database.of_name(url.get_backend_name())
    engine = sa.create_engine(url, **kind.options())
    kind.prepare(engine)
    watch_of(engine).revision = REVISION
    return engine


def _within(case: Case, connection: sa.Connection) -> Findings:
    for check in checkup.CHECKS.get(connection.dialect.name, ()):
        yield from _guarded(check.__name__, partial(check, connection, db.metadata.tables))
        connection.rollback()
    yield from _guarded("revision", partial(revision, case, connection))


def revision(case: Case, connection: sa.Connection) -> Findings:
    """Look whether the tables are this program's; if so, at what they tell."""
    try:
        watch_of(connection.engine).refuse_other_revision(connection)
        outage = database.of(connection.dialect).outage_of(connection)
    except Unfit as unfit:
        outage = unfit.outage
    except sa.exc.SQLAlchemyError as error:
        outage = database.failure_of(error).outage
    if outage:
        yield do(f"The database is {outage.reason}. {outage.advice}")
        return
    yield good(f"The tables are this program's (revision {REVISION}), and take records.")
    yield from clock_and_rows(connection)
    yield from last_syncs(case, connection)


def clock_and_rows(connection: sa.Connection) -> Findings:
    """Compare the clock with the newest row: a clock that was wrong leaves rows in the future."""
    newest = connection.scalar(sa.select(sa.func.max(SyncRun.__table__.c.at)))
    now = datetime.now(UTC)
    if newest and newest > instant(now + CLOCK_AHEAD):
        ahead = overdue.words(moment_of(newest) - now)
        yield do(
            f"The newest row is {ahead} in the future: the clock was ahead then, or is behind now. Set it by NTP."
        )
    else:
        yield good("No row is in the future.")


def last_syncs(case: Case, connection: sa.Connection) -> Findings:
    """Tell the last sync of each key, and which have stopped."""
    lasts = overdue.last_lists(connection)
    names = [key.name for key in case.keys]
    stopped = overdue.stopped(names, lasts)
    for name in names:
        if name not in lasts:
            yield good(f"{name}: no sync yet.")
            continue
        told = f"{name}: the last sync was {overdue.words(datetime.now(UTC) - lasts[name])} ago"
        if name in stopped:
            yield do(f"{told}. See whether its program runs, and what its log says.")
        else:
            yield good(f"{told}.")


# --- The rest ----------------------------------------------------------------------------------


def backups(case: Case) -> Findings:
    """Look for a backup of the last night."""
    if case.database is None:
        yield look(
            "Backups of a database server cannot be seen from here. See that one is made each night."
        )
        return
    folder = folder_of(case.database, case.settings.backup_folder)
    made = copies.made_in(folder, str(case.database)) if folder.is_dir() else []
    last = max((file.stat().st_mtime for file in made if file.stat().st_size), default=None)
    if last is None:
        yield do(
            f"There is no backup in {folder}. Make one each night: flask --app app backup."
            " If yours lie elsewhere, name their folder: BACKUP_FOLDER."
        )
        return
    age = datetime.now(UTC) - datetime.fromtimestamp(last, UTC)
    told = f"The last backup in {folder} is {overdue.words(max(age, timedelta()))} old"
    if age > overdue.NIGHTLY:
        yield do(f"{told}. See why none was made since.")
    else:
        yield good(f"{told}.")


def time_zone(case: Case) -> Findings:
    """Tell the time, for a comparison with the clock on the wall."""
    zone = case.settings.time_zone
    yield good(
        f"It is {datetime.now(zone):%Y-%m-%d %H:%M} in {zone.key} (TIME_ZONE). If it is not, set clock or zone."
    )


CHECKS: tuple[Callable[[Case], Findings], ...] = (
    env_file,
    env_lines,
    env_names,
    settings,
    odd_values,
    secrets,
    files,
    of_database,
    backups,
    time_zone,
)
