"""Calling partners: paced by the account's published limit, guarded by its breaker, with a deadline; and credentials obtained once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import structlog

from gateway import breaker, limiter
from gateway.clock import SECOND, Clock
from gateway.connector import Response, Token
from gateway.errors import GatewayError, PartnerDown, PartnerError, PartnerQuota
from gateway.meters import Meters

_log = structlog.get_logger()
_MOST = 32 * 1024 * 1024
_SKEW = 120 * SECOND
_PATIENCE = 5.0
# Nothing of the request had left when these were met.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.InvalidURL, httpx.UnsupportedProtocol)


class Caller:
    """One account's ``connector.Call``. Keeps the promise of that name."""

    def __init__(
        self,
        *,
        account: str,
        client: Callable[[], httpx.AsyncClient],
        rate: limiter.Rate | None,
        limits: limiter.Limiter,
        breakers: breaker.Breakers,
        clock: Clock,
        meters: Meters,
        policy: breaker.Policy | None = None,
    ) -> None:
        self._account = account
        self._client = client
        self._rate = rate
        self._limits = limits
        self._breakers = breakers
        self._clock = clock
        self._meters = meters
        self._policy = policy or breaker.Policy()

    async def __call__(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> Response:
        """See ``connector.Call``."""
        await self._pace()
        key = breaker_of(self._account)
        wait = await self._breakers.ask(key, self._policy)
        if wait:
            raise PartnerDown(
                f"calls to the partner of account {self._account} rest for {wait:.0f} s after failures", wait=wait
            )
        try:
            answer = await self._send(
                method, url, params=params, data=form, json=json, headers=headers, timeout=timeout
            )
        except PartnerError as error:
            await self._breakers.tell(key, self._policy, ok=not isinstance(error, PartnerDown))
            self._meters.partner.labels(self._account, error.code).inc()
            raise
        await self._breakers.tell(key, self._policy, ok=True)
        self._meters.partner.labels(self._account, "ok").inc()
        return answer

    async def _pace(self) -> None:
        if self._rate is None:
            return
        waited = 0.0
        while isinstance(answer := await self._limits.take(f"partner:{self._account}", self._rate), limiter.Refused):
            if waited + answer.wait > _PATIENCE:
                raise PartnerQuota(f"account {self._account} is at its own pace limit", wait=answer.wait)
            waited += answer.wait
            await self._clock.sleep(answer.wait)

    async def _send(self, method: str, url: str, *, timeout: float, **parts: Any) -> Response:
        place = f"account {self._account}"
        try:
            async with asyncio.timeout(timeout), self._client().stream(method, url, timeout=timeout, **parts) as answer:
                body = await _bounded(answer)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            unsure = not _unsent(error)
            said = (
                "no answer came"
                if unsure and isinstance(error, _UNSENT)
                else f"{type(error).__name__} calling the partner"
            )
            raise PartnerDown(said, place=place, unsure=unsure) from error
        if answer.status_code == 429:
            raise PartnerQuota(
                "the partner answered 429", place=place, wait=_seconds(answer.headers.get("retry-after"))
            )
        if answer.status_code >= 500:
            raise PartnerDown(f"the partner answered {answer.status_code}", place=place, unsure=True)
        return Response(status=answer.status_code, headers=dict(answer.headers), body=body)


def breaker_of(account: str) -> str:
    """The key of an account's circuit."""
    return f"partner:{account}"


def _unsent(error: Exception) -> bool:
    """Whether nothing of a request had left when it failed."""
    if not isinstance(error, _UNSENT):
        return False
    causes = (getattr(error.__cause__, "details", None) or {}).get("causes", ())
    # The client says "connect" of a line that broke while it waited for the answer, too; what it was doing stands among the causes.
    return not any("(SendRequest)" in str(one.get("message", "")) for one in causes)


async def _bounded(answer: httpx.Response) -> bytes:
    chunks, size = [], 0
    async for chunk in answer.aiter_bytes():
        size += len(chunk)
        if size > _MOST:
            raise PartnerDown("the partner's answer is larger than 32 MiB", unsure=True)
        chunks.append(chunk)
    return b"".join(chunks)


def _seconds(value: str | None) -> float:
    return float(value) if value and value.isascii() and value.isdigit() else 60.0


class Tokens:
    """``connector.Answer`` within one process: one obtainer at a time per name; a failure is told to all who waited and not repeated
    for a moment, since hammering a token endpoint with a wrong secret gets addresses banned."""

    def __init__(self, clock: Clock, account: str) -> None:
        self._clock = clock
        self._account = account
        self._held: dict[str, Token] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._failed: dict[str, tuple[float, GatewayError]] = {}

    async def __call__(self, name: str, obtain: Callable[[], Awaitable[Token]], *, stale: str = "") -> str:
        """See ``connector.Answer``."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            held = self._held.get(name)
            if held is not None and held.value != stale and held.expires_at - _SKEW > self._clock.now():
                return held.value
            failed = self._failed.get(name)
            if failed and self._clock.monotonic() - failed[0] < _PATIENCE:
                raise failed[1]
            try:
                self._held[name] = await obtain()
            except GatewayError as error:
                _log.warning("partner.token_failed", account=self._account, code=error.code, detail=error.detail)
                self._failed[name] = (self._clock.monotonic(), error)
                raise
            self._failed.pop(name, None)
            return self._held[name].value

    def expires_at(self) -> int | None:
        """When the next of the held tokens ends; None without any."""
        return min((token.expires_at for token in self._held.values()), default=None)

    def fault(self) -> str:
        """The code of the error that keeps a token from being obtained; empty while all is well."""
        return next((error.code for _, error in self._failed.values()), "")
