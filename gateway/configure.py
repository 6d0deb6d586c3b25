"""From settings to typed parts: accounts by their connectors' cards, and mappings."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec

from gateway import annex, limiter, mapping, settings, vaults
from gateway.connector import Account, Card, Connector, Tools
from gateway.desk.alerts import Limits
from gateway.desk.channels import Wanted
from gateway.desk.premises import Premises
from gateway.errors import ConfigError, GatewayError
from gateway.language import times
from gateway.language.converters import Refusal
from gateway.model.lane import Lane
from gateway.model.secret import MASK, Secret
from gateway.pipeline import versions
from gateway.pipeline.accounts import Opened
from gateway.sealing import PREFIX, sealed_in, unsealed
from gateway.vault import Vault

_OPTION_FIELDS = frozenset(settings.COMMON)


def accounts_of(tree: settings.Settings, cards: Mapping[str, Card], *, place: str = "config") -> dict[str, Account]:
    """Every account typed by its connector's card. ConfigError names account and option."""
    return {name: _account(tree, cards, name, raw, place) for name, raw in tree.accounts.items()}


def _account(
    tree: settings.Settings, cards: Mapping[str, Card], name: str, raw: Mapping[str, Any], place: str
) -> Account:
    at = _places(name, raw, place)
    where = at("")
    chosen = raw.get("connector", "")
    card = cards.get(chosen)
    if card is None:
        raise settings.unknown_key(chosen, cards, place=at("connector"))
    known = {*_OPTION_FIELDS, *card.options.__struct_fields__}
    for key in raw:
        if key not in known:
            raise settings.unknown_key(key, sorted(known), place=at(key))
    if annex.is_filed(raw):
        _need_sealed(card, raw, at)
        _need_within(tree, raw, at)
    common: settings.Account = settings.convert(
        {key: raw[key] for key in raw if key in _OPTION_FIELDS}, settings.Account, where
    )
    options = settings.convert({key: raw[key] for key in raw if key not in _OPTION_FIELDS}, card.options, where)
    if not min(common.rate, common.burst) >= 0:
        raise ConfigError("rate and burst are 0 or more", place=at("rate"))
    return Account(
        name=name,
        connector=card.name,
        options=options,
        unit=common.unit,
        zone=_zone(common.timezone, at("timezone"))
        if common.timezone
        else _zone(tree.gateway.timezone, "gateway.timezone"),
        lane=Lane(common.lane) if common.lane else None,
        disabled=common.disabled,
        api_base=common.api_base,
        tolerance=None if common.tolerance == "off" else _seconds(common.tolerance, at("tolerance")),
    )


def _zone(name: str, place: str) -> str:
    try:
        _ = times.zone_of(name)
    except Refusal as error:
        raise ConfigError(
            f"{name!r} is no time zone", place=place, remedy="an IANA name, such as Asia/Shanghai"
        ) from error
    return name


def _seconds(text: str, place: str) -> float:
    try:
        return settings.duration(text)
    except ValueError as error:
        raise ConfigError(str(error), place=place) from error


def _places(name: str, raw: Mapping[str, Any], place: str) -> Callable[[str], str]:
    """Where a key of an account stands, in words; of none, where the account does."""
    if isinstance(raw, annex.Filed):
        return raw.place
    return lambda key: f"{place}: accounts.{name}.{key}" if key else f"{place}: accounts.{name}"


def _need_sealed(card: Card, raw: Mapping[str, Any], at: Callable[[str], str]) -> None:
    for key in secret_fields(card):
        if key in raw and not str(raw[key]).startswith(PREFIX):
            raise ConfigError(
                "a secret of an account that is kept here stands sealed", place=at(key), remedy="enter it at the console, or with gateway accounts set"
            )  # fmt: skip


def _need_within(tree: settings.Settings, raw: Mapping[str, Any], at: Callable[[str], str]) -> None:
    # Whoever may keep accounts is no owner of this machine: a watched directory gives its files away, and renames them.
    drop = (tree.gateway.data_dir / "drop").resolve()
    watch = raw.get("watch")
    if watch and ("\0" in str(watch) or not Path(str(watch)).resolve().is_relative_to(drop)):
        raise ConfigError(
            f"an account that is kept here may watch directories below {drop} only", place=at("watch"), remedy="name one below it, or put the account into the config file"
        )  # fmt: skip


def account_faults(
    tree: settings.Settings, cards: Mapping[str, Card], name: str, raw: Mapping[str, Any]
) -> list[GatewayError]:
    """What is wrong with one account as it stands, nothing opened and nobody reached."""
    alone = msgspec.structs.replace(tree, accounts={name: raw})
    try:
        accounts_of(alone, cards)
    except ConfigError as error:
        return [error]
    return []


def home_of(tree: settings.Settings) -> str:
    """Where partners reach this gateway."""
    return tree.gateway.public_url.rstrip("/") or f"http://{tree.http.host}:{tree.http.port}"


def premises_of(
    tree: settings.Settings,
    cards: Mapping[str, Card],
    *,
    keys: vaults.Way,
    vault: Vault,
    tools: Callable[[Account], Tools],
) -> Premises:
    """What the console may know of the settings."""
    options = {name: masked(raw, cards.get(raw.get("connector", ""))) for name, raw in tree.accounts.items()}

    def draft(name: str, raw: Mapping[str, Any]) -> Opened:
        alone = msgspec.structs.replace(tree, accounts={name: dict(raw)})
        account = with_secrets(accounts_of(alone, cards)[name], vault)
        # A draft paces and trips for itself: it must not trip the account that runs.
        apart = msgspec.structs.replace(account, name=f"{name} (draft)")
        opened = open_account(apart, cards[account.connector], tools(apart), raw, programs_of(alone, cards))
        return msgspec.structs.replace(opened, account=account)

    return Premises(
        cards=cards, common=settings.Account, options=options,
        filed={name: raw.version for name, raw in tree.accounts.items() if isinstance(raw, annex.Filed)}, effective=_effective(tree, options),
        home=home_of(tree), host=tree.http.host, port=tree.http.port, keys=keys, sealed=frozenset(sealed_in(tree)),
        faults=lambda name, raw: account_faults(tree, cards, name, raw), draft=draft,
        current=lambda name, option: tree.accounts.get(name, {}).get(option),
    )  # fmt: skip


def _effective(tree: settings.Settings, options: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {**settings.shown(tree), "accounts": dict(options)}
    # A header of an endpoint is as often as not a key of theirs.
    for one in shown["endpoints"].values():
        one["headers"] = dict.fromkeys(one["headers"], MASK)
    return shown


def with_secrets(account: Account, vault: Vault) -> Account:
    """The account with its sealed secrets opened."""
    options = account.options
    opened = {
        field: unsealed(value, vault)
        for field in options.__struct_fields__
        if isinstance(value := getattr(options, field), Secret)
    }
    return msgspec.structs.replace(account, options=msgspec.structs.replace(options, **opened)) if opened else account


def facts_of(account: Account) -> dict[str, str]:
    """The account's options as text, without its secrets: what mappings may read."""
    options = account.options
    values = {field: getattr(options, field) for field in options.__struct_fields__}
    return {field: str(value) for field, value in values.items() if value is not None and not isinstance(value, Secret)}


def rate_of(raw: Mapping[str, Any]) -> limiter.Rate | None:
    """What an account may send in; None without a limit."""
    per_second = float(raw.get("rate", 0))
    return limiter.Rate(per_second, float(raw.get("burst", 0)) or max(1.0, per_second)) if per_second > 0 else None


def load_mapping(own: Path | None, card: Card, stem: str) -> mapping.Program:
    """The mapping from the user's own folder, else the built-in one. MappingError names file, line and field."""
    return mapping.load(versions.folder_of(own, card.name, stem), card.name, stem, card.calls)


Programs = Mapping[tuple[str, str], mapping.Program]


def programs_of(tree: settings.Settings, cards: Mapping[str, Card]) -> Programs:
    """Every mapping that the configured accounts need, by connector and stem: compiled once, since forked processes share them."""
    wanted = {
        (account.connector, stem)
        for account in accounts_of(tree, cards).values()
        for stem in _stems(cards[account.connector], account)
    }
    return {(name, stem): load_mapping(tree.gateway.mappings, cards[name], stem) for name, stem in sorted(wanted)}


def _stems(card: Card, account: Account) -> set[str]:
    return {topic.mapping for topic in card.topics if topic.mapping} | set(card.stems(account.options))


def open_account(account: Account, card: Card, tools: Tools, raw: Mapping[str, Any], programs: Programs) -> Opened:
    """Open one account with its compiled mappings."""
    connector: Connector = card.open(account, tools)
    own = {stem: programs[card.name, stem] for stem in _stems(card, account)}
    return Opened(
        account=account, card=card, connector=connector, programs=own, facts=facts_of(account), rate=rate_of(raw)
    )


# ------------------------------------------------------------------ alerts
def channels_of(tree: settings.Settings, opened: Callable[[Secret], Secret]) -> Wanted:
    """By which ways alerts are told. ``opened`` opens what stands sealed."""
    one = tree.alerts
    return Wanted(
        webhook=one.webhook,
        secret=opened(one.secret) if one.secret else None,
        robot=opened(one.wecom_robot) if one.wecom_robot else None,
        mail=one.mail,
        to=one.mail_to,
        sender=one.mail_from,
        username=one.mail_username,
        password=opened(one.mail_password) if one.mail_password else None,
        lang=one.language,
        allow_private=one.allow_private,
    )


def limits_of(tree: settings.Settings) -> Limits:
    """From where on something is wrong."""
    one = tree.alerts
    return Limits(
        backlog=one.backlog,
        backlog_age=one.backlog_age,
        deliveries=one.deliveries,
        expiring=one.expiring,
        unpolled=one.unpolled,
        disk=one.disk,
        hold=one.hold,
    )


# ------------------------------------------------------------------ showing and playing
def secret_fields(card: Card) -> list[str]:
    """The options of a connector that are secrets."""
    return [field.name for field in msgspec.structs.fields(card.options) if _is_secret(field.type)]


def _is_secret(kind: Any) -> bool:
    bare = settings.bare(kind)
    return (
        bare is Secret
        or Secret in get_args(bare)
        or any(_is_secret(part) for part in get_args(bare) if get_origin(part) is Annotated)
    )


def masked(raw: Mapping[str, Any], card: Card | None) -> dict[str, Any]:
    """An account as configured, with its secrets masked; everything is masked when its connector is unknown."""
    hidden = set(secret_fields(card)) if card else set(raw) - {"connector"}
    return {key: MASK if key in hidden else settings.shown(value) for key, value in raw.items()}


def plain_options(raw: Mapping[str, Any], opened: Callable[[Secret], Secret]) -> dict[str, str]:
    """An account's options as text with secrets resolved, and by ``opened`` unsealed: what a simulator needs to play the partner."""
    return {
        key: opened(settings.secret(value)).reveal() if isinstance(value, str) else str(value)
        for key, value in raw.items()
        if key not in ("connector", "unit", "lane", "rate", "burst", "tolerance", "timezone")
    }


def target_of(tree: settings.Settings, account: str) -> str:
    """Where the partner of an account meets this gateway: its listener, its own fake, or its callback address."""
    raw = tree.accounts[account]
    if "listen" in raw:
        return f"mllp://{raw['listen']}"
    if raw["connector"] == "taobao":
        return str(raw.get("api_base", ""))
    return f"http://{tree.http.host}:{tree.http.port}/in/{account}"
