"""What clients and operators were told and the log no longer says: orders, trades, money."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from domain.decider import Command, Message
from domain.ledger.messages import DepositCredited, WithdrawalDebited
from domain.matching.messages import TradeExecuted
from domain.matching.state import MatchingState
from domain.orders.messages import OrderAccepted
from domain.orders.state import LedgerState, next_order_id
from infra.log import Partition
from schemas.record import UndecodableRecord, decode_head, decode_record
from schemas.topics import inbox, outbox
from streams.audit.archive import Archive, place_name
from streams.audit.rerun import Options, rerun
from streams.families import decider_of
from streams.recovery.plan import Plan
from streams.shard import Shard, UnknownLayout
from streams.snapshots import Snapshot

SHOWN: dict[type[Message], tuple[str, ...]] = {
    WithdrawalDebited: ("user_id", "asset_id", "amount", "reference"),
    DepositCredited: ("user_id", "asset_id", "amount", "reference"),
    TradeExecuted: ("market_id", "trade_id", "maker_order_id", "taker_order_id", "lots"),
    OrderAccepted: ("user_id", "market_id", "order_id", "client_order_id"),
}
"""What must be made good, most urgent first, and what of it people are shown."""


@dataclass(slots=True)
class Losses:
    """What is known of the lost: events and commands by type, and gaps that only numbers tell.

    `events` are of outboxes, `commands` of inboxes, in what does not stay; those of a type in
    `SHOWN` are in `listed`, whole. `numbers` are sentences on what nothing but a mark, a
    snapshot or an outbox knows of.
    """

    events: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    listed: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)


def find_losses(
    archive: Archive, plan: Plan, snapshots: Mapping[str, Iterable[Snapshot]]
) -> Losses:
    """All that the rest of the log, the marks and the hosts' snapshots tell of what is lost."""
    losses = Losses()
    for shard in plan.marks:
        _read_outbox(archive, plan, shard, losses)
        _read_inbox(archive, plan, shard, losses)
        _count_inputs(archive, shard, losses)
        newest = max(snapshots.get(shard, ()), key=lambda each: each.offset, default=None)
        if newest is not None and newest.offset in plan.spoiled[shard]:
            _compare_states(archive, plan, shard, newest, losses)
    return losses


def sentences(losses: Losses, shown: int = 5) -> list[str]:
    """The losses for a person: counts, then the first few of each kind that must be made good."""
    lines = list(losses.numbers)
    for counts, what in ((losses.events, "event"), (losses.commands, "command")):
        lines += [f"{count:,} × {what} {kind}" for kind, count in sorted(counts.items())]
    for kind, names in SHOWN.items():
        rows = [row for row in losses.listed if row["type"] == kind.__name__]
        for row in rows[:shown]:
            words = ", ".join(f"{name} {row[name]}" for name in names if name in row)
            lines.append(f"{kind.__name__}: {words}")
        if len(rows) > shown:
            lines.append(f"{kind.__name__}: {len(rows) - shown:,} more, all of them in the report")
    return lines


def _read_outbox(archive: Archive, plan: Plan, shard: str, losses: Losses) -> None:
    place = outbox(shard)
    if plan.kept[place] == archive.end(place):
        return
    high = _last_cseq(archive, place, plan.kept[place])
    for record in archive.records(place, plan.kept[place], archive.end(place)):
        try:
            decoded = decode_record(record.value)
        except UndecodableRecord:
            continue
        if decoded.src != shard or decoded.cseq <= high:
            continue
        high = decoded.cseq
        for event in decoded.messages:
            losses.events[type(event).__name__] += 1
            if type(event) in SHOWN:
                losses.listed.append(_shown(event))


def _last_cseq(archive: Archive, place: Partition, kept: int) -> int:
    return max(
        (decode_head(record.value)[1] for record in archive.records(place, 0, kept)), default=0
    )


def _read_inbox(archive: Archive, plan: Plan, shard: str, losses: Losses) -> None:
    place = inbox(shard)
    for record in archive.records(place, plan.kept[place], archive.end(place)):
        try:
            decoded = decode_record(record.value)
        except UndecodableRecord:
            continue
        for message in decoded.messages:
            if isinstance(message, Command) and not decoded.cseq:
                losses.commands[type(message).__name__] += 1


def _count_inputs(archive: Archive, shard: str, losses: Losses) -> None:
    place = inbox(shard)
    mark = archive.mark(shard)
    if mark is not None and mark.offset > archive.end(place):
        gone = mark.offset - archive.end(place)
        losses.numbers.append(
            f"{place_name(place)} ends at {archive.end(place):,}, {shard} had done with all before "
            f"{mark.offset:,}: {gone:,} records are gone without a trace"
        )


def _compare_states(
    archive: Archive, plan: Plan, shard: str, newest: Snapshot, losses: Losses
) -> None:
    """What the newest snapshot of a host knew, that the shard will not know."""
    try:
        after = Shard.load(newest.payload, decider_of(shard)).state
    except UnknownLayout as error:
        # As hosts do: it is passed over, and tells nothing here.
        losses.numbers.append(
            f"{shard}: another build wrote the snapshot at {newest.offset:,}; it is passed over, "
            f"only the log tells what is lost ({error})"
        )
        return
    before = rerun(archive, shard, Options(stop=plan.kept[inbox(shard)])).restored().state
    if isinstance(before, LedgerState) and isinstance(after, LedgerState):
        _compare_ledgers(shard, before, after, losses)
    if isinstance(before, MatchingState) and isinstance(after, MatchingState):
        for market_id, market in after.markets.items():
            known = before.markets.get(market_id)
            trades = known.trades if known is not None else 0
            if market.trades > trades:
                losses.numbers.append(
                    f"{shard}: a snapshot knows trades {trades + 1:,} to {market.trades:,} of "
                    f"market {market_id}, these ids are given again"
                )


def _compare_ledgers(shard: str, before: LedgerState, after: LedgerState, losses: Losses) -> None:
    if after.orders_accepted > before.orders_accepted:
        first = next_order_id(before)
        last = next_order_id(after) - after.ledger_partitions
        losses.numbers.append(
            f"{shard}: a snapshot knows orders {first} to {last} in steps of "
            f"{after.ledger_partitions}, these ids are given again"
        )
    told = {row.get("reference") for row in losses.listed}
    for reference, funding in after.funding_by_reference.items():
        if reference not in before.funding_by_reference and reference not in told:
            kind = "DepositCredited" if funding.deposit else "WithdrawalDebited"
            row: dict[str, Any] = {"type": kind, "reference": reference}
            row |= {"user_id": funding.user_id, "asset_id": funding.asset_id}
            losses.listed.append(row | {"amount": funding.amount})


def _shown(event: Message) -> dict[str, Any]:
    row: dict[str, Any] = {"type": type(event).__name__}
    for each in fields(event):
        value = getattr(event, each.name)
        row[each.name] = value.hex() if isinstance(value, bytes) else value
    return row
