"""Writing: what `engine/write.py` does where plain and careful records meet, and where others write meanwhile."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest
from library import Library, actions

from engine import database
from engine.index import EntityIndex
from engine.write import _Writer


def book(number: int, **more: Any) -> dict[str, Any]:
    own = {"inventory": f"I-{number}", "isbn": f"978-{number}", "title": f"Title {number}"}
    return own | {"author": "Ibn"} | more


def inventories(library: Library, count: int) -> list[str]:
    return [library.described("book", at)["inventory"] for at in range(1, count + 1)]


def test_new_records_get_their_ids_in_the_order_in_which_they_were_sent(
    library: Library,
) -> None:
    twice = [book(2), book(2, note="again")]  # careful; all others are plain
    library.send("book", book(1), *twice, book(3), book(4), *twice, book(5))
    assert inventories(library, 5) == ["I-1", "I-2", "I-3", "I-4", "I-5"]
    assert library.described("book", 2)["note"] == "again"


def test_what_careful_and_plain_records_change_is_written(
    library: Library,
) -> None:
    library.send("book", book(1), book(2))
    twice = [book(2, note="first"), book(2, note="second")]
    done = library.send("book", book(1, note="plain"), *twice, book(3, note="new"))
    assert actions(done) == ["updated", "updated", "updated", "created"]
    notes = [library.described("book", at)["note"] for at in (1, 2, 3)]
    assert notes == ["plain", "second", "new"]


# --- Where others write at the same time ---------------------------------------------------------


@dataclass
class Looks:
    """The numbers that were looked up again after a write. In the first `races` another has just given one up."""

    seen: list[set[str]] = field(default_factory=list)
    races: int = 0
    are_last: bool = False  # those that follow a write


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks = Looks()
    look_again, former_rows = _Writer.look_again_for_formers, EntityIndex.former_rows

    def noted(writer: _Writer) -> None:
        looks.are_last = True
        try:
            look_again(writer)
        finally:
            looks.are_last = False

    def found(records: EntityIndex, numbers: Collection[str]) -> Any:
        if not looks.are_last:
            return former_rows(records, numbers)
        looks.seen.append({*numbers})
        looks.races -= 1
        return former_rows(records, numbers) if looks.races < 0 else [("I-9", 1)]

    monkeypatch.setattr(type(database.of_name("sqlite")), "lets_others_write", True)
    monkeypatch.setattr(_Writer, "look_again_for_formers", noted)
    monkeypatch.setattr(EntityIndex, "former_rows", found)
    return looks


def test_a_number_that_is_taken_is_looked_for_once_more(
    library: Library,
    looks: Looks,
) -> None:
    twice = [book(2), book(2, note="careful")]
    library.send("book", book(1), *twice)
    assert looks.seen == [{"I-1", "I-2"}]
    looks.seen.clear()
    library.send("book", book(1, inventory="I-3"))
    assert looks.seen == [{"I-3"}]


def test_a_number_that_stays_is_not_looked_for(
    library: Library,
    looks: Looks,
) -> None:
    library.send("book", book(1), book(2))
    looks.seen.clear()
    twice = [book(2, note="first"), book(2, note="second")]
    library.send("book", book(1), book(1, note="plain"), *twice)
    library.send("book", {"isbn": "978-1", "note": "no number at all"})
    library.send("shelf", {"label": "S-1", "name": "Novels"})
    library.send("reader", {"card": "R-1", "name": "Reader"})
    assert looks.seen == []


def test_a_number_that_became_a_former_one_meanwhile_is_a_lost_race(
    library: Library,
    looks: Looks,
) -> None:
    looks.races = 1
    assert actions(library.send("book", book(1))) == ["created"]
    assert looks.seen == [{"I-1"}, {"I-1"}]
    assert inventories(library, 1) == ["I-1"]
