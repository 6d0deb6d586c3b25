"""Loops of their own, and how one is left."""

import asyncio
import threading


def closed(loop: asyncio.AbstractEventLoop) -> None:
    """End what is under way in a loop that does not run any more, and close it.

    Left pending, it is told when it is collected: as an error of whichever test runs by then.
    """
    # In a thread of its own: another loop may be running in this one, as a browser's does.
    ending = threading.Thread(target=_end, args=(loop,))
    ending.start()
    ending.join()


def _end(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_until_complete(_ended())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def _ended() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    # Nobody reads what is still to be written. (asyncio has no public list of its transports.)
    for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
        transport.abort()
    # Transports that were closed by that let go of their sockets in the next turns.
    for _ in range(3):
        await asyncio.sleep(0)
