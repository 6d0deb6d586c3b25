"""A running gateway with people and orders in it, and a Chromium that is signed in: what every page's test begins with."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from tests.e2e import house as houses
from tests.e2e.house import Gateway, House, Receiver, built
from tests.scrm.test_browser import CONTRAST, QUIET
from tests.servers.warm import commands

PASSWORD = "correct horse battery"
# Signed out is a state worth testing; everything else begins signed in.
ROLES = ("viewer", "operator", "admin")


class Told:
    """One gateway: two feeds that speak, an endpoint that listens, one that is broken, a letter that nobody could read."""

    def __init__(self, house: House, **config: Any) -> None:
        self.house = house
        self.good: Receiver = house.receiver()
        self.bad: Receiver = house.receiver(lambda event, tries: (500, {}))
        self.gateway: Gateway = house.gateway(
            {
                "accounts": {"erp": houses.orders(), "crm": houses.customers()},
                "endpoints": {
                    "crm": houses.endpoint(self.good),
                    "bi": houses.endpoint(self.bad, events=["order.*"], retries=["0s", "1h"]),
                    **config.pop("endpoints", {}),
                },
                **config,
            },
            start=False,
        )
        self._add_users()
        self.gateway.start()
        self.speak()

    def speak(self) -> None:
        """Three customers with an order each, and one order that no table can read."""
        gateway = self.gateway
        people = [
            {"customer_code": f"C{n}", "name": name, "phone": f"1380013800{n}", "updated_at": "2026-11-11 08:00:00"}
            for n, name in enumerate(("张三", "李四", "王五"))
        ]
        assert gateway.feed("crm", people).json()["accepted"] == 3
        rows = [houses.order(f"SO-{n}", customer_code=f"C{n}", minute=n) for n in range(3)]
        assert gateway.feed("erp", rows).json()["accepted"] == 3
        self.good.wait(3, "order.paid")

    def _add_users(self) -> None:
        for role in ROLES:
            words = ["users", "add", role, "--role", role, "--config", str(self.gateway.file)]
            done = commands().run(words, environ=self.gateway.environ, typed=f"{PASSWORD}\n".encode())
            assert done.returncode == 0, done.stderr

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.gateway.port}"


class Visit:
    """A page that writes down what a clean page must not do."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.faults: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.faults.append(f"foreign: {request.url}")

    def _failed(self, request: Request) -> None:
        # Leaving a page cuts off its stream; that is not a fault.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {request.url} {request.failure}")

    def open(self, path: str) -> Page:
        """Go there and wait until it stands."""
        self.page.goto(f"{self.url}{path}")
        return self.page

    def dim(self) -> list[str]:
        """Texts whose contrast falls short of WCAG AA."""
        found: list[str] = self.page.evaluate(CONTRAST)
        return found

    def wide(self) -> int:
        """How many pixels the page is wider than the window; 0 is right."""
        over: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return max(0, over)

    def close(self) -> None:
        """Nothing may have gone wrong on the way."""
        self.page.close()
        assert not self.faults, self.faults


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; without one the tests fail with what to install."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.fail("no Chromium on PATH; remedy: `make setup`, or apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as tools:
        running = tools.chromium.launch(executable_path=found, args=QUIET)
        yield running
        running.close()


class Console:
    """Visits to one gateway's console, each role signed in once."""

    def __init__(self, told: Told, browser: Browser) -> None:
        self.told = told
        self._browser = browser
        self._states: dict[str, Any] = {}

    def visit(
        self,
        role: str = "admin",
        *,
        lang: str = "en",
        width: int = 1440,
        scheme: Any = "light",
    ) -> Visit:
        """A signed-in page."""
        context = self._browser.new_context(
            storage_state=self._state(role),
            locale="zh-CN" if lang == "zh" else "en-US",
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
        )
        return Visit(context, self.told.url)

    def _state(self, role: str) -> Any:
        if role not in self._states:
            context = self._browser.new_context(locale="en-US")
            page = context.new_page()
            page.goto(f"{self.told.url}/console")
            page.fill("input[name=name]", role)
            page.fill("input[name=password]", PASSWORD)
            page.click("main button")
            secret = page.locator("input[name=secret]").get_attribute("value") or ""
            page.fill("input[name=code]", pyotp.TOTP(secret).at(int(time.time())))
            page.click("main button")
            page.wait_for_url("**/console")
            self._states[role] = context.storage_state()
            context.close()
        return self._states[role]


@contextmanager
def console(folder: Path, prepare: Callable[[Told], None] | None = None, **config: Any) -> Iterator[Console]:
    """Everything, for a module's tests: ``prepare`` says more to the gateway before anybody looks."""
    for house in built(folder):
        told = Told(house, **config)
        if prepare:
            prepare(told)
        with chromium() as browser:
            yield Console(told, browser)


def shoot(visit: Visit, path: Path) -> None:
    """A picture of the whole page."""
    visit.page.screenshot(path=path, full_page=True)
