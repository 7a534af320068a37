"""Plain records beside careful ones: in a list, a key that leads to several is in doubt as it is alone."""

import pytest
import sqlalchemy as sa
from test_engine import (  # noqa: F401 a fixture
    EMMA,
    FORMERS,
    ULYSSES,
    Library,
    actions,
    library,
)

from engine.outcome import Outcome
from engine.problems import AmbiguousMatch

TITLES = [{"title": "Emma", "author": "Austen"}, {"title": "Ulysses", "author": "Joyce"}]
OTHER_EMMA = EMMA | {"inventory": "B-9", "isbn": "978-9"}


@pytest.mark.parametrize("order", [1, -1])
def test_in_a_list_too_a_key_that_several_share_finds_nobody(
    library: Library,  # noqa: F811
    order: int,
) -> None:
    library.send("book", EMMA, OTHER_EMMA, ULYSSES)
    emma, ulysses = library.send("book", *TITLES[::order])[::order]
    assert isinstance(emma, AmbiguousMatch)
    assert [candidate[0].id for candidate in emma.candidates] == [1, 2]
    assert isinstance(ulysses, Outcome)
    assert (ulysses.action, ulysses.matched_by) == ("unchanged", "title+author")
    noted = [title | {"note": "worn"} for title in TITLES]
    emma, ulysses = library.send("book", *noted[::order])[::order]
    assert isinstance(emma, AmbiguousMatch)
    assert isinstance(ulysses, Outcome)
    assert ulysses.action == "updated"
    assert [library.described("book", it)["note"] for it in (1, 2, 3)] == [
        None,
        None,
        "worn",
    ]


def test_several_become_one_again_when_their_titles_differ(
    library: Library,  # noqa: F811
) -> None:
    library.send("book", EMMA, OTHER_EMMA)
    renamed = OTHER_EMMA | {"title": "Emma II"}
    done = library.send("book", renamed, TITLES[0], TITLES[0] | {"note": "worn"})
    assert actions(done) == ["updated", "unchanged", "updated"]
    assert [library.described("book", it)["note"] for it in (1, 2)] == ["worn", None]


def test_two_of_a_list_with_one_key_are_one(library: Library) -> None:  # noqa: F811
    done = library.send("book", EMMA, ULYSSES, EMMA, ULYSSES | {"note": "worn"})
    assert actions(done) == ["created", "created", "unchanged", "updated"]
    done = library.send("book", TITLES[0], EMMA | {"note": "torn"}, TITLES[1])
    assert actions(done) == ["unchanged", "updated", "unchanged"]


STALE = EMMA | {"note": "stale"}  # with a number that was given up
NEW = {"inventory": "B-1", "isbn": "978-7", "title": "Anna", "author": "Tolstoy"}


@pytest.mark.parametrize("sent", [NEW, STALE, NEW | {"isbn": None}], ids=str)
def test_a_former_number_is_looked_at_in_a_list_as_it_is_alone(
    library: Library,  # noqa: F811
    sent: dict[str, str],
) -> None:
    library.send("book", EMMA)
    library.send("book", EMMA | {"inventory": "C-1"})
    in_list, _ = library.send("book", sent, ULYSSES)
    again, _ = library.send("book", sent, ULYSSES)
    with library.engine.connect() as connection:
        formers = connection.execute(sa.select(FORMERS.c.value, FORMERS.c.record_id)).all()
    if sent is STALE:
        assert actions([in_list, again]) == ["updated", "unchanged"]
        assert isinstance(in_list, Outcome)
        assert [notice.field for notice in in_list.warnings] == ["inventory"]
        assert formers == [("B-1", 1)]
    else:
        assert actions([in_list, again]) == ["created", "unchanged"]
        assert formers == []  # the number is the new book's
    assert library.described("book", 1)["inventory"] == "C-1"
