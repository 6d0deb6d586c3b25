"""``python -m scrm``: the SCRM core as a process of its own."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from granian.constants import Interfaces
from granian.server.embed import Server

from gateway.clock import SystemClock
from gateway.errors import GatewayError
from scrm.app import create_app

_command = App(name="scrm", help="The lightweight SCRM core: takes signed webhooks, shows customers.", version_flags=[])


@_command.default
def serve(
    *,
    secret: Annotated[tuple[str, ...], Parameter(env_var="SCRM_SECRET", negative="")],
    data: Path = Path("data"),
    host: str = "127.0.0.1",
    port: int = 8100,
    title: str = "SCRM",
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Parameters
    ----------
    secret:
        The endpoint's whsec_… secret; give it twice while it rotates, or several in SCRM_SECRET separated by spaces.
    data:
        The folder of scrm.db; made when absent.
    host:
        There is no login: anything but a loopback address shows every customer to whoever can reach it.
    """
    try:
        app = create_app(path=data / "scrm.db", secrets=secret, clock=SystemClock(), title=title)
    except GatewayError as problem:
        raise SystemExit(f"scrm: {problem}") from problem
    asyncio.run(
        _serve(Server(app, address=host, port=port, interface=Interfaces.ASGI, log_enabled=False, websockets=False))
    )


async def _serve(server: Server) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, server.stop)
    await server.serve()


if __name__ == "__main__":
    _command()
