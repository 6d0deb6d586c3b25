"""How each account is: what it said last, how far its reconciliation is behind, its platform's quota, credential and circuit, and its errors by
who can mend them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway import access, snapshot
from gateway.clock import SECOND, parse
from gateway.connector import Can, Limit
from gateway.desk.accounts import accounts
from gateway.desk.resources import Desk
from gateway.pipeline.accounts import Opened

CLASSES = ("auth", "allow_list", "quota", "schema", "upstream", "ours")
"""Who can mend it: credentials, the platform's allow-list, the pace, the shape of what is sent, the platform, this gateway."""

_REFUSED = {
    "signature": "auth", "stale": "auth", "decrypt": "auth", "receiver": "auth", "credentials": "auth", "peer": "allow_list",
    "malformed": "schema", "unsupported": "schema", "method": "schema", "too_large": "schema",
}  # fmt: skip
_PARTNER = {"partner.denied": "auth", "partner.unlisted": "allow_list", "partner.quota": "quota", "partner.down": "upstream", "partner.failed": "upstream"}  # fmt: skip
_LEVELS = {"bad": 0, "warn": 1, "good": 2, "calm": 3}


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One account. ``level`` is bad, warn, good or calm (nothing was heard yet); ``alerts`` are keys of what goes on about it. Instants in
    microseconds; ``lag`` is how far the most backward reconciliation is behind, in seconds. ``calls`` were made to the platform in the last of
    ``limit.seconds``, as far as half an hour tells."""

    opened: Opened
    level: str
    alerts: tuple[str, ...]
    heard: int | None
    lag: float | None
    rate: float
    limit: Limit | None
    calls: float
    breaker: str
    token_expires: int | None
    token_fault: str
    errors: Mapping[str, int]
    callback: str


async def conditions(desk: Desk, viewer: access.Viewer) -> list[Condition]:
    """Those within the domain, the worst first, then in the order of the config."""
    said = _worker(desk)
    heard = {one["name"]: one["last_seen"] for one in await accounts(desk, viewer)}
    going: dict[str, list[Any]] = {}
    for alert in await desk.alarms.all():
        if alert.ended is None and alert.found.kind in ("silence", "token", "partner", "unknown"):
            going.setdefault(alert.found.about, []).append(alert.found)
    lags = await _lags(desk)
    found = [
        _condition(desk, opened, said.get(opened.account.name, {}), going.get(opened.account.name, []), lags, heard)
        for opened in desk.accounts.all()
        if opened.account.name in heard
    ]
    return sorted(found, key=lambda one: _LEVELS[one.level])


def _condition(
    desk: Desk, opened: Opened, told: Mapping[str, Any], going: list[Any], lags: Mapping[str, float], heard: Mapping[str, Any]
) -> Condition:  # fmt: skip
    name, figures = opened.account.name, desk.figures
    limit = opened.card.limits[0] if opened.card.limits else None
    breaker, fault = str(told.get("breaker", "")), str(told.get("token_fault", ""))
    last = heard[name]
    errors = errors_of(desk, name)
    return Condition(
        opened=opened, level="calm" if opened.account.disabled else _level(going, breaker, fault, errors, last), alerts=tuple(one.key for one in going),
        heard=parse(last) if last else None, lag=lags.get(name), rate=figures.rate("gateway_accepted_total", account=name),
        limit=limit, calls=_calls(desk, name, limit), breaker=breaker, token_expires=told.get("token_expires"), token_fault=fault,
        errors=errors, callback=callback_of(opened, desk.premises.home),
    )  # fmt: skip


def _level(going: list[Any], breaker: str, fault: str, errors: Mapping[str, int], heard: Any) -> str:
    if breaker == "open" or fault or any(one.level == "bad" for one in going):
        return "bad"
    if going or any(errors.values()):
        return "warn"
    return "good" if heard else "calm"


def errors_of(desk: Desk, name: str) -> dict[str, int]:
    """By class, since the processes were started."""
    figures, found = desk.figures, Counter[str]()
    for reason, count in figures.by("gateway_refused_total", "reason", account=name).items():
        found[_REFUSED.get(reason, "schema")] += int(count)
    found["quota"] += int(figures.total("gateway_limited_total", account=name))
    for code, count in figures.by("gateway_partner_calls_total", "outcome", account=name).items():
        if code != "ok":
            found[_PARTNER.get(code, "ours")] += int(count)
    # What the platform answered in words, and not on the wire, is counted where it was asked for.
    for code in ("partner.denied", "partner.unlisted", "partner.failed"):
        found[_PARTNER[code]] += int(figures.total("gateway_errands_total", account=name, outcome=code))
    for cause, count in figures.by("gateway_dead_letters_total", "cause", account=name).items():
        found[
            "schema"
            if cause.startswith(("payload", "mapping"))
            else "upstream"
            if cause.startswith("partner")
            else "ours"
        ] += int(count)
    return {one: found[one] for one in CLASSES}


def _calls(desk: Desk, name: str, limit: Limit | None) -> float:
    if limit is None:
        return 0.0
    window = min(limit.seconds, 1700.0)
    return desk.figures.rate("gateway_partner_calls_total", seconds=max(10.0, window), account=name) * limit.seconds


def callback_of(opened: Opened, home: str) -> str:
    """What the partner is to be told: an address to post to, a listener to connect to, a folder to drop into; empty where we call them."""
    options, name = opened.account.options, opened.account.name
    if listen := getattr(options, "listen", None):
        return f"mllp://{listen}"
    if watch := getattr(options, "watch", None):
        return f"{home}/in/{name} · {watch}"
    return f"{home}/in/{name}" if Can.RECEIVE in opened.card.can else ""


async def _lags(desk: Desk) -> dict[str, float]:
    now = desk.clock.now()
    found: dict[str, float] = {}
    for state in await desk.records.pulls():
        found[state.account] = max(found.get(state.account, 0.0), (now - state.done) / SECOND)
    return found


def _worker(desk: Desk) -> dict[str, Any]:
    now = desk.clock.now()
    for one in desk.board.all():
        if one.role == "worker" and now - one.at < snapshot.STALE:
            found: dict[str, Any] = one.parts.get("accounts", {})
            return found
    return {}
