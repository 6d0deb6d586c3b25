"""After a rotation or a change of suite, what did not change does not look as if it had."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from gateway import app, settings, vault, vaults
from gateway.connector import Request
from gateway.errors import StoreError, VaultDown
from gateway.model.customer import Customer
from gateway.model.lane import Lane
from gateway.model.secret import Secret
from gateway.pipeline.renew import Renewal
from gateway.store import Row
from tests.servers.keyservice import TOKEN, KeyService, key_service
from tests.unit.test_settle import Desk, member, order

Suite = Literal["aes", "gm"]


def tree_in(folder: Path, suite: Suite) -> settings.Settings:
    accounts = {
        name: {"connector": "feed", "auth": "none-on-loopback", "mapping": f"feed/{stem}", "system": "erp"}
        for name, stem in (("members", "customer"), ("orders", "order"))
    }
    return settings.Settings(
        gateway=settings.Gateway(data_dir=folder), vault=settings.Vault(suite=suite), accounts=accounts
    )


def told(folder: Path, suite: Suite, story: Callable[[Desk], Awaitable[None]]) -> None:
    """Run a story on a gateway that starts for it."""

    async def run() -> None:
        ground = app.open_ground(tree_in(folder, suite))
        try:
            await story(Desk(ground))
        finally:
            await ground.close()

    asyncio.run(run())


def rotated(folder: Path) -> Suite:
    vaults.rotate(app.keys_of(tree_in(folder, "aes")))
    return "aes"


def turned(_: Path) -> Suite:
    return "gm"


@pytest.mark.parametrize("turn", [rotated, turned])
def test_equal_update_after_keys_turned_is_no_change(tmp_path: Path, turn: Callable[[Path], Suite]) -> None:
    """No event, and no contact point that stands there twice; a real change afterwards is one, and is all that is."""

    async def before(desk: Desk) -> None:
        await desk.say("members", member("C1", 1))
        await desk.say("orders", {**order("B1", "C1"), "updated_at": "2026-11-11 08:00:00"})

    async def after(desk: Desk) -> None:
        known = await desk.types()
        await desk.say("members", member("C1", 2))
        await desk.say("orders", {**order("B1", "C1"), "updated_at": "2026-11-11 08:00:01"})
        assert await desk.types() == known
        await desk.say("members", {**member("C1", 3), "phone": "13900139000"})
        (row,) = await desk.ground.records.rows("customer", limit=9)
        body = msgspec.json.decode(row.body)
        opened = [
            desk.ground.vault.open_text(point["value"]["$sealed"], f"{row.id}/contacts.value")
            for point in body["contacts"]
        ]
        assert sorted(opened) == ["+8613800138000", "+8613900139000"]
        events = await desk.ground.records.events(limit=99)
        newest = max(events, key=lambda one: one.sequence if one.type == "customer.updated" else 0)
        assert set(msgspec.json.decode(newest.body)["data"]["changed"]) == {"contacts", "identities"}

    told(tmp_path, "aes", before)
    told(tmp_path, turn(tmp_path), after)


def test_what_is_written_after_keys_turned_is_of_the_current_keys(tmp_path: Path) -> None:
    """A record that is changed needs no other re-sealing, in none of its fields."""

    async def before(desk: Desk) -> None:
        await desk.say("members", member("C1", 1))

    async def after(desk: Desk) -> None:
        await desk.say("members", {**member("C1", 2), "phone": "13900139000"})
        (row,) = await desk.ground.records.rows("customer", limit=9)
        tokens = list(_tokens(msgspec.json.decode(row.body)))
        assert len(tokens) >= 3
        assert all(desk.ground.vault.current(token) for token in tokens)

    told(tmp_path, "aes", before)
    rotated(tmp_path)
    told(tmp_path, "aes", after)


def test_merge_is_undone_whole_though_keys_turned_since(tmp_path: Path) -> None:
    """What the merge brought goes, and what was there before stays."""
    names: dict[str, str] = {}

    async def before(desk: Desk) -> None:
        await desk.say("members", member("C1", 1))
        await desk.say("members", {**member("C2", 2), "email": "c2@example.com"})
        (pair,) = await desk.ground.records.candidates()
        names["survivor"] = await desk.settler.merge(pair)

    async def after(desk: Desk) -> None:
        # The survivor is written with the new key before the merge is undone.
        await desk.say("members", {**member("C1", 3), "phone": "13900139000"})
        (merge,) = await desk.ground.records.merges(names["survivor"])
        await desk.settler.unmerge(merge)
        rows = {row.id: msgspec.json.decode(row.body) for row in await desk.ground.records.rows("customer", limit=9)}
        kept = [
            desk.ground.vault.open_text(point["value"]["$sealed"], f"{merge.survivor}/contacts.value")
            for point in rows[merge.survivor]["contacts"]
        ]
        assert sorted(kept) == ["+8613800138000", "+8613900139000"]
        assert len(rows[merge.loser]["contacts"]) == 2

    told(tmp_path, "aes", before)
    rotated(tmp_path)
    told(tmp_path, "aes", after)


def test_newer_key_is_met_before_anything_is_sealed(tmp_path: Path) -> None:
    """A worker that started before a rotation would otherwise seal half of a batch with the old key and see changes that are none."""
    way = vaults.Way(path=tmp_path / "keys.json")
    worker = vaults.open_vault(way)
    rows = [row_of("cus_1", worker)]
    worker.keep()
    vaults.rotate(way)
    other = vaults.open_vault(way)
    rows.append(row_of("cus_2", other))
    other.keep()
    stored = Renewal(rows, (), worker)
    first, second = (stored.body(row) for row in rows)
    assert all(token.startswith("k2") for token in _tokens([first, second]))
    assert first == vault.body(Customer(name="张三"), "cus_1", worker)
    assert second == msgspec.json.decode(rows[1].body)


def test_erased_body_stays_as_it_is(tmp_path: Path) -> None:
    """Nobody can open it, so nobody can seal it again; whoever changes the record is not held up by it."""
    way = vaults.Way(path=tmp_path / "keys.json")
    here = vaults.open_vault(way)
    row = row_of("cus_1", here)
    here.keep()
    here.forget(["cus_1"])
    vaults.rotate(way)
    assert Renewal([row], (), vaults.open_vault(way)).body(row) == msgspec.json.decode(row.body)


def test_free_text_is_not_taken_for_a_token(tmp_path: Path) -> None:
    """A partner may write what it likes."""
    here = vaults.open_vault(vaults.Way(path=tmp_path / "keys.json"))
    row = msgspec.structs.replace(
        row_of("cus_1", here), body=msgspec.json.encode({"id": "cus_1", "remark": '{"$sealed":"k9.contact.AAAA"}'})
    )
    assert Renewal([row], (), here).body(row)["remark"] == '{"$sealed":"k9.contact.AAAA"}'


def row_of(name: str, keys: vault.Vault) -> Row:
    """A customer's row with one sealed field."""
    body = vault.body(Customer(name="张三"), name, keys)
    return Row(
        id=name, kind="customer", key=b"", account="erp", customer=None, unit=None, at=0, version=None, sequence=1, created=0,
        updated=0, body=msgspec.json.encode(body),
    )  # fmt: skip


def _tokens(node: Any) -> list[str]:
    if isinstance(node, list):
        return [token for one in node for token in _tokens(one)]
    if not isinstance(node, dict):
        return []
    if "$sealed" in node:
        return [node["$sealed"]]
    return [token for one in node.values() for token in _tokens(one)]


def test_key_service_that_is_away_holds_the_worker_and_kills_no_entry(tmp_path: Path) -> None:
    """A worker that meets a key which it cannot have for now goes on when it can; nothing becomes a dead letter."""

    async def story(service: KeyService, tree: settings.Settings) -> None:
        worker = app.open_ground(tree)
        desk = Desk(worker)
        await desk.say("members", member("C1", 1))
        vaults.rotate(app.keys_of(tree))
        door = app.open_ground(tree)
        request = Request(
            body=msgspec.json.encode({**member("C1", 2), "phone": "13900139000"}),
            headers={"content-type": "application/json"},
            peer="127.0.0.1",
            received_at=door.clock.now(),
        )
        assert (await Desk(door)._receiver.accept("members", request)).status == 202
        service.answer = lambda _: (503, b"")
        with pytest.raises(VaultDown):
            await desk._projector.step(Lane.LIVE, 0)
        service.answer = None
        assert await desk._projector.step(Lane.LIVE, 0) == 1
        assert await worker.records.dead_letters() == []
        (row,) = await worker.records.rows("customer", limit=9)
        assert len(msgspec.json.decode(row.body)["contacts"]) == 2
        await door.close()
        await worker.close()

    with key_service() as service:
        keys = settings.Vault(url=service.url, token=Secret(TOKEN))
        asyncio.run(story(service, msgspec.structs.replace(tree_in(tmp_path, "aes"), vault=keys)))


def test_secrets_file_that_cannot_be_used_kills_no_entry(tmp_path: Path) -> None:
    """The batch is put off, with the error that says what to do."""

    async def story(desk: Desk) -> None:
        (tmp_path / "secrets.db").write_bytes(b"no database, whatever its name says" * 100)
        with pytest.raises(StoreError, match="secrets cannot be used"):
            await desk.say("members", member("C1", 1))
        (tmp_path / "secrets.db").unlink()
        assert await desk._projector.step(Lane.LIVE, 0) == 1
        assert await desk.ground.records.dead_letters() == []

    told(tmp_path, "aes", story)
