"""`flask` commands: a person's way out of every conflict."""

import logging

import click
from flask import Flask
from flask.cli import with_appcontext

import sync
import upsert
from index import Index, Stored
from upsert import APPOINTMENT, DOCTOR, PATIENT, RULES, Rules

PERSONS = {rules.entity: rules for rules in (PATIENT, DOCTOR)}
RETIRABLE = {rules.entity: rules for rules in (PATIENT, DOCTOR, APPOINTMENT)}
log = logging.getLogger(__name__)
assume_yes = click.option("--yes", is_flag=True, help="Do not ask first.")


def register(app: Flask) -> None:
    """Add the commands to `flask`."""
    app.cli.add_command(merge)
    app.cli.add_command(retire)


@click.command()
@with_appcontext
@click.argument("entity", type=click.Choice(list(PERSONS)))
@click.argument("keep", type=click.IntRange(min=1))
@click.argument("drop", type=click.IntRange(min=1))
@assume_yes
def merge(entity: str, keep: int, drop: int, yes: bool) -> None:
    """Make two records of one person one: KEEP stays, DROP goes.

    The bookings and keys of DROP pass to KEEP, its numbers as former ones. The values of KEEP win, and its empty
    fields are filled. KEEP and DROP are ids, as a refused record's candidates name them.
    """
    rules = RULES[entity]
    if keep == drop:
        raise click.UsageError("KEEP and DROP are the same record.")
    _show(rules, "keep", keep)
    _show(rules, "drop", drop)
    _confirm(f"Merge {entity} {drop} into {entity} {keep}? There is no way back.", yes)
    sync.decide(lambda index: upsert.merge(rules, _the(rules, keep, index), _the(rules, drop, index), index))
    log.info("merged %s %s into %s", entity, drop, keep)
    click.echo(f"Merged: {entity} {drop} is now {entity} {keep}. The next sync files everything anew.")


@click.command()
@with_appcontext
@click.argument("entity", type=click.Choice(list(RETIRABLE)))
@click.argument("record_id", metavar="ID", type=click.IntRange(min=1))
@assume_yes
def retire(entity: str, record_id: int, yes: bool) -> None:
    """Take a record out of matching, so that its keys are free.

    A patient or doctor becomes inactive and gives up all keys; an appointment is removed. ID is the record's id, as a
    refused record's candidates name it.
    """
    rules = RULES[entity]
    _show(rules, "retire", record_id)
    _confirm(f"Retire {entity} {record_id}? There is no way back.", yes)
    sync.decide(lambda index: upsert.retire(rules, _the(rules, record_id, index), index))
    log.info("retired %s %s", entity, record_id)
    click.echo(f"Retired: {entity} {record_id}. The next sync files everything anew.")


def _the(rules: Rules, record_id: int, index: Index) -> Stored:
    record = index.shelf(rules).get(record_id)
    if record is None:
        raise click.ClickException(f"No {rules.entity} with id {record_id} is stored.")
    return record


def _show(rules: Rules, role: str, record_id: int) -> None:
    """Print a record to the person who decides."""
    values = sync.look(lambda index: upsert.describe(rules, _the(rules, record_id, index), index))
    known = [f"{name}={value}" for name, value in values.items() if value is not None and name not in HIDDEN]
    click.echo(f"{role}: {rules.entity} {record_id}: {', '.join(known)}")


HIDDEN = {"id", "version", "created_at", "updated_at", "contact_key", "contact_rank", "slot_key", "slot_rank"}


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True)
