"""How one event reads in a timeline."""

from typing import Any

from scrm import reading, timeline
from scrm.lookup import Moment
from scrm.timeline import Entry
from tests.scrm.samples import ORDER, ZHANG, event, order, raw, yuan


def entry(of: dict[str, Any], lang: str = "zh", **changed: Any) -> Entry:
    """An event as the page shows it; Li Ming is a colleague."""
    found = reading.read(raw(of))
    source = found.event.source
    plain: dict[str, Any] = {
        "number": 1, "id": found.event.id, "type": found.event.type, "at": found.happened or found.at, "received": found.at, "account": source.account,
        "connector": source.connector, "subject": found.event.subject, "customer": found.whose, "fate": "applied", "told": found,
    }  # fmt: skip
    return timeline.entry(Moment(**plain | changed), lang, {"liming": "李明"})


def test_an_order_that_is_not_paid_shows_what_is_to_pay_and_a_refund_what_went_back() -> None:
    """A paid sum of nothing is not the sum of the order."""
    money = {"payable": yuan(12800), "paid": yuan(0)}
    assert entry(event("order.created", ORDER, 1, "11-11 00:00", order=order(money=money))).amount == "¥128.00"
    money = {"payable": yuan(12800), "paid": yuan(12800), "refunded": yuan(900)}
    shown = entry(event("order.refunded", ORDER, 2, "11-11 00:00", order=order(money=money)))
    assert (shown.amount, shown.title, shown.lines[0].text) == (
        "¥9.00",
        "已退款",
        "羊绒围巾 驼色 200*70cm × 2，针织帽 米白",
    )
    assert not shown.lines[0].masked


def test_codes_of_connectors_are_put_into_words_and_unknown_ones_shown_as_they_are() -> None:
    """A store manager reads 出院, not discharged."""
    visit = {"id": "int_9", "type": "visit", "direction": "in", "summary": "discharged"}
    told = event("interaction.recorded", "int_9", 1, "11-11 09:00", "hl7", interaction=visit, customer={"id": ZHANG})
    assert [line.text for line in entry(told).lines] == ["出院"] and entry(told).facts == ()
    assert [line.text for line in entry(told, "en").lines] == ["Discharged"]
    tie = {"id": "rel_9", "staff": "liming", "state": "active", "add_way": "telepathy"}
    started = event(
        "relationship.started", "rel_9", 1, "11-11 09:00", "wecom", relationship=tie, customer={"id": ZHANG}
    )
    assert entry(started).facts == ("李明", "联系中", "telepathy")


def test_an_erased_or_unknown_event_still_has_a_line() -> None:
    """What kind it was and when, nothing else."""
    told = event("order.paid", ORDER, 1, "11-11 00:00", order=order())
    bare = entry(told, told=None, fate="late")
    assert (bare.title, bare.amount, bare.lines, bare.late) == ("已付款", "", (), True)
    assert entry(event("loyalty.earned", "loy_1", 1, "11-11 00:00")).title == "loyalty.earned"
