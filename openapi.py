"""The OpenAPI 3.1 document: what every path takes and answers.

Its fixed parts stand in `openapi.json`, and what is said of each entity in `openapi_entity.json`: there `@` marks what
is put in from the schemas, the rules and the problems. It knows neither requests nor the application. What is sent and
what is answered are two schemas for each entity, because the service is liberal in what it takes and exact in what it
answers (contract, sections 2 and 5).
"""

import json
from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import Any

import answers
import overdue
import reading
from answers import Report
from config import ROOT
from engine import fields
from engine.entity import Entity, json_name
from engine.fields import COMPONENTS, Json
from engine.problems import Problem, ServiceBusy, TooManyRequests, ValidationFailed
from engine.rules import Rules
from overdue import SyncOverdue
from schemas import ENTITIES, PLURALS, Schemas
from upsert import RULES

JSON, PROBLEM_JSON = "application/json", "application/problem+json"
IN_A_LIST = (409, 422, 500, 503)  # statuses of one record among many
OF_A_REQUEST = (ServiceBusy, SyncOverdue)  # problems of theirs that no single record has


def by_status(kinds: Iterable[type[Problem]]) -> dict[int, list[type[Problem]]]:
    """Return the problems that the API answers with, by status, each in the order in which it came."""
    found: dict[int, list[type[Problem]]] = {}
    for kind in kinds:
        if kind is not TooManyRequests:  # that one is the log-in's
            found.setdefault(kind.status, []).append(kind)
    return dict(sorted(found.items()))


PROBLEMS = by_status(Problem.__subclasses__())


def document(schemas: Schemas, root: str) -> Json:
    """Return the document of the service with these schemas, whose API lies below `root`."""
    described = _filled("openapi.json", _common(root))
    parts = [_entity(entity, schema, root) for entity, schema in schemas.items()]
    components = described["components"]
    components["schemas"] |= _kinds(next(iter(schemas.values())))
    components["responses"] |= {f"Problem{status}": _refusal(status) for status in PROBLEMS}
    for part in parts:
        components["schemas"] |= part["components"]["schemas"]
    paths = [part["paths"] for part in parts]
    described["paths"] = dict(ChainMap(*reversed([*paths, described["paths"]])))
    described["tags"] = [tag for part in (*parts, described) for tag in part["tags"]]
    _add_sync(described, schemas, root)
    _add_health(described["paths"]["/healthz"]["get"])
    return described


def _filled(file: str, parts: Mapping[str, Any]) -> Json:
    """Return a file's JSON with parts put in: text for `@name` in a string, JSON for a string that is `@name` alone."""
    text = (ROOT / file).read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f'"@{name}"', json.dumps(part, ensure_ascii=False))
    for name, part in parts.items():
        text = text.replace(f"@{name}", str(part))
    return json.loads(text)


def _common(root: str) -> Json:
    keys = [
        json_name(key) for rules in RULES.values() for key in (*rules.unique, *rules.weak)
    ]
    return {
        "keysOrNull": [*dict.fromkeys(keys), None],
        "keys": [*dict.fromkeys(keys)],
        "codes": [
            kind.code
            for status in IN_A_LIST
            for kind in PROBLEMS[status]
            if kind not in OF_A_REQUEST
        ],
        "everyPlural": [*PLURALS],
        "root": root,
    }


# --- Fields ------------------------------------------------------------------------------------

# Kinds of field that the document describes once.
KINDS: tuple[type[fields.Clean], ...] = (
    fields.Text,
    fields.Identifier,
    fields.Code,
    fields.OfficialId,
    fields.NationalId,
    fields.Name,
    fields.Phone,
    fields.Email,
    fields.Day,
    fields.End,
    fields.Flag,
    fields.RecordId,
)
NULL_IN_A_DRY_RUN = ("id", "created_at", "updated_at")
ID: Json = {"type": ["integer", "null"], "readOnly": True}


def _ref(name: str) -> Json:
    return {"$ref": f"{COMPONENTS}{name}"}


def _usual(kind: type[fields.Clean], schema: Entity) -> fields.Clean:
    """Return a field of this kind that says nothing of its own."""
    usual = kind("")
    usual.schema = schema
    return usual


def _kinds(schema: Entity) -> Json:
    """Return the JSON schemas of the kinds of field, and of the words for none."""
    kinds = {kind.__name__: _usual(kind, schema).sent_schema() for kind in KINDS}
    none = fields.Choice("", {})
    none.schema = schema
    pattern = none._among_blanks(schema.nothing.pattern)
    return kinds | {"None": {"type": ["string", "null"], "pattern": pattern}}


def _field_sent(field: fields.Clean, schema: Entity) -> Json:
    """Describe a field as it may be sent; by its kind alone, where it says nothing of its own."""
    kind, sent = type(field), field.sent_schema()
    is_usual = kind in KINDS and sent == _usual(kind, schema).sent_schema()
    described = _ref(kind.__name__) if is_usual else sent
    return {"description": f"{field.meaning}; send {field.accepts}"} | described


def _record_sent(schema: Entity) -> Json:
    """Return the schema of a record as it may be sent, with one of its identities."""
    loaded: dict[str, Any] = schema.load_fields
    return {
        "type": "object",
        "properties": {
            json_name(name): _field_sent(field, schema) for name, field in loaded.items()
        },
        "description": f"{schema.__doc__} As it may be sent.",
        "anyOf": [_identity(schema, names) for names in schema.rules.identities],
    }


def _identity(schema: Entity, names: Iterable[str]) -> Json:
    """Return the schema of a record that carries these fields."""
    loaded: dict[str, Any] = schema.load_fields
    present = {json_name(name): loaded[name].present for name in names}
    return {"required": [*present], "properties": present}


def _record_stored(schema: Entity, rules: Rules) -> Json:
    """Return the schema of a record as it is answered: every field, null where the table may hold none."""
    properties = {
        json_name(name): _field_answered(name, field, rules)
        for name, field in schema.dump_fields.items()
    }
    return {
        "type": "object",
        "properties": properties,
        "description": f"{schema.__doc__} As it is stored.",
        "required": [*properties],
    }


def _field_answered(name: str, field: Any, rules: Rules) -> Json:
    if not hasattr(field, "answered_schema"):
        return {**ID, "description": fields.Instant.meaning}
    described = {"description": field.meaning} | field.answered_schema()
    described |= {"readOnly": True} if field.dump_only else {}
    if _may_be_null(name, field, rules):
        described["type"] = [described["type"], "null"]
        described |= {"enum": [*described["enum"], None]} if "enum" in described else {}
    return described


def _may_be_null(name: str, field: Any, rules: Rules) -> bool:
    if name in NULL_IN_A_DRY_RUN:
        return True
    column = rules.table.c.get(name)
    return not isinstance(field, fields.Codes) if column is None else bool(column.nullable)


# --- Query parameters --------------------------------------------------------------------------

STRING: Json = {"type": "string"}
FILTERS: dict[str, Json] = {
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": reading.MOST,
        "default": reading.LIMIT,
    },
    "after": STRING | {"pattern": r"\S"},
    "updatedSince": STRING | {"format": "date-time"},
    **dict.fromkeys(
        ("dateFrom", "dateTo"), STRING | {"format": "date", "pattern": "^(19|[2-9][0-9])"}
    ),
}


def _filters(schema: Entity, rules: Rules) -> list[Json]:
    """Return the query parameters of an entity's list."""
    by_name = {json_name(name): field for name, field in schema.load_fields.items()}
    return [
        _in_query(name, meaning, FILTERS.get(name) or _filter(by_name[name]))
        for name, meaning in reading.filters(schema, rules).items()
    ]


def _in_query(name: str, meaning: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def _filter(field: Any) -> Json:
    if isinstance(field, fields.Flag):
        return {"type": "boolean"}
    if isinstance(field, fields.RecordId):
        return field.present
    kind = fields.Identifier if isinstance(field, fields.Codes) else type(field)
    return _ref(kind.__name__) | STRING | {"pattern": r"\S"}


# --- Problems ----------------------------------------------------------------------------------

HEADER_OF = {401: "WWW-Authenticate", 405: "Allow", 503: "Retry-After"}


def _refusal(status: int) -> Json:
    """Return the answer of a status, with the codes that it may have and what to do about each."""
    kinds = PROBLEMS[status]
    members = {"status": {"const": status}, "code": {"enum": [kind.code for kind in kinds]}}
    content = {
        "schema": {"allOf": [_ref("Problem"), {"properties": members}]},
        "examples": {kind.code: _example(kind) for kind in kinds},
    }
    advice = "\n".join(f"* `{kind.code}`: {kind.title}. {kind.advice}" for kind in kinds)
    names = ["X-Request-Id", *([HEADER_OF[status]] if status in HEADER_OF else [])]
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return {"description": advice, "headers": headers, "content": {PROBLEM_JSON: content}}


def _example(kind: type[Problem]) -> Json:
    body = {
        "type": "about:blank",
        "title": kind.title,
        "status": kind.status,
        "success": False,
    }
    value = body | {"code": kind.code, "detail": kind.title, **kind.example}
    return {"summary": kind.title, "value": value}


# --- Examples: the requests are the samples, the answers are what the service makes of them ------

SAMPLES = {
    entity: json.loads((ROOT / "samples" / f"{entity}.json").read_text(encoding="utf-8"))
    for entity in ENTITIES
}
LISTS = {plural: [SAMPLES[entity]] for plural, entity in PLURALS.items()}
# The ids of the samples, once stored.
IDS = dict(zip(RULES, (2, 5, 17, 31, 41, 53, 67, 79), strict=False))
MOMENT = "2026-06-01 09:00:00"
REFUSED: Json = {
    "success": False,
    "detail": ValidationFailed.example["detail"],
    "status": ValidationFailed.status,
    "code": ValidationFailed.code,
    **ValidationFailed.example,
}
FAILURE = {name: REFUSED[name] for name in ("status", "code", "key", "errors")}


def _created(schema: Entity, entity: str) -> Json:
    """Return what becomes of a sample: its part of an answer."""
    key = schema.clean_all([SAMPLES[entity]]).keys[0]
    created = {"success": True, "action": "created", "id": IDS[entity], "key": key}
    return created | {"matchedBy": None, "changed": [], "warnings": []}


def _stored(schema: Entity, entity: str) -> Json:
    """Return how a sample is answered, once it is stored."""
    nothing: Json = dict.fromkeys(schema.dump_fields)
    data, _ = schema.clean(SAMPLES[entity])
    references = {f"{name}_id": number for name, number in IDS.items()}
    own = {"id": IDS[entity], "created_at": MOMENT, "updated_at": MOMENT}
    return schema.dump(nothing | data | references | own)


def _listed(*results: Json) -> Json:
    return json.loads(answers.listed(_report(results)))


def _totalled(lists: Mapping[str, list[Json]]) -> Json:
    parts = {plural: _listed(*results) for plural, results in lists.items()}
    return answers.totals([*map(_report, lists.values())]) | parts


def _report(results: Iterable[Json]) -> Report:
    return answers.report_of(
        {"index": index} | result for index, result in enumerate(results)
    )


def _show(operation: Json, request: Any, **responses: Json) -> None:
    """Put examples into an operation: of what is sent (None: nothing), and by status of what is answered."""
    if request is not None:
        operation["requestBody"]["content"][JSON]["example"] = request
    for status, example in responses.items():
        operation["responses"][status.removeprefix("_")]["content"][JSON]["example"] = (
            example
        )


# --- Entities, and all of them -----------------------------------------------------------------


def _entity(entity: str, schema: Entity, root: str) -> Json:
    """Return what is said of one entity."""
    rules = RULES[entity]
    part = _filled("openapi_entity.json", _common(root) | _words(rules, schema))
    part["components"]["schemas"] = _records(rules, schema) | part["components"]["schemas"]
    many = part["paths"][f"{root}/{rules.plural}"]
    many["get"]["parameters"] = _filters(schema, rules) + many["get"]["parameters"]
    created, stored = _created(schema, entity), _stored(schema, entity)
    _show_single(
        part["paths"][f"{root}/{entity}"]["post"], rules, created | {"data": stored}
    )
    _show_lists(many["post"], LISTS[rules.plural], created)
    _show(many["get"], None, _200={"data": [stored], "next": None})
    _show(part["paths"][f"{root}/{rules.plural}/{{id}}"]["get"], None, _200=stored)
    return part


def _words(rules: Rules, schema: Entity) -> Json:
    name = {"Entity": rules.entity.title(), "entity": rules.entity}
    return name | {"plural": rules.plural, "purpose": schema.__doc__}


def _records(rules: Rules, schema: Entity) -> Json:
    """Return the schemas of an entity's record, as it is sent and as it is stored."""
    name = rules.entity.title()
    return {name: _record_sent(schema), f"{name}Stored": _record_stored(schema, rules)}


def _show_single(operation: Json, rules: Rules, created: Json) -> None:
    unchanged = created | {"action": "unchanged", "matchedBy": json_name(rules.unique[0])}
    _show(operation, SAMPLES[rules.entity], _200=unchanged, _201=created)


def _show_lists(operation: Json, request: Any, created: Json) -> None:
    some, none = _listed(created, REFUSED), _listed(REFUSED)
    _show(operation, request, _200=_listed(created), _207=some, _422=none)


def _add_sync(described: Json, schemas: Schemas, root: str) -> None:
    """Describe /sync (its lists, with examples) and /syncs (its parameters, with an example)."""
    _add_lists(described["components"]["schemas"])
    created = {
        RULES[entity].plural: [_created(schema, entity)]
        for entity, schema in schemas.items()
    }
    failed = {"patients": [REFUSED]}
    every, some, none = map(_totalled, (created, created | failed, failed))
    upsert = described["paths"][f"{root}/sync"]["post"]
    _show(upsert, LISTS, _200=every, _207=some, _422=none)
    syncs = described["paths"][f"{root}/syncs"]["get"]
    meanings = reading.PAGING.items()
    paging = [_in_query(name, meaning, FILTERS[name]) for name, meaning in meanings]
    syncs["parameters"] = paging + syncs["parameters"]
    _show(syncs, None, _200={"data": [RUN], "next": None})


def _add_health(operation: Json) -> None:
    """Describe the parameters of /healthz."""
    schemas = {"within": f"^{overdue.SPAN}$", "key": r"\S"}
    operation["parameters"] = [
        _in_query(name, meaning, STRING | {"pattern": schemas[name]})
        for name, meaning in overdue.PARAMETERS.items()
    ] + operation["parameters"]


def _add_lists(components: Json) -> None:
    """Add a list of each entity to what /sync takes and answers."""
    for plural, entity in PLURALS.items():
        records = {"type": ["array", "null"], "items": _ref(entity.title())}
        components["Sync"]["properties"][plural] = records
        components["SyncResults"]["properties"][plural] = _ref("Results")


RUN: Json = {
    "id": 9,
    "at": "2026-06-01T09:00:00Z",
    "requestId": "night-17",
    "keyName": "desktop",
    "entity": "patients",
    "path": "/api/healthcare/patients",
    "total": 2,
    "created": 1,
    "updated": 0,
    "unchanged": 0,
    "failed": 1,
    "dryRun": False,
    "durationMs": 12,
    "failures": [{"index": 1} | FAILURE],
    "failuresLeftOut": 0,
}
