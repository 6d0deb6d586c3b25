"""One HTTP request to a vetted address, and what came of it. The home of posting with ``pyreqwest``."""

import ipaddress
import re
import socket
from collections.abc import Mapping
from datetime import timedelta
from errno import EACCES, EADDRNOTAVAIL, EHOSTUNREACH, EMFILE, ENETDOWN, ENETUNREACH, ENFILE, ENOBUFS, ENOMEM, EPERM

import msgspec
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BuilderError,
    ClientClosedError,
    ConnectError,
    DetailedPyreqwestError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.response import BaseResponse

from gateway.clock import Clock
from gateway.destination import Tried
from gateway.destinations.address import Unfit, Vetted, Vetter, place_of
from gateway.destinations.faults import CLOSED, KEPT, said, unfit
from gateway.errors import ConfigError

_OS_ERROR = re.compile(r"\(os error ([0-9]+)\)\Z")
_TLS = re.compile(r"certificate|tls handshake|fatal alert|HandshakeFailure")
_EXHAUSTED = (EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL)
_NO_WAY = (ENETUNREACH, EHOSTUNREACH, ENETDOWN, EPERM, EACCES, EADDRNOTAVAIL)
_MOST_CLIENTS = 8
# In the HTTP library's words, and the operating system's.
_HUNG_UP = (b"connection closed before message completed", b"Connection reset by peer")


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """``identity`` is PEM of our chain and key; ``authority`` PEM of whom to trust beside the public authorities. Empty for none."""

    identity: bytes = b""
    authority: bytes = b""


class Post:
    """Posts to one URL. ``idle`` connections are kept open.

    ConfigError for a URL that readers of URLs could understand differently (see ``address.place_of``), and for PEM that is none.
    """

    def __init__(
        self, url: str, *, clock: Clock, vetter: Vetter, allow_private: bool, idle: int = 8, trust: Trust | None = None
    ) -> None:
        self._url = url
        self._place = place_of(url)
        self._clock = clock
        self._vetter = vetter
        self._allow_private = allow_private
        self._idle = idle
        self._trust = trust or Trust()
        self._clients: dict[str, Client] = {}
        self._where: Vetted | None = None
        self._address = ""
        self._closed = False
        self._answered = False
        if trust:
            _check(self._trust)

    async def post(self, body: bytes, headers: Mapping[str, str], *, timeout: float, keep: int = KEPT) -> Tried:
        """``Tried`` with the first ``keep`` bytes of the answer, within ``timeout`` seconds. Never raises for what others can do.

        Words: ``address``, ``dns``, ``connect``, ``tls``, ``timeout``, ``network`` are the far side's; ``resources`` (no descriptors, ports or
        buffers left), ``route`` (this machine knows no way) and ``closed`` are ours, and so is ``dns`` while our resolver fails.
        """
        began, place = self._clock.monotonic(), self._place
        where = self._vetter.known(place.host, place.port, allow_private=self._allow_private)
        if where is None:
            where = await self._vetter.vet_host(
                place.host, place.port, allow_private=self._allow_private, within=timeout
            )
        if isinstance(where, Unfit):
            return unfit(where)
        left = timeout - (self._clock.monotonic() - began)
        if self._closed or left <= 0:
            return CLOSED if self._closed else Tried(error="timeout")
        tried = await self._send(where, body, headers, left=left, keep=keep)
        if self._answered and tried.status is None and tried.response.startswith(_HUNG_UP):
            # A kept connection that the far side had closed, which we learned only by using it: not a word of theirs on what we send.
            left = max(0.001, timeout - (self._clock.monotonic() - began))
            tried = await self._send(where, body, headers, left=left, keep=keep)
        self._answered = tried.status is not None
        return tried

    async def _send(self, where: Vetted, body: bytes, headers: Mapping[str, str], *, left: float, keep: int) -> Tried:
        place = self._place
        try:
            client, address = self._client(where), self._address
        except BuilderError as error:
            # It was built before, or could have been: what it reads from this machine cannot be read now.
            return said("resources", error, ours=True)
        request = (
            client.post(self._url)
            .headers(headers)
            .body_bytes(body)
            .timeout(timedelta(seconds=left))
            .streamed_read_buffer_limit(keep * 8)
            .build_streamed()
        )
        try:
            async with request as response:
                status = response.status
                # Reading, too, is a turn at the interpreter's lock; RFC 9110 §15.3.5: a 204 has nothing to read.
                kept = await response.body_reader.read(keep) if status != 204 else None
                return Tried(
                    status=status,
                    retry_after=_text(response, "retry-after"),
                    response=bytes(kept) if kept else b"",
                )
        except ConnectError as error:
            self._avoid(address)
            return _fault(error, address, place.port)
        except PyreqwestError as error:
            return _fault(error, address, place.port)

    def _client(self, where: Vetted) -> Client:
        """The client of the address in use: it stays while it is among the fit ones, since every other has connections to open anew."""
        if where is not self._where:
            self._where = where
            if self._address not in (where.address, *where.others):
                self._address = where.address
        client = self._clients.get(self._address)
        if client is None:
            builder = _builder(self._trust).pool_max_idle_per_host(self._idle)
            client = builder.resolve(self._place.host, self._address, self._place.port).build()
            # A name whose addresses change all day must not pile up clients. What is under way on one that is let go of still ends.
            if len(self._clients) >= _MOST_CLIENTS:
                del self._clients[next(iter(self._clients))]
            self._clients[self._address] = client
        return client

    def _avoid(self, address: str) -> None:
        """Take the next of the fit addresses: one dead host of several must not stand for all."""
        if self._where is None or address != self._address:
            return
        fit = (self._where.address, *self._where.others)
        self._address = fit[(fit.index(address) + 1) % len(fit)] if address in fit else fit[0]

    async def close(self) -> None:
        """Drop all connections; what is under way ends as ``closed``."""
        self._closed = True
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()


def _builder(trust: Trust) -> ClientBuilder:
    builder = ClientBuilder().follow_redirects(False).no_proxy().user_agent("scrm-gateway")
    if trust.authority:
        builder = builder.add_root_certificate_pem(trust.authority)
    return builder.identity_pem(trust.identity) if trust.identity else builder


def _check(trust: Trust) -> None:
    # The client would take a file without a certificate for one that adds none.
    if trust.authority and b"-----BEGIN CERTIFICATE-----" not in trust.authority:
        raise ConfigError("the authority is no PEM certificate")
    try:
        _builder(trust).build()
    except ValueError as error:
        raise ConfigError("certificate, key or authority cannot be used", remedy="PEM, and a key that fits") from error


def _fault(error: PyreqwestError, address: str, port: int) -> Tried:
    """What a fault means, by what the operating system said beneath it."""
    if isinstance(error, RequestTimeoutError):
        return Tried(error="timeout")
    if isinstance(error, ClientClosedError):
        return CLOSED
    causes = (error.details["causes"] or []) if isinstance(error, DetailedPyreqwestError) else []
    # The first cause holds the URL, in which anything may stand.
    told = [cause["message"] for cause in causes[1:]]
    last = told[-1] if told else ""
    code = int(found[1]) if (found := _OS_ERROR.search(last)) else 0
    if code in _NO_WAY and not _routed(address, port):
        return said("route", last, ours=True)
    if code in _EXHAUSTED:
        return said("resources", last, ours=True)
    if any(_TLS.search(one) for one in told):
        return said("tls", last)
    return said("connect" if isinstance(error, ConnectError) else "network", last)


def _routed(address: str, port: int) -> bool:
    """Whether this machine knows a way to the address. Nothing is sent: a host that is down has a way to it, too."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))
    except OSError:
        return False
    return True


def _text(response: BaseResponse, name: str) -> str | None:
    """A header of the answer; None when it is not there or no text."""
    try:
        return response.get_header(name)
    except ValueError:
        return None
