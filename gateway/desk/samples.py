"""A connector's samples, decoded without a network: what a mapping can be tried on before anybody has sent anything.

``samples/account.json`` says how they are read: ``through`` ``receive`` they are whole requests, ``decode`` payloads of the topic that the file's
name begins with.
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import mappings
from gateway import cases, clock, mapping
from gateway.connector import Accepted, Card, Request
from gateway.errors import GatewayError, PayloadError

_TYPES = {
    ".json": "application/json", ".xml": "application/xml", ".csv": "text/csv", ".ndjson": "application/x-ndjson",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip
_MOST = 20
_AT = clock.parse("2026-11-11T00:00:00Z")


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """``account.json``."""

    through: str
    options: dict[str, str] = {}
    peer: str = "203.0.113.7"


class Sample(NamedTuple):
    """One event of a sample: the stem that reads it, decoded data, and the context it is read in."""

    stem: str
    data: Any
    context: mapping.Context


def folder_of(connector: str) -> Path:
    """Where a connector's samples lie."""
    return mappings.FOLDER.parent / "connectors" / connector / "samples"


def names(card: Card, stem: str) -> list[str]:
    """The files that yield something for this mapping, by name."""
    folder = folder_of(card.name) / "ok"
    files = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in files if any(one.stem == stem for one in _readable(card, name, stem))]


def _readable(card: Card, name: str, stem: str) -> list[Sample]:
    try:
        return read(card, name, stem)
    except GatewayError:
        return []


def read(card: Card, name: str, stem: str) -> list[Sample]:
    """The first events of a sample file. PayloadError when there is no such file, or it cannot be decoded."""
    folder = folder_of(card.name)
    # A name comes from a browser: only what stands in the folder is read.
    known = {path.name: path for path in (folder / "ok").iterdir()} if folder.is_dir() else {}
    if name not in known:
        raise PayloadError(f"no sample {name[:60]!r} of {card.name}", place=card.name)
    how = msgspec.json.decode((folder / "account.json").read_bytes(), type=Reading)
    prefix = name.partition("-")[0]
    options = {key: value.replace("{stem}", prefix) for key, value in how.options.items()}
    context = mapping.Context(account="sample", zone="Asia/Shanghai", received_at=_AT, options=options)
    connector = cases.offline(card, options, context)
    found = []
    for topic, payload in _payloads(connector, how, prefix, known[name])[:_MOST]:
        decoded = connector.decode(topic, payload)
        own = decoded.mapping if decoded.mapping is not None else card.topic(topic).mapping
        if decoded.data is not None and own == stem:
            found.append(Sample(own, decoded.data, context))
    return found


def _payloads(connector: Any, how: Reading, topic: str, file: Path) -> list[tuple[str, bytes]]:
    if how.through == "decode":
        return [(topic, file.read_bytes())]
    kind = _TYPES.get(file.suffix)
    request = Request(
        body=file.read_bytes(), headers={"content-type": kind} if kind else {}, peer=how.peer, received_at=_AT
    )
    outcome = connector.receive(request)
    events = outcome.events if isinstance(outcome, Accepted) else ()
    return [(event.topic, event.payload) for event in events]
