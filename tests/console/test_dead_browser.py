"""Dead letters and rejects in a real Chromium: by cause, a mapping tried on them, retried, dropped with a reason; bodies for admins on the trail."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.console.browser import Console, Told, console
from tests.e2e import house as houses

pytestmark = pytest.mark.browser

GROUP = "/console/dead/group?kind=entry&of=erp%2Forder&stage=map&cause=payload.value"
WRONG = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="


def _said(told: Told) -> None:
    """Orders that no mapping can read, deliveries that were given up, requests that were refused."""
    gateway = told.gateway
    gateway.feed("erp", [houses.order(f"SO-BAD{n}", total="zwölf") for n in range(3)])
    gateway.feed("erp", [houses.order("SO-FORGED")], secret=WRONG)
    houses.eventually(lambda: gateway.command("dead", "list", "--json")[1].count('"ded_') == 3, what="dead letters")
    houses.eventually(
        lambda: gateway.command("dead", "list", "--json")[1].count('"dlv_') >= 3, what="dead deliveries", within=40
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One gateway and one Chromium for all tests here; nobody listens where its endpoint ``gone`` is, which gives up at once."""
    gone = {"url": "http://127.0.0.1:9/", "secret": houses.SECRET, "allow_private": True, "retries": ["0s"]}
    with console(tmp_path_factory.mktemp("dead"), _said, endpoints={"gone": gone}) as opened:
        yield opened


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_pages_are_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, lang: str, width: int, scheme: str
) -> None:
    """List, group and rejects: contrast of WCAG AA, nothing wider than the window."""
    visit = desk.visit("operator", lang=lang, width=width, scheme=scheme)
    for path in ("/console/dead", GROUP, "/console/dead/rejects"):
        visit.open(path)
        assert visit.dim() == [], path
        assert visit.wide() == 0, path
    visit.close()


def test_group_tells_cause_count_and_a_masked_sample_and_gives_a_viewer_no_button(desk: Console) -> None:
    """What was wrong stands there; what was said does not."""
    visit = desk.visit("viewer")
    page = visit.open("/console/dead")
    row = page.locator("tbody tr", has_text="payload.value")
    expect(row).to_contain_text("not a plain decimal number")
    expect(row.locator("td.n")).to_have_text("3")
    row.locator("a").click()
    expect(page.locator("#ready")).to_have_text("3")
    assert "zwölf" not in page.content()
    assert page.locator("main form").count() == 0
    visit.close()


def test_mapping_is_tried_on_all_of_them_before_anything_is_written(desk: Console) -> None:
    """The live one fails on each; a text in which the field is left out reads each; a text that is none names its line."""
    visit = desk.visit("admin")
    page = visit.open(GROUP)
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator("#tried")).to_contain_text("0 of 3 would succeed")
    text = (houses.ROOT / "mappings" / "feed" / "order.yaml").read_text(encoding="utf-8")
    page.locator("summary").click()
    page.locator("textarea[name=text]").fill("\n".join(line for line in text.splitlines() if " total" not in line))
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator("#tried")).to_contain_text("your text: 3 of 3 would succeed")
    page.locator("textarea[name=text]").fill("version: x")
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("order.yaml:1")
    visit.close()
    assert desk.told.gateway.command("dead", "list", "--json")[1].count('"ded_') == 3


def test_operator_tries_versions_and_no_text_of_their_own(desk: Console) -> None:
    """A text decides which fields come into the open, so that only an admin brings one."""
    visit = desk.visit("operator")
    page = visit.open(GROUP)
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator("#tried")).to_contain_text("0 of 3 would succeed")
    assert page.locator("textarea").count() == 0
    visit.close()


def test_retry_and_drop_settle_the_group_and_are_on_the_trail(desk: Console) -> None:
    """One is tried again and dies again; all are dropped with a reason, by the keyboard, and the list says so by itself."""
    watcher = desk.visit("viewer")
    watched = watcher.open("/console/dead")
    expect(watched.locator("tbody tr", has_text="payload.value")).to_have_count(1)
    visit = desk.visit("operator")
    page = visit.open(GROUP)
    page.locator("#members a.id").first.click()
    page.locator("#retry").click()
    expect(page.locator(".note.good")).to_contain_text("1 are on their way again")
    houses.eventually(
        lambda: desk.told.gateway.command("dead", "list", "--json")[1].count('"ded_') == 3, what="dead again", within=40
    )
    page = visit.open(GROUP)
    page.get_by_label("Why nobody needs them").fill("test orders of the ERP")
    page.keyboard.press("Enter")
    expect(page.locator(".note.good")).to_contain_text("3 dropped")
    expect(watched.locator("tbody tr", has_text="payload.value")).to_have_count(0)
    visit.close()
    watcher.close()
    said = desk.told.gateway.command("audit", "list", "--json")[1]
    assert '"retry"' in said
    assert "test orders of the ERP" in said


def test_deliveries_that_were_given_up_are_a_group_and_are_tried_again_together(desk: Console) -> None:
    """By endpoint and cause; nobody listens there still, so that they come back."""
    visit = desk.visit("operator")
    page = visit.open("/console/dead")
    group = page.locator("tbody tr", has_text="gone")
    expect(group).to_have_count(1)
    group.locator("a").first.click()
    count = int(page.locator("#ready").inner_text())
    assert count >= 3
    page.locator("#retry").click()
    expect(page.locator(".note.good")).to_contain_text(f"{count} are on their way again")
    expect(page.locator("tbody tr", has_text="gone")).to_have_count(1)
    visit.close()


def test_rejects_name_reason_and_peer_and_open_for_admins_only(desk: Console) -> None:
    """The body is never on the list; an admin's look is recorded."""
    visit = desk.visit("operator")
    page = visit.open("/console/dead/rejects")
    expect(page.locator("tbody tr", has_text="signature").first).to_contain_text("127.0.0.1")
    assert "SO-FORGED" not in page.content()
    assert page.get_by_role("button", name="Raw").count() == 0
    visit.close()
    admin = desk.visit("admin")
    page = admin.open("/console/dead/rejects")
    page.get_by_role("button", name="Raw").first.click()
    expect(page.locator("#raw")).to_contain_text("SO-FORGED")
    admin.close()
    assert '"read_raw"' in desk.told.gateway.command("audit", "list", "--json")[1]


def test_export_is_a_table_without_bodies(desk: Console) -> None:
    """Of rejects, with what the page shows."""
    visit = desk.visit("viewer")
    page = visit.open("/console/dead/rejects")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Export").click()
    text = waiting.value.path().read_text(encoding="utf-8-sig")
    assert text.startswith("id,at,account,reason")
    assert "signature" in text
    assert "SO-FORGED" not in text
    visit.close()
