"""Accounts and the mappings they read with, as somebody may see them: names, abilities and counts, never options."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway import access
from gateway.clock import SECOND, text
from gateway.desk.hearing import Heard
from gateway.desk.lookout import HEARD
from gateway.desk.mappings import name_of
from gateway.desk.resources import Desk
from gateway.pipeline.accounts import Opened
from gateway.pipeline.versions import Standing

_heard = msgspec.json.Decoder(Heard)


async def accounts(desk: Desk, viewer: access.Viewer) -> list[dict[str, Any]]:
    """Those within the domain, in the order of the config."""
    lines = await mappings(desk, viewer)
    heard = {one.key: _heard.decode(one.body).last for one in await desk.shelf.documents(HEARD)}
    seen = [opened for opened in desk.accounts.all() if viewer.sees(opened.account.unit)]
    return [_account(desk, opened, lines, heard.get(opened.account.name, 0)) for opened in seen]


async def mappings(desk: Desk, viewer: access.Viewer) -> list[dict[str, Any]]:
    """Those that an account within the domain reads with, by name."""
    standings = await desk.mappings.versions.standings()
    found = []
    for (connector, stem), readers in desk.mappings.lines().items():
        names = [opened.account.name for opened in readers if viewer.sees(opened.account.unit)]
        standing = standings.get((connector, stem)) or Standing(connector=connector, stem=stem)
        if names:
            found.append({**await _mapping(desk, standing), "accounts": names})
    return found


async def _mapping(desk: Desk, standing: Standing) -> dict[str, Any]:
    connector, stem = standing.connector, standing.stem
    live, canary = [
        name_of(await desk.mappings.version(connector, stem, number)) if wanted else None
        for number, wanted in ((standing.live, True), (standing.canary, standing.canary))
    ]
    share = standing.share if canary else 0
    return {
        "id": f"{connector}/{stem}",
        "connector": connector,
        "stem": stem,
        "live": live,
        "canary": canary,
        "share": share,
    }


def _account(desk: Desk, opened: Opened, lines: Sequence[dict[str, Any]], heard: int) -> dict[str, Any]:
    account, card, figures = opened.account, opened.card, desk.figures
    counted = {
        "refused": figures.by("gateway_refused_total", "reason", account=account.name),
        "dead": figures.by("gateway_dead_letters_total", "cause", account=account.name),
        "partner_calls": figures.by("gateway_partner_calls_total", "outcome", account=account.name),
    }
    last = max(heard, _last(desk, account.name))
    return {
        "name": account.name, "connector": card.name, "title": card.title.en, "can": sorted(one.value for one in card.can),
        "unit": account.unit, "lane": account.lane.value if account.lane else None, "topics": [topic.name for topic in card.topics],
        "mappings": [one["live"] for one in lines if account.name in one["accounts"]], "last_seen": text(last) if last else None,
        "accepted": int(figures.total("gateway_accepted_total", account=account.name)),
        **{name: {key: int(value) for key, value in found.items() if value} for name, found in counted.items()},
    }  # fmt: skip


def _last(desk: Desk, name: str) -> int:
    """The newest sample before which something more had been counted; habits are noted once a minute only."""
    rates = desk.figures.rates("gateway_accepted_total", account=name)
    return max((at * SECOND for at, rate in zip(desk.figures.times(), rates, strict=True) if rate), default=0)
