"""How the secrets of an endpoint follow each other: pure functions of what is kept and the instant."""

from typing import Any

import msgspec

from gateway import settings
from gateway.clock import SECOND
from gateway.errors import ConfigError
from gateway.model.secret import Secret

MOST = 5
"""Old ones that may sign beside the newest: each makes every header longer."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A ``whsec_`` or ``whsk_`` text, and the instant (microseconds) at which it signs no more; None while it is the newest."""

    text: Secret
    until: int | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What of an endpoint is kept sealed: keys newest first, and the ``auth.password`` of one that was made at run time."""

    secrets: tuple[Key, ...] = ()
    keys: tuple[Key, ...] = ()
    password: Secret | None = None


def live(keys: tuple[Key, ...], now: int) -> tuple[Secret, ...]:
    """Those that sign at ``now``, newest first."""
    return tuple(one.text for one in keys if one.until is None or one.until > now)


def turned(keys: tuple[Key, ...], fresh: Secret, now: int, overlap: float) -> tuple[Key, ...]:
    """``fresh`` before those that go on for at most ``overlap`` seconds; none is prolonged. ConfigError when they would be too many."""
    until = now + int(overlap * SECOND)
    old = [msgspec.structs.replace(one, until=until if one.until is None else min(one.until, until)) for one in keys]
    old = [one for one in old if one.until is not None and one.until > now]
    if len(old) >= MOST:
        raise ConfigError(
            f"{len(old)} secrets sign beside each other already",
            remedy="wait until one falls away, or rotate with --overlap 0s",
        )
    return (Key(text=fresh), *old)


def merged(one: settings.Endpoint, held: Held) -> Held:
    """What is kept after settings with these secrets came in: a secret that is given replaces those that were."""
    secrets = tuple(Key(text=text) for text in (one.secret, one.previous_secret) if text is not None)
    keys = (Key(text=one.private_key),) if one.private_key else held.keys
    password = one.auth.password or (held.password if one.auth.kind != "none" else None)
    return Held(secrets=secrets or held.secrets, keys=keys, password=password)


# ------------------------------------------------------------------ as bytes
def written(value: Held | settings.Endpoint) -> bytes:
    """JSON with secrets in the open: to be sealed, or of settings that have none."""
    return msgspec.json.encode(value, enc_hook=_plain)


def read(plain: bytes) -> Held:
    """What ``written`` made of it."""
    return msgspec.json.decode(plain, type=Held, dec_hook=_typed)


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, settings.Duration):
        return float(value)
    raise NotImplementedError


def _typed(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    raise NotImplementedError
