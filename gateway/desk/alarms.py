"""Alerts as they stand: kept on the shelf ``alerts``, told to the channels, silenced by somebody with a name. One process runs the rounds;
every process shows and decides.

A channel is told what differs from what it believes, and what it believes is kept: a restart repeats nothing. Before telling, the alert is
claimed by its version, so that two processes never tell one thing at once. A crash between telling and keeping tells once more, under the same
id.
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from gateway import access, audit, shelf
from gateway.clock import SECOND, Clock, derived_id, new_id
from gateway.desk import alerts, notices
from gateway.desk.alerts import Alert, Found, Limits
from gateway.desk.channels import Channel
from gateway.desk.hearing import Heard
from gateway.desk.lookout import HEARD, Lookout
from gateway.desk.notices import Notice
from gateway.errors import ConfigError, GatewayError, Stale

_log = structlog.get_logger()
ALERTS = "alerts"
SILENCES = "silences"
TESTS = "alert_tests"
EVERY = 5.0
_LEASE = 60 * SECOND
_KEPT = 30 * 86_400 * SECOND
_FRESHEN = 60 * SECOND
LONGEST_SILENCE = 30 * 86_400
_json = msgspec.json.Encoder()
_alert = msgspec.json.Decoder(Alert)


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """``key`` is the alert's. ``owner`` answers for it, ``by`` decided it."""

    key: str
    owner: str
    reason: str
    until: int
    by: str
    made: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel said to a test; ``error`` is empty for well."""

    channel: str
    error: str


_silence = msgspec.json.Decoder(Silence)
_heard = msgspec.json.Decoder(Heard)
_outcomes = msgspec.json.Decoder(list[Outcome])


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    """How alerts are told: in which language, and where the console is reached (a URL, or empty)."""

    channels: Sequence[Channel] = ()
    lang: str = "zh"
    home: str = ""


class Alarms:
    """See the module."""

    def __init__(
        self,
        *,
        documents: shelf.Shelf,
        trail: audit.Trail,
        clock: Clock,
        lookout: Lookout,
        voice: Voice,
        limits: Limits,
    ) -> None:
        self._shelf = documents
        self._trail = trail
        self._clock = clock
        self._voice = voice
        self._differs: Mapping[str, float] = {}
        self.lookout = lookout
        self.limits = limits

    @property
    def channels(self) -> list[str]:
        """Names of what is configured."""
        return [one.name for one in self._voice.channels]

    async def run(self) -> None:
        """Until cancelled: look every few seconds. A round that fails is tried again."""
        while True:
            await self._clock.sleep(EVERY)
            try:
                await self.round()
            except (GatewayError, OSError) as error:
                _log.error("alerts.round_failed", detail=str(error))

    async def close(self) -> None:
        """Let go of the channels."""
        for one in self._voice.channels:
            await one.close()

    # ------------------------------------------------------------------ a round
    async def round(self) -> None:
        """Look once; keep what began and ended; tell who has still to hear."""
        seen = await self.lookout.look()
        wrong = alerts.found(seen, self.limits)
        kept = await self._kept()
        going = {key for key, (one, _) in kept.items() if one.ended is None and one.found.kind not in seen.blind}
        turned = alerts.turn(self._differs, going, wrong, hold=self.limits.hold, mono=self._clock.monotonic())
        self._differs = turned.differs
        for key in turned.began:
            await self._begin(key, wrong[key], kept)
        for key in turned.ended:
            await self._end(key, kept)
        for key in going & set(wrong):
            await self._freshen(key, wrong[key], kept)
        if turned.began or turned.ended:
            kept = await self._kept()
        await self._tell(kept)

    async def _begin(self, key: str, one: Found, kept: Mapping[str, tuple[Alert, int]]) -> None:
        before, version = kept.get(key, (None, 0))
        if await self._file(alerts.begun(before, one, self._clock.now()), before=version):
            _log.warning("alert.started", key=key, level=one.level)

    async def _end(self, key: str, kept: Mapping[str, tuple[Alert, int]]) -> None:
        one, version = kept[key]
        if await self._file(alerts.over(one, self._clock.now()), before=version):
            _log.info("alert.ended", key=key)

    async def _freshen(self, key: str, one: Found, kept: Mapping[str, tuple[Alert, int]]) -> None:
        alert, version = kept[key]
        now = self._clock.now()
        if dict(one.facts) != dict(alert.found.facts) and now - alert.updated >= _FRESHEN and now >= alert.claimed:
            await self._file(msgspec.structs.replace(alert, found=one, updated=now), before=version)

    async def _tell(self, kept: Mapping[str, tuple[Alert, int]]) -> None:
        silenced = {one.key for one in await self.silences()}
        for key in kept:
            await self._tell_one(key, silenced=key in silenced)

    async def _tell_one(self, key: str, *, silenced: bool) -> None:
        found = await self._read(key)
        if found is None:
            return
        alert, version = found
        names = alerts.owed(alert, self.channels, silenced=silenced, now=self._clock.now())
        if not names:
            return
        claimed = msgspec.structs.replace(alert, claimed=self._clock.now() + _LEASE)
        if not await self._file(claimed, before=version):
            return
        outcomes = await self._say(self._notice(alert), names)
        for name, error in outcomes.items():
            if error:
                _log.error("alert.not_told", key=key, channel=name, detail=error)
        await self._file(alerts.told(claimed, outcomes, self._clock.now()), before=version + 1)

    async def _say(self, notice: Notice, names: Sequence[str]) -> dict[str, str]:
        async with asyncio.TaskGroup() as group:
            jobs = {one.name: group.create_task(one.tell(notice)) for one in self._voice.channels if one.name in names}
        return {name: job.result() for name, job in jobs.items()}

    def _notice(self, alert: Alert) -> Notice:
        phase = "started" if alert.ended is None else "ended"
        one, now = alert.found, self._clock.now()
        return Notice(
            id=derived_id("alt", alert.since, one.key, phase),
            phase=phase, at=now, kind=one.kind, about=one.about, level=one.level, title=notices.title_of(alert, self._voice.lang),
            remedy=notices.remedy_of(one.kind, self._voice.lang), since=alert.since, ended=alert.ended, facts=one.facts,
            link=f"{self._voice.home}{one.link}" if self._voice.home else "",
        )  # fmt: skip

    # ------------------------------------------------------------------ what people see and decide
    async def habits(self) -> dict[str, tuple[Heard, float | None]]:
        """What is known of each account, as kept; and the silence (seconds) that is nothing unusual, None while nobody can say."""
        kept = {one.key: _heard.decode(one.body) for one in await self._shelf.documents(HEARD)}
        return {name: (one, self.lookout.usual(name, one)) for name, one in kept.items()}

    async def all(self) -> list[Alert]:
        """Going on first, the worst and newest first; then what ended, newest first."""
        kept = [alert for alert, _ in (await self._kept()).values()]
        going = [one for one in kept if one.ended is None]
        ended = [one for one in kept if one.ended is not None]
        going.sort(key=lambda one: (one.found.level, -one.since))
        ended.sort(key=lambda one: -(one.ended or 0))
        return [*going, *ended]

    async def silences(self) -> list[Silence]:
        """In force now."""
        return [_silence.decode(one.body) for one in await self._shelf.documents(SILENCES)]

    async def silence(self, viewer: access.Viewer, key: str, *, owner: str, reason: str, seconds: float) -> Silence:
        """Say nothing of one alert for a while. ConfigError without an owner, a reason or an end within 30 days, or for an alert there is not."""
        owner, reason = owner.strip()[:80], reason.strip()[:400]
        if not owner or not reason:
            raise ConfigError("a silence needs an owner and a reason", place="silence", remedy="say who answers for it, and why")  # fmt: skip
        if not 0 < seconds <= LONGEST_SILENCE:
            raise ConfigError("a silence ends within 30 days", place="silence", remedy="choose how long")
        if await self._read(key) is None:
            raise ConfigError("there is no such alert", place=key[:80], remedy="reload the page")
        now = self._clock.now()
        one = Silence(key=key, owner=owner, reason=reason, until=now + int(seconds * SECOND), by=viewer.actor, made=now)
        await self._did(viewer, "alert_silence", key, owner=owner, reason=reason, seconds=int(seconds))
        kept = await self._shelf.document(SILENCES, key)
        await self._put(SILENCES, key, _json.encode(one), before=kept.version if kept else 0, expires=one.until)
        return one

    async def speak(self, viewer: access.Viewer, key: str) -> None:
        """End a silence before its time."""
        kept = await self._shelf.document(SILENCES, key)
        if kept is None:
            return
        await self._did(viewer, "alert_unsilence", key)
        await self._shelf.unfile(SILENCES, key, before=kept.version)

    async def test(self, viewer: access.Viewer) -> str:
        """Send a test through every channel; the id under which ``tested`` tells what came of it."""
        await self._did(viewer, "alert_test", "alerts", channels=" ".join(self.channels))
        now, zh = self._clock.now(), self._voice.lang == "zh"
        name = new_id("alt", now)
        notice = Notice(
            id=name, phase="test", at=now, kind="test", about="alerts", level="warn", remedy="", since=now, ended=None, facts={},
            title="这是一条测试告警，不需要处理" if zh else "This is a test; there is nothing to do",
            link=f"{self._voice.home}/console/alerts" if self._voice.home else "",
        )  # fmt: skip
        said = await self._say(notice, self.channels)
        outcomes = [Outcome(channel=channel, error=error) for channel, error in said.items()]
        await self._put(TESTS, name, _json.encode(outcomes), before=0, expires=now + 3600 * SECOND)
        return name

    async def tested(self, name: str) -> list[Outcome]:
        """What came of a test; empty when that is too long ago."""
        kept = await self._shelf.document(TESTS, name)
        return _outcomes.decode(kept.body) if kept else []

    # ------------------------------------------------------------------ keeping
    async def _did(self, viewer: access.Viewer, verb: str, about: str, **detail: str | int) -> None:
        act = audit.Act(at=self._clock.now(), actor=viewer.actor, verb=verb, object=about, detail=detail)
        await self._trail.record([act])

    async def _kept(self) -> dict[str, tuple[Alert, int]]:
        kept = await self._shelf.documents(ALERTS)
        # What an older or newer version of this gateway kept and this one has no words for is left alone.
        found = [(_alert.decode(one.body), one.version) for one in kept]
        return {alert.found.key: (alert, version) for alert, version in found if alert.found.kind in notices.TITLES}

    async def _read(self, key: str) -> tuple[Alert, int] | None:
        kept = await self._shelf.document(ALERTS, key)
        return (_alert.decode(kept.body), kept.version) if kept else None

    async def _file(self, alert: Alert, *, before: int) -> bool:
        """False when somebody else was faster."""
        expires = None if alert.ended is None or alert.told else alert.ended + _KEPT
        try:
            await self._put(ALERTS, alert.found.key, _json.encode(alert), before=before, expires=expires)
        except Stale:
            return False
        return True

    async def _put(self, place: str, key: str, body: bytes, *, before: int, expires: int | None) -> None:
        document = shelf.Document(
            shelf=place, key=key, version=before + 1, body=body, updated=self._clock.now(), expires=expires
        )
        await self._shelf.file(document, before=before)
