"""Backups: copies of the database, and how one is put back; on a database server, which programs do that."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import flask_migrate
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from config import ROOT
from engine import copies, in_use
from engine.connecting import Unusable
from models import db
from upsert import RULES

FOLDER = "backups"  # beside the database
TABLES = {rules.table.name: rules.plural for rules in RULES.values()}
KEEP_NEEDS_OWN_NAMES = (
    "--keep removes older files only where this command names them:"
    " give a folder, or nothing, instead of a file."
)
UNDER_WAY = "A restore is under way. Try again when it has ended."
RUNS = (
    "The service or another command of it is running on {}. Stop it first, and start it again afterwards:"
    " it would go on with the old data."
)
ITSELF = "{} is the database itself. Give the copy that shall take its place."
NOT_OURS = "{} holds no tables of this program."
NEWER = (
    "{} is of revision {}, which this program does not know: a newer one made it."
    " Update this program, or take another copy."
)
NOT_SQLITE = {
    "backup": "This command copies SQLite files. For this database run: {}",
    "restore": "This command puts SQLite files in place. For this database, made anew if its tables were upgraded since"
    " (docs/upgrading.md tells how), run: {}",
}
# What to run on a database server, by its kind and what is wanted. None of it tells the password.
PROGRAMS = {
    (
        "postgresql",
        "backup",
    ): "pg_dump --format=custom --file=clinic.dump {server} --dbname={database}",
    ("postgresql", "restore"): (
        "pg_restore --clean --if-exists --single-transaction {server} --dbname={database} clinic.dump"
    ),
    (
        "mysql",
        "backup",
    ): "mariadb-dump --single-transaction --result-file=clinic.sql {server} {database}",
    ("mysql", "restore"): "mariadb {server} {database} < clinic.sql",
}
USER = {"postgresql": "username", "mysql": "user"}


# --- flask backup ------------------------------------------------------------------------------


def back_up(target: Path | None, keep: int | None, folder: Path | None) -> Iterator[str]:
    """Copy the database to a file, or into a folder, by default that of its backups; yield what was done.

    `keep`: remove older copies than so many, of those that have names of this function's. `folder` is BACKUP_FOLDER.
    Raises Unusable.
    """
    path = _file_or_else("backup")
    if keep and target and not target.is_dir():
        raise Unusable(KEEP_NEEDS_OWN_NAMES)
    target = _named(target, path, folder)
    try:
        with in_use.shared(path):
            found = copies.back_up(path, target, TABLES)
    except in_use.InUse:
        raise Unusable(UNDER_WAY) from None
    yield f"Backup made and checked: {target} ({_counted(found)})."
    for older in copies.keep_newest(target.parent, path, keep) if keep else ():
        yield f"Removed the older {older.name}."


def folder_of(path: str | Path, folder: Path | None) -> Path:
    """Return the folder of a database's backups: BACKUP_FOLDER, or `backups` beside it."""
    return folder or Path(path).parent / FOLDER


def _named(target: Path | None, path: str, folder: Path | None) -> Path:
    """Return the file to write: one of our own names, if none or only a folder is given."""
    if target and not target.is_dir():
        return target
    chosen = target or folder_of(path, folder)
    if not (target or folder):  # what a person named is not made: its disk may be away
        copies.make_folder(chosen)
    return copies.new_name(path, chosen)


def _counted(counts: copies.Counts) -> str:
    return ", ".join(f"{count:,} {TABLES[table]}" for table, count in counts.items())


# --- flask restore -----------------------------------------------------------------------------


def restore(source: Path) -> Iterator[str]:
    """Put a copy of `source` in the place of the database, and upgrade its tables; yield what was done.

    Raises Unusable, as long as the service runs, too; then nothing was changed.
    """
    path = _file_or_else("restore")
    copies.make_folder(Path(path).parent)
    try:
        with copies.explaining(path), in_use.alone(path):
            _refuse_unfit(source, path)
            kept = copies.put_in_place(source, path)
    except in_use.InUse:
        raise Unusable(RUNS.format(path)) from None
    flask_migrate.upgrade()
    yield f"Restored: {path} ({_counted(copies.counts(path, TABLES))})."
    if kept:
        yield f"What was there is kept as {kept}; remove it when all is well."


def _refuse_unfit(source: Path, path: str) -> None:
    """Raise Unusable for what is not a sound database of this program."""
    copies.check(source)
    if Path(path).exists() and source.samefile(path):
        raise Unusable(ITSELF.format(source))
    revision = copies.revision_in(source)
    if revision is None:
        raise Unusable(NOT_OURS.format(source))
    if revision not in _known_revisions():
        raise Unusable(NEWER.format(source, revision))


def _known_revisions() -> set[str]:
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    return {script.revision for script in scripts.walk_revisions()}


# --- A database server -------------------------------------------------------------------------


def _file_or_else(wanted: str) -> str:
    """Return the path of the SQLite file; raise Unusable with what to run instead on a database server."""
    url = db.engine.url
    kind = url.get_backend_name().replace("mariadb", "mysql")
    if kind == "sqlite":
        return str(url.database)
    words = PROGRAMS[kind, wanted].format(
        server=_options(url, kind), database=shlex.quote(url.database or "")
    )
    raise Unusable(NOT_SQLITE[wanted].format(words))


def _options(url: sa.URL, kind: str) -> str:
    """Return how a program of a server's finds it. It asks for the password itself."""
    given = {"host": url.host, "port": url.port, USER[kind]: url.username}
    options = [f"--{name}={shlex.quote(str(it))}" for name, it in given.items() if it]
    asks = kind == "mysql" and url.password
    return " ".join([*options, "--password"] if asks else options)
