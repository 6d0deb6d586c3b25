"""An opened WeCom account: the verbs of the promise."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from connectors.wecom import catalogue, protocol
from connectors.wecom.actions import Actor
from connectors.wecom.client import Client
from connectors.wecom.options import Options
from connectors.wecom.reading import Reader
from gateway.clock import SECOND
from gateway.connector import (
    Accepted,
    Account,
    Challenge,
    Command,
    Decoded,
    Inbound,
    Outcome,
    Page,
    Reason,
    Refused,
    Reply,
    Request,
    Result,
    Tools,
    Window,
)  # fmt: skip
from gateway.errors import ConfigError, PayloadError

MAX_BODY = 1024 * 1024
SUCCESS = Reply(body=b"success")
# One answer for every failed proof: which check failed is ours to know.
_FORBIDDEN = Reply(status=403)
_BAD = Reply(status=400)
_STATUS = {
    Reason.METHOD: Reply(status=405, headers=(("allow", "GET, POST"),)),
    Reason.TOO_LARGE: Reply(status=413),
    Reason.MALFORMED: _BAD,
}
_FROM_API = frozenset({"customer", "follow", "user", "department", "chat_member", "kf_message"})


class WeCom:
    """See ``gateway.connector.Connector``. Verbs: receive, decode, pull, fetch, probe, act."""

    def __init__(self, account: Account, tools: Tools) -> None:
        options: Options = account.options
        self._account = account
        self._options = options
        self._token = options.token.reveal()
        self._box = _box(account)
        client = Client(account, tools)
        self._reader = Reader(account, tools, client)
        self._actor = Actor(account, client)
        self._receivers = frozenset(_receivers(options))

    # ------------------------------------------------------------------ receive
    def receive(self, request: Request) -> Outcome:
        """The URL check on GET, one event on POST. Document 90930."""
        query = protocol.query(request.query)
        if request.method == "GET":
            return self._challenge(query, request)
        if request.method != "POST":
            return _refused(Reason.METHOD, "only GET and POST")
        if len(request.body) > MAX_BODY:
            return _refused(Reason.TOO_LARGE, "no callback is that long")
        try:
            encrypted = protocol.encrypted(request.body)
        except PayloadError as error:
            return _refused(Reason.MALFORMED, error.detail)
        opened = self._open(query, encrypted, request)
        return opened if isinstance(opened, Refused) else self._accepted(query, *opened)

    def _challenge(self, query: Mapping[str, str], request: Request) -> Outcome:
        echostr = protocol.echo(query.get("echostr", ""))
        if not echostr:
            return _refused(Reason.MALFORMED, "no echostr")
        opened = self._open(query, echostr, request)
        return opened if isinstance(opened, Refused) else Challenge(reply=Reply(body=opened[0]))

    def _open(self, query: Mapping[str, str], encrypted: str, request: Request) -> tuple[bytes, str] | Refused:
        """What was sealed and for whom, once signature, time, key and receiver are proved in that order."""
        if not protocol.signed_by(self._token, query, encrypted):
            return _refused(Reason.SIGNATURE, "msg_signature is not ours")
        stamp = query.get("timestamp", "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            return _refused(Reason.STALE, "the timestamp is not epoch seconds")
        tolerance = self._account.tolerance
        if tolerance is not None and abs(request.received_at - int(stamp) * SECOND) > tolerance * SECOND:
            return _refused(Reason.STALE, "the timestamp is too far off")
        try:
            message, receiver = self._box.open(encrypted)
        except protocol.Unreadable as error:
            return _refused(Reason.DECRYPT, str(error))
        if receiver not in self._receivers:
            return _refused(Reason.RECEIVER, "sealed for another receive id")
        return message, receiver

    def _accepted(self, query: Mapping[str, str], message: bytes, receiver: str) -> Accepted:
        try:
            facts = protocol.facts(message)
        except PayloadError:
            # Genuine, so it is kept: decoding fails later, where a person sees it.
            facts = {}
        event = Inbound(
            topic=catalogue.topic(facts),
            dedupe_key=catalogue.dedupe_key(facts, message),
            partition_key=catalogue.partition_key(facts),
            payload=message,
        )
        return Accepted(events=(event,), reply=self._reply(facts, query, receiver))

    def _reply(self, facts: Mapping[str, str], query: Mapping[str, str], receiver: str) -> Reply:
        text, app = self._options.welcome_text, self._options.agent_id
        if not text or facts.get("Event") != "subscribe" or (app and facts.get("AgentID") != app):
            return SUCCESS
        stamp, nonce = query["timestamp"], query.get("nonce", "")
        inner = protocol.text_reply(facts.get("FromUserName", ""), facts.get("ToUserName", ""), text, stamp)
        sealed = self._box.close(inner, receiver, self._box.prefix(query["msg_signature"], stamp, nonce))
        return Reply(
            body=protocol.envelope(sealed, self._token, stamp, nonce), content_type="application/xml; charset=utf-8"
        )

    # ------------------------------------------------------------------ decode
    def decode(self, topic: str, payload: bytes) -> Decoded:
        """A callback as its own tags with ``digest`` added; an API answer as its own JSON. Ids are text throughout."""
        if topic in _FROM_API:
            return Decoded(data=protocol.answer(payload))
        data = protocol.plain(payload)
        facts = {name: str(value) for name, value in data.items() if isinstance(value, (str, int))}
        # Most events carry no id of their own; what is recorded of them needs one.
        data["digest"] = protocol.digest(payload)
        return Decoded(data=data, fetch=catalogue.reread(topic, facts) if self._options.secret else ())

    # ------------------------------------------------------------------ fetch and pull
    async def fetch(self, topic: str, key: str) -> Sequence[Inbound]:
        """See ``Reader.fetch``."""
        return await self._reader.fetch(topic, key)

    async def pull(self, topic: str, window: Window, cursor: str | None) -> Page:
        """See ``Reader.pull``. Without a secret there is nothing to ask with, and nothing comes."""
        return await self._reader.pull(topic, window, cursor) if self._options.secret else Page(events=())

    async def probe(self) -> str:
        """See ``Reader.probe``. Without a secret there is nothing to reach."""
        if not self._options.secret:
            return "no secret is configured: this account only listens"
        return await self._reader.probe(self._options.agent_id)

    async def act(self, command: Command) -> Result:
        """See ``Actor.act``."""
        return await self._actor.act(command)

    async def serve(self, accept: Callable[[Sequence[Inbound]], Awaitable[None]]) -> None:  # noqa: ARG002  the promise names it
        """Never called: WeCom connects to us."""
        raise ConfigError("wecom keeps no connection open", place=self._account.name)


def _box(account: Account) -> protocol.Box:
    options: Options = account.options
    if not options.token:
        raise ConfigError(
            "an empty token lets anyone sign", place=f"{account.name}.token", remedy="set it to the console's Token"
        )
    try:
        return protocol.Box(options.encoding_aes_key.reveal())
    except ValueError as error:
        raise ConfigError(
            str(error), place=f"{account.name}.encoding_aes_key", remedy="copy it from the console"
        ) from error


def _receivers(options: Options) -> list[str]:
    if options.receive_id is None:
        return [options.corp_id]
    return [part.strip() for part in options.receive_id.split(",")]


def _refused(reason: Reason, detail: str) -> Refused:
    return Refused(reason=reason, reply=_STATUS.get(reason, _FORBIDDEN), detail=detail)
