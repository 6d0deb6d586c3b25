"""What events do to the tables, through the inbox and the real file."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.clock import TurnedClock
from gateway.errors import PayloadError, StoreError
from scrm import lookup
from scrm.book import Book
from scrm.inbox import Inbox
from scrm.ledger import Fate
from tests.scrm import samples
from tests.scrm.samples import LI, NOW, ORDER, SECOND, SHADOW, WANG, ZHANG, customer, event, order, raw

T = TypeVar("T")


class Core:
    """A book and its inbox on a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.book = Book(path)
        self.inbox = Inbox(self.book, TurnedClock(NOW))

    async def hear(self, *told: dict[str, Any]) -> list[Fate]:
        """Deliver one after the other."""
        return [await self.inbox.take(each["id"], raw(each)) for each in told]

    async def name(self, who: str = ZHANG) -> object:
        """What the customer is called now."""
        found = await self.book.read(lookup.dossier, who)
        return found.customer.name if found else None

    async def types(self, who: str) -> list[str]:
        """The timeline's event types, newest first."""
        found = await self.book.read(lookup.timeline, who, 50, None)
        return [moment.type for moment in found.items] if found else []

    async def total(self, name: str) -> int:
        """One running total."""
        return (await self.book.read(lookup.totals))[name]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Core], Awaitable[T]]], T]:
    """Runs a scene on a fresh core, and closes it."""

    def play(scene: Callable[[Core], Awaitable[T]]) -> T:
        async def whole() -> T:
            core = Core(tmp_path / "deep" / "scrm.db")
            try:
                return await scene(core)
            finally:
                core.book.close()

        return asyncio.run(whole())

    return play


def test_an_event_sent_twice_changes_nothing_the_second_time(run: Any) -> None:
    """Known by its webhook-id, across batches and within one."""

    async def scene(core: Core) -> None:
        first = event("customer.created", ZHANG, 1, "11-11 09:00", customer=customer())
        other = {
            **event("customer.updated", ZHANG, 2, "11-11 09:01", customer=customer(name=ZHANG) | {"name": "张三丰"}),
            "id": first["id"],
        }
        assert await core.hear(first, first, other) == [Fate.APPLIED, Fate.DUPLICATE, Fate.DUPLICATE]
        second = event("order.paid", ORDER, 1, "11-11 09:02", order=order(), customer={"id": ZHANG})
        fates = await asyncio.gather(*(core.inbox.take(second["id"], raw(second)) for _ in range(20)))
        assert sorted(fate.value for fate in fates) == ["applied"] + ["duplicate"] * 19
        assert await core.name() == "张三"
        assert (await core.total("events"), await core.total("duplicates")) == (2, 21)

    run(scene)


def test_an_older_sequence_never_overwrites_a_newer_one(run: Any) -> None:
    """It keeps its place in the timeline, and closes the gap it left."""

    async def scene(core: Core) -> None:
        newer = event(
            "order.shipped", ORDER, 3, "11-11 09:12", order=order(fulfilment="shipped"), customer={"id": ZHANG}
        )
        first = event("order.created", ORDER, 1, "11-11 00:00", order=order(), customer={"id": ZHANG})
        late = event(
            "order.paid",
            ORDER,
            2,
            "11-11 00:01",
            order=order(fulfilment="none", payment="paid"),
            customer={"id": ZHANG},
        )
        assert await core.hear(first, newer) == [Fate.APPLIED, Fate.APPLIED]
        assert await core.total("gaps") == 1
        assert await core.hear(late) == [Fate.LATE]
        found = await core.book.read(lookup.order, ORDER)
        assert found is not None and found[0].fulfilment.value == "shipped" and found[1] == 3
        assert await core.total("gaps") == 0
        assert await core.types(ZHANG) == ["order.shipped", "order.paid", "order.created"]

    run(scene)


def test_a_merged_customer_keeps_resolving_and_brings_its_past(run: Any) -> None:
    """Orders, timeline, search and identities are asked for under either id."""

    async def scene(core: Core) -> None:
        await core.hear(*samples.story())
        found = await core.book.read(lookup.dossier, SHADOW)
        assert found is not None and found.id == ZHANG and found.merged == (SHADOW,)
        assert {each.id for each in found.orders} == {ORDER, SECOND}
        assert [proof.value for proof in found.identities] == ["wmZhang001"]
        assert "order.refunded" in await core.types(ZHANG)
        assert await core.types(SHADOW) == await core.types(ZHANG)
        listed = await core.book.read(lookup.customers, "", 50, None)
        assert {row.id for row in listed.items} == {ZHANG, LI, WANG}
        assert next(row.orders for row in listed.items if row.id == ZHANG) == 2
        by_order = await core.book.read(lookup.customers, "NJ-20261109-0087", 50, None)
        assert [row.id for row in by_order.items] == [ZHANG]
        assert await core.total("customers") == 3

    run(scene)


def test_what_arrives_for_the_old_id_after_a_merge_is_shown_under_the_new(run: Any) -> None:
    """The gateway may still have had it in flight."""

    async def scene(core: Core) -> None:
        await core.hear(*samples.story())
        await core.hear(
            event("order.paid", "ord_late", 1, "11-11 10:00", order=order("ord_late"), customer={"id": SHADOW})
        )
        assert (await core.types(ZHANG))[0] == "order.paid"
        found = await core.book.read(lookup.order, "ord_late")
        assert found is not None and found[2] == ZHANG

    run(scene)


def test_an_undone_merge_gives_each_their_own_again(run: Any) -> None:
    """Nothing was rewritten, so nothing needs to be restored."""

    async def scene(core: Core) -> None:
        await core.hear(*samples.story())
        kept = event(
            "customer.unmerged", ZHANG, 3, "11-11 10:00", customer=customer(), other={"id": SHADOW}, changed=[]
        )
        mine = {"id": SHADOW, "name": "张三"}
        lost = event("customer.unmerged", SHADOW, 2, "11-11 10:00", customer=mine, other={"id": ZHANG}, changed=[])
        await core.hear(kept, lost)
        found = await core.book.read(lookup.dossier, SHADOW)
        assert found is not None and found.id == SHADOW and [each.id for each in found.orders] == [SECOND]
        assert await core.total("customers") == 4

    run(scene)


def test_merges_chain_and_a_swapped_one_makes_no_cycle(run: Any) -> None:
    """a into b, b into c: all are c. Then c into a, newest word wins: all are a."""

    async def scene(core: Core) -> None:
        def merge(survivor: str, loser: str, sequence: int, at: str) -> dict[str, Any]:
            return event("customer.merged", survivor, sequence, at, customer={"id": survivor}, merged={"id": loser})

        await core.hear(merge("cus_b", "cus_a", 1, "11-11 09:00"), merge("cus_c", "cus_b", 1, "11-11 09:01"))
        assert [(await core.book.read(lookup.survivor, f"cus_{n}")) for n in "abc"] == ["cus_c"] * 3
        swapped = [merge("cus_a", "cus_c", 1, "11-11 09:02"), merge("cus_a", "cus_a", 2, "11-11 09:03")]
        await asyncio.gather(*(core.hear(each) for each in swapped))
        assert [(await core.book.read(lookup.survivor, f"cus_{n}")) for n in "abc"] == ["cus_a"] * 3
        assert await core.total("customers") == 1

    run(scene)


def test_a_mention_never_overrules_what_the_customer_s_own_events_said(run: Any) -> None:
    """It fills what was never said; before any own event, the latest mention counts."""

    async def scene(core: Core) -> None:
        def mention(name: str, sequence: int, at: str, **more: Any) -> dict[str, Any]:
            return event(
                "order.updated", ORDER, sequence, at, order=order(), customer={"id": ZHANG, "name": name, **more}
            )

        await core.hear(mention("张", 1, "11-11 09:00"), mention("张三", 2, "11-11 09:01"))
        assert await core.name() == "张三"
        await core.hear(event("customer.updated", ZHANG, 1, "11-11 09:02", customer=customer()))
        await core.hear(mention("旧名", 3, "11-11 09:03", nickname="三三"))
        found = await core.book.read(lookup.dossier, ZHANG)
        assert found is not None and (found.customer.name, found.customer.nickname) == ("张三", "三三")

    run(scene)


def test_a_masked_value_arrives_masked_and_a_dropped_one_is_absent(run: Any) -> None:
    """Nothing is made up for what was not granted."""

    async def scene(core: Core) -> None:
        await core.hear(*samples.story())
        assert await core.name(LI) == "李*"
        assert not await core.name(WANG)

    run(scene)


def test_a_key_is_shown_while_it_lives_and_without_a_grant_it_has_no_value(run: Any) -> None:
    """The gateway sends what is new; a key it says is retired is no longer shown."""

    async def scene(core: Core) -> None:
        def keys(sequence: int, *identities: dict[str, Any]) -> dict[str, Any]:
            body = {"id": ZHANG, "identities": list(identities)}
            return event("customer.updated", ZHANG, sequence, "11-11 09:00", customer=body)

        async def known() -> list[tuple[str, str]]:
            found = await core.book.read(lookup.dossier, ZHANG)
            return [(key.namespace, key.value) for key in found.identities] if found else []

        one = {"namespace": "hl7.pid3", "scope": "HIS^MR", "value": "00123", "verified": True, "live": True}
        bare = {"namespace": "taobao.ouid", "scope": "shop", "value": {"$sealed": "k.contact.AA"}, "live": True}
        await core.hear(keys(1, one, bare))
        assert await known() == [("hl7.pid3", "00123"), ("taobao.ouid", "")]
        await core.hear(keys(2, one | {"live": False}))
        assert await known() == [("taobao.ouid", "")]

    run(scene)


def test_an_erased_person_is_gone_from_the_file_and_stays_gone(run: Any) -> None:
    """Names, phones and raw events vanish, merged ids and late events included; the sums stay."""

    async def scene(core: Core) -> None:
        await core.hear(*samples.story())
        with_note = order(ship_to_name="张三", ship_to_phone="+8613800138000")
        await core.hear(event("order.updated", ORDER, 4, "11-11 10:00", order=with_note, customer={"id": ZHANG}))
        await core.hear(event("customer.erased", ZHANG, 3, "11-11 10:01", customer={"id": ZHANG, "state": "erased"}))
        await core.hear(
            event("order.updated", ORDER, 5, "11-11 10:02", order=with_note, customer={"id": ZHANG, "name": "张三"})
        )
        await core.hear(event("customer.updated", ZHANG, 4, "11-11 10:03", customer=customer()))
        found = await core.book.read(lookup.dossier, SHADOW)
        assert found is not None and found.state == "erased" and not found.customer.name and found.identities == ()
        assert {each.id for each in found.orders} == {ORDER, SECOND}
        with sqlite3.connect(core.path) as file:
            dump = "\n".join(file.iterdump())
        file.close()
        for secret in ("张三", "13800138000", "喜欢驼色", "皮肤科", "上次看的"):
            assert secret not in dump and secret.encode().hex().upper() not in dump.upper(), secret

    run(scene)


def test_what_was_erased_is_in_no_page_and_no_log(run: Any) -> None:
    """Not only in no row: what a row left behind in the file and its write-ahead log is gone too, and a relationship's name with the ids in it."""

    async def scene(core: Core) -> None:
        await core.hear(*samples.story())
        for sequence in range(40, 60):
            note = order(ship_to_name="张三", ship_to_phone="+8613800138000")
            await core.hear(event("order.updated", ORDER, sequence, "11-11 10:00", order=note, customer={"id": ZHANG}))
        shadow = {
            "id": "rel_1",
            "account": "corp",
            "external_id": "zhangsan:wmAAAA0001",
            "customer": ZHANG,
            "state": "active",
        }
        await core.hear(event("relationship.started", "rel_1", 1, "11-11 10:00", relationship=shadow))
        await core.hear(event("customer.erased", ZHANG, 3, "11-11 10:01", customer={"id": ZHANG, "state": "erased"}))
        # Reading waits for nothing; writing waits for the scrub.
        await core.book.write(lambda _: None)
        content = b"".join(file.read_bytes() for file in core.path.parent.iterdir())
        for secret in ("张三", "13800138000", "喜欢驼色", "皮肤科", "上次看的", "wmAAAA0001"):
            assert secret.encode() not in content, secret
        found = await core.book.read(lookup.dossier, ZHANG)
        assert found is not None and len(found.orders) == 2

    run(scene)


def test_unknown_types_and_fields_are_kept_raw_and_change_nothing(run: Any) -> None:
    """A newer gateway does not break an older SCRM."""

    async def scene(core: Core) -> None:
        strange = {**event("loyalty.earned", "loy_1", 1, "11-11 09:00", loyalty={"points": 3}), "trace": "abc"}
        assert await core.hear(strange) == [Fate.KEPT]
        with sqlite3.connect(core.path) as file:
            assert file.execute("SELECT body FROM events").fetchone() == (raw(strange),)
        file.close()

    run(scene)


def test_arrivals_that_meet_share_a_commit_and_all_are_kept(run: Any) -> None:
    """Two hundred at once for fifty orders: each answered, each in its place, no gap."""

    async def scene(core: Core) -> None:
        several = [
            event(
                "order.updated",
                f"ord_{n % 50}",
                1 + n // 50,
                "11-11 09:00",
                order=order(f"ord_{n % 50}", flags=[str(n // 50)]),
                customer={"id": ZHANG},
            )
            for n in range(200)
        ]
        fates = await asyncio.gather(*(core.inbox.take(each["id"], raw(each)) for each in several))
        assert set(fates) == {Fate.APPLIED}
        assert (await core.total("events"), await core.total("orders"), await core.total("gaps")) == (200, 50, 0)
        found = await core.book.read(lookup.order, "ord_7")
        assert found is not None and found[1] == 4 and found[0].flags == ("3",)

    run(scene)


def test_a_request_that_goes_away_leaves_its_event_and_its_neighbours(run: Any) -> None:
    """The sender hung up; what it sent is kept, and those who waited with it are answered."""

    async def scene(core: Core) -> None:
        one, two = (event("order.created", f"ord_{n}", 1, "11-11 09:00", order=order(f"ord_{n}")) for n in "12")
        gone = asyncio.ensure_future(core.inbox.take(one["id"], raw(one)))
        stays = asyncio.ensure_future(core.inbox.take(two["id"], raw(two)))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays is Fate.APPLIED
        assert await core.hear(one) == [Fate.DUPLICATE]

    run(scene)


def test_what_was_answered_is_there_after_reopening(tmp_path: Path) -> None:
    """The file alone carries it, sequences included."""

    async def scene() -> None:
        core = Core(tmp_path / "scrm.db")
        await core.hear(*samples.story())
        before = await core.types(ZHANG)
        core.book.close()
        again = Core(tmp_path / "scrm.db")
        assert await again.types(ZHANG) == before
        assert await again.hear(*samples.story()) == [Fate.DUPLICATE] * len(samples.story())
        again.book.close()

    asyncio.run(scene())


def test_a_full_or_locked_file_is_a_store_error_and_nothing_is_half_done(run: Any) -> None:
    """The sender is told to come again, and coming again works."""

    async def scene(core: Core) -> None:
        one = event("order.created", ORDER, 1, "11-11 09:00", order=order(), customer={"id": ZHANG})
        with sqlite3.connect(core.path) as file:
            file.execute("CREATE TRIGGER full BEFORE INSERT ON totals BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        with pytest.raises(StoreError):
            await core.hear(one)
        assert await core.book.read(lookup.order, ORDER) is None
        file.execute("DROP TRIGGER full")
        file.close()
        assert await core.hear(one) == [Fate.APPLIED]

    run(scene)


def test_a_body_that_is_no_event_is_refused_before_anything_is_written(run: Any) -> None:
    """A payload error for the sender."""

    async def scene(core: Core) -> None:
        with pytest.raises(PayloadError):
            await core.inbox.take("evt_x", b"{}")
        assert await core.total("events") == 0

    run(scene)


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    """Rather than guessed at."""
    with sqlite3.connect(tmp_path / "scrm.db") as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(StoreError, match="version 99"):
        Book(tmp_path / "scrm.db")


def test_a_list_goes_on_where_it_stopped(run: Any) -> None:
    """Every customer once, whatever the page size; a cursor that is none is an error."""

    async def scene(core: Core) -> None:
        await core.hear(
            *(
                event("customer.created", f"cus_{n}", 1, f"11-11 09:0{n % 3}", customer={"id": f"cus_{n}"})
                for n in range(7)
            )
        )
        seen: list[str] = []
        after: str | None = None
        while True:
            page = await core.book.read(lookup.customers, "", 3, after)
            seen += [row.id for row in page.items]
            if (after := page.next) is None:
                break
        assert sorted(seen) == [f"cus_{n}" for n in range(7)]
        with pytest.raises(ValueError, match="cursor"):
            await core.book.read(lookup.customers, "", 3, "'; DROP TABLE")

    run(scene)
