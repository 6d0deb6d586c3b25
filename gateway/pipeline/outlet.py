"""One endpoint at work: what is held for it, how much that may be, and what keeps it from leaving."""

import math
from collections import deque
from itertools import chain, islice

from gateway import limiter
from gateway.breaker import State
from gateway.clock import SECOND
from gateway.destination import Destination, Endpoint, Kind
from gateway.pipeline.vigil import Pulse
from gateway.store import Claimed, Delivery

# What is handed back comes again no faster than this, so that a dead endpoint's backlog, however long, costs a fixed share of the worker.
_BACK_PER_SECOND = 1000.0
_FARTHEST = 600.0
_STUCK_WAIT, _SILENT_WAIT, _NEW_WAIT = 5.0, 2.0, 0.25
_SHORTEST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
_POLL_WAIT = 3600.0
# A lease lasts a minute: nobody holds more than what leaves within a third of it.
_HOLD_SECONDS = 20.0
# A batch that takes longer to fill would outlast its leases in memory: what is for it is handed back until then.
LONG_LINGER = 5.0
_GATHERING = 0.5
_MEASURED = 0.5


class Link:
    """An open destination and how many sends it has under way."""

    __slots__ = ("busy", "destination", "retired")

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.busy = 0
        self.retired = False


class Hold:
    """How many deliveries all outlets hold together, and how many they may."""

    __slots__ = ("count", "most", "share")

    def __init__(self, most: int) -> None:
        self.most = most
        self.share = max(1, min(64, most // 8))
        self.count = 0


class Outlet:
    """First attempts before retries, at most ``window`` of both. ``mono`` are monotonic seconds, ``now`` an instant in microseconds.

    ``window`` follows the pace: an endpoint to which nothing goes through falls back to its share, which is its own whatever others hold.
    """

    def __init__(self, end: Endpoint, *, hold: Hold, pulse: Pulse, mono: float) -> None:
        self.pulse = pulse
        self._hold = hold
        self._first: deque[Claimed] = deque()
        self._again: deque[Claimed] = deque()
        self.running = 0
        self.shut_until = 0.0
        self.resting = False
        self.stopped = False
        self.full = False
        self.timed = False
        self.filling = 0
        self.flush_due = 0
        self.fault_wait = 0.0
        self.link: Link | None = None
        self._ahead: dict[str, bytes] = {}
        self._ahead_until = 0.0
        self.adopt(end, mono)

    def adopt(self, end: Endpoint, mono: float) -> None:
        """Be this endpoint from now on; what is held stays."""
        self.end = end
        self._ahead = {}
        self.key = f"endpoint:{end.name}"
        # A circuit belongs to one state of the endpoint: where it was mended nobody waits for the old one to be tried again.
        self.circuit = f"endpoint:{end.name}@{end.version}"
        self.state = State.CLOSED
        self.troubled = False
        self.batch = max(1, end.batch)
        self.linger = end.linger if self.batch > 1 else 0.0
        self.rate = limiter.Rate(end.rate, end.burst or max(1.0, end.rate)) if end.rate > 0 else None
        # A delivery whose lease ends before its time-out would is somebody else's soon.
        self.needs = int(end.timeout * SECOND)
        self.silent = end.paused or end.kind is Kind.POLL
        self._since = mono
        self._slot = 0.0
        self._unmeasured(mono)

    def _limit(self) -> int:
        if self.rate is None:
            return self._hold.most // 2
        return min(self._hold.most // 2, max(self.batch, int(self.rate.per_second * _HOLD_SECONDS * self.batch)))

    def __len__(self) -> int:
        return len(self._first) + len(self._again)

    # ------------------------------------------------------------------ holding
    def put(self, one: Claimed, mono: float) -> None:
        """Hold it until its turn."""
        if not self.running and not len(self):
            # A pace is measured while there is work; an idle hour before says nothing of it.
            self.through, self._began = 0, mono
        (self._again if one.delivery.tries else self._first).append(one)
        self._hold.count += 1

    def ready(self) -> bool:
        """Whether there is something to send, and it need not wait for company or for the endpoint's pace."""
        held = len(self._first) + len(self._again)
        return held > 0 and not self.resting and (not self.linger or self.full or held >= self.batch)

    def take(self) -> list[Claimed]:
        """The next send's worth; empty unless ``ready``."""
        if not self.ready():
            return []
        if self.batch == 1:
            self._hold.count -= 1
            return [self._first.popleft() if self._first else self._again.popleft()]
        some = self._batch()
        self._hold.count -= len(some)
        if not len(self):
            self._filled()
        return some

    def _batch(self) -> list[Claimed]:
        first, again = self._first, self._again
        # What was refused as part of a batch goes alone, so that one bad event is told from the good ones beside it.
        if not first and _refused(again[0].delivery):
            return [again.popleft()]
        some = [first.popleft() for _ in range(min(self.batch, len(first)))]
        while again and len(some) < self.batch and not _refused(again[0].delivery):
            some.append(again.popleft())
        return some

    def emptied(self) -> list[Claimed]:
        """Everything that was held."""
        held = [*self._first, *self._again]
        self._first.clear()
        self._again.clear()
        self._hold.count -= len(held)
        self._ahead = {}
        self._filled()
        return held

    def surplus(self) -> list[Claimed]:
        """What was held beyond the window, the latest first."""
        over: list[Claimed] = []
        while len(self) > self.window:
            over.append(self._again.pop() if self._again else self._first.pop())
        self._hold.count -= len(over)
        return over

    # ------------------------------------------------------------------ made ready
    def upcoming(self, most: int) -> list[Claimed]:
        """The first of what is held, in the order in which it leaves."""
        return list(islice(chain(self._first, self._again), most))

    def ready_with(self, ahead: dict[str, bytes], until: float) -> None:
        """Keep bodies by delivery for what leaves next, at most until the monotonic second ``until``."""
        self._ahead, self._ahead_until = ahead, until

    def made(self, one: Claimed, mono: float) -> bytes | None:
        """Its body, when it was made ahead and not too long ago."""
        if mono >= self._ahead_until:
            self._ahead = {}
        return self._ahead.pop(one.delivery.id, None)

    # ------------------------------------------------------------------ pace
    def measure(self, mono: float) -> None:
        """Once a second: how much went through while there was more to send, and so how much may be held from now on."""
        if self._ahead and mono >= self._ahead_until:
            self._ahead = {}
        seconds = mono - self._began
        if not len(self) or self.state is not State.CLOSED:
            # Who keeps up has no pace to be known: it could do more. Who may not be tried has none either.
            self._unmeasured(mono)
        elif seconds >= _MEASURED:
            self.stuck = not self.through
            self.pace = self.through / seconds
            floor = self._hold.share if self.stuck else max(self._hold.share, 2 * self.end.concurrency * self.batch)
            self.window = min(self._limit(), max(floor, int(self.pace * _HOLD_SECONDS)))
            self.through, self._began = 0, mono

    def _unmeasured(self, mono: float) -> None:
        self.stuck = False
        self.pace = 0.0
        self.window = self._limit()
        self.through, self._began = 0, mono

    def refusal(self, mono: float) -> float:
        """Seconds for which one more must not be held; 0.0 when it may."""
        if self.silent:
            # By how long it has been silent: soon there again after a short pause, and cheap through a long one.
            pause = min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, (mono - self._since) / 2))
            return pause if self.end.paused else _POLL_WAIT
        if self.shut_until > mono:
            return self.shut_until - mono
        held = len(self)
        if held >= self.window or (held >= self._hold.share and self._hold.count >= self._hold.most):
            return self.backlog_wait()
        return 0.0

    def back_until(self, now: int) -> int:
        """The latest instant for which something was handed back while it was silent."""
        wait = _POLL_WAIT if self.end.kind is Kind.POLL else _LONGEST_PAUSE
        return now + int((wait + _FARTHEST) * SECOND)

    def backlog_wait(self) -> float:
        """Seconds until about half of what is held is through."""
        if self.stuck:
            return _STUCK_WAIT
        if not self.pace:
            return _NEW_WAIT if self.through else _SILENT_WAIT
        return min(_STUCK_WAIT, max(0.05, len(self) / 2 / self.pace))

    def postponed(self, now: int, wait: float) -> int:
        """The instant at which one that is handed back for ``wait`` seconds shall be due."""
        due = now + wait * SECOND
        apart = SECOND / max(_BACK_PER_SECOND, 2 * self.pace)
        self._slot = max(due, self._slot + apart) if self._slot - due < _FARTHEST * SECOND else due
        return int(self._slot)

    # ------------------------------------------------------------------ batches that fill
    def fresh(self, delivery: Delivery) -> bool:
        """Whether it is to wait for company: it was neither tried nor handed back before."""
        return self.linger > 0 and not delivery.tries and delivery.due <= delivery.created

    def fill_time(self, delivery: Delivery) -> float:
        """Seconds that what is held may wait for company once this one has come."""
        if self.fresh(delivery):
            return self.linger
        return _GATHERING if self.linger > LONG_LINGER else 0.0

    def _filled(self) -> None:
        self.full = False
        self.timed = False
        self.filling += 1

    # ------------------------------------------------------------------ keeping shut
    def shut(self, mono: float, wait: float) -> None:
        """Take nothing and try nothing for ``wait`` seconds."""
        self.shut_until = mono + wait

    def stop(self) -> None:
        """Hold nothing and take nothing until ``reopen``: the endpoint is disabled, and what was held is the store's to stop."""
        _ = self.emptied()
        self.stopped = True
        self.shut_until = math.inf

    def reopen(self, mono: float) -> None:
        """Things go through again."""
        self._unmeasured(mono)
        self.stopped = False
        self.shut_until = 0.0
        self._slot = 0.0

    @property
    def word(self) -> str:
        """What it does: ``on``, ``paused``, ``polled`` (nothing is sent, somebody fetches) or ``disabled``."""
        if self.stopped:
            return "disabled"
        if self.silent:
            return "paused" if self.end.paused else "polled"
        return "on"

    @property
    def at_once(self) -> int:
        """Sends that may be under way: one while nobody knows whether they can succeed."""
        return self.end.concurrency if self.state is State.CLOSED else 1


def _refused(delivery: Delivery) -> bool:
    cause = delivery.cause or ""
    return cause.startswith("http 4") and cause != "http 429"
