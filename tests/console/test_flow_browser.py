"""Flow of one thing in a real Chromium: found by whatever somebody has, every hop with its time, and at the top where it stands."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.console.browser import Console, Told, console
from tests.e2e import house as houses

pytestmark = pytest.mark.browser

PHONE = "13800138001"


def _said(told: Told) -> None:
    """A version too late, an entry that no mapping can read, one said twice."""
    gateway = told.gateway
    gateway.feed("erp", [houses.order("SO-0", "shipped", customer_code="C0", minute=30)])
    gateway.feed("erp", [houses.order("SO-0", "created", customer_code="C0", minute=1, total="200.00")])
    gateway.feed("erp", [houses.order("SO-BAD", total="zwölf")])
    houses.eventually(lambda: '"ded_' in gateway.command("dead", "list", "--json")[1], what="a dead letter")
    told.good.wait(1, "order.shipped")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One gateway and one Chromium for all tests here."""
    with console(tmp_path_factory.mktemp("flow"), _said) as opened:
        yield opened


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_flow_is_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, lang: str, width: int, scheme: str
) -> None:
    """Empty, not found, one entry, a whole order: contrast of WCAG AA, nothing wider than the window."""
    visit = desk.visit("viewer", lang=lang, width=width, scheme=scheme)
    for asked in ("", "no-such-thing", "SO-BAD", "SO-0"):
        visit.open(f"/console/flow?q={asked}")
        assert visit.dim() == [], asked
        assert visit.wide() == 0, asked
    visit.close()


def test_order_that_never_became_one_is_found_and_says_where_it_stands(desk: Console) -> None:
    """By its number, though no record carries it; with the cause, and a link to where it is mended. By the keyboard."""
    visit = desk.visit("viewer")
    page = visit.open("/console/flow")
    expect(page.locator("input[name=q]")).to_be_focused()
    page.keyboard.type("SO-BAD")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"q=ent_"))
    stand = page.locator("#stands .stand.bad")
    expect(stand).to_contain_text("It stands at projection: map failed")
    expect(stand.locator("a")).to_have_attribute("href", re.compile("/console/dead/group.*payload.value"))
    expect(page.locator("#journeys .badge").first).to_have_text("dead letter")
    stand.locator("a").click()
    expect(page.locator("#ready")).to_have_text("1")
    visit.close()


def test_order_shows_every_hop_in_time_with_attempts_and_what_failed(desk: Console) -> None:
    """Received, projected with the mapping's version, published with what changed, each attempt, the next one; the late version too."""
    visit = desk.visit("viewer")
    page = visit.open("/console/flow?q=SO-0")
    page.wait_for_url(re.compile(r"q=ord_"))
    shipped = page.locator("article.journey", has_text="Published order.shipped")
    expect(shipped).to_contain_text("Attempt 1 to crm")
    texts = shipped.locator(".hop").all_inner_texts()
    order = [
        next(i for i, one in enumerate(texts) if word in one)
        for word in ("Received", "Projected", "Published", "Attempt 1 to crm")
    ]
    assert order == sorted(order)
    expect(shipped).to_contain_text("feed/order@1")
    expect(shipped).to_contain_text("fulfilment")
    expect(shipped.locator(".strip")).to_contain_text(re.compile(r"projected\s+[\d.]+ ms"))
    expect(page.locator("article.journey .badge", has_text="superseded")).to_have_count(1)
    first = page.locator("article.journey", has_text="Published order.paid")
    expect(first).to_contain_text("Next attempt to bi")
    expect(page.locator("#stands")).to_contain_text("bi failed 1 times (http 500)")
    visit.close()


def test_words_of_an_entry_are_masked_for_a_role_and_raw_bytes_are_for_admins_on_the_trail(desk: Console) -> None:
    """A customer found by phone: the viewer sees a mask and no button; an admin's look at the bytes is recorded."""
    viewer = desk.visit("viewer")
    page = viewer.open(f"/console/flow?q={PHONE}")
    page.wait_for_url(re.compile(r"q=cus_"))
    expect(page.locator("#said")).to_be_visible()
    assert PHONE not in page.content() + page.url
    assert "李四" not in page.content()
    assert page.get_by_role("button", name="raw bytes").count() == 0
    viewer.close()
    admin = desk.visit("admin")
    page = admin.open("/console/flow?q=SO-BAD")
    page.get_by_role("button", name="Show the raw bytes").click()
    expect(page.locator("#raw")).to_contain_text("zwölf")
    admin.close()
    assert '"read_raw"' in desk.told.gateway.command("audit", "list", "--json")[1]


def test_trace_goes_on_by_itself(desk: Console) -> None:
    """What is said next of the order appears without a reload."""
    visit = desk.visit("viewer")
    page = visit.open("/console/flow?q=SO-1")
    expect(page.locator("article.journey")).to_have_count(1)
    desk.told.gateway.feed("erp", [houses.order("SO-1", "completed", customer_code="C1", minute=50)])
    expect(page.locator("article.journey")).to_have_count(2)
    visit.close()


def test_event_and_delivery_lead_to_their_entry(desk: Console) -> None:
    """By the ids that stand on the page itself."""
    visit = desk.visit("viewer")
    page = visit.open("/console/flow?q=SO-2")
    event = page.locator("a.id[href*='q=evt_']").first.inner_text()
    entry = page.locator("article.journey").first.get_attribute("id")
    page = visit.open(f"/console/flow?q={event}")
    expect(page.locator(f"article#{entry}")).to_have_count(1)
    visit.close()
