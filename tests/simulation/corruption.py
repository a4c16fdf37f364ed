"""What the protocol cannot mend and must notice: acknowledged records lost, another history."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from domain.decider import Decider, Message
from domain.matching.messages import OrderRested, OrderTerminated
from domain.orders.messages import OrderAccepted
from schemas.topics import inbox, outbox
from streams.audit.envelope import head_of
from tests.simulation.files import SimFiles
from tests.simulation.load import SETUP_PHASES
from tests.simulation.world import World


class Corruption(Protocol):
    """Something that happens to an exchange between two phases of its traffic."""

    def after_phase(self, world: World, number: int) -> None:
        """The exchange has come to rest after phase `number`, counted from 0."""


class LostTail:
    """Takes away from one ledger shard what it had acknowledged, and lets it live on without.

    Its inbox loses its tail, mostly its outbox, marks and snapshots with it, so that nothing of
    its own tells: it starts again with another history than the one other shards have received.
    """

    def after_phase(self, world: World, number: int) -> None:
        if number != SETUP_PHASES + 1:
            return
        rng = world.faults.rng
        shard = f"L{rng.randrange(2)}"
        partition = inbox(shard)
        values = world.log.partitions[partition]
        world.faults.happened["acknowledged tail lost"] += 1
        world.kill_host_of(shard)
        world.log.ghosts = [ghost for ghost in world.log.ghosts if ghost[0] != partition]
        del values[len(values) - rng.randint(1, 4) :]
        world.cut_at[shard] = len(values)
        if rng.random() < 0.7:
            world.log.marks.pop(partition, None)
            world.files[shard].wipe()
            told = world.log.partitions[outbox(shard)]
            told[:] = [value for value in told if head_of(value)[2] < len(values)]


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
            self._shard = world.faults.rng.choice(("L0", "L1", "M0", "M1"))
            self._wrong = Miscomputing(world.deciders[self._shard])
            self._put(world, self._wrong)
        elif self._wrong is not None and self._wrong.changed:
            world.faults.happened["message miscomputed"] += 1
            self._put(world, self._wrong.right)
            world.files[self._shard].wipe()
            self._wrong = None

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
        shard = rng.choice(("L0", "L1", "M0", "M1"))
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
