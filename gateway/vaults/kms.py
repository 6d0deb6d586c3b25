"""Envelope keys wrapped by a key service over HTTP: ``kms+https://host/keys/name``.

The protocol is two requests, each with ``Authorization: Bearer <vault.token>`` and JSON of at most 64 KiB::

    POST https://host/keys/name/wrap    {"plaintext": "<base64>"}                     → 200 {"ciphertext": "<base64>", "version": "3"}
    POST https://host/keys/name/unwrap  {"ciphertext": "<base64>", "version": "3"}    → 200 {"plaintext": "<base64>"}

``version`` is text or a number and is handed back as it came. A refused ciphertext is answered 400, a wrong bearer token 401 or 403, a key that is not
there 404; anything else means that the service is not well. Base64 is standard, with padding. ``kms+http`` is taken for this machine's own
addresses only, where an agent of the service may listen.

What is unwrapped at the start stays in memory only: the service is asked again when keys rotate or another process starts.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import httpx
import msgspec

from gateway.errors import ConfigError, GatewayError, KeyMissing, VaultDown
from gateway.model.secret import Secret
from gateway.vaults.ring import Wrapped, Wrapper

_PLACE = "vault.url"
_OWN = frozenset({"127.0.0.1", "::1", "localhost"})
_PATIENCE = httpx.Timeout(5.0)
_MOST = 64 * 1024
_TRIES = 3
_T = TypeVar("_T")


class _Ciphertext(msgspec.Struct, frozen=True):
    ciphertext: bytes
    version: str | int = ""


class _Plaintext(msgspec.Struct, frozen=True):
    plaintext: bytes


def address_of(url: str) -> SplitResult:
    """Scheme, host and path of the wrapping key. ConfigError says what is wrong with ``url``."""
    parts = urlsplit(url.removeprefix("kms+"))
    try:
        fit = bool(parts.hostname) and parts.port != 0 and len(parts.path.strip("/")) > 0
    except ValueError:
        fit = False
    if not fit or parts.scheme not in ("https", "http") or parts.query or parts.fragment or parts.username:
        raise ConfigError("is not the address of a key", place=_PLACE, remedy="kms+https://host/keys/name")
    if parts.scheme == "http" and parts.hostname not in _OWN:
        raise ConfigError("keys do not travel in the clear", place=_PLACE, remedy="kms+https://…")
    return parts


def wrapper(url: str, token: Secret | None, *, authority: str = "") -> Wrapper:
    """The way to the key that ``url`` names. ConfigError when the address or the token is missing something; nothing is reached yet.

    ``authority`` is a PEM file to trust instead of the public authorities.
    """
    parts = address_of(url)
    if not token:
        raise ConfigError(
            "the bearer token of the key service is missing",
            place="vault.token",
            remedy='vault.token = "env:…" or "file:…"',
        )
    name = parts.path.strip("/")

    @contextmanager
    def reach(_create: bool) -> Iterator[_Service]:
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        # The environment's proxies are for partners; keys go straight.
        with httpx.Client(headers=headers, timeout=_PATIENCE, verify=_trust(authority), trust_env=False) as client:
            yield _Service(client, parts.geturl().rstrip("/"), name)

    return Wrapper(way="kms", by=name, reach=reach)


class _Service:
    """See ``ring.Wrapping``."""

    def __init__(self, client: httpx.Client, url: str, name: str) -> None:
        self._client = client
        self._url = url
        self._name = name

    def wrap(self, plaintext: bytes) -> Wrapped:
        """See ``Wrapping.wrap``."""
        answer = self._ask("wrap", {"plaintext": plaintext}, _Ciphertext)
        if not answer.ciphertext:
            raise self._down("answered with nothing wrapped")
        return Wrapped(by=self._name, data=answer.ciphertext, version=str(answer.version))

    def unwrap(self, wrapped: Wrapped) -> bytes:
        """See ``Wrapping.unwrap``."""
        question: dict[str, bytes | str] = {"ciphertext": wrapped.data, "version": wrapped.version}
        return self._ask("unwrap", question, _Plaintext).plaintext

    def _ask(self, verb: str, question: dict[str, bytes | str], kind: type[_T]) -> _T:
        status, body = self._post(f"{self._url}/{verb}", msgspec.json.encode(question))
        if status == 400 and verb == "unwrap":
            raise ValueError("the key service does not take it for its own")
        if status != 200:
            raise self._refused(status)
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as fault:
            # The library's own message may quote what came.
            raise self._down("answered in another form than the protocol's") from fault.__cause__

    def _post(self, url: str, body: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        for left in reversed(range(_TRIES)):
            try:
                with self._client.stream("POST", url, content=body, headers=headers) as answer:
                    if answer.status_code < 500 or not left:
                        return answer.status_code, self._bounded(answer)
            except httpx.HTTPError as fault:
                # A question that was not heard may be put again; what is not trusted or not a key will not be better next time.
                if not left or not isinstance(fault, httpx.TransportError) or _distrust(fault):
                    raise self._unreached(fault) from fault
        raise AssertionError

    def _bounded(self, answer: httpx.Response) -> bytes:
        body = b""
        for piece in answer.iter_bytes(_MOST):
            body += piece
            if len(body) > _MOST:
                raise self._down("answered with more than 64 KiB")
        return body

    def _unreached(self, fault: httpx.HTTPError) -> VaultDown:
        if _distrust(fault):
            return self._down(
                "is not who its certificate should say", remedy="vault.authority names the PEM file to trust it by"
            )
        return self._down(f"cannot be reached ({type(fault).__name__})")

    def _refused(self, status: int) -> GatewayError:
        if status in (401, 403):
            return ConfigError(
                f"the key service refuses the token ({status})",
                place="vault.token",
                remedy="ask for one that may use the key",
            )
        if status == 404:
            return KeyMissing(
                f"wrapping key {self._name} is not in the key service",
                place=_PLACE,
                remedy="correct the name, or restore the key",
            )
        return self._down(f"answered {status}")

    def _down(self, how: str, *, remedy: str = "mend the key service or the way to it, then start again") -> VaultDown:
        return VaultDown(f"the key service {how}", place=self._url, remedy=remedy)


def _distrust(fault: BaseException | None) -> bool:
    while fault is not None:
        if isinstance(fault, ssl.SSLCertVerificationError):
            return True
        fault = fault.__cause__ or fault.__context__
    return False


def _trust(authority: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority or None)
    except (OSError, ssl.SSLError) as fault:
        raise ConfigError(
            f"{authority} cannot be read as PEM",
            place="vault.authority",
            remedy="name the authority's certificate file",
        ) from fault
