"""A small fake of WeCom's API on a real socket, with tokens, quotas and error codes, and the made-up corp it tells of."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from connectors.wecom import protocol
from connectors.wecom.fake_acts import Deeds
from gateway.clock import SECOND, Clock, SystemClock

_T = TypeVar("_T")
TOKEN_LIVES = 7200
WRONG_SECRETS_MOST = 3
_LONG_AGO = 1_700_000_000
_NAMES = ("张三", "李四", "王五", "赵六", "孙七", "周八", "吴九", "郑十")
_STAFF = ("zhangsan", "lisi", "wangwu", "zhaoliu")
_TAGS = ("VIP", "老客", "苏州", "杭州", "门店活动")
_WAYS = (1, 2, 3, 4, 10, 16)
_CHANNELS = tuple(f"store-{number}" for number in range(9))
_DEPARTMENTS = (
    {"id": 1, "name": "示例零售", "parentid": 0, "order": 100000000},
    {"id": 2, "name": "华东区", "parentid": 1, "order": 2},
    {"id": 3, "name": "苏州观前店", "parentid": 2, "order": 1},
    {"id": 4, "name": "杭州湖滨店", "parentid": 2, "order": 2},
)


class Corp:
    """One made-up corp. Everything about a customer follows from the seed and the customer's id."""

    def __init__(self, seed: int, known: int = 24) -> None:
        self._seed = seed
        self.members = _STAFF
        self.departments = _DEPARTMENTS
        self.known = [self.customer(number) for number in range(known)]

    def customer(self, number: int) -> str:
        """The external_userid of the ``number``-th customer."""
        return f"wm{self._seed & 0xFFFFFF:06x}{number:024d}"

    def chat(self, number: int) -> str:
        """The chat_id of the ``number``-th group."""
        return f"wr{self._seed & 0xFFFFFF:06x}{number:024d}"

    def member_of(self, customer: str) -> str:
        """Whose customer it is."""
        return self._pick(self.members, customer, "member")

    def profile(self, customer: str) -> dict[str, Any]:
        """``external_contact`` as the API tells it."""
        contact = {"external_userid": customer, "name": self._pick(_NAMES, customer, "name"), "type": 1}
        gender = self._pick((0, 1, 2), customer, "gender")
        return {**contact, "gender": gender, "avatar": "https://example.com/a.png", "unionid": f"o{customer[2:]}"}

    def state_of(self, customer: str) -> str:
        """The channel it came by."""
        return self._pick(_CHANNELS, customer, "state")

    def followers(self, customer: str, since: int) -> list[dict[str, Any]]:
        """``follow_user`` as ``externalcontact/get`` tells it: the member it belongs to first, and at times a colleague."""
        first = self.members.index(self.member_of(customer))
        count = self._pick((1, 1, 1, 2), customer, "followers")
        return [self._follower(customer, self.members[(first + at) % len(self.members)], since) for at in range(count)]

    def _follower(self, customer: str, member: str, since: int) -> dict[str, Any]:
        tag = self._pick(_TAGS, customer, member)
        noted = self._pick((True, False, False), customer, "mobile")
        return {
            "userid": member,
            "remark": f"{self._pick(_NAMES, customer, 'remark')} {tag}",
            "description": "",
            "createtime": since,
            "tags": [{"group_name": "客户", "tag_name": tag, "tag_id": f"et{tag}", "type": 1}],
            "remark_mobiles": [f"1380013{customer[-4:]}"] if noted else [],
            "add_way": self._pick(_WAYS, customer, "way"),
            "state": self.state_of(customer),
        }

    def user(self, member: str) -> dict[str, Any]:
        """``user/get`` without what most apps are not told."""
        at = self.members.index(member)
        return {"userid": member, "name": _NAMES[at], "department": [3 + at % 2], "position": "顾问", "status": 1}

    def _pick(self, among: Sequence[_T], name: str, what: str) -> _T:
        # No generator with a state: callbacks and API must agree whatever was asked before.
        return among[int(protocol.digest(f"{self._seed}/{name}/{what}".encode())[:8], 16) % len(among)]


class Api:
    """A running fake. ``asked`` counts calls by path, ``heard`` keeps what was posted, ``deeds`` what was done; ``fail`` makes the next ones answer an errcode; ``expire`` ends all tokens."""

    def __init__(self, corp: Corp, options: Mapping[str, str], clock: Clock) -> None:
        self._corp = corp
        self._options = options
        self._clock = clock
        self._tokens: dict[str, int] = {}
        self._wrong = 0
        self._failing: dict[str, deque[int]] = {}
        self._minute: deque[float] = deque()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._since: dict[str, int] = {}
        self.asked: Counter[str] = Counter()
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.deeds = Deeds(corp, options, clock)
        self.url = ""
        self._verbs: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "gettoken": self._gettoken,
            "getcallbackip": lambda _asked: {"ip_list": ["127.0.0.1"]},
            "agent/get": lambda asked: {"agentid": int(asked["agentid"]), "name": "示例", "close": 0},
            "externalcontact/get": self._customer,
            "externalcontact/list": self._listed,
            "externalcontact/get_follow_user_list": lambda _asked: {"follow_user": list(corp.members)},
            "externalcontact/batch/get_by_user": self._batch,
            "externalcontact/groupchat/list": self._chats,
            "externalcontact/groupchat/get": self._chat,
            "user/get": self._user,
            "user/list": self._users,
            "department/list": lambda _asked: {"department": list(corp.departments)},
            "department/get": self._department,
            **self.deeds.verbs(),
        }

    async def listen(self, host: str, port: int) -> None:
        """Serve on ``host``; port 0 picks a free one."""
        self._server = await asyncio.start_server(self._serve, host, port)
        self.url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop serving and hang up."""
        if self._server is not None:
            self._server.close()
            for writer in self._open.values():
                writer.close()
            await asyncio.gather(*self._open)
            await self._server.wait_closed()

    def fail(self, path: str, code: int, times: int = 1) -> None:
        """The next ``times`` calls of ``path`` answer ``code``."""
        self._failing.setdefault(path, deque()).extend([code] * times)

    def expire(self) -> None:
        """Every token handed out so far is refused with 42001."""
        self._tokens = dict.fromkeys(self._tokens, 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            await self._talk(reader, writer)
        except (OSError, EOFError, ValueError, msgspec.DecodeError):
            pass  # a peer that hangs up or speaks no HTTP is done
        finally:
            writer.close()
            del self._open[task]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode("latin-1"):
            _, target, _ = line.split(" ", 2)
            length, _ = await headers(reader)
            status, answer = self._route(target, await reader.readexactly(length))
            writer.write(_response(status, answer))
            await writer.drain()

    def _route(self, target: str, body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(target)
        path = parts.path.removeprefix("/cgi-bin/")
        verb = self._verbs.get(path)
        if verb is None:
            return 404, b""
        self.asked[path] += 1
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if body:
            said = msgspec.json.decode(body)
            self.heard.append((path, said))
            asked |= said
        code = self._refusal(path, asked)
        answer = {"errcode": code, "errmsg": f"refused, from ip: 127.0.0.1, code {code}"} if code else verb(asked)
        return 200, msgspec.json.encode({"errcode": 0, "errmsg": "ok", **answer})

    def _refusal(self, path: str, asked: Mapping[str, Any]) -> int:
        if self._failing.get(path):
            return self._failing[path].popleft()
        now = self._clock.monotonic()
        self._minute.append(now)
        while self._minute[0] < now - 60:
            self._minute.popleft()
        if len(self._minute) > int(self._options.get("quota", "10000")):
            return 45009
        if path == "gettoken":
            return 0
        lives = self._tokens.get(str(asked.get("access_token", "")))
        if lives is None:
            return 40014 if asked.get("access_token") else 41001
        return 0 if lives > self._clock.now() else 42001

    def _gettoken(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if self._wrong >= WRONG_SECRETS_MOST:
            return {"errcode": 45009, "errmsg": "this address is banned for an hour"}
        if (asked.get("corpid"), asked.get("corpsecret")) != (self._options["corp_id"], self._options["secret"]):
            self._wrong += 1
            return {"errcode": 40001, "errmsg": "invalid credential, from ip: 127.0.0.1"}
        now = self._clock.now()
        for token, lives in self._tokens.items():
            if lives > now:
                return {"access_token": token, "expires_in": (lives - now) // SECOND}
        token = f"token-{len(self._tokens) + 1}"
        self._tokens[token] = now + TOKEN_LIVES * SECOND
        return {"access_token": token, "expires_in": TOKEN_LIVES}

    def _customer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        customer = str(asked.get("external_userid", ""))
        if not customer.startswith("wm"):
            return {"errcode": 84061}
        followers = self.deeds.shown(customer, self._corp.followers(customer, self._since_of(customer)))
        # WeCom's page holds 500; one here, so that paging is seen with a few.
        page, cursor = _page(followers, {**asked, "limit": 1})
        return {"external_contact": self._corp.profile(customer), "follow_user": page, "next_cursor": cursor}

    def _since_of(self, customer: str) -> int:
        since = _LONG_AGO if customer in self._corp.known else self._clock.now() // SECOND
        return self._since.setdefault(customer, since)

    def _listed(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        customers = self._customers_of([asked.get("userid")])
        return {"external_userid": customers} if customers else {"errcode": 84061}

    def _batch(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        customers = self._customers_of(asked.get("userid_list", []))
        page, cursor = _page(customers, asked)
        return {"external_contact_list": [self._batch_row(one) for one in page], "next_cursor": cursor}

    def _batch_row(self, customer: str) -> dict[str, Any]:
        follower = self._corp.followers(customer, self._since_of(customer))[0]
        tags = [tag["tag_id"] for tag in follower.pop("tags")]
        return {"external_contact": self._corp.profile(customer), "follow_info": {**follower, "tag_id": tags}}

    def _customers_of(self, members: Sequence[Any]) -> list[str]:
        return [one for one in self._corp.known if self._corp.member_of(one) in members]

    def _chats(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if not asked.get("owner_filter", {}).get("userid_list"):
            return {"errcode": 81017}
        page, cursor = _page([self._corp.chat(number) for number in range(3)], asked)
        return {"group_chat_list": [{"chat_id": one, "status": 0} for one in page], "next_cursor": cursor}

    def _chat(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        chat = str(asked.get("chat_id", ""))
        if not chat.startswith("wr"):
            return {"errcode": 86003}
        members = [{"userid": one, "type": 2, "join_time": _LONG_AGO, "join_scene": 3} for one in self._corp.known[:5]]
        owner = self._corp.members[0]
        staff = {"userid": owner, "type": 1, "join_time": _LONG_AGO, "join_scene": 1}
        return {
            "group_chat": {"chat_id": chat, "name": "观前店 VIP 群", "owner": owner, "member_list": [staff, *members]}
        }

    def _user(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        member = str(asked.get("userid", ""))
        return self._corp.user(member) if member in self._corp.members else {"errcode": 60111}

    def _users(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        users = [self._corp.user(member) for member in self._corp.members]
        return {"userlist": [user for user in users if str(asked.get("department_id")) in map(str, user["department"])]}

    def _department(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = [one for one in self._corp.departments if str(one["id"]) == str(asked.get("id"))]
        return {"department": found[0]} if found else {"errcode": 60123}


async def serve_api(*, host: str, port: int, options: dict[str, str], seed: int, clock: Clock | None = None) -> Api:
    """A fake of the API for corp_id and secret of ``options``; ``quota`` there is calls a minute. Close it when done."""
    api = Api(Corp(seed), options, clock or SystemClock())
    await api.listen(host, port)
    return api


def _page(rows: Sequence[_T], asked: Mapping[str, Any]) -> tuple[Sequence[_T], str]:
    at, limit = int(asked.get("cursor") or 0), int(asked.get("limit", 100))
    return rows[at : at + limit], str(at + limit) if at + limit < len(rows) else ""


async def headers(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The body's length, and whether it comes in chunks instead."""
    length, chunked = 0, False
    while line := (await reader.readline()).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if name.lower() == b"transfer-encoding":
            chunked = value.strip().lower() == b"chunked"
    return length, chunked


def _response(status: int, body: bytes) -> bytes:
    return (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not Found'}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
