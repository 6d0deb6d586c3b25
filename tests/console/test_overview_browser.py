"""The overview in a real Chromium: the verdict, what is wrong with its remedy, figures that move, both languages, a phone's width."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.console.browser import Console, console
from tests.e2e import house as houses

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One gateway and one Chromium for all tests here."""
    with console(tmp_path_factory.mktemp("overview")) as opened:
        yield opened


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_overview_is_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, lang: str, width: int, scheme: str
) -> None:
    """Contrast of WCAG AA, nothing wider than the window, no fault on the way."""
    visit = desk.visit("viewer", lang=lang, width=width, scheme=scheme)
    page = visit.open("/console")
    expect(page.locator(".verdict")).to_be_visible()
    assert visit.dim() == []
    assert visit.wide() == 0
    visit.close()


def test_what_is_wrong_is_told_with_its_remedy_and_leads_there(desk: Console) -> None:
    """An endpoint that keeps failing is named."""
    visit = desk.visit()
    page = visit.open("/console")
    trouble = page.locator(".trouble", has_text="bi")
    expect(trouble).to_contain_text("keeps failing")
    expect(trouble).to_contain_text("What to do")
    expect(trouble.locator("a")).to_have_attribute("href", "/console/endpoints/bi")
    visit.close()


def test_figures_move_by_themselves(desk: Console) -> None:
    """Without a reload, by the page's stream."""
    visit = desk.visit()
    page = visit.open("/console")
    orders = page.locator('[data-count="records.order"] dd')
    expect(orders).to_have_text("3")
    desk.told.gateway.feed("erp", [houses.order(f"LIVE-{n}") for n in range(2)])
    expect(orders).to_have_text("5")
    visit.close()
