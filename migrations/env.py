"""Alembic's entry: bring the database of the current Flask application up to date."""

import logging

from alembic import context
from flask import current_app

from engine import connecting, database, upgrading
from models import db

NEWER = (
    "The tables are of revision {revision}, which this program does not know: a newer one has upgraded them."
    " Update this program, or restore the backup from before."
)


def upgrade_online() -> None:
    """Run what a `flask db` command does on the database, all in one transaction where the database can."""
    engine = current_app.extensions["migrate"].db.engine
    database.of(engine.dialect).prepare_upgrade(engine)
    with upgrading.alone(engine) as connection:
        options = current_app.extensions["migrate"].configure_args
        # We begin transactions ourselves, so SQLite can roll a half-done revision back; MariaDB cannot.
        whole = connection.dialect.name in ("sqlite", "postgresql")
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            transactional_ddl=whole,
            **options,
        )
        with context.begin_transaction():
            leave_newer_tables_alone()
            before = context.get_context().get_current_heads()
            context.run_migrations()
            after = context.get_context().get_current_heads()
    engine.dispose()
    tell_change(", ".join(before), ", ".join(after))


def tell_change(before: str, after: str) -> None:
    """Log from which revision to which the tables were brought, up or down; no revision is an empty text."""
    log = logging.getLogger("migrations")
    if before == after:
        log.debug("the tables are still of revision %s", after or "none")
    elif before:
        log.info("the tables are of revision %s now, before of %s", after or "none", before)
    else:
        log.info("created the tables (revision %s)", after)


def leave_newer_tables_alone() -> None:
    """Raise Unusable for tables of an unknown revision, unless somebody sets another one (`stamp --purge`)."""
    tables = context.get_context()
    known = {script.revision for script in tables.script.walk_revisions()}
    unknown = sorted({*tables.get_current_heads()} - known)
    if unknown and not tables.purge:
        raise connecting.Unusable(NEWER.format(revision=", ".join(unknown)))


if context.is_offline_mode():
    raise SystemExit(
        "Scripts without a database are not supported: run `flask --app app db upgrade`."
    )
try:
    upgrade_online()
except connecting.Unusable as unusable:
    raise SystemExit(str(unusable)) from None
