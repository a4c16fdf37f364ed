"""The archive that is a running log: read from Kafka, as far as it reached when asked."""

import os
from collections.abc import Iterator

from infra.kafka import KafkaLog, broker_count
from infra.log import LogFailure, LogRecord
from infra.settings import Settings, load_settings
from schemas.topics import inbox
from streams.audit.archive import Archive, BadArchive, capture
from streams.audit.genesis import genesis_in


class KafkaSource:
    """Reads records of a cluster; connects in whichever process it finds itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log: KafkaLog | None = None

    def __getstate__(self) -> Settings:
        return self._settings

    def __setstate__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = None

    def log(self) -> KafkaLog:
        """This process's handle on the log."""
        if self._log is None:
            self._log = KafkaLog(self._settings)
        return self._log

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        """The records of [start, stop). Raises `BadArchive` if the log does not give them."""
        try:
            yield from self.log().scan(topic, partition, start, stop)
        except LogFailure as failure:
            raise BadArchive(str(failure)) from failure


def open_live(bootstrap: str = "", *, begun: bool = True) -> Archive:
    """The log of the running stack, or of the brokers at `bootstrap`. Raises `Refusal`.

    How many partitions there are is what the log's own first record says; where that is no Genesis,
    what the settings say, but only if the exchange need not have `begun`.
    """
    chosen = {"LOGBOURSE_KAFKA_BOOTSTRAP": bootstrap} if bootstrap else {}
    settings = load_settings({**os.environ, **chosen})
    if not broker_count(settings):
        raise BadArchive(f"Kafka must answer at {settings.kafka_bootstrap}, did not")
    source = KafkaSource(settings)
    try:
        manifest = capture(source.log(), *_partition_counts(source, settings, begun=begun))
    except LogFailure as failure:
        raise BadArchive(str(failure)) from failure
    return Archive(source, manifest, growing=True)


def _partition_counts(source: KafkaSource, settings: Settings, *, begun: bool) -> tuple[int, int]:
    """Of ledgers and of matching. Raises `BadArchive`."""
    try:
        genesis = genesis_in(_first(source))
    except BadArchive:
        if begun:
            raise
        return settings.ledger_partitions, settings.matching_partitions
    return genesis.ledger_partitions, genesis.matching_partitions


def _first(source: KafkaSource) -> Iterator[LogRecord]:
    """The first record of the inbox of A0, if there is one."""
    place = inbox("A0")
    return source.log().scan(*place, 0, min(1, source.log().ends(*place)[1]))
