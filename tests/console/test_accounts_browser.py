"""Accounts kept by the console, in a real Chromium: added, tested, saved, live, changed, rolled back, disabled, removed."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from connectors.wecom.simulate import Caller
from gateway.clock import SystemClock
from tests.console.browser import Console, Visit, console, shoot
from tests.e2e import house as houses
from tests.e2e.house import eventually

pytestmark = pytest.mark.browser
KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
CORP = {"corp_id": "ww0123456789abcdef", "token": "callback-token", "encoding_aes_key": KEY, "secret": "app-secret"}
# `SHOTS=folder pytest …` leaves pictures to look at.
SHOTS = os.environ.get("SHOTS", "")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One gateway and one Chromium."""
    with console(tmp_path_factory.mktemp("accounts")) as opened:
        yield opened


def live(page: Page, words: str = "Live") -> None:
    """The page says by itself that it is."""
    expect(page.locator("#progress")).to_contain_text(words, timeout=60_000)


def picture(visit: Visit, name: str) -> None:
    if SHOTS:
        shoot(visit, Path(SHOTS) / f"{name}.png")


def fill(page: Page, account: str = "", **options: str) -> None:
    if account:
        page.locator("input[name=account]").fill(account)
    if {"rate", "api_base"} & set(options):
        page.locator("summary", has_text="What every account may set").click()
    for name, value in options.items():
        page.locator(f"form input[name={name}]").fill(value)


def test_a_corp_is_added_tested_live_and_spoken_to_and_goes_again(desk: Console) -> None:
    """From an empty form to an encrypted callback that is stored, without a restart; then changed, rolled back, disabled and removed."""
    told, gateway = desk.told, desk.told.gateway
    before = gateway.process.pid if gateway.process else 0
    visit = desk.visit("admin")
    page = visit.open("/console/new-connector?connector=wecom")
    fill(page, "corp-new", api_base="http://127.0.0.1:9", **{**CORP, "encoding_aes_key": "too short"})
    page.get_by_role("button", name="Save and go live").click()
    expect(page.locator('[data-part="config"]')).to_contain_text("43")
    assert not (gateway.data / "accounts.d" / "corp-new.toml").exists(), "what is wrong is not kept"
    fill(page, encoding_aes_key="env:WECOM_AES_KEY")
    page.get_by_role("button", name="Check and try").click()
    expect(page.locator('[data-part="config"]')).to_contain_text("enter the secret itself")
    fill(page, encoding_aes_key=KEY)
    page.get_by_role("button", name="Check and try").click()
    expect(page.locator('[data-part="config"]')).to_contain_text("fine")
    picture(visit, "form")
    page.get_by_role("button", name="Save and go live").click()
    # The steps stand there until it is live, which it may be before a slow browser shows them.
    expect(page.locator("#progress .steps, #progress .badge.good").first).to_be_visible()
    picture(visit, "progress")
    live(page)
    expect(page.locator("#progress")).to_contain_text("exactly what the platform expects")
    picture(visit, "live")
    assert gateway.process is not None
    assert gateway.process.pid == before

    loop = told.house.loop()
    caller = Caller(f"{told.url}/in/corp-new", CORP, random.Random(1), SystemClock())
    # WeCom gives an address one second, which a busy machine may not have; it is asked again by whoever sets it up.
    eventually(lambda: loop.run(caller.check()), what="WeCom's own URL check")
    message = (
        "<xml><ToUserName>ww0123456789abcdef</ToUserName><FromUserName>sys</FromUserName><MsgType>event</MsgType>"
        f"<CreateTime>{int(time.time())}</CreateTime><Event>change_external_contact</Event><ChangeType>add_external_contact</ChangeType>"
        "<UserID>zhangsan</UserID><ExternalUserID>wm-1</ExternalUserID></xml>"
    )
    assert loop.run(caller.send(message.encode())), "an encrypted callback is acknowledged"
    eventually(lambda: told.good.of("relationship.started"), what="and stored and told")

    kept = (gateway.data / "accounts.d" / "corp-new.toml").read_text()
    content = page.content()
    assert all(secret not in kept + content for secret in (KEY, "callback-token", "app-secret"))

    # Two people change the same account: the second is told, and nothing is lost.
    other = desk.visit("admin")
    stale = other.open("/console/connectors/corp-new/form")
    page = visit.open("/console/connectors/corp-new/form")
    fill(page, rate="50")
    page.get_by_role("button", name="Save and go live").click()
    page.wait_for_url("**/console/accounts/corp-new?**")
    stale.get_by_role("button", name="Save and go live").click()
    expect(stale.locator("main")).to_contain_text("changed meanwhile")
    other.faults = [fault for fault in other.faults if "409" not in fault]
    other.close()
    assert "rate = 50" in (gateway.data / "accounts.d" / "corp-new.toml").read_text()

    page = visit.open("/console/accounts/corp-new")
    expect(page.locator("main")).to_contain_text("Disable it first")
    page.get_by_role("button", name="Go back to this").click()
    expect(page.locator('[role="status"]', has_text="Gone back")).to_be_visible()
    assert (gateway.data / "accounts.d" / "corp-new.toml").read_text() == kept
    page.get_by_role("button", name="Disable", exact=True).click()
    live(page, "takes nothing in")
    picture(visit, "disabled")
    eventually(lambda: gateway.http.post("/in/corp-new", content=b"").status_code == 503)

    page.reload()
    page.locator("input[name=typed]").fill("corp")
    page.locator("section", has_text="Type corp-new").get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was removed")
    visit.faults = [fault for fault in visit.faults if "409" not in fault]
    page.locator("input[name=typed]").fill("corp-new")
    page.locator("section", has_text="Type corp-new").get_by_role("button").click()
    live(page, "The account is gone")
    eventually(lambda: gateway.http.post("/in/corp-new", content=b"").status_code == 404, within=30.0)
    assert not list((gateway.data / "accounts.d").rglob("*corp-new*"))
    visit.close()
    code, trail = gateway.command("audit", "list", "--json")
    assert code == 0
    for verb in ("account_save", "account_restore", "account_disable", "account_remove"):
        assert verb in trail
    assert "callback-token" not in trail


def test_what_stands_in_the_config_is_read_only_and_says_where_it_is_changed(desk: Console) -> None:
    """The form tries and gives TOML, and has no button that saves; a post that saves all the same is refused."""
    visit = desk.visit("admin")
    page = visit.open("/console/connectors/erp/form")
    expect(page.locator("main")).to_contain_text("stands in the config file")
    assert page.get_by_role("button", name="Save and go live").count() == 0
    answer = page.evaluate(
        """async () => { const form = new FormData(document.querySelector('form.card')); form.set('act', 'save');
        return (await fetch(location.pathname, {method: 'POST', body: new URLSearchParams(form)})).status }"""
    )
    assert answer == 409
    assert not (desk.told.gateway.data / "accounts.d" / "erp.toml").exists()
    visit.faults = [fault for fault in visit.faults if "409" not in fault]
    visit.close()


def test_keeping_accounts_is_for_admins(desk: Console) -> None:
    """An operator may not save, a viewer may not look."""
    visit = desk.visit("operator")
    visit.open("/console/connectors")
    answer = visit.page.goto(f"{desk.told.url}/console/new-connector?connector=feed")
    assert answer is not None
    assert answer.status == 403
    visit.page.close()


def test_a_client_is_given_the_accounts_it_may_use(desk: Console) -> None:
    """Chosen in the form, shown in the list, and refused without the scope that it needs."""
    visit = desk.visit("admin")
    page = visit.open("/console/clients")
    page.locator("input[name=name]").fill("erp bridge")
    page.locator('input[name="scope.orders:read"]').check()
    page.locator('input[name="account.erp"]').check()
    picture(visit, "client")
    page.get_by_role("button", name="Make a client").last.click()
    expect(page.locator("main")).to_contain_text("imports:write")
    visit.faults = [fault for fault in visit.faults if "409" not in fault]
    page = visit.open("/console/clients")
    page.locator("input[name=name]").fill("erp bridge")
    page.locator('input[name="scope.imports:write"]').check()
    page.locator('input[name="account.erp"]').check()
    page.get_by_role("button", name="Make a client").last.click()
    expect(page.locator('[data-client="erp bridge"]')).to_contain_text("through: erp")
    visit.close()


@pytest.mark.parametrize(
    ("lang", "width", "scheme"),
    [("zh", 1440, "light"), ("en", 1440, "dark"), ("zh", 390, "dark"), ("en", 390, "light")],
)
def test_pages_are_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, lang: str, width: int, scheme: str
) -> None:
    """A kept account that is not live (its file was put there by hand), its form, and the list that says so."""
    folder = desk.told.gateway.data / "accounts.d"
    folder.mkdir(exist_ok=True)
    (folder / "shop-2.toml").write_text('connector = "feed"\nmapping = "feed/order"\nauth = "bearer"\nrate = 50\n')
    visit = desk.visit("admin", lang=lang, width=width, scheme=scheme)
    for path in (
        "/console/connectors",
        "/console/accounts/shop-2",
        "/console/connectors/shop-2/form",
        "/console/connectors/erp/form",
    ):
        page = visit.open(path)
        expect(page.locator("h1")).to_be_visible()
        assert visit.dim() == [], path
        assert visit.wide() == 0, path
        picture(visit, f"{path.rpartition('console/')[2].replace('/', '-')}-{lang}-{width}-{scheme}")
    visit.close()
    (folder / "shop-2.toml").unlink()


def test_a_file_that_cannot_be_read_is_said_and_stops_no_page(desk: Console) -> None:
    """The list of connectors names the file and the line."""
    bad = desk.told.gateway.data / "accounts.d" / "bad.toml"
    bad.parent.mkdir(exist_ok=True)
    bad.write_text('connector = "feed"\nmapping = = "x"\n')
    visit = desk.visit("admin")
    page = visit.open("/console/connectors")
    expect(page.locator("#unsettled")).to_contain_text("bad.toml:2")
    assert houses.orders()["connector"] == "feed"
    visit.close()
    bad.unlink()
