"""A replicated log in memory: ambiguous acks, per-producer order, late delivery, lost suffixes."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, repeat

from domain.protocol import HaltAction
from infra.clock import Clock
from infra.log import LogFailure, LogRecord, Mark, Partition
from tests.simulation.faults import Faults
from tests.simulation.trace import shown

Pipe = deque[tuple[bytes, Callable[[], None] | None]]
TOLERATED_US = 1_000_000
"""Records whose time lies further ahead are refused (`message.timestamp.after.max.ms`)."""

Beginning = tuple[int, dict[str, tuple[int, bytes, int]]]
"""Where a schedule begins in a partition: the offset, and of each source cseq, chain and time."""


class LogWorld:
    """What is replicated, and what is under way to it from producers dead or alive."""

    def __init__(self, faults: Faults, clock: Clock | None = None) -> None:
        self.faults = faults
        self.clock = clock
        """The brokers' clock, which is right; without one they take any time."""
        self.away: dict[Partition, int] = {}
        """The partitions that have no leader, and for how many moves."""
        self.partitions: dict[Partition, list[bytes]] = {}
        self.marks: dict[Partition, Mark] = {}
        self.clients: list[SimLog] = []
        self.under_way: list[tuple[SimLog, Partition, Pipe]] = []
        """The pipes of living producers with something in them."""
        self.ghosts: list[tuple[Partition, Pipe]] = []
        self.forged: dict[tuple[Partition, int], HaltAction] = {}
        self.begins: dict[Partition, Beginning] = {}

    def append(self, partition: Partition, value: bytes) -> None:
        """Replicate a record."""
        values = self.partitions.setdefault(partition, [])
        values.append(value)
        if self.faults.tell is not None:
            self.faults.tell(shown(partition, len(values) - 1, value))

    def end(self, partition: Partition) -> int:
        """The offset that the next record will get."""
        return len(self.partitions.get(partition, ()))

    def move_some(self) -> None:
        """Let a random part of what is under way arrive."""
        rng = self.faults.rng
        if self.away:
            self._pass_time()
        if "leader change" in self.faults.swarm.rates and self.faults.strikes("leader change"):
            self.away[rng.choice(list(self.partitions))] = rng.randint(5, 150)
        if self.under_way:
            for client, partition, pipe in self.under_way:
                while partition not in self.away and pipe and rng.random() < 0.6:
                    client.acks.append(self._deliver(partition, pipe))
            self.under_way = [each for each in self.under_way if each[2]]
        if self.ghosts and rng.random() < 0.1:
            partition, pipe = self.ghosts[rng.randrange(len(self.ghosts))]
            if partition not in self.away:
                self.faults.happened["late delivery"] += 1
                self._deliver(partition, pipe)
            self.ghosts = [ghost for ghost in self.ghosts if ghost[1]]

    def idle(self) -> bool:
        """Whether nothing is under way."""
        if self.ghosts or self.under_way or self.away:
            return False
        return not any(client.acks for client in self.clients)

    def is_ahead(self, time_us: int) -> bool:
        """Whether a record with this time is refused."""
        return self.clock is not None and time_us > self.clock.now_us() + TOLERATED_US

    def expect_leader(self, partition: Partition) -> None:
        """Raises `LogFailure` if the partition has none for so long that nobody waits for it."""
        if partition in self.away and self.faults.strikes("log failure"):
            raise LogFailure("no leader answers")

    def lose_producer(self, client: "SimLog") -> None:
        """A process died: of each pipe a prefix arrives, and a part arrives late or is lost."""
        rng, faults = self.faults.rng, self.faults
        self.clients.remove(client)
        self.under_way = [each for each in self.under_way if each[0] is not client]
        for partition, pipe in client.pipes.items():
            for _ in range(rng.randint(0, len(pipe))):
                self._deliver(partition, pipe)
            if not pipe:
                continue
            late, lost = faults.is_due("late delivery"), faults.is_due("lost suffix")
            kept = len(pipe)
            if lost:
                kept = rng.randint(1, len(pipe)) if late else 0
                faults.happened["lost suffix"] += len(pipe) > kept
            if late:
                self.ghosts.append((partition, deque(list(pipe)[:kept])))
                continue
            for _ in range(kept):
                self._deliver(partition, pipe)

    def _pass_time(self) -> None:
        """Let times end in which a partition takes nothing and gives nothing."""
        if self.faults.calm:
            self.away.clear()
        for partition, moves in list(self.away.items()):
            self.away[partition] = moves - 1
            if moves <= 1:
                del self.away[partition]

    def _deliver(self, partition: Partition, pipe: Pipe) -> Callable[[], None]:
        value, acked = pipe.popleft()
        self.append(partition, value)
        if self.faults.chance(self.faults.duplicate_rate):
            self.faults.happened["duplicate"] += 1
            self.append(partition, value)
        return acked or _nothing


class SimLog:
    """One process's handle on the simulated log; every call has crash points around it."""

    def __init__(self, world: LogWorld) -> None:
        self.world = world
        self.pipes: dict[Partition, Pipe] = {}
        self.acks: deque[Callable[[], None]] = deque()
        self._positions: dict[Partition, int] = {}
        self._refused = False
        self.between: Callable[[], None] = nobody_moves
        """Called before an end is told, so that others may move between two looks at the log."""
        world.clients.append(self)

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        self.between()
        self.world.expect_leader((topic, partition))
        return 0, self.world.end((topic, partition))

    def committed(self, topic: str, partition: int) -> Mark | None:
        self.world.faults.point("mark read before")
        self.world.expect_leader((topic, partition))
        mark = self.world.marks.get((topic, partition))
        self.world.faults.point("mark read after")
        return mark

    def commit(self, topic: str, partition: int, mark: Mark) -> None:
        self.world.faults.point("commit before")
        self.world.expect_leader((topic, partition))
        self.world.marks[(topic, partition)] = mark
        self.world.faults.point("commit after")

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self.world.partitions.setdefault((topic, partition), [])
        self._positions[(topic, partition)] = offset

    def leave(self, topic: str, partition: int) -> None:
        self.world.faults.point("leave before")
        self._positions.pop((topic, partition), None)
        self.world.faults.point("leave after")

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        faults = self.world.faults
        faults.point("read before")
        self.world.move_some()
        records: list[LogRecord] = []
        waiting = self.waiting()
        while waiting and len(records) < max_records:
            partition = waiting[int(faults.rng.random() * len(waiting))]
            values, offset = self.world.partitions[partition], self._positions[partition]
            records.append(LogRecord(*partition, offset, -1, values[offset]))
            self._positions[partition] = offset + 1
            if offset + 1 == len(values):
                waiting.remove(partition)
        if records:
            faults.point("read after")
        return records

    def waiting(self) -> list[Partition]:
        """The partitions it reads that have more for it."""
        partitions, away = self.world.partitions, self.world.away
        found = [p for p, offset in self._positions.items() if offset < len(partitions[p])]
        return [p for p in found if p not in away] if away else found

    def behind(self) -> bool:
        """Whether there is more for it."""
        partitions, away = self.world.partitions, self.world.away
        for place, offset in self._positions.items():
            if offset < len(partitions[place]) and place not in away:
                return True
        return False

    def busy(self) -> bool:
        """Whether there is more for it, or something of its own is under way."""
        return bool(self.acks) or self.behind() or any(self.pipes.values())

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        values = self.world.partitions.get((topic, partition), [])
        if topic.endswith(".ev"):
            self.world.faults.point("outbox scan before")
        self.world.expect_leader((topic, partition))
        found = values[start:stop]
        return map(LogRecord, repeat(topic), repeat(partition), count(start), repeat(-1), found)

    def produce(
        self,
        topic: str,
        partition: int,
        value: bytes,
        *,
        time_us: int | None = None,
        acked: Callable[[], None] | None = None,
    ) -> None:
        self.world.faults.point("produce before")
        if time_us is not None and self.world.is_ahead(time_us):
            self._refused = True
            return
        pipe = self.pipes.setdefault((topic, partition), deque())
        if not pipe:
            self.world.under_way.append((self, (topic, partition), pipe))
        pipe.append((value, acked))
        self.world.move_some()
        self.world.faults.point("produce after")

    def poll(self) -> None:
        self.world.move_some()
        if self._refused:
            raise LogFailure("a record's time lies ahead of the brokers'")
        for _ in range(len(self.acks)):
            self.world.faults.point("ack before")
            self.acks.popleft()()
            self.world.faults.point("ack after")

    def flush(self, timeout_s: float) -> bool:
        while self.acks or any(self.pipes.values()):
            self.poll()
        return True

    def close(self) -> None:
        self.world.lose_producer(self)


def _nothing() -> None:
    """The ack nobody waits for."""


def nobody_moves() -> None:
    """What others do between two looks at the log, most of the time."""
