"""The pages in a real Chromium: both languages, both moods, two widths, the keyboard, and nothing from elsewhere."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from tests.scrm import samples
from tests.scrm.conftest import Served
from tests.scrm.samples import LI, ORDER, WANG, ZHANG, event

pytestmark = pytest.mark.browser
# A page that is right is right as soon as it can be; how long that takes on a busy machine is not what is asked.
expect.set_options(timeout=30_000)

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# Contrast of every text against the nearest painted ground, as WCAG 2.2 counts it; returns what falls short.
CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = node => { for (; node; node = node.parentElement) {
    const c = rgb(getComputedStyle(node).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    const says = [...node.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!says || !node.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${node.className || node.tagName}: ${node.textContent.trim().slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without one the tests fail with what to install."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.fail("no Chromium on PATH; remedy: `make setup`, or apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as tools:
        running = tools.chromium.launch(executable_path=found, args=QUIET)
        yield running
        running.close()


class Visit:
    """A page that writes down what a clean page must not do."""

    def __init__(self, browser: Browser, served: Served, **options: Any) -> None:
        self._context = browser.new_context(base_url=served.url, **options)
        self.page: Page = self._context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda message: self.faults.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on(
            "request",
            lambda request: (
                None if request.url.startswith(served.url) else self.faults.append(f"foreign: {request.url}")
            ),
        )

    def _failed(self, request: Request) -> None:
        # Leaving a page cuts off the refresh that is under way; that is not a fault.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {request.url} {request.failure}")

    def close(self) -> None:
        """Nothing may have gone wrong on the way."""
        self._context.close()
        assert self.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1000, 390])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_page_is_readable_at_every_width_in_both_languages_and_moods(
    told: Served, browser: Browser, lang: str, width: int, scheme: Any
) -> None:
    """No sideways scrolling, nothing spilling out of its card, and AA contrast for every text."""
    visit = Visit(browser, told, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for path in ("/", f"/customers/{ZHANG}", f"/customers/{LI}", f"/customers/{WANG}", "/?query=nobody"):
        visit.page.goto(f"{path}{'&' if '?' in path else '?'}lang={lang}")
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        spilling = "() => [...document.querySelectorAll('.card')].filter(c => c.scrollWidth > c.clientWidth + 1).map(c => c.textContent.trim().slice(0, 30))"
        assert visit.page.evaluate(spilling) == [], path
        assert visit.page.evaluate(CONTRAST) == [], path
    visit.close()


def test_one_customer_is_told_in_chinese_and_the_switch_keeps_the_place(told: Served, browser: Browser) -> None:
    """Names, money, four labelled axes, days, Shanghai time with UTC at hand; then the same page in English."""
    visit = Visit(browser, told, locale="zh-CN")
    page = visit.page
    page.goto("/")
    page.get_by_role("link", name="张三").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("张三")
    order = page.locator(f"#{ORDER}")
    expect(order).to_contain_text("¥1,234.50")
    assert order.locator("dt").all_inner_texts() == ["状态", "付款", "履约", "售后"]
    assert order.locator("dd").all_inner_texts() == ["处理中", "已付", "已发货", "无"]
    assert page.locator("#timeline h3").first.inner_text() == "今天 · 2026年11月11日 周三"
    shipped = page.locator("#timeline li", has_text="已发货").locator("time")
    assert (shipped.inner_text(), shipped.get_attribute("title")) == ("09:12", "2026-11-11 01:12:00 UTC")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.get_by_role("link", name="English").click()
    expect(page).to_have_url(re.compile(f"/customers/{ZHANG}[?]lang=en$"))
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    page.get_by_role("link", name="Customers", exact=True).click()
    expect(page.get_by_role("heading", name="Recently active customers")).to_be_visible()
    visit.close()


def test_a_masked_customer_is_marked_as_masked_and_one_without_a_name_has_words(told: Served, browser: Browser) -> None:
    """What was not granted is said, not hidden."""
    visit = Visit(browser, told, locale="zh-CN")
    visit.page.goto(f"/customers/{LI}")
    expect(visit.page.get_by_role("heading", level=1)).to_contain_text("李* 已脱敏")
    expect(visit.page.locator("#profile")).to_contain_text("138****8001 已脱敏")
    visit.page.goto(f"/customers/{WANG}")
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("未具名客户")
    expect(visit.page.locator("#orders")).to_contain_text("还没有订单")
    visit.close()


def test_an_empty_core_says_what_to_expect(served: Served, browser: Browser) -> None:
    """Empty states have words."""
    visit = Visit(browser, served, locale="zh-CN")
    visit.page.goto("/")
    expect(visit.page.locator("#rows")).to_contain_text("还没有客户")
    expect(visit.page.locator("#latest")).to_contain_text("还没有收到事件")
    visit.close()


def test_search_finds_by_order_number_and_can_be_cleared(told: Served, browser: Browser) -> None:
    """With the keyboard alone."""
    visit = Visit(browser, told, locale="en-GB")
    page = visit.page
    page.goto("/")
    page.get_by_role("searchbox").fill("4098765432109876543")
    page.keyboard.press("Enter")
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("#rows tbody tr")).to_have_count(3)
    visit.close()


def test_new_events_appear_by_themselves_until_paused(told: Served, browser: Browser) -> None:
    """The page asks again; paused, it does not; no script, no harm."""
    visit = Visit(browser, told, locale="zh-CN")
    page = visit.page
    page.clock.install()
    page.goto(f"/customers/{ZHANG}")
    delivered = samples.order(fulfilment="delivered", lifecycle="processing", payment="paid")
    told.post(event("order.delivered", ORDER, 4, "11-11 10:20", order=delivered, customer={"id": ZHANG}))
    expect(page.locator(f"#{ORDER} dd").nth(2)).to_have_text("已送达")
    page.get_by_role("button", name="暂停刷新").click()
    expect(page.get_by_role("button", name="继续刷新")).to_be_visible()
    told.post(
        event(
            "order.completed",
            ORDER,
            5,
            "11-11 10:25",
            order=delivered | {"lifecycle": "completed"},
            customer={"id": ZHANG},
        )
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    page.wait_for_timeout(200)
    assert asked == []
    page.get_by_role("button", name="继续刷新").click()
    expect(page.locator(f"#{ORDER} dd").first).to_have_text("已完成")
    visit.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_keyboard_reaches_everything_and_is_always_seen(told: Served, browser: Browser, scheme: Any) -> None:
    """The first stop skips to the content; every stop has a visible ring; Enter opens the customer."""
    visit = Visit(browser, told, locale="zh-CN", color_scheme=scheme)
    page = visit.page
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    stops = []
    for _ in range(9):
        page.keyboard.press("Tab")
        ring = "() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]; }"
        assert page.evaluate(ring) == ["solid", "3px"]
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"brand", "live", "query", "person"} <= set(stops)
    page.locator("a.person", has_text="张三").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("张三")
    visit.close()


def test_the_page_stands_without_its_script(told: Served, browser: Browser) -> None:
    """Everything is rendered by the server; the refresh button only exists with the script."""
    visit = Visit(browser, told, locale="zh-CN", java_script_enabled=False)
    visit.page.goto(f"/customers/{ZHANG}")
    expect(visit.page.locator("#timeline li")).to_have_count(10)
    expect(visit.page.locator("#live")).to_be_hidden()
    visit.close()
