"""A row, and what makes it one the gateway can keep: an object, not too deep, with a name.

**Sameness.** A row is the same as an earlier one when its name, its content and the request's ``Idempotency-Key`` (if any) are the same.
Content is part of it so that a changed row is never taken for a known one, whatever keys its sender reuses.
"""

import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from connectors.feed.options import ID_FIELDS, FeedOptions
from gateway.connector import Inbound, Lane
from gateway.errors import ConfigError, PayloadError

MAX_DEPTH = 32
_MAX_NAME = 256
_MAX_NUMBER = 64
_MAX_EXPONENT = 30
_MAX_INTEGER = 1 << 63
# What numbers and levels are made of: every digit as 0, every opening bracket as {. Translating and looking for a run is ten times as fast as a
# pattern that tries every byte.
_MARKS = bytes(48 if 48 <= byte < 58 else 123 if byte in b"{[" else 32 for byte in range(256))
_LONG_INTEGER = b"0" * 19


class Problem(msgspec.Struct, frozen=True):
    """Why one row is refused. ``row`` counts the body's rows from 1, headings and blank lines not counted; None is the whole body."""

    row: int | None
    field: str
    detail: str


class Row(msgspec.Struct, frozen=True):
    """One readable row: ``payload`` is its JSON, as sent where it came as JSON, and ``data`` what that says."""

    number: int
    data: dict[str, Any]
    payload: bytes


Rows = list[Row | Problem]


def number(text: str) -> str:
    """A JSON number as plain decimal text, exactly as written but for the exponent. ValueError when it is out of all proportion."""
    if len(text) > _MAX_NUMBER:
        raise ValueError("a number is too long")
    mantissa, _, exponent = text.lower().partition("e")
    if not exponent:
        return text
    if abs(int(exponent)) > _MAX_EXPONENT or len(mantissa) > _MAX_EXPONENT:
        raise ValueError("a number is out of range")
    return format(Decimal(text), "f")


# A float would round what the sender wrote: the decoder hands over the number's own text.
_OBJECT = msgspec.json.Decoder(dict[str, Any], float_hook=number)
_ANYTHING = msgspec.json.Decoder(Any, float_hook=number)


def decode(payload: bytes) -> dict[str, Any]:
    """One JSON object. PayloadError says what is wrong with it, without quoting it."""
    try:
        data = _OBJECT.decode(payload)
    except msgspec.ValidationError as error:
        raise PayloadError(_reason(error)) from error
    # Text that is not UTF-8 and integers of thousands of digits are ValueErrors.
    except (msgspec.DecodeError, ValueError) as error:
        raise PayloadError("not well-formed JSON") from error
    except RecursionError as error:
        raise PayloadError(f"nested deeper than {MAX_DEPTH} levels") from error
    # The walk costs as much as the rest: it is left to the rare payload that could have something to find.
    marks = payload.translate(_MARKS)
    if marks.count(b"{") > MAX_DEPTH or _LONG_INTEGER in marks:
        _check(data, MAX_DEPTH)
    return data


def decode_cell(text: str) -> Any:
    """What a cell under a ``:json`` heading says. PayloadError as ``decode``."""
    try:
        data = _ANYTHING.decode(text)
    except (msgspec.DecodeError, ValueError) as error:
        raise PayloadError("not well-formed JSON") from error
    except RecursionError as error:
        raise PayloadError(f"nested deeper than {MAX_DEPTH} levels") from error
    _check(data, MAX_DEPTH - 1)
    return data


def row_of(position: int, data: dict[str, Any]) -> Row:
    """A row that came as something other than JSON: its payload is compact JSON."""
    return Row(position, data, msgspec.json.encode(data))


class Path:
    """A JMESPath. A plain name, which is what most are, may be in any script and is looked up without the library."""

    def __init__(self, text: str, place: str) -> None:
        self.text = text
        self.plain = text.isidentifier()
        self._search = None if self.plain else _by_path(text, place)

    def name_in(self, data: dict[str, Any]) -> str | None:
        """The value as text: a printable text or a number of at most 256 characters; None for anything else."""
        try:
            value: Any = data.get(self.text) if self._search is None else self._search(data)
        except JMESPathError:
            return None
        kind = type(value)
        if kind is not str and kind is not int:
            return None
        name = value.strip() if kind is str else str(value)
        return name if name and len(name) <= _MAX_NAME and name.isprintable() else None


def _by_path(text: str, place: str) -> Callable[[dict[str, Any]], Any]:
    try:
        search: Callable[[dict[str, Any]], Any] = jmespath.compile(text).search
    except JMESPathError as error:
        raise ConfigError(f"{text!r} is not a JMESPath", place=place) from error
    return search


class Naming:
    """How an account's rows are named: what becomes an entry's dedupe and partition keys."""

    def __init__(self, topic: str, id_path: Path, key_path: Path) -> None:
        self.topic = topic
        self.id_path = id_path
        self._key_path = key_path
        self._one_path = id_path.text == key_path.text

    def admit(self, row: Row, idempotency_key: str, lane: Lane | None) -> Inbound | Problem:
        """The entry that keeps this row."""
        name = self.id_path.name_in(row.data)
        if name is None:
            return Problem(row.number, self.id_path.text, "missing, or not a printable text of at most 256 characters")
        key = name if self._one_path else self._key_path.name_in(row.data)
        if key is None:
            return Problem(
                row.number, self._key_path.text, "missing, or not a printable text of at most 256 characters"
            )
        content = hashlib.blake2b(row.payload, digest_size=16).hexdigest()
        return Inbound(
            topic=self.topic,
            dedupe_key=f"{idempotency_key}\n{name}\n{content}",
            partition_key=key,
            payload=row.payload,
            lane=lane,
        )

    def headed(self, headings: Sequence[str]) -> bool:
        """Whether a table with these headings can name its rows at all."""
        return not self.id_path.plain or self.id_path.text in headings


def naming(account: str, topic: str, stem: str, options: FeedOptions) -> Naming:
    """ConfigError when a path is not one, or when the mapping is not built in and says nothing of its ids."""
    place = f"accounts.{account}"
    text = options.id_path or ID_FIELDS.get(stem, "")
    if not text:
        raise ConfigError(f"mapping {options.mapping} needs an id_path", place=f"{place}.id_path")
    id_path = Path(text, f"{place}.id_path")
    return Naming(topic, id_path, Path(options.key_path or text, f"{place}.key_path"))


def _reason(error: msgspec.ValidationError) -> str:
    text = str(error)
    return text.partition(" - at ")[0] if text.startswith("a number is") else "not a JSON object"


def _check(value: Any, levels: int) -> None:
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise PayloadError("a number is out of range")
    if not isinstance(value, dict | list):
        return
    if levels == 0:
        raise PayloadError(f"nested deeper than {MAX_DEPTH} levels")
    for inner in value.values() if isinstance(value, dict) else value:
        _check(inner, levels - 1)
