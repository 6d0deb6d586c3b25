"""Actions in a real Chromium: what an account offers, what was asked, and a person's decision where nobody knows."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from connectors.wecom import fake as wecom
from tests.console.browser import Console, Told, console
from tests.e2e import house as houses
from tests.e2e.house import Loop, eventually

pytestmark = pytest.mark.browser
WECOM = {
    "corp_id": "ww0123456789abcdef", "agent_id": "1000002", "token": "testtoken", "secret": "corp-secret",
    "encoding_aes_key": "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR",
}  # fmt: skip


class Corp:
    """The platform, and what is asked of it."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.api = self.loop.run(wecom.serve_api(host="127.0.0.1", port=0, options=WECOM, seed=7))
        self.ids: dict[str, str] = {}
        self._partner: httpx.Client | None = None

    def ask(self, told: Told) -> None:
        """Something in every state that is worth a look."""
        code, said = told.gateway.command(
            "clients", "make", "crm", "--scope", "actions:write", "--account", "corp", "--json"
        )
        assert code == 0, said
        headers = {"authorization": f"Bearer {json.loads(said)['api_key']}"}
        with httpx.Client(base_url=told.url, headers=headers, trust_env=False, timeout=20.0) as partner:
            self.ids["done"] = self._until(partner, "done", "zhangsan")
            self.ids["refused"] = self._until(partner, "refused", "nobody")
            for number in range(2):
                self.lost(partner, f"unknown{number}")

    def lost(self, partner: httpx.Client, name: str) -> None:
        """One whose answer never came."""
        verbs = self.api._verbs
        self.api._verbs = {**verbs, "message/send": _hang_up}
        self.ids[name] = self._until(partner, "unknown", "lisi")
        self.api._verbs = verbs

    def _until(self, partner: httpx.Client, state: str, member: str) -> str:
        body = {"account": "corp", "action": "message", "parameters": {"userid": member, "content": "您有新客户"}}
        made = partner.post("/api/v1/actions", json=body).raise_for_status().json()
        eventually(lambda: partner.get(f"/api/v1/actions/{made['id']}").json()["state"] == state, what=state)
        return str(made["id"])

    def close(self) -> None:
        self.loop.run(self.api.close())
        self.loop.close()


def _hang_up(_asked: Any) -> dict[str, Any]:
    raise EOFError


@pytest.fixture(scope="module")
def corp() -> Iterator[Corp]:
    """For all of them."""
    one = Corp()
    yield one
    one.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, corp: Corp) -> Iterator[Console]:
    """One gateway and one Chromium."""
    platform = {"connector": "wecom", "api_base": corp.api.url, **WECOM}
    accounts = {"erp": houses.orders(), "crm": houses.customers(), "corp": platform}
    with console(tmp_path_factory.mktemp("actions"), corp.ask, accounts=accounts) as opened:
        yield opened


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_part_is_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, corp: Corp, lang: str, width: int, scheme: str
) -> None:
    """What is offered, and what was asked in each state; nothing of what it was asked with."""
    visit = desk.visit("operator", lang=lang, width=width, scheme=scheme)
    page = visit.open("/console/connectors/corp")
    part = page.locator("#actions")
    expect(part.locator(f"#{corp.ids['done']}")).to_contain_text("done" if lang == "en" else "完成")
    expect(part).to_contain_text("Tag a customer" if lang == "en" else "打客户标签")
    assert "您有新客户" not in page.content()
    assert visit.dim() == []
    assert visit.wide() == 0
    visit.close()


def test_unknown_ones_stand_first_and_are_a_trouble(desk: Console, corp: Corp) -> None:
    """The overview says so, and leads to where it is decided; a feed has no such part."""
    visit = desk.visit("viewer")
    page = visit.open("/console")
    expect(page.locator("main")).to_contain_text("nobody knows whether the partner did them")
    page = visit.open("/console/connectors/corp")
    first = page.locator("#actions tbody tr").first
    expect(first).to_contain_text("unknown")
    expect(page.locator("#actions form")).to_have_count(0)
    expect(visit.open("/console/connectors/erp").locator("#actions")).to_have_count(0)
    visit.close()


def test_operator_lets_one_be_and_has_another_done_again_by_the_keyboard(desk: Console, corp: Corp) -> None:
    """With a reason; the page tells the end by itself, and both are on the trail."""
    visit = desk.visit("operator")
    page = visit.open("/console/connectors/corp")
    dropped, again = corp.ids["unknown0"], corp.ids["unknown1"]
    page.locator(f"#{dropped} input[name=reason]").fill("she has it")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/connectors/corp#actions")
    expect(page.locator(f"#{dropped}")).to_contain_text("cancelled")
    expect(page.locator(f"#{dropped}")).to_contain_text("dropped: she has it")
    before = len(corp.api.deeds.messages)
    page.locator(f"#{again} button", has_text="Do it again").focus()
    page.keyboard.press("Enter")
    expect(page.locator(f"#{again}")).to_contain_text("done")
    assert len(corp.api.deeds.messages) == before + 1
    said = desk.told.gateway.command("audit", "list", "--limit", "200", "--json")[1]
    acts = {(one["verb"], one["object"]) for one in json.loads(said)}
    assert {("act_drop", dropped), ("act_retry", again), ("act", again)} <= acts
    visit.close()
