"""What the protocol cannot mend and must notice: acknowledged records lost, another history."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from domain.decider import Decider, Message
from domain.matching.messages import OrderRested, OrderTerminated
from domain.orders.messages import OrderAccepted
from schemas.record import decode_head
from schemas.topics import inbox, outbox
from tests.simulation.files import SimFiles
from tests.simulation.fold import first_records
from tests.simulation.load import SETUP_PHASES
from tests.simulation.world import World

OUTBOX_ALONE = 0.25
"""The share of losses that meet the outbox and not the inbox."""


class Corruption(Protocol):
    """Something that happens to an exchange between two phases of its traffic."""

    def after_phase(self, world: World, number: int) -> None:
        """The exchange has come to rest after phase `number`, counted from 0."""

    def judge(self, world: World) -> Iterator[str]:
        """What is wrong at the end that no channel shows."""


class LostTail:
    """Takes away from one ledger shard what it had acknowledged, and lets it live on without.

    Its inbox loses its tail. Where its outbox, marks and snapshots are lost with it, nothing of its
    own tells: it starts again with another history than the one that other shards have received.
    Where they are not, it must notice. Or its inbox was on disk, and its outbox loses its tail.
    """

    def __init__(self) -> None:
        self._shard = ""
        self._known: list[bytes] = []

    def after_phase(self, world: World, number: int) -> None:
        if number != SETUP_PHASES + 1:
            return
        rng = world.faults.rng
        shard = self._shard = rng.choice([each for each in world.deciders if each[0] == "L"])
        partition = inbox(shard)
        values = world.log.partitions[partition]
        world.faults.happened["acknowledged tail lost"] += 1
        world.kill_host_of(shard)
        if rng.random() < OUTBOX_ALONE:
            self._lose_outbox(world)
            return
        world.log.ghosts = [ghost for ghost in world.log.ghosts if ghost[0] != partition]
        kept = values[:]
        # What the opening has brought is on disk.
        begin, _ = world.log.begins.get(partition, (0, {}))
        del values[max(begin, len(values) - rng.randint(1, 4)) :]
        world.cut_at[shard] = len(values)
        known = self._lose_more(world, len(values), everything=rng.random() < 0.4)
        self._known = kept[:known]

    def _lose_more(self, world: World, cut: int, *, everything: bool) -> int:
        """Mark, outbox and snapshots go by lot; how many inputs mark and outbox still tell of."""
        rng, shard, known = world.faults.rng, self._shard, 0
        told, marks = world.log.partitions[outbox(shard)], world.log.marks
        if everything or rng.random() < 0.5:
            marks.pop(inbox(shard), None)
        elif inbox(shard) in marks:
            known = marks[inbox(shard)].offset
        if everything or rng.random() < 0.5:
            told[:] = [value for value in told if decode_head(value)[2] < cut]
        else:
            known = max(known, *(decode_head(value)[2] + 1 for value in told))
        if everything or rng.random() < 0.5:
            world.files[shard].wipe()
        return known

    def _lose_outbox(self, world: World) -> None:
        """The inbox is whole; marks and snapshots may be there, and know more than the outbox."""
        rng, place = world.faults.rng, outbox(self._shard)
        world.log.ghosts = [ghost for ghost in world.log.ghosts if ghost[0] != place]
        told = world.log.partitions[place]
        world.cut_at[self._shard] = world.log.end(inbox(self._shard))
        # What the opening has brought is on disk.
        del told[max(world.log.begins.get(place, (0, {}))[0], len(told) - rng.randint(1, 6)) :]
        if rng.random() < 0.7:
            world.log.marks.pop(inbox(self._shard), None)
        if rng.random() < 0.2:
            world.files[self._shard].wipe()

    def judge(self, world: World) -> Iterator[str]:
        """S2: whose mark or outbox tells of inputs that are no longer there does not go on.

        S5: nor does whose mark or snapshot tells of outputs that are not there.
        """
        if not self._shard:
            return
        _, heads = world.log.begins.get(outbox(self._shard), (0, {}))
        high = heads.get(self._shard, (0, b"", 0))[0]
        for _, record in first_records(world.log, outbox(self._shard)):
            if record.cseq != high + 1:
                yield f"S5: {self._shard} went on behind a hole in its outbox, at cseq {high + 1}"
                break
            high = record.cseq
        host = world.hosts().get(self._shard)
        before = self._known
        if host is None or world.log.partitions[inbox(self._shard)][: len(before)] == before:
            return
        if host.position > world.cut_at[self._shard]:
            yield f"S2: {self._shard} went on though its log lost what it had acknowledged"


class Miscomputation:
    """Lets one run of a shard compute one message differently; later runs compute it right.

    The snapshots of the wrong run are lost with it, so that the next one starts from genesis and
    its outputs continue another chain than the one that their receivers know.
    """

    def __init__(self) -> None:
        self._wrong: Miscomputing | None = None
        self._shard = ""

    def after_phase(self, world: World, number: int) -> None:
        if number == SETUP_PHASES - 1:
            self._shard = world.faults.rng.choice(_computing(world))
            self._wrong = Miscomputing(world.deciders[self._shard])
            self._put(world, self._wrong)
        elif self._wrong is not None and self._wrong.changed:
            world.faults.happened["message miscomputed"] += 1
            self._put(world, self._wrong.right)
            world.files[self._shard].wipe()
            self._wrong = None

    def judge(self, world: World) -> Iterator[str]:
        """Channels show it."""
        return iter(())

    def _put(self, world: World, decider: Decider[Any]) -> None:
        world.kill_host_of(self._shard)
        world.deciders[self._shard] = decider


class MiscomputingLeader:
    """Lets one of two processes of a shard compute one message differently, and die soon after.

    The other one stands by meanwhile: it must not take over what it would not have written.
    """

    def after_phase(self, world: World, number: int) -> None:
        if number != SETUP_PHASES - 1:
            return
        rng = world.faults.rng
        shard = rng.choice(_computing(world))
        wrong, right = rng.sample([p for p in world.processes if shard in p.shard_ids], 2)

        def changed() -> None:
            world.faults.happened["leader miscomputed"] += 1
            world.faults.crash_soon()

        world.kill_host_of(shard)
        # Its snapshots stay its own: who starts from them takes over what it has computed.
        wrong.files = {each: SimFiles(world.faults) for each in wrong.shard_ids}
        wrong.deciders[shard] = Miscomputing(world.deciders[shard], changed)
        # So that it is not the one that leads.
        right.stands_still = 40

    def judge(self, world: World) -> Iterator[str]:
        """Promotions show it."""
        return iter(())


def _computing(world: World) -> list[str]:
    """The shards that have orders."""
    return [shard for shard in world.deciders if shard[0] != "A"]


class Miscomputing:
    """A decider that changes the first report or accepted order it decides on, and no other."""

    def __init__(self, right: Decider[Any], on_change: Callable[[], None] = lambda: None) -> None:
        self.right = right
        self.changed = False
        self._on_change = on_change

    def __getattr__(self, name: str) -> Any:
        return getattr(self.right, name)

    def decide(self, state: Any, command: Message) -> Sequence[Message]:
        return [self._changed(event) for event in self.right.decide(state, command)]

    def _changed(self, event: Message) -> Message:
        if self.changed:
            return event
        if isinstance(event, OrderAccepted):
            self._change()
            return replace(event, order_count_1d=event.order_count_1d + 1)
        if isinstance(event, (OrderRested, OrderTerminated)) and event.command_id:
            self._change()
            return replace(event, command_id=bytes(16))
        return event

    def _change(self) -> None:
        self.changed = True
        self._on_change()


class Faulting:
    """A decider with a bug: what it cannot plan, it divides by zero for."""

    def __init__(self, sound: Decider[Any], cannot_plan: Callable[[Message], bool]) -> None:
        self._sound = sound
        self._cannot_plan = cannot_plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sound, name)

    def decide(self, state: Any, command: Message) -> Sequence[Message]:
        if self._cannot_plan(command):
            raise ZeroDivisionError("planted")
        return self._sound.decide(state, command)
