"""The generic feed: whatever an ERP, OA, WMS, POS, web form, hotline or device can post or drop as a file."""

from typing import Any, cast

from connectors.feed.intake import OTHER, Feed
from connectors.feed.options import FeedOptions
from gateway.connector import Account, Can, Card, Connector, Text, Tools, Topic


def _open(account: Account, tools: Tools) -> Connector:
    # Only the verbs that the card names are ever called.
    return cast(Connector, Feed(account, tools))


def _code_scope(_value: Any, context: Any) -> str:
    """Whose customer codes these are. A company's customers and its orders often come from one system by two accounts."""
    return str(context.options.get("system") or context.account)


def _stems(options: FeedOptions) -> tuple[str, ...]:
    return (options.mapping.rpartition("/")[2],)


CARD = Card(
    name="feed",
    title=Text("通用数据接入（ERP、OA、WMS、POS、表单等）", "Generic feed (ERP, OA, WMS, POS, forms)"),
    can=frozenset({Can.RECEIVE, Can.IMPORT}),
    options=FeedOptions,
    topics=(
        Topic(name="customer", title=Text("客户资料", "Customer"), mapping="customer"),
        Topic(name="order", title=Text("订单", "Order"), mapping="order"),
        Topic(name="unit", title=Text("组织（总部、大区、门店）", "Org unit"), mapping="unit"),
        Topic(name=OTHER, title=Text("自定义记录", "Record with a mapping of one's own")),
    ),
    open=_open,
    calls={"code_scope": _code_scope},
    stems=_stems,
)
