"""What a partner is asked to do: how it is kept, how it goes on, and what a store of it promises.

::

    waiting ──▶ running ──▶ done
      ▲  │        │  └────▶ refused        the partner's no, or nobody there to do it to
      │  ├▶ expired         too late
      │  └▶ cancelled ◀─┐
      ├── put off ◀─────┤                  nothing was done: tried again
      └── a person ◀── unknown             it may have been done, and doing it twice would matter

An action is written down as ``running`` before the partner is called. Whoever finds it so after a crash cannot know whether the partner heard:
where a repeat is harmless it is repeated, and where it is not a person decides.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import msgspec

from gateway.clock import SECOND

LIVES = 86_400 * SECOND
"""How long an action may wait unless it says otherwise."""

LONGEST = 7 * LIVES
"""How long it may say."""

DEATHS = 5
"""An action during which the gateway died so often is not tried again by itself."""


class State(Enum):
    """``waiting`` can be taken up; ``unknown`` is for a person; the last four are final."""

    WAITING = "waiting"
    RUNNING = "running"
    UNKNOWN = "unknown"
    DONE = "done"
    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


OPEN = (State.WAITING, State.RUNNING, State.UNKNOWN)


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One action as kept; instants are microseconds.

    ``key`` is the keyed hash of the idempotency key, ``subject`` of what it is done to: those of one subject are done in their order.
    ``customer`` is whom it is about, where that is known. ``tries`` counts calls, ``deaths`` those that the gateway did not survive, ``version``
    writes. ``body`` is sealed JSON: the parameters until it ends, then what the partner answered.
    """

    id: str
    account: str
    action: str
    client: str
    customer: str | None
    key: bytes | None
    subject: bytes
    harmless: bool
    state: State = State.WAITING
    due: int
    expires: int
    created: int
    updated: int
    ended: int | None = None
    tries: int = 0
    deaths: int = 0
    version: int = 1
    cause: str | None = None
    body: bytes


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which actions are meant: all conditions that are set. ``late`` are those that were to be done before that instant."""

    account: str | None = None
    client: str | None = None
    state: State | None = None
    late: int | None = None


# ---------------------------------------------------------------------- what can happen to one
class Taken(msgspec.Struct, frozen=True):
    """The partner is about to be called."""


class Done(msgspec.Struct, frozen=True):
    """The partner did it."""


class Refused(msgspec.Struct, frozen=True):
    """It was not done and will not be."""

    cause: str


class PutOff(msgspec.Struct, frozen=True):
    """It was not done, and may be in ``wait`` seconds."""

    cause: str
    wait: float


class Silent(msgspec.Struct, frozen=True):
    """The partner was asked and nobody knows what came of it."""

    cause: str
    wait: float


class Died(msgspec.Struct, frozen=True):
    """The gateway ended while the partner was being called."""


class Late(msgspec.Struct, frozen=True):
    """Its time is over."""


class Cancelled(msgspec.Struct, frozen=True):
    """Whoever asked for it does not want it any more."""


class Again(msgspec.Struct, frozen=True):
    """A person saw that it was not done, or wants it done twice. Not after ``expires``."""

    expires: int


class Dropped(msgspec.Struct, frozen=True):
    """A person saw that it was done, or need not be."""

    cause: str


Happening = Taken | Done | Refused | PutOff | Silent | Died | Late | Cancelled | Again | Dropped


def step(one: Action, happened: Happening, now: int) -> Action | None:
    """The action as it is then, as its next version; None where that cannot happen to one in its state."""
    match one.state, happened:
        case State.WAITING, Taken() if one.due <= now < one.expires:
            return _moved(one, now, state=State.RUNNING, tries=one.tries + 1)
        case State.WAITING, Late() if one.expires <= now:
            return _ended(one, now, State.EXPIRED, one.cause)
        case State.WAITING, Cancelled():
            return _ended(one, now, State.CANCELLED, None)
        case ((State.WAITING | State.UNKNOWN), Dropped(cause)):
            return _ended(one, now, State.CANCELLED, cause)
        case State.UNKNOWN, Again(expires):
            return _moved(one, now, state=State.WAITING, due=now, expires=expires, deaths=0)
        case State.RUNNING, Done():
            return _ended(one, now, State.DONE, None)
        case State.RUNNING, Refused(cause):
            return _ended(one, now, State.REFUSED, cause)
        case State.RUNNING, PutOff(cause, wait):
            return _moved(one, now, state=State.WAITING, due=now + int(wait * SECOND), cause=cause)
        case State.RUNNING, Silent(cause, wait):
            return _unheard(one, now, due=now + int(wait * SECOND), cause=cause)
        case State.RUNNING, Died():
            died = msgspec.structs.replace(one, deaths=one.deaths + 1)
            return _unheard(died, now, due=now, cause="the gateway ended while the partner was being called")
        case _:
            return None


def _unheard(one: Action, now: int, *, due: int, cause: str) -> Action:
    if one.harmless and one.deaths < DEATHS:
        return _moved(one, now, state=State.WAITING, due=due, cause=cause)
    return _moved(one, now, state=State.UNKNOWN, cause=cause)


def _ended(one: Action, now: int, state: State, cause: str | None) -> Action:
    return _moved(one, now, state=state, ended=now, cause=cause)


def _moved(one: Action, now: int, **changes: object) -> Action:
    return msgspec.structs.replace(one, updated=now, version=one.version + 1, **changes)


# ---------------------------------------------------------------------- the store's part
class Actions(Protocol):
    """What a store keeps of actions. They are changed by ``Batch.actions``, together with what that leads to."""

    async def commission(self, action: Action) -> Action:
        """Keep a new one, durably. Where there is one with its ``key``, nothing is written and that one is returned."""
        ...

    async def take_actions(self, account: str, *, now: int, limit: int) -> Sequence[Action]:
        """Up to ``limit`` due ones of an account, oldest first, now ``running``: of each subject only the first that is not at its end, and none that
        expired. What is ``unknown`` holds up nobody."""
        ...

    async def actions(
        self, wanted: Wanted, *, limit: int = 100, after: str = "", newest: bool = False
    ) -> Sequence[Action]:
        """By id, that is, by when they were asked for: those behind ``after``, or with ``newest`` the last ones, newest first, before ``after``."""
        ...

    async def known_actions(self, ids: Sequence[str]) -> dict[str, Action]:
        """Those of these that exist."""
        ...

    async def open_actions(self, client: str, *, most: int) -> int:
        """How many of a client's are not at their end, counted up to ``most``."""
        ...
