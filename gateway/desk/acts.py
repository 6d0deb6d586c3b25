"""The audit trail, newest first: the chain itself only reads forwards."""

import msgspec

from gateway import audit

_STEP = 2000
_MOST_STEPS = 50


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What acts are meant; None is any."""

    actor: str | None = None
    verb: str | None = None
    object: str | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """``before`` goes on from here; None at the beginning of the trail."""

    links: list[audit.Link]
    before: int | None


async def newest(trail: audit.Trail, wanted: Wanted, *, before: int | None, limit: int) -> Found:
    """Up to ``limit`` acts with numbers below ``before``, newest first. Looks through a hundred thousand numbers at most and says where it stopped."""
    if before is None:
        head = await trail.head()
        before = head.number + 1 if head else 1
    links: list[audit.Link] = []
    for _ in range(_MOST_STEPS):
        if before <= 1 or len(links) >= limit:
            break
        start = max(0, before - 1 - _STEP)
        page = await trail.acts(
            after=start, limit=before - 1 - start, actor=wanted.actor, verb=wanted.verb, object=wanted.object
        )
        fresh = [one for one in reversed(page) if one.number < before][: limit - len(links)]
        links += fresh
        before = fresh[-1].number if len(links) >= limit and fresh else start + 1
    return Found(links=links, before=before if before > 1 else None)
