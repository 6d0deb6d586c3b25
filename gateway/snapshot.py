"""What one process tells the others about itself: a small file, replaced once a second, read by health and metrics."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

STALE = 10 * 1_000_000


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """``role`` as of ``at`` (microseconds): what it says of its parts, and its metrics as Prometheus text."""

    role: str
    at: int
    parts: dict[str, Any]
    metrics: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the house: whether it is well, and why not."""

    name: str
    ok: bool
    reason: str = ""
    facts: dict[str, Any] = {}


class Board:
    """The folder the snapshots lie in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, role: str, at: int, parts: dict[str, Any], registry: CollectorRegistry) -> None:
        """Replace the role's snapshot."""
        snapshot = Snapshot(role=role, at=at, parts=parts, metrics=generate_latest(registry).decode())
        path = self._folder / f"{role}.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(snapshot))
        fresh.replace(path)

    def all(self) -> list[Snapshot]:
        """Every role's latest, stale ones included."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Snapshot))
            except (OSError, msgspec.DecodeError):
                continue
        return found


class _Joined:
    """Several processes' families under one name each, told apart by the label ``process``."""

    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for snapshot in self._snapshots:
            for family in text_string_to_metric_families(snapshot.metrics):
                known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    known.add_sample(sample.name, {**sample.labels, "process": snapshot.role}, sample.value)
        return families.values()


def joined_metrics(snapshots: Sequence[Snapshot]) -> bytes:
    """All processes' metrics as one Prometheus text."""
    registry = CollectorRegistry()
    registry.register(_Joined(snapshots))
    return generate_latest(registry)
