"""Migrations: the revisions lead to the tables that the program expects, and back."""

import flask_migrate
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from conftest import emptied
from flask import Flask

from models import db


def differences(app: Flask) -> list:
    """Return how the tables of a database differ from those of the program."""
    with app.app_context(), db.engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection), db.metadata)


def tables(app: Flask) -> set[str]:
    with app.app_context():
        return set(sa.inspect(db.engine).get_table_names())


def test_the_revisions_lead_to_the_tables_of_the_program(any_app: Flask) -> None:
    assert differences(any_app) == []


def test_the_table_of_sessions_can_be_taken_back_and_made_again(any_app: Flask) -> None:
    with emptied(any_app).app_context():
        flask_migrate.downgrade(revision="0004")
        assert "portal_session" not in tables(any_app)
        flask_migrate.upgrade()
    assert differences(any_app) == []
