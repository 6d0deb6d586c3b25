"""WeCom (企业微信): customers and their groups, messages and events of apps, members and departments, WeChat customer service."""

from connectors.wecom.account import WeCom
from connectors.wecom.actions import ACTIONS
from connectors.wecom.catalogue import TOPICS
from connectors.wecom.options import Options
from connectors.wecom.rehearsal import rehearse
from gateway.connector import Can, Card, Limit, Text

__all__ = ["CARD"]

_DAY = 86_400.0
# The API lists everything there is, whatever the window: one long window a day, never several short ones.
_ALL = (_DAY, 0.0, 3660 * _DAY)

CARD = Card(
    name="wecom",
    title=Text("企业微信", "WeCom"),
    can=frozenset({Can.RECEIVE, Can.PULL, Can.FETCH, Can.PROBE, Can.ACT}),
    options=Options,
    topics=TOPICS,
    open=WeCom,
    rehearse=rehearse,
    actions=ACTIONS,
    limits=(
        Limit(title=Text("每企业每接口每分钟", "per corp and API, a minute"), calls=10_000, seconds=60),
        Limit(title=Text("每企业每接口每小时", "per corp and API, an hour"), calls=150_000, seconds=3600),
        Limit(title=Text("每出口地址每分钟", "per address, a minute"), calls=20_000, seconds=60),
    ),
    pulls={"customer": _ALL, "user": _ALL, "department": _ALL, "chat": _ALL},
)
