"""The ledger of `make chaos` sees what it is there to see: what was stored is falsified behind its back.

The service answers in this process, without servers; each test then breaks one thing.
"""

import math
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from conftest import Http
from flask import Flask

from chaos import answers, audit, records
from chaos.audit import Row, Stored
from chaos.books import Books
from chaos.ledger import Fault, Ledger, Request, Sending
from chaos.load import body
from chaos.records import ALL, Identity
from models import db

ANA, BASMA, CORA = [Identity("patient", 1, number) for number in range(3)]
SHARED = Identity("patient", ALL, 1)
BOOKING = Identity("appointment", 1, 1)


class Desk:
    """A client of the service, with a ledger of its own, who can also falsify the books."""

    def __init__(self, http: Http, app: Flask):
        self.http, self.app, self.ledger = http, app, Ledger()
        self.books, self.path = Books([str(db.engine.url)]), str(db.engine.url.database)
        self.count = 0

    def send(
        self,
        path: str,
        *identities: Identity,
        again: bool = False,
        answered: bool = True,
        atomic: bool = False,
    ) -> Request:
        """Send records; if not `answered`, the ledger does not learn what the service said."""
        request = self.request(path, *identities, again=again, atomic=atomic)
        self.ledger.begin(request)
        response = self.post(request)
        if answered:
            answers.read(self.ledger, request, response.status_code, response.get_json())
        self.ledger.end(request)
        return request

    def request(
        self, path: str, *identities: Identity, again: bool = False, atomic: bool = False
    ) -> Request:
        """Return a request that is not sent yet."""
        self.count += 1
        draft: dict[str, list[Sending]] = {}
        for identity in identities:
            edition = self.ledger.next_edition(identity, again)
            number = f"P-{identity.tag}-0" if identity.entity == "appointment" else None
            sent = records.sent(identity, edition, number)
            draft.setdefault(identity.entity, []).append(Sending(identity, edition, sent))
        return Request(f"desk-{self.count}", path, atomic, draft)

    def post(self, request: Request) -> Any:
        query = {"atomic": "true"} if request.atomic else {}
        headers = {"X-Request-Id": request.id}
        return self.http.post(request.path, body(request), headers=headers, **query)

    def falsify(self, statement: str) -> None:
        """Change what is stored, past the service and all foreign keys."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            assert connection.execute(statement).rowcount

    def faults(self) -> list[Fault]:
        return audit.check(self.ledger, self.books.read("desk"))

    def kinds(self) -> list[str]:
        return [fault.kind for fault in self.faults()]


@pytest.fixture
def desk(http: Http, sqlite_app: Flask) -> Iterator[Desk]:
    """A desk whose house has its clinics and doctors."""
    with sqlite_app.app_context():
        found = Desk(http, sqlite_app)
        clinics = [Identity("clinic", ALL, number) for number in range(records.CLINICS)]
        doctors = [Identity("doctor", ALL, number) for number in range(records.DOCTORS)]
        found.send("/sync", *clinics, *doctors)
        assert found.faults() == []
        yield found


# --- Nothing is wrong --------------------------------------------------------------------------


def test_books_that_agree_have_no_faults(desk: Desk) -> None:
    desk.send("/patient", ANA)
    desk.send("/patients", ANA, BASMA, CORA, BASMA)
    desk.send("/sync", ANA, BOOKING)
    desk.send("/patients", ANA, CORA, atomic=True)
    desk.send("/appointment", BOOKING, again=True)
    assert desk.faults() == []
    assert desk.faults() == []  # nor when nothing was sent since
    assert (desk.ledger.answered, desk.ledger.unanswered) == (28, 0)


def test_a_patient_may_be_renumbered_and_a_booking_moved(desk: Desk) -> None:
    for _ in range(12):
        desk.send("/sync", BASMA, BOOKING)
    assert desk.faults() == []
    (patient,) = [row for row in desk.books.read("").rows if row.tag == BASMA.tag][:1]
    assert patient.values["patientNo"] == "P-01-000001-2"


def test_patients_of_all_clients_are_sent_with_some_of_their_keys_only(desk: Desk) -> None:
    for _ in range(5):
        desk.send("/patient", SHARED)
        assert desk.faults() == []


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("atomic", [True, False])
def test_what_was_not_answered_may_be_stored_or_not(
    desk: Desk, stored: bool, atomic: bool
) -> None:
    desk.send("/patients", ANA, BASMA, answered=False, atomic=atomic)
    if not stored:
        desk.falsify("DELETE FROM patient")
    assert desk.faults() == []
    assert desk.ledger.unanswered == 2


def test_what_was_sent_after_the_last_answer_may_be_stored(desk: Desk) -> None:
    desk.send("/patient", ANA)
    desk.send("/patient", ANA, answered=False)
    assert desk.faults() == []


# --- Each thing that may be wrong --------------------------------------------------------------


def test_an_answered_record_that_is_gone_is_lost(desk: Desk) -> None:
    desk.send("/patients", ANA, BASMA)
    desk.falsify("DELETE FROM patient WHERE national_id LIKE '%1'")
    (fault,) = desk.faults()
    assert fault.kind == "lost"
    assert fault.record["name"] == "Noura Salem 01-000000"


def test_a_record_of_an_earlier_round_that_is_gone_is_lost(desk: Desk) -> None:
    desk.send("/patient", ANA)
    assert desk.faults() == []
    desk.falsify("DELETE FROM patient")
    assert desk.kinds() == ["lost"]


@pytest.mark.parametrize(
    "change",
    [
        "email = 'x@mail.example'",
        "mobile = NULL",
        "name = 'Somebody 01-000000'",
        "national_id = '7'",
        "date_of_birth = '1900-02-03'",
        "is_active = 0",
    ],
)
def test_an_answered_record_with_another_value_is_altered(desk: Desk, change: str) -> None:
    desk.send("/patient", ANA)
    desk.falsify(f"UPDATE patient SET {change}")
    assert desk.kinds()[0] == "altered"


@pytest.mark.parametrize(
    "change", ["doctor_id = doctor_id + 1", "date = '2027-01-02'", "time_to = NULL"]
)
def test_an_answered_booking_with_another_value_is_altered(desk: Desk, change: str) -> None:
    desk.send("/sync", BASMA, BOOKING)
    desk.falsify(f"UPDATE appointment SET {change}")
    assert desk.kinds() == ["altered"]


def test_a_booking_of_another_patient_is_altered(desk: Desk) -> None:
    desk.send("/sync", ANA, BASMA, BOOKING)
    desk.falsify("UPDATE appointment SET patient_id = (SELECT min(id) FROM patient)")
    assert desk.kinds() == ["altered"]


def test_a_key_that_nobody_sent_is_a_fault(desk: Desk) -> None:
    request = desk.send("/patient", SHARED)
    assert "patientNo" not in request.all[0].record
    desk.falsify("UPDATE patient SET patient_no = 'P-9'")
    assert desk.kinds() == ["altered"]


def test_a_doctor_without_one_of_the_clinics_is_altered(desk: Desk) -> None:
    desk.falsify("DELETE FROM doctor_clinic WHERE doctor_id = (SELECT min(id) FROM doctor)")
    assert desk.kinds() == ["altered"]


def test_an_older_edition_than_the_last_answered_one_is_wrong(desk: Desk) -> None:
    desk.send("/patient", ANA)
    desk.send("/patient", ANA)
    desk.falsify(
        "UPDATE patient SET last_name = 'Edition 1', email = 'e1.01-000000@mail.example'"
    )
    assert desk.kinds() == ["wrong edition"]


def test_an_edition_of_the_round_before_is_wrong_after_an_answer(desk: Desk) -> None:
    desk.send("/patient", ANA)
    assert desk.faults() == []
    desk.send("/patient", ANA)
    desk.falsify(
        "UPDATE patient SET last_name = 'Edition 1', email = 'e1.01-000000@mail.example'"
    )
    assert desk.kinds() == ["wrong edition"]


def test_an_edition_that_a_later_answered_one_replaced_is_wrong(desk: Desk) -> None:
    desk.send("/patient", ANA)
    desk.send("/patient", ANA, answered=False)
    desk.send("/patient", ANA)
    desk.falsify(
        "UPDATE patient SET last_name = 'Edition 2', email = 'e2.01-000000@mail.example'"
    )
    assert desk.kinds() == ["wrong edition"]


@pytest.mark.parametrize("path", ["/patients", "/sync"])
def test_half_of_an_atomic_request_is_a_fault(desk: Desk, path: str) -> None:
    desk.send(path, ANA, BASMA, CORA, answered=False, atomic=True)
    desk.falsify("DELETE FROM patient WHERE name LIKE '%01-000001'")
    assert desk.kinds() == ["half"]


def test_half_of_the_changes_of_an_atomic_request_is_a_fault(desk: Desk) -> None:
    desk.send("/patients", ANA, BASMA)
    desk.send("/patients", ANA, BASMA, answered=False, atomic=True)
    desk.falsify(
        "UPDATE patient SET last_name = 'Edition 1', email = 'e1.01-000000@mail.example'"
        " WHERE name LIKE '%01-000000'"
    )
    assert desk.kinds() == ["half"]


def test_what_others_sent_afterwards_is_no_proof_of_a_half(desk: Desk) -> None:
    desk.send("/patients", ANA, BASMA, answered=False, atomic=True)
    desk.send("/patient", ANA)
    assert desk.faults() == []


def test_what_was_stored_before_is_no_proof_of_a_half(desk: Desk) -> None:
    desk.send("/patient", ANA)
    request = desk.request("/patients", ANA, again=True, atomic=True)
    request.sendings["patient"] += desk.request("/patients", BASMA).all
    desk.ledger.begin(request)
    desk.ledger.end(request)
    assert desk.faults() == []


def test_part_of_a_list_that_is_not_atomic_is_no_fault(desk: Desk) -> None:
    desk.send("/patients", ANA, BASMA, CORA, answered=False)
    desk.falsify("DELETE FROM patient WHERE name LIKE '%01-000001'")
    assert desk.faults() == []


@pytest.mark.parametrize("key", ["patient_no", "national_id"])
def test_a_person_stored_twice_is_double(desk: Desk, key: str) -> None:
    desk.send("/patient", ANA)
    same = "created_at, updated_at, version, name, mobile, last_name, is_active"
    desk.falsify(
        f"INSERT INTO patient ({same}, {key}) SELECT {same}, {key} || 'X' FROM patient"
    )
    assert desk.kinds() == ["double"]


def test_a_person_that_nobody_sent_is_a_stranger(desk: Desk) -> None:
    desk.http.post("/patient", {"patientNo": "P-X", "name": "Somebody Else"})
    assert desk.kinds() == ["stranger"]


def test_a_refused_record_that_is_stored_is_wrong(desk: Desk) -> None:
    request = desk.send("/patient", ANA)
    request.all[0].action = "refused"
    assert desk.kinds() == ["wrong edition"]


def test_a_former_number_that_leads_nowhere_is_a_lost_key(desk: Desk) -> None:
    for _ in range(6):
        desk.send("/patient", ANA)
    assert desk.faults() == []
    desk.falsify("DELETE FROM former_key")
    assert desk.kinds() == ["lost key"]


def test_a_former_number_that_leads_to_another_patient_is_a_lost_key(desk: Desk) -> None:
    for _ in range(6):
        desk.send("/patients", ANA, BASMA)
    desk.falsify("UPDATE former_key SET record_id = (SELECT min(id) FROM patient)")
    assert desk.kinds() == ["lost key"]


def test_a_reference_to_no_row_is_a_foreign_key(desk: Desk) -> None:
    desk.send("/sync", BASMA, BOOKING)
    desk.falsify("UPDATE appointment SET clinic_id = 0")
    assert set(desk.kinds()) == {"damage", "foreign key", "altered"}


def test_a_former_key_of_no_record_is_a_foreign_key(desk: Desk) -> None:
    desk.falsify("INSERT INTO former_key VALUES ('patient', 'P-OLD', 99)")
    assert desk.kinds() == ["foreign key"]


def test_a_history_that_tells_other_counts_is_a_fault(desk: Desk) -> None:
    desk.send("/patients", ANA, BASMA)
    desk.falsify("UPDATE sync_run SET created = 1 WHERE request_id = 'desk-2'")
    assert desk.kinds() == ["history"]


@pytest.mark.parametrize(("path", "atomic"), [("/patient", False), ("/patients", True)])
def test_a_missing_history_of_what_is_one_transaction_is_a_fault(
    desk: Desk, path: str, atomic: bool
) -> None:
    desk.send(path, ANA, atomic=atomic)
    desk.falsify("DELETE FROM sync_run")
    assert desk.kinds() == ["history"]


# --- What answers show -------------------------------------------------------------------------


def changed_answer(desk: Desk, path: str, change: dict[str, Any]) -> list[str]:
    """Send two patients, have the answer changed on its way, and return the kinds of faults."""
    request = desk.request(path, *([ANA] if path == "/patient" else [ANA, BASMA]))
    desk.ledger.begin(request)
    response = desk.post(request)
    answer = response.get_json()
    answer.update(change)
    answers.read(desk.ledger, request, response.status_code, answer)
    desk.ledger.end(request)
    return desk.kinds()


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("/patients", {"created": 1}),
        ("/patients", {"total": 3}),
        ("/patients", {"failed": 1}),
        ("/patients", {"results": []}),
        ("/sync", {"created": 1}),
        ("/sync", {"total": 1}),
        ("/patient", {"data": {"name": "Somebody"}}),
    ],
)
def test_an_answer_that_does_not_add_up_is_a_fault(
    desk: Desk, path: str, change: dict[str, Any]
) -> None:
    assert "answer" in changed_answer(desk, path, change)


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"id": 99}, ["other id"]),
        ({"action": "updated"}, ["answer", "history"]),
    ],
)
def test_an_answer_that_the_books_contradict_is_a_fault(
    desk: Desk, change: dict[str, Any], kinds: list[str]
) -> None:
    assert changed_answer(desk, "/patient", change) == kinds


@pytest.mark.parametrize("checked", [True, False])
def test_a_record_that_is_created_twice_is_a_fault(desk: Desk, checked: bool) -> None:
    desk.send("/patient", ANA)
    assert not (checked and desk.faults())
    desk.falsify("DELETE FROM patient")
    desk.send("/patient", ANA)
    assert "created twice" in desk.kinds()


def test_a_record_is_not_refused_without_a_reason(desk: Desk) -> None:
    desk.send("/patient", ANA)
    desk.falsify("UPDATE patient SET national_id = '7', date_of_birth = '1900-02-03'")
    desk.send("/patient", ANA)
    assert "refused" in desk.kinds()


def test_a_booking_may_be_refused_while_its_patient_is_in_doubt_only(desk: Desk) -> None:
    request = desk.request("/appointment", BOOKING)
    request.all[0].needs = Sending(BASMA, 1, {})
    for known, kinds in ((False, []), (True, ["refused"])):
        request.all[0].needs.action = "created" if known else None
        desk.ledger.begin(request)
        answers.read(desk.ledger, request, 422, desk.post(request).get_json())
        desk.ledger.end(request)
        assert desk.kinds() == kinds


@pytest.mark.parametrize(("stale_reads", "kinds"), [(False, ["refused"]), (True, [])])
def test_where_reads_may_be_stale_a_stored_patient_may_be_unknown(
    desk: Desk, stale_reads: bool, kinds: list[str]
) -> None:
    desk.ledger.stale_reads = stale_reads
    desk.send("/appointment", BOOKING)
    assert desk.kinds() == kinds


def test_what_an_atomic_request_undid_is_refused(desk: Desk) -> None:
    request = desk.request("/sync", ANA, BOOKING, atomic=True)
    request.sendings["appointment"][0].needs = Sending(BASMA, 1, {})
    desk.ledger.begin(request)
    answers.read(desk.ledger, request, 422, desk.post(request).get_json())
    desk.ledger.end(request)
    assert [sending.action for sending in request.all] == ["refused", "refused"]
    assert desk.faults() == []


@pytest.mark.parametrize(
    ("status", "kinds"), [(503, []), (500, ["refused"]), (422, ["refused"])]
)
def test_only_an_outage_is_no_fault(desk: Desk, status: int, kinds: list[str]) -> None:
    request = desk.request("/patients", ANA, BASMA)
    desk.ledger.begin(request)
    problem = {"success": False, "status": status, "code": "x"}
    answers.read(desk.ledger, request, status, problem)
    desk.ledger.end(request)
    assert {*desk.kinds()} == {*kinds}
    assert request.in_doubt == (status >= 500)


def test_no_answer_in_time_is_a_fault(desk: Desk) -> None:
    request = desk.request("/patient", ANA)
    desk.ledger.begin(request)
    desk.ledger.end(request, goes_on=True)
    desk.send("/patient", ANA)
    desk.falsify(
        "UPDATE patient SET last_name = 'Edition 1', email = 'e1.01-000000@mail.example'"
    )
    assert desk.kinds() == ["no answer"]  # and the late request may still come


# --- Two clients at once -----------------------------------------------------------------------

# Each sending: when it began and ended, and the action that was answered (None: nothing was).
EARLY, LATE, LONG = (1.0, 2.0), (3.0, 4.0), (1.0, 4.0)
OPEN = (1.0, math.inf)
TIMES = [
    ([(*EARLY, "created"), (*LATE, "updated")], {2}),
    ([(*LONG, "created"), (*LATE, "updated")], {1, 2}),
    ([(*EARLY, None), (*LATE, "created")], {2}),
    ([(*OPEN, None), (*LATE, "created")], {1, 2}),
    ([(*EARLY, "created"), (*LATE, None)], {1, 2}),
    ([(*EARLY, None), (*LATE, None)], {None, 1, 2}),
    ([(*EARLY, "refused"), (*LATE, None)], {None, 2}),
    # What was answered 'unchanged' was read only: a commit in doubt may come after it.
    ([(*EARLY, None), (*LATE, "unchanged")], {1, 2}),
    ([(*EARLY, "created"), (*LATE, "unchanged")], {2}),
]


def ledger_of(times: list[tuple[float, float, str | None]], stale_reads: bool) -> Ledger:
    ledger = Ledger(stale_reads)
    for start, end, action in times:
        edition = ledger.next_edition(SHARED)
        sending = Sending(SHARED, edition, {}, action=action, id=1)
        request = Request(str(edition), "/patient", False, {"patient": [sending]})
        ledger.begin(request)
        ledger.end(request)
        request.started, request.ended = start, end
    return ledger


def stored_as(edition: int | None) -> Stored:
    values = records.stored(SHARED, edition or 0)
    keys = {values[key]: 1 for key in records.KEYS} if edition else {}
    row = Row("patient", SHARED.tag, 1, values)
    return Stored([row] if edition else [], keys, {})


@pytest.mark.parametrize(("times", "possible"), TIMES)
@pytest.mark.parametrize("edition", [None, 1, 2])
def test_only_what_no_later_answer_replaced_may_be_stored(
    times: list[tuple[float, float, str | None]],
    possible: set[int | None],
    edition: int | None,
) -> None:
    faults = audit.check(ledger_of(times, stale_reads=False), stored_as(edition))
    assert (faults == []) == (edition in possible), faults


def test_where_reads_may_be_stale_unchanged_replaces_nothing() -> None:
    times = [(*EARLY, "created"), (*LATE, "unchanged")]
    assert audit.check(ledger_of(times, stale_reads=True), stored_as(1)) == []


def test_of_one_request_the_last_answered_record_is_stored() -> None:
    ledger = Ledger()
    sendings = [
        Sending(SHARED, ledger.next_edition(SHARED), {}, action=action, id=1)
        for action in ("created", "updated")
    ]
    ledger.begin(Request("1", "/patients", False, {"patient": sendings}))
    assert [fault.kind for fault in audit.check(ledger, stored_as(1))] == ["wrong edition"]


def test_the_counts_of_the_history_are_compared_by_entity() -> None:
    ledger = Ledger()
    request = Request("1", "/patients", False, {"patient": []})
    request.counts = {"patient": Counter(created=1)}
    ledger.begin(request)
    runs = {("1", "patient"): [Counter(created=2)]}
    assert [it.kind for it in audit.check(ledger, Stored([], {}, runs))] == ["history"]


def test_of_what_is_in_doubt_the_history_may_know_more_than_the_answer() -> None:
    ledger = Ledger()
    sending = Sending(SHARED, ledger.next_edition(SHARED), {})
    request = Request("1", "/patients", False, {"patient": [sending]})
    request.counts = {"patient": Counter(failed=1)}
    ledger.begin(request)
    stored = stored_as(1)
    stored.runs = {("1", "patient"): [Counter(created=1)]}
    assert audit.check(ledger, stored) == []
