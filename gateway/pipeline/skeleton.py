"""What is left of stored bodies once their person has asked to be forgotten: what says nothing of anybody by itself. Pure.

Sealed fields go, and so does what partners fill in freely: attributes, and names of theirs for things, because some are made of a person's
id with them. Numbers of orders and appointments stay: books and calendars have to add up.
"""

from collections.abc import Container
from typing import Any

from gateway.pipeline.change import Body
from gateway.vault import is_token

ERASED = "erased"

_FREE = frozenset({"attrs", "provenance", "identities", "external_id"})
_NUMBERED = frozenset({"order", "appointment"})


def of_customer(body: Body, at: str) -> Body:
    """The id, that it is erased, and whom it had become. ``at`` is 27-character text."""
    left = {"id": body["id"], "state": ERASED, "updated_at": at}
    return {**left, "merged_into": body["merged_into"]} if body.get("merged_into") else left


def of_record(kind: str, body: Body) -> Body:
    """A record of another kind: states, times, amounts, and whom it pointed at."""
    left: Body = _left(body)
    if kind in _NUMBERED and "external_id" in body:
        left["external_id"] = body["external_id"]
    return left


def of_event(document: Body, erased: Container[str], *, only: bool = False) -> Body:
    """A published event. Whatever stands for an erased customer keeps its id alone; with ``only`` the rest of the event stays as it is."""
    data: Body = document["data"]
    return {**document, "data": {name: _part(name, part, erased, only=only) for name, part in data.items()}}


def _part(name: str, part: Any, erased: Container[str], *, only: bool) -> Any:
    if not isinstance(part, dict):
        return part
    if part.get("id") in erased:
        return {"id": part["id"]}
    return part if only else of_record(name, part)


def _left(node: Any) -> Any:
    if isinstance(node, list):
        return [_left(item) for item in node if not is_token(item)]
    if not isinstance(node, dict):
        return node
    return {name: _left(value) for name, value in node.items() if name not in _FREE and not is_token(value)}
