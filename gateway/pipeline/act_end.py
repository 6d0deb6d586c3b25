"""What one step of an action leads to, as one commit: what is kept of it, the event that tells of its end, and what is to be re-read."""

from collections.abc import Sequence

import msgspec

from gateway.action import OPEN, Action, Again, Cancelled, Dropped, Happening, State, step
from gateway.clock import Clock, derived_id, text
from gateway.model.event import SCHEMA
from gateway.pipeline import act_body
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.route import Router
from gateway.store import Batch, Errand, EventRow, Store

_json = msgspec.json.Encoder()
COMPLETED = "action.completed"
FAILED = "action.failed"


class Ends:
    """Makes the batch of a step. ``router`` says who is told of an end; whoever holds it keeps it and its units current."""

    def __init__(self, accounts: Accounts, router: Router) -> None:
        self._accounts = accounts
        self._router = router

    def batch(self, after: Action, *, now: int, errands: Sequence[Errand] = ()) -> Batch:
        """For an action as it is after a step. One that ended without an answer keeps nothing of what it was asked with."""
        if after.state in OPEN:
            return Batch(actions=[after], errands=errands)
        if after.state is not State.DONE:
            after = msgspec.structs.replace(after, body=act_body.bare(after))
        event = self._event(after, now)
        deliveries = self._router.deliveries(event, now=now)
        return Batch(actions=[after], events=[event], deliveries=deliveries, errands=errands)

    def _event(self, one: Action, now: int) -> EventRow:
        opened = self._accounts.get(one.account)
        kind = COMPLETED if one.state is State.DONE else FAILED
        name = derived_id("evt", now, one.id, str(one.version))
        said = {
            "id": one.id, "account": one.account, "action": one.action, "state": one.state.value, "tries": one.tries,
            **({"customer": one.customer} if one.customer else {}),
            # Its code alone: what a partner says beside it is for who asked and who operates.
            **({"cause": one.cause.partition(":")[0]} if one.cause and one.state is not State.DONE else {}),
        }  # fmt: skip
        document = {
            "id": name,
            "type": kind,
            "timestamp": text(now),
            "schema": SCHEMA,
            "subject": one.id,
            "sequence": 1,
            "source": {
                "account": one.account,
                "connector": opened.card.name if opened else "",
                "entry": "",
                "mapping": "",
            },
            "data": {
                "action": said,
                "changed": ["state"],
            },
        }
        return EventRow(
            id=name, type=kind, subject=one.id, sequence=1, at=now, account=one.account, entry="",
            unit=opened.account.unit if opened else None, body=_json.encode(document),
        )  # fmt: skip


class ActSettler:
    """Acts on what a person decides of an action. Each verb returns the action as it is then, or None where its state does not allow it; Stale
    when it moved at this moment."""

    def __init__(self, *, records: Store, clock: Clock, ends: Ends) -> None:
        self._store = records
        self._clock = clock
        self._ends = ends

    async def retry(self, one: Action, *, lives: int) -> Action | None:
        """Ask the partner again, for ``lives`` microseconds from now: of one that is unknown."""
        return await self._moved(one, Again(self._clock.now() + lives))

    async def drop(self, one: Action, reason: str) -> Action | None:
        """Close it: of one that is unknown or waits."""
        return await self._moved(one, Dropped(f"dropped: {reason}"[:300]))

    async def cancel(self, one: Action) -> Action | None:
        """Take it back: of one that waits."""
        return await self._moved(one, Cancelled())

    async def _moved(self, one: Action, happened: Happening) -> Action | None:
        now = self._clock.now()
        after = step(one, happened, now)
        if after is not None:
            await self._store.apply(self._ends.batch(after, now=now))
        return after
