"""What replays show: channels are whole, and whoever computes the log anew comes to the same."""

from collections import defaultdict
from collections.abc import Iterator

from domain.protocol import HaltAction
from infra.log import Partition
from schemas.record import chain_hash
from schemas.topics import inbox, outbox, shard_of
from streams.halts import Halt, HaltReason
from streams.marks import Done
from streams.shard import Shard, Step
from streams.snapshots import BadSnapshot, decode_snapshot
from tests.simulation.fold import decoded, first_records
from tests.simulation.world import World

SNAPSHOTS_CHECKED = 0.3
"""The share that is loaded and run to the end; a restart does so with the newest of each shard."""

Written = dict[tuple[str, Partition], list[bytes]]
"""The records of each channel, by writer and partition."""


def check_channels(world: World, *, inboxes_only: bool = False) -> Iterator[str]:
    """S1, S2, S7: what each receiver took is gapless, chained, and never goes back in time."""
    for partition in world.log.partitions:
        if partition[0] != "dlq" and (partition[0].endswith(".in") or not inboxes_only):
            yield from _check_channel(world, partition)


def check_replay(world: World) -> Iterator[str]:
    """S3, S5, E2: a fresh run over the input gives the same state and the very records logged."""
    hosts = world.hosts()
    expected: Written = defaultdict(list)
    for shard_id in world.deciders:
        fresh, begin = _fresh(world, shard_id)
        mark = world.log.marks.get(inbox(shard_id))
        for offset, step in _steps(world, fresh, begin):
            if mark and mark.offset == offset + 1 and mark.metadata != _mark(offset + 1, fresh):
                yield f"S2: {shard_id} committed another input than stands in the log"
            for output in step.outputs:
                expected[(shard_id, (output.topic, output.partition))].append(output.value)
        dump = fresh.dump()
        if dump != hosts[shard_id].shard.dump():
            yield f"S3: {shard_id} differs from its own replay"
        yield from _check_snapshots(world, shard_id, dump)
        for shadow in world.shadows():
            if shadow.id == shard_id and shadow.host.shard.dump() != dump:
                yield f"S3: the shadow of {shadow.id} differs from its leader"
    yield from _check_outputs(world, expected)


def check_promotions(world: World) -> Iterator[str]:
    """S3, S5: what the outbox had when a shadow took over is what the shadow computed.

    Of inputs in the snapshot that it began from, a shadow computes nothing. They were compared
    before, but for those that came while a right one led and another wrote beside it: a wrong
    record of these breaks the chain to the right one behind it, for whoever reads the outbox.
    """
    for promotion in world.promotions:
        if promotion.mark_taken < promotion.mark:
            yield f"S5: {promotion.shard} was taken over at {promotion.mark_taken}, behind the mark"
    for shard_id in {promotion.shard for promotion in world.promotions if promotion.right}:
        computed = _computed(world, shard_id)
        promotions = [p for p in world.promotions if p.shard == shard_id and p.right]
        led_from = promotions[0].outbox_end
        for offset, record in first_records(world.log, outbox(shard_id)):
            value = world.log.partitions[outbox(shard_id)][offset]
            if value != computed.get(record.cseq) and any(
                offset < p.outbox_end
                and record.cause < p.computed.stop
                and (offset < led_from or record.cause in p.computed)
                for p in promotions
            ):
                yield f"S3: {shard_id} was taken over with another record in its outbox"
                break


def _check_channel(world: World, partition: Partition) -> Iterator[str]:
    begin, heads = world.log.begins.get(partition, (0, {}))
    known = dict(heads)
    values = world.log.partitions[partition]
    for offset in range(begin, min(len(values), _accepted_end(world, partition))):
        value = values[offset]
        record = decoded(value)
        high, chain, time_us = known.get(record.src, (0, bytes(16), 0))
        if (partition, offset) in world.log.forged or record.cseq == 0 or record.cseq <= high:
            continue
        where = f"{record.src} → {partition} at cseq {record.cseq}"
        if record.cseq != high + 1:
            yield f"S1: gap in {where}"
        if record.prev != chain:
            yield f"S1: chain broken in {where}"
        if record.time_us < time_us:
            yield f"S7: time goes back in {where}"
        known[record.src] = record.cseq, chain_hash(value), record.time_us


def _accepted_end(world: World, partition: Partition) -> int:
    """Up to where the partition was acted upon: not beyond a halt of its shard, or of another
    shard of the same process."""
    topic, number = partition
    shard = shard_of(topic, number)
    if topic.endswith(".in") and shard in world.halted:
        halted = world.halted[shard]
        # It noticed before it read on: its offset may be one of the log that was lost.
        at_start = halted.reason is HaltReason.ACKED_LOSS
        return (
            min(halted.offset, world.cut_at.get(shard, halted.offset))
            if at_start
            else halted.offset
        )
    if topic.endswith(".in") and shard in world.deciders and shard not in world.hosts():
        return world.stopped_at.get(shard, 0)
    return world.log.end(partition)


def _fresh(world: World, shard_id: str) -> tuple[Shard, int]:
    """The shard as the schedule began, and the offset of its next input."""
    fresh = Shard(shard_id, world.deciders[shard_id])
    if world.opening:
        fresh = world.opening.shard(shard_id, world.deciders[shard_id])
    fresh.resolutions = _resolutions(world, shard_id)
    return fresh, world.log.begins.get(inbox(shard_id), (0, {}))[0]


def _steps(world: World, shard: Shard, begin: int) -> Iterator[tuple[int, Step]]:
    values = world.log.partitions[inbox(shard.id)]
    for offset in range(begin, len(values)):
        yield offset, shard.step(offset, values[offset])


def _mark(offset: int, shard: Shard) -> str:
    return Done(offset, shard.ordinal, shard.input_hash).mark().metadata


def _resolutions(world: World, shard_id: str) -> dict[int, HaltAction]:
    """What operators said of the forged records in the shard's inbox."""
    place = inbox(shard_id)
    forged = world.log.forged.items()
    return {offset: action for (where, offset), action in forged if where == place}


def _check_outputs(world: World, expected: Written) -> Iterator[str]:
    found: Written = defaultdict(list)
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


def _check_snapshots(world: World, shard_id: str, end: bytes) -> Iterator[str]:
    """S4: a good snapshot and the log behind it lead to the same state, `end`."""
    rng = world.faults.rng
    everywhere = {id(p.files[shard_id]): p.files for p in world.processes if shard_id in p.files}
    # A fresh run begins with the opening's, and of two copies one is enough.
    seen = {world.opening.snapshots[shard_id][1]} if world.opening else set()
    for files in everywhere.values():
        for name in files[shard_id].names():
            data = files[shard_id].read(name)
            if data in seen or not name.endswith(".snapshot") or rng.random() > SNAPSHOTS_CHECKED:
                continue
            seen.add(data)
            try:
                snapshot = decode_snapshot(data)
            except BadSnapshot:
                continue
            shard = Shard.load(snapshot.payload, world.deciders[shard_id])
            shard.resolutions = _resolutions(world, shard_id)
            for _ in _steps(world, shard, snapshot.offset):
                pass
            if shard.dump() != end:
                yield f"S4: {shard_id} from snapshot {snapshot.offset} differs"


def _computed(world: World, shard_id: str) -> dict[int, bytes]:
    """The own records of the shard by number, as a right run gives them, until it halts."""
    fresh, begin = _fresh(world, shard_id)
    _, heads = world.log.begins.get(outbox(shard_id), (0, {}))
    own: list[bytes] = []
    try:
        for _, step in _steps(world, fresh, begin):
            own += [o.value for o in step.outputs if (o.topic, o.partition) == outbox(shard_id)]
    except Halt:
        pass
    return dict(enumerate(own, start=heads.get(shard_id, (0, b"", 0))[0] + 1))
