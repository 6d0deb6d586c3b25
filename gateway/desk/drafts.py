"""An account's form, made from its connector's card; what was entered, read as the config reads it; and the TOML to put there."""

import json
import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT

from gateway import sealing
from gateway.connector import Card
from gateway.model.secret import Secret
from gateway.vault import Vault

# Chosen before the form, and switched by a button of its own.
_ACTS = ("connector", "disabled")
_PLACES = ("env:", "file:")
_REFERENCES = (*_PLACES, "sealed:")


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One input. ``kind`` is text, password, number, check, choice or list (comma separated). ``value`` is text as it stands in the input;
    empty for secrets always."""

    name: str
    kind: str
    help: str
    required: bool
    value: str = ""
    choices: tuple[str, ...] = ()
    secret: bool = False


def fields_of(card: Card, common: type[msgspec.Struct], given: Mapping[str, Any]) -> tuple[list[Field], list[Field]]:
    """The connector's own inputs, and those of every account; ``given`` fills what is no secret."""
    own = [_field(one, given) for one in msgspec.structs.fields(card.options)]
    shared = [_field(one, given) for one in msgspec.structs.fields(common) if one.name not in _ACTS]
    return own, shared


def _field(one: msgspec.structs.FieldInfo, given: Mapping[str, Any]) -> Field:
    kind, sentence = _bare(one.type)
    default = None if one.default is NODEFAULT or isinstance(one.default, Secret) else one.default
    value = given.get(one.name, default)
    word = _kind(kind)
    return Field(
        name=one.name, kind=word, help=sentence, required=one.required, secret=word == "password",
        value="" if word == "password" else _text(value), choices=_choices(kind),
    )  # fmt: skip


def _bare(kind: Any) -> tuple[Any, str]:
    """A type without its sentence and without None; and the sentence."""
    sentence = ""
    while get_origin(kind) is Annotated:
        kind, *notes = get_args(kind)
        sentence = next(
            (note.description for note in notes if isinstance(note, msgspec.Meta) and note.description), sentence
        )
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    return kind, sentence


def _kind(kind: Any) -> str:
    if kind is Secret:
        return "password"
    if kind is bool:
        return "check"
    if get_origin(kind) is Literal:
        return "choice"
    if get_origin(kind) is tuple:
        return "list"
    return "number" if kind in (int, float) else "text"


def _choices(kind: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in get_args(kind)) if get_origin(kind) is Literal else ()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else ""
    if isinstance(value, (list, tuple)):
        return ", ".join(str(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def read(fields: Sequence[Field], said: Mapping[str, str], kept: Mapping[str, Any]) -> dict[str, Any]:
    """What was entered, as the config would hold it: what is empty or as it is by default is left out; an empty secret is the one in ``kept``."""
    found: dict[str, Any] = {}
    for one in fields:
        text = said.get(one.name, "").strip()
        if one.secret and not text and kept.get(one.name):
            found[one.name] = kept[one.name]
        elif one.kind == "check":
            found[one.name] = text == "true"
        elif text:
            found[one.name] = [part.strip() for part in text.split(",") if part.strip()] if one.kind == "list" else text
    return found


def placed(fields: Sequence[Field], said: Mapping[str, Any]) -> tuple[str, ...]:
    """The secrets of which a place was entered, as a config would name it, instead of the secret: sealed, it would be taken for one."""
    return tuple(one.name for one in fields if one.secret and str(said.get(one.name, "")).strip().startswith(_PLACES))


def without_defaults(card: Card, common: type[msgspec.Struct], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Only what differs from the declarations."""
    own, shared = fields_of(card, common, {})
    plain = {one.name: one.value for one in [*own, *shared] if not one.secret and not one.required}
    return {name: value for name, value in raw.items() if name not in plain or _text(value) != plain[name]}


def typed(one: Field, value: Any) -> Any:
    """Text as the form's field means it: a number, a list, yes or no; what cannot be read so stays as it is, and is a fault."""
    if not isinstance(value, str):
        return value
    if one.kind == "list":
        return [part.strip() for part in value.split(",") if part.strip()]
    if one.kind == "check" and value in ("true", "false"):
        return value == "true"
    if one.kind != "number":
        return value
    try:
        return int(value) if value.strip().lstrip("-").isdigit() else float(value)
    except ValueError:
        return value


_ADDRESS = re.compile(r"(?:^|_)(?:url|base|server|host)\Z")


def moved(fields: Sequence[Field], raw: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[str, ...]:
    """The options that say where an account's secrets go, and now say something else. ``fields`` hold what is so by default."""
    plain = {one.name: one.value for one in fields if _ADDRESS.search(one.name)}
    return tuple(name for name, value in plain.items() if _text(raw.get(name, value)) != _text(before.get(name, value)))


def toml(name: str, connector: str, raw: Mapping[str, Any], fields: Sequence[Field], vault: Vault) -> str:
    """The account as a table of the config; secrets that were entered in the clear are sealed."""
    kinds = {one.name: one for one in fields}
    lines = [f"[accounts.{_key(name)}]", f"connector = {_value(connector)}"]
    for key, value in raw.items():
        if kinds[key].secret and not str(value).startswith(_REFERENCES):
            value = sealing.seal(str(value), vault)
        number = kinds[key].kind == "number"
        lines.append(f"{key} = {value if number else _value(value)}")
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if plain else _value(name)


def _value(value: Any) -> str:
    # JSON's strings, booleans and arrays of strings are TOML's.
    return json.dumps(value, ensure_ascii=False)
