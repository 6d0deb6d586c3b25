"""Browsers in which somebody came in with both factors: known by a cookie of their own, so that strangers' tries do not lock them out."""

import hmac

from gateway.clock import random_bytes
from gateway.vault import Vault


class Devices:
    """Nothing is kept of them: the text proves itself."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def made(self, name: str) -> str:
        """What tells a browser of this user's."""
        own = random_bytes(16).hex()
        return f"{own}.{self._proof(name, own)}"

    def knows(self, name: str, text: str) -> bool:
        """Whether ``made`` gave this out for that user."""
        own, _, proof = text.partition(".")
        return hmac.compare_digest(proof.encode(), self._proof(name, own).encode())

    def _proof(self, name: str, own: str) -> str:
        return self._vault.blind("console device", name, own).hex()
