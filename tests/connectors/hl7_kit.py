"""Accounts and messages for the HL7 tests."""

from typing import Any

from connectors.hl7 import CARD
from connectors.hl7.listener import Listener
from connectors.hl7.options import HL7Options
from gateway.clock import TurnedClock
from gateway.connector import Account, Outcome, Request, Tools

NOW = 1_768_104_000_000_000  # 2026-01-11T04:00:00Z


async def _never(*_args: Any, **_named: Any) -> Any:
    raise AssertionError("HL7 asks nobody anything")


def listener(name: str = "his", zone: str = "Asia/Shanghai", **options: Any) -> Listener:
    """An opened account."""
    account = Account(name=name, connector="hl7", options=HL7Options(listen="127.0.0.1:0", **options), zone=zone)
    opened = CARD.open(account, Tools(clock=TurnedClock(NOW), call=_never, token=_never))
    assert isinstance(opened, Listener)
    return opened


def receive(opened: Listener, body: bytes | str, **headers: str) -> Outcome:
    """What the connector says to one frame."""
    raw = body.encode() if isinstance(body, str) else body
    return opened.receive(Request(body=raw, peer="10.0.0.1", headers=headers, received_at=NOW))


def message(
    *segments: str, kind: str = "ADT^A08^ADT_A01", control_id: str = "M1", version: str = "2.5", more: str = ""
) -> str:
    """Text of a message. ``more`` continues MSH behind MSH-12."""
    return (
        "\r".join(
            (
                f"MSH|^~\\&|HIS|SHDYYY^1.2^ISO|SCRM|GW^9.9^ISO|20260111120000||{kind}|{control_id}|P|{version}{more}",
                *segments,
            )
        )
        + "\r"
    )


PID = "PID|1||0001234^^^SHDYYY^MR||张三||19900307|M"
