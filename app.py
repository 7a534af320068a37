"""HTTP: the application factory, the key check, the routes, and failures as problem+json (RFC 9457) or a page."""

import hashlib
import hmac
import logging
import re
import time
import uuid
from collections.abc import Mapping
from functools import cache, partial
from traceback import format_tb
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, has_request_context, request
from flask_migrate import Migrate
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

import answers
import commands
import config
import logs
import openapi
import overdue
import payload
import reading
import schemas
import sync
from engine import database, problems
from engine.outages import watch_of
from engine.problems import Problem
from history import Origin
from large import Large
from models import REVISION, db
from portal import pages
from schemas import PLURALS
from upsert import RULES

API = "/api/healthcare"
SHOWN = 80  # characters that an answer repeats of a body or a parameter
PROBLEM_JSON, HTML = "application/problem+json", "text/html"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CUT_OFF = "The body ended early, stopped coming for a minute, or is not properly chunked."
PATHS = f"there are {', '.join([*schemas.ENTITIES, *PLURALS, 'sync', 'syncs'])}"
SWITCHES = {"true": True, "false": False}

log = logging.getLogger(__name__)
api = Blueprint("api", __name__, url_prefix=API)
public = Blueprint("public", __name__)


def create_app(**settings: Any) -> Flask:
    """Build the application, from `settings` if any are given, otherwise from the environment.

    Settings go by their names in the environment (`API_KEYS="test:..."`). Touches no database.
    """
    given = {name: str(value) for name, value in settings.items()}
    values = config.read(given) if given else config.load()
    app = Flask(
        __name__,
        instance_path=str(config.ROOT / "instance"),
        template_folder="portal/templates",
        static_folder="portal/static",
    )
    logs.configure(values.log_level, values.log_format)
    logging.setLogRecordFactory(_log_record)
    app.url_map.merge_slashes = False
    _add_settings(app, values)
    _add_database(app, values)
    _register(app)
    return app


def _add_settings(app: Flask, values: config.Settings) -> None:
    app.config["SECRET_KEY"] = _signing_key(values)
    # Flask cuts a chunked body off here: the one byte more shows that it did.
    app.config["MAX_CONTENT_LENGTH"] = values.max_content_length + 1
    entities = schemas.all_for(values.phone_region, values.time_zone, values.hijri_dates)
    app.extensions["settings"] = values
    app.extensions["schemas"] = entities
    app.extensions["large"] = Large(values.max_content_length)
    app.extensions["openapi"] = cache(partial(openapi.document, entities, API))
    if count := values.trusted_proxies:
        # Each proxy adds an address; scheme and host are handed on by the last one, as one word.
        # Flask's own documentation wraps it so; to mypy it is a method.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=1, x_host=1)  # type: ignore[method-assign]


def _add_database(app: Flask, values: config.Settings) -> None:
    kind = database.of_name(values.database_url.get_backend_name())
    app.config["SQLALCHEMY_DATABASE_URI"] = values.database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = kind.options()
    db.init_app(app)
    # Alembic doubles each % of a setting.
    revisions = str(config.ROOT / "migrations").replace("%", "%%")
    Migrate(app, db, directory=revisions, render_as_batch=True)
    with app.app_context():
        kind.prepare(db.engine)
        watch_of(db.engine).revision = REVISION


def _log_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """Make a log record that knows the request's id and the name of its API key, never the secret."""
    record = logging.LogRecord(*args, **kwargs)
    if has_request_context():
        record.request_id = g.get("request_id")
        record.key_name = g.get("key_name")
    return record


def _signing_key(settings: config.Settings) -> bytes | None:
    """Return what signs the session cookies; it changes with the password, so that a new one logs everybody out."""
    if not (settings.secret_key and settings.portal_password):
        return None
    return hmac.digest(
        settings.secret_key.encode(), settings.portal_password.encode(), "sha256"
    )


def __getattr__(name: str) -> Any:
    """Build the application when a server or `flask` asks for it; importing alone builds none."""
    if name == "app":
        return commands.started(create_app)
    raise AttributeError(name)


def _register(app: Flask) -> None:
    app.before_request(_take_request_id)
    app.before_request(_check_key)
    app.after_request(_finish)
    app.teardown_request(_end_turn)
    app.register_error_handler(Exception, _answer_failure)
    app.register_blueprint(api)
    app.register_blueprint(public)
    pages.register(app, API)
    commands.register(app)


# --- Every request -----------------------------------------------------------------------------


def _take_request_id() -> None:
    sent = request.headers.get("X-Request-Id", "")
    g.started = time.monotonic()
    g.request_id = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
    request.environ["request_id"] = g.request_id  # the request's line in the log reads it


def _check_key() -> None:
    """Note the name of a known key; below /api/ refuse whoever has none, before anything else is looked at."""
    sent = request.headers.get("X-API-Key", "").encode("latin-1", "replace")
    digest = hashlib.sha256(sent).digest()
    keys = current_app.extensions["settings"].api_keys
    known = [key for key in keys if hmac.compare_digest(key.digest, digest)]
    if known:
        g.key_name = request.environ["key_name"] = known[0].name
    elif request.path.startswith("/api/"):
        detail = (
            "Send your key in the header X-API-Key:"
            " what stands after the name and colon in the service's API_KEYS."
        )
        raise problems.Unauthorized(
            detail, headers={"WWW-Authenticate": 'ApiKey header="X-API-Key"'}
        )


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    response.headers.update(pages.HEADERS)
    if request.path.startswith("/api/"):
        response.headers["Cache-Control"] = "no-store"
    return response


# --- Reading a request -------------------------------------------------------------------------


def _body() -> Any:
    """Return the request's JSON, or raise the problem that it has."""
    return payload.parse(*_text())  # nothing holds the bytes while they are parsed


def _text() -> tuple[str, int]:
    """Return the text of the request's body, and of how many bytes it was. A large body waits for its turn."""
    headers = request.headers
    codec = payload.codec_of(
        headers.get("Content-Type", ""), headers.get("Content-Encoding")
    )
    most = current_app.extensions["settings"].max_content_length
    raw = payload.read(request.stream, most, _receive_large)
    if "turn" in g:
        g.turn.work(len(raw))
    return payload.decode(raw, codec), len(raw)


def _receive_large(size: int) -> None:
    """Take a place for a large body, of which so many bytes have come."""
    if "turn" not in g:
        g.turn = current_app.extensions["large"].turn()
    g.turn.receive(size)


def _end_turn(_error: BaseException | None) -> None:
    if turn := g.pop("turn", None):
        turn.end()


def _options() -> sync.Options:
    """Return what the query and the Prefer header ask for; a misspelt parameter is an error, not ignored."""
    unknown = [name for name in request.args if name not in ("atomic", "dryRun")]
    if unknown:
        detail = f"Unknown parameter {unknown[0][:SHOWN]!r}. There are atomic and dryRun."
        raise problems.InvalidParameter(detail)
    days = current_app.extensions["settings"].history_days
    origin = Origin(g.request_id, g.key_name, request.path[:200], days, g.started)
    return sync.Options(_switch("atomic"), _switch("dryRun"), _prefers_minimal(), origin)


def _prefers_minimal() -> bool:
    preferred = request.headers.get("Prefer", "").replace(" ", "").replace('"', "").lower()
    return "return=minimal" in re.split(r"[,;]", preferred)


def _switch(name: str) -> bool:
    sent = request.args.getlist(name)
    if not sent:
        return False
    if len(sent) > 1 or sent[0].lower() not in SWITCHES:
        raise problems.InvalidParameter(f"{name} must be true or false, and be sent once.")
    return SWITCHES[sent[0].lower()]


def _lists(body: Any) -> dict[str, list]:
    """Return the lists that /sync was sent, by entity, whose names may be in any case; else raise InvalidBody."""
    if not isinstance(body, dict):
        raise _wrong_body(
            f"Send an object with any of {', '.join(PLURALS)}, each a list.", body
        )
    batches: dict[str, list] = {}
    for name, records in body.items():
        entity = _entity_of(name)
        if entity is None:
            raise problems.InvalidBody(_unknown_member(name, records))
        if not isinstance(records, list | None):
            raise _wrong_body(f"{name} must be a list of objects.", records)
        if entity in batches:
            raise problems.InvalidBody(f"{name} is sent twice, in two spellings.")
        if records is not None:
            batches[entity] = records
    return batches


def _entity_of(name: str) -> str | None:
    """Return the entity whose plural this is, in any case."""
    # A cut name is none of them; to write one of millions of characters in lower case takes twelve bytes for each.
    return PLURALS.get(name[:SHOWN].lower())


def _unknown_member(name: str, value: Any) -> str:
    sentence = f"Unknown member {name[:SHOWN]!r}. There are {', '.join(PLURALS)}."
    wraps = isinstance(value, dict) and any(map(_entity_of, value))
    return f"{sentence} Send what stands in {name[:SHOWN]!r} alone." if wraps else sentence


def _wrong_body(advice: str, body: Any) -> Problem:
    """Return the problem of a body of the wrong kind, with the advice that fits what it is."""
    if isinstance(body, str) and re.match(r"\s*[{[]", body):
        advice = f"This is JSON as text within JSON: it was encoded twice. Send it encoded once. {advice}"
    if isinstance(body, dict) and (wrapping := _what_wraps(body)):
        advice = f"{wrapping} {advice}"
    return problems.InvalidBody(advice)


def _what_wraps(body: dict[str, Any]) -> str:
    """Return advice on an object that wraps a list or numbers its records; else ''."""
    lists = [name for name, value in body.items() if isinstance(value, list)]
    if lists and all(map(_entity_of, body)):
        return f"This object goes to {API}/sync; here, send the list that stands in {lists[0][:SHOWN]!r}."
    if lists:
        return f"This object wraps a list: send what stands in {lists[0][:SHOWN]!r}."
    if body and all(name.isdecimal() for name in body):
        return (
            "This object's members are numbered: send them as a list, without the numbers."
        )
    return ""


def _refuse_too_many(count: int) -> None:
    limit = current_app.extensions["settings"].max_batch
    if count > limit:
        raise problems.PayloadTooLarge(
            f"At most {limit} records go into one request; these are {count}. Send parts."
        )


# --- Routes ------------------------------------------------------------------------------------


@api.post(f"/<any({', '.join(schemas.ENTITIES)}):entity>")
def upsert_one(entity: str) -> Response:
    """Upsert one record."""
    options, body = _options(), _body()
    if not isinstance(body, dict):
        raise _wrong_body(
            f"Send one JSON object, or a list to {API}/{RULES[entity].plural}", body
        )
    answer = sync.one(current_app.extensions["schemas"], entity, body, options)
    return _answer(answer, 201 if answer["action"] == "created" else 200)


@api.post(f"/<any({', '.join(PLURALS)}):plural>")
def upsert_many(plural: str) -> Response:
    """Upsert many records of one entity."""
    options, body, entity = _options(), _body(), PLURALS[plural]
    if not isinstance(body, list):
        raise _wrong_body(
            f"Send a JSON list of objects, or one object to {API}/{entity}", body
        )
    _refuse_too_many(len(body))
    reports = sync.many(current_app.extensions["schemas"], {entity: body}, options)
    return _answer_many(
        reports, answers.listed(reports[entity], dry_run=options.dry_run), options
    )


@api.post("/sync")
def upsert_all() -> Response:
    """Upsert many records of all entities, in the order in which references resolve."""
    options, batches = _options(), _lists(_body())
    _refuse_too_many(sum(map(len, batches.values())))
    reports = sync.many(current_app.extensions["schemas"], batches, options)
    return _answer_many(
        reports, answers.all_listed(reports, dry_run=options.dry_run), options
    )


@api.get(f"/<any({', '.join(PLURALS)}):plural>")
def read_many(plural: str) -> Response:
    """Return a page of records."""
    entity = PLURALS[plural]
    sent = request.args.to_dict(flat=False)
    return _answer(
        reading.page(current_app.extensions["schemas"][entity], RULES[entity], sent)
    )


@api.get(f"/<any({', '.join(PLURALS)}):plural>/<int:record_id>")
def read_one(plural: str, record_id: int) -> Response:
    """Return one record."""
    entity = PLURALS[plural]
    return _answer(
        reading.one(current_app.extensions["schemas"][entity], RULES[entity], record_id)
    )


@api.get("/syncs")
def read_syncs() -> Response:
    """Return a page of the sync history."""
    return _answer(reading.syncs(request.args.to_dict(flat=False)))


@public.get("/healthz")
def health() -> Response:
    """Return whether the database answers, has this program's tables and takes writes; else 503 and the reason.

    The answer is 503, too, if a monitor asks for it (`within`, `key`) and the last sync is older than it allows.
    """
    question = overdue.asked(request.args.to_dict(flat=False))
    outage, lasts = database.health_of(db.engine, overdue.last_lists if question else None)
    if outage:
        log.error("not healthy: the database is %s", outage.reason)
        raise database.unavailable(outage)
    if question:
        overdue.refuse(question, lasts or {})
    return _answer({"status": "ok"})


@public.get("/openapi.json")
def describe() -> Response:
    """Return the OpenAPI document of the API."""
    return _answer(current_app.extensions["openapi"]())


# --- Answering ---------------------------------------------------------------------------------


def _answer(
    answer: Mapping[str, Any], status: int = 200, kind: str = "application/json"
) -> Response:
    return _answer_text(answers.encode(answer), status, kind)


def _answer_text(text: str, status: int, kind: str = "application/json") -> Response:
    # A lone surrogate in a name that is repeated to the sender becomes its JSON escape.
    return Response(
        text.encode("utf-8", "backslashreplace") + b"\n", status, content_type=kind
    )


def _answer_many(reports: sync.Reports, text: str, options: sync.Options) -> Response:
    answer = answers.totals(reports.values(), dry_run=options.dry_run)
    counts = {name: answer[name] for name in ("total", *answers.COUNTS)}
    request.environ["counts"] = counts
    response = _answer_text(text, answers.status(answer))
    if options.minimal:
        response.headers["Preference-Applied"] = "return=minimal"
    return response


def _prefers_a_page() -> bool:
    """Return whether a person reads the answer: outside the API, in a browser."""
    kind = request.accept_mimetypes.best_match([PROBLEM_JSON, HTML])
    return kind == HTML and not request.path.startswith("/api/")


def _answer_failure(error: Exception) -> Response:
    """Answer any failure as problem+json, or as a page to a browser.

    Of a failure that nobody expected only the request id is named.
    """
    problem = error if isinstance(error, Problem) else _as_problem(error)
    # Its frames hold the body, and maybe a list with the error itself: such a circle lives until it is collected.
    error.__traceback__ = None
    if not payload.is_cut_off(error):
        _end_turn(None)  # nothing of the body is kept
        payload.take_the_rest(request.environ)
    if problem.status == problems.InternalError.status:
        _name_request(problem)
    if _prefers_a_page():
        response = Response(pages.failure(problem), problem.status, mimetype=HTML)
    else:
        response = _answer(_problem_body(problem), problem.status, PROBLEM_JSON)
    response.headers.extend(problem.headers)
    return response


def _name_request(problem: Problem) -> None:
    log.error("answered with %s", problem.code)
    problem.detail += f" Tell the operator this request id: {g.request_id}"


def _problem_body(problem: Problem) -> dict[str, Any]:
    body = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    body |= {"success": False, "code": problem.code} | answers.members(problem)
    return body | ({} if problem.key is None else {"key": problem.key})


def _as_problem(error: Exception) -> Problem:
    if payload.is_cut_off(error):
        return problems.InvalidBody(CUT_OFF)
    if not isinstance(error, HTTPException):
        # The message may hold a record's values: only the class and the frames are logged.
        frames = format_tb(error.__traceback__)
        log.error(type(error).__name__, extra={"frames": frames})
        detail = "Something unforeseen happened. To send it again is harmless."
        return problems.InternalError(detail)
    return _as_http_problem(error)


def _method_not_allowed(error: HTTPException) -> Problem:
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    detail = f"This path takes {headers.get('Allow')}."
    return problems.MethodNotAllowed(detail, headers=headers)


def _as_http_problem(error: HTTPException) -> Problem:
    if error.code == problems.NotFound.status:
        return problems.NotFound(
            f"Nothing is at {request.path[:200]}. Below {API}/ {PATHS}."
        )
    if error.code == problems.MethodNotAllowed.status:
        return _method_not_allowed(error)
    if error.code == problems.PayloadTooLarge.status:
        return payload.too_large((request.max_content_length or 1) - 1)
    return problems.InvalidBody(error.description or "The request cannot be read.")
