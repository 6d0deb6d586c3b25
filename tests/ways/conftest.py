"""Servers that live as long as the session, and start when the first test asks for them."""

from collections.abc import Iterator

import pytest

from tests.servers.kafka import KafkaServer
from tests.servers.redis import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Redis."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Apache Kafka."""
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    server.format()
    server.start()
    yield server
    server.stop()
