"""What may be known of the configuration by whoever looks after a running gateway: plain data with secrets masked, and checks of drafts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway import vaults
from gateway.connector import Card
from gateway.errors import GatewayError
from gateway.pipeline.accounts import Opened


class Premises(msgspec.Struct, frozen=True, kw_only=True):
    """``options`` are the accounts as configured and ``effective`` the whole tree, secrets masked in both. ``home`` is where partners reach this
    gateway, ``host`` and ``port`` where its door listens. ``common`` is the struct of what every account may set.

    ``filed`` are the versions of the accounts that run from files, by name. ``faults`` says what ``gateway check`` would say of an account (name, options); ``draft`` opens one with the tools it is given, and
    ConfigError or MappingError says why not. ``current`` is what an account has for an option now, as it stands in the config.
    """

    cards: Mapping[str, Card]
    common: type[msgspec.Struct]
    options: Mapping[str, Mapping[str, Any]]
    filed: Mapping[str, str]
    effective: Mapping[str, Any]
    home: str
    host: str
    port: int
    keys: vaults.Way
    sealed: frozenset[str]
    faults: Callable[[str, Mapping[str, Any]], Sequence[GatewayError]]
    draft: Callable[[str, Mapping[str, Any]], Opened]
    current: Callable[[str, str], Any]
