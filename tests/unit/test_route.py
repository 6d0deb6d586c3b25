"""Who hears of what."""

from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.destination import Endpoint
from gateway.errors import ConfigError
from gateway.meters import Meters
from gateway.model.secret import Secret
from gateway.pipeline import filters
from gateway.pipeline.route import Router, matches
from gateway.pipeline.units import Units
from gateway.store import EventRow, Row


@pytest.mark.parametrize(
    ("pattern", "kind", "expected"),
    [
        ("*", "order.paid", True),
        ("order.*", "order.paid", True),
        ("order.paid", "order.paid", True),
        ("order.*", "orders.paid", False),
        ("order.*", "order", False),
        ("order", "order.paid", False),
        ("order.p*", "order.paid", False),
        ("*.paid", "order.paid", False),
        ("order.paid", "order.paid.twice", False),
        ("", "order.paid", False),
        ("Order.*", "order.paid", False),
        ("*", "operator.endpoint_disabled", False),
        ("operator.*", "operator.endpoint_disabled", True),
        ("operator.endpoint_disabled", "operator.endpoint_disabled", True),
        ("operator.*", "order.paid", False),
        ("*", "operatornot.a", True),
    ],
)
def test_a_star_stands_for_whole_words_at_the_end(pattern: str, kind: str, expected: bool) -> None:
    """And for everything when it is alone."""
    assert matches(pattern, kind) is expected


def endpoint(name: str, *events: str, ordered: bool = True, **more: Any) -> Endpoint:
    """A subscriber."""
    return Endpoint(
        name=name,
        url="https://x.example",
        events=events,
        secrets=(Secret("s"),),
        grants={},
        schedule=(0.0,),
        ordered=ordered,
        **more,
    )


def event(kind: str, unit: str | None = None, **data: Any) -> EventRow:
    """Something that happened."""
    return EventRow(
        id="evt_1",
        type=kind,
        subject="ord_1",
        sequence=1,
        at=1_760_000_000_000_000,
        account="a",
        entry="ent_1",
        unit=unit,
        body=msgspec.json.encode({"id": "evt_1", "type": kind, "data": data}),
    )


def heard(router: Router, one: EventRow) -> list[str]:
    """Who is sent an event."""
    return [delivery.endpoint for delivery in router.deliveries(one, now=7)]


def test_one_delivery_per_endpoint_that_asked_in_the_order_of_the_config() -> None:
    """However many of its patterns match."""
    router = Router([endpoint("a", "order.*", "order.paid", "*"), endpoint("b", "customer.*"), endpoint("c", "*")])
    deliveries = router.deliveries(event("order.paid"), now=7)
    assert [(one.endpoint, one.event, one.due) for one in deliveries] == [("a", "evt_1", 7), ("c", "evt_1", 7)]
    assert [one.endpoint for one in router.deliveries(event("customer.created"), now=7)] == ["a", "b", "c"]


def test_only_an_endpoint_that_asks_for_order_has_its_subjects_wait() -> None:
    """A delivery without a subject waits for nobody."""
    router = Router([endpoint("a", "*"), endpoint("b", "*", ordered=False)])
    assert [one.subject for one in router.deliveries(event("order.paid"), now=7)] == ["ord_1", None]


def test_routing_again_makes_the_same_deliveries() -> None:
    """A batch repeated after a crash must not deliver twice: ids follow from event and endpoint."""
    first, second = Router([endpoint("a", "*")]), Router([endpoint("z", "x"), endpoint("a", "*")])
    assert first.deliveries(event("order.paid"), now=7)[0].id == second.deliveries(event("order.paid"), now=9)[0].id
    both = Router([endpoint("a", "*"), endpoint("b", "*")]).deliveries(event("order.paid"), now=7)
    assert len({one.id for one in both}) == 2


def test_nobody_asked_nobody_hears() -> None:
    """No endpoints, no deliveries."""
    assert Router([]).deliveries(event("order.paid"), now=7) == []


# ------------------------------------------------------------------ units
def chain() -> Units:
    """A region with a store, and another region."""
    units = Units()
    units.learn([_unit("EAST", "HQ"), _unit("SH01", "EAST"), _unit("WEST", "HQ")])
    return units


def _unit(code: str, parent: str) -> Row:
    body = msgspec.json.encode({"external_id": code, "parent": parent})
    return Row(
        id=f"unt_{code}", kind="unit", key=b"", account="erp", customer=None, unit=code, at=0, version=None, sequence=1, created=0, updated=0,
        body=body,
    )  # fmt: skip


def test_an_endpoint_of_a_unit_hears_of_it_and_what_is_below() -> None:
    """What belongs to no unit is not for a region."""
    ends = [
        endpoint("all", "*"),
        endpoint("hq", "*", unit="HQ"),
        endpoint("east", "*", unit="EAST"),
        endpoint("west", "*", unit="WEST"),
    ]
    router = Router(ends, units=chain())
    assert heard(router, event("order.paid", "SH01")) == ["all", "hq", "east"]
    assert heard(router, event("order.paid", "HQ")) == ["all", "hq"]
    assert heard(router, event("order.paid", "ELSEWHERE")) == ["all"]
    assert heard(router, event("order.paid", None)) == ["all"]


def test_a_store_that_moves_is_heard_by_its_new_region_from_then_on() -> None:
    """The tree is looked at anew for each event."""
    router = Router([endpoint("east", "*", unit="EAST"), endpoint("west", "*", unit="WEST")], units=chain())
    assert heard(router, event("order.paid", "SH01")) == ["east"]
    router.units.learn([_unit("SH01", "WEST")])
    assert heard(router, event("order.paid", "SH01")) == ["west"]


# ------------------------------------------------------------------ filters
def test_a_filter_lets_through_what_it_holds_for() -> None:
    """Beside type and unit, all of which must agree."""
    ends = [
        endpoint("big", "order.*", filter="data.order.total > 100"),
        endpoint("both", "order.*", unit="EAST", filter="data.order.total > 100"),
    ]
    router = Router(ends, units=chain())
    assert heard(router, event("order.paid", "SH01", order={"total": 200})) == ["big", "both"]
    assert heard(router, event("order.paid", "WEST", order={"total": 200})) == ["big"]
    assert heard(router, event("order.paid", "SH01", order={"total": 50})) == []
    assert heard(router, event("customer.created", "SH01", order={"total": 200})) == []


def test_a_filter_that_cannot_be_asked_does_not_match_and_is_counted_and_logged_once() -> None:
    """A field that is not there says no, for this endpoint only."""
    meters = Meters()
    router = Router([endpoint("big", "*", filter="data.order.total > 100"), endpoint("all", "*")], meters=meters)
    with capture_logs() as logs:
        assert heard(router, event("customer.created")) == ["all"]
        assert heard(router, event("customer.created")) == ["all"]
    assert meters.registry.get_sample_value("gateway_filter_faults_total", {"endpoint": "big"}) == 2
    assert [(one["event"], one["endpoint"], one["cause"]) for one in logs] == [
        ("route.filter_failed", "big", "no field 'order'")
    ]


def test_an_event_is_read_only_for_a_filter_and_then_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Converting a whole event costs more than routing it to fifty endpoints."""
    converted = []
    real = filters.context_of
    monkeypatch.setattr(filters, "context_of", lambda body, reaches: converted.append(body) or real(body, reaches))
    ends = [endpoint(f"e{number}", "order.*", unit="EAST", filter=f"sequence != {number}") for number in range(3)]
    router = Router([*ends, endpoint("all", "*")], units=chain())
    heard(router, event("customer.created", "SH01"))
    heard(router, event("order.paid", "WEST"))
    assert converted == []
    heard(router, event("order.paid", "SH01"))
    assert len(converted) == 1


# ------------------------------------------------------------------ live change
def test_replaced_endpoints_are_matched_from_the_next_event_on() -> None:
    """What was remembered of the old ones is forgotten."""
    router = Router([endpoint("a", "*")])
    assert heard(router, event("order.paid")) == ["a"]
    router.replace([endpoint("a", "customer.*"), endpoint("b", "*", filter="type == 'order.paid'")])
    assert heard(router, event("order.paid")) == ["b"]
    assert heard(router, event("customer.created")) == ["a"]


def test_endpoints_with_a_filter_that_cannot_be_used_replace_nothing() -> None:
    """Those that were there go on."""
    router = Router([endpoint("a", "*")])
    with pytest.raises(ConfigError) as caught:
        router.replace([endpoint("b", "*"), endpoint("c", "*", filter="data.")])
    assert caught.value.place == "endpoints.c.filter"
    assert heard(router, event("order.paid")) == ["a"]
