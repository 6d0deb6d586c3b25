"""Alerts in a real Chromium: what goes on appears by itself, is told to the channels, is silenced by somebody with a name, and ends."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.console.browser import Console, console
from tests.e2e import house as houses
from tests.e2e.house import SECRET, Receiver
from tests.unit.test_alarms import Robot, robots

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    """A group robot."""
    with robots() as one:
        yield one


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    """Where alerts are posted to."""
    one = Receiver()
    yield one
    one.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, robot: Robot, hook: Receiver) -> Iterator[Console]:
    """One gateway and one Chromium for all tests here; the endpoint ``bi`` fails from the start."""
    alerts = {
        "webhook": hook.url, "secret": SECRET, "wecom_robot": robot.url, "allow_private": True, "hold": "0s", "disk": 0.0,
        "silence": {"erp": "1h"},
    }  # fmt: skip
    with console(tmp_path_factory.mktemp("alerts"), alerts=alerts) as opened:
        yield opened


def test_failing_endpoint_is_told_once_and_shown_with_its_remedy(desk: Console, robot: Robot, hook: Receiver) -> None:
    """Nobody reloads; the robot and the webhook heard of it."""
    visit = desk.visit("viewer")
    page = visit.open("/console/alerts")
    alert = page.locator('[data-alert="failing/bi"]')
    expect(alert).to_contain_text("keeps failing")
    expect(alert).to_contain_text("What to do")
    expect(alert).to_contain_text("WeCom group robot")
    expect(alert.locator("a").first).to_have_attribute("href", "/console/endpoints/bi")
    assert alert.locator("form").count() == 0
    assert len([said for said in robot.said if "bi" in said]) == 1
    assert [got.data["kind"] for got in hook.got].count("failing") == 1
    visit.close()


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_alerts_are_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, lang: str, width: int, scheme: str
) -> None:
    """Contrast of WCAG AA, nothing wider than the window, no fault on the way."""
    visit = desk.visit("operator", lang=lang, width=width, scheme=scheme)
    page = visit.open("/console/alerts")
    expect(page.locator("article").first).to_be_visible()
    page.locator("details summary").first.click()
    assert visit.dim() == []
    assert visit.wide() == 0
    visit.close()


def test_operator_silences_one_by_the_keyboard_and_ends_the_silence(desk: Console) -> None:
    """With an owner, a reason and an end; it is on the trail."""
    visit = desk.visit("operator")
    page = visit.open("/console/alerts")
    alert = page.locator('[data-alert="failing/bi"]')
    expect(alert).to_be_visible()
    alert.locator("summary").focus()
    page.keyboard.press("Enter")
    alert.get_by_label("Why").fill("they are moving house")
    page.keyboard.press("Enter")
    expect(alert).to_contain_text("Silenced by operator")
    expect(alert).to_contain_text("they are moving house")
    alert.get_by_role("button", name="End the silence").click()
    expect(alert.locator("summary")).to_have_text("Silence")
    visit.close()
    _, said = desk.told.gateway.command("audit", "list", "--json")
    assert '"alert_silence"' in said
    assert '"alert_unsilence"' in said


def test_test_goes_through_every_channel_and_tells_which_failed(desk: Console, robot: Robot, hook: Receiver) -> None:
    """The robot is over its limit: the page says so in the robot's own words."""
    robot.errcode = 45009
    visit = desk.visit("operator")
    page = visit.open("/console/alerts")
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator("li", has_text="Webhook")).to_contain_text("taken")
    expect(page.locator("li", has_text="WeCom group robot")).to_contain_text("errcode 45009")
    robot.errcode = 0
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator("li", has_text="WeCom group robot")).to_contain_text("taken")
    visit.close()
    assert [got.type for got in hook.got].count("alert.test") == 2


def test_end_is_shown_under_what_was(desk: Console) -> None:
    """The endpoint is mended: the alert moves down by itself."""
    visit = desk.visit("viewer")
    page = visit.open("/console/alerts")
    expect(page.locator('[data-alert="failing/bi"]')).to_be_visible()
    desk.told.bad.answer = lambda _event, _times: (204, {})
    desk.told.gateway.feed("erp", [houses.order("MENDED")])
    expect(page.locator("#recent")).to_contain_text("bi keeps failing")
    expect(page.locator('[data-alert="failing/bi"]')).to_have_count(0)
    visit.close()
