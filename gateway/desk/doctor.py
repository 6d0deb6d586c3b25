"""One account, reached: what its platform says of its credentials, whether its listener is there, and the platform's own test of the address."""

import asyncio

from gateway.connector import Can, Connector, Rehearsal
from gateway.desk.checks import Line
from gateway.errors import GatewayError, PartnerDenied, PartnerDown, PartnerQuota, PartnerUnlisted
from gateway.pipeline.accounts import Opened

_PATIENCE = 8.0
_HEAD = 65_536
REMEDIES: dict[type[GatewayError], str] = {
    PartnerUnlisted: "add this machine's address to the platform's allow-list",
    PartnerDenied: "check the key, the permission of the app, and that this machine's address is on the platform's allow-list",
    PartnerQuota: "over the platform's limit: wait, or ask for more",
    PartnerDown: "the platform cannot be reached: check network, proxy and api_base",
}


async def examine(opened: Opened, home: str) -> Line:
    """Probe the platform, or knock at the listener; else say where partners post to. ``home`` is where they reach this gateway."""
    if opened.account.disabled:
        return Line(state="ok", detail="disabled: it takes nothing in, and nobody is called")
    try:
        if Can.PROBE in opened.card.can:
            return await probed(opened.connector)
        listen = getattr(opened.account.options, "listen", None)
        if listen:
            return await _listening(listen)
    except GatewayError as error:
        return of_error(error)
    return Line(state="ok", detail=f"partners post to {home}/in/{opened.account.name}")


async def probed(connector: Connector) -> Line:
    """One harmless call with the account's credentials. PartnerError as the platform says."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return Line(state="ok", detail=await connector.probe())
    except TimeoutError:
        return Line(state="unreachable", detail=f"no answer in {_PATIENCE:.0f} s", remedy=REMEDIES[PartnerDown])


def of_error(error: GatewayError) -> Line:
    """What an error means and what to do."""
    remedy = error.remedy or next((text for kind, text in REMEDIES.items() if isinstance(error, kind)), "")
    return Line(state="unreachable" if isinstance(error, PartnerDown) else "fault", detail=error.detail, remedy=remedy)


async def _listening(listen: str) -> Line:
    host, _, port = listen.rpartition(":")
    try:
        async with asyncio.timeout(3.0):
            _, writer = await asyncio.open_connection(reachable(host), int(port))
    except (OSError, TimeoutError):
        return Line(state="unreachable", detail=f"nobody listens on {listen}", remedy="gateway serve, or free the port")
    writer.close()
    return Line(state="ok", detail=f"listening on {listen}")


def reachable(host: str) -> str:
    """The address to try for a listener on ``host``; all interfaces are tried on this machine's own."""
    return "127.0.0.1" if host in ("", "0.0.0.0", "::") else host.strip("[]")  # noqa: S104 - compared, not bound


# ---------------------------------------------------------------------- the platform's test of the address
async def rehearse(rehearsal: Rehearsal, *, host: str, port: int, account: str) -> Line:
    """Ask the running door as the platform would when somebody enters the address in its console."""
    path = f"/in/{account}?{rehearsal.query}"
    try:
        async with asyncio.timeout(5.0):
            status, body = await _get(reachable(host), port, path)
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        return Line(
            state="unreachable", detail=f"the door on port {port} did not answer: {error}", remedy="gateway serve"
        )
    if status == 200 and body == rehearsal.expected:
        return Line(state="ok", detail="the door answered exactly what the platform expects")
    if status == 404:
        return Line(state="warning", detail="the running gateway does not know this account yet", remedy="save it, and test again when it is live")  # fmt: skip
    if status == 503:
        return Line(
            state="warning",
            detail="the account is disabled, or the gateway is busy",
            remedy="enable it, and test again",
        )
    if status in (400, 401, 403):
        return Line(
            state="fault",
            detail=f"the door refused it with {status}: what was entered here is not what the account runs with",
            remedy="compare token, key and receiver with the platform's console, character by character",
        )
    return Line(state="fault", detail=f"the door answered {status}, and not what was expected")


async def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        head, _, body = (await reader.read(_HEAD)).partition(b"\r\n\r\n")
        while more := await reader.read(_HEAD):
            body += more
        return int(head.split(b" ", 2)[1]), body
    except IndexError as error:
        raise EOFError("the answer is no HTTP") from error
    finally:
        writer.close()
