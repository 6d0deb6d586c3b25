"""The endpoints there are: those of the config, those that partners made at run time, and what was decided about either since.

What is decided at run time is a row of the store (``store.Booked``): paused or not, the settings of an endpoint that the config does not know,
and secrets, sealed. A secret that has been replaced signs beside the new one until its time is over; it then falls away whenever the endpoints
are asked for, so that no job has to run for it.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway import rotation, settings, store
from gateway.clock import Clock, random_bytes
from gateway.destination import Endpoint, Kind
from gateway.destinations import open_destination, sign
from gateway.destinations.address import Vetter
from gateway.errors import ConfigError, StoreError
from gateway.model.secret import Secret
from gateway.sealing import unsealed
from gateway.store import Booked
from gateway.subscription import Proof, endpoint_of, signs
from gateway.vault import Vault

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_TAKEN = ".taken"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint and how it came to be. ``version`` is the row's: an ETag. ``publics`` are ``whpk_`` texts, newest first.

    ``made`` at run time, else of the config. ``until`` is when the last replaced secret falls away.
    """

    endpoint: Endpoint
    settings: settings.Endpoint
    version: int
    made: bool
    publics: tuple[str, ...] = ()
    until: int | None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown once: a new secret's text, or, of a key pair, only the public half. ``version`` is the row's."""

    text: str
    version: int


def configured(tree: settings.Settings, vault: Vault) -> list[Endpoint]:
    """The endpoints of the config as it has them, whatever was decided since: for who has no store. ConfigError as in ``Book``."""
    return [endpoint_of(name, one, given_by(one, vault)) for name, one in tree.endpoints.items()]


def given_by(one: settings.Endpoint, vault: Vault) -> Proof:
    """The secrets that stand in the settings themselves."""
    secrets, key, password = (one.secret, one.previous_secret), one.private_key, one.auth.password
    return Proof(
        secrets=tuple(unsealed(secret, vault) for secret in secrets if secret is not None),
        keys=(unsealed(key, vault),) if key else (),
        password=unsealed(password, vault) if password else None,
    )


class Book:
    """See the module. Errors of the store pass; ConfigError names an endpoint that cannot be used, Stale that somebody else was faster."""

    def __init__(self, records: store.Store, vault: Vault, clock: Clock, tree: settings.Settings) -> None:
        self._store = records
        self._vault = vault
        self._clock = clock
        self._tree = tree
        self._held: dict[str, tuple[bytes, rotation.Held]] = {}
        self._known: dict[str, tuple[object, Endpoint, tuple[str, ...]]] = {}
        self._given: dict[str, Proof] = {}

    # ------------------------------------------------------------------ reading
    async def endpoints(self) -> list[Endpoint]:
        """Every endpoint as it is at this instant, those of the config first. Cheap to ask again: what has not changed is the same object."""
        return [entry.endpoint for entry in await self.entries()]

    async def entries(self) -> list[Entry]:
        """Every endpoint, with what is known about it beside."""
        rows = {row.name: row for row in await self._store.booked()}
        entries = [self._entry(name, one, rows.get(name)) for name, one in self._tree.endpoints.items()]
        made = [row for row in rows.values() if row.document and row.name not in self._tree.endpoints]
        return entries + [self._entry(row.name, _settings_of(row), row) for row in made]

    async def entry(self, name: str) -> Entry:
        """One endpoint. ConfigError when there is none of this name."""
        one, row = await self._find(name)
        return self._entry(name, one, row)

    def _entry(self, name: str, one: settings.Endpoint, row: Booked | None) -> Entry:
        held, now = self._open(name, row), self._clock.now()
        proof = self._proof(name, one, held, now)
        key = (one, row and (row.version, row.paused), proof.secrets, proof.keys)
        known = self._known.get(name)
        if known is None or known[0] != key:
            end = endpoint_of(
                name, one, proof, paused=row is not None and row.paused, version=row.version if row else 0
            )
            known = self._known[name] = (key, end, tuple(sign.public_of(key) for key in proof.keys))
        return Entry(
            endpoint=known[1],
            settings=one,
            version=row.version if row else 0,
            made=name not in self._tree.endpoints,
            publics=known[2],
            until=max(
                (one.until for one in (*held.secrets, *held.keys) if one.until and one.until > now), default=None
            ),
        )

    def _proof(self, name: str, one: settings.Endpoint, held: rotation.Held, now: int) -> Proof:
        """What the config gives comes before what is held; a previous secret of the config signs beside either."""
        given = self._given.get(name)
        if given is None:
            # Opened once: the config does not change while we run.
            given = self._given[name] = given_by(one, self._vault) if name in self._tree.endpoints else Proof()
        return Proof(
            secrets=given.secrets if one.secret else (*rotation.live(held.secrets, now), *given.secrets),
            keys=given.keys or rotation.live(held.keys, now),
            password=given.password or held.password,
        )

    async def _find(self, name: str) -> tuple[settings.Endpoint, Booked | None]:
        row = next((one for one in await self._store.booked() if one.name == name), None)
        if name in self._tree.endpoints:
            return self._tree.endpoints[name], row
        if row is None or not row.document:
            raise ConfigError(f"no endpoint is called {name!r}", remedy="gateway endpoints list")
        return _settings_of(row), row

    # ------------------------------------------------------------------ what is held
    def _open(self, name: str, row: Booked | None) -> rotation.Held:
        if row is None or not row.secrets:
            return rotation.Held()
        known = self._held.get(name)
        if known is None or known[0] != row.secrets:
            plain = self._vault.open(row.secrets, _context(name))
            known = self._held[name] = (row.secrets, rotation.read(plain))
        return known[1]

    async def _write(
        self,
        name: str,
        row: Booked | None,
        held: rotation.Held,
        *,
        paused: bool | None = None,
        document: bytes | None = None,
    ) -> int:
        before = row.version if row else 0
        empty = held == rotation.Held()
        entry = Booked(
            name=name,
            version=before + 1,
            document=document if document is not None else row.document if row else b"",
            secrets=b"" if empty else self._vault.seal(rotation.written(held), _context(name)),
            paused=paused if paused is not None else row is not None and row.paused,
            updated=self._clock.now(),
        )
        await self._store.book(entry, before=before)
        return before + 1

    # ------------------------------------------------------------------ pausing and rotating
    async def pause(self, name: str) -> None:
        """Nothing is sent until ``resume``; deliveries wait."""
        await self._set_paused(name, paused=True)

    async def resume(self, name: str) -> None:
        """Send again what waited, and what comes."""
        await self._set_paused(name, paused=False)

    async def _set_paused(self, name: str, *, paused: bool) -> None:
        _, row = await self._find(name)
        if paused != (row is not None and row.paused):
            _ = await self._write(name, row, self._open(name, row), paused=paused)

    async def rotate(self, name: str, *, overlap: float, asymmetric: bool = False) -> Shown:
        """A new secret, or with ``asymmetric`` a new key pair, that signs first from now on; the old ones sign too for ``overlap`` seconds.

        ConfigError for a secret that stands in the config: only whoever writes that can change it.
        """
        one, row = await self._find(name)
        need_rotatable(name, one, asymmetric=asymmetric)
        held, now = self._open(name, row), self._clock.now()
        fresh = Secret(sign.private_of(random_bytes(32)) if asymmetric else sign.secret_of(random_bytes(32)))
        if asymmetric:
            held = msgspec.structs.replace(held, keys=rotation.turned(held.keys, fresh, now, overlap))
        else:
            held = msgspec.structs.replace(held, secrets=rotation.turned(held.secrets, fresh, now, overlap))
        version = await self._write(name, row, held)
        return Shown(text=sign.public_of(fresh) if asymmetric else fresh.reveal(), version=version)

    # ------------------------------------------------------------------ made at run time
    async def make(self, name: str, one: settings.Endpoint) -> Shown:
        """A new endpoint; without a secret of its own it gets one, shown once. ConfigError for a name that is taken or none."""
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name",
                remedy="lower-case letters, digits, - and _, a letter or digit first, 63 at most",
            )
        if name in self._tree.endpoints:
            raise ConfigError(f"{name!r} is an endpoint of the config")
        held = rotation.merged(one, rotation.Held())
        made = ""
        if one.kind == "webhook" and not held.secrets:
            made = sign.secret_of(random_bytes(32))
            held = msgspec.structs.replace(held, secrets=(rotation.Key(text=Secret(made)),))
        document = self._checked(name, one, held)
        row = next((row for row in await self._store.booked() if row.name == name), None)
        if row is not None and row.document:
            raise ConfigError(f"there is an endpoint {name!r} already")
        # A row without settings is what is left of an endpoint that the config once had.
        version = await self._write(name, row, held, document=document, paused=False)
        return Shown(text=made, version=version)

    async def change(self, name: str, one: settings.Endpoint, *, before: int) -> int:
        """New settings for an endpoint that was made at run time: its new version. Secrets and password that are not given stay.

        Stale when its version is not ``before``. ConfigError for one of the config.
        """
        row = await self._find_made(name)
        held = rotation.merged(one, self._open(name, row))
        document = self._checked(name, one, held)
        return await self._write(
            name, msgspec.structs.replace(row, version=before), held, document=document, paused=row.paused
        )

    async def remove(self, name: str, *, before: int) -> None:
        """Forget an endpoint that was made at run time; its open deliveries are cancelled. Stale and ConfigError as ``change``."""
        _ = await self._find_made(name)
        await self._store.unbook(name, before=before)

    async def _find_made(self, name: str) -> Booked:
        _, row = await self._find(name)
        if name in self._tree.endpoints or row is None:
            raise ConfigError(f"{name!r} is an endpoint of the config", remedy="change it there")
        return row

    def _checked(self, name: str, one: settings.Endpoint, held: rotation.Held) -> bytes:
        """The settings as they are kept: without secrets, and only such as an endpoint can be made of."""
        for field in ("certificate", "authority"):
            if (value := getattr(one.auth, field)) and not value.startswith("-----BEGIN "):
                raise ConfigError("is no PEM text", place=f"endpoints.{name}.auth.{field}")
        if one.grants.recipient.startswith("file:"):
            raise ConfigError("is no JWK", place=f"endpoints.{name}.grants.recipient")
        now = self._clock.now()
        proof = Proof(
            secrets=rotation.live(held.secrets, now), keys=rotation.live(held.keys, now), password=held.password
        )
        bare = msgspec.structs.replace(
            one,
            secret=None,
            previous_secret=None,
            private_key=None,
            auth=msgspec.structs.replace(one.auth, password=None),
        )
        self._need_open(endpoint_of(name, bare, proof))
        return rotation.written(bare)

    def _need_open(self, end: Endpoint) -> None:
        """What only the way itself can tell, such as a key that does not fit its certificate, is told before anything is kept or started."""
        if end.kind is not Kind.POLL:
            _ = open_destination(end, clock=self._clock, vetter=Vetter(self._clock))

    # ------------------------------------------------------------------ at the start
    async def prepare(self, older: Path) -> dict[str, str]:
        """Take over ``older`` (where secrets were kept before the store kept them), and make a secret for every webhook that has none.

        Returns those made now, by name: they are shown once. ConfigError for an endpoint that cannot be used.
        """
        await self._need_names()
        await self._take_over(older)
        made = {}
        for entry in await self.entries():
            end, given = entry.endpoint, self._given[entry.endpoint.name].secrets
            # A ``previous_secret`` alone is on its way out: there has to be one to go on with.
            signed = entry.settings.secret is not None or len(end.secrets) > len(given) or bool(end.keys)
            if end.kind is Kind.WEBHOOK and not signed:
                made[end.name] = (await self.rotate(end.name, overlap=0.0)).text
        for end in await self.endpoints():
            self._need_open(end)
        return made

    async def _need_names(self) -> None:
        for row in await self._store.booked():
            if row.document and row.name in self._tree.endpoints:
                raise ConfigError(
                    "an endpoint of this name was made at run time",
                    place=f"endpoints.{row.name}",
                    remedy="give one of the two another name",
                )

    async def _take_over(self, older: Path) -> None:
        sealed = _older(older)
        for name, token in sealed.items():
            text = Secret(self._vault.open_text(token, f"endpoint/{name}/secret"))
            row = next((one for one in await self._store.booked() if one.name == name), None)
            held = self._open(name, row)
            if not held.secrets:
                _ = await self._write(name, row, msgspec.structs.replace(held, secrets=(rotation.Key(text=text),)))
        await self._need_taken(sealed)
        _retire(older)

    async def _need_taken(self, sealed: Mapping[str, str]) -> None:
        """The file goes out of use only when the store gives back what was in it."""
        rows = {row.name: row for row in await self._store.booked()}
        for name in sealed:
            if not self._open(name, rows.get(name)).secrets:
                raise StoreError(
                    f"the secret of {name!r} was not kept", remedy="try again; endpoints.json is as it was"
                )


def _older(path: Path) -> dict[str, str]:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}


def _retire(path: Path) -> None:
    # Kept, since it was the only copy until now; sealed, like what was made of it.
    if path.exists():
        path.replace(path.with_name(path.name + _TAKEN))


def _settings_of(row: Booked) -> settings.Endpoint:
    found: settings.Endpoint = settings.convert(
        msgspec.json.decode(row.document), settings.Endpoint, f"endpoint {row.name}"
    )
    return found


def _context(name: str) -> bytes:
    return f"endpoint/{name}".encode()


def need_rotatable(name: str, one: settings.Endpoint, *, asymmetric: bool) -> None:
    """ConfigError, with what to do, where ``Book.rotate`` would refuse."""
    place = f"endpoints.{name}"
    if not signs(one.kind):
        raise ConfigError(f"what goes to {one.kind} is not signed this way", place=place)
    if asymmetric and one.private_key is not None:
        raise ConfigError(
            "has its key from the config", place=f"{place}.private_key", remedy="put a new one there, or take it away"
        )
    if not asymmetric and one.secret is not None:
        raise ConfigError(
            "has its secret from the config",
            place=f"{place}.secret",
            remedy="put the new one there and the old one in previous_secret, until every receiver has the new one",
        )
