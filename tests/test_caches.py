"""What is kept for the next request is bounded in bytes, whatever is sent."""

import functools
import gc
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import API, KEY, Http
from test_architecture import MODULES
from test_values import FIELDS, SCHEMAS, record_with, sixteenfold

from engine.fields import TEXT, Doubt, Text
from engine.memo import REMEMBERED, SHORT, Memo

MEGABYTE = 2**20
MOST = 8 * MEGABYTE  # of the texts that one cache can hold

# --- All caches --------------------------------------------------------------------------------


@dataclass
class Cache:
    """A cache of the program, a memo or what functools keeps of a function: its keys, and what belongs to them."""

    name: str
    entries: int | None  # at most
    held: list[Any]

    @property
    def texts(self) -> list[str]:
        return [*texts(self.held)]

    @property
    def room(self) -> int:
        """The bytes that its texts take if each key and each value is as large as the largest one now."""
        largest = max(
            [sum(map(sys.getsizeof, texts(part))) for part in self.held], default=0
        )
        return 2 * largest * (self.entries or len(self.held))


def texts(held: Any) -> Iterator[str]:
    """Yield the texts that something holds."""
    if isinstance(held, Doubt):
        held = (held.value, held.warning)
    if isinstance(held, str):
        yield held
    elif isinstance(held, tuple | list):
        for part in held:
            yield from texts(part)


def caches() -> dict[str, Cache]:
    """Return all memos, and the caches of all functions of the program, whatever there is in this process."""
    gc.collect()
    found = {}
    for cache in gc.get_objects():
        if isinstance(cache, Memo):
            name = f"memo {id(cache)}"
            found[name] = Cache(name, cache.entries, [*cache, *cache.values()])
        elif (
            isinstance(cache, functools._lru_cache_wrapper) and cache.__module__ in MODULES
        ):
            name, most = cache.__qualname__, cache.cache_parameters()["maxsize"]
            found[name] = Cache(
                f"{cache.__module__}.{name}", most, kept_by_functools(cache)
            )
    return found


def kept_by_functools(cache: Any) -> list[Any]:
    """Return the keys and results of a cached function: it refers to each, or to a dictionary of them."""
    held = []
    for part in gc.get_referents(cache):
        if not isinstance(part, dict):
            held.append(part)
        elif "__wrapped__" not in part:
            held += [*part, *part.values()]
    return held


# --- One memo ----------------------------------------------------------------------------------


def test_a_memo_remembers_few_texts_and_short_ones():
    memo = Memo(str.strip)
    for number in range(REMEMBERED + 10):
        assert memo[f" {number} "] == str(number)
    assert memo["long" + " " * SHORT] == "long"
    assert 0 < len(memo) <= REMEMBERED
    assert max(map(len, memo)) <= SHORT


def test_a_memo_forgets_when_it_is_full():
    memo = Memo(str.upper, entries=2)
    assert [memo[text] for text in "abc"] == ["A", "B", "C"]
    assert [*memo] == ["c"]


def test_a_memo_does_its_work_once():
    calls = []
    memo = Memo(calls.append)
    for text in ("a", "b", "a", None, None):
        assert memo[text] is None
    assert calls == ["a", "b", None]


def test_a_memo_remembers_a_text_of_just_its_length():
    memo = Memo(str, longest=3)
    assert (memo["abc"], memo["abcd"]) == ("abc", "abcd")
    assert [*memo] == ["abc"]


def test_a_memo_remembers_nothing_of_which_a_long_text_is_made():
    memo = Memo(lambda text: text * SHORT)
    assert (memo["ab"], memo["a"]) == ("ab" * SHORT, "a" * SHORT)
    assert [*memo] == ["a"]


def test_a_memo_does_not_take_one_for_true():
    memo = Memo(repr)
    assert [memo[1], memo[True], memo["1"], memo[1.0]] == ["1", "True", "'1'", "1.0"]


RECURRING = {
    f"{entity}-{name}": field
    for entity, schema in SCHEMAS.items()
    for name, field in schema.load_fields.items()
    if isinstance(field, Text) and field.recurs and field.length <= TEXT
}


@pytest.mark.parametrize("field", RECURRING.values(), ids=RECURRING)
def test_a_field_remembers_nothing_longer_than_its_limit(field):
    field.clean_all(["1" * length for length in range(1, 2 * TEXT)])
    assert max(map(len, filter(None, field._memo))) == min(SHORT, field.length)


# --- What is sent ------------------------------------------------------------------------------

ALPHABETS = ("1", "+39", "𝟘", "é", "😀 ", "?? 😀", "\ufdfa")


def hostile_texts(entity: str, name: str, wave: int) -> Iterator[str]:
    """Yield texts that no other field and wave has, around each length that means something."""
    most = sixteenfold(SCHEMAS[entity].load_fields[name])
    for alphabet in ALPHABETS:
        for length in (SHORT, SHORT + 1, most // 16, most // 16 + 1, most, most + 1, 10**5):
            own = f"{wave}{length}"
            yield (alphabet * length)[: length - len(own)] + own


def hostile_records(wave: int) -> dict[str, list[dict[str, Any]]]:
    records: dict[str, list[dict[str, Any]]] = {entity: [] for entity in SCHEMAS}
    for entity, name in FIELDS:
        for text in hostile_texts(entity, name, wave):
            records[entity].append(record_with(entity, name, text) | {text[-200:]: 1})
    return records


def send_wave(http: Http, wave: int) -> None:
    for entity, records in hostile_records(wave).items():
        path = f"/{SCHEMAS[entity].rules.plural}"
        for first in range(0, len(records), 50):
            some = records[first : first + 50]
            assert http.post(path, some).status_code in (200, 207, 422)
            filters = {name: str(value)[:3000] for name, value in some[0].items()}
            headers = {"X-API-Key": KEY}
            http.client.get(f"{API}{path}", query_string=filters, headers=headers)


def test_no_cache_takes_much_room_whatever_is_sent(http):
    send_wave(http, 1)
    before = caches()
    send_wave(http, 2)
    after = caches()
    assert {"json_name", "selection", "_numbers"} <= after.keys()
    assert len([name for name in after if name.startswith("memo")]) > len(SCHEMAS)
    assert {cache.name: cache.room for cache in after.values() if cache.room > MOST} == {}
    unbounded = [name for name, cache in after.items() if cache.entries is None]
    grown = [name for name in unbounded if after[name].texts != before[name].texts]
    assert grown == []


@pytest.mark.parametrize("length", [3200, MEGABYTE])
@pytest.mark.parametrize("digits", ["1", "+1", "0 ", "٠"])
def test_sixty_refused_patients_with_a_long_mobile_leave_nothing(digits, length):
    def clean(wave: int) -> int:
        own = [f"{wave}{at:02}" for at in range(60)]
        mobiles = [(digits * length)[: length - 3] + end for end in own]
        records = [{"patientNo": "P-1", "mobile": mobile} for mobile in mobiles]
        assert len(SCHEMAS["patient"].clean_all(records).refused) == 60
        del mobiles, records
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = clean(1)
        assert clean(2) - before < 60 * 1000
    finally:
        tracemalloc.stop()
