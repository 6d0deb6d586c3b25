"""A subscriber is down for so long that everything for it dies; it comes back, and gets what it missed: once, and in order."""

import json
from collections import defaultdict
from typing import Any

from tests.e2e import house as houses
from tests.e2e.house import Answer, House, endpoint, eventually

ORDERS = [f"A{number}" for number in range(8)]
STEPS = ["created", "paid", "shipped"]


def test_what_died_is_counted_and_then_arrives_once_and_in_order(house: House) -> None:
    """By the same ids; the subscriber that had it all hears nothing twice."""
    well = False

    def moody(_event: dict[str, Any], _before: int) -> Answer:
        return (204, {}) if well else (400, {})

    crm, erp = house.receiver(moody), house.receiver()
    gateway = house.gateway(
        {
            "accounts": {"shop": houses.orders()},
            "endpoints": {
                "crm": endpoint(crm, retries=["0s"], events=["order.*"]),
                "erp": endpoint(erp, events=["order.*"]),
            },
        }
    )
    total = len(ORDERS) * len(STEPS)
    for minute, status in enumerate(STEPS):
        reply = gateway.feed("shop", [houses.order(number, status, minute) for number in ORDERS])
        assert reply.status_code == 202, reply.text
    erp.wait(total)

    def ask(*words: str) -> Any:
        code, said = gateway.command(*words, "--json")
        assert code == 0, said
        return json.loads(said[said.index("[") :])

    eventually(lambda: len(ask("dead", "list")) == total, within=60.0, what="everything for crm is dead")
    (group,) = ask("dead", "list", "--group")
    assert (group["of"], group["cause"], group["count"]) == ("crm", "http 400", total)

    counts = {one["endpoint"]: one for one in ask("replay", "--since", "1h", "--dry-run")}
    assert (counts["crm"]["send"], counts["crm"]["failed"], counts["erp"]["send"]) == (total, total, 0)
    well, before = True, len(erp.got)
    ask("replay", "--since", "1h", "--yes")

    arrived = crm.wait(total, within=60.0)
    assert {one.id for one in arrived} == {one.id for one in erp.accepted()}
    sequences: dict[str, list[int]] = defaultdict(list)
    for one in arrived:
        sequences[one.subject].append(one.sequence)
    assert len(sequences) == len(ORDERS)
    assert all(numbers == sorted(numbers) for numbers in sequences.values()), sequences
    assert [one.status for one in crm.got].count(204) == total
    assert len(erp.got) == before
    assert not crm.forged
    eventually(lambda: ask("dead", "list") == [], what="nothing is dead any more")
    assert [one["verb"] for one in ask("audit", "list", "--verb", "replay")] == ["replay"]
