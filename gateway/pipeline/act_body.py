"""What is kept of an action beside its columns: what it was asked with, sealed, until it ends; then what the partner answered, each member by its class.

A body is sealed under whom the action is about, so that erasing the customer makes it unreadable in every copy; under its own id where nobody
knows whom. ``{"id": holder, "actions": {id: {"parameters": token}}}``, then ``{…: {"result": {…}}}``.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.action import Action
from gateway.model.values import Sensitivity
from gateway.vault import SEALED, Vault

_json = msgspec.json.Encoder()
_body = msgspec.json.Decoder(dict[str, Any])
_PUBLIC = (str, int, bool)
_TEXTS = 20_000


def asked(parameters: Mapping[str, Any], name: str, customer: str | None, vault: Vault) -> bytes:
    """The body of a new one. What is sealed for the first time needs ``Vault.keep`` before it is written."""
    holder = customer or name
    # Whatever it is, it may name somebody: the whole is one sealed text.
    token = vault.seal_text(
        _json.encode(parameters).decode(), f"{holder}/actions.{name}.parameters", Sensitivity.CONTACT
    )
    return _made(holder, name, {"parameters": {SEALED: token}})


def parameters(one: Action, vault: Vault) -> dict[str, Any]:
    """What it was asked with. Erased where the customer was; VaultError for what cannot be opened."""
    body = _body.decode(one.body)
    token = body["actions"][one.id]["parameters"][SEALED]
    return _body.decode(vault.open_text(token, f"{body['id']}/actions.{one.id}.parameters"))


def answered(data: Mapping[str, Any], one: Action, classes: Mapping[str, Sensitivity], vault: Vault) -> bytes:
    """The body of one that is done: those members of ``data`` that ``classes`` names, and nothing of what it was asked with."""
    holder = _body.decode(one.body)["id"]
    place = f"{holder}/actions.{one.id}.result"
    kept = {name: _sealed(data[name], f"{place}.{name}", how, vault) for name, how in classes.items() if name in data}
    return _made(holder, one.id, {"result": kept})


def bare(one: Action) -> bytes:
    """The body of one that ended without being done."""
    return _made(_body.decode(one.body)["id"], one.id, {})


def results(one: Action) -> dict[str, Any]:
    """What ``gateway.grant`` shows of it: ``{"id": …, "actions": {id: {"result": …}}}``, without parameters."""
    body = _body.decode(one.body)
    return {"id": body["id"], "actions": {one.id: {"result": body["actions"][one.id].get("result", {})}}}


def opened(one: Action, vault: Vault) -> dict[str, Any]:
    """What the partner answered, in the clear: for an operator whose look is on record."""
    said = results(one)
    place = f"{said['id']}/actions.{one.id}.result"
    return {name: _opened(value, f"{place}.{name}", vault) for name, value in said["actions"][one.id]["result"].items()}


def _opened(value: Any, context: str, vault: Vault) -> Any:
    if isinstance(value, list):
        return [_opened(one, context, vault) for one in value]
    return vault.open_text(value[SEALED], context) if isinstance(value, dict) else value


def _made(holder: str, name: str, parts: Mapping[str, Any]) -> bytes:
    return _json.encode({"id": holder, "actions": {name: parts}})


def _sealed(value: Any, context: str, how: Sensitivity, vault: Vault) -> Any:
    if isinstance(value, (list, tuple)):
        return [_sealed(one, context, how, vault) for one in value[:_TEXTS]]
    if how is Sensitivity.PUBLIC:
        return value if isinstance(value, _PUBLIC) else str(value)
    return {SEALED: vault.seal_text(str(value), context, how)}
