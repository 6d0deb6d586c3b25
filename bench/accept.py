"""Accept: a signed webhook verified, sealed and durable before its answer, by one door process, against the bare server and against granian.

All answer the same requests from the same generator in turn. The worker is stopped (SIGSTOP) during the judged rounds: it would take the
cores from both sides, but only one of them made the work it does. The rounds beside it, with the worker projecting what comes in, inform.
"""

from collections.abc import Sequence

from bench import figure, load, made, report, running
from bench.figure import Figure, Scale

_CONNECTIONS = 64
Bout = tuple[load.Tally, float]
Round = tuple[Bout, Bout, Bout]


def measure(scale: Scale) -> Sequence[Figure]:
    """Rate, p99, and the rate with the worker running."""
    count = scale.count(16_000)
    orders = made.Orders()
    port = running.free_port()
    with (
        running.folder() as data,
        running.target("bare") as bare,
        running.target("granian") as granian,
        running.gateway(running.config(data, port=port), data) as house,
    ):
        disk = running.disk(data)
        sides = _Sides(house, (bare, granian), orders)
        alone = []
        house.settle()
        with house.without("worker"):
            sides.round(scale.count(2000))
            for number in range(scale.rounds):
                figure.say(f"accept: round {number + 1}, worker stopped")
                alone.append(sides.round(count, turn=number % 2 == 1))
        beside = []
        for number in range(scale.rounds):
            figure.say(f"accept: round {number + 1}, worker running")
            beside.append(sides.round(count // 2, turn=number % 2 == 1))
    return _figures(alone, beside, disk)


class _Sides:
    """The gateway's door and the bare servers under the same requests."""

    def __init__(self, house: running.Gateway, bare: tuple[tuple[int, int], ...], orders: made.Orders) -> None:
        self._house = house
        self._bare = bare
        self._orders = orders

    def round(self, count: int, *, turn: bool = False) -> Round:
        """Ours, the bare server's and granian's, in one order or in the other."""
        requests = self._orders.requests(count)
        sides = ((self._house.port, self._house.pids()["door-0"]), *self._bare)
        found = {side: _bout(side, requests) for side in (reversed(sides) if turn else sides)}
        ours, bare, granian = (found[side] for side in sides)
        return ours, bare, granian


def _bout(side: tuple[int, int], requests: Sequence[bytes]) -> Bout:
    port, pid = side
    before = running.cpu(pid)
    tally = load.drive(port, requests, connections=_CONNECTIONS)
    return tally, (running.cpu(pid) - before) / len(requests) * 1e6


def _figures(alone: Sequence[Round], beside: Sequence[Round], disk: float) -> list[Figure]:
    costs = [figure.Spread(tuple(one[side][1] for one in alone)).median for side in range(3)]
    their_p99 = figure.Spread(tuple(theirs.percentile(0.99) for _, _, (theirs, _) in alone)).median
    says = "Signed webhooks verified, sealed, durable and answered by one door process; 64 connections, worker stopped."
    return [
        figure.ratio(
            "accept", says, "/s", [(ours.rate, theirs.rate) for (ours, _), _, (theirs, _) in alone],
            against="granian with an ASGI application answering 200 to the same bodies", floor=0.40, aim=0.60,
            notes=[f"processor per request {costs[0]:.0f} µs, granian {costs[2]:.0f} µs: the ratio of cost is {costs[2] / costs[0]:.2f} ×"],
        ),
        figure.ratio(
            "accept ÷ own server", says, "/s", [(ours.rate, bare.rate) for (ours, _), (bare, _), _ in alone],
            against="the door's own server with that application", notes=[f"processor per request {costs[1]:.0f} µs"],
        ),
        figure.plain(
            "accept p99", "Of the same rounds: from sending to the answer, at 64 connections and full speed.", "ms",
            [ours.percentile(0.99) for (ours, _), _, _ in alone], floor=50, aim=20, best="low",
            notes=[f"granian's own p99 in these rounds is {their_p99:.1f} ms; 16 KiB are durable here in {disk:.1f} ms"],
        ),
        figure.ratio(
            "accept, worker running", "The same while the worker projects what comes in on the same two cores.", "/s",
            [(ours.rate, theirs.rate) for (ours, _), _, (theirs, _) in beside],
            against="granian, which shares the cores with that worker too",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    report.main(measure)
