"""What older rules stored is formed anew: on each database, in chunks, and nobody is merged."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import flask_migrate
import pytest
import sqlalchemy as sa
from conftest import KEY, Portal, emptied

import rekey
import upsert
from app import create_app
from engine import canonical
from models import db
from upsert import RULES

NOW = {
    "created_at": "2026-01-01 00:00:00",
    "updated_at": "2026-01-01 00:00:00",
    "version": 1,
}
MOBILE = "+966501111111"


@pytest.fixture
def older(database_url: str, tmp_path: Path, backend: str) -> Iterator[Portal]:
    """A portal whose tables are those of the revision before the one that calls `rekey`, empty."""
    url = f"sqlite:///{tmp_path / 'clinic.db'}" if backend == "sqlite" else database_url
    app = create_app(API_KEYS=f"tests:{KEY}", DATABASE_URL=url, LOG_LEVEL="WARNING")
    with app.app_context():
        flask_migrate.upgrade()
        emptied(app)
        flask_migrate.downgrade(revision="0003")
    yield Portal(app)
    with app.app_context():
        flask_migrate.upgrade()
        emptied(app)
        db.engine.dispose()


def store(portal: Portal, table: str, *rows: dict[str, Any]) -> list[int]:
    """Store rows as older rules did, and return their ids."""
    t = db.metadata.tables[table]
    return [
        write(portal, sa.insert(t).values(**row)).inserted_primary_key[0] for row in rows
    ]


def patient(**fields: Any) -> dict[str, Any]:
    """Return a patient's row, with a contact key of older rules."""
    row = {"name": "Ali Hassan", "is_active": True} | NOW
    if "mobile" in fields:
        row |= {
            "contact_key": f"older {fields['mobile']} {fields.get('name')}",
            "contact_rank": 0,
        }
    return row | fields


def write(portal: Portal, statement: Any, *rows: Any) -> Any:
    with (
        portal.app.app_context(),
        db.engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        return connection.execute(statement, *rows)


def store_formers(portal: Portal, formers: dict[str, int]) -> None:
    rows = [
        {"entity": "patient", "value": value, "record_id": record_id}
        for value, record_id in formers.items()
    ]
    write(portal, sa.insert(db.metadata.tables["former_key"]), rows)


def upgrade(portal: Portal, capsys: pytest.CaptureFixture[str]) -> str:
    with portal.app.app_context():
        flask_migrate.upgrade()
    return capsys.readouterr().out


def values(portal: Portal, table: str, column: str) -> dict[int, Any]:
    return {row["id"]: row[column] for row in portal.stored(table)}


FORMS = {  # column, as older rules stored it: today
    "patient_no": {
        "'00123": "00123",
        "10928.0": "10928",
        "0": None,
        "N/A": None,
        "P-1": "P-1",
        "-1": None,
    },
    "national_id": {
        "784-1990-1234567-1": "784199012345671",
        "9999999999": None,
        "NULL": None,
        "N-1": "N-1",
        "1.08E+09": "1.08E+09",
    },
}


@pytest.mark.parametrize(("column", "forms"), FORMS.items())
def test_a_stored_key_takes_todays_form(
    older: Portal, capsys: pytest.CaptureFixture, column: str, forms: dict
) -> None:
    ids = store(older, "patient", *[patient(**{column: stored}) for stored in forms])
    told = upgrade(older, capsys)
    assert values(older, "patient", column) == dict(zip(ids, forms.values(), strict=True))
    assert ("would be refused today" in told) == ("1.08E+09" in forms)
    rows = {row["id"]: row for row in older.stored("patient")}
    changed = [stored != form for stored, form in forms.items()]
    assert [rows[it]["version"] > 1 for it in ids] == changed
    assert [rows[it]["updated_at"] > NOW["updated_at"] for it in ids] == changed


def test_where_another_row_holds_the_form_both_stay_and_both_ids_are_told(
    older: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, third = store(
        older, "patient", *[patient(patient_no=it) for it in ("10928.0", "10928", "'10928")]
    )
    before = older.stored("patient")
    told = upgrade(older, capsys)
    assert older.stored("patient") == before
    for stuck in (one, third):
        assert f"flask --app app merge patient {other} {stuck}" in told
    assert "10928" not in told.replace(f"patient {one}", "")


def test_the_first_of_two_takes_a_form_that_nobody_has(
    older: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = store(
        older, "patient", patient(national_id="784-1"), patient(national_id="7-841")
    )
    told = upgrade(older, capsys)
    assert values(older, "patient", "national_id") == {first: "7841", second: "7-841"}
    assert f"merge patient {first} {second}" in told


def test_a_clinic_keeps_a_code_that_is_none_and_a_doctor_does_not(
    older: Portal, capsys: pytest.CaptureFixture
) -> None:
    (clinic,) = store(
        older, "clinic", {"code": "N/A", "name": "Teeth", "is_active": True} | NOW
    )
    (doctor,) = store(
        older,
        "doctor",
        {"code": "N/A", "license_number": "L-1", "name": "Huda", "is_active": True} | NOW,
    )
    told = upgrade(older, capsys)
    assert values(older, "clinic", "code") == {clinic: "N/A"}
    assert values(older, "doctor", "code") == {doctor: None}
    assert f"clinic {clinic}: code stands for none, but is needed" in told


def test_bookings_are_formed_too(older: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    (ali,) = store(older, "patient", patient(patient_no="P-1"))
    rows = []
    for hour, number in (("10:00:00", "0"), ("11:00:00", "17.0")):
        slot = {"patient_id": ali, "date": "2026-06-15", "time_from": hour}
        keys = {
            "appointment_no": number,
            "slot_key": upsert.slot_key(*slot.values()),
            "slot_rank": 0,
        }
        rows.append(slot | keys | {"status": "Scheduled"} | NOW)
    first, second = store(older, "appointment", *rows)
    upgrade(older, capsys)
    assert values(older, "appointment", "appointment_no") == {first: None, second: "17"}
    assert values(older, "appointment", "slot_rank") == {first: 0, second: 0}


def test_former_numbers_are_formed_and_those_of_people_under_one_filler_are_gone(
    older: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = (
        {"patient_no": "P-3", "national_id": "9999999999"},
        {"patient_no": "77.0"},
        {"patient_no": "78"},
    )
    merged, ali, sara = store(older, "patient", *[patient(**its) for its in numbers])
    store_formers(
        older,
        {
            "P-1": merged,
            "P-2": merged,
            "'0055": ali,
            "77": sara,
            "'78": ali,
            "N/A": sara,
            "P-9": sara,
        },
    )
    told = upgrade(older, capsys)
    left = {row["value"]: row["record_id"] for row in older.stored("former_key")}
    assert left == {"0055": ali, "'78": ali, "P-9": sara}
    assert f"merge patient {sara} {ali}" in told


def test_contact_keys_are_made_again_and_two_that_share_one_get_two_ranks(
    older: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    spelled = ["عبدالله علي", "عبد الله علي", "عبدالله على"]
    ids = store(
        older,
        "patient",
        *[
            patient(name=name, mobile=MOBILE, patient_no=f"P-{i}")
            for i, name in enumerate(spelled)
        ],
    )
    retired = store(
        older,
        "patient",
        patient(name=spelled[0], mobile=MOBILE)
        | {"contact_key": None, "contact_rank": None},
    )
    upgrade(older, capsys)
    key = canonical.contact_key(MOBILE, spelled[0])
    assert values(older, "patient", "contact_key") == dict.fromkeys(ids, key) | {
        retired[0]: None
    }
    assert sorted(values(older, "patient", "contact_rank")[it] for it in ids) == [0, 1, 2]


def test_tables_of_many_chunks_are_formed_whole(
    older: Portal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rekey, "CHUNK", 7)
    ids = store(
        older,
        "patient",
        *[
            patient(patient_no=f"'{100 + i}", name=f"عبد الله {i % 3}", mobile=MOBILE)
            | {"contact_rank": i}
            for i in range(40)
        ],
    )
    upgrade(older, capsys)
    assert list(values(older, "patient", "patient_no").values()) == [
        str(100 + i) for i in range(40)
    ]
    ranks = [(row["contact_key"], row["contact_rank"]) for row in older.stored("patient")]
    assert len(set(ranks)) == len(ids)


def test_the_command_tells_all_of_it_beforehand_and_changes_nothing(
    older: Portal, capsys: pytest.CaptureFixture
) -> None:
    first, second = store(
        older, "patient", patient(patient_no="'1"), patient(patient_no="0")
    )
    before = older.stored("patient")
    told = older.command("rekey", "--dry-run")
    assert older.stored("patient") == before
    assert f"patient {first}: patientNo is put into today's form" in told
    assert f"patient {second}: patientNo stands for none and is emptied" in told
    assert "Nothing was changed." in told
    older.command("rekey")
    assert values(older, "patient", "patient_no") == {first: "1", second: None}
    assert older.command("rekey") == "Nothing was changed.\n"


# --- A night before, and two after -------------------------------------------------------------


def test_a_database_of_older_rules_comes_to_rest_in_two_nights(
    older: Portal, capsys: pytest.CaptureFixture
) -> None:
    """Whom a filler made one are separate again; whom a hyphen, an apostrophe or a blank told apart are found."""
    sara = {"nationalID": "9999999999", "dateOfBirth": "1980-01-01"}
    stored = {
        "national_id": "9999999999",
        "date_of_birth": "1980-01-01",
        "mobile": "+966501111113",
    }
    merged, *_ = store(
        older,
        "patient",
        patient(patient_no="P-3", name="Sara 3", **stored),
        patient(patient_no="'00123", name="Ali"),
        patient(patient_no="P-5", national_id="784-1990-1234567-1", name="Omar"),
        patient(name="عبد الله علي", mobile=MOBILE),
        patient(patient_no="P-6", name="???? ???"),
    )
    store_formers(older, {"P-1": merged, "P-2": merged})
    upgrade(older, capsys)
    three = [
        {"patientNo": f"P-{i}", "name": f"Sara {i}", "mobile": f"050111111{i}"} | sara
        for i in (1, 2, 3)
    ]
    others = [
        {"patientNo": "'00123", "name": "Ali"},
        {"patientNo": "P-5", "nationalID": "784199012345671", "name": "Omar"},
        {"name": "عبدالله علي", "mobile": "0501111111"},
        {"patientNo": "P-6", "name": "سارة عمر"},
    ]
    night = [*three, *others]
    first = older.send_many({"patient": night})["patient"]["results"]
    assert [it.get("action") for it in first] == ["created"] * 2 + ["unchanged"] * 3 + [
        "updated"
    ] * 2
    second = older.send_many({"patient": night})["patient"]["results"]
    assert {it.get("action") for it in second} == {"unchanged"}
    assert older.count("patient") == 7
    assert sorted(row["name"] for row in older.stored("patient")) == sorted(
        it["name"] for it in night
    )


def test_what_a_list_stored_wrongly_on_another_python_is_mended_by_the_next_sync(
    sqlite_portal: Portal,
) -> None:
    """As Debian's 3.11.2 did: a phone with a digit too few became a number, a date and a name stayed as they were."""
    store(
        sqlite_portal,
        "patient",
        patient(patient_no="P-1", mobile="+96651234567"),
        patient(patient_no="P-2", date_of_birth="1990-"),
        patient(patient_no="P-3", name="Ali Hassan "),
    )
    night = [
        {"patientNo": "P-1", "name": "Ali Hassan", "mobile": "051234567"},
        {"patientNo": "P-2", "name": "Ali Hassan", "dateOfBirth": "1990-01-01"},
        {"patientNo": "P-3", "name": "Ali Hassan "},
    ]
    for action in ("updated", "unchanged"):
        told = sqlite_portal.send_many({"patient": night})["patient"]["results"]
        assert {it["action"] for it in told} == {action}
    rows = sqlite_portal.stored("patient")
    assert [row["name"] for row in rows] == ["Ali Hassan"] * 3
    assert [rows[0]["mobile"], rows[1]["date_of_birth"]] == ["051234567", "1990-01-01"]


def test_an_entity_whose_table_a_later_migration_creates_is_left_alone(
    portal: Portal,
) -> None:
    clinics = RULES["clinic"]
    table = clinics.table.to_metadata(sa.MetaData(), name="invoice")
    with portal.app.app_context(), db.engine.connect() as connection:
        later = {"invoice": replace(clinics, entity="invoice", table=table)}
        with mock.patch.object(rekey, "RULES", RULES | later):
            assert rekey.form_anew(connection) == []
