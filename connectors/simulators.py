"""Partners to play, by connector: what ``gateway simulate``, the demo and the tests drive. Not loaded by a serving gateway."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from connectors.feed import simulate as feed
from connectors.hl7 import simulate as hl7
from connectors.taobao import simulate as taobao
from connectors.wecom import simulate as wecom


class Run(Protocol):
    """Play a partner: about ``rate`` messages a second to ``url``, for ``seconds`` or until cancelled; returns how many."""

    def __call__(
        self,
        *,
        url: str,
        options: dict[str, str],
        rate: float,
        seconds: float | None,
        seed: int,
        tell: Callable[[str], None],
    ) -> Coroutine[Any, Any, int]: ...


SIMULATORS: Mapping[str, Run] = {"wecom": wecom.run, "taobao": taobao.run, "feed": feed.run, "hl7": hl7.run}
