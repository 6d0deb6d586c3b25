"""Heads of requests: what they say, which are answered without asking anybody, and offers that are declined."""

from collections.abc import Mapping, Sequence

from gateway.doors.exchange import head

MOST_HEAD = 64 * 1024
"""Bytes of a head's names and values."""
MOST_HEADERS = 128
"""Headers, with trailers."""
MOST_TARGET = 16 * 1024
"""Bytes of a target."""

# Those that nearly every request has, as they are usually written: to look one up costs less than to spell it.
_USUAL = {
    spelt.encode(): name
    for name in (
        "accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host", "idempotency-key", "transfer-encoding",
        "user-agent", "webhook-id", "webhook-signature", "webhook-timestamp", "x-forwarded-for", "x-forwarded-proto", "x-real-ip",
    )
    for spelt in (name, name.title())
}  # fmt: skip
_VERSIONS = frozenset({"1.0", "1.1"})
_PROBLEM = '{"title":"%s","status":%d}'


class Refused(Exception):
    """One of them. Never leaves its connection."""

    def __init__(self, status: int, title: str) -> None:
        super().__init__(title)
        self.status = status
        self.title = title


def named(fields: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by their names in small letters; one that came several times holds all its values (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    size = 0
    for name, value in fields:
        size += len(name) + len(value)
        key, text = _USUAL.get(name) or name.decode("latin-1").lower(), value.rstrip().decode("latin-1")
        if key in headers:
            if key == "host":
                raise Refused(400, "more than one host")
            text = f"{headers[key]}{'; ' if key == 'cookie' else ', '}{text}"
        headers[key] = text
    if size > MOST_HEAD:
        raise Refused(431, "the head is too large")
    return headers


def checked(method: str, version: str, headers: Mapping[str, str]) -> None:
    """Refuse what the parser lets through and others would read in another way."""
    if method == "CONNECT":
        raise Refused(400, "no tunnels here")
    if version not in _VERSIONS:
        raise Refused(505, "HTTP/1.1 is spoken here")
    coding = headers.get("transfer-encoding")
    if coding is not None and (version == "1.0" or coding.lower() != "chunked"):
        raise Refused(400, "chunks, of HTTP/1.1, are the only coding")
    if "host" not in headers and version != "1.0":
        raise Refused(400, "no host")


def origin(target: bytes) -> str:
    """Path and query; a proxy's form names scheme and host before them (RFC 9112 §3.2.2)."""
    text = target.decode("latin-1")
    if text.startswith("/"):
        return text
    _, scheme, rest = text.partition("://")
    if not scheme:
        raise Refused(400, "the target is no path")
    return f"/{rest.partition('/')[2]}"


def plain(method: bytes, target: bytes, version: str, headers: Mapping[str, str]) -> bytes:
    """The head of a request that offered another protocol (RFC 9110 §7.8), as if it had not; what comes behind it may be no HTTP."""
    kept = {**headers, "connection": "close"}
    del kept["upgrade"]
    lines = "".join([f"{name}: {value}\r\n" for name, value in kept.items()])
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version.encode(), lines.encode("latin-1"))


def problem(refused: Refused) -> tuple[bytes, bytes]:
    """The answer's head, and its body."""
    body = _PROBLEM % (refused.title, refused.status)
    headers = [("content-type", "application/problem+json")]
    if refused.status == 503:
        headers.append(("retry-after", "5"))
    return head(refused.status, headers), body.encode()
