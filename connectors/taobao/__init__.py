"""Taobao and Tmall: trades and refunds of one shop, by the message channel TMC and the open platform TOP."""

from typing import cast

from connectors.taobao import trade
from connectors.taobao.actions import ACTIONS
from connectors.taobao.options import TaobaoOptions
from connectors.taobao.shop import Shop
from gateway.connector import Account, Can, Card, Connector, Text, Tools, Topic


def _open(account: Account, tools: Tools) -> Connector:
    # Only the verbs that the card names are ever called.
    return cast(Connector, Shop(account, tools))


CARD = Card(
    name="taobao",
    title=Text("淘宝天猫", "Taobao and Tmall"),
    can=frozenset({Can.SERVE, Can.PULL, Can.FETCH, Can.PROBE, Can.ACT}),
    options=TaobaoOptions,
    topics=(
        Topic(name="tmc_trade", title=Text("交易消息", "Trade message")),
        Topic(name="tmc_refund", title=Text("退款消息", "Refund message")),
        Topic(name="tmc_other", title=Text("其他消息", "Other message")),
        Topic(name="trade", title=Text("交易详情（含退款）", "Trade with its refunds"), mapping="trade"),
        Topic(name="refund", title=Text("退款详情（交易已不可读）", "Refund whose trade is gone"), mapping="refund"),
    ),
    open=_open,
    actions=ACTIONS,
    # Every five minutes, ten minutes over again (the search lags), never more than the advised half hour at once.
    pulls={"trade": (300.0, 600.0, 1800.0), "refund": (300.0, 600.0, 1800.0)},
    calls={
        "lifecycle_key": trade.lifecycle_key,
        "payment": trade.payment,
        "fulfilment": trade.fulfilment,
        "case_in_charge": trade.case_in_charge,
        "case_kind": trade.case_kind,
        "completed_time": trade.completed_time,
        "postcode": trade.postcode,
        "payable": trade.payable,
        "paid": trade.paid,
        "refunded": trade.refunded,
    },
)
