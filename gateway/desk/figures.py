"""What the processes counted, as figures over time: rates, quantiles and backlogs, sampled into a ring that the console draws.

A quantile comes from the histogram's buckets between two samples, by linear interpolation inside the bucket, as Prometheus does it
(prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile).
"""

import itertools
import math
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from gateway import snapshot
from gateway.clock import SECOND, Clock

EVERY = 5.0
KEPT = 360
"""Samples: half an hour."""

Labels = tuple[tuple[str, str], ...]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """All counters, gauges and buckets at one instant, summed over processes, by name and labels (without ``process``)."""

    at: int
    values: Mapping[str, Mapping[Labels, float]]


class Figures:
    """``take`` is called every few seconds; everything else reads what it took. One process's counters start anew when it restarts:
    a rate never goes below zero."""

    def __init__(self, board: snapshot.Board, clock: Clock) -> None:
        self._board = board
        self._clock = clock
        self._ring: deque[Sample] = deque(maxlen=KEPT)

    def take(self) -> None:
        """Sample what every process said last."""
        now = self._clock.now()
        fresh = [one for one in self._board.all() if now - one.at < snapshot.STALE]
        self._ring.append(Sample(at=now, values=_values(fresh)))

    def latest(self) -> Sample | None:
        """The newest sample."""
        return self._ring[-1] if self._ring else None

    def times(self) -> list[int]:
        """Instants of the samples in unix seconds, oldest first."""
        return [one.at // SECOND for one in self._ring]

    def total(self, name: str, **where: str) -> float:
        """The newest value of a counter or gauge, summed over the labels that are not given."""
        return _sum(self._ring[-1], name, where) if self._ring else 0.0

    def by(self, name: str, label: str, **where: str) -> dict[str, float]:
        """The newest values by one label."""
        found: dict[str, float] = {}
        for labels, value in self._ring[-1].values.get(name, {}).items() if self._ring else ():
            said = dict(labels)
            if all(said.get(key) == wanted for key, wanted in where.items()):
                found[said.get(label, "")] = found.get(said.get(label, ""), 0.0) + value
        return found

    def rates(self, name: str, **where: str) -> list[float | None]:
        """Per second between neighbouring samples, as long as ``times``; None for the first."""
        levels = [_sum(one, name, where) for one in self._ring]
        spans = self._spans()
        return [None, *(max(0.0, b - a) / span for a, b, span in zip(levels, levels[1:], spans, strict=False))][
            : len(levels)
        ]

    def levels(self, name: str, **where: str) -> list[float]:
        """A gauge over time."""
        return [_sum(one, name, where) for one in self._ring]

    def rate(self, name: str, *, seconds: float = 30.0, **where: str) -> float:
        """Per second over the last ``seconds``."""
        pair = self._pair(seconds)
        if pair is None:
            return 0.0
        return max(0.0, _sum(pair[1], name, where) - _sum(pair[0], name, where)) * SECOND / (pair[1].at - pair[0].at)

    def quantile(self, name: str, share: float, *, seconds: float = 60.0, **where: str) -> float | None:
        """Of a histogram's observations in the last ``seconds``; None when there were none."""
        pair = self._pair(seconds)
        return _quantile(_buckets(pair[0], name, where), _buckets(pair[1], name, where), share) if pair else None

    def quantiles(self, name: str, share: float, **where: str) -> list[float | None]:
        """Between neighbouring samples, as long as ``times``."""
        buckets = [_buckets(one, name, where) for one in self._ring]
        return [None, *(_quantile(a, b, share) for a, b in itertools.pairwise(buckets))][: len(buckets)]

    def _spans(self) -> list[float]:
        ats = [one.at for one in self._ring]
        return [max(1, b - a) / SECOND for a, b in itertools.pairwise(ats)]

    def _pair(self, seconds: float) -> tuple[Sample, Sample] | None:
        if len(self._ring) < 2:
            return None
        last = self._ring[-1]
        for one in self._ring:
            if last.at - one.at <= seconds * SECOND and one is not last:
                return one, last
        return self._ring[-2], last


def _values(snapshots: Sequence[snapshot.Snapshot]) -> dict[str, dict[Labels, float]]:
    values: dict[str, dict[Labels, float]] = {}
    for one in snapshots:
        for family in text_string_to_metric_families(one.metrics):
            for sample in family.samples:
                labels = tuple(sorted(sample.labels.items()))
                of = values.setdefault(sample.name, {})
                of[labels] = of.get(labels, 0.0) + sample.value
    return values


def _sum(sample: Sample, name: str, where: Mapping[str, str]) -> float:
    wanted = set(where.items())
    return sum(value for labels, value in sample.values.get(name, {}).items() if wanted.issubset(labels))


def _buckets(sample: Sample, name: str, where: Mapping[str, str]) -> dict[float, float]:
    found: dict[float, float] = {}
    wanted = set(where.items())
    for labels, value in sample.values.get(f"{name}_bucket", {}).items():
        if not wanted.issubset(labels):
            continue
        edge = float(dict(labels)["le"])
        found[edge] = found.get(edge, 0.0) + value
    return found


def _quantile(before: Mapping[float, float], after: Mapping[float, float], share: float) -> float | None:
    edges = sorted(after)
    counts = [max(0.0, after[edge] - before.get(edge, 0.0)) for edge in edges]
    if not counts or counts[-1] <= 0:
        return None
    wanted, low, seen = share * counts[-1], 0.0, 0.0
    for edge, count in zip(edges, counts, strict=True):
        if count >= wanted:
            if math.isinf(edge):
                return low
            return low + (edge - low) * (wanted - seen) / (count - seen) if count > seen else edge
        low, seen = edge, count
    return low
