"""A thread that does what it is handed, one thing after the other."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Clerk(Executor):
    """An executor of one thread, which begins with the first thing that it is handed.

    ``hand`` is for work that nobody waits for by a future: the standard library's costs both threads several locks, and each of them is a
    chance to lose the interpreter to the other.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._left = False

    def hand(self, work: Callable[[], object]) -> None:
        """Do ``work``, which must not raise, when everything before it is done. RuntimeError after ``shutdown``."""
        if self._thread is None:
            self._thread = self._begun()
        self._work.put(work)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """See ``Executor.submit``."""
        future: Future[T] = Future()
        self.hand(lambda: _fulfil(future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - nothing is cancelled
        """See ``Executor.shutdown``. What was handed over is done first."""
        thread, self._thread, self._left = self._thread, None, True
        if thread is None:
            return
        self._work.put(None)
        if wait:
            thread.join()

    def _begun(self) -> Thread:
        if self._left:
            raise RuntimeError("nothing more is done here")
        # What was never closed must not keep the process from ending.
        thread = Thread(target=self._run, name=self._name, daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()


def _fulfil(future: "Future[T]", work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as fault:
        # Whatever it is, whoever waits must hear of it.
        future.set_exception(fault)
