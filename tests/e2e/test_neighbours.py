"""A partner whose API hangs is its own problem."""

import asyncio
import random
import statistics
import time
from typing import Any

from connectors.wecom import fake as wecom
from connectors.wecom import simulate
from gateway.clock import SystemClock
from tests.e2e import house as houses
from tests.e2e.house import House, endpoint, eventually

OPTIONS = {
    "token": "testtoken",
    "encoding_aes_key": "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR",
    "secret": "corp-secret",
}
SEED = 7
DICE = random.Random(SEED)


def test_a_partner_whose_api_hangs_delays_no_other_partners_reading(house: House) -> None:
    """Fifty customers wait for a corp whose API never answers; another corp's customer is told by name within moments."""
    receiver, loop = house.receiver(), house.loop()
    corps = {name: {**OPTIONS, "corp_id": f"ww{number:016}"} for number, name in enumerate(("hanging", "well"))}
    api = loop.run(wecom.serve_api(host="127.0.0.1", port=0, options=corps["well"], seed=SEED))
    deaf = loop.run(asyncio.start_server(hang, "127.0.0.1", 0))
    bases = {"hanging": f"http://127.0.0.1:{deaf.sockets[0].getsockname()[1]}", "well": api.url}
    accounts = {name: {"connector": "wecom", "api_base": bases[name], **options} for name, options in corps.items()}
    gateway = house.gateway(
        {"accounts": accounts, "endpoints": {"main": endpoint(receiver, grants={"identity": "clear"})}}
    )

    # The daily pull tells of everybody that corp knows: first let it end.
    receiver.wait(24, "customer.created")
    corp = wecom.Corp(SEED)
    for number in range(50):
        assert loop.run(say(gateway, "hanging", corps["hanging"], corp.customer(500 + number)))
    receiver.wait(50, "relationship.started")
    waits = []
    for number in range(600, 605):
        name = corp.profile(corp.customer(number))["name"]
        before = len(receiver.of("customer.updated"))
        began = time.monotonic()
        assert loop.run(say(gateway, "well", corps["well"], corp.customer(number)))
        eventually(lambda name=name, before=before: told(receiver, name, before), within=30.0)
        waits.append(time.monotonic() - began)
    # A call may take ten seconds: whoever stood behind one of them would wait for as long each time.
    assert statistics.median(waits) < 4.0, waits
    eventually(lambda: gateway.metric("gateway_errands_total", account="hanging", outcome="partner.down"), within=30.0)
    assert gateway.stop()[0] == 0
    loop.run(api.close())
    loop.run(end(deaf))


async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the call and say nothing."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return
    finally:
        writer.close()


async def end(server: asyncio.Server) -> None:
    """Stop listening, and hang up."""
    server.close()
    calls = asyncio.all_tasks() - {asyncio.current_task()}
    for task in calls:
        task.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def say(gateway: houses.Gateway, account: str, options: dict[str, str], customer: str) -> bool:
    """A member of the corp added a customer."""
    caller = simulate.Caller(f"http://127.0.0.1:{gateway.port}/in/{account}", options, DICE, SystemClock())
    fields: dict[str, Any] = {
        "ToUserName": options["corp_id"], "FromUserName": "sys", "CreateTime": str(int(time.time())), "MsgType": "event",
        "Event": "change_external_contact", "ChangeType": "add_external_contact", "UserID": "zhangsan", "ExternalUserID": customer,
    }  # fmt: skip
    return await caller.send(
        f"<xml>{''.join(f'<{key}><![CDATA[{value}]]></{key}>' for key, value in fields.items())}</xml>".encode()
    )


def told(receiver: houses.Receiver, name: str, before: int) -> bool:
    """Whether somebody new was told by name."""
    return any(got.data["customer"].get("nickname") == name for got in receiver.of("customer.updated")[before:])
