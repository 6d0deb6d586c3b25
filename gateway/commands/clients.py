"""Commands for partners' programs: who may read the API, what they see, and until when."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from gateway import access, settings
from gateway.clock import moment, parse
from gateway.commands.ground import on_ground, trace
from gateway.commands.terminal import DONE, Config, Json, out, show
from gateway.desk.clients import Clients, Made
from gateway.errors import ConfigError
from gateway.office import desk_of
from gateway.processes import Ground

clients_app = App(name="clients", help="Partners' programs that read the API. 接口调用方。")


def _several(help_: str) -> Parameter:
    return Parameter(consume_multiple=False, negative="", help=help_)


Scopes = Annotated[tuple[str, ...], _several(f"What it may do; once for each of {', '.join(access.SCOPES)}.")]
Grants = Annotated[
    tuple[str, ...],
    _several(
        "What it sees of a class: identity, contact, health or finance = clear, mask, token or drop; with @2026-12-31T00:00:00Z until then."
    ),
]
Accounts = Annotated[
    tuple[str, ...],
    _several(
        "An account that it may act through (scope actions:write) or, of a feed, bring records into (imports:write)."
    ),
]
Reason = Annotated[str, Parameter(help="Why it may see health data; needed for that, and kept.")]
Unit = Annotated[str | None, Parameter(help="It sees only this org unit and those below it.")]
Until = Annotated[str | None, Parameter(help="When it ends altogether, such as 2026-12-31T00:00:00Z.")]
Rate = Annotated[float, Parameter(help="Requests a second.")]
Burst = Annotated[float, Parameter(help="Requests at once.")]


def _clients(ground: Ground) -> Clients:
    return desk_of(ground, parts=list).clients


@clients_app.command(name="list")
def clients_list(*, config: Config = None, json: Json = False) -> int:
    """Clients, what they may do and see, and until when. 调用方列表。"""

    async def work(ground: Ground) -> list[dict[str, Any]]:
        desk, now = desk_of(ground, parts=list), ground.clock.now()
        theirs = await desk.belongings.of_all()
        return [_client(client, theirs.get(client.id, ()), now) for client, _ in await desk.clients.all()]

    show(
        on_ground(config, work),
        json=json,
        title="clients",
        empty="no clients yet: gateway clients make NAME --scope customers:read",
    )
    return DONE


def _client(client: access.Client, endpoints: Sequence[str], now: int) -> dict[str, Any]:
    grants = access.grants_of(client.grants, now)
    return {
        "id": client.id,
        "name": client.name,
        "scopes": " ".join(client.scopes),
        "unit": client.unit or "",
        "grants": " ".join(f"{one.value}={how}{_end(client, one.value, now)}" for one, how in grants.items()),
        "accounts": " ".join(client.accounts),
        "endpoints": " ".join(endpoints),
        "rate": f"{client.rate:g}/s",
        "until": _when(client.until),
        "state": "active" if access.in_force(client, now) else "ended",
    }


def _end(client: access.Client, name: str, now: int) -> str:
    lent = client.grants.get(name)
    return f"@{_when(lent.until)}" if lent and lent.until and lent.until > now else ""


def _when(instant: int | None) -> str:
    return moment(instant).isoformat(timespec="seconds") if instant else ""


@clients_app.command(name="make")
def clients_make(
    name: str,
    *,
    scope: Scopes,
    grant: Grants = (),
    account: Accounts = (),
    reason: Reason = "",
    unit: Unit = None,
    until: Until = None,
    rate: Rate = 20.0,
    burst: Burst = 100.0,
    json: Json = False,
    config: Config = None,
) -> int:
    """A new client; its secret is shown once. What no --grant names is masked; health and finance are left out. 新建调用方。"""
    client = access.Client(
        id="",
        name=name,
        scopes=scope,
        unit=unit,
        grants=dict(_grant(one, reason) for one in grant),
        accounts=account,
        rate=rate,
        burst=burst,
        until=_instant(until) if until else None,
    )

    async def work(ground: Ground) -> Made:
        said = _named(scopes=scope, grants=grant, accounts=account, reason=reason, unit=unit, until=until)
        await trace(ground, "client_make", name, **said)
        return await _clients(ground).make(client)

    _show_made(on_ground(config, work), json=json)
    return DONE


@clients_app.command(name="change")
def clients_change(
    client: str,
    *,
    scope: Scopes = (),
    grant: Grants = (),
    account: Accounts = (),
    reason: Reason = "",
    unit: Unit = None,
    until: Until = None,
    rate: Rate | None = None,
    burst: Burst | None = None,
    config: Config = None,
) -> int:
    """Change what is named and leave the rest: --scope and --account name all it has from now on, --grant one class. Tokens follow within two seconds. 修改调用方。"""
    given: dict[str, Any] = {
        "scopes": scope or None,
        "accounts": account or None,
        "unit": unit,
        "until": _instant(until) if until else None,
        "rate": rate,
        "burst": burst,
    }
    named = {name: value for name, value in given.items() if value is not None}
    grants = dict(_grant(one, reason) for one in grant)
    if not named and not grants:
        raise ConfigError("nothing to change", remedy="gateway clients change --help")

    async def work(ground: Ground) -> None:
        clients = _clients(ground)
        found = next(((one, version) for one, version in await clients.all() if one.id == client), None)
        if found is None:
            raise ConfigError(f"no client {client}", remedy="gateway clients list")
        one, version = found
        said = _named(scopes=scope, grants=grant, accounts=account, reason=reason, unit=unit, until=until)
        await trace(ground, "client_change", client, **said, **_named(rate=rate, burst=burst))
        changed = msgspec.structs.replace(one, **named, grants={**one.grants, **grants})
        await clients.change(changed, before=version)

    on_ground(config, work)
    out.print(f"{client} is changed")
    return DONE


@clients_app.command(name="rotate")
def clients_rotate(
    client: str,
    *,
    overlap: Annotated[
        str, Parameter(help="How long the present secret is taken too: 24h, 7d; 0s ends it now.")
    ] = "24h",
    json: Json = False,
    config: Config = None,
) -> int:
    """A new secret; the present one is taken for --overlap more. 轮换调用方密钥。"""
    try:
        seconds = settings.duration(overlap)
    except ValueError as error:
        raise ConfigError(str(error), place="--overlap") from error

    async def work(ground: Ground) -> Made:
        await trace(ground, "client_rotate", client, overlap=overlap)
        return await _clients(ground).rotate(client, overlap=seconds)

    _show_made(on_ground(config, work), json=json)
    return DONE


@clients_app.command(name="revoke")
def clients_revoke(client: str, *, config: Config = None) -> int:
    """End a client: its secrets and tokens stop within two seconds; endpoints that it made, or that only it may fetch from, are disabled. 停用调用方。"""

    async def work(ground: Ground) -> Sequence[str]:
        desk = desk_of(ground, parts=list)
        theirs = (await desk.belongings.of_all()).get(client, [])
        await trace(ground, "client_revoke", client, endpoints=" ".join(theirs))
        await desk.clients.revoke(client)
        await desk.belongings.round()
        return theirs

    theirs = on_ground(config, work)
    out.print(f"{client} has ended" + (f"; disabled: {', '.join(theirs)}" if theirs else ""))
    return DONE


def _named(**given: object) -> dict[str, str]:
    """For the trail: what was said, lists as words."""
    return {name: " ".join(value) if isinstance(value, tuple) else str(value) for name, value in given.items() if value}


def _show_made(made: Made, *, json: bool) -> None:
    if json:
        said = {"client_id": made.client.id, "client_secret": made.secret, "api_key": made.key}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(said), indent=2).decode() + "\n")
        return
    out.print(f"client_id      {made.client.id}")
    out.print(f"client_secret  {made.secret}")
    out.print(f"API key        {made.key}")
    out.print("These are shown once. Use the secret at POST /oauth/token, or the key itself as a bearer token.")


def _grant(text: str, reason: str) -> tuple[str, access.Lent]:
    name, found, rest = text.partition("=")
    how, _, until = rest.partition("@")
    if not found:
        raise ConfigError(f"{text!r} is no grant", remedy="--grant contact=mask, or contact=clear@2026-12-31T00:00:00Z")
    return name, access.Lent(how=how, until=_instant(until) if until else None, reason=reason)


def _instant(text: str) -> int:
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no time", remedy="for example 2026-12-31T00:00:00Z") from error
