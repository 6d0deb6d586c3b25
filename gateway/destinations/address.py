"""Which addresses a webhook may go to. The vetted address is the one connected to."""

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

import msgspec

from gateway.clock import Clock

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_KEEP = 30.0


class Vetted(msgspec.Struct, frozen=True):
    """Connect to ``host`` at ``address`` and nowhere else."""

    host: str
    port: int
    address: str


class Unfit(msgspec.Struct, frozen=True):
    """``error`` is ``address`` (not allowed) or ``dns`` (no such host)."""

    error: str
    detail: str


def special(address: str) -> bool:
    """Whether an address is anything but a public unicast one, also when it is wrapped in an IPv6 form (mapped, 6to4, NAT64, Teredo)."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return special(str(inner))
        # ::/8 holds the deprecated IPv4-compatible forms, fec0::/10 the deprecated private ones.
        if int(ip) >> 120 == 0 or ip.is_site_local:
            return True
    return not ip.is_global or ip.is_multicast


class Vetter:
    """Resolves and vets, remembering an answer for half a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, bool], tuple[float, Vetted | Unfit]] = {}

    async def vet(self, url: str, *, allow_private: bool) -> Vetted | Unfit:
        """Where this URL may be posted to. Every address of the name must be fit, so that a second answer cannot slip through."""
        key = (url, allow_private)
        known = self._known.get(key)
        if known and self._clock.monotonic() - known[0] < _KEEP:
            return known[1]
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        answer = await self._resolve(host, port, allow_private)
        self._known[key] = (self._clock.monotonic(), answer)
        return answer

    async def _resolve(self, host: str, port: int, allow_private: bool) -> Vetted | Unfit:
        try:
            async with asyncio.timeout(5.0):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            return Unfit("dns", f"{host} cannot be resolved: {type(error).__name__}")
        addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
        if not allow_private and any(special(address) for address in addresses):
            return Unfit(
                "address",
                f"{host} leads to a private or special address; set allow_private = true on the endpoint if that is meant",
            )
        return Vetted(host, port, addresses[0])
