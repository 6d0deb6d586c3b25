"""WeCom's API: the token, the error table, paging. Everything goes through the account's paced and guarded ``call``.

Source: WeCom developer documentation, "获取 access_token", "全局错误码", "客户联系", "通讯录管理", "微信客服".
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from connectors.wecom import protocol
from connectors.wecom.options import Options
from gateway.clock import SECOND
from gateway.connector import Account, Response, Token, Tools
from gateway.errors import PartnerDenied, PartnerDown, PartnerError, PartnerQuota, PartnerUnlisted, PayloadError

BASE = "https://qyapi.weixin.qq.com"
# The minute window is the one that a paced client meets; after an hour's window the next try is told so again.
QUOTA_WAIT = 60.0
RETRIES = 3
_PAGES_MOST = 1000

STALE_TOKEN = frozenset({40014, 42001})
BUSY = frozenset({-1, 41063, 45033, 45035, 301026, 301057})
QUOTA = frozenset({45009, 99110})
GONE = frozenset({60003, 60111, 60123, 84061, 86001, 86003})
UNLISTED = 60020
DENIED: Mapping[int, str] = {
    40001: "check secret: it belongs to another app, was reset, or the app is disabled; do not retry, WeCom bans the address",
    40013: "check corp_id",
    40056: "check agent_id",
    41001: "the token was not sent; report it",
    41004: "set secret",
    42009: "authorise the suite again",
    48001: "give the app this permission in the console",
    48002: "add the app to 客户联系 › 可调用应用",
    48009: "allow this address for the contacts-sync secret",
    50003: "enable the app in the console",
    60011: "widen the app's visible range",
    60020: "add this address to the app's 企业可信IP; it takes effect within a minute",
    84074: "give the member 客户联系 permission",
    84084: "give the member 客户联系 permission",
    301002: "check agent_id",
    701008: "activate interface licences for the members",
}
_FROM_IP = re.compile(r"from ip: ?([0-9A-Fa-f.:]+)")


class Client:
    """One account's way to the API. Verbs return decoded answers whose errcode is 0 or absent."""

    def __init__(self, account: Account, tools: Tools) -> None:
        options: Options = account.options
        self._base = (account.api_base or BASE).rstrip("/")
        self._corp = options.corp_id
        self._secret = options.secret
        self._tools = tools
        self._place = account.name
        digest = hashlib.sha256(options.secret.reveal().encode()).hexdigest()[:16]
        # WeCom keeps one token per corp and secret: two accounts that share both must share it too.
        self._token_name = f"wecom:{options.corp_id}:{digest}"

    async def get(self, path: str, **params: str) -> dict[str, Any] | None:
        """GET ``/cgi-bin/{path}``; None when WeCom says that what was asked for is gone.

        PartnerDenied, PartnerQuota, PartnerDown or PartnerError by the error table.
        """
        return await self._ask("GET", path, params=params, body=None)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """POST ``/cgi-bin/{path}``; as ``get``."""
        return await self._ask("POST", path, params={}, body=body)

    async def customer(self, external_userid: str) -> dict[str, Any] | None:
        """``externalcontact/get`` with the followers of all its pages under ``follow_user``; None when no relation is left."""
        params = {"external_userid": external_userid}
        first: dict[str, Any] = {}
        followers: list[dict[str, Any]] = []
        for _ in range(_PAGES_MOST):
            page = await self.get("externalcontact/get", **params)
            if page is None:
                return None
            first = first or page
            followers += page.get("follow_user") or []
            cursor = page.get("next_cursor")
            if not cursor or cursor == params.get("cursor"):
                break
            params["cursor"] = str(cursor)
        return {**first, "follow_user": followers}

    async def kf_messages(
        self, open_kfid: str, token: str, cursor: str
    ) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """Pages of ``kf/sync_msg`` from ``cursor``, each with the cursor behind it."""
        for _ in range(_PAGES_MOST):
            asked = {"open_kfid": open_kfid, "limit": 1000, "token": token, "cursor": cursor}
            page = await self.post("kf/sync_msg", {name: value for name, value in asked.items() if value})
            if page is None:
                return
            cursor = str(page.get("next_cursor") or cursor)
            yield page.get("msg_list") or [], cursor
            if not page.get("has_more"):
                return

    async def _ask(
        self, method: str, path: str, *, params: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        token = await self._tools.token(self._token_name, self._obtain)
        answer = await self._steady(method, path, {**params, "access_token": token}, body)
        if _code(answer) in STALE_TOKEN:
            # Once: a token that is refused when it is new is refused for another reason.
            token = await self._tools.token(self._token_name, self._obtain, stale=token)
            answer = await self._steady(method, path, {**params, "access_token": token}, body)
        return answer if self._there(path, answer) else None

    async def _steady(
        self, method: str, path: str, params: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """One answer, asked for again while the platform says it is busy, up to RETRIES times."""
        answer: dict[str, Any] = {}
        for attempt in range(RETRIES + 1):
            response = await self._tools.call(method, f"{self._base}/cgi-bin/{path}", params=params, json=body)
            answer = self._read(path, response)
            if _code(answer) not in BUSY or attempt == RETRIES:
                break
            await self._tools.clock.sleep(0.2 * 2**attempt)
        return answer

    async def _obtain(self) -> Token:
        if not self._secret:
            raise PartnerDenied("no secret is configured", place=self._place, remedy="set secret")
        asked_at = self._tools.clock.now()
        params = {"corpid": self._corp, "corpsecret": self._secret.reveal()}
        answer = await self._steady("GET", "gettoken", params, None)
        self._there("gettoken", answer)
        value, lives = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(value, str) or not value or not isinstance(lives, int):
            raise PartnerError("gettoken answered without a token", place=self._place)
        return Token(value=value, expires_at=asked_at + lives * SECOND)

    def _read(self, path: str, response: Response) -> dict[str, Any]:
        if response.status == 404:
            raise PartnerError(f"{path} does not exist at this address", place=self._place, remedy="check api_base")
        if response.status != 200:
            raise PartnerDown(f"{path} answered HTTP {response.status}", place=self._place, unsure=True)
        try:
            return protocol.answer(response.body)
        except PayloadError as error:
            raise PartnerDown(f"{path} did not answer with a JSON object", place=self._place, unsure=True) from error

    def _there(self, path: str, answer: Mapping[str, Any]) -> bool:
        """True for success, False for gone, else the error its code stands for. WeCom's message may name people and is left out."""
        code = _code(answer)
        if code == 0 or code in GONE:
            return code == 0
        detail = f"{path} answered errcode {code}"
        if code in QUOTA:
            raise PartnerQuota(detail, place=self._place, wait=QUOTA_WAIT)
        if code in BUSY:
            raise PartnerDown(detail, place=self._place)
        if code in DENIED or code in STALE_TOKEN:
            kind = PartnerUnlisted if code == UNLISTED else PartnerDenied
            raise kind(detail + _address(answer), place=self._place, remedy=DENIED.get(code, "check secret"))
        raise PartnerError(detail, place=self._place)


def _code(answer: Mapping[str, Any]) -> int:
    # Some endpoints leave errcode out when all is well.
    code = answer.get("errcode", 0)
    return code if isinstance(code, int) else -1


def _address(answer: Mapping[str, Any]) -> str:
    found = _FROM_IP.search(str(answer.get("errmsg", "")))
    return f" to address {found[1]}" if found else ""
