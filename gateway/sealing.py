"""Secrets that stand sealed in a config: only this gateway's keys open them."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.vault import Vault

PREFIX = "sealed:"
_PLACE = "config/secret"


def seal(text: str, vault: Vault) -> str:
    """A secret as it may stand in a config: only this gateway's key file opens it."""
    return PREFIX + vault.seal_text(text, _PLACE, Sensitivity.FINANCE)


def unsealed(secret: Secret, vault: Vault) -> Secret:
    """The secret that ``sealed:…`` holds, or the secret itself. VaultError when another key file sealed it."""
    text = secret.reveal()
    return Secret(vault.open_text(text.removeprefix(PREFIX), _PLACE)) if text.startswith(PREFIX) else secret


def sealed_in(tree: Any) -> Iterator[str]:
    """Every token that stands as ``sealed:…`` in settings, at any depth."""
    if isinstance(tree, msgspec.Struct):
        for name in tree.__struct_fields__:
            yield from sealed_in(getattr(tree, name))
    elif isinstance(tree, Mapping):
        for part in tree.values():
            yield from sealed_in(part)
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from sealed_in(part)
    else:
        text = tree.reveal() if isinstance(tree, Secret) else tree
        if isinstance(text, str) and text.startswith(PREFIX):
            yield text.removeprefix(PREFIX)
