"""Where a field's raw value comes from: paths, constants, account options, the context."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from msgspec import UNSET

from gateway import clock
from gateway.errors import ValueRefused
from gateway.language import paths
from gateway.language.mapfile import Piece
from gateway.language.steps import Run

Read = Callable[[Any, Run], Any]
SOURCES = ("path", "const", "option", "context")
_CONTEXT = ("account", "unit", "zone", "received_at")


class Source(NamedTuple):
    """Where a raw value comes from. ``walk`` is set when the data at hand is all it takes, ``key`` when it is one step into it."""

    read: Read
    walk: paths.Walk | None = None
    key: str | None = None


def source(piece: Piece) -> Source:
    """A path. ``$`` and ``$.`` lead from the whole data, also inside ``each``."""
    text = piece.text()
    rooted = text == "$" or text.startswith(("$.", "$["))
    try:
        path = paths.compile_path((text[1:].removeprefix(".") or "@") if rooted else text)
    except paths.PathFault as fault:
        raise piece.fault(str(fault)) from None
    walk = path.walk if path.safe else _guarded(path.walk, piece.place)
    if rooted:
        return Source(lambda _data, run: walk(run.root))
    key = path.key
    if key is not None:
        return Source(lambda data, _run: data.get(key, UNSET) if type(data) is dict else UNSET, walk, key)
    return Source(lambda data, _run: walk(data), walk)


def of_keys(keys: Mapping[str, Piece]) -> list[Source]:
    """The sources that a field names, in their order; the data at hand where it names none."""
    if "path" in keys:
        piece = keys["path"]
        found = [source(member) for member in piece.members()] if piece.is_list else [source(piece)]
        if not found:
            raise piece.fault("a path is needed here")
        return found
    if "const" in keys:
        value = keys["const"].value()
        return [Source(lambda _data, _run: value)]
    if "option" in keys:
        option = keys["option"].text()
        return [Source(lambda _data, run: run.context.options.get(option, UNSET))]
    if "context" in keys:
        return [Source(_from_context(keys["context"].choice(_CONTEXT)))]
    return [Source(lambda data, _run: data, lambda data: data)]


def _from_context(name: str) -> Read:
    if name == "received_at":
        return lambda _data, run: clock.moment(run.context.received_at)
    return lambda _data, run: getattr(run.context, name)


def _guarded(walk: paths.Walk, place: str) -> paths.Walk:
    def guarded(data: Any) -> Any:
        try:
            return walk(data)
        except paths.PathFault as fault:
            raise ValueRefused(str(fault), place=place) from None

    return guarded
