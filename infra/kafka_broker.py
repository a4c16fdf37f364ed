"""Apache Kafka on this machine: one node for development, three for fault tests (KRaft)."""

import argparse
import base64
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.children import spawn, stop, wait_until
from infra.java import java_command, kafka_jars
from infra.kafka import MAX_MESSAGE_BYTES, broker_count
from infra.logging import tell
from infra.ports import HIGHEST_PORT, any_port, claimed_port
from infra.refusal import Refusal
from infra.settings import Settings, save_own
from infra.start import starting
from infra.supervisor import Process, Supervisor

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
MINORITY_STOP_TIMEOUT_S = 4.0
CONTROLLER_PORT_STEP = 1_000
NODE_COUNTS = (1, 3)
"""What `--brokers` takes: one alone, or three of which one may go."""

_SETTINGS = {
    "process.roles": "broker,controller",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "delete.topic.enable": "false",
    "message.max.bytes": str(MAX_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(MAX_MESSAGE_BYTES),
    "log.retention.ms": "-1",
    # Marks live in an internal topic, the only compacted one: a small buffer is enough.
    "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
    "offsets.topic.num.partitions": "4",
    "offsets.retention.minutes": str(366 * 24 * 60),
    "group.coordinator.threads": "1",
    "group.initial.rebalance.delay.ms": "0",
    "share.coordinator.state.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    # One thread that always has work wakes less often than several: a sixth of processor time.
    "num.network.threads": "1",
    "num.io.threads": "1",
    # A killed node may come back only when its session is over.
    "broker.session.timeout.ms": "2500",
    "broker.heartbeat.interval.ms": "500",
}
_SEVERAL = {
    "min.insync.replicas": "2",
    # Whoever is not heard of for so long is replaced: a broker, then the leader of the controllers.
    "broker.session.timeout.ms": "1200",
    "broker.heartbeat.interval.ms": "250",
    "controller.quorum.fetch.timeout.ms": "1000",
    "controller.quorum.election.timeout.ms": "300",
    "controller.quorum.election.backoff.max.ms": "300",
    "controller.quorum.request.timeout.ms": "1000",
    # A follower that does not keep up, such as one that is cut off from its leader alone, holds
    # acknowledgements up for so long.
    "replica.lag.time.max.ms": "3000",
    # A follower whose question was lost on the way asks again after that.
    "replica.socket.timeout.ms": "2000",
    # So does a broker that asked the controller, such as a leader for another set in sync.
    "controller.socket.timeout.ms": "2000",
    # A follower that asks a new leader too early asks again after that.
    "replica.fetch.backoff.ms": "100",
    # A follower that waits for records of one partition asks for others of that leader after that:
    # for those that were led by a broker that is gone.
    "replica.fetch.wait.max.ms": "100",
}
"""Timers of several nodes, so that the loss of one holds orders up for 1 to 3 s."""

_REPLICATED = (
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "share.coordinator.state.topic.replication.factor",
    "transaction.state.log.replication.factor",
)
_QUICK_COMPILER = "-XX:TieredStopAtLevel=1"
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
"""Java reads paths as the locale says; in that named C it finds none that is not ASCII."""

_LOG4J = Path(__file__).parent / "kafka" / "log4j2.xml"


@dataclass(slots=True, frozen=True)
class Node:
    """One Kafka node, broker and controller in one process.

    Others look for both of its ports `proxy_step` above where it listens.
    """

    node_id: int
    host: str
    port: int
    controller_port: int
    folder: Path
    proxy_step: int = 0


def kept_nodes(settings: Settings) -> int:
    """How many nodes have their folder in this data directory.

    Raises `Refusal` if it lacks one of them, in whose place an empty one would come.
    """
    folder = _kafka_folder(settings)
    found = sorted(path.name for path in folder.glob("node-*"))
    if found and found not in [[f"node-{n + 1}" for n in range(count)] for count in NODE_COUNTS]:
        wanted = f"node-1 alone or node-1 to node-{NODE_COUNTS[-1]}"
        raise Refusal(f"{folder} must hold {wanted}, held {', '.join(found)}")
    return len(found)


def plan_nodes(settings: Settings, count: int) -> tuple[Settings, list[Node]]:
    """Nodes on free ports from the configured one up, and the settings that lead to them.

    Raises `Refusal` if another number of nodes has data here, or for a path Kafka would cut up.
    """
    folder, kept = _kafka_folder(settings), kept_nodes(settings)
    if "," in str(folder):
        raise Refusal(f"the data directory must have no comma for Kafka, was {settings.data_dir}")
    if kept not in (0, count):
        raise Refusal(f"--brokers must be {kept} for the data in {folder}, was {count}")
    step = settings.proxy_step
    wanted = int(settings.kafka_bootstrap.split(",")[0].rpartition(":")[2]) - step
    told = settings.public_port, settings.query_port, settings.admin_port
    nodes: list[Node] = []
    for node_id in range(1, count + 1):
        taken = [*told, *node_ports(nodes)]
        port = claimed_port(settings.host, wanted, taken)
        controller_port = claimed_port(settings.host, _controller_port(wanted), [*taken, port])
        own = folder / f"node-{node_id}"
        nodes.append(Node(node_id, settings.host, port, controller_port, own, step))
    bootstrap = ",".join(f"{node.host}:{node.port + step}" for node in nodes)
    return replace(settings, kafka_bootstrap=bootstrap, replication_factor=count), nodes


def node_ports(nodes: Sequence[Node]) -> list[int]:
    """All ports at which the nodes listen."""
    return [port for node in nodes for port in (node.port, node.controller_port)]


def with_any_port(settings: Settings) -> Settings:
    """The settings with a port of the kernel's choice as the first to try, far from other stacks.

    A node that is restarted needs its port again, which a stack beside it must not take meanwhile.
    """
    return replace(settings, kafka_bootstrap=f"{settings.host}:{any_port(settings.host)}")


def kafka_processes(settings: Settings, nodes: Sequence[Node]) -> list[Process]:
    """The nodes as the supervisor runs them, formatted; the last is ready when all answer.

    Downloads the jars and installs Java first where that is needed (`infra.java.JavaMissing`).
    """
    java, jars = java_command(), kafka_jars()
    if not class_archive(jars).exists():
        _archive_classes(settings, java, jars)
    for node in nodes:
        # First of all of them: where only some have a folder, another has lost its data.
        node.folder.mkdir(parents=True, exist_ok=True)
    processes = []
    for node in nodes:
        prepare_node(node, nodes, java, jars)
        processes.append(
            Process(
                name="kafka" if len(nodes) == 1 else f"kafka-{node.node_id}",
                argv=node_argv(node, nodes, java, jars),
                ready=_all_answer(settings, nodes) if node is nodes[-1] else None,
                ready_timeout_s=START_TIMEOUT_S,
                # The others listen only once enough of them are there.
                port=node.port if node is nodes[-1] else 0,
                environment=_ENVIRONMENT,
                stop_timeout_s=_stop_timeout_s(nodes),
            )
        )
    return processes


def prepare_node(node: Node, nodes: Sequence[Node], java: str, jars: Path) -> None:
    """Write the node's configuration and, the first time, format its storage.

    Raises `Refusal` with Kafka's words if it cannot be formatted.
    """
    node.folder.mkdir(parents=True, exist_ok=True)
    configuration = node.folder / "server.properties"
    lines = [f"{name}={_escaped(v)}" for name, v in node_properties(node, nodes).items()]
    configuration.write_text("\n".join(lines) + "\n", encoding="ascii")
    if (node.folder / "data" / "meta.properties").exists():
        return
    command = [java, "-Xmx128m", _QUICK_COMPILER, f"-Dlog4j2.configurationFile={_LOG4J}"]
    command += ["-cp", f"{jars}/*", "kafka.tools.StorageTool", "format"]
    # In one word, since an id may begin with a dash.
    command += [f"--cluster-id={_cluster_id(node.folder.parent)}", "--config", str(configuration)]
    environment = {**os.environ, **_ENVIRONMENT}
    answer = subprocess.run(
        command,
        check=False,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
    )
    if answer.returncode != 0:
        said = " ".join((answer.stderr or answer.stdout).split())[-300:] or "nothing"
        raise Refusal(f"{node.folder} must be formatted for Kafka, was not; Kafka said: {said}")


def class_archive(jars: Path) -> Path:
    """Where Kafka's classes lie as the runtime wants them; without it a node starts all the same.

    A node starts in 1.4 s with it and in 2.5 s without, of processor time 2.3 and 4.0 s.
    """
    return jars.with_name(f"{jars.name}.jsa")


def node_argv(node: Node, nodes: Sequence[Node], java: str, jars: Path) -> tuple[str, ...]:
    """The command line of a node; a heap of 320 MB is several times what a laptop's load needs.

    Of several on one machine each has the quick compiler alone: the thorough one takes 12 s of
    processor time of every start before it pays, and orders wait for all nodes.
    """
    options = [f"-XX:SharedArchiveFile={class_archive(jars)}"]
    if len(nodes) > 1:
        options.append(_QUICK_COMPILER)
    return _argv(node, java, jars, *options)


def _argv(node: Node, java: str, jars: Path, *options: str) -> tuple[str, ...]:
    return (
        java,
        *options,
        "-Xms128m",
        "-Xmx320m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={_LOG4J}",
        "-cp",
        f"{jars}/*",
        "kafka.Kafka",
        str(node.folder / "server.properties"),
    )


def node_properties(node: Node, nodes: Sequence[Node]) -> dict[str, str]:
    """The node's configuration by Kafka's names."""
    step = node.proxy_step
    voters = ",".join(f"{each.node_id}@{each.host}:{each.controller_port + step}" for each in nodes)
    properties = _SETTINGS | {
        "node.id": str(node.node_id),
        "controller.quorum.voters": voters,
        "listeners": _listeners(node, 0),
        "advertised.listeners": _listeners(node, step),
        "log.dirs": str(node.folder / "data"),
    }
    properties |= dict.fromkeys(_REPLICATED, str(len(nodes)))
    if len(nodes) > 1:
        properties |= _SEVERAL
    return properties


def _escaped(value: str) -> str:
    """A value as Java reads it in a file of properties."""
    units = value.replace("\\", r"\\").encode("utf-16-be", "surrogatepass")
    pairs = (int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))
    return "".join(chr(unit) if 32 <= unit < 127 else f"\\u{unit:04x}" for unit in pairs)


def _archive_classes(settings: Settings, java: str, jars: Path) -> None:
    """Run a node of its own once, which writes the archive when it ends."""
    archive = class_archive(jars)
    draft = archive.with_name(f"{archive.name}.{os.getpid()}")
    with TemporaryDirectory(prefix="logbourse-kafka-") as folder:
        passing = with_any_port(replace(settings, data_dir=Path(folder), proxy_step=0))
        passing, nodes = plan_nodes(passing, 1)
        prepare_node(nodes[0], nodes, java, jars)
        argv = _argv(nodes[0], java, jars, f"-XX:ArchiveClassesAtExit={draft}")
        with answering(argv, passing, nodes, Path(folder) / "kafka.log"):
            pass
    if draft.exists():
        draft.replace(archive)


def _listeners(node: Node, step: int) -> str:
    broker = f"BROKER://{node.host}:{node.port + step}"
    return f"{broker},CONTROLLER://{node.host}:{node.controller_port + step}"


@contextmanager
def answering(
    argv: Sequence[str], settings: Settings, nodes: Sequence[Node], log: Path
) -> Iterator[None]:
    """The only node of its cluster, from its first answer until the block ends."""
    child = spawn(argv, log, _ENVIRONMENT)
    try:
        wait_until(_all_answer(settings, nodes), START_TIMEOUT_S, "Kafka must answer")
        yield
    finally:
        stop(child, STOP_TIMEOUT_S)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse kafka` takes."""
    parser.add_argument(
        "--brokers", type=int, choices=NODE_COUNTS, default=1, help="how many nodes"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run Kafka in the foreground until interrupted; its address goes to the settings file.

    Raises `Refusal` while a stack, another Kafka, or a recovery that is not finished, has the data.
    """
    with starting(part="kafka") as settings:
        return _run(settings, arguments.brokers)


def _run(wanted: Settings, count: int) -> int:
    settings, nodes = plan_nodes(wanted, count)
    processes = kafka_processes(settings, nodes)
    save_own(settings, ("kafka_bootstrap", "replication_factor"))
    greeting = f"Kafka answers at {settings.kafka_bootstrap}"
    return Supervisor(processes, settings, on_ready=lambda: tell(greeting)).run()


def _kafka_folder(settings: Settings) -> Path:
    return settings.data_dir.absolute() / "kafka"


def _controller_port(port: int) -> int:
    above = port + CONTROLLER_PORT_STEP
    return above if above + CONTROLLER_PORT_STEP < HIGHEST_PORT else port - CONTROLLER_PORT_STEP


def _stop_timeout_s(nodes: Sequence[Node]) -> float:
    # Without a majority a node cannot hand over, and waits for ever; the log does not mind a kill.
    return STOP_TIMEOUT_S if len(nodes) == 1 else MINORITY_STOP_TIMEOUT_S


def _all_answer(settings: Settings, nodes: Sequence[Node]) -> Callable[[], bool]:
    """Whether all do, and not those of another cluster at their addresses."""
    own = _formatted_for(nodes[0])
    return lambda: broker_count(settings, own) >= len(nodes)


def _formatted_for(node: Node) -> str:
    """The id of its cluster, as its storage has it."""
    lines = (node.folder / "data" / "meta.properties").read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    return told.get("cluster.id", "")


def _cluster_id(folder: Path) -> str:
    """Sixteen bytes in Kafka's alphabet, the same for all nodes of this data directory."""
    path = folder / "cluster.id"
    if not path.exists():
        path.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
    return path.read_text()
