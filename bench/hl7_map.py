"""HL7: one ADT decoded and mapped, against python-hl7 only parsing the same text. In process, in one thread."""

import itertools
import timeit
from collections.abc import Sequence

import hl7

from bench import figure, inside, made, report, running
from bench.figure import Figure, Scale
from connectors.registry import CARDS
from gateway.mapping import Context


def measure(scale: Scale) -> Sequence[Figure]:
    """Microseconds of both, and how many times faster ours is."""
    count = scale.count(3000)
    with running.folder() as data:
        text = running.config(data, mllp=running.free_port())
        house = inside.open_inside(data, text)
        opened = house.ground.accounts.need("his")
    program = opened.programs[CARDS["hl7"].topic("adt").mapping]
    context = Context(account="his", zone=opened.account.zone, received_at=1_790_000_000_000_000, options=opened.facts)

    def bouts(messages: Sequence[bytes]) -> list[tuple[float, float]]:
        ours_feed, their_feed = itertools.cycle(messages), itertools.cycle([message.decode() for message in messages])

        def ours() -> None:
            decoded = opened.connector.decode("adt", next(ours_feed))
            program.run(decoded.data, context)

        def theirs() -> None:
            hl7.parse(next(their_feed))

        assert program.run(opened.connector.decode("adt", messages[0]).data, context)
        pairs = []
        for _ in range(scale.rounds):
            us = timeit.timeit(ours, number=count) / count * 1e6
            them = timeit.timeit(theirs, number=count // 4) / (count // 4) * 1e6
            pairs.append((us, them))
        return pairs

    against = "python-hl7 parsing its text and doing nothing with it"
    return [
        figure.ratio(
            "hl7 parse + map", "One ADT^A01 of a ward, 14 segments, 2 KB: bytes to canonical records.", "µs",
            bouts([made.admission(number, number) for number in range(256)]), against=against, floor=8, aim=15, over=True,
        ),
        figure.ratio(
            "hl7 parse + map, short", "One ADT^A08 of 5 segments, 0.6 KB, most of whose fields are mapped.", "µs",
            bouts([made.adt(number, number) for number in range(256)]), against=against, over=True,
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    report.main(measure)
