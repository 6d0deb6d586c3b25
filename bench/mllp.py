"""MLLP: admissions over 16 connections, each durable before its acknowledgment, against a bare asyncio echo.

The worker is stopped during the judged rounds, as in ``accept``. The floor is held against the echo on the gateway's own event loop. Beside it, to
inform: the same echo on asyncio's own loop, a protocol that writes one prepared acknowledgment, and, to tell what acknowledging costs elsewhere, the
MLLP server that comes with python-hl7: it parses and acknowledges, and keeps nothing.
"""

from collections.abc import Sequence

from bench import figure, load, made, report, running
from bench.figure import Figure, Scale

_CONNECTIONS = 16


def measure(scale: Scale) -> Sequence[Figure]:
    """Messages a second, absolute and as a ratio."""
    count = scale.count(14_000)
    port, mllp = running.free_port(), running.free_port()
    sent = 0

    def bout(at: int, frames: Sequence[bytes], judge: load.Judge = load.mllp) -> load.Tally:
        return load.drive(at, frames, connections=_CONNECTIONS, judge=judge)

    pairs, plains, peers, beside, waits, costs, empties = [], [], [], [], [], [], []
    with (
        running.folder() as data,
        running.target("echo") as (bare, _),
        running.target("plain") as (plain, _),
        running.target("mllp") as (empty, _),
        running.target("peer") as (peer, _),
    ):
        disk = running.disk(data)
        text = running.config(data, port=port, mllp=mllp)
        with running.gateway(text, data) as house:
            house.settle()
            with house.without("worker"):
                bout(mllp, made.frames(sent, 1000))
                bout(bare, made.frames(sent, 1000), load.block)
                sent += 1000
                for number in range(scale.rounds):
                    figure.say(f"mllp: round {number + 1}, worker stopped")
                    frames, sent = made.frames(sent, count), sent + count
                    theirs = bout(bare, frames, load.block) if number % 2 else None
                    before = house.cpu("door-0")
                    ours = bout(mllp, frames)
                    costs.append((house.cpu("door-0") - before) / count * 1e6)
                    theirs = theirs or bout(bare, frames, load.block)
                    pairs.append((ours.rate, theirs.rate))
                    plains.append((ours.rate, bout(plain, frames, load.block).rate))
                    empties.append((ours.rate, bout(empty, frames).rate))
                    peers.append((ours.rate, bout(peer, frames[: count // 4]).rate))
                    waits.append(ours.percentile(0.99))
            for number in range(scale.rounds):
                figure.say(f"mllp: round {number + 1}, worker running")
                frames, sent = made.frames(sent, count // 2), sent + count // 2
                beside.append(bout(mllp, frames).rate)
    says = "ADT^A08 over 16 connections, each in the journal before its AA; worker stopped."
    asked = _CONNECTIONS / (0.4 * figure.Spread(tuple(theirs for _, theirs in pairs)).median) * 1000
    return [
        figure.ratio(
            "mllp ÷ bare", says, "/s", pairs, against="an asyncio streams echo of the same blocks", floor=0.40, aim=0.60,
            notes=[
                f"processor per message {figure.Spread(tuple(costs)).median:.0f} µs",
                f"at 0.40 × each message has {asked:.1f} ms from its sending to its acknowledgment; 16 KiB are durable here in {disk:.1f} ms",
            ],
        ),
        figure.plain("mllp", says, "/s", [ours for ours, _ in pairs], floor=3000, aim=5000,
                     notes=[f"p99 from sending to the acknowledgment {figure.Spread(tuple(waits)).median:.1f} ms"]),
        figure.ratio("mllp ÷ plain", says, "/s", plains, against="the same echo on asyncio's own event loop"),
        figure.ratio("mllp ÷ empty", says, "/s", empties, against="an asyncio protocol that writes one prepared acknowledgment a block"),
        figure.ratio("mllp ÷ python-hl7", says, "/s", peers, against="the MLLP server of python-hl7, which keeps nothing"),
        figure.plain("mllp, worker running", "The same while the worker projects what comes in on the same two cores.", "/s", beside),
    ]  # fmt: skip


if __name__ == "__main__":
    report.main(measure)
