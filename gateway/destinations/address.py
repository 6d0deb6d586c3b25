"""Which addresses may be sent to. The vetted address is the one connected to."""

import asyncio
import ipaddress
import re
import socket

import msgspec
from pyreqwest.http import Url

from gateway.clock import Clock
from gateway.errors import ConfigError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
# Set aside after the interpreter's own table was made, or taken for public by it: 6to4 relays, ORCHID, the second documentation prefix.
_SET_ASIDE = tuple(ipaddress.ip_network(one) for one in ("192.88.99.0/24", "2001:10::/28", "2001:20::/28", "3fff::/20"))
# RFC 5214: the last 64 bits of an ISATAP address are this and an IPv4 address.
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_KEEP = 30.0
_KEEP_OURS = 1.0
_MOST = 4096
# What the resolver of this machine, and not the name, is at fault for.
_OURS = (socket.EAI_MEMORY, socket.EAI_SYSTEM)
# An authority without userinfo, white space, escapes or backslashes: the characters on which readers of URLs disagree.
_URL = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::([0-9]{1,5}))?(?:[/?#][^\s\x00-\x20\x7f]*)?", re.A | re.I
)
# A host whose last part is a number is an address in some notation, never a name.
_NUMBER = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)\.?\Z")
_PORTS = {
    "http": 80, "https": 443, "kafka": 9092, "kafkas": 9092, "redis": 6379, "rediss": 6379, "smtp": 587, "smtps": 465,
}  # fmt: skip


class Vetted(msgspec.Struct, frozen=True):
    """Connect to ``host`` at ``address``, or at one of ``others``, and nowhere else."""

    host: str
    port: int
    address: str
    others: tuple[str, ...] = ()


class Unfit(msgspec.Struct, frozen=True):
    """``error`` is ``address`` (not allowed) or ``dns`` (no such host). ``ours``: our resolver failed for every name, which says nothing of the host."""

    error: str
    detail: str
    ours: bool = False


class Place(msgspec.Struct, frozen=True):
    """Whom a URL means: ``host`` in lower case, without brackets."""

    scheme: str
    host: str
    port: int


def place_of(url: str) -> Place:
    """Whom every reader of this URL would connect to. ConfigError when readers could differ, or when nobody is meant.

    The client that posts reads URLs by the WHATWG's rules, where ``2130706433``, ``①②⑦.1`` and ``%6c%6f…`` are hosts in disguise. So a host
    must be written as the client understands it.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise ConfigError(*_not_plain(url))
    scheme, host = found[1].lower(), found[2].lower().strip("[]")
    port = int(found[3]) if found[3] else _PORTS.get(scheme, 0)
    if not 0 < port < 65536:
        raise ConfigError("names no port between 1 and 65535")
    if scheme in ("http", "https"):
        _need_same(url, host, port)
    elif _NUMBER.search(host) and not _is_literal(host):
        raise ConfigError("names a host that is neither a name nor a plain address", remedy="write a.b.c.d")
    return Place(scheme, host, port)


def _not_plain(url: str) -> tuple[str]:
    if "@" in url.partition("://")[2].partition("/")[0]:
        return ("holds a user or password: they belong in `auth`, where nobody sees them",)
    if not url.isascii() and "://" in url:
        return ("names a host in other letters than ASCII: write it as xn--…",)
    return ("is not an address such as https://crm.example/hooks",)


def _need_same(url: str, host: str, port: int) -> None:
    try:
        read = Url(url)
    except ValueError as error:
        raise ConfigError(f"is not an address: {error}") from error
    theirs = (read.host_str or "").strip("[]")
    same = theirs == host or (":" in host and ipaddress.ip_address(theirs) == ipaddress.ip_address(host))
    if not same or read.port_or_known_default != port:
        raise ConfigError("names a host in disguise", remedy=f"if that is meant, write {theirs}")


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def special(address: str) -> bool:
    """Whether an address is anything but a public unicast one, also when it is wrapped in an IPv6 form (mapped, 6to4, NAT64, Teredo, ISATAP)."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _inner(ip)
        if inner is not None:
            return special(str(inner))
        if ip not in _UNICAST:
            return True
    return not ip.is_global or ip.is_multicast or any(ip in network for network in _SET_ASIDE)


def _inner(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to."""
    found = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
    if found is None and (ip in _NAT64 or (int(ip) >> 32) & 0xFFFF_FFFF in _ISATAP):
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return found


class Vetter:
    """Resolves and vets, remembering an answer for half a minute. Who asks for what is being asked waits for the same answer.

    A resolver that fails is our own fault only while it fails for everybody: a name that fails again after another was resolved in between is
    itself at fault, else what is sent there would be tried for ever.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, int, bool], tuple[float, Vetted | Unfit]] = {}
        self._asking: dict[tuple[str, int, bool], asyncio.Task[Vetted | Unfit]] = {}
        self._resolved = 0
        self._failing: dict[str, int] = {}

    async def vet(self, url: str, *, allow_private: bool) -> Vetted | Unfit:
        """Where this URL may be sent to. Every address of the name must be fit, so that a second answer cannot slip through."""
        try:
            place = place_of(url)
        except ConfigError as error:
            return Unfit("address", f"the address {error}")
        return await self.vet_host(place.host, place.port, allow_private=allow_private)

    async def vet_host(self, host: str, port: int, *, allow_private: bool, within: float = 5.0) -> Vetted | Unfit:
        """As ``vet``, for a host that was read from its URL already. Answers ``within`` seconds; a slow resolver is a fault of ours."""
        known = self.known(host, port, allow_private=allow_private)
        if known is not None:
            return known
        key = (host, port, allow_private)
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.get_running_loop().create_task(self._ask(key))
        try:
            async with asyncio.timeout(min(within, 5.0)):
                return await asyncio.shield(asking)
        except TimeoutError:
            return Unfit("dns", f"{host} was not resolved in time", ours=self._failed(host))

    def known(self, host: str, port: int, *, allow_private: bool) -> Vetted | Unfit | None:
        """What ``vet_host`` would answer without asking anybody; None where it would ask."""
        known = self._known.get((host, port, allow_private))
        return known[1] if known and self._clock.monotonic() < known[0] else None

    def _failed(self, host: str) -> bool:
        """The resolver did not answer about a name: whether that is our fault."""
        before = self._failing.pop(host, None)
        self._failing[host] = self._resolved
        if len(self._failing) > _MOST:
            del self._failing[next(iter(self._failing))]
        return before is None or before == self._resolved

    def _answered(self, host: str) -> None:
        self._failing.pop(host, None)
        # A single label is mostly this machine's own table, which answers without any resolver.
        if "." in host and not _is_literal(host):
            self._resolved += 1

    async def _ask(self, key: tuple[str, int, bool]) -> Vetted | Unfit:
        try:
            answer = await self._resolve(*key)
        finally:
            del self._asking[key]
        ours = isinstance(answer, Unfit) and answer.ours
        self._known.pop(key, None)
        self._known[key] = (self._clock.monotonic() + (_KEEP_OURS if ours else _KEEP), answer)
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
        return answer

    async def _resolve(self, host: str, port: int, allow_private: bool) -> Vetted | Unfit:
        try:
            addresses = [host] if _is_literal(host) else await _look(host, port)
        except UnicodeError:
            return Unfit("dns", f"{host} is no name that could be resolved")
        except OSError as error:
            ours = not isinstance(error, socket.gaierror) or error.errno in _OURS
            if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
                ours = self._failed(host)
            return Unfit("dns", f"{host} cannot be resolved: {error.strerror}", ours)
        self._answered(host)
        if not allow_private and any(special(address) for address in addresses):
            return Unfit(
                "address",
                f"{host} leads to a private or special address; set allow_private = true on the endpoint if that is meant",
            )
        return Vetted(host, port, addresses[0], tuple(addresses[1:]))


async def _look(host: str, port: int) -> list[str]:
    """Every address of a name, each once, in the resolver's order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
