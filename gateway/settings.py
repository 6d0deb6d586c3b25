"""Every knob, declared once: name, type, default, one sentence. From here come the TOML keys, the environment names, ``gateway config show``,
``config/example.toml`` and the lint. Only ``app`` and ``cli`` read settings; everybody else is handed the values they need.

Precedence: TOML, then environment (``GATEWAY_HTTP__PORT=9000``), then flags. A secret is ``env:NAME``, ``file:/path``, ``sealed:…`` (made by
``gateway keys seal``) or, with a warning, plain text.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from gateway import annex
from gateway.errors import ConfigError
from gateway.model.secret import MASK, Secret

ENV = "GATEWAY_"


class Duration(float):
    """Seconds; written ``"500ms"``, ``"30s"``, ``"10m"``, ``"2h"``, ``"7d"`` or a number of seconds."""


class Size(int):
    """Bytes; written ``"64KiB"``, ``"8MiB"``, ``"1GiB"`` or a number of bytes."""


def _knob(sentence: str) -> Meta:
    return Meta(description=sentence)


class Gateway(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process."""

    data_dir: Annotated[Path, _knob("Where journal, store and keys live.")] = Path("data")
    public_url: Annotated[
        str, _knob("The address partners reach this gateway at; shown as callback URLs by `gateway doctor`.")
    ] = ""
    timezone: Annotated[str, _knob("IANA zone of source times that name none.")] = "Asia/Shanghai"
    mappings: Annotated[
        Path | None,
        _knob("A folder of your own mappings, <connector>/<stem>.yaml; it is looked at before the built-in ones."),
    ] = None
    log: Annotated[Literal["json", "console"], _knob("One JSON object a line, or text for a person.")] = "json"


class Http(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP door, health and metrics."""

    host: Annotated[str, _knob("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, _knob("Port to listen on.")] = 8000
    workers: Annotated[int, _knob("Door processes; projecting and delivering have a process of their own.")] = 1
    max_body: Annotated[Size, _knob("Largest request body; a larger one is answered 413.")] = Size(8 * 1024 * 1024)
    rate_per_address: Annotated[
        float, _knob("Requests per second one address may send to /in before 429; 0 is no limit.")
    ] = 0.0
    guesses: Annotated[
        float,
        _knob(
            "API keys and tokens that nobody knows from one address before 429; a twentieth of it comes back each second. 0 is no limit."
        ),
    ] = 20.0


class Journal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The raw inbound log."""

    url: Annotated[str, _knob("sqlite:///path; relative paths start at the current folder.")] = ""
    keep: Annotated[Duration, _knob("How long applied entries can be replayed.")] = Duration(7 * 86_400)
    bulk_most: Annotated[int, _knob("Backlog above which the bulk lane is pushed back with 429.")] = 200_000
    live_most: Annotated[int, _knob("Backlog above which the live lane is pushed back too.")] = 1_000_000


class Store(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Records, events, deliveries and cursors."""

    url: Annotated[str, _knob("sqlite:///path; relative paths start at the current folder.")] = ""
    keep: Annotated[
        Duration, _knob("How long events, attempts and duplicates' keys are kept once everything about them is final.")
    ] = Duration(90 * 86_400)
    rejects: Annotated[int, _knob("How many refused requests are kept.")] = 10_000


class Shared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits, breakers and tokens."""

    url: Annotated[Literal["memory://"], _knob("Where processes meet; in process for the embedded profile.")] = (
        "memory://"
    )


class Vault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys."""

    url: Annotated[
        str,
        _knob(
            "file:///path of the key file, made on first start with mode 0600; pkcs11:token=…;object=…?module-path=… (RFC 7512); or kms+https://host/keys/name."
        ),
    ] = ""
    suite: Annotated[Literal["aes", "gm"], _knob("aes: AES-256-GCM, BLAKE2b; gm: SM4-GCM, HMAC-SM3.")] = "aes"
    classes: Annotated[
        dict[str, Literal["aes", "gm"]],
        _knob('The suite of single classes, such as {identity = "gm"}; `suite` is for the rest.'),
    ] = {}
    authority: Annotated[str, _knob("PEM file of the authority that an https:// key service is trusted by.")] = ""
    token: Annotated[Secret | None, _knob("The PIN of a PKCS#11 token, or the bearer token of a key service.")] = None


Treatment = Literal["clear", "mask", "token", "seal", "drop"]


class Grants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an endpoint sees, per sensitivity class. Defaults lean to less."""

    identity: Annotated[Treatment, _knob("Names, national ids, birthdays.")] = "mask"
    contact: Annotated[Treatment, _knob("Phones, e-mails, addresses, partner ids, what was said.")] = "mask"
    health: Annotated[Treatment, _knob("Anything clinical.")] = "drop"
    finance: Annotated[Treatment, _knob("Bank and tax numbers.")] = "drop"
    reason: Annotated[
        str, _knob("Why this endpoint may see health data; needed when `health` is anything but drop, and audited.")
    ] = ""
    recipient: Annotated[
        str, _knob("The endpoint's public key (a JWK, or file:/path of one) that `seal` seals to: RSA or EC, by JWE.")
    ] = ""


class Auth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the gateway proves itself to an endpoint, beside its signature."""

    kind: Annotated[
        Literal["none", "basic", "bearer", "oauth2", "mtls"],
        _knob("basic (also SASL/PLAIN and SMTP AUTH), bearer, oauth2 (client credentials) or mtls."),
    ] = "none"
    username: Annotated[str, _knob("basic: who we are.")] = ""
    password: Annotated[
        Secret | None, _knob("basic: the password; bearer: the token; oauth2: the client secret; mtls: PEM of the key.")
    ] = None
    token_url: Annotated[str, _knob("oauth2: where tokens are asked for.")] = ""
    client_id: Annotated[str, _knob("oauth2: who we are.")] = ""
    scope: Annotated[str, _knob("oauth2: what for.")] = ""
    certificate: Annotated[str, _knob("mtls: PEM file of our certificate chain.")] = ""
    authority: Annotated[
        str, _knob("PEM file of a private authority; a webhook trusts it beside the public ones, all else alone.")
    ] = ""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subscriber."""

    url: Annotated[
        str,
        _knob(
            "Where events go: https://…, kafka://host:9092/topic, redis://host:6379/0/stream, smtp://host:587 (kafkas, rediss, smtps with TLS); nothing for poll."
        ),
    ] = ""
    kind: Annotated[Literal["webhook", "kafka", "redis", "email", "poll"], _knob("What the endpoint speaks.")] = (
        "webhook"
    )
    events: Annotated[tuple[str, ...], _knob('Event types; "order.*" and "*" are allowed.')] = ("*",)
    secret: Annotated[Secret | None, _knob("whsec_…; made and shown once when absent.")] = None
    previous_secret: Annotated[Secret | None, _knob("Signs too while subscribers move to the new secret.")] = None
    private_key: Annotated[
        Secret | None, _knob("whsk_…: signs with Ed25519 (v1a) too; `gateway endpoints rotate --asymmetric` makes one.")
    ] = None
    unit: Annotated[str | None, _knob("Only events of this org unit and those below it.")] = None
    filter: Annotated[
        str, _knob("A CEL expression over the event's public fields, such as `data.order.money.paid.amount > 100000`.")
    ] = ""
    rate: Annotated[float, _knob("Sends per second; 0 is no limit.")] = 0.0
    burst: Annotated[float, _knob("How many at once; 0 is one second's worth.")] = 0.0
    batch: Annotated[int, _knob("How many events one send may carry, 1 to 100.")] = 1
    linger: Annotated[Duration, _knob("How long a batch may wait to fill; 15m for email.")] = Duration(0)
    disable_after: Annotated[
        Duration,
        _knob("Disabled after so long of nothing but failures; operators hear at 50, 70, 90 and 100 %. 0 is never."),
    ] = Duration(5 * 86_400)
    auth: Annotated[Auth, _knob("How we prove ourselves, beside the signature.")] = Auth()
    to: Annotated[tuple[str, ...], _knob("email: who gets the digest.")] = ()
    sender: Annotated[str, _knob("email: whom it is from.")] = ""
    client: Annotated[
        str, _knob("poll: the client who may fetch, by its id; without one, any that has the scope endpoints:write.")
    ] = ""
    ordered: Annotated[Literal["subject", "none"], _knob("Whether one subject's events wait for each other.")] = (
        "subject"
    )
    timeout: Annotated[Duration, _knob("How long one attempt may take.")] = Duration(15)
    concurrency: Annotated[int, _knob("Attempts under way at once.")] = 32
    retries: Annotated[tuple[Duration, ...], _knob("The wait before each attempt; the first is before the first.")] = ()
    allow_private: Annotated[bool, _knob("Whether private and special addresses may be posted to.")] = False
    headers: Annotated[dict[str, str], _knob("Sent with every attempt.")] = {}
    grants: Annotated[Grants, _knob("What this endpoint sees, per class.")] = Grants()


class Alerts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who hears of what is wrong, and from where on it is wrong. Each way is told once when something begins and once when it is over."""

    webhook: Annotated[str, _knob("An address that gets alerts as signed webhooks.")] = ""
    secret: Annotated[Secret | None, _knob("whsec_…: what alerts to `webhook` are signed with.")] = None
    wecom_robot: Annotated[
        Secret | None, _knob("The address of a WeCom group robot, as the group shows it; it holds the robot's key.")
    ] = None
    mail: Annotated[str, _knob("The mail server that alerts go through: smtp://host:587 or smtps://host:465.")] = ""
    mail_to: Annotated[tuple[str, ...], _knob("Who gets alerts by mail.")] = ()
    mail_from: Annotated[str, _knob("Whom they are from.")] = ""
    mail_username: Annotated[str, _knob("The mail server's user; nobody signs in when empty.")] = ""
    mail_password: Annotated[Secret | None, _knob("Their password.")] = None
    language: Annotated[Literal["zh", "en"], _knob("What mails and the robot speak.")] = "zh"
    allow_private: Annotated[bool, _knob("Whether alerts may go to private and special addresses.")] = False
    hold: Annotated[
        Duration, _knob("How long something is wrong before it is told, and right again before that is.")
    ] = Duration(30)
    backlog: Annotated[int, _knob("Entries waiting in one lane from which on it is too deep.")] = 10_000
    backlog_age: Annotated[Duration, _knob("How long the oldest of them may wait.")] = Duration(300)
    deliveries: Annotated[int, _knob("Deliveries waiting from which on there are too many.")] = 10_000
    silence: Annotated[
        dict[str, Duration],
        _knob(
            "How long single accounts may say nothing, 0 for any time; for others it is learned from their last week."
        ),
    ] = {}
    expiring: Annotated[Duration, _knob("How long before its end a grant or a client is told of.")] = Duration(
        7 * 86_400
    )
    unpolled: Annotated[
        Duration, _knob("How long an endpoint of kind poll may have events waiting that nobody fetches; 0 is for ever.")
    ] = Duration(21_600)
    disk: Annotated[float, _knob("The share of the disk that should be free.")] = 0.1


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What every account may set beside its connector's own options."""

    connector: Annotated[str, _knob("Which connector; `gateway connectors` lists them.")]
    api_base: Annotated[str | None, _knob("A fake or a proxy instead of the platform's address.")] = None
    tolerance: Annotated[str, _knob('How far a signed timestamp may be off; "off" for replaying old captures.')] = "10m"
    rate: Annotated[float, _knob("Requests per second this account may send in; 0 is no limit.")] = 0.0
    burst: Annotated[float, _knob("How many at once; 0 is one second's worth.")] = 0.0
    unit: Annotated[str | None, _knob("The org unit its records belong to.")] = None
    timezone: Annotated[str | None, _knob("IANA zone of its times that name none; gateway.timezone when absent.")] = (
        None
    )
    lane: Annotated[
        Literal["live", "bulk"] | None, _knob("How urgent what it sends is; the topic decides when absent.")
    ] = None
    disabled: Annotated[
        bool, _knob("Takes nothing in and asks the platform for nothing new; what was taken in is still read.")
    ] = False


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole tree. ``accounts`` keep their connector's options as given; ``app`` types them by the card."""

    gateway: Gateway = Gateway()
    http: Http = Http()
    journal: Journal = Journal()
    store: Store = Store()
    shared: Shared = Shared()
    vault: Vault = Vault()
    alerts: Alerts = Alerts()
    accounts: dict[str, dict[str, Any]] = {}
    endpoints: dict[str, Endpoint] = {}


COMMON = tuple(Account.__struct_fields__)


# ---------------------------------------------------------------------- reading
def load(
    path: Path | None, *, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from a file, the environment and flags (dotted names), and accounts beside the data. ConfigError names the place and the nearest key."""
    environ = os.environ if environ is None else environ
    tree: dict[str, Any] = {}
    place = "the environment"
    if path is not None:
        place = str(path)
        tree = _toml(path)
    for name, value in environ.items():
        if name.startswith(ENV) and "__" in name:
            _put(tree, [part.lower() for part in name.removeprefix(ENV).split("__")], value)
    for name, value in (flags or {}).items():
        if value is not None:
            _put(tree, name.split("."), value)
    _lint(tree, Settings, place, "")
    settings: Settings = convert(tree, Settings, place)
    return msgspec.structs.replace(settings, accounts=annex.merged(settings.accounts, settings.gateway.data_dir, place=place))  # fmt: skip


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", place=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"is not TOML: {error}", place=str(path)) from error


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{part} is a value, not a table", place=".".join(path))
    tree[path[-1]] = value


def _lint(tree: Mapping[str, Any], struct: Any, place: str, prefix: str) -> None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        field = fields.get(key)
        if field is None:
            raise unknown_key(key, fields, place=f"{place}: {name}")
        kind = bare(field.type)
        # What is no table where one belongs is told by the conversion, with its place.
        if name == "endpoints" and isinstance(value, Mapping):
            for entry, part in value.items():
                if isinstance(part, Mapping):
                    _lint(part, Endpoint, place, f"endpoints.{entry}.")
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, Mapping):
            _lint(value, kind, place, f"{name}.")


def unknown_key(key: str, known: Any, *, place: str) -> ConfigError:
    """The error for a key nobody reads, with the nearest one that somebody does."""
    near = difflib.get_close_matches(key, list(known), n=1)
    return ConfigError(
        f"unknown key {key!r}",
        place=place,
        remedy=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}",
    )


def convert(tree: Any, kind: Any, place: str) -> Any:
    """Plain TOML or text values as ``kind``; text from the environment is read as the field's type. ConfigError names the field."""
    try:
        return msgspec.convert(tree, kind, strict=False, dec_hook=_read)
    except msgspec.ValidationError as error:
        text = str(error)
        where = re.search(r"`\$\.?([^`]*)`", text)
        raise ConfigError(text.partition(" - at")[0], place=f"{place}: {where.group(1)}" if where else place) from error


def bare(kind: Any) -> Any:
    """A type without its sentence."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZES = {"": 1, "b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3, "kb": 1000, "mb": 1000**2, "gb": 1000**3}


def duration(text: str) -> float:
    """Seconds of ``"10m"`` and the like; ValueError otherwise."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", text)
    if not found:
        raise ValueError(f"{text!r} is not a duration such as 30s, 10m, 2h or 7d")
    return float(found[1]) * _UNITS[found[2] or "s"]


def _size(text: str) -> int:
    found = re.fullmatch(r"\s*(\d+)\s*([kmg]?i?b)?\s*", text.lower())
    if not found or (found[2] or "") not in _SIZES:
        raise ValueError(f"{text!r} is not a size such as 64KiB or 8MiB")
    return int(found[1]) * _SIZES[found[2] or ""]


def _read(kind: type, value: Any) -> Any:
    if kind is Duration:
        return Duration(duration(value) if isinstance(value, str) else float(value))
    if kind is Size:
        return Size(_size(value) if isinstance(value, str) else int(value))
    if kind is Path:
        return Path(value)
    if kind is Secret:
        return secret(value)
    raise NotImplementedError


def secret(reference: Any) -> Secret:
    """The secret that ``env:NAME`` or ``file:/path`` refers to; any other text is the secret itself. ValueError when it is not there."""
    if not isinstance(reference, str):
        raise ValueError("a secret is env:NAME, file:/path or text")
    if reference.startswith("env:"):
        name = reference[4:]
        if name not in os.environ:
            raise ValueError(f"environment variable {name} is not set")
        return Secret(os.environ[name])
    if reference.startswith("file:"):
        try:
            return Secret(Path(reference[5:]).read_text(encoding="utf-8").strip())
        except OSError as error:
            raise ValueError(f"{reference[5:]} cannot be read: {error.strerror}") from error
    return Secret(reference)


def is_plain(reference: Any) -> bool:
    """Whether a secret stands in the config itself, which deserves a warning."""
    return isinstance(reference, str) and not reference.startswith(("env:", "file:", "sealed:"))


# ---------------------------------------------------------------------- showing
def shown(value: Any) -> Any:
    """Settings as plain data with secrets masked."""
    if isinstance(value, msgspec.Struct):
        return {name: shown(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Mapping):
        return {str(name): shown(part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [shown(part) for part in value]
    if isinstance(value, Path):
        return str(value)
    # A number of a kind of our own is no JSON number to the encoder.
    if isinstance(value, Duration):
        return float(value)
    return int(value) if isinstance(value, Size) else value


def path_of(url: str, default: Path) -> Path:
    """The file of ``sqlite:///…`` or ``file:///…``: three slashes and a relative path, four and an absolute one; ``default`` when empty."""
    if not url:
        return default
    scheme, found, rest = url.partition(":///")
    if not found or scheme not in ("sqlite", "file"):
        raise ConfigError(
            f"{scheme or url!r} is not a way this gateway has", remedy="use sqlite:///path or file:///path"
        )
    return Path(rest)
