"""Endpoints of the config and of run time, their secrets, and how those change: on the real store and the real vault."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import sealing, settings
from gateway.book import Book
from gateway.clock import TurnedClock
from gateway.destination import Kind
from gateway.destinations import sign
from gateway.errors import ConfigError, Stale, VaultError
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.stores.sqlite import open_store
from gateway.vaults.file import open_vault

HOOK: dict[str, Any] = {"url": "https://crm.example/hooks"}
GIVEN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DAY = 86_400.0


def one(**knobs: Any) -> settings.Endpoint:
    """Settings of one endpoint."""
    found: settings.Endpoint = settings.convert({**HOOK, **knobs}, settings.Endpoint, "test")
    return found


class Desk:
    """One gateway's book in a folder; ``reopen`` is a restart."""

    def __init__(self, folder: Path, **endpoints: settings.Endpoint) -> None:
        self.folder = folder
        self.clock = TurnedClock()
        self.vault = open_vault(folder / "keys.json")
        self.records = open_store(folder / "store.db", clock=self.clock)
        self.tree = settings.Settings(endpoints=endpoints)
        self.book = Book(self.records, self.vault, self.clock, self.tree)

    async def reopen(self, **endpoints: settings.Endpoint) -> "Desk":
        await self.records.close()
        again = Desk(self.folder, **(endpoints or self.tree.endpoints))
        again.clock = self.clock
        again.book = Book(again.records, again.vault, again.clock, again.tree)
        return again

    async def prepare(self) -> dict[str, str]:
        return await self.book.prepare(self.folder / "endpoints.json")

    async def secrets(self, name: str) -> list[str]:
        return [secret.reveal() for secret in (await self.book.entry(name)).endpoint.secrets]

    def stored(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.glob("store.db*"))


def on(desk: Desk, work: Callable[[Desk], Awaitable[None]]) -> None:
    """Run it and close what was opened."""

    async def main() -> None:
        try:
            await work(desk)
        finally:
            await desk.records.close()

    asyncio.run(main())


# ------------------------------------------------------------------ secrets made here
def test_a_webhook_without_a_secret_gets_one_that_is_shown_once_and_kept_sealed(tmp_path: Path) -> None:
    """The next start makes none, signs with the same, and the database does not hold its text."""

    async def work(desk: Desk) -> None:
        made = await desk.prepare()
        assert list(made) == ["crm"]
        assert len(sign.key_of(Secret(made["crm"]))) == 32
        again = await desk.reopen()
        assert await again.prepare() == {}
        assert await again.secrets("crm") == [made["crm"]]
        assert made["crm"].encode() not in again.stored()
        assert made["crm"].removeprefix("whsec_").encode() not in again.stored()
        await again.records.close()

    on(Desk(tmp_path, crm=one()), work)


def test_a_topic_or_a_mailbox_gets_no_secret(tmp_path: Path) -> None:
    """Only what is posted has to be signed."""
    topic = one(kind="kafka", url="kafka://127.0.0.1:9092/events")
    mail = one(kind="email", url="smtp://127.0.0.1", to=["a@b.example"], sender="c@d.example")

    async def work(desk: Desk) -> None:
        assert await desk.prepare() == {}
        assert [end.secrets for end in await desk.book.endpoints()] == [(), (), ()]

    on(Desk(tmp_path, topic=topic, mail=mail, feed=one(kind="poll", url="")), work)


def test_rotating_lets_both_sign_until_the_overlap_is_over(tmp_path: Path) -> None:
    """The new one first; then the old one is gone, without anybody doing anything, and for a process that was restarted too."""

    async def work(desk: Desk) -> None:
        old = (await desk.prepare())["crm"]
        new = (await desk.book.rotate("crm", overlap=DAY)).text
        assert await desk.secrets("crm") == [new, old]
        before = (await desk.book.endpoints())[0]
        desk.clock.turn(DAY - 1)
        assert await desk.secrets("crm") == [new, old]
        desk.clock.turn(1)
        assert await desk.secrets("crm") == [new]
        assert (await desk.book.endpoints())[0] != before
        again = await desk.reopen()
        assert await again.secrets("crm") == [new]
        await again.records.close()

    on(Desk(tmp_path, crm=one()), work)


def test_rotating_without_overlap_ends_the_old_one_at_once(tmp_path: Path) -> None:
    """For a secret that leaked."""

    async def work(desk: Desk) -> None:
        _ = await desk.prepare()
        new = (await desk.book.rotate("crm", overlap=0.0)).text
        assert await desk.secrets("crm") == [new]

    on(Desk(tmp_path, crm=one()), work)


def test_rotating_again_does_not_prolong_the_first_overlap(tmp_path: Path) -> None:
    """Each secret ends when it was said to; more than five beside each other are refused."""

    async def work(desk: Desk) -> None:
        first = (await desk.prepare())["crm"]
        second = (await desk.book.rotate("crm", overlap=100)).text
        third = (await desk.book.rotate("crm", overlap=1000)).text
        assert await desk.secrets("crm") == [third, second, first]
        desk.clock.turn(100)
        assert await desk.secrets("crm") == [third, second]
        for _ in range(3):
            _ = await desk.book.rotate("crm", overlap=DAY)
        with pytest.raises(ConfigError, match="beside each other"):
            await desk.book.rotate("crm", overlap=DAY)

    on(Desk(tmp_path, crm=one()), work)


def test_a_key_pair_is_made_beside_the_secret_and_shows_its_public_half_only(tmp_path: Path) -> None:
    """Both sign from then on; a second rotation overlaps like a secret's."""

    async def work(desk: Desk) -> None:
        _ = await desk.prepare()
        shown = (await desk.book.rotate("crm", overlap=DAY, asymmetric=True)).text
        entry = await desk.book.entry("crm")
        assert shown.startswith("whpk_")
        assert entry.publics == (shown,)
        assert (len(entry.endpoint.secrets), len(entry.endpoint.keys)) == (1, 1)
        assert entry.endpoint.keys[0].reveal().encode() not in desk.stored()
        newer = (await desk.book.rotate("crm", overlap=DAY, asymmetric=True)).text
        assert (await desk.book.entry("crm")).publics == (newer, shown)

    on(Desk(tmp_path, crm=one()), work)


def test_a_secret_of_the_config_is_rotated_there(tmp_path: Path) -> None:
    """The command says how; `previous_secret` signs beside the new one."""
    sealed = sealing.seal(GIVEN, open_vault(tmp_path / "keys.json"))
    other = sign.secret_of(b"n" * 32)

    async def work(desk: Desk) -> None:
        assert await desk.prepare() == {}
        assert await desk.secrets("crm") == [other, GIVEN]
        with pytest.raises(ConfigError, match="previous_secret"):
            await desk.book.rotate("crm", overlap=DAY)
        pair = (await desk.book.rotate("crm", overlap=DAY, asymmetric=True)).text
        assert (await desk.book.entry("crm")).publics == (pair,)

    on(Desk(tmp_path, crm=one(secret=other, previous_secret=sealed)), work)


def test_a_key_of_the_config_is_rotated_there(tmp_path: Path) -> None:
    """As a secret is."""

    async def work(desk: Desk) -> None:
        assert len((await desk.book.entry("crm")).publics) == 1
        with pytest.raises(ConfigError, match=r"endpoints\.crm\.private_key"):
            await desk.book.rotate("crm", overlap=DAY, asymmetric=True)

    on(Desk(tmp_path, crm=one(secret=GIVEN, private_key=sign.private_of(b"k" * 32))), work)


def test_a_secret_that_leaves_the_config_is_followed_by_one_made_here(tmp_path: Path) -> None:
    """As `previous_secret` it still signs, after the new one."""

    async def work(desk: Desk) -> None:
        made = (await desk.prepare())["crm"]
        assert await desk.secrets("crm") == [made, GIVEN]

    on(Desk(tmp_path, crm=one(previous_secret=GIVEN)), work)


def test_an_endpoint_that_signs_with_a_key_alone_needs_no_secret(tmp_path: Path) -> None:
    """Nothing that has to be kept by two."""

    async def work(desk: Desk) -> None:
        assert await desk.prepare() == {}
        (end,) = await desk.book.endpoints()
        assert (end.secrets, len(end.keys)) == ((), 1)

    on(Desk(tmp_path, crm=one(private_key=sign.private_of(b"k" * 32))), work)


# ------------------------------------------------------------------ what was kept in a file before
def older_file(folder: Path, **secrets: str) -> Path:
    """As the gateway kept them until it had a table for them."""
    vault = open_vault(folder / "keys.json")
    sealed = {
        name: vault.seal_text(text, f"endpoint/{name}/secret", Sensitivity.IDENTITY) for name, text in secrets.items()
    }
    path = folder / "endpoints.json"
    path.write_bytes(msgspec.json.encode(sealed))
    return path


def test_secrets_of_an_older_gateway_are_taken_over_and_none_is_lost(tmp_path: Path) -> None:
    """Also that of an endpoint which is not in the config today; the file goes out of use only then, and stays beside."""
    crm, bi = sign.secret_of(b"c" * 32), sign.secret_of(b"b" * 32)
    path = older_file(tmp_path, crm=crm, bi=bi)
    before = path.read_bytes()

    async def work(desk: Desk) -> None:
        assert await desk.prepare() == {}
        assert await desk.secrets("crm") == [crm]
        assert not path.exists()
        assert (tmp_path / "endpoints.json.taken").read_bytes() == before
        again = await desk.reopen(crm=one(), bi=one())
        assert await again.prepare() == {}
        assert await again.secrets("bi") == [bi]
        await again.records.close()

    on(Desk(tmp_path, crm=one()), work)


def test_a_takeover_that_was_cut_off_goes_on_where_it_stood(tmp_path: Path) -> None:
    """What is in the store already, and may have been rotated since, is not put back."""
    crm, bi = sign.secret_of(b"c" * 32), sign.secret_of(b"b" * 32)
    path = older_file(tmp_path, crm=crm)

    async def work(desk: Desk) -> None:
        assert await desk.prepare() == {}
        new = (await desk.book.rotate("crm", overlap=0.0)).text
        _ = older_file(tmp_path, crm=crm, bi=bi)
        again = await desk.reopen(crm=one(), bi=one())
        assert await again.prepare() == {}
        assert await again.secrets("crm") == [new]
        assert await again.secrets("bi") == [bi]
        assert not path.exists()
        await again.records.close()

    on(Desk(tmp_path, crm=one()), work)


def test_a_file_that_other_keys_sealed_is_left_as_it_is(tmp_path: Path) -> None:
    """The start fails, with nothing made in its place."""
    (tmp_path / "theirs").mkdir()
    path = older_file(tmp_path / "theirs", crm=GIVEN).rename(tmp_path / "endpoints.json")

    async def work(desk: Desk) -> None:
        with pytest.raises(VaultError):
            await desk.prepare()
        assert path.exists()
        assert await desk.secrets("crm") == []

    on(Desk(tmp_path, crm=one()), work)


# ------------------------------------------------------------------ paused
def test_pausing_is_kept_over_a_restart_until_it_is_resumed(tmp_path: Path) -> None:
    """For an endpoint of the config too, whose secrets stay as they were."""

    async def work(desk: Desk) -> None:
        made = await desk.prepare()
        await desk.book.pause("crm")
        await desk.book.pause("crm")
        again = await desk.reopen()
        (end,) = await again.book.endpoints()
        assert (end.paused, [secret.reveal() for secret in end.secrets]) == (True, [made["crm"]])
        await again.book.resume("crm")
        assert not (await again.book.endpoints())[0].paused
        await again.records.close()

    on(Desk(tmp_path, crm=one()), work)


def test_what_has_not_changed_is_the_same_object(tmp_path: Path) -> None:
    """A worker asks every second; it must see at a glance that nothing happened."""

    async def work(desk: Desk) -> None:
        _ = await desk.prepare()
        first = await desk.book.endpoints()
        assert all(a is b for a, b in zip(first, await desk.book.endpoints(), strict=True))
        await desk.book.pause("crm")
        after = await desk.book.endpoints()
        assert after[0] != first[0]
        assert after[1] is first[1]

    on(Desk(tmp_path, crm=one(), bi=one()), work)


# ------------------------------------------------------------------ made at run time
def test_an_endpoint_made_at_run_time_is_there_after_a_restart(tmp_path: Path) -> None:
    """With its secret, which was shown once and lies nowhere in the open, and its password."""

    async def work(desk: Desk) -> None:
        auth = {"kind": "bearer", "password": "a-bearer-token"}
        shown = await desk.book.make("partner-1", one(events=["order.*"], batch=10, auth=auth))
        assert shown.version == 1
        again = await desk.reopen()
        entry = await again.book.entry("partner-1")
        assert (entry.made, entry.version, entry.endpoint.events, entry.endpoint.batch) == (True, 1, ("order.*",), 10)
        assert [secret.reveal() for secret in entry.endpoint.secrets] == [shown.text]
        assert entry.endpoint.auth.password == Secret("a-bearer-token")
        assert [end.name for end in await again.book.endpoints()] == ["crm", "partner-1"]
        for secret in ("a-bearer-token", shown.text, shown.text.removeprefix("whsec_")):
            assert secret.encode() not in again.stored()
        await again.records.close()

    on(Desk(tmp_path, crm=one(secret=GIVEN)), work)


def test_a_change_keeps_the_secrets_that_it_does_not_give(tmp_path: Path) -> None:
    """And names the version it was made against: whoever was slower is told."""

    async def work(desk: Desk) -> None:
        auth = {"kind": "bearer", "password": "a-bearer-token"}
        shown = await desk.book.make("partner", one(auth=auth))
        assert await desk.book.change("partner", one(timeout="3s", auth={"kind": "bearer"}), before=1) == 2
        end = (await desk.book.entry("partner")).endpoint
        assert (end.timeout, end.auth.password, end.version) == (3.0, Secret("a-bearer-token"), 2)
        assert [secret.reveal() for secret in end.secrets] == [shown.text]
        with pytest.raises(Stale):
            await desk.book.change("partner", one(timeout="4s"), before=1)
        assert await desk.book.change("partner", one(secret=GIVEN), before=2) == 3
        end = (await desk.book.entry("partner")).endpoint
        assert ([secret.reveal() for secret in end.secrets], end.auth.password) == ([GIVEN], None)

    on(Desk(tmp_path), work)


def test_rotating_and_pausing_work_for_what_was_made_at_run_time(tmp_path: Path) -> None:
    """As for the config's."""

    async def work(desk: Desk) -> None:
        first = (await desk.book.make("partner", one())).text
        second = await desk.book.rotate("partner", overlap=DAY)
        assert (await desk.secrets("partner"), second.version) == ([second.text, first], 2)
        await desk.book.pause("partner")
        assert (await desk.book.entry("partner")).endpoint.paused

    on(Desk(tmp_path), work)


def test_what_was_removed_is_gone(tmp_path: Path) -> None:
    """Against its version; its name is free again, with a new secret."""

    async def work(desk: Desk) -> None:
        first = (await desk.book.make("partner", one())).text
        with pytest.raises(Stale):
            await desk.book.remove("partner", before=7)
        await desk.book.remove("partner", before=1)
        assert await desk.book.endpoints() == []
        with pytest.raises(ConfigError, match="no endpoint is called"):
            await desk.book.pause("partner")
        assert (await desk.book.make("partner", one())).text != first

    on(Desk(tmp_path), work)


@pytest.mark.parametrize(
    ("name", "said"),
    [("crm", "of the config"), ("taken", "already"), ("Crm", "no name"), ("a/b", "no name"), ("", "no name"), ("x" * 64, "no name")],
)  # fmt: skip
def test_a_name_that_is_taken_or_none_is_refused(tmp_path: Path, name: str, said: str) -> None:
    """Names stand in addresses, metrics and logs."""

    async def work(desk: Desk) -> None:
        _ = await desk.book.make("taken", one())
        with pytest.raises(ConfigError, match=said):
            await desk.book.make(name, one())

    on(Desk(tmp_path, crm=one(secret=GIVEN)), work)


@pytest.mark.parametrize(
    "knobs",
    [
        {"url": "ftp://x"},
        {"kind": "kafka", "url": "kafka://h:9092/no such topic"},
        {"auth": {"kind": "mtls", "certificate": "/etc/ssl/ours.pem", "password": "k"}},
        {"auth": {"kind": "mtls", "certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "password": "k"}},
        {"grants": {"contact": "seal", "recipient": "file:/etc/passwd"}},
        {"secret": "whsec_short"},
    ],
    ids=["address", "topic", "our file", "no certificate", "our key", "secret"],
)  # fmt: skip
def test_what_could_not_be_sent_to_is_not_written_down(tmp_path: Path, knobs: dict[str, Any]) -> None:
    """Nor is a file of this machine referred to from outside."""

    async def work(desk: Desk) -> None:
        with pytest.raises(ConfigError):
            await desk.book.make("partner", one(**knobs))
        assert await desk.records.booked() == []

    on(Desk(tmp_path), work)


def test_an_endpoint_of_the_config_is_changed_there(tmp_path: Path) -> None:
    """Not through the partner API."""

    async def work(desk: Desk) -> None:
        await desk.book.pause("crm")
        with pytest.raises(ConfigError, match="of the config"):
            await desk.book.change("crm", one(), before=1)
        with pytest.raises(ConfigError, match="of the config"):
            await desk.book.remove("crm", before=1)

    on(Desk(tmp_path, crm=one(secret=GIVEN)), work)


def test_one_name_twice_is_told_at_the_start(tmp_path: Path) -> None:
    """A config that takes the name of one that was made at run time would take its deliveries, too."""

    async def work(desk: Desk) -> None:
        _ = await desk.book.make("partner", one())
        again = await desk.reopen(partner=one(secret=GIVEN))
        with pytest.raises(ConfigError, match="made at run time"):
            await again.prepare()
        await again.records.close()

    on(Desk(tmp_path), work)


def test_an_endpoint_that_could_not_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    """What only the way itself can tell: a certificate that is not there."""
    auth = {"kind": "mtls", "certificate": str(tmp_path / "none.pem"), "password": "k"}

    async def work(desk: Desk) -> None:
        with pytest.raises(ConfigError, match=r"endpoints\.crm.*none\.pem"):
            await desk.prepare()

    on(Desk(tmp_path, crm=one(secret=GIVEN, auth=auth)), work)


def test_no_secret_shows_in_what_is_printed(tmp_path: Path) -> None:
    """Entries and endpoints may be logged."""

    async def work(desk: Desk) -> None:
        made = await desk.prepare()
        _ = await desk.book.rotate("crm", overlap=DAY, asymmetric=True)
        text = repr(await desk.book.entries())
        assert made["crm"] not in text
        assert "whsk_" not in text
        assert (await desk.book.entry("crm")).endpoint.kind is Kind.WEBHOOK

    on(Desk(tmp_path, crm=one()), work)
