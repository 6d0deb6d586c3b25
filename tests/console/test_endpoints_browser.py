"""Endpoints in a real Chromium: how each is, its attempts with what came back, pausing, testing, rotating, replaying; by role."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.console.browser import Console, Told, console
from tests.e2e import house as houses

pytestmark = pytest.mark.browser


def _said(told: Told) -> None:
    """The broken one has failed, so that there is something to see."""
    told.good.wait(3, "order.paid")
    houses.eventually(lambda: len(told.bad.got) >= 3, what="attempts at the broken one")
    houses.eventually(lambda: told.gateway.command("dead", "list", "--json")[1].count('"dlv_') >= 3, within=40)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One gateway and one Chromium for all tests here; ``own`` has a secret that the gateway made, and nobody listens there."""
    own = {"url": "http://127.0.0.1:9/", "allow_private": True, "retries": ["0s"], "events": ["order.*"]}
    with console(tmp_path_factory.mktemp("endpoints"), _said, endpoints={"own": own}) as opened:
        yield opened


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_pages_are_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, lang: str, width: int, scheme: str
) -> None:
    """List, one endpoint with a dry run, one delivery: contrast of WCAG AA, nothing wider than the window."""
    visit = desk.visit("operator", lang=lang, width=width, scheme=scheme)
    for path in ("/console/endpoints", "/console/endpoints/bi?since=24h"):
        page = visit.open(path)
        assert visit.dim() == [], path
        assert visit.wide() == 0, path
    page.locator("#newest td a.id").first.click()
    expect(page.locator("#attempts")).to_be_visible()
    assert visit.dim() == []
    assert visit.wide() == 0
    visit.close()


def test_list_tells_state_backlog_and_breaker(desk: Console) -> None:
    """The one that fails is told apart, with the cause and what waits."""
    visit = desk.visit("viewer")
    page = visit.open("/console/endpoints")
    bad = page.locator("tbody tr", has_text="bi")
    expect(bad).to_contain_text("failing")
    expect(bad).to_contain_text("http 500")
    expect(bad.locator("td.n").first).not_to_have_text("0")
    expect(page.locator("tbody tr", has_text="crm")).to_contain_text("active")
    visit.close()


def test_viewer_sees_the_grants_and_cannot_act(desk: Console) -> None:
    """Class by treatment; no form on the page."""
    visit = desk.visit("viewer")
    page = visit.open("/console/endpoints/crm")
    row = page.locator("#grants tbody tr", has_text="contact")
    expect(row.locator(".badge")).to_have_text(re.compile("mask"))
    assert page.locator("main form").count() == 0
    visit.close()


def test_endpoint_is_paused_waits_and_goes_on(desk: Console) -> None:
    """By the keyboard; what comes meanwhile is seen waiting by itself, and leaves when it is resumed."""
    visit = desk.visit("operator")
    page = visit.open("/console/endpoints/crm")
    heard = len(desk.told.gateway.facts("worker.endpoints_changed"))
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    expect(page.locator("p.note.good")).to_have_text("Paused")
    houses.eventually(lambda: len(desk.told.gateway.facts("worker.endpoints_changed")) > heard, what="the worker hears")
    desk.told.gateway.feed("erp", [houses.order("PAUSED-1")])
    expect(page.locator('[data-figure="backlog"]')).not_to_have_text("0")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("p.note.good")).to_have_text("It goes on")
    expect(page.locator('[data-figure="backlog"]')).to_have_text("0")
    visit.close()
    said = desk.told.gateway.command("audit", "list", "--json")[1]
    assert '"pause"' in said
    assert '"resume"' in said


def test_test_event_says_what_came_back(desk: Console) -> None:
    """At once, of both kinds."""
    visit = desk.visit("operator")
    for name, result in (("crm", "204"), ("bi", "500")):
        page = visit.open(f"/console/endpoints/{name}")
        page.get_by_role("button", name="Send a test").click()
        expect(page.locator("#tried")).to_contain_text(f"The test came to {result}")
    visit.close()


def test_secret_of_the_config_is_not_rotated_here_and_the_page_says_why(desk: Console) -> None:
    """And an operator is not offered it at all."""
    visit = desk.visit("admin")
    page = visit.open("/console/endpoints/crm")
    expect(page.locator("main")).to_contain_text("has its secret from the config")
    assert page.get_by_role("button", name="Rotate").count() == 0
    visit.close()


def test_secret_is_rotated_by_an_admin_and_shown_once(desk: Console) -> None:
    """On the page that answers and on no other; on the trail without it."""
    visit = desk.visit("admin")
    page = visit.open("/console/endpoints/own")
    page.get_by_role("button", name="Rotate the secret").click()
    secret = page.locator("#secret .secret").inner_text()
    assert secret.startswith("whsec_")
    assert secret not in visit.open("/console/endpoints/own").content()
    visit.close()
    said = desk.told.gateway.command("audit", "list", "--json")[1]
    assert '"rotate"' in said
    assert secret not in said
    operator = desk.visit("operator")
    page = operator.open("/console/endpoints/own")
    assert page.get_by_role("button", name="Rotate the secret").count() == 0
    operator.close()


def test_what_it_missed_is_counted_first_and_then_sent(desk: Console) -> None:
    """A dry run changes nothing; one that has all, or what is on its way, is sent nothing."""
    visit = desk.visit("operator")
    page = visit.open("/console/endpoints/bi?since=24h")
    expect(page.locator("#replay .note.good")).to_have_text("It has missed nothing")
    page = visit.open("/console/endpoints/own")
    page.get_by_role("link", name="last 1h").click()
    button = page.get_by_role("button", name=re.compile(r"Send these \d+"))
    count = re.search(r"\d+", button.inner_text())
    assert count
    assert int(count[0]) >= 3
    button.click()
    expect(page.locator("p.note.good")).to_contain_text(f"{count[0]} deliveries are on their way again")
    visit.close()
    assert '"replay"' in desk.told.gateway.command("audit", "list", "--json")[1]


def test_delivery_shows_its_attempts_and_the_answer_is_opened_on_the_trail(desk: Console) -> None:
    """Headers as they were sent, the signature not; who asks for the answer is recorded."""
    visit = desk.visit("viewer")
    page = visit.open("/console/endpoints/bi")
    page.locator("#troubled td a.id").first.click()
    attempt = page.locator("#attempts section", has_text="Attempt 1")
    expect(attempt).to_contain_text("webhook-id: evt_")
    expect(attempt).to_contain_text("webhook-signature: v1,…")
    expect(attempt).to_contain_text("500")
    visit.close()
