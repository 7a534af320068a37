"""Headings: which field each column of a table is, or each member of an exported JSON object.

Some are known by the field's own name, others because somebody said so once (`رقم الملف=patientNo`); that is kept in a
file for the next time.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import canonical
from engine.entity import Entity, json_name
from engine.fields import Codes, RecordId
from terminal import cells
from terminal.exports import Row, Unreadable

BETWEEN_CODES = re.compile("[;|]")  # a code may hold a comma
DIGITS = re.compile("[0-9]{1,19}")
LONGEST = 200  # characters of a heading that count
SHOWN = 40  # headings, and characters of each, that a sentence repeats

Names = Mapping[str, str]  # JSON names of fields by heading


def plain(heading: str) -> str:
    """Return a heading as it is compared: folded, without blanks, underscores and other punctuation."""
    return canonical.letters_and_digits(heading[:LONGEST]) or heading.strip()


# --- What was said -----------------------------------------------------------------------------


def said(wishes: Iterable[str], schema: Entity) -> dict[str, str]:
    """Return the fields by heading of wishes like `رقم الملف=patientNo`; raise ValueError with a sentence."""
    return dict(_pair(wish, schema) for wish in wishes)


def _pair(wish: str, schema: Entity) -> tuple[str, str]:
    heading, _, name = wish.rpartition("=")
    field = schema.field_named(plain(name))
    if not heading.strip():
        raise ValueError(f"{wish!r} is not of the form HEADING=FIELD.")
    if field is None:
        raise ValueError(
            f"{wish!r}: there is no field {name!r}. There are {', '.join(schema.names)}."
        )
    return heading.strip(), field


def kept(path: Path, schema: Entity) -> dict[str, str]:
    """Return the fields by heading that a file keeps, {} if it is not there; raise Unreadable."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        return said([f"{heading}={name}" for heading, name in found.items()], schema)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        advice = "Mend or remove it, and say the headings again with --map."
        raise Unreadable(f"{path} cannot be used: {error}. {advice}") from None


def keep(path: Path, names: Names) -> None:
    """Keep fields by heading in a file; raise OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.new")
    text = json.dumps(names, ensure_ascii=False, indent=2)
    written.write_text(f"{text}\n", encoding="utf-8")
    written.replace(path)


# --- What is what ------------------------------------------------------------------------------


class Headings:
    """The fields of an entity by their headings: what was said comes before the fields' own names."""

    def __init__(self, schema: Entity, names: Names):
        self.schema = schema
        self._said = {plain(heading): field for heading, field in names.items()}

    def field(self, heading: str) -> str | None:
        """Return the JSON name of the field that a heading means; None if it means none."""
        compared = plain(heading)
        return self._said.get(compared) or self.schema.field_named(compared)

    def is_said(self, heading: str) -> bool:
        """Return whether somebody said what a heading means."""
        return plain(heading) in self._said

    @staticmethod
    def not_in(header: Iterable[str], names: Iterable[str]) -> list[str]:
        """Return the names that are no heading of a header."""
        there = {*map(plain, header)}
        return [name for name in names if plain(name) not in there]

    def knows(self, heading: str) -> bool:
        """Return whether a heading means a field."""
        return self.field(heading) is not None

    def unknown(self, header: Iterable[str]) -> list[str]:
        """Return the headings that mean nothing; fields that only answers carry may be there."""
        return [
            heading
            for heading in header
            if not (self.knows(heading) or self.schema.only_answers(plain(heading)))
        ]

    def check(self, header: Sequence[str]) -> None:
        """Raise Unreadable unless a header means fields."""
        if not any(map(self.knows, header)):
            raise Unreadable(
                f"No heading is known: {listed(header)}. A table's first line must name its columns."
                f" The fields are {', '.join(self.schema.names)}."
                f' Say which heading means which: --map "{header[0] if header else "Heading"}={self.schema.names[0]}"'
            )


def listed(header: Sequence[str]) -> str:
    """Return headings as a sentence repeats them, the first of many."""
    more = ", …" if len(header) > SHOWN else ""
    return ", ".join(f'"{heading[:SHOWN]}"' for heading in header[:SHOWN]) + more


class Columns:
    """A table's rows as records. `header` is what stands above them."""

    def __init__(self, headings: Headings, header: Sequence[str]):
        """Raise Unreadable unless the header means fields, each of them once."""
        headings.check(header)
        self.header = header
        named = {at: headings.field(heading) for at, heading in enumerate(header)}
        self.fields = {at: field for at, field in named.items() if field}
        self._refuse_twice()
        forms = _forms(headings.schema)
        self._formed = {
            field: forms[field] for field in self.fields.values() if field in forms
        }

    def _refuse_twice(self) -> None:
        columns: dict[str, int] = {}
        for at, field in self.fields.items():
            first = columns.setdefault(field, at)
            if first != at:
                both = f'"{self.header[first]}" and "{self.header[at]}"'
                raise Unreadable(f"Two columns are {field}: {both}. Leave one out.")

    def record(self, row: Row) -> Any:
        """Return the record of a row: the texts of its cells, and what is no text by its field."""
        record = {field: row.values[at] for at, field in self.fields.items()}
        if cells.NOT_SENT in row.values:
            record = {name: it for name, it in record.items() if it != cells.NOT_SENT}
        for field, form in self._formed.items():
            if field in record:
                record[field] = form(record[field])
        return record

    def cells(self, row: Row) -> list[str]:
        """Return the cells of a row, as many as there are columns."""
        lacking = len(self.header) - len(row.values)
        return [*row.values, *[cells.MISSING] * lacking]


def _forms(schema: Entity) -> dict[str, Callable[[str], Any]]:
    """Return what makes the value of a cell, by the JSON name of each field that takes no text."""
    kinds = {json_name(name): field for name, field in schema.load_fields.items()}
    codes = {name: codes_of for name, field in kinds.items() if isinstance(field, Codes)}
    ids = {name: id_of for name, field in kinds.items() if isinstance(field, RecordId)}
    return {**codes, **ids}


def codes_of(cell: str) -> list[str]:
    """Return the codes in a cell, separated by semicolons or upright strokes; a blank one has none."""
    return BETWEEN_CODES.split(cell) if cell.strip() else []


def id_of(cell: str) -> int | str:
    """Return the id in a cell; what is none stays text, which the field refuses."""
    return int(cell) if DIGITS.fullmatch(cell.strip()) else cell


class Members:
    """Exported JSON objects as records. `header` are the fields that they have."""

    def __init__(self, headings: Headings, names: Sequence[str]):
        """Raise Unreadable unless any of the names means a field."""
        headings.check(names)
        found = {name: headings.field(name) for name in names}
        self._fields = {name: field for name, field in found.items() if field}
        self.header = [*dict.fromkeys(self._fields.values())]
        own = headings.schema.field_named
        self._spelt = {
            name: name if own(name) == field else field
            for name, field in self._fields.items()
        }

    def record(self, row: Row) -> Any:
        """Return an object with the names that fields have; what is none stays as it is."""
        if not isinstance(row.values, dict):
            return row.values
        record: dict[str, Any] = {}
        for name, value in row.values.items():
            spelt = self._spelt.get(name)
            if spelt:
                # In capitals where it is there already, so that the field is sent twice.
                record[spelt.upper() if spelt in record else spelt] = value
        return record

    def cells(self, row: Row) -> list[str]:
        """Return the values of fields as texts."""
        values = row.values if isinstance(row.values, dict) else {}
        texts: dict[str, str] = {}
        for name, value in values.items():
            if name in self._fields:
                texts.setdefault(self._fields[name], _text(value))
        return [texts.get(field, cells.NOT_SENT) for field in self.header]


def _text(value: Any) -> str:
    """Return a JSON value as a table has it."""
    if value is None:
        return cells.NOT_SENT
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(it, str) for it in value):
        return ";".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)
