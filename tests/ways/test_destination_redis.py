"""The Redis way, against Redis."""

import asyncio
from collections.abc import Sequence
from itertools import count

import pytest
from redis.asyncio import Redis

from gateway.clock import SystemClock
from gateway.destination import Auth, Destination, Endpoint, Kind
from gateway.destinations import redis as way
from gateway.destinations.address import Vetter
from gateway.errors import ConfigError
from gateway.model.secret import Secret
from tests.contract.destination import Arrived, DestinationContract, FarSide, message, word
from tests.servers.redis import PASSWORD, USER, RedisServer

_names = count()


class FarStream:
    """A stream of its own in the shared server, which is really stopped, frozen and started."""

    def __init__(self, server: RedisServer, query: str = "") -> None:
        self.server = server
        self.name = f"events{next(_names)}"
        self.url = f"redis://127.0.0.1:{server.port}/0/{self.name}{query}"

    async def ask(self, *command: str | bytes | int) -> object:
        async with Redis(port=self.server.port) as client:
            return await client.execute_command(*command)

    async def refuse(self) -> None:
        await self.ask("SET", self.name, "no stream")

    async def leave(self) -> None:
        self.server.stop()

    async def hang(self) -> None:
        self.server.pause()

    async def recover(self) -> None:
        self.server.resume()
        if not self.server.running:
            self.server.start()
        if await self.ask("TYPE", self.name) != b"stream":
            await self.ask("DEL", self.name)

    async def arrived(self) -> Sequence[Arrived]:
        async with Redis(port=self.server.port) as client:
            entries = await client.xrange(self.name)
        return [_arrived(fields) for _, fields in entries]

    async def close(self) -> None:
        await self.recover()
        await self.ask("DEL", self.name)


def _arrived(fields: dict[bytes, bytes]) -> Arrived:
    told = {name.decode(): value for name, value in fields.items()}
    return Arrived(
        body=told["body"],
        id=told["id"].decode(),
        type=told["type"].decode(),
        subject=told["subject"].decode(),
        headers={
            "webhook-id": told["id"].decode(),
            "webhook-timestamp": told.get("timestamp", b"").decode(),
            "webhook-signature": told.get("signature", b"").decode(),
        },
    )


class TestRedis(DestinationContract):
    """The contract, and what is Redis's own."""

    kind = Kind.REDIS

    @pytest.fixture(autouse=True)
    def _real_server(self, redis_server: RedisServer) -> None:
        self.server = redis_server

    async def far(self) -> FarStream:
        return FarStream(self.server)

    def way(self, end: Endpoint) -> Destination:
        clock = SystemClock()
        return way.open(end, clock=clock, vetter=Vetter(clock))

    def test_endpoint_without_a_secret_sends_no_signature(self) -> None:
        """Rather than an empty one."""

        async def scenario(far: FarSide) -> None:
            stream = self.open(self.end(far, secrets=()))
            assert (await self.send(stream, message(1))).ok
            assert (await far.arrived())[0].headers["webhook-signature"] == ""

        self.run(scenario)

    def test_bounded_stream_forgets_the_oldest(self) -> None:
        """Approximately: Redis drops whole blocks of about a hundred."""

        async def main() -> None:
            far = FarStream(self.server, "?maxlen=100")
            self._opened.push_async_callback(far.close)
            stream = self.open(self.end(far))
            for part in range(5):
                assert (await self.send(stream, *(message(100 * part + number) for number in range(100)))).ok
            arrived = await far.arrived()
            assert 100 <= len(arrived) < 300
            assert arrived[-1].id == "evt_0499"

        self.within(main)

    def test_batch_that_is_refused_leaves_nothing_behind(self) -> None:
        """A MULTI/EXEC that the server will not take is taken by no part."""

        async def scenario(far: FarStream) -> None:
            stream = self.open(self.end(far))
            await far.ask("CONFIG", "SET", "maxmemory", "1")
            tried = await self.send(stream, *(message(number) for number in range(10)))
            await far.ask("CONFIG", "SET", "maxmemory", "0")
            assert tried.error == "refused"
            assert b"memory" in tried.response
            assert await far.arrived() == []

        self.run(scenario)

    @pytest.mark.parametrize(("password", "expected"), [(PASSWORD, "http 200"), ("wrong", "auth")])
    def test_password_is_shown_over_tls(self, password: str, expected: str) -> None:
        """With the authority that the endpoint names; a wrong password is told as such."""

        async def scenario(far: FarStream) -> None:
            stream = self.open(self.end(far, url=self._secure(far), auth=self._auth(password)))
            assert word(await self.send(stream, message(1))) == expected
            assert len(await far.arrived()) == (expected == "http 200")

        self.run(scenario)

    def test_certificate_of_an_unknown_authority_is_told(self) -> None:
        """Nothing is said to a server that is not who it should be."""

        async def scenario(far: FarStream) -> None:
            stream = self.open(self.end(far, url=self._secure(far)))
            assert word(await self.send(stream, message(1))) == "tls"
            assert await far.arrived() == []

        self.run(scenario)

    def test_user_without_the_right_is_told(self) -> None:
        """NOPERM is a matter of credentials, not of the event."""

        async def scenario(far: FarStream) -> None:
            await far.ask("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+multi", "+exec")
            auth = Auth(kind="basic", username="reader", password=Secret("secret"))
            stream = self.open(self.end(far, auth=auth))
            assert word(await self.send(stream, message(1))) == "auth"

        self.run(scenario)

    @pytest.mark.parametrize("answer", [b"*x\r\n", b":1\r\n" * 3], ids=["count", "exec"])
    def test_answer_that_makes_no_sense_is_told(self, answer: bytes) -> None:
        """Of the right form, and nothing that Redis would say: the library trips over it, and we do not."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(65536):
                writer.write(answer)
            writer.close()

        async def main() -> None:
            server = await self._opened.enter_async_context(await asyncio.start_server(talk, "127.0.0.1", 0))
            url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0/events"
            stream = self.open(self.end(FarStream(self.server), url=url))
            tried = await self.send(stream, message(1))
            assert (tried.error, tried.ours) == ("protocol", False)

        self.within(main)

    def _secure(self, far: FarStream) -> str:
        return f"rediss://127.0.0.1:{self.server.tls_port}/0/{far.name}"

    def _auth(self, password: str) -> Auth:
        authority = str(self.server.certificates.authority)
        return Auth(kind="basic", username=USER, password=Secret(password), authority=authority)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:6379/0",
        "redis://host:6379/0/",
        "redis://host:6379/x/events",
        "redis:///0/events",
        "redis://host:99999/0/events",
        "redis://u:p@host/0/events",
        "redis://host/0/events?maxlen=many",
        "redis://host/0/events?size=5",
        "http://host/0/events",
    ],
)
def test_url_that_names_no_stream_is_an_error(url: str) -> None:
    """With its place and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        way.stream_of(url, place="endpoints.bi.url")
    assert caught.value.place == "endpoints.bi.url"
    assert "redis://host:6379/0/stream" in caught.value.remedy


def test_url_says_where_and_how_much() -> None:
    """The port is 6379 unless it is said; a stream's name may hold slashes and be quoted."""
    stream = way.stream_of("rediss://cache.example/3/crm/events%3A1?maxlen=5000", place="")
    assert stream == way.Stream("cache.example", 6379, 3, "crm/events:1", 5000, True)
