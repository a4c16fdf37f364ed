"""A stack of three brokers and two hosts of shards, and all that can be done to its processes."""

import json
import os
import random
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.kafka import admin_client, is_reachable
from infra.lease import Phase, standby_name
from infra.lease_stores import open_lease_store
from infra.log import Partition
from schemas.topics import inbox
from tests.benchmarks.process_cost import resident_mb
from tests.faults.network import STEP, Network
from tests.integration.running_stack import SERVES, RunningStack

BROKERS = ("kafka-1", "kafka-2", "kafka-3")
ORDERS_NEED = ("kafka", "shards", "gateway")
"""How the names of processes begin without which there are no orders, where hosts are not apart."""

SHARDS = ("A0", "A1", "L0", "L1", "M0", "M1")
PLANTED = Path(__file__).parent / "planted"
WHOLE_S = 120.0
LOOK_S = 0.05
WHO_IT_IS = ("meta.properties", "bootstrap.checkpoint", "__cluster_metadata-0")
"""What a broker needs to be known again, with the votes it has given."""

MARKS_GROUP = "logbourse-shards"
MARKS_PARTITIONS = 4
HIGHEST_INT = 1 << 31


class FaultStack(RunningStack):
    """`RunningStack` under a hand that kills, freezes, cuts off and damages."""

    def __init__(
        self,
        data_dir: Path,
        *words: str,
        proxied: bool = False,
        leases: str = "file",
        planted: bool = False,
        auditor: bool = False,
    ) -> None:
        always = ("--standby", "--snapshot-seconds", "20")
        super().__init__(data_dir, *always, *words, brokers=3, auditor=auditor)
        self._environment |= {"LOGBOURSE_LEASE_STORE": leases}
        self.planted_dir = data_dir.parent / "planted"
        if planted:
            self.planted_dir.mkdir()
            self._environment |= {
                "PYTHONPATH": str(PLANTED),
                "LOGBOURSE_PLANTED_DIR": str(self.planted_dir),
            }
        self.apart = "--apart" in words
        self.spoilt: set[str] = set()
        """Snapshots that rows have damaged, as the audit names them."""
        self._network: Network | None = None
        self._proxied = proxied

    @property
    def network(self) -> Network:
        """The proxies; only a stack that was made with them has any."""
        assert self._network is not None, "this row needs proxies"
        return self._network

    def start(self, until_said: str = SERVES) -> None:
        if self._proxied:
            self._network = self._proxies()
        super().start(until_said)

    def end(self) -> None:
        """Stop whatever still runs, in whatever state it is."""
        for name in self.names():
            self.thaw(name)
        if self._child is not None and self._child.poll() is None:
            os.kill(self._child.pid, signal.SIGCONT)
            self.kill_all()
        if self._network is not None:
            self._network.close()

    def hosts(self) -> list[str]:
        """The processes of shards."""
        return [name for name in self.names() if name.startswith(("shards", "engines"))]

    def leading(self, shard: str) -> str:
        """The name of the process that leads the shard now; empty if none does."""
        return self._holder(shard, Phase.LEADING)

    def standing_by(self, shard: str) -> str:
        """The name of the process that has caught up and stands by; empty if none does."""
        return self._holder(standby_name(shard), Phase.READY)

    def sigkill(self, *names: str) -> None:
        """SIGKILL all of them at once; the supervisor will start them again."""
        for pid in [self.pid(name) for name in names]:
            os.kill(pid, signal.SIGKILL)

    def sigterm(self, name: str) -> None:
        """Ask one to end; the supervisor will start it again."""
        os.kill(self.pid(name), signal.SIGTERM)

    @contextmanager
    def frozen(self, *names: str) -> Iterator[None]:
        """SIGSTOP all of them while the block runs, then SIGCONT."""
        pids = [self.pid(name) for name in names]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                _signal(pid, signal.SIGCONT)

    def thaw(self, name: str) -> None:
        """SIGCONT one, if it is there."""
        if pid := self.pid(name):
            _signal(pid, signal.SIGCONT)

    @contextmanager
    def no_restarts(self) -> Iterator[None]:
        """What is killed stays down while the block runs: the supervisor stands still."""
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._child.pid, signal.SIGCONT)

    def limit_files(self, name: str, size: int = resource.RLIM_INFINITY) -> None:
        """No file that the process writes may grow beyond `size` bytes: its disk is full."""
        resource.prlimit(self.pid(name), resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def exhaust_memory(self, name: str) -> None:
        """The process of a planted stack gets no memory beyond what it has, and uses that up.

        Its data are limited, too: the allocator has reserved addresses that it does not use yet.
        Without use, what was freed before would last for minutes.
        """
        pid = self.pid(name)
        status = Path(f"/proc/{pid}/status").read_text()
        for field, limit in (("VmSize", resource.RLIMIT_AS), ("VmData", resource.RLIMIT_DATA)):
            (has_kb,) = re.findall(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
            resource.prlimit(pid, limit, (int(has_kb) * 1024, resource.RLIM_INFINITY))
        (self.planted_dir / f"eat-{pid}").touch()

    def move_clock(self, name: str, seconds: float = 0.0) -> None:
        """Let the wall clock of a process of a planted stack be wrong by so much; 0: right."""
        file = self.planted_dir / f"clock-{self.pid(name)}"
        if seconds:
            draft = file.with_suffix(".tmp")
            draft.write_text(str(int(seconds * 1e9)))
            draft.replace(file)
        else:
            file.unlink(missing_ok=True)

    def until_restarted(self, name: str, before: int) -> None:
        """Wait until the supervisor has started another process than `before`."""
        self.until(lambda: self.pid(name) not in (0, before), 60.0, f"{name} must be restarted")

    def ends_of(self, name: str, mark: int) -> list[str]:
        """How a process has ended, each time since the supervisor's words were `mark` long.

        Such as "status 1" or "signal SIGKILL"; a halt is none of these.
        """
        return re.findall(rf"^{name} ended with (.*?), again in", self.words()[mark:], re.MULTILINE)

    def listens(self, broker: str) -> bool:
        """Whether a broker takes connections: it does once it has caught up with the controllers.

        Asked beside its proxy, which always does.
        """
        address, _, _ = self.settings.kafka_bootstrap.partition(",")
        first = int(address.rpartition(":")[2]) - self.settings.proxy_step
        return is_reachable(f"127.0.0.1:{first + BROKERS.index(broker)}")

    def until_whole(self) -> None:
        """Wait until every copy is in sync, every shard has leader and shadow, both APIs serve."""
        self.until_replicated()
        self.until(self._has_shadows, WHOLE_S, "every shard must have a leader and a shadow")
        self.until_ready()

    def until_replicated(self) -> None:
        """Wait until every copy of every partition is in sync."""
        # One client for all questions: a new one connects to every broker, while they are at work.
        client = admin_client(self.settings)

        def replicated() -> bool:
            found = client.list_topics(timeout=5.0)
            partitions = [p for topic in found.topics.values() for p in topic.partitions.values()]
            whole = [len(p.isrs) == len(p.replicas) == len(BROKERS) for p in partitions]
            return len(found.brokers) == len(BROKERS) and all(whole)

        self.until(replicated, WHOLE_S, "every replica must be in sync")

    def ends_of_inboxes(self) -> dict[str, int]:
        """By shard, the offset that the next record of its inbox will get."""
        log = self.log()
        try:
            return {shard: log.ends(*inbox(shard))[1] for shard in SHARDS}
        finally:
            log.close()

    def snapshots(self, shard: str) -> list[Path]:
        """The snapshots that hosts keep of a shard, oldest first."""
        return sorted((self.settings.snapshots_dir / shard).glob("*.snapshot"))

    def broker_leading(self, topic: str, partition: int) -> str:
        """The broker that leads a partition."""
        return f"kafka-{self._leaders()[topic, partition][0]}"

    def broker_following(self, topic: str, partition: int) -> str:
        """A broker that has a copy of the partition and does not lead it."""
        leader, replicas = self._leaders()[topic, partition]
        return f"kafka-{min(set(replicas) - {leader})}"

    def controller(self) -> str:
        """The broker whose controller leads the quorum, as the last vote says."""
        states = [
            json.loads((self.log_dir(name, "__cluster_metadata", 0) / "quorum-state").read_text())
            for name in BROKERS
        ]
        newest = max(states, key=lambda state: (state["leaderEpoch"], state["leaderId"]))
        return f"kafka-{newest['leaderId']}"

    def coordinator(self) -> str:
        """The broker that keeps the marks of the shards."""
        partition = abs(_java_hash(MARKS_GROUP)) % MARKS_PARTITIONS
        return self.broker_leading("__consumer_offsets", partition)

    def log_dir(self, broker: str, topic: str, partition: int) -> Path:
        """Where a broker keeps its copy of a partition."""
        node = broker.removeprefix("kafka-")
        return self.data_dir / "kafka" / f"node-{node}" / "data" / f"{topic}-{partition}"

    def resident_mb(self) -> dict[str, float]:
        """Resident memory in MB of 2^20 bytes, of each process that runs."""
        found = {}
        for name in self.names():
            with suppress(FileNotFoundError, ProcessLookupError, StopIteration):
                found[name] = resident_mb(self.pid(name))
        return found

    def cut_tail(self, broker: str, topic: str, partition: int, size: int) -> int:
        """Remove up to `size` bytes at the end of a stopped broker's copy; how many it lost."""
        newest = max(self.log_dir(broker, topic, partition).glob("*.log"))
        there = newest.stat().st_size
        os.truncate(newest, max(0, there - size))
        return min(size, there)

    def lose_disk(self, broker: str) -> None:
        """Remove all that a stopped broker has, but who it is and how it voted."""
        for path in self.log_dir(broker, "ledger.in", 0).parent.iterdir():
            if path.name in WHO_IT_IS:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _holder(self, lease: str, phase: Phase) -> str:
        entry = open_lease_store(self.settings).read(lease)
        if entry is None or entry.phase is not phase:
            return ""
        pid = int(entry.holder.split("/")[-2])
        return next((name for name in self.hosts() if self.pid(name) == pid), "")

    def _has_shadows(self) -> bool:
        return all(self.leading(shard) and self.standing_by(shard) for shard in SHARDS)

    def _leaders(self) -> dict[Partition, tuple[int, list[int]]]:
        found = admin_client(self.settings).list_topics(timeout=10.0).topics
        return {
            (name, number): (partition.leader, partition.replicas)
            for name, topic in found.items()
            for number, partition in topic.partitions.items()
        }

    def _proxies(self) -> Network:
        environment = self._environment
        first = int(environment["LOGBOURSE_KAFKA_BOOTSTRAP"].rpartition(":")[2])
        redis = int(environment["LOGBOURSE_REDIS_URL"].rpartition(":")[2].removesuffix("/0"))
        environment |= {
            "LOGBOURSE_PROXY_STEP": str(STEP),
            "LOGBOURSE_KAFKA_BOOTSTRAP": f"127.0.0.1:{first + STEP}",
            "LOGBOURSE_REDIS_URL": f"redis://127.0.0.1:{redis + STEP}/0",
        }
        servers = {first + n: name for n, name in enumerate(BROKERS)}
        servers |= {first + 1_000 + n: name for n, name in enumerate(BROKERS)}
        return Network(self.data_dir / "run", servers | {redis: "redis"})


def flip_a_byte(path: Path, rng: random.Random) -> int:
    """Change one byte of a file; the place."""
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content))
    content[place] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return place


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it came true in time; for what is measured, not demanded."""
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(LOOK_S)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _java_hash(text: str) -> int:
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) % (1 << 32)
    return value - (1 << 32) if value >= HIGHEST_INT else value
