"""What a partner's fields mean: how a mapping file is read and run.

A mapping is YAML, strict, one file per connector and topic (``mappings/<connector>/<stem>.yaml``), with golden cases beside it
(``<stem>.cases.yaml``). The language and its converters are described in ``mappings/README.md``.
"""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.clock import instant
from gateway.errors import MappingError
from gateway.language import fields, mapfile, paths, steps, targets
from gateway.language.masks import is_masked
from gateway.language.sources import Read, source
from gateway.model.appointment import Appointment
from gateway.model.customer import Customer
from gateway.model.identity import Assertion
from gateway.model.interaction import Interaction
from gateway.model.order import Order
from gateway.model.organisation import Staff, Unit
from gateway.model.record import Record
from gateway.model.relationship import Relationship
from gateway.model.stock import StockLevel


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping may know besides the data. ``options`` are the account's non-secret options as text; ``received_at`` is microseconds."""

    account: str
    zone: str
    unit: str | None = None
    received_at: int
    options: MappingOf[str, str] = {}


class Unknown(msgspec.Struct, frozen=True):
    """A value that a table does not know. It became ``unknown``; ``raw`` is kept on the record too."""

    field: str
    raw: str


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """One record that an entry asserts.

    ``record`` is a patch: ``UNSET`` where the source said nothing. ``identities`` say whose it is (for a Customer record: who it is);
    ``customer`` is what the same source asserts about that person. ``source_time`` is microseconds, ``source_version`` any growing
    integer; either may be None. ``kind`` is the record's noun in lower case (``order``, ``customer`` …).
    """

    kind: str
    record: Record
    identities: tuple[Assertion, ...] = ()
    customer: Customer | None = None
    source_time: int | None = None
    source_version: int | None = None
    unknowns: tuple[Unknown, ...] = ()


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled mapping. ``name`` is ``<connector>/<stem>@<version>``.

    ``run`` takes decoded data (str, int, bool, None, list, dict) and gives one Mapped per record it asserts, in the file's order. It raises
    ValueRefused for what cannot be converted and PayloadError for nothing else; it keeps no state and may run in any thread.
    """

    name: str
    run: Callable[[Any, Context], tuple[Mapped, ...]]


RECORDS: MappingOf[str, type[Record]] = {
    "order": Order,
    "customer": Customer,
    "interaction": Interaction,
    "appointment": Appointment,
    "relationship": Relationship,
    "unit": Unit,
    "staff": Staff,
    "stock": StockLevel,
}
# What only the pipeline may say: ids, whose it is, and how a customer lives and dies.
_FILLED = frozenset({"id", "account", "customer", "merged_into", "provenance"})
_TOP_KEYS = ("version", "connector", "topic", "emit", "tables")
_EMIT_KEYS = ("record", "each", "when", "time", "version", "fields", "identities", "customer")
_IDENTITY_KEYS = ("namespace", "each", "when", "scope", "value", "verified", "retired")


# ------------------------------------------------------------------ a file
def load(folder: Path, connector: str, stem: str, calls: MappingOf[str, Callable[..., Any]]) -> Program:
    """The mapping ``<folder>/<connector>/<stem>.yaml``, with the shared tables of ``<folder>/tables``.

    MappingError names file:line:field; a file that is not there is one too.
    """
    place = f"{folder.name}/{connector}/{stem}.yaml"
    try:
        text = (folder / connector / f"{stem}.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"cannot be read: {type(error).__name__}", place=place) from None
    return compile_text(text, place=place, calls=calls, tables=Tables(folder))


class Tables(MappingOf[str, mapfile.Piece]):
    """The shared tables, ``<folder>/tables/*.yaml``, by stem; each is read when it is first named.

    A file is one map of raw text → canonical value.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {file.stem: file for file in sorted((folder / "tables").glob("*.yaml"))}

    def __getitem__(self, name: str) -> mapfile.Piece:
        file = self._files[name]
        return mapfile.read(file.read_text(encoding="utf-8"), f"{self._folder.name}/tables/{file.name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class _Both(MappingOf[str, mapfile.Piece]):
    """A file's own tables before the shared ones, which are read only when one is named."""

    def __init__(self, own: MappingOf[str, mapfile.Piece], shared: MappingOf[str, mapfile.Piece]) -> None:
        self._own, self._shared = own, shared

    def __getitem__(self, name: str) -> mapfile.Piece:
        return self._own[name] if name in self._own else self._shared[name]

    def __iter__(self) -> Iterator[str]:
        return iter({*self._own, *self._shared})

    def __len__(self) -> int:
        return len({*self._own, *self._shared})


def compile_text(
    text: str, *, place: str, calls: MappingOf[str, Callable[..., Any]] = {}, tables: MappingOf[str, mapfile.Piece] = {}
) -> Program:
    """A mapping from its text. ``place`` is the file's path for errors; its folder is the connector and its stem names the program.

    ``calls`` are the connector's functions by name, with or without ``<connector>.``; ``tables`` the shared ones (``Tables``).
    """
    top = mapfile.read(text, place)
    keys = top.keys(_TOP_KEYS, required=("version", "connector", "emit"))
    connector = keys["connector"].choice((PurePath(place).parent.name,))
    name = f"{connector}/{PurePath(place).stem}@{keys['version'].number()}"
    own = dict(keys["tables"].items()) if "tables" in keys else {}
    names = steps.Names(connector=connector, calls=calls, tables=_Both(own, tables))
    emits = [_compile_emit(piece, names) for piece in keys["emit"].members()]
    if not emits:
        raise keys["emit"].fault("a mapping emits something")

    def run(data: Any, context: Context) -> tuple[Mapped, ...]:
        state = steps.Run(data, context)
        found: list[Mapped] = []
        for emit in emits:
            found += emit(data, state)
        return tuple(found)

    return Program(name=name, run=run)


# ------------------------------------------------------------------ one record
class _Emit(msgspec.Struct, frozen=True, kw_only=True):
    """What an item of ``emit`` was compiled to. ``owned`` records carry their account; ``given`` are the fields that the file itself names."""

    kind: str
    struct: type[Record]
    gather: Callable[[Any, steps.Run], tuple[dict[str, Any], bool]]
    time: Read | None
    version: Read | None
    identities: tuple[Read, ...]
    customer: Read | None
    owned: bool
    given: frozenset[str]


def _compile_emit(piece: mapfile.Piece, names: steps.Names) -> Callable[[Any, steps.Run], Sequence[Mapped]]:
    keys = piece.keys(_EMIT_KEYS, required=("record", "fields"))
    kind = keys["record"].choice(RECORDS)
    struct = RECORDS[kind]
    plan = steps.Plan(names=names, name="")
    known = targets.of_struct(struct)
    parts = fields.compile_parts(keys["fields"], struct, plan, filled=_FILLED, key="external_id")
    given = frozenset(part.name for part in parts)
    if kind == "customer" and "customer" in keys:
        raise keys["customer"].fault("the record is the customer")
    noted = msgspec.structs.replace(plan, noted="source_time_raw" not in given)
    emit = _Emit(
        kind=kind,
        struct=struct,
        gather=fields.gatherer(parts),
        time=_side(keys.get("time"), known["updated_at"], noted),
        version=_side(keys.get("version"), known["source_version"], plan),
        identities=_compile_identities(keys["identities"], names) if "identities" in keys else (),
        customer=_compile_customer(keys["customer"], names) if "customer" in keys else None,
        owned=kind != "customer",
        given=given,
    )
    return _emitting(emit, keys)


def _side(piece: mapfile.Piece | None, target: targets.Target, plan: steps.Plan) -> Read | None:
    return fields.compile_field(piece, target, plan).read if piece else None


def _emitting(emit: _Emit, keys: MappingOf[str, mapfile.Piece]) -> Callable[[Any, steps.Run], Sequence[Mapped]]:
    """One record of each item there is, or of the whole."""
    when = source(keys["when"]).read if "when" in keys else None
    if "each" not in keys:
        return lambda data, run: (_map(emit, data, run),) if when is None or paths.holds(when(data, run)) else ()
    each = source(keys["each"]).read
    return lambda data, run: [
        _map(emit, item, run) for item in _listed(each(data, run)) if when is None or paths.holds(when(item, run))
    ]


def _map(emit: _Emit, data: Any, run: steps.Run) -> Mapped:
    run.unknowns = []
    kwargs, _there = emit.gather(data, run)
    time, version = _fill(emit, kwargs, data, run)
    customer = emit.customer(data, run) if emit.customer else None
    claims: list[Assertion] = []
    for read in emit.identities:
        claims += read(data, run)
    return Mapped(
        kind=emit.kind,
        record=emit.struct(**kwargs),
        identities=tuple(claims),
        customer=customer,
        source_time=time,
        source_version=version,
        unknowns=tuple([Unknown(field, raw) for field, raw in run.unknowns]) if run.unknowns else (),
    )


def _fill(emit: _Emit, kwargs: dict[str, Any], data: Any, run: steps.Run) -> tuple[int | None, int | None]:
    """Add what the file need not say: account, unit, source time and version, and the raw text of an unknown status."""
    given, context = emit.given, run.context
    if emit.owned:
        kwargs["account"] = context.account
    if context.unit is not None and "unit" not in given:
        kwargs["unit"] = context.unit
    for field, raw in run.unknowns:
        twin = _TWINS.get((emit.kind, field))
        if twin and twin not in given:
            kwargs.setdefault(twin, raw)
    when = emit.time(data, run) if emit.time else None
    version = emit.version(data, run) if emit.version else None
    time = None
    if isinstance(when, datetime):
        time = instant(when)
        if "updated_at" not in given:
            kwargs["updated_at"] = when
        if "source_time_raw" not in given:
            kwargs["source_time_raw"] = str(run.raw)
    if not isinstance(version, int):
        return time, None
    if "source_version" not in given:
        kwargs["source_version"] = version
    return time, version


# Where a record keeps the source's own word beside an enum.
_TWINS: MappingOf[tuple[str, str], str] = {
    **{("order", axis): "raw_status" for axis in ("lifecycle", "payment", "fulfilment", "aftersale")},
    ("appointment", "status"): "raw_status",
    ("interaction", "type"): "raw_type",
    ("relationship", "state"): "raw_state",
}


# ------------------------------------------------------------------ whose it is
_TEXT = targets.Target(name="value", kind=targets.Kind.TEXT, type=str | None, nullable=True)
_FLAG = targets.Target(name="verified", kind=targets.Kind.BOOL, type=bool)


def _compile_customer(piece: mapfile.Piece, names: steps.Names) -> Read:
    parts = fields.compile_parts(piece, Customer, steps.Plan(names=names, name="customer"), filled=_FILLED)
    build = fields.maker(parts, Customer)

    def read(data: Any, run: steps.Run) -> Any:
        found = build(data, run)
        return None if found is UNSET else found

    return read


def _compile_identities(piece: mapfile.Piece, names: steps.Names) -> tuple[Read, ...]:
    return tuple(_compile_identity(member, names) for member in piece.members())


def _compile_identity(piece: mapfile.Piece, names: steps.Names) -> Read:
    keys = piece.keys(_IDENTITY_KEYS, required=("namespace", "value"))
    namespace = keys["namespace"].text()
    plan = steps.Plan(names=names, name=f"identities.{namespace}", own=True)
    _check_converter(namespace, keys["value"])
    value = fields.compile_field(keys["value"], _TEXT, plan)
    scope = fields.compile_field(keys["scope"], _TEXT, plan) if "scope" in keys else fields.written("")
    gather = fields.gatherer([fields.Part("value", value), fields.Part("scope", scope)])
    verified = _flag(keys.get("verified"), plan)
    retired = _flag(keys.get("retired"), plan)
    when = source(keys["when"]).read if "when" in keys else None

    each = source(keys["each"]).read if "each" in keys else None

    def read(data: Any, run: steps.Run) -> list[Assertion]:
        claims = []
        for item in (data,) if each is None else _listed(each(data, run)):
            if when is not None and not paths.holds(when(item, run)):
                continue
            said, _there = gather(item, run)
            found, within = said.get("value"), said.get("scope")
            if not found or within is None or is_masked(found):
                continue
            claims.append(
                Assertion(
                    namespace=namespace,
                    scope=within,
                    value=found,
                    verified=verified if isinstance(verified, bool) else verified(item, run) is True,
                    retired=retired if isinstance(retired, bool) else retired(item, run) is True,
                )
            )
        return claims

    return read


def _flag(piece: mapfile.Piece | None, plan: steps.Plan) -> Read | bool:
    """What reads a yes or no; one that the file itself says, or does not, is that."""
    if piece is None:
        return False
    field = fields.compile_field(piece, _FLAG, plan)
    return field.read if field.written is UNSET else field.written is True


def _listed(found: Any) -> list[Any]:
    items = fields.members(found)
    return items if type(items) is list else []


def _check_converter(namespace: str, piece: mapfile.Piece) -> None:
    """Phones and e-mails are looked up by their one spelling: a key in another would find nobody."""
    if namespace not in ("phone", "email"):
        return
    keys = dict(piece.items()) if piece.is_map else {}
    named = keys["as"].value() if "as" in keys else []
    if "call" not in keys and namespace not in named:
        raise piece.fault(f"a {namespace} is read with as: {namespace}")
