"""Keys and sealing: what every way of keeping keys promises, and how a record becomes a sealed body.

A **body** is a record as plain JSON data in which every non-public text is a token ``{"$sealed": "<key id>.<class>.<base64>"}``. It is
the only form in which records and events are stored. A token is bound to its record and field, so it cannot be moved; and equal
text in the same field of the same record seals to the equal token, so that a change is seen without opening anything.

The context of a token is ``<record id>/<path>``: the dotted path of field names and map keys, without list indices.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import NODEFAULT, UNSET, inspect

from gateway import clock
from gateway.errors import Tampered
from gateway.model.record import Record
from gateway.model.values import Sensitivity

SEALED = "$sealed"


class Vault(Protocol):
    """Seals, opens, and hashes with keys it never gives away.

    Every sealed thing names the key that sealed it; a key that is gone raises KeyMissing, an altered or moved value Tampered.
    """

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Seal a payload. ``context`` must be presented again to open; two seals of one payload differ."""
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The payload again."""
        ...

    def seal_text(self, value: str, context: str, sensitivity: Sensitivity) -> str:
        """``<key id>.<class>.<base64url>``; the same for the same value, context and current key."""
        ...

    def open_text(self, token: str, context: str) -> str:
        """The text again."""
        ...

    def blind(self, *parts: str) -> bytes:
        """16 bytes that are equal for equal parts and tell nothing else: keys to look things up by. Never rotates silently."""
        ...

    def refresh(self) -> None:
        """Take up keys that another process made or retired since. Whoever only seals meets none of them otherwise."""
        ...

    def keep(self) -> None:
        """Make the secrets of records that were sealed for the first time durable. To be called before what was sealed is committed.

        Stale when another process made one of them meanwhile: what was sealed since the last ``keep`` must be sealed again. It is said once, to
        whoever keeps next: tasks that share a vault seal and keep under one lock.
        """
        ...

    def meet(self, records: Iterable[str]) -> None:
        """Look up the secrets of these records together: sealing and opening their texts then asks for none by itself. Changes nothing else."""
        ...

    def expect(self, record: str) -> None:
        """``record`` is being made: until ``keep``, nobody looks whether it has a secret before sealing it. If it has one, ``keep`` says Stale."""
        ...

    def forget(self, records: Sequence[str]) -> int:
        """Destroy the secrets of these records: whatever was sealed under their ids raises Erased from now on, in every copy of the store.
        Returns how many there were. A record that is sealed again afterwards gets a new secret."""
        ...

    def renew(self, most: int = 1000) -> int:
        """Seal all records' secrets with the current key, ``most`` at a time. Returns how many were sealed with an older one."""
        ...

    def current(self, token: str) -> bool:
        """Whether a sealed text (or, by its first bytes, nothing else) was sealed with the key that its class is sealed with now."""
        ...

    def current_payload(self, sealed: bytes) -> bool:
        """As ``current``, for what ``seal`` returned."""
        ...


def body(record: Record, record_id: str, vault: Vault) -> dict[str, Any]:
    """``record`` as sealed JSON data under ``record_id``, which also becomes its ``id``.

    ``UNSET`` is left out, and so is ``None`` where it is the default; any other ``None`` erases and stays. Enums are their values,
    instants 27-character text. The result shares nothing with the record. TypeError for a type that cannot be sealed.
    """
    plain: dict[str, Any] = msgspec.to_builtins(record)
    _plan(type(record))(plain, f"{record_id}/", vault)
    plain["id"] = record_id
    return plain


def is_token(value: object) -> bool:
    """Whether a piece of a body is a sealed text."""
    return type(value) is dict and len(value) == 1 and SEALED in value


# ---------------------------------------------------------------------- record → body
# A touch changes one piece of the plain data that msgspec made; the data between touches is never visited from Python.
_Touch = Callable[[Any, str, Vault], Any]
_PLAIN = (
    inspect.BoolType, inspect.EnumType, inspect.FloatType, inspect.IntType, inspect.LiteralType, inspect.NoneType,
)  # fmt: skip


@functools.cache
def _plan(struct: type) -> _Touch:
    return _struct(struct, "") or _nothing


def _nothing(value: Any, _place: str, _vault: Vault) -> Any:
    return value


def _touch(kind: inspect.Type, path: str, sensitivity: Sensitivity = Sensitivity.PUBLIC) -> _Touch | None:
    match kind:
        case inspect.Metadata(type=inner, extra=extra):
            return _touch(inner, path, (extra or {}).get("sensitivity", sensitivity))
        case inspect.UnionType(types=kinds):
            return _union(kinds, path, sensitivity)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return _each(_touch(item, path, sensitivity))
        case inspect.DictType(value_type=item):
            return _map(_touch(item, path, sensitivity), item, path)
        case inspect.StructType(cls=struct):
            return _struct(struct, f"{path}.")
        case inspect.StrType():
            return None if sensitivity is Sensitivity.PUBLIC else _seal(path, sensitivity)
        case inspect.DateTimeType():
            return _instant
        case _ if sensitivity is Sensitivity.PUBLIC and isinstance(kind, _PLAIN):
            return None
        case _:
            raise TypeError(f"{path}: {type(kind).__name__} cannot stand in a body with this sensitivity")


def _union(kinds: tuple[inspect.Type, ...], path: str, sensitivity: Sensitivity) -> _Touch | None:
    spoken = [kind for kind in kinds if not isinstance(kind, inspect.NoneType)]
    touches = [_touch(kind, path, sensitivity) for kind in spoken]
    if len(touches) > 1 and any(touches):
        raise TypeError(f"{path}: a union hides which of its types is to be sealed")
    return touches[0]


def _struct(struct: type, prefix: str) -> _Touch | None:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    named = [(field.encode_name, _touch(field.type, prefix + field.encode_name)) for field in info.fields]
    touches = tuple((name, touch) for name, touch in named if touch)
    defaults = _defaults(info)

    def apply(value: dict[str, Any], place: str, vault: Vault) -> dict[str, Any]:
        for name, default in defaults:
            value.setdefault(name, default)
        for name, touch in touches:
            part = value.get(name)
            if part is not None:
                value[name] = touch(part, place, vault)
        return value

    return apply if touches or defaults else None


def _defaults(info: inspect.StructType) -> tuple[tuple[str, Any], ...]:
    """What msgspec leaves out as a default and a reader would miss: everything but None and UNSET."""
    if not info.cls.__struct_config__.omit_defaults:
        return ()
    said = [
        (field.encode_name, field.default) for field in info.fields if field.default not in (None, UNSET, NODEFAULT)
    ]
    return tuple((name, msgspec.to_builtins(default)) for name, default in said if name != "id")


def _each(touch: _Touch | None) -> _Touch:
    if touch is None:
        # A tuple would not be equal to what comes back from the store.
        return lambda value, _place, _vault: list(value)

    def apply(value: list[Any], place: str, vault: Vault) -> list[Any]:
        return [None if item is None else touch(item, place, vault) for item in value]

    return apply


def _map(touch: _Touch | None, item: inspect.Type, path: str) -> _Touch:
    if touch is None:
        return _plain_map
    sensitivity = _text_class(item)
    if sensitivity is None:
        raise TypeError(f"{path}: a map's values are sealed only when they are text")

    def apply(value: dict[str, Any], place: str, vault: Vault) -> dict[str, Any]:
        return {
            key: None if text is None else {SEALED: vault.seal_text(text, f"{place}{path}.{key}", sensitivity)}
            for key, text in value.items()
        }

    return apply


def _text_class(kind: inspect.Type) -> Sensitivity | None:
    if isinstance(kind, inspect.UnionType):
        return next((found for part in kind.types if (found := _text_class(part))), None)
    if isinstance(kind, inspect.Metadata) and isinstance(kind.type, inspect.StrType):
        return (kind.extra or {}).get("sensitivity")
    return None


def _plain_map(value: dict[str, Any], _place: str, _vault: Vault) -> dict[str, Any]:
    # A partner's own key of that name would look like a token that nobody sealed, and poison every reader of the body.
    if SEALED in value:
        value[f"_{SEALED}"] = value.pop(SEALED)
    return value


def _seal(path: str, sensitivity: Sensitivity) -> _Touch:
    def apply(value: str, place: str, vault: Vault) -> dict[str, str]:
        return {SEALED: vault.seal_text(value, place + path, sensitivity)}

    return apply


def _instant(value: str, _place: str, _vault: Vault) -> str:
    if value[-1] == "Z" and len(value) == 27:
        return value
    # msgspec leaves out microseconds of zero, which most partners send.
    if value[-1] == "Z" and len(value) == 20:
        return f"{value[:19]}.000000Z"
    return clock.text(clock.parse(value))


# Public text is never sealed: a token that says so was relabelled.
_CLASSES = {sensitivity.value: sensitivity for sensitivity in Sensitivity if sensitivity is not Sensitivity.PUBLIC}


def class_of(token: str) -> Sensitivity:
    """The class that a token carries in the open. Tampered when it is no token."""
    parts = token.split(".", 2) if isinstance(token, str) else []
    found = _CLASSES.get(parts[1]) if len(parts) == 3 else None
    if found is None:
        raise Tampered("a sealed text is not of the form key.class.data")
    return found
