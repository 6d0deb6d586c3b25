"""A shop says a status that no table knows: a new version is tried in the shadow, given a share, promoted and rolled back, on a running gateway."""

import json
from pathlib import Path
from typing import Any

import mappings
from tests.e2e.house import Gateway, House, endpoint, eventually, order, orders

ORDER = (mappings.FOLDER / "feed" / "order.yaml").read_text(encoding="utf-8")
# "packed": paid for, being worked on, not sent.
MENDED = (
    ORDER.replace("    shipped: processing\n", "    shipped: processing\n    packed: processing\n")
    .replace("    shipped: paid\n", "    shipped: paid\n    packed: paid\n")
    .replace("    shipped: shipped\n", "    shipped: shipped\n    packed: none\n")
    .replace("    shipped: none\n", "    shipped: none\n    packed: none\n")
)


def _named(gateway: Gateway, receiver: Any, first: int, count: int) -> dict[str, tuple[str, str]]:
    """Say some orders; by number the mapping that read each and what it made of the status."""
    rows = [order(f"SO-{n}", status="packed", minute=n % 60) for n in range(first, first + count)]
    assert gateway.feed("erp", rows).json()["accepted"] == count
    found: dict[str, tuple[str, str]] = {}

    def look() -> bool:
        for got in receiver.accepted():
            body = got.data.get("order", {})
            if body.get("external_id") in {row["order_no"] for row in rows}:
                found[body["external_id"]] = (got.event["source"]["mapping"], body["lifecycle"])
        return len(found) == count

    eventually(look, what=f"{count} orders told")
    return found


def test_unknown_status_is_mapped_by_a_new_version_without_a_restart(house: House, tmp_path: Path) -> None:
    """Shadow shows it, a canary takes about a tenth, promoting makes the next order right, rolling back undoes it: each within moments."""
    receiver = house.receiver()
    gateway = house.gateway({"accounts": {"erp": orders()}, "endpoints": {"crm": endpoint(receiver)}})
    folder = tmp_path / "changed" / "feed"
    folder.mkdir(parents=True)
    file = folder / "order.yaml"
    file.write_text(MENDED, encoding="utf-8")

    before = _named(gateway, receiver, 0, 40)
    assert set(before.values()) == {("feed/order@1", "unknown")}

    code, said = gateway.command("mapping", "shadow", str(file), "--json")
    (shadow,) = json.loads(said)
    assert code == 0
    assert (shadow["entries"], shadow["kinds"]) == (40, {"fixed_unknown": 40})
    assert shadow["records_moved"] == 40
    assert shadow["moves"]["order.lifecycle unknown processing"] == 40
    assert {one["entry"][:4] for one in shadow["samples"]} == {"ent_"}
    assert "13800" not in said

    code, said = gateway.command("mapping", "canary", str(file), "--note", "the shop says packed")
    assert (code, "feed/order@1.1" in said) == (0, True)
    eventually(lambda: gateway.facts("mapping.changed"), what="the worker takes it up")
    shared = _named(gateway, receiver, 1000, 400)
    mine = [one for one in shared.values() if one == ("feed/order@1.1", "processing")]
    # Each run draws other customers: a tenth, give or take five deviations.
    assert 10 <= len(mine) <= 75
    assert len(mine) + list(shared.values()).count(("feed/order@1", "unknown")) == 400

    code, said = gateway.command("mapping", "promote", "feed/order@1.1")
    assert code == 0
    eventually(lambda: len(gateway.facts("mapping.changed")) == 2, what="the worker takes it up")
    assert set(_named(gateway, receiver, 2000, 20).values()) == {("feed/order@1.1", "processing")}
    rows = json.loads(gateway.command("mapping", "versions", "feed/order", "--json")[1])
    assert [(one["version"], one["state"]) for one in rows] == [("feed/order@1.1", "live"), ("feed/order@1", "retired")]

    code, said = gateway.command("mapping", "rollback", "feed/order")
    assert (code, "feed/order@1 is live again" in said) == (0, True)
    eventually(lambda: len(gateway.facts("mapping.changed")) == 3, what="the worker takes it up")
    assert set(_named(gateway, receiver, 3000, 20).values()) == {("feed/order@1", "unknown")}

    # What one version projected is not projected again by another.
    assert len([got for got in receiver.accepted() if got.data.get("order", {}).get("external_id") == "SO-5"]) == 1
    assert len(gateway.facts("supervisor.started")) == 2
    verbs = [one["verb"] for one in json.loads(gateway.command("audit", "list", "--json", "--limit", "999")[1])]
    assert [verb for verb in verbs if verb.startswith("mapping_")] == [
        "mapping_shadow", "mapping_store", "mapping_canary", "mapping_promote", "mapping_rollback",
    ]  # fmt: skip


def test_canary_that_breaks_is_rolled_back_by_the_worker_and_nothing_is_lost(house: House, tmp_path: Path) -> None:
    """A file that its golden cases let pass and that real orders break: no dead letter, an act of the gateway's own on the trail."""
    receiver = house.receiver()
    gateway = house.gateway({"accounts": {"erp": orders()}, "endpoints": {"crm": endpoint(receiver)}})
    folder = tmp_path / "changed" / "feed"
    folder.mkdir(parents=True)
    file = folder / "order.yaml"
    # No case has a coupon; this shop's coupons are no whole numbers.
    file.write_text(
        ORDER.replace("  - record: order\n", "  - record: order\n    version: {path: coupon, as: int}\n"),
        encoding="utf-8",
    )
    assert gateway.command("mapping", "canary", str(file), "--share", "50")[0] == 0
    eventually(lambda: gateway.facts("mapping.changed"), what="the worker takes it up")
    rows = [order(f"SO-{n}", coupon="WELCOME-5") for n in range(60)]
    assert gateway.feed("erp", rows).json()["accepted"] == 60
    receiver.wait(60, "order.paid")
    assert {got.event["source"]["mapping"] for got in receiver.of("order.paid")} == {"feed/order@1"}
    told = eventually(lambda: gateway.facts("mapping.rolled_back"), what="the canary is ended")
    assert told[0]["errors"] >= 3
    assert json.loads(gateway.command("dead", "list", "--json")[1]) == []
    rows = json.loads(gateway.command("mapping", "versions", "feed/order", "--json")[1])
    assert [one["state"] for one in rows] == ["retired", "live"]
    acts = json.loads(gateway.command("audit", "list", "--json", "--verb", "mapping_broke")[1])
    assert [(one["actor"], one["object"]) for one in acts] == [("gateway", "feed/order/1")]
