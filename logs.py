"""Logs: one form for every line, the program's, the server's and those of requests; text for people, or JSON."""

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from traceback import format_tb
from typing import Any
from urllib.parse import quote

FORMATS = ("TEXT", "JSON")
ACCESS = logging.getLogger("access")
LONGEST_PATH = 200  # bytes that a line shows
IN_PLACE = ("requestId", "keyName", "method", "path", "status")  # of a line of text


class Facts(dict[str, Any]):
    """What a line tells besides its sentence, by the names of the sync history."""


def configure(level: str, form: str) -> None:
    """Write what this process logs to stderr in this form, unless somebody has configured logging before."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form))
    logging.basicConfig(handlers=[handler])
    logging.getLogger().setLevel(level)
    ACCESS.setLevel(logging.INFO)
    # Our revisions print their own results.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def formatter(form: str) -> logging.Formatter:
    """Return what gives lines this form, for the handlers of a server."""
    return Json() if form == "JSON" else Text()


def answered(
    environ: Mapping[str, Any],
    status: str,
    size: int,
    milliseconds: int,
    log: logging.Logger = ACCESS,
) -> None:
    """Log that a request was answered; for a WSGI server to call when all is sent.

    `environ` is the one that the application got, for the application adds to it. `status` begins
    with its number, `size` the bytes of the body.
    """
    facts = Facts(
        requestId=environ.get("request_id"),
        keyName=environ.get("key_name"),
        method=quote(str(environ.get("REQUEST_METHOD"))),
        path=_path(environ),
        status=int(status[:3]),
        **environ.get("counts", {}),
        bytes=size,
        durationMs=milliseconds,
        address=quote(environ.get("REMOTE_ADDR") or "-", safe=":"),
    )
    log.info("%(method)s %(path)s %(status)s", facts)


def _path(environ: Mapping[str, Any]) -> str:
    """Return the path of a request, quoted. Its query may hold a patient's number."""
    # WSGI decodes the bytes of a path as latin-1.
    path = environ.get("PATH_INFO", "-").encode("latin-1", "replace")
    return quote(path[:LONGEST_PATH])


class Text(logging.Formatter):
    """Time, level, request id, key's name, sentence, and the other facts as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        facts = _facts(record)
        who = [facts.get("requestId") or "-", facts.get("keyName") or "-"]
        others = [f"{name}={facts[name]}" for name in facts if name not in IN_PLACE]
        words = [_time(record), record.levelname, *who, _sentence(record), *others]
        return "\n".join([" ".join(words), *_frames(record)])


class Json(logging.Formatter):
    """An object on a line; members that have no value are left out."""

    def format(self, record: logging.LogRecord) -> str:
        members = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _sentence(record),
            **_facts(record),
            "traceback": "\n".join(_frames(record)) or None,
        }
        told = {name: value for name, value in members.items() if value is not None}
        return json.dumps(told)


def _time(record: logging.LogRecord) -> str:
    """Return when a record was made, as RFC 3339 in this machine's zone."""
    moment = datetime.fromtimestamp(record.created).astimezone()
    return moment.isoformat(timespec="milliseconds")


def _facts(record: logging.LogRecord) -> Facts:
    known = Facts(
        requestId=getattr(record, "request_id", None),
        keyName=getattr(record, "key_name", None),
    )
    if isinstance(record.args, Facts):  # others may pass a mapping with a key in it
        known |= record.args
    return Facts(
        (name, on_one_line(value) if isinstance(value, str) else value)
        for name, value in known.items()
    )


def _sentence(record: logging.LogRecord) -> str:
    sentence, args = str(_without_words(record.msg)), record.args
    if isinstance(args, tuple):
        args = tuple(map(_without_words, args))
    return on_one_line(sentence % args if args else sentence)


def _without_words(part: Any) -> Any:
    """Return the class of an error instead of what it says, which may be what a client sent, or SQL."""
    return type(part).__name__ if isinstance(part, BaseException) else part


def on_one_line(text: str) -> str:
    """Return a text whose line breaks, escape codes, marks of direction and lone surrogates are written as escapes."""
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() else _escaped(it) for it in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _frames(record: logging.LogRecord) -> list[str]:
    """Return where an error comes from; of its own words only its class, for they may hold a record's values."""
    if frames := getattr(record, "frames", None):
        return _lines(frames)
    if record.exc_info and record.exc_info[0]:
        kind, _, traceback = record.exc_info
        return [*_lines(format_tb(traceback)), kind.__name__]
    return []


def _lines(frames: list[str]) -> list[str]:
    return "".join(frames).splitlines()
