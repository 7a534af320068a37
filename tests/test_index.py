"""The index of the records of one transaction: versions, ranks, former numbers, and crowds beside each other."""

from typing import Any

import sqlalchemy as sa
from conftest import Portal
from library import (
    BOOKS,
    EMMA,
    FORMERS,
    LIBRARY,
    NOW,
    ULYSSES,
    Library,
)
from test_crowds import crowd, ids_of_khans
from test_matching import refused
from test_placeholders import KHAN

from engine import database
from engine.index import Index
from engine.write import write


def column(library: Library, name: str) -> list[Any]:
    """Return a column of all books, by id."""
    with library.engine.connect() as connection:
        return [*connection.scalars(sa.select(BOOKS.c[name]).order_by(BOOKS.c.id))]


def another_emma(number: int) -> dict[str, str]:
    return EMMA | {"inventory": f"E-{number}", "isbn": f"979-{number}"}


def test_a_version_counts_the_changes_of_a_record(library: Library) -> None:
    library.send("book", EMMA, ULYSSES)
    for count in range(2, 5):
        library.send("book", EMMA | {"note": f"plain {count}"})
        assert column(library, "version") == [count, 1]
    for count in range(5, 8):
        library.send("book", EMMA | {"inventory": f"C-{count}"})
        assert column(library, "version") == [count, 1]
    library.send("book", EMMA | {"inventory": "C-7"})
    assert column(library, "version") == [7, 1]


def test_who_comes_to_share_a_key_is_seen_by_the_first_who_has_it(
    library: Library,
) -> None:
    library.send("book", EMMA, ULYSSES)
    for count in range(2, 6):
        library.send("book", another_emma(count))
        assert column(library, "version") == [count, 1] + [1] * (count - 1)
    assert column(library, "work_rank") == [0, 0, 1, 2, 3, 4]


def test_two_of_one_list_that_come_to_share_a_key_have_ranks_of_their_own(
    library: Library,
) -> None:
    library.send("book", another_emma(1))
    twice = another_emma(2) | {"note": "first"}, another_emma(2) | {"note": "last"}
    library.send("book", *twice, another_emma(3), ULYSSES)
    assert column(library, "work_rank") == [0, 1, 2, 0]


def test_who_gives_up_all_keys_leaves_others_theirs(library: Library) -> None:
    library.send("book", EMMA, ULYSSES)
    for number in ("C", "D"):
        renumbered = [
            EMMA | {"inventory": f"{number}-1"},
            ULYSSES | {"inventory": f"{number}-2"},
        ]
        library.send("book", *renumbered)

    def give_up(connection: sa.Connection) -> None:
        index = Index(connection, LIBRARY)
        books = index.of("book")
        books.give_up_keys(books.existing(1))
        write(connection, index.prepare(NOW), NOW)

    database.transact(library.engine, give_up)
    with library.engine.connect() as connection:
        formers = sa.select(FORMERS.c.value, FORMERS.c.record_id).order_by(FORMERS.c.value)
        assert connection.execute(formers).all() == [("B-2", 2), ("C-2", 2)]
    assert column(library, "inventory") == [None, "D-2"]
    assert column(library, "isbn") == [None, ULYSSES["isbn"]]
    assert column(library, "work")[0] is None


LEE = {"mobile": "0502222222", "name": "Ann Lee"}


def test_two_crowds_in_one_list_are_counted_apart(portal: Portal) -> None:
    crowd(portal, 25)
    lees = [LEE | {"nationalID": f"30000{i:05}7"} for i in range(30)]
    assert portal.send_many({"patient": lees})["patient"]["failed"] == 0
    others = [{"nationalID": f"20000{i:05}7", "name": "Mohammed Khan"} for i in range(3)]
    told = portal.send_many({"patient": [LEE, KHAN, *others, LEE, KHAN]})["patient"]
    counts = [it["candidateCount"] for it in told["results"] if "candidates" in it]
    assert counts == [30, 25, 30, 25]


def test_ranks_in_a_crowd_go_on_without_a_gap(portal: Portal) -> None:
    crowd(portal, 25)
    for number in range(3):
        answer = portal.send("patient", KHAN, nationalID=f"40000{number:05}7")
        assert answer["action"] == "created"
    ranks = [row["contact_rank"] for row in portal.stored("patient")]
    assert sorted(ranks) == [*range(28)]
    assert len(ids_of_khans(portal)) == 28
    refused(portal, "ambiguous_match", "patient", KHAN)
