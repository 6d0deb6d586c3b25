"""Events as the gateway sends them: a customer who came by WeCom, bought on Taobao and went to a hospital. All made up."""

from typing import Any

import msgspec

from gateway import clock

NOW = clock.parse("2026-11-11T10:30:00+08:00")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

ZHANG, SHADOW, LI, WANG = (f"cus_0192f0c1a2b37c4d8e5f60718293a4b{n}" for n in "1234")
ORDER, SECOND = "ord_0192f0c1a2b37c4d8e5f60718293c001", "ord_0192f0c1a2b37c4d8e5f60718293c002"
TIE, VISIT = "rel_0192f0c1a2b37c4d8e5f60718293d001", "apt_0192f0c1a2b37c4d8e5f60718293e001"

SOURCES = {
    "wecom": ("corp-wecom", "wecom/external_contact@3"),
    "taobao": ("tmall-main", "taobao/trade@3"),
    "hl7": ("his-east", "hl7/siu@2"),
    "feed": ("pos-nanjing", "feed/order@1"),
}


def event(kind: str, subject: str, sequence: int, at: str, by: str = "taobao", **data: Any) -> dict[str, Any]:
    """One event. ``at`` is Shanghai wall time of 2026, ``MM-DD HH:MM``."""
    account, mapping = SOURCES[by]
    instant = clock.parse(f"2026-{at.replace(' ', 'T')}:00+08:00")
    name = clock.derived_id("evt", instant, kind, subject, str(sequence))
    source = {"account": account, "connector": by, "entry": clock.derived_id("ent", instant, kind), "mapping": mapping}
    return {
        "id": name,
        "type": kind,
        "timestamp": clock.text(instant),
        "schema": 1,
        "subject": subject,
        "sequence": sequence,
        "source": source,
        "data": data,
    }


def at(text: str) -> str:
    """Shanghai wall time of 2026 as the model writes it."""
    return clock.text(clock.parse(f"2026-{text.replace(' ', 'T')}:00+08:00"))


def raw(told: dict[str, Any]) -> bytes:
    """The bytes of an event."""
    return msgspec.json.encode(told)


def yuan(amount: int) -> dict[str, Any]:
    """Fen as money."""
    return {"amount": amount, "currency": "CNY"}


def customer(name: str = ZHANG, **more: Any) -> dict[str, Any]:
    """A customer's body."""
    phone = {"kind": "phone", "value": "+8613800138000", "verified": True}
    return {"id": name, "kind": "person", "name": "张三", "contacts": [phone], **more}


def order(name: str = ORDER, **more: Any) -> dict[str, Any]:
    """A Tmall order's body."""
    scarf = {
        "line_no": "1",
        "sku": "WB-01",
        "title": "羊绒围巾 驼色 200*70cm",
        "quantity": {"value": "2", "unit": ""},
        "price": yuan(49900),
    }
    cap = {
        "line_no": "2",
        "sku": "MZ-07",
        "title": "针织帽 米白",
        "quantity": {"value": "1", "unit": ""},
        "price": yuan(23650),
    }
    return {
        "id": name,
        "account": "tmall-main",
        "external_id": "4098765432109876543",
        "channel": "taobao",
        "placed_at": at("11-11 00:00"),
        "lifecycle": "created",
        "payment": "unpaid",
        "fulfilment": "none",
        "aftersale": "none",
        "money": {"items": yuan(123450), "payable": yuan(123450)},
        "lines": [scarf, cap],
        **more,
    }


def story() -> list[dict[str, Any]]:
    """Everything, in order: WeCom, Tmall, a hospital, a till, a merge, a masked customer and one without a name."""
    who = {"id": ZHANG}
    paid = {"payment": "paid", "lifecycle": "confirmed", "paid_at": at("11-11 00:01")}
    money = {"items": yuan(123450), "payable": yuan(123450), "paid": yuan(123450)}
    tie = {
        "id": TIE, "account": "corp-wecom", "external_id": "wm-zhang/liming", "staff": "liming", "channel": "wecom", "state": "active",
        "since": at("11-03 10:20"), "add_way": "门店扫码", "remark": "喜欢驼色，会员日提醒",
    }  # fmt: skip
    visit = {
        "id": VISIT, "account": "his-east", "external_id": "F20261112-018", "service": "皮肤科复诊", "place": "东院 3 楼 306 诊室",
        "staff": "陈医生", "start": at("11-12 09:30"), "end": at("11-12 10:00"), "status": "booked",
    }  # fmt: skip
    body = customer(
        tags=["会员", "双11", "南京店"],
        gender="female",
        birthday="1988-08-18",
        marketing_consent=True,
        created_at=at("11-03 10:20"),
        nickname="三三",
    )
    key = {
        "namespace": "wecom.external_userid",
        "scope": "ww1234",
        "value": "wmZhang001",
        "strength": "strong",
        "verified": True,
        "live": True,
    }
    masked = {"id": LI, "kind": "person", "name": "李*", "contacts": [{"kind": "phone", "value": "138****8001"}]}
    till = {
        "id": SECOND, "account": "pos-nanjing", "external_id": "NJ-20261109-0087", "channel": "feed", "placed_at": at("11-09 15:42"),
        "paid_at": at("11-09 15:42"), "lifecycle": "completed", "payment": "partially_refunded", "fulfilment": "not_required", "aftersale": "completed",
        "money": {"payable": yuan(32800), "paid": yuan(32800), "refunded": yuan(9900)},
        "lines": [{"line_no": "1", "title": "护手霜礼盒", "quantity": {"value": "1", "unit": ""}, "price": yuan(32800)}],
    }  # fmt: skip
    return [
        event("staff.updated", "stf_1", 1, "11-01 09:00", "wecom", staff={"id": "stf_1", "account": "corp-wecom", "external_id": "liming", "name": "李明 · 南京店"}),
        event("customer.created", ZHANG, 1, "11-03 10:20", "wecom", customer=body | {"identities": [key]}),
        event("relationship.started", TIE, 1, "11-03 10:20", "wecom", relationship=tie, customer=who),
        event("interaction.recorded", "int_1", 1, "11-03 10:26", "wecom", customer=who, interaction={
            "id": "int_1", "account": "corp-wecom", "external_id": "m1", "type": "message", "direction": "in", "channel": "wecom", "staff": "liming",
            "occurred_at": at("11-03 10:26"), "summary": "询问围巾是否有驼色", "body": "你好，上次看的羊绒围巾还有驼色吗？"}),
        event("customer.created", SHADOW, 1, "11-09 15:42", "feed", customer={"id": SHADOW, "kind": "person", "name": "张三"}),
        event("order.refunded", SECOND, 1, "11-10 11:05", "feed", order=till | {"updated_at": at("11-10 11:05")}, customer={"id": SHADOW}, changed=["payment"]),
        event("order.created", ORDER, 1, "11-11 00:00", order=order(), customer=who, changed=["lifecycle"]),
        event("order.paid", ORDER, 2, "11-11 00:01", order=order(money=money, **paid), customer=who, changed=["payment"]),
        event("order.shipped", ORDER, 3, "11-11 09:12", customer=who, changed=["fulfilment"], order=order(
            money=money, **(paid | {"lifecycle": "processing", "fulfilment": "shipped", "shipped_at": at("11-11 09:12")}))),
        event("appointment.booked", VISIT, 1, "11-11 08:15", "hl7", appointment=visit, customer=who),
        event("customer.merged", ZHANG, 2, "11-11 09:30", "feed", customer=body, merged={"id": SHADOW}),
        event("customer.created", LI, 1, "11-11 09:40", "wecom", customer=masked),
        event("interaction.recorded", "int_2", 1, "11-11 09:41", "wecom", customer={"id": LI}, interaction={
            "id": "int_2", "account": "corp-wecom", "external_id": "s1", "type": "scan", "direction": "in", "channel": "wecom",
            "occurred_at": at("11-11 09:41"), "summary": "扫描门店活动码"}),
        event("customer.created", WANG, 1, "11-11 10:02", customer={"id": WANG, "kind": "person"}),
    ]  # fmt: skip
