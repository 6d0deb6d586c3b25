"""Commands for subscribers: how they are, pausing them, their secrets, and a trial."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from gateway import settings, store
from gateway.book import Entry, need_rotatable
from gateway.clock import moment
from gateway.commands.ground import on_ground, trace
from gateway.commands.terminal import DONE, FAULTS, Config, Json, out, show
from gateway.destination import Endpoint
from gateway.errors import ConfigError
from gateway.processes import Ground
from gateway.store import DeliveryState, Health
from gateway.trial import Trial, trial

endpoints_app = App(name="endpoints", help="Subscribers. 订阅端。")

Overlap = Annotated[str, Parameter(help="How long the old one signs too: 24h, 7d; 0s ends it now.")]
Asymmetric = Annotated[bool, Parameter(negative="", help="A key pair (v1a, Ed25519) instead of a shared secret.")]

_MOST = 1000


# ------------------------------------------------------------------ looking
@endpoints_app.command(name="list")
def endpoints_list(*, config: Config = None, json: Json = False) -> int:
    """Subscribers: what they ask for and see, what waits for them, and how they are. 订阅端列表。"""

    async def work(ground: Ground) -> list[dict[str, Any]]:
        disabled, health = await ground.records.disabled(), await ground.records.health()
        return [await _row(ground, entry.endpoint, disabled, health) for entry in await ground.book.entries()]

    show(
        on_ground(config, work),
        json=json,
        title="endpoints",
        empty="no endpoint is configured: add [endpoints.…] to config.toml",
    )
    return DONE


async def _row(
    ground: Ground, end: Endpoint, disabled: Mapping[str, str], health: Mapping[str, Health]
) -> dict[str, Any]:
    been = health.get(end.name)
    return {
        "name": end.name,
        "kind": end.kind.value,
        "url": end.url,
        "events": ", ".join(end.events),
        "grants": ", ".join(f"{sensitivity.value} {how}" for sensitivity, how in end.grants.items()),
        "unit": end.unit or "",
        "backlog": await _count(ground, end.name, store.OPEN),
        "dead": await _count(ground, end.name, (DeliveryState.DEAD,)),
        "state": state_of(end, disabled),
        "failing_since": _when(been.failing_since) if been else "",
    }


def state_of(end: Endpoint, disabled: Mapping[str, str]) -> str:
    """active, paused, or disabled and why."""
    if end.name in disabled:
        return f"disabled: {disabled[end.name]}"
    return "paused" if end.paused else "active"


async def _count(ground: Ground, name: str, states: Sequence[DeliveryState]) -> str:
    """How many, as far as anybody wants to count."""
    found = 0
    for state in states:
        found += len(await ground.records.deliveries(state=state, endpoint=name, limit=_MOST))
    return f"{found}" if found < _MOST else f"{_MOST} or more"


def _when(instant: int | None) -> str:
    return moment(instant).isoformat(timespec="seconds") if instant else ""


@endpoints_app.command(name="show")
def endpoints_show(name: str, *, config: Config = None, json: Json = False) -> int:
    """One subscriber, with every setting; secrets are not shown. 订阅端详情。"""

    async def work(ground: Ground) -> dict[str, Any]:
        entry = await ground.book.entry(name)
        row = await _row(ground, entry.endpoint, await ground.records.disabled(), await ground.records.health())
        return {**row, **_facts(entry)}

    facts = on_ground(config, work)
    if json:
        show([facts], json=True, title=name, empty="")
        return DONE
    show([{"setting": key, "value": _text(value)} for key, value in facts.items()], json=False, title=name, empty="")
    return DONE


def _facts(entry: Entry) -> dict[str, Any]:
    """What the list leaves out."""
    shown = settings.shown(entry.settings)
    left_out = ("kind", "url", "events", "grants", "unit", "secret", "previous_secret", "private_key")
    return {
        "from": "run time" if entry.made else "config",
        "version": entry.version,
        "secrets": len(entry.endpoint.secrets),
        "public_keys": list(entry.publics),
        "old_ones_sign_until": _when(entry.until),
        **{key: _seconds(value) for key, value in shown.items() if key not in left_out},
    }


def _seconds(value: Any) -> Any:
    """Durations as numbers."""
    if isinstance(value, list):
        return [_seconds(part) for part in value]
    return float(value) if isinstance(value, float) else value


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return msgspec.json.encode(value).decode() if value else ""
    return str(value)


# ------------------------------------------------------------------ stopping and going on
@endpoints_app.command(name="enable")
def endpoints_enable(name: str, *, config: Config = None) -> int:
    """Let a disabled endpoint receive again, from now on. 恢复订阅端。"""

    async def work(ground: Ground) -> None:
        if name not in await ground.records.disabled():
            raise ConfigError(f"endpoint {name!r} is not disabled", remedy="gateway endpoints list")
        await trace(ground, "enable", f"endpoint/{name}")
        await ground.records.enable(name, now=ground.clock.now())

    on_ground(config, work)
    out.print(f"{name} receives again")
    return DONE


@endpoints_app.command(name="pause")
def endpoints_pause(name: str, *, config: Config = None) -> int:
    """Send nothing until it is resumed; what comes meanwhile waits. 暂停订阅端。"""

    async def work(ground: Ground) -> None:
        _ = await ground.book.entry(name)
        await trace(ground, "pause", f"endpoint/{name}")
        await ground.book.pause(name)

    on_ground(config, work)
    out.print(f"{name} is paused; gateway endpoints resume {name} lets it go on")
    return DONE


@endpoints_app.command(name="resume")
def endpoints_resume(name: str, *, config: Config = None) -> int:
    """Send what waited, and what comes. 继续订阅端。"""

    async def work(ground: Ground) -> None:
        _ = await ground.book.entry(name)
        await trace(ground, "resume", f"endpoint/{name}")
        await ground.book.resume(name)

    on_ground(config, work)
    out.print(f"{name} goes on")
    return DONE


# ------------------------------------------------------------------ secrets
@endpoints_app.command(name="rotate")
def endpoints_rotate(
    name: str, *, overlap: Overlap = "24h", asymmetric: Asymmetric = False, config: Config = None
) -> int:
    """Make a new secret and show it once; the old one signs beside it for the overlap. 轮换签名密钥。"""
    try:
        seconds = settings.duration(overlap)
    except ValueError as error:
        raise ConfigError(str(error), place="--overlap") from error

    async def work(ground: Ground) -> str:
        need_rotatable(name, (await ground.book.entry(name)).settings, asymmetric=asymmetric)
        await trace(ground, "rotate", f"endpoint/{name}", what="key pair" if asymmetric else "secret")
        return (await ground.book.rotate(name, overlap=seconds, asymmetric=asymmetric)).text

    text = on_ground(config, work)
    what = "public key, for v1a signatures" if asymmetric else "new secret, shown this once"
    out.print(f"{name}: {text}\n[dim]{what}; what was there before signs too for {overlap}[/dim]")
    return DONE


# ------------------------------------------------------------------ trying
@endpoints_app.command(name="test")
def endpoints_test(name: str, *, config: Config = None, json: Json = False) -> int:
    """Send one signed operator.test event now and show what came back; it is never tried again. 测试投递。"""

    async def work(ground: Ground) -> Trial:
        entry = await ground.book.entry(name)
        await trace(ground, "test", f"endpoint/{name}")
        return await trial(entry.endpoint, ground.clock)

    found = on_ground(config, work)
    tried = found.tried
    row = {
        "event": found.id,
        "result": f"{tried.status}" if tried.status else tried.error or "",
        "ours": tried.ours,
        "seconds": round(found.took, 3),
        "response": tried.response.decode(errors="replace"),
    }
    show([row], json=json, title=f"test of {name}", empty="")
    return DONE if tried.ok else FAULTS
