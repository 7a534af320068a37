"""Weight: how many bytes of memory a JSON text will take when it is parsed, estimated before.

Lists of real records take five to seven times their body, what is made of tiny values about thirty times: each `[],`
becomes 72 bytes. The sizes are CPython's on 64 bits, from 3.11 on; `tests/test_weight.py` compares them with the real
ones.
"""

import random
import re
import sys
from collections.abc import Iterator
from itertools import zip_longest

from engine.problems import PayloadTooLarge

MIB = 1024 * 1024
TIMES = 8  # times its body that a request may take
# A smaller body may take as much as this one: a list of 100,000 records of any few fields then always passes.
FLOOR = 16 * MIB

PLACE = 9  # of a value in its list
LIST = 96  # with four places
OBJECT = 192  # with room for five members
MEMBER = 32  # of an object
# A name that no other object has: its text, its places in two dictionaries, the warning of an unknown field.
NAME = 300
TEXT = 56  # and its characters, and MORE of them
MORE = 12
NUMBER = 32
DECIMAL = 144  # with an exponent; without one 16 less
HEAVIEST = (LIST + PLACE) // 2  # of a character in lists; `{},` counts more, and takes less

WINDOW = 4096  # characters that are looked at, of each STRIDE
STRIDE = 64 * WINDOW
LIGHT = TIMES * FLOOR // (HEAVIEST + 4)  # bytes of a body that is not weighed
NUMBERS = re.compile(r"\d+([.eE])?[\d.eE+-]*")
END_OF_TEXT = re.compile(r'(?<!\\)"(?=\s*[,:\]}])')


def refuse_heavy(text: str, size: int) -> None:
    """Raise PayloadTooLarge if the text of a body of so many bytes would take more than TIMES of them.

    A part of it is looked at first, and the whole only if that part is heavy.
    """
    allowed = TIMES * max(size, FLOOR)
    left = allowed - sys.getsizeof(text)
    if _estimate(text) <= left or _weigh(text, left) <= left:
        return
    raise PayloadTooLarge(
        f"This JSON holds so many values and names that to read it takes more than {allowed // MIB} MiB of memory."
        " Send the records in parts."
    )


def _estimate(text: str) -> int:
    """Return about what a text weighs, by a window of each STRIDE.

    Each window begins at a random place, so that a sender cannot prepare those places.
    """
    weight, seen = Weight(text), 0
    for begin in range(0, len(text), STRIDE):
        at = begin + random.randrange(STRIDE - WINDOW)  # noqa: S311 no secret
        window = text[at : at + WINDOW]
        found = END_OF_TEXT.search(window)
        weight.add(window[found.end() :] if found else window)
        seen += len(window)
    return weight.bytes * len(text) // seen


def _weigh(text: str, most: int) -> int:
    """Return what a text weighs, or some number above `most`."""
    weight, within = Weight(text), False
    for piece in _pieces(text):
        within = weight.add(piece, within)
        if weight.bytes > most:
            break
    return weight.bytes


def _pieces(text: str) -> Iterator[str]:
    """Yield a text in pieces, without a cut between a backslash and the next character."""
    at = 0
    while at < len(text):
        piece = text[at : at + MIB]
        backslashes = len(piece) - len(piece.rstrip("\\"))
        if backslashes % 2:
            piece = text[at : at + MIB + 1]
        yield piece
        at += len(piece)


class Weight:
    """What pieces of a JSON text weigh together."""

    def __init__(self, text: str):
        self.bytes = 0
        self._width = sys.getsizeof(text) // len(text)  # bytes of a character
        self._names: set[str] = set()

    def add(self, piece: str, within: bool = False) -> bool:
        """Add a piece that begins `within` a string or not; return whether it ends within one."""
        parts = piece.replace("\\\\", "--").replace('\\"', "--").split('"')
        first = 0 if within else 1  # every second part is a string's
        strings, between = parts[first::2], parts[1 - first :: 2]
        names = []
        for string, behind in zip_longest(strings, between[first:], fillvalue=""):
            if behind.lstrip().startswith(":"):
                names.append(string)
            else:
                self._add_text(string)
        self._add_names(names)
        self._add_rest("".join(between))
        return len(parts) % 2 != first

    def _add_text(self, string: str) -> None:
        # The empty string and single Latin-1 characters exist once in Python: they take no memory.
        if len(string) > 1 or string > "\xff":
            self.bytes += TEXT + self._characters(string)

    def _add_names(self, names: list[str]) -> None:
        self.bytes += MEMBER * len(names)
        for name in {*names} - self._names:
            self.bytes += NAME + self._characters(name)
            self._names.add(name)

    def _characters(self, string: str) -> int:
        """Return what the characters weigh. One that is escaped can make all others wider."""
        escapes = string.count("\\u")
        length = max(0, len(string) - 5 * escapes) + MORE
        return length * (4 if escapes else self._width)

    def _add_rest(self, between: str) -> None:
        numbers = NUMBERS.findall(between)
        whole = numbers.count("")
        self.bytes += NUMBER * whole + DECIMAL * (len(numbers) - whole)
        lists, objects = between.count("["), between.count("{")
        self.bytes += LIST * lists + OBJECT * objects
        self.bytes += PLACE * (lists + objects + between.count(","))
