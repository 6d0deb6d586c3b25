"""What is worth waking somebody for, and who has still to hear of it: pure rules over what was seen, and nothing else.

Something is told when it has been wrong for a while, and once more when it has been right again for as long. Each channel is told only what
differs from what it was told last: so it hears of a start once and of the end once, whatever restarts in between.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

from gateway.clock import SECOND, text

RECENT = 30 * 60 * SECOND
"""For so long a thing that happens now and then counts as going on."""
_LONGEST_WAIT = 600.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """From where on something is wrong. ``unpolled`` is how long what waits may be fetched by nobody, 0 for any time. ``backlog`` and ``deliveries`` in pieces, ``backlog_age``, ``expiring``, ``unpolled`` and ``hold`` in seconds,
    ``disk`` the share of the disk that should be free."""

    backlog: int = 10_000
    backlog_age: float = 300.0
    deliveries: int = 10_000
    expiring: float = 7 * 86_400.0
    unpolled: float = 21_600.0
    disk: float = 0.1
    hold: float = 30.0


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """A grant (``what`` is its class) or a whole client (``what`` is empty) of ``who``, that ends at ``until``."""

    who: str
    what: str
    until: int


class Unpolled(msgspec.Struct, frozen=True, kw_only=True):
    """Since when nobody fetches what waits for an endpoint, how much that is, and when the oldest of it was made."""

    since: int
    waiting: int
    oldest: int


class Silent(msgspec.Struct, frozen=True, kw_only=True):
    """An account was last heard ``since`` seconds ago and is usually heard within ``patience``; None when that is not known."""

    since: float
    patience: float | None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the rules look at, at ``now``. ``depths`` are a lane's backlogs over the last minutes, oldest first. ``unknown`` and
    ``altered`` say when it last happened, by account. ``actions`` are those of which nobody knows whether they were done. ``tokens`` are faults of renewing, by account. ``broken`` is what the audit chain lacks.
    ``blind`` are kinds that cannot be judged now: those stay as they are."""

    now: int
    depths: Mapping[str, Sequence[float]] = {}
    ages: Mapping[str, float] = {}
    deliveries: int = 0
    dead: int = 0
    actions: int = 0
    silent: Mapping[str, Silent] = {}
    tokens: Mapping[str, str] = {}
    endings: Sequence[Ending] = ()
    circuits: Collection[str] = ()
    partners: Collection[str] = ()
    disabled: Mapping[str, str] = {}
    failing: Mapping[str, str] = {}
    unpolled: Mapping[str, Unpolled] = {}
    unknown: Mapping[str, int] = {}
    altered: int | None = None
    broken: str = ""
    parts: Mapping[str, str] = {}
    free: float = 1.0
    blind: frozenset[str] = frozenset()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. ``kind`` names the words for it, which take ``facts``; ``about`` is whom it concerns. ``level`` is bad or warn."""

    kind: str
    about: str
    level: str = "warn"
    link: str = "/console"
    facts: Mapping[str, str | int] = {}

    @property
    def key(self) -> str:
        """The same for the same thing."""
        return f"{self.kind}/{self.about}"


# ---------------------------------------------------------------------- rules
def found(seen: Seen, limits: Limits) -> dict[str, Found]:
    """Everything that is wrong, by key."""
    return {one.key: one for rule in _RULES for one in rule(seen, limits)}


def _deep(seen: Seen, limits: Limits) -> Iterator[Found]:
    for lane, depths in seen.depths.items():
        depth, age = int(depths[-1]) if depths else 0, seen.ages.get(lane, 0.0)
        if depth >= limits.backlog or age >= limits.backlog_age:
            yield Found(kind="backlog", about=lane, level="bad", facts={"lane": lane, "n": depth, "age": int(age)})
        elif growing(depths, least=limits.backlog // 10):
            yield Found(kind="growing", about=lane, facts={"lane": lane, "n": depth})


def growing(depths: Sequence[float], *, least: int) -> bool:
    """Whether a queue of at least ``least`` never came down again: each third's lowest stands above the third's before."""
    if len(depths) < 9 or depths[-1] < least:
        return False
    third = len(depths) // 3
    low = [min(depths[n * third : (n + 1) * third]) for n in range(3)]
    return low[0] < low[1] < low[2]


def _queued(seen: Seen, limits: Limits) -> Iterator[Found]:
    if seen.deliveries >= limits.deliveries:
        yield Found(kind="deliveries", about="all", link="/console/endpoints", facts={"n": seen.deliveries})
    if seen.dead:
        yield Found(kind="dead", about="all", link="/console/dead", facts={"n": seen.dead})
    if seen.actions:
        yield Found(kind="actions", about="all", link="/console/connectors", facts={"n": seen.actions})


def _quiet(seen: Seen, _limits: Limits) -> Iterator[Found]:
    for name, one in seen.silent.items():
        if one.patience is not None and one.since > one.patience:
            facts: dict[str, str | int] = {
                "name": name,
                "minutes": int(one.since // 60),
                "usual": int(one.patience // 60),
            }
            yield Found(kind="silence", about=name, level="bad", link=f"/console/connectors/{name}", facts=facts)


def _credentials(seen: Seen, limits: Limits) -> Iterator[Found]:
    for name, fault in seen.tokens.items():
        facts: dict[str, str | int] = {"name": name, "cause": fault}
        yield Found(kind="token", about=name, level="bad", link=f"/console/connectors/{name}", facts=facts)
    for one in seen.endings:
        left = (one.until - seen.now) / SECOND
        if 0 < left <= limits.expiring:
            hours = max(1, int(left // 3600))
            yield Found(
                kind="grant" if one.what else "client",
                about=f"{one.who}/{one.what}" if one.what else one.who,
                link="/console/settings",
                facts={"name": one.who, "what": one.what, "hours": hours},
            )


def _circuits(seen: Seen, _limits: Limits) -> Iterator[Found]:
    for name in seen.circuits:
        yield Found(kind="circuit", about=name, link=f"/console/endpoints/{name}", facts={"name": name})
    for name in seen.partners:
        yield Found(kind="partner", about=name, level="bad", link=f"/console/connectors/{name}", facts={"name": name})


def _endpoints(seen: Seen, limits: Limits) -> Iterator[Found]:
    for name, cause in seen.disabled.items():
        yield Found(
            kind="disabled",
            about=name,
            level="bad",
            link=f"/console/endpoints/{name}",
            facts={"name": name, "cause": cause},
        )
    for name, cause in seen.failing.items():
        if name not in seen.disabled and name not in seen.unpolled:
            yield Found(kind="failing", about=name, link=f"/console/endpoints/{name}", facts={"name": name, "cause": cause})  # fmt: skip

    for name, one in seen.unpolled.items():
        if name not in seen.disabled and limits.unpolled and seen.now - one.since >= limits.unpolled * SECOND:
            yield Found(
                kind="unpolled",
                about=name,
                link=f"/console/endpoints/{name}",
                facts={"name": name, "n": one.waiting, "since": text(one.since), "oldest": text(one.oldest)},
            )


def _values(seen: Seen, _limits: Limits) -> Iterator[Found]:
    for name, last in seen.unknown.items():
        if seen.now - last < RECENT:
            yield Found(kind="unknown", about=name, link="/console/mappings", facts={"name": name})
    if seen.altered is not None and seen.now - seen.altered < RECENT:
        yield Found(kind="altered", about="vault", level="bad", link="/console/audit")
    if seen.broken:
        yield Found(kind="chain", about="audit", level="bad", link="/console/audit", facts={"cause": seen.broken})


def _house(seen: Seen, limits: Limits) -> Iterator[Found]:
    for name, reason in seen.parts.items():
        yield Found(kind="part", about=name, level="bad", facts={"name": name, "reason": reason or "?"})
    if seen.free < limits.disk:
        yield Found(kind="disk", about="data", level="bad", facts={"percent": int(seen.free * 100)})


Rule = Callable[[Seen, Limits], Iterator[Found]]
_RULES: tuple[Rule, ...] = (_house, _deep, _queued, _quiet, _credentials, _circuits, _endpoints, _values)
KINDS = (
    "part", "disk", "backlog", "growing", "deliveries", "dead", "actions", "silence", "token", "grant", "client", "circuit", "partner", "disabled",
    "failing", "unpolled", "unknown", "altered", "chain",
)  # fmt: skip
"""Every kind there is."""


# ---------------------------------------------------------------------- in time
class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What began and what ended now; ``differs`` is to be handed in again: since when (monotonic seconds) a key is not as it is kept."""

    began: Sequence[str]
    ended: Sequence[str]
    differs: Mapping[str, float]


def turn(
    differs: Mapping[str, float], going: Collection[str], wrong: Collection[str], *, hold: float, mono: float
) -> Turn:
    """Only what has differed from ``going`` (keys that are kept as going on) for ``hold`` seconds turns."""
    now = {key: differs.get(key, mono) for key in set(going) ^ set(wrong)}
    due = sorted(key for key, since in now.items() if mono - since >= hold)
    return Turn(
        began=[key for key in due if key in wrong],
        ended=[key for key in due if key not in wrong],
        differs={key: since for key, since in now.items() if key not in due},
    )


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From when to when."""

    since: int
    ended: int


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """``count`` tries to tell a channel failed, the last with ``error``; not again before ``due``."""

    count: int
    due: int
    error: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was wrong, as kept. ``told`` are the channels that believe it goes on, with the instant they were told; ``claimed`` is
    until when somebody is telling. ``past`` are earlier times, newest first."""

    found: Found
    since: int
    ended: int | None = None
    told: dict[str, int] = {}
    tries: dict[str, Try] = {}
    past: tuple[Span, ...] = ()
    claimed: int = 0
    updated: int = 0


def begun(before: Alert | None, one: Found, now: int) -> Alert:
    """``one`` goes on from now. What channels believe stays: who was never told of the last end need not be told of this start."""
    if before is None:
        return Alert(found=one, since=now, updated=now)
    past = (
        (Span(since=before.since, ended=before.ended), *before.past)[:20] if before.ended is not None else before.past
    )
    return Alert(found=one, since=now, told=before.told, past=past, updated=now)


def over(alert: Alert, now: int) -> Alert:
    """It ended now."""
    return msgspec.structs.replace(alert, ended=now, tries={}, updated=now)


def owed(alert: Alert, channels: Collection[str], *, silenced: bool, now: int) -> list[str]:
    """The channels that should be told now: that it began, or where ``ended`` is set, that it ended.

    A silence keeps a start back, and lets the end through to who heard of the start. A start that a silence kept back is told when the
    silence ends before the thing does.
    """
    if now < alert.claimed:
        return []
    if alert.ended is None:
        wanting = [] if silenced else [name for name in channels if name not in alert.told]
    else:
        wanting = [name for name in channels if name in alert.told]
    return [name for name in wanting if name not in alert.tries or now >= alert.tries[name].due]


def told(alert: Alert, outcomes: Mapping[str, str], now: int) -> Alert:
    """After telling: outcomes by channel, empty for well. A failure is tried again after 15 s, then twice as long each time, up to ten minutes."""
    believe, tries = dict(alert.told), dict(alert.tries)
    for name, error in outcomes.items():
        if error:
            count = (tries[name].count if name in tries else 0) + 1
            wait = min(_LONGEST_WAIT, 15.0 * 2 ** (count - 1))
            tries[name] = Try(count=count, due=now + int(wait * SECOND), error=error)
            continue
        tries.pop(name, None)
        if alert.ended is None:
            believe[name] = now
        else:
            believe.pop(name, None)
    return msgspec.structs.replace(alert, told=believe, tries=tries, claimed=0)
