"""The Kafka way, against Apache Kafka."""

import asyncio
import inspect
import struct
from collections.abc import Sequence
from itertools import count

import aiokafka.errors
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from gateway.clock import SystemClock
from gateway.destination import Auth, Destination, Endpoint, Kind
from gateway.destinations import kafka as way
from gateway.destinations.address import Unfit, Vetted, Vetter
from gateway.errors import ConfigError
from gateway.model.secret import Secret
from tests.contract.destination import IMPATIENT, Arrived, DestinationContract, FarSide, message, word
from tests.servers.kafka import PASSWORD, USER, KafkaServer
from tests.servers.relay import Relay

_names = count()
_PROBE = b"probe" * 4000


class FarTopic:
    """A topic of its own in the shared broker, reached over a wire that can be cut."""

    def __init__(self, server: KafkaServer) -> None:
        self.server = server
        self.name = f"events.{next(_names)}"
        self.url = f"kafka://127.0.0.1:{server.wire}/{self.name}"
        self.relay = Relay(server.wire, server.relayed)

    async def open(self) -> None:
        await self.relay.open()
        async with _admin(self.server) as admin:
            await admin.create_topics([NewTopic(self.name, num_partitions=3, replication_factor=1)])

    async def refuse(self) -> None:
        await self._limit(1)

    async def leave(self) -> None:
        await self.relay.close()

    async def hang(self) -> None:
        self.relay.hang()

    async def recover(self) -> None:
        await self.relay.open()
        await self._limit(10_000_000)

    async def _limit(self, most: int) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, self.name, {"max.message.bytes": str(most)})
        async with _admin(self.server) as admin:
            await admin.alter_configs([resource])
        # The controller answers before the broker's partitions follow: only a record that is taken, or refused, tells that they do.
        async with AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{self.server.port}", acks="all") as producer:
            for part in range(3):
                while await _takes(producer, self.name, part) is not (len(_PROBE) < most):
                    await asyncio.sleep(0.01)

    async def arrived(self) -> Sequence[Arrived]:
        consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{self.server.port}", auto_offset_reset="earliest")
        await consumer.start()
        try:
            parts = [TopicPartition(self.name, number) for number in range(3)]
            consumer.assign(parts)
            ends = await consumer.end_offsets(parts)
            found = []
            for part in parts:
                while await consumer.position(part) < ends[part]:
                    records = (await consumer.getmany(part, timeout_ms=5000))[part]
                    found += [_arrived(record) for record in records if record.value != _PROBE]
        finally:
            await consumer.stop()
        return found

    async def close(self) -> None:
        await self.relay.close()


class _admin:
    def __init__(self, server: KafkaServer) -> None:
        self._client = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{server.port}")

    async def __aenter__(self) -> AIOKafkaAdminClient:
        await self._client.start()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()


async def _takes(producer: AIOKafkaProducer, topic: str, part: int) -> bool:
    try:
        await producer.send_and_wait(topic, _PROBE, partition=part)
    except aiokafka.errors.MessageSizeTooLargeError:
        return False
    return True


def _arrived(record: aiokafka.ConsumerRecord) -> Arrived:
    headers = {name: value.decode() for name, value in record.headers}
    return Arrived(
        body=record.value,
        id=headers["webhook-id"],
        type=headers["type"],
        subject=record.key.decode(),
        headers=headers,
    )


class TestKafka(DestinationContract):
    """The contract, and what is Kafka's own."""

    kind = Kind.KAFKA

    @pytest.fixture(autouse=True)
    def _real_server(self, kafka_server: KafkaServer) -> None:
        self.server = kafka_server

    async def far(self) -> FarTopic:
        far = FarTopic(self.server)
        await far.open()
        return far

    def way(self, end: Endpoint) -> Destination:
        clock = SystemClock()
        return way.open(end, clock=clock, vetter=Vetter(clock))

    def test_console_consumer_of_kafka_itself_reads_key_headers_and_value(self) -> None:
        """What arrived is not only what our own library reads back."""

        async def scenario(far: FarTopic) -> None:
            topic = self.open(self.end(far))
            sent = message(1)
            assert (await self.send(topic, sent)).ok
            await topic.close()
            shown = ["print.key=true", "print.headers=true", "print.timestamp=true"]
            said = await asyncio.to_thread(
                self.server.tool,
                "org.apache.kafka.tools.consumer.ConsoleConsumer",
                *("--bootstrap-server", f"127.0.0.1:{self.server.port}", "--topic", far.name),
                *("--from-beginning", "--max-messages", "1", "--timeout-ms", "20000"),
                *(part for one in shown for part in ("--property", one)),
            )
            assert f"CreateTime:{sent.at // 1000}" in said
            assert "webhook-id:evt_0001,type:order.paid,webhook-timestamp:" in said
            assert f"\tord_01\t{sent.body.decode()}" in said

        self.run(scenario)

    def test_subject_keeps_to_one_partition_and_subjects_spread(self) -> None:
        """The key is the subject: order per subject, and room to grow."""

        async def scenario(far: FarTopic) -> None:
            topic = self.open(self.end(far))
            sent = [message(number, subject=f"ord_{number % 20}") for number in range(60)]
            assert (await self.send(topic, *sent)).ok
            arrived = await far.arrived()
            for subject in {one.subject for one in sent}:
                assert [one.id for one in arrived if one.subject == subject] == [
                    one.id for one in sent if one.subject == subject
                ]
            assert [one.id for one in arrived] != [one.id for one in sent]

        self.run(scenario)

    def test_endpoint_without_a_secret_sends_no_signature(self) -> None:
        """Rather than an empty one."""

        async def scenario(far: FarSide) -> None:
            topic = self.open(self.end(far, secrets=()))
            assert (await self.send(topic, message(1))).ok
            assert set((await far.arrived())[0].headers) == {"webhook-id", "type"}

        self.run(scenario)

    def test_second_broker_of_the_list_is_enough(self) -> None:
        """One of them may be down when we start."""

        async def scenario(far: FarTopic) -> None:
            url = f"kafka://127.0.0.1:1,127.0.0.1:{self.server.wire}/{far.name}"
            topic = self.open(self.end(far, url=url))
            assert (await self.send(topic, message(1))).ok

        self.run(scenario)

    def test_refusal_of_one_leaves_the_next_its_place_in_the_sequence(self) -> None:
        """An idempotent producer that was refused once has lost count; ours begins anew."""

        async def scenario(far: FarTopic) -> None:
            topic = self.open(self.end(far))
            assert (await self.send(topic, message(1))).ok
            await far._limit(5000)
            assert word(await self.send(topic, message(2, padding=20_000))) == "refused"
            for number in range(3, 6):
                assert (await self.send(topic, message(number))).ok
            assert [one.id for one in await far.arrived()] == ["evt_0001", "evt_0003", "evt_0004", "evt_0005"]

        self.run(scenario)

    @pytest.mark.parametrize(("password", "expected"), [(PASSWORD, "http 200"), ("wrong", "auth")])
    def test_password_is_shown_over_tls(self, password: str, expected: str) -> None:
        """SASL/PLAIN with the authority that the endpoint names; a wrong password is told as such."""

        async def scenario(far: FarTopic) -> None:
            authority = str(self.server.certificates.authority)
            auth = Auth(kind="basic", username=USER, password=Secret(password), authority=authority)
            topic = self.open(self.end(far, url=self._secure(far), auth=auth))
            assert word(await self.send(topic, message(1))) == expected
            assert len(await far.arrived()) == (expected == "http 200")

        self.run(scenario)

    def test_certificate_of_an_unknown_authority_is_told(self) -> None:
        """Nothing is said to a broker that is not who it should be."""

        async def scenario(far: FarTopic) -> None:
            auth = Auth(kind="basic", username=USER, password=Secret(PASSWORD))
            topic = self.open(self.end(far, url=self._secure(far), auth=auth))
            assert word(await self.send(topic, message(1))) == "tls"

        self.run(scenario)

    def test_broker_that_the_cluster_names_is_vetted_too(self) -> None:
        """A cluster could name any address inside our network; it is not connected to."""

        class Wary(Vetter):
            async def vet(self, url: str, *, allow_private: bool) -> Vetted | Unfit:
                if "10.255.255.1" in url:
                    return await super().vet(url, allow_private=False)
                return await super().vet(url, allow_private=True)

        async def scenario(far: FarTopic) -> None:
            url = f"kafka://127.0.0.1:{self.server.stray}/{far.name}"
            end = self.end(far, url=url, timeout=IMPATIENT)
            topic = way.open(end, clock=SystemClock(), vetter=Wary(SystemClock()))
            tried = await self.send(topic, message(1))
            # On a busy machine the time may be over before the cluster has named anybody.
            while tried.error == "timeout":
                tried = await self.send(topic, message(1))
            assert tried.error == "address"
            assert b"10.255.255.1" in tried.response

        self.run(scenario)

    def test_answer_that_makes_no_sense_is_told(self) -> None:
        """A frame of the right form with versions that run backwards: the library trips over it, and we do not."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked = await reader.read(65536)
            # ApiVersions, correlation id, no error, one entry: of request 18, versions 5 to 1.
            writer.write(struct.pack(">i4shihhh", 16, asked[8:12], 0, 1, 18, 5, 1))
            await reader.read()
            writer.close()

        async def main() -> None:
            server = await self._opened.enter_async_context(await asyncio.start_server(talk, "127.0.0.1", 0))
            url = f"kafka://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
            topic = self.open(self.end(FarTopic(self.server), url=url))
            tried = await self.send(topic, message(1))
            assert (tried.error, tried.ours) == ("protocol", False)

        self.within(main)

    def _secure(self, far: FarTopic) -> str:
        return f"kafkas://127.0.0.1:{self.server.secure}/{far.name}"


@pytest.mark.parametrize(
    "url",
    ["kafka://host:9092", "kafka://host/", "kafka:///topic", "kafka://host/a/b", "kafka://u:p@host/t", "kafka://host/..", "amqp://host/t"],
)  # fmt: skip
def test_url_that_names_no_topic_is_an_error(url: str) -> None:
    """With its place and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        way.topic_of(url, place="endpoints.bi.url")
    assert caught.value.place == "endpoints.bi.url"
    assert "kafka://host:9092" in caught.value.remedy


def test_url_names_several_brokers() -> None:
    """The port is 9092 unless it is said; IPv6 stands in brackets."""
    topic = way.topic_of("kafkas://a.example,b.example:9093,[2001:db8::1]/crm.events", place="")
    assert topic == way.Topic(("a.example:9092", "b.example:9093", "[2001:db8::1]:9092"), "crm.events", True)


def test_no_exception_of_the_library_is_without_a_word() -> None:
    """Every class of aiokafka.errors leads to a word that the documentation names."""
    kinds = [kind for _, kind in inspect.getmembers(aiokafka.errors, inspect.isclass) if issubclass(kind, Exception)]
    words = {way.tried_of(kind("x")).error for kind in kinds if issubclass(kind, aiokafka.errors.KafkaError)}
    assert words == {"auth", "timeout", "refused", "network"}
