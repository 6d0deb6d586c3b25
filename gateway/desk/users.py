"""People at the console: password and second factor, roles, sessions, lock-out. Documents on the shelves ``users`` and ``sessions``.

A password is kept as scrypt (RFC 7914, N=2¹⁵, r=8, p=1, about a tenth of a second), the TOTP secret (RFC 6238) sealed, a session as the keyed
hash of its cookie. Five wrong tries lock the user for a minute, each further one twice as long, up to an hour; whoever is locked is
told the same as whoever is wrong. A try is counted before it is looked at, so that of many at once each is one.

A browser in which somebody came in with both factors is known by a cookie of its own: strangers' tries do not lock it out. How often it may
try is the caller's to pace.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from enum import Enum

import msgspec

from gateway import access, shelf
from gateway.clock import SECOND, Clock, random_bytes
from gateway.desk import factors
from gateway.desk.devices import Devices
from gateway.errors import ConfigError, Stale
from gateway.model.values import Sensitivity
from gateway.vault import Vault

USERS = "users"
SESSIONS = "sessions"
TICKETS = "tickets"
DECOYS = "decoys"
IDLE = 30 * 60 * SECOND
LONGEST = 12 * 3600 * SECOND
_TICKET = 10 * 60 * SECOND
# From the password to the second factor.
_HALFWAY = 10 * 60 * SECOND
_TRIES = 20
# Of the length of what is kept, and no password's hash.
_NOBODYS = bytes(48)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}\Z")
_json = msgspec.json.Encoder()


class Role(Enum):
    """Viewers look; operators retry, replay, pause, settle; admins decide on endpoints, clients, users, keys and mappings."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_RANK = {role: rank for rank, role in enumerate(Role)}


class User(msgspec.Struct, frozen=True, kw_only=True):
    """``password`` is salt and scrypt; ``totp`` the sealed secret, empty until enrolled; ``step`` the last time step that was used, so that
    a code that was seen is of no use. ``wrong`` passwords since the last right one, and until when none is taken; ``missed`` codes and
    ``missed_until`` likewise, which only somebody with the password can bring about."""

    name: str
    role: Role
    password: bytes
    totp: str = ""
    step: int = 0
    wrong: int = 0
    locked_until: int = 0
    missed: int = 0
    missed_until: int = 0
    grants: dict[str, access.Lent] = {}
    unit: str | None = None
    disabled: bool = False
    created: int = 0

    @property
    def held_until(self) -> int:
        """Until when a stranger's password, or anybody's code, is not taken."""
        return max(self.locked_until, self.missed_until)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """``csrf`` must come with every change. ``verified`` is False until the second factor was shown. ``salt`` is that of the password by which
    it began: another password ends it."""

    user: str
    csrf: str
    began: int
    seen: int
    verified: bool = False
    peer: str = ""
    salt: bytes = b""


_user = msgspec.json.Decoder(User)
_session = msgspec.json.Decoder(Session)
Below = Callable[[str], frozenset[str]]


class Entered(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with a session: ``cookie`` is set only when it is new."""

    user: User
    session: Session
    cookie: str = ""


class Users:
    """See the module."""

    def __init__(self, *, documents: shelf.Shelf, vault: Vault, clock: Clock, below: Below) -> None:
        self._shelf = documents
        self._vault = vault
        self._clock = clock
        self._below = below
        self._hashing = factors.Hashing()
        self.devices = Devices(vault)

    async def all(self) -> list[User]:
        """By name."""
        return [_user.decode(one.body) for one in await self._shelf.documents(USERS)]

    async def any(self) -> bool:
        """Whether there is somebody who could sign in."""
        return bool(await self._shelf.documents(USERS, limit=1))

    async def there(self, name: str) -> bool:
        """Whether there is such a user."""
        return _NAME.match(name) is not None and await self._shelf.document(USERS, name) is not None

    async def make(self, name: str, role: Role, password: str, *, unit: str | None = None) -> User:
        """A new user, who enrols a second factor when signing in first. ConfigError for a bad name or a short password."""
        if not _NAME.match(name):
            raise ConfigError("a user's name is 1 to 40 of a–z, 0–9, dot, dash and underscore", place=name[:40])
        factors.need_password(password)
        _need_whole(role, unit)
        hashed = await asyncio.to_thread(factors.hashed, password, random_bytes(factors.SALT))
        user = User(name=name, role=role, password=hashed, unit=unit, created=self._clock.now())
        try:
            await self._put(user, before=0)
        except Stale as error:
            raise ConfigError(f"there is a user {name} already", remedy="gateway users list") from error
        return user

    async def change(self, name: str, **fields: object) -> User:
        """Replace fields of a user; of one that is disabled every session ends. ConfigError when there is none."""

        def change(user: User) -> User:
            new = msgspec.structs.replace(user, **fields)
            _need_whole(new.role, new.unit)
            return new

        changed = await self._replace(name, change)
        if changed.disabled:
            await self._end_all(name)
        return changed

    async def enable(self, name: str) -> User:
        """Let a disabled or locked user in again. ConfigError when there is none."""
        return await self.change(name, disabled=False, wrong=0, locked_until=0, missed=0, missed_until=0)

    async def reset(self, name: str, password: str) -> User:
        """A new password, and a second factor to be enrolled anew; every session ends."""
        factors.need_password(password)
        hashed = await asyncio.to_thread(factors.hashed, password, random_bytes(factors.SALT))
        fresh = {"password": hashed, "totp": "", "wrong": 0, "locked_until": 0, "missed": 0, "missed_until": 0}
        changed = await self.change(name, **fresh)
        # What began by the old password is worth nothing by now, also what begins this moment: no second factor is enrolled by it.
        await self._end_all(name)
        return changed

    # ------------------------------------------------------------------ signing in
    async def enter(self, name: str, password: str, *, peer: str, device: str = "") -> Entered | None:
        """A session whose second factor is still to be shown; None when name or password are wrong, or the user is locked or disabled.

        ``device`` is the cookie of a browser that may be known. However it ends, it takes the same steps: nothing tells a name that there is
        from one that there is not.
        """
        known = self.devices.knows(name, device)
        if self._hashing.crowded and not known:
            return None
        user = await self._spend(name, known=known) if _NAME.match(name) else None
        if not await self._hashing.right(password, user.password if user else _NOBODYS) or user is None:
            return None
        if not known:
            await self._replace(name, lambda one: msgspec.structs.replace(one, wrong=0, locked_until=0))
        return await self._begin(user, peer=peer)

    async def _spend(self, name: str, *, known: bool) -> User | None:
        """Count a try. None when it is not to be looked at."""
        for _ in range(_TRIES):
            kept = await self._shelf.document(USERS, name)
            user = _user.decode(kept.body) if kept else None
            now = self._clock.now()
            if kept is None or user is None or user.disabled or (now < user.locked_until and not known):
                # A write tells by its time that there is something to write.
                await self._decoy()
                return None
            if known:
                await self._decoy()
                return user
            with contextlib.suppress(Stale):
                await self._put(_missed_password(user, now), before=kept.version)
                return user
        return None

    async def _decoy(self) -> None:
        kept = await self._shelf.document(DECOYS, "try")
        version = kept.version if kept else 0
        paper = shelf.Document(shelf=DECOYS, key="try", version=version + 1, body=b"", updated=self._clock.now())
        with contextlib.suppress(Stale):
            await self._shelf.file(paper, before=version)

    async def show(self, entered: Entered, code: str) -> Entered | None:
        """The second factor: a fresh session with full rights, or None when the code is wrong, was used before, or the user is locked."""
        user, version = await self._need(entered.user.name)
        now = self._clock.now()
        if not user.totp or user.disabled or now < user.missed_until:
            return None
        step = factors.step_of(self._vault.open_text(user.totp, _totp_place(user.name)), code, now)
        right = step is not None and step > user.step
        user = msgspec.structs.replace(user, step=step, missed=0, missed_until=0) if right else _missed_code(user, now)
        try:
            await self._put(user, before=version)
        except Stale:
            # Of several codes at once only one is looked at.
            return None
        return await self._begin(user, peer=entered.session.peer, verified=True) if right else None

    async def enrol(self, entered: Entered, secret: str, code: str) -> Entered | None:
        """Keep the secret if ``code`` is right for it, and go on with full rights. Only for who has none yet."""
        user, version = await self._need(entered.user.name)
        if user.totp or not factors.offered(secret) or factors.step_of(secret, code, self._clock.now()) is None:
            return None
        sealed = self._vault.seal_text(secret, _totp_place(user.name), Sensitivity.IDENTITY)
        await self._put(msgspec.structs.replace(user, totp=sealed), before=version)
        return await self.show(entered, code)

    async def renew(self) -> int:
        """Seal second factors with the current key. Returns how many were sealed with an older one."""
        count = 0
        for kept in await self._shelf.documents(USERS):
            user = _user.decode(kept.body)
            if not user.totp or self._vault.current(user.totp):
                continue
            place = _totp_place(user.name)
            fresh = self._vault.seal_text(self._vault.open_text(user.totp, place), place, Sensitivity.IDENTITY)
            # Somebody who signs in just now comes first; the next run takes this one along.
            with contextlib.suppress(Stale):
                await self._put(msgspec.structs.replace(user, totp=fresh), before=kept.version)
                count += 1
        return count

    async def leave(self, cookie: str) -> None:
        """End a session."""
        await self._end(await self._shelf.document(SESSIONS, self._key(cookie)))

    async def ticket(self, name: str) -> str:
        """A way in without password and second factor, once and within ten minutes: for whoever has a shell on the gateway's own box and lost
        their authenticator. ConfigError when there is no such user, or they are disabled."""
        user, _ = await self._need(name)
        if user.disabled:
            raise ConfigError(f"{name} is disabled", remedy=f"gateway users enable {name}")
        now, text = self._clock.now(), random_bytes(24).hex()
        paper = shelf.Document(
            shelf=TICKETS, key=self._key(text), version=1, body=name.encode(), updated=now, expires=now + _TICKET
        )
        await self._shelf.file(paper, before=0)
        return text

    async def redeem(self, ticket: str, *, peer: str) -> Entered | None:
        """A session with full rights for a ticket; None when it was used, or ran out."""
        kept = await self._shelf.document(TICKETS, self._key(ticket))
        if kept is None:
            return None
        try:
            await self._shelf.unfile(TICKETS, kept.key, before=kept.version)
        except Stale:
            return None
        user, _ = await self._need(kept.body.decode())
        return None if user.disabled else await self._begin(user, peer=peer, verified=True)

    async def recall(self, cookie: str, *, touch: bool = True) -> Entered | None:
        """Whose session this is; None when it ran out, or the user was disabled. What is used stays for another half hour; without ``touch``
        this is no use of it."""
        key = self._key(cookie)
        kept = await self._shelf.document(SESSIONS, key)
        if kept is None:
            return None
        session = _session.decode(kept.body)
        now = self._clock.now()
        longest = LONGEST if session.verified else _HALFWAY
        if now - session.seen > IDLE or now - session.began > longest:
            return None
        owner = await self._shelf.document(USERS, session.user)
        user = _user.decode(owner.body) if owner else None
        if user is None or user.disabled or session.salt != user.password[: factors.SALT]:
            return None
        if touch and now - session.seen > 60 * SECOND:
            session = msgspec.structs.replace(session, seen=now)
            await self._keep_session(key, session, before=kept.version)
        return Entered(user=user, session=session)

    def viewer(self, user: User) -> access.Viewer:
        """What the user comes down to now."""
        return access.Viewer(
            actor=f"console:{user.name}",
            scopes=frozenset(role.value for role in Role if _RANK[role] <= _RANK[user.role]),
            grants=access.grants_of(user.grants, self._clock.now()),
            domain=self._below(user.unit) if user.unit else None,
        )

    # ------------------------------------------------------------------ keeping
    async def _begin(self, user: User, *, peer: str, verified: bool = False) -> Entered:
        now = self._clock.now()
        cookie = random_bytes(32).hex()
        session = Session(
            user=user.name, csrf=random_bytes(24).hex(), began=now, seen=now, verified=verified, peer=peer,
            salt=user.password[: factors.SALT],
        )  # fmt: skip
        await self._keep_session(self._key(cookie), session, before=0)
        return Entered(user=user, session=session, cookie=cookie)

    async def _keep_session(self, key: str, session: Session, *, before: int) -> None:
        document = shelf.Document(
            shelf=SESSIONS,
            key=key,
            version=before + 1,
            body=_json.encode(session),
            updated=session.seen,
            expires=session.began + (LONGEST if session.verified else _HALFWAY),
        )
        try:
            await self._shelf.file(document, before=before)
        except Stale:
            # Two requests of one session at once: either of them keeps it alive.
            return

    async def _end_all(self, name: str) -> None:
        for one in await self._shelf.documents(SESSIONS, limit=100_000):
            if _session.decode(one.body).user == name:
                await self._end(one)

    async def _end(self, kept: shelf.Document | None) -> None:
        while kept is not None:
            try:
                await self._shelf.unfile(SESSIONS, kept.key, before=kept.version)
            except Stale:
                # It was used this moment, or left.
                kept = await self._shelf.document(SESSIONS, kept.key)
            else:
                return

    async def _replace(self, name: str, change: Callable[[User], User]) -> User:
        """Somebody who signs in just now must not undo what an admin decides, nor hinder it."""
        for _ in range(_TRIES):
            user, version = await self._need(name)
            changed = change(user)
            if changed == user:
                return user
            with contextlib.suppress(Stale):
                await self._put(changed, before=version)
                return changed
        raise Stale("somebody kept changing this", place=f"{USERS}/{name}")

    async def _need(self, name: str) -> tuple[User, int]:
        kept = await self._shelf.document(USERS, name)
        if kept is None:
            raise ConfigError(f"no user {name}", remedy="gateway users list")
        return _user.decode(kept.body), kept.version

    async def _put(self, user: User, *, before: int) -> None:
        await self._shelf.file(
            shelf.Document(
                shelf=USERS, key=user.name, version=before + 1, body=_json.encode(user), updated=self._clock.now()
            ),
            before=before,
        )

    def _key(self, cookie: str) -> str:
        return self._vault.blind("console session", cookie).hex()


def _need_whole(role: Role, unit: str | None) -> None:
    """An admin makes users, clients and keys, which are nobody's unit's."""
    if role is Role.ADMIN and unit:
        raise ConfigError("an admin is of the whole house", place="unit", remedy="choose another role, or no unit")


def _missed_password(user: User, now: int) -> User:
    wrong = user.wrong + 1
    return msgspec.structs.replace(user, wrong=wrong, locked_until=factors.until(wrong, now))


def _missed_code(user: User, now: int) -> User:
    missed = user.missed + 1
    return msgspec.structs.replace(user, missed=missed, missed_until=factors.until(missed, now))


def _totp_place(name: str) -> str:
    return f"console/{name}/totp"
