"""A whole exchange in memory that has traded: what every shard read and wrote."""

from collections.abc import Iterator, Sequence
from itertools import count, islice

from domain.decider import Message
from domain.orders.messages import CancelOrder, TimeInForce
from domain.protocol import Genesis
from infra.log import LogRecord, Partition
from schemas.record import encode_message, outside_record
from schemas.topics import catalogue, inbox, shards
from streams.audit.archive import Archive, Bounds, Manifest
from streams.families import decider_of
from streams.shard import Shard
from tests.benchmarks.book_player import CANCEL, IOC, Command
from tests.benchmarks.mix import BLOCK, LEDGERS, USERS_PER_LEDGER, Mix, user_of
from tests.benchmarks.opening import FEES, UNLIMITED, limit_order, opening
from tests.benchmarks.path_orders import RESTING, Orders

MATCHERS = 1
MARKET_ID = 1
NOON_US = 1_790_000_000_000_000
FAR_US = NOON_US + 86_400_000_000
RECORD_US = 1_000
"""Logical time from one record to the next: 100,000 commands a second."""


class MemoryExchange:
    """As many accounts as ledger shards, and a matching shard; each record is drained by itself.

    1,000 users, whatever the number of ledgers. Once it has traded, `before` says of each shard how
    long its inbox was when the book was full.
    """

    def __init__(self, ledgers: int = LEDGERS) -> None:
        self.ledgers = ledgers
        self.partitions: dict[Partition, list[bytes]] = {}
        self.before: dict[str, int] = {}
        names = shards(ledgers, MATCHERS)
        self._shards = {name: Shard(name, decider_of(name)) for name in names}
        self._read = dict.fromkeys(names, 0)
        self._sent = 0
        self._ids = count(1)
        for name in names:
            family, partition = name[0], int(name[1:])
            genesis = Genesis("bench", family, partition, ledgers, MATCHERS, 1, UNLIMITED, FEES)
            self._send(name, "operator", [genesis])
        self._open()

    def play(self, mix: Mix) -> None:
        """Fill the book, then trade the mix, `BLOCK` commands in a record; `LEDGERS` ledgers."""
        self._trade(mix.opening)
        self._note_lengths()
        self._trade(mix.commands)

    def play_orders(self, count: int) -> int:
        """Fill the book, then place `count` orders of the full path; one ledger.

        How many were placed and closed, what filled the book among them: all but what rests still.
        """
        orders = Orders()
        self._place(orders.opening(FAR_US))
        self._note_lengths()
        self._place(orders.next(count, FAR_US))
        state = self._shards["L0"].state
        assert state.orders_accepted == RESTING + count, "every order must be accepted"
        closed: int = state.orders_accepted - len(state.orders)
        return closed

    def archive(self) -> Archive:
        """All partitions as the auditor reads them."""
        bounds = {}
        for topic in catalogue(self.ledgers, MATCHERS):
            for partition in range(topic.partitions):
                place = (topic.name, partition)
                end = len(self.partitions.get(place, ()))
                bounds[place] = Bounds(0, end, end)
        return Archive(_Partitions(self.partitions), Manifest(self.ledgers, MATCHERS, bounds, {}))

    def _open(self) -> None:
        """Two assets, a market, and users with more money than they can spend."""
        users = LEDGERS * USERS_PER_LEDGER // self.ledgers
        for sent in opening(self._ids, FAR_US, ledgers=self.ledgers, users_per_ledger=users):
            self._send(sent.shard, "operator", sent.messages)

    def _note_lengths(self) -> None:
        self.before = {name: len(self.partitions[inbox(name)]) for name in self._shards}

    def _place(self, orders: list[bytes]) -> None:
        for first in range(0, len(orders), BLOCK):
            self._append("L0", "gw", orders[first : first + BLOCK])

    def _trade(self, commands: list[Command]) -> None:
        rest = iter(commands)
        while block := list(islice(rest, BLOCK)):
            wishes = [wish for command in block for wish in self._wishes(command)]
            self._send(f"L{block[0][2] % LEDGERS}", "gw", wishes)

    def _send(self, shard: str, source: str, messages: Sequence[Message]) -> None:
        self._append(shard, source, [encode_message(each) for each in messages])

    def _append(self, shard: str, source: str, encoded: list[bytes]) -> None:
        self._sent += 1
        time_us = NOON_US + self._sent * RECORD_US
        value = outside_record(source, time_us, encoded)
        self.partitions.setdefault(inbox(shard), []).append(value)
        self._drain()

    def _drain(self) -> None:
        busy = True
        while busy:
            busy = False
            for name, shard in self._shards.items():
                waiting = self.partitions.get(inbox(name), [])
                while self._read[name] < len(waiting):
                    busy = True
                    offset = self._read[name]
                    self._read[name] += 1
                    step = shard.step(offset, waiting[offset])
                    assert not step.quarantined, step.quarantined[0].why
                    for output in step.outputs:
                        place = (output.topic, output.partition)
                        self.partitions.setdefault(place, []).append(output.value)

    def _wishes(self, command: Command) -> list[Message]:
        kind, canceled_id, order_id, side, price_ticks, lots = command
        wishes: list[Message] = []
        if kind >= CANCEL:
            user_id = user_of(canceled_id)
            wishes.append(
                CancelOrder(self._id(), FAR_US, user_id, MARKET_ID, 0, f"bench-{canceled_id}")
            )
        if kind != CANCEL:
            wishes.append(
                limit_order(
                    command_id=self._id(),
                    deadline_us=FAR_US,
                    user_id=user_of(order_id),
                    market_id=MARKET_ID,
                    client_order_id=f"bench-{order_id}",
                    side=side,
                    time_in_force=TimeInForce.IOC if kind == IOC else TimeInForce.GTC,
                    price_ticks=price_ticks,
                    lots=lots,
                )
            )
        return wishes

    def _id(self) -> bytes:
        return next(self._ids).to_bytes(16)


class _Partitions:
    """`streams.audit.archive.Source` of lists."""

    def __init__(self, partitions: dict[Partition, list[bytes]]) -> None:
        self._partitions = partitions

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        values = self._partitions.get((topic, partition), [])
        for offset in range(start, min(stop, len(values))):
            yield LogRecord(topic, partition, offset, -1, values[offset])
