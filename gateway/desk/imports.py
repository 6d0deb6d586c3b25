"""Imports: rows that a client brings into a feed account, taken apart at once and taken in by a job."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from gateway import access
from gateway.clock import Clock, new_id
from gateway.connector import Can, Line, Refused, Request
from gateway.desk.jobs import Job, Jobs, State
from gateway.errors import GatewayError
from gateway.pipeline.accounts import Accounts, Opened
from gateway.pipeline.bring import Bringer, Fate, Told

KIND = "import"
_PIECE = 100
_LINES, _ROWS = "lines", "rows"
_json = msgspec.json.Encoder()
_lines = msgspec.json.Decoder(list[Line])
_told = msgspec.json.Decoder(list[Told])


class Imports:
    """Begins them, and is what their job does."""

    def __init__(self, jobs: Jobs, accounts: Accounts, bringer: Bringer, clock: Clock) -> None:
        self._jobs = jobs
        self._accounts = accounts
        self._bringer = bringer
        self._clock = clock

    def account(self, client: access.Client, name: str) -> Opened | None:
        """A feed account that the client may write to, and that takes things in."""
        opened = self._accounts.get(name) if name in client.accounts else None
        usable = opened is not None and Can.IMPORT in opened.card.can and not opened.account.disabled
        return opened if usable else None

    async def take_apart(self, opened: Opened, body: bytes, headers: Mapping[str, str]) -> Sequence[Line] | Refused:
        """The body's rows; Refused where it cannot be read at all."""
        request = Request(body=body, headers=headers, received_at=self._clock.now())
        # Ten thousand rows take a good part of a second, in which the door has others to answer.
        return await asyncio.to_thread(opened.connector.bring, request)

    async def begin(self, client: access.Client, opened: Opened, lines: Sequence[Line], *, job: str) -> Job:
        """Keep them, and let a runner take them in."""
        now = self._clock.now()
        pieces = [_json.encode(lines[start : start + _PIECE]) for start in range(0, len(lines), _PIECE)]
        made = Job(
            id=job, kind=KIND, client=client.id, created=now, updated=now, total=len(lines),
            asked={"account": opened.account.name}, counts=dict.fromkeys((fate.value for fate in Fate), 0),
        )  # fmt: skip
        return await self._jobs.make(made, {_LINES: pieces})

    def name(self) -> str:
        """An id for a job to come, so that the trail can name it first."""
        return new_id("job", self._clock.now())

    async def step(self, job: Job) -> Job:
        """A hundred rows: through the journal, like a push."""
        number = int(job.place or "0")
        if job.done >= (job.total or 0):
            return msgspec.structs.replace(job, state=State.DONE)
        piece = await self._jobs.piece(job, _LINES, number)
        if piece is None:
            raise GatewayError("its rows were kept for a day and could not be taken in all that time", place=job.id)
        if number:
            # Not before this one is on record as begun: what a repeated step needs is the piece it stands at.
            await self._jobs.drop(job, _LINES, number - 1)
        fates = await self._bringer.bring(self._need(job), _lines.decode(piece))
        await self._jobs.put(job, _ROWS, number, _json.encode([one for one in fates if one.fate is not Fate.ACCEPTED]))
        counts = {fate.value: job.counts[fate.value] + sum(one.fate is fate for one in fates) for fate in Fate}
        done = job.done + len(fates)
        state = State.DONE if done >= (job.total or 0) else State.RUNNING
        return msgspec.structs.replace(job, state=state, place=str(number + 1), done=done, counts=counts)

    def _need(self, job: Job) -> Opened:
        return self._accounts.need(str(job.asked["account"]))

    async def rows(self, job: Job, *, after: int, limit: int) -> tuple[list[Told], int | None]:
        """Rows that were not taken in, refused or known, behind row ``after``; the second value goes on from here, None when there are no more by
        now."""
        found: list[Told] = []
        async for piece in self._jobs.pieces(job, _ROWS):
            found += [one for one in _told.decode(piece) if one.row > after]
            if len(found) > limit:
                return found[:limit], found[limit - 1].row
        return found, None
