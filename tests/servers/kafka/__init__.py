"""Apache Kafka in KRaft mode, one node, with a wire of ours before it and a TLS port that asks for a password."""

import subprocess
import sys
from pathlib import Path

from tests.servers import certificates
from tests.servers.process import Program, free_port

USER, PASSWORD = "gateway", "correct-horse"
JARS = Path(sys.prefix) / "kafka"
"""Where `make test` puts the broker, by pom.xml beside this file."""

_JAVA = ["java", "-cp", f"{JARS}/*", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


class KafkaServer(Program):
    """``port`` is for looking at what arrived; clients on ``relayed`` are told to come back through ``wire``, where a test puts its relay;
    ``secure`` speaks TLS and SASL/PLAIN; clients on ``stray`` are told that the broker lives at 10.255.255.1.
    """

    def __init__(self, folder: Path) -> None:
        self.relayed, self.wire, self.secure, self.stray = (free_port() for _ in range(4))
        self.certificates = certificates.make(folder)
        port = free_port()
        self._properties = folder / "server.properties"
        self._properties.write_text(self._configured(port, free_port(), folder))
        also = (self.relayed, self.secure, self.stray)
        command = [*_JAVA, "kafka.Kafka", str(self._properties)]
        super().__init__(command, port=port, folder=folder, also=also, patience=100.0)

    def format(self) -> None:
        """Make its storage, once before the first start."""
        storage = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", "MkU3OEVBNTcwNTJENDM2Qg"]
        subprocess.run(
            [*_JAVA, *storage, "-c", str(self._properties)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def tool(self, name: str, *arguments: str) -> str:
        """What one of Kafka's own programs says."""
        ran = subprocess.run([*_JAVA, name, *arguments], check=True, capture_output=True, text=True, timeout=60)
        return ran.stdout

    def _configured(self, port: int, controller: int, folder: Path) -> str:
        listeners = {"PLAIN": port, "RELAYED": self.relayed, "SECURE": self.secure, "STRAY": self.stray}
        told = {"PLAIN": port, "RELAYED": self.wire, "SECURE": self.secure}
        login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        options = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAIN",
            "listeners": ",".join(
                f"{name}://127.0.0.1:{at}" for name, at in {**listeners, "CONTROLLER": controller}.items()
            ),
            "advertised.listeners": ",".join(f"{name}://127.0.0.1:{at}" for name, at in told.items())
            + f",STRAY://10.255.255.1:{self.stray}",
            "listener.security.protocol.map": "PLAIN:PLAINTEXT,RELAYED:PLAINTEXT,STRAY:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
            "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secure.plain.sasl.jaas.config": login,
            "listener.name.secure.ssl.keystore.type": "PEM",
            "listener.name.secure.ssl.keystore.location": self.certificates.both,
            "log.dirs": folder / "data",
            "num.partitions": 3,
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
        }
        return "".join(f"{name}={value}\n" for name, value in options.items())
