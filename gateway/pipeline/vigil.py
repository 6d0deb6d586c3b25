"""Watching how endpoints are: who only fails is told of, and in the end disabled; who was enabled again starts afresh."""

from collections.abc import Awaitable, Callable

import msgspec
import structlog

from gateway import store
from gateway.clock import SECOND, Clock, text
from gateway.destination import Endpoint, Kind
from gateway.pipeline import operators, patience
from gateway.pipeline.operators import Operators
from gateway.store import Health

_log = structlog.get_logger()
# Health is for people and for the next start: a flapping endpoint must not cost a write for each turn.
_NOTED_EVERY = 5.0
_SEEN_EVERY = 60 * SECOND
_LINES_EVERY = 30.0
# After a restart it counts as unwatched what lies behind the last look that was kept.
_LOOKS_KEPT = 600 * SECOND
GONE = "the endpoint answered 410 Gone"


class Unpolled(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody fetches what waits: since when, how much there is, and when the oldest of it was made."""

    since: int
    waiting: int
    oldest: int


class Pulse:
    """How one endpoint is, in memory; ``kept`` is what the store knows of it."""

    __slots__ = ("cause", "failing_since", "keeps", "kept", "last_failure", "last_ok", "sequence", "warned")

    def __init__(self, name: str) -> None:
        self.kept = Health(endpoint=name)
        self.failing_since: int | None = None
        self.last_ok: int | None = None
        self.last_failure: int | None = None
        self.cause: str | None = None
        self.warned = 0
        self.sequence = 0
        self.keeps: int | None = None

    def learn(self, kept: Health) -> None:
        """Remember what was before the start; what was seen since then stands."""
        self.kept = kept
        self.sequence = kept.sequence
        if self.last_ok is None:
            self.failing_since = kept.failing_since or self.failing_since
            self.warned = kept.warned
        self.last_ok = self.last_ok or kept.last_ok
        self.last_failure = self.last_failure or kept.last_failure
        self.cause = self.cause or kept.cause

    def ok(self, now: int) -> None:
        """Something went through."""
        self.last_ok = now
        if self.failing_since is not None:
            self.afresh()

    def failed(self, now: int, cause: str) -> None:
        """Something did not."""
        self.last_failure = now
        self.cause = cause
        if self.failing_since is None:
            self.failing_since = now

    def afresh(self) -> None:
        """What was is forgotten."""
        self.failing_since = None
        self.warned = 0
        self.cause = None

    def health(self) -> Health:
        """As a row."""
        return Health(
            endpoint=self.kept.endpoint, failing_since=self.failing_since, warned=self.warned, sequence=self.sequence,
            last_ok=self.last_ok, last_failure=self.last_failure, cause=self.cause,
        )  # fmt: skip

    def moved(self) -> bool:
        """Whether the store should know. A success or failure that changes nothing is worth a write a minute at most."""
        kept = self.kept
        if self.keeps is None and self.last_ok and self.last_ok - (kept.last_ok or 0) >= _SEEN_EVERY:
            return True
        if self.keeps and self.failing_since and (self.last_failure or 0) - (kept.last_failure or 0) >= self.keeps:
            return True
        return (self.failing_since, self.warned, self.sequence) != (kept.failing_since, kept.warned, kept.sequence)


class Vigil:
    """Keeps the pulses. ``stopped`` and ``resumed`` are called with the name of an endpoint that was disabled and enabled, by whomever. ``settled``
    returns when what was tried is recorded."""

    def __init__(
        self,
        *,
        records: store.Store,
        clock: Clock,
        operators: Operators,
        stopped: Callable[[str], None],
        resumed: Callable[[str], None],
        settled: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = records
        self._clock = clock
        self._operators = operators
        self._stopped = stopped
        self._resumed = resumed
        self._settled = settled
        self._pulses: dict[str, Pulse] = {}
        self._patience: dict[str, float] = {}
        self._off: set[str] = set()
        self._condemned: dict[str, str] = {}
        self._loaded = False
        self._noted_at = -_NOTED_EVERY
        self._lines_at = -_LINES_EVERY
        self._polled: set[str] = set()
        self.unpolled: dict[str, Unpolled] = {}
        """Endpoints that somebody should fetch from, and nobody does."""

    def adopt(self, end: Endpoint) -> Pulse:
        """The pulse of an endpoint, which is watched from now on with the patience it asks for."""
        self._patience[end.name] = end.disable_after
        pulse = self._pulses.setdefault(end.name, Pulse(end.name))
        if end.kind is Kind.POLL and not end.paused:
            self._polled.add(end.name)
            pulse.keeps = _LOOKS_KEPT
        else:
            self._polled.discard(end.name)
            self.unpolled.pop(end.name, None)
        return pulse

    def dismiss(self, name: str) -> None:
        """The endpoint is no more."""
        for known in (self._pulses, self._patience, self._condemned, self.unpolled):
            known.pop(name, None)
        self._polled.discard(name)
        self._off.discard(name)

    def condemn(self, name: str, cause: str) -> None:
        """Have an endpoint disabled in the next round."""
        self._condemned[name] = cause

    async def round(self) -> None:
        """Look after everybody once. StoreError leaves what is not done for the next round."""
        if not self._loaded:
            await self._load()
        off = await self._store.disabled()
        for name, pulse in list(self._pulses.items()):
            await self._compare(name, pulse, off=name in off)
        await self._look_at_lines()
        now = self._clock.now()
        for name, pulse in list(self._pulses.items()):
            if name in self._off or pulse.failing_since is None:
                continue
            if percent := patience.step(pulse.health(), now, disable_after=self._patience.get(name, 0.0)):
                await self._warn(name, pulse, percent)
        for name, cause in list(self._condemned.items()):
            await self._disable(name, cause)
        await self.note()

    async def _load(self) -> None:
        for name, kept in (await self._store.health()).items():
            if name in self._pulses:
                self._pulses[name].learn(kept)
        self._loaded = True

    async def _look_at_lines(self) -> None:
        """What waits for those who poll, every half minute: nothing is tried there that could fail."""
        mono = self._clock.monotonic()
        if not self._polled or mono - self._lines_at < _LINES_EVERY:
            return
        self._lines_at = mono
        fetched = await self._store.health()
        for name in list(self._polled - self._off):
            pulse = self._pulses[name]
            line = await self._store.waiting(name)
            kept = fetched.get(name)
            pulse.last_ok = max(pulse.last_ok or 0, (kept.last_ok if kept else None) or 0) or None
            self._judge(name, pulse, line)

    def _judge(self, name: str, pulse: Pulse, line: store.Waiting) -> None:
        now = self._clock.now()
        base = None if line.oldest is None else max(line.oldest, pulse.last_ok or 0)
        since = patience.unfetched(pulse.health(), now, base=base)
        if since is None or base is None or line.oldest is None:
            self.unpolled.pop(name, None)
            if pulse.failing_since is not None:
                pulse.afresh()
            return
        if pulse.failing_since is not None and base > pulse.failing_since:
            # Somebody did in between, and nobody since.
            pulse.afresh()
        pulse.failing_since, pulse.last_failure = since, now
        pulse.cause = f"nobody has fetched since {text(base)}: {line.count} wait, the oldest from {text(line.oldest)}"
        self.unpolled[name] = Unpolled(since=base, waiting=line.count, oldest=line.oldest)

    async def _compare(self, name: str, pulse: Pulse, *, off: bool) -> None:
        """Somebody else may have disabled or enabled it, also while nobody was watching."""
        if off and name not in self._off:
            self._off.add(name)
            self._stopped(name)
        elif not off and (name in self._off or pulse.warned == patience.STEPS[-1]) and name not in self._condemned:
            pulse.sequence = await self._tell(operators.ENDPOINT_ENABLED, name, pulse, {})
            pulse.afresh()
            self._off.discard(name)
            self._resumed(name)

    async def _warn(self, name: str, pulse: Pulse, percent: int) -> None:
        facts = _facts(pulse, percent)
        pulse.sequence = await self._tell(
            operators.ENDPOINT_FAILING, name, pulse, facts, once=f"{pulse.failing_since}/{percent}"
        )
        pulse.warned = percent
        _log.warning("deliver.endpoint_failing", endpoint=name, percent=percent, cause=pulse.cause)
        if percent == patience.STEPS[-1]:
            days = self._patience.get(name, 0.0) / 86_400
            what = "nobody fetched" if name in self._polled else "nothing but failures"
            self._condemned[name] = f"{what} for {days:g} days, the last: {pulse.cause}"

    async def _disable(self, name: str, cause: str) -> None:
        pulse = self._pulses.get(name)
        if pulse is not None and name not in self._off:
            facts = {**_facts(pulse, None), "cause": cause}
            # Told first: a crash in between repeats both, and what was told is not told again.
            once = f"{pulse.failing_since}/off"
            pulse.sequence = await self._tell(operators.ENDPOINT_DISABLED, name, pulse, facts, once=once)
            pulse.warned = patience.STEPS[-1]
            # Disabling takes what is not recorded for untried.
            await self._settled()
            await self._store.disable(name, cause=cause, now=self._clock.now())
            self._off.add(name)
            self.unpolled.pop(name, None)
            _log.warning("deliver.endpoint_disabled", endpoint=name, cause=cause)
        self._stopped(name)
        self._condemned.pop(name, None)

    async def _tell(self, kind: str, name: str, pulse: Pulse, facts: operators.Facts, *, once: str = "") -> int:
        told = {"endpoint": name, **facts}
        return await self._operators.tell(kind, operators.of_endpoint(name), told, above=pulse.sequence, once=once)

    async def note(self, *, all_of_it: bool = False) -> None:
        """Keep what moved, every few seconds at most; ``all_of_it`` now."""
        mono = self._clock.monotonic()
        if not self._loaded or (mono - self._noted_at < _NOTED_EVERY and not all_of_it):
            return
        # One that is about to be disabled is not kept as disabled: the next start would take it for enabled again.
        moved = [pulse for name, pulse in self._pulses.items() if pulse.moved() and name not in self._condemned]
        if not moved:
            return
        self._noted_at = mono
        healths = [pulse.health() for pulse in moved]
        await self._store.note(healths)
        for pulse, kept in zip(moved, healths, strict=True):
            pulse.kept = kept


def _facts(pulse: Pulse, percent: int | None) -> dict[str, str | int | None]:
    since = None if pulse.failing_since is None else text(pulse.failing_since)
    told: dict[str, str | int | None] = {"failing_since": since, "cause": pulse.cause}
    return told if percent is None else {"percent": percent, **told}
