"""Finding people: by what somebody knows of them, and what has happened with them."""

import heapq
from typing import Any

from gateway import access, store
from gateway.clock import text
from gateway.desk.reading import Reading
from gateway.errors import PayloadError
from gateway.identity import NAMESPACES
from gateway.language import phone as numbers
from gateway.vault import Vault

_KINDS = ("order", "appointment", "interaction", "relationship")
_WALK = 1000


class People:
    """Customers by phone, e-mail or a system's own number; and their timelines. Nothing is opened to search: keys are keyed hashes."""

    def __init__(self, records: store.Store, vault: Vault, reading: Reading) -> None:
        self._store = records
        self._vault = vault
        self._reading = reading

    async def find(self, viewer: access.Viewer, namespace: str, scope: str, value: str) -> list[store.Row]:
        """Customers who carry an identity now, survivors in the place of who merged. PayloadError for a namespace or phone that there is not."""
        key = self._vault.blind("identity", namespace, scope, normal(namespace, value))
        rows: dict[str, store.Row] = {}
        for edge in await self._store.edges(key):
            row = await self._reading.row(viewer, "customer", edge.customer)
            if row is not None:
                rows[row.id] = row
        return list(rows.values())

    async def timeline(
        self, viewer: access.Viewer, customer: str, *, before: tuple[int, str] | None, limit: int
    ) -> tuple[list[dict[str, Any]], tuple[int, str] | None]:
        """What happened, newest first: events of the customer and of every record that is theirs. ``before`` is (instant, event id) of the
        last one seen; the second value goes on from here, None at the end."""
        subjects = [customer, *await self._theirs(viewer, customer)]
        bound = before or (2**62, "")
        newest: list[tuple[int, str, store.EventRow]] = []
        for subject in subjects:
            told = await self._store.events(subject=subject, limit=_WALK)
            newest += [(one.at, one.id, one) for one in told if (one.at, one.id) < bound]
        page = heapq.nlargest(limit + 1, newest)
        items = [_moment(event, self._reading.event(event, viewer)) for *_, event in page[:limit]]
        more = page[limit - 1][:2] if len(page) > limit else None
        return items, more

    async def _theirs(self, viewer: access.Viewer, customer: str) -> list[str]:
        found = await self._store.records_of(customer)
        return [row.id for row in found if row.kind in _KINDS and viewer.sees(row.unit)]


def _moment(event: store.EventRow, shown: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "at": text(event.at),
        "subject": event.subject,
        "account": event.account,
        "event": shown,
    }


def normal(namespace: str, value: str) -> str:
    """A value as identities are kept. PayloadError for a namespace that is not declared, or a phone that is none."""
    if namespace not in NAMESPACES:
        raise PayloadError(f"no namespace {namespace[:60]!r}", place="namespace", remedy=", ".join(sorted(NAMESPACES)))
    if namespace == "phone":
        number = numbers.e164(value)
        if number is None:
            raise PayloadError("this is no phone number", place="phone", remedy="for example +8613800138000")
        return number
    return value.strip().lower() if namespace == "email" else value
