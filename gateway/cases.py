"""Golden cases: what a mapping must make of known data; and the check of every mapping file before anything runs.

``gateway check``, ``gateway mapping test``, ``gateway mapping try`` and the test suite call the same functions. The form of a case stands in
``mappings/README.md``.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from gateway import clock, expected, identity, mapping
from gateway.connector import Account, Card, Tools
from gateway.errors import MappingError, PartnerDown, PayloadError
from gateway.language import mapfile
from gateway.language.mapfile import Piece
from gateway.model.secret import Secret

_CASE_KEYS = ("name", "data", "sample", "topic", "context", "account", "expect", "refused")
_CONTEXT_KEYS = ("account", "zone", "unit", "options", "received_at")
_SUFFIX = ".cases.yaml"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How one case went. ``place`` is file:line:field; no ``faults`` means that it holds."""

    place: str
    mapping: str
    name: str
    faults: tuple[str, ...] = ()


# ------------------------------------------------------------------ golden cases
def run_cases(folder: Path, cards: Iterable[Card], only: Path | None = None) -> list[Result]:
    """Run the cases of every mapping under ``folder``, or of the one file or subfolder ``only`` names (a mapping or its cases).

    Samples are read from ``connectors/<name>/samples/ok`` beside ``folder``. MappingError when a file cannot be used at all.
    """
    known = {card.name: card for card in cards}
    return [result for file in _case_files(folder, only) for result in _run_file(folder, file, known)]


def _case_files(folder: Path, only: Path | None) -> list[Path]:
    if only is None:
        return sorted(folder.glob(f"*/*{_SUFFIX}"))
    if only.is_dir():
        return sorted(only.rglob(f"*{_SUFFIX}"))
    return [only if only.name.endswith(_SUFFIX) else only.with_name(only.stem + _SUFFIX)]


def _run_file(folder: Path, file: Path, cards: Mapping[str, Card]) -> Iterator[Result]:
    connector, stem = file.parent.name, file.name.removesuffix(_SUFFIX)
    top = mapfile.read(_text(folder, file), _place(folder, file))
    card = cards.get(connector)
    if card is None:
        raise top.fault(f"no connector is called {connector!r}", mapfile.nearest(connector, cards))
    yield from _results(top, mapping.load(folder, connector, stem, card.calls), card, folder)


def run_on(program: mapping.Program, folder: Path, card: Card, stem: str) -> list[Result]:
    """The cases of ``<card>/<stem>`` under ``folder``, by another program than the file's: a version that was stored at run time."""
    file = folder / card.name / f"{stem}{_SUFFIX}"
    top = mapfile.read(_text(folder, file), _place(folder, file))
    return list(_results(top, program, card, folder))


def _results(top: Piece, program: mapping.Program, card: Card, folder: Path) -> Iterator[Result]:
    for piece in top.members():
        keys = _case(piece)
        faults = _faults(keys, program, card, folder)
        yield Result(place=piece.place, mapping=program.name, name=keys["name"].text(), faults=tuple(faults))


def _case(piece: Piece) -> dict[str, Piece]:
    keys = piece.keys(_CASE_KEYS, required=("name",))
    for one, other in (("data", "sample"), ("expect", "refused")):
        if (one in keys) is (other in keys):
            raise piece.fault(f"either {one!r} or {other!r} is needed here")
    return keys


def _faults(keys: dict[str, Piece], program: mapping.Program, card: Card, folder: Path) -> list[str]:
    context = context_of(keys.get("context"))
    try:
        data = keys["data"].value() if "data" in keys else _decoded(keys, card, context, folder, program)
        found = program.run(data, context)
    except PayloadError as error:
        return _refusal(keys, error)
    if "refused" in keys:
        return [f"{keys['refused'].place}: it should be refused and is not"]
    return expected.differences(keys["expect"], found)


def _refusal(keys: dict[str, Piece], error: PayloadError) -> list[str]:
    if "refused" in keys and keys["refused"].text() in str(error):
        return []
    return [f"refused: {error}"]


def _decoded(
    keys: dict[str, Piece], card: Card, context: mapping.Context, folder: Path, program: mapping.Program
) -> Any:
    """What the connector makes of a sample, without a network."""
    topic = keys["topic"].text() if "topic" in keys else program.name.partition("/")[2].partition("@")[0]
    file = folder.parent / "connectors" / card.name / "samples" / "ok" / keys["sample"].text()
    try:
        payload = file.read_bytes()
        stem = card.topic(topic).mapping
    except OSError:
        raise keys["sample"].fault(f"there is no sample {file.name!r} of {card.name}") from None
    except KeyError:
        raise keys.get("topic", keys["sample"]).fault(f"{card.name} has no topic {topic!r}") from None
    decoded = _opened(keys, card, context).decode(topic, payload)
    if f"{card.name}/{decoded.mapping or stem}@" != program.name[: program.name.index("@") + 1]:
        raise keys["sample"].fault(f"its mapping is {decoded.mapping or stem!r}, not this one")
    if decoded.data is None:
        raise keys["sample"].fault("it decodes to nothing that could be mapped")
    return decoded.data


def _opened(keys: dict[str, Piece], card: Card, context: mapping.Context) -> Any:
    more = keys["account"].value() if "account" in keys else {}
    try:
        return offline(card, {**context.options, **more}, context)
    except msgspec.ValidationError as error:
        raise keys.get("account", keys["name"]).fault(f"the account cannot be opened: {error}") from None


def offline(card: Card, options: Mapping[str, Any], context: mapping.Context) -> Any:
    """A connector opened on options given as plain data, which reaches nobody. ValidationError when they are not the card's."""
    typed = msgspec.convert(options, card.options, strict=False, dec_hook=_secret)
    account = Account(name=context.account, connector=card.name, options=typed, unit=context.unit, zone=context.zone)
    return card.open(account, Tools(clock=clock.TurnedClock(context.received_at), call=_no_network, token=_no_network))


def _secret(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(str(value))
    raise NotImplementedError(kind)


async def _no_network(*_args: Any, **_named: Any) -> Any:
    raise PartnerDown("a golden case has no network")


def context_of(piece: Piece | None) -> mapping.Context:
    """The context a case states. Unstated: account ``case``, zone Asia/Shanghai, received on 2026-11-11T00:00:00Z."""
    keys = piece.keys(_CONTEXT_KEYS) if piece else {}
    options = {name: option.text() for name, option in keys["options"].items()} if "options" in keys else {}
    return mapping.Context(
        account=keys["account"].text() if "account" in keys else "case",
        zone=keys["zone"].text() if "zone" in keys else "Asia/Shanghai",
        unit=keys["unit"].text() if "unit" in keys else None,
        received_at=_instant(keys["received_at"]) if "received_at" in keys else clock.parse("2026-11-11T00:00:00Z"),
        options=options,
    )


def _instant(piece: Piece) -> int:
    value = piece.value()
    if isinstance(value, int):
        return value
    try:
        return clock.parse(str(value))
    except ValueError:
        raise piece.fault("a time with an offset, or microseconds, is expected here") from None


# ------------------------------------------------------------------ trying
def attempt(
    file: Path, payload: bytes, cards: Iterable[Card], context: mapping.Context | None = None
) -> tuple[mapping.Mapped, ...]:
    """Run one mapping file over decoded data given as JSON. PayloadError when that is none, MappingError when the file cannot be used."""
    folder, connector = file.resolve().parent.parent, file.resolve().parent.name
    calls = next((card.calls for card in cards if card.name == connector), {})
    program = mapping.load(folder, connector, file.name.removesuffix(".yaml"), calls)
    try:
        data = msgspec.json.Decoder(float_hook=str).decode(payload)
    except msgspec.DecodeError as error:
        raise PayloadError(f"not JSON: {error}") from None
    return program.run(data, context or context_of(None))


# ------------------------------------------------------------------ checking
def check_all(folder: Path, cards: Iterable[Card]) -> list[MappingError]:
    """Everything that is wrong with the mappings, one fault per file and one per missing file, each with its place.

    Every file compiles against its connector's card, names declared identities and existing options, and has cases; every topic that
    says it is mapped has its file.
    """
    known = {card.name: card for card in cards}
    files = [file for file in sorted(folder.glob("*/*.yaml")) if file.parent.name != "tables"]
    found = [fault for file in files if (fault := _check_file(folder, file, known)) is not None]
    tables = [
        fault
        for file in sorted((folder / "tables").glob("*.yaml"))
        if (fault := _check_table(folder, file)) is not None
    ]
    return found + tables + list(_missing(folder, known))


def _check_table(folder: Path, file: Path) -> MappingError | None:
    """A shared table is a map of texts, also while no mapping names it; what its values must be is seen where it is used."""
    try:
        for row in dict(mapfile.read(_text(folder, file), _place(folder, file)).items()).values():
            if row.value() is not None:
                row.text()
    except MappingError as fault:
        return fault
    return None


def _check_file(folder: Path, file: Path, cards: Mapping[str, Card]) -> MappingError | None:
    card = cards.get(file.parent.name)
    try:
        top = mapfile.read(_text(folder, file), _place(folder, file))
        if card is None:
            return top.fault(f"no connector is called {file.parent.name!r}", mapfile.nearest(file.parent.name, cards))
        if file.name.endswith(_SUFFIX):
            _check_cases(top)
            return None
        mapping.load(folder, card.name, file.stem, card.calls)
        check_names(top, card)
    except MappingError as fault:
        return fault
    cases = file.with_name(file.stem + _SUFFIX)
    return None if cases.exists() else MappingError("it has no golden cases", place=_place(folder, cases))


def _check_cases(top: Piece) -> None:
    for piece in top.members():
        keys = _case(piece)
        context_of(keys.get("context"))
        if "expect" in keys:
            expected.check(keys["expect"])


def check_names(top: Piece, card: Card) -> None:
    """What only the rest of the house knows: declared namespaces and the account's options. MappingError names the place."""
    options = {field.name: field.type for field in msgspec.structs.fields(card.options)}
    for key, piece in _walk(top):
        if key == "namespace" and ".identities[" in piece.field:
            piece.choice(identity.NAMESPACES)
        if key == "option" and Secret in (options[piece.choice(options)], *get_args(options[piece.text()])):
            raise piece.fault("a secret option is not for mappings")


def _walk(piece: Piece) -> Iterator[tuple[str, Piece]]:
    if piece.is_map:
        for key, below in piece.items():
            yield key, below
            yield from _walk(below)
    elif piece.is_list:
        for below in piece.members():
            yield from _walk(below)


def _missing(folder: Path, cards: Mapping[str, Card]) -> Iterator[MappingError]:
    for card in cards.values():
        for stem in dict.fromkeys(topic.mapping for topic in card.topics if topic.mapping):
            file = folder / card.name / f"{stem}.yaml"
            if not file.exists():
                yield MappingError(
                    "a topic of the connector names this mapping, and there is none", place=_place(folder, file)
                )


def _text(folder: Path, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"cannot be read: {type(error).__name__}", place=_place(folder, file)) from None


def _place(folder: Path, file: Path) -> str:
    try:
        return f"{folder.name}/{file.resolve().relative_to(folder.resolve())}"
    except ValueError:
        return str(file)
