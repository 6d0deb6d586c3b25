"""What a subscriber asked for, checked: from the settings of an endpoint to an endpoint that can be sent to.

Everything that is accepted is read by the kind of endpoint it is given to. What is not, or does not fit together, is a ConfigError that names
the place and what to do.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway import grant, settings
from gateway.destination import Auth, Endpoint, Kind
from gateway.destinations import address, sign
from gateway.errors import ConfigError
from gateway.model import event
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.pipeline import filters, operators, retry
from gateway.pipeline.route import matches

# RFC 9110 §5.6.2, token.
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset(
    {"content-type", "content-length", "host", "connection", "transfer-encoding", "te", "upgrade", "trailer"}
)
_SCHEMES = {
    Kind.WEBHOOK: ("http", "https"),
    Kind.KAFKA: ("kafka", "kafkas"),
    Kind.REDIS: ("redis", "rediss"),
    Kind.EMAIL: ("smtp", "smtps"),
}
_EXAMPLES = {
    Kind.WEBHOOK: "https://crm.example/hooks",
    Kind.KAFKA: "kafka://host:9092/topic",
    Kind.REDIS: "redis://host:6379/0/stream",
    Kind.EMAIL: "smtp://host:587",
}
_AUTHS = {
    Kind.WEBHOOK: ("none", "basic", "bearer", "oauth2", "mtls"),
    Kind.KAFKA: ("none", "basic", "mtls"),
    Kind.REDIS: ("none", "basic", "mtls"),
    Kind.EMAIL: ("none", "basic", "mtls"),
    Kind.POLL: ("none",),
}
# What each kind of auth is made of. Nothing else may be set with it, or somebody would believe in it.
_NEEDED = {
    "none": (),
    "basic": ("username", "password"),
    "bearer": ("password",),
    "oauth2": ("token_url", "client_id", "password"),
    "mtls": ("certificate", "password"),
}
_ALLOWED = {"oauth2": ("scope",)}
_TYPES = (*event.TYPES, *operators.TYPES)
_DIGEST = 100
_DIGEST_LINGER = 900.0
_LONGEST_TIMEOUT = 120.0
# Whoever is sent to may be somebody else than who asked for it.
_MOST_TRIES = 100


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets of an endpoint as they are now, newest first; ``password`` is its ``auth.password``, unsealed."""

    secrets: tuple[Secret, ...] = ()
    keys: tuple[Secret, ...] = ()
    password: Secret | None = None


def signs(kind: str) -> bool:
    """Whether what is sent to this kind of endpoint can carry a signature."""
    return kind in ("webhook", "kafka", "redis")


def endpoint_of(name: str, one: settings.Endpoint, proof: Proof, *, paused: bool = False, version: int = 0) -> Endpoint:
    """The endpoint. ConfigError names the first thing that is wrong."""
    for check in _checks(name, one, proof):
        check()
    place, kind = f"endpoints.{name}", Kind(one.kind)
    digest = kind is Kind.EMAIL and one.batch == 1
    return Endpoint(
        name=name,
        url=one.url,
        kind=kind,
        events=one.events,
        secrets=proof.secrets,
        keys=proof.keys,
        grants=_grants(one.grants),
        recipient=_recipient(one.grants, place),
        ordered=one.ordered == "subject",
        timeout=one.timeout,
        concurrency=one.concurrency,
        schedule=one.retries or retry.SCHEDULE,
        allow_private=one.allow_private,
        headers=tuple(one.headers.items()),
        unit=one.unit,
        filter=one.filter,
        rate=one.rate,
        burst=one.burst,
        batch=_DIGEST if digest else one.batch,
        linger=one.linger or (_DIGEST_LINGER if kind is Kind.EMAIL else 0.0),
        disable_after=one.disable_after,
        auth=_auth(kind, one, proof.password, place),
        to=one.to,
        sender=one.sender,
        paused=paused,
        version=version,
    )


def faults(name: str, one: settings.Endpoint, proof: Proof) -> list[ConfigError]:
    """Everything for which ``endpoint_of`` would refuse it, at most one of a sort."""
    found = []
    for check in _checks(name, one, proof):
        try:
            check()
        except ConfigError as error:
            found.append(error)
    return found


def _checks(name: str, one: settings.Endpoint, proof: Proof) -> tuple[Callable[[], object], ...]:
    place, kind = f"endpoints.{name}", Kind(one.kind)
    return (
        lambda: _check_address(kind, one, place),
        lambda: _check_pace(kind, one, place),
        lambda: _check_headers(one, place),
        lambda: _check_parts(kind, one, proof, place),
        lambda: _check_asked(one, place),
        lambda: _recipient(one.grants, place),
        lambda: _auth(kind, one, proof.password, place),
    )


# ------------------------------------------------------------------ where to
def _check_address(kind: Kind, one: settings.Endpoint, place: str) -> None:
    if kind is Kind.POLL:
        if one.url:
            raise ConfigError("is polled: nothing is sent to it", place=f"{place}.url", remedy="take url away")
        return
    if not one.url:
        raise ConfigError(
            f"a {kind.value} endpoint needs an address", place=f"{place}.url", remedy=f"such as {_EXAMPLES[kind]}"
        )
    scheme, found, rest = one.url.partition("://")
    if not found or scheme.lower() not in _SCHEMES[kind]:
        raise ConfigError(
            f"is not an address of a {kind.value} endpoint", place=f"{place}.url", remedy=f"such as {_EXAMPLES[kind]}"
        )
    if kind is Kind.KAFKA and not rest.partition("/")[2]:
        raise ConfigError("names no topic", place=f"{place}.url", remedy=f"such as {_EXAMPLES[kind]}")
    if kind is Kind.WEBHOOK:
        _check_url(one.url, f"{place}.url")


def _check_url(url: str, place: str) -> None:
    try:
        where = address.place_of(url)
    except ConfigError as error:
        raise ConfigError(error.detail, place=place, remedy=error.remedy) from error
    if where.scheme not in ("http", "https"):
        raise ConfigError("is not an http or https address", place=place)


# ------------------------------------------------------------------ how fast
def _check_pace(kind: Kind, one: settings.Endpoint, place: str) -> None:
    _within(one.batch, 1, 100, f"{place}.batch")
    _within(one.concurrency, 1, 1000, f"{place}.concurrency")
    _within(one.timeout, 0.1, _LONGEST_TIMEOUT, f"{place}.timeout")
    for knob in ("rate", "burst", "linger", "disable_after"):
        if getattr(one, knob) < 0:
            raise ConfigError("is less than 0", place=f"{place}.{knob}")
    if len(one.retries) > _MOST_TRIES:
        raise ConfigError(f"holds more than {_MOST_TRIES} waits", place=f"{place}.retries")
    if any(wait < 0 for wait in one.retries):
        raise ConfigError("holds a wait of less than 0", place=f"{place}.retries")
    if one.burst and not one.rate:
        raise ConfigError(
            "is how many may go at once of a `rate`, and there is none", place=f"{place}.burst", remedy="set rate"
        )
    if one.linger and one.batch == 1 and kind is not Kind.EMAIL:
        raise ConfigError(
            "is how long a batch waits to fill, and there is none", place=f"{place}.linger", remedy="set batch"
        )


def _within(value: float, least: float, most: float, place: str) -> None:
    if not least <= value <= most:
        raise ConfigError(f"is not between {least:g} and {most:g}", place=place)


# ------------------------------------------------------------------ what belongs to the kind
def _check_parts(kind: Kind, one: settings.Endpoint, proof: Proof, place: str) -> None:
    if kind is Kind.EMAIL:
        _check_mail(one, place)
    elif one.to or one.sender:
        raise ConfigError(f"`to` and `sender` are for email, not for {kind.value}", place=place)
    if one.client and kind is not Kind.POLL:
        raise ConfigError(f"`client` is for poll, not for {kind.value}", place=f"{place}.client", remedy="take it away")
    if one.headers and kind is not Kind.WEBHOOK:
        raise ConfigError("only a webhook has headers", place=f"{place}.headers")
    if not signs(one.kind) and (proof.secrets or proof.keys):
        raise ConfigError(
            f"a {kind.value} endpoint has nothing to be signed with",
            place=place,
            remedy="take secret and private_key away",
        )
    for secret in proof.secrets:
        _ = sign.key_of(secret, place=f"{place}.secret")
    for key in proof.keys:
        _ = sign.private_key_of(key, place=f"{place}.private_key")


def _check_mail(one: settings.Endpoint, place: str) -> None:
    if not one.to:
        raise ConfigError(
            "an email endpoint needs somebody to write to",
            place=f"{place}.to",
            remedy='such as to = ["ops@crm.example"]',
        )
    if not one.sender:
        raise ConfigError(
            "an email endpoint needs a sender", place=f"{place}.sender", remedy='such as sender = "gateway@crm.example"'
        )
    for mailbox in (*one.to, one.sender):
        if "@" not in mailbox or not mailbox.isprintable():
            raise ConfigError(f"{mailbox!r} is no mailbox", place=place)


def _check_headers(one: settings.Endpoint, place: str) -> None:
    seen = set()
    for header, value in one.headers.items():
        where, low = f"{place}.headers.{header}", header.lower()
        if not _HEADER.fullmatch(header) or not value.isprintable():
            raise ConfigError("is not a header", place=where)
        if low in _OURS or low.startswith("webhook-") or low in seen:
            raise ConfigError("is set by the gateway, or twice", place=where, remedy="take it away")
        if low == "authorization" and one.auth.kind not in ("none", "mtls"):
            raise ConfigError("is set by auth", place=where, remedy="take one of the two away")
        seen.add(low)


# ------------------------------------------------------------------ what of
def _check_asked(one: settings.Endpoint, place: str) -> None:
    if not one.events:
        raise ConfigError("asks for no event", place=f"{place}.events", remedy='events = ["*"] asks for all')
    for pattern in one.events:
        if not any(matches(pattern, kind) for kind in _TYPES):
            raise ConfigError(
                f"no event type is called {pattern!r}", place=f"{place}.events", remedy=f"types: {', '.join(_TYPES)}"
            )
    if one.filter:
        _ = filters.Filter(one.filter, place=f"{place}.filter")


def _grants(grants: settings.Grants) -> Mapping[Sensitivity, str]:
    return {
        Sensitivity.IDENTITY: grants.identity,
        Sensitivity.CONTACT: grants.contact,
        Sensitivity.HEALTH: grants.health,
        Sensitivity.FINANCE: grants.finance,
    }


def _recipient(grants: settings.Grants, place: str) -> str:
    treatments = _grants(grants)
    text = grant.checked(treatments, reason=grants.reason, recipient=grants.recipient, place=f"{place}.grants")
    if text and grant.SEAL not in treatments.values():
        raise ConfigError(
            "no class is sealed to this key", place=f"{place}.grants.recipient", remedy='grant a class as "seal"'
        )
    return text


# ------------------------------------------------------------------ who we are
def _auth(kind: Kind, one: settings.Endpoint, password: Secret | None, place: str) -> Auth:
    given, where = one.auth, f"{place}.auth"
    if given.kind not in _AUTHS[kind]:
        raise ConfigError(
            f"a {kind.value} endpoint does not know {given.kind}",
            place=f"{where}.kind",
            remedy=f"use {', '.join(_AUTHS[kind])}",
        )
    said = {name: getattr(given, name) for name in ("username", "token_url", "client_id", "scope", "certificate")}
    said["password"] = password
    # Redis knows a password of the server itself, which belongs to nobody's name.
    optional = ("username",) if kind is Kind.REDIS and given.kind == "basic" else _ALLOWED.get(given.kind, ())
    needed = tuple(name for name in _NEEDED[given.kind] if name not in optional)
    for name in needed:
        if not said[name]:
            raise ConfigError(f"{given.kind} needs it", place=f"{where}.{name}")
    for name, value in said.items():
        if value and name not in (*needed, *optional):
            raise ConfigError(f"means nothing with kind {given.kind}", place=f"{where}.{name}", remedy="take it away")
    _check_wire(kind, one, where)
    return Auth(
        kind=given.kind,
        username=given.username,
        password=password,
        token_url=given.token_url,
        client_id=given.client_id,
        scope=given.scope,
        certificate=given.certificate,
        authority=given.authority,
    )


def _check_wire(kind: Kind, one: settings.Endpoint, place: str) -> None:
    """What is proved by certificates is proved over TLS."""
    if one.auth.kind == "oauth2":
        _check_url(one.auth.token_url, f"{place}.token_url")
    # A mail server is asked for STARTTLS.
    plain = kind is not Kind.EMAIL and one.url.partition("://")[0].lower() == _SCHEMES.get(kind, ("",))[0]
    if plain and (one.auth.kind == "mtls" or one.auth.authority):
        raise ConfigError(
            "certificates need TLS",
            place=place,
            remedy=f"an address with {_SCHEMES[kind][1]}://" if kind in _SCHEMES else "",
        )


# ------------------------------------------------------------------ from outside
def read(document: Mapping[str, Any], *, place: str) -> settings.Endpoint:
    """Settings that somebody sends at run time. ConfigError names the field, also for a reference to our environment, files or sealed secrets."""
    found: settings.Endpoint = settings.convert(_texts(document, place), settings.Endpoint, place)
    return found


def _texts(document: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A partner must not be able to read what only the config may refer to."""
    for name, value in document.items():
        if isinstance(value, str) and value.startswith(("env:", "file:", "sealed:")):
            raise ConfigError(
                "refers to something of this machine", place=f"{place}: {name}", remedy="give the value itself"
            )
        if isinstance(value, Mapping):
            _ = _texts(value, f"{place}: {name}")
    return dict(document)
