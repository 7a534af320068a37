"""The pages in a real browser: what a programmer and a clinic's manager do with them."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import browser
import pytest
from conftest import migrated
from live import KEY, Service, service
from playwright.sync_api import Browser, Page, expect
from test_pages import insert_run

PASSWORD = "the-portal-password"
NIGHT = "عيادة الرياض"  # a key whose sync has stopped
SETTINGS = {"SECRET_KEY": "s" * 32, "PORTAL_PASSWORD": PASSWORD}
SETTINGS |= {"API_KEYS": f"live:{KEY},{NIGHT}:{KEY}-of-the-night"}
ARABIC = "ريم بنت فهد القحطاني"
INJECTIONS = [
    template.format(number)
    for number in range(8)
    for template in (
        "<script>window.hacked={0}</script>",
        "<img src=x onerror=window.hacked={0}>",
        '"><svg onload=window.hacked={0}>',
        "</textarea></script><script>window.hacked={0}</script>",
        "javascript:window.hacked={0}//'-alert({0})-'{{{{7*7}}}}",
    )
]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    url = f"sqlite:///{tmp_path_factory.mktemp('browser') / 'clinic.db'}"
    with migrated(url) as app, service(url, **SETTINGS) as running:
        with app.app_context():
            insert_run(datetime.now(UTC) - timedelta(hours=38), key_name=NIGHT)
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.launched() as running:
        yield running


@pytest.fixture
def address(live: Service) -> str:
    return f"http://127.0.0.1:{live.port}"


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """A page that must not talk to another host, nor leave a word on the console."""
    context = chromium.new_context(base_url=address)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.witness = browser.Witness(page, address)
    yield page
    assert page.witness.console == []
    assert page.witness.foreign == []
    context.close()


def log_in(page: Page, then: str = "/") -> None:
    page.goto("/login")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.goto(then)


def choose(page: Page, operation: str, body: Any = None) -> None:
    """Open the sandbox with the key, an operation and maybe a body."""
    page.goto("/")
    page.get_by_label("Operation").select_option(value=operation)
    page.locator("[name=key]").fill(KEY)
    if body is not None:
        page.get_by_label("Body").fill(
            body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        )


def answer(page: Page) -> dict[str, Any]:
    """Send, and return the answer as it is shown."""
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#answer")).to_be_visible()
    return json.loads(page.locator("#json").inner_text())


def stored(live: Service, number: str) -> list[dict[str, Any]]:
    """Return the patients with this number."""
    told = subprocess.run(
        [
            "curl",
            "-s",
            "-H",
            f"X-API-Key: {KEY}",
            f"127.0.0.1:{live.port}/api/healthcare/patients?patientNo={number}",
        ],
        capture_output=True,
        check=True,
    )
    return json.loads(told.stdout)["data"]


# --- Sandbox -----------------------------------------------------------------------------------


def test_a_dry_run_stores_nothing_and_switched_off_it_does(
    page: Page, live: Service
) -> None:
    choose(page, "Upsert one patient", {"patientNo": "B-1", "name": ARABIC})
    told = answer(page)
    assert (told["action"], told["id"], told["dryRun"]) == ("created", None, True)
    expect(page.locator("#summary")).to_contain_text("201 CREATED")
    assert stored(live, "B-1") == []
    expect(page.locator("#stores")).to_be_hidden()
    page.get_by_label("Dry run").uncheck()
    expect(page.locator("#stores")).to_be_visible()
    assert answer(page)["data"]["name"] == ARABIC
    assert [patient["name"] for patient in stored(live, "B-1")] == [ARABIC]


def test_every_operation_works_from_its_prefilled_body(page: Page) -> None:
    page.goto("/")
    page.locator("[name=key]").fill(KEY)
    operations = page.locator("[name=operation] option").evaluate_all(
        "all => all.map(it => it.value)"
    )
    assert len(operations) == 18
    page.get_by_label("Dry run").uncheck()
    for operation in sorted(operations, key=lambda it: not it.startswith("Sync")):
        page.get_by_label("Operation").select_option(value=operation)
        told = answer(page)
        assert told.get("success") is True or "data" in told or "id" in told, (
            operation,
            told,
        )
        expect(page.locator("#summary")).to_contain_text(
            re.compile(r"^20[01] .* \d+ ms · [\d,]+ bytes · request \w+")
        )


def test_what_is_switched_on_is_what_is_asked(page: Page) -> None:
    choose(
        page,
        "Upsert many patients",
        [{"patientNo": "B-2", "name": "A"}, {"name": "nobody"}],
    )
    page.get_by_label("Atomic").check()
    page.get_by_label("Minimal").check()
    told = answer(page)
    assert told["rolledBack"]
    assert [result["index"] for result in told["results"]] == [1]
    expect(page.locator("#summary .bad")).to_have_text("422 UNPROCESSABLE ENTITY")


def test_a_list_takes_filters_and_a_record_its_id(page: Page, live: Service) -> None:
    _, told = live.post("/patient", {"patientNo": "B-3", "name": "Sara"})
    choose(page, "List patients")
    expect(page.locator("#filters")).to_contain_text("patientNo, nationalID")
    expect(page.get_by_label("Body")).to_be_hidden()
    expect(page.get_by_role("button", name="Format")).to_be_hidden()
    page.get_by_label("Query").fill("patientNo=b-3")
    assert [patient["id"] for patient in answer(page)["data"]] == [told["id"]]
    page.get_by_label("Operation").select_option(value="Read one patient")
    page.get_by_label("Id", exact=True).fill(str(told["id"]))
    assert answer(page)["patientNo"] == "B-3"


def test_ctrl_enter_sends(page: Page) -> None:
    choose(page, "Upsert one clinic")
    page.get_by_label("Body").press("Control+Enter")
    expect(page.locator("#summary")).to_contain_text(re.compile("^20[01] "))


def test_a_syntax_error_is_shown_at_its_line_and_not_sent(page: Page) -> None:
    choose(page, "Upsert one patient", '{\n  "patientNo": "B-4",\n  "name" "Ali"\n}')
    expect(page.locator("#syntax")).to_contain_text("Line 3:")
    expect(page.locator("#lines .wrong")).to_have_text("3")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#told")).to_contain_text("Not sent")
    assert [it.url for it in page.witness.requests if "/api/" in it.url] == []
    page.get_by_label("Body").fill('{"patientNo": "B-4"}')
    expect(page.locator("#syntax")).to_be_hidden()


def test_no_earlier_answer_stays_beside_a_request_that_was_not_sent(page: Page) -> None:
    choose(page, "Upsert one clinic")
    answer(page)
    page.get_by_label("Body").fill("{")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#told")).to_contain_text("Not sent")
    expect(page.locator("#answer")).to_be_hidden()


def test_format_lays_out_without_losing_a_digit(page: Page) -> None:
    choose(
        page,
        "Upsert one patient",
        '{"a":12345678901234567890,"b":[],"c":[1.50,{"d":"x:,{}\\" y"}],"e":null}',
    )
    page.get_by_role("button", name="Format").click()
    laid = page.get_by_label("Body").input_value()
    nested = '    {\n      "d": "x:,{}\\" y"\n    }'
    assert laid == (
        f'{{\n  "a": 12345678901234567890,\n  "b": [],\n  "c": [\n    1.50,\n{nested}\n  ],\n  "e": null\n}}'
    )


def test_format_takes_a_string_of_many_megabytes(page: Page) -> None:
    page.goto("/")
    laid = "import('/static/json.js').then(({ pretty }) => pretty(`[\"${'x'.repeat(2e7)}\"]`).length)"
    assert page.evaluate(laid) == 2e7 + len('[\n  ""\n]')


def test_an_error_of_the_network_is_told_as_such(page: Page) -> None:
    choose(page, "Upsert one patient")
    page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#told")).to_contain_text("the service cannot be reached")
    expect(page.locator("#answer")).to_be_hidden()
    page.witness.console = [
        line for line in page.witness.console if "ERR_CONNECTION_REFUSED" not in line
    ]
    page.unroute("**/api/**")
    assert answer(page)["success"]


def test_without_a_key_the_answer_says_how_to_send_one(page: Page) -> None:
    choose(page, "Upsert one patient")
    page.locator("[name=key]").fill("")
    assert answer(page)["code"] == "unauthorized"


def test_the_call_copied_as_curl_does_the_same_without_holding_the_key(page: Page) -> None:
    choose(
        page, "Upsert one patient", {"patientNo": "B-5", "name": f"{ARABIC} 'quoted' $HOME"}
    )
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    script = page.evaluate("navigator.clipboard.readText()")
    assert KEY not in script
    told = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        check=True,
        env=os.environ | {"API_KEY": KEY},
    ).stdout
    assert json.loads(told) == answer(page)
    assert json.loads(told)["data"]["name"].endswith("'quoted' $HOME")


def test_copying_works_where_plain_http_hides_the_clipboard(page: Page) -> None:
    page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    )
    page.goto("/")
    page.locator("#patient figure.code .copy").first.click()
    page.get_by_label("Body").fill("")
    page.get_by_label("Body").press("Control+V")
    assert json.loads(page.get_by_label("Body").input_value())["patientNo"] == "P-20417"


def test_try_it_leads_to_the_sandbox(page: Page) -> None:
    page.goto("/")
    page.locator("#doctor").get_by_role("button", name="Try it in the sandbox").click()
    expect(page.get_by_label("Operation")).to_have_value("Upsert one doctor")
    expect(page.get_by_label("Body")).to_be_focused()


def test_right_to_left_values_are_shown_right(page: Page) -> None:
    choose(page, "Upsert one patient", {"patientNo": "B-6", "name": ARABIC})
    answer(page)
    value = page.locator("#json bdi", has_text=ARABIC)
    assert (
        value.evaluate("it => it.matches(':dir(rtl)') && getComputedStyle(it).unicodeBidi")
        == "isolate"
    )
    assert page.locator("#json").evaluate("it => getComputedStyle(it).direction") == "ltr"


def test_the_choice_of_language_is_remembered(page: Page) -> None:
    page.goto("/")
    shown = page.locator("#patient figure[data-language]:visible figcaption")
    expect(shown).to_contain_text(["Send one patient in curl"])
    page.get_by_label("C#", exact=True).check()
    expect(shown).to_contain_text(["Send one patient in C#"])
    page.reload()
    expect(page.get_by_label("C#", exact=True)).to_be_checked()
    expect(shown).to_contain_text(["Send one patient in C#"])


def test_everything_can_be_done_by_keyboard(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "operation":
            break
    page.keyboard.type("Upsert one p")
    page.keyboard.press("Tab")
    page.keyboard.type(KEY)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#summary")).to_contain_text("20")
    assert json.loads(page.locator("#json").inner_text())["key"] == "P-20417"


# --- Key and log-in ----------------------------------------------------------------------------


def test_the_key_is_nowhere_before_log_in(page: Page) -> None:
    responses: list[Any] = []
    page.on("response", lambda response: responses.append(response))  # noqa: PLW0108 playwright takes no method of a list
    bodies = {}
    for path in ("/", "/login", "/history"):
        page.goto(path, wait_until="networkidle")
        bodies |= {urlsplit(it.url).path: it.body() for it in responses if it.ok}
        responses.clear()
    sent = [f"{it.url} {it.all_headers()} {it.post_data}" for it in page.witness.requests]
    assert bodies.keys() >= {
        "/",
        "/login",
        *(f"/static/{name}.js" for name in ("page", "sandbox", "json")),
    }
    assert KEY not in "".join(sent)
    assert KEY.encode() not in b"".join(bodies.values())
    expect(page.get_by_role("button", name="Reveal")).to_have_count(0)


def test_after_log_in_the_key_is_revealed_copied_used_and_hidden_again(page: Page) -> None:
    log_in(page)
    expect(page.locator("#keys")).not_to_contain_text(KEY)
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator("#keys")).to_contain_text(KEY)
    page.get_by_role("button", name="Copy the key live").click()
    assert page.evaluate("navigator.clipboard.readText()") == KEY
    expect(page.locator("[name=key]")).to_have_value(KEY)
    assert answer(page)["success"]
    page.get_by_role("button", name="Hide").click()
    expect(page.locator("#keys")).not_to_contain_text(KEY)
    assert (
        page.evaluate(
            "JSON.stringify(localStorage) + document.cookie + location.href"
        ).count(KEY)
        == 0
    )


def test_a_reveal_after_the_session_ended_says_so(page: Page) -> None:
    log_in(page)
    page.context.clear_cookies()
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator("#reveal [role=status]")).to_contain_text("Load it again")


def test_a_wrong_password_is_told_and_log_out_ends_it(page: Page) -> None:
    page.goto("/login?next=history")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("That is not the password")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/history$"))
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in").first).to_be_visible()
    page.go_back()
    expect(page).to_have_url(re.compile("/login"))
    page.goto("/history")
    expect(page).to_have_url(re.compile("/login"))


def test_a_sync_that_stopped_is_told_above_all_with_its_name_kept_apart(page: Page) -> None:
    log_in(page, "/history")
    told = page.locator("h1 + .warn")
    expect(told).to_contain_text(f"No sync by {NIGHT} for 38 hours. The last one came 20")
    name = told.locator("bdi")
    assert name.evaluate("it => it.matches(':dir(rtl)')")
    assert told.evaluate("it => getComputedStyle(it).direction") == "ltr"


# --- Every page --------------------------------------------------------------------------------


@pytest.fixture
def hostile(live: Service) -> None:
    """Names that are markup: stored ones, and refused ones, which the history shows."""
    people = [
        {"patientNo": f"X-{number}", "name": text, "email": ""}
        for number, text in enumerate(INJECTIONS)
    ]
    status, _ = live.post("/patients", people)
    assert status == 200
    refused = [
        {"patientNo": f"{number} {text}"[:64], "email": text}
        for number, text in enumerate(INJECTIONS)
    ]
    refused += [
        {
            "appointmentNo": "1",
            "patientNo": ARABIC,
            "date": "2026-01-01",
            "timeFrom": "10:00",
        }
    ]
    status, _ = live.post("/sync", {"patients": refused[:-1], "appointments": refused[-1:]})
    assert status == 422


def test_names_that_are_markup_are_shown_as_text_on_every_page(
    page: Page, hostile: None
) -> None:
    assert len(INJECTIONS) == 40
    log_in(page, "/history?failures=1")
    page.locator("summary", has_text="40 refused").first.click()
    page.get_by_role("link", name="All 40").first.click()
    shown = page.locator("main").inner_text()
    assert [text for text in INJECTIONS if text[:40].upper() not in shown.upper()] == []
    choose(page, "List patients")
    page.get_by_label("Query").fill("limit=1000")
    told = answer(page)
    assert {patient["name"] for patient in told["data"]} >= set(INJECTIONS)
    choose(
        page,
        "Upsert many patients",
        [{"patientNo": text, text: text} for text in INJECTIONS],
    )
    assert answer(page)["failed"] == 40
    page.goto(f"/nothing/{INJECTIONS[0]}")
    expect(page.locator("main")).to_contain_text(INJECTIONS[0])
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("logged_in", [False, True])
def test_axe_finds_nothing_serious(
    chromium: Browser, address: str, hostile: None, scheme: Any, logged_in: bool
) -> None:
    context = chromium.new_context(base_url=address, color_scheme=scheme)
    page = context.new_page()
    found = {}
    if logged_in:
        log_in(page, "/history")
        for summary in page.locator("summary").all()[:3]:
            summary.click()
        found["history"] = browser.violations(page)
        page.goto("/")
        page.get_by_role("button", name="Reveal").click()
        expect(page.locator("#keys")).to_contain_text(KEY)
    else:
        page.goto("/login")
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        found["login"] = browser.violations(page)
        page.goto("/nothing")
        found["failure"] = browser.violations(page)
        page.goto("/")
    page.locator("[name=key]").fill(KEY)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#answer")).to_be_visible()
    page.get_by_label("Body").fill("{")
    found["reference"] = browser.violations(page)
    context.close()
    assert found == {name: [] for name in found}


def test_nothing_is_wider_than_a_small_phone(
    chromium: Browser, address: str, hostile: None
) -> None:
    context = chromium.new_context(base_url=address, viewport={"width": 360, "height": 740})
    page = context.new_page()
    widths = {}
    for path in ("/login", "/nothing"):
        page.goto(path)
        widths[path] = page.evaluate("document.documentElement.scrollWidth")
    log_in(page, "/history")
    for summary in page.locator("summary").all()[:4]:
        summary.click()
    widths["/history"] = page.evaluate("document.documentElement.scrollWidth")
    choose(page, "Upsert many patients")
    page.get_by_role("button", name="Reveal").click()
    answer(page)
    widths["/"] = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert widths == dict.fromkeys(widths, 360)
