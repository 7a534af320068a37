"""Files that other programs export: what they are written in, and the records in them, one after the other.

Everything is read in small parts, whatever the size of the file, and nothing is guessed: what cannot be read raises
Unreadable with a sentence that says where it stops, and what to do.
"""

import codecs
import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import payload
from engine.problems import Problem
from terminal import cells

PART = 64 * 1024  # bytes or characters that are read at once
LONGEST = 1024 * 1024  # characters of a line, or of a JSON record
MOST_NAMES = 1000  # of members, that are told apart
DELIMITERS = (",", ";", "\t", "|")
NOT_CLOSED = (
    "Its quotes are not right: one is not closed, or text stands behind one that is."
)
LOOK_AT_QUOTES = "look at the quotes of this row"
NO_RECORDS = "holds no records, so there is nothing to import."
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
OTHER_KINDS = {
    b"PK\x03\x04": "an Excel workbook or a ZIP file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a compressed file",
    b"%PDF": "a PDF",
}
JSON_KINDS = (".json", ".ndjson", ".jsonl")
SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?[\r\n]*', re.IGNORECASE)


# How people write a tab on a command line.
SPELLINGS = {"tab": "\t", r"\t": "\t"}


def delimiter_of(text: str) -> str:
    """Return the delimiter that a person wrote; raise ValueError."""
    sign = SPELLINGS.get(text.lower(), text)
    if len(sign) != 1 or sign.isalnum() or sign in ' "\r\n':
        raise ValueError("A delimiter is one sign, as ; or , or |, or the word tab.")
    return sign


class Unreadable(Exception):
    """A file that cannot be imported. The message says why, and what to do about it."""


class Row(NamedTuple):
    """A record of a file: the line where it begins, its cells or JSON value, and why it is no record ("": it is one).

    `more` is what stands behind the last column, or what else a person has to look at; `size` counts characters.
    """

    line: int
    values: Any
    size: int
    fault: str = ""
    more: str = ""


# --- What it is written in -----------------------------------------------------------------------


def stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when somebody writes to a file; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the system's errors while a file is read into Unreadable."""
    try:
        yield
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeError:
        raise Unreadable(f"{path} changed while it was read.") from None


def check(path: Path) -> None:
    """Raise Unreadable unless this is a file of text that can be read."""
    if path.is_dir():
        raise Unreadable(f"{path} is a folder. Name the file in it.")
    if path.exists() and not path.is_file():
        raise Unreadable(f"{path} is no plain file: it has to be read twice.")
    _refuse_other_kinds(path, _start(path))


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(PART)


def _refuse_other_kinds(path: Path, start: bytes) -> None:
    if not start.strip():
        raise Unreadable(f"{path} is empty.")
    for mark, kind in OTHER_KINDS.items():
        if start.startswith(mark):
            advice = "Export or save it as CSV (Excel: CSV UTF-8)."
            raise Unreadable(f"{path} is {kind}, not a table in text. {advice}")
    if b"\0" in start and not start.startswith((*BYTE_ORDER_MARKS,)):
        reason = "has bytes of zero: it is no text, or UTF-16 without its mark"
        raise Unreadable(f"{path} {reason}. Save it as UTF-8.")


def encoding_of(path: Path, code_page: str) -> str:
    """Return the encoding of a file: what its byte order mark says, else UTF-8 if all of it is, else the code page.

    Raises Unreadable where that does not hold for the whole file, and for UTF-8 that is damaged: its letters would
    become others.
    """
    start = _start(path)
    for mark, marked in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return _read_by(path, marked)
    fault = _first_fault(path, "utf-8")
    if fault is None:
        return "utf-8"
    if _is_mostly_utf8(path):
        advice = "Mend that line, or export the file again."
        raise Unreadable(f"{path} is UTF-8, but for a few bytes: {fault}. {advice}")
    return _read_by(path, code_page)


def _read_by(path: Path, encoding: str) -> str:
    """Return this encoding; raise Unreadable unless the whole file is written in it."""
    if fault := _first_fault(path, encoding):
        advice = "Export it again as UTF-8, or name its code page with --encoding."
        raise Unreadable(f"{path} is not {encoding}: {fault}. {advice}")
    return encoding


def _parts(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, and an empty part at its end."""
    with path.open("rb") as file:
        while part := file.read(PART):
            yield part
    yield b""


def _first_fault(path: Path, encoding: str) -> str | None:
    """Return where the first byte stands that this encoding does not have; None if there is none."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, read = 1, 0
    for part in _parts(path):
        read += len(part)
        try:
            lines += decoder.decode(part, final=not part).count("\n")
        except UnicodeDecodeError as error:
            line = lines + error.object[: error.start].count(b"\n")
            position = read - len(error.object) + error.start + 1
            return f"byte {position} (0x{error.object[error.start]:02X}), in line {line}"
    return None


def _is_mostly_utf8(path: Path) -> bool:
    """Return whether most of what is beyond ASCII is UTF-8. In a code page hardly any letter looks so."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    good = bad = 0
    for part in _parts(path):
        text = decoder.decode(part, final=not part)
        beyond = len(text) - len(text.encode("ascii", "ignore"))
        lost = len(re.sub("[^\udc80-\udcff]+", "", text))
        good, bad = good + beyond - lost, bad + lost
    return good > bad


# --- Lines -----------------------------------------------------------------------------------------


class _Lines:
    """The lines of a file as csv asks for them. All but the first of those that were taken can be put back."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self.first = 1  # the number of the first one that was taken

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._stream.readline(LONGEST)
        if not line:
            raise StopIteration
        self._taken.append(line)
        if len(line) == LONGEST:
            number = self.first + len(self._taken) - 1
            raise Unreadable(
                f"Line {number} does not end: is this really one record a line?"
            )
        return line

    @property
    def size(self) -> int:
        """How many characters were taken."""
        return sum(map(len, self._taken))

    def have(self, text: str) -> bool:
        """Return whether a text stands in one of those that were taken."""
        return any(text in line for line in self._taken)

    def begin(self) -> None:
        """Begin another record."""
        self.first += len(self._taken)
        self._taken.clear()

    def put_back(self) -> str:
        """Put back all but the first line, and return that one."""
        line, *others = self._taken
        self._again.extendleft(reversed(others))
        self._taken = [line]
        return line


def _records(lines: _Lines, delimiter: str) -> Iterator[Row]:
    """Yield what stands in the lines, blank ones left out.

    A line whose quotes are not right has a fault and ends with itself: what follows is read anew.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin()
        fault = ""
        try:
            found = next(reader, None)
        except csv.Error:
            found, fault = _loosely(lines.put_back(), delimiter), NOT_CLOSED
        if found is None:
            return
        if any(map(str.strip, found)):
            more = LOOK_AT_QUOTES if fault else ""
            if lines.have(cells.BEGINNING):
                found = [*map(cells.text_of, found)]
            yield Row(lines.first, found, lines.size, fault, more)


def _loosely(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line whose quotes are not right, for people to look at."""
    return line.rstrip("\r\n").split(delimiter)


# --- Tables ----------------------------------------------------------------------------------------


class Table:
    """A file with a header and a record a row.

    `header` holds the headings of fields. `has_more` is known when all rows were read once.
    """

    def __init__(
        self, path: Path, encoding: str, delimiter: str | None, known: Callable[[str], bool]
    ):
        """Read the header. Unless it is told, the delimiter is the one that makes most headings `known`."""
        self.path, self.encoding = path, encoding
        self._first_line = self._said_by_first_line()
        told = delimiter or self._first_line
        signs = [told] if told else DELIMITERS
        headers = {sign: self._header(sign) for sign in signs}
        fitness = {sign: _fitness(header, known) for sign, header in headers.items()}
        self.delimiter = max(fitness, key=fitness.__getitem__)
        self._columns = _columns(headers[self.delimiter])
        self._places = [
            at for at, it in enumerate(self._columns) if it not in cells.NO_FIELDS
        ]
        self.header = [self._columns[at] for at in self._places]
        self.has_more = False

    @property
    def kind(self) -> str:
        """What it is, for people."""
        sign = "tabs" if self.delimiter == "\t" else f'"{self.delimiter}"'
        return f"{_shown(self.encoding)}, cells separated by {sign}"

    def rows(self) -> Iterator[Row]:
        """Yield all rows but the header."""
        with reading(self.path), self._open() as stream:
            rows = self._records(stream, self.delimiter)
            next(rows, None)
            yield from map(self._checked, rows)

    def _open(self) -> TextIO:
        return self.path.open(encoding=self.encoding, newline="")

    def _said_by_first_line(self) -> str | None:
        """Return the delimiter that a first line for Excel names: `sep=;`."""
        with self._open() as stream:
            found = SEPARATOR_LINE.fullmatch(stream.readline(PART))
        return found[1] if found else None

    def _records(self, stream: TextIO, delimiter: str) -> Iterator[Row]:
        lines = _Lines(stream)
        if self._first_line:
            next(lines, None)
        return _records(lines, delimiter)

    def _header(self, delimiter: str) -> Row:
        with self._open() as stream:
            row = next(self._records(stream, delimiter), None)
        if row is None:
            raise Unreadable(f"{self.path} {NO_RECORDS}")
        return row

    def _checked(self, row: Row) -> Row:
        """Return a row with the cells of fields, and the fault of their number."""
        found = _without_blank_end(row.values, len(self._columns))
        if self._is_whole(found) and not row.fault:
            return row._replace(values=found)
        own = found[: len(self._columns)]
        more = self._more(found, row.more)
        self.has_more |= bool(more)
        values = [own[at] for at in self._places if at < len(own)]
        fault = row.fault or self._fault(values, more)
        return Row(row.line, values, row.size, fault, more)

    def _is_whole(self, found: list[str]) -> bool:
        return (
            len(found) == len(self._columns) == len(self.header)
            and cells.MISSING not in found
        )

    def _more(self, found: list[str], remark: str) -> str:
        """Return what stands behind the last column, here or where these cells come from, and a remark."""
        behind = [*found[len(self._columns) :]]
        named = zip(self._columns, found, strict=False)
        behind += [cell for heading, cell in named if heading == cells.MORE]
        return self.delimiter.join(filter(str.strip, [*behind, remark]))

    def _fault(self, values: list[str], more: str) -> str:
        count, width = len(values) - values.count(cells.MISSING), len(self.header)
        if more:
            return f"It has more cells than the {width} of the header."
        return "" if count == width else f"It has {count} cells, the header has {width}."


def _fitness(header: Row, known: Callable[[str], bool]) -> tuple[bool, int, int]:
    """Return how well a header is read; with another delimiter its quotes are not right."""
    return not header.fault, sum(map(known, header.values)), len(header.values)


def _columns(header: Row) -> list[str]:
    if header.fault:
        raise Unreadable(f"Line {header.line} should be the header. {header.fault}")
    return _without_blank_end(header.values, 0)


def _without_blank_end(found: list[str], width: int) -> list[str]:
    """Return cells without the blank ones behind so many: programs end rows with a delimiter."""
    end = len(found)
    while end > width and not found[end - 1].strip():
        end -= 1
    return found[:end]


# --- JSON ------------------------------------------------------------------------------------------


class Objects:
    """A file of JSON objects: one a line, or all in one list.

    `header` holds the names of their members, which are known when all were read once.
    """

    def __init__(self, path: Path, encoding: str):
        self.path, self.encoding = path, encoding
        self.has_more = False
        self._names: dict[str, None] = {}
        with self._open() as stream:
            self._is_list = _first_letter(stream) == "["

    @property
    def header(self) -> list[str]:
        """The names of members so far."""
        return [*self._names]

    @property
    def kind(self) -> str:
        """What it is, for people."""
        form = "a JSON list" if self._is_list else "a JSON object a line"
        return f"{_shown(self.encoding)}, {form}"

    def rows(self) -> Iterator[Row]:
        """Yield all records."""
        with reading(self.path), self._open() as stream:
            rows = _List(stream).rows() if self._is_list else _lines_of_json(stream)
            yield from map(self._noted, rows)

    def _noted(self, row: Row) -> Row:
        """Note the names of an object; anything else is for a person to look at."""
        if not isinstance(row.values, dict):
            self.has_more = True
            written = row.values if row.fault else json.dumps(row.values, default=str)
            return row._replace(more=written)
        if len(self._names) < MOST_NAMES:
            self._names.update(dict.fromkeys(row.values))
        return row

    def _open(self) -> TextIO:
        return self.path.open(encoding=self.encoding)


def _first_letter(stream: TextIO) -> str:
    while part := stream.read(PART):
        if text := part.lstrip():
            return text[0]
    return ""


def _lines_of_json(stream: TextIO) -> Iterator[Row]:
    """Yield the value of each line; one that is no JSON has a fault."""
    lines = _Lines(stream)
    for line in lines:
        if line.strip():
            yield _line_of_json(lines.first, line)
        lines.begin()


def _line_of_json(number: int, line: str) -> Row:
    try:
        return Row(number, payload.parse(line, len(line)), len(line))
    except Problem as problem:
        fault = f"It is not JSON: {problem.detail}"
        if number == 1:
            advice = "Write one object a line, or all of them in one list."
            raise Unreadable(f"Line 1: {fault} {advice}") from None
        return Row(number, line.strip(), len(line), fault)


class _List:
    """A JSON list that is read element by element."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._text, self._at = "", 0
        self._line = 1  # in which the text begins

    def rows(self) -> Iterator[Row]:
        """Yield the elements; raise Unreadable where it is no JSON."""
        self._take("[")
        if self._next() != "]":
            yield self._element()
        while self._next() == ",":
            self._take(",")
            yield self._element()
        self._take("]")
        if self._next():
            raise self._unreadable("something stands behind the list")

    def _next(self) -> str:
        """Return the next sign that is no blank, "" at the end."""
        while True:
            found = VISIBLE.search(self._text, self._at)
            self._at = found.start() if found else len(self._text)
            if found or not self._fill():
                return found[0] if found else ""

    def _take(self, sign: str) -> None:
        if self._next() != sign:
            raise self._unreadable(f"here should be {sign}")
        self._at += 1

    def _element(self) -> Row:
        self._next()
        line = self._line_of(self._at)
        while True:
            try:
                value, end = payload.DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError, Problem) as error:
                if not (isinstance(error, json.JSONDecodeError) and self._fill()):
                    raise self._unreadable(_reason(error), error) from None
            else:
                # A number at the end of the text may go on.
                if end < len(self._text) or not self._fill():
                    size, self._at = end - self._at, end
                    return Row(line, value, size)

    def _fill(self) -> bool:
        """Read some more of the file; return whether there was more."""
        rest = self._text[self._at :]
        more = self._stream.read(max(PART, len(rest))) if len(rest) < LONGEST else ""
        if more:
            self._line = self._line_of(self._at)
            self._text, self._at = rest + more, 0
        return bool(more)

    def _line_of(self, at: int) -> int:
        return self._line + self._text.count("\n", 0, at)

    def _unreadable(self, reason: str, error: Exception | None = None) -> Unreadable:
        at = error.pos if isinstance(error, json.JSONDecodeError) else self._at
        return Unreadable(f"Line {self._line_of(at)} is not JSON: {reason}.")


VISIBLE = re.compile(r"[^ \t\r\n]")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return error.msg  # its own line and column are those of the part in memory
    return (error.detail if isinstance(error, Problem) else str(error)).rstrip(".")


def _shown(encoding: str) -> str:
    return "utf-8" if encoding == "utf-8-sig" else encoding


# --- Any -------------------------------------------------------------------------------------------

Export = Table | Objects


def opened(
    path: Path, code_page: str, delimiter: str | None, known: Callable[[str], bool]
) -> Export:
    """Return a file whose encoding holds to its end; raise Unreadable."""
    with reading(path):
        check(path)
        encoding = encoding_of(path, code_page)
        with path.open(encoding=encoding) as stream:
            looks_like_json = _first_letter(stream) in ("[", "{")
        if looks_like_json or path.suffix.lower() in JSON_KINDS:
            return Objects(path, encoding)
        return Table(path, encoding, delimiter, known)
