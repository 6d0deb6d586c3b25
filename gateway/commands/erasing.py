"""The command that forgets a customer."""

import sys
from typing import Annotated

from cyclopts import Parameter
from rich.prompt import Confirm

from gateway.commands.ground import actor, alarm_of, on_ground
from gateway.commands.terminal import DONE, FAULTS, Config, Json, err, out, progress, show
from gateway.errors import ConfigError
from gateway.pipeline.erase import Eraser, Forgotten
from gateway.pipeline.read import Reader
from gateway.pipeline.route import Router
from gateway.processes import Ground


def erase(
    customer: str,
    *,
    reason: str,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    config: Config = None,
    json: Json = False,
) -> int:
    """Forget a customer for good: records, identities, events, the journal's payloads, and every backup's copy of them. 删除一位客户的个人信息。

    Args:
        customer: Its id, or that of one who was merged into it: all of them are forgotten.
        reason: Why, for the audit trail; no personal data.
        dry_run: Count what there is and change nothing.
        yes: Do not ask.
    """

    async def look(ground: Ground) -> Forgotten:
        return await (await _eraser(ground)).plan(customer)

    found = on_ground(config, look)
    if dry_run:
        show([_row(found)], json=json, title=f"what there is of {found.who}", empty="")
        return DONE
    if not yes:
        _confirm(found)

    async def work(ground: Ground) -> Forgotten:
        with progress() as tell:
            return await (await _eraser(ground)).erase(customer, actor=actor(), reason=reason, tell=tell)

    done = on_ground(config, work)
    show([{**_row(done), "clean": done.clean}], json=json, title=f"forgotten: {done.who}", empty="")
    if not done.clean:
        err.print(
            "[yellow]an older copy still lies in a write-ahead log[/yellow]: somebody was reading it; run this once more"
        )
    return DONE if done.clean else FAULTS


async def _eraser(ground: Ground) -> Eraser:
    return Eraser(
        log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock, router=Router(await ground.book.endpoints()),
        reader=Reader(accounts=ground.accounts, vault=ground.vault, clock=ground.clock), trail=ground.trail,
        alarm=await alarm_of(ground),
    )  # fmt: skip


def _row(found: Forgotten) -> dict[str, object]:
    return {
        "customer": found.who, "customers": found.customers, **found.records, "identities": found.identities, "events": found.events,
        "answers": found.answers, "entries": found.entries, "unread": found.unread, "secrets": found.secrets,
    }  # fmt: skip


def _confirm(found: Forgotten) -> None:
    show([_row(found)], json=False, title=f"what there is of {found.who}", empty="")
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to confirm it", remedy="add --yes")
    if not Confirm.ask("forget all of it? It cannot be undone", console=out, default=False):
        raise ConfigError("nothing was done")
