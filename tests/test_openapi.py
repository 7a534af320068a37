"""The OpenAPI document is valid, complete and true: what it says is what the service does."""

import copy
import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import live
import pytest
from conftest import API, KEY, SAMPLES, Http, emptied, migrated
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

import reading
from engine import problems
from engine.entity import json_name
from models import SyncRun
from upsert import RULES

ROOT = Path(__file__).parent.parent
METHODS = ("get", "post")


@pytest.fixture(scope="session")
def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The document, with objects that take nothing but what it names: a test must not overlook a member."""
    told = copy.deepcopy(document)
    for schema in every(
        told["components"]["schemas"],
        lambda it: it.get("type") == "object" and "properties" in it,
    ):
        schema["additionalProperties"] = False
    return told


def every(node: Any, wanted: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON value for which `wanted` is true."""
    if isinstance(node, dict) and wanted(node):
        yield node
    children = (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    )
    for child in children:
        yield from every(child, wanted)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        yield from ((path, method, item[method]) for method in METHODS if method in item)


def errors(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """Return what a schema of the document finds wrong with a value."""
    validator = jsonschema_rs.Draft202012Validator(
        schema | {"components": document["components"]}, validate_formats=True
    )
    return [
        f"{error.instance_path}: {error.message}" for error in validator.iter_errors(value)
    ]


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    _, *names = node["$ref"].split("/")
    for name in names:
        document = document[name]
    return document


def properties(document: dict[str, Any], component: str) -> set[str]:
    return set(document["components"]["schemas"][component]["properties"])


# --- It is valid -------------------------------------------------------------------------------


def test_it_is_a_valid_openapi_document(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_operation_has_a_name_of_its_own_a_summary_and_a_tag(
    document: dict[str, Any],
) -> None:
    told = [operation for _, _, operation in operations(document)]
    assert len({it["operationId"] for it in told}) == len(told)
    tags = {tag["name"] for tag in document["tags"]}
    assert [
        it["operationId"] for it in told if not it["summary"] or not set(it["tags"]) <= tags
    ] == []


def test_no_part_of_it_is_unused(document: dict[str, Any]) -> None:
    used = {
        it["$ref"] for it in every(document, lambda it: isinstance(it.get("$ref"), str))
    }
    parts = {
        f"#/components/{kind}/{name}"
        for kind, them in document["components"].items()
        for name in them
    }
    assert {it for it in parts - used if "securitySchemes" not in it} == set()


def test_its_version_is_the_programs(document: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    assert document["info"]["version"] == project["version"]


def test_it_is_built_once_and_knows_no_address(
    sqlite_app: Flask, document: dict[str, Any]
) -> None:
    assert sqlite_app.extensions["openapi"]() is sqlite_app.extensions["openapi"]()
    answer = sqlite_app.test_client().get(
        "/openapi.json", headers={"Host": "portal.example"}
    )
    assert answer.json == document
    assert document["servers"] == [{"url": "/"}]


# --- It is complete ----------------------------------------------------------------------------


def paths_of(rule: str) -> list[str]:
    """Return the paths of a route, in the document's spelling."""
    parts = re.split(r"(<any\(.*?\):\w+>)", re.sub(r"<int:\w+>", "{id}", rule))
    choices = [
        re.findall(r"\w+", part[5:].split(")")[0]) if part.startswith("<any(") else [part]
        for part in parts
    ]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def test_every_route_of_the_api_is_described_and_no_other(
    sqlite_app: Flask, document: dict[str, Any]
) -> None:
    rules = [
        it
        for it in sqlite_app.url_map.iter_rules()
        if it.rule.startswith(("/api/", "/healthz", "/openapi.json"))
    ]
    routes = {
        (path, method)
        for it in rules
        for path in paths_of(it.rule)
        for method in it.methods or ()
    }
    described = {(path, method.upper()) for path, method, _ in operations(document)}
    assert described == {
        (path, method) for path, method in routes if method not in ("HEAD", "OPTIONS")
    }


@pytest.mark.parametrize("entity", RULES)
def test_every_field_and_filter_is_described(
    sqlite_app: Flask, document: dict[str, Any], entity: str
) -> None:
    schema = sqlite_app.extensions["schemas"][entity]
    assert properties(document, entity.title()) == set(map(json_name, schema.load_fields))
    assert properties(document, f"{entity.title()}Stored") == set(
        map(json_name, schema.dump_fields)
    )
    parameters = document["paths"][f"{API}/{entity}s"]["get"]["parameters"]
    assert {it["name"] for it in parameters if "name" in it} == set(
        reading.filters(schema, RULES[entity])
    )


def test_every_part_of_a_history_row_is_described(document: dict[str, Any]) -> None:
    columns = {json_name(column.name) for column in SyncRun.__table__.c}
    assert properties(document, "SyncRun") == columns | {"failuresLeftOut"}


def test_every_failure_is_described_but_that_of_the_log_in(
    document: dict[str, Any],
) -> None:
    told = {
        (int(name.removeprefix("Problem")), code)
        for name, response in document["components"]["responses"].items()
        for code in response["content"]["application/problem+json"]["examples"]
    }
    kinds = set(problems.Problem.__subclasses__()) - {problems.TooManyRequests}
    assert told == {(kind.status, kind.code) for kind in kinds}


def test_no_record_of_a_list_fails_because_the_service_is_busy(
    document: dict[str, Any],
) -> None:
    of_a_record = {"validation_failed", "database_unavailable"}
    codes = [
        it["enum"]
        for it in every(document, lambda it: of_a_record <= {*it.get("enum", ())})
    ]
    assert codes
    assert [it for it in codes if problems.ServiceBusy.code in it] == []


def test_every_answer_carries_the_request_id(document: dict[str, Any]) -> None:
    answers = every(document, lambda it: "description" in it and "content" in it)
    assert [
        it["description"] for it in answers if "X-Request-Id" not in it["headers"]
    ] == []


# --- Its examples are examples -----------------------------------------------------------------


def test_every_body_has_an_example_and_every_example_is_one(closed: dict[str, Any]) -> None:
    bodies = list(
        every(
            closed,
            lambda it: (
                isinstance(it.get("schema"), dict) and ("example" in it or "examples" in it)
            ),
        )
    )
    assert len(bodies) == sum(
        len(it["content"]) for it in every(closed, lambda it: "content" in it)
    )
    for body in bodies:
        examples = (
            [it["value"] for it in body["examples"].values()]
            if "examples" in body
            else [body["example"]]
        )
        assert examples
        assert [
            fault for it in examples for fault in errors(closed, body["schema"], it)
        ] == []


@pytest.mark.parametrize("entity", RULES)
def test_the_examples_of_requests_are_the_samples(
    document: dict[str, Any], samples: dict[str, dict[str, Any]], entity: str
) -> None:
    body = document["paths"][f"{API}/{entity}"]["post"]["requestBody"]["content"][
        "application/json"
    ]
    assert body["example"] == samples[entity]


def test_the_examples_of_answers_are_what_the_samples_get(
    http: Http, document: dict[str, Any]
) -> None:
    """But for ids and times."""
    passing = {"id", "createdAt", "updatedAt", "clinicId", "doctorId", "patientId"}
    for entity in RULES:
        sample = json.loads((SAMPLES / f"{entity}.json").read_text(encoding="utf-8"))
        for status in (201, 200):
            answer = http.post(f"/{entity}", sample)
            told = document["paths"][f"{API}/{entity}"]["post"]["responses"][str(status)]
            example = told["content"]["application/json"]["example"]
            assert answer.status_code == status
            for mine, its in (
                (answer.json, example),
                (answer.json["data"], example["data"]),
            ):
                assert mine.keys() == its.keys()
                assert {k: v for k, v in mine.items() if k not in {*passing, "data"}} == {
                    k: v for k, v in its.items() if k not in {*passing, "data"}
                }


# --- It is true --------------------------------------------------------------------------------

ALI = {"patientNo": "P-1", "nationalID": "N-1", "name": "Ali", "mobile": "0"}
SARA = {"patientNo": "P-2", "nationalID": "N-2", "name": "Sara"}
BOTH = {"patientNo": "P-1", "nationalID": "N-2"}
BOOKED = {"patientNo": "P-1", "date": "2026-06-15", "timeFrom": "10:30"}
NOBODY = {"name": "Nobody"}
LONG = [ALI] * 11  # one more than this service takes
# Operation, status, path, and what is sent (nothing: GET), in this order.
REQUESTS: list[tuple[str, int, str, Any]] = [
    ("upsertPatient", 201, "/patient?dryRun=true", ALI),
    ("upsertPatient", 201, "/patient", ALI),
    ("upsertPatient", 200, "/patient", ALI),
    ("upsertPatients", 200, "/patients", [SARA, ALI]),
    ("upsertPatient", 409, "/patient", BOTH),
    ("upsertPatient", 422, "/patient", NOBODY),
    ("upsertPatient", 400, "/patient?atomic=maybe", ALI),
    ("upsertPatient", 400, "/patient", [ALI]),
    ("upsertPatient", 400, "/patient", b"{"),
    ("upsertPatient", 413, "/patient", b" " * 5001),
    ("upsertAppointment", 422, "/appointment", BOOKED | {"doctorCode": "D-1"}),
    ("upsertAppointment", 201, "/appointment", BOOKED),
    ("upsertPatients", 200, "/patients?dryRun=true", [{"patientNo": "P-9", "name": "New"}]),
    ("upsertPatients", 207, "/patients", [ALI, BOTH, NOBODY, 17]),
    ("upsertPatients", 422, "/patients", [BOTH, NOBODY]),
    (
        "upsertPatients",
        422,
        "/patients?atomic=true&dryRun=true",
        [ALI, {"patientNo": "P-8", "name": "New"}, BOTH],
    ),
    ("upsertPatients", 400, "/patients", ALI),
    ("upsertPatients", 413, "/patients", LONG),
    ("upsertAll", 200, "/sync", {"patients": [ALI], "clinics": None}),
    ("upsertAll", 207, "/sync", {"patients": [ALI, BOTH], "appointments": [BOOKED]}),
    (
        "upsertAll",
        422,
        "/sync?atomic=true",
        {"patients": [ALI, BOTH], "appointments": [BOOKED]},
    ),
    ("upsertAll", 400, "/sync", {"people": []}),
    ("upsertAll", 413, "/sync", {"patients": LONG}),
    ("listPatients", 200, "/patients?limit=1", None),
    ("listPatients", 400, "/patients?colour=red", None),
    ("listAppointments", 200, "/appointments?dateFrom=2026-01-01", None),
    ("readPatient", 200, "/patients/1", None),
    ("readPatient", 404, "/patients/999", None),
    ("listSyncs", 200, "/syncs", None),
    ("listSyncs", 400, "/syncs?limit=0", None),
]
PARTS = {
    "upsertPatient",
    "upsertPatients",
    "upsertAll",
    "listPatients",
    "readPatient",
    "listSyncs",
}
FAULTS = {"500", "503"}  # these are made below


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Http]:
    """A service that takes ten records and 5,000 bytes."""
    limits = {"MAX_BATCH": "10", "MAX_CONTENT_LENGTH": "5000"}
    with migrated(f"sqlite:///{tmp_path / 'clinic.db'}", **limits) as app:
        yield Http(app.test_client())


def conforms(closed: dict[str, Any], name: str, answer: Any) -> None:
    """Check an answer against what the document says of this status of this operation."""
    (operation,) = [it for _, _, it in operations(closed) if it["operationId"] == name]
    told = resolved(closed, operation["responses"][str(answer.status_code)])
    (content,) = told["content"].items()
    assert answer.content_type == content[0]
    assert errors(closed, content[1]["schema"], answer.json) == [], answer.text
    for header, reference in told["headers"].items():
        said = resolved(closed, reference)
        value = answer.headers.get(header)
        assert value or not said.get("required"), header
        if value:
            kind = int if said["schema"].get("type") == "integer" else str
            assert errors(closed, said["schema"], kind(value)) == []


def ask(http: Http, path: str, body: Any, **headers: str) -> Any:
    if body is None:
        return http.client.get(f"{API}{path}", headers={"X-API-Key": KEY} | headers)
    bare, _, query = path.partition("?")
    return http.post(
        bare, body, headers=headers, **dict(it.split("=") for it in query.split("&") if it)
    )


def test_every_status_that_is_described_is_really_answered_and_as_it_is_described(
    small: Http, document: dict[str, Any], closed: dict[str, Any]
) -> None:
    seen = set()
    for name, status, path, body in REQUESTS:
        answer = ask(small, path, body, Prefer="return=minimal")
        assert answer.status_code == status, (name, path, answer.text)
        conforms(closed, name, answer)
        seen.add((name, str(status)))
    for name, path, body in {
        name: (name, path, body) for name, _, path, body in REQUESTS
    }.values():
        bare = path.split("?")[0]
        others = [(405, small.client.delete(f"{API}{bare}", headers={"X-API-Key": KEY}))]
        others += [(401, ask(small, bare, body, **{"X-API-Key": "no key of this service"}))]
        others += (
            [(415, ask(small, bare, body, **{"Content-Type": "text/xml"}))]
            if body is not None
            else []
        )
        for status, answer in others:
            assert answer.status_code == status
            conforms(closed, name, answer)
            seen.add((name, str(status)))
    told = {
        (it["operationId"], status)
        for _, _, it in operations(document)
        for status in it["responses"]
    }
    assert {it for it in told if it[0] in PARTS and it[1] not in FAULTS} == {
        it for it in seen if it[0] in PARTS
    }


def test_all_entities_are_described_alike(document: dict[str, Any]) -> None:
    alike = {
        method + path.replace(API, "").replace(entity, "*"): set()
        for entity in RULES
        for path, method, _ in operations(document)
        if entity in path
    }
    for entity in RULES:
        for path, method, operation in operations(document):
            if entity in path:
                alike[method + path.replace(API, "").replace(entity, "*")].add(
                    tuple(operation["responses"])
                )
    assert len(alike) == 4
    assert [name for name, statuses in alike.items() if len(statuses) > 1] == []


ANOTHER_PROBLEM = """
from engine import problems

class PersonIsElsewhere(problems.Problem):
    status, code, title, advice = 409, "person_is_elsewhere", "Another place", "Ask there."

import openapi
import schemas
from zoneinfo import ZoneInfo

described = openapi.document(schemas.all_for("SA", ZoneInfo("Asia/Riyadh"), True), "/api/healthcare")
examples = described["components"]["responses"]["Problem409"]["content"]["application/problem+json"]["examples"]
assert examples["person_is_elsewhere"]["value"]["detail"] == "Another place"
print(*examples)
"""


def test_a_new_problem_joins_others_of_its_status_even_without_an_example() -> None:
    command = [sys.executable, "-c", ANOTHER_PROBLEM]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    known = {"identity_conflict", "ambiguous_match", "slot_taken", "person_is_elsewhere"}
    assert {*told.stdout.split()} == known, told


@pytest.mark.parametrize(
    ("name", "path"), [("health", "/healthz"), ("document", "/openapi.json")]
)
def test_what_needs_no_key_is_as_it_is_described(
    sqlite_app: Flask, closed: dict[str, Any], name: str, path: str
) -> None:
    for status, method in ((200, "GET"), (405, "DELETE")):
        answer = sqlite_app.test_client().open(path, method=method)
        assert answer.status_code == status
        conforms(closed, name, answer)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (500, RuntimeError("unforeseen")),
        (503, problems.DatabaseUnavailable("busy", headers={"Retry-After": "10"})),
    ],
)
def test_the_services_own_failures_are_as_they_are_described(
    sqlite_app: Flask,
    closed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    fault: Exception,
) -> None:
    def fail(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(reading, "one", fail)
    answer = ask(Http(emptied(sqlite_app).test_client()), "/patients/1", None)
    assert answer.status_code == status
    conforms(closed, "readPatient", answer)
    assert {"500", "503"} <= {*closed["paths"][f"{API}/sync"]["post"]["responses"]}


def test_schemathesis_finds_no_failure(tmp_path: Path, document: dict[str, Any]) -> None:
    """Every check, in every phase, on the service as it runs; tests/schemathesis.toml says how.

    The document comes as a file: schemathesis leaves out the path that it has loaded it from.
    """
    url, file = f"sqlite:///{tmp_path / 'clinic.db'}", tmp_path / "openapi.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    with migrated(url), live.service(url) as running:
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            "tests/schemathesis.toml",
            "run",
        ]
        command += [
            str(file),
            "--url",
            f"http://127.0.0.1:{running.port}",
            "--header",
            f"X-API-Key: {live.KEY}",
        ]
        done = subprocess.run(
            [*command, "--checks", "all", "--no-color"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    passed = re.findall(r"✅ (\w+)$", done.stdout, re.MULTILINE)
    assert passed == ["Examples", "Coverage", "Fuzzing", "Stateful"]
    assert f"Tested: {len(list(operations(document)))}\n" in done.stdout
