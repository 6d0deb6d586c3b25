"""Marked values through every door, and every way out searched for them: what was not granted is readable nowhere.

Endpoints with each treatment hear of everything. What they were granted has to arrive, or the search would find nothing for the wrong
reason; whatever else a person, a partner or a thief of the disk could get hold of has to be without a mark.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from hl7.client import MLLPClient
from wechatpy.enterprise.crypto import WeChatCrypto

from connectors.taobao import simulate as taobao
from connectors.wecom import fake as wecom
from gateway.clock import SystemClock
from tests.e2e import house
from tests.e2e.house import Gateway, House, Receiver, endpoint
from tests.e2e.marks import found
from tests.unit.test_recipient import P256, RSA, X25519, opened, private_jwk, public_jwk

# By class. Each is found nowhere else; the parts of which a mask shows the first or last are longer than that.
MARKS = {
    "identity": {
        "name": "慕容标记壹", "hospital name": "标记病人甲", "wecom name": "企微标记名", "nickname": "标记买家昵称", "receiver": "标记收货人",
        "national id": "110101199003079999", "his national id": "330106198808187777",
    },
    "contact": {
        "phone": "13912345678", "his phone": "13712345678", "wecom mobile": "13612345678", "shop mobile": "13512345678",
        "csv phone": "13412345678", "mail": "marked.mail@example.com", "street": "标记路一百零一号", "his street": "标记巷二百零二弄",
        "shop street": "标记街三百零三弄", "message": "这句话是做了标记的留言", "note": "标记过的买家备注", "remark": "标记过的客户备注",
    },
    "health": {"service": "标记科标记检查", "reason": "标记过的就诊原因", "diagnosis": "标记过的诊断"},
    "finance": {"card": "6222029999888877776"},
}  # fmt: skip
ALL = [mark for marks in MARKS.values() for mark in marks.values()]
# Spelt otherwise on the way, or refused before it meant anything.
OTHERS = ["+8613912345678", "+8613712345678", "CODE-MARKED-77", "标记坏行乙", "标记伪造丙", "标记残缺丁", "13300001234"]
SECRETS = [
    house.SECRET,
    house.FEED_SECRET,
    house.SECRET.removeprefix("whsec_"),
    house.FEED_SECRET.removeprefix("whsec_"),
]

CORP, TOKEN, KEY = "ww0123456789abcdef", "testtoken", "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR"
WECOM = {"corp_id": CORP, "agent_id": "1000002", "token": TOKEN, "encoding_aes_key": KEY, "secret": "corp-secret"}
SHOP = {"app_key": "12129701", "app_secret": "0123456789abcdef0123456789abcdef", "session": "6100000session"}
CLASSES = ("identity", "contact", "health", "finance")

# A mapping of our own that knows what the built-in feeds do not: receivers, diagnoses, bank cards, national ids.
FULL = """version: 1
connector: feed
topic: full
emit:
  - record: order
    time: {path: updated_at, as: time}
    fields:
      external_id: {path: order_no, required: true}
      paid_at: {path: paid_at, as: time}
      service: diagnosis
      ship_to_name: receiver
      ship_to_phone: {path: phone, as: phone}
      ship_to.region.province: {const: 浙江省}
      ship_to.line: street
      buyer_note: note
      payments:
        each: payments
        fields:
          external_id: id
          payer: card
    identities:
      - {namespace: erp.customer_code, scope: {call: feed.code_scope}, value: customer_code}
    customer:
      kind: {const: person}
      name: name
      national_id: id_card
"""


class Corp(wecom.Corp):
    """A corp whose customers all carry the marks."""

    def profile(self, customer: str) -> dict[str, Any]:
        """See ``wecom.Corp``."""
        return {**super().profile(customer), "name": MARKS["identity"]["wecom name"]}

    def _follower(self, customer: str, member: str, since: int) -> dict[str, Any]:
        known = super()._follower(customer, member, since)
        contact = MARKS["contact"]
        return {**known, "remark": contact["remark"], "remark_mobiles": [contact["wecom mobile"]]}


class Echo:
    """A subscriber that fails and sends back what it got: its answers are kept as excerpts."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                bodies.append(body)
                self.send_response(500)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Used:
    """A gateway that has heard all the marks, well and badly, and everything that came out of it."""

    gateway: Gateway
    ends: dict[str, Receiver]
    echo: Echo
    answers: list[tuple[str, bytes]] = field(default_factory=list)

    def bodies(self, *names: str) -> list[tuple[str, bytes]]:
        """What endpoints were sent, headers and all."""
        return [
            (f"{name} {got.id}", json.dumps(got.headers).encode() + got.body)
            for name in names
            for got in self.ends[name].got
        ]


def grants(how: str, **more: str) -> dict[str, str]:
    return {**dict.fromkeys(CLASSES, how), "reason": "the leak test", **more}


@pytest.fixture(scope="module")
def used(shared: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    own = tmp_path_factory.mktemp("mappings")
    (own / "feed").mkdir()
    (own / "feed" / "full.yaml").write_text(FULL, encoding="utf-8")
    loop, echo = shared.loop(), Echo()
    shared.beside(echo.close)
    ends = {name: shared.receiver() for name in ("clear", "mask", "token", "twin", "seal", "rsa", "x25519", "drop")}
    (mllp,) = house.free_ports(1)
    api = wecom.Api(Corp(7), dict(WECOM), SystemClock())
    loop.run(api.listen("127.0.0.1", 0))
    market = loop.run(taobao.serve_api(host="127.0.0.1", port=0, options=SHOP, seed=7, faults=taobao.Faults()))
    granted = {
        **{name: grants(name) for name in ("clear", "mask", "token", "drop")},
        "twin": grants("token"),
        "seal": grants("seal", recipient=json.dumps(public_jwk(P256))),
        "rsa": grants("drop", identity="seal", recipient=json.dumps(public_jwk(RSA))),
        "x25519": grants("mask", contact="seal", recipient=json.dumps(public_jwk(X25519))),
    }
    feed = {"connector": "feed", "secret": "env:FEED_SECRET"}
    gateway = shared.gateway(
        {
            "gateway": {"mappings": str(own)},
            "accounts": {
                "crm": {**feed, "mapping": "feed/customer"},
                "full": {**feed, "mapping": "feed/full", "id_path": "order_no", "key_path": "customer_code"},
                "corp": {"connector": "wecom", "api_base": api.url, **WECOM},
                "shop": {"connector": "taobao", "api_base": market.url, "tmc_url": market.tmc_url, **SHOP},
                "his": {"connector": "hl7", "listen": f"127.0.0.1:{mllp}"},
            },
            "endpoints": {
                **{
                    name: endpoint(receiver, secret="env:HOOK_SECRET", grants=granted[name])
                    for name, receiver in ends.items()
                },
                "echo": {
                    "url": echo.url, "secret": "env:HOOK_SECRET", "allow_private": True, "retries": ["0s", "200ms"],
                    "grants": grants("clear"),
                },
            },
        },
        environ={"FEED_SECRET": house.FEED_SECRET, "HOOK_SECRET": house.SECRET},
    )  # fmt: skip
    one = Used(gateway, ends, echo)
    _feed(one)
    _wecom(one)
    _taobao(one, loop, market)
    _hospital(one, mllp)
    _settled(one)
    yield one
    assert all(not receiver.forged for receiver in ends.values())
    loop.run(api.close())
    loop.run(market.close())


# ---------------------------------------------------------------------- what is driven in
def _feed(used: Used) -> None:
    identity, contact = MARKS["identity"], MARKS["contact"]
    person = {
        "customer_code": "CODE-MARKED-77", "name": identity["name"], "phone": contact["phone"], "email": contact["mail"],
        "address": contact["street"], "birthday": "1988-08-18",
    }  # fmt: skip
    order = {
        "order_no": "F-1", "customer_code": "CODE-MARKED-77", "updated_at": "2026-11-11 08:00:00", "name": identity["name"],
        "id_card": identity["national id"], "receiver": identity["receiver"], "phone": contact["phone"], "street": contact["street"],
        "note": contact["note"], "diagnosis": MARKS["health"]["diagnosis"],
        "payments": [{"id": "p1", "card": MARKS["finance"]["card"]}],
    }  # fmt: skip
    _say(used, "a customer", used.gateway.feed("crm", person), 202)
    _say(used, "an order", used.gateway.feed("full", order), 202)
    rows = f"customer_code,name,phone\nC-1,{identity['name']},{contact['csv phone']}\nC-2,标记坏行乙\nC-3,标记坏行乙,1,2,3,4\n".encode()
    headers = {**house.signed(rows), "content-type": "text/csv"}
    _say(used, "a CSV with bad rows", used.gateway.http.post("/in/crm", content=rows, headers=headers), None)
    # What no mapping reads becomes a dead letter; what is broken, forged or too old a reject.
    _say(
        used,
        "no time",
        used.gateway.feed("full", {**order, "order_no": "F-2", "paid_at": f"标记坏行乙 {contact['phone']}"}),
        202,
    )
    _say(used, "no date", used.gateway.feed("crm", {**person, "birthday": f"标记坏行乙 {contact['phone']}"}), 202)
    marked = json.dumps({**person, "name": "标记伪造丙"}, ensure_ascii=False).encode()
    _say(used, "forged", used.gateway.http.post("/in/crm", content=marked), 401)
    _say(used, "forged again", used.gateway.feed("crm", marked, secret=house.SECRET), 401)
    _say(used, "cut short", used.gateway.feed("crm", marked[:-5]), 400)
    late = house.signed(marked, at=time.time() - 86_400)
    _say(used, "late", used.gateway.http.post("/in/crm", content=marked, headers=late), 401)
    _say(used, "nowhere", used.gateway.http.post("/in/nobody", content=marked), 404)
    _say(used, "a name in a path", used.gateway.http.get("/in/crm", params={"name": "标记伪造丙"}), None)


def _wecom(used: Used) -> None:
    now = int(time.time())
    added = {
        "ToUserName": CORP, "FromUserName": "sys", "CreateTime": str(now), "MsgType": "event", "Event": "change_external_contact",
        "ChangeType": "add_external_contact", "UserID": "zhangsan", "ExternalUserID": wecom.Corp(7).customer(900), "State": "s",
    }  # fmt: skip
    wrote = {
        "ToUserName": CORP, "FromUserName": "zhangsan", "CreateTime": str(now), "MsgType": "text",
        "Content": MARKS["contact"]["message"], "MsgId": "1", "AgentID": "1000002",
    }  # fmt: skip
    _say(used, "a customer added", _callback(used, added), 200)
    _say(used, "a message", _callback(used, wrote), 200)
    _say(used, "a forged message", _callback(used, {**wrote, "Content": "标记伪造丙"}, token="other"), None)


def _callback(used: Used, fields: dict[str, str], token: str = TOKEN) -> Any:
    message = f"<xml>{''.join(f'<{key}><![CDATA[{value}]]></{key}>' for key, value in fields.items())}</xml>"
    crypto, stamp, nonce = WeChatCrypto(token, KEY, CORP), str(int(time.time())), str(time.monotonic_ns())
    body = crypto.encrypt_message(message, nonce, stamp)
    signature = body.partition("<MsgSignature><![CDATA[")[2].partition("]]>")[0]
    query = {"msg_signature": signature, "timestamp": stamp, "nonce": nonce}
    return used.gateway.http.post("/in/corp", params=query, content=body.encode())


def _taobao(used: Used, loop: house.Loop, market: taobao.Fake) -> None:
    house.eventually(lambda: market.channel.live)

    async def create() -> None:
        trade = market.market.create(cod=False)
        trade["buyer_nick"] = MARKS["identity"]["nickname"]
        trade["receiver_name"] = MARKS["identity"]["receiver"]
        trade["receiver_mobile"] = MARKS["contact"]["shop mobile"]
        trade["receiver_address"] = MARKS["contact"]["shop street"]
        trade["buyer_message"] = MARKS["contact"]["note"]
        await market.flush()

    loop.run(create())


def _hospital(used: Used, port: int) -> None:
    identity, contact, health = MARKS["identity"], MARKS["contact"], MARKS["health"]
    person = (
        f"PID|1||P-1^^^SHDYYY^MR~{identity['his national id']}^^^GA^NI||{identity['hospital name']}||19880818|F|||"
        f"{contact['his street']}^^杭州市||{contact['his phone']}^PRN^CP"
    )
    booking = f"SCH||F1^RIS||||B^{health['reason']}|{health['reason']}||30|min|^^^202602011000||||||||||||||Booked"
    with MLLPClient("127.0.0.1", port) as client:
        for at, (kind, *segments) in enumerate(
            (
                ("ADT^A28^ADT_A05", "EVN|A28|20260111115900", person),
                ("SIU^S12^SIU_S12", booking, person, "RGS|1", f"AIS|1|A|MRI^{health['service']}^L|202602011000"),
                ("ADT^A08^ADT_A01", "EVN|A08|99999999999999", "PID|标记残缺丁"),
                ("ZZZ^Z01", f"ZZZ|标记残缺丁|{contact['his phone']}"),
            )
        ):
            header = f"MSH|^~\\&|HIS|SHDYYY|SCRM|GW|20260111120000||{kind}|M{at}|P|2.5||||||GB 18030-2000"
            answer = client.send_message(("\r".join((header, *segments)) + "\r").encode("gb18030"))
            used.answers.append((f"HL7 {kind}", bytes(answer)))
        answer = client.send_message("MSH|broken 标记残缺丁 13300001234".encode("gb18030"))
        used.answers.append(("HL7 broken", bytes(answer)))


def _say(used: Used, what: str, answer: Any, status: int | None) -> None:
    assert status is None or answer.status_code == status, (what, answer.status_code, answer.text)
    used.answers.append((what, json.dumps(dict(answer.headers)).encode() + answer.content))


def _settled(used: Used) -> None:
    """Until every mark that has an event reached the endpoint that sees everything, and what fails has failed."""

    def arrived() -> bool:
        seen = b"".join(got.body for got in used.ends["clear"].got)
        return all(mark.encode() in seen for mark in ALL)

    house.eventually(arrived, within=30.0, what=f"all marks but {_missing(used)}")
    for name in used.ends:
        house.eventually(lambda name=name: _heard(used, "clear") <= _heard(used, name), within=30.0, what=name)
    # Its circuit opens after ten failures, so that not all of its deliveries are tried by now.
    house.eventually(
        lambda: len(used.echo.bodies) >= 8, within=30.0, what="failures with what was sent as their answer"
    )
    house.eventually(lambda: _count(used, "rejects") >= 4)
    house.eventually(lambda: _count(used, "dead_letters") >= 2)
    # What they say of themselves is searched too.
    used.gateway.report()


def _count(used: Used, of: str) -> int:
    return int(used.gateway.health()["parts"]["worker"]["counts"].get(of, 0))


def _heard(used: Used, name: str) -> set[str]:
    return {got.id for got in used.ends[name].accepted()}


def _missing(used: Used) -> list[str]:
    seen = b"".join(got.body for got in used.ends["clear"].got)
    return [mark for mark in ALL if mark.encode() not in seen]


# ---------------------------------------------------------------------- what came out
def test_all_that_was_granted_arrived(used: Used) -> None:
    """In the clear, and inside of the seals: the search below has something to find."""
    assert _missing(used) == []
    for name, key, classes in (("seal", P256, CLASSES), ("rsa", RSA, ("identity",)), ("x25519", X25519, ("contact",))):
        jwes = [got.event["sealed"] for got in used.ends[name].got if "sealed" in got.event]
        inside = b"".join(opened(jwe, key)[1] for jwe in jwes)
        assert [mark for one in classes for mark in MARKS[one].values() if mark.encode() not in inside] == []


@pytest.mark.parametrize("name", ["mask", "token", "twin", "seal", "rsa", "x25519", "drop"])
def test_endpoint_without_the_grant_cannot_read_a_mark(used: Used, name: str) -> None:
    """In no webhook, header or body, in no encoding."""
    bodies = used.bodies(name)
    assert len(bodies) > 5
    assert found([*ALL, *OTHERS, *SECRETS], bodies) == []


def test_what_was_withheld_is_said_and_the_event_still_delivered(used: Used) -> None:
    """To the endpoint that may see nothing: as many events, each with the classes it does without."""
    house.eventually(lambda: _heard(used, "drop") == _heard(used, "clear"))
    withheld = {one for got in used.ends["drop"].got for one in got.event.get("withheld", ())}
    assert withheld == set(CLASSES)
    assert all(
        "withheld" not in got.event for name in ("clear", "mask", "token", "seal") for got in used.ends[name].got
    )


def test_pseudonyms_join_at_one_endpoint_and_not_between_two(used: Used) -> None:
    """The phone that a customer and an order share; no pseudonym of one endpoint is known to another."""

    def phones(name: str) -> tuple[set[str], set[str]]:
        got = [one.data for one in used.ends[name].got if one.event["source"]["account"] in ("crm", "full")]
        orders = {one["order"]["ship_to_phone"] for one in got if "order" in one and "ship_to_phone" in one["order"]}
        people = {point.get("value", "") for one in got for point in one.get("customer", {}).get("contacts", ())}
        return orders, people

    orders, people = phones("token")
    assert len(orders) == 1
    assert orders <= people
    others = phones("twin")
    assert not (orders | people) & {one for one in others[0] | others[1] if one.startswith("tok_")}


def test_partners_hear_nothing_back(used: Used) -> None:
    """Answers and refusals of every door name rows and fields, never values."""
    assert found([*ALL, *OTHERS, *SECRETS], used.answers) == []


def test_log_of_every_process_is_clean(used: Used) -> None:
    """Also of the failures."""
    assert used.gateway.facts("supervisor.started")
    raw = used.gateway.log.read_bytes()
    assert len(raw) > 500
    assert found([*ALL, *OTHERS, *SECRETS], [("log", raw)]) == []


def test_pages_for_operators_are_clean(used: Used) -> None:
    """Metrics and health, and whatever else the door answers without a key."""
    paths = (
        "/metrics",
        "/health",
        "/health/ready",
        "/health/live",
        "/nowhere",
        "/in/",
        "/console",
        "/api/v1/customers",
    )
    pages = [(path, used.gateway.http.get(path).content) for path in paths]
    assert found([*ALL, *OTHERS, *SECRETS], pages) == []


def test_listings_of_the_command_line_are_clean(used: Used) -> None:
    """Dead letters, rejects, deliveries with their failures, candidates, subscribers, the config; none of them empty where it must not be."""
    said = {}
    for words in (
        "dead list", "dead list --state dropped", "rejects list", "matches list", "clients list", "endpoints list", "deliveries list",
        "deliveries list --state dead", "audit list", "config show", "doctor", "keys list",
    ):  # fmt: skip
        json_flag = () if words in ("config show", "doctor") else ("--json",)
        code, said[words] = used.gateway.command(*words.split(), *json_flag)
        assert code in (0, 1), (words, said[words])
    for listed, shown in (("rejects list", "rejects show"), ("deliveries list", "deliveries show")):
        rows = json.loads(said[listed])
        assert rows, listed
        for row in (rows[0], rows[-1]):
            said[f"{shown} {row['id']}"] = used.gateway.command(*shown.split(), row["id"], "--json")[1]
    for name in ("seal", "echo"):
        said[f"endpoints show {name}"] = used.gateway.command("endpoints", "show", name, "--json")[1]
    assert json.loads(said["dead list"]), "what could not be mapped is listed"
    assert "the leak test" in said["config show"], "why health data is granted can be looked up"
    assert found([*ALL, *OTHERS, *SECRETS], [(words, text.encode()) for words, text in said.items()]) == []


def test_every_file_under_the_data_folder_is_clean(used: Used) -> None:
    """Databases, their write-ahead logs, snapshots, key files: also the excerpts of an endpoint that sends back what it got."""
    assert len(used.echo.bodies) > 5
    files = used.gateway.files()
    assert {"journal.db", "store.db", "keys.json", "run/worker.json"} <= files.keys()
    assert any(name.endswith("-wal") for name in files), "the logs are searched as well"
    assert found([*ALL, *OTHERS, *SECRETS], files.items()) == []


def test_no_private_key_of_a_subscriber_is_anywhere(used: Used) -> None:
    """We never had one; the search would find it."""
    private = private_jwk(P256)["d"]
    assert found([private], used.gateway.files().items()) == []
    assert found([private], [("key", json.dumps(private_jwk(P256)).encode())]) == [("key", private)]
