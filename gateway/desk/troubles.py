"""What is wrong now, in words, and what to do about it: found from what is counted and kept, never guessed."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.desk.resources import Desk


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that needs a person. ``key`` names the words for it (``tr_<key>`` and its remedy ``tr_<key>_do``), which take ``facts``.
    ``level`` is bad (something stands still or is lost to somebody) or warn. ``link`` leads to where it is mended."""

    key: str
    level: str
    link: str
    facts: Mapping[str, str | int] = {}


async def now(desk: Desk, counts: Mapping[str, Any]) -> list[Trouble]:
    """Everything, worst first."""
    found = [*_parts(desk), *_counted(counts), *await _endpoints(desk)]
    return sorted(found, key=lambda one: one.level)


def _parts(desk: Desk) -> list[Trouble]:
    return [
        Trouble(key="part", level="bad", link="/console", facts={"name": part.name, "reason": part.reason or "?"})
        for part in desk.parts()
        if not part.ok
    ]


def _counted(counts: Mapping[str, Any]) -> list[Trouble]:
    known = (
        ("dead_letters", "dead", "warn", "/console/dead"),
        ("deliveries.dead", "undelivered", "warn", "/console/dead"),
        ("actions_unknown", "actions", "warn", "/console/connectors"),
        ("candidates", "matches", "warn", "/console/matches"),
    )
    return [
        Trouble(key=key, level=level, link=link, facts={"n": int(counts[name])})
        for name, key, level, link in known
        if counts.get(name)
    ]


async def _endpoints(desk: Desk) -> list[Trouble]:
    disabled = await desk.records.disabled()
    failing = await desk.records.health()
    return [
        *(
            Trouble(
                key="disabled", level="bad", link=f"/console/endpoints/{name}", facts={"name": name, "cause": cause}
            )
            for name, cause in sorted(disabled.items())
        ),
        *(
            Trouble(
                key="failing",
                level="warn",
                link=f"/console/endpoints/{name}",
                facts={"name": name, "cause": health.cause or "?"},
            )
            for name, health in sorted(failing.items())
            if health.failing_since is not None and name not in disabled
        ),
    ]
