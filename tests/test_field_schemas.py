"""What the OpenAPI document says of each field is what the service takes."""

from typing import Any

import pytest
from flask import Flask
from test_openapi import errors

from engine.entity import json_name
from upsert import RULES

# What a field takes and what not, at the edges. A schema cannot say that lengths count after trimming, nor which marks
# are invisible, nor which days a month has: such values are not here.
VALUES: list[Any] = [
    *(
        None,
        "",
        " ",
        "x",
        7,
        10928,
        -1,
        0,
        1,
        1.5,
        True,
        False,
        [],
        [None, "C-1"],
        [7],
        [1.5],
        {},
        "x" * 64,
        "x" * 65,
    ),
    *(
        "x" * 200,
        "x" * 201,
        "x" * 4001,
        "a\tb",
        "a\nb",
        "\x00",
        "\x85",
        "\n x \t",
        "true",
        "FALSE",
        "yes",
        "1",
    ),
    *(
        "Male",
        " m ",
        "fEMALE",
        "F",
        "a+",
        "AB -",
        "O+ve",
        "o \u2212",
        "A",
        "male x",
        2**63 - 1,
        2**63,
    ),
    *(
        "2020-06-15",
        "2020-06-15T00:00:00",
        "2020-06-15 10:30:00.1234567+03:00",
        "2020-06-15T10:30Z",
        "0001-01-01",
    ),
    *(
        "15/06/2020",
        "20200615",
        "2020-13-01",
        "/Date(1592179200000)/",
        "/Date(1592179200000+0300)/",
        "2020-06-15T25:00",
    ),
    *(
        "10:30",
        "10:30:00",
        "10:30:00.0000000",
        "24:00",
        "9:30",
        "10:60",
        "10:30 pm",
        "a@b.example",
        "a@b",
        "a b@c.example",
    ),
]


@pytest.mark.parametrize("entity", RULES)
def test_the_schema_of_what_is_sent_takes_what_the_service_takes(
    sqlite_app: Flask, document: dict[str, Any], entity: str
) -> None:
    schema = sqlite_app.extensions["schemas"][entity]
    told = document["components"]["schemas"][entity.title()]["properties"]
    differing = []
    for name, field in schema.load_fields.items():
        for value in VALUES:
            described = errors(document, told[json_name(name)], value) == []
            if described != takes(field, value):
                differing.append((json_name(name), value, described))
    assert differing == []


def takes(field: Any, value: Any) -> bool:
    """Tell whether a field takes a value (null is always absent)."""
    try:
        return value is None or field.clean(value) is not Ellipsis
    except ValueError:
        return False
