"""Writes record 0 of every input partition: what the exchange is before anything happened."""

import argparse
from collections.abc import Sequence

from commands.admin.markets import read_fee_tier
from domain.fees import FeeTier, are_fee_tiers
from domain.limits import DEFAULT_LIMITS, Limits, are_limits
from domain.protocol import Genesis
from domain.rules import SUPPORTED_RULES
from infra.clock import SystemClock
from infra.http.errors import ApiError
from infra.kafka import KafkaLog
from infra.log import Log
from infra.refusal import Refusal
from infra.settings import load_settings
from schemas.record import UndecodableRecord, decode_record, encode_message, outside_record
from schemas.topics import inbox, shards

FLUSH_S = 15.0
DEFAULT_FEE_TIERS = ("0:1000:1000", "1:800:900", "9:0:0")


def write_genesis(
    log: Log,
    *,
    exchange: str,
    ledger_partitions: int,
    matching_partitions: int,
    limits: Limits,
    fee_tiers: Sequence[FeeTier],
    now_us: int,
) -> list[str]:
    """Give each shard whose inbox is empty its Genesis; returns those shards.

    Raises `Refusal` for limits or fees that no later command could set, where an inbox begins with
    something else, and if the log does not take the records in time; then run it again.
    """
    if not are_limits(limits):
        raise Refusal(f"every limit must be positive, was {limits}")
    if not are_fee_tiers(fee_tiers):
        raise Refusal(f"fee tiers must be a schedule with tier 0, was {list(fee_tiers)}")
    names = shards(ledger_partitions, matching_partitions)
    written = [shard for shard in names if not _has_genesis(log, *inbox(shard))]
    for shard in written:
        topic, partition = inbox(shard)
        genesis = Genesis(
            exchange=exchange,
            family=shard[0],
            partition=partition,
            ledger_partitions=ledger_partitions,
            matching_partitions=matching_partitions,
            rules_version=SUPPORTED_RULES[-1],
            limits=limits,
            fee_tiers=list(fee_tiers),
        )
        value = outside_record("operator", now_us, [encode_message(genesis)])
        log.produce(topic, partition, value, time_us=now_us)
    if not log.flush(FLUSH_S):
        raise Refusal(f"the log must take Genesis within {FLUSH_S:.0f} s, did not")
    return written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse genesis`."""
    parser.add_argument("--exchange", default="logbourse", help="name of the exchange")
    parser.add_argument("--fee-tier", action="append", metavar="TIER:MAKER_PPM:TAKER_PPM")
    defaults = DEFAULT_LIMITS
    parser.add_argument("--orders-per-10s", type=int, default=defaults.orders_per_10s)
    parser.add_argument("--orders-per-day", type=int, default=defaults.orders_per_day)
    parser.add_argument("--weight-per-minute", type=int, default=defaults.request_weight_per_minute)
    parser.add_argument("--requests-per-5m", type=int, default=defaults.raw_requests_per_5m)


def run(arguments: argparse.Namespace) -> int:
    """Write what is missing and name the shards. Raises `Refusal`."""
    settings = load_settings()
    log = KafkaLog(settings, outside=True)
    written = write_genesis(
        log,
        exchange=arguments.exchange,
        ledger_partitions=settings.ledger_partitions,
        matching_partitions=settings.matching_partitions,
        limits=Limits(
            orders_per_10s=arguments.orders_per_10s,
            orders_per_day=arguments.orders_per_day,
            request_weight_per_minute=arguments.weight_per_minute,
            raw_requests_per_5m=arguments.requests_per_5m,
        ),
        fee_tiers=[_fee_tier(text) for text in arguments.fee_tier or DEFAULT_FEE_TIERS],
        now_us=SystemClock().now_us(),
    )
    log.close()
    print(f"genesis written for {', '.join(written)}" if written else "genesis was there already")
    return 0


def _has_genesis(log: Log, topic: str, partition: int) -> bool:
    """False for an empty inbox. Raises `Refusal` if it begins with something else."""
    low, end = log.ends(topic, partition)
    if end == 0:
        return False
    for first in log.scan(topic, partition, low, min(low + 1, end)):
        found = _first_message(first.value)
        if found != Genesis.__name__:
            wanted = f"the first record of {topic}.{partition} must be Genesis"
            raise Refusal(f"{wanted}, was {found}; see docs/runbook.md#no_genesis")
    return True


def _first_message(value: bytes | None) -> str:
    """What the record begins with: Genesis, or another message and its source."""
    try:
        record = decode_record(value)
    except UndecodableRecord:
        return "unreadable"
    if record.messages and isinstance(record.messages[0], Genesis):
        return Genesis.__name__
    kind = type(record.messages[0]).__name__ if record.messages else "nothing"
    return f"{kind} from {record.src}"


def _fee_tier(text: str) -> FeeTier:
    try:
        return read_fee_tier(text)
    except ApiError:
        raise Refusal(f"a fee tier must be tier:maker_ppm:taker_ppm, was {text!r}") from None
