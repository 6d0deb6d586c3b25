"""What the config grants to endpoints, on the audit trail: when it is first read there, when it changes, and when it is gone."""

from collections.abc import Mapping

import msgspec

from gateway import access, audit, settings, shelf
from gateway.clock import Clock

SHELF = "declared_grants"
ACTOR = "gateway"
_json = msgspec.json.Encoder(order="sorted")
_LEAST = {"grants": " ".join(f"{one.value}={how}" for one, how in access.LEAST.items()), "reason": ""}


def facts(grants: settings.Grants) -> dict[str, str]:
    """What is granted of each class, and why health data is."""
    said = " ".join(f"{one.value}={getattr(grants, one.value)}" for one in access.LEAST)
    return {"grants": said, "reason": grants.reason}


async def record(
    endpoints: Mapping[str, settings.Endpoint], *, documents: shelf.Shelf, trail: audit.Trail, clock: Clock
) -> None:
    """Record each endpoint of the config whose grants are not what was recorded last; at first, what the defaults do not say.

    On the trail before it is in force. StoreError when it cannot be recorded: then it must not be.
    """
    kept = {one.key: one for one in await documents.documents(SHELF)}
    now = clock.now()
    for name, one in endpoints.items():
        said, before = facts(one.grants), kept.pop(name, None)
        if said == (msgspec.json.decode(before.body) if before else _LEAST):
            continue
        act = audit.Act(at=now, actor=ACTOR, verb="grant", object=f"endpoint/{name}", detail={**said, "by": "config"})
        await trail.record([act])
        version = before.version if before else 0
        document = shelf.Document(shelf=SHELF, key=name, version=version + 1, body=_json.encode(said), updated=now)
        await documents.file(document, before=version)
    for name, gone in kept.items():
        act = audit.Act(at=now, actor=ACTOR, verb="remove", object=f"endpoint/{name}", detail={"by": "config"})
        await trail.record([act])
        await documents.unfile(SHELF, name, before=gone.version)
