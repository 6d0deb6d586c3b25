"""Answers of a process that is about to leave: each tells its connection to end, so that the next request goes to the successor."""

from collections.abc import AsyncIterator
from typing import Any

_CLOSE = ("connection", "close")


class Farewell:
    """A request's protocol (RSGI), whose answers say ``connection: close`` (RFC 9112 §9.6)."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    async def __call__(self) -> Any:
        """The whole body."""
        return await self._protocol()

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body in parts."""
        parts: AsyncIterator[bytes] = aiter(self._protocol)
        return parts

    async def client_disconnect(self) -> None:
        """Until whoever asked is gone."""
        await self._protocol.client_disconnect()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """A whole answer."""
        self._protocol.response_bytes(status, [*headers, _CLOSE], body)

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Any:
        """An answer in parts."""
        return self._protocol.response_stream(status, [*headers, _CLOSE])
