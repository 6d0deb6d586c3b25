"""Verified events go in here; whoever waited is answered once they are on disk."""

import asyncio
from collections.abc import Sequence
from functools import partial

from gateway.clock import Clock
from scrm import ledger, reading
from scrm.book import Book
from scrm.ledger import Fate, Posted

MOST = 256


class Inbox:
    """Arrivals that meet share one commit: while one batch is being written, the next gathers."""

    def __init__(self, book: Book, clock: Clock) -> None:
        self._book = book
        self._clock = clock
        self._waiting: list[tuple[Posted, asyncio.Future[Fate]]] = []
        self._writing = False

    async def take(self, name: str, body: bytes) -> Fate:
        """What became of the event delivered as ``name`` (its webhook-id). It is durable when this returns.

        PayloadError when it is no event, StoreError when nothing could be written: then the sender has to send it again.
        """
        posted = Posted(id=name, told=reading.read(body), body=body, received=self._clock.now())
        answer: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        self._waiting.append((posted, answer))
        if not self._writing:
            self._write()
        return await answer

    def _write(self) -> None:
        batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        self._writing = True
        work = self._book.write(ledger.enter, [posted for posted, _ in batch])
        erased = any(posted.told.event.type == "customer.erased" for posted, _ in batch)
        work.add_done_callback(partial(self._settle, [answer for _, answer in batch], erased=erased))

    def _settle(
        self, answers: Sequence[asyncio.Future[Fate]], work: asyncio.Future[list[Fate]], *, erased: bool
    ) -> None:
        self._writing = False
        problem = work.exception()
        if erased and not problem:
            _ = self._book.scrub()
        fates = [None] * len(answers) if problem else work.result()
        for answer, fate in zip(answers, fates, strict=True):
            if answer.done():
                # Its request was cancelled; the event is kept all the same.
                continue
            answer.set_result(fate) if fate else answer.set_exception(problem or asyncio.CancelledError())
        if self._waiting:
            self._write()
