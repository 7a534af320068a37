"""Debian's Chromium, driven by Playwright, and what it says of a page: console, foreign requests, axe."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

AXE = Path(__file__).parent.parent / "node_modules/axe-core/axe.min.js"
# Without a sandbox, because CI is root; and without the errands that Chromium runs to its maker's hosts.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def chromium() -> str:
    """Return the path of Chromium; skip the test where there is none, but on CI fail."""
    found = shutil.which("chromium")
    return found or _missing("Chromium must be installed")


def axe() -> str:
    """Return axe-core's source; skip the test where there is none, but on CI fail."""
    return (
        AXE.read_text(encoding="utf-8")
        if AXE.exists()
        else _missing("axe-core must be installed by npm")
    )


def _missing(what: str) -> Any:
    if os.environ.get("CI"):
        raise RuntimeError(what)
    pytest.skip(what)


@contextmanager
def launched() -> Iterator[Browser]:
    """Run a headless browser."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Witness:
    """What a page did besides what it shows: `console` lines, `requests`, and `foreign` ones to another host."""

    def __init__(self, page: Page, address: str):
        self.address = address
        self.console: list[str] = []
        self.requests: list[Request] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("dialog", lambda dialog: self.console.append(f"dialog {dialog.message}"))
        page.on("request", self._see)

    def _see(self, request: Request) -> None:
        self.requests.append(request)

    def _hear(self, message: ConsoleMessage) -> None:
        # The browser itself tells of each answer with a status of 400 or more; that is no fault of the page.
        if "the server responded with a status of" not in message.text:
            self.console.append(message.text)

    @property
    def foreign(self) -> list[str]:
        return [it.url for it in self.requests if not it.url.startswith(self.address)]


def violations(page: Page) -> list[str]:
    """Return what axe-core finds serious or critical on a page as it stands."""
    page.evaluate(axe())
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{it['id']}: {node['target']} {node.get('failureSummary')}"
        for it in found
        if it["impact"] in ("serious", "critical")
        for node in it["nodes"]
    ]
