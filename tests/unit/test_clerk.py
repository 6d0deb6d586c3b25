"""One thread, one thing after the other."""

import asyncio
import threading

import pytest

from gateway.journals.clerk import Clerk


def test_everything_is_done_in_its_order_by_one_thread() -> None:
    """Whether somebody waits for it or not; what was handed over before the end is done before it."""
    clerk = Clerk("clerk")
    done: list[tuple[int, str]] = []

    def note(number: int) -> None:
        done.append((number, threading.current_thread().name))

    for number in range(0, 50, 2):
        clerk.hand(lambda number=number: note(number))
        clerk.submit(note, number + 1)
    clerk.shutdown()
    assert done == [(number, "clerk") for number in range(50)]


def test_what_is_raised_reaches_who_waits_and_the_next_is_done() -> None:
    """As with the standard library's pools, through a loop too."""
    clerk = Clerk("clerk")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(clerk, lambda: 1 // 0)
        assert await loop.run_in_executor(clerk, lambda: 7) == 7

    asyncio.run(main())
    clerk.shutdown()


def test_what_was_cancelled_before_its_turn_is_not_done() -> None:
    """Nobody wants it any more."""
    clerk = Clerk("clerk")
    gate = threading.Event()
    done: list[str] = []
    clerk.hand(gate.wait)
    left = clerk.submit(done.append, "left")
    assert left.cancel()
    clerk.submit(done.append, "next")
    gate.set()
    clerk.shutdown()
    assert done == ["next"]


def test_clerk_without_work_has_no_thread() -> None:
    """A journal that is only opened costs none, and closing it waits for nothing."""
    before = threading.active_count()
    clerk = Clerk("clerk")
    assert threading.active_count() == before
    clerk.shutdown()


def test_work_after_the_end_is_refused() -> None:
    """Whoever waited for it would wait for ever; leaving twice is harmless."""
    clerk = Clerk("clerk")
    clerk.hand(lambda: None)
    for _ in range(2):
        clerk.shutdown()
    with pytest.raises(RuntimeError):
        clerk.submit(lambda: None)
