"""Answers: what the service says of each record of a request, and whether that makes sense."""

from collections import Counter
from typing import Any

from chaos.ledger import ACTIONS, REFUSED, Ledger, Request, Sending
from upsert import RULES

COUNTS = (*ACTIONS, "failed")
UNKNOWN_REFERENCE = "unknown_reference"
OUTAGE, BROKEN = 503, 500

Answer = dict[str, Any]


def read(ledger: Ledger, request: Request, status: int, answer: Answer) -> None:
    """Note what became of each record, and blame the service for what it should not have answered."""
    if request.single:
        _read_single(ledger, request, status, answer)
    elif "total" in answer:
        _read_lists(ledger, request, status, answer)
    else:
        for sending in request.all:
            _note(ledger, request, sending, answer)


def _read_single(ledger: Ledger, request: Request, status: int, answer: Answer) -> None:
    (sending,) = request.all
    _note(ledger, request, sending, answer)
    if sending.stored:
        request.counts = {sending.identity.entity: Counter([sending.action])}
        _expect(ledger, request, status, 201 if sending.action == "created" else 200)
        _compare_values(ledger, request, sending, answer["data"])


def _compare_values(
    ledger: Ledger, request: Request, sending: Sending, data: Answer
) -> None:
    """Blame an answer that shows other values than were sent. A booking names its patient's number of today."""
    sent = sending.record.items()
    wrong = [name for name, value in sent if data.get(name) != value]
    if sending.identity.entity == "appointment":
        wrong = [name for name in wrong if name != "patientNo"]
    if wrong:
        ledger.blame("answer", f"{request}: other values of {wrong}", sending.record)


def _read_lists(ledger: Ledger, request: Request, status: int, answer: Answer) -> None:
    for entity, sendings in request.sendings.items():
        plural = RULES[entity].plural
        part = answer[plural] if request.path == "/sync" else answer
        _read_list(ledger, request, sendings, part)
        request.counts[entity] = _counts(part)
    total = sum(request.counts.values(), Counter())
    if _counts(answer) != total or answer["total"] != len(request.all):
        ledger.blame("answer", f"{request}: the counts do not add up: {_counts(answer)}")
    _expect(ledger, request, status, _status(total["failed"], answer))


def _read_list(
    ledger: Ledger, request: Request, sendings: list[Sending], answer: Answer
) -> None:
    items = answer["results"]
    if [item["index"] for item in items] != list(range(len(sendings))):
        text = f"{request}: {len(sendings)} records sent, {len(items)} answered"
        ledger.blame("answer", text)
        return
    for sending, item in zip(sendings, items, strict=True):
        _note(ledger, request, sending, item)
    told = Counter(_kind(item) for item in items)
    if _counts(answer) != Counter({kind: told[kind] for kind in COUNTS}):
        ledger.blame(
            "answer", f"{request}: {told} in the results, counts {_counts(answer)}"
        )


def _kind(item: Answer) -> str | None:
    """Return what an item counts as: an action, failed, or None if it was only undone with others."""
    return "failed" if "code" in item else item["action"]


def _counts(answer: Answer) -> Counter:
    return Counter({kind: answer[kind] for kind in COUNTS})


def _status(failed: int, answer: Answer) -> int:
    if not failed:
        return 200
    return 422 if failed == answer["total"] or "rolledBack" in answer else 207


def _expect(ledger: Ledger, request: Request, status: int, expected: int) -> None:
    if status != expected:
        ledger.blame("answer", f"{request} is answered {status} instead of {expected}")


def _note(ledger: Ledger, request: Request, sending: Sending, item: Answer) -> None:
    """Note what became of one record. After an error of the server it is in doubt.

    One that was only undone with others has no status.
    """
    if item.get("success"):
        sending.action, sending.id = item["action"], item["id"]
        return
    status = item.get("status", 0)
    if status < BROKEN:
        sending.action = REFUSED
    if "code" in item and status != OUTAGE:
        _blame_failure(ledger, request, sending, item)


def _blame_failure(
    ledger: Ledger, request: Request, sending: Sending, item: Answer
) -> None:
    """Blame a failure, unless it is a booking's whose patient may be missing: no other record has a reason to fail."""
    resolved = sending.needs is None or sending.needs.stored
    excused = ledger.stale_reads or not resolved
    if item["code"] == UNKNOWN_REFERENCE and excused:
        return
    told = {
        name: item.get(name)
        for name in ("status", "code", "detail", "errors", "candidates")
    }
    ledger.blame("refused", f"{request}: {told}", sending.record)
