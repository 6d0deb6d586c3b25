"""From an ERP's rows to a subscriber's webhooks, through running processes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import house, wire
from tests.e2e.house import Gateway, House, Receiver, endpoint

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass
class Shop:
    """One gateway with two feeds and one subscriber."""

    gateway: Gateway
    receiver: Receiver


@pytest.fixture(scope="module")
def shop(shared: House) -> Iterator[Shop]:
    receiver = shared.receiver()
    gateway = shared.gateway(
        {
            "accounts": {
                "erp": house.orders(),
                "crm": house.customers(),
                "slow": house.orders(rate=0.1, burst=2),
                "open": house.orders(auth="bearer"),
            },
            "endpoints": {"main": endpoint(receiver)},
            "http": {"max_body": "64KiB"},
        }
    )
    yield Shop(gateway, receiver)
    assert receiver.forged == []


def test_a_paid_order_arrives_as_order_paid_with_the_phone_masked(shop: Shop) -> None:
    """The subscriber gets the most specific event, signed, with its grants applied."""
    answer = shop.gateway.feed("erp", house.order("SO-1", phone="13800138000"))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "duplicates": 0})
    (paid,) = house.eventually(lambda: of_order(shop.receiver, "SO-1", "order.paid"))
    assert paid.data["order"]["payment"] == "paid"
    assert paid.data["order"]["money"]["payable"] == {"amount": 19900, "currency": "CNY"}
    assert paid.data["customer"]["contacts"][0]["value"] == "138****8000"
    assert paid.event["source"]["account"] == "erp"
    assert b"13800138000" not in paid.body
    who = paid.data["customer"]["id"]
    created = house.eventually(lambda: [got for got in shop.receiver.of("customer.created") if got.subject == who])
    assert [got.sequence for got in created] == [1]


def test_the_same_row_again_publishes_nothing(shop: Shop) -> None:
    """The same bytes, under the same or another message id, are answered as duplicates and change nothing."""
    row = house.order("SO-2")
    assert shop.gateway.feed("erp", row, message="msg_once").json() == {"accepted": 1, "duplicates": 0}
    assert shop.gateway.feed("erp", row, message="msg_once").json() == {"accepted": 0, "duplicates": 1}
    assert shop.gateway.feed("erp", row, message="msg_again").json() == {"accepted": 0, "duplicates": 1}
    shop.gateway.feed("erp", house.order("SO-2", "shipped", 5))
    house.eventually(lambda: of_order(shop.receiver, "SO-2", "order.shipped"))
    assert [got.sequence for got in of_order(shop.receiver, "SO-2")] == [1, 2]


def test_a_row_that_says_the_same_in_other_words_publishes_nothing(shop: Shop) -> None:
    """New bytes with equal content are a new entry for the door and no change for the store."""
    shop.gateway.feed("erp", house.order("SO-3"))
    other = dict(reversed(house.order("SO-3").items()))
    assert shop.gateway.feed("erp", other).json()["accepted"] == 1
    shop.gateway.feed("erp", house.order("SO-3", "completed", 9))
    house.eventually(lambda: of_order(shop.receiver, "SO-3", "order.completed"))
    assert [got.sequence for got in of_order(shop.receiver, "SO-3")] == [1, 2]


def test_an_older_row_that_comes_late_changes_nothing(shop: Shop) -> None:
    """Entries of one order may arrive in any order: the newest source time stands, and the late one is counted."""
    before = shop.gateway.metric("gateway_superseded_total", account="erp")
    for status, minute in (("completed", 30), ("paid", 10), ("shipped", 20)):
        shop.gateway.feed("erp", house.order("SO-4", status, minute))
    house.eventually(lambda: shop.gateway.metric("gateway_superseded_total", account="erp") == before + 2)
    (only,) = house.eventually(lambda: of_order(shop.receiver, "SO-4"))
    assert (only.type, only.data["order"]["lifecycle"]) == ("order.completed", "completed")


def test_a_bad_row_never_hides_a_good_one(shop: Shop) -> None:
    """Rows without an id are named, the others go on."""
    answer = shop.gateway.feed("erp", [house.order("SO-5"), {"status": "paid"}, house.order("SO-6")])
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    assert [one["row"] for one in answer.json()["problems"]] == [2]
    house.eventually(lambda: of_order(shop.receiver, "SO-5") and of_order(shop.receiver, "SO-6"))


def test_a_forged_a_malformed_and_an_oversized_request_are_refused_and_kept(shop: Shop) -> None:
    """Each gets its own refusal, is kept as a reject, and a good request right after them is taken."""
    gateway = shop.gateway
    body = json.dumps(house.order("SO-7")).encode()
    wrong = house.signed(body, secret=house.SECRET)
    stale = house.signed(body, at=1_700_000_000)
    huge = b'[{"order_no": "' + b"x" * 70_000 + b'"}]'
    refusals = [
        gateway.http.post("/in/erp", content=body, headers=wrong),
        gateway.http.post("/in/erp", content=body, headers=stale),
        gateway.http.post("/in/erp", content=body),
        gateway.feed("erp", b"{not json"),
        gateway.http.post("/in/erp", content=huge, headers=house.signed(huge)),
    ]
    assert [one.status_code for one in refusals] == [401, 401, 401, 400, 413]
    assert len({one.content for one in refusals[:3]}) == 1, "a forger learns nothing from which proof failed"
    assert gateway.http.post("/in/nobody", content=body).status_code == 404
    assert gateway.http.put("/in/erp", content=body).status_code == 405
    assert gateway.feed("erp", house.order("SO-8")).status_code == 202
    house.eventually(lambda: gateway.health()["parts"]["worker"]["counts"]["rejects"] >= 5)
    reasons = {"signature", "stale", "malformed", "too_large"}
    house.eventually(lambda: all(gateway.metric("gateway_refused_total", reason=one) for one in reasons))
    assert of_order(shop.receiver, "SO-7") == []


def test_over_the_accounts_rate_the_sender_is_told_when_to_come_back(shop: Shop) -> None:
    """429 with Retry-After, before anything is decided about the request; other accounts feel nothing."""
    answers = [shop.gateway.feed("slow", house.order(f"SL-{number}")) for number in range(6)]
    codes = [one.status_code for one in answers]
    assert codes[:2] == [202, 202]
    assert 429 in codes
    pushed = next(one for one in answers if one.status_code == 429)
    assert int(pushed.headers["retry-after"]) >= 1
    assert shop.gateway.feed("erp", house.order("SO-9")).status_code == 202


def test_an_unknown_status_stays_unknown_is_counted_and_keeps_its_word(shop: Shop) -> None:
    """Nothing is guessed: the axes say unknown, the source's own word is beside them, and a metric counts it."""
    shop.gateway.feed("erp", house.order("SO-10", "待审核"))
    (got,) = house.eventually(lambda: of_order(shop.receiver, "SO-10"))
    assert (got.data["order"]["payment"], got.data["order"]["raw_status"]) == ("unknown", "待审核")
    assert "unknown_status" in got.data["order"]["flags"]
    house.eventually(lambda: shop.gateway.metric("gateway_unknown_values_total", account="erp", field="payment"))


def test_a_payload_no_mapping_can_read_becomes_a_dead_letter_and_the_others_go_on(shop: Shop) -> None:
    """The dead letter names stage and cause; it is listed, tried again and dropped beside the running gateway."""
    gateway = shop.gateway
    rows = [house.order("SO-11"), house.order("SO-12", updated_at="yesterday"), house.order("SO-13")]
    assert gateway.feed("erp", rows).json()["accepted"] == 3
    house.eventually(lambda: of_order(shop.receiver, "SO-11") and of_order(shop.receiver, "SO-13"))
    code, said = gateway.command("dead", "list", "--json")
    (letter,) = json.loads(said)
    assert (code, letter["stage"], letter["of"].partition("/")[0]) == (0, "map", "erp")
    assert "yesterday" not in said
    code, said = gateway.command("dead", "retry", letter["id"])
    assert code == 0, said
    house.eventually(lambda: [one["tries"] for one in json.loads(gateway.command("dead", "list", "--json")[1])])
    code, said = gateway.command("dead", "drop", letter["id"], "--reason", "typed by hand")
    assert code == 0, said
    assert json.loads(gateway.command("dead", "list", "--json")[1]) == []
    (dropped,) = json.loads(gateway.command("dead", "list", "--state", "dropped", "--json")[1])
    assert "typed by hand" in dropped["detail"]
    assert gateway.command("dead", "drop", "ded_none", "--reason", "x")[0] != 0


def test_health_and_metrics_say_how_each_part_is(shop: Shop) -> None:
    """Liveness, readiness and health answer; metrics carry documented names with bounded labels."""
    gateway = shop.gateway
    assert gateway.http.get("/health/live").json()["status"] == "ok"
    assert gateway.http.get("/health/ready").status_code == 200
    parts = gateway.health()["parts"]
    assert {name: part["ok"] for name, part in parts.items()} == {
        "journal and store": True,
        "backlog": True,
        "worker": True,
    }
    assert gateway.metric("gateway_accepted_total", account="erp") > 0
    assert gateway.metric("gateway_attempts_total", endpoint="main", outcome="ok") > 0
    text = gateway.http.get("/metrics").text
    assert "13800138000" not in text
    assert "SO-1" not in text


def of_order(receiver: Receiver, number: str, *types: str) -> list[house.Got]:
    """Accepted events of one order, by its own number."""
    return [
        got
        for got in receiver.accepted()
        if got.data.get("order", {}).get("external_id") == number and (not types or got.type in types)
    ]


def lines_of(*rows: dict[str, Any]) -> list[bytes]:
    """NDJSON, line by line."""
    return [json.dumps(row).encode() + b"\n" for row in rows]


def csv_of(*rows: dict[str, Any]) -> list[bytes]:
    """CSV, line by line."""
    return [",".join(values).encode() + b"\n" for values in (rows[0], *(row.values() for row in rows))]


@pytest.mark.parametrize("begun", [False, True], ids=["unbegun", "begun"])
@pytest.mark.parametrize(("form", "lines"), [("application/x-ndjson", lines_of), ("text/csv", csv_of)])
def test_unsigned_rows_are_taken_whole_or_not_at_all(
    shop: Shop, form: str, lines: Callable[..., list[bytes]], begun: bool
) -> None:
    """Cut off within a chunk, between two and before the last, or short of their length, they leave nothing behind; then all of them are new."""
    gateway, name = shop.gateway, f"SO-{lines.__name__}-{begun}"
    parts = lines(*(house.order(f"{name}-{n}") for n in range(3)))
    # Who expects to be asked for the body is: what came of it is in somebody's hands when the rest does not come.
    asks = {"expect": "100-continue"} if begun else {}
    head = {"authorization": f"Bearer {house.FEED_SECRET}", "content-type": form, **asks}
    chunked, whole = {**head, "transfer-encoding": "chunked"}, b"".join(parts)
    sized = {**head, "content-length": str(len(whole))}
    before = len(rejects(shop))
    for headers, sent in (
        (chunked, wire.chunks(parts[:2]) + b"%x\r\n" % len(parts[2]) + parts[2][:9]),
        (chunked, wire.chunks(parts[:2])),
        (chunked, wire.chunks(parts)),
        (chunked, wire.chunks(parts) + b"0\r\n"),
        (sized, b"".join(parts[:-1])),
    ):
        assert wire.post(gateway.port, "/in/open", headers, sent).removeprefix(CONTINUE) == b""
    for headers, sent, counts in (
        (chunked, wire.chunks(parts) + b"0\r\n\r\n", {"accepted": 3, "duplicates": 0}),
        (sized, whole, {"accepted": 0, "duplicates": 3}),
    ):
        start, _, body = (
            wire.post(gateway.port, "/in/open", headers, sent).removeprefix(CONTINUE).partition(b"\r\n\r\n")
        )
        assert start.startswith(b"HTTP/1.1 202 ")
        assert json.loads(body) == counts
    # Rejects are kept in the order in which they came: with this one, any of those before it would be there.
    assert gateway.http.post("/in/open", content=whole).status_code == 401
    found = house.eventually(lambda: rejects(shop)[before:])
    assert [one["reason"] for one in found] == ["credentials"]


def rejects(shop: Shop) -> list[dict[str, Any]]:
    """Those of the account that takes unsigned rows, oldest first."""
    found: list[dict[str, Any]] = json.loads(shop.gateway.command("rejects", "list", "--account", "open", "--json")[1])
    return found
