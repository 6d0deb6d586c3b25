"""Who may see and do what: partners' clients and people at the console, and what they come down to.

Everything here is a pure function of what was decided and the instant: a grant that ran out is no grant, with no job that has to take it away.
"""

from collections.abc import Mapping

import msgspec

from gateway.model.values import Sensitivity

SCOPES: Mapping[str, str] = {
    "customers:read": "Customers, their identities and timelines.",
    "orders:read": "Orders.",
    "appointments:read": "Appointments.",
    "records:read": "Interactions, relationships, units, staff and stock.",
    "events:read": "The feed of events.",
    "endpoints:read": "Endpoints, deliveries and attempts.",
    "endpoints:write": "Make, change, test, pause and remove endpoints; rotate their secrets.",
    "imports:write": "Bring records in as a job.",
    "actions:write": "Have partners do something: tag, note, message, stock.",
    "exports:read": "Take records out as a job.",
    "ops:read": "Accounts, mappings, dead letters, rejects, health.",
    "ops:write": "Retry and drop dead letters, replay, settle match candidates.",
}
"""Every scope by name, with what it opens."""

LEAST = {
    Sensitivity.IDENTITY: "mask",
    Sensitivity.CONTACT: "mask",
    Sensitivity.HEALTH: "drop",
    Sensitivity.FINANCE: "drop",
}
"""What is seen of each class when nothing was granted."""


class Lent(msgspec.Struct, frozen=True, kw_only=True):
    """One class's treatment, for a time: ``until`` is an instant (microseconds) or None for good. ``reason`` is needed for health."""

    how: str
    until: int | None = None
    reason: str = ""


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A client secret as kept: its keyed hash, and until when it is taken."""

    hash: bytes
    until: int | None = None


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A partner's program. ``unit`` narrows what it reads to an org unit and those below it; ``rate`` in requests per second;
    ``accounts`` are those that it may bring records into and act through. ``until`` ends everything. ``epoch`` grows when its tokens are to end at once."""

    id: str
    name: str
    scopes: tuple[str, ...]
    unit: str | None = None
    grants: dict[str, Lent] = {}
    accounts: tuple[str, ...] = ()
    rate: float = 20.0
    burst: float = 100.0
    secrets: tuple[Secret, ...] = ()
    epoch: int = 1
    until: int | None = None
    disabled: bool = False
    created: int = 0


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever asks, at one instant. ``domain`` are the org units that may be seen, None for all. ``actor`` is what the audit trail says."""

    actor: str
    scopes: frozenset[str]
    grants: Mapping[Sensitivity, str]
    domain: frozenset[str] | None = None

    def may(self, scope: str) -> bool:
        """Whether a scope was given."""
        return scope in self.scopes

    def sees(self, unit: str | None) -> bool:
        """Whether what belongs to ``unit`` is within the domain. What belongs to no unit is the headquarters' own."""
        return self.domain is None or (unit is not None and unit in self.domain)


def in_force(client: Client, now: int) -> bool:
    """Whether the client may act at all."""
    return not client.disabled and (client.until is None or now < client.until)


def grants_of(lent: Mapping[str, Lent], now: int) -> dict[Sensitivity, str]:
    """What each class comes down to at ``now``. A grant that ran out leaves the least."""
    return {one: _how(lent.get(one.value), one, now) for one in LEAST}


def _how(lent: Lent | None, sensitivity: Sensitivity, now: int) -> str:
    if lent is None or (lent.until is not None and now >= lent.until):
        return LEAST[sensitivity]
    return lent.how


def accepted(client: Client, hashed: bytes, now: int) -> bool:
    """Whether a hashed secret is one of the client's, and still taken."""
    # Both are keyed hashes: comparing them tells nothing about a secret that a guesser could use.
    return any(one.hash == hashed and (one.until is None or now < one.until) for one in client.secrets)


def unlendable(client: Client, how: Mapping[Sensitivity, str], now: int) -> list[Sensitivity]:
    """The classes that ``client`` may not pass on treated as ``how`` says: nobody lends what they do not have, nor what they have for a time only."""
    return [one for one, treatment in how.items() if not _lends(client.grants.get(one.value), one, treatment, now)]


def beyond(own: Mapping[Sensitivity, str], how: Mapping[Sensitivity, str]) -> list[Sensitivity]:
    """The classes of which somebody with ``how`` sees what somebody with ``own`` does not."""
    return [one for one, treatment in how.items() if not _covers(own.get(one, "drop"), treatment)]


def _lends(lent: Lent | None, sensitivity: Sensitivity, how: str, now: int) -> bool:
    passing = lent is not None and lent.until is not None
    return _covers(_how(lent, sensitivity, now), how) and (not passing or _covers(LEAST[sensitivity], how))


def _covers(own: str, how: str) -> bool:
    # A pseudonym is no part of a mask, nor a mask of a pseudonym; whoever seals for a key of theirs reads all.
    return how == "drop" or own in ("clear", how)
