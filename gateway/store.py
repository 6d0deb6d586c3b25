"""Records, identities, events, deliveries and cursors: what every way of keeping them promises.

The unit of work is a **batch**: everything that a stretch of journal entries led to, applied in one transaction together with the cursor.
A crash before the commit leaves nothing, after it everything; a batch that is applied a second time is refused (Stale).
All verbs are set-based: their number of SQL statements does not grow with the number of rows by more than one per few dozen.

Instants are microseconds. Bodies are sealed JSON (see vault.py): a store never sees a key.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol

import msgspec

from gateway.action import Action, Actions
from gateway.model.identity import Strength
from gateway.model.lane import Lane


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A row shape: frozen, by keyword."""


class Row(Kept, frozen=True, kw_only=True):
    """A record as kept. ``key`` is the keyed hash of its natural key (its id for customers); ``at`` the source's time;
    ``version`` the source's version; ``sequence`` the last event's; ``digest`` tells equal content apart from different;
    ``body`` is the sealed JSON. ``customer`` is the id it points at, as of the last merge.
    """

    id: str
    kind: str
    key: bytes
    account: str
    customer: str | None
    unit: str | None
    at: int
    version: int | None
    sequence: int
    created: int
    updated: int
    body: bytes


class Edge(Kept, frozen=True, kw_only=True):
    """One identity of one customer. ``key`` is the blind index of (namespace, scope, value); ``value`` the sealed token.

    A strong key has at most one live edge; a phone may have several.
    """

    key: bytes
    customer: str
    namespace: str
    scope: str
    strength: Strength
    verified: bool
    live: bool
    value: str
    first_seen: int
    last_seen: int


class Merge(Kept, frozen=True, kw_only=True):
    """Two customers that became one, with what is needed to undo it: ``before`` is sealed JSON of what was moved."""

    id: str
    survivor: str
    loser: str
    at: int
    reason: str
    before: bytes
    undone_at: int | None = None


class Candidate(Kept, frozen=True, kw_only=True):
    """Two customers who may be one, for a person to decide. ``a`` < ``b``. ``state`` is open, merged or rejected."""

    id: str
    a: str
    b: str
    reason: str
    at: int
    state: str = "open"


class EventRow(Kept, frozen=True, kw_only=True, gc=False):
    """A published fact. ``body`` is the whole event as sealed JSON. ``number`` is given by the store and orders the feed."""

    id: str
    type: str
    subject: str
    sequence: int
    at: int
    account: str
    entry: str
    unit: str | None
    body: bytes
    number: int = 0


class DeliveryState(Enum):
    """``due`` can be claimed; ``waiting`` stands behind an earlier one of its subject; the last four are final."""

    DUE = "due"
    LEASED = "leased"
    WAITING = "waiting"
    DONE = "done"
    DEAD = "dead"
    DISABLED = "disabled"
    CANCELLED = "cancelled"


SEALED_TABLES = (
    "records",
    "events",
    "superseded",
    "merges",
    "edges",
    "attempts",
    "rejects",
    "errands",
    "booked",
    "actions",
)

OPEN = (DeliveryState.DUE, DeliveryState.LEASED, DeliveryState.WAITING)


class Delivery(Kept, frozen=True, kw_only=True, gc=False):
    """One event for one endpoint. ``subject`` is set only where the endpoint asks for order. ``tries`` counts finished attempts."""

    id: str
    event: str
    endpoint: str
    subject: str | None
    due: int
    state: DeliveryState = DeliveryState.DUE
    tries: int = 0
    claim: str | None = None
    lease: int = 0
    created: int = 0
    cause: str | None = None


class Claimed(Kept, frozen=True, kw_only=True, gc=False):
    """A delivery under a lease, with its event. Finishing it takes the same ``claim``."""

    delivery: Delivery
    event: EventRow


class Attempt(Kept, frozen=True, kw_only=True, gc=False):
    """One try. ``status`` is the HTTP status or None; ``error`` a stable word (timeout, connect, tls, address …); ``took`` in
    microseconds; ``response`` the first bytes of the answer, sealed."""

    id: str
    delivery: str
    endpoint: str
    event: str
    at: int
    took: int
    status: int | None
    error: str | None
    response: bytes | None


class Result(Kept, frozen=True, kw_only=True, gc=False):
    """What became of a claimed delivery. ``state`` is due (again at ``due``) or final. A ``claim`` that is no longer the holder's is ignored."""

    delivery: str
    claim: str
    state: DeliveryState
    due: int
    tries: int
    attempt: Attempt | None
    cause: str | None = None


class Booked(Kept, frozen=True, kw_only=True):
    """What was decided about an endpoint at run time: ``document`` is JSON of its settings without secrets, empty where the config has
    them; ``secrets`` is sealed. ``version`` grows by one with each write."""

    name: str
    version: int
    document: bytes
    secrets: bytes
    paused: bool
    updated: int


class Health(Kept, frozen=True, kw_only=True):
    """How an endpoint has been: ``failing_since`` the first failure after which nothing succeeded, ``warned`` the highest share (percent) of
    its patience that operators were told of, ``sequence`` of the last operator event about it."""

    endpoint: str
    failing_since: int | None = None
    warned: int = 0
    sequence: int = 0
    last_ok: int | None = None
    last_failure: int | None = None
    cause: str | None = None


class Waiting(Kept, frozen=True, kw_only=True):
    """What stands in line for an endpoint: how many open deliveries, and when the first of them was made; None without any."""

    count: int = 0
    oldest: int | None = None


class Reach(Kept, frozen=True, kw_only=True):
    """How far the feed goes: the number of the newest event ever written, and the highest of those that were forgotten; 0 for none."""

    newest: int
    forgotten: int


class Served(Kept, frozen=True, kw_only=True):
    """What somebody who polls was handed, in line. ``page`` is what acknowledging names; empty when there is nothing."""

    page: str
    items: Sequence[Claimed]


class Span(Kept, frozen=True, kw_only=True):
    """Which events somebody means: all conditions that are set. ``since`` ≤ instant < ``until``; ``types`` are whole names."""

    since: int | None = None
    until: int | None = None
    subject: str | None = None
    ids: Sequence[str] = ()
    types: Sequence[str] = ()
    account: str | None = None


class Seen(Kept, frozen=True, kw_only=True):
    """An entry that was applied, by (account, dedupe)."""

    account: str
    dedupe: bytes
    entry: str
    at: int


class Superseded(Kept, frozen=True, kw_only=True):
    """A version that came too late, kept as history."""

    record: str
    entry: str
    at: int
    received: int
    body: bytes


class DeadLetter(Kept, frozen=True, kw_only=True):
    """An entry that a person must look at. ``cause`` is a stable word that groups; ``detail`` holds no payload."""

    id: str
    entry: str
    account: str
    topic: str
    stage: str
    cause: str
    detail: str
    at: int
    tries: int = 1
    state: str = "open"


class Reject(Kept, frozen=True, kw_only=True):
    """A request that was refused. ``body`` is its first bytes, sealed."""

    id: str
    account: str
    reason: str
    detail: str
    peer: str
    size: int
    at: int
    body: bytes | None


class Errand(Kept, frozen=True, kw_only=True):
    """Something to re-read from a partner: one per (account, topic, hash of key). ``key`` is sealed. ``asked`` counts askings, so that
    one that came in while an earlier was running is not lost."""

    account: str
    topic: str
    hash: bytes
    key: str
    due: int
    tries: int = 0
    asked: int = 1
    entry: str = ""
    cause: str | None = None


class PullState(Kept, frozen=True, kw_only=True):
    """How far a reconciliation has come: windows up to ``done`` are finished; ``cursor`` continues the one that ends at ``until``."""

    account: str
    topic: str
    done: int
    until: int | None = None
    cursor: str | None = None


class Wants(Kept, frozen=True, kw_only=True):
    """Everything a batch needs to know, asked at once."""

    seen: Sequence[tuple[str, bytes]] = ()
    keys: Sequence[bytes] = ()
    records: Sequence[bytes] = ()
    ids: Sequence[str] = ()
    edges_of: Sequence[str] = ()


class Found(Kept, frozen=True, kw_only=True):
    """What there is. ``edges`` by key, ``rows`` by record key, ``by_id`` by record id, ``edges_of`` by customer."""

    seen: set[tuple[str, bytes]]
    edges: dict[bytes, list[Edge]]
    rows: dict[bytes, Row]
    by_id: dict[str, Row]
    edges_of: dict[str, list[Edge]]


class Cursor(Kept, frozen=True, kw_only=True):
    """The journal is applied up to ``position`` in this lane and shard."""

    lane: Lane
    shard: int
    position: int


class Batch(Kept, frozen=True, kw_only=True):
    """What one stretch of entries led to. ``rows`` and ``edges`` are inserted or replaced by their keys.

    ``moves`` re-points every record of a merged customer to its survivor, after ``rows`` are written; ``gone`` are edges (key, customer)
    that are deleted before ``edges`` are written. ``read`` are the records that ``rows`` replace, and others that the batch relies on, as
    (id, sequence, updated) when they were looked up: one that somebody else wrote since makes the batch Stale. ``claim`` and ``lease`` hand at most ``claim_most`` of the
    new deliveries to the caller at birth, saving a claim. ``actions`` replace the versions before theirs; one that is not kept so makes it Stale.
    """

    before: Cursor | None = None
    after: Cursor | None = None
    seen: Sequence[Seen] = ()
    rows: Sequence[Row] = ()
    edges: Sequence[Edge] = ()
    merges: Sequence[Merge] = ()
    moves: Sequence[tuple[str, str]] = ()
    gone: Sequence[tuple[bytes, str]] = ()
    read: Sequence[tuple[str, int, int]] = ()
    candidates: Sequence[Candidate] = ()
    superseded: Sequence[Superseded] = ()
    events: Sequence[EventRow] = ()
    deliveries: Sequence[Delivery] = ()
    dead: Sequence[DeadLetter] = ()
    errands: Sequence[Errand] = ()
    actions: Sequence[Action] = ()
    claim: str | None = None
    lease: int = 0
    claim_most: int = 0


class Store(Actions, Protocol):
    """See the module. Every verb raises StoreError when the database cannot be reached; nothing is half done then."""

    # ------------------------------------------------------------------ project
    async def look(self, wants: Wants) -> Found:
        """Everything ``wants`` names that exists. Merged customers are returned as they are; the caller follows ``merged_into``."""
        ...

    async def apply(self, batch: Batch) -> set[str]:
        """All of it, or nothing. Stale when ``before`` is not where the cursor stands. Returns the ids of deliveries claimed at birth.

        A delivery with a subject goes to ``waiting`` when an open one of the same endpoint and subject exists, and in one batch only
        the first is not waiting. Seen keys that exist already are left alone. Candidates are unique by pair and reason; a rejected pair
        is not reopened; one that comes in as merged or rejected settles what is there. An errand that exists is asked once more and
        keeps the earlier due time, but does not become due while it runs. A record keeps its kind and key for good.

        Stale also when another worker wrote the same natural key, strong identity or event first: look again.
        """
        ...

    async def cursors(self) -> dict[tuple[Lane, int], int]:
        """Where each lane and shard stands; absent means nothing was applied."""
        ...

    # ------------------------------------------------------------------ deliver
    async def claim(self, *, now: int, lease: int, claim: str, limit: int, retries: bool) -> Sequence[Claimed]:
        """Up to ``limit`` due deliveries, oldest first, leased until ``lease``. ``retries`` picks those with tries > 0, else first attempts."""
        ...

    async def finish(self, results: Sequence[Result]) -> int:
        """Record outcomes and attempts in one transaction; wake the next of each finished subject. Returns how many became due by that."""
        ...

    async def release(self, *, now: int) -> int:
        """Make due again what was leased until before ``now``, and what waits behind nothing. The sweep. Returns how many."""
        ...

    async def hasten(self, endpoint: str, *, before: int, now: int) -> int:
        """What is due to an endpoint later than ``now`` and not after ``before`` is due now, in the order in which it was made. Returns how many.

        In small steps, each a transaction."""
        ...

    async def disable(self, endpoint: str, *, cause: str, now: int) -> int:
        """Stop an endpoint: its open deliveries become disabled, and new ones are born so. Returns how many.

        In small steps, each a transaction, of which the first marks the endpoint; what a crash leaves, ``release`` finishes."""
        ...

    async def enable(self, endpoint: str, *, now: int) -> None:
        """Let an endpoint receive again. What was disabled stays so until replayed."""
        ...

    async def disabled(self) -> dict[str, str]:
        """Disabled endpoints and why."""
        ...

    # ------------------------------------------------------------------ being polled
    async def serve(self, endpoint: str, *, page: str, limit: int, until: int) -> Served:
        """The first open deliveries of an endpoint that is polled, at most ``limit``, in the order they stand in line, whatever stands behind
        whom. They stay open, marked with a page that is named after ``page``, and nobody claims them before ``until``.

        What was served and not acknowledged comes again first, under the page it had: two who poll one endpoint get the same, and either's
        acknowledgment counts.
        """
        ...

    async def acknowledge(self, endpoint: str, page: str, *, now: int) -> int:
        """What was served under ``page`` is done, each with an attempt, and the endpoint's health says that this went well. Returns how many;
        0 the second time."""
        ...

    async def waiting(self, endpoint: str) -> Waiting:
        """What waits for somebody who polls."""
        ...

    async def spoil(self, endpoint: str, page: str, deliveries: Sequence[str], *, cause: str) -> int:
        """Of what was served under ``page`` these are dead, since they cannot be shown: acknowledging passes them over. Returns how many."""
        ...

    # ------------------------------------------------------------------ errands and pulls
    async def errands(self, *, now: int, lease: int, limit: int) -> Sequence[Errand]:
        """Due errands; each is not due again until ``lease``."""
        ...

    async def settle(self, done: Sequence[Errand], again: Sequence[Errand]) -> None:
        """Forget ``done`` unless asked for again meanwhile, which makes it due now; keep ``again`` with its new due time, tries and cause."""
        ...

    async def pulls(self) -> Sequence[PullState]:
        """How far each reconciliation has come."""
        ...

    async def pulled(self, state: PullState, errands: Sequence[Errand] = ()) -> None:
        """Remember it, and the errands that the page led to, in one transaction."""
        ...

    # ------------------------------------------------------------------ what a person sees and settles
    async def reject(self, rejects: Sequence[Reject], *, keep: int) -> None:
        """Keep refused requests; beyond ``keep`` rows the oldest go."""
        ...

    async def dead_letters(self, *, state: str = "open", limit: int = 100, after: str = "") -> Sequence[DeadLetter]:
        """By id, newest last."""
        ...

    async def bury(self, dead: Sequence[DeadLetter]) -> None:
        """Insert or update by id. One that is settled here stays open where another entry was buried under its id since: a copy that was
        written on retry, and is dead already."""
        ...

    async def rows(
        self, kind: str, *, limit: int, after: str = "", customer: str | None = None, newest: bool = False
    ) -> Sequence[Row]:
        """Records of a kind by id, optionally of one customer; ``newest`` first, that is backwards, ``after`` being the id to go on below."""
        ...

    async def edges(self, key: bytes) -> Sequence[Edge]:
        """Live edges of one blind index: the look-up by phone or by partner id."""
        ...

    async def merges(self, customer: str) -> Sequence[Merge]:
        """Merges that a customer survived or was lost in, newest first."""
        ...

    async def moved(self, merge: str) -> Sequence[str]:
        """The records that a merge re-pointed from the loser to the survivor, by id."""
        ...

    async def unmerge(self, merge: Merge, batch: Batch) -> None:
        """Apply ``batch`` (what undoing leads to) and mark the merge undone, in one transaction. Stale when it already is."""
        ...

    async def candidates(self, *, state: str = "open", limit: int = 100, after: str = "") -> Sequence[Candidate]:
        """Pairs for a person to decide, by id."""
        ...

    async def events(self, *, after: int = 0, limit: int = 100, subject: str | None = None) -> Sequence[EventRow]:
        """The feed, by number."""
        ...

    async def reach(self) -> Reach:
        """See ``Reach``. Who has read up to below ``forgotten`` has missed something."""
        ...

    async def timeline(self, customer: str, *, before: int | None = None, limit: int = 100) -> Sequence[EventRow]:
        """Events of a customer, of whoever was merged into it, and of every record that points at it: newest first, by number, those below
        ``before``."""
        ...

    async def applied(self, marks: Sequence[tuple[str, bytes]]) -> Sequence[Seen]:
        """Those of these (account, dedupe) that were applied, each with the entry that was the first to say it. Unordered."""
        ...

    async def deliveries(
        self,
        *,
        state: DeliveryState | None = None,
        endpoint: str | None = None,
        event: str | None = None,
        limit: int = 100,
        after: str = "",
    ) -> Sequence[Delivery]:
        """By id."""
        ...

    async def attempts(self, delivery: str) -> Sequence[Attempt]:
        """Oldest first."""
        ...

    async def revive(self, deliveries: Sequence[str], *, now: int) -> int:
        """Make final deliveries due again, with their tries counted from zero; one with a subject waits its turn, in the order of events. Those
        of a disabled endpoint stay as they are. Returns how many were revived."""
        ...

    async def drop(self, deliveries: Sequence[str], *, cause: str) -> int:
        """Give up on dead and disabled deliveries: they become cancelled, with the cause. Others stay. Returns how many."""
        ...

    # ------------------------------------------------------------------ replay
    async def span(self, span: Span, *, after: int = 0, limit: int = 1000) -> Sequence[EventRow]:
        """The events that are meant, by number."""
        ...

    async def known(self, deliveries: Sequence[str]) -> dict[str, Delivery]:
        """Those of these deliveries that exist, by id."""
        ...

    async def replay(self, deliveries: Sequence[Delivery], *, again: bool = False, now: int) -> int:
        """Make each due, with its tries counted from zero: one that does not exist, one that is dead, disabled or cancelled, and with ``again``
        one that is done. Those of a disabled endpoint stay as they are. One with a subject takes the place of its event in the line of what
        waits. Returns how many were made due or wait."""
        ...

    async def rejects(self, *, account: str | None = None, limit: int = 100, after: str = "") -> Sequence[Reject]:
        """Refused requests, by id."""
        ...

    async def superseded(self, record: str, *, limit: int = 100) -> Sequence[Superseded]:
        """Versions of a record that came too late, newest first."""
        ...

    # ------------------------------------------------------------------ endpoints
    async def booked(self) -> Sequence[Booked]:
        """Every endpoint about which something was decided at run time, by name."""
        ...

    async def book(self, entry: Booked, *, before: int) -> None:
        """Insert (``before`` 0) or replace, as version ``before`` + 1. Stale when the version kept is not ``before``."""
        ...

    async def unbook(self, endpoint: str, *, before: int) -> None:
        """Forget it, its health and that it was disabled; its open deliveries become cancelled, in small steps. Stale when the version kept is
        not ``before``."""
        ...

    async def health(self) -> dict[str, Health]:
        """How each endpoint has been, by name."""
        ...

    async def note(self, health: Sequence[Health]) -> None:
        """Insert or replace by endpoint."""
        ...

    # ------------------------------------------------------------------ erasing and sealing anew
    async def records_of(self, customer: str) -> Sequence[Row]:
        """The customer's own row and every record that points at it."""
        ...

    async def bodies(self, table: str, *, after: str = "", limit: int = 200) -> Sequence[tuple[str, bytes]]:
        """Sealed bodies of one table of ``SEALED_TABLES`` by a key that orders them: what sealing anew walks; empty ones are left out.

        A key is text and names what its body was sealed under: ``<customer>/<hex of key>`` for edges, ``<account>/<topic>/<hex of hash>`` for
        errands, ``<delivery>/<at>/<id>`` for attempts, ``<record>/<number>`` for superseded, else the row's id or name. Tokens are bytes of text.
        """
        ...

    async def rebody(self, table: str, bodies: Sequence[tuple[str, bytes, bytes]]) -> int:
        """Put the new body where the body still is the old one, given as (key, old, new). Returns how many were put."""
        ...

    async def scrub(self) -> bool:
        """Let go of what was replaced or deleted wherever else it lies, such as a write-ahead log. False when somebody who reads kept a part of it."""
        ...

    async def counts(self) -> dict[str, Any]:
        """Figures for health and metrics: ``deliveries.<state>``, ``dead_letters``, ``rejects``, ``errands``, ``candidates``, ``actions`` that are not
        at their end and ``actions_unknown`` of them, ``oldest_due``
        (instant or None), ``records.<kind>``."""
        ...

    async def purge(self, *, before: int) -> int:
        """Forget seen keys, events with only final deliveries, attempts, superseded versions, rejects and actions at their end older than ``before``.

        In small steps, each a transaction; returns how many rows went, deliveries of forgotten events included."""
        ...

    async def close(self) -> None:
        """Finish and let go."""
        ...
