"""JMESPath, compiled. The one home of the jmespath library.

A plain dotted or indexed path becomes a direct walk, which tells absent (``UNSET``) from null; the library cannot, and takes tens of times as
long. Anything richer is an expression, whose null is ``UNSET``: compiled by ``expressions`` where it can be, else run by the library. https://jmespath.org/specification.html
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from msgspec import UNSET

from gateway.language.expressions import closure_of, is_false

Walk = Callable[[Any], Any]
_DEEPEST = 50


class PathFault(ValueError):
    """A path that cannot be compiled, or an expression that met data its functions do not take. Safe to show."""


class Path(NamedTuple):
    """``walk`` reads the path from decoded JSON. A ``safe`` one never raises, another may raise PathFault. ``key`` is all there is to a path
    of one step."""

    walk: Walk
    safe: bool
    key: str | None = None


def compile_path(text: str) -> Path:
    """PathFault says what is wrong with ``text``."""
    try:
        parsed = jmespath.compile(text)
    except JMESPathError as error:
        raise PathFault(f"not a JMESPath: {_first_line(error)}") from None
    except RecursionError:
        raise PathFault("not a JMESPath: nested too deeply") from None
    # What can just be read here could be too deep where it is run.
    if _depth(parsed.parsed) > _DEEPEST:
        raise PathFault("not a JMESPath: nested too deeply")
    for node in _nodes(parsed.parsed):
        if node["type"] == "function_expression":
            _check_function(node)
    keys = _plain(parsed.parsed)
    if keys is None:
        quick = closure_of(parsed.parsed)
        return Path(_nothing_for_null(quick), safe=True) if quick else Path(_rich(parsed), safe=False)
    key = keys[0] if len(keys) == 1 and isinstance(keys[0], str) else None
    return Path(_walk(keys), safe=True, key=key)


def _depth(node: Any) -> int:
    depth, level = 0, [node]
    while level and depth <= _DEEPEST:
        depth += 1
        level = [child for one in level for child in one["children"] if isinstance(child, dict)]
    return depth


def holds(value: Any) -> bool:
    """Truth as JMESPath has it: absent, null, false, ``""``, ``[]`` and ``{}`` do not hold; 0 does."""
    return value is not UNSET and not is_false(value)


def _walk(keys: tuple[str | int, ...]) -> Walk:
    if not keys:
        return lambda data: data
    if len(keys) == 1 and isinstance(keys[0], str):
        return _one(keys[0])
    if len(keys) == 2 and isinstance(keys[0], str) and isinstance(keys[1], str):
        return _two(keys[0], keys[1])
    return _many(keys)


def _one(key: str) -> Walk:
    def walk(data: Any) -> Any:
        return data.get(key, UNSET) if type(data) is dict else UNSET

    return walk


def _two(first: str, second: str) -> Walk:
    def walk(data: Any) -> Any:
        inner = data.get(first) if type(data) is dict else None
        return inner.get(second, UNSET) if type(inner) is dict else UNSET

    return walk


def _many(keys: tuple[str | int, ...]) -> Walk:
    steps: tuple[tuple[type, Any], ...] = tuple((dict if isinstance(key, str) else list, key) for key in keys)

    def walk(data: Any) -> Any:
        found = data
        try:
            for kind, key in steps:
                if type(found) is not kind:
                    return UNSET
                found = found[key]  # type: ignore[index]  # of a kind that has one
        except LookupError:
            return UNSET
        return found

    return walk


def _nothing_for_null(quick: Walk) -> Walk:
    def walk(data: Any) -> Any:
        found = quick(data)
        return UNSET if found is None else found

    return walk


def _rich(parsed: Any) -> Walk:
    def walk(data: Any) -> Any:
        try:
            found = parsed.search(data)
        # Its functions raise bare arithmetic and type errors for some data besides its own tree.
        except (JMESPathError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
            raise PathFault("the path's functions do not take this data") from None
        return UNSET if found is None else found

    return walk


def _plain(node: Any) -> tuple[str | int, ...] | None:
    """The keys of a path that only steps into fields and indexes; None for any other."""
    match node["type"]:
        case "current" | "identity":
            return ()
        case "field" | "index":
            return (node["value"],)
        case "subexpression" | "index_expression":
            parts = [_plain(child) for child in node["children"]]
            if any(part is None for part in parts):
                return None
            return tuple(key for part in parts if part for key in part)
        case _:
            return None


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _nodes(child)


def _check_function(node: Any) -> None:
    known = Functions.FUNCTION_TABLE.get(node["value"])
    if known is None:
        raise PathFault(f"JMESPath has no function {node['value']}()")
    signature = known["signature"]
    variadic = bool(signature) and signature[-1].get("variadic", False)
    given = len(node["children"])
    if given < len(signature) or (given > len(signature) and not variadic):
        raise PathFault(f"{node['value']}() takes {len(signature)} arguments, not {given}")


def _first_line(error: JMESPathError) -> str:
    return str(error).partition("\n")[0].rstrip(":. ")
