"""One try: a signed body posted to the vetted address, and what came of it."""

from collections.abc import Mapping
from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectError, PyreqwestError, RequestTimeoutError
from pyreqwest.response import BaseResponse

from gateway.destination import Endpoint, Tried
from gateway.destinations.address import Unfit, Vetted, Vetter

RESPONSE_KEPT = 2048
"""Bytes of an answer that are kept; no more than a few times that is ever read."""


class Poster:
    """One endpoint's client, pinned to the vetted address."""

    def __init__(self, vetter: Vetter) -> None:
        self._vetter = vetter
        self._clients: dict[tuple[str, Vetted], Client] = {}

    async def post(self, end: Endpoint, body: bytes, headers: Mapping[str, str]) -> Tried:
        """Never raises for what an endpoint or the network can do."""
        where = await self._vetter.vet(end.url, allow_private=end.allow_private)
        if isinstance(where, Unfit):
            return Tried(error=where.error, response=where.detail.encode())
        client = self._client(end, where)
        request = (
            client.post(end.url)
            .headers(headers)
            .body_bytes(body)
            .timeout(timedelta(seconds=end.timeout))
            .streamed_read_buffer_limit(RESPONSE_KEPT * 8)
            .build_streamed()
        )
        try:
            async with request as response:
                kept = await response.body_reader.read(RESPONSE_KEPT)
                return Tried(
                    status=response.status,
                    retry_after=_text(response, "retry-after"),
                    response=bytes(kept) if kept else b"",
                )
        except RequestTimeoutError:
            return Tried(error="timeout")
        except ConnectError as error:
            return Tried(error="tls" if "certificate" in str(error).lower() else "connect")
        except PyreqwestError:
            return Tried(error="network")

    def _client(self, end: Endpoint, where: Vetted) -> Client:
        key = (end.name, where)
        client = self._clients.get(key)
        if client is None:
            builder = ClientBuilder().follow_redirects(False).no_proxy().pool_max_idle_per_host(end.concurrency)
            builder = builder.user_agent("scrm-gateway").resolve(where.host, where.address, where.port)
            client = self._clients[key] = builder.build()
        return client

    async def close(self) -> None:
        """Drop all connections."""
        for client in self._clients.values():
            await client.close()


def _text(response: BaseResponse, name: str) -> str | None:
    """A header of the answer; None when it is not there or no text."""
    try:
        return response.get_header(name)
    except ValueError:
        return None
