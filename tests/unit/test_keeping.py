"""Keeping accounts: what is entered is checked and sealed, what is running is not pulled away from under its entries."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway import app, settings
from gateway.annex import Conflict
from gateway.connector import Reply, Request
from gateway.desk.keeping import Fault, Keeper
from gateway.errors import ConfigError
from gateway.office import keeper_of
from gateway.pipeline.receive import Gate, RejectLog
from gateway.processes import Ground, receiver_of
from gateway.reload import NotRunning, Reloads
from tests.e2e.house import FEED_SECRET, order, signed

FEED = {"mapping": "feed/order", "secret": FEED_SECRET}


def on(folder: Path, work: Callable[[Ground, Keeper], Awaitable[None]]) -> None:
    """Do something with a gateway's keeper; the config has an account ``erp``."""
    file = folder / "config.toml"
    file.write_text(
        f'[gateway]\ndata_dir = "{folder / "data"}"\n[accounts.erp]\nconnector = "feed"\nmapping = "feed/order"\nsecret = "{FEED_SECRET}"\n',
        encoding="utf-8",
    )

    async def run() -> None:
        ground = app.open_ground(settings.load(file, environ={}))
        try:
            await work(ground, keeper_of(ground))
        finally:
            await ground.close()

    asyncio.run(run())


async def post(ground: Ground, name: str, number: str) -> Reply:
    """One order, as a partner posts it."""
    gate = Gate(bulk_most=100, live_most=100)
    receiver = receiver_of(ground, gate=gate, rejects=RejectLog(), wake=lambda: None)
    body = json.dumps([order(number)]).encode()
    return await receiver.accept(name, Request(body=body, headers=signed(body), received_at=ground.clock.now()))


def test_secrets_are_sealed_and_numbers_are_numbers(tmp_path: Path) -> None:
    """The file holds nothing that another gateway could use, and the account opens with it."""

    async def work(ground: Ground, keeper: Keeper) -> None:
        keeper.keep("shop", "feed", {**FEED, "rate": "50"}, version="")
        kept = keeper.options("shop")
        assert kept["rate"] == 50
        assert str(kept["secret"]).startswith("sealed:")
        assert FEED_SECRET not in (tmp_path / "data" / "accounts.d" / "shop.toml").read_text()
        one = keeper.get("shop")
        assert one is not None
        assert (one.live, one.disabled) == (False, False)

    on(tmp_path, work)
    on(tmp_path, _live)


async def _live(ground: Ground, keeper: Keeper) -> None:
    one = keeper.get("shop")
    assert one is not None
    assert one.live, "opened anew, it runs as it stands"
    assert (await post(ground, "shop", "SO-1")).status == 202


def test_what_is_wrong_is_not_kept(tmp_path: Path) -> None:
    """An unknown option, a mapping that is not there, an account of the config, an unknown connector, a directory outside the drop."""

    async def work(ground: Ground, keeper: Keeper) -> None:
        with pytest.raises(Fault, match="unknown key 'maping'"):
            keeper.keep("shop", "feed", {**FEED, "maping": "x"}, version="")
        with pytest.raises(Fault, match="orderz"):
            keeper.keep("shop", "feed", {**FEED, "mapping": "feed/orderz"}, version="")
        with pytest.raises(Fault, match="directories below"):
            keeper.keep("shop", "feed", {**FEED, "watch": str(tmp_path / "data")}, version="")
        with pytest.raises(ConfigError, match="stands in the config file"):
            keeper.keep("erp", "feed", FEED, version="")
        with pytest.raises(ConfigError, match="no connector"):
            keeper.keep("shop", "fed", FEED, version="")
        assert not (tmp_path / "data" / "accounts.d").exists()
        drop = tmp_path / "data" / "drop"
        drop.mkdir()
        (drop / "taken").touch()
        with pytest.raises(ConfigError, match="cannot be made"):
            keeper.keep("shop", "feed", {**FEED, "watch": str(drop / "taken")}, version="")
        keeper.keep("shop", "feed", {**FEED, "watch": str(drop / "shop")}, version="")

    on(tmp_path, work)


def test_a_plain_secret_in_a_file_is_a_fault_that_names_its_line(tmp_path: Path) -> None:
    """Whoever writes a file by hand is told to enter it elsewhere."""
    folder = tmp_path / "data" / "accounts.d"
    folder.mkdir(parents=True)
    (folder / "shop.toml").write_text('connector = "feed"\nmapping = "feed/order"\nsecret = "env:X"\n')

    with pytest.raises(ConfigError) as caught:
        on(tmp_path, _live)
    assert caught.value.place.endswith("shop.toml:3: secret")


def test_an_account_goes_in_two_steps_and_not_while_something_of_it_waits(tmp_path: Path) -> None:
    """Disabled it answers 503 and keeps its entries; it goes when they are read; an edit does not enable it by the way."""

    async def first(ground: Ground, keeper: Keeper) -> None:
        keeper.keep("shop", "feed", FEED, version="")

    async def second(ground: Ground, keeper: Keeper) -> None:
        assert (await post(ground, "shop", "SO-1")).status == 202
        one = keeper.get("shop")
        assert one is not None
        with pytest.raises(ConfigError, match="takes things in"):
            await keeper.remove("shop", version=one.version)
        off = keeper.switch("shop", disabled=True, version=one.version)
        with pytest.raises(Conflict):
            keeper.switch("shop", disabled=False, version=one.version)
        with pytest.raises(ConfigError, match="1 entries of 'shop' wait"):
            await keeper.remove("shop", version=off)
        changed = keeper.keep("shop", "feed", {**FEED, "rate": 5}, version=off)
        assert keeper.options("shop")["disabled"] is True
        assert keeper.restore("shop", one.version, version=changed) == one.version, (
            "back to what it was, secrets and all"
        )
        keeper.switch("shop", disabled=True, version=one.version)

    async def third(ground: Ground, keeper: Keeper) -> None:
        assert (await post(ground, "shop", "SO-2")).status == 503
        assert await keeper.waiting("shop") == 1, "what it said is still there to be read"

    on(tmp_path, first)
    on(tmp_path, second)
    on(tmp_path, third)


def test_wishes_are_taken_once_and_answered_by_name(tmp_path: Path) -> None:
    """Nobody to ask is said; what is asked of a supervisor of this process's own is seen by another only."""
    asking = Reloads(tmp_path)
    with pytest.raises(NotRunning):
        asking.wish(1)
    assert asking.reports() == ()
    answering = Reloads(tmp_path)
    assert answering.hold()
    assert answering.take() == ()
    answering.let_go()
