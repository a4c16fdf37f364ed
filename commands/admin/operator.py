"""What all operations share: command ids, deadlines, shards, and refusals as errors."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

from commands.credentials import Credentials
from commands.execution import Execution
from commands.outcomes import Answer, Awaited
from domain.accounts.messages import AccountsCommandRejected
from domain.decider import Command, Message, ledger_ids, matching_ids
from domain.ledger.messages import FundingRejected
from domain.markets import MarketCommandRejected
from domain.reference import Asset, Market, ReferenceData
from infra.clock import Clock
from infra.http import errors
from infra.http.errors import ApiError
from infra.keys import SealingKeys
from schemas.topics import shards

DEADLINE_US = 60_000_000

_REFUSALS = (AccountsCommandRejected, FundingRejected, MarketCommandRejected)


@dataclass(slots=True)
class Operator:
    """Sends an operator's commands and knows where they go.

    `execution` runs what comes from operators, `orders` what ledgers take from the gateway alone.
    """

    reference: ReferenceData
    credentials: Credentials
    execution: Execution
    orders: Execution
    keys: SealingKeys
    clock: Clock
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def identity(self) -> tuple[bytes, int]:
        """A fresh command id, and a deadline a minute from now."""
        return secrets.token_bytes(16), self.clock.now_us() + DEADLINE_US

    async def run(
        self, shard: str, command: Command, shown: dict[str, tuple[type[Message], ...]]
    ) -> Answer:
        """The answer once each shard of `shown` has shown one of the types that belong to it.

        Raises ApiError -2010 with the name of the reason if the command is refused.
        """
        answer = await self.execution.run(shard, command, Awaited(shown, _REFUSALS))
        if isinstance(answer.last, _REFUSALS):
            raise refused(answer.last.reason)
        return answer

    @asynccontextmanager
    async def changing(self, shard: str) -> AsyncIterator[None]:
        """For a change that is built upon what this accounts shard has told: one at a time.

        Once the shard has shown one change, the next is built upon it. Raises -1008 while it lags:
        what it has not told yet would be undone.
        """
        async with self._changing:
            self.execution.expect_no_lag([shard])
            yield

    def accounts_shard(self, user_id: int) -> str:
        """The accounts shard of a user."""
        return f"A{user_id % self._ledger_partitions()}"

    def ledger_shard(self, user_id: int) -> str:
        """The ledger shard of a user."""
        return f"L{user_id % self._ledger_partitions()}"

    def ledger_shards(self) -> list[str]:
        """All ledger shards."""
        return ledger_ids(self._ledger_partitions())

    def matching_shards(self) -> list[str]:
        """All matching shards."""
        return matching_ids(self.reference.matching_partitions)

    def shards(self) -> list[str]:
        """All shards of the exchange."""
        return shards(self._ledger_partitions(), self.reference.matching_partitions)

    def asset(self, code: str) -> Asset:
        """The asset with this code; -1130 if there is none."""
        asset = self.reference.asset(code)
        if asset is None:
            raise errors.invalid_data("asset")
        return asset

    def market(self, symbol: str) -> Market:
        """The market with this symbol; -1121 if there is none."""
        market = self.reference.market(symbol)
        if market is None:
            raise errors.invalid_symbol()
        return market

    def _ledger_partitions(self) -> int:
        if self.reference.ledger_partitions == 0:
            raise errors.overloaded()
        return self.reference.ledger_partitions


def shown_by(shards: Iterable[str], *events: type[Message]) -> dict[str, tuple[type[Message], ...]]:
    """Each of the shards, with the events of which it must show one."""
    return dict.fromkeys(shards, events)


def refused(reason: Enum) -> ApiError:
    """-2010 with the name of the reason for which a shard refuses a command, or would."""
    return ApiError(400, -2010, f"Refused: {reason.name}.")
