"""Hostile bodies: those that are no record at all."""

from collections.abc import Iterator

from conftest import API
from hostile_records import (
    PLAIN,
    Request,
)

# --- Bodies that are no record at all ----------------------------------------------------------

NO_JSON = [
    *(
        b"",
        b" ",
        b"\n",
        b"\x00",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"{",
        b"}",
        b"[",
        b"[,]",
        b"{,}",
        b'"',
        b"'",
    ),
    *(
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"nan",
        b"1e400",
        b"-1e400",
        b"1" * 5000,
        b"-" + b"1" * 5000,
        b"01",
        b"0x1",
        b"1.",
    ),
    *(
        b"undefined",
        b"None",
        b"True",
        b"nul",
        b"{}{}",
        b"[][]",
        b"{} x",
        b"{a: 1}",
        b"{'a': 1}",
        b"[1,]",
        b"/**/{}",
        b"--",
    ),
    *(
        PLAIN + b', "x": NaN}',
        PLAIN + b', "x": 1e999}',
        PLAIN + b', "x": -Infinity}',
        PLAIN + b', "x": ' + b"7" * 5000 + b"}",
    ),
    *(
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ),
    *(
        b'[{"a":' * 50_000,
        PLAIN + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 20_000 + b"]" * 20_000,
    ),
    *(
        PLAIN + b', "x": ' + b'{"y":' * 20_000 + b"1" + b"}" * 20_001,
        b"\xff",
        b"\xfe\xff\x00{\x00}",
        b"\xff\xfe{\x00}\x00",
    ),
    *(
        b'{"name": "\xc3"}',
        b'{"name": "\xed\xa0\x80"}',
        b'{"name": "\xf5\x80\x80\x80"}',
        b'{"\xe9": 1}',
        b"\x1f\x8b\x08\x00",
    ),
    *(
        b'{"name": "a\x00b"}',
        b'{"name": "a\nb"}',
        b'{"name": "\\x41"}',
        b'{"name": "\\u00"}',
        b"<xml/>",
        b"a=1&b=2",
        b"--x\r\n",
    ),
]
NO_RECORD = [
    b"null",
    b'"x"',
    b'""',
    b"1",
    b"-0",
    b"0.1",
    b"true",
    b"false",
    b'"[]"',
    b"9223372036854775808",
    b'"\\ud800"',
]
OF_THE_WRONG_KIND = [
    *(
        ("/patient", body)
        for body in (
            b"[]",
            b"[{}]",
            b"[[]]",
            b"[null]",
            b"[" + PLAIN + b"}]",
            b"[[[[[]]]]]",
        )
    ),
    *(
        ("/patients", body)
        for body in (b"{}", PLAIN + b"}", b'{"patients": []}', b'{"0": {}}')
    ),
    *(
        ("/sync", body)
        for body in (
            b"[]",
            b"[{}]",
            b'[{"patients": []}]',
            b'{"patient": []}',
            b'{"Patients": [], "patients": []}',
        )
    ),
    *(
        ("/sync", body)
        for body in (
            b'{"patients": {}}',
            b'{"patients": 1}',
            b'{"patients": "[]"}',
            b'{"patients": false}',
        )
    ),
    *(
        ("/sync", body)
        for body in (
            b'{"": []}',
            b'{"\\ud800": []}',
            b'{"\\u0000": 1}',
            b'{"x": []}',
            b'{"results": []}',
        )
    ),
    ("/sync", b'{"' + b"x" * 100_000 + b'": []}'),
    ("/sync", b'{"patients": [], "patients": {}}'),
    ("/sync", b'{"clinics": [], "doctors": 0}'),
]
NO_ELEMENT = [
    b"null",
    b"1",
    b'"x"',
    b"true",
    b"[]",
    b"[[]]",
    b"[{}]",
    b"1.5",
    b'"\\ud800"',
    b"[" * 300 + b"]" * 300,
    b"-0",
]


def odd_bodies() -> Iterator[Request]:
    for path in ("/patient", "/patients", "/sync"):
        for body in NO_JSON:
            yield Request(f"{path} {body[:30]!r}", 400, "invalid_json", API + path, body)
        for body in NO_RECORD:
            yield Request(f"{path} {body!r}", 400, "invalid_body", API + path, body)
    for path, body in OF_THE_WRONG_KIND:
        yield Request(f"{path} {body[:30]!r}", 400, "invalid_body", API + path, body)
    for element in NO_ELEMENT:
        yield Request(
            f"/patients [{element[:20]!r}]",
            422,
            None,
            f"{API}/patients",
            b"[" + element + b"]",
        )
        yield Request(
            f"/sync [{element[:20]!r}]",
            422,
            None,
            f"{API}/sync",
            b'{"patients": [' + element + b"]}",
        )
    yield Request(
        "/patients 5,000 nulls",
        422,
        None,
        f"{API}/patients",
        b"[" + b"null," * 4999 + b"null]",
    )
    yield Request("/patient {}", 422, "validation_failed", body=b"{}")
