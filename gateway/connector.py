"""What a partner integration promises.

A connector is a folder under ``connectors/`` with a **card** (who it is, what it can do, its options), pure protocol functions, and up
to eight verbs:

``receive``  bytes from a door → Challenge | Accepted | Refused. Pure and fast: runs before the partner gets its answer.
``bring``    the same bytes from somebody whom the gateway knows itself → one line for each row. Pure.
``serve``    keep a long connection to the partner open and hand over what comes, confirming only what is durable.
``pull``     one page of a reconciliation window.
``fetch``    re-read one object that a push only pointed at.
``probe``    reach the partner with the account's credentials: what ``gateway doctor`` asks.
``act``      do one thing at the partner that somebody asked for: tag, message, stock.
``decode``   an entry's bytes → plain data for the mapping. Pure.

What the data *means* stands in ``mappings/``. A connector imports only ``gateway.connector``, ``gateway.model``,
``gateway.errors``, ``gateway.clock`` and third-party libraries.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Protocol

import msgspec
from msgspec import Meta

from gateway.clock import Clock
from gateway.model.lane import Lane
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity

__all__ = [
    "Accepted", "Account", "Action", "Answer", "Call", "Can", "Card", "Challenge", "Command", "Connector", "Decoded", "Fetch", "Inbound", "Lane",
    "Limit", "Line", "Meta", "Options", "Outcome", "Page", "Parameters", "Reason", "Refused", "Rehearsal", "Reply", "Request", "Response",
    "Result", "Secret", "Text", "Token", "Tools", "Topic", "Whom", "Window",
]  # fmt: skip


class Can(Enum):
    """A verb the connector keeps."""

    RECEIVE = "receive"
    SERVE = "serve"
    PULL = "pull"
    FETCH = "fetch"
    PROBE = "probe"
    IMPORT = "import"
    ACT = "act"


class Text(msgspec.Struct, frozen=True):
    """A sentence in Chinese and in English."""

    zh: str
    en: str


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of entry. ``mapping`` is the stem under ``mappings/<connector>/``; empty when the entry only asks for a fetch.

    ``lane`` is the default; an account's ``lane`` option overrides it.
    """

    name: str
    title: Text
    mapping: str = ""
    lane: Lane = Lane.LIVE


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit the platform publishes: ``calls`` per ``seconds``. The first one of a card paces its client."""

    title: Text
    calls: int
    seconds: float


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an action is asked with. An action's own subclass this; each field carries one sentence (``Meta``) and its sensitivity.

    What two fields together must be is for ``__post_init__``: a ValueError there says it, and quotes no value.
    """


class Whom(msgspec.Struct, frozen=True, kw_only=True):
    """The parameter that names a customer the partner's way: by an identity of ``namespace`` in the account's ``scope``."""

    parameter: str
    namespace: str
    scope: Callable[[Any], str]


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the partner can be asked to do.

    ``about`` is the parameter that names what it is done to: those about one thing of an account are done in the order in which they were asked for.
    ``harmless`` says that doing it twice comes to what doing it once does; any other is never repeated unless a person decides so.
    ``answers`` are the members of the result that are kept, by how sensitive they are: text, numbers, or lists of text.
    """

    name: str
    title: Text
    parameters: type[Parameters]
    about: str
    harmless: bool
    whom: Whom | None = None
    answers: Mapping[str, Sensitivity] = {}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every account may set. A connector's own options subclass this; each field carries one sentence (``Meta``)."""

    __title__: ClassVar[str] = ""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A configured connector: a corp, a shop, a hospital interface.

    ``zone`` is an IANA time zone for naive source times. ``tolerance`` is how far a signed timestamp may be off, in seconds; ``None`` is off.
    ``api_base`` replaces the platform's address. ``lane`` None leaves it to the topic. ``disabled``: it takes nothing in and asks for nothing new.
    """

    name: str
    connector: str
    options: Any
    unit: str | None = None
    zone: str = "Asia/Shanghai"
    lane: Lane | None = None
    api_base: str | None = None
    tolerance: float | None = 600.0
    disabled: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What came through a door. ``query`` is the raw query string, ``headers`` have lower-case names, ``received_at`` is microseconds.

    The body is whole: one that was cut off reaches nobody. For MLLP it is one frame's content and the rest is empty but ``peer``.
    """

    method: str = "POST"
    path: str = ""
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    peer: str = ""
    received_at: int


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform wants to hear. For MLLP ``body`` is the acknowledgment message."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """One event to write down.

    ``dedupe_key`` is equal for the same event sent twice and differs for two events; ``partition_key`` keeps the order of what
    belongs together. Both may hold personal data: the pipeline stores keyed hashes of them.
    """

    topic: str
    dedupe_key: str
    partition_key: str
    payload: bytes
    lane: Lane | None = None


class Reason(Enum):
    """Why a request was refused."""

    SIGNATURE = "signature"
    STALE = "stale"
    DECRYPT = "decrypt"
    RECEIVER = "receiver"
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"
    METHOD = "method"
    CREDENTIALS = "credentials"
    TOO_LARGE = "too_large"
    PEER = "peer"


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """The platform is testing the address. Nothing is stored."""

    reply: Reply


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """Genuine. ``reply`` goes out only after every event is durable; no events means there is nothing to keep.

    ``settle`` builds the reply from what the journal said where the body depends on it: one ``True`` per event that was
    already known.
    """

    events: tuple[Inbound, ...]
    reply: Reply = Reply()
    settle: Callable[[Sequence[bool]], Reply] | None = None
    problems: int = 0


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Not accepted. ``detail`` is for the operator and holds no payload; ``reply`` tells a forger nothing."""

    reason: Reason
    reply: Reply
    detail: str = ""


Outcome = Challenge | Accepted | Refused


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One row of what was brought: its event, or why there is none, without quoting it. ``row`` counts from 1 as the sender would."""

    row: int
    event: Inbound | None = None
    field: str = ""
    detail: str = ""


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """Something to re-read: ``key`` of ``topic``, not before ``after`` seconds from now. Equal ones are joined."""

    topic: str
    key: str
    after: float = 0.0


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """Plain data for the mapping (str, int, bool, None, list, dict), and what has to be re-read because of it.

    ``mapping`` overrides the topic's where one topic carries several shapes; ``None`` data means there is nothing to map.
    """

    data: dict[str, Any] | None
    fetch: tuple[Fetch, ...] = ()
    mapping: str | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time to reconcile, microseconds, ``since`` inclusive and ``until`` exclusive."""

    since: int
    until: int


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One action to do now. ``id`` is the same at every try; ``parameters`` are an instance of what the card declares."""

    id: str
    action: str
    parameters: Any


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The partner did it. ``data`` is what it said of it; ``fetch`` is what should be re-read because of it, since most partners do not tell us of
    what we did ourselves."""

    data: Mapping[str, Any] = {}
    fetch: tuple[Fetch, ...] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a pull. ``cursor`` None means the window is done."""

    events: tuple[Inbound, ...]
    cursor: str | None = None
    fetch: tuple[Fetch, ...] = ()


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A partner API's answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; PayloadError is left to the caller's decoder: ``msgspec.DecodeError``."""
        return msgspec.json.decode(self.body)


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A credential with an end. ``expires_at`` is microseconds."""

    value: str
    expires_at: int


class Call(Protocol):
    """One request to the partner's API: paced by the account's limit, guarded by its breaker, with a deadline.

    Raises PartnerDown (network, 5xx, breaker open), ``unsure`` where the request may have been carried out, and PartnerQuota (HTTP 429). Any
    other status is returned.
    """

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
        """``params`` is the query, ``form`` an urlencoded body, ``json`` a JSON body; ``timeout`` in seconds."""
        ...


class Answer(Protocol):
    """Shared state for credentials: one obtainer at a time per name, across all processes that share it."""

    async def __call__(self, name: str, obtain: Callable[[], Awaitable[Token]], *, stale: str = "") -> str:
        """The live token called ``name``; ``obtain`` runs when there is none, it is near its end, or it equals ``stale``."""
        ...


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What an account's connector is handed when it is opened."""

    clock: Clock
    call: Call
    token: Answer


class Connector(Protocol):
    """An opened account. Only the verbs the card names are ever called."""

    def receive(self, request: Request) -> Outcome:
        """Prove who sent it and say what it is. Never raises for what a sender can do."""
        ...

    def bring(self, request: Request) -> Sequence[Line] | Refused:
        """The rows of a body that needs no proof of who sent it, in their order; Refused when it cannot be taken apart at all. Like ``receive``,
        it never raises for what a sender can do; it may take a second, and is called off the loop."""
        ...

    def decode(self, topic: str, payload: bytes) -> Decoded:
        """PayloadError when the bytes cannot be read."""
        ...

    async def serve(self, accept: Callable[[Sequence[Inbound]], Awaitable[None]]) -> None:
        """Run until cancelled. ``accept`` returns once the events are durable; confirm to the partner only then."""
        ...

    async def pull(self, topic: str, window: Window, cursor: str | None) -> Page:
        """One page. PartnerError as the platform's error table says."""
        ...

    async def probe(self) -> str:
        """One harmless call with the account's credentials; what was found, in a few words. PartnerError names what is wrong."""
        ...

    async def fetch(self, topic: str, key: str) -> Sequence[Inbound]:
        """What the partner now says of ``key``; empty when it is gone."""
        ...

    async def act(self, command: Command) -> Result:
        """Do it once. PartnerDown that is not ``unsure`` and PartnerQuota promise that nothing was done; every other PartnerError is the partner's no."""
        ...


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform asks with GET when its console is given an address, and the exact body that it wants to hear."""

    query: str
    expected: bytes


def _no_stems(_options: Any) -> Sequence[str]:
    return ()


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be known of a connector without opening it. Docs, lint, forms and scrubbing derive from it.

    ``pulls`` maps a topic to (every, overlap, longest window) in seconds. ``calls`` are the functions mappings may name as
    ``call: <connector>.<function>``; each takes the value and the mapping's context and returns a value. ``stems`` names mappings that an
    account's options ask for beside those of its topics.
    """

    name: str
    title: Text
    can: frozenset[Can]
    options: type[Options]
    topics: tuple[Topic, ...]
    # Any, because a connector has only the verbs that ``can`` names; the contract suite holds it to them.
    open: Callable[[Account, Tools], Any]
    limits: tuple[Limit, ...] = ()
    pulls: Mapping[str, tuple[float, float, float]] = {}
    calls: Mapping[str, Callable[..., Any]] = {}
    stems: Callable[[Any], Sequence[str]] = _no_stems
    actions: tuple[Action, ...] = ()
    rehearse: Callable[[Account, int], Rehearsal] | None = None

    def topic(self, name: str) -> Topic:
        """KeyError when the connector does not know it."""
        for topic in self.topics:
            if topic.name == name:
                return topic
        raise KeyError(name)

    def action(self, name: str) -> Action | None:
        """None when the connector does not offer it."""
        return next((one for one in self.actions if one.name == name), None)
