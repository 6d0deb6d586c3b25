"""Commands that read the audit trail."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter

from gateway import audit
from gateway.clock import moment
from gateway.commands.ground import on_ground
from gateway.commands.terminal import DONE, FAULTS, Config, Json, out, show
from gateway.errors import ConfigError
from gateway.processes import Ground

audit_app = App(name="audit", help="Who did what: the audit trail. 审计。")


@audit_app.command(name="list")
def audit_list(
    *,
    config: Config = None,
    actor: str | None = None,
    verb: str | None = None,
    object_: Annotated[str | None, Parameter(name="--object")] = None,
    after: int = 0,
    limit: int = 100,
    json: Json = False,
) -> int:
    """Acts by number, those that meet every condition. 审计列表。

    Args:
        actor: Who, such as cli:wang or console:li.
        verb: What was done: erase, replay, rotate …
        object_: What it was done to: a whole id.
        after: Only acts with a higher number.
        limit: At most so many.
    """

    async def work(ground: Ground) -> Sequence[audit.Link]:
        return await ground.trail.acts(after=after, limit=limit, actor=actor, verb=verb, object=object_)

    rows = [
        {
            "number": one.number, "at": moment(one.act.at).isoformat(timespec="seconds"), "actor": one.act.actor, "verb": one.act.verb,
            "object": one.act.object, "detail": one.act.detail if json else " ".join(f"{k}={v}" for k, v in one.act.detail.items()),
        }
        for one in on_ground(config, work)
    ]  # fmt: skip
    show(rows, json=json, title="acts", empty="no such act")
    return DONE


@audit_app.command(name="verify")
def audit_verify(*, config: Config = None, head: str | None = None, json: Json = False) -> int:
    """Walk the whole chain; name every act that was edited, taken out or cut off, and print the head to note elsewhere. 校验审计链。

    Args:
        head: A head that was noted earlier, NUMBER:HASH: the trail must still hold it.
    """

    async def work(ground: Ground) -> tuple[list[audit.Fault], audit.Link | None]:
        faults = list(await ground.trail.verify())
        if head is not None:
            faults += await _unlike(ground.trail, head)
        # A newest act that cannot be read is among the faults already.
        return faults, None if faults else await ground.trail.head()

    faults, newest = on_ground(config, work)
    if faults:
        rows = [{"number": one.number, "kind": one.kind, "detail": one.detail} for one in faults]
        show(rows, json=json, title="the trail is not whole", empty="")
        return FAULTS
    noted = f"{newest.number}:{newest.mac.hex()}" if newest else "0:"
    if json:
        show([{"head": noted, "faults": 0}], json=json, title="", empty="")
    else:
        out.print(f"whole; head {noted}")
    return DONE


async def _unlike(trail: audit.Trail, head: str) -> list[audit.Fault]:
    text, found, mac = head.partition(":")
    if not found or not text.isdecimal():
        raise ConfigError(
            "a head is NUMBER:HASH", remedy="as `gateway audit verify` and the log line audit.head say it"
        )
    number = int(text)
    if number == 0:
        return []
    links = await trail.acts(after=number - 1, limit=1)
    if links and links[0].number == number and links[0].mac.hex() == mac:
        return []
    return [audit.Fault(number=number, kind="truncated", detail="the trail does not hold the head that was noted")]
