"""From an entry's sealed bytes to what it asserts: opened, decoded, and mapped by the version that is to read it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from gateway import identity, journal, mapping, store
from gateway.clock import Clock, derived_id
from gateway.connector import Fetch
from gateway.errors import Erased, GatewayError, Tampered, VaultDown
from gateway.meters import Meters
from gateway.pipeline import contrast
from gateway.pipeline.accounts import Accounts, Opened
from gateway.pipeline.rollout import Rollout
from gateway.pipeline.versions import Line
from gateway.pipeline.world import claims_of
from gateway.vault import Vault

_log = structlog.get_logger()


class Trial(NamedTuple):
    """How a canary, by its program's name, compares with the live version on one entry."""

    name: str
    contrast: contrast.Contrast


class Read(msgspec.Struct, kw_only=True):
    """An entry that was opened, decoded and mapped; or why it could not be."""

    entry: journal.Entry
    opened: Opened | None = None
    stem: str = ""
    name: str = ""
    said: Sequence[mapping.Mapped] = ()
    claims: Sequence[Sequence[identity.Claim]] = ()
    fetch: Sequence[Fetch] = ()
    dead: store.DeadLetter | None = None
    altered: Tampered | None = None
    trial: Trial | None = None

    @property
    def line(self) -> Line:
        """Connector and stem of the mapping that read it."""
        return (self.opened.card.name if self.opened else "", self.stem)

    @property
    def outcome(self) -> contrast.Outcome:
        """What the mapping made of it."""
        fault = f"{self.dead.cause} {self.dead.detail}" if self.dead else ""
        return contrast.Outcome(said=self.said, fault=fault)

    def failed(self, letter: store.DeadLetter, altered: Tampered | None) -> "Read":
        """The same entry, when what was made of it could not be applied. Of a canary that counts as an error of its own."""
        found = contrast.Contrast(kind=contrast.Kind.NEW_ERROR, fault=letter.cause)
        trial = Trial(self.trial.name, found) if self.trial and self.trial.name == self.name else self.trial
        return Read(
            entry=self.entry,
            opened=self.opened,
            stem=self.stem,
            name=self.name,
            dead=letter,
            altered=altered,
            trial=trial,
        )


class Reader:
    """Entries in, canonical assertions out. Pure apart from the vault. Without a ``rollout`` the shipped mappings read everything."""

    def __init__(self, *, accounts: Accounts, vault: Vault, clock: Clock, rollout: Rollout | None = None) -> None:
        self._accounts = accounts
        self._vault = vault
        self._clock = clock
        self._rollout = rollout

    def read(self, entry: journal.Entry) -> Read:
        """What cannot be read becomes a dead letter that names the stage and the cause. Raises VaultDown only: no entry can be read then.

        An entry of a canary is read by the live version first and by the canary beside it; where the canary fails the other's answer stands.
        """
        first = self._read(entry)
        program = self._rollout.trial(*first.line, entry.partition) if self._rollout and first.stem else None
        if program is None:
            return first
        second = self._read(entry, program=program, beside=first)
        if second.trial is None:
            second.trial = Trial(program.name, contrast.failed(first.outcome, second.outcome))
        if second.dead is None:
            return second
        first.trial = second.trial
        return first

    def _read(
        self, entry: journal.Entry, *, program: mapping.Program | None = None, beside: Read | None = None
    ) -> Read:
        read = Read(entry=entry)
        stage = "open"
        try:
            opened = read.opened = self._accounts.need(entry.account)
            payload = self._vault.open(entry.payload, entry.id.encode())
            if payload == journal.ERASED:
                return Read(entry=entry)
            stage = "decode"
            decoded = opened.connector.decode(entry.topic, payload)
            stem = decoded.mapping if decoded.mapping is not None else opened.card.topic(entry.topic).mapping
            read.fetch = decoded.fetch
            if decoded.data is None or not stem:
                return read
            stage, read.stem = "map", stem
            program = program or self._live(opened, stem)
            read.name = program.name
            said = program.run(decoded.data, context_of(opened, entry))
            read.claims = [claims_of(self._vault, one) for one in said]
            read.said = said
            if beside is not None:
                read.trial = Trial(program.name, contrast.contrast(beside.outcome, read.outcome))
        except VaultDown:
            # No fault of the entry: a newer key cannot be had for now.
            raise
        except GatewayError as error:
            read.altered = error if isinstance(error, Tampered) else None
            read.dead = self.dead(entry, stage, error.code, str(error))
        except Exception as error:  # a fault of ours on one payload must not stop the others
            _log.exception("project.entry_failed", entry=entry.id, stage=stage)
            detail = "a fault of the gateway; see the log"
            read.dead = self.dead(entry, stage, f"bug.{type(error).__name__}", detail)
        if read.dead is not None:
            read.said, read.claims, read.trial = (), (), None
        return read

    def _live(self, opened: Opened, stem: str) -> mapping.Program:
        shipped = opened.programs[stem]
        return self._rollout.program(opened.card.name, stem, shipped) if self._rollout else shipped

    def tell(self, read: Read, meters: Meters) -> None:
        """Count what a mapping made of an entry that was applied, or could not be."""
        unknowns = [unknown for one in read.said for unknown in one.unknowns]
        for unknown in unknowns:
            meters.unknown.labels(read.entry.account, unknown.field).inc()
        if not read.stem:
            return
        outcome = "error" if read.dead else "unknown" if unknowns else "ok"
        standing = "canary" if read.trial and read.trial.name == read.name else "live"
        meters.mapped.labels("/".join(read.line), standing, outcome).inc()
        if self._rollout is None:
            return
        if unknowns:
            self._rollout.unknown(read.line, unknowns, entry=read.entry.id)
        if read.trial is not None:
            name, found = read.trial
            self._rollout.compared(read.line, name, found, entry=read.entry.id, account=read.entry.account)

    def dead(self, entry: journal.Entry, stage: str, cause: str, detail: str) -> store.DeadLetter:
        """One dead letter per thing said, however often it is said."""
        return store.DeadLetter(
            id=derived_id("ded", 0, entry.account, entry.dedupe),
            entry=entry.id,
            account=entry.account,
            topic=entry.topic,
            stage=stage,
            cause=cause,
            detail=detail,
            at=self._clock.now(),
        )


def context_of(opened: Opened, entry: journal.Entry) -> mapping.Context:
    """What a mapping may know of an entry besides its data."""
    account = opened.account
    return mapping.Context(
        account=account.name,
        zone=account.zone,
        unit=account.unit,
        received_at=entry.received_at,
        options=opened.facts,
    )


class Source(NamedTuple):
    """An entry's words before any mapping: ``stem`` "" where there is nothing to map."""

    opened: Opened
    stem: str
    data: Any
    context: mapping.Context


def source_of(entry: journal.Entry, accounts: Accounts, vault: Vault) -> Source:
    """Open and decode one entry. Erased when it was erased with its customer, any GatewayError when it cannot be read."""
    opened = accounts.need(entry.account)
    payload = vault.open(entry.payload, entry.id.encode())
    if payload == journal.ERASED:
        raise Erased("the entry was erased with its customer", place=entry.id)
    decoded = opened.connector.decode(entry.topic, payload)
    stem = decoded.mapping if decoded.mapping is not None else opened.card.topic(entry.topic).mapping
    return Source(opened, stem if decoded.data is not None else "", decoded.data, context_of(opened, entry))
