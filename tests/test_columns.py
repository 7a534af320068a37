"""A column of values comes out as each of its values alone: on one table of values for every field.

`test_every_value.py` tries whatever hypothesis finds; this is what mutants are judged by.
"""

from typing import Any

import pytest
from test_every_value import FORMS, one_by_one
from test_values import RLM, SCHEMAS

from engine.fields import Text

VALUES: list[Any] = [
    *("Ali Hassan", " Ali ", "علي حسن", "Zoe\u0308", "????", "Al?i", "-", "N/A", "", " "),
    *("P-1", "p-1", " p  1 ", "'00123", "10928.0", "1.08E+09", "0", "000", "-1", "NA"),
    *("784-1990-1234567-1", "784199012345671", "9999999999", "1000000000", "1234567890"),
    *("0502222222", "050 222 2222", "(050) 222-2222", "00966502222222", "966502222222"),
    *(
        "+966502222222",
        "+966 50 222 2222",
        "(+966) 502222222",
        "٠٥٠٢٢٢٢٢٢٢",
        f"{RLM}0502222222",
    ),
    *("0502222222.0", "050.222.2222", "+9665", "123", "+1 202 555 0123", "0502222222\n"),
    *(
        "2020-06-15",
        "2020-06-15T00:00:00",
        "2020-06-15T21:00:00Z",
        "1405-03-12",
        "2020-02-30",
    ),
    *("0001-01-01", "1900-01-01", "2999-01-01", "15/06/2020", "/Date(1592179200000)/"),
    *("10:30", "10:30:00", "24:00", "00:00", "10:30:00.0000000", "9:30", "25:00"),
    *("Male", "f", "ذكر", "Unknown", "O+", "o +ve", "ab-", "yes", "نعم", "maybe", "true"),
    *("a@b.example", "a@b", "a b@c.example", "a\nb", "a\r\nb", "a\tb", "a\x00b", "x" * 201),
    *(True, False, 1, -1, 0, 17, 2**63, 1.5, None, ["C-1", "c-1", "N/A"], [], {}),
]


@pytest.mark.parametrize(("entity", "name"), FORMS.values())
def test_a_column_comes_out_as_each_of_its_values_alone(entity: str, name: str) -> None:
    field = SCHEMAS[entity].load_fields[name]
    alone = [one_by_one(field, value) for value in VALUES]
    assert repr([*field.clean_all(VALUES)]) == repr(alone)
    for value, expected in zip(VALUES, alone, strict=True):
        assert repr([*field.clean_all([value])]) == repr([expected]), value
        assert repr([*field.clean_all([value, value])]) == repr([expected] * 2), value


TEXTS = [
    form
    for form in FORMS.values()
    if isinstance(SCHEMAS[form[0]].load_fields[form[1]], Text)
]


@pytest.mark.parametrize(("entity", "name"), TEXTS)
def test_a_column_of_what_a_field_takes_comes_out_as_each_alone(
    entity: str, name: str
) -> None:
    """No odd value keeps such a column from being done at once."""
    field = SCHEMAS[entity].load_fields[name]
    alone = {value: one_by_one(field, value) for value in VALUES if isinstance(value, str)}
    plain = {value: made for value, made in alone.items() if isinstance(made, str)}
    assert plain
    assert repr([*field.clean_all([*plain])]) == repr([*plain.values()])
