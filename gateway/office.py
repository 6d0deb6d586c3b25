"""Everything a door serves beside ``/in``, put together for one process. A door loads this while it already takes things in."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from gateway import configure, limiter
from gateway.desk import shadow
from gateway.desk.alarms import Alarms, Voice
from gateway.desk.belongings import Belongings
from gateway.desk.channels import open_channels
from gateway.desk.checks import Checks
from gateway.desk.clients import Clients
from gateway.desk.figures import EVERY, Figures
from gateway.desk.keeping import Keeper
from gateway.desk.labour import labour
from gateway.desk.lookout import Lookout, Sources
from gateway.desk.mappings import Mappings
from gateway.desk.premises import Premises
from gateway.desk.resources import Desk
from gateway.desk.shadow import Shadows
from gateway.desk.users import Users
from gateway.desk.watch import Watch
from gateway.desk.witness import Witness
from gateway.inner import create_app
from gateway.pipeline import units
from gateway.pipeline.ledger import Ledgers
from gateway.pipeline.receive import Gate, Receiver, RejectLog
from gateway.pipeline.versions import Versions
from gateway.processes import Ground, Office, receiver_of, rollout_of
from gateway.sealing import unsealed
from gateway.snapshot import Part


def open_office(ground: Ground, *, parts: Callable[[], list[Part]], tree: units.Units, receiver: Receiver) -> Office:
    """The desk of a process and the application that serves it. For the parameters see ``desk_of``."""
    desk = desk_of(ground, parts=parts, tree=tree, receiver=receiver)

    def rounds(first: bool) -> Sequence[Coroutine[Any, Any, None]]:
        alone = (desk.shadows.run(), desk.alarms.run(), desk.belongings.run()) if first else ()
        return (_sampling(desk), desk.labour.runner.run(), *alone)

    return Office(app=create_app(desk), rounds=rounds, close=desk.watch.close)


async def _sampling(desk: Desk) -> None:
    """What the console draws: every process's figures, every few seconds."""
    while True:
        await desk.clock.sleep(EVERY)
        desk.figures.take()


def desk_of(
    ground: Ground,
    *,
    parts: Callable[[], list[Part]],
    tree: units.Units | None = None,
    receiver: Receiver | None = None,
) -> Desk:
    """What the partner API and the console act with, in one process. ``tree`` is kept current by whoever hands it over; without one every unit
    is alone. ``receiver`` takes in what is brought."""
    tree = tree or units.Units()
    gate = Gate(bulk_most=ground.tree.journal.bulk_most, live_most=ground.tree.journal.live_most)
    receiver = receiver or receiver_of(ground, gate=gate, rejects=RejectLog(), wake=lambda: None)
    documents, vault, clock = ground.documents, ground.vault, ground.clock
    maps, figures = mappings_of(ground), Figures(ground.board, clock)
    clients = Clients(documents=documents, vault=vault, clock=clock, below=tree.below)
    users = Users(documents=documents, vault=vault, clock=clock, below=tree.below)
    watch = Watch(ground.records, clock)
    belongings = Belongings(
        documents=documents,
        records=ground.records,
        book=ground.book,
        clients=clients,
        accounts=ground.accounts,
        clock=clock,
    )
    witness = Witness(records=ground.records, book=ground.book, clock=clock, meters=ground.meters)
    work = labour(
        documents=ground.jobs, records=ground.records, vault=vault, clock=clock, accounts=ground.accounts, book=ground.book, clients=clients,
        watch=watch, receiver=receiver, rollout=rollout_of(ground), witness=witness,
    )  # fmt: skip
    return Desk(
        clock=clock, records=ground.records, log=ground.log, shelf=documents, vault=vault, limits=ground.limits, guesses=limiter.Rate(ground.tree.http.guesses / 20, ground.tree.http.guesses), meters=ground.meters,
        accounts=ground.accounts, board=ground.board, trail=ground.trail, book=ground.book, figures=figures, parts=parts,
        clients=clients, users=users, below=tree.below, alarms=alarms_of(ground, figures, clients, users, parts), checks=checks_of(ground),
        premises=premises_of(ground), keeper=keeper_of(ground), labour=work, watch=watch, witness=witness, belongings=belongings, mappings=maps, shadows=shadows_of(ground, maps),
    )  # fmt: skip


def premises_of(ground: Ground) -> Premises:
    """What may be known of the settings."""
    return configure.premises_of(ground.tree, ground.cards, keys=ground.keys, vault=ground.vault, tools=ground.tools)


def keeper_of(ground: Ground) -> Keeper:
    """Keeps accounts beside the data."""
    return Keeper(
        ground.tree.gateway.data_dir, premises=premises_of(ground), log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock
    )  # fmt: skip


def alarms_of(
    ground: Ground, figures: Figures, clients: Clients, users: Users, parts: Callable[[], list[Part]]
) -> Alarms:
    """Alerts as this process shows them; whoever runs their rounds tells of them."""
    tree, clock = ground.tree, ground.clock
    channels = open_channels(configure.channels_of(tree, lambda one: unsealed(one, ground.vault)), clock=clock)
    sources = Sources(
        clock=clock, records=ground.records, documents=ground.documents, board=ground.board, trail=ground.trail, figures=figures,
        clients=clients, users=users, parts=lambda: {one.name: one.reason for one in parts() if not one.ok},
        accounts=tuple(one.account.name for one in ground.accounts.all() if not one.account.disabled), folder=tree.gateway.data_dir, silence=tree.alerts.silence,
    )  # fmt: skip
    alarms = Alarms(
        documents=ground.documents, trail=ground.trail, clock=clock, lookout=Lookout(sources), limits=configure.limits_of(tree),
        voice=Voice(channels=channels, lang=tree.alerts.language, home=tree.gateway.public_url.rstrip("/")),
    )  # fmt: skip
    ground.closers.append(alarms.close)
    return alarms


def checks_of(ground: Ground) -> Checks:
    """Examinations that are begun by a button."""
    checks = Checks(ground.documents, ground.clock)
    ground.closers.append(checks.close)
    return checks


def mappings_of(ground: Ground) -> Mappings:
    """Versions of mappings, and the decisions on them."""
    return Mappings(
        accounts=ground.accounts, kept=Versions(ground.documents, ground.clock),
        ledgers=Ledgers(ground.documents, ground.vault, ground.clock), vault=ground.vault, own=ground.tree.gateway.mappings,
    )  # fmt: skip


def shadows_of(ground: Ground, maps: Mappings) -> Shadows:
    """Shadow runs over the journal."""
    return Shadows(mappings=maps, source=shadow_source(ground), documents=ground.documents)


def shadow_source(ground: Ground) -> shadow.Journal:
    """Where shadow runs read."""
    return shadow.Journal(
        log=ground.log, records=ground.records, accounts=ground.accounts, vault=ground.vault, clock=ground.clock
    )
