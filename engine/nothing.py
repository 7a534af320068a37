"""Nothing: what people and programs write where there is no value."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from engine import canonical

# Typed where a screen insists on a number: 9999999999, 10000000, and the keys of a keyboard in their order.
FILLER = r"([0-9])\1{7,}|[0-9]0{7,}|0?123456789|1234567890"
_FILLER = re.compile(FILLER)
# A Guid of zeros has hyphens, and maybe braces.
_ZERO = re.compile(r"\{?-*0[0-]*\}?|-[0-9]+(?:\.0+)?")
_ZERO_FOR_A_CODE = re.compile(r"0|-[0-9]+(?:\.0+)?")
_MARK = r"[ -/:-@\[-`{-~]"  # ASCII punctuation, and the blank


def any_case(words: Iterable[str], between: str = "") -> str:
    """Return the pattern (ECMA 262) of words in any case: JSON schemas know no other way to say so."""
    return "|".join(between.join(map(_in_any_case, word)) for word in words)


def _in_any_case(character: str) -> str:
    forms = dict.fromkeys((character.lower(), character.upper()))
    return f"[{''.join(forms)}]"


@dataclass(frozen=True)
class Nothing:
    """The words that say that there is nothing.

    `words` are compared folded, so one spelling of each is enough. Some of them may be real codes (NA). `never_a_code`
    are the few that cannot be one: lower case, without blanks, each with its punctuation.
    """

    words: tuple[str, ...]
    never_a_code: tuple[str, ...]

    @cached_property
    def pattern(self) -> str:
        """The pattern (ECMA 262) of these words in any case, with punctuation anywhere; or of punctuation alone."""
        bare = map(canonical.letters_and_digits, self.words)
        words = any_case(bare, f"{_MARK}*")
        only_marks = rf"{_MARK}*[!-/:-@\[-`{{-~]{_MARK}*"
        return rf"{only_marks}|{_MARK}*({words}){_MARK}*"

    @cached_property
    def _folded(self) -> frozenset[str]:
        return frozenset(map(canonical.letters_and_digits, self.words))

    def is_word(self, text: str) -> bool:
        """Return whether a text says that there is nothing: such a word, or nothing but punctuation."""
        bare = canonical.letters_and_digits(text)
        return bare in self._folded or (not bare and canonical.is_visible(text))

    def is_never_a_code(self, text: str) -> bool:
        """Return whether a code says that there is nothing."""
        blankless = "".join(canonical.fold_name(text).split())
        if blankless in self.never_a_code:
            return True
        return not canonical.letters_and_digits(text) and canonical.is_visible(text)

    def is_word_or_filler(self, text: str) -> bool:
        """Return whether an official number says that there is nothing: what fills a form does, too."""
        number = canonical.identifier(text)  # without a float's .0
        filler = _FILLER.fullmatch(canonical.letters_and_digits(number))
        return bool(filler) or self.is_word(text)


def is_zero(text: str) -> bool:
    """Return whether a number is what programs write for none: zeros, or a negative number."""
    return bool(_ZERO.fullmatch(canonical.identifier(text)))


def is_zero_for_a_code(text: str) -> bool:
    """Return whether a code is what programs write for none: 0 or a negative number; 000 is a code."""
    return bool(_ZERO_FOR_A_CODE.fullmatch(canonical.identifier(text)))
