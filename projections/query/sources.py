"""Everything that endpoints read from, and how fresh it must be for the request at hand."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from domain.reference import Asset, Market, ReferenceData
from infra.clock import Clock
from infra.http import errors
from infra.http.app import Call
from infra.http.errors import ApiError
from infra.log import LogFailure, Partition
from projections.layout import (
    LEDGER_EVENTS,
    MATCHING_EVENTS,
    NOWHERE,
    Position,
    feeding_partitions,
)
from projections.query.freshness import (
    PATIENCE_S,
    PositionWatch,
    Target,
    format_positions,
    parse_positions,
)
from projections.query.history import History
from projections.query.live import Answer, LiveViews, Question
from projections.query.outbox_ends import OutboxEnds

ACCOUNTS_EVENTS = "accounts.ev"
REFERENCE_PAUSE_S = 0.005


@dataclass(slots=True)
class Sources:
    """The views, the reference data folded in memory, and the end of the log.

    `end_of_log` answers the offset that the next record of a partition will get, `outbox_ends` what
    a view must have to have all before it; `told_at_start` has the last sequence that stood in a
    partition when this process began, once it is known. `reference_positions` says how far the
    reference data are folded.
    """

    reference: ReferenceData
    reference_positions: Callable[[], Mapping[Partition, Position]]
    live: LiveViews
    history: History
    end_of_log: Callable[[str, int], Awaitable[int]]
    outbox_ends: OutboxEnds
    told_at_start: Mapping[Partition, int]
    clock: Clock
    _answered: dict[Partition, Position] = field(default_factory=dict, init=False)
    """The furthest that this process has answered from live views."""

    def ledger_partition(self, user_id: int) -> Partition:
        """The partition that feeds a user's views; -1008 (503) before genesis is known."""
        return LEDGER_EVENTS, user_id % _known(self.reference.ledger_partitions)

    def market_partition(self, market_id: int) -> Partition:
        """The partition that feeds a market's views; -1008 (503) before genesis is known."""
        return MATCHING_EVENTS, market_id % _known(self.reference.matching_partitions)

    def partitions(self) -> list[Partition]:
        """All that feed views."""
        reference = self.reference
        return feeding_partitions(reference.ledger_partitions, reference.matching_partitions)

    def market(self, market_id: int) -> Market:
        """A market that a view names; -1008 (503) while the reference data do not know it yet."""
        market = self.reference.markets.get(market_id)
        if market is None:
            raise errors.view_behind()
        return market

    def asset(self, asset_id: int) -> Asset:
        """An asset that a view names; -1008 (503) while the reference data do not know it yet."""
        asset = self.reference.assets.get(asset_id)
        if asset is None:
            raise errors.view_behind()
        return asset

    async def read_markets(
        self, call: Call, markets: Iterable[Market], questions: Sequence[Question]
    ) -> tuple[dict[Partition, Position], list[Answer]]:
        """Answers about markets from live views, as `read_live` gives them."""
        partitions = sorted({self.market_partition(market.market_id) for market in markets})
        return await self.read_live(call, dict.fromkeys(partitions, Target()), questions)

    async def read_account(
        self, call: Call, user_id: int, target: Target, questions: Sequence[Question]
    ) -> tuple[Position, list[Answer]]:
        """Answers about a user from a live view that has the target, as `read_live` gives them."""
        partition = self.ledger_partition(user_id)
        positions, answers = await self.read_live(call, {partition: target}, questions)
        return positions[partition], answers

    async def read_live(
        self, call: Call, targets: Mapping[Partition, Target], questions: Sequence[Question]
    ) -> tuple[dict[Partition, Position], list[Answer]]:
        """Answers from views that have the targets and the client's `X-Log-Min-Position`.

        Nor do they stand before what was answered already, or before the log's end when this
        process began, since others answered then: a view that was lost, and is built again, would
        tell of empty books and of the past.
        """
        wanted = wanted_positions(call)
        least = {each: self._least(each, targets[each], wanted.get(each, 0)) for each in targets}
        try:
            positions, answers = await self.live.read(least, questions, _deadline_s(least.values()))
        except ApiError:
            await self._forget_what_the_log_lacks(targets)
            raise
        for each, position in positions.items():
            self._answered[each] = max(position, self._answered.get(each, NOWHERE))
        call.position = format_positions(positions)
        return positions, answers

    async def reach_account_table(
        self, call: Call, table: str, user_id: int, target: Target
    ) -> None:
        """Wait until a table has the target for the user; the answer says where the table is."""
        partition = self.ledger_partition(user_id)
        position = await self.history.reach(table, partition, target, _deadline_s([target]))
        call.position = format_positions({partition: position})

    async def reach_trades(self, call: Call, market: Market) -> None:
        """Wait until a market's trades have all up to the client's `X-Log-Min-Position`.

        And to the log's end when this process began, as `read_live`. The answer says where.
        """
        partition = self.market_partition(market.market_id)
        wanted = wanted_positions(call).get(partition, 0)
        target = Target(cseq=max(wanted, self._told(partition)))
        position = await self.history.reach("trades", partition, target, give_up_s())
        call.position = format_positions({partition: position})

    async def own_writes(self, call: Call, user_id: int) -> Target:
        """What a view must have so that the user reads what was answered to him before.

        That is `X-Log-Min-Position` where the client names his ledger partition, but not before the
        log's end when this process began; else everything that stood in it when the request
        arrived.
        """
        partition = self.ledger_partition(user_id)
        wanted, told = wanted_positions(call), self._told(partition)
        if partition in wanted:
            return Target(cseq=max(wanted[partition], told))
        deadline_s = give_up_s()
        end = await self.end_offset(partition, deadline_s)
        target = await self.outbox_ends.target(partition, end, deadline_s)
        # What was waited here is not waited for the view once more.
        return replace(target, give_up_s=deadline_s)

    async def end_offset(self, partition: Partition, give_up_s: float) -> int:
        """The offset the next record will get; -1008 (503) if the log does not say so in time."""
        try:
            async with asyncio.timeout_at(give_up_s):
                return await self.end_of_log(*partition)
        except (TimeoutError, LogFailure):
            raise errors.view_behind() from None

    async def reach_reference(self, call: Call) -> None:
        """Wait until the reference data have what `X-Log-Min-Position` asks of `accounts.ev`."""
        deadline_s = give_up_s()
        for partition, target in wanted_targets(call, ACCOUNTS_EVENTS):
            if not target.met(self.reference_positions().get(partition, NOWHERE)):
                watch = PositionWatch(self._reference_positions, REFERENCE_PAUSE_S)
                await watch.reach(partition, target, deadline_s)

    async def reach_live(self, call: Call, topic: str, deadline_s: float) -> None:
        """Wait until the live views have what `X-Log-Min-Position` asks of a topic.

        Raises -1008 (503) after loop time `deadline_s`.
        """
        targets = dict(wanted_targets(call, topic))
        if targets:
            await self.live.read(targets, [], deadline_s)

    async def reach_table(self, call: Call, table: str, topic: str, deadline_s: float) -> None:
        """Wait until a table of history has what `X-Log-Min-Position` asks of a topic.

        Raises -1008 (503) after loop time `deadline_s`.
        """
        for partition, target in wanted_targets(call, topic):
            await self.history.reach(table, partition, target, deadline_s)

    async def catch_up_reference(self) -> None:
        """Wait until all is folded that stands in `accounts.ev` now; -1008 (503) if that lasts."""
        deadline_s = give_up_s()
        watch = PositionWatch(self._reference_positions, REFERENCE_PAUSE_S)
        for partition in range(self.reference.ledger_partitions):
            place = (ACCOUNTS_EVENTS, partition)
            target = Target(offset=await self.end_offset(place, deadline_s) - 1)
            if not target.met(self.reference_positions().get(place, NOWHERE)):
                await watch.reach(place, target, deadline_s)

    def _least(self, partition: Partition, target: Target, wanted_cseq: int) -> Target:
        """What a live view must have; -1008 (503) until it is known where the log ended."""
        answered = self._answered.get(partition, NOWHERE)
        told = self._told(partition)
        return replace(target, cseq=max(target.cseq, wanted_cseq, answered.cseq, told))

    def _told(self, partition: Partition) -> int:
        """The log's last sequence when this process began; -1008 (503) until it is known."""
        if partition not in self.told_at_start:
            raise errors.view_behind()
        return self.told_at_start[partition]

    async def _forget_what_the_log_lacks(self, partitions: Iterable[Partition]) -> None:
        """Let no read wait for what a view claimed to have that was spoilt or of another log.

        A log that `logbourse recover` has cut needs no more: the stack is stopped for it, so that
        this process begins anew and remembers nothing.
        """
        deadline_s = give_up_s()
        for each in partitions:
            answered = self._answered.get(each)
            if answered is None:
                continue
            end = await self.end_offset(each, deadline_s)
            # The last record has an offset below the end, and a sequence not above the end.
            if max(answered.cseq, answered.offset + 1) > end:
                self._answered.pop(each, None)

    async def _reference_positions(self) -> Mapping[Partition, Position]:
        return self.reference_positions()


def wanted_positions(call: Call) -> dict[Partition, int]:
    """The sequences that the client's `X-Log-Min-Position` names."""
    return parse_positions(call.request.headers.get("X-Log-Min-Position", ""))


def wanted_targets(call: Call, topic: str) -> Iterator[tuple[Partition, Target]]:
    """What the client's `X-Log-Min-Position` asks of each partition of a topic that it names."""
    for partition, cseq in wanted_positions(call).items():
        if partition[0] == topic:
            yield partition, Target(cseq=cseq)


def give_up_s() -> float:
    """The loop time until which a request that begins to wait now may wait."""
    return asyncio.get_running_loop().time() + PATIENCE_S


def _deadline_s(targets: Iterable[Target]) -> float:
    named = [each.give_up_s for each in targets if each.give_up_s is not None]
    return min(named, default=give_up_s())


def _known(partitions: int) -> int:
    if partitions == 0:
        raise errors.view_behind()
    return partitions
