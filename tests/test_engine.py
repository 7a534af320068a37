"""The engine knows no clinic: it upserts books and shelves, given a schema, rules and tables, and nothing else."""

import dataclasses
import re
import tokenize
from collections.abc import Iterator
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import engine
from engine import database, references, settle
from engine.entity import Entity
from engine.fields import BLANK_IS_REFUSED, Codes, Identifier, Name, Text
from engine.index import Index
from engine.nothing import Nothing
from engine.outcome import Outcome
from engine.problems import AmbiguousMatch, IdentityConflict, Problem, UnknownReference
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


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    kind = database.of_name("sqlite")
    created = sa.create_engine(f"sqlite:///{tmp_path / 'library.db'}", **kind.options())
    kind.prepare(created)
    kind.prepare_upgrade(created)
    metadata.create_all(created)
    yield Library(created)
    created.dispose()


def actions(outcomes: list[Outcome | Problem]) -> list[str]:
    return [it.action if isinstance(it, Outcome) else it.code for it in outcomes]


EMMA = {"inventory": "B-1", "isbn": "978-1", "title": "Emma", "author": "Austen"}
ULYSSES = {"inventory": "B-2", "isbn": "978-2", "title": "Ulysses", "author": "Joyce"}

# --- What it does ------------------------------------------------------------------------------


def test_books_are_created_left_and_updated(library: Library) -> None:
    assert actions(library.send("book", EMMA, ULYSSES)) == ["created", "created"]
    assert actions(library.send("book", EMMA, ULYSSES)) == ["unchanged", "unchanged"]
    first, second = library.send("book", EMMA | {"note": "worn"}, ULYSSES)
    assert isinstance(first, Outcome)
    assert (first.action, first.changed, first.matched_by) == (
        "updated",
        ("note",),
        "inventory",
    )
    assert actions([second]) == ["unchanged"]


def test_a_book_is_found_by_what_several_may_share_until_several_do(
    library: Library,
) -> None:
    library.send("book", EMMA)
    (found,) = library.send("book", {"title": "EMMA", "author": "austen"})
    assert isinstance(found, Outcome)
    assert found.matched_by == "title+author"
    library.send("book", EMMA | {"inventory": "B-9", "isbn": "978-9"})
    (several,) = library.send("book", {"title": "Emma", "author": "Austen"})
    assert isinstance(several, AmbiguousMatch)
    assert len(several.candidates) == 2


def test_a_renumbered_book_keeps_its_old_number(library: Library) -> None:
    library.send("book", EMMA)
    assert actions(library.send("book", EMMA | {"inventory": "C-1"})) == ["updated"]
    (stale,) = library.send("book", EMMA | {"note": "worn"})
    assert isinstance(stale, Outcome)
    assert [notice.field for notice in stale.warnings] == ["inventory"]
    assert library.described("book", 1)["inventory"] == "C-1"


def test_numbers_of_two_books_are_a_conflict(library: Library) -> None:
    library.send("book", EMMA, ULYSSES)
    (refused,) = library.send("book", EMMA | {"isbn": "978-2"})
    assert isinstance(refused, IdentityConflict)


def test_numbers_may_pass_from_one_book_to_another_in_one_list(library: Library) -> None:
    library.send("book", EMMA, ULYSSES)
    swapped = [EMMA | {"inventory": "B-3"}, ULYSSES | {"inventory": "B-1"}]
    assert actions(library.send("book", *swapped)) == ["updated", "updated"]
    assert [library.described("book", it)["inventory"] for it in (1, 2)] == ["B-3", "B-1"]


def test_a_book_refers_to_a_shelf_that_is_there(library: Library) -> None:
    (refused,) = library.send("book", EMMA | {"shelf": "S-1"})
    assert isinstance(refused, UnknownReference)
    library.send("shelf", {"label": "S-1", "name": "Novels"})
    library.send("book", EMMA | {"shelf": "S-1"}, ULYSSES | {"shelf": "S-1"})
    assert library.described("book", 1)["shelf"] == "S-1"


def test_a_reader_is_linked_to_books(library: Library) -> None:
    library.send("book", EMMA, ULYSSES)
    readers = [
        {"card": f"R-{it}", "name": f"Reader {it}", "books": ["B-1"]} for it in (1, 2)
    ]
    assert actions(library.send("reader", *readers)) == ["created", "created"]
    assert actions(library.send("reader", *readers)) == ["unchanged", "unchanged"]
    more = [readers[0] | {"books": ["B-1", "B-2"]}, readers[1] | {"books": ["B-7"]}]
    first, second = library.send("reader", *more)
    assert actions([first, second]) == ["updated", "updated"]
    assert isinstance(second, Outcome)
    assert [notice.text() for notice in second.warnings] == [
        "book B-7 is not stored, left out"
    ]
    assert [library.described("reader", it)["books"] for it in (1, 2)] == [
        ["B-1", "B-2"],
        [],
    ]


def test_what_a_record_must_carry_follows_from_the_rules() -> None:
    assert BOOK.identities == (("inventory",), ("isbn",), ("title", "author"))
    refused = BookSchema("GB", UTC).clean_all([{"title": "Emma"}]).refused[0]
    assert refused.errors == {"inventory": [BookSchema.asking]}


def test_rules_that_name_a_column_that_is_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="shelf: no column colour"):
        Rules(entity="shelf", table=SHELVES, unique=("label", "colour"))
    with pytest.raises(ValueError, match="shelf: no column colour"):
        Rules(entity="shelf", table=SHELVES, unique=("label",), contradicts=("colour",))
    with pytest.raises(ValueError, match="shelf: no column colour"):
        Rules(entity="shelf", table=SHELVES, unique=("label",), birth="colour")


def test_only_the_first_unique_key_may_have_former_values() -> None:
    for weak in (("former_isbn",), ("former_inventory", "former_isbn")):
        with pytest.raises(ValueError, match="book: only the first unique key has former"):
            dataclasses.replace(BOOK, weak=(*weak, "title+author"))


def test_a_named_rule_says_what_it_reads() -> None:
    def unmarked(*_: Any) -> bool:
        return False

    with pytest.raises(ValueError, match="unmarked does not say what it reads"):
        Rules(entity="shelf", table=SHELVES, unique=("label",), belongs=unmarked)


# --- What it does not know ---------------------------------------------------------------------

CLINIC = re.compile("clinic|doctor|patient|appointment|booking", re.IGNORECASE)
KINDS = (tokenize.NAME, tokenize.STRING, tokenize.COMMENT)


def test_the_engine_has_no_word_of_clinics() -> None:
    """But for the advice and the examples of problems, which the reference shows."""
    found = []
    for path in Path(engine.__file__).parent.glob("*.py"):
        text = re.sub(
            r"(?s)    (?:example|advice).*?(?=\n\n|\n    [a-z])",
            "",
            path.read_text("utf-8"),
        )
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if (
                    token.type in KINDS
                    and CLINIC.search(token.string)
                    and token.string in text
                ):
                    found.append(f"{path.name}:{token.start[0]} {token.string[:60]}")
    assert found == []
