"""What schemathesis is told beyond the OpenAPI document: which failures are the contract, for a schema cannot say it.

Every check stays on, with the statuses that it expects by itself. A failure is left out only if each sentence of the
refusal, or the request itself, is excused here.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import schemathesis

import words
from engine import nothing

PARTLY_REFUSED = 207
ABOUT_OTHER_RECORDS = {
    "unknown_reference",
    "identity_conflict",
    "ambiguous_match",
    "slot_taken",
}


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Tell whether a failure is one."""
    if failure.code == "ST101" and response.status_code == 503:  # a monitor is alarmed
        return response.json()["code"] != "sync_overdue"
    sent = [*leaves(case.body), *leaves(case.query)]
    if failure.code == "ST202":  # what the schema takes was refused
        return not all(is_excused(it, sent) for it in refusals(response.json()))
    if (
        failure.code == "ST201"
    ):  # what the schema does not take was accepted: at least not all of it, or trimmed
        return response.status_code != PARTLY_REFUSED and not any(
            map(is_read_more_liberally, sent)
        )
    return True


def refusals(told: Any) -> Iterator[dict[str, Any]]:
    """Yield every refusal of an answer: of the whole request, or of records in lists."""
    if isinstance(told, dict) and {"code", "detail"} <= told.keys():
        yield told
    for child in children(told):
        yield from refusals(child)


def leaves(sent: Any) -> Iterator[Any]:
    """Yield every value of a JSON value that is neither object nor array."""
    if not isinstance(sent, dict | list):
        yield sent
    for child in children(sent):
        yield from leaves(child)


def children(node: Any) -> list[Any]:
    return (
        list(node.values())
        if isinstance(node, dict)
        else node
        if isinstance(node, list)
        else []
    )


def is_excused(refusal: dict[str, Any], sent: list[Any]) -> bool:
    errors = refusal.get("errors", {"": [refusal["detail"]]})
    sentences = [sentence for them in errors.values() for sentence in them]
    return refusal["code"] in ABOUT_OTHER_RECORDS or all(
        has_excuse(it, sent) for it in sentences
    )


def has_excuse(sentence: str, sent: list[Any]) -> bool:
    return any(
        re.fullmatch(pattern, sentence) and any(map(fits, sent))
        for pattern, fits in EXCUSES.items()
    )


def always(leaf: Any) -> bool:
    return True


def has_blanks_around(leaf: Any) -> bool:
    return isinstance(leaf, str) and len(leaf.strip()) < len(leaf)


def stands_for_none(leaf: Any) -> bool:
    return isinstance(leaf, str) and (
        words.NOTHING.is_word_or_filler(leaf) or nothing.is_zero(leaf) or "\ufffd" in leaf
    )


def is_read_more_liberally(leaf: Any) -> bool:
    """Tell whether a value is taken that the schema does not take: blanks around, or none in other letters."""
    return has_blanks_around(leaf) or stands_for_none(leaf)


def has_no_such_day(leaf: Any) -> bool:
    for day in re.findall(r"\d{4}-\d\d-\d\d", leaf if isinstance(leaf, str) else ""):
        try:
            if date.fromisoformat(day) < date(1900, 1, 2):
                return True
        except ValueError:
            return True
    return False


# Sentences with which data that the schema takes may be refused, each for a rule that no JSON schema can hold; and
# which value must have been sent with it.
EXCUSES: dict[str, Callable[[Any], bool]] = {
    "Missing: .*": always,  # it depends on what is stored
    "Must be after .*timeFrom .*": always,
    "Lies in the future.": always,
    "Lies outside the calendar .*": always,
    "after must be the cursor .*": always,  # opaque
    "Not a valid (date|time). .*": has_no_such_day,
    "(?s).* cannot be a booking's day: .*": lambda leaf: (
        has_no_such_day(leaf) or "/Date(-" in str(leaf)
    ),
    "(?s).*, left out": always,  # what was sent for a field that is missing
    "(?s).* is a number in scientific notation: .*": always,
    "Must be (text|true or false|the id of a stored record, a positive whole number).": (
        # 1.0: to a schema it is a whole number.
        lambda leaf: isinstance(leaf, float) and leaf.is_integer()
    ),
    # Its canonical form has more letters.
    "Longer than .* characters.": lambda leaf: isinstance(leaf, str) and not leaf.isascii(),
    # It holds invisible marks alone.
    "May not be blank.": lambda leaf: isinstance(leaf, str) and not leaf.isascii(),
    ".* is blank, or stands for none. .*": lambda leaf: (
        stands_for_none(leaf) or not str(leaf).isascii()
    ),
}
