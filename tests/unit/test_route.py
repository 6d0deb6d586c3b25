"""Who hears of what."""

import pytest

from gateway.destination import Endpoint
from gateway.model.secret import Secret
from gateway.pipeline.route import Router, matches
from gateway.store import EventRow


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
    ],
)
def test_a_star_stands_for_whole_words_at_the_end(pattern: str, kind: str, expected: bool) -> None:
    """And for everything when it is alone."""
    assert matches(pattern, kind) is expected


def endpoint(name: str, *events: str, ordered: bool = True) -> Endpoint:
    """A subscriber."""
    return Endpoint(
        name=name,
        url="https://x.example",
        events=events,
        secrets=(Secret("s"),),
        grants={},
        schedule=(0.0,),
        ordered=ordered,
    )


def event(kind: str) -> EventRow:
    """Something that happened."""
    return EventRow(
        id="evt_1",
        type=kind,
        subject="ord_1",
        sequence=1,
        at=1_760_000_000_000_000,
        account="a",
        entry="ent_1",
        unit=None,
        body=b"{}",
    )


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
