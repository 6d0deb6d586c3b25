"""Requests that are answered without asking anybody: what is said, and why."""

from collections.abc import Mapping

from gateway.doors.exchange import head

_MOST_TARGET = 16 * 1024
_PROBLEM = '{"title":"%s","status":%d}'


class Refused(Exception):
    """One of them. Never leaves its connection."""

    def __init__(self, status: int, title: str) -> None:
        super().__init__(title)
        self.status = status
        self.title = title


def checked(version: str, headers: Mapping[str, str]) -> None:
    """Refuse what the parser lets through and others would read in another way."""
    if "transfer-encoding" in headers and version == "1.0":
        raise Refused(400, "chunks came with HTTP/1.1")
    if "host" not in headers and version != "1.0":
        raise Refused(400, "no host")


def origin(target: bytes) -> str:
    """Path and query; a proxy's form names scheme and host before them (RFC 9112 §3.2.2)."""
    if len(target) > _MOST_TARGET:
        raise Refused(414, "the target is too long")
    text = target.decode("latin-1")
    if text.startswith("/"):
        return text
    _, scheme, rest = text.partition("://")
    if not scheme:
        raise Refused(400, "the target is no path")
    return f"/{rest.partition('/')[2]}"


def problem(refused: Refused) -> tuple[bytes, bytes]:
    """The answer's head, and its body."""
    body = _PROBLEM % (refused.title, refused.status)
    headers = [("content-type", "application/problem+json")]
    if refused.status == 503:
        headers.append(("retry-after", "5"))
    return head(refused.status, headers), body.encode()
