"""What the tests of this connector share: an account, a caller over a real socket, a patient wait."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx
import msgspec

from connectors.taobao.options import TaobaoOptions
from connectors.taobao.simulate import Fake, Faults, Router, serve_api
from connectors.taobao.tmc import Pace
from gateway.clock import Clock, SystemClock
from gateway.connector import Account, Inbound, Response, Secret, Token, Tools
from gateway.errors import PartnerDown

KNOWN = {
    "app_key": "12129701",
    "app_secret": "0123456789abcdef0123456789abcdef",
    "session": "6100000session",
    "group": "default",
}
QUICK = Pace(pull=0.03, closed=0.03, failed=0.03, longest=0.2, greet=20.0)


def account(fake: Fake | None = None, **changed: str) -> Account:
    """An account of the made-up shop, connected to ``fake``."""
    known = {**KNOWN, **changed}
    options = TaobaoOptions(
        app_key=known["app_key"],
        app_secret=Secret(known["app_secret"]),
        session=Secret(known["session"]),
        group=known["group"],
        tmc_url=fake.tmc_url if fake else "ws://127.0.0.1:1/",
    )
    return Account(name="tmall-main", connector="taobao", options=options, api_base=fake.url if fake else None)


async def fake(*, faults: Faults | None = None, seed: int = 7, clock: Clock | None = None) -> Fake:
    """The simulator on free ports."""
    return await serve_api(host="127.0.0.1", port=0, options=KNOWN, seed=seed, faults=faults, clock=clock)


class Caller:
    """``gateway.connector.Call`` over a real socket, without pace or breaker."""

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(trust_env=False)

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
        try:
            answer = await self._http.request(
                method, url, params=params, data=form, json=json, headers=headers, timeout=timeout
            )
        except httpx.HTTPError as error:
            raise PartnerDown("no answer") from error
        return Response(status=answer.status_code, headers=dict(answer.headers), body=answer.content)

    async def close(self) -> None:
        await self._http.aclose()


class Straight:
    """A ``Call`` that asks the simulated platform without a socket between."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, method: str, url: str, *, form: Mapping[str, str] | None = None, **_: Any) -> Response:
        return Response(status=200, headers={}, body=msgspec.json.encode(self._router.answer(dict(form or {}))))


class Canned:
    """A ``Call`` that answers what it was given and keeps the forms."""

    def __init__(self, *bodies: bytes, status: int = 200) -> None:
        self._bodies = list(bodies)
        self._status = status
        self.forms: list[dict[str, str]] = []

    async def __call__(self, method: str, url: str, *, form: Mapping[str, str] | None = None, **_: Any) -> Response:
        self.forms.append(dict(form or {}))
        return Response(status=self._status, headers={}, body=self._bodies.pop(0))


async def _token(name: str, obtain: Callable[[], Awaitable[Token]], *, stale: str = "") -> str:
    return (await obtain()).value


def tools(call: Any, clock: Clock | None = None) -> Tools:
    return Tools(clock=clock or SystemClock(), call=call, token=_token)


class Ledger:
    """An ``accept`` that keeps batches; ``gate`` holds it back, ``failing`` makes it raise."""

    def __init__(self) -> None:
        self.batches: list[list[Inbound]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.failing: list[Exception] = []

    async def __call__(self, events: Sequence[Inbound]) -> None:
        self.waiting += 1
        await self.gate.wait()
        if self.failing:
            raise self.failing.pop(0)
        self.batches.append(list(events))

    @property
    def keys(self) -> list[str]:
        return [event.dedupe_key for batch in self.batches for event in batch]


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when ``holds``; TimeoutError after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)
