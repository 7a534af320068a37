"""Rejects: the refused records of an import, in a table that a person mends and imports again.

It stands beside the exported file, readable by its owner only, and appears as a whole. A former one that says something
else is put aside, for somebody may be at work in it.
"""

import csv
import filecmp
import tempfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, count
from pathlib import Path

from terminal import cells

LONGEST = 30_000  # characters of what stands behind a record: Excel's cells have 32,767


def beside(path: Path) -> Path:
    """Return where the refused records of a file go."""
    return path.with_name(f"{path.name}.rejected.csv")


class Rejects:
    """A table of refused records that is being written.

    `put_aside` is where a former one is when this one is placed.
    """

    def __init__(
        self, path: Path, header: Sequence[str], *, has_more: bool, delimiter: str
    ):
        """Begin to write beside the path; raise OSError."""
        self.path, self.count = path, 0
        self.put_aside: Path | None = None
        self._has_more = has_more
        self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 placed or removed by `place`
            "w",
            encoding="utf-8-sig",  # Excel takes what has no mark for a code page
            errors="backslashreplace",
            newline="",
            dir=path.parent,
            prefix=f".{path.name}.",
            delete=False,
        )
        self._writer = csv.writer(self._file, delimiter=delimiter)
        self._write(header, cells.MORE, cells.REASON)

    def add(self, texts: Sequence[str], more: str, reason: str) -> None:
        """Write a record, what stands behind its last cell, and why it is refused."""
        self.count += 1
        self._write(texts, more, reason)

    def _write(self, texts: Iterable[str], more: str, reason: str) -> None:
        more = more if len(more) <= LONGEST else f"{more[:LONGEST]}…"
        behind = [more, reason] if self._has_more else [reason]
        self._writer.writerow(map(cells.protected, [*texts, *behind]))

    def place(self, *, whole: bool) -> None:
        """Put the table in its place if it holds a record; raise OSError.

        If not the whole file was imported, and nothing was refused so far, a former one stays.
        """
        written = Path(self._file.name)
        try:
            self._file.close()
            self._put(written, says_something=whole or self.count > 0)
        finally:
            written.unlink(missing_ok=True)

    def _put(self, written: Path, *, says_something: bool) -> None:
        if says_something and self.path.exists() and not _same(written, self.path):
            self.put_aside = _free_name(self.path)
            self.path.rename(self.put_aside)
        if self.count:
            written.replace(self.path)


def _same(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)


def _free_name(path: Path) -> Path:
    """Return a name that is free, with the time of the last change: `patients.csv.rejected.20261128-023000.csv`."""
    changed = datetime.fromtimestamp(path.stat().st_mtime).strftime("%Y%m%d-%H%M%S")
    ends = chain([""], (f"-{number}" for number in count(1)))
    names = (path.with_name(f"{path.stem}.{changed}{end}{path.suffix}") for end in ends)
    return next(name for name in names if not name.exists())
