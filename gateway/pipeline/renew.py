"""Stored bodies as the current keys would seal them, so that equal text is equal text after a rotation or a change of suite.

Changes are told by comparing tokens. A body whose tokens are of an older key is sealed again when it is read to be changed: what did not
change then looks unchanged, and what is written is of the current key. Bodies that nobody touches are left to ``gateway reseal``.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.errors import Erased
from gateway.pipeline.rebind import rebind
from gateway.store import Edge, Row
from gateway.vault import SEALED, Vault

# Key name and class of each token. Free text cannot look like it: JSON escapes its quotes.
_SEALS = re.compile(f'"{re.escape(SEALED)}":"([^".]+[.][^".]+[.])'.encode())
_bodies = msgspec.json.Decoder(dict[str, Any])


class Renewal:
    """Reads the rows of one batch."""

    def __init__(self, rows: Iterable[Row], edges: Iterable[Edge], vault: Vault) -> None:
        self._vault = vault
        seals = {row.id: {*_SEALS.findall(row.body)} for row in rows}
        met = {seal.decode() for found in seals.values() for seal in found}
        # All are asked about before an answer counts, and before anything is sealed: a key that another process made becomes the current one
        # by meeting it, and what was sealed just before would differ.
        for seal in met | {".".join(edge.value.split(".")[:2]) for edge in edges}:
            vault.current(seal)
        older = {seal.encode() for seal in met if not vault.current(seal)}
        self._older = {name for name, found in seals.items() if found & older}

    def body(self, row: Row) -> dict[str, Any]:
        """The row's body, sealed by the current keys throughout."""
        found = _bodies.decode(row.body)
        return renewed(found, row.id, self._vault) if row.id in self._older else found


def renewed(body: dict[str, Any], record: str, vault: Vault) -> dict[str, Any]:
    """``body`` with every token sealed again; as it stands when its record was erased. KeyMissing when a key of it is gone."""
    try:
        return rebind(body, record, record, vault)
    except Erased:
        return body
