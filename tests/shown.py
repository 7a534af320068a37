"""The commands that a page shows: those in its blocks of code for a shell."""

import re

from programs import ROOT

BLOCK = re.compile(r"```(?:sh|powershell)\n(.*?)```", re.DOTALL)


def blocks(page: str) -> list[str]:
    """Return the blocks of commands of a page, in order."""
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def lines(page: str) -> list[str]:
    """Return the lines of all those blocks."""
    return [line for block in blocks(page) for line in block.splitlines()]
