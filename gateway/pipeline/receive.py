"""From a partner's bytes to the platform's own answer, with the journal's commit in between."""

import functools
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from gateway import journal, limiter
from gateway.clock import Clock, new_id
from gateway.connector import Accepted, Inbound, Reason, Refused, Reply, Request
from gateway.errors import JournalError
from gateway.meters import Meters
from gateway.model.lane import Lane
from gateway.pipeline.accounts import Accounts, Opened
from gateway.store import Reject
from gateway.vault import Vault

_log = structlog.get_logger()
_KEPT_OF_A_REJECT = 4096

NOT_FOUND = Reply(status=404, body=b'{"title":"no such account","status":404}', content_type="application/problem+json")
DISABLED = Reply(
    status=503,
    body=b'{"title":"this account is disabled for now","status":503}',
    content_type="application/problem+json",
    headers=(("retry-after", "60"),),
)
TOO_LARGE = Reply(
    status=413, body=b'{"title":"larger than max_body","status":413}', content_type="application/problem+json"
)
UNAVAILABLE = Reply(
    status=503,
    body=b'{"title":"not written down, send it again","status":503}',
    content_type="application/problem+json",
    headers=(("retry-after", "5"),),
)


class Pressure(Protocol):
    """How full the house is."""

    def wait(self, lane: Lane) -> float:
        """Seconds a sender should wait before trying again; 0.0 when there is room."""
        ...


class Receiver:
    """What every door calls. ``rejected`` takes reject records for keeping and must not wait."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        log: journal.Journal,
        vault: Vault,
        clock: Clock,
        limits: limiter.Limiter,
        meters: Meters,
        pressure: Pressure,
        rejected: Callable[[Reject], None],
        wake: Callable[[], None],
        peer_rate: limiter.Rate | None = None,
    ) -> None:
        self._accounts = accounts
        self._journal = log
        self._vault = vault
        self._clock = clock
        self._limits = limits
        self._meters = meters
        # Looking up a counter by its labels costs more than counting.
        self._accepted = functools.cache(meters.accepted.labels)
        self._pressure = pressure
        self._rejected = rejected
        self._wake = wake
        self._peer_rate = peer_rate

    async def accept(self, name: str, request: Request) -> Reply:
        """The platform's own answer. A 2xx that acknowledges something is returned only after the journal's commit."""
        opened = self._accounts.get(name)
        if opened is None:
            return NOT_FOUND
        if opened.account.disabled:
            return DISABLED
        if opened.rate is not None or self._peer_rate is not None:
            pushed = await self._pace(opened, request)
            if pushed is not None:
                return pushed
        outcome = opened.connector.receive(request)
        if not isinstance(outcome, Accepted):
            return self._refuse(opened, request, outcome) if isinstance(outcome, Refused) else outcome.reply
        if not outcome.events:
            return outcome.reply
        wait = self._pressure.wait(self._lane(opened, outcome.events[0]))
        if wait:
            return self._push_back(opened, "backlog", wait)
        try:
            receipts = await self._journal.append([self.draft(opened, event) for event in outcome.events])
        except JournalError as error:
            _log.error("journal.append_failed", account=name, detail=error.detail)
            return UNAVAILABLE
        known = self._count(name, receipts)
        return outcome.reply if outcome.settle is None else outcome.settle(known)

    async def write(self, opened: Opened, events: Sequence[Inbound]) -> Sequence[journal.Receipt]:
        """Write events down. Durable when it returns; JournalError otherwise."""
        return await self.append(opened, [self.draft(opened, event) for event in events])

    async def append(self, opened: Opened, drafts: Sequence[journal.Draft]) -> Sequence[journal.Receipt]:
        """Write drafts down. Durable when it returns; JournalError otherwise."""
        receipts = await self._journal.append(drafts)
        self._count(opened.account.name, receipts)
        return receipts

    def _count(self, name: str, receipts: Sequence[journal.Receipt]) -> list[bool]:
        known = [receipt.known for receipt in receipts]
        again = known.count(True)
        if again:
            self._meters.known.labels(name, "door").inc(again)
        self._accepted(name).inc(len(known) - again)
        self._wake()
        return known

    def crowded(self, lane: Lane) -> float:
        """Seconds for which nothing more of this lane should come in; 0.0 when there is room."""
        return self._pressure.wait(lane)

    def _lane(self, opened: Opened, event: Inbound) -> Lane:
        return opened.account.lane or event.lane or opened.card.topic(event.topic).lane

    def draft(self, opened: Opened, event: Inbound) -> journal.Draft:
        """An event as it would be written down: sealed, its keys hashed."""
        now = self._clock.now()
        entry = new_id("ent", now)
        name = opened.account.name
        return journal.Draft(
            id=entry,
            account=name,
            topic=event.topic,
            lane=self._lane(opened, event),
            dedupe=self._vault.blind("dedupe", name, event.topic, event.dedupe_key),
            partition=self._vault.blind("partition", name, event.partition_key),
            received_at=now,
            payload=self._vault.seal(event.payload, entry.encode()),
        )

    async def _pace(self, opened: Opened, request: Request) -> Reply | None:
        asked = [(f"in:{opened.account.name}", opened.rate), (f"peer:{request.peer}", self._peer_rate)]
        for key, rate in asked:
            if rate is None:
                continue
            answer = await self._limits.take(key, rate)
            if isinstance(answer, limiter.Refused):
                return self._push_back(opened, "rate", answer.wait)
        return None

    def _push_back(self, opened: Opened, cause: str, wait: float) -> Reply:
        self._meters.limited.labels(opened.account.name, cause).inc()
        return Reply(
            status=429,
            body=b'{"title":"too many requests, try again later","status":429}',
            content_type="application/problem+json",
            headers=(("retry-after", str(max(1, round(wait + 0.5)))),),
        )

    def oversized(self, name: str, request: Request, size: int) -> Reply:
        """The answer to a body of ``size`` bytes, which is over the limit. None of it is kept."""
        opened = self._accounts.get(name)
        if opened is None:
            return NOT_FOUND
        outcome = Refused(reason=Reason.TOO_LARGE, reply=TOO_LARGE, detail="larger than http.max_body")
        return self._refuse(opened, request, outcome, size)

    def _refuse(self, opened: Opened, request: Request, outcome: Refused, size: int | None = None) -> Reply:
        name = opened.account.name
        self._meters.refused.labels(name, outcome.reason.value).inc()
        now = self._clock.now()
        reject = new_id("rej", now)
        sample = request.body[:_KEPT_OF_A_REJECT]
        self._rejected(
            Reject(
                id=reject,
                account=name,
                reason=outcome.reason.value,
                detail=outcome.detail,
                peer=request.peer,
                size=len(request.body) if size is None else size,
                at=now,
                body=self._vault.seal(sample, reject.encode()) if sample else None,
            )
        )
        return outcome.reply


class Gate(msgspec.Struct):
    """Pressure by backlog: bulk is pushed back first, live last. ``depth`` is refreshed by whoever measures it."""

    bulk_most: int
    live_most: int
    depth: int = 0

    def wait(self, lane: Lane) -> float:
        """See ``Pressure.wait``."""
        most = self.bulk_most if lane is Lane.BULK else self.live_most
        return 0.0 if self.depth < most else 30.0


class RejectLog:
    """Holds reject records until they are flushed, so that a forged burst costs memory for ``most`` and no more."""

    def __init__(self, most: int = 2000) -> None:
        self._most = most
        self._held: list[Reject] = []
        self.missed = 0

    def add(self, reject: Reject) -> None:
        """Keep it, or count it as missed when there are too many to keep."""
        if len(self._held) < self._most:
            self._held.append(reject)
        else:
            self.missed += 1

    def take(self) -> list[Reject]:
        """Everything held, once."""
        held, self._held = self._held, []
        return held
