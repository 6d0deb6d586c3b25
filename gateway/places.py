"""Where the sealed texts of a body stand: found once in its JSON text, which is then filled as often as there are readers.

Nothing of a body but its sealed texts is decoded, and nothing is encoded again: the rest of its JSON is copied as it stands.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypedDict

import msgspec

from gateway.errors import Tampered
from gateway.model.values import Sensitivity
from gateway.vault import SEALED

_whole = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_RECORD_ID = re.compile(r"[a-z]{2,6}_")
_NAME = f'"{SEALED}"'.encode()
# As every body is encoded. Inside a text the quotes would be escaped.
_TOKEN = re.compile(rb'\{"\$sealed":"([^"]*)"\}')
# Public text is never sealed: a token that says so was relabelled.
_CLASSES = frozenset(one.value for one in Sensitivity if one is not Sensitivity.PUBLIC)
_LESSONS = 64

Names = dict[str, Any]
"""Names on the way to tokens: a token is None, an object its names, a list of objects those names in a tuple of one."""


class Spot(msgspec.Struct, frozen=True, gc=False):
    """One sealed text. ``context`` is what it is bound to, ``field`` the last name on the way to it; ``listed`` marks a list's item."""

    token: str
    context: str
    field: str
    listed: bool


class Places:
    """A body's JSON with a gap for each of its spots, in the order in which they stand. ``classes`` are the names of theirs, one for each."""

    __slots__ = ("_plain", "_way", "classes", "spots")

    def __init__(self, spots: Sequence[Spot], parts: Sequence[bytes], way: dict[str, Any]) -> None:
        self.spots = spots
        try:
            self.classes = [spot.token.split(".", 2)[1] for spot in spots]
        except LookupError as error:
            raise _unformed() from error
        if not _CLASSES.issuperset(self.classes):
            raise _unformed()
        self._plain = parts[::2]
        self._way = way

    def filled(self, values: Sequence[bytes | None], more: bytes = b"") -> bytes:
        """The body with a JSON text in each gap; None leaves a member or a list's item out. ``more`` is put before the last brace."""
        out: list[bytes] = []
        comma = False
        for plain, spot, value in zip(self._plain, self.spots, values, strict=False):
            if comma and plain[:1] == b",":
                plain = plain[1:]
            comma = False
            if value is None:
                plain = plain if spot.listed else plain[: -len(_named(spot.field))]
                # The comma before what is left out goes with it, or that after it where it is the first.
                comma = plain[-1:] != b","
                out.append(plain if comma else plain[:-1])
            else:
                out += (plain, value)
        last = self._plain[-1]
        out.append(last[1:] if comma and last[:1] == b"," else last)
        if more:
            out[-1] = out[-1][:-1]
            out += (more, b"}")
        return b"".join(out)

    def pointers(self) -> list[str]:
        """For each spot its JSON Pointer (RFC 6901)."""
        return list(_pointers(self._way, ""))


class Finder:
    """Finds the tokens of one body after another, all of one kind.

    It remembers under which names tokens stood, and decodes only what is on the way there. When that finds others than the text holds, it
    looks everywhere, and learns: what it remembers is only ever a matter of speed.
    """

    def __init__(self) -> None:
        self._names: Names = {}
        self._decode = _decoder(self._names)
        self._lessons = 0

    def find(self, raw: bytes) -> Places:
        """The places of an event: a token belongs to the nearest enclosing object whose ``id`` is a record's, such as ``ord_…``."""
        return self._expected(raw) or self._searched(raw)

    def _expected(self, raw: bytes) -> Places | None:
        try:
            way = self._decode(raw)
        except msgspec.ValidationError:
            return None
        found = _cut(raw, way, "/", many=True)
        # However the text is spaced: nothing that could be a token is passed over.
        return found if found is not None and raw.count(_NAME) == len(found.spots) else None

    def _searched(self, raw: bytes) -> Places:
        way = _whole(raw)
        # Names that partners choose could make it learn for ever.
        if self._lessons < _LESSONS:
            self._lessons += 1
            _learn(way, self._names)
            self._decode = _decoder(self._names)
        return _sure(raw, way, "/", many=True)


def find(body: dict[str, Any], record_id: str | None = None) -> Places:
    """The places of ``record_id``'s body; without it, as ``Finder.find`` says."""
    return _sure(_encode(body), body, f"{record_id or ''}/", many=record_id is None)


def _sure(raw: bytes, way: dict[str, Any], place: str, *, many: bool) -> Places:
    # Text that others wrote may repeat a name, or space its braces: ours has one spelling.
    found = _cut(raw, way, place, many=many) or _cut(_encode(way), way, place, many=many)
    if found is None:
        raise _unformed()
    return found


def _unformed() -> Tampered:
    return Tampered("a sealed text is not of the form key.class.data")


def _cut(raw: bytes, way: dict[str, Any], place: str, *, many: bool) -> Places | None:
    """None when the tokens on the way are not those of the text, one for one."""
    search = _Search(many=many)
    search.fields(way, place)
    parts = _TOKEN.split(raw)
    try:
        if b"".join(parts[1::2]) != "".join([spot.token for spot in search.spots]).encode():
            return None
    except TypeError:
        return None
    return Places(search.spots, parts, way)


class _Search:
    """Walks a body without knowing its types. ``place`` is the context of what lies directly in a node, up to the name."""

    __slots__ = ("_many", "spots")

    def __init__(self, *, many: bool) -> None:
        self._many = many
        self.spots: list[Spot] = []

    def fields(self, node: dict[str, Any], place: str) -> None:
        if self._many and type(own := node.get("id")) is str and _RECORD_ID.match(own):
            place = f"{own}/"
        for name, value in node.items():
            kind = type(value)
            if kind is dict:
                if SEALED in value:
                    self.spots.append(Spot(value[SEALED], place + name, name, False))
                else:
                    self.fields(value, f"{place}{name}.")
            elif kind is list and value:
                self._items(value, place + name, name)

    def _items(self, items: list[Any], place: str, name: str) -> None:
        for item in items:
            kind = type(item)
            if kind is dict:
                if SEALED in item:
                    self.spots.append(Spot(item[SEALED], place, name, True))
                else:
                    self.fields(item, f"{place}.")
            elif kind is list:
                self._items(item, place, name)


@functools.lru_cache(maxsize=1024)
def _named(name: str) -> bytes:
    return _encode(name) + b":"


def _pointers(node: Any, path: str) -> Iterator[str]:
    pairs = node.items() if type(node) is dict else enumerate(node)
    for key, value in pairs:
        if type(value) not in (dict, list):
            continue
        below = f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"
        if SEALED in value:
            yield below
        else:
            yield from _pointers(value, below)


# ---------------------------------------------------------------------- what was learned
def _learn(node: dict[str, Any], names: Names) -> bool:
    """Add the names on the way to the tokens of ``node``; whether there are any."""
    found = False
    for name, value in node.items():
        known = names.get(name)
        if type(value) is dict and SEALED in value:
            names[name] = None
            found = True
        elif type(value) is dict:
            below: Names = known if isinstance(known, dict) else {}
            if _learn(value, below):
                names[name], found = below, True
        elif type(value) is list:
            below = known[0] if isinstance(known, tuple) else {}
            # Every item may teach a name that another lacks.
            taught = [_learn(item, below) for item in value if type(item) is dict]
            if True in taught:
                names[name], found = (below,), True
    return found


def _decoder(names: Names) -> Callable[[bytes], dict[str, Any]]:
    way: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder(_shape(names)).decode
    return way


def _shape(names: Names | tuple[Names] | None) -> Any:
    """The type of what is on the way: whatever else there is in the text is passed over."""
    if names is None:
        return dict[str, str] | None
    if isinstance(names, tuple):
        return list[_shape(names[0])] | None  # type: ignore[misc]  # a type that is made, not written
    known = {name: _shape(below) for name, below in names.items()}
    return TypedDict("_Way", {"id": Any, **known}, total=False) | None  # type: ignore[operator]  # likewise
