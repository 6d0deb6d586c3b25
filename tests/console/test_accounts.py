"""The page of a kept account, without a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.annex import Annex
from gateway.console import live
from gateway.desk.keeping import Keeper
from gateway.reload import LIVE, Reloads, Report
from tests.api.kit import House, told
from tests.console.test_entrance import signed_in


def test_pages_of_an_account_with_a_chinese_name_keep_themselves_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser asks for them by the address that it shows."""
    monkeypatch.setattr(live, "_LONGEST", 0.5)
    kept = Annex(tmp_path)
    kept.keep("门店-2", {"connector": "feed", "auth": "none-on-loopback", "mapping": "feed/order"}, version="", now=1)

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            for place, part in (("connectors", "doctor"), ("accounts", "progress")):
                page = await client.get(f"/console/{place}/门店-2")
                assert page.status_code == 200
                told = await client.get("/console/live", params={"at": page.request.url.raw_path.decode()})
                assert f'"{part}":' in told.text

    told(tmp_path, story, accounts=kept.all())


def test_page_shows_no_secret_that_a_hand_put_into_the_file(tmp_path: Path) -> None:
    """Such an account is not taken up, and neither is it a way to read what it holds."""
    kept = Annex(tmp_path)
    options = {"connector": "feed", "mapping": "feed/order", "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}
    kept.keep("shop", options, version="", now=1)

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            page = (await client.get("/console/accounts/shop")).text
            assert "whsec" not in page
            assert "•••" in page
            assert "feed/order" in page

    told(tmp_path, story)


def test_backlog_is_read_only_to_say_what_keeps_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty thousand entries are not read by whoever looks at a page."""
    kept = Annex(tmp_path)
    options = {"connector": "feed", "auth": "none-on-loopback", "mapping": "feed/order"}
    version = kept.keep("shop", options, version="", now=1)
    asked: list[str] = []

    async def waiting(_: Keeper, name: str) -> int:
        asked.append(name)
        return 7

    monkeypatch.setattr(Keeper, "waiting", waiting)

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            assert (await client.get("/console/accounts/shop")).status_code == 200
            assert asked == []
            kept.keep("shop", {**options, "disabled": True}, version=version, now=2)
            assert (await client.get("/console/accounts/shop")).status_code == 200
            assert asked == ["shop"]

    told(tmp_path, story, accounts=kept.all())


@pytest.fixture
def reloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reloads]:
    """Those of a supervisor that began before the test."""
    monkeypatch.setattr(Reloads, "running", lambda _: True)
    one = Reloads(tmp_path)
    one.hold()
    yield one
    one.let_go()


def test_page_says_live_only_when_nobody_runs_the_version_before(tmp_path: Path, reloads: Reloads) -> None:
    """Old doors answer while they leave: an account that is said to be disabled would still take things in, and could not be removed."""
    kept = Annex(tmp_path)
    options = {"connector": "feed", "auth": "none-on-loopback", "mapping": "feed/order", "disabled": True}
    version = kept.keep("shop", options, version="", now=1)

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            report = Report(wishes=(), state="handing_over", began=house.ground.clock.now())
            reloads.tell(report)
            page = await client.get("/console/accounts/shop")
            assert 'aria-current="step">Handing over' in page.text
            assert "it takes nothing in" not in page.text
            reloads.tell(Report(wishes=(), state=LIVE, began=report.began, ended=house.ground.clock.now()))
            page = await client.get("/console/accounts/shop")
            assert "Live: it takes nothing in" in page.text
        await house.desk.keeper.remove("shop", version=version)

    told(tmp_path, story, accounts=kept.all())
