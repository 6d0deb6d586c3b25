"""A made-up connector, for the tests of the mapping language itself."""

from pathlib import Path
from typing import Any

import msgspec

from gateway.connector import Account, Can, Card, Decoded, Options, Secret, Text, Tools, Topic
from gateway.errors import PayloadError

FIXTURES = Path(__file__).parent / "fixtures"
FOLDER = FIXTURES / "mappings"


class ShopOptions(Options, frozen=True, kw_only=True):
    """What an account of the made-up shop sets."""

    app_key: str
    secret: Secret


class Shop(msgspec.Struct, frozen=True):
    """Speaks lines of ``key=value``."""

    account: Account

    def decode(self, topic: str, payload: bytes) -> Decoded:
        """Needs its secret to be there, as real ones do."""
        if topic == "ping" or not self.account.options.secret.reveal():
            return Decoded(data=None)
        try:
            return Decoded(data=dict(line.split("=", 1) for line in payload.decode().splitlines()))
        except ValueError:
            raise PayloadError("not key=value") from None


def aftersale(value: Any, context: Any) -> str:
    """``open`` while any case is."""
    return (
        "open"
        if isinstance(value, list) and any(isinstance(case, dict) and case.get("open") for case in value)
        else "none"
    )


def opened(account: Account, tools: Tools) -> Any:
    """The card's way in."""
    return Shop(account)


CARD = Card(
    name="shop",
    title=Text("商店", "Shop"),
    can=frozenset({Can.RECEIVE}),
    options=ShopOptions,
    topics=(
        Topic(name="trade", title=Text("交易", "Trade"), mapping="trade"),
        Topic(name="ping", title=Text("探测", "Ping")),
    ),
    open=opened,
    calls={"aftersale": aftersale},
)
