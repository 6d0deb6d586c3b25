"""Matches, customers and orders in a real Chromium: a pair is compared, merged and parted again; what a role may not see stays masked."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.console.browser import Console, Told, console
from tests.e2e import house as houses

pytestmark = pytest.mark.browser


def _two(told: Told) -> None:
    """Two members with one phone that nobody verified, and two more for the refusal."""
    told.gateway.feed(
        "crm",
        [
            {"customer_code": code, "name": name, "phone": phone, "updated_at": "2026-11-11 09:00:00"}
            for code, name, phone in (
                ("D1", "赵六", "13900139001"),
                ("D2", "赵六", "13900139001"),
                ("D3", "钱七", "13900139002"),
                ("D4", "孙八", "13900139002"),
            )
        ],
    )
    houses.eventually(lambda: told.gateway.command("matches", "list", "--json")[1].count('"id"') == 2)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One gateway and one Chromium for all tests here."""
    with console(tmp_path_factory.mktemp("people"), _two) as opened:
        yield opened


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_pages_are_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, lang: str, width: int, scheme: str
) -> None:
    """Lists and details: contrast of WCAG AA, nothing wider than the window, no fault on the way."""
    visit = desk.visit("viewer", lang=lang, width=width, scheme=scheme)
    for path in ("/console/matches", "/console/customers", "/console/orders"):
        visit.open(path)
        assert visit.dim() == [], path
        assert visit.wide() == 0, path
    for path, link in (
        ("/console/customers", "td a[href^='/console/customers/']"),
        ("/console/orders", "td a[href^='/console/orders/']"),
    ):
        page = visit.open(path)
        page.locator(link).first.click()
        expect(page.locator("dl.facts").first).to_be_visible()
        assert visit.dim() == [], path
        assert visit.wide() == 0, path
    visit.close()


def test_viewer_sees_masks_and_no_buttons(desk: Console) -> None:
    """Names and phones are masked for a role without grants; deciding is for operators."""
    visit = desk.visit("viewer")
    page = visit.open("/console/matches")
    expect(page.locator("article.card")).to_have_count(2)
    assert "13900139001" not in page.content()
    assert "赵六" not in page.content()
    assert page.locator("article button").count() == 0
    visit.close()


def test_pair_is_merged_seen_as_one_and_parted_again(desk: Console) -> None:
    """By the keyboard; each step is on the trail."""
    visit = desk.visit("operator")
    page = visit.open("/console/matches")
    pair = page.locator("article.card", has=page.locator("tr.alike", has_text="name"))
    expect(pair).to_have_count(1)
    button = pair.get_by_role("button", name="Merge into one")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/console/customers/cus_"))
    expect(page.locator(".note.good")).to_have_text("They are one now")
    page.get_by_role("button", name="Undo this merge").click()
    expect(page.locator(".note.good")).to_have_text("They are two again")
    visit.close()
    _, said = desk.told.gateway.command("audit", "list", "--json")
    assert '"merge"' in said
    assert '"unmerge"' in said


def test_refused_pair_stays_refused(desk: Console) -> None:
    """It goes from the list by itself and stands under those kept apart."""
    visit = desk.visit("operator")
    page = visit.open("/console/matches")
    page.get_by_role("button", name="Not the same person").last.click()
    expect(page.locator(".note.good")).to_contain_text("they stay two")
    page.get_by_role("link", name="Kept apart").click()
    expect(page.locator("article.card")).to_have_count(1)
    visit.close()


def test_customer_is_found_by_phone_however_it_is_written(desk: Console) -> None:
    """And one that nobody carries is told as such."""
    visit = desk.visit("viewer")
    page = visit.open("/console/customers")
    page.get_by_label("Phone, e-mail or customer id").fill("+86 139-0013-9002")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Phone, e-mail or customer id").fill("13700137000")
    page.keyboard.press("Enter")
    expect(page.locator(".empty")).to_contain_text("Nobody carries that")
    visit.close()


def test_export_is_what_the_page_shows_and_runs_no_formula(desk: Console) -> None:
    """The same masks; a name that begins like a formula is text."""
    desk.told.gateway.feed("crm", [{"customer_code": "E1", "name": "=cmd", "updated_at": "2026-11-11 09:00:00"}])
    visit = desk.visit("viewer")
    page = visit.open("/console/customers")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Export").click()
    text = waiting.value.path().read_text(encoding="utf-8-sig")
    assert text.startswith("id,name")
    assert "13900139001" not in text
    visit.close()


def test_newest_orders_come_first_and_older_ones_are_a_link_away(desk: Console) -> None:
    """On the customer's own page, and in the list that it leads to, which is narrowed to that customer."""
    for first in (0, 30):
        rows = [houses.order(f"MANY-{n:02}", customer_code="C1") for n in range(first, first + 30)]
        assert desk.told.gateway.feed("erp", rows).json()["accepted"] == 30
        # Orders of one batch are of one moment: the second batch is to be the later.
        desk.told.good.wait(3 + first + 30, "order.paid")
    visit = desk.visit("viewer")
    page = visit.open("/console/orders")
    page.get_by_role("link", name="MANY-59").click()
    page.locator("dl.facts a[href^='/console/customers/']").click()
    own = page.locator("table[data-sorts='own-orders'] tbody tr")
    expect(own).to_have_count(50)
    assert {f"MANY-{n:02}" for n in range(30, 60)} == set(own.locator("td:first-child").all_inner_texts()[:30])
    page.get_by_role("link", name="Older").first.click()
    expect(page.locator("#orders tbody tr")).to_have_count(11)
    expect(page.locator("#orders tbody tr", has_text="SO-1")).to_have_count(1)
    page.get_by_role("link", name="Customers: cus_").click()
    expect(page.locator("#orders tbody tr")).to_have_count(50)
    visit.close()
