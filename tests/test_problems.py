"""Every way to fail has its status and its code: the contract's section 6, and what the README adds."""

import pytest

import upsert
from engine.problems import DatabaseUnavailable, Problem

STATUS = {
    "invalid_json": 400,
    "invalid_body": 400,
    "invalid_parameter": 400,
    "unauthorized": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "identity_conflict": 409,
    "ambiguous_match": 409,
    "slot_taken": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "validation_failed": 422,
    "unknown_reference": 422,
    "too_many_requests": 429,
    "internal_error": 500,
    "database_unavailable": 503,
    "service_busy": 503,  # other large lists are worked on
}
PROBLEMS = [
    kind
    for kind in Problem.__subclasses__()
    if kind.__module__ in ("engine.problems", upsert.__name__)
]


def test_every_problem_has_its_status() -> None:
    assert {kind.code: kind.status for kind in PROBLEMS} == STATUS


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.code)
def test_a_problem_says_no_more_than_it_was_given(kind: type[Problem]) -> None:
    problem = kind("What went wrong.")
    assert problem.detail == "What went wrong."
    assert (problem.errors, problem.candidates, problem.headers) == ({}, (), {})
    assert (problem.candidate_count, problem.key) == (0, None)


def test_two_problems_are_two_and_share_no_errors() -> None:
    first, second = Problem("The same."), Problem("The same.")
    assert len({first, second}) == 2
    assert first.errors is not second.errors


def test_an_outage_loses_nothing_unless_it_says_so() -> None:
    assert DatabaseUnavailable("It does not answer.").loses_all is False
