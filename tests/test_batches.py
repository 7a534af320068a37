"""A batch of sent records: which of them is refused, parts of it, and the names of fields."""

from typing import Any

import pytest
from test_values import SCHEMAS

GOOD = {"patientNo": "P-1", "name": "Ali Hassan"}
TWICE = {"patientNo": "P-2", "PATIENTNO": "P-3", "name": "Ali Hassan"}


def refused(*records: Any) -> dict[int, list[str]]:
    """Return the names of the wrong fields of each refused record, by its place."""
    batch = SCHEMAS["patient"].clean_all(records)
    return {place: [*problem.errors] for place, problem in batch.refused.items()}


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [(17, []), ([], []), (None, []), (TWICE, ["patient_no"]), ({}, None)],
    ids=str,
)
@pytest.mark.parametrize("at", range(3))
def test_what_is_wrong_is_refused_alone(at: int, wrong: Any, fields: list | None) -> None:
    records: list[Any] = [GOOD, GOOD | {"email": "a@b.example"}]
    records.insert(at, wrong)
    found = refused(*records)
    assert [*found] == [at]
    assert fields is None or found[at] == fields
    batch = SCHEMAS["patient"].clean_all(records)
    assert batch.fit == [place for place in range(3) if place != at]
    assert [batch.keys[place] for place in range(3) if place != at] == ["P-1", "P-1"]


def test_an_empty_object_lacks_fields_and_anything_else_is_no_object() -> None:
    batch = SCHEMAS["patient"].clean_all([{}, 17])
    empty, number = batch.refused[0], batch.refused[1]
    assert empty.errors
    assert not number.errors
    assert empty.detail != number.detail


def test_a_part_of_a_batch_is_what_it_was() -> None:
    records = [GOOD | {"patientNo": f"P-{at}", "shoe": at} for at in range(4)]
    batch = SCHEMAS["patient"].clean_all(records)
    assert batch.part(range(4)) is batch
    part = batch.part([1, 3])
    assert (part.size, [*part.keys]) == (2, ["P-1", "P-3"])
    assert [part.data(at)["patient_no"] for at in range(2)] == ["P-1", "P-3"]
    assert [*part.warnings] == [0, 1]


@pytest.mark.parametrize("entity", SCHEMAS)
def test_a_field_is_known_by_its_name_in_any_case(entity: str) -> None:
    schema = SCHEMAS[entity]
    for name in schema.names:
        for spelling in (name, name.lower(), name.upper(), name[0].upper() + name[1:]):
            assert schema.field_named(spelling) == name
            assert not schema.only_answers(spelling)
    assert schema.field_named("shoeSize") is None
    assert schema.field_named("") is None


@pytest.mark.parametrize("entity", SCHEMAS)
def test_what_only_answers_carry_cannot_be_sent(entity: str) -> None:
    schema = SCHEMAS[entity]
    for spelling in ("id", "ID", "createdAt", "UpdatedAt"):
        assert schema.field_named(spelling) is None
        assert schema.only_answers(spelling)
    assert not schema.only_answers("shoeSize")
