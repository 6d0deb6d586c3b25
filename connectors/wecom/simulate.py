"""WeCom's side of the wire: callbacks as it sends them. ``serve_api`` runs a small fake of its API (``fake.py``).

Both sides of one seed know the same corp: the API can tell about every customer that the callbacks name. Made-up people only.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, urlsplit

import msgspec

from connectors.wecom import protocol
from connectors.wecom.fake import Corp, headers, serve_api
from gateway.clock import SECOND, Clock, SystemClock

__all__ = ["run", "serve_api"]

ATTEMPTS = 3
TIMEOUT = 5.0


class Calls:
    """Callbacks in the order WeCom might send them: retried, two in a second, edits after the loss they came before."""

    def __init__(self, corp: Corp, corp_id: str, agent_id: str, dice: random.Random) -> None:
        self._corp = corp
        self._corp_id = corp_id
        self._agent = agent_id
        self._dice = dice
        self._next = len(corp.known)

    def scene(self, now: int) -> list[bytes]:
        """One to four inner messages that belong together; ``now`` is epoch seconds."""
        scenes = (
            self._added,
            self._two_at_once,
            self._lost,
            self._half,
            self._talk,
            self._app,
            self._group,
            self._org,
            self._rest,
        )
        return self._dice.choices(scenes, (6, 2, 2, 1, 4, 3, 1, 1, 1))[0](now)

    def _customer(self) -> str:
        return self._corp.customer(int(self._number()))

    def _contact(self, change: str, customer: str, at: int, **more: str) -> bytes:
        member = self._corp.member_of(customer)
        return self._event(
            "change_external_contact", at, ChangeType=change, UserID=member, ExternalUserID=customer, **more
        )

    def _added(self, now: int) -> list[bytes]:
        customer = self._customer()
        return [self._add(customer, now), self._contact("edit_external_contact", customer, now + 1)]

    def _add(self, customer: str, at: int) -> bytes:
        state = self._corp.state_of(customer)
        return self._contact(
            "add_external_contact", customer, at, State=state, WelcomeCode=f"w{self._dice.getrandbits(64):x}"
        )

    def _two_at_once(self, now: int) -> list[bytes]:
        return [self._add(self._customer(), now), self._add(self._customer(), now)]

    def _lost(self, now: int) -> list[bytes]:
        """The edit happened before the loss and arrives after it."""
        customer = self._customer()
        change = self._dice.choice(("del_external_contact", "del_follow_user"))
        lost = self._contact(change, customer, now)
        return [self._add(customer, now - 9), lost, self._contact("edit_external_contact", customer, now - 5)]

    def _half(self, now: int) -> list[bytes]:
        customer = self._customer()
        return [self._contact("add_half_external_contact", customer, now, State="half"), self._add(customer, now + 2)]

    def _talk(self, now: int) -> list[bytes]:
        number = str(self._dice.getrandbits(62))
        text = self._dice.choice(("客户问有没有现货", "周五前给报价", "]]> 也是文字"))
        return [self._message(now, self._member(), MsgType="text", Content=text, MsgId=number)]

    def _app(self, now: int) -> list[bytes]:
        name = self._dice.choice(("subscribe", "click", "view"))
        # Nobody subscribes twice in a second.
        member = f"newcomer{self._number()}" if name == "subscribe" else self._member()
        key = "" if name == "subscribe" else f"menu-{self._number()}"
        return [self._message(now, member, MsgType="event", Event=name, EventKey=key)]

    def _group(self, now: int) -> list[bytes]:
        more = {"UpdateDetail": "add_member", "JoinScene": "3", "MemChangeCnt": "1", "CurMemVer": self._number()}
        chat = self._corp.chat(self._dice.randrange(3))
        return [self._event("change_external_chat", now, ChangeType="update", ChatId=chat, **more)]

    def _org(self, now: int) -> list[bytes]:
        position, order = f"顾问 {self._number()}", self._number()
        return [
            self._event("change_contact", now, ChangeType="update_user", UserID=self._member(), Position=position),
            self._event("change_contact", now, ChangeType="update_party", Id="3", Name="苏州观前店", Order=order),
        ]

    def _rest(self, now: int) -> list[bytes]:
        return [
            self._event("sys_approval_change", now, AgentID="3010040", SpNo=self._number()),
            self._event("change_external_tag", now, ChangeType="update", Id=f"et{self._number()}", TagType="tag"),
            self._event("something_of_next_year", now, Number=self._number()),
        ]

    def _number(self) -> str:
        self._next += 1
        return str(self._next)

    def _member(self) -> str:
        return self._dice.choice(self._corp.members)

    def _event(self, name: str, at: int, **fields: str) -> bytes:
        common = {
            "ToUserName": self._corp_id,
            "FromUserName": "sys",
            "CreateTime": str(at),
            "MsgType": "event",
            "Event": name,
        }
        return protocol.document({**common, **fields})

    def _message(self, at: int, member: str, **fields: str) -> bytes:
        common = {"ToUserName": self._corp_id, "FromUserName": member, "CreateTime": str(at), "AgentID": self._agent}
        return protocol.document({**common, **fields})


class Tally(msgspec.Struct):
    """What came of a run."""

    acknowledged: int = 0
    repeated: int = 0
    failed: int = 0


class Caller:
    """Signs, seals and posts as WeCom does: three attempts, five seconds each, another nonce every time."""

    def __init__(self, url: str, options: Mapping[str, str], dice: random.Random, clock: Clock) -> None:
        self._url = url
        self._token = options["token"]
        self._receive_id = options.get("receive_id") or options["corp_id"]
        self._corp_id = options["corp_id"]
        self._box = protocol.Box(options["encoding_aes_key"])
        self._dice = dice
        self._clock = clock

    async def check(self) -> bool:
        """The console's URL check: the answer must be exactly what was sealed, within a second."""
        word = str(self._dice.getrandbits(62)).encode()
        query, sealed = self._sealed(word)
        try:
            status, body = await _exchange("GET", f"{self._url}?{query}&echostr={quote(sealed, safe='')}", b"", 1.0)
        except (OSError, EOFError, ValueError, TimeoutError):
            return False
        return status == 200 and body == word

    async def send(self, message: bytes) -> bool:
        """Whether it was acknowledged in the end."""
        for _ in range(ATTEMPTS):
            query, sealed = self._sealed(message)
            body = protocol.document({"ToUserName": self._corp_id, "AgentID": "", "Encrypt": sealed})
            try:
                status, _answer = await _exchange("POST", f"{self._url}?{query}", body, TIMEOUT)
            except (OSError, EOFError, ValueError, TimeoutError):
                continue
            if status == 200:
                return True
        return False

    def _sealed(self, message: bytes) -> tuple[str, str]:
        stamp, nonce = str(self._clock.now() // SECOND), str(self._dice.getrandbits(31))
        sealed = self._box.close(message, self._receive_id, self._dice.randbytes(16))
        signed = protocol.signature(self._token, stamp, nonce, sealed)
        return f"msg_signature={signed}&timestamp={stamp}&nonce={nonce}", sealed


async def run(
    *,
    url: str,
    options: dict[str, str],
    rate: float,
    seconds: float | None,
    seed: int,
    tell: Callable[[str], None],
    clock: Clock | None = None,
) -> int:
    """Send about ``rate`` callbacks a second to ``url`` until ``seconds`` have passed; one in eight comes twice.

    ``options`` are the account's: corp_id, token, encoding_aes_key; agent_id and receive_id where set. Returns how many distinct
    callbacks were acknowledged; 0 when the address does not pass the URL check.
    """
    clock = clock or SystemClock()
    dice = random.Random(seed)
    caller = Caller(url, options, dice, clock)
    if not await caller.check():
        tell(f"wecom: {url} did not pass the URL check")
        return 0
    calls = Calls(Corp(seed), options["corp_id"], options.get("agent_id") or "1000002", dice)
    began, sent, tally = clock.monotonic(), 0, Tally()
    for message in _stream(calls, clock):
        late = clock.monotonic() - began
        if seconds is not None and late >= seconds:
            break
        await clock.sleep(max(0.0, sent / rate - late))
        again = dice.random() < 0.125
        await _send(caller, message, tally, again=again)
        sent += 1 + again
        if tally.acknowledged % 100 == 0:
            tell(
                f"wecom: {tally.acknowledged} callbacks acknowledged, {tally.repeated} of them sent twice, {tally.failed} failed"
            )
    tell(
        f"wecom: {tally.acknowledged} callbacks acknowledged, {tally.repeated} of them sent twice, {tally.failed} failed"
    )
    return tally.acknowledged


def _stream(calls: Calls, clock: Clock) -> Iterator[bytes]:
    while True:
        yield from calls.scene(clock.now() // SECOND)


async def _send(caller: Caller, message: bytes, tally: Tally, *, again: bool) -> None:
    if not await caller.send(message):
        tally.failed += 1
        return
    tally.acknowledged += 1
    if again:
        # The answer got lost on the way: WeCom sends the same content in a new envelope.
        await caller.send(message)
        tally.repeated += 1


async def _exchange(method: str, url: str, body: bytes, timeout: float) -> tuple[int, bytes]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or (443 if secure else 80), ssl=secure or None
        )
        try:
            head = (
                f"{method} {parts.path or '/'}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
            )
            writer.write(f"{head}Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            status = int((await reader.readline()).split(b" ")[1])
            length, chunked = await headers(reader)
            return status, await (_chunks(reader) if chunked else reader.readexactly(length))
        finally:
            writer.close()
            await writer.wait_closed()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    return body
