"""A record as a whole, and the schemas and the tables."""

import pytest
import sqlalchemy as sa
from test_values import (
    IDENTIFIERS,
    LEAST,
    SCHEMAS,
    SLOT,
    TEXTS,
    refused,
)

from engine.entity import json_name
from engine.problems import ValidationFailed
from models import db

# --- The record as a whole ---------------------------------------------------------------------


def test_all_wrong_fields_are_told_at_once():
    wrong = {
        "nationalID": 1.5,
        "name": " ",
        "email": "x",
        "gender": "x",
        "bloodType": "x",
        "isActive": "x",
    }
    wrong |= {
        "dateOfBirth": "15/06/2026",
        "firstName": "x" * 201,
        "mobile": [],
        "PHONE": "1",
        "phone": "2",
    }
    errors = refused("patient", wrong)
    assert set(map(json_name, errors)) == wrong.keys() - {"PHONE"}
    assert all(len(sentences) == 1 for sentences in errors.values())


def test_a_missing_identity_is_told_together_with_a_wrong_field():
    assert refused("patient", {"name": "Sara", "email": "x"}).keys() == {
        "patient_no",
        "email",
    }


def test_a_wrong_time_to_is_told_together_with_a_wrong_field():
    errors = refused("appointment", SLOT | {"timeTo": "10:00", "status": "x" * 41})
    assert errors.keys() == {"time_to", "status"}


@pytest.mark.parametrize(
    ("entity", "sent", "missing"),
    [
        ("clinic", {}, {"code"}),
        ("clinic", {"name": "North", "code": " "}, {"code"}),
        ("doctor", {"name": "Sara"}, {"code"}),
        ("doctor", {"name": "Sara", "code": "", "licenseNumber": None}, {"code"}),
        ("patient", {}, {"patient_no"}),
        ("patient", {"name": "Sara"}, {"patient_no"}),
        ("patient", {"mobile": "0502222222"}, {"patient_no"}),
        ("patient", {"mobile": " ", "name": "Sara"}, {"patient_no"}),
        ("appointment", {}, {"patient_no", "date", "time_from"}),
        ("appointment", {"patientNo": "P-1"}, {"date", "time_from"}),
        ("appointment", {"patientId": 17, "date": "2026-06-15"}, {"time_from"}),
        (
            "appointment",
            {"patientId": 0, "date": "2026-06-15", "timeFrom": "10:30"},
            {"patient_no"},
        ),
        (
            "appointment",
            {"date": "2026-06-15", "timeFrom": "10:30", "doctorCode": "D-1"},
            {"patient_no"},
        ),
    ],
)
def test_a_record_without_identity_is_refused(entity, sent, missing):
    assert refused(entity, sent).keys() == missing


@pytest.mark.parametrize(
    ("entity", "sent", "key"),
    [
        ("clinic", {"code": "c-1"}, "C-1"),
        ("doctor", {"code": "d-1", "licenseNumber": "l-1"}, "D-1"),
        ("doctor", {"licenseNumber": "l-1"}, "L-1"),
        (
            "patient",
            {"nationalID": "1", "patientNo": "p-1", "mobile": "0502222222", "name": "S"},
            "P-1",
        ),
        ("patient", {"nationalID": "١", "mobile": "0502222222", "name": "S"}, "1"),
        ("patient", {"mobile": "0502222222", "name": "S"}, "+966502222222"),
        (
            "patient",
            {"mobile": "0502222222", "name": "S", "patientNo": " "},
            "+966502222222",
        ),
        ("appointment", SLOT | {"appointmentNo": "a-1"}, "A-1"),
        ("appointment", SLOT, "P-1 2026-06-15 10:30"),
        ("appointment", SLOT | {"timeFrom": "10:00:00"}, "P-1 2026-06-15 10:00"),
        (
            "appointment",
            {"patientId": 17, "date": "2026-06-15", "timeFrom": "10:30"},
            "#17 2026-06-15 10:30",
        ),
        ("appointment", SLOT | {"patientId": 17}, "P-1 2026-06-15 10:30"),
    ],
)
def test_the_key_is_the_first_identifier_that_a_record_carries(entity, sent, key):
    schema = SCHEMAS[entity]
    assert schema.clean_all([sent]).keys[0] == key


@pytest.mark.parametrize(
    ("entity", "sent", "key"),
    [
        ("patient", {"patientNo": "p-3", "email": "x"}, "P-3"),
        ("patient", {"patientNo": 1.5, "nationalID": "7"}, "7"),
        ("patient", {"patientNo": 1.5}, None),
        ("clinic", {"name": "North"}, None),
        ("appointment", SLOT | {"timeTo": "x"}, "P-1 2026-06-15 10:30"),
        ("appointment", {"patientNo": "P-1", "date": "2026-06-15"}, None),
    ],
)
def test_a_refused_record_tells_its_key(entity, sent, key):
    with pytest.raises(ValidationFailed) as caught:
        SCHEMAS[entity].clean(sent)
    assert caught.value.key == key


@pytest.mark.parametrize("entity", LEAST)
def test_a_sample_is_clean_without_a_warning(entity, samples):
    data, warnings = SCHEMAS[entity].clean(samples[entity])
    assert warnings == []
    assert set(map(json_name, data)) == samples[entity].keys()


# --- Schemas and tables ------------------------------------------------------------------------


def _column(entity: str, name: str) -> sa.Column | None:
    return db.metadata.tables[entity].columns.get(name)


@pytest.mark.parametrize(
    ("entity", "name"), [*TEXTS, *IDENTIFIERS, ("patient", "mobile"), ("clinic", "email")]
)
def test_a_text_field_is_as_long_as_its_column(entity, name):
    column = _column(entity, name)
    expected = 64 if column is None else column.type.length  # a reference is no column
    assert SCHEMAS[entity].load_fields[name].length == expected


@pytest.mark.parametrize(
    ("entity", "name"),
    [("patient", "gender"), ("doctor", "gender"), ("patient", "blood_type")],
)
def test_every_choice_fits_its_column(entity, name):
    choices = SCHEMAS[entity].load_fields[name].spellings.values()
    assert max(map(len, choices)) <= _column(entity, name).type.length


@pytest.mark.parametrize("entity", LEAST)
def test_every_field_is_a_column_or_a_reference(entity):
    references = {
        "doctor": {"clinic_codes"},
        "appointment": {"patient_no", "doctor_code", "clinic_code"},
    }
    own = {"id", "created_at", "updated_at"}
    bookkeeping = {"version", "contact_key", "contact_rank", "slot_key", "slot_rank"}
    columns = set(db.metadata.tables[entity].columns.keys()) - bookkeeping
    assert set(SCHEMAS[entity].load_fields) == columns - own | references.get(entity, set())
    assert set(SCHEMAS[entity].dump_fields) == columns | references.get(entity, set())
