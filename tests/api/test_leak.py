"""Every answer that the API can give, searched for what was marked: a field of a class comes to nobody who was not granted that class."""

import re
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway import access, store
from gateway.api import app
from gateway.model.appointment import Appointment, Status
from gateway.model.interaction import Interaction, Type
from gateway.model.order import Order, PaymentPart
from gateway.model.organisation import Staff
from gateway.model.relationship import Relationship, State
from tests.api.kit import House, member, order, told

MARKS = {
    "identity": ("赵钱孙", "1977-07-17"),
    "contact": ("13911112222", "leak@example.com", "暗号一三五七"),
    "health": ("秘密科室", "秘密病情"),
    "finance": ("6222000011112222",),
}
"""What goes in, by class."""

ALWAYS = ("$sealed", '"provenance"', "gwk_", "gws_")
"""What is never in an answer, whatever was granted."""


async def filled(house: House) -> None:
    """Marked values in every record and beside."""
    marked = {"name": "赵钱孙", "birthday": "1977-07-17", "phone": "13911112222", "email": "leak@example.com"}
    await house.say("members", member("C1", **marked))
    await house.say("members", member("C2", **marked))
    await house.say("members", member("C3", **marked, updated_at="赵钱孙"))
    await house.say("orders", order("A1", "C1", phone="13911112222"))
    contact, health = "暗号一三五七", "秘密科室"
    await house.keep(
        "appointment",
        Appointment(account="his", external_id="P1", service=health, reason="秘密病情", status=Status.BOOKED),
    )
    await house.keep(
        "interaction",
        Interaction(account="his", external_id="I1", type=Type.MESSAGE, body=contact, clinical="秘密病情"),
    )
    await house.keep("relationship", Relationship(account="his", external_id="R1", state=State.ACTIVE, remark=contact))
    await house.keep(
        "staff", Staff(account="his", external_id="S1", name="赵钱孙", mobile="13911112222", email="leak@example.com")
    )
    payment = PaymentPart(external_id="P1", payer="6222000011112222")
    await house.keep(
        "order", Order(account="his", external_id="A2", ship_to_name="赵钱孙", buyer_note=contact, payments=(payment,))
    )
    vault, now = house.ground.vault, house.ground.clock.now()
    body = vault.seal("13911112222 赵钱孙".encode(), b"rej_1")
    reject = store.Reject(
        id="rej_1", account="members", reason="signature", detail="", peer="192.0.2.1", size=9, at=now, body=body
    )
    await house.ground.records.reject([reject], keep=9)


async def jobs_of(house: House, client: httpx.AsyncClient) -> None:
    """An import with bad rows, an export of everybody, and a replay, all done."""
    rows = msgspec.json.Encoder().encode_lines(
        [member("C8", name="赵钱孙", updated_at="13911112222"), {"name": "赵钱孙"}]
    )
    kind = {"content-type": "application/x-ndjson"}
    assert (await client.post("/api/v1/imports?account=members", content=rows, headers=kind)).status_code == 202
    for what in ("customers", "staff", "events"):
        assert (await client.post("/api/v1/exports", json={"what": what})).status_code == 202
    assert (await client.post("/api/v1/replays", json={"types": ["*"], "dry_run": False})).status_code == 200
    await house.work()


async def everything(client: httpx.AsyncClient) -> dict[str, str]:
    """The answer to each GET of the schema, once for every thing that the list of its resource shows."""
    paths = [path for path, methods in app.described()["paths"].items() if "get" in methods]
    plain = [path for path in paths if "{" not in path]
    found = {path: (await client.get(path)).text for path in plain}
    for path in paths:
        names = re.findall(r"\{(\w+)\}", path)
        listed = found.get(path.partition("/{")[0])
        if len(names) != 1 or listed is None:
            continue
        for one in msgspec.json.decode(listed)["items"]:
            url = path.replace("{" + names[0] + "}", str(one.get("id") or one["name"]))
            found[url] = (await client.get(url)).text
    for job in msgspec.json.decode(found["/api/v1/jobs"])["items"]:
        for url in filter(None, (job["rows"], job["content"])):
            found[url] = (await client.get(url)).text
    return found


@pytest.mark.parametrize("granted", ["", *MARKS])
def test_no_answer_shows_a_class_that_was_not_granted(tmp_path: Path, granted: str) -> None:
    """Under the least grants none of the marks, under one class's grant its own and no other; and each that was granted is really there."""
    grants = {granted: access.Lent(how="clear", reason="a test")} if granted else {}

    async def story(house: House) -> None:
        await filled(house)
        async with house.caller(grants=grants, accounts=("members",)) as client:
            await jobs_of(house, client)
            answers = await everything(client)
        assert len(answers) > 60
        hidden = [mark for name, marks in MARKS.items() if name != granted for mark in marks]
        for url, text in answers.items():
            for mark in (*hidden, *ALWAYS):
                assert mark not in text, (url, mark)
        whole = "\n".join(answers.values())
        assert all(mark in whole for mark in MARKS.get(granted, ()))

    told(tmp_path, story)
