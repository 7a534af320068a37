"""Outcomes: what became of a record, and what its sender should look at."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from engine.index import Record
from engine.problems import Problem
from engine.rules import Names


@dataclass(frozen=True)
class Notice:
    """A warning of settling: the field, and a sentence that may name the ids of records in its middle.

    The sentence is built when the answer is built, for a new record has its id only when it is written.
    """

    field: str
    before: str
    records: tuple[Record, ...] = ()
    after: str = ""

    def text(self, gone: Set[int] = frozenset()) -> str:
        """Return the sentence; the ids in `gone` were given in a transaction that was rolled back."""
        ids = [record.public_id for record in self.records]
        named = [
            "(new)" if record_id is None or record_id in gone else str(record_id)
            for record_id in ids
        ]
        return f"{self.before}{', '.join(named)}{self.after}"


Notices = Sequence[Notice]


@dataclass(slots=True)
class Outcome:
    """What became of one record. `action` is created, updated or unchanged; `changed` are fields as they are sent.

    `record_id` of a new record is None until it is written. `record` is there for careful records only.
    """

    action: str
    record_id: int | None
    matched_by: str = ""
    changed: Names = ()
    warnings: Notices = ()
    record: Record | None = None


Result = Outcome | Problem  # what becomes of one record
Outcomes = list[Result]  # by place
