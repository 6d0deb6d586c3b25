"""Partners that never give up: each says one thing after the other and repeats it until it is acknowledged, as real ones do."""

import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress

import httpx
from wechatpy.enterprise.crypto import WeChatCrypto

from tests.e2e import house

CORP, TOKEN, KEY = "ww0123456789abcdef", "testtoken", "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR"
STATUSES = ("created", "paid", "shipped", "completed")
Say = Callable[[], bool]
Things = Generator[tuple[str, Say], None, None]


class Partner:
    """Works through ``things`` (a name and a way to say it) until stopped. ``acked`` are the names that were acknowledged, in order."""

    def __init__(self, things: Things, pause: float = 0.0) -> None:
        self.acked: list[str] = []
        self.failures = 0
        self._things = things
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> "Partner":
        self._thread.start()
        return self

    def finish(self) -> None:
        """Stop after what is being said now, acknowledged or not."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._things.close()

    def _work(self) -> None:
        for name, say in self._things:
            while not self._stop.is_set():
                if say():
                    self.acked.append(name)
                    break
                self.failures += 1
                time.sleep(0.05)
            if self._stop.is_set():
                return
            time.sleep(self._pause)


def post(client: httpx.Client, url: str, body: bytes, good: int, **words: object) -> bool:
    """Whether a post was answered with ``good``."""
    try:
        return client.post(url, content=body, **words).status_code == good  # type: ignore[arg-type]
    except httpx.HTTPError:
        return False


def erp(client: httpx.Client, account: str, prefix: str) -> Things:
    """Orders, five at a time, each through all its statuses in order."""
    url, number = f"/in/{account}", 0
    while True:
        batch = [f"{prefix}-{number + one}" for one in range(5)]
        number += 5
        for minute, status in enumerate(STATUSES):
            for name in batch:
                body = house.json.dumps(house.order(name, status, minute)).encode()

                def say(body: bytes = body) -> bool:
                    return post(client, url, body, 202, headers=house.signed(body))

                yield f"{name}:{status}", say


def corp(client: httpx.Client, account: str) -> Things:
    """Customers who are added in WeCom, told apart by the channel's state."""
    crypto, number = WeChatCrypto(TOKEN, KEY, CORP), 0
    while True:
        number += 1
        at = int(time.time())
        fields = {
            "ToUserName": CORP, "FromUserName": "sys", "CreateTime": str(at), "MsgType": "event",
            "Event": "change_external_contact", "ChangeType": "add_external_contact", "UserID": "zhangsan",
            "ExternalUserID": f"wm{number:030}", "State": f"state-{number}",
        }  # fmt: skip
        inner = "".join(f"<{key}><![CDATA[{value}]]></{key}>" for key, value in fields.items())

        def say(message: str = f"<xml>{inner}</xml>", number: int = number) -> bool:
            stamp, nonce = str(int(time.time())), str(number)
            body = crypto.encrypt_message(message, nonce, stamp)
            signature = body.partition("<MsgSignature><![CDATA[")[2].partition("]]>")[0]
            query = {"msg_signature": signature, "timestamp": stamp, "nonce": nonce}
            return post(client, f"/in/{account}", body.encode(), 200, params=query)

        yield f"state-{number}", say


class Hospital:
    """One MLLP connection, made again whenever it is lost. Waits for each acknowledgment before it goes on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def things(self) -> Things:
        """Patients who register and then change their name."""
        number = 0
        while True:
            number += 1
            for event, kind, name in (("A28", "ADT_A05", "甲"), ("A31", "ADT_A05", "乙")):
                said = f"{name}{number}"
                control = f"M{event}{number}"
                body = (
                    f"MSH|^~\\&|HIS|SHDYYY|SCRM|GW|20260111120000||ADT^{event}^{kind}|{control}|P|2.5||||||UNICODE UTF-8\r"
                    f"EVN|{event}|2026011112{(event == 'A31') * 1:02}00\r"
                    f"PID|1||{number:07}^^^SHDYYY^MR||{said}||19880818|F\r"
                ).encode()

                def say(body: bytes = body, control: str = control) -> bool:
                    return self._say(body, control)

                yield said, say

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, body: bytes, control: str) -> bool:
        with suppress(OSError):
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=10)
            self._socket.sendall(b"\x0b" + body + b"\x1c\r")
            heard = b""
            while not heard.endswith(b"\x1c\r"):
                more = self._socket.recv(4096)
                if not more:
                    break
                heard += more
            if f"MSA|AA|{control}".encode() in heard:
                return True
        self.close()
        return False
