"""The Log of infra/log.py on a Kafka cluster: one producer, one consumer, no subscription."""

from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

from infra.kafka.clients import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
    consumer,
    outside_producer,
    shard_producer,
    words_of,
)
from infra.log import SHOWN_WITHIN_S, LogFailure, LogRecord, Mark, Partition
from infra.logging import get_logger
from infra.metrics import Counter, Gauge
from infra.settings import Settings

MARK = Gauge("logbourse_log_mark", "Offset of the newest mark stored", ("topic", "partition"))
ERRORS = Counter("logbourse_log_errors", "Errors that Kafka's client told, by name", ("error",))
QUEUE = Gauge("logbourse_log_queue_records", "Records produced by shards, not yet acknowledged")

MARKS_GROUP = "logbourse-shards"
ANSWER_TIMEOUT_S = 15.0
# One question may be put to a broker that is gone: the next one goes to whoever leads by then.
QUESTION_S = 3.0
# A broker that is restarted is back within seconds; after this the process starts afresh instead.
PATIENCE_S = 60.0
SCAN_RECORDS = 1_000
RETRY_S = 0.05
GATHERED_BYTES = 1_000_000

_logger = get_logger("kafka")


class KafkaLog:
    """One process's handle on the log, for one thread.

    A shard's handle (the default) never gives up on a record, and its first failure is final. An
    `outside` handle, for gateways and operators, gives up after 5 s, says so once, and goes on.
    With `gather_ms` other than 0 records wait at the broker so long before they are read, together.
    """

    def __init__(self, settings: Settings, *, outside: bool = False, gather_ms: int = 0) -> None:
        self._settings = settings
        self._outside = outside
        self._failure: LogFailure | None = None
        self._told: list[str] = []
        producer = outside_producer if outside else shard_producer
        self._producer = producer(settings, error_cb=self._on_error)
        if not outside:
            QUEUE.set_function(self._producer.__len__)
        gathering: dict[str, Any] = (
            {"fetch_wait_max_ms": gather_ms, "fetch_min_bytes": GATHERED_BYTES} if gather_ms else {}
        )
        self._consumer = consumer(settings, MARKS_GROUP, error_cb=self._on_error, **gathering)
        self._assigned: set[Partition] = set()
        self._idle_scanners: list[Consumer] = []

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that is kept and the offset the next record will get.

        Raises `LogFailure` if the brokers do not say so in time.
        """
        place = TopicPartition(topic, partition)
        give_up_s = monotonic() + ANSWER_TIMEOUT_S
        while monotonic() < give_up_s:
            # A question through the reading client would wait behind its fetch, up to 50 ms.
            if not self._idle_scanners:
                self._idle_scanners.append(self._scanner())
            try:
                found = self._idle_scanners[-1].get_watermark_offsets(place, timeout=QUESTION_S)
            except KafkaException as error:
                # A partition that was just made, or just lost its leader, has one in a moment.
                if not _passing(_kafka_error(error)):
                    sentence = f"{topic}.{partition} must tell its ends, said: {error}"
                    raise LogFailure(sentence) from error
                # The library asks whom it knows, for many minutes; a new client learns who leads.
                self._idle_scanners.pop().close()
                sleep(RETRY_S)
            else:
                if found is not None:
                    return found
        raise LogFailure(f"{topic}.{partition} must tell its ends within {ANSWER_TIMEOUT_S} s")

    def end_seen(self, topic: str, partition: int) -> int:
        """The end of a partition that is being read, as the last answer told it; 0 if none has.

        Asks nobody, and so never waits for a broker that is away.
        """
        place = TopicPartition(topic, partition)
        _, end = self._consumer.get_watermark_offsets(place, cached=True)
        return max(0, end)

    def committed(self, topic: str, partition: int) -> Mark | None:
        """The last committed mark of the shard that reads this partition.

        Raises `LogFailure` if the brokers do not say so in time.
        """
        give_up_s = monotonic() + ANSWER_TIMEOUT_S
        while True:
            try:
                return self._stored_mark(TopicPartition(topic, partition))
            except KafkaException as error:
                # A coordinator that has just begun, or just moved, knows it in a moment.
                if not _passing(_kafka_error(error)) or monotonic() > give_up_s:
                    sentence = f"{topic}.{partition} must tell its mark, said: {error}"
                    raise LogFailure(sentence) from error
                sleep(RETRY_S)

    def commit(self, topic: str, partition: int, mark: Mark) -> None:
        """Commit a mark; returns once it is stored, whatever becomes of the brokers meanwhile.

        Raises `LogFailure` if they refuse it or stay away for a minute.
        """
        place = TopicPartition(topic, partition, mark.offset, metadata=mark.metadata)
        give_up_s = monotonic() + PATIENCE_S
        while error := self._commit_error(place):
            if not _passing(error) or monotonic() > give_up_s:
                raise LogFailure(f"{topic}.{partition} must store a mark, said: {error}")
            sleep(RETRY_S)
        MARK.labels(topic, partition).set(mark.offset)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read this partition from `offset` on, whether or not it was read before.

        What was fetched of it before is forgotten. An offset that the log does not have shows at
        the next `read`, as `LogFailure`.
        """
        place = TopicPartition(topic, partition, offset)
        if (topic, partition) in self._assigned:
            self._consumer.incremental_unassign([place])
        self._consumer.incremental_assign([place])
        self._assigned.add((topic, partition))

    def leave(self, topic: str, partition: int) -> None:
        """Read this partition no more, until it is sought again."""
        if (topic, partition) in self._assigned:
            self._consumer.incremental_unassign([TopicPartition(topic, partition)])
            self._assigned.discard((topic, partition))

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        """Up to `max_records` of the sought partitions, in order in each; empty on timeout.

        Waits for the first record only. Raises `LogFailure` for an offset that the log does not
        have, a record that is damaged, or a topic that is gone.
        """
        self._raise_failure()
        messages = _waiting(self._consumer, max_records, timeout_s)
        return [_record(message) for message in messages if not _is_error(message)]

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        """The records of [start, stop), apart from what `read` returns.

        `stop` is not beyond what `ends` has told. Raises `LogFailure` as `read` does, and where the
        partition ends before `stop` for long: fewer records would pass for all there are.
        """
        if start >= stop:
            return
        scanner = self._idle_scanners.pop() if self._idle_scanners else self._scanner()
        scanner.assign([TopicPartition(topic, partition, start)])
        try:
            yield from _until(scanner, f"{topic}.{partition}", stop)
        finally:
            scanner.unassign()
            self._idle_scanners.append(scanner)

    def produce(
        self,
        topic: str,
        partition: int,
        value: bytes,
        *,
        time_us: int | None = None,
        acked: Callable[[], None] | None = None,
    ) -> None:
        """Append a record; `acked` is called by a later `poll` or `flush` once it is replicated.

        `time_us` becomes the record's timestamp, rounded down to milliseconds. Waits while the
        queue is full. Raises `LogFailure` if the record cannot be taken at all.
        """
        timestamp_ms = 0 if time_us is None else time_us // 1_000

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                self._fail(error, topic, partition)
            elif acked is not None:
                acked()

        while True:
            try:
                self._producer.produce(
                    topic,
                    value,
                    partition=partition,
                    timestamp=timestamp_ms,
                    on_delivery=delivered,
                )
            except BufferError:
                self._serve(lambda: self._producer.poll(0.05))
            except KafkaException as error:
                raise LogFailure(f"{topic}.{partition} must take a record: {error}") from error
            else:
                return

    def poll(self) -> None:
        """Call `acked` for what was replicated since. Raises `LogFailure` if something never will.

        So it does of a record whose time lies ahead of the broker's clock; nothing was appended.
        """
        self._serve(lambda: self._producer.poll(0))

    def flush(self, timeout_s: float) -> bool:
        """Wait for all that was produced; whether all is replicated. Raises as `poll` does."""
        return self._serve(lambda: self._producer.flush(timeout_s)) == 0

    def close(self) -> None:
        """Give the handle back, for good, without waiting; what is not replicated may be lost."""
        self._producer.purge(blocking=False)
        if not self._outside:
            QUEUE.set_function(int)
        for client in (self._consumer, *self._idle_scanners):
            client.close()
        # They call this handle, which holds them: not every process searches for such cycles.
        del self._producer, self._consumer

    def _scanner(self) -> Consumer:
        return consumer(self._settings, "logbourse-readers", enable_partition_eof=True)

    def _stored_mark(self, place: TopicPartition) -> Mark | None:
        found = self._consumer.committed([place], timeout=QUESTION_S)[0]
        if found.error is not None:
            raise KafkaException(found.error)
        return Mark(found.offset, found.metadata or "") if found.offset >= 0 else None

    def _commit_error(self, place: TopicPartition) -> KafkaError | None:
        try:
            stored = self._consumer.commit(offsets=[place], asynchronous=False)
        except KafkaException as error:
            return _kafka_error(error)
        return next((each.error for each in stored or [] if each.error is not None), None)

    def _serve(self, call: Callable[[], int]) -> int:
        """Let the library call back; its own final errors and ours end as `LogFailure`."""
        try:
            left = call()
        except (KafkaException, SystemError) as error:
            sentence = f"the log must take records, said: {words_of(error)}"
            self._failure = self._failure or LogFailure(sentence)
            raise self._failure from error
        self._raise_failure()
        return left

    def _on_error(self, error: KafkaError) -> None:
        self._told.append(error.name())
        # What passes is retried by the library; only what is final is told to the owner.
        if error.fatal():
            self._failure = self._failure or LogFailure(f"the log handle must work, said: {error}")
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            _logger.warning("no broker answers", bootstrap=self._settings.kafka_bootstrap)

    def _fail(self, error: KafkaError, topic: str, partition: int) -> None:
        self._told.append(error.name())
        sentence = f"{topic}.{partition} must store a record, said: {error.str()}"
        self._failure = self._failure or LogFailure(sentence)

    def _raise_failure(self) -> None:
        # Not while the library calls back, when a fatal error of its own may be pending.
        while self._told:
            ERRORS.labels(self._told.pop()).inc()
        if self._failure is None:
            return
        failure = self._failure
        if self._outside:
            self._failure = None
        raise failure


def _until(scanner: Consumer, place: str, stop: int) -> Iterator[LogRecord]:
    # A new leader shows no more than it knows its followers have, which it learns a moment later.
    give_up_s = end_overdue_s = monotonic() + PATIENCE_S
    while monotonic() < give_up_s:
        for message in _waiting(scanner, SCAN_RECORDS, 0.5):
            if _at_end(message):
                end_overdue_s = min(end_overdue_s, monotonic() + SHOWN_WITHIN_S)
                continue
            if _is_error(message):
                continue
            record = _record(message)
            if record.offset < stop:
                yield record
            if record.offset + 1 >= stop:
                return
            give_up_s = end_overdue_s = monotonic() + PATIENCE_S
        if monotonic() >= end_overdue_s:
            raise LogFailure(f"{place} must show its records before offset {stop}, ended earlier")
    raise LogFailure(f"a scan must go on within {PATIENCE_S} s, did not")


def _waiting(reader: Consumer, max_records: int, timeout_s: float) -> list[Message]:
    """What is there, once the first is: `consume` alone would wait for all of `max_records`."""
    try:
        first = reader.poll(timeout_s)
        if first is None:
            return []
        return [first, *reader.consume(max_records - 1, 0)] if max_records > 1 else [first]
    except KafkaException as error:
        raise LogFailure(f"the log must be readable, said: {error}") from error


def _at_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def _is_error(message: Message) -> bool:
    """Whether this is news of a trouble that passes; raises `LogFailure` if it does not."""
    error = message.error()
    if error is None:
        return False
    if _passing(error):
        return True
    raise LogFailure(f"{message.topic()}.{message.partition()} must be readable, said: {error}")


# The library says of a transaction's errors alone whether they pass.
_PASSING = frozenset(
    (
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._DESTROY_BROKER,
        KafkaError._PARTITION_EOF,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._WAIT_CACHE,
        KafkaError._WAIT_COORD,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    )
)
"""What is over in a moment: a broker that goes, or comes, or hands over what it led."""


def _passing(error: KafkaError) -> bool:
    return not error.fatal() and (error.retriable() or error.code() in _PASSING)


def _kafka_error(exception: KafkaException) -> KafkaError:
    error = exception.args[0]
    assert isinstance(error, KafkaError)
    return error


def _record(message: Message) -> LogRecord:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None
    return LogRecord(topic, partition, offset, message.timestamp()[1], message.value())
