"""Importing: `flask import`, from the first look at a file to the last line about it.

A file is read twice. The first time nothing is stored: it is seen to be readable to its end, its records are counted,
and a person is shown what they will be taken for.
"""

import io
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

import answers
import sync
from config import Settings, code_page
from engine.problems import Problem
from history import Origin
from schemas import PLURALS, Schemas
from terminal import exports, headings, rejects
from terminal.exports import Export, Row, Table, Unreadable
from terminal.headings import Columns, Headings, Members
from terminal.intake import PORTION, PORTION_SIZE, Intake, Layout, portions
from terminal.rejects import Rejects
from upsert import RULES

STORED_STAYS = "What was stored stays. Import the file again: that is harmless."
ALL, SOME_REFUSED, NOT_READ = 0, 1, 2  # exit statuses
EXAMPLES = 3  # records that are shown first
CLIPPED = 60  # characters that are shown of a value
TENTHS = (
    10  # parts of a file after each of which a line is written where there is no terminal
)

Advance = Callable[[int], None]  # is told how many records more are done


@dataclass(frozen=True)
class Wishes:
    """What the command was told. `names` are fields by heading; those of former imports are `kept_in` a file."""

    path: Path
    entity: str
    code_page: str
    delimiter: str | None
    names: headings.Names
    rejected: Path
    kept_in: Path
    dry_run: bool
    atomic: bool
    yes: bool


def wishes(
    settings: Settings,
    schemas: Schemas,
    folder: str,
    *,
    entity: str,
    file: Path,
    encoding: str | None,
    delimiter: str | None,
    names: Sequence[str],
    rejected: Path | None,
    **switches: bool,
) -> Wishes:
    """Return what a command line says; raise ValueError or SettingError. Headings are kept below `folder`."""
    entity = PLURALS.get(entity, entity)
    return Wishes(
        path=file,
        entity=entity,
        code_page=code_page(encoding or settings.import_encoding),
        delimiter=exports.delimiter_of(delimiter) if delimiter else None,
        names=headings.said(names, schemas[entity]),
        rejected=rejected or rejects.beside(file),
        kept_in=Path(folder) / "import" / f"{entity}.json",
        **switches,
    )


@dataclass
class Look:
    """What a first reading tells: how many records there are, of how many characters, and a few of them."""

    count: int = 0
    size: int = 0
    first: list[Row] = field(default_factory=list)
    telling: list[Row] = field(default_factory=list)  # with letters beyond ASCII

    @property
    def examples(self) -> list[Row]:
        """The rows to show: those that tell most about the encoding."""
        others = [row for row in self.first if row not in self.telling]
        return sorted([*self.telling, *others][:EXAMPLES], key=lambda row: row.line)

    def note(self, row: Row) -> None:
        """Take in a record."""
        self.count += 1
        self.size += row.size
        if row.fault:
            return
        if len(self.first) < EXAMPLES:
            self.first.append(row)
        if len(self.telling) < EXAMPLES and not is_ascii(row.values):
            self.telling.append(row)


def is_ascii(values: Any) -> bool:
    """Return whether the cells of a row, or a JSON value, are ASCII."""
    texts = values if isinstance(values, list) else [str(values)]
    return "".join(map(str, texts)).isascii()


def look_at(export: Export) -> Look:
    """Read a file to its end; raise Unreadable if that cannot be done, or it holds no records."""
    look = Look()
    for row in export.rows():
        look.note(row)
    if not look.count:
        raise Unreadable(f"{export.path} {exports.NO_RECORDS}")
    return look


def run(schemas: Schemas, settings: Settings, wishes: Wishes) -> int:
    """Import a file, and return the exit status."""
    print_whatever_comes()
    work = _Import(schemas, settings, wishes)
    try:
        return work.run()
    except Unreadable as error:
        return nothing_imported(str(error))
    except KeyboardInterrupt:
        if not work.is_storing:
            return nothing_imported("It was interrupted.")
        click.echo(f"It was interrupted. {STORED_STAYS}", err=True)
        return NOT_READ


def nothing_imported(why: str) -> int:
    """Tell so, and return the exit status."""
    click.echo(f"Nothing was imported. {why}", err=True)
    return NOT_READ


class _Import:
    """One run of the command."""

    def __init__(self, schemas: Schemas, settings: Settings, wishes: Wishes):
        self.schemas, self.settings, self.wishes = schemas, settings, wishes
        self.schema = schemas[wishes.entity]
        self.names: dict[str, str] = {}
        self.stamp: object = None
        self.is_storing = False

    def run(self) -> int:
        """Look, show, ask and store; raise Unreadable before anything is stored."""
        wishes = self.wishes
        self.names = headings.kept(self.wishes.kept_in, self.schema) | {**wishes.names}
        known = Headings(self.schema, self.names)
        self.stamp = exports.stamp(wishes.path)
        export = exports.opened(
            wishes.path, wishes.code_page, wishes.delimiter, known.knows
        )
        if isinstance(export, Table):
            known.check(export.header)
        look = look_at(export)
        self._check_size(look)
        layout = laid_out(known, export)
        self._show(export, look, layout, known)
        if not self._agreed():
            return nothing_imported("Look at --encoding, --delimiter and --map.")
        self._keep_names()
        return self._store(export, look, layout)

    def _check_size(self, look: Look) -> None:
        most, size = self.settings.max_batch, self.settings.max_content_length
        if self.wishes.atomic and (look.count > most or look.size > size):
            raise Unreadable(
                f"An atomic import is held in memory, so it takes {most:,} records and {size:,} characters at most"
                " (MAX_BATCH, MAX_CONTENT_LENGTH). Import without --atomic: to do it again is harmless."
            )

    # Showing

    def _show(self, export: Export, look: Look, layout: Layout, known: Headings) -> None:
        click.echo(f"{export.path}: {export.kind}, {look.count:,} records")
        for heading in export.header:
            if known.is_said(heading):
                click.echo(f'"{clipped(heading)}" is {known.field(heading)}')
        if unknown := known.unknown(export.header):
            click.echo(f"Not known here, left out: {clean(headings.listed(unknown))}")
        for heading in known.not_in(export.header, self.wishes.names):
            click.echo(f'--map: there is no "{clipped(heading)}" in this file.', err=True)
        for row in look.examples:
            click.echo(f"line {row.line}: {shown(layout, row)}")

    def _agreed(self) -> bool:
        """Ask whether to go on, if there is somebody to ask."""
        if self.wishes.yes or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return True
        try:
            return click.confirm("Is this right? Import it?")
        except click.Abort:
            return False

    def _keep_names(self) -> None:
        """Keep what was said of headings for the next time."""
        if not self.wishes.names or self.wishes.dry_run:
            return
        try:
            headings.keep(self.wishes.kept_in, self.names)
        except OSError as error:
            reason = f"{self.wishes.kept_in} cannot be written ({error.strerror})"
            click.echo(f"{reason}: say the headings again the next time.", err=True)
        else:
            click.echo(f"What --map said is kept in {self.wishes.kept_in}.")

    # Storing

    def _store(self, export: Export, look: Look, layout: Layout) -> int:
        wishes = self.wishes
        rejected = self._begin_rejects(export, layout)
        options = sync.Options(wishes.atomic, wishes.dry_run, minimal=True)
        intake = Intake(self.schemas, wishes.entity, layout, rejected, options)
        noted = replace(options, origin=self._origin())
        self.is_storing = True
        stopped, whole = "", False
        try:
            stopped = self._take_all(export, look, intake)
            whole = not stopped
        finally:
            not_placed = self._place(rejected, whole=whole)
        stopped = " ".join(filter(None, [stopped, not_placed]))
        sync.note_afterwards(noted, {wishes.entity: intake.report})
        self._tell(intake, rejected, stopped)
        if stopped:
            return NOT_READ
        return SOME_REFUSED if rejected.count else ALL

    def _take_all(self, export: Export, look: Look, intake: Intake) -> str:
        """Store portion after portion; return why that ended early, or "" ."""
        try:
            with progress(look.count) as advance:
                for portion in portions(export.rows(), *self._room()):
                    intake.take(portion)
                    advance(len(portion))
        except KeyboardInterrupt:
            return "It was interrupted."
        except Problem as problem:
            return problem.detail
        except Unreadable as error:
            return str(error)
        except OSError as error:  # those of the exported file are Unreadable
            return f"{self.wishes.rejected} cannot be written ({error.strerror})."
        changed = exports.stamp(self.wishes.path) != self.stamp
        return f"{self.wishes.path} changed meanwhile." if changed else ""

    def _room(self) -> tuple[int, int]:
        """Return how many records are worked on at once, and of how many characters."""
        if self.wishes.atomic or self.wishes.dry_run:
            return self.settings.max_batch, self.settings.max_content_length
        return PORTION, PORTION_SIZE

    def _place(self, rejected: Rejects, *, whole: bool) -> str:
        try:
            rejected.place(whole=whole)
        except OSError as error:
            return f"The refused records could not be put into {rejected.path} ({error.strerror})."
        return ""

    def _begin_rejects(self, export: Export, layout: Layout) -> Rejects:
        path = self.wishes.rejected
        delimiter = export.delimiter if isinstance(export, Table) else ","
        # Excel opens these by itself.
        delimiter = delimiter if delimiter in (",", ";") else ","
        more = export.has_more
        try:
            return Rejects(path, layout.header, has_more=more, delimiter=delimiter)
        except OSError as error:
            raise Unreadable(
                f"No file can be written into {path.parent} ({error.strerror})."
                " Say with --rejected where the refused records shall go."
            ) from None

    def _origin(self) -> Origin:
        path = f"flask import {RULES[self.wishes.entity].plural}"
        return Origin(uuid.uuid4().hex, "command", path, self.settings.history_days)

    # Telling

    def _tell(self, intake: Intake, rejected: Rejects, stopped: str) -> None:
        wishes = self.wishes
        counts = answers.totals([intake.report])
        told = ", ".join(f"{counts[name]:,} {name}" for name in answers.ACTIONS)
        click.echo(f"{counts['total']:,} records: {told}, {counts['failed']:,} refused.")
        self._tell_some("warning", intake.warnings, intake.warned)
        self._tell_some("refused", intake.refusals, rejected.count)
        self._tell_of_rejects(rejected)
        if wishes.dry_run:
            click.echo("This was a dry run: nothing was stored.")
        elif wishes.atomic and counts["failed"]:
            click.echo("Nothing was stored, for all or nothing was asked for.")
        if stopped:
            click.echo(f"Not all was imported. {stopped} {STORED_STAYS}", err=True)

    def _tell_some(self, name: str, lines: list[str], count: int) -> None:
        for line in lines:
            click.echo(f"  {name}, {clean(line)}")
        if count > len(lines):
            click.echo(f"  {name}, and {count - len(lines):,} more")

    def _tell_of_rejects(self, rejected: Rejects) -> None:
        if rejected.put_aside:
            click.echo(f"The former {rejected.path.name} is now {rejected.put_aside}.")
        if rejected.count:
            click.echo(
                f"The refused records are in {rejected.path}, each with its reasons."
                f" Mend them there, and import that file in the same way."
            )


def print_whatever_comes() -> None:
    """Let a letter that a terminal or log does not have be a question mark, not the end of an import."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def laid_out(known: Headings, export: Export) -> Layout:
    """Return how the rows of a file become records; raise Unreadable if its headings are not right."""
    if isinstance(export, Table):
        return Columns(known, export.header)
    return Members(known, export.header)


def shown(layout: Layout, row: Row) -> str:
    """Return a row as a person is shown it."""
    record = layout.record(row)
    if not isinstance(record, dict):
        return clipped(str(record))
    return ", ".join(f"{name}={clipped(str(value))}" for name, value in record.items())


def clipped(text: str) -> str:
    """Return the beginning of a text, for one line of a terminal."""
    return clean(text if len(text) <= CLIPPED else f"{text[:CLIPPED]}…")


def clean(text: str) -> str:
    """Return a text without what moves a terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


# --- Progress ------------------------------------------------------------------------------------


@contextmanager
def progress(total: int) -> Iterator[Advance]:
    """Show how many of so many records are done: as a bar on a terminal, else a line now and then."""
    if not sys.stdout.isatty():
        yield Lines(total).advance
        return
    started, done = time.monotonic(), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        bar.update(count, f"{rate(done, started):,} a second")

    with click.progressbar(
        length=total,
        label="Importing",
        show_pos=True,
        item_show_func=lambda told: told,
    ) as bar:
        yield advance


def rate(done: int, started: float) -> int:
    """Return how many records were done a second."""
    return round(done / max(time.monotonic() - started, 0.001))


class Lines:
    """Progress in lines, one after each tenth."""

    def __init__(self, total: int):
        self._total, self._done = total, 0
        self._started = time.monotonic()

    def advance(self, count: int) -> None:
        """Note that so many records more are done."""
        before = self._done * TENTHS // self._total
        self._done += count
        if self._done * TENTHS // self._total > before:
            self._write()

    def _write(self) -> None:
        a_second = rate(self._done, self._started)
        left = (self._total - self._done) // max(a_second, 1)
        click.echo(
            f"{self._done:,} of {self._total:,} records, {a_second:,} a second, {left} seconds left"
        )
