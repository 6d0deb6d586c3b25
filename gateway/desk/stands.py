"""Where one journey stands, in words and with what to do about it. Pure: decided from what was assembled."""

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlencode

import msgspec

from gateway.clock import SECOND
from gateway.desk.flow import Journey, Sent, Verdict, delivered
from gateway.store import DeliveryState

_PATIENCE = 30 * SECOND
_RANK = {"bad": 0, "warn": 1, "busy": 2, "calm": 3, "good": 4}
_CALM = {
    Verdict.NOTHING: "nothing",
    Verdict.ASKED: "asked",
    Verdict.ERASED: "erased",
    Verdict.SUPERSEDED: "superseded",
    Verdict.DROPPED: "dropped",
}


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence. ``key`` names the words (``fs_<key>``, and ``fs_<key>_do`` where there is something to do), which take ``facts``. ``level``
    is bad (it stands still until somebody acts), warn (it fails and is tried again), busy, calm (nothing is left to do) or good."""

    key: str
    level: str
    link: str = ""
    facts: Mapping[str, str | int] = {}


Facts = Mapping[str, str | int]


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What stands around a journey: endpoints that are disabled and why, paused ones, those that poll, entries not projected, and the instant."""

    now: int
    disabled: Mapping[str, str] = {}
    paused: Collection[str] = ()
    polled: Collection[str] = ()
    backlog: int = 0


def stands(journey: Journey, outside: Outside) -> list[Stand]:
    """What to say of it, worst first; never nothing."""
    if journey.told:
        found = [one for sent in journey.sent if (one := _of_delivery(sent, outside)) is not None]
        return sorted(found, key=lambda one: _RANK[one.level]) or [_through(journey)]
    return [_of_entry(journey, outside)]


def top(found: Sequence[Sequence[Stand]]) -> list[Stand]:
    """Of several journeys, the newest first: everything that needs somebody, each once and worst first; else the newest's own."""
    wrong = [one for some in found for one in some if one.level in ("bad", "warn")]
    unlike = {(one.key, one.link, tuple(one.facts.items())): one for one in wrong}
    return sorted(unlike.values(), key=lambda one: _RANK[one.level]) or list(found[0][:1] if found else ())


def _of_entry(journey: Journey, outside: Outside) -> Stand:
    verdict, letter = journey.verdict, journey.letter
    if verdict is Verdict.DEAD and letter is not None:
        query = urlencode(
            {"kind": "entry", "of": f"{letter.account}/{letter.topic}", "stage": letter.stage, "cause": letter.cause}
        )
        facts: Facts = {"stage": letter.stage, "cause": letter.cause, "detail": letter.detail}
        return Stand(key="dead", level="bad", link=f"/console/dead/group?{query}", facts=facts)
    if verdict is Verdict.WAITING:
        waited = max(0, outside.now - journey.at)
        level = "busy" if waited < _PATIENCE else "bad"
        figures = {"seconds": waited // SECOND, "n": outside.backlog}
        return Stand(key="waiting" if level == "busy" else "stuck", level=level, link="/console", facts=figures)
    if verdict in (Verdict.DUPLICATE, Verdict.RETRIED) and journey.twin:
        key = "duplicate" if verdict is Verdict.DUPLICATE else "retried"
        return Stand(key=key, level="calm", link=f"/console/flow?q={journey.twin}", facts={"twin": journey.twin})
    if verdict is Verdict.RETRIED:
        return Stand(key="retrying", level="busy")
    return Stand(key=_CALM.get(verdict, "nothing"), level="calm")


def _of_delivery(sent: Sent, outside: Outside) -> Stand | None:
    one = sent.delivery
    link = f"/console/endpoints/{one.endpoint}"
    facts: dict[str, str | int] = {"endpoint": one.endpoint, "tries": one.tries, "cause": one.cause or "—"}
    match one.state:
        case DeliveryState.DONE:
            return None
        case DeliveryState.DEAD:
            query = urlencode({"kind": "delivery", "of": one.endpoint, "stage": "delivery", "cause": one.cause or ""})
            return Stand(key="given_up", level="bad", link=f"/console/dead/group?{query}", facts=facts)
        case DeliveryState.DISABLED:
            why = outside.disabled.get(one.endpoint, one.cause or "—")
            return Stand(key="held", level="bad", link=link, facts={**facts, "cause": why})
        case DeliveryState.CANCELLED:
            return Stand(key="cancelled", level="calm", link=link, facts=facts)
        case _:
            return _open(sent, outside, link, facts)


def _open(sent: Sent, outside: Outside, link: str, facts: Facts) -> Stand:
    one = sent.delivery
    if one.endpoint in outside.paused:
        return Stand(key="paused", level="warn", link=link, facts=facts)
    if one.endpoint in outside.polled:
        return Stand(key="polled", level="busy", link=link, facts=facts)
    if one.state is DeliveryState.WAITING:
        return Stand(key="behind", level="warn", link=link, facts=facts)
    if one.tries:
        return Stand(key="failing", level="warn", link=link, facts=facts)
    return Stand(key="sending", level="busy", link=link, facts=facts)


def _through(journey: Journey) -> Stand:
    if journey.verdict is Verdict.SETTLED and not journey.sent:
        return Stand(key="settled", level="calm")
    if not journey.sent:
        return Stand(key="nobody", level="calm", link="/console/endpoints")
    end = delivered(journey)
    took = 0 if end is None else max(0, end - journey.at) // 1000
    return Stand(key="through", level="good", facts={"n": len(journey.sent), "ms": took})
