"""Mapping: one marketplace trade decoded, converted and identified. In process, in one thread.

Beside it, as a reference, jmespath alone reading the same paths: what the expressions would cost if each were run by the library.
"""

import timeit
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jmespath
import msgspec
import yaml

import mappings
from bench import figure, report, running
from bench.figure import Figure, Scale
from connectors.registry import CARDS
from gateway import configure
from gateway.clock import SystemClock
from gateway.connector import Account, Secret, Tools
from gateway.mapping import Context
from gateway.pipeline.world import claims_of
from gateway.vaults.file import open_vault

_SAMPLE = Path(__file__).parent.parent / "connectors/taobao/samples/ok/trade-paid.json"


def measure(scale: Scale) -> Sequence[Figure]:
    """Microseconds a trade."""
    count = scale.count(5000)
    card = CARDS["taobao"]
    payload = msgspec.json.encode(msgspec.json.decode(_SAMPLE.read_bytes()))
    with running.folder() as data:
        vault = open_vault(data / "keys.json")
    account = Account(
        name="shop", connector="taobao",
        options=card.options(app_key="1", app_secret=Secret("s"), session=Secret("s")),
    )  # fmt: skip
    connector = card.open(account, Tools(clock=SystemClock(), call=_nobody, token=_nobody))
    program = configure.load_mapping(None, card, card.topic("trade").mapping)
    context = Context(
        account="shop", zone=account.zone, received_at=1_790_000_000_000_000, options=configure.facts_of(account)
    )

    def trade() -> list[Any]:
        said = program.run(connector.decode("trade", payload).data, context)
        return [claims_of(vault, one) for one in said]

    assert trade()[0], "the sample names nobody"
    decoded = connector.decode("trade", payload).data
    paths = _compiled()

    def reference() -> None:
        _read(paths, decoded)

    rounds = [(_micros(trade, count), _micros(reference, count)) for _ in range(scale.rounds)]
    lines = len(msgspec.json.decode(payload)["orders"]["order"])
    return [
        figure.plain(
            "map a trade", f"A Taobao trade of {len(payload)} bytes and {lines} lines: decode, convert, identify.", "µs",
            [ours for ours, _ in rounds], floor=150, aim=60, best="low",
        ),
        figure.plain(
            "jmespath alone", "The library reading that mapping's paths from the decoded trade, converting nothing.", "µs",
            [theirs for _, theirs in rounds],
        ),
    ]  # fmt: skip


def _micros(work: Any, count: int) -> float:
    return timeit.timeit(work, number=count) / count * 1e6


async def _nobody(*_args: Any, **_named: Any) -> Any:
    raise AssertionError("mapping calls nobody")


# ---------------------------------------------------------------------- the reference
Paths = list[tuple[Any, list[Any]]]


def _compiled() -> Paths:
    """Per list of the mapping its own path (None for the record) and those of its fields."""
    tree = yaml.safe_load((mappings.FOLDER / "taobao/trade.yaml").read_text(encoding="utf-8"))
    found: Paths = []
    for emit in tree["emit"]:
        own: list[Any] = []
        for value in emit["fields"].values():
            if isinstance(value, dict) and "each" in value:
                found.append(
                    (
                        jmespath.compile(value["each"]),
                        [path for one in value["fields"].values() for path in _paths(one)],
                    )
                )
            else:
                own += _paths(value)
        found.append((None, own))
    return found


def _paths(value: Any) -> Iterator[Any]:
    said = value.get("path", []) if isinstance(value, dict) else value
    for path in said if isinstance(said, list) else [said]:
        # What begins with $ is this house's own word for the whole record.
        if isinstance(path, str) and not path.startswith("$"):
            yield jmespath.compile(path)


def _read(paths: Paths, data: Any) -> None:
    for each, fields in paths:
        items = [data] if each is None else each.search(data) or []
        for item in items:
            for field in fields:
                field.search(item)


if __name__ == "__main__":
    report.main(measure)
