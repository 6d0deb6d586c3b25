"""The worker's part of actions: turns, rests, outages, ends; with a partner that does what it is told."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import pytest

from gateway.action import Action, State, Wanted
from gateway.clock import SECOND, TurnedClock
from gateway.connector import Account, Can, Card, Command, Meta, Options, Parameters, Result, Text
from gateway.connector import Action as Offered
from gateway.errors import ConfigError, GatewayError, PartnerDenied, PartnerDown, PartnerQuota, StoreError, VaultDown
from gateway.model.values import Sensitivity
from gateway.pipeline import act_body
from gateway.pipeline.accounts import Accounts, Opened
from gateway.pipeline.act import Acting
from gateway.pipeline.act_end import Ends
from gateway.pipeline.route import Router
from gateway.store import Batch
from tests.api.kit import House, told


class Say(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something to say to somebody."""

    to: Annotated[str, Meta(description="Whom.")]
    text: Annotated[str, Meta(description="What.")] = ""


SAY = Offered(
    name="say", title=Text("说", "Say"), parameters=Say, about="to", harmless=False, answers={"number": Sensitivity.PUBLIC}
)  # fmt: skip
SET = Offered(name="set", title=Text("设", "Set"), parameters=Say, about="to", harmless=True)


class Partner:
    """Answers in turn what it was given (the last one again), after ``gate`` opens."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers) or [Result(data={"number": 7, "secret": "not declared"})]
        self.heard: list[Command] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def act(self, command: Command) -> Result:
        self.heard.append(command)
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Result)
        return answer


class Stage:
    """A worker's acting over a real store, with partners by account."""

    def __init__(self, house: House, partners: dict[str, Partner], **account: Any) -> None:
        self.ground = house.ground
        self._count = 0
        opened = {
            name: Opened(
                account=Account(name=name, connector="stage", options=None, **account), card=_card(), connector=partner, programs={}, facts={}
            )  # type: ignore[arg-type]
            for name, partner in partners.items()
        }  # fmt: skip
        self.accounts = Accounts(opened)
        self.told = 0
        self.acting = self.worker()

    def worker(self) -> Acting:
        """A fresh one, as after a restart."""
        ground = self.ground
        return Acting(
            accounts=self.accounts, records=ground.records, vault=ground.vault, clock=ground.clock, meters=ground.meters,
            ends=Ends(self.accounts, Router(())), told=self._told,
        )  # fmt: skip

    def _told(self) -> None:
        self.told += 1

    async def ask(self, to: str, *, account: str = "one", harmless: bool = False, body: bytes | None = None) -> str:
        """The id of something to do for ``to``."""
        self._count += 1
        now, vault = self.ground.clock.now(), self.ground.vault
        name = f"act_{self._count:04d}"
        sealed = body if body is not None else act_body.asked({"to": to}, name, None, vault)
        vault.keep()
        one = Action(
            id=name, account=account, action="set" if harmless else "say", client="cli", customer=None, key=None,
            subject=vault.blind("test", account, to), harmless=harmless, due=now, expires=now + 3600 * SECOND, created=now, updated=now,
            body=sealed,
        )  # fmt: skip
        await self.ground.records.commission(one)
        return name

    async def state(self, name: str) -> State:
        return (await self.ground.records.known_actions([name]))[name].state

    async def until(self, *happened: Callable[[], Awaitable[bool]], grace: float = 30.0) -> None:
        """Let the worker run until something is so, and after that the next; then it ends, for which it has ``grace`` seconds."""
        task = asyncio.get_running_loop().create_task(self.acting.run(asyncio.Event()))
        try:
            async with asyncio.timeout(60):
                for one in happened:
                    while not await one():
                        await asyncio.sleep(0.02)
        finally:
            await self.acting.drain(grace)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def at_rest(self) -> bool:
        """Nothing is due."""
        waiting = await self.ground.records.actions(Wanted(state=State.WAITING))
        running = await self.ground.records.actions(Wanted(state=State.RUNNING))
        return not running and all(one.due > self.ground.clock.now() for one in waiting)


def _card() -> Card:
    return Card(
        name="stage", title=Text("台", "Stage"), can=frozenset({Can.ACT}), options=Options, topics=(), open=lambda _a, _t: None,
        actions=(SAY, SET),
    )  # fmt: skip


def test_what_is_done_keeps_the_declared_answers_and_nothing_of_the_question(tmp_path: Path) -> None:
    """The body that stays names neither whom nor what."""

    async def story(house: House) -> None:
        partner = Partner()
        stage = Stage(house, {"one": partner})
        name = await stage.ask("lisi")
        await stage.until(stage.at_rest)
        kept = (await stage.ground.records.known_actions([name]))[name]
        assert kept.state is State.DONE
        assert act_body.opened(kept, stage.ground.vault) == {"number": 7}
        assert b"parameters" not in kept.body
        assert partner.heard == [Command(id=name, action="say", parameters=Say(to="lisi"))]

    told(tmp_path, story)


def test_partner_that_hangs_is_asked_at_most_four_things_and_holds_up_nobody_else(tmp_path: Path) -> None:
    """The other account's are done meanwhile."""

    async def story(house: House) -> None:
        slow, quick = Partner(), Partner()
        slow.gate.clear()
        stage = Stage(house, {"one": slow, "two": quick})
        hung = [await stage.ask(f"s{number}") for number in range(9)]
        for number in range(9):
            await stage.ask(f"q{number}", account="two")

        async def quick_ones_are_done() -> bool:
            return len(quick.heard) == 9 and len(slow.heard) == 4

        await stage.until(quick_ones_are_done, grace=0.1)
        assert await stage.state(hung[8]) is State.WAITING
        # Cut off in the middle: nobody can know.
        stage.acting = stage.worker()
        await stage.acting.recover()
        assert [await stage.state(name) for name in hung[:5]] == [State.UNKNOWN] * 4 + [State.WAITING]

    told(tmp_path, story)


def test_those_about_one_thing_are_done_in_their_order(tmp_path: Path) -> None:
    """The second is not begun while the first is under way."""

    async def story(house: House) -> None:
        partner = Partner()
        partner.gate.clear()
        stage = Stage(house, {"one": partner})
        names = [await stage.ask("lisi") for _ in range(3)]
        others: list[str] = []

        async def first_is_under_way() -> bool:
            if partner.heard:
                others.append(await stage.ask("wangwu"))
            return bool(partner.heard)

        async def store_was_looked_through_meanwhile() -> bool:
            if len(partner.heard) > 1:
                assert [one.id for one in partner.heard] == [names[0], *others]
                partner.gate.set()
            return len(partner.heard) > 1

        await stage.until(first_is_under_way, store_was_looked_through_meanwhile, stage.at_rest)
        assert [one.id for one in partner.heard] == [names[0], *others, *names[1:]]

    told(tmp_path, story)


@pytest.mark.parametrize("fault", [StoreError("the disk is full"), VaultDown("the module is away")])
def test_answer_is_not_forgotten_while_store_or_keys_are_away(tmp_path: Path, fault: GatewayError) -> None:
    """The partner is asked once; what it said is written down when there is somewhere to write it."""

    async def story(house: House) -> None:
        partner = Partner()
        house.ground.clock = TurnedClock(house.ground.clock.now())
        stage = Stage(house, {"one": partner})
        name = await stage.ask("lisi")
        records, failures = stage.ground.records, 2
        applied = records.apply

        async def away(batch: Batch) -> set[str]:
            nonlocal failures
            if failures:
                failures -= 1
                raise fault
            return await applied(batch)

        records.apply = away  # type: ignore[method-assign]

        async def done() -> bool:
            return await stage.state(name) is State.DONE

        await stage.until(done)
        assert (len(partner.heard), failures) == (1, 0)

    told(tmp_path, story)


def test_quota_rests_the_account_and_no_other(tmp_path: Path) -> None:
    """What would only be told the same is not tried."""

    async def story(house: House) -> None:
        over, well = Partner(PartnerQuota("over", wait=60.0)), Partner()
        stage = Stage(house, {"one": over, "two": well})
        await stage.ask("a")

        async def asked() -> bool:
            return bool(over.heard)

        await stage.until(asked)
        assert await stage.at_rest()
        stage.acting._stopping = False
        await stage.ask("b")
        await stage.ask("c", account="two")

        async def other_is_done() -> bool:
            return bool(well.heard)

        await stage.until(other_is_done)
        assert len(over.heard) == 1

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("error", "harmless", "state"),
    [
        (PartnerDown("no connection"), False, State.WAITING),
        (PartnerDown("no answer", unsure=True), False, State.UNKNOWN),
        (PartnerDown("no answer", unsure=True), True, State.WAITING),
        (PartnerDenied("no permission"), True, State.REFUSED),
        (ConfigError("no agent_id"), False, State.REFUSED),
    ],
    ids=["unsent", "unheard", "unheard-harmless", "denied", "config"],
)
def test_what_the_partner_says_or_does_not_say_decides(
    tmp_path: Path, error: GatewayError, harmless: bool, state: State
) -> None:
    """Only what was certainly not done is tried again by itself where it matters."""

    async def story(house: House) -> None:
        stage = Stage(house, {"one": Partner(error)})
        name = await stage.ask("lisi", harmless=harmless)
        await stage.until(stage.at_rest)
        assert await stage.state(name) is state

    told(tmp_path, story)


def test_account_that_is_disabled_is_left_alone(tmp_path: Path) -> None:
    """Its actions wait until they are too late."""

    async def story(house: House) -> None:
        partner = Partner()
        stage = Stage(house, {"one": partner}, disabled=True)
        name = await stage.ask("lisi")
        assert await stage.acting._begin(None, asyncio.Event()) == 0  # type: ignore[arg-type]
        assert await stage.state(name) is State.WAITING

    told(tmp_path, story)


def test_parameters_that_were_altered_are_asked_of_nobody(tmp_path: Path) -> None:
    """A sealed text of another action is no way to have something else done."""

    async def story(house: House) -> None:
        partner = Partner()
        stage = Stage(house, {"one": partner})
        foreign = act_body.asked({"to": "somebody else"}, "act_9999", "cus_1", stage.ground.vault)
        name = await stage.ask("lisi", body=foreign.replace(b"act_9999", b"act_0001"))
        await stage.until(stage.at_rest)
        kept = (await stage.ground.records.known_actions([name]))[name]
        assert (kept.state, (kept.cause or "").partition(":")[0]) == (State.REFUSED, "vault.tampered")
        assert not partner.heard

    told(tmp_path, story)


def test_what_is_being_taken_when_the_worker_ends_is_waited_for(tmp_path: Path) -> None:
    """A graceful end leaves nothing that nobody knows of."""

    async def story(house: House) -> None:
        partner = Partner()
        stage = Stage(house, {"one": partner})
        name = await stage.ask("lisi")
        records = stage.ground.records
        take, taking = records.take_actions, asyncio.Event()

        async def slowly(account: str, *, now: int, limit: int) -> Any:
            taking.set()
            await asyncio.sleep(0.05)
            return await take(account, now=now, limit=limit)

        records.take_actions = slowly  # type: ignore[method-assign]
        task = asyncio.get_running_loop().create_task(stage.acting.run(asyncio.Event()))
        await taking.wait()
        await stage.acting.drain(30.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await stage.state(name) is State.DONE

    told(tmp_path, story)
