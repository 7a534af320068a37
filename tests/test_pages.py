"""The pages for people: who may see what, and what they hold."""

import html
import io
import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import flask_migrate
import pytest
import sqlalchemy as sa
from conftest import KEY, emptied, migrated
from flask import Flask
from flask.testing import FlaskClient
from live import not_on_waitress
from werkzeug.test import TestResponse

import reading
from engine import problems
from engine.entity import json_name
from engine.fields import Choice, Clock, Codes, Day, Flag, RecordId
from models import SyncRun, db
from portal import logins, overview, pages
from schemas import ENTITIES

PASSWORD = "the-portal-password"
SETTINGS = {"SECRET_KEY": "s" * 32, "PORTAL_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with migrated(
        f"sqlite:///{tmp_path_factory.mktemp('pages') / 'clinic.db'}", **SETTINGS
    ) as app:
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return emptied(app).test_client()


def token(client: FlaskClient, page: str = "/login") -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert found
    return found[1]


def log_in(client: FlaskClient, password: str = PASSWORD, query: str = "") -> TestResponse:
    return client.post(
        f"/login{query}", data={"password": password, "csrf_token": token(client)}
    )


# --- Log-in ------------------------------------------------------------------------------------


def test_the_right_password_logs_in_and_leads_back(client: FlaskClient) -> None:
    answer = log_in(client)
    assert (answer.status_code, answer.location) == (303, "/")
    assert "Log out" in client.get("/").text


@pytest.mark.parametrize(
    ("query", "leads"),
    [
        ("?next=history", "/history"),
        ("?next=https://elsewhere.example", "/"),
        ("?next=//elsewhere.example/", "/"),
    ],
)
def test_after_log_in_nobody_is_led_elsewhere(
    client: FlaskClient, query: str, leads: str
) -> None:
    assert log_in(client, query=query).location == leads


def test_a_wrong_password_says_so_and_opens_nothing(client: FlaskClient) -> None:
    answer = log_in(client, "wrong")
    assert answer.status_code == 401
    assert "That is not the password" in answer.text
    assert "Log out" not in client.get("/").text


def test_after_ten_wrong_passwords_the_page_says_how_long_to_wait(
    client: FlaskClient,
) -> None:
    assert [log_in(client, "wrong").status_code for _ in range(10)] == [401] * 10
    refused = log_in(client)
    assert refused.status_code == 429
    assert refused.json["code"] == "too_many_requests"
    assert 1 <= int(refused.headers["Retry-After"]) <= logins.WINDOW.total_seconds()
    page = client.post(
        "/login", data={"csrf_token": token(client)}, headers={"Accept": "text/html"}
    )
    assert (page.status_code, page.mimetype) == (429, "text/html")
    assert "Try again in" in page.text


def test_only_a_form_of_ours_counts_as_a_try(client: FlaskClient) -> None:
    for _ in range(logins.TRIES + 1):
        assert client.head("/login", data={"password": PASSWORD}).status_code == 200
    assert "Log out" not in client.get("/").text
    assert log_in(client).status_code == 303


def test_log_out_ends_it(client: FlaskClient) -> None:
    log_in(client)
    assert log_out(client).status_code == 303
    assert client.get("/history").location == "/login?next=history"


def log_out(client: FlaskClient) -> TestResponse:
    return client.post("/logout", data={"csrf_token": token(client, "/")})


def test_after_log_out_a_copied_cookie_opens_nothing(
    app: Flask, client: FlaskClient
) -> None:
    log_in(client)
    known = token(client, "/")
    copy = holding(app, cookie_of(client))
    assert copy.get("/history").status_code == 200
    log_out(client)
    assert copy.get("/history").location == "/login?next=history"
    refused = copy.post("/key", data={"csrf_token": known})
    assert (refused.status_code, refused.json["code"]) == (401, "unauthorized")
    assert KEY not in refused.text
    assert "Log out" not in copy.get("/").text


def cookie_of(client: FlaskClient) -> str:
    cookie = client.get_cookie("clinic_portal")
    assert cookie
    return cookie.value


def holding(app: Flask, cookie: str) -> FlaskClient:
    """Return another browser with this cookie."""
    browser = app.test_client()
    browser.set_cookie("clinic_portal", cookie)
    return browser


def test_log_out_ends_no_other_log_in(app: Flask, client: FlaskClient) -> None:
    other = app.test_client()
    log_in(client)
    log_in(other)
    log_out(client)
    assert other.get("/history").status_code == 200


def test_to_log_out_again_is_harmless(app: Flask, client: FlaskClient) -> None:
    log_in(client)
    form, cookie = {"csrf_token": token(client, "/")}, cookie_of(client)
    for browser in (client, client, holding(app, cookie), app.test_client()):
        answer = browser.post("/logout", data=form)
        assert (answer.status_code, answer.location) == (303, "/")
    # A browser that is logged out and one that was never logged in keep what they have.
    assert "Set-Cookie" not in answer.headers


def test_a_new_log_in_ends_the_one_before(app: Flask, client: FlaskClient) -> None:
    log_in(client)
    before = holding(app, cookie_of(client))
    log_in(client)
    assert before.get("/history").status_code == 302
    assert client.get("/history").status_code == 200


def test_a_cookie_of_before_sessions_were_kept_opens_nothing(
    app: Flask, client: FlaskClient
) -> None:
    with client.session_transaction() as session:
        session["logged_in"] = True
    assert client.get("/history").status_code == 302


@pytest.mark.parametrize("path", ["/login", "/logout", "/key"])
@pytest.mark.parametrize("sent", [None, "", "wrong", "é"])
def test_a_form_of_another_site_is_refused(
    client: FlaskClient, path: str, sent: str | None
) -> None:
    log_in(client)
    data = {"password": PASSWORD} | ({} if sent is None else {"csrf_token": sent})
    answer = client.post(path, data=data)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_body")
    assert KEY not in answer.text
    assert "Log out" in client.get("/").text


@not_on_waitress  # which has read it
@pytest.mark.parametrize("path", ["/login", "/logout", "/key"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_form_is_parsed_to_its_limit_only(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str, chunked: bool
) -> None:
    monkeypatch.setattr("payload.take_the_rest", lambda _environ: None)  # it parses nothing
    body = io.BytesIO(b"a&" * pages.FORM_BYTES)
    length = (
        {"wsgi.input_terminated": True}
        if chunked
        else {"CONTENT_LENGTH": str(2 * pages.FORM_BYTES)}
    )
    answer = client.post(
        path,
        input_stream=body,
        content_type="application/x-www-form-urlencoded",
        environ_overrides=length,
    )
    assert answer.status_code == 413
    assert body.tell() <= pages.FORM_BYTES + 1


@not_on_waitress  # which has read it
def test_a_page_leaves_the_body_of_another_method_alone(client: FlaskClient) -> None:
    body = io.BytesIO(b"a&" * pages.FORM_BYTES)
    form = "application/x-www-form-urlencoded"
    sized = {"CONTENT_LENGTH": str(2 * pages.FORM_BYTES)}
    assert (
        client.get(
            "/", input_stream=body, content_type=form, environ_overrides=sized
        ).status_code
        == 200
    )
    assert body.tell() == 0


def test_a_session_is_renewed_at_log_in(client: FlaskClient) -> None:
    before = token(client)
    log_in(client)
    assert token(client, "/") != before


@not_on_waitress  # to which nobody speaks https
def test_the_cookie_keeps_from_scripts_and_other_sites_and_is_secure_over_https(
    client: FlaskClient,
) -> None:
    plain = client.get("/login").headers["Set-Cookie"]
    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Secure" not in plain
    assert (
        "Secure"
        in client.get("/login", base_url="https://clinic.example").headers["Set-Cookie"]
    )


def test_nobody_gets_a_cookie_for_reading_the_reference(client: FlaskClient) -> None:
    assert "Set-Cookie" not in client.get("/").headers


def test_another_password_or_secret_logs_everybody_out(
    app: Flask, client: FlaskClient
) -> None:
    log_in(client)
    url = str(app.extensions["settings"].database_url)
    for changed in ({"PORTAL_PASSWORD": "another-password"}, {"SECRET_KEY": "t" * 32}):
        with migrated(url, **SETTINGS | changed) as other:
            stranger = holding(other, cookie_of(client))
            assert stranger.get("/history").status_code == 302
    assert client.get("/history").status_code == 200


@pytest.mark.parametrize("seconds", [-3600, -60, 8 * 3600 + 60, 10 * 365 * 24 * 3600])
def test_a_cookie_counts_for_eight_hours_by_any_clock(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    log_in(client)
    then = datetime.now(UTC).timestamp() + seconds
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: then)
    assert client.get("/history").status_code == 302


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[FlaskClient]:
    """A browser that is logged in at a service whose database went away."""
    folder = tmp_path / "database"
    folder.mkdir()
    with migrated(f"sqlite:///{folder / 'clinic.db'}", **SETTINGS) as app:
        client = app.test_client()
        log_in(client)
        client.get("/")  # brings the token of the forms
        with app.app_context():
            db.engine.dispose()
        shutil.rmtree(folder)
        yield client


def test_without_the_database_nothing_opens_that_needs_a_log_in(
    broken: FlaskClient,
) -> None:
    with broken.session_transaction() as session:
        form = {"csrf_token": session["csrf_token"]}
    asked = [
        broken.get("/history"),
        broken.post("/key", data=form),
        broken.post("/logout", data=form),
        broken.post("/login", data=form | {"password": PASSWORD}),
    ]
    assert [answer.status_code for answer in asked] == [503] * 4
    assert {answer.json["code"] for answer in asked} == {"database_unavailable"}
    assert KEY not in "".join(answer.text for answer in asked)
    page = broken.get("/history", headers={"Accept": "text/html"})
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert page.headers["Retry-After"]
    assert "Log out" not in page.text


def test_without_the_database_the_reference_stays_open(broken: FlaskClient) -> None:
    for path in ("/", "/login"):
        page = broken.get(path)
        assert (page.status_code, "Log out" in page.text) == (200, False)


def test_the_page_of_an_outage_does_not_wait_for_the_database_again(
    broken: FlaskClient,
) -> None:
    tries = []
    with broken.application.app_context():
        sa.event.listen(db.engine, "checkout", lambda *_: tries.append(1))
    assert broken.get("/history", headers={"Accept": "text/html"}).status_code == 503
    assert len(tries) <= 1


def test_a_log_out_that_the_database_missed_can_be_repeated(
    broken: FlaskClient,
) -> None:
    with broken.session_transaction() as session:
        form = {"csrf_token": session["csrf_token"]}
    for _ in range(2):
        answer = broken.post("/logout", data=form)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (503, False)


def test_without_the_table_of_sessions_nothing_opens(
    app: Flask, client: FlaskClient
) -> None:
    log_in(client)
    with app.app_context():
        flask_migrate.downgrade(revision="0004")
        assert client.get("/history").status_code == 503
        flask_migrate.upgrade()
    assert client.get("/history").status_code == 302


def test_without_a_password_there_is_no_log_in(sqlite_app: Flask) -> None:
    client = sqlite_app.test_client()
    assert "PORTAL_PASSWORD" in client.get("/").text
    for ask in (client.get, client.post):
        for path in ("/login", "/logout", "/key", "/history"):
            assert ask(path).status_code in (404, 405)
    page = client.get("/login", headers={"Accept": "text/html"})
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "PORTAL_PASSWORD" in page.text


def test_the_address_behind_a_proxy_counts_only_where_one_is_trusted(app: Flask) -> None:
    def statuses(trusting: Flask) -> list[int]:
        emptied(trusting)
        visitors = [trusting.test_client() for _ in range(12)]
        return [
            visitor.post(
                "/login",
                data={"password": "wrong", "csrf_token": token(visitor)},
                headers={"X-Forwarded-For": f"192.0.2.{number}"},
            ).status_code
            for number, visitor in enumerate(visitors)
        ]

    assert statuses(app) == [401] * 10 + [429] * 2
    url = str(app.extensions["settings"].database_url)
    with migrated(url, **SETTINGS, TRUSTED_PROXIES="1") as trusting:
        assert statuses(trusting) == [401] * 12
        https = trusting.test_client().get("/login", headers={"X-Forwarded-Proto": "https"})
        assert "Secure" in https.headers["Set-Cookie"]


# --- The key -----------------------------------------------------------------------------------


def test_the_keys_are_told_after_log_in_only_and_kept_nowhere(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    data = {"csrf_token": token(client)}
    refused = client.post("/key", data=data)
    assert (refused.status_code, refused.json["code"]) == (401, "unauthorized")
    log_in(client)
    told = client.post("/key", data={"csrf_token": token(client, "/")})
    assert told.json == {"keys": {"tests": KEY, "second": f"{KEY}-2"}}
    assert told.headers["Cache-Control"] == "no-store"
    assert "keys shown" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "path",
    ["/", "/login", "/history", "/openapi.json", "/healthz", "/static/page.js", "/nothing"],
)
def test_no_other_answer_holds_a_key(client: FlaskClient, path: str) -> None:
    for _ in ("logged out", "logged in"):
        with client.get(path) as answer:
            assert KEY not in answer.text
            assert PASSWORD not in answer.text
        log_in(client)


# --- What the reference holds ------------------------------------------------------------------


def test_every_field_path_and_error_is_on_the_page(app: Flask, client: FlaskClient) -> None:
    page = html.unescape(client.get("/").text)
    for entity, schema in app.extensions["schemas"].items():
        section = page.split(f'<section id="{entity}">')[1].split("</section>")[0]
        for name, field in schema.load_fields.items():
            row = section.split(f'<th scope="row"><code>{json_name(name)}</code></th>')[
                1
            ].split("</tr>")[0]
            assert field.meaning in row
            assert field.accepts in row
            form_bounds_it = isinstance(
                field, Choice | Day | Clock | Codes | Flag | RecordId
            )
            assert (f"<td>{field.length or 0:,}</td>" in row) is not form_bounds_it
    kinds = problems.Problem.__subclasses__()
    assert kinds
    assert [
        kind.code
        for kind in kinds
        if f'<tr id="{kind.code}">' not in page or kind.advice not in page
    ] == []


def test_the_page_says_what_a_record_needs(client: FlaskClient) -> None:
    page = client.get("/").text
    rows = re.findall(
        r'<th scope="row"><code>(\w+)</code></th>.*?<td>([^<]*)</td></tr>', page, re.DOTALL
    )
    needed = [
        (name, told)
        for name, told in rows
        if told in ("yes", "one of these") or told.startswith("to create")
    ]
    assert needed == [
        *[("code", "yes"), ("name", "to create")],
        *[
            ("code", "one of these"),
            ("licenseNumber", "one of these"),
            ("name", "to create"),
        ],
        *[
            ("patientNo", "one of these"),
            ("nationalID", "one of these"),
            ("name", "to create"),
        ],
        ("mobile", "one of these"),
        *[("appointmentNo", "one of these"), ("patientNo", "to create, or patientId")],
        *[
            ("patientId", "to create, or patientNo"),
            ("date", "to create"),
            ("timeFrom", "to create"),
        ],
    ]


def test_the_page_says_what_dates_and_filters_mean_here(client: FlaskClient) -> None:
    page = client.get("/").text
    assert "it is turned into Asia/Riyadh first" in page
    assert (
        f"<code>limit</code> is 1 to {reading.MOST:,}, otherwise {reading.LIMIT};" in page
    )


def test_every_path_of_the_api_is_on_the_page(app: Flask, client: FlaskClient) -> None:
    page = client.get("/").text
    rules = [
        it.rule
        for it in app.url_map.iter_rules()
        if it.endpoint.startswith(("api.", "public."))
    ]
    paths = [
        re.sub("<any.*?>", name, rule).replace("<int:record_id>", "17")
        for rule in rules
        for name in re.findall(r"[a-z]+(?=[,)])", rule) or [""]
    ]
    assert len(paths) > 2 * len(ENTITIES)
    assert [path for path in paths if f"{path}</code>" not in page] == []


def test_the_samples_carry_the_services_own_address(client: FlaskClient) -> None:
    page = client.get("/", base_url="http://192.0.2.7:8080").text
    assert "http://192.0.2.7:8080" in page
    assert "127.0.0.1" not in page
    for name in ENTITIES:
        assert f"$address/api/healthcare/{name}" in page
        assert f"@{name}.json" in page


def test_a_host_that_is_markup_stays_text(client: FlaskClient) -> None:
    page = client.get("/", headers={"Host": 'x"><script>alert(1)</script>'}).text
    assert "<script>alert" not in page


def test_what_people_see_comes_with_a_strict_policy(client: FlaskClient) -> None:
    for path in ("/", "/login", "/nothing", "/static/page.css", "/openapi.json"):
        with client.get(path, headers={"Accept": "text/html"}) as answer:
            headers = answer.headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        # They would break a plain-http LAN.
        assert "Strict-Transport-Security" not in headers
        assert "upgrade" not in headers["Content-Security-Policy"]


def test_a_browser_gets_a_page_of_a_failure_and_a_program_gets_json(
    client: FlaskClient,
) -> None:
    chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
    for accepted in (chromium, "text/html,*/*;q=0.8", "text/html"):
        page = client.get("/nothing", headers={"Accept": accepted})
        assert (page.status_code, page.mimetype) == (404, "text/html")
    assert (
        client.get("/nothing", headers={"Accept": "*/*"}).mimetype
        == "application/problem+json"
    )
    assert client.get("/nothing").mimetype == "application/problem+json"
    api = client.get("/api/nothing", headers={"Accept": "text/html"})
    assert (api.status_code, api.mimetype) == (401, "application/problem+json")


# --- History -----------------------------------------------------------------------------------


def send(client: FlaskClient, path: str, body: object, key: str = KEY) -> None:
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    assert (
        client.post(
            f"/api/healthcare{path}", data=json.dumps(body), headers=headers
        ).status_code
        < 500
    )


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_history_tells_what_was_refused_and_why(client: FlaskClient) -> None:
    people = [
        {"patientNo": "P-1", "name": "Ali"},
        {"patientNo": "P-2", "name": "Sara", "email": "x"},
    ]
    send(client, "/sync", {"patients": people, "clinics": [{"code": "C", "name": "Eyes"}]})
    send(client, "/patients?dryRun=true", people, f"{KEY}-2")
    log_in(client)
    page = text_of(client.get("/history").text)
    assert "1 clinic 0 doctors 1 patient 0 appointments" in page
    assert "1 refused: which, and why" in page
    assert "1 P-2 The record is not valid. email : Not a valid email address." in page
    assert "/api/healthcare/sync 3 2 0 0 1" in page
    assert "second sync nothing yet single record nothing yet" in page
    assert "dry run" in page


def test_the_list_can_show_failures_only_and_one_row_whole(client: FlaskClient) -> None:
    send(client, "/patient", {"patientNo": "P-1", "name": "Ali"})
    send(
        client,
        "/patients",
        [{"patientNo": f"BAD-{number}", "email": "x"} for number in range(12)],
    )
    log_in(client)
    page = client.get("/history?failures=1").text
    assert "/api/healthcare/patients" in page
    assert "BAD-9<" in page
    assert "BAD-10" not in page
    assert text_of(page.split('id="syncs"')[1]).count("/api/healthcare/patient ") == 0
    whole = client.get(re.search(r"/history\?run=\d+", page)[0]).text
    assert "BAD-11" in whole


@pytest.mark.parametrize("run", [-1, 0, 2**63 - 1, 2**63, -(2**63) - 1, 10**30])
def test_a_row_that_cannot_be_is_not_there(client: FlaskClient, run: int) -> None:
    log_in(client)
    answer = client.get(f"/history?run={run}")
    assert answer.status_code == 200
    assert "Nothing here." in answer.text


def test_the_history_is_paged(client: FlaskClient) -> None:
    for number in range(53):
        send(client, "/patient", {"patientNo": f"P-{number}", "name": "Ali"})
    log_in(client)
    first = client.get("/history").text
    older = client.get(re.search(r"/history\?after=[^\"]+", first)[0]).text
    assert (first.count("<time") - 1, older.count("<time") - 1) == (50, 3)
    assert client.get("/history?after=nonsense").status_code == 400


def test_names_are_text_wherever_they_are_shown(client: FlaskClient) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    send(
        client,
        "/patient",
        {"patientNo": hostile, "email": hostile, hostile: 1, "gender": hostile},
    )
    log_in(client)
    page = client.get("/history").text
    assert "<img src=x" not in page.lower()
    assert "&lt;IMG SRC=X" in page


# --- At a glance: on every database ------------------------------------------------------------


def test_each_day_of_the_clinics_zone_has_its_sums(portal) -> None:
    zone = portal.app.extensions["settings"].time_zone
    midnight = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = [
        (midnight - timedelta(days=1, seconds=1), 1, False),
        (midnight - timedelta(days=1), 10, False),
        (midnight - timedelta(seconds=1), 100, False),
        (midnight, 1000, False),
        (midnight, 5, True),
        (midnight - timedelta(days=40), 7, False),
        # Of a clock that was ahead.
        (midnight + timedelta(days=1), 10_000, False),
        (midnight + timedelta(days=3650), 100_000, False),
    ]
    with portal.app.app_context():
        for at, created, dry_run in rows:
            insert_run(at, created=created, dry_run=dry_run)
        days = overview.daily(zone, 3)
    assert [day["created"] for day in days] == [1, 110, 1000]
    assert [day["date"] for day in days] == [
        f"{midnight - timedelta(days=back):%Y-%m-%d}" for back in (2, 1, 0)
    ]


def test_the_last_requests_of_a_key_sum_their_rows(portal) -> None:
    now = datetime.now(UTC)
    with portal.app.app_context():
        assert overview.last_requests([]) == {}
        insert_run(now - timedelta(hours=1), created=9)
        insert_run(now, created=1, request_id="last")
        insert_run(now, created=2, request_id="last", entity="doctors")
        insert_run(now, created=4, dry_run=True, request_id="dry")
        insert_run(now + timedelta(days=3650), created=5, key_name="night")
        insert_run(now - timedelta(days=1), created=8, key_name="night")
        told = overview.last_requests([])
    counts = {name: row["sync"]["created"] for name, row in told.items()}
    assert counts == {"tests": 3, "night": 8}
    assert type(told["tests"]["sync"]["total"]) is int


def test_the_last_sync_and_the_last_single_record_of_a_key_are_two_things(portal) -> None:
    now = datetime.now(UTC)
    paths = ("/api/sync", "/api/patients", "/api/patient", "flask merge patient 1 2")
    with portal.app.app_context():
        for hours, path in enumerate(reversed(paths)):
            insert_run(now + timedelta(hours=hours - 9), created=hours, path=path)
        insert_run(now, created=9, path="/api/patient", key_name="web")
        told = overview.last_requests(["tests", "idle"])
    shown = {
        name: {kind: row and (row["path"], row["created"]) for kind, row in kinds.items()}
        for name, kinds in told.items()
    }
    assert shown == {
        "tests": {
            "sync": ("/api/sync", 3),
            "single record": ("/api/patient", 1),
            "command": ("flask merge patient 1 2", 0),
        },
        "idle": {"sync": None, "single record": None},
        "web": {"single record": ("/api/patient", 9)},
    }


def test_one_request_id_for_a_list_and_a_record_makes_no_sum_of_both(portal) -> None:
    now = datetime.now(UTC)
    with portal.app.app_context():
        insert_run(now, created=1, path="/api/patients")
        insert_run(now, created=2, path="/api/patient")
        (kinds,) = overview.last_requests([]).values()
    assert {kind: row["created"] for kind, row in kinds.items()} == {
        "sync": 1,
        "single record": 2,
    }


# --- Syncs that stopped ------------------------------------------------------------------------


def banners(client: FlaskClient) -> list[str]:
    page = client.get("/history").text
    return [text_of(it) for it in re.findall(r'<p class="warn">(.*?)</p>', page, re.DOTALL)]


def sync_hours_ago(app: Flask, hours: float, **values: object) -> None:
    with app.app_context():
        insert_run(datetime.now(UTC) - timedelta(hours=hours), **values)


def test_a_nightly_sync_that_stopped_is_a_banner_until_it_comes_again(
    client: FlaskClient, app: Flask
) -> None:
    log_in(client)
    sync_hours_ago(app, 25.9)
    sync_hours_ago(app, 50, key_name="second")
    (told,) = banners(client)
    assert told.startswith("No sync by second for 2 days. The last one came 20")
    send(client, "/patients", [], f"{KEY}-2")
    assert banners(client) == []


@pytest.mark.parametrize(
    "values",
    [
        {"path": "/api/healthcare/patient"},  # it never sent lists
        {"dry_run": True},
        {"key_name": "command", "path": "flask merge patient 1 2"},
        {"key_name": "gone"},  # no key of the settings any more
    ],
)
def test_who_sends_no_lists_has_not_stopped(
    client: FlaskClient, app: Flask, values: dict[str, object]
) -> None:
    log_in(client)
    sync_hours_ago(app, 50, **values)
    assert banners(client) == []


def insert_run(at: datetime, **values: object) -> None:
    usual = dict.fromkeys(
        ("total", "created", "updated", "unchanged", "failed", "duration_ms"), 0
    )
    usual |= {
        "request_id": "r",
        "key_name": "tests",
        "entity": "patients",
        "path": "/api/healthcare/patients",
        "dry_run": False,
    }
    row = (
        usual | {"failures": "[]", "at": f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"} | values
    )
    with (
        db.engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        connection.execute(sa.insert(SyncRun), row)
