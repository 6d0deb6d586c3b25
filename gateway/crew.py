"""Tasks that live and end together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


class Crew:
    """Tasks that live as long as the body they were started in."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run beside the others; a failure ends all."""
        task = self._group.create_task(work)
        self._tasks.append(task)
        return task

    def dismiss(self) -> None:
        """Cancel whatever still runs."""
        for task in self._tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def crewed() -> AsyncIterator[Crew]:
    """A crew for the block; when the block ends whoever still works is dismissed."""
    async with asyncio.TaskGroup() as group:
        crew = Crew(group)
        yield crew
        crew.dismiss()
