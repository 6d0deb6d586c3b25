"""Between the promise's structs and the tables' rows."""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from gateway import store
from gateway.model.identity import Strength
from gateway.stores import tables

T = TypeVar("T", bound=msgspec.Struct)


class Shape(Generic[T]):
    """A struct that is a row of ``table``: equal names, in the table's order; a column the struct lacks is the statements' own.

    ``enums`` and ``flags`` are kept as their value and as 0 or 1.
    """

    def __init__(
        self, struct: type[T], table: sa.Table, *, enums: dict[str, type[Enum]] | None = None, flags: Sequence[str] = ()
    ) -> None:
        fields = set(struct.__struct_fields__)
        self._struct = struct
        self.table = table
        self.columns = [column for column in table.c if column.name in fields]
        self._names = [column.name for column in self.columns]
        self._reads = _reads(enums or {}, flags)
        written = [name for name in self._names if name != "number"]
        self.written = [table.c[name] for name in written]
        pick = attrgetter(*(f"{name}.value" if name in (enums or {}) else name for name in written))
        self.pack: Callable[[T], tuple[Any, ...]] = pick

    def unpack(self, row: Sequence[Any]) -> T:
        """The struct of a row that was selected by ``columns``."""
        fields = dict(zip(self._names, row, strict=True))
        for name, read in self._reads:
            fields[name] = read(fields[name])
        return self._struct(**fields)

    def pack_all(self, items: Iterable[T]) -> list[tuple[Any, ...]]:
        """Rows for ``written``."""
        return [self.pack(item) for item in items]

    def unpack_all(self, rows: Iterable[Sequence[Any]]) -> list[T]:
        """Structs, in the rows' order."""
        return [self.unpack(row) for row in rows]


def _reads(enums: dict[str, type[Enum]], flags: Sequence[str]) -> list[tuple[str, Callable[[Any], Any]]]:
    members = [(name, {member.value: member for member in enum}.__getitem__) for name, enum in enums.items()]
    return [*members, *((name, bool) for name in flags)]


seen = Shape(store.Seen, tables.seen)
row = Shape(store.Row, tables.records)
edge = Shape(store.Edge, tables.edges, enums={"strength": Strength}, flags=("verified", "live"))
merge = Shape(store.Merge, tables.merges)
candidate = Shape(store.Candidate, tables.candidates)
superseded = Shape(store.Superseded, tables.superseded)
event = Shape(store.EventRow, tables.events)
delivery = Shape(store.Delivery, tables.deliveries, enums={"state": store.DeliveryState})
attempt = Shape(store.Attempt, tables.attempts)
dead_letter = Shape(store.DeadLetter, tables.dead_letters)
reject = Shape(store.Reject, tables.rejects)
booked = Shape(store.Booked, tables.booked, flags=("paused",))
health = Shape(store.Health, tables.health)
errand = Shape(store.Errand, tables.errands)
pull = Shape(store.PullState, tables.pulls)
