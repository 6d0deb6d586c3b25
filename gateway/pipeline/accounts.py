"""Configured accounts, opened: what receive, project and pull all need to know of one."""

from collections.abc import Mapping

import msgspec

from gateway import limiter, mapping
from gateway.connector import Account, Card, Connector
from gateway.errors import GatewayError


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """An account with its connector and compiled mappings.

    ``programs`` by mapping stem. ``rate`` bounds what may be sent in. ``facts`` are the account's non-secret options as text, for mappings.
    """

    account: Account
    card: Card
    connector: Connector
    programs: Mapping[str, mapping.Program]
    facts: Mapping[str, str]
    rate: limiter.Rate | None = None


class UnknownAccount(GatewayError):
    """An entry names an account that is no longer configured."""

    code = "account.unknown"


class Accounts:
    """All opened accounts by name."""

    def __init__(self, opened: Mapping[str, Opened]) -> None:
        self._opened = dict(opened)

    def get(self, name: str) -> Opened | None:
        """None when no such account is configured."""
        return self._opened.get(name)

    def need(self, name: str) -> Opened:
        """UnknownAccount when no such account is configured."""
        opened = self._opened.get(name)
        if opened is None:
            raise UnknownAccount(
                f"account {name!r} is not configured",
                remedy="add [accounts.…] to the config, then retry the dead letter",
            )
        return opened

    def all(self) -> list[Opened]:
        """In the order of the config."""
        return list(self._opened.values())
