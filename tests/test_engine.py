"""The engine knows no clinic: it upserts books and shelves, given a schema, rules and tables, and nothing else."""

import dataclasses
import re
import tokenize
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from library import BOOK, EMMA, SHELVES, ULYSSES, BookSchema, Library, actions

import engine
from engine import plain, settle
from engine.outcome import Outcome
from engine.problems import AmbiguousMatch, IdentityConflict, UnknownReference
from engine.rules import Rules

ANNA = {"inventory": "B-3", "isbn": "978-3", "title": "Anna", "author": "Tolstoy"}

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


def test_a_record_alone_is_not_divided(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "divide", None)
    assert actions(library.send("book", EMMA)) == ["created"]


@pytest.mark.parametrize("books", [[EMMA, ULYSSES], [EMMA, ULYSSES, ANNA]], ids=len)
def test_new_books_of_a_list_are_not_judged(
    library: Library, monkeypatch: pytest.MonkeyPatch, books: list[dict[str, str]]
) -> None:
    monkeypatch.setattr(settle, "match", None)
    assert {*actions(library.send("book", *books))} == {"created"}


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
