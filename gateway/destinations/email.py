"""A mailbox as an endpoint: ``smtp://host:587`` with STARTTLS when it is offered, ``smtps://host:465`` with TLS from the first byte."""

import asyncio
import hashlib
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime, parseaddr
from urllib.parse import urlsplit

import msgspec
from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPTimeoutError,
)

from gateway.clock import Clock, moment
from gateway.destination import Destination, Endpoint, Message, Tried
from gateway.destinations import digest, faults, trust
from gateway.destinations.address import Unfit, Vetter
from gateway.destinations.chosen import Chosen
from gateway.errors import ConfigError


class Server(msgspec.Struct, frozen=True):
    """What the URL says. ``encrypted``: TLS from the first byte."""

    host: str
    port: int
    encrypted: bool


def server_of(url: str, *, place: str) -> Server:
    """ConfigError says what is missing. Without a port: 587 for smtp, 465 for smtps (RFC 8314)."""
    parts = urlsplit(url)
    encrypted = parts.scheme == "smtps"
    try:
        port = parts.port or (465 if encrypted else 587)
    except ValueError:
        port = 0
    if (
        parts.scheme not in ("smtp", "smtps")
        or not parts.hostname
        or not port
        or parts.path.strip("/")
        or parts.username
    ):
        raise ConfigError(
            "does not name a mail server",
            place=place,
            remedy="smtp://host:587 or smtps://host:465; whom it goes to stands under to, a password under auth",
        )
    return Server(parts.hostname, port, encrypted)


# All ways are opened alike; this one has no use for the clock.
def open(end: Endpoint, *, clock: Clock, vetter: Vetter) -> Destination:  # noqa: ARG001
    """A mailbox; nothing is connected yet. ConfigError when the endpoint cannot be used."""
    return Mailbox(end, vetter)


Compose = Callable[[Endpoint, Sequence[Message], int, str], bytes]
"""The letter about some messages: the endpoint it is for, the messages, the instant of sending, its ``Message-ID``."""


class Mailbox:
    """One message a batch, over a connection of its own: digests are minutes apart, and servers hang up long before.

    The ``Message-ID`` is made of the events' ids: a digest that is tried again is the same message. It counts as sent when every recipient
    was accepted, and is sent to none otherwise.
    """

    def __init__(self, end: Endpoint, vetter: Vetter, compose: Compose | None = None) -> None:
        place = f"endpoints.{end.name}"
        self._end = end
        self._compose = compose or digested
        self._server = server_of(end.url, place=f"{place}.url")
        self._login = trust.credentials(end, encrypted=self._server.encrypted)
        self._context = trust.context(end.auth, place=f"{place}.auth")
        self._sender = _address(end.sender, place=f"{place}.sender")
        self._to = tuple(_address(one, place=f"{place}.to") for one in end.to)
        if not self._to:
            raise ConfigError("names nobody", place=f"{place}.to", remedy='to = ["someone@example.com"]')
        self._vetter = vetter
        self._chosen = Chosen()
        self._sends = faults.Sends()

    async def send(self, messages: Sequence[Message], *, now: int) -> Tried:
        """See ``Destination.send``."""
        return await self._sends.within(self._end.timeout, self._send(messages, now))

    async def close(self) -> None:
        """See ``Destination.close``."""
        await self._sends.close()

    async def _send(self, messages: Sequence[Message], now: int) -> Tried:
        where = await self._vetter.vet(self._end.url, allow_private=self._end.allow_private)
        if isinstance(where, Unfit):
            return faults.unfit(where)
        name = message_id([message.id for message in messages], self._sender)
        letter = self._compose(self._end, messages, now, name)
        try:
            return await self._hand_over(self._chosen.of(where), letter)
        except (SMTPException, OSError, EOFError) as error:
            tried = tried_of(error)
        except faults.NONSENSE as error:
            return faults.nonsense(error)
        if tried.error == "connect":
            self._chosen.avoid(where)
        return tried

    async def _hand_over(self, address: str, letter: bytes) -> Tried:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        connected = False
        try:
            await asyncio.get_running_loop().sock_connect(sock, (address, self._server.port))
            connected = True
        finally:
            if not connected:
                sock.close()
        client = SMTP(
            hostname=self._server.host,
            sock=sock,
            timeout=self._end.timeout,
            use_tls=self._server.encrypted,
            tls_context=self._context,
            local_hostname=self._sender.rpartition("@")[2],
        )
        with closing(client):
            return await self._converse(client, letter)

    async def _converse(self, client: SMTP, letter: bytes) -> Tried:
        await client.connect()
        if self._login is not None:
            if client.get_transport_info("sslcontext") is None:
                return faults.said("tls", "the server offers no STARTTLS, and a password is not sent in the clear")
            await client.login(*self._login)
        await client.mail(self._sender)
        for one in self._to:
            await client.rcpt(one)
        answer = await client.data(letter)
        return Tried(status=200, response=f"{answer.code} {answer.message}".encode()[: faults.KEPT])


def digested(end: Endpoint, messages: Sequence[Message], now: int, name: str) -> bytes:
    """How many events of which types, and the events themselves as an attachment."""
    letter = EmailMessage(policy=WIRE)
    letter["From"] = end.sender
    letter["To"] = ", ".join(end.to)
    letter["Subject"] = digest.subject(messages)
    letter["Date"] = format_datetime(moment(now))
    letter["Message-ID"] = name
    # RFC 3834: nobody's holiday notice need answer this.
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(digest.plain(messages))
    letter.add_alternative(digest.html(messages), subtype="html")
    letter.add_attachment(
        digest.attachment(messages), maintype="application", subtype="x-ndjson", filename="events.ndjson"
    )
    return letter.as_bytes()


def message_id(ids: Sequence[str], sender: str) -> str:
    """The same for the same events in the same order, whenever they are sent. RFC 5322 §3.6.4."""
    return f"<{hashlib.blake2b(' '.join(ids).encode(), digest_size=16).hexdigest()}@{sender.rpartition('@')[2]}>"


def _address(text: str, *, place: str) -> str:
    _, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    if not local or not domain or not address.isascii() or not text.isprintable():
        raise ConfigError(f"{text!r} is no mail address", place=place, remedy="someone@example.com")
    return address


def tried_of(error: SMTPException | OSError | EOFError) -> Tried:
    """The one door of aiosmtplib's exceptions."""
    if isinstance(error, SMTPTimeoutError):
        return faults.said("timeout", error)
    if isinstance(error, (SMTPAuthenticationError, SMTPNotSupported)):
        return faults.said("auth", error)
    if isinstance(error, (SMTPResponseException, SMTPRecipientsRefused)):
        return faults.said("refused", error)
    return faults.of(error)
