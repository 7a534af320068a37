"""Weight: what a JSON text will take is told well enough, and no list of real records is refused for it."""

import base64
import json
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import payload
import weight
from engine.problems import InvalidJson, PayloadTooLarge

COUNT = 20_000  # of values: what a parser takes once does not count
PATIENT = {
    "patientNo": "P-10928",
    "nationalID": "1092837465",
    "name": "Yousef Bin Khalid",
    "mobile": "0501234567",
    "dateOfBirth": "1984-03-12",
    "gender": "Male",
    "isActive": True,
}
TEXTS = {
    "lists": "[%s[]]" % ("[]," * COUNT),
    "lists of one": "[%s[]]" % ("[0]," * COUNT),
    "lists of five": "[%s[]]" % ("[0,0,0,0,0]," * COUNT),
    "lists, 900 deep": "[%s[]]" % (("[" * 900 + "]" * 900 + ",") * 50),
    "objects": "[%s[]]" % ("{}," * COUNT),
    "objects of one": "[%s[]]" % ('{"a":0},' * COUNT),
    "objects of six": "[%s[]]" % ('{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0},' * COUNT),
    "objects of eleven": json.dumps([dict.fromkeys("abcdefghijk")] * COUNT),
    "objects of 43": json.dumps([{f"n{at}": 0 for at in range(43)}] * 2000),
    "objects in objects": "[%s[]]" % ('{"":{}},' * COUNT),
    "names": json.dumps({f"n{at}": 0 for at in range(COUNT)}),
    "names with texts": json.dumps({f"n{at}": f"t{at}" for at in range(COUNT)}),
    "literals": "[%s0]" % ("null,true," * COUNT),
    "small numbers": "[%s0]" % ("1," * COUNT),
    "numbers": "[%s0]" % ("257," * COUNT),
    "fractions": "[%s0]" % ("1.5," * COUNT),
    "exponents": "[%s0]" % ("-1E-5," * COUNT),
    "short texts": "[%s0]" % ('"ab",' * COUNT),
    "texts": "[%s0]" % ('"0123456789abcdef0",' * COUNT),
    "Arabic texts": "[%s0]" % ('"عع",' * COUNT),
    "Arabic letters": "[%s0]" % ('"ع",' * COUNT),
    "Latin letters": "[%s0]" % ('"é",' * COUNT),
    "emoji": "[%s0]" % ('"😀😀",' * COUNT),
    "escaped emoji": "[%s0]" % ('"abcdefghijklmnop\\ud83d\\ude00",' * COUNT),
    "escaped quotes": "[%s0]" % ('"\\"\\\\",' * COUNT),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_takes_no_more_than_it_weighs(text: str) -> None:
    tracemalloc.start()
    try:
        parsed = json.loads(text, parse_float=payload._finite)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    del parsed
    assert taken < weight._weigh(text, len(text) * weight.HEAVIEST * 10)


def patients(change: Callable[[int], dict[str, Any]], count: int = 12_000) -> list[Any]:
    return [PATIENT | {"patientNo": f"P-{at:05}"} | change(at) for at in range(count)]


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


ROWS = json.dumps([[at % 7, -at, 0.5] for at in range(400)])
REAL = {
    "plain": patients(lambda at: {}, 30_000),
    "Arabic": patients(lambda at: {"name": "يوسف بن خالد", "lastName": "الأحمد"}, 30_000),
    "an emoji": patients(lambda at: {"notes": "😀" if at == 77 else "none"}, 30_000),
    "emoji": patients(lambda at: {"name": "😀 Ali", "notes": "😀 😀"}, 30_000),
    "blank and null": [
        {"code": f"C{at:05}", "name": "Eye", "branch": "", "floor": None, "phone": ""}
        | {"email": "", "address": "", "number": "", "location": None, "isActive": True}
        for at in range(60_000)
    ],
    "numbers": patients(lambda at: {"patientNo": at, "mobile": 502222222.0}, 30_000),
    "unknown fields": patients(
        lambda at: {f"column{n}": "a value" for n in range(30)}, 6000
    ),
    "commas": patients(lambda at: {"notes": ",:[]{}" * 600}, 2000),
    "quotes": patients(lambda at: {"notes": '\\"[],{}:' * 400}, 2000),
    "rows as text": patients(lambda at: {"rows": ROWS * 12}, 150),
    "photos": patients(lambda at: {"photo": base64.b64encode(noise(99_999)).decode()}, 50),
    "addresses": patients(lambda at: {"address": {"city": "Riyadh", "lines": ["", ""]}}),
}


TINY = {
    "small": [{"patientNo": f"P-{at}", "isActive": False} for at in range(100_000)],
    "smallest": [{"code": f"{at:x}", "name": "Eye"} for at in range(100_000)],
}


def taken(records: list[Any], ascii_only: bool) -> Any:
    raw = bytearray(json.dumps(records, ensure_ascii=ascii_only).encode())
    size = len(raw)
    return payload.parse(payload.decode(raw, "utf-8"), size)


@pytest.mark.parametrize("records", [*REAL.values(), *TINY.values()], ids=REAL | TINY)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_list_of_real_records_is_taken(records: list[Any], ascii_only: bool) -> None:
    assert taken(records, ascii_only) == records


@pytest.mark.parametrize("records", REAL.values(), ids=REAL)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_so_is_one_of_any_length(
    monkeypatch: pytest.MonkeyPatch, records: list[Any], ascii_only: bool
) -> None:
    monkeypatch.setattr(weight, "FLOOR", 0)
    monkeypatch.setattr(weight, "LIGHT", 0)
    assert taken(records, ascii_only) == records


def test_what_is_refused_is_told_the_limit() -> None:
    text = TEXTS["lists"] * 100
    with pytest.raises(PayloadTooLarge, match=r"more than 128 MiB of memory.*in parts"):
        payload.parse(text, len(text))


def test_a_part_tells_what_the_whole_weighs() -> None:
    text = json.dumps(REAL["plain"])
    whole = weight._weigh(text, 10**9)
    assert weight._estimate(text) == pytest.approx(whole, rel=0.05)


def test_a_text_whose_pattern_repeats_with_the_windows_is_weighed_all_the_same() -> None:
    lists = "[]," * (weight.STRIDE // 6)
    string = '"' + "a" * (weight.STRIDE - len(lists) - 3) + '",'
    text = f"[{(lists + string) * 128}0]"
    for _ in range(20):
        with pytest.raises(PayloadTooLarge):
            weight.refuse_heavy(text, len(text))


strings = st.text(st.sampled_from('[{"\\,:]}1.5 ع😀'), max_size=30)


@given(st.lists(strings, min_size=1), st.integers(1, 40), st.booleans())
def test_what_stands_in_a_string_is_no_list_and_no_number(
    texts: list[str], length: int, ascii_only: bool
) -> None:
    """Wherever the text is cut into pieces."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(weight, "MIB", length)
        patched.setattr(weight.Weight, "_add_text", lambda self, string: None)
        text = json.dumps(texts, ensure_ascii=ascii_only)
        expected = weight.LIST + weight.PLACE * len(texts)
        assert weight._weigh(text, 10**9) == expected


@given(st.text(st.sampled_from('😀a\\"[],: ع\n1'), max_size=40))
@example("\\😀")
@example("\\\\😀")
def test_emoji_that_are_read_as_escapes_are_the_same_emoji(text: str) -> None:
    raw = f'["{text}", "😀"]'.encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(weight, "FLOOR", 0)
        patched.setattr(payload, "FEW", 0)
        narrow = payload.decode(bytearray(raw), "utf-8")
    assert parsed(narrow) == parsed(raw.decode())
    assert "\\😀" in narrow or narrow.count("😀") == 0


def parsed(text: str) -> Any:
    """Return the JSON in a text, or that there is none."""
    try:
        return payload.parse(text, len(text))
    except InvalidJson:
        return InvalidJson
