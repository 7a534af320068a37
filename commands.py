"""`flask` commands: the start, a person's way out of every conflict, imports, and the doctor."""

import logging
import sys
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import flask_migrate
import sqlalchemy as sa
from flask import Flask, current_app
from flask.cli import with_appcontext

import config
import rekey
import serving
import sync
import upsert
from engine import database, references
from engine.checkup import Mark
from engine.connecting import Unusable
from engine.index import Index, Record
from engine.problems import Problem
from engine.rules import Rules, Values
from history import Origin
from models import db
from schemas import ENTITIES, PLURALS
from terminal import backups, doctor, importing
from upsert import MERGEABLE, RETIRABLE, RULES

T = TypeVar("T")
log = logging.getLogger(__name__)
assume_yes = click.option("--yes", is_flag=True, help="Do not ask first.")


def register(app: Flask) -> None:
    """Add the commands to `flask`."""
    app.cli.add_command(serve)
    app.cli.add_command(merge)
    app.cli.add_command(retire)
    app.cli.add_command(form_anew)
    app.cli.add_command(import_file)
    app.cli.add_command(examine)
    app.cli.add_command(back_up)
    app.cli.add_command(restore)


def started(create: Callable[[], Flask]) -> Flask:
    """Return the application for the command that this process runs, or for a server."""
    if "serve" in sys.argv:  # the first start, too
        config.write_own_env()
    try:
        return create()
    except SystemExit as refusal:  # settings that make no sense
        if sys.argv[-1:] == ["doctor"]:  # which tells more of them
            return alone()
        if "import" in sys.argv:
            click.echo(refusal.code, err=True)
            raise SystemExit(importing.NOT_READ) from None
        raise


@click.command()
@with_appcontext
def serve() -> None:
    """Write `.env` if there is none, bring the tables up to date, and serve until somebody stops it (Ctrl+C)."""
    settings = current_app.extensions["settings"]
    listener = serving.listen(settings.host, settings.port)
    flask_migrate.upgrade()
    serving.serve(current_app.wsgi_app, listener, settings)


def alone() -> Flask:
    """Return an application that has the doctor only, for settings with which there is no other."""
    app = Flask("app")
    app.cli.add_command(examine)
    return app


@click.command("doctor")
def examine() -> None:
    """Tell what is good and what to do: settings, secrets, database, disk, clock, backups, syncs.

    Changes nothing, and works where the service does not start. The exit status is 1 if there is something to do.
    """
    try:
        case = doctor.Case(config.environment(), config.ROOT / ".env")
    except config.SettingError as error:
        raise click.ClickException(str(error)) from None
    marks = set()
    for finding in doctor.examine(case):
        click.echo(str(finding))
        marks.add(finding.mark)
    raise SystemExit(int(Mark.DO in marks))


@click.command()
@with_appcontext
@click.argument("entity", type=click.Choice(MERGEABLE))
@click.argument("keep", type=click.IntRange(min=1))
@click.argument("drop", type=click.IntRange(min=1))
@assume_yes
def merge(entity: str, keep: int, drop: int, yes: bool) -> None:
    """Make two records of one person one: KEEP stays, DROP goes.

    The bookings of DROP pass to KEEP. The values of KEEP win, and its empty fields are filled, keys too. Other numbers
    of DROP become former numbers of KEEP. KEEP and DROP are ids, as a refused record's candidates name them.
    """
    rules = RULES[entity]
    if keep == drop:
        raise click.UsageError("KEEP and DROP are the same record.")
    _show(rules, "keep", keep)
    _show(rules, "drop", drop)
    _confirm(f"Merge {entity} {drop} into {entity} {keep}? There is no way back.", yes)
    _decide(rules, f"merge {entity} {keep} {drop}", partial(_merge, rules, keep, drop))
    click.echo(
        f"Merged: {entity} {drop} is now {entity} {keep}. Make them one in the desktop program too, or they come back."
    )


@click.command()
@with_appcontext
@click.argument("entity", type=click.Choice(RETIRABLE))
@click.argument("record_id", metavar="ID", type=click.IntRange(min=1))
@assume_yes
def retire(entity: str, record_id: int, yes: bool) -> None:
    """Take a record out of matching, so that its keys are free.

    A patient or doctor becomes inactive and is found by no key any more; the bookings stay with it until the next sync
    sends them again. An appointment is removed. ID is the record's id, as a refused record's candidates name it.
    """
    rules, record = RULES[entity], f"{entity} {record_id}"
    _show(rules, "retire", record_id)
    _confirm(f"Retire {record}? There is no way back.", yes)
    _decide(rules, f"retire {record}", partial(_retire, rules, record_id))
    click.echo(f"Retired: {record}. The next sync files everything anew.")


@click.command("rekey")
@with_appcontext
@click.option("--dry-run", is_flag=True, help="Change nothing.")
def form_anew(dry_run: bool) -> None:
    """Put stored keys into today's form, and tell by id what becomes of each.

    `flask db upgrade` does it after an update of the program; with --dry-run this command tells beforehand what that
    would change, and afterwards what is still waiting for somebody.
    """

    def work(connection: sa.Connection) -> list[rekey.Finding]:
        findings = rekey.form_anew(connection)
        if dry_run:
            connection.rollback()
        return findings

    findings = _answered(lambda: database.transact(db.engine, work, any_revision=True))
    for line in rekey.summary(findings, whole=True):
        click.echo(line)
    click.echo("Nothing was changed." if dry_run or not findings else "Done.")


@click.command("import")
@with_appcontext
@click.argument("entity", type=click.Choice([*ENTITIES, *PLURALS]))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--encoding", help="Code page of a file that is not in Unicode.")
@click.option("--delimiter", help="What separates its cells, as ';' or tab.")
@click.option(
    "--map", "names", multiple=True, help="What a heading means: 'HEADING=FIELD'."
)
@click.option("--rejected", type=click.Path(path_type=Path), help="Where the refused go.")
@click.option("--dry-run", is_flag=True, help="Store nothing.")
@click.option("--atomic", is_flag=True, help="Store all or nothing.")
@assume_yes
def import_file(**told: Any) -> None:
    """Import a FILE that another program exported: CSV, TSV, JSON or NDJSON.

    Each record is handled as over HTTP. The refused ones go to FILE.rejected.csv, each with its reasons, to be mended
    and imported in the same way. Ends with 0 if all were stored, 1 if some were refused, 2 if the file was not read.
    """
    settings = current_app.extensions["settings"]
    schemas = current_app.extensions["schemas"]
    try:
        wishes = importing.wishes(settings, schemas, current_app.instance_path, **told)
    except (config.SettingError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    click.get_current_context().exit(importing.run(schemas, settings, wishes))


@click.command("backup")
@with_appcontext
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--keep", type=click.IntRange(min=1), help="Remove older ones than so many.")
def back_up(file: Path | None, keep: int | None) -> None:
    """Copy the database while the service runs, and check the copy.

    FILE is a new file, or a folder: by default BACKUP_FOLDER of the settings, or `backups` beside the database. In a
    folder the copy is named by date and time, and --keep removes older copies of such names. For a database server, the
    command says what to run.
    """
    folder = current_app.extensions["settings"].backup_folder
    _tell(backups.back_up(file, keep, folder))


@click.command()
@with_appcontext
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path) -> None:
    """Put a backup in the place of the database, after it was checked.

    Stop the service first. What was there is kept beside it. FILE stays as it is.
    """
    _tell(backups.restore(file))


def _tell(lines: Iterable[str]) -> None:
    """Print what is done; what stands in the way ends the command with its sentence."""
    try:
        for line in lines:
            click.echo(line)
    except Unusable as unusable:
        raise click.ClickException(str(unusable)) from None


def _merge(rules: Rules, keep: int, drop: int, index: Index) -> None:
    upsert.merge(rules, _the(rules, keep, index), _the(rules, drop, index), index)


def _retire(rules: Rules, record_id: int, index: Index) -> None:
    upsert.retire(rules, _the(rules, record_id, index), index)


def _the(rules: Rules, record_id: int, index: Index) -> Record:
    record = index.of(rules.entity).get(record_id)
    if record is None:
        raise click.ClickException(f"No {rules.entity} with id {record_id} is stored.")
    return record


def _show(rules: Rules, role: str, record_id: int) -> None:
    """Print a record to the person who decides."""

    def described(connection: sa.Connection) -> tuple[Values, int]:
        index = Index(connection, RULES)
        record = _the(rules, record_id, index)
        referring = upsert.referring_to(rules, record, index)
        count = sum(len(records) for _, _, records in referring)
        return references.describe(rules, record, index), count

    values, bookings = _answered(lambda: sync.look(described))
    shown = current_app.extensions["schemas"][rules.entity].dump(values)
    click.echo(f"{role}: {rules.entity} {record_id}, {bookings} bookings")
    for name, value in shown.items():
        if value not in (None, []):
            click.echo(f"    {name}: {value}")


def _decide(rules: Rules, words: str, work: Callable[[Index], None]) -> None:
    """Do what a person decided, and note it in the history as these words."""
    days = current_app.extensions["settings"].history_days
    origin = Origin(uuid.uuid4().hex, "command", f"flask {words}", days)
    _answered(lambda: sync.decide(work, rules.entity, origin))
    log.info("done: flask %s", words)


def _answered(work: Callable[[], T]) -> T:
    """Do the work; a problem ends the command with its sentence."""
    try:
        return work()
    except Problem as problem:
        raise click.ClickException(problem.detail) from None


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True)
