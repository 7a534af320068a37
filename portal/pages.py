"""Pages for people: the reference with its sandbox, the log-in, the keys, and the sync history."""

import hmac
import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.sessions import SecureCookieSessionInterface
from werkzeug.wrappers import Response as AnyResponse

import reading
from config import ROOT
from engine import problems
from engine.entity import Entity, json_name
from engine.fields import Choice, Clean, Clock, Day
from engine.problems import Problem
from engine.rules import Rules
from portal import logins, overview, sessions
from schemas import ENTITIES
from upsert import RULES

SAMPLES = ROOT / "samples"
SAMPLE_ADDRESS = "http://127.0.0.1:5082"  # in the samples; the page shows its own
LANGUAGES = {"curl": "sh", "C#": "cs", "Python": "py"}
FORM_BYTES = 10_000  # of a form, read before anybody is known; one of 60 MB would take 2.5 GB to parse
DAYS = 30  # that the chart shows
RUNS = 50  # rows of the history a page
SHOWN = 10  # failures of a row in the list; its own page has all that are kept
CHART_HEIGHT, DAY_WIDTH = 120, 24  # units of the drawing
# The parts of a day from the ground up, in words.
PARTS = {
    "created": "created",
    "updated": "updated",
    "failed": "refused",
}
NOTHING_FROM_ELSEWHERE = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
HEADERS = {
    "Content-Security-Policy": f"{NOTHING_FROM_ELSEWHERE}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Where `next` may lead; anything else leads to the reference.
AFTER_LOGIN = {"history": "pages.history"}

log = logging.getLogger(__name__)
pages = Blueprint("pages", __name__)


class _Sessions(SecureCookieSessionInterface):
    """Signed cookies that are Secure where the page came over https: a clinic's LAN has plain http."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Return whether this request came over https."""
        return request.is_secure


def register(app: Flask, api: str) -> None:
    """Add the pages to an application whose API has this path."""
    app.config.update(SESSION_COOKIE_NAME="clinic_portal", SESSION_COOKIE_SAMESITE="Lax")
    app.config.update(PERMANENT_SESSION_LIFETIME=sessions.LIFETIME)
    app.session_interface = _Sessions()
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters["local"] = _local
    app.jinja_env.globals.update(
        api=api, csrf_token=_csrf_token, logged_in=_seems_logged_in
    )
    app.register_blueprint(pages)


def failure(problem: Problem) -> str:
    """Return the page that tells a person of a failure."""
    return render_template("failure.html", problem=problem)


# --- Who is there ------------------------------------------------------------------------------


@pages.before_request
def _guard() -> None:
    """Refuse all but the reference where no password is set, and every POST that does not come from a page of ours."""
    if request.endpoint != "pages.reference" and not _settings().portal_password:
        raise problems.NotFound(
            "Log-in is off. The operator turns it on with PORTAL_PASSWORD in the settings."
        )
    if request.method != "POST":
        return
    request.max_content_length = FORM_BYTES + 1
    sent, known = request.form.get("csrf_token", ""), session.get("csrf_token", "")
    from_a_page = known and hmac.compare_digest(sent.encode(), known.encode())
    if not (from_a_page or _is_logged_out_already()):
        raise problems.InvalidBody(
            "This page is too old. Load it again (cookies must be on), and repeat."
        )


@pages.after_request
def _keep_nothing(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _csrf_token() -> str:
    return session.setdefault("csrf_token", secrets.token_urlsafe(24))


def _is_logged_out_already() -> bool:
    """Return whether this asks for a log-out that was done, as another tab of the browser does."""
    return request.endpoint == "pages.logout" and "token" not in session


def _logged_in() -> bool:
    """Return whether whoever asks is logged in; raise DatabaseUnavailable if nobody can know."""
    if "logged_in" not in g:
        g.logged_in = False  # on the page of the failure, if there is one
        g.logged_in = sessions.lasts(session.get("token", ""))
    return g.logged_in


def _seems_logged_in() -> bool:
    """Return what the pages for everybody show: without the database nobody is logged in."""
    try:
        return _logged_in()
    except problems.DatabaseUnavailable:
        return False


def _settings() -> Any:
    return current_app.extensions["settings"]


@pages.route("/login", methods=["GET", "POST"])
def login() -> AnyResponse | tuple[str, int] | str:
    """Show the log-in, or check the password and log in."""
    # A HEAD, which any site can make a browser send, is no try.
    if request.method != "POST":
        return render_template("login.html")
    if not logins.opens(
        _settings().portal_password,
        request.form.get("password", ""),
        request.remote_addr or "",
    ):
        log.warning("wrong portal password from %s", request.remote_addr)
        return render_template("login.html", wrong=True), problems.Unauthorized.status
    token = sessions.begin(instead_of=session.get("token", ""))
    session.clear()
    session["token"] = token
    log.info("log-in from %s", request.remote_addr)
    return redirect(
        url_for(AFTER_LOGIN.get(request.args.get("next", ""), "pages.reference")), 303
    )


@pages.post("/logout")
def logout() -> AnyResponse:
    """Log out; to log out again is harmless."""
    if "token" in session:
        sessions.end(session["token"])
        session.clear()
    return redirect(url_for("pages.reference"), 303)


@pages.post("/key")
def reveal() -> dict[str, dict[str, str]]:
    """Return the keys by name: the only answer that ever holds one."""
    if not _logged_in():
        raise problems.Unauthorized("Log in first.")
    log.warning("API keys shown to %s", request.remote_addr)
    return {"keys": {key.name: key.secret for key in _settings().api_keys}}


# --- The reference -----------------------------------------------------------------------------


@pages.get("/")
def reference() -> str:
    """Show how to talk to the service, and let the reader try it."""
    address = request.url_root.rstrip("/")
    entities = [
        _entity(name, schema, address)
        for name, schema in current_app.extensions["schemas"].items()
    ]
    return render_template(
        "reference.html",
        address=address,
        entities=entities,
        night=_code("night", address),
        problems=sorted(Problem.__subclasses__(), key=lambda problem: problem.status),
        operations=[operation for entity in entities for operation in _operations(entity)]
        + _other_operations(),
        settings=_settings(),
        limit=reading.LIMIT,
        most=reading.MOST,
    )


def _entity(name: str, schema: Entity, address: str) -> dict[str, Any]:
    """Return what the reference tells of an entity."""
    return {
        "name": name,
        "plural": RULES[name].plural,
        "purpose": schema.__doc__,
        "sample": _file(f"{name}.json"),
        "key": schema.clean_all([json.loads(_file(f"{name}.json"))]).keys[0],
        "keys": [json_name(key) for key in RULES[name].unique],
        "weak": [json_name(key) for key in RULES[name].weak],
        "identities": [
            [json_name(field) for field in identity] for identity in schema.rules.identities
        ],
        "fields": [
            _field(name, schema, field)
            for field in schema.load_fields.values()
            if isinstance(field, Clean)
        ],
        "filters": reading.filters(schema, RULES[name]),
        "code": {
            language: text.replace("patient", name)
            for language, text in _code("push", address).items()
        },
    }


def _field(entity: str, schema: Entity, field: Clean) -> dict[str, Any]:
    name = field.name or ""
    return {
        "name": json_name(name),
        "meaning": field.meaning,
        "accepts": field.accepts,
        "length": None if isinstance(field, Choice | Day | Clock) else field.length,
        "required": _required(name, RULES[entity], schema),
    }


def _required(name: str, rules: Rules, schema: Entity) -> str:
    """Return when a record must carry a field, in words; what it refers to is sent by code or by id."""
    codes = {reference.column: reference.code for reference in rules.references}
    either = {key: code for key, code in codes.items() if key in rules.needs}
    other = (either | {code: key for key, code in either.items()}).get(name)
    in_identity = [name in identity for identity in schema.rules.identities]
    if all(in_identity):
        return "yes"
    if other:
        return f"to create, or {json_name(other)}"
    if name in rules.needs:
        return "to create"
    return "one of these" if any(in_identity) else ""


def _code(sample: str, address: str) -> dict[str, str]:
    """Return a sample program in each language, with the service's own address."""
    files = {
        language: f"clients/{sample}.{ending}" for language, ending in LANGUAGES.items()
    }
    return {
        language: _file(name).replace(SAMPLE_ADDRESS, address)
        for language, name in files.items()
    }


@cache
def _file(name: str) -> str:
    return (SAMPLES / name).read_text(encoding="utf-8").rstrip()


def _operations(entity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the sandbox can do with an entity."""
    name, plural, sample = entity["name"], entity["plural"], entity["sample"]
    listed, filters = f"[\n{_indented(sample)}\n]", list(entity["filters"])
    one, many = {"body": sample}, {"body": listed}
    reads = {"query": "limit=10", "filters": filters}
    return [
        _operation(plural, f"Upsert one {name}", "POST", f"/{name}", one),
        _operation(plural, f"Upsert many {plural}", "POST", f"/{plural}", many),
        _operation(plural, f"List {plural}", "GET", f"/{plural}", reads),
        _operation(plural, f"Read one {name}", "GET", f"/{plural}/{{id}}", {}),
    ]


def _other_operations() -> list[dict[str, Any]]:
    lists = [
        f'  "{RULES[name].plural}": [\n{_indented(_file(f"{name}.json"), 4)}\n  ]'
        for name in ENTITIES
    ]
    everything = {"body": "{\n" + ",\n".join(lists) + "\n}"}
    reads = {"query": "limit=10"}
    return [
        _operation("everything", "Sync everything", "POST", "/sync", everything),
        _operation("everything", "Read the history", "GET", "/syncs", reads),
    ]


def _operation(
    group: str, label: str, method: str, path: str, more: dict[str, Any]
) -> dict[str, Any]:
    """Return one entry of the sandbox's list; `more` is its body, or its query and filters."""
    return {"group": group, "label": label, "method": method, "path": path} | more


def _indented(text: str, by: int = 2) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())


# --- The history -------------------------------------------------------------------------------


@pages.get("/history")
def history() -> AnyResponse | str:
    """Show what is stored, what each day brought, and what became of each sync."""
    if not _logged_in():
        return redirect(url_for("pages.login", next="history"))
    failed, run = "failures" in request.args, request.args.get("run", type=int)
    names = [key.name for key in _settings().api_keys]
    days = overview.daily(_settings().time_zone, DAYS)
    return render_template(
        "history.html",
        stored=overview.stored(),
        stopped=overview.stopped(names),
        last=overview.last_requests(names),
        days=days,
        chart=_chart(days),
        day_width=DAY_WIDTH,
        zone=_settings().time_zone.key,
        runs=reading.runs(RUNS, request.args.get("after"), failed=failed, run=run),
        failed=failed,
        run=run,
        shown=None if run else SHOWN,
        words={problem.code: problem for problem in Problem.__subclasses__()},
    )


def _chart(days: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the bars, of each day stacked from the ground: y downwards, CHART_HEIGHT units for the largest day."""
    largest = max(sum(day[part] for part in PARTS) for day in days) or 1
    bars = []
    for number, day in enumerate(days):
        ground = float(CHART_HEIGHT)
        for part in filter(day.get, PARTS):
            # However small it is, it can be seen.
            height = max(2.0, round(day[part] / largest * CHART_HEIGHT, 1))
            ground = round(ground - height, 1)
            title = f"{day['date']}: {day[part]:,} {PARTS[part]}"
            bars.append(
                {
                    "part": part,
                    "x": number * DAY_WIDTH,
                    "y": ground,
                    "height": height,
                    "title": title,
                }
            )
    return bars


def _local(instant: str) -> str:
    """Return an instant in the clinic's time: `2026-06-15 12:00`."""
    return (
        datetime.fromisoformat(instant)
        .astimezone(_settings().time_zone)
        .strftime("%Y-%m-%d %H:%M")
    )
