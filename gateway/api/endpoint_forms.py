"""Settings of endpoints on their way in and out of the API: what may be said of them, what is shown, and what a merge patch makes of both."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from gateway import settings
from gateway.api import answers
from gateway.api.problems import Problem
from gateway.book import Entry
from gateway.clock import text
from gateway.desk import declared
from gateway.errors import ConfigError
from gateway.model.secret import MASK
from gateway.pipeline import filters
from gateway.subscription import Proof, faults, read

_SECRETS = ("secret", "previous_secret", "private_key")
_HELD = (*_SECRETS, "password")

Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="Unique among all endpoints.")]


class EndpointAsked(settings.Endpoint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new endpoint. Times are in seconds. Without a `secret` of its own a webhook gets one."""

    name: Name


class EndpointSeen(settings.Endpoint, frozen=True, kw_only=True):
    """An endpoint. `version` is its entity tag; `made` says whether it was made at run time, else it stands in the gateway's config and is
    changed there. Values of `headers` are masked: send the mask back and they stay as they are. `public_keys` verify `v1a` signatures; `secrets`
    is how many sign now, and `old_sign_until` when the last replaced one falls away."""

    name: str
    version: int = 0
    made: bool = True
    paused: bool = False
    public_keys: tuple[str, ...] = ()
    secrets: int = 0
    old_sign_until: datetime | None = None


class EndpointMade(EndpointSeen, frozen=True, kw_only=True):
    """`shown_once` is the secret that was made; null where there was one, or none is needed. Nobody can read it again."""

    shown_once: str | None


# ------------------------------------------------------------------ on the way in
def need_sound(name: str, one: settings.Endpoint, proof: Proof) -> None:
    """Problem 400 for the first fault of settings under this name, before anything is written down about them."""
    given = tuple(secret for secret in (one.secret, one.previous_secret) if secret is not None)
    proof = Proof(secrets=given or proof.secrets, password=one.auth.password or proof.password)
    for fault in faults(name, one, proof):
        raise invalid(fault)


def need_quick(one: settings.Endpoint) -> None:
    """Problem 400 for a filter that would hold up every other endpoint."""
    if one.filter and filters.Filter(one.filter, place="filter").cost() > filters.COSTLY:
        raise Problem(
            400, "endpoint.invalid", "takes too long on a large order", place="body.filter", remedy="ask for less, or filter on your side"
        )  # fmt: skip


def need_resaid(said: Mapping[str, Any], one: settings.Endpoint, entry: Entry) -> None:
    """Problem 400 when an endpoint is moved and what nobody can read would go along unsaid: moving it must not be a way to have it."""
    before = entry.settings
    if _whom(one.url) == _whom(before.url) and _whom(one.auth.token_url) == _whom(before.auth.token_url):
        return
    headers, auth = said.get("headers") or {}, said.get("auth") or {}
    kept = [f"headers.{name}" for name in one.headers if name in before.headers and headers.get(name, MASK) == MASK]
    if entry.endpoint.auth.password is not None and one.auth.kind != "none" and not auth.get("password"):
        kept.append("auth.password")
    if kept:
        raise Problem(
            400, "endpoint.invalid", "is kept for the address that it was given for", place=f"body.{kept[0]}", remedy="send it anew with the address"
        )  # fmt: skip


def _whom(url: str) -> str:
    """Scheme, host and port."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split('[/?#]', rest)[0]}".lower()


def asked(document: dict[str, Any]) -> settings.Endpoint:
    """Settings from outside, each of exactly its own type. Problem 400 names the field, 403 for what only the config may say."""
    plain = answers.fit(document, settings.Endpoint, "body")
    if plain.allow_private:
        raise Problem(
            403,
            "client.overreach",
            "private addresses are for endpoints of the gateway's config",
            place="body.allow_private",
        )
    try:
        return read(document, place="body")
    except ConfigError as error:
        raise invalid(error) from error


def invalid(error: ConfigError) -> Problem:
    """400, with the field as the caller knows it: `endpoints.crm.url` is `body.url` to them."""
    own, _, field = error.place.removeprefix("endpoints.").partition(".")
    place = (
        error.place.replace(": ", ".")
        if own == error.place or not error.place.startswith("endpoints.")
        else f"body.{field}"
    )
    return Problem(400, "endpoint.invalid", error.detail, place=place.rstrip(".") or "body", remedy=error.remedy)


# ------------------------------------------------------------------ on the way out
def shown(entry: Entry) -> dict[str, Any]:
    """What `EndpointSeen` describes."""
    plain = bare(entry.settings)
    # What is sent along is often a key.
    plain["headers"] = dict.fromkeys(plain["headers"], MASK)
    return {
        "name": entry.endpoint.name,
        "version": entry.version,
        "made": entry.made,
        "paused": entry.endpoint.paused,
        "public_keys": list(entry.publics),
        "secrets": len(entry.endpoint.secrets),
        "old_sign_until": text(entry.until) if entry.until else None,
        **plain,
    }


def bare(one: settings.Endpoint) -> dict[str, Any]:
    """The settings as they could be sent again."""
    plain = {name: value for name, value in settings.shown(one).items() if name not in _SECRETS}
    plain["auth"] = {name: value for name, value in plain["auth"].items() if name != "password"}
    return plain


def merged(now: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396. A null for what there is not stays, so that it is refused like any other unknown member."""
    both = dict(now)
    for name, value in asked.items():
        if isinstance(value, dict):
            inner = both.get(name)
            both[name] = merged(inner if isinstance(inner, dict) else {}, value)
        elif value is None and (name in now or name in _HELD):
            both.pop(name, None)
        else:
            both[name] = value
    return both


def unmasked(asked: dict[str, Any], one: settings.Endpoint) -> dict[str, Any]:
    """With the values of those headers that came as they were shown."""
    headers = asked.get("headers")
    if not isinstance(headers, dict):
        return asked
    kept = {name: one.headers.get(name, value) if value == MASK else value for name, value in headers.items()}
    return {**asked, "headers": kept}


def facts(one: settings.Endpoint) -> dict[str, str | int]:
    """For the trail: what is sent to whom, without whatever an address or a header may hold."""
    return {
        "kind": one.kind,
        "events": " ".join(one.events)[:200],
        "unit": one.unit or "",
        **declared.facts(one.grants),
    }
