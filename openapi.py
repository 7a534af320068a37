"""The OpenAPI 3.1 document: what every path takes and answers, from the schemas, the rules and the problems.

Pure: it knows neither requests nor the application. What is sent and what is answered are two schemas for each
entity, because the service is liberal in what it takes and exact in what it answers (contract, sections 2 and 5).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import OpenAPIConverter

import answers
import history
import reading
import words
from answers import Report
from config import ROOT
from engine import fields as wire
from engine.entity import Entity, json_name
from engine.problems import Problem, TooManyRequests, ValidationFailed
from engine.rules import Rules
from schemas import ENTITIES
from upsert import RULES

Json = dict[str, Any]

OPENAPI, VERSION = "3.1.0", "0.1.0"
JSON, PROBLEM_JSON = "application/json", "application/problem+json"


def by_status(kinds: Iterable[type[Problem]]) -> dict[int, list[type[Problem]]]:
    """Return the problems that the API answers with, by status, each in the order in which it came."""
    found: dict[int, list[type[Problem]]] = {}
    for kind in kinds:
        if kind is not TooManyRequests:  # that one is the log-in's
            found.setdefault(kind.status, []).append(kind)
    return dict(sorted(found.items()))


PROBLEMS = by_status(Problem.__subclasses__())
ABOUT = """\
A clinic's desktop program sends clinics, doctors, patients and appointments; each lands once, on the right record.
Every request below `/api/` carries `X-API-Key`. Sending the same again is harmless.

What is sent is taken liberally. Field names match in any case (`PatientNo`); unknown fields are ignored, each with a
warning, and `id`, `createdAt` and `updatedAt` without one. **Absent and null keep** what is stored, a **blank string
clears** it (an identifier or a reference: keeps it). Text is trimmed, and its length is measured then; a whole number
is taken for its digits. **Values that mean none count as absent**: zeros and negative numbers in ids and identifiers,
the zero dates of .NET, SQL Server, Excel and MySQL, and, with a warning, words such as `N/A`, `NULL`, `-` or `لا يوجد`.
What was **damaged on its way** (`????`) is never taken for a name. Numbers in scientific notation identify nobody: 422.
`name` is needed to create, not to update. The body is UTF-8 (or windows-1256 or windows-1252, where declared), of
type `application/json` or `application/…+json`, without Content-Encoding.

What is answered is exact: a record holds every field, null where empty. Every failure is problem+json (RFC 9457), with
a `code` for programs. Paths that take GET take HEAD, and all take OPTIONS, which answers with `Allow`."""

# --- Fields ------------------------------------------------------------------------------------

_BLANK = r"[ \t\r\n]*"
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_LINES = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"
_DAY = r"[0-9]{4}-(0[0-9]|1[0-2])-(0[0-9]|[12][0-9]|3[01])"
_END = r"24:00(:00(\.0+)?)?|1\.00:00:00(\.0+)?"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?"
_MOMENT = rf"{_DAY}[Tt ]{_CLOCK}( ?([Zz]|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?))?"
_TICKS = r"/Date\(-?[0-9]{1,14}([+-]([01][0-9]|2[0-3])[0-5][0-9])?\)/"


def _in_any_case(character: str) -> str:
    forms = dict.fromkeys((character.lower(), character.upper()))
    return f"[{''.join(forms)}]"


def _any_case(spellings: Iterable[str], between: str = "") -> str:
    """Return the pattern of these words, in any case: JSON schemas know no other way to say so."""
    letters = [[*map(_in_any_case, word)] for word in spellings]
    return "|".join(between.join(word) for word in letters)


# Words for none, in any case and with punctuation between their letters; or nothing but punctuation.
_MARK = r"[ -/:-@\[-`{-~]"
NONE = rf"{_MARK}*[!-/:-@\[-`{{-~]{_MARK}*|{_MARK}*({_any_case(words.NONE, f'{_MARK}*')}){_MARK}*"
_ZERO = r"0+|-[0-9]+"

TEXT: Json = {
    "type": ["string", "integer", "null"],
    "maxLength": wire.TEXT,
    "pattern": f"[^{_CONTROL}]*",
}
WORD: Json = {"type": ["string", "null"], "pattern": ""}
ADDRESS: Json = {"type": "string", "format": "idn-email", "pattern": r"@.+\."}
# What may be sent for each kind of field, and its subclasses. `pattern` is the form of a string without the blanks
# around it, and `maxLength` stands for the field's own.
SENT: dict[type, Json] = {
    wire.Text: TEXT,
    wire.Name: TEXT | {"pattern": rf"[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*"},
    wire.Email: {"maxLength": wire.TEXT, "anyOf": [ADDRESS, "None"]},
    wire.Choice: WORD,
    wire.Day: WORD | {"pattern": f"{_DAY}|{_MOMENT}|{_TICKS}|{NONE}"},
    wire.Clock: WORD | {"pattern": f"{_CLOCK}|{_MOMENT}|{_TICKS}|{NONE}"},
    wire.End: WORD | {"pattern": f"{_CLOCK}|{_END}|{_MOMENT}|{_TICKS}|{NONE}"},
    wire.Flag: {"type": ["boolean", "integer", "string", "null"], "minimum": -1, "maximum": 1}
    | {"pattern": _any_case(("true", "false", "yes", "no", "1", "0", "-1", "نعم", "لا"))},
    wire.RecordId: WORD
    | {"type": ["integer", "string", "null"], "maximum": wire.LARGEST_ID}
    | {"pattern": f"{_ZERO}|{NONE}"},
    wire.Codes: {"type": ["array", "null"], "items": "Identifier"},
}
# What makes a field present, in an identity: neither null nor what counts as absent.
PRESENT: dict[type, Json] = {
    wire.Text: {"type": ["string", "integer"], "pattern": r"\S"},
    wire.Name: {"type": ["string", "integer"]},  # blank, these are refused anyhow
    wire.Day: {"type": "string"},
    wire.Clock: {"type": "string"},
    wire.RecordId: {"type": "integer", "minimum": 1, "maximum": wire.LARGEST_ID},
}
ANSWERED: dict[type, Json] = {
    wire.Text: {"type": "string", "maxLength": wire.TEXT},
    wire.Choice: {"type": "string"},
    wire.Day: {"type": "string", "format": "date"},
    wire.Clock: {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}:[0-9]{2}$"},
    wire.Flag: {"type": "boolean"},
    wire.RecordId: {"type": "integer", "minimum": 1},
    wire.Codes: {"type": "array", "items": {"type": "string", "maxLength": wire.IDENTIFIER}},
    wire.Instant: {"type": "string", "format": "date-time"},
}
KINDS = (
    *(
        wire.Text,
        wire.Identifier,
        wire.Code,
        wire.OfficialId,
        wire.NationalId,
        wire.Name,
        wire.Phone,
        wire.Email,
    ),
    *(wire.Day, wire.End, wire.Flag, wire.RecordId),
)
NULL_IN_A_DRY_RUN = ("id", "created_at", "updated_at")


def _of_kind(table: Mapping[type, Json], field: Any) -> Json:
    """Return what a table says of a field's kind, with the field's own length."""
    told = next((table[kind] for kind in type(field).__mro__ if kind in table), {})
    return told | ({"maxLength": field.length} if "maxLength" in told else {})


def _sent(field: Any) -> Json:
    """Return the schema of what may be sent for a field."""
    told = _of_kind(SENT, field)
    if isinstance(field, wire.Choice):
        choices = _any_case(field.spellings, " *" if field.spaced else "")
        told |= {"pattern": f"{choices}|{NONE}", "examples": list(field.choices)}
    if "pattern" in told:
        optional = "" if getattr(field, "blank", "") == wire.BLANK_IS_REFUSED else "?"
        trimmed = f"^{_BLANK}({told['pattern']}){optional}{_BLANK}$"
        told |= {"pattern": _LINES if getattr(field, "layout", False) else trimmed}
    return told


def _describe_sent(converter: OpenAPIConverter, field: Any, ret: Json) -> Json:
    """Describe a field as it may be sent; what its kind has in common with others is told once."""
    told, kind = _sent(field), type(field)
    shared = kind in KINDS and told == _sent(kind(""))
    return {"description": f"{field.meaning}; send {field.accepts}"} | (
        _ref(kind) if shared else told
    )


def _ref(kind: type) -> Json:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _describe_answered(converter: OpenAPIConverter, field: Any, ret: Json) -> Json:
    meaning = getattr(field, "meaning", "null in a dry run, for what would be created")
    choices = {"enum": list(field.choices)} if isinstance(field, wire.Choice) else {}
    return {"description": meaning} | _of_kind(ANSWERED, field) | choices


def _converter(spec: APISpec, describe: Any) -> OpenAPIConverter:
    converter = OpenAPIConverter(OPENAPI, lambda _: None, spec)
    converter.add_attribute_function(describe)
    return converter


def _record_sent(spec: APISpec, schema: Entity) -> Json:
    """Return the schema of a record as it may be sent, with one of its identities."""
    identities = [
        {
            "required": [json_name(name) for name in names],
            "properties": {
                json_name(name): _of_kind(PRESENT, schema.load_fields[name]) for name in names
            },
        }
        for names in schema.rules.identities
    ]
    told = _converter(spec, _describe_sent).fields2jsonschema(schema.load_fields)
    return told | {"description": f"{schema.__doc__} As it may be sent.", "anyOf": identities}


def _record_stored(spec: APISpec, schema: Entity, rules: Rules) -> Json:
    """Return the schema of a record as it is answered: every field, null where the table may hold none."""
    told = _converter(spec, _describe_answered).fields2jsonschema(schema.dump_fields)
    for name, field in schema.dump_fields.items():
        column, shown = rules.table.c.get(name), told["properties"][json_name(name)]
        if name in NULL_IN_A_DRY_RUN or (
            not isinstance(field, wire.Codes) if column is None else column.nullable
        ):
            shown["type"] = [shown["type"], "null"]
            shown |= {"enum": [*shown["enum"], None]} if "enum" in shown else {}
    return told | {
        "description": f"{schema.__doc__} As it is stored.",
        "required": list(told["properties"]),
    }


# --- Answers -----------------------------------------------------------------------------------

STRING, WHOLE, BOOLEAN, NOTHING = (
    {"type": kind} for kind in ("string", "integer", "boolean", "null")
)
YES, NO = {"const": True}, {"const": False}
STRINGS: Json = {"type": "array", "items": STRING}
PLURALS = [f"{entity}s" for entity in ENTITIES]
KEYS = list(
    dict.fromkeys(
        json_name(key) for rules in RULES.values() for key in (*rules.unique, *rules.weak)
    )
)
IN_A_LIST = (409, 422, 500, 503)  # statuses of one record among many


def _told(what: str, schema: Json) -> Json:
    return schema | {"description": what}


def _list_of(items: Json | str) -> Json:
    return {"type": "array", "items": items}


def _object(optional: Json | None = None, **members: Any) -> Json:
    """Return the schema of an object with these members, and maybe the optional ones."""
    return {"type": "object", "properties": members | (optional or {}), "required": list(members)}


COUNTS: Json = dict.fromkeys(("total", *answers.COUNTS), WHOLE)
TOTALS: Json = {"success": BOOLEAN} | COUNTS
DRY_RUN: Json = {"dryRun": _told("only in a dry run", YES)}
MAYBE: Json = DRY_RUN | {
    "rolledBack": _told("only if an atomic request failed: nothing is stored", YES)
}
INDEX: Json = {"index": _told("place in the list that was sent", WHOLE)}
WHY: Json = {"errors": "Errors", "candidates": "Candidates"}
WHY |= {"candidateCount": _told("how many there are, where they are more than are named", WHOLE)}
FAILURE: Json = {
    "status": {"enum": list(IN_A_LIST)},
    "code": {"enum": [kind.code for status in IN_A_LIST for kind in PROBLEMS[status]]},
    "key": _told(
        "what the record was sent by, as far as it could be read", {"type": ["string", "null"]}
    ),
}
DONE: Json = {
    "success": YES,
    "action": {"enum": list(answers.ACTIONS)},
    "id": "Id",
    "key": _told("what the record was sent by, in canonical form", STRING),
    "matchedBy": _told("the key that found the stored record", {"enum": [*KEYS, None]}),
    "changed": _told("fields that an update changed", STRINGS),
    "warnings": _told("what was accepted with a doubt", STRINGS),
}
UNDONE = DONE | {"success": NO, "action": NOTHING, "id": NOTHING, "matchedBy": NOTHING}
PARTS: dict[str, Json] = {
    **{kind.__name__: _sent(kind("")) for kind in KINDS},
    "None": WORD | {"pattern": f"^{_BLANK}({NONE})?{_BLANK}$"},
    "Id": _told("null for what a dry run would create", {"type": ["integer", "null"]}),
    "Cursor": _told(
        "goes into `after` for the next page; null at the end", {"type": ["string", "null"]}
    ),
    "Errors": _told("sentences by field", {"type": "object", "additionalProperties": STRINGS}),
    "Candidates": _told(
        "the stored records in question", _list_of(_object(id="Id", matchedBy={"enum": KEYS}))
    ),
    "Done": _object(**INDEX, **DONE),
    "Refused": _object(WHY, **INDEX, success=NO, **FAILURE, detail=STRING),
    "Undone": _told("rolled back because another record failed", _object(**INDEX, **UNDONE)),
    "Results": _object(MAYBE, **TOTALS, results=_list_of({"oneOf": ["Done", "Refused", "Undone"]})),
    "SyncResults": _object(MAYBE | dict.fromkeys(PLURALS, "Results"), **TOTALS),
    "SyncRun": _object(
        id=WHOLE,
        at=STRING | {"format": "date-time"},
        requestId=STRING,
        keyName=_told("the name of the key that sent it, or `command`", STRING),
        entity={"enum": PLURALS},
        path=STRING,
        **COUNTS,
        dryRun=BOOLEAN,
        durationMs=WHOLE,
        failures=_told(f"the first {history.FAILURES}", _list_of(_object(WHY, **INDEX, **FAILURE))),
    ),
    "SyncPage": _object(data=_list_of("SyncRun"), next="Cursor"),
    "Sync": _object(
        {f"{entity}s": {"type": ["array", "null"], "items": entity.title()} for entity in ENTITIES}
    )
    | {"additionalProperties": False},
    "Problem": _object(
        WHY | {"key": _told("what the refused record was sent by", STRING)},
        **{"type": STRING, "title": STRING, "status": WHOLE, "success": NO},
        detail=_told("what happened, in words", STRING),
        code=_told("what happened, for programs", STRING),
    ),
    "Health": _object(status={"const": "ok"}),
    "Document": {"type": "object"},
}

# --- Parameters and headers --------------------------------------------------------------------

SWITCH = {"schema": BOOLEAN | {"default": False}}
PARAMETERS: dict[tuple[str, str], Json] = {
    ("X-Request-Id", "header"): {
        "schema": STRING,
        "description": "1–64 of `A-Za-z0-9._-`, which the answer, the log and the history repeat; else one is made",
    },
    ("Prefer", "header"): {
        "schema": STRING,
        "description": "`return=minimal`: only failures and records with warnings are listed, the counts stay whole",
    },
    ("atomic", "query"): SWITCH
    | {"description": "all or nothing: one failure, and nothing is stored"},
    ("dryRun", "query"): SWITCH | {"description": "the same answer, nothing stored"},
    ("id", "path"): {
        "schema": _of_kind(PRESENT, wire.RecordId("")),
        "description": "the record's number",
    },
}
HEADERS: dict[str, Json] = {
    "X-Request-Id": {"schema": STRING | {"pattern": "^[A-Za-z0-9._-]{1,64}$"}, "required": True},
    "WWW-Authenticate": {"schema": STRING, "required": True},
    "Allow": {"schema": STRING, "required": True, "description": "the methods that the path takes"},
    "Retry-After": {"schema": WHOLE, "required": True, "description": "seconds"},
    "Preference-Applied": {
        "schema": {"const": "return=minimal"},
        "description": "only where it was asked for",
    },
}
HEADER_OF = {401: "WWW-Authenticate", 405: "Allow", 503: "Retry-After"}
FILTERS: dict[str, Json] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": reading.MOST, "default": reading.LIMIT},
    "after": STRING | {"pattern": r"\S"},
    "updatedSince": STRING | {"format": "date-time"},
    **dict.fromkeys(
        ("dateFrom", "dateTo"), STRING | {"format": "date", "pattern": "^(19|[2-9][0-9])"}
    ),
}


def _filters(schema: Entity, rules: Rules) -> list[Json]:
    """Return the query parameters of an entity's list."""
    fields = {json_name(name): field for name, field in schema.load_fields.items()}
    told = reading.filters(schema, rules)
    return [
        _in_query(name, meaning, FILTERS.get(name) or _filter(fields[name]))
        for name, meaning in told.items()
    ]


def _in_query(name: str, meaning: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def _filter(field: Any) -> Json:
    if isinstance(field, wire.Flag):
        return BOOLEAN
    if isinstance(field, wire.RecordId):
        return _of_kind(PRESENT, field)
    return (
        _ref(wire.Identifier if isinstance(field, wire.Codes) else type(field))
        | STRING
        | {"pattern": r"\S"}
    )


# --- Examples: the requests are the samples, the answers are what the service makes of them ------

SAMPLES = {
    entity: json.loads((ROOT / "samples" / f"{entity}.json").read_text(encoding="utf-8"))
    for entity in ENTITIES
}
LISTS = {f"{entity}s": [sample] for entity, sample in SAMPLES.items()}
IDS = {"clinic": 2, "doctor": 5, "patient": 17, "appointment": 31}
MOMENT = "2026-06-01 09:00:00"
REFUSED: Json = {"success": False, "status": ValidationFailed.status, "code": ValidationFailed.code}
REFUSED |= dict(ValidationFailed.example)
WRONG = {name: REFUSED[name] for name in ("status", "code", "key", "errors")}
RUN = (
    {
        "id": 9,
        "at": "2026-06-01T09:00:00Z",
        "requestId": "night-17",
        "keyName": "desktop",
        "entity": "patients",
    }
    | {
        "path": "/api/healthcare/patients",
        "total": 2,
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "failed": 1,
    }
    | {"dryRun": False, "durationMs": 12, "failures": [{"index": 1} | WRONG]}
)


def _problem(kind: type[Problem]) -> Json:
    told = {
        "type": "about:blank",
        "title": kind.title,
        "status": kind.status,
        "success": False,
        "code": kind.code,
    }
    return told | {"detail": kind.title, **kind.example}


def _created(schema: Entity, entity: str) -> Json:
    """Return what becomes of a sample: its part of an answer."""
    sample = schema.clean_all([SAMPLES[entity]])
    told = {"success": True, "action": "created", "id": IDS[entity], "key": sample.keys[0]}
    return told | {"matchedBy": None, "changed": [], "warnings": []}


def _stored(schema: Entity, entity: str) -> Json:
    """Return how a sample is answered, once it is stored."""
    own = {"id": IDS[entity], "created_at": MOMENT, "updated_at": MOMENT}
    references = {f"{name}_id": number for name, number in IDS.items()}
    return schema.dump(
        dict.fromkeys(schema.dump_fields) | schema.clean(SAMPLES[entity])[0] | references | own
    )


def _listed(*results: Json) -> Json:
    return json.loads(answers.listed(_report(results)))


def _totalled(lists: Mapping[str, list[Json]]) -> Json:
    parts = {plural: _listed(*results) for plural, results in lists.items()}
    return answers.totals(map(_report, lists.values())) | parts


def _report(results: Iterable[Json]) -> Report:
    return answers.report_of({"index": index} | result for index, result in enumerate(results))


# --- The document ------------------------------------------------------------------------------

# The refusals of every operation; of those with a key; of lists; of what takes a body.
BARE = (405, 500)
KEYED = (*BARE, 401, 503)
LISTING = (*KEYED, 400)
WRITING = (*LISTING, 413, 415)
OPTIONS = ["atomic", "dryRun"]


def document(schemas: Mapping[str, Entity], root: str) -> Json:
    """Return the document of the service with these schemas, whose API lies below `root`."""
    info, servers = (
        {"description": ABOUT},
        [{"url": "/"}],
    )  # relative: behind a proxy nobody knows its own address
    spec = APISpec("Healthcare Integration API", VERSION, OPENAPI, info=info, servers=servers)
    _add_parts(spec)
    for entity, schema in schemas.items():
        _add_entity(spec, entity, schema, root)
    _add_sync(spec, schemas, root)
    _add_service(spec)
    told = spec.to_dict() | {"security": [{"ApiKey": []}]}
    return {
        name: told[name]
        for name in ("openapi", "info", "servers", "security", "tags", "paths", "components")
    }


def _add_parts(spec: APISpec) -> None:
    """Add what several operations share."""
    scheme = {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "a key of the service's API_KEYS",
    }
    spec.components.security_scheme("ApiKey", scheme)
    for name, part in PARTS.items():
        spec.components.schema(name, part)
    for name, header in HEADERS.items():
        spec.components.header(name, header)
    for (name, place), parameter in PARAMETERS.items():
        spec.components.parameter(name, place, parameter)
    for status, kinds in PROBLEMS.items():
        spec.components.response(f"Problem{status}", _refusal(status, kinds))


def _refusal(status: int, kinds: Iterable[type[Problem]]) -> Json:
    """Return the answer of a status, with the codes that it may have and what to do about each."""
    members = {"status": {"const": status}, "code": {"enum": [kind.code for kind in kinds]}}
    content = {
        "schema": {"allOf": ["Problem", {"properties": members}]},
        "examples": {kind.code: {"summary": kind.title, "value": _problem(kind)} for kind in kinds},
    }
    told = "\n".join(f"* `{kind.code}`: {kind.title}. {kind.advice}" for kind in kinds)
    return {
        "description": told,
        "headers": _headers(HEADER_OF.get(status)),
        "content": {PROBLEM_JSON: content},
    }


def _headers(*names: str | None) -> Json:
    return {name: name for name in ("X-Request-Id", *names) if name}


def _content(schema: Json | str, example: Any) -> Json:
    return {"content": {JSON: {"schema": schema, "example": example}}}


def _answer(told: str, schema: str, example: Json, **links: Json) -> Json:
    answer = {"description": told, "headers": _headers()} | _content(schema, example)
    return answer | ({"links": links} if links else {})


def _operation(
    name: str,
    told: str,
    tag: str,
    answers: Mapping[int, Json],
    refusals: Iterable[int],
    *parameters: Json | str,
) -> Json:
    responses = dict(answers) | {status: f"Problem{status}" for status in refusals}
    described = {
        "operationId": name,
        "summary": told,
        "tags": [tag],
        "parameters": [*parameters, "X-Request-Id"],
    }
    return described | {"responses": {status: responses[status] for status in sorted(responses)}}


def _body(schema: Json | str, example: Any) -> Json:
    return {"requestBody": {"required": True} | _content(schema, example)}


def _answers_to_many(schema: str, *examples: Json) -> dict[int, Json]:
    """Return the three answers to lists, given an example of each."""
    told = (
        "All succeeded",
        "Some failed: read the results",
        "All failed; or the request is atomic, and one did",
    )
    headers = {"headers": _headers("Preference-Applied")}
    answers = [
        _answer(said, schema, example) | headers
        for said, example in zip(told, examples, strict=True)
    ]
    return dict(zip((200, 207, 422), answers, strict=True))


def _link(operation: str, **parameters: str) -> Json:
    return {"operationId": operation, "parameters": parameters}


def _add_entity(spec: APISpec, entity: str, schema: Entity, root: str) -> None:
    """Add an entity's schemas and its operations."""
    name, rules = entity.title(), RULES[entity]
    spec.tag({"name": f"{entity}s", "description": schema.__doc__})
    spec.components.schema(name, _record_sent(spec, schema))
    spec.components.schema(f"{name}Stored", _record_stored(spec, schema, rules))
    spec.components.schema(f"{name}Result", _object(DRY_RUN, **DONE, data=f"{name}Stored"))
    spec.components.schema(f"{name}Page", _object(data=_list_of(f"{name}Stored"), next="Cursor"))
    one, many = {"post": _upsert_one(entity, schema)}, {"post": _upsert_many(entity, schema)}
    spec.path(f"{root}/{entity}", operations=one)
    spec.path(f"{root}/{entity}s", operations=many | {"get": _list(entity, schema, rules)})
    spec.path(f"{root}/{entity}s/{{id}}", operations={"get": _read(entity, schema)})


def _upsert_one(entity: str, schema: Entity) -> Json:
    name, link = entity.title(), _link(f"read{entity.title()}", id="$response.body#/id")
    created = _created(schema, entity) | {"data": _stored(schema, entity)}
    unchanged = created | {"action": "unchanged", "matchedBy": json_name(RULES[entity].unique[0])}
    answers = {
        200: _answer("Updated or unchanged", f"{name}Result", unchanged, read=link),
        201: _answer("Created", f"{name}Result", created, read=link),
    }
    refusals = (*WRITING, 409, 422)
    told = _operation(
        f"upsert{name}", f"Upsert one {entity}", f"{entity}s", answers, refusals, *OPTIONS
    )
    return told | _body(name, SAMPLES[entity])


def _upsert_many(entity: str, schema: Entity) -> Json:
    name, created = entity.title(), _created(schema, entity)
    answers = _answers_to_many(
        "Results", _listed(created), _listed(created, REFUSED), _listed(REFUSED)
    )
    told = _operation(
        f"upsert{name}s",
        f"Upsert many {entity}s",
        f"{entity}s",
        answers,
        WRITING,
        *OPTIONS,
        "Prefer",
    )
    return told | _body(_list_of(name), LISTS[f"{entity}s"])


def _list(entity: str, schema: Entity, rules: Rules) -> Json:
    name, page = entity.title(), {"data": [_stored(schema, entity)], "next": None}
    link = _link(f"list{name}s", after="$response.body#/next")
    answers = {200: _answer("A page of records, by id", f"{name}Page", page, next=link)}
    return _operation(
        f"list{name}s", f"List {entity}s", f"{entity}s", answers, LISTING, *_filters(schema, rules)
    )


def _read(entity: str, schema: Entity) -> Json:
    name = entity.title()
    answers = {200: _answer("The record", f"{name}Stored", _stored(schema, entity))}
    return _operation(
        f"read{name}", f"Read one {entity}", f"{entity}s", answers, (*KEYED, 404), "id"
    )


def _add_sync(spec: APISpec, schemas: Mapping[str, Entity], root: str) -> None:
    """Add the path that takes all entities, and the history."""
    spec.tag(
        {"name": "sync", "description": "All entities at once, and the history of what was sent."}
    )
    created = {f"{entity}s": [_created(schema, entity)] for entity, schema in schemas.items()}
    failed = {"patients": [REFUSED]}
    answers = _answers_to_many("SyncResults", *map(_totalled, (created, created | failed, failed)))
    told = "Upsert many records of all entities, in the order in which references resolve"
    upsert = _operation("upsertAll", told, "sync", answers, WRITING, *OPTIONS, "Prefer") | _body(
        "Sync", LISTS
    )
    link = _link("listSyncs", after="$response.body#/next")
    pages = {
        200: _answer(
            "A page, the newest first", "SyncPage", {"data": [RUN], "next": None}, next=link
        )
    }
    paging = [_in_query(name, meaning, FILTERS[name]) for name, meaning in reading.PAGING.items()]
    listed = _operation(
        "listSyncs", "List what was sent, and what became of it", "sync", pages, LISTING, *paging
    )
    spec.path(f"{root}/sync", operations={"post": upsert})
    spec.path(f"{root}/syncs", operations={"get": listed})


def _add_service(spec: APISpec) -> None:
    """Add the paths that need no key."""
    spec.tag({"name": "service", "description": "For monitors and tools; without a key."})
    healthy = {200: _answer("The database answers", "Health", {"status": "ok"})}
    health = _operation(
        "health", "Tell whether the database answers", "service", healthy, (*BARE, 503)
    )
    itself = {200: _answer("OpenAPI 3.1", "Document", {"openapi": OPENAPI})}
    described = _operation("document", "Return this document", "service", itself, BARE)
    spec.path("/healthz", operations={"get": health | {"security": []}})
    spec.path("/openapi.json", operations={"get": described | {"security": []}})
