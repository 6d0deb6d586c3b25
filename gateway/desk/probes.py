"""Finding people by what can be guessed: a phone, an e-mail, an address, a name with a birthday.

Whoever sees contact data masked may look somebody up by a phone they were told: that is what a counter or a hotline does. Asked ten thousand
times it would fill in the four digits that a mask hides, so it is paced and left on the trail. Whoever sees nothing of it cannot ask by it
either; whoever sees it in the clear can read it anyway.
"""

import math

from gateway import access, limiter
from gateway.desk.resources import Desk
from gateway.identity import NAMESPACES
from gateway.language import phone
from gateway.model.identity import Strength
from gateway.model.values import Sensitivity

# A hundred and twenty at once, three a minute for ever: the digits of one mask take two days.
_PACE = limiter.Rate(1 / 20, 120.0)
GUESSABLE = frozenset(name for name, space in NAMESPACES.items() if space.strength is not Strength.STRONG)
"""Namespaces whose values somebody could try out."""


async def wait(desk: Desk, viewer: access.Viewer, namespace: str) -> float:
    """Seconds to wait before asking, 0.0 for none, infinite for never. What may be asked is on the trail, without what was asked for."""
    how = viewer.grants.get(Sensitivity.CONTACT, "drop")
    if namespace not in GUESSABLE or how == "clear":
        return 0.0
    if how == "drop":
        return math.inf
    answer = await desk.limits.take(f"lookup:{viewer.actor}", _PACE)
    if isinstance(answer, limiter.Refused):
        return answer.wait
    await desk.did(viewer, "lookup", namespace)
    return 0.0


def looks_like(asked: str) -> str:
    """What a text in a search box would be asked for as: phone, email, or empty for neither."""
    if "@" in asked:
        return "email"
    return "phone" if phone.e164(asked) else ""
