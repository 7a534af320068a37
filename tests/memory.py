"""How much memory a body takes: run as a program, it posts hostile bodies, each in a process of its own.

`python tests/memory.py URL` prints JSON: by body the status, and the peak in times of the body.
"""

import ctypes
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from string import ascii_letters
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

KEY = "a-key-for-the-tests-only"
SIZE = 17 * 1024 * 1024  # one more than the FLOOR
ARABIC, EMOJI, ESCAPED = "ع".encode(), "😀".encode(), b"\\ud83d\\ude00"
PART = 65536

Body = Callable[[], Iterator[bytes]]


def many(unit: bytes, before: bytes = b"[", after: bytes = b"]") -> Body:
    """Return a body of a list of one element again and again."""
    return repeated(unit + b",", before, unit + after)


def repeated(unit: bytes, before: bytes, after: bytes) -> Body:
    """Return a body of about SIZE bytes, most of which are one text again and again."""
    times = PART // len(unit)

    def parts() -> Iterator[bytes]:
        yield before
        for _ in range(SIZE // (times * len(unit))):
            yield unit * times
        yield after

    return parts


def named(value: bytes, letters: int, before: bytes = b"{", after: bytes = b"}") -> Body:
    """Return a body of one object with as many different names as go into SIZE bytes."""

    def parts() -> Iterator[bytes]:
        yield before
        left = SIZE
        for name in product(ascii_letters, repeat=letters):
            member = b'"%s":%s,' % ("".join(name).encode(), value)
            left -= len(member)
            if left < 0:
                break
            yield member
        yield b'"last":0' + after

    return parts


BODIES: dict[str, tuple[str, Body]] = {
    "lists": ("patients", many(b"[]")),
    "objects": ("patients", many(b"{}")),
    "lists of one": ("patients", many(b"[0]")),
    "lists of lists": ("patients", many(b"[[0]]")),
    "lists, 900 deep": ("patients", many(b"[" * 900 + b"]" * 900)),
    "lists that never end": ("patients", repeated(b"[", b"", b"")),
    "objects in objects": ("patients", many(b'{"":{}}')),
    "objects of one member": ("patients", many(b'{"a":1}')),
    "objects for /sync": ("sync", many(b"{}", b'{"a":[', b"]}")),
    "patients for /sync": ("sync", many(b"{}", b'{"patients":[', b"]}")),
    "lists in a record": ("patient", many(b"[]", b'{"name":[', b"]}")),
    "names": ("patient", named(b"1", 4)),
    "names in a list": ("patients", named(b"1", 6, b"[{", b"}]")),
    "names for /sync": ("sync", named(b"1", 4)),
    "names with objects": ("patient", named(b"{}", 4)),
    "names with texts": ("patient", named(b'"xy"', 5)),
    "small numbers": ("patients", many(b"1")),
    "numbers": ("patients", many(b"257")),
    "fractions": ("patients", many(b"1.5")),
    "exponents": ("patients", many(b"1e5")),
    "long numbers": ("patients", many(b"1" * 4000)),
    "blanks": ("patients", many(b'""')),
    "short texts": ("patients", many(b'"ab"')),
    "short Arabic texts": ("patients", many(b'"%s"' % (ARABIC * 2))),
    "short emoji": ("patients", many(b'"%s"' % (EMOJI * 2))),
    "short escapes": ("patients", many(b'"a%s"' % ESCAPED)),
    "text encoded twice": ("patients", repeated(b"[", b'"', EMOJI + b'"')),
    "escapes": ("patient", repeated(ESCAPED, b'{"x":"', b'"}')),
    "one emoji in a long text": ("patients", repeated(b"a", b'["%s' % EMOJI, b'"]')),
    "an emoji behind it": ("patients", repeated(b"a", b'["', EMOJI + b'"]')),
    "an escape behind it": ("patients", repeated(b"a", b'["', ESCAPED + b'"]')),
    "a long name": ("patient", repeated(b"a", b'{"\xc3\xa9', b'":1}')),
    "a long name with an emoji": ("patient", repeated(b"a", b'{"%s' % EMOJI, b'":1}')),
    "a long name for /sync": ("sync", repeated(b"a", b'{"%s' % EMOJI, b'":1}')),
    "a byte order mark": (
        "patients",
        repeated(b"a", b'\xef\xbb\xbf["%s' % EMOJI, b'"]'),
    ),
    "blanks around": ("patients", repeated(b" ", b'["%s"]' % EMOJI, b"\n")),
    "nothing but blanks": ("patients", repeated(b" ", b"", b"")),
    "no JSON": ("patients", repeated(b"a", b'["%s' % EMOJI, b'"x]')),
    "no UTF-8": ("patients", repeated(b"a", b'["%s' % EMOJI, b'\xff"]')),
}


class Stream:
    """What hands on the parts of a body, and holds none."""

    def __init__(self, body: Body):
        self._parts = body()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; they are never more than PART."""
        wanted, found = (PART if size < 0 else size) // 2, []
        while wanted > 0 and (part := next(self._parts, b"")):
            found.append(part)
            wanted -= len(part)
        return b"".join(found)


def peak_of(post: Callable[[str, Any], str], name: str) -> tuple[int, float]:
    """Post a body in a process of its own; returns the status and the peak in times of the body."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        path, body = BODIES[name]
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        status = int(post(path, Stream(body))[:3])
        os.write(write, json.dumps([status, (_status("VmHWM") - before) / SIZE]).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as told:
        return tuple(json.load(told))


def _status(name: str) -> int:
    """Return a figure of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main(url: str) -> None:
    from app import create_app

    app = create_app(API_KEYS=f"tests:{KEY}", DATABASE_URL=url, LOG_LEVEL="CRITICAL")
    ctypes.CDLL(None).mallopt(-3, 4 << 20)  # as gunicorn.conf.py

    def post(path: str, body: Any) -> str:
        told: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": f"/api/healthcare/{path}",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "CONTENT_TYPE": "application/json",
            "HTTP_X_API_KEY": KEY,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "wsgi.url_scheme": "http",
            "wsgi.input": body,
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
        }
        answer = app(environ, lambda status, *_: told.append(status))
        for _ in answer:
            pass
        answer.close()
        return told[0]

    post("patient", io.BytesIO(b'{"patientNo": "W-1", "name": "Warm Up"}'))
    print(json.dumps({name: peak_of(post, name) for name in BODIES}))


if __name__ == "__main__":
    main(sys.argv[1])
