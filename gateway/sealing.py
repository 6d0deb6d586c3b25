"""Secrets that stand sealed in a config: only this gateway's keys open them."""

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
