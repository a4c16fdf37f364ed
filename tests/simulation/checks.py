"""The invariants that must hold after every schedule; each violation names its id."""

from collections import defaultdict
from collections.abc import Iterator

from domain.ledger.chart import (
    CLEARING,
    EXTERNAL,
    LOWEST_USER_ACCOUNT,
    AccountKind,
    kind_of,
    owner_of,
)
from domain.protocol import HaltAction
from schemas.record import chain_hash, decode_record
from schemas.topics import inbox, outbox, shard_of, shards
from streams.halts import Halt, HaltReason
from streams.marks import Done
from streams.shard import Shard
from streams.snapshots import BadSnapshot, decode_snapshot
from tests.simulation.fold import Fold, first_records
from tests.simulation.log import Partition
from tests.simulation.world import LEDGERS, MATCHERS, World

ALL_SHARDS = shards(LEDGERS, MATCHERS)


def check_all(world: World) -> tuple[Fold, list[str]]:
    """The folded outboxes and every violation found, once everything has drained."""
    fold = fold_outboxes(world)
    violations = [
        *check_channels(world),
        *check_replay(world),
        *check_snapshots(world),
        *check_standby(world),
        *fold.violations,
        *check_money(fold),
        *check_orders(fold),
        *check_commands(fold),
    ]
    return fold, violations


def fold_outboxes(world: World) -> Fold:
    """All outboxes, folded."""
    fold = Fold()
    for shard in ALL_SHARDS:
        for _, record in first_records(world.log, outbox(shard)):
            for event in record.messages:
                fold.apply(shard, event)
    return fold


def check_channels(world: World, *, inboxes_only: bool = False) -> Iterator[str]:
    """S1, S2, S7: what each receiver took is gapless, chained, and never goes back in time."""
    for partition, values in world.log.partitions.items():
        if partition[0] == "dlq" or (inboxes_only and not partition[0].endswith(".in")):
            continue
        accepted_end = _accepted_end(world, partition)
        chains: dict[str, bytes] = defaultdict(lambda: bytes(16))
        high: dict[str, int] = defaultdict(int)
        time_us: dict[str, int] = defaultdict(int)
        for offset, value in enumerate(values[:accepted_end]):
            record = decode_record(value)
            if (partition, offset) in world.log.forged:
                continue
            if record.cseq == 0 or record.cseq <= high[record.src]:
                continue
            where = f"{record.src} → {partition} at cseq {record.cseq}"
            if record.cseq != high[record.src] + 1:
                yield f"S1: gap in {where}"
            if record.prev != chains[record.src]:
                yield f"S1: chain broken in {where}"
            if record.time_us < time_us[record.src]:
                yield f"S7: time goes back in {where}"
            high[record.src] = record.cseq
            chains[record.src] = chain_hash(value)
            time_us[record.src] = record.time_us


def _accepted_end(world: World, partition: Partition) -> int:
    """Up to where the partition was acted upon: not beyond a halt of its shard, or of another
    shard of the same process."""
    topic, number = partition
    shard = shard_of(topic, number)
    if topic.endswith(".in") and shard in world.halted:
        halted = world.halted[shard]
        # It noticed before it read on: its offset may be one of the log that was lost.
        at_start = halted.reason is HaltReason.ACKED_LOSS
        return min(halted.offset, world.cut_at[shard]) if at_start else halted.offset
    if topic.endswith(".in") and shard not in world.hosts():
        return world.stopped_at.get(shard, 0)
    return world.log.end(partition)


def check_replay(world: World) -> Iterator[str]:
    """S3, S5, E2: a fresh run over the input gives the same state and the very records logged."""
    hosts = world.hosts()
    expected: dict[tuple[str, Partition], list[bytes]] = defaultdict(list)
    for shard_id in ALL_SHARDS:
        fresh = Shard(shard_id, world.deciders[shard_id])
        fresh.resolutions = _resolutions(world, shard_id)
        mark = world.log.marks.get(inbox(shard_id))
        for offset, value in enumerate(world.log.partitions[inbox(shard_id)]):
            if mark and mark.offset == offset:
                yield from _check_mark(shard_id, fresh, Done.of_mark(mark))
            for output in fresh.step(offset, value).outputs:
                expected[(shard_id, (output.topic, output.partition))].append(output.value)
        if fresh.dump() != hosts[shard_id].shard.dump():
            yield f"S3: {shard_id} differs from its own replay"
    yield from _check_outputs(world, expected)


def _resolutions(world: World, shard_id: str) -> dict[int, HaltAction]:
    """What operators said of the forged records in the shard's inbox."""
    place = inbox(shard_id)
    forged = world.log.forged.items()
    return {offset: action for (where, offset), action in forged if where == place}


def _check_mark(shard_id: str, fresh: Shard, done: Done) -> Iterator[str]:
    if (fresh.ordinal, fresh.input_hash) != (done.ordinal, done.input_hash):
        yield f"S2: {shard_id} committed another input than stands in the log"


def _check_outputs(
    world: World, expected: dict[tuple[str, Partition], list[bytes]]
) -> Iterator[str]:
    found: dict[tuple[str, Partition], list[bytes]] = defaultdict(list)
    for partition, values in world.log.partitions.items():
        for offset, record in first_records(world.log, partition) if partition[0] != "dlq" else ():
            if record.cseq:
                found[(record.src, partition)].append(values[offset])
    for channel in expected.keys() | found.keys():
        if expected[channel] != found[channel]:
            yield (
                f"S5: {channel[0]} → {channel[1]} has {len(found[channel])} records, "
                f"replay gives {len(expected[channel])} or others"
            )


def check_snapshots(world: World) -> Iterator[str]:
    """S4: each good snapshot and the log behind it lead to the same state."""
    hosts = world.hosts()
    everywhere = {id(f): (s, f) for process in world.processes for s, f in process.files.items()}
    for shard_id, files in everywhere.values():
        values = world.log.partitions[inbox(shard_id)]
        for name in files.names():
            try:
                snapshot = decode_snapshot(files.read(name))
            except BadSnapshot:
                continue
            if not name.endswith(".snapshot"):
                continue
            shard = Shard.load(snapshot.payload, world.deciders[shard_id])
            shard.resolutions = _resolutions(world, shard_id)
            for offset in range(snapshot.offset, len(values)):
                shard.step(offset, values[offset])
            if shard.dump() != hosts[shard_id].shard.dump():
                yield f"S4: {shard_id} from snapshot {snapshot.offset} differs"


def check_standby(world: World) -> Iterator[str]:
    """S3, S5: a shadow is what its leader is, and nobody takes over blindly or behind the mark."""
    hosts = world.hosts()
    for shadow in world.shadows():
        if shadow.host.shard.dump() != hosts[shadow.id].shard.dump():
            yield f"S3: the shadow of {shadow.id} differs from its leader"
    yield from check_promotions(world)


def check_promotions(world: World) -> Iterator[str]:
    """S3, S5: what the outbox had when a shadow took over is what the shadow computed."""
    for promotion in world.promotions:
        if promotion.mark_taken < promotion.mark:
            yield f"S5: {promotion.shard} was taken over at {promotion.mark_taken}, behind the mark"
    for shard_id in {promotion.shard for promotion in world.promotions if promotion.right}:
        computed = _computed(world, shard_id)
        promotions = [p for p in world.promotions if p.shard == shard_id and p.right]
        for offset, record in first_records(world.log, outbox(shard_id)):
            value = world.log.partitions[outbox(shard_id)][offset]
            if any(
                offset < p.outbox_end and record.cause <= p.ordinal for p in promotions
            ) and value != computed.get(record.cseq):
                yield f"S3: {shard_id} was taken over with another record in its outbox"
                break


def _computed(world: World, shard_id: str) -> dict[int, bytes]:
    """The own records of the shard by number, as a right run gives them, until it halts."""
    fresh = Shard(shard_id, world.deciders[shard_id])
    fresh.resolutions = _resolutions(world, shard_id)
    own: list[bytes] = []
    try:
        for offset, value in enumerate(world.log.partitions[inbox(shard_id)]):
            outputs = fresh.step(offset, value).outputs
            own += [o.value for o in outputs if (o.topic, o.partition) == outbox(shard_id)]
    except Halt:
        pass
    return dict(enumerate(own, start=1))


def check_money(fold: Fold) -> Iterator[str]:
    """L1, L2, L4: sums are zero everywhere, nobody is below zero, nothing is left in flight."""
    sums: dict[tuple[str, int], int] = defaultdict(int)
    clearing: dict[int, int] = defaultdict(int)
    for (shard, asset, account), amount in fold.balances.items():
        sums[(shard, asset)] += amount
        if account == CLEARING:
            clearing[asset] += amount
        elif account != EXTERNAL and amount < 0:
            yield f"L4: account {account} of {shard} has {amount} of asset {asset}"
    for (shard, asset), total in sums.items():
        if total:
            yield f"L1: asset {asset} of {shard} sums to {total}"
    for asset, amount in clearing.items():
        if amount:
            yield f"L2: {amount} of asset {asset} are still in clearing"


def check_orders(fold: Fold) -> Iterator[str]:
    """L6, E1, E5: holds are what open orders need, books are uncrossed, trades settled once."""
    holds: dict[tuple[int, int], int] = defaultdict(int)
    for order in fold.open_orders.values():
        holds[(order.accepted.user_id, order.accepted.held_asset)] += order.held
    for (shard, asset, account), amount in fold.balances.items():
        if account >= LOWEST_USER_ACCOUNT and kind_of(account) is AccountKind.HELD:
            wanted = holds.pop((owner_of(account), asset), 0)
            if amount != wanted:
                yield f"L6: {shard} holds {amount} of {asset} for {owner_of(account)}, not {wanted}"
    yield from (f"L6: no hold for {key}" for key, amount in holds.items() if amount)
    best: dict[tuple[int, int], list[int]] = defaultdict(list)
    for (market, side, price), lots in fold.levels.items():
        if lots:
            best[(market, side)].append(price)
    for (market, side), prices in best.items():
        if side == 0 and (market, 1) in best and max(prices) >= min(best[(market, 1)]):
            yield f"E1: the book of market {market} is crossed"
    parties = {
        (*key, order)
        for key, trade in fold.trades.items()
        for order in (trade.maker_order_id, trade.taker_order_id)
    }
    if set(fold.settled) != parties or any(count != 1 for count in fold.settled.values()):
        yield "E5: trades executed and fills settled are not the same"


def check_commands(fold: Fold) -> Iterator[str]:
    """S6: a command id has one effect, and whatever was asked of a book is answered once."""
    for command_id, count in fold.effects.items():
        if count != 1:
            yield f"S6: command {command_id.hex()} had {count} effects"
    if fold.asked != fold.answered:
        yield f"S6: asked {fold.asked - fold.answered}, told too often {fold.answered - fold.asked}"
    for command_id, orders in fold.of_all.items():
        if any(orders.values()):
            yield f"S6: cancel-all {command_id.hex()} named other orders than it ended: {orders}"
