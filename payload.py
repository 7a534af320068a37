"""A request's body: what it is written in, its bytes, its text, and the JSON in it.

Each step takes little memory, whatever was sent. README and `weight` say how much.
"""

import codecs
import json
import logging
import math
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal, InvalidOperation
from threading import Timer
from typing import Any, NoReturn, Protocol

from werkzeug.exceptions import ClientDisconnected
from werkzeug.http import parse_options_header
from werkzeug.wsgi import LimitedStream

import large
import weight
from engine.fields import SHOWN
from engine.problems import InvalidJson, PayloadTooLarge, UnsupportedMediaType

log = logging.getLogger(__name__)

PART = 64 * 1024  # bytes that are read at once
LONGEST_REST = 10  # seconds in which what is left of a refused body is read
# Windows desktops of Arabic and Western clinics write these when they do not write UTF-8.
CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "windows-1256": "cp1256",
    "windows-1252": "cp1252",
}
NAMES = {"utf-8": "UTF-8", "cp1256": "windows-1256", "cp1252": "windows-1252"}
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# In UTF-8 a character beyond U+FFFF begins with one of these bytes.
WIDE_BEGINS = b"\xf0\xf1\xf2\xf3\xf4"
WIDE = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")
BACKSLASH = ord("\\")
FEW = 32  # wide characters are few if there is one in so many bytes at most


class Stream(Protocol):
    """What the bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return some bytes, so many at most; none at the end."""


def codec_of(content_type: str, encoding: str | None) -> str:
    """Return the Python codec of a body by its headers; raise UnsupportedMediaType unless it is plain JSON."""
    kind, parameters = parse_options_header(content_type)
    charset = CHARSETS.get(
        parameters.get(
            "charset", "malformed" if "charset" in content_type.lower() else "utf-8"
        ).lower()
    )
    if encoding:
        raise UnsupportedMediaType("Send the body as it is, without Content-Encoding.")
    if kind.lower() != "application/json" and not re.fullmatch(
        r"application/[\w.+-]+\+json", kind.lower(), re.ASCII
    ):
        raise UnsupportedMediaType(
            "Send JSON with the header Content-Type: application/json"
        )
    if charset is None:
        raise UnsupportedMediaType(
            "Send UTF-8, or declare charset=windows-1256 or charset=windows-1252."
        )
    return charset


def read(stream: Stream, most: int, watch: Callable[[int], None]) -> bytearray:
    """Return all bytes; raise PayloadTooLarge beyond `most`.

    Once the body is large, `watch` is called with the number of bytes read so far.
    """
    raw = bytearray()
    while part := stream.read(PART):
        raw += part
        if len(raw) > large.SMALL:
            watch(len(raw))
        if len(raw) > most:
            raise too_large(most)
    return raw


def is_cut_off(error: Exception) -> bool:
    """Return whether an error means that the body broke off: nothing more of it can be read."""
    module = type(error).__module__
    return isinstance(error, ClientDisconnected) or module == "gunicorn.http.errors"


def take_the_rest(environ: Mapping[str, Any]) -> None:
    """Read what is still sent of a refused request's body, for LONGEST_REST seconds at most; nothing is kept.

    Most clients look for an answer only when they have sent everything. If nobody read it, their connection would break
    before, and a proxy would tell them that the service is away.
    """
    if not environ.get("wsgi.input_terminated"):
        return  # this server does not tell where the body ends
    rest = LimitedStream(environ["wsgi.input"], sys.maxsize, is_max=True)
    end = time.monotonic() + LONGEST_REST
    try:
        with _deaf_after(LONGEST_REST, environ.get("gunicorn.socket")):
            while rest.read(PART) and time.monotonic() < end:
                pass
    except Exception as error:
        if not is_cut_off(
            error
        ):  # a fault of ours; the reason of the refusal is told all the same
            log.error(type(error).__name__)


@contextmanager
def _deaf_after(seconds: float, connection: socket.socket | None) -> Iterator[None]:
    """Let a connection receive nothing more after so many seconds: a read that waits for a slow client ends then."""
    if connection is None:
        yield
        return
    timer = Timer(seconds, _stop_receiving, [connection])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stop_receiving(connection: socket.socket) -> None:
    with suppress(OSError):  # closed meanwhile
        connection.shutdown(socket.SHUT_RD)


def too_large(most: int) -> PayloadTooLarge:
    """Return the problem of a body of more bytes than that."""
    return PayloadTooLarge(f"At most {most} bytes go into one request. Send parts.")


def decode(raw: bytearray, codec: str) -> str:
    """Return the text of a body without its byte order mark, which is taken off `raw`; or raise InvalidJson."""
    save = "Save the body as a UTF-8 file and send it with: curl --data-binary @file"
    if raw.startswith(UTF_16_MARKS) or 0 in raw[:2]:  # JSON begins with ASCII
        raise InvalidJson(
            f"The body is UTF-16, as the byte at position {max(raw.find(0, 0, 2), 0)} shows. {save}"
        )
    marked = codec == "utf-8" and raw.startswith(codecs.BOM_UTF8)
    skipped = len(codecs.BOM_UTF8) if marked else 0
    del raw[:skipped]
    try:
        is_small = len(raw) <= weight.FLOOR // 2  # each character may take four bytes
        return raw.decode(codec) if is_small else _narrow(raw, codec)
    except UnicodeDecodeError as error:
        raise InvalidJson(
            f"The byte at position {error.start + skipped} is not {NAMES[codec]}. {save}"
        ) from None


def _narrow(raw: bytearray, codec: str) -> str:
    """Return the text; with a few emoji in a large one, they are written as JSON's escapes.

    Else Python would take four bytes for each of its characters. In an error message the
    column then counts the escape instead of the emoji.
    """
    text = raw.decode(codec)
    if sys.getsizeof(text) < 4 * len(text):
        return text
    wide = len(raw) - len(raw.translate(None, WIDE_BEGINS))
    if wide * FEW > len(raw):
        return text
    del text
    return WIDE.sub(_escaped, raw).decode(codec)


def _escaped(wide: re.Match[bytes]) -> bytes:
    """Return the escapes of a wide character; behind a backslash it stays, for that may be a wrong escape."""
    if wide.string[wide.start() - 1] == BACKSLASH:
        return wide[0]
    return json.dumps(wide[0].decode()).strip('"').encode()


def parse(text: str, size: int) -> Any:
    """Return the JSON in the text of a body of so many bytes; raise the problem that it has."""
    if not text or text.isspace():
        raise InvalidJson("The body is empty.")
    if size > weight.LIGHT:
        weight.refuse_heavy(text, size)
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise InvalidJson("The JSON is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise InvalidJson(
            f"{error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError:  # Python's own limit, 4,300 digits
        raise InvalidJson("A number has too many digits.") from None


def _refuse_number(text: str) -> NoReturn:
    raise InvalidJson(f"{text} is no number that JSON can hold.")


class Scientific(Decimal):
    """A number that was written with an exponent, and shows one: `1.50E+1` may have lost digits, `15.0` has not."""

    __slots__ = ()

    def __str__(self) -> str:
        return format(self, "E")


def _finite(text: str) -> Decimal:
    """Return a number with all its digits, as identifiers need."""
    kind = Scientific if "e" in text.lower() else Decimal
    try:
        return kind(text) if math.isfinite(float(text)) else _refuse_number(text[:SHOWN])
    except InvalidOperation:  # an exponent of more digits than any number has
        return _refuse_number(text[:SHOWN])


# Reads JSON with its numbers as they are written.
DECODER = json.JSONDecoder(parse_constant=_refuse_number, parse_float=_finite)
