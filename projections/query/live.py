"""Reads the Redis views: data and the position they stand at, in one atomic step."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.http import errors
from infra.log import Partition
from infra.redis import AsyncRedis, RedisError
from projections.layout import (
    BUILD_KEY,
    FIRST_BUILD,
    NOWHERE,
    NoPosition,
    Position,
    position_key,
    position_of,
    redis_key,
)
from projections.query.freshness import PositionWatch, Target

Question = tuple[str, str, *tuple[str, ...]]
"""A Redis command that reads, the key without prefix, and the command's other arguments."""

Answer = Any

PAUSE_S = 0.004
"""Between two looks at the positions while somebody waits: less than one apply takes."""


class LiveViews:
    """The views of the current build."""

    def __init__(self, redis: AsyncRedis, partitions: Callable[[], Sequence[Partition]]) -> None:
        self._redis = redis
        self._partitions = partitions
        self._build = FIRST_BUILD
        self._watch = PositionWatch(self.positions, PAUSE_S)

    async def positions(self) -> Mapping[Partition, Position]:
        """Where the views stand, for every partition that feeds them."""
        return (await self._read(self._partitions(), []))[0]

    async def read(
        self,
        targets: Mapping[Partition, Target],
        questions: Sequence[Question],
        give_up_s: float,
    ) -> tuple[dict[Partition, Position], list[Answer]]:
        """The answers, and the positions of the named partitions at that same moment.

        Waits until each of them has its target; raises -1008 (503) after loop time `give_up_s`,
        or if Redis does not answer by then.
        """
        while True:
            try:
                async with asyncio.timeout_at(give_up_s):
                    positions, answers = await self._read(list(targets), questions)
            except TimeoutError:
                raise errors.view_behind() from None
            behind = [each for each in targets if not targets[each].met(positions[each])]
            if not behind:
                return positions, answers
            for partition in behind:
                await self._watch.reach(partition, targets[partition], give_up_s)

    async def stop(self) -> None:
        """End what runs in the background."""
        await self._watch.stop()

    async def _read(
        self, partitions: Sequence[Partition], questions: Sequence[Question]
    ) -> tuple[dict[Partition, Position], list[Answer]]:
        while True:
            # Kept, since others who read meanwhile may learn of another build first.
            asked = self._build
            build, positions, answers = await self._ask(asked, partitions, questions)
            # The build was flipped since: what was read belongs to the old one.
            if build == asked:
                return positions, answers
            self._build = build

    async def _ask(
        self, asked: str, partitions: Sequence[Partition], questions: Sequence[Question]
    ) -> tuple[str, dict[Partition, Position], list[Answer]]:
        """The build that is current, and what stands in the build that is asked."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.get(BUILD_KEY)
        for partition in partitions:
            key = redis_key(asked, position_key(*partition))
            pipeline.hmget(key, Position._fields)
        for command, name, *rest in questions:
            pipeline.execute_command(command, redis_key(asked, name), *rest)
        try:
            build, *answers = await pipeline.execute()
        except RedisError:
            raise errors.view_behind() from None
        found = answers[: len(partitions)]
        positions = {each: _position(cells) for each, cells in zip(partitions, found, strict=True)}
        return _text(build) or FIRST_BUILD, positions, answers[len(partitions) :]


def _position(texts: Sequence[bytes | None]) -> Position:
    """NOWHERE, too, where a view does not say where it stands: nobody reads it until it does."""
    found = zip(Position._fields, texts, strict=True)
    try:
        return position_of({field: text.decode() for field, text in found if text is not None})
    except (NoPosition, UnicodeDecodeError):
        return NOWHERE


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode()
