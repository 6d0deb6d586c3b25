"""Moving sealed values from one record to another: what a merge and its undoing need."""

from typing import Any

from gateway.model.values import Sensitivity
from gateway.vault import SEALED, Vault


def rebind(body: dict[str, Any], old: str, new: str, vault: Vault) -> dict[str, Any]:
    """The same body with every token sealed for record ``new`` instead of ``old``; its id becomes ``new``."""

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, list):
            return [walk(item, path) for item in node]
        if not isinstance(node, dict):
            return node
        token = node.get(SEALED)
        if token is None:
            return {key: walk(value, f"{path}.{key}" if path else key) for key, value in node.items()}
        text = vault.open_text(token, f"{old}/{path}")
        return {SEALED: vault.seal_text(text, f"{new}/{path}", Sensitivity(token.split(".")[1]))}

    moved: dict[str, Any] = walk(body, "")
    moved["id"] = new
    return moved
