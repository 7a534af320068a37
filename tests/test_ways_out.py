"""A way out of every 409: a person decides, and the same sync goes through."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from conftest import Portal
from test_matching import (
    ALI,
    HUDA,
    LATER,
    MOBILE,
    OMAR,
    SARA,
    SLOT,
    SLOT_KEY,
    candidates,
    everything,
    formers,
    found,
    new,
    refused,
    renumbered_doctor,
    renumbered_patient,
    row,
)

from models import db

FAMILY = {"name": "Ali Hassan", "mobile": MOBILE}
FATHER, SON = FAMILY | {"dateOfBirth": "1960-01-01"}, FAMILY | {"dateOfBirth": "1990-05-05"}
AT_TEN, AT_ELEVEN = SLOT | {"patientNo": "P-1"}, LATER | {"patientNo": "P-1"}


def run(portal: Portal, *words: Any, answer: str | None = None) -> Result:
    return portal.app.test_cli_runner().invoke(
        args=[str(word) for word in words], input=answer
    )


def run_in_vain(portal: Portal, *words: Any, answer: str | None = None) -> Result:
    """Run a command that must not succeed, and see that nothing changed."""
    before = everything(portal)
    result = run(portal, *words, answer=answer)
    assert result.exit_code != 0, result.output
    assert "Traceback" not in result.output
    assert everything(portal) == before
    return result


def merge(portal: Portal, entity: str, keep: int, drop: int) -> None:
    portal.command("merge", entity, str(keep), str(drop), "--yes")


def retire(portal: Portal, entity: str, record_id: int) -> None:
    portal.command("retire", entity, str(record_id), "--yes")


# --- Every 409, created and ended --------------------------------------------------------------

# What is stored, one after the other; what is refused then; its code and the keys of its candidates; the command (a
# number stands for a candidate); what the same record becomes afterwards, and of which candidate (None: a new one).
PERSONS = {
    "one patient entered twice, by number and by id": (
        [ALI | {"patientNo": "P-1"}, ALI | {"nationalID": "N-1"}],
        ALI | {"patientNo": "P-1", "nationalID": "N-1"},
        ("identity_conflict", ["patientNo", "nationalID"]),
        ("merge", 0, 1),
        ("unchanged", 0),
    ),
    "two patients' keys, the second's a mistake": (
        [
            ALI | {"patientNo": "P-1", "nationalID": "N-1"},
            SARA | {"patientNo": "P-2", "nationalID": "N-2"},
        ],
        ALI | {"patientNo": "P-1", "nationalID": "N-2"},
        ("identity_conflict", ["patientNo", "nationalID"]),
        ("retire", 1),
        ("updated", 0),
    ),
    "another id, and nothing agrees": (
        [ALI | {"patientNo": "P-1", "nationalID": "N-1"}],
        SARA | {"patientNo": "P-1", "nationalID": "N-2"},
        ("identity_conflict", ["patientNo"]),
        ("retire", 0),
        ("created", None),
    ),
    "another number, and nothing agrees": (
        [ALI | {"patientNo": "P-9", "nationalID": "N-1"}],
        SARA | {"patientNo": "P-1", "nationalID": "N-1"},
        ("identity_conflict", ["nationalID"]),
        ("retire", 0),
        ("created", None),
    ),
    "an id given to a new person": (
        [ALI | {"nationalID": "N-1"}],
        SARA | {"patientNo": "P-1", "nationalID": "N-1"},
        ("identity_conflict", ["nationalID"]),
        ("retire", 0),
        ("created", None),
    ),
    "a number given to a new person": (
        [ALI | {"patientNo": "P-1"}],
        SARA | {"patientNo": "P-1"},
        ("identity_conflict", ["patientNo"]),
        ("retire", 0),
        ("created", None),
    ),
    "two who fit, and are one": (
        [FATHER, SON],
        FAMILY | {"patientNo": "P-1"},
        ("ambiguous_match", ["mobile+name", "mobile+name"]),
        ("merge", 0, 1),
        ("updated", 0),
    ),
    "two who fit, one of them gone": (
        [FATHER, SON],
        FAMILY | {"patientNo": "P-1"},
        ("ambiguous_match", ["mobile+name", "mobile+name"]),
        ("retire", 0),
        ("updated", 1),
    ),
}
DOCTORS = {
    "one doctor entered twice, by code and by licence": (
        [HUDA | {"code": "D-1"}, HUDA | {"licenseNumber": "L-1"}],
        HUDA | {"code": "D-1", "licenseNumber": "L-1"},
        ("identity_conflict", ["code", "licenseNumber"]),
        ("merge", 0, 1),
        ("unchanged", 0),
    ),
    "another licence, and nothing agrees": (
        [HUDA | {"code": "D-1", "licenseNumber": "L-1"}],
        OMAR | {"code": "D-1", "licenseNumber": "L-2"},
        ("identity_conflict", ["code"]),
        ("retire", 0),
        ("created", None),
    ),
    "another code, and nothing agrees": (
        [HUDA | {"code": "D-9", "licenseNumber": "L-1"}],
        OMAR | {"code": "D-1", "licenseNumber": "L-1"},
        ("identity_conflict", ["licenseNumber"]),
        ("retire", 0),
        ("created", None),
    ),
    "a code given to a new doctor": (
        [HUDA | {"code": "D-1"}],
        OMAR | {"code": "D-1"},
        ("identity_conflict", ["code"]),
        ("retire", 0),
        ("created", None),
    ),
}
BOOKINGS = {
    "a booking of another patient at another time": (
        [SLOT | {"patientNo": "P-2", "appointmentNo": "A-1"}],
        AT_ELEVEN | {"appointmentNo": "A-1"},
        ("identity_conflict", ["appointmentNo"]),
        ("retire", 0),
        ("created", None),
    ),
    "a slot of two bookings": (
        [AT_TEN | {"appointmentNo": "A-1"}, AT_TEN | {"appointmentNo": "A-2"}],
        AT_TEN | {"status": "Confirmed"},
        ("ambiguous_match", [SLOT_KEY, SLOT_KEY]),
        ("retire", 0),
        ("updated", 1),
    ),
    "a slot that is taken": (
        [AT_ELEVEN, AT_TEN | {"appointmentNo": "A-1"}],
        AT_ELEVEN | {"appointmentNo": "A-1"},
        ("slot_taken", [SLOT_KEY]),
        ("retire", 0),
        ("updated", None),
    ),
}
CONFLICTS = [
    pytest.param(entity, *case, id=f"{entity}: {name}, {case[3][0]}")
    for entity, table in (
        ("patient", PERSONS),
        ("doctor", DOCTORS),
        ("appointment", BOOKINGS),
    )
    for name, case in table.items()
]


def prepare(portal: Portal, entity: str, stored: list[dict]) -> None:
    if entity != "patient":
        new(portal, "patient", ALI, patientNo="P-1")
        new(portal, "patient", SARA, patientNo="P-2")
    for record in stored:
        assert portal.send(entity, record)["success"]


def booking_for(entity: str) -> list[dict]:
    """Return a booking that needs the person who is refused."""
    return (
        []
        if entity == "appointment"
        else [AT_TEN | ({"doctorCode": "D-1"} if entity == "doctor" else {})]
    )


@pytest.mark.parametrize(
    ("entity", "stored", "record", "conflict", "command", "then"), CONFLICTS
)
def test_a_conflict_is_ended_by_a_command_and_the_same_sync_goes_through(
    portal: Portal,
    entity: str,
    stored: list,
    record: dict,
    conflict: tuple,
    command: tuple,
    then: tuple,
) -> None:
    prepare(portal, entity, stored)
    sync = {entity: [record]} | (
        {"appointment": its} if (its := booking_for(entity)) else {}
    )
    before = everything(portal)
    refusal, *rest = [
        it for answer in portal.send_many(sync).values() for it in answer["results"]
    ]
    assert (refusal["code"], [it["matchedBy"] for it in refusal["candidates"]]) == conflict
    assert [it["code"] for it in rest] == ["unknown_reference"] * len(rest)
    assert everything(portal) == before

    ids = [it["id"] for it in refusal["candidates"]]
    word, *whom = command
    portal.command(word, entity, *[str(ids[it]) for it in whom], "--yes")

    result, *rest = [
        it for answer in portal.send_many(sync).values() for it in answer["results"]
    ]
    assert (result["success"], result.get("action")) == (True, then[0])
    assert result["id"] not in ids if then[1] is None else result["id"] == ids[then[1]]
    assert [it.get("action") for it in rest] == ["created"] * len(rest)
    if rest:
        assert portal.stored("appointment")[0][f"{entity}_id"] == result["id"]


def test_every_kind_of_conflict_is_among_them() -> None:
    kinds = {
        (entity, conflict[0])
        for entity, _, _, conflict, _, _ in (it.values for it in CONFLICTS)
    }
    assert kinds == {
        ("patient", "identity_conflict"),
        ("patient", "ambiguous_match"),
        ("doctor", "identity_conflict"),
        ("appointment", "identity_conflict"),
        ("appointment", "ambiguous_match"),
        ("appointment", "slot_taken"),
    }


def test_a_booking_of_a_patient_entered_twice_is_freed_by_merging_the_patients(
    portal: Portal,
) -> None:
    once, again = (
        new(portal, "patient", ALI, patientNo="P-1"),
        new(portal, "patient", ALI, patientNo="P-2"),
    )
    booking = new(portal, "appointment", AT_TEN, appointmentNo="A-1")
    refused(
        portal,
        "identity_conflict",
        "appointment",
        LATER,
        appointmentNo="A-1",
        patientNo="P-2",
    )
    merge(portal, "patient", again, once)
    answer = found(
        portal,
        booking,
        "appointmentNo",
        "appointment",
        LATER,
        appointmentNo="A-1",
        patientNo="P-2",
    )
    assert answer["changed"] == ["date", "timeFrom"]


def test_a_merge_that_leaves_two_ids_still_ends_in_one_patient_where_they_agree(
    portal: Portal,
) -> None:
    ali = new(portal, "patient", ALI, patientNo="P-1", nationalID="N-1")
    twice = new(portal, "patient", ALI, patientNo="P-2", nationalID="N-2")
    both = ALI | {"patientNo": "P-1", "nationalID": "N-2"}
    answer = refused(portal, "identity_conflict", "patient", both)
    assert answer["candidates"] == candidates((ali, "patientNo"), (twice, "nationalID"))
    merge(portal, "patient", ali, twice)
    assert found(portal, ali, "patientNo", "patient", both)["changed"] == ["nationalID"]


# --- Retiring ----------------------------------------------------------------------------------


def test_a_retired_patient_is_inactive_and_gives_up_all_keys(portal: Portal) -> None:
    ali = renumbered_patient(portal)
    found(portal, ali, "patientNo", "patient", patientNo="P-2", mobile=MOBILE)
    booking = new(portal, "appointment", SLOT, patientNo="P-2")
    retire(portal, "patient", ali)
    kept = row(portal, "patient", ali)
    assert (kept["is_active"], kept["patient_no"], kept["national_id"], kept["name"]) == (
        False,
        None,
        None,
        "Ali Hassan",
    )
    assert formers(portal) == {}
    assert row(portal, "appointment", booking)["patient_id"] == ali
    for number in ("P-1", "P-2"):
        refused(portal, "unknown_reference", "appointment", LATER, patientNo=number)


@pytest.mark.parametrize(
    "key",
    [{"patientNo": "P-1"}, {"patientNo": "P-2"}, {"nationalID": "N-1"}, {"mobile": MOBILE}],
    ids=["former number", "number", "id", "mobile and name"],
)
def test_a_retired_patients_keys_are_free_for_somebody_new(
    portal: Portal, key: dict
) -> None:
    ali = renumbered_patient(portal)
    found(portal, ali, "patientNo", "patient", patientNo="P-2", mobile=MOBILE)
    retire(portal, "patient", ali)
    before = row(portal, "patient", ali)
    again = new(portal, "patient", ALI | key)
    assert portal.send("patient", ALI | key)["id"] == again
    assert row(portal, "patient", ali) == before


def test_a_retired_doctor_is_inactive_and_gives_up_all_keys(portal: Portal) -> None:
    new(portal, "patient", ALI, patientNo="P-1")
    huda = renumbered_doctor(portal)
    booking = new(portal, "appointment", AT_TEN, doctorCode="D-2")
    retire(portal, "doctor", huda)
    kept = row(portal, "doctor", huda)
    assert (kept["is_active"], kept["code"], kept["license_number"]) == (False, None, None)
    assert formers(portal, "doctor") == {}
    assert row(portal, "appointment", booking)["doctor_id"] == huda
    for key in ({"code": "D-1"}, {"code": "D-2"}, {"licenseNumber": "L-1"}):
        new(portal, "doctor", HUDA | key)


def test_a_retired_appointment_is_removed_and_no_other(portal: Portal) -> None:
    new(portal, "patient", ALI, patientNo="P-1")
    gone, other = (
        new(portal, "appointment", AT_TEN, appointmentNo="A-1"),
        new(portal, "appointment", AT_ELEVEN),
    )
    retire(portal, "appointment", gone)
    assert [it["id"] for it in portal.stored("appointment")] == [other]
    assert new(portal, "appointment", AT_TEN, appointmentNo="A-1") not in (gone, other)


def test_retiring_one_leaves_all_others(portal: Portal) -> None:
    ali, sara = renumbered_patient(portal), new(portal, "patient", SARA, patientNo="P-9")
    found(portal, sara, "patientNo", "patient", patientNo="P-9", mobile=MOBILE)
    before = row(portal, "patient", ali), formers(portal)
    retire(portal, "patient", sara)
    assert (row(portal, "patient", ali), formers(portal)) == before


# --- Asking first ------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["n\n", "\n", ""], ids=["no", "enter", "end of input"])
def test_each_command_asks_first_and_changes_nothing_without_a_yes(
    portal: Portal, answer: str
) -> None:
    keep, drop = (
        new(portal, "patient", ALI, patientNo="P-1"),
        new(portal, "patient", SARA, patientNo="P-2"),
    )
    huda, omar = (
        new(portal, "doctor", HUDA | {"code": "D-1"}),
        new(portal, "doctor", OMAR | {"code": "D-2"}),
    )
    booking = new(portal, "appointment", AT_TEN)
    for words in (
        ("merge", "patient", keep, drop),
        ("merge", "doctor", huda, omar),
        ("retire", "patient", keep),
        ("retire", "doctor", huda),
        ("retire", "appointment", booking),
    ):
        assert "Aborted" in run_in_vain(portal, *words, answer=answer).output


def test_each_command_does_its_work_after_a_yes(portal: Portal) -> None:
    keep, drop = (
        new(portal, "patient", ALI, patientNo="P-1"),
        new(portal, "patient", SARA, patientNo="P-2"),
    )
    booking = new(portal, "appointment", AT_TEN)
    assert run(portal, "merge", "patient", keep, drop, answer="y\n").exit_code == 0
    assert [it["id"] for it in portal.stored("patient")] == [keep]
    assert run(portal, "retire", "appointment", booking, answer="y\n").exit_code == 0
    assert portal.stored("appointment") == []
    assert run(portal, "retire", "patient", keep, answer="y\n").exit_code == 0
    assert row(portal, "patient", keep)["is_active"] is False


def test_the_question_shows_who_is_meant(portal: Portal) -> None:
    keep, drop = (
        new(portal, "patient", ALI, patientNo="P-1"),
        new(portal, "patient", SARA, patientNo="P-2"),
    )
    shown = run_in_vain(portal, "merge", "patient", keep, drop, answer="n\n").output
    assert all(word in shown for word in ("P-1", "Ali Hassan", "P-2", "Sara Omar"))


NOBODY = 999_999


@pytest.mark.parametrize("yes", [("--yes",), ()])
def test_an_unknown_id_is_a_clear_error(portal: Portal, yes: tuple) -> None:
    ali = new(portal, "patient", ALI, patientNo="P-1")
    huda = new(portal, "doctor", HUDA, licenseNumber="L-1")
    for entity, *words in (
        ("patient", "merge", ali, NOBODY),
        ("patient", "merge", NOBODY, ali),
        ("doctor", "merge", huda, NOBODY),
        ("patient", "retire", NOBODY),
        ("doctor", "retire", NOBODY),
        ("appointment", "retire", NOBODY),
    ):
        output = run_in_vain(portal, words[0], entity, *words[1:], *yes).output
        assert f"No {entity} with id {NOBODY}" in output


def test_a_record_is_not_merged_with_itself(portal: Portal) -> None:
    ali = new(portal, "patient", ALI, patientNo="P-1")
    assert (
        "same record" in run_in_vain(portal, "merge", "patient", ali, ali, "--yes").output
    )


@pytest.mark.parametrize(
    "words",
    [
        ("merge", "appointment", 1, 2),
        ("merge", "clinic", 1, 2),
        ("retire", "clinic", 1),
        ("retire", "patient", "P-1"),
        ("retire", "patient", 0),
        ("merge", "patient", 1),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_what_is_no_decision_is_a_usage_error(portal: Portal, words: tuple) -> None:
    new(portal, "patient", ALI, patientNo="P-1")
    assert run_in_vain(portal, *words, "--yes").exit_code == 2


def test_a_retired_record_cannot_be_the_one_that_is_kept(portal: Portal) -> None:
    retired = portal.send("patient", patientNo="P-1", name="Ali", mobile="0502222222")["id"]
    portal.command("retire", "patient", str(retired), "--yes")
    living = portal.send("patient", patientNo="P-1", name="Ali", mobile="0502222222")["id"]
    before = portal.stored("patient")
    result = portal.app.test_cli_runner().invoke(
        args=["merge", "patient", str(retired), str(living), "--yes"]
    )
    assert result.exit_code == 1
    assert "has no key" in result.output
    assert portal.stored("patient") == before
    portal.command("merge", "patient", str(living), str(retired), "--yes")
    assert [row["id"] for row in portal.stored("patient")] == [living]


VISIT = "visit_of_another_program"


@pytest.fixture
def visits(portal: Portal) -> Iterator[str]:
    """A table of somebody else's that refers to patients."""
    with portal.app.app_context():
        kind = db.metadata.tables["patient"].c.id.type
        visits = sa.Table(
            VISIT, sa.MetaData(), sa.Column("patient_id", kind, nullable=False)
        )
        patients = sa.Table(
            "patient",
            visits.metadata,
            sa.Column("id", kind, primary_key=True),
            mysql_engine="InnoDB",
        )
        visits.append_constraint(sa.ForeignKeyConstraint(["patient_id"], [patients.c.id]))
        with db.engine.begin() as connection:
            visits.create(connection)
        yield VISIT
        with db.engine.begin() as connection:
            visits.drop(connection)


def test_a_row_of_another_program_that_refers_to_a_patient_ends_a_merge_at_once(
    portal: Portal, visits: str
) -> None:
    keep, drop = [
        portal.send("patient", {"patientNo": f"P-{i}", "name": "Sara"})["id"]
        for i in (1, 2)
    ]
    with portal.app.app_context(), db.engine.begin() as connection:
        connection.execute(sa.text(f"INSERT INTO {visits} VALUES ({drop})"))
    deletes = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("DELETE FROM patient"):
            deletes.append(statement)

    with portal.app.app_context():
        sa.event.listen(db.engine, "before_cursor_execute", note)
        result = run_in_vain(portal, "merge", "patient", keep, drop, "--yes")
        sa.event.remove(db.engine, "before_cursor_execute", note)
    assert "Rows of another table refer to this record" in result.output
    assert len(deletes) == 2  # once more, for a booking may have come meanwhile
