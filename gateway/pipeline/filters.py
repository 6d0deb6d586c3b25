"""Filters of endpoints: CEL over an event's public fields. The one home of the cel library. https://cel.dev

Sealed fields are not there at all: neither their text nor their token. A filter that could ask for a phone number would tell, by what it
lets through, whose it is.
"""

import functools
import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.clock import worked
from gateway.errors import ConfigError
from gateway.vault import SEALED

FIELDS = ("id", "type", "timestamp", "schema", "subject", "sequence", "source", "data")
"""What a filter may name; below ``data`` as the event's own schema has it."""
LONGEST = 2000
COSTLY = 0.01
"""Seconds of ``Filter.cost`` that nothing ordinary comes near."""
SLOW = 0.1
"""Seconds of work beyond which a filter holds up every other endpoint; an ordinary one takes a ten-thousandth of it."""

_FUNCTIONS = frozenset(
    {
        "size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bytes", "timestamp", "duration",
        "type", "dyn", "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes",
        "getSeconds", "getMilliseconds",
    }
)  # fmt: skip
_TYPES = frozenset({"int", "uint", "double", "string", "bytes", "bool", "list", "map", "type", "null_type"})
_WORD = re.compile(r"[A-Za-z_]\w*")
_LOOP = re.compile(r"\b(?:all|exists|exists_one)\b")
# They copy what they have made at each step: a list of three hundred takes the library half a minute.
_COPIES = re.compile(r"\b(?:map|filter)\s*\(")
# A call's name is no field: data.order.lines.exists(…) reads the lines.
_WAY = re.compile(r"\bdata\b((?:\s*\.\s*[A-Za-z_]\w*)*)(\s*\()?")
_BOUND = re.compile(r"\b(?:all|exists|exists_one)\s*\(\s*([A-Za-z_]\w*)\s*,")
# What running an expression can raise: a field that is not there, two types that do not go together, arithmetic, a pattern that is none.
_FAULTS = (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError)

_event = msgspec.json.Decoder(dict[str, Any])

Context = Any
"""The library's own."""


@functools.cache
def _library() -> Any:
    # It brings a command line along, which costs a tenth of a second; most endpoints have no filter.
    return importlib.import_module("cel")


class Unclear(msgspec.Struct, frozen=True):
    """A filter could not be asked about an event. ``cause`` is a word or the name of a field, never a value."""

    cause: str


class Filter:
    """A compiled expression. ConfigError says what is wrong with it."""

    def __init__(self, text: str, *, place: str) -> None:
        # Deeply nested text overflows the library's stack, and loops within loops would hold up every other endpoint.
        if len(text) > LONGEST:
            raise ConfigError(f"a filter has at most {LONGEST} characters", place=place)
        if len(_LOOP.findall(text)) > 1:
            raise ConfigError("a filter has at most one of all, exists and exists_one", place=place)
        if _COPIES.search(text):
            raise ConfigError(
                "a filter has no map and no filter", place=place, remedy="ask by all, exists or exists_one"
            )
        try:
            self._program = _library().compile(text)
        except ValueError as error:
            raise ConfigError(f"is not a CEL expression: {_first_fault(error)}", place=place) from None
        said = self._program.references()
        _check_names(text, said, place)
        self.reaches = _reached(text, said["variables"])
        """Paths into the event that the expression names; it can see nothing outside of them."""

    def holds(self, context: Context) -> bool | Unclear:
        """Whether the event is meant."""
        try:
            found = self._program.execute(context)
        except _FAULTS as error:
            return Unclear(_word(error))
        return found if type(found) is bool else Unclear("not_a_bool")

    def cost(self) -> float:
        """Seconds of work that asking about a large event takes, an order of 30 lines."""
        context, began = context_of(_large(), self.reaches), worked()
        _ = self.holds(context)
        return worked() - began


@functools.cache
def _large() -> bytes:
    text = "x" * 200
    line = {"line_no": text, "sku": text, "product": text, "title": text, "price": {"amount": 1, "currency": "CNY"}}
    order = {
        "id": "ord_",
        "external_id": text,
        "raw_status": text,
        "attrs": {"a": text, "b": text},
        "lines": [line] * 30,
    }
    body = {name: text for name in FIELDS if name != "data"}
    customer = {"id": "cus_", "tags": [text] * 30, "contacts": [{"kind": "phone", "use": text}] * 30}
    return msgspec.json.encode({**body, "data": {"order": order, "customer": customer, "changed": [text] * 20}})


Path = tuple[str, ...]
EVERYTHING: frozenset[Path] = frozenset((name,) for name in FIELDS)


def context_of(body: bytes, reaches: Iterable[Path] = EVERYTHING) -> Context:
    """The public fields of an event, as the store keeps it, under these paths. Converting takes far longer than asking: once per event, for all
    its filters together."""
    event, kept = _event.decode(body), dict[str, Any]()
    for path in reaches:
        _keep(event, kept, path)
    return _library().Context(kept)


def _keep(node: dict[str, Any], kept: dict[str, Any], path: Path) -> None:
    name, rest = path[0], path[1:]
    value = node.get(name)
    if name not in node or _sealed(value):
        return
    if rest and type(value) is dict:
        _keep(value, kept.setdefault(name, {}), rest)
    else:
        kept[name] = _public(value)


def _public(node: Any) -> Any:
    if type(node) is dict:
        return {name: _public(value) for name, value in node.items() if not _sealed(value)}
    if type(node) is list:
        return [_public(item) for item in node if not _sealed(item)]
    return node


def _sealed(value: Any) -> bool:
    return type(value) is dict and SEALED in value


def _reached(text: str, variables: Iterable[str]) -> frozenset[Path]:
    """Each ``data.a.b`` as far as it is written with plain names. ``data`` that stands in any other way reaches all of it."""
    found: set[Path] = {(name,) for name in variables if name in FIELDS and name != "data"}
    for way, called in _WAY.findall(text) if "data" in variables else ():
        names = _WORD.findall(way)
        found.add(("data", *(names[:-1] if called else names)))
    return frozenset(found)


def _check_names(text: str, said: Mapping[str, Sequence[str]], place: str) -> None:
    loose = set(said["variables"]) - set(FIELDS) - _TYPES - set(_BOUND.findall(text))
    if loose:
        remedy = f"an event has {', '.join(FIELDS)}; its record stands in data, such as data.order.payment == 'paid'"
        raise ConfigError(f"nothing is called {_list(loose)}", place=place, remedy=remedy)
    unknown = {name for name in said["functions"] if _WORD.fullmatch(name)} - _FUNCTIONS
    if unknown:
        raise ConfigError(
            f"there is no function {_list(unknown)}", place=place, remedy=f"there are {', '.join(sorted(_FUNCTIONS))}"
        )


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _first_fault(error: ValueError) -> str:
    """``1:4: Syntax error: …`` of the library's many lines, which begin with the whole text."""
    found = re.search(r"<input>:(\d+:\d+: [^\n]{1,160})", str(error))
    return found[1] if found else "it cannot be read"


def _word(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no field {error.args[0]!r}" if error.args else "no field"
    return {TypeError: "types_differ", IndexError: "no_such_place"}.get(type(error), type(error).__name__)
