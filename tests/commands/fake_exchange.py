"""An exchange in memory: real deciders behind an in-process log, without the host's machinery."""

import asyncio
import threading
from collections import deque
from collections.abc import Collection, Iterator

from domain.decider import Command
from domain.fees import FeeTier
from domain.limits import DEFAULT_LIMITS, Limits
from domain.protocol import CommandExpired, CommandRepeated, Genesis, Tick
from infra.appender import AppendRefused, Done
from infra.log import LogRecord, Partition
from schemas.record import Record, decode_record, encode_message, encode_record
from schemas.topics import outbox, shard_of, shards
from streams.families import decider_of

START_US = 1_790_000_000_000_000


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.us = START_US

    def now_us(self) -> int:
        return self.us

    def monotonic_s(self) -> float:
        return self.us / 1_000_000


class FakeShard:
    """Ordinal, state and the commands that ran, of one shard."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.decider = decider_of(name)
        self.state = self.decider.initial()
        self.ordinal = 0
        self.ran: dict[bytes, int] = {}


class FakeExchange:
    """Every shard, run to rest whenever something is appended."""

    def __init__(self, clock: FakeClock, limits: Limits = DEFAULT_LIMITS) -> None:
        self.clock = clock
        self.shards = {name: FakeShard(name) for name in shards(2, 2)}
        self.topics: dict[Partition, list[LogRecord]] = {}
        self.changed = threading.Condition()
        self.records_in: list[tuple[str, Record, bytes]] = []
        self.held: list | None = None
        self._queue: deque = deque()
        for name in self.shards:
            partition = int(name[1:])
            tiers = [FeeTier(0, 1_000, 1_000), FeeTier(1, 500, 700)]
            genesis = Genesis("test", name[0], partition, 2, 2, 1, limits, tiers)
            self._queue.append((name, "operator", clock.us, [genesis]))
        self._run()
        self.tick()

    def tick(self, down: Collection[str] = ()) -> None:
        """One Tick to every shard, at the clock's time, but to those that are down."""
        for name in [each for each in self.shards if each not in down]:
            self._queue.append((name, "clock", self.clock.us, [Tick()]))
        self._run()

    def append(self, topic: str, partition: int, value: bytes) -> None:
        """Take a record from outside; held back while `held` is a list."""
        record = decode_record(value)
        self.records_in.append((shard_of(topic, partition), record, value))
        entry = (shard_of(topic, partition), record.src, record.time_us, record.messages)
        if self.held is not None:
            self.held.append(entry)
            return
        self._queue.append(entry)
        self._run()

    def release(self) -> None:
        """Act on what was held back."""
        held, self.held = self.held or [], None
        self._queue.extend(held)
        self._run()

    def repeat_record(self, shard: str, offset: int) -> None:
        """Write a record of an outbox again, as a restarted shard does."""
        stored = self.topics[outbox(shard)][offset]
        assert stored.value is not None
        self._store(shard, stored.value)

    def _run(self) -> None:
        while self._queue:
            self._step(*self._queue.popleft())

    def _step(self, name: str, source: str, time_us: int, messages: list) -> None:
        shard = self.shards[name]
        state, decider = shard.state, shard.decider
        state.time_us = max(state.time_us, time_us)
        shard.ordinal += 1
        events: list = []
        outputs: dict[str, list] = {}
        for message in messages:
            assert decider.refuse(state, source, message) == ""
            for event in self._decide(shard, message):
                shard.state = state = decider.evolve(state, event)
                events.append(event)
                for destination in decider.destinations(state, event):
                    outputs.setdefault(destination, []).append(event)
        value = encode_record(
            prev=b"",
            cause_offset=0,
            src=name,
            cseq=shard.ordinal,
            cause=shard.ordinal,
            time_us=state.time_us,
            input_hash=b"",
            messages=[encode_message(event) for event in events],
        )
        self._store(name, value)
        for destination, batch in outputs.items():
            self._queue.append((destination, name, state.time_us, batch))

    def _decide(self, shard: FakeShard, message):
        if not isinstance(message, Command):
            return shard.decider.decide(shard.state, message)
        if message.command_id in shard.ran:
            return [CommandRepeated(message.command_id, shard.ran[message.command_id])]
        if message.deadline_us < shard.state.time_us:
            return [CommandExpired(message.command_id, message.deadline_us)]
        shard.ran[message.command_id] = shard.ordinal
        return shard.decider.decide(shard.state, message)

    def _store(self, name: str, value: bytes) -> None:
        topic, partition = outbox(name)
        with self.changed:
            records = self.topics.setdefault((topic, partition), [])
            records.append(LogRecord(topic, partition, len(records), -1, value))
            self.changed.notify_all()


class FakeLog:
    """A reader of the fake exchange's outboxes."""

    def __init__(self, exchange: FakeExchange) -> None:
        self._exchange = exchange
        self._places: dict[Partition, int] = {}

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, len(self._exchange.topics.get((topic, partition), ()))

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self._places[(topic, partition)] = offset

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        with self._exchange.changed:
            found = self._take(max_records)
            if not found:
                self._exchange.changed.wait(min(timeout_s, 0.05))
                found = self._take(max_records)
        return found

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        return iter(self._exchange.topics[(topic, partition)][start:stop])

    def close(self) -> None:
        pass

    def _take(self, max_records: int) -> list[LogRecord]:
        found: list[LogRecord] = []
        for place, offset in self._places.items():
            new = self._exchange.topics.get(place, [])[offset : offset + max_records - len(found)]
            self._places[place] = offset + len(new)
            found.extend(new)
        return found


class FakeAppender:
    """Appends to the fake exchange; `refusing` stands for a broker that refuses timestamps."""

    def __init__(self, exchange: FakeExchange) -> None:
        self._exchange = exchange
        self.refusing = False

    def append(self, topic: str, partition: int, value: bytes, time_us: int, done: Done) -> None:
        loop = asyncio.get_running_loop()
        if self.refusing:
            loop.call_soon(done, AppendRefused("timestamp"))
            return
        self._exchange.append(topic, partition, value)
        loop.call_soon(done, None)
