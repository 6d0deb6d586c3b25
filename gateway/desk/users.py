"""People at the console: password and second factor, roles, sessions, lock-out. Documents on the shelves ``users`` and ``sessions``.

A password is kept as scrypt (RFC 7914, N=2¹⁵, r=8, p=1, about a tenth of a second), the TOTP secret (RFC 6238) sealed, a session as the keyed
hash of its cookie. Five wrong tries lock the user for a minute, each further one twice as long, up to an hour; whoever is locked is
told the same as whoever is wrong.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import re
from collections.abc import Callable
from enum import Enum

import msgspec
import pyotp

from gateway import access, shelf
from gateway.clock import SECOND, Clock, random_bytes
from gateway.errors import ConfigError, Stale
from gateway.model.values import Sensitivity
from gateway.vault import Vault

USERS = "users"
SESSIONS = "sessions"
TICKETS = "tickets"
IDLE = 30 * 60 * SECOND
LONGEST = 12 * 3600 * SECOND
SHORTEST_PASSWORD = 12
_TICKET = 10 * 60 * SECOND
_FREE_TRIES = 5
_STEP = 30
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
    a code that was seen is of no use; ``wrong`` tries since the last right one."""

    name: str
    role: Role
    password: bytes
    totp: str = ""
    step: int = 0
    wrong: int = 0
    locked_until: int = 0
    grants: dict[str, access.Lent] = {}
    unit: str | None = None
    disabled: bool = False
    created: int = 0


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """``csrf`` must come with every change. ``verified`` is False until the second factor was shown."""

    user: str
    csrf: str
    began: int
    seen: int
    verified: bool = False
    peer: str = ""


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

    async def all(self) -> list[User]:
        """By name."""
        return [_user.decode(one.body) for one in await self._shelf.documents(USERS)]

    async def any(self) -> bool:
        """Whether there is somebody who could sign in."""
        return bool(await self._shelf.documents(USERS, limit=1))

    async def make(self, name: str, role: Role, password: str, *, unit: str | None = None) -> User:
        """A new user, who enrols a second factor when signing in first. ConfigError for a bad name or a short password."""
        if not _NAME.match(name):
            raise ConfigError(
                "a user's name is 1 to 40 of a–z, 0–9, dot, dash and underscore",
                place=name[:40],
                remedy="choose another",
            )
        need_password(password)
        hashed = await asyncio.to_thread(_hash, password, random_bytes(16))
        user = User(name=name, role=role, password=hashed, unit=unit, created=self._clock.now())
        try:
            await self._put(user, before=0)
        except Stale as error:
            raise ConfigError(f"there is a user {name} already", remedy="gateway users list") from error
        return user

    async def change(self, name: str, **fields: object) -> User:
        """Replace fields of a user. ConfigError when there is none."""
        user, version = await self._need(name)
        changed = msgspec.structs.replace(user, **fields)
        await self._put(changed, before=version)
        return changed

    async def reset(self, name: str, password: str) -> User:
        """A new password, and a second factor to be enrolled anew; every session ends."""
        need_password(password)
        hashed = await asyncio.to_thread(_hash, password, random_bytes(16))
        await self._end_all(name)
        return await self.change(name, password=hashed, totp="", wrong=0, locked_until=0)

    # ------------------------------------------------------------------ signing in
    async def enter(self, name: str, password: str, *, peer: str) -> Entered | None:
        """A session whose second factor is still to be shown; None when name or password are wrong, or the user is locked or disabled."""
        kept = await self._shelf.document(USERS, name) if _NAME.match(name) else None
        user = _user.decode(kept.body) if kept else None
        now = self._clock.now()
        # Somebody who is not there takes as long as somebody who is.
        given = await asyncio.to_thread(_hash, password, user.password[:16] if user else bytes(16))
        if user is None or kept is None or user.disabled or now < user.locked_until:
            return None
        if not hmac.compare_digest(given, user.password):
            await self._wrong(user, kept.version)
            return None
        return await self._begin(user, peer=peer)

    async def show(self, entered: Entered, code: str) -> Entered | None:
        """The second factor: a fresh session with full rights, or None when the code is wrong, was used before, or the user is locked."""
        user, version = await self._need(entered.user.name)
        now = self._clock.now()
        if not user.totp or user.disabled or now < user.locked_until:
            return None
        step = _match(self._vault.open_text(user.totp, _totp_place(user.name)), code, now)
        if step is None or step <= user.step:
            await self._wrong(user, version)
            return None
        user = msgspec.structs.replace(user, step=step, wrong=0, locked_until=0)
        await self._put(user, before=version)
        return await self._begin(user, peer=entered.session.peer, verified=True)

    def offer(self) -> str:
        """A new TOTP secret (base32) to enrol."""
        return base64.b32encode(random_bytes(20)).decode()

    async def enrol(self, entered: Entered, secret: str, code: str) -> Entered | None:
        """Keep the secret if ``code`` is right for it, and go on with full rights. Only for who has none yet."""
        user, version = await self._need(entered.user.name)
        if user.totp or _match(secret, code, self._clock.now()) is None:
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
        key = self._key(cookie)
        kept = await self._shelf.document(SESSIONS, key)
        if kept:
            await self._shelf.unfile(SESSIONS, key, before=kept.version)

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

    async def recall(self, cookie: str) -> Entered | None:
        """Whose session this is; None when it ran out, or the user was disabled. What is used stays for another half hour."""
        key = self._key(cookie)
        kept = await self._shelf.document(SESSIONS, key)
        if kept is None:
            return None
        session = _session.decode(kept.body)
        now = self._clock.now()
        if now - session.seen > IDLE or now - session.began > LONGEST:
            return None
        owner = await self._shelf.document(USERS, session.user)
        user = _user.decode(owner.body) if owner else None
        if user is None or user.disabled:
            return None
        if now - session.seen > 60 * SECOND:
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
            user=user.name, csrf=random_bytes(24).hex(), began=now, seen=now, verified=verified, peer=peer
        )
        await self._keep_session(self._key(cookie), session, before=0)
        return Entered(user=user, session=session, cookie=cookie)

    async def _keep_session(self, key: str, session: Session, *, before: int) -> None:
        document = shelf.Document(
            shelf=SESSIONS,
            key=key,
            version=before + 1,
            body=_json.encode(session),
            updated=session.seen,
            expires=session.began + LONGEST,
        )
        try:
            await self._shelf.file(document, before=before)
        except Stale:
            # Two requests of one session at once: either of them keeps it alive.
            return

    async def _end_all(self, name: str) -> None:
        for one in await self._shelf.documents(SESSIONS, limit=100_000):
            if _session.decode(one.body).user == name:
                await self._shelf.unfile(SESSIONS, one.key, before=one.version)

    async def _wrong(self, user: User, version: int) -> None:
        wrong = user.wrong + 1
        locked = self._clock.now() + lock_of(wrong) * SECOND if lock_of(wrong) else 0
        await self._put(msgspec.structs.replace(user, wrong=wrong, locked_until=locked), before=version)

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


def lock_of(wrong: int) -> int:
    """Seconds that a user is locked after ``wrong`` wrong tries in a row."""
    return 0 if wrong < _FREE_TRIES else min(3600, 60 * 2 ** (wrong - _FREE_TRIES))


def need_password(password: str) -> None:
    """ConfigError for one that is too short."""
    if len(password) < SHORTEST_PASSWORD:
        raise ConfigError(f"a password has at least {SHORTEST_PASSWORD} characters", remedy="choose a longer one")


def _hash(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=64 * 1024 * 1024, dklen=32)


def _match(secret: str, code: str, now: int) -> int | None:
    """The time step that a code belongs to: the present one or one of its neighbours."""
    if not (code.isascii() and code.isdigit() and len(code) == 6):
        return None
    present = now // SECOND // _STEP
    totp = pyotp.TOTP(secret)
    for step in (present, present - 1, present + 1):
        if hmac.compare_digest(totp.generate_otp(step), code):
            return step
    return None


def _totp_place(name: str) -> str:
    return f"console/{name}/totp"


def uri_of(secret: str, name: str, issuer: str) -> str:
    """What an authenticator scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)
