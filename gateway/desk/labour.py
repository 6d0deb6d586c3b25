"""Everything that jobs are made of, put together."""

import msgspec

from gateway import shelf, store
from gateway.book import Book
from gateway.clock import Clock
from gateway.desk import exports, imports, replays
from gateway.desk.clients import Clients
from gateway.desk.exports import Exports
from gateway.desk.feed import Feed
from gateway.desk.imports import Imports
from gateway.desk.jobs import Jobs, Runner
from gateway.desk.reading import Reading
from gateway.desk.replays import Replays
from gateway.desk.watch import Watch
from gateway.desk.witness import Witness
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.bring import Bringer
from gateway.pipeline.read import Reader
from gateway.pipeline.receive import Receiver
from gateway.pipeline.rollout import Rollout
from gateway.vault import Vault


class Labour(msgspec.Struct, frozen=True, kw_only=True):
    """What begins jobs, and who works on them: ``runner`` in this process, once somebody lets it run."""

    jobs: Jobs
    imports: Imports
    exports: Exports
    replays: Replays
    runner: Runner


def labour(
    *,
    documents: shelf.Shelf,
    records: store.Store,
    vault: Vault,
    clock: Clock,
    accounts: Accounts,
    book: Book,
    clients: Clients,
    watch: Watch,
    receiver: Receiver,
    rollout: Rollout,
    witness: Witness,
) -> Labour:
    """``documents`` is a shelf of its own: what an export holds is large, and nobody who signs in is to wait for it."""
    jobs = Jobs(documents, vault, clock)
    reader = Reader(accounts=accounts, vault=vault, clock=clock, rollout=rollout)

    async def follow() -> None:
        await rollout.follow()

    bringer = Bringer(receiver=receiver, reader=reader, records=records, clock=clock, follow=follow)
    reading = Reading(records, vault, witness)
    bringing = Imports(jobs, accounts, bringer, clock)
    taking = Exports(jobs, clients, reading, Feed(records, reading, watch), clock)
    again = Replays(jobs, records, book, clock)
    runner = Runner(jobs, {imports.KIND: bringing, exports.KIND: taking, replays.KIND: again}, clock)
    return Labour(jobs=jobs, imports=bringing, exports=taking, replays=again, runner=runner)
