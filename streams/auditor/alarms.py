"""Says what is violated, and writes the commands that stop what it is about, each once."""

from domain.accounts.messages import HaltWithdrawals
from domain.protocol import AUDITOR
from infra.clock import Clock
from infra.log import Log
from infra.logging import get_logger
from schemas.record import encode_message, outside_record
from schemas.topics import inbox
from streams.auditor import metrics
from streams.auditor.log_auditor import LogAuditor
from streams.auditor.violations import Violation, orders_for

WRITTEN_WITHIN_S = 5.0

_logger = get_logger("auditor")


class Alarms:
    """Takes violations while records are applied, and acts upon them between two turns."""

    def __init__(self, log: Log, clock: Clock, *, halts: bool) -> None:
        """Without `halts` it only says what it has found."""
        self._log = log
        self._clock = clock
        self._halts = halts
        self._told: set[tuple[str, str]] = set()
        self._waiting: list[Violation] = []

    def take(self, violation: Violation) -> None:
        """Note a violation, unless it is known already."""
        known = (violation.invariant, violation.position)
        if known not in self._told:
            self._told.add(known)
            self._waiting.append(violation)
            metrics.VIOLATIONS.labels(violation.invariant).inc()
            _logger.error("violation", invariant=violation.invariant, words=violation.sentence())

    def act(self, auditor: LogAuditor) -> bool:
        """Stop what the new violations are about; whether there were any. Raises `LogFailure`."""
        violations, self._waiting = self._waiting, []
        if self._halts:
            for violation in violations:
                self._stop(violation, auditor)
        return bool(violations)

    def _stop(self, violation: Violation, auditor: LogAuditor) -> None:
        now_us = self._clock.now_us()
        assets, markets = auditor.assets(), auditor.markets()
        orders = orders_for(violation, assets, markets, auditor.matching_partitions, now_us)
        by_shard: dict[str, list[bytes]] = {}
        for order in orders:
            by_shard.setdefault(order.shard, []).append(encode_message(order.command))
            withdrawals = isinstance(order.command, HaltWithdrawals)
            metrics.ORDERS.labels("withdrawals" if withdrawals else "market").inc()
            _logger.error("halting", what=self._way_back(order.command, auditor))
        for shard, messages in by_shard.items():
            record = outside_record(AUDITOR, now_us, messages)
            self._log.produce(*inbox(shard), record, time_us=now_us)
        if by_shard:
            self._log.flush(WRITTEN_WITHIN_S)

    def _way_back(self, command: object, auditor: LogAuditor) -> str:
        """What is halted, and what an operator types once it is understood."""
        if isinstance(command, HaltWithdrawals):
            code = auditor.asset_code(command.asset_id)
            return f"withdrawals; later: logbourse admin resume-withdrawals --asset {code}"
        symbol = auditor.market_symbol(getattr(command, "market_id", 0))
        return f"a market; later: logbourse admin resume-market --symbol {symbol}"
