"""The tree of org units (HQ → region → store): who stands below whom.

A unit is called by a code of the house (``SH-001``): orders, customers, accounts, endpoints and partners' programs name theirs by it. A unit
record whose ``unit`` is its own ``external_id`` (``feed/unit``) is that code's place in the tree. Any other, such as a WeCom department, is
called ``<account>/<external_id>``, since every corp has a department 1; those at the top of their account hang below the account's own unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from gateway.model.organisation import MAX_DEPTH
from gateway.store import Row, Store

_log = structlog.get_logger()
_bodies = msgspec.json.Decoder(dict[str, Any])
_PAGE = 1000


class Tree:
    """Who is below whom, from each unit's parent. A parent need not have a parent of its own, nor a record.

    A link that is part of a circle, or that leads below ``MAX_DEPTH``, is not followed: ``cut`` says which units lost theirs and why (``cycle``,
    ``depth``). Such a unit is the top of what is below it, so that nobody ever sees more than they should.
    """

    def __init__(self, parents: Mapping[str, str]) -> None:
        cut = dict.fromkeys(_circling(parents), "cycle")
        children: dict[str, list[str]] = {}
        for unit, parent in parents.items():
            if unit not in cut:
                children.setdefault(parent, []).append(unit)
        level = [*cut, *(parent for parent in children if parent not in parents)]
        depth = 1
        while level:
            # What would stand one too deep starts anew as a top.
            at_end = depth == MAX_DEPTH
            below = [child for unit in level for child in (children.pop if at_end else children.get)(unit, ())]
            cut.update(dict.fromkeys(below, "depth") if at_end else {})
            level, depth = below, 1 if at_end else depth + 1
        self.cut: Mapping[str, str] = cut
        self._children = children
        self._below: dict[str, frozenset[str]] = {}

    def below(self, unit: str) -> frozenset[str]:
        """``unit`` and every unit below it. A unit nobody has heard of is alone."""
        if unit not in self._children:
            return frozenset((unit,))
        known = self._below.get(unit)
        if known is None:
            found = [unit]
            for name in found:
                found += self._children.get(name, ())
            known = self._below[unit] = frozenset(found)
        return known

    def within(self, unit: str | None, of: str) -> bool:
        """Whether ``unit`` is ``of`` or below it. What belongs to no unit is within none."""
        return unit == of or (unit is not None and unit in self.below(of))


def _circling(parents: Mapping[str, str]) -> set[str]:
    """The units that come to themselves when one goes up from them."""
    done: set[str] = set()
    found: set[str] = set()
    for unit in parents:
        path: dict[str, None] = {}
        while unit in parents and unit not in done and unit not in path:
            path[unit] = None
            unit = parents[unit]
        if unit in path:
            names = list(path)
            found.update(names[names.index(unit) :])
        done.update(path)
    return found


class _Place(msgspec.Struct, frozen=True):
    """What a unit record says of the tree. ``home`` is the unit that the record itself belongs to."""

    account: str
    code: str
    parent: str
    home: str | None

    @property
    def name(self) -> str:
        return self.code if self.home == self.code else f"{self.account}/{self.code}"


class Units:
    """The tree as the store has it. Whoever writes unit records lets it ``learn`` them; everybody else loads it again when it may be old."""

    def __init__(self) -> None:
        self.tree = Tree({})
        self.loaded = False
        self._places: dict[str, _Place] = {}
        self._warned: set[tuple[str, str]] = set()

    def below(self, unit: str) -> frozenset[str]:
        """See ``Tree.below``; always of the newest tree."""
        return self.tree.below(unit)

    async def load(self, records: Store) -> None:
        """Read every unit record. A unit that was closed keeps its place: what it did still belongs there."""
        places: dict[str, _Place] = {}
        after = ""
        while page := await records.rows("unit", limit=_PAGE, after=after):
            places.update((row.id, _place(row)) for row in page)
            after = page[-1].id
        self._places = places
        self._grow()
        self.loaded = True

    def learn(self, rows: Iterable[Row]) -> Sequence[tuple[str, str]]:
        """Take in what is about to be written. Returns account and flag (``unit_cycle``, ``unit_depth``) of each place that was newly refused."""
        said = {row.id: _place(row) for row in rows if row.kind == "unit"}
        if not said or said.items() <= self._places.items():
            return ()
        self._places.update(said)
        return self._grow()

    def _grow(self) -> Sequence[tuple[str, str]]:
        self.tree = Tree(_parents(self._places.values()))
        cut = {(unit, why) for unit, why in self.tree.cut.items()}
        fresh, self._warned = cut - self._warned, cut
        for unit, why in sorted(fresh):
            _log.warning("units.place_refused", unit=unit, cause=why, deepest=MAX_DEPTH)
        owners = {place.name: place.account for place in self._places.values()}
        return [(owners[unit], f"unit_{why}") for unit, why in fresh]


def _place(row: Row) -> _Place:
    body = _bodies.decode(row.body)
    return _Place(row.account, str(body.get("external_id", "")), str(body.get("parent") or ""), row.unit)


def _parents(places: Iterable[_Place]) -> dict[str, str]:
    names = {(place.account, place.code): place.name for place in places}
    parents = {}
    for place in places:
        own = place.name == place.code
        # A corp's topmost department names a parent that is none (WeCom says 0).
        parent = place.parent if own else names.get((place.account, place.parent)) or place.home
        if parent:
            parents[place.name] = parent
    return parents
