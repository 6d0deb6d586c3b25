"""Commands that send events again, and project entries again: counted and asked first."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import App, Parameter
from rich.progress import Progress
from rich.prompt import Confirm

from gateway import clock, settings, store
from gateway.clock import SECOND, Clock, SystemClock
from gateway.commands.ground import on_ground, trace
from gateway.commands.terminal import DONE, Config, Json, err, show
from gateway.errors import ConfigError
from gateway.pipeline import replay
from gateway.pipeline.replay import Replayer
from gateway.pipeline.rewrite import Entries, Rewriter
from gateway.pipeline.route import Router
from gateway.processes import Ground

replay_app = App(name="replay", help="Send events again; project entries again. 重放。")

Yes = Annotated[bool, Parameter(name="--yes", negative="", help="Do not ask.")]
DryRun = Annotated[bool, Parameter(name="--dry-run", negative="", help="Count, and change nothing.")]
Again = Annotated[
    bool, Parameter(name="--again", negative="", help="Also to those who had it; by default only to those who lack it.")
]
When = Annotated[str | None, Parameter(help="An instant with its zone, such as 2026-11-11T00:00:00+08:00, or how long ago: 2h.")]  # fmt: skip
Ids = Annotated[tuple[str, ...], Parameter(negative="")]


@replay_app.default
def events(
    *,
    event: Ids = (),
    since: When = None,
    until: When = None,
    subject: str | None = None,
    type_: Annotated[tuple[str, ...], Parameter(name="--type", negative="")] = (),
    account: str | None = None,
    endpoint: str | None = None,
    again: Again = False,
    after: int = 0,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = None,
    json: Json = False,
) -> int:
    """Send events again to today's endpoints: counted first, each with the id it had, in order within a subject. 重放事件。

    Args:
        event: Events by id.
        since: From this instant on.
        until: Up to this instant.
        subject: Events of one record.
        type_: Whole event types, such as order.paid.
        account: Events that came in by this account.
        endpoint: To this endpoint only.
        after: Go on after this event's number, as a run that was cut off has shown.
    """
    wall = SystemClock()
    span = store.Span(
        ids=event, since=instant(since, wall), until=instant(until, wall), subject=subject, types=type_, account=account
    )
    _need_some(event, since, until, subject, type_, account, endpoint)

    async def work(ground: Ground) -> None:
        replayer = await _replayer(ground, endpoint)
        plan = await replayer.plan(span, endpoint=endpoint, again=again)
        _show_plan(plan, json=json)
        if dry_run or not plan.total:
            return
        _confirm(f"send {plan.total} deliveries again?", yes=yes)
        await trace(ground, "replay", endpoint or "*", events=plan.events, deliveries=plan.total, again=int(again))
        err.print(f"{await _send(replayer, plan, after)} deliveries are due; the worker takes them in order")

    on_ground(config, work)
    return DONE


@replay_app.command(name="entries")
def entries(
    *,
    entry: Ids = (),
    account: str | None = None,
    since: When = None,
    until: When = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = None,
    json: Json = False,
) -> int:
    """Project what partners said again with today's mappings; what is newer stands, and what is the same changes nothing. 重新映射。

    Args:
        entry: Entries by id.
        account: What came in by this account.
        since: Received from this instant on; journal.keep says how long entries are there.
        until: Received up to this instant.
    """
    wall = SystemClock()
    meant = Entries(ids=entry, account=account, since=instant(since, wall), until=instant(until, wall))
    _need_some(entry, since, until, account)

    async def work(ground: Ground) -> None:
        rewriter = Rewriter(log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock)
        plan = await rewriter.plan(meant)
        rows = [{"account": name, "topic": topic, "entries": count} for (name, topic), count in plan.counts.items()]
        show(rows, json=json, title="entries that are meant", empty="no entry is meant")
        if dry_run or not plan.total:
            return
        _confirm(f"project {plan.total} entries again?", yes=yes)
        await trace(ground, "replay", account or "entries", entries=plan.total)
        with _progress("writing down again", plan.total) as told:
            written = await rewriter.run(plan, told=told)
        err.print(f"{written} written down again; the worker takes them after what partners say now")

    on_ground(config, work)
    return DONE


async def _replayer(ground: Ground, endpoint: str | None) -> Replayer:
    ends = await ground.book.endpoints()
    if endpoint is not None and endpoint not in {end.name for end in ends}:
        raise ConfigError(f"no endpoint {endpoint!r}", remedy="gateway endpoints list")
    return Replayer(records=ground.records, clock=ground.clock, router=Router(ends), endpoints=ends)


async def _send(replayer: Replayer, plan: replay.Plan, after: int) -> int:
    number, whole = after, False

    def told(step: replay.Step) -> None:
        nonlocal number
        number = step.number
        moved(step.events)

    try:
        with _progress("sending again", plan.events) as moved:
            sent = await replayer.run(plan, after=after, told=told)
            whole = True
    finally:
        if not whole:
            err.print(f"cut off; the same with [bold]--after {number}[/bold] goes on")
    return sent


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _need_some(*given: object) -> None:
    if not any(given):
        raise ConfigError("which ones?", remedy="give ids, or a condition such as --since 2h")


def instant(text: str | None, wall: Clock) -> int | None:
    """Microseconds of an ISO 8601 text with a zone, or of a duration before now. ConfigError for anything else."""
    if text is None:
        return None
    try:
        return wall.now() - int(settings.duration(text) * SECOND)
    except ValueError:
        pass
    try:
        return clock.parse(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no instant",
            remedy="such as 2026-11-11T00:00:00+08:00, with its zone, or 2h for two hours ago",
        ) from error


def _show_plan(plan: replay.Plan, *, json: bool) -> None:
    rows = [
        {
            "endpoint": one.endpoint, "send": plan.sends(one), "missing": one.missing, "failed": one.failed, "done": one.done, "open": one.open,
            "state": one.held.value or "active",
        }
        for one in plan.counts
    ]  # fmt: skip
    show(
        rows, json=json, title=f"{plan.events} events", empty=f"{plan.events} events, and no endpoint that they are for"
    )


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to ask", remedy="give --yes, or --dry-run to count only")
    if not Confirm.ask(question, console=err, default=False):
        raise ConfigError("nothing was done")
