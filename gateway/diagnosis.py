"""What is wrong and what to do about it: the config at rest (``gateway check``), and everything it names, reached (``gateway doctor``)."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from connectors.registry import CARDS
from gateway import app, configure, settings
from gateway.clock import SECOND
from gateway.connector import Can, Connector
from gateway.destination import Endpoint
from gateway.destinations import sign
from gateway.destinations.address import Unfit, Vetter
from gateway.errors import ConfigError, GatewayError, PartnerDenied, PartnerDown, PartnerQuota
from gateway.model.event import TYPES
from gateway.pipeline.route import matches
from gateway.processes import Ground

_PATIENCE = 8.0
_REMEDIES: Mapping[type[GatewayError], str] = {
    PartnerDenied: "check the key, the permission of the app, and that this machine's address is on the platform's allow-list",
    PartnerQuota: "over the platform's limit: wait, or ask for more",
    PartnerDown: "the platform cannot be reached: check network, proxy and api_base",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """``state`` is ok, warning, fault or unreachable."""

    part: str
    state: str
    detail: str = ""
    remedy: str = ""


# ------------------------------------------------------------------ at rest
def config_faults(tree: settings.Settings) -> list[GatewayError]:
    """Everything that can be said of a config without reaching anything."""
    faults: list[GatewayError] = []
    for name in tree.accounts:
        alone = msgspec.structs.replace(tree, accounts={name: tree.accounts[name]})
        try:
            configure.accounts_of(alone, CARDS)
            configure.rate_of(tree.accounts[name])
        except (ConfigError, ValueError) as error:
            faults.append(
                error if isinstance(error, ConfigError) else ConfigError(str(error), place=f"accounts.{name}")
            )
    for name, one in tree.endpoints.items():
        faults += _endpoint_faults(name, one)
    return faults


def _endpoint_faults(name: str, one: settings.Endpoint) -> list[GatewayError]:
    place = f"endpoints.{name}"
    faults: list[GatewayError] = []
    if urlsplit(one.url).scheme not in ("http", "https") or not urlsplit(one.url).hostname:
        faults.append(ConfigError("is not an http or https address", place=f"{place}.url"))
    faults += [
        ConfigError(
            f"no event type is called {pattern!r}", place=f"{place}.events", remedy=f"types: {', '.join(TYPES)}"
        )
        for pattern in one.events
        if not any(matches(pattern, kind) for kind in TYPES)
    ]
    for field, secret in (("secret", one.secret), ("previous_secret", one.previous_secret)):
        if secret is not None and not secret.reveal().startswith(configure.SEALED):
            try:
                sign.key_of(secret, place=f"{place}.{field}")
            except ConfigError as error:
                faults.append(error)
    return faults


# ------------------------------------------------------------------ reached
async def examine(tree: settings.Settings) -> list[Finding]:
    """Reach every part that the config names."""
    try:
        ground = app.open_ground(tree)
    except GatewayError as error:
        return [
            Finding(part="keys, journal, store and accounts", state="fault", detail=str(error), remedy=error.remedy)
        ]
    try:
        findings = [Finding(part="keys, journal and store", state="ok", detail=str(tree.gateway.data_dir))]
        findings.append(await _worker(ground))
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(_account(ground, name)) for name in tree.accounts]
            made = dict.fromkeys(tree.endpoints, _PLACEHOLDER)
            jobs += [
                group.create_task(_endpoint(ground, end)) for end in configure.endpoints_of(tree, made, ground.vault)
            ]
        return findings + [job.result() for job in jobs]
    finally:
        await ground.close()


_PLACEHOLDER = sign.secret_of(bytes(32))


async def _worker(ground: Ground) -> Finding:
    now = ground.clock.now()
    running = [one.role for one in ground.board.all() if now - one.at < 10 * SECOND]
    if not running:
        return Finding(
            part="processes",
            state="warning",
            detail="the gateway is not running on this data_dir",
            remedy="gateway serve",
        )
    counts = await ground.records.counts()
    letters = counts.get("dead_letters", 0)
    if letters:
        return Finding(
            part="processes",
            state="warning",
            detail=f"{letters} dead letters wait for a person",
            remedy="gateway dead list",
        )
    return Finding(part="processes", state="ok", detail=", ".join(running))


async def _account(ground: Ground, name: str) -> Finding:
    opened = ground.accounts.need(name)
    part = f"account {name} ({opened.card.name})"
    try:
        if Can.PROBE in opened.card.can:
            async with asyncio.timeout(_PATIENCE):
                return Finding(part=part, state="ok", detail=await _probe(opened.connector))
        listen = getattr(opened.account.options, "listen", None)
        if listen:
            return await _listening(part, listen)
    except GatewayError as error:
        remedy = error.remedy or next((text for kind, text in _REMEDIES.items() if isinstance(error, kind)), "")
        state = "unreachable" if isinstance(error, PartnerDown) else "fault"
        return Finding(part=part, state=state, detail=error.detail, remedy=remedy)
    except TimeoutError:
        return Finding(
            part=part, state="unreachable", detail=f"no answer in {_PATIENCE:.0f} s", remedy=_REMEDIES[PartnerDown]
        )
    base = ground.tree.gateway.public_url.rstrip("/") or f"http://{ground.tree.http.host}:{ground.tree.http.port}"
    return Finding(part=part, state="ok", detail=f"partners post to {base}/in/{name}")


async def _probe(connector: Connector) -> str:
    return await connector.probe()


async def _listening(part: str, listen: str) -> Finding:
    host, _, port = listen.rpartition(":")
    try:
        async with asyncio.timeout(3.0):
            _, writer = await asyncio.open_connection(_reachable(host), int(port))
    except (OSError, TimeoutError):
        return Finding(
            part=part,
            state="unreachable",
            detail=f"nobody listens on {listen}",
            remedy="gateway serve, or free the port",
        )
    writer.close()
    return Finding(part=part, state="ok", detail=f"listening on {listen}")


def _reachable(host: str) -> str:
    """The address to try for a listener on ``host``; all interfaces are tried on this machine's own."""
    return "127.0.0.1" if host in ("", "0.0.0.0") else host.strip("[]")  # noqa: S104 - compared, not bound


async def _endpoint(ground: Ground, end: Endpoint) -> Finding:
    part = f"endpoint {end.name}"
    disabled = (await ground.records.disabled()).get(end.name)
    if disabled:
        return Finding(
            part=part, state="fault", detail=f"disabled: {disabled}", remedy="mend the receiver, then enable it"
        )
    where = await Vetter(ground.clock).vet(end.url, allow_private=end.allow_private)
    if isinstance(where, Unfit):
        return Finding(part=part, state="unreachable" if where.error == "dns" else "fault", detail=where.detail)
    try:
        async with asyncio.timeout(5.0):
            _, writer = await asyncio.open_connection(where.address, where.port)
    except (OSError, TimeoutError):
        return Finding(
            part=part,
            state="unreachable",
            detail=f"{where.address}:{where.port} does not accept connections",
            remedy="start the receiver",
        )
    writer.close()
    return Finding(part=part, state="ok", detail=f"{where.address}:{where.port} accepts connections")
