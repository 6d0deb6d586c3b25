"""Asking partners to do what somebody wants done: each action once where doing it twice would matter, in the order of its subject, until its time is over.

It is written down as running before the partner is called, and what came of it after: see ``gateway.action`` for what a crash between the two means.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog

from gateway import store
from gateway.action import Action, Died, Done, Happening, Late, PutOff, Refused, Silent, State, Wanted, step
from gateway.clock import Clock
from gateway.connector import Can, Command, Result, Whom
from gateway.errors import GatewayError, PartnerDown, Stale, StoreError, Tampered, VaultDown, Verdict
from gateway.meters import Meters
from gateway.pipeline import act_body
from gateway.pipeline.accounts import Accounts, Opened
from gateway.pipeline.act_end import Ends
from gateway.pipeline.alarm import Alarm
from gateway.pipeline.project import errand
from gateway.pipeline.retry import pause
from gateway.pipeline.rounds import rounds
from gateway.vault import Vault

_log = structlog.get_logger()
_decode = msgspec.json.Decoder(dict[str, Any])
_LONGEST_CALL = 120.0
_LONGEST_REST = 60.0
_PAGE = 100
_HOPS = 16


class NobodyThere(GatewayError):
    """The customer whom an action is about is not known to the partner, or not any more."""

    code = "action.nobody"


class NotOffered(GatewayError):
    """The account's connector does not offer the action, or not with these parameters."""

    code = "action.not_offered"


def _nobody() -> None:
    return


class Acting:
    """Runs what is due. Each account has ``at_once`` turns of its own, so that a partner that does not answer holds up nobody else's."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        records: store.Store,
        vault: Vault,
        clock: Clock,
        meters: Meters,
        ends: Ends,
        told: Callable[[], None] = _nobody,
        alarm: Alarm | None = None,
        at_once: int = 4,
        sealing: asyncio.Lock | None = None,
    ) -> None:
        self._accounts = accounts
        self._store = records
        self._vault = vault
        self._clock = clock
        self._meters = meters
        self._ends = ends
        self._told = told
        self._alarm = alarm
        self._at_once = at_once
        # See ``Vault.keep``: of two in one process the one would be told what the other sealed in vain.
        self._sealing = sealing or asyncio.Lock()
        self._held: Counter[str] = Counter()
        self._rests: dict[str, float] = {}
        self._stopping = False

    async def run(self, wake: asyncio.Event) -> None:
        """Until cancelled; twice a second, and whenever one has ended. Begins with what a process before this one left."""
        await self._recovered()

        async def begin(group: asyncio.TaskGroup) -> int:
            await self._expire()
            return await self._begin(group, wake)

        await rounds(begin, wake=wake, clock=self._clock, what="actions")

    async def drain(self, seconds: float) -> None:
        """Begin nothing more, and let calls under way end for so long."""
        self._stopping = True
        until = self._clock.monotonic() + seconds
        while self._held.total() and self._clock.monotonic() < until:
            await self._clock.sleep(0.05)

    # ------------------------------------------------------------------ what time and crashes do
    async def _recovered(self) -> None:
        while True:
            try:
                return await self.recover()
            except StoreError as error:
                _log.error("actions.unavailable", detail=error.detail)
                await self._clock.sleep(1.0)

    async def recover(self) -> None:
        """Whatever is running was begun by a process that is gone: only one acts."""
        while found := await self._store.actions(Wanted(state=State.RUNNING), limit=_PAGE):
            for one in found:
                await self._keep(one, Died())

    async def _expire(self) -> None:
        while found := await self._store.actions(Wanted(late=self._clock.now()), limit=_PAGE):
            for one in found:
                await self._keep(one, Late())

    # ------------------------------------------------------------------ one after the other
    async def _begin(self, group: asyncio.TaskGroup, wake: asyncio.Event) -> int:
        begun = 0
        for opened in self._accounts.all():
            name = opened.account.name
            room = self._at_once - self._held[name]
            if not acts(opened) or room < 1 or self._resting(name) or self._stopping:
                continue
            # Held while they are taken, too: whoever drains must not miss what is about to be begun.
            self._held[name] += room
            taken: Sequence[Action] = ()
            try:
                taken = await self._store.take_actions(name, now=self._clock.now(), limit=room)
            finally:
                self._held[name] -= room - len(taken)
            for one in taken:
                group.create_task(self._turn(one, opened, wake))
            begun += len(taken)
        return begun

    def _resting(self, name: str) -> bool:
        return self._clock.monotonic() < self._rests.get(name, float("-inf"))

    async def _turn(self, one: Action, opened: Opened, wake: asyncio.Event) -> None:
        try:
            await self.act(one, opened)
        finally:
            self._held[opened.account.name] -= 1
            wake.set()

    async def act(self, one: Action, opened: Opened) -> None:
        """Call the partner for one that is running, and write down what came of it, however long the store is away."""
        happened, result = await self._outcome(one, opened)
        while True:
            try:
                return await self._keep(one, happened, result)
            except (StoreError, VaultDown) as error:
                # The partner has answered: this must not be forgotten while we live.
                _log.error("actions.unavailable", action=one.id, detail=error.detail)
                await self._clock.sleep(1.0)

    async def _outcome(self, one: Action, opened: Opened) -> tuple[Happening, Result | None]:
        try:
            command = await self._command(one, opened)
        except GatewayError as error:
            if isinstance(error, Tampered) and self._alarm is not None:
                await self._alarm.altered(error, stage="act", where=one.id)
            return _unsent(one, error), None
        try:
            async with asyncio.timeout(_LONGEST_CALL):
                return Done(), await opened.connector.act(command)
        except TimeoutError:
            return Silent("partner.down: no answer in time", pause(one.tries, 0.0)), None
        except GatewayError as error:
            self._rest(opened.account.name, error)
            return _answer(one, error), None

    def _rest(self, name: str, error: GatewayError) -> None:
        # An open circuit and a platform's quota are the account's: the next action would only be told the same.
        if error.wait and error.verdict is not Verdict.NEVER:
            self._rests[name] = self._clock.monotonic() + min(error.wait, _LONGEST_REST)

    # ------------------------------------------------------------------ before the call
    async def _command(self, one: Action, opened: Opened) -> Command:
        offered = opened.card.action(one.action)
        if offered is None:
            raise NotOffered(f"{opened.card.name} offers no {one.action}", place=one.account)
        given = act_body.parameters(one, self._vault)
        whom = offered.whom
        if whom is not None and one.customer is not None and whom.parameter not in given:
            value = await self._identity(one.customer, whom, opened)
            given[whom.parameter] = [value] if takes_many(offered.parameters, whom.parameter) else value
        try:
            parameters = msgspec.convert(given, offered.parameters)
        except msgspec.ValidationError as error:
            # A newer gateway may ask for more than what was fit when it was written down.
            raise NotOffered("its parameters are not what the connector takes now", place=one.account) from error
        return Command(id=one.id, action=one.action, parameters=parameters)

    async def _identity(self, customer: str, whom: Whom, opened: Opened) -> str:
        name = await self._survivor(customer)
        edges = (await self._store.look(store.Wants(edges_of=[name]))).edges_of.get(name, [])
        edge = named(edges, whom, opened)
        if edge is None:
            raise NobodyThere(f"the customer has no {whom.namespace} of this account", place=customer)
        return self._vault.open_text(edge.value, f"{edge.customer}/identities.value")

    async def _survivor(self, customer: str) -> str:
        for _ in range(_HOPS):
            row = (await self._store.look(store.Wants(ids=[customer]))).by_id.get(customer)
            into = _decode.decode(row.body).get("merged_into") if row is not None else None
            if not into:
                break
            customer = into
        return customer

    # ------------------------------------------------------------------ after it
    async def _keep(self, one: Action, happened: Happening, result: Result | None = None) -> None:
        now = self._clock.now()
        after = step(one, happened, now)
        if after is None:
            _log.error("actions.misplaced", action=one.id, state=one.state.value, happened=type(happened).__name__)
            return
        errands = [errand(self._vault, one.account, fetch, now=now) for fetch in result.fetch] if result else []
        try:
            if result is not None:
                async with self._sealing:
                    after = msgspec.structs.replace(after, body=self._answered(one, result))
                    # Off the loop: a customer may have got a secret of its own by this.
                    await asyncio.to_thread(self._vault.keep)
            batch = self._ends.batch(after, now=now, errands=errands)
            await self._store.apply(batch)
        except Stale:
            kept = (await self._store.known_actions([one.id])).get(one.id)
            if kept is None or kept.version != one.version:
                # A person was quicker; what they decided stands.
                return
            raise
        self._tell(after)
        if batch.deliveries:
            self._told()

    def _answered(self, one: Action, result: Result) -> bytes:
        opened = self._accounts.get(one.account)
        offered = opened.card.action(one.action) if opened else None
        return act_body.answered(result.data, one, offered.answers if offered else {}, self._vault)

    def _tell(self, after: Action) -> None:
        outcome = "put_off" if after.state is State.WAITING else after.state.value
        self._meters.actions.labels(after.account, outcome).inc()
        code = (after.cause or "").partition(":")[0]
        facts = {
            "id": after.id,
            "account": after.account,
            "action": after.action,
            "state": after.state.value,
            "code": code,
        }
        (_log.info if after.state is State.DONE else _log.warning)("actions.moved", **facts)


def acts(opened: Opened) -> bool:
    """Whether an account can be asked to do anything now."""
    return Can.ACT in opened.card.can and not opened.account.disabled


def takes_many(parameters: type[msgspec.Struct], name: str) -> bool:
    """Whether a parameter takes a list."""
    info = msgspec.inspect.type_info(parameters)
    assert isinstance(info, msgspec.inspect.StructType)
    kind = next(field.type for field in info.fields if field.encode_name == name)
    while isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    return isinstance(kind, (msgspec.inspect.VarTupleType, msgspec.inspect.ListType))


def named(edges: list[store.Edge], whom: Whom, opened: Opened) -> store.Edge | None:
    """The identity by which the account's partner knows a customer; the one seen last where there are several."""
    scope = whom.scope(opened.account.options)
    fit = [one for one in edges if one.live and (one.namespace, one.scope) == (whom.namespace, scope)]
    return max(fit, key=lambda one: one.last_seen, default=None)


def _cause(error: GatewayError) -> str:
    return f"{error.code}: {error.detail}"[:300]


def _unsent(one: Action, error: GatewayError) -> Happening:
    """Nothing was asked of the partner."""
    if error.verdict is Verdict.NEVER:
        return Refused(_cause(error))
    return PutOff(_cause(error), pause(one.tries, error.wait))


def _answer(one: Action, error: GatewayError) -> Happening:
    """What the partner's answer, or its silence, means. Only what promises that nothing was done is tried again."""
    wait = pause(one.tries, error.wait)
    if isinstance(error, PartnerDown) and error.unsure:
        return Silent(_cause(error), wait)
    return _unsent(one, error)
