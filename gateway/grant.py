"""What an endpoint or a person may see: a grant per sensitivity class, and how a sealed body is opened under it."""

import re
from collections.abc import Callable
from typing import Any

from gateway import masking
from gateway.model.values import Sensitivity
from gateway.vault import SEALED, Vault, class_of

CLEAR = "clear"
MASK = "mask"
DROP = "drop"

Treat = Callable[[Sensitivity], str]
"""What may be done with a class: ``clear``, ``mask`` or ``drop``."""

_RECORD_ID = re.compile(r"[a-z]{2,6}_")


def reveal(body: dict[str, Any], record_id: str, vault: Vault, treat: Treat) -> tuple[dict[str, Any], set[Sensitivity]]:
    """A copy of ``body`` with each token opened, masked or left out as ``treat`` says of its class.

    The second value names the classes of which something was dropped because ``treat`` said so. A token in a list is dropped with its
    place; an object in a list stays, without the dropped key. Tampered when a token is not this record's.
    """
    reader = _Reader(vault, treat)
    return reader.fields(body, f"{record_id}/"), reader.withheld


def reveal_event(event: dict[str, Any], vault: Vault, treat: Treat) -> tuple[dict[str, Any], set[Sensitivity]]:
    """As ``reveal``, for data that holds several bodies: a token belongs to the nearest enclosing object whose ``id`` is a record's.

    A record's id is text such as ``ord_…``: a few lower-case letters and an underscore.
    """
    reader = _Reader(vault, treat, many=True)
    return reader.fields(event, "/"), reader.withheld


class _Reader:
    """Walks a body without knowing its types. ``place`` is the context of what lies directly in a node, up to the name."""

    __slots__ = ("_many", "_treat", "_vault", "withheld")

    def __init__(self, vault: Vault, treat: Treat, *, many: bool = False) -> None:
        self._vault = vault
        self._treat = treat
        self._many = many
        self.withheld: set[Sensitivity] = set()

    def fields(self, node: dict[str, Any], place: str) -> dict[str, Any]:
        if self._many and "id" in node:
            place = _own_place(node) or place
        # Most of a body is plain: it is copied whole, and only what may hold a token is looked at.
        out = node.copy()
        for name, value in node.items():
            kind = type(value)
            if kind is dict:
                if SEALED not in value:
                    out[name] = self.fields(value, f"{place}{name}.")
                elif (text := self._text(value[SEALED], place + name, name)) is not None:
                    out[name] = text
                else:
                    del out[name]
            elif kind is list and value:
                out[name] = self._items(value, place + name, name)
        return out

    def _items(self, items: list[Any], place: str, name: str) -> list[Any]:
        out: list[Any] = []
        for item in items:
            if type(item) is not dict:
                out.append(self._items(item, place, name) if type(item) is list else item)
            elif SEALED not in item:
                out.append(self.fields(item, f"{place}."))
            elif (text := self._text(item[SEALED], place, name)) is not None:
                out.append(text)
        return out

    def _text(self, token: str, context: str, name: str) -> str | None:
        sensitivity = class_of(token)
        treatment = self._treat(sensitivity)
        if treatment == DROP:
            self.withheld.add(sensitivity)
            return None
        if treatment not in (CLEAR, MASK):
            raise ValueError(f"no such treatment: {treatment}")
        text = self._vault.open_text(token, context)
        return text if treatment == CLEAR else masking.mask(text, sensitivity, name)


def _own_place(node: dict[str, Any]) -> str | None:
    own = node.get("id")
    return f"{own}/" if type(own) is str and _RECORD_ID.match(own) else None
