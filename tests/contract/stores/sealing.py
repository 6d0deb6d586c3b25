"""One customer's records, and the sealed bodies of every table."""

from pathlib import Path

import msgspec
import pytest

from gateway.clock import TurnedClock
from gateway.store import SEALED_TABLES, Batch, Booked, Merge, Store, Superseded
from tests.contract.stores.actions import action
from tests.contract.stores.samples import (
    NOW,
    StoreTests,
    batch_of,
    delivery,
    edge,
    errand,
    event,
    ids,
    key,
    outcome,
    reject,
    row,
    take,
)

KEYS = {
    "records": ["ord_1", "ord_2"],
    "events": ["evt_1", "evt_2"],
    "superseded": ["ord_1/1", "ord_2/2"],
    "merges": ["mrg_1"],
    "edges": [f"cus_1/{key('b').hex()}", f"cus_2/{key('a').hex()}"],
    "attempts": [f"dlv_1/{NOW}/att_dlv_1_0"],
    "rejects": ["rej_1"],
    "errands": [f"shop/trade/{key('c').hex()}", f"shop/trade/paid/{key('d').hex()}"],
    "booked": ["crm"],
    "actions": ["act_1"],
}


async def fill(store: Store) -> None:
    """Something sealed in every table, and something that is empty where that may be."""
    late = Superseded(record="ord_1", entry="ent_1", at=0, received=NOW, body=b"late 1")
    later = Superseded(record="ord_2", entry="ent_1", at=0, received=NOW, body=b"late 2")
    await store.apply(
        Batch(
            rows=[row("ord_2", body=b"order 2"), row("ord_1", body=b"order 1")],
            edges=[edge("a", "cus_2", value="token a"), edge("b", "cus_1", value="token b")],
            merges=[Merge(id="mrg_1", survivor="cus_1", loser="cus_2", at=NOW, reason="strong", before=b"before")],
            superseded=[late, later],
            errands=[errand("c", key="token c"), errand("d", topic="trade/paid", key="token d")],
            events=[event("evt_2", body=b"event 2")],
        )
    )
    await store.apply(batch_of(delivery("dlv_1"), delivery("dlv_2")))
    for one in await take(store):
        done = outcome(one)
        assert done.attempt is not None
        silent = msgspec.structs.replace(done.attempt, response=None)
        await store.finish([done if one.delivery.id == "dlv_1" else msgspec.structs.replace(done, attempt=silent)])
    await store.reject([reject("rej_1"), msgspec.structs.replace(reject("rej_2"), body=None)], keep=9)
    for name, body in (("act_1", b"asked"), ("act_2", b"")):
        await store.commission(action(name, body=body))
    for name, secrets in (("crm", b"secrets"), ("bi", b"")):
        await store.book(
            Booked(name=name, version=1, document=b"{}", secrets=secrets, paused=False, updated=NOW), before=0
        )


class Sealing(StoreTests):
    """What erasing and sealing anew walk."""

    def test_records_of_a_customer_are_its_own_row_and_all_that_point_at_it(self, place: Path) -> None:
        """Of every kind, its own first."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            mine = [row("int_1", kind="interaction", customer="cus_1"), row("ord_2", customer="cus_1")]
            own = row("cus_1", kind="customer")
            await store.apply(Batch(rows=[*mine, row("ord_3", customer="cus_2"), row("ord_4"), own]))
            assert await store.records_of("cus_1") == [own, *mine]
            assert ids(await store.records_of("cus_2")) == ["ord_3"]
            assert not await store.records_of("cus_9")

        self.run(place, scenario)

    def test_every_sealed_table_is_walked_by_keys_that_name_their_rows(self, place: Path) -> None:
        """In order, page by page; what is empty is left out."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await fill(store)
            assert set(KEYS) == set(SEALED_TABLES)
            for table, keys in KEYS.items():
                found = await store.bodies(table)
                assert [name for name, _ in found] == keys, table
                walked: list[tuple[str, bytes]] = []
                while some := await store.bodies(table, after=walked[-1][0] if walked else "", limit=1):
                    walked += some
                assert walked == found, table
            assert await store.bodies("edges") == [(KEYS["edges"][0], b"token b"), (KEYS["edges"][1], b"token a")]
            assert [body for _, body in await store.bodies("errands")] == [b"token c", b"token d"]

        self.run(place, scenario)

    @pytest.mark.parametrize("table", SEALED_TABLES)
    def test_new_body_is_put_only_where_the_old_one_still_is(self, place: Path, table: str) -> None:
        """A worker may have written meanwhile, and what it wrote is newer."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await fill(store)
            found = await store.bodies(table)
            name, old = found[0]
            assert await store.rebody(table, [(name, b"not this", b"x")]) == 0
            assert await store.rebody(table, [(one, body, b"new " + body) for one, body in found]) == len(found)
            assert await store.rebody(table, [(name, old, b"late")]) == 0
            assert await store.bodies(table) == [(one, b"new " + body) for one, body in found]

        self.run(place, scenario)

    def test_new_bodies_are_what_others_read(self, place: Path) -> None:
        """The row itself is not touched otherwise."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await fill(store)
            await store.rebody("records", [("ord_1", b"order 1", b"new")])
            await store.rebody("edges", [(KEYS["edges"][1], b"token a", b"token z")])
            assert await store.rows("order", limit=1) == [row("ord_1", body=b"new")]
            assert await store.edges(key("a")) == [edge("a", "cus_2", value="token z")]

        self.run(place, scenario)
