"""Accounts that are kept at run time: saving, changing, disabling, removing, going back; and asking the running gateway to take them up.

What is saved was checked as ``gateway check`` does and opened once; it takes effect with a reload. An account is removed in two steps: disabled, it
takes nothing in while what it said is still read; and it goes when nothing of it waits any more. What is to be asked of the platform again
(errands) is not looked for: it stays, with its cause, and goes on when there is an account of that name again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway import action, annex, journal, store
from gateway.clock import Clock
from gateway.desk import drafts
from gateway.desk.premises import Premises
from gateway.errors import ConfigError, GatewayError
from gateway.model.lane import Lane
from gateway.reload import NotRunning, Reloads
from gateway.sealing import PREFIX, seal
from gateway.vault import Vault

FILE, CONFIG = "file", "config"

_PAGE = 500
# Reading on would take the worker's time for an answer that is out of date when it comes.
_MOST = 20_000


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it stands. ``source`` is FILE or CONFIG; ``version`` is its file's, empty in the config; ``live`` says whether it runs as it
    stands; ``going`` that it runs and stands nowhere any more."""

    name: str
    connector: str
    source: str
    version: str
    live: bool
    disabled: bool
    going: bool = False


class Fault(GatewayError):
    """What was entered cannot be an account; ``faults`` says all of why."""

    code = "account.faulty"

    def __init__(self, faults: Sequence[GatewayError]) -> None:
        super().__init__("; ".join(str(one) for one in faults), remedy="mend it and save again")
        self.faults = faults


class Keeper:
    """What console and command line keep accounts with. GatewayError says why something was not done; nothing was changed then."""

    def __init__(
        self,
        data_dir: Path,
        *,
        premises: Premises,
        log: journal.Journal,
        records: store.Store,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._annex = annex.Annex(data_dir)
        self._premises = premises
        self._log = log
        self._store = records
        self._vault = vault
        self._clock = clock
        self.reloads = Reloads(data_dir)

    # ------------------------------------------------------------------ looking
    def all(self) -> list[Held]:
        """Those of the config, then those in files, by name; then those that are about to end."""
        running, filed = self._premises.options, self._annex.all()
        config = [
            Held(
                name=name, connector=str(one["connector"]), source=CONFIG, version="", live=True, disabled=_is_off(one)
            )
            for name, one in running.items()
            if name not in self._premises.filed
        ]
        going = [
            Held(
                name=name, connector=str(running[name]["connector"]), source=FILE, version="", live=True,
                disabled=_is_off(running[name]), going=True,
            )
            for name in self._premises.filed
            if name not in filed
        ]  # fmt: skip
        return [*config, *(self._held(name, one) for name, one in filed.items()), *going]

    def get(self, name: str) -> Held | None:
        """One of them."""
        return next((one for one in self.all() if one.name == name), None)

    def options(self, name: str) -> Mapping[str, Any]:
        """What a file holds, secrets sealed; nothing for an account without one."""
        return self._annex.get(name) or {}

    def past(self, name: str) -> list[annex.Past]:
        """Earlier versions, the latest first."""
        return self._annex.past(name)

    def _held(self, name: str, one: annex.Filed) -> Held:
        live = self._premises.filed.get(name) == one.version
        return Held(
            name=name, connector=str(one.get("connector", "")), source=FILE, version=one.version, live=live, disabled=_is_off(one)
        )  # fmt: skip

    # ------------------------------------------------------------------ changing
    def keep(self, name: str, connector: str, raw: Mapping[str, Any], *, version: str) -> str:
        """Make the account or change it: its new version. ``raw`` are options as they would stand in the config; secrets in the clear are sealed.
        ``version`` is the one that was changed, empty for none. Fault for what ``gateway check`` would not pass, or what cannot be opened."""
        self._need_own(name)
        before = self.options(name)
        options = self._ready(connector, raw)
        if _is_off(before):
            options["disabled"] = True
        self._need_right(name, options)
        if watch := options.get("watch"):
            _make(Path(str(watch)))
        return self._annex.keep(name, options, version=version, now=self._clock.now())

    def switch(self, name: str, *, disabled: bool, version: str) -> str:
        """Let it take nothing in, or take things in again: its new version."""
        options = {key: value for key, value in self._need_file(name).items() if key != "disabled"}
        if disabled:
            options["disabled"] = True
        else:
            self._need_right(name, options)
        return self._annex.keep(name, options, version=version, now=self._clock.now())

    def restore(self, name: str, past: str, *, version: str) -> str:
        """Let an earlier version be the present one: its version. What was the present one is then an earlier one."""
        self._need_file(name)
        found = next((one for one in self._annex.past(name) if one.version == past), None)
        if found is None:
            raise ConfigError(f"account {name!r} has no such earlier version", remedy="the last three are kept")
        self._need_right(name, found.options)
        return self._annex.keep(name, found.options, version=version, now=self._clock.now())

    async def remove(self, name: str, *, version: str) -> None:
        """Forget it. ConfigError while it takes things in, or something of it waits to be read."""
        if not _is_off(self._need_file(name)):
            raise ConfigError(
                f"account {name!r} takes things in", remedy="disable it first, and remove it when nothing of it waits"
            )
        if not self.settled(name):
            raise ConfigError(
                f"account {name!r} is not disabled yet where it runs", remedy="wait until its change is live"
            )
        if left := await self.waiting(name):
            raise ConfigError(
                f"{left if left < _MOST else f'{_MOST} or more'} entries of {name!r} wait to be read",
                remedy="wait until they are; nobody could read them afterwards",
            )
        if await self.acting(name):
            raise ConfigError(
                f"actions through {name!r} are not ended yet",
                remedy="gateway actions list shows them; let them end, or settle them",
            )
        self._annex.remove(name, version=version)

    async def waiting(self, name: str) -> int:
        """How many entries of an account wait to be read; _MOST where the backlog is too deep to say."""
        cursors, found, looked = await self._store.cursors(), 0, 0
        for lane in Lane:
            for shard in self._log.shards(lane):
                after = cursors.get((lane, shard), 0)
                while page := await self._log.read(lane, shard, after, _PAGE):
                    found += sum(one.account == name for one in page)
                    looked += len(page)
                    after = page[-1].position
                    if looked > _MOST:
                        return _MOST
        return found

    async def acting(self, name: str) -> bool:
        """Whether anything asked of the account's platform has not ended."""
        open_ones = [await self._store.actions(action.Wanted(account=name, state=one), limit=1) for one in action.OPEN]
        return any(open_ones)

    def wish(self) -> str:
        """Ask for a reload: the wish, empty when no gateway runs, which then reads everything at its start."""
        try:
            return self.reloads.wish(self._clock.now())
        except NotRunning:
            return ""

    def settled(self, name: str) -> bool:
        """Whether nobody runs it any more as it was before its last change: doors that leave answer for some seconds after new ones begin."""
        if not self.reloads.running():
            return True
        changed = self._annex.changed(name)
        return any(one.state == "live" and one.began > changed for one in self.reloads.reports()) or (
            self.reloads.since() > changed
        )

    # ------------------------------------------------------------------ rules
    def _ready(self, connector: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        card = self._premises.cards.get(connector)
        if card is None:
            raise ConfigError(f"there is no connector {connector!r}", remedy="gateway connectors lists them")
        own, shared = drafts.fields_of(card, self._premises.common, {})
        if places := drafts.placed(own, raw):
            raise ConfigError(
                f"{', '.join(places)} names a place; an account that is kept here holds the secret itself",
                remedy="gateway accounts set NAME --secret key=env:NAME reads it there and seals it",
            )
        kinds = {one.name: one for one in [*own, *shared]}
        options: dict[str, Any] = {"connector": connector}
        for key, value in raw.items():
            if key in ("connector", "disabled"):
                continue
            one = kinds.get(key)
            secret = one is not None and one.secret
            if secret and not str(value).startswith(PREFIX):
                value = seal(str(value), self._vault)
            options[key] = drafts.typed(one, value) if one is not None else value
        return options

    def _need_right(self, name: str, options: Mapping[str, Any]) -> None:
        place = annex.Filed(options, self._annex.path(name), "")
        if faults := self._premises.faults(name, place):
            raise Fault(faults)
        try:
            _ = self._premises.draft(name, options)
        except GatewayError as error:
            raise Fault([error]) from error

    def _need_own(self, name: str) -> None:
        annex.need_name(name)
        if name in self._premises.options and name not in self._premises.filed:
            raise ConfigError(
                f"account {name!r} stands in the config file", remedy="change it there, then gateway reload"
            )

    def _need_file(self, name: str) -> annex.Filed:
        self._need_own(name)
        found = self._annex.get(name)
        if found is None:
            raise ConfigError(f"there is no account {name!r} here", remedy="gateway accounts list")
        return found


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"cannot be made: {error.strerror}", place=str(folder), remedy="name another") from error


def _is_off(options: Mapping[str, Any]) -> bool:
    return options.get("disabled") in (True, "true", 1, "1")
