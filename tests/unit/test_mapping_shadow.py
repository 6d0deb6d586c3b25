"""Shadow runs and what they stand on: the newest entries by a journal's promise alone, and contrasts field by field."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from gateway import mapping
from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.journals.sqlite import open_journal
from gateway.model.lane import Lane
from gateway.model.order import Order
from gateway.model.values import Sensitivity
from gateway.pipeline import backwards, contrast
from gateway.pipeline.contrast import Kind, Outcome
from gateway.pipeline.ledger import Ledger, Tally
from tests.api.kit import House, order, told
from tests.contract.journal import draft
from tests.unit.test_mapping_versions import BROKEN, MENDED, ORDER

ORDERS = mapping.compile_text(ORDER, place="feed/order.yaml", calls={"code_scope": lambda _value, _context: "s"})
CONTEXT = mapping.Context(account="a", zone="Asia/Shanghai", received_at=0)


def _outcome(**fields: str) -> Outcome:
    return Outcome(said=ORDERS.run(order("S1", "C1", **fields), CONTEXT))


# ---------------------------------------------------------------------- newest entries
@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1000])
def test_newest_entries_come_first_none_twice_none_left_out(tmp_path: Path, count: int) -> None:
    """Over two lanes, windows and their edges."""

    async def story() -> None:
        log = open_journal(tmp_path / "journal.db", clock=SystemClock())
        for start in range(0, count, 100):
            some = [
                draft(n, lane=Lane.BULK if n % 3 == 0 else Lane.LIVE) for n in range(start, min(count, start + 100))
            ]
            await log.append(some)
        upto = {(lane, 0): 10_000 if lane is Lane.LIVE else (count + 2) // 3 for lane in Lane}
        upto[Lane.LIVE, 0] = count - upto[Lane.BULK, 0]
        found = [entry async for page in backwards.newest(log, upto, lambda _: True, scan=99_999) for entry in page]
        for lane in Lane:
            positions = [entry.position for entry in found if entry.lane is lane]
            assert positions == list(range(upto[lane, 0], 0, -1))
        await log.close()

    asyncio.run(story())


def test_reading_back_ends_after_so_many_entries_and_below_what_was_purged(tmp_path: Path) -> None:
    """A journal of millions is not walked for a mapping that hardly speaks."""

    async def story() -> None:
        log = open_journal(tmp_path / "journal.db", clock=SystemClock())
        await log.append([draft(n, at=n) for n in range(2000)])
        looked = [0]

        def wanted(_entry: object) -> bool:
            looked[0] += 1
            return False

        assert [page async for page in backwards.newest(log, {(Lane.LIVE, 0): 2000}, wanted, scan=600)] == []
        assert looked[0] == 600
        await log.purge(1500, {(Lane.LIVE, 0): 2000})
        found = [page async for page in backwards.newest(log, {(Lane.LIVE, 0): 2000}, lambda _: True, scan=99_999)]
        assert sum(len(page) for page in found) == 500
        await log.close()

    asyncio.run(story())


# ---------------------------------------------------------------------- contrasts
def test_equal_outcomes_are_the_same_and_others_name_their_fields() -> None:
    """Nothing but what moved."""
    assert contrast.contrast(_outcome(), _outcome()).kind is Kind.SAME
    found = contrast.contrast(_outcome(), _outcome(total="12.00"))
    assert (found.kind, found.fields, found.moves) == (Kind.DIFFERS, ("order.money.payable.amount",), ())


def test_status_that_moves_is_told_with_both_words() -> None:
    """And an unknown that appears or goes is a kind of its own, before a mere difference."""
    found = contrast.contrast(_outcome(status="packed"), _outcome(status="paid"))
    assert found.kind is Kind.FIXED_UNKNOWN
    assert ("order.lifecycle", "unknown", "confirmed") in [(one.axis, one.before, one.after) for one in found.moves]
    assert contrast.contrast(_outcome(status="paid"), _outcome(status="packed")).kind is Kind.NEW_UNKNOWN


def test_faults_are_compared_without_looking_at_records() -> None:
    """New, mended, or on both sides."""
    bad, good = Outcome(fault="payload.value x"), _outcome()
    assert contrast.contrast(good, bad).kind is Kind.NEW_ERROR
    assert contrast.contrast(bad, good).kind is Kind.FIXED_ERROR
    assert contrast.contrast(bad, bad).kind is Kind.BOTH_FAIL


def test_facets_carry_the_class_of_every_text() -> None:
    """As the model declares it, however deep; identities are contact data."""
    facets = contrast.facets(_outcome(phone="13800138000").said)
    assert facets["order.external_id"].sensitivity is Sensitivity.PUBLIC
    assert facets["order.identities[phone].value"].sensitivity is Sensitivity.CONTACT
    assert facets["order.customer.contacts[0].value"].sensitivity is Sensitivity.CONTACT
    assert facets["order.customer.contacts[0].kind"].sensitivity is Sensitivity.PUBLIC
    sealed = {name for name, one in facets.items() if one.sensitivity is not Sensitivity.PUBLIC}
    assert not any("13800138000" in str(one.value) for name, one in facets.items() if name not in sealed)


def test_two_records_of_a_kind_are_told_apart() -> None:
    """An entry may assert several."""
    record = Order(external_id="1")
    said = [mapping.Mapped(kind="order", record=record), mapping.Mapped(kind="order", record=Order(external_id="2"))]
    assert {"order.external_id", "order#2.external_id"} <= contrast.facets(said).keys()


# ---------------------------------------------------------------------- what is kept
def test_tally_is_bounded_and_holds_no_value() -> None:
    """Ten thousand different faults and fields cost no more than two hundred."""
    tally, known = Tally(), set[int]()
    for n in range(10_000):
        found = contrast.Contrast(kind=Kind.NEW_ERROR, fields=(f"order.f{n}",), fault=f"fault {n}")
        tally.add(f"ent_{n}", "erp", found, known)
    assert (tally.entries, len(tally.fields), len(tally.faults)) == (10_000, 200, 200)
    assert [one.entry for one in tally.samples] == [f"ent_{n}" for n in range(9988, 10_000)]
    moved = contrast.contrast(_outcome(status="packed"), _outcome(status="paid"))
    tally.add("ent_x", "erp", moved, known)
    tally.add("ent_y", "erp", moved, known)
    assert tally.moved == 1
    assert b"S1" not in msgspec.json.encode(tally)


def test_raw_values_are_bounded_and_begun_anew_with_another_live_version() -> None:
    """The hundred and first different value of a field counts with all that follow."""
    ledger = Ledger(connector="feed", stem="order")
    for n in range(150):
        ledger.unknown("lifecycle", f"raw {n}" * 30, at=n, entry="ent_1")
    assert len(ledger.unknowns) == 101
    assert (ledger.unknowns[-1].raw, ledger.unknowns[-1].count) == ("…", 50)
    assert max(len(one.raw) for one in ledger.unknowns) == 60
    assert ledger.meet(3, 0, 0)
    assert ledger.unknowns == []


# ---------------------------------------------------------------------- runs
def test_run_counts_every_kind_and_says_when_it_is_done(tmp_path: Path) -> None:
    """Against what is live; entries of other mappings are passed over."""

    async def story(house: House) -> None:
        for n in range(30):
            await house.say("orders", order(f"S{n}", "C1", status="packed" if n % 3 == 0 else "paid"))
        await house.say("members", {"customer_code": "C1", "updated_at": "2026-11-11 00:00:01"})
        maps, shadows = house.desk.mappings, house.desk.shadows
        await maps.add("feed", "order", MENDED, by="t")
        asked = await shadows.ask("feed", "order", 1, most=20, by="t")
        assert (asked.state, asked.names) == ("waiting", ("feed/order@1", "feed/order@1.1"))
        assert await shadows.step()
        assert not await shadows.step()
        run = await shadows.get("feed", "order", asked.id)
        assert run is not None
        assert (run.state, run.read, run.share) == ("done", 20, 100)
        assert run.tally.of(Kind.FIXED_UNKNOWN) + run.tally.of(Kind.SAME) == 20
        assert run.tally.moved == run.tally.of(Kind.FIXED_UNKNOWN)
        await maps.versions.add(msgspec.structs.replace(await maps.version("feed", "order", 1), text=BROKEN))
        await shadows.ask("feed", "order", 2, most=500, by="t")
        await shadows.step()
        newest = (await shadows.of("feed", "order"))[0]
        assert (newest.read, newest.tally.of(Kind.NEW_ERROR)) == (30, 30)
        assert "stored/2/feed/order.yaml" in next(iter(newest.tally.faults))
        # Nothing was written by any of it.
        assert await house.ground.records.dead_letters() == []

    told(tmp_path, story)


def test_run_that_cannot_begin_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    """Not found by somebody who waits for it."""

    async def story(house: House) -> None:
        shadows = house.desk.shadows
        with pytest.raises(ConfigError, match="no stored version 7"):
            await shadows.ask("feed", "order", 7, most=20, by="t")
        await house.desk.mappings.add("feed", "order", "version: 1\n", by="t")
        with pytest.raises(ConfigError):
            await shadows.ask("feed", "order", 1, most=20, by="t")
        with pytest.raises(ConfigError, match="1 to 5000"):
            await shadows.ask("feed", "order", 0, most=9999, by="t")
        assert not await shadows.step()

    told(tmp_path, story)
