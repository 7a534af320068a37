"""Memos: what was made of texts that come again and again. What they hold is bounded in bytes, whatever is sent."""

from collections.abc import Callable
from typing import Any

SHORT = 64  # characters of the longest text that is remembered
REMEMBERED = 2048  # texts of one memo


class Memo(dict):
    """What a rule made of texts: `memo[text]` is `rule(text)`. It remembers short ones, `entries` at most.

    Other values may be asked for, too. Only null is remembered of them.
    """

    def __init__(
        self,
        rule: Callable[[Any], Any],
        *,
        longest: int = SHORT,
        entries: int = REMEMBERED,
    ):
        super().__init__()
        self.rule, self.longest, self.entries = rule, longest, entries

    def __missing__(self, value: Any) -> Any:
        made = self.rule(value)
        if self._is_key(value) and self._is_short(made):
            if len(self) >= self.entries:
                self.clear()
            self[value] = made
        return made

    def _is_key(self, value: Any) -> bool:
        # No numbers, because 1 and True are one key.
        return value is None or (isinstance(value, str) and self._is_short(value))

    def _is_short(self, value: Any) -> bool:
        """Return whether a value takes little room: a form can make a long text of a short one."""
        return not isinstance(value, str) or len(value) <= self.longest
