"""Connectors in a real Chromium: how each account is, the doctor, the form from the card, and WeCom's own test of the address."""

import tomllib
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.console.browser import Console, console
from tests.e2e import house as houses

pytestmark = pytest.mark.browser
KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
CORP = {
    "connector": "wecom", "corp_id": "ww0123456789abcdef", "token": "callback-token", "encoding_aes_key": KEY, "secret": "app-secret",
    "api_base": "http://127.0.0.1:9",
}  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One gateway and one Chromium; the corp's platform cannot be reached."""
    accounts = {"erp": houses.orders(), "crm": houses.customers(), "corp": CORP}
    with console(tmp_path_factory.mktemp("connectors"), accounts=accounts) as opened:
        yield opened


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_pages_are_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, lang: str, width: int, scheme: str
) -> None:
    """The grid, an account, its form and an empty one."""
    visit = desk.visit("admin", lang=lang, width=width, scheme=scheme)
    for path in (
        "/console/connectors", "/console/connectors/corp", "/console/connectors/corp/form", "/console/new-connector?connector=hl7"
    ):  # fmt: skip
        page = visit.open(path)
        expect(page.locator("h1")).to_be_visible()
        assert visit.dim() == [], path
        assert visit.wide() == 0, path
    visit.close()


def test_account_that_cannot_reach_its_platform_stands_first_and_says_why(desk: Console) -> None:
    """The others are well; what a feed says moves its card without a reload."""
    visit = desk.visit("viewer")
    page = visit.open("/console/connectors")
    corp = page.locator("article").first
    expect(corp).to_have_attribute("data-account", "corp")
    expect(corp).to_contain_text("cannot be renewed: partner.down")
    expect(corp).to_contain_text("of 10,000")
    expect(page.locator('[data-account="erp"]')).to_contain_text("Well")
    assert page.locator("main form").count() == 0
    visit.close()


def test_doctor_is_run_by_the_keyboard_and_tells_what_to_do(desk: Console) -> None:
    """It runs beside everything else; the page shows the outcome by itself. A viewer has no button."""
    visit = desk.visit("operator")
    page = visit.open("/console/connectors/corp")
    page.get_by_role("button", name="Run the doctor").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#doctor")).to_contain_text("not reached")
    expect(page.locator("#doctor")).to_contain_text("What to do")
    expect(page.locator("code.copy")).to_have_text(f"{desk.told.url}/in/corp")
    assert "app-secret" not in page.content()
    assert KEY not in page.content()
    visit.close()
    seen = desk.visit("viewer")
    assert seen.open("/console/connectors/corp").get_by_role("button", name="Run the doctor").count() == 0
    seen.close()


def test_wecoms_own_test_passes_with_what_runs_and_fails_with_a_wrong_token(desk: Console) -> None:
    """Against the running door: a signed echostr, decrypted and answered; the words say which."""
    visit = desk.visit("admin")
    page = visit.open("/console/connectors/corp/form")
    page.get_by_role("button", name="Check and try").click()
    url = page.locator('[data-part="url"]')
    expect(url).to_contain_text("fine")
    expect(url).to_contain_text("exactly what the platform expects")
    expect(page.locator('[data-part="platform"]')).to_contain_text("not reached")
    page.locator("input[name=token]").fill("another-token")
    page.get_by_role("button", name="Check and try").click()
    expect(url).to_contain_text("fault")
    expect(url).to_contain_text("refused it with 403")
    assert "another-token" not in page.content()
    # What was typed is kept sealed: the second press says the same without typing it again.
    page.get_by_role("button", name="Check and try").click()
    expect(url).to_contain_text("refused it with 403")
    visit.close()


def test_new_account_is_checked_as_gateway_check_does_and_becomes_toml(desk: Console) -> None:
    """A key of the wrong length is named; the right form gives a table with sealed secrets that the config takes."""
    visit = desk.visit("admin")
    page = visit.open("/console/connectors")
    page.get_by_label("Connector").select_option("wecom")
    page.get_by_role("button", name="Fill in its form").click()
    page.locator("input[name=account]").fill("corp-2")
    page.locator("input[name=corp_id]").fill("ww2")
    page.locator("input[name=token]").fill("tok-2")
    page.locator("input[name=encoding_aes_key]").fill("too short")
    page.get_by_role("button", name="Check and try").click()
    expect(page.locator('[data-part="config"]')).to_contain_text("43")
    assert page.locator("pre").count() == 0
    page.locator("input[name=encoding_aes_key]").fill(KEY)
    page.get_by_role("button", name="Check and try").click()
    expect(page.locator('[data-part="config"]')).to_contain_text("fine")
    expect(page.locator('[data-part="url"]')).to_contain_text("does not know this account yet")
    page.locator("summary", has_text="Take the TOML").click()
    made = tomllib.loads(page.locator("pre").inner_text())["accounts"]["corp-2"]
    assert made["token"].startswith("sealed:")
    assert "tok-2" not in page.content()
    visit.close()


def test_forms_are_for_admins(desk: Console) -> None:
    """An operator is refused."""
    visit = desk.visit("operator")
    answer = visit.page.goto(f"{desk.told.url}/console/new-connector?connector=wecom")
    assert answer is not None
    assert answer.status == 403
    visit.page.close()
