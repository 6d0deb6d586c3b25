"""JMESPath expressions as closures: conditions, choices, lists and filters, with null as ``None``.

The library walks its tree anew for every value; these say the same several times faster. What is not here (functions, slices, orderings,
wildcards over objects) is left to the library. https://jmespath.org/specification.html
"""

from collections.abc import Callable
from typing import Any

Eval = Callable[[Any], Any]


def closure_of(node: Any) -> Eval | None:
    """What evaluates a parsed expression; None when a part of it is not compiled here."""
    build = _BUILDERS.get(node["type"])
    if build is None:
        return None
    below = [closure_of(child) for child in node["children"]]
    known = [child for child in below if child is not None]
    return build(node, known) if len(known) == len(below) else None


def is_false(value: Any) -> bool:
    """Null, false, ``""``, ``[]`` and ``{}``; 0 is true."""
    if value is None or value is False:
        return True
    return type(value) in (str, list, dict) and not value


def _field(node: Any, _below: list[Eval]) -> Eval:
    key = node["value"]
    return lambda data: data.get(key) if type(data) is dict else None


def _index(node: Any, _below: list[Eval]) -> Eval:
    at = node["value"]
    return lambda data: data[at] if type(data) is list and -len(data) <= at < len(data) else None


def _literal(node: Any, _below: list[Eval]) -> Eval:
    value = node["value"]
    return lambda _data: value


def _current(_node: Any, _below: list[Eval]) -> Eval:
    return lambda data: data


def _chain(_node: Any, below: list[Eval]) -> Eval:
    def walk(data: Any) -> Any:
        for step in below:
            data = step(data)
        return data

    return walk


def _or(_node: Any, below: list[Eval]) -> Eval:
    left, right = below

    def either(data: Any) -> Any:
        found = left(data)
        return right(data) if is_false(found) else found

    return either


def _and(_node: Any, below: list[Eval]) -> Eval:
    left, right = below

    def both(data: Any) -> Any:
        found = left(data)
        return found if is_false(found) else right(data)

    return both


def _not(_node: Any, below: list[Eval]) -> Eval:
    (inner,) = below
    return lambda data: is_false(inner(data))


def _comparator(node: Any, below: list[Eval]) -> Eval | None:
    if node["value"] not in ("eq", "ne"):
        return None
    left, right = below
    wanted = node["value"] == "eq"
    return lambda data: _equal(left(data), right(data)) is wanted


def _equal(one: Any, other: Any) -> bool:
    # To Python true is 1; to JMESPath it is not.
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _select(_node: Any, below: list[Eval]) -> Eval:
    return lambda data: None if data is None else [part(data) for part in below]


def _projection(_node: Any, below: list[Eval]) -> Eval:
    base, each = below

    def project(data: Any) -> Any:
        items = base(data)
        if type(items) is not list:
            return None
        return [found for found in map(each, items) if found is not None]

    return project


def _filter(_node: Any, below: list[Eval]) -> Eval:
    base, each, condition = below

    def project(data: Any) -> Any:
        items = base(data)
        if type(items) is not list:
            return None
        kept = (each(item) for item in items if not is_false(condition(item)))
        return [found for found in kept if found is not None]

    return project


def _flatten(_node: Any, below: list[Eval]) -> Eval:
    (base,) = below

    def flatten(data: Any) -> Any:
        items = base(data)
        if type(items) is not list:
            return None
        return [part for item in items for part in (item if type(item) is list else [item])]

    return flatten


_BUILDERS: dict[str, Callable[[Any, list[Eval]], Eval | None]] = {
    "field": _field,
    "index": _index,
    "literal": _literal,
    "current": _current,
    "identity": _current,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _chain,
    "or_expression": _or,
    "and_expression": _and,
    "not_expression": _not,
    "comparator": _comparator,
    "multi_select_list": _select,
    "projection": _projection,
    "filter_projection": _filter,
    "flatten": _flatten,
}
