"""What the WeCom tests share: an account, a signed request, a scripted API."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from connectors.wecom import CARD, protocol
from gateway.clock import SECOND, TurnedClock
from gateway.connector import Account, Connector, Request, Response, Secret, Token, Tools

KEY = "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR"
CORP = "ww0123456789abcdef"
TOKEN = "testtoken"
NOW = 1_760_000_000


def account(*, tolerance: float | None = 600.0, api_base: str | None = None, **options: Any) -> Account:
    """A complete account; ``options`` override."""
    given = {
        "corp_id": CORP,
        "token": Secret(TOKEN),
        "encoding_aes_key": Secret(KEY),
        "secret": Secret("s3cret"),
        **options,
    }
    return Account(
        name="corp", connector="wecom", options=CARD.options(**given), tolerance=tolerance, api_base=api_base
    )


def opened(tools: Tools | None = None, *, tolerance: float | None = 600.0, **options: Any) -> Connector:
    """An opened account."""
    return CARD.open(account(tolerance=tolerance, **options), tools or Api({}).tools)


def xml(**fields: str) -> bytes:
    """An inner message with every value in CDATA, as WeCom sends it."""
    inner = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    return f"<xml>{inner}</xml>".encode()


def event(name: str, change: str = "", **fields: str) -> bytes:
    """An event of our corp."""
    common = {"ToUserName": CORP, "FromUserName": "sys", "CreateTime": str(NOW), "MsgType": "event", "Event": name}
    return xml(**common, **({"ChangeType": change} if change else {}), **fields)


def post(
    message: bytes,
    *,
    receive_id: str = CORP,
    nonce: str = "1372623149",
    at: int = NOW,
    key: str = KEY,
    token: str = TOKEN,
    received_at: int = NOW * SECOND,
) -> Request:
    """A callback as WeCom would send it, ours unless told otherwise."""
    sealed = protocol.Box(key).close(message, receive_id, nonce.encode().ljust(16, b"0")[:16])
    return enveloped(
        f"<xml><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>".encode(), sealed, nonce, at, token, received_at
    )


def enveloped(
    body: bytes, sealed: str, nonce: str, at: int, token: str = TOKEN, received_at: int = NOW * SECOND
) -> Request:
    """A signed POST of ``body``."""
    signed = protocol.signature(token, str(at), nonce, sealed)
    query = f"msg_signature={signed}&timestamp={at}&nonce={quote(nonce)}"
    return Request(query=query, body=body, received_at=received_at)


class Api:
    """The platform as a script: path → answers in turn (the last one repeats), each a dict, a status or an exception."""

    def __init__(self, answers: Mapping[str, Any], now: int = NOW * SECOND) -> None:
        self._answers = {path: list(told) if isinstance(told, list) else [told] for path, told in answers.items()}
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.clock = TurnedClock(now)
        self.tokens: dict[str, str] = {}
        self.obtained = 0
        self._lock = asyncio.Lock()
        self.tools = Tools(clock=self.clock, call=self._call, token=self._token)

    def paths(self) -> list[str]:
        """What was asked for, in order, without the token."""
        return [path for path, _, _ in self.asked]

    async def _call(
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
        path = url.split("/cgi-bin/", 1)[1]
        self.asked.append((path, dict(params or {}), json))
        await asyncio.sleep(0)
        if path == "gettoken" and path not in self._answers:
            return _response({"errcode": 0, "access_token": f"t{len(self.paths())}", "expires_in": 7200})
        told = self._answers[path]
        answer = told.pop(0) if len(told) > 1 else told[0]
        if isinstance(answer, Exception):
            raise answer
        return _response(answer)

    async def _token(self, name: str, obtain: Callable[[], Awaitable[Token]], *, stale: str = "") -> str:
        async with self._lock:
            if self.tokens.get(name, stale) == stale:
                self.obtained += 1
                self.tokens[name] = (await obtain()).value
            return self.tokens[name]


def _response(answer: Any) -> Response:
    if isinstance(answer, int):
        return Response(status=answer, headers={}, body=b"")
    body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    return Response(status=200, headers={}, body=body)


def payloads(events: Sequence[Any], topic: str) -> list[dict[str, Any]]:
    """The decoded payloads of one topic."""
    return [msgspec.json.decode(event.payload) for event in events if event.topic == topic]
