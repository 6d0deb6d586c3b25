"""How a record changes: the version rule, people from many sources, flags, and what a change is called."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import clock
from gateway.pipeline import change
from gateway.pipeline.change import CLOCKS, Body, Change, Verdict

SOURCE = "erp/order"


def apply(body: Body | None, patch: Body, at: int, version: int | None = None, source: str = SOURCE) -> Change:
    """One update."""
    return change.change(body, patch, source=source, at=at, version=version)


def money(fen: int) -> Body:
    """An amount."""
    return {"amount": fen, "currency": "CNY"}


# ------------------------------------------------------------------ the version rule
snapshots = st.fixed_dictionaries(
    {
        "lifecycle": st.sampled_from(sorted(change.AXES["lifecycle"])),
        "payment": st.sampled_from(sorted(change.AXES["payment"])),
        "money": st.fixed_dictionaries({"paid": st.integers(0, 999).map(money)}),
        "lines": st.integers(0, 99).map(lambda price: [{"line_no": "1", "price": money(price)}]),
    }
)


def settled(body: Body | None) -> Body:
    """A body without what tells of its past."""
    assert body is not None
    return {field: value for field, value in body.items() if field not in ("flags",)}


@given(st.lists(snapshots, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_updates_of_one_source_end_the_same_whatever_order_they_arrive_in(said: list[Body], dice: Any) -> None:
    """With distinct source times the newest stands."""
    updates = list(enumerate(said))
    expected = None
    for at, patch in updates:
        expected = apply(expected, patch, at).body
    dice.shuffle(updates)
    body = None
    for at, patch in updates:
        body = apply(body, patch, at).body
    assert settled(body) == settled(expected)


@given(st.lists(snapshots, min_size=1, max_size=6), st.integers(0, 5))
def test_an_update_that_comes_again_changes_nothing(said: list[Body], which: int) -> None:
    """The last one again is a duplicate, an earlier one is that or superseded; the body stays as it is."""
    body = None
    for at, patch in enumerate(said):
        body = apply(body, patch, at).body
    at = min(which, len(said) - 1)
    again = apply(body, said[at], at)
    assert again.verdict in (Verdict.DUPLICATE, Verdict.SUPERSEDED)
    assert (again.body, again.changed) == (body, ())
    assert apply(body, said[-1], len(said) - 1).verdict is Verdict.DUPLICATE


def test_a_newer_update_applies_and_names_what_moved() -> None:
    """In alphabetical order, without the bookkeeping."""
    first = apply(None, {"payment": "unpaid", "lifecycle": "created", "channel": "feed"}, 1)
    assert (first.verdict, first.changed) == (Verdict.NEW, ("channel", "lifecycle", "payment"))
    second = apply(first.body, {"payment": "paid", "lifecycle": "confirmed", "updated_at": "x"}, 2)
    assert (second.verdict, second.changed) == (Verdict.UPDATED, ("lifecycle", "payment"))
    assert second.body["channel"] == "feed", "what an update does not say stays"


def test_an_older_update_is_superseded() -> None:
    """It changes nothing, not even a field that nobody had spoken of."""
    body = apply(None, {"payment": "paid"}, 5).body
    late = apply(body, {"payment": "unpaid", "channel": "feed"}, 4)
    assert (late.verdict, late.body) == (Verdict.SUPERSEDED, body)


def test_a_source_version_counts_more_than_a_source_time() -> None:
    """Where both updates carry one."""
    body = apply(None, {"payment": "paid"}, 5, version=2).body
    assert apply(body, {"payment": "refunded"}, 1, version=3).verdict is Verdict.UPDATED
    assert apply(body, {"payment": "unpaid"}, 9, version=1).verdict is Verdict.SUPERSEDED
    assert apply(body, {"payment": "refunded"}, 9).verdict is Verdict.UPDATED, "without a version, time decides"


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ({"payment": "unpaid"}, {"payment": "paid"}, Verdict.UPDATED),
        ({"payment": "paid"}, {"payment": "unpaid"}, Verdict.SUPERSEDED),
        ({"payment": "paid", "channel": "a"}, {"payment": "paid", "channel": "b"}, Verdict.UPDATED),
    ],
)
def test_at_the_same_time_the_further_state_stands(old: Body, new: Body, verdict: Verdict) -> None:
    """Two updates within one second: the one that is further along applies, whichever came first."""
    assert apply(apply(None, old, 1).body, new, 1).verdict is verdict


def test_a_duplicate_with_a_newer_time_moves_the_clock_only() -> None:
    """Otherwise something in between, arriving late, would apply."""
    body = apply(None, {"payment": "paid"}, 1).body
    again = apply(body, {"payment": "paid"}, 9)
    assert (again.verdict, again.changed) == (Verdict.DUPLICATE, ())
    assert again.body[CLOCKS][SOURCE] == [9, None]
    assert apply(again.body, {"payment": "unpaid"}, 5).verdict is Verdict.SUPERSEDED


def test_each_mapping_of_an_account_has_a_clock_of_its_own() -> None:
    """What the trade says does not outdate what the refund says."""
    body = apply(None, {"payment": "paid"}, 9, source="shop/trade").body
    assert apply(body, {"aftersale": "open"}, 5, source="shop/refund").verdict is Verdict.UPDATED


def test_parts_are_told_by_their_keys() -> None:
    """A line that is said again is that line; others stay."""
    body = apply(None, {"lines": [{"line_no": "1", "sku": "A"}, {"line_no": "2", "sku": "B"}]}, 1).body
    done = apply(body, {"lines": [{"line_no": "2", "title": "面霜"}]}, 2)
    assert done.body["lines"] == [{"line_no": "1", "sku": "A"}, {"line_no": "2", "sku": "B", "title": "面霜"}]


# ------------------------------------------------------------------ flags
def test_a_step_back_with_a_newer_time_applies_and_is_flagged_once() -> None:
    """The flag belongs to the change: the next step forward clears it."""
    body = apply(None, {"lifecycle": "processing"}, 1).body
    back = apply(body, {"lifecycle": "created"}, 2)
    assert (back.verdict, back.body["flags"]) == (Verdict.UPDATED, ["regressed"])
    assert apply(back.body, {"lifecycle": "completed"}, 3).body["flags"] == []


@pytest.mark.parametrize(
    ("said", "flag"),
    [
        ({"items": 100, "discounts": 10, "shipping": 5, "tax": 1, "adjust": -2, "payable": 94}, None),
        ({"items": 100, "discounts": 10, "shipping": 5, "tax": 1, "adjust": -2, "payable": 93}, "sum_mismatch"),
        ({"items": 100, "payable": 100, "paid": 100, "refunded": 100}, None),
        ({"paid": 100, "refunded": 101}, "refund_exceeds_paid"),
        ({"payable": 100}, None),
    ],
)
def test_sums_that_do_not_add_up_are_flagged(said: dict[str, int], flag: str | None) -> None:
    """Flagged, applied, never corrected."""
    done = apply(None, {"money": {name: money(fen) for name, fen in said.items()}}, 1)
    assert done.body.get("flags", []) == ([flag] if flag else [])


def test_an_unknown_state_is_flagged() -> None:
    """So that a person sees it."""
    assert apply(None, {"payment": "unknown"}, 1).body["flags"] == ["unknown_status"]


# ------------------------------------------------------------------ people
said_of_people = st.lists(
    st.tuples(
        st.sampled_from(("erp", "crm", "his")),
        st.dictionaries(
            st.sampled_from(("name", "gender", "birthday", "tags")), st.sampled_from(("甲", "乙", None)), min_size=1
        ),
    ),
    min_size=1,
    max_size=6,
)


def person(updates: list[tuple[int, str, Body]]) -> Body:
    """A customer after these updates, in this order."""
    body = None
    for at, account, patch in updates:
        body = change.change_person(
            body, {"id": "cus_1", **patch}, account=account, at=clock.text(at * clock.SECOND)
        ).body
    assert body is not None
    return body


@given(said_of_people, st.randoms(use_true_random=False))
def test_sources_may_speak_of_one_person_in_any_order(said: list[tuple[str, Body]], dice: Any) -> None:
    """Per field the newest source time stands, and the provenance says whose it is."""
    updates = [(at, account, patch) for at, (account, patch) in enumerate(said)]
    expected = person(updates)
    dice.shuffle(updates)
    assert person(updates) == expected


@given(st.permutations(range(4)))
def test_contacts_are_the_union_of_what_sources_said(order: list[int]) -> None:
    """Verified stays verified, and nothing is there twice."""
    points = [
        {"kind": "phone", "value": {"$sealed": "a"}, "verified": False},
        {"kind": "phone", "value": {"$sealed": "a"}, "verified": True},
        {"kind": "email", "value": {"$sealed": "b"}, "verified": False},
        {"kind": "address", "address": {"line": {"$sealed": "c"}}, "verified": False},
    ]
    body = person([(at, "erp", {"contacts": [points[at]]}) for at in order])
    found = sorted((point["kind"], point["verified"]) for point in body["contacts"])
    assert found == [("address", False), ("email", False), ("phone", True)]


def test_a_person_of_whom_the_same_is_said_again_does_not_change() -> None:
    """A duplicate is nobody's news."""
    first = change.change_person(None, {"name": "张三"}, account="erp", at=clock.text(1))
    assert first.verdict is Verdict.NEW
    again = change.change_person(first.body, {"name": "张三"}, account="erp", at=clock.text(1))
    assert (again.verdict, again.body) == (Verdict.DUPLICATE, first.body)


def test_an_older_word_on_one_field_does_not_keep_another_from_being_set() -> None:
    """Fields have clocks of their own."""
    body = person([(5, "crm", {"name": "张三"}), (3, "erp", {"name": "李四", "gender": "male"})])
    assert (body["name"], body["gender"]) == ("张三", "male")


def test_neither_state_nor_merger_is_anybodys_to_assert() -> None:
    """A source cannot un-merge or erase a customer by saying so."""
    body = person([(1, "erp", {"name": "张三"}), (2, "erp", {"state": "erased", "merged_into": "cus_2"})])
    assert body["state"] == "active"
    assert "merged_into" not in body


# ------------------------------------------------------------------ what a change is called
ORDER = {"lifecycle": "created", "payment": "unpaid", "fulfilment": "none", "aftersale": "none"}


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (None, {}, "order.created"),
        (None, {"payment": "paid"}, "order.paid"),
        ({}, {"payment": "paid"}, "order.paid"),
        ({}, {"payment": "partially_paid"}, "order.updated"),
        ({}, {"fulfilment": "partially_shipped"}, "order.shipped"),
        ({"payment": "paid"}, {"payment": "paid", "fulfilment": "shipped"}, "order.shipped"),
        ({}, {"fulfilment": "delivered", "payment": "paid"}, "order.delivered"),
        ({}, {"lifecycle": "completed", "fulfilment": "delivered"}, "order.completed"),
        ({}, {"lifecycle": "cancelled"}, "order.cancelled"),
        ({"payment": "paid"}, {"payment": "refunded", "lifecycle": "closed"}, "order.refunded"),
        ({"payment": "paid"}, {"payment": "partially_refunded"}, "order.refunded"),
        ({}, {"aftersale": "open"}, "order.aftersale"),
        ({}, {"aftersales": [{"external_id": "1"}]}, "order.aftersale"),
        ({}, {"channel": "feed"}, "order.updated"),
        (None, {"payment": "unknown"}, "order.created"),
    ],
)
def test_an_orders_change_is_called_by_its_most_specific_name(old: Body | None, new: Body, kind: str) -> None:
    """Money back before anything else, then endings, then steps."""
    before = None if old is None else {**ORDER, **old}
    assert change.event_type("order", before, {**ORDER, **new}) == kind


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (None, "booked", "booked"),
        ("booked", "rescheduled", "changed"),
        ("booked", "cancelled", "cancelled"),
        (None, "cancelled", "cancelled"),
        ("arrived", "completed", "completed"),
        ("cancelled", "cancelled", "changed"),
    ],
)
def test_an_appointments_change(old: str | None, new: str, kind: str) -> None:
    """Endings have names of their own."""
    before = None if old is None else {"status": old}
    assert change.event_type("appointment", before, {"status": new}) == f"appointment.{kind}"


def test_a_relationships_change() -> None:
    """Started and ended by crossing between the live states and the others; what moves inside is an update."""
    live, gone = ("active", "pending"), ("removed_by_customer", "removed_by_staff", "blocked", "transferred")
    for old, new in itertools.product((None, *live, *gone), (*live, *gone)):
        was = old in live
        expected = (
            "started" if new in live and not was else "ended" if new in gone and (was or old is None) else "updated"
        )
        before = None if old is None else {"state": old}
        assert change.event_type("relationship", before, {"state": new}) == f"relationship.{expected}"


def test_subscribers_do_not_see_the_bookkeeping() -> None:
    """Clocks, provenance and who was kept apart are ours."""
    body = {"id": "cus_1", "name": "张三", CLOCKS: {}, change.APART: ["cus_2"], "provenance": {}}
    assert change.published(body) == {"id": "cus_1", "name": "张三"}
