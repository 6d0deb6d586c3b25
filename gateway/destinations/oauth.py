"""Access tokens for endpoints that ask for one: client credentials, RFC 6749 §4.4."""

import asyncio
import base64
import re
from urllib.parse import quote_plus, urlencode

import msgspec

from gateway.clock import Clock
from gateway.destination import Auth, Tried
from gateway.destinations.address import Vetter
from gateway.destinations.post import Post
from gateway.errors import ConfigError

WORD = "oauth"
_ANSWER = 64 * 1024
# §5.1 only recommends to say how long a token lives.
_LIFE = 300.0
_EARLY = 60.0
_REST = 5.0
# §5.2 and RFC 6750 §2.1: what may stand in an error code, and in a header.
_CODE = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,64}\Z")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")


class _Granted(msgspec.Struct):
    access_token: str
    token_type: str
    expires_in: int | float | str | None = None


class _Denied(msgspec.Struct):
    error: str = ""


class Tokens:
    """One endpoint's token, kept until shortly before it ends and asked for once however many need it.

    The token endpoint's address is vetted like any other. What it does is told as ``oauth`` and never as the endpoint's own answer; a fault is
    remembered for five seconds, since a client that is wrong is locked out by those who count.
    """

    def __init__(self, auth: Auth, *, clock: Clock, vetter: Vetter, allow_private: bool, timeout: float) -> None:
        if auth.password is None:
            raise ConfigError("oauth2 needs the client's secret", remedy="set auth.password")
        self._clock = clock
        self._timeout = timeout
        self._post = Post(auth.token_url, clock=clock, vetter=vetter, allow_private=allow_private, idle=1)
        asked = {"grant_type": "client_credentials", **({"scope": auth.scope} if auth.scope else {})}
        self._body = urlencode(asked).encode()
        # §2.3.1: both are form-encoded before they become a user and a password.
        pair = f"{quote_plus(auth.client_id)}:{quote_plus(auth.password.reveal())}"
        self._headers = {
            "authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        self._answer: str | Tried | None = None
        self._until = 0.0
        self._asking: asyncio.Task[str | Tried] | None = None

    async def header(self, *, timeout: float) -> str | Tried:
        """The ``authorization`` header, or what became of asking for it, within ``timeout`` seconds."""
        if self._answer is not None and self._clock.monotonic() < self._until:
            return self._answer
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(self._asking)
        except TimeoutError:
            return Tried(error=WORD, response=b"the token endpoint did not answer in time")

    def spoil(self, header: str) -> None:
        """The endpoint refused this header: the next one is a new one."""
        if self._answer == header:
            self._answer = None

    async def _ask(self) -> str | Tried:
        try:
            tried = await self._post.post(self._body, self._headers, timeout=self._timeout, keep=_ANSWER)
            answer, life = _read(tried)
        finally:
            self._asking = None
        self._answer, self._until = answer, self._clock.monotonic() + life
        return answer

    async def close(self) -> None:
        """Who waits for a token is told."""
        await self._post.close()
        if self._asking is not None:
            await asyncio.wait([self._asking])


def _read(tried: Tried) -> tuple[str | Tried, float]:
    """The header and the seconds it is good for, or the fault and the seconds it is remembered."""
    if tried.status is None:
        detail = f"token endpoint: {tried.error} ".encode() + tried.response
        return Tried(error=WORD, response=detail, ours=tried.ours), 0.0 if tried.ours else _REST
    if not tried.ok:
        return _fault(f"answered {tried.status} {_code(tried.response)}".rstrip(), tried.retry_after), _REST
    try:
        granted = msgspec.json.decode(tried.response, type=_Granted)
        life = _LIFE if granted.expires_in is None else float(granted.expires_in)
    except (msgspec.MsgspecError, ValueError):
        return _fault("answered what is no token"), _REST
    if granted.token_type.lower() != "bearer" or not _TOKEN.match(granted.access_token):
        return _fault("answered a token that is no bearer token"), _REST
    return f"Bearer {granted.access_token}", life - min(_EARLY, life / 10)


def _fault(detail: str, retry_after: str | None = None) -> Tried:
    return Tried(error=WORD, response=f"the token endpoint {detail}".encode(), retry_after=retry_after)


def _code(body: bytes) -> str:
    """RFC 6749 §5.2: the error code; nothing else of an answer that may hold what was sent."""
    try:
        code = msgspec.json.decode(body, type=_Denied).error
    except (msgspec.MsgspecError, ValueError):
        return ""
    return code if _CODE.match(code) else ""
