"""The ways by which people hear of alerts: a signed webhook, a mail, a WeCom group robot. Each says in a word what became of a notice."""

from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime
from typing import Protocol

import msgspec

from gateway import access, destinations
from gateway.clock import Clock, moment, text
from gateway.desk import notices
from gateway.desk.notices import Notice
from gateway.destination import Auth, Destination, Endpoint, Kind, Message, Tried
from gateway.destinations.address import Vetter
from gateway.destinations.post import Post
from gateway.errors import ConfigError
from gateway.model.secret import Secret

_PATIENCE = 10.0
_json = msgspec.json.Encoder()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """As configured, secrets opened. ``robot`` is the group robot's whole address, which holds its key. ``mail`` is smtp://… or smtps://…"""

    webhook: str = ""
    secret: Secret | None = None
    robot: Secret | None = None
    mail: str = ""
    to: tuple[str, ...] = ()
    sender: str = ""
    username: str = ""
    password: Secret | None = None
    lang: str = "zh"
    allow_private: bool = False


class Channel(Protocol):
    """One way of telling."""

    @property
    def name(self) -> str:
        """A stable word: webhook, mail, robot."""
        ...

    async def tell(self, notice: Notice) -> str:
        """Empty when it was taken, else what went wrong. Ends within some seconds."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


def open_channels(wanted: Wanted, *, clock: Clock) -> list[Channel]:
    """Those that are configured; nothing is connected yet. ConfigError names the setting."""
    vetter = Vetter(clock)
    found: list[Channel] = []
    if wanted.mail:
        found.append(_named(_Mail, wanted, clock, vetter))
    if wanted.webhook:
        if wanted.secret is None:
            raise ConfigError("has nothing to sign with", place="alerts.secret", remedy="whsec_ and base64 of 24 to 64 random bytes")  # fmt: skip
        found.append(_named(_Hook, wanted, clock, vetter))
    if wanted.robot:
        found.append(_named(_Robot, wanted, clock, vetter))
    return found


_PLACES: Mapping[str, Mapping[str, str]] = {
    "mail": {"url": "mail", "to": "mail_to", "sender": "mail_from", "auth": "mail_password"},
    "webhook": {"secret": "secret"},
    "robot": {},
}


def _named(way: Callable[[Wanted, Clock, Vetter], Channel], wanted: Wanted, clock: Clock, vetter: Vetter) -> Channel:
    """A channel; what an endpoint would be faulted for is told by the setting it comes from."""
    try:
        return way(wanted, clock, vetter)
    except ConfigError as error:
        name: str = getattr(way, "name", "")
        field = error.place.rpartition(".")[2]
        rest = {"mail": "mail", "webhook": "webhook", "robot": "wecom_robot"}[name]
        place = f"alerts.{_PLACES[name].get(field, rest)}"
        raise ConfigError(error.detail, place=place, remedy=error.remedy) from error


class _Hook:
    """Standard Webhooks, as every endpoint gets them."""

    name = "webhook"

    def __init__(self, wanted: Wanted, clock: Clock, vetter: Vetter) -> None:
        self._clock = clock
        secrets = (wanted.secret,) if wanted.secret else ()
        self._way = destinations.open_destination(
            _end(wanted, wanted.webhook, secrets=secrets), clock=clock, vetter=vetter
        )

    async def tell(self, notice: Notice) -> str:
        """See ``Channel.tell``."""
        return _word(await self._way.send([_message(notice)], now=self._clock.now()))

    async def close(self) -> None:
        """See ``Channel.close``."""
        await self._way.close()


class _Mail:
    """A plain message in the configured language."""

    name = "mail"

    def __init__(self, wanted: Wanted, clock: Clock, vetter: Vetter) -> None:
        self._clock, self._lang = clock, wanted.lang
        auth = Auth(kind="basic", username=wanted.username, password=wanted.password) if wanted.username else Auth()
        end = _end(wanted, wanted.mail, kind=Kind.EMAIL, auth=auth, to=wanted.to, sender=wanted.sender)
        self._way: Destination = destinations.open_mailbox(end, vetter=vetter, compose=self._letter)

    async def tell(self, notice: Notice) -> str:
        """See ``Channel.tell``."""
        return _word(await self._way.send([_message(notice)], now=self._clock.now()))

    def _letter(self, end: Endpoint, messages: Sequence[Message], now: int, name: str) -> bytes:
        notice = msgspec.json.decode(messages[0].body, type=_Told).data
        letter = EmailMessage(policy=WIRE)
        letter["From"] = end.sender
        letter["To"] = ", ".join(end.to)
        letter["Subject"] = notices.subject(notice, self._lang).replace("\n", " ").replace("\r", " ")
        letter["Date"] = format_datetime(moment(now))
        letter["Message-ID"] = name
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(notices.plain(notice, self._lang))
        return letter.as_bytes()

    async def close(self) -> None:
        """See ``Channel.close``."""
        await self._way.close()


class _Robot:
    """A WeCom group robot: a markdown message posted to its address; 20 a minute at most, which is its own limit.

    developer.work.weixin.qq.com/document/path/91770: the answer is 200 with ``errcode``, 0 for taken.
    """

    name = "robot"

    def __init__(self, wanted: Wanted, clock: Clock, vetter: Vetter) -> None:
        self._lang = wanted.lang
        url = wanted.robot.reveal() if wanted.robot else ""
        self._post = Post(url, clock=clock, vetter=vetter, allow_private=wanted.allow_private)

    async def tell(self, notice: Notice) -> str:
        """See ``Channel.tell``."""
        body = _json.encode({"msgtype": "markdown", "markdown": {"content": notices.markdown(notice, self._lang)}})
        tried = await self._post.post(body, {"content-type": "application/json"}, timeout=_PATIENCE)
        return _word(tried) or _errcode(tried.response)

    async def close(self) -> None:
        """See ``Channel.close``."""
        await self._post.close()


class _Answer(msgspec.Struct):
    errcode: int
    errmsg: str = ""


class _Told(msgspec.Struct):
    data: Notice


def _errcode(response: bytes) -> str:
    try:
        said = msgspec.json.decode(response, type=_Answer)
    except msgspec.DecodeError:
        return "protocol: the answer is none of a group robot's"
    return "" if said.errcode == 0 else f"errcode {said.errcode}: {said.errmsg[:200]}"


def _word(tried: Tried) -> str:
    if tried.ok:
        return ""
    detail = tried.response.decode(errors="replace")[:200]
    return f"{tried.error or f'HTTP {tried.status}'}{f': {detail}' if detail else ''}"


def _message(notice: Notice) -> Message:
    """``{"id", "type": "alert.started" | "alert.ended" | "alert.test", "timestamp", "data": {…}}``."""
    kind = f"alert.{notice.phase}"
    body = _json.encode({"id": notice.id, "type": kind, "timestamp": text(notice.at), "data": notice})
    return Message(id=notice.id, type=kind, subject=f"{notice.kind}/{notice.about}", at=notice.at, body=body)


def _end(
    wanted: Wanted,
    url: str,
    *,
    kind: Kind = Kind.WEBHOOK,
    secrets: tuple[Secret, ...] = (),
    auth: Auth | None = None,
    to: tuple[str, ...] = (),
    sender: str = "",
) -> Endpoint:
    return Endpoint(
        name="alerts", url=url, kind=kind, secrets=secrets, grants=access.LEAST, schedule=(0.0,), timeout=_PATIENCE, concurrency=2,
        allow_private=wanted.allow_private, auth=auth or Auth(), to=to, sender=sender,
    )  # fmt: skip
