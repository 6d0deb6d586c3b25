"""Examples that the OpenAPI document carries, by operation; each fits its schema, and a test says so."""

from collections.abc import Mapping
from typing import Any

BODIES: Mapping[str, Any] = {
    "customers.lookup": {"phone": "+86 138 0013 8000"},
    "actions.ask": {
        "account": "corp-wecom",
        "action": "tag",
        "customer": "cus_0199c0c0-0000-7000-8000-000000000001",
        "parameters": {"userid": "zhangsan", "add_tag": ["etAAAAAAAA1"]},
    },
    "endpoints.make": {
        "name": "bi-east",
        "url": "https://bi.example/hooks",
        "events": ["order.*", "customer.merged"],
        "unit": "EAST",
        "filter": "data.order.money.paid.amount >= 100000",
        "grants": {"contact": "mask"},
    },
    "endpoints.replace": {"url": "https://bi.example/hooks/2", "events": ["order.*"], "unit": "EAST"},
    "endpoints.change": {"url": "https://bi.example/hooks/2", "filter": None},
    "endpoints.rotate": {"overlap": 86400, "asymmetric": False},
}
"""Bodies that are sent."""

ANSWERS: Mapping[str, Any] = {
    "customers.list": {
        "items": [
            {
                "id": "cus_0199c0c0-0000-7000-8000-000000000001",
                "kind": "person",
                "state": "active",
                "unit": "EAST",
                "name": "张*",
                "contacts": [{"kind": "phone", "value": "138****8000"}],
                "sequence": 2,
                "seen_at": "2026-11-11T00:00:01.000000Z",
            }
        ],
        "next": None,
    },
    "actions.read": {
        "id": "act_0199c0c0-0000-7000-8000-000000000001",
        "account": "corp-wecom",
        "action": "message",
        "customer": None,
        "state": "done",
        "created": "2026-11-11T00:00:01.000000Z",
        "updated": "2026-11-11T00:00:02.000000Z",
        "due": None,
        "expires": "2026-11-12T00:00:01.000000Z",
        "ended": "2026-11-11T00:00:02.000000Z",
        "tries": 1,
        "cause": None,
        "result": {"msgid": "msg00000001"},
    },
    "orders.read": {
        "id": "ord_0199c0c0-0000-7000-8000-000000000001",
        "account": "erp",
        "external_id": "SO-1001",
        "lifecycle": "confirmed",
        "payment": "paid",
        "fulfilment": "none",
        "aftersale": "none",
        "customer": "cus_0199c0c0-0000-7000-8000-000000000001",
        "money": {
            "payable": {"amount": 29900, "currency": "CNY"},
            "paid": {"amount": 29900, "currency": "CNY"},
        },
        "sequence": 2,
        "seen_at": "2026-11-11T00:01:23.000000Z",
    },
    "endpoints.test": {
        "event": "evt_0199c0c0-0000-7000-8000-000000000001",
        "ok": True,
        "status": 204,
        "error": None,
        "ours": False,
        "seconds": 0.041,
        "response": "",
    },
    "endpoints.rotate": {
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "public_key": None,
        "version": 3,
        "old_sign_until": "2026-11-12T00:00:00.000000Z",
    },
}
"""What comes back."""
