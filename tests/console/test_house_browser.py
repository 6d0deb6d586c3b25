"""Audit, keys, users, clients and settings in a real Chromium: what an admin decides, what others may not, secrets shown once."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect

from tests.console.browser import Console, console
from tests.e2e.house import eventually

pytestmark = pytest.mark.browser
PAGES = ("/console/audit", "/console/settings", "/console/users", "/console/clients", "/console/settings/effective")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One gateway and one Chromium for all tests here."""
    with console(tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_pages_are_readable_at_every_width_in_both_languages_and_moods(
    desk: Console, lang: str, width: int, scheme: str
) -> None:
    """Contrast of WCAG AA, nothing wider than the window, no fault on the way."""
    visit = desk.visit("admin", lang=lang, width=width, scheme=scheme)
    for path in PAGES:
        page = visit.open(path)
        expect(page.locator("h1")).to_be_visible()
        assert visit.dim() == [], path
        assert visit.wide() == 0, path
    visit.close()


def test_chain_is_walked_by_the_keyboard_and_its_head_shown(desk: Console) -> None:
    """The page tells by itself; the command line agrees with the head."""
    visit = desk.visit("operator")
    page = visit.open("/console/audit")
    page.get_by_role("button", name="Verify the chain").focus()
    page.keyboard.press("Enter")
    head = page.locator("#verified code.copy")
    expect(head).to_have_text(re.compile(r"\d+:[0-9a-f]{32,}"))
    code, _ = desk.told.gateway.command("audit", "verify", "--head", head.inner_text())
    assert code == 0
    visit.close()


def test_acts_are_narrowed_and_exported(desk: Console) -> None:
    """By who and what; the export holds the same and is itself on the trail."""
    visit = desk.visit("operator")
    page = visit.open("/console/audit?verb=user_add")
    expect(page.locator("tbody tr")).not_to_have_count(0)
    assert set(page.locator("tbody td[data-label='Did what']").all_inner_texts()) == {"user_add"}
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Export").click()
    text = waiting.value.path().read_text(encoding="utf-8-sig")
    assert {line.split(",")[3] for line in text.splitlines()[1:]} == {"user_add"}
    page = visit.open("/console/audit?verb=nothing-like-it")
    expect(page.locator(".empty")).to_contain_text("No such act")
    page = visit.open("/console/audit?verb=export")
    expect(page.locator("tbody tr").first).to_contain_text("console:operator")
    visit.close()


def test_key_is_rotated_and_what_needs_the_older_one_is_counted(desk: Console) -> None:
    """The current key changes; the count comes by itself."""
    visit = desk.visit("admin")
    page = visit.open("/console/settings")
    expect(page.locator('[data-key="k1"]')).to_contain_text("current")
    page.get_by_role("button", name="Rotate").click()
    expect(page.locator(".note.good")).to_have_text("k2 is current now")
    expect(page.locator('[data-key="k1"]')).to_contain_text("not counted")
    page.get_by_role("button", name="Count").click()
    expect(page.locator('[data-key="k1"] td.n')).to_have_text(re.compile("[1-9]"))
    visit.close()


def test_user_is_added_promoted_reset_and_disabled_but_the_last_admin_is_not(desk: Console) -> None:
    """The password is shown once; the page that refuses says what to do."""
    visit = desk.visit("admin")
    page = visit.open("/console/users")
    page.get_by_label("User", exact=True).fill("wang")
    page.get_by_role("button", name="Add a user").click()
    first = page.locator("code.copy").inner_text()
    assert len(first) == 24
    row = page.locator('[data-user="wang"]')
    row.get_by_label("Role").select_option("operator")
    row.get_by_role("button", name="Change role").click()
    expect(row.get_by_label("Role")).to_have_value("operator")
    expect(page.locator("code.copy")).to_have_count(0)
    row.get_by_role("button", name="Reset").click()
    assert page.locator("code.copy").inner_text() != first
    row.get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("disabled")
    page.locator('[data-user="admin"]').get_by_role("button", name="Disable").click()
    expect(page.locator("main")).to_contain_text("admin is the last admin")
    visit.faults = [one for one in visit.faults if "409" not in one]
    visit.close()


def test_client_is_made_used_and_revoked(desk: Console) -> None:
    """The key that is shown opens the API, with the grants that were ticked; after revoking it does not, and the endpoint that it made is disabled."""
    visit = desk.visit("admin")
    page = visit.open("/console/clients")
    form = page.locator("section form", has=page.locator("fieldset"))
    form.get_by_label("Name", exact=True).fill("bi")
    for scope in ("customers:read", "events:read", "endpoints:write"):
        form.locator(f"input[name='scope.{scope}']").check()
    form.get_by_label("Contact").select_option("clear")
    form.locator("input[name=grants_until]").fill("2099-01-01T00:00")
    form.get_by_role("button", name="Make a client").click()
    key = page.locator("code.copy").nth(2).inner_text()
    asked = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=desk.told.url, trust_env=False) as api:
        answer = api.get("/api/v1/customers", headers=asked)
        assert answer.status_code == 200
        assert "+8613800138000" in answer.text
        assert "张三" not in answer.text
        assert api.get("/api/v1/orders", headers=asked).status_code == 403
        asked_for = {"name": "bi-hook", "url": "https://bi.example/hooks", "events": ["customer.*"]}
        assert api.post("/api/v1/endpoints", headers=asked, json=asked_for).status_code == 201
        _ = visit.open("/console/clients")
        row = page.locator('[data-client="bi"]')
        expect(row.get_by_role("link", name="bi-hook")).to_be_visible()
        expect(row).to_contain_text("Contact: clear")
        row.get_by_role("button", name="Revoke").click()
        expect(row).to_contain_text("ended")
        eventually(lambda: api.get("/api/v1/customers", headers=asked).status_code == 401)
    assert key not in page.content()
    row.get_by_role("link", name="bi-hook").click()
    expect(page.locator("main")).to_contain_text("was revoked")
    visit.close()


def test_settings_show_no_secret(desk: Console) -> None:
    """What the config holds in the clear is masked."""
    visit = desk.visit("operator")
    page = visit.open("/console/settings/effective")
    for summary in page.locator("summary").all()[1:]:
        summary.click()
    expect(page.locator("main")).to_contain_text("accounts")
    assert "whsec_" not in page.content()
    assert "•••" in page.content()
    visit.close()


@pytest.mark.parametrize(("role", "path"), [("viewer", "/console/audit"), ("viewer", "/console/settings"), ("operator", "/console/users"), ("operator", "/console/clients")])  # fmt: skip
def test_what_is_for_others_is_refused(desk: Console, role: str, path: str) -> None:
    """403, with the way back."""
    visit = desk.visit(role)
    answer = visit.page.goto(f"{desk.told.url}{path}")
    assert answer is not None
    assert answer.status == 403
    visit.page.close()
