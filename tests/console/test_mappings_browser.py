"""Mappings in a real Chromium: an unknown value leads to the editor, the draft to a shadow run that shows its progress, a canary that counts, going live and back."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.console.browser import Console, Told, console
from tests.e2e import house as houses
from tests.e2e.test_mapping_versions import MENDED, ORDER

pytestmark = pytest.mark.browser
PAGE = "/console/mappings/feed/order"
TABS = ("seen", "result", "cases", "versions", "edit", "shadow", "canary")


def _packed(told: Told, first: int, count: int = 60) -> None:
    rows = [houses.order(f"PK-{n}", status="packed", minute=n % 60) for n in range(first, first + count)]
    assert told.gateway.feed("erp", rows).status_code == 202


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One gateway whose shop says a status that no table knows, and one order whose time is none."""

    def prepare(told: Told) -> None:
        _packed(told, 0)
        told.gateway.feed("erp", [houses.order("BAD-1", created_at="soon")])

    with console(tmp_path_factory.mktemp("mappings"), prepare) as opened:
        yield opened


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_every_tab_is_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, lang: str, width: int, scheme: str
) -> None:
    """Contrast of WCAG AA, nothing wider than the window, no fault on the way, nothing asked of another host."""
    visit = desk.visit("viewer", lang=lang, width=width, scheme=scheme)
    for path in ("/console/mappings", *(f"{PAGE}?tab={tab}" for tab in TABS)):
        page = visit.open(path)
        expect(page.locator("h1")).to_be_visible()
        assert visit.dim() == [], path
        assert visit.wide() == 0, path
    visit.close()


def test_unknown_value_is_mapped_tried_given_a_share_made_live_and_taken_back(desk: Console) -> None:
    """The whole way by clicks; figures move by themselves."""
    visit = desk.visit("admin")
    page = visit.open("/console/mappings")
    expect(page.locator("tr", has_text="feed/order")).to_contain_text("feed/order@1")
    page.get_by_role("link", name="feed/order", exact=True).click()
    seen = page.locator("#seen tr", has_text="lifecycle").filter(has_text="packed")
    expect(seen).to_contain_text("60")
    expect(page.locator("#seen")).to_contain_text("not a time")
    seen.get_by_role("link", name="Map it").click()
    expect(page.locator(".note.busy")).to_contain_text("add it to table lifecycle at line")

    page.fill("textarea", ORDER.replace("shipped: processing", "shipped: procesing"))
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".note.bad").first).to_contain_text("line")
    expect(page.locator(".code .line.bad")).to_contain_text("procesing")
    page.fill("textarea", MENDED)
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".note.good")).to_contain_text("cases hold")
    page.fill("input[name=note]", "the shop says packed")
    page.get_by_role("button", name="Store as a draft").click()
    expect(page.locator("#diff .line.added").first).to_contain_text("packed: processing")

    page.goto(f"{visit.url}{PAGE}?tab=shadow&version=1")
    page.get_by_role("button", name="Run it").click()
    expect(page.locator("#shadow [data-state=done]")).to_be_visible()
    expect(page.locator("#shadow")).to_contain_text("60 records would change status")
    page.get_by_role("link", name="Compare").first.click()
    expect(page.locator("tr.differs", has_text="order.lifecycle")).to_contain_text("unknown")
    expect(page.locator("tr.differs", has_text="order.lifecycle")).to_contain_text("processing")

    page.goto(f"{visit.url}{PAGE}?tab=canary&version=1")
    page.fill("input[name=share]", "50")
    page.get_by_role("button", name="Start the canary").click()
    expect(page.locator("#canary")).to_contain_text("No entry has fallen to it yet")
    houses.eventually(lambda: desk.told.gateway.facts("mapping.changed"))
    _packed(desk.told, 100)
    expect(page.locator("#canary")).to_contain_text("entries compared in pairs")
    expect(page.locator("#canary")).to_contain_text("unknowns mended")

    page.locator("#canary").get_by_role("button", name="Promote to all").click()
    expect(page.locator("#standing .good")).to_have_text("feed/order@1.1")
    houses.eventually(lambda: len(desk.told.gateway.facts("mapping.changed")) == 2)
    _packed(desk.told, 200, 10)
    page.locator("#standing").get_by_role("button", name=re.compile("Roll back")).click()
    expect(page.locator("#standing .good")).to_have_text("feed/order@1")
    visit.close()


def test_keyboard_alone_reaches_and_uses_the_editor(desk: Console) -> None:
    """Tab by tab from the address bar; Enter on the button that checks."""
    visit = desk.visit("operator")
    page = visit.open(f"{PAGE}?tab=edit")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "text":
            break
    page.keyboard.press("Control+End")
    page.keyboard.type("nonsense: 1")
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Check":
            break
    page.keyboard.press("Enter")
    expect(page.locator(".note.bad").first).to_contain_text("nonsense")
    visit.close()


def test_leaving_live_pages_again_and_again_leaves_the_door_standing(desk: Console) -> None:
    """Each page holds a stream open; the server must bear that its readers go."""
    visit = desk.visit("viewer")
    for _ in range(6):
        for path in ("/console", "/console/mappings", PAGE):
            visit.open(path).wait_for_timeout(150)
    visit.close()
    assert desk.told.gateway.facts("supervisor.died") == []
