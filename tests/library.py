"""A library, as another trade has one: tables, rules and schemas of books and shelves, to test the engine alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine import database, references, settle
from engine.entity import Entity
from engine.fields import BLANK_IS_REFUSED, Codes, Identifier, Name, Text
from engine.index import Index
from engine.nothing import Nothing
from engine.outcome import Outcome
from engine.problems import Problem
from engine.rules import Reference, Rules, SharedKey

NOW = "2026-06-15 09:00:00"

# --- A library: its tables, its rules, its schemas ---------------------------------------------

metadata = sa.MetaData()


def written() -> list[sa.Column]:
    """The columns that the engine keeps of each record."""
    return [
        sa.Column("created_at", sa.String(19), nullable=False),
        sa.Column("updated_at", sa.String(19), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    ]


SHELVES = sa.Table(
    "shelf",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("label", sa.String(64), unique=True),
    sa.Column("name", sa.String(200), nullable=False),
    *written(),
    sqlite_autoincrement=True,
)
BOOKS = sa.Table(
    "book",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("isbn", sa.String(64), unique=True),
    sa.Column("inventory", sa.String(64), unique=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("author", sa.String(200)),
    sa.Column("note", sa.String(200)),
    sa.Column("shelf_id", sa.ForeignKey("shelf.id")),
    sa.Column("work", sa.String(500)),
    sa.Column("work_rank", sa.Integer),
    *written(),
    sa.UniqueConstraint("work", "work_rank"),
    sqlite_autoincrement=True,
)
READERS = sa.Table(
    "reader",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("card", sa.String(64), unique=True),
    sa.Column("name", sa.String(200), nullable=False),
    *written(),
    sqlite_autoincrement=True,
)
LOANS = sa.Table(
    "loan",
    metadata,
    sa.Column("reader_id", sa.ForeignKey("reader.id"), primary_key=True),
    sa.Column("book_id", sa.ForeignKey("book.id"), primary_key=True),
)
FORMERS = sa.Table(
    "former",
    metadata,
    sa.Column("entity", sa.String(20), primary_key=True),
    sa.Column("value", sa.String(64), primary_key=True),
    sa.Column("record_id", sa.Integer),
)

SHELF = Rules(entity="shelf", table=SHELVES, unique=("label",))
BOOK = Rules(
    entity="book",
    table=BOOKS,
    unique=("inventory", "isbn"),
    weak=("former_inventory", "title+author"),
    former_table=FORMERS,
    shared=SharedKey(
        "title+author",
        ("title", "author"),
        "work",
        "work_rank",
        lambda *it: "\n".join(it).lower(),
    ),
    references=(Reference("shelf_id", "shelf", "shelf"),),
    contradicts=("isbn",),
    agrees=("title",),
    needs=("title",),
)
READER = Rules(
    entity="reader",
    table=READERS,
    unique=("card",),
    references=(Reference("book_ids", "books", "book", link_table=LOANS),),
)
LIBRARY = {rules.entity: rules for rules in (SHELF, BOOK, READER)}


class Kept(Entity):
    nothing = Nothing(("none",), ("none",))


class ShelfSchema(Kept):
    """Where books stand."""

    rules = SHELF
    asking = "Missing: a shelf has a label."
    label = Identifier("its label")
    name = Name("what stands there")


class BookSchema(Kept):
    """What is read."""

    rules = BOOK
    asking = "Missing: send inventory or isbn, or title with author."
    inventory = Identifier("the library's number")
    isbn = Identifier("the publisher's number")
    title = Text("title", blank=BLANK_IS_REFUSED)
    author = Text("who wrote it")
    note = Text("a note")
    shelf = Identifier("where it stands, by label")


class ReaderSchema(Kept):
    """Who reads."""

    rules = READER
    asking = "Missing: a reader has a card."
    card = Identifier("the card's number")
    name = Name("the name")
    books = Codes("what is lent, by number")


SCHEMAS = {"shelf": ShelfSchema("GB", UTC), "book": BookSchema("GB", UTC)}
SCHEMAS |= {"reader": ReaderSchema("GB", UTC)}


class Library:
    """The engine on a database of its own."""

    def __init__(self, database_engine: sa.Engine):
        self.engine = database_engine

    def send(self, entity: str, *records: dict[str, Any]) -> list[Outcome | Problem]:
        batch = SCHEMAS[entity].clean_all(records)
        assert not batch.refused, batch.refused

        def work(connection: sa.Connection) -> list[Outcome | Problem]:
            new_index = partial(Index, connection, LIBRARY)
            return settle.settle(LIBRARY[entity], batch, new_index, frozenset(), NOW)

        return database.transact(self.engine, work)

    def described(self, entity: str, record_id: int) -> dict[str, Any]:
        def work(connection: sa.Connection) -> dict[str, Any]:
            return references.describe_all(
                [record_id], Index(connection, LIBRARY).of(entity)
            )[0]

        return database.transact(self.engine, work, writes=False)


@contextmanager
def opened(path: Path) -> Iterator[Library]:
    """Yield an empty library, whose file is made."""
    kind = database.of_name("sqlite")
    created = sa.create_engine(f"sqlite:///{path}", **kind.options())
    kind.prepare(created)
    kind.prepare_upgrade(created)
    metadata.create_all(created)
    yield Library(created)
    created.dispose()


def actions(outcomes: list[Outcome | Problem]) -> list[str]:
    return [it.action if isinstance(it, Outcome) else it.code for it in outcomes]


EMMA = {"inventory": "B-1", "isbn": "978-1", "title": "Emma", "author": "Austen"}
ULYSSES = {"inventory": "B-2", "isbn": "978-2", "title": "Ulysses", "author": "Joyce"}
