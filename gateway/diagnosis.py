"""What is wrong and what to do about it: the config at rest (``gateway check``), and everything it names, reached (``gateway doctor``)."""

import asyncio

import msgspec

from connectors.registry import CARDS
from gateway import app, configure, sealing, settings, subscription, vaults
from gateway.clock import SECOND, TurnedClock
from gateway.desk import doctor
from gateway.desk.channels import open_channels
from gateway.destination import Endpoint, Kind
from gateway.destinations import open_destination, sign
from gateway.destinations.address import Unfit, Vetter
from gateway.errors import ConfigError, GatewayError, VaultDown
from gateway.model.secret import Secret
from gateway.processes import Ground
from gateway.subscription import Proof


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
    try:
        vaults.check(app.keys_of(tree))
    except ConfigError as error:
        faults.append(error)
    for name, raw in tree.accounts.items():
        faults += configure.account_faults(tree, CARDS, name, raw)
    for name, one in tree.endpoints.items():
        faults += _endpoint_faults(name, one)
    return faults + _alert_faults(tree)


def _alert_faults(tree: settings.Settings) -> list[ConfigError]:
    strangers = [
        settings.unknown_key(name, tree.accounts, place=f"alerts.silence.{name}")
        for name in tree.alerts.silence
        if name not in tree.accounts
    ]
    try:
        wanted = configure.channels_of(tree, _readable)
        if (robot := tree.alerts.wecom_robot) and _sealed(robot):
            wanted = msgspec.structs.replace(wanted, robot=Secret("https://qyapi.weixin.qq.com/"))
        _ = open_channels(wanted, clock=TurnedClock())
    except ConfigError as error:
        return [*strangers, error]
    return strangers


def _readable(secret: Secret) -> Secret:
    """As it stands; what is sealed opens only where the keys are."""
    return secret if not _sealed(secret) else Secret(_PLACEHOLDER)


def _endpoint_faults(name: str, one: settings.Endpoint) -> list[ConfigError]:
    proof = _proof_of(one)
    found = subscription.faults(name, one, proof)
    if found or one.kind == "poll":
        return found
    end = subscription.endpoint_of(name, one, proof)
    clock = TurnedClock()
    try:
        _ = open_destination(end, clock=clock, vetter=Vetter(clock))
    except ConfigError as error:
        return [error]
    return []


def _proof_of(one: settings.Endpoint) -> Proof:
    """Secrets as the config has them. What is sealed opens only where the keys are: something of the right form stands for it."""
    given = [secret for secret in (one.secret, one.previous_secret) if secret is not None]
    if one.kind == "webhook" and not given:
        given = [Secret(_PLACEHOLDER)]
    return Proof(
        secrets=tuple(Secret(_PLACEHOLDER) if _sealed(secret) else secret for secret in given),
        keys=(one.private_key,) if one.private_key and not _sealed(one.private_key) else (),
        password=one.auth.password,
    )


def _sealed(secret: Secret) -> bool:
    return secret.reveal().startswith(sealing.PREFIX)


_PLACEHOLDER = sign.secret_of(bytes(32))


# ------------------------------------------------------------------ reached
async def examine(tree: settings.Settings) -> list[Finding]:
    """Reach every part that the config names."""
    try:
        ground = app.open_ground(tree)
    except GatewayError as error:
        state = "unreachable" if isinstance(error, VaultDown) else "fault"
        return [Finding(part="keys, journal, store and accounts", state=state, detail=str(error), remedy=error.remedy)]
    try:
        findings = [Finding(part="keys, journal and store", state="ok", detail=str(tree.gateway.data_dir))]
        findings.append(await _worker(ground))
        try:
            ends = await ground.book.endpoints()
        except GatewayError as error:
            ends = []
            findings.append(Finding(part="endpoints", state="fault", detail=str(error), remedy=error.remedy))
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(_account(ground, name)) for name in tree.accounts]
            jobs += [group.create_task(_endpoint(ground, end)) for end in ends]
        return findings + [job.result() for job in jobs]
    finally:
        await ground.close()


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
    line = await doctor.examine(opened, configure.home_of(ground.tree))
    part = f"account {name} ({opened.card.name})"
    return Finding(part=part, state=line.state, detail=line.detail, remedy=line.remedy)


async def _endpoint(ground: Ground, end: Endpoint) -> Finding:
    part = f"endpoint {end.name}"
    disabled = (await ground.records.disabled()).get(end.name)
    if disabled:
        return Finding(
            part=part, state="fault", detail=f"disabled: {disabled}", remedy="mend the receiver, then enable it"
        )
    if end.paused:
        return Finding(part=part, state="warning", detail="paused", remedy=f"gateway endpoints resume {end.name}")
    if end.kind is Kind.POLL:
        return Finding(part=part, state="ok", detail="polls the events feed: nothing is sent to it")
    vetter = Vetter(ground.clock)
    findings = [await _reached(part, end, url, vetter) for url in _doors_of(end)]
    return next((one for one in findings if one.state != "ok"), findings[0])


def _doors_of(end: Endpoint) -> list[str]:
    """One address for each host of an endpoint: a Kafka cluster names several."""
    scheme, _, rest = end.url.partition("://")
    hosts = rest.partition("/")[0].split(",")
    return [f"{scheme}://{host}" for host in hosts] if len(hosts) > 1 else [end.url]


async def _reached(part: str, end: Endpoint, url: str, vetter: Vetter) -> Finding:
    where = await vetter.vet(url, allow_private=end.allow_private)
    if isinstance(where, Unfit):
        remedy = "look at this machine's resolver" if where.ours else ""
        state = "unreachable" if where.error == "dns" else "fault"
        return Finding(part=part, state=state, detail=where.detail, remedy=remedy)
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
