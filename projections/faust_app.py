"""A Faust app that is only a pump, and reads each partition from where the sink stands.

Faust would read on from the offset it committed. Its one place for that, `Consumer.perform_seek`
(called after every assignment, before records flow), asks us instead. Offsets are committed all the
same, once records are applied, so that Kafka's own tools can show the lag; nobody reads them.

A message costs Faust 0.1 ms, whatever is in it. So what a fetch brings of a partition is handed on
as few messages, each a `Bundle` of records.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import faust
from faust.tables import TableManager
from faust.transport.drivers import aiokafka
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from projections.follower import RawRecord

SeekOf = Callable[[str, int], Awaitable[int]]
"""Tells the offset at which to read a (topic, partition) that was assigned."""

READ_AT_MOST = 2_000
BUNDLE_BYTES = 64 * 1024
RECORD_BYTES = 100
"""What a record takes beside its value, about."""

# Bundles between Faust's reader and its agent. They run in turn: more would only be more memory.
STREAM_BUFFER = 16
COMMIT_EVERY_S = 5.0
# The shortest that brokers allow unless they are told otherwise. The partitions of a killed worker
# are given to another only after this; one that comes back under the same member's name goes on at
# once. Faust's own choice of a minute would leave views stale that long.
SESSION_S = 6.0
HEARTBEAT_S = 1.0
# A broker that has just come back may not know its topics yet; who joins then is assigned nothing,
# until the next look at the metadata shows the topics. Faust's own choice is five minutes.
LOOK_FOR_TOPICS_MS = 2_000
# The broker answers a fetch after this, or once so much is there. Answers for single records would
# cost it and us a multiple; Faust has no setting for either.
GATHER_MS = 30
GATHER_BYTES = 256 * 1024


def make_app(group: str, member: str, bootstrap: str, data_dir: Path, seek_of: SeekOf) -> Any:
    """An app without web server, tables or topics of its own, in the loop that will start it.

    `member` names this worker in its group, through restarts; empty for a passing one.
    """
    folder = data_dir / "faust"
    folder.mkdir(parents=True, exist_ok=True)
    urls = ";".join(f"kafka://{address}" for address in bootstrap.split(","))
    app = faust.App(
        group,
        broker=urls,
        datadir=str(folder),
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        key_serializer="raw",
        value_serializer="raw",
        processing_guarantee="at_least_once",
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=member or None,
        broker_max_poll_records=READ_AT_MOST,
        broker_commit_interval=COMMIT_EVERY_S,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        consumer_metadata_max_age_ms=LOOK_FOR_TOPICS_MS,
        ConsumerScheduler=_Bundling,
        TableManager=_NoTables,
        broker_commit_livelock_soft_timeout=0,
        stream_buffer_maxsize=STREAM_BUFFER,
        stream_wait_empty=False,
    )
    app.transport = _Transport(app.conf.broker_consumer, app)
    app.transport.seek_of = seek_of
    return app


class Bundle(ConsumerMessage):
    """Records of one partition in their order, as Faust's one message at the offset of the last."""

    __slots__ = ("records", "size")

    records: Sequence[RawRecord]
    size: int
    """Bytes of all records, about."""


class _NoTables(TableManager):
    """Faust waits for a second at every start, so that tables can be declared; there are none."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _Bundling(DefaultSchedulingStrategy):
    """Takes turns among topics and partitions as Faust does, a bundle at a time."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        bundled = {tp: _bundles(found) for tp, found in records.items()}
        turns: Iterator[tuple[TP, Any]] = super().iterate(bundled)
        return turns


def _bundles(found: Sequence[Any]) -> list[list[Any]]:
    """The client's records in pieces of `BUNDLE_BYTES`; the last of each may go beyond that."""
    bundles: list[list[Any]] = []
    size = BUNDLE_BYTES
    for record in found:
        if size >= BUNDLE_BYTES:
            bundles.append([])
            size = 0
        bundles[-1].append(record)
        size += _size(record)
    return bundles


def _size(record: Any) -> int:
    return RECORD_BYTES + len(record.value or b"")


class _ConsumerThread(aiokafka.AIOKafkaConsumerThread):
    """Lets records gather for a moment at the broker."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = GATHER_BYTES
        consumer._fetch_max_wait_ms = GATHER_MS
        return consumer

    def expect_coordination(self) -> None:
        """Raise what has ended the task that keeps this member in its group, if anything has.

        aiokafka tells those who ask it for records. Faust does not, while it has no partition; and
        without that task it gets none any more.
        """
        consumer = self._consumer
        task = consumer and getattr(consumer._coordinator, "_coordination_task", None)
        if task is not None and task.done() and not task.cancelled():
            task.result()


class _Consumer(aiokafka.Consumer):
    """Reads from where the sink stands."""

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def expect_coordination(self) -> None:
        """Raise what ended the task that keeps this member in its group, if anything has."""
        self._thread.expect_coordination()

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand records on as Faust's own does, but wait for many of them at once.

        Faust makes three tasks for each record, which was a third of its processor time here. What
        is cut off when the flow is suspended is read again, since every resumption seeks.
        """
        try:
            while not (self.should_stop or fetcher.should_stop):
                # Otherwise a full buffer of the log client lets this loop turn without giving way.
                await self.sleep(0)
                fetched = [item async for item in self.getmany(timeout=1.0)]
                await self.wait_first(self._hand_on(fetched), self.suspend_flow.wait())
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise

    async def _hand_on(self, fetched: list[tuple[TP, Any]]) -> None:
        for tp, message in fetched:
            await self.callback(message)
            self._read_offset[tp] = message.offset

    def _to_message(self, tp: TP, record: Any) -> Bundle:
        last = record[-1]
        bundle = Bundle(
            topic=tp.topic,
            partition=tp.partition,
            offset=last.offset,
            timestamp=last.timestamp / 1_000,
            timestamp_type=last.timestamp_type,
            headers=None,
            key=None,
            value=b"",
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        bundle.records = [RawRecord(each.offset, each.value) for each in record]
        bundle.size = sum(map(_size, record))
        return bundle

    def _new_offset(self, tp: TP) -> int | None:
        """Where to commit: bundles are acknowledged in their order, so behind the last of them."""
        acknowledged = self._acked[tp]
        if not acknowledged:
            return None
        behind = int(max(acknowledged)) + 1
        self._forget_acknowledged(tp)
        return behind

    def _forget_acknowledged(self, tp: TP) -> None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()

    async def perform_seek(self) -> None:
        for tp in sorted(self.assignment()):
            await self.read_from(tp, await self.transport.seek_of(tp.topic, tp.partition))

    async def read_from(self, tp: TP, offset: int) -> None:
        """Read the partition from `offset` on; what was acknowledged beyond it is forgotten."""
        self._forget_acknowledged(tp)
        self._committed_offset[tp] = offset
        await self.seek_wait({tp: offset})


class _Transport(aiokafka.Transport):
    """Makes consumers that ask `seek_of`."""

    Consumer = _Consumer
    seek_of: SeekOf
