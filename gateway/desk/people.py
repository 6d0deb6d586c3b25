"""Finding people: by what somebody knows of them, and what has happened with them."""

from typing import Any

from gateway import access, store
from gateway.clock import text
from gateway.desk.reading import Reading
from gateway.errors import PayloadError
from gateway.identity import NAMESPACES
from gateway.language import phone as numbers
from gateway.vault import Vault

_WALK = 200


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
        self, viewer: access.Viewer, customer: str, *, before: int | None, limit: int
    ) -> tuple[list[dict[str, Any]], int | None]:
        """What happened, newest first: events of the customer, of who was merged into them, and of every record of theirs that the viewer may
        see. ``before`` is the number of the last one seen; the second value goes on from here, None at the end."""
        items: list[dict[str, Any]] = []
        last = before
        while True:
            rows = await self._store.timeline(customer, before=last, limit=_WALK)
            for row in rows:
                if not viewer.sees(row.unit):
                    continue
                # One more than was asked for tells whether the page is the last.
                if len(items) == limit:
                    return items, last
                items.append(_moment(row, await self._reading.told(row, viewer)))
                last = row.number
            if len(rows) < _WALK:
                return items, None
            last = rows[-1].number


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
