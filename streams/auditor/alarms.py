"""Says what is violated, and writes the commands that stop what it is about, each once."""

from collections.abc import Mapping, Sequence

from domain.accounts.messages import HaltWithdrawals
from domain.markets import HaltMarket
from domain.protocol import AUDITOR
from infra.clock import Clock
from infra.log import Log, LogFailure
from infra.logging import get_logger
from schemas.record import encode_message, outside_record
from schemas.topics import inbox
from streams.audit.findings import Kind
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
        known = (_kind(violation), violation.position)
        if known not in self._told:
            self._told.add(known)
            self._waiting.append(violation)
            metrics.VIOLATIONS.labels(violation.invariant).inc()
            _logger.error("violation", invariant=violation.invariant, words=violation.sentence())

    def act(self, auditor: LogAuditor) -> bool:
        """Stop what the new violations are about; whether there were any. Raises `LogFailure`."""
        violations, self._waiting = self._waiting, []
        if not self._halts:
            return bool(violations)
        now_us = self._clock.now_us()
        assets, markets = auditor.assets(), auditor.markets()
        by_shard: dict[str, list[bytes]] = {}
        for violation in violations:
            orders = orders_for(violation, assets, markets, auditor.matching_partitions, now_us)
            for order in orders:
                by_shard.setdefault(order.shard, []).append(encode_message(order.command))
                if isinstance(order.command, HaltWithdrawals):
                    assets.remove(order.command.asset_id)
                else:
                    markets.remove(order.command.market_id)
                self._say(order.command, auditor)
        self._write(by_shard, now_us)
        return bool(violations)

    def _write(self, by_shard: Mapping[str, Sequence[bytes]], now_us: int) -> None:
        for shard, messages in by_shard.items():
            record = outside_record(AUDITOR, now_us, messages)
            self._log.produce(*inbox(shard), record, time_us=now_us)
        if by_shard and not self._log.flush(WRITTEN_WITHIN_S):
            raise LogFailure(f"halts were not written within {WRITTEN_WITHIN_S:.0f} s")

    def _say(self, command: HaltWithdrawals | HaltMarket, auditor: LogAuditor) -> None:
        """What is halted, and what an operator types once it is understood."""
        if isinstance(command, HaltWithdrawals):
            kind, name = "withdrawals", auditor.asset_code(command.asset_id)
            way_back = f"logbourse admin resume-withdrawals --asset {name}"
        else:
            kind, name = "market", auditor.market_symbol(command.market_id)
            way_back = f"logbourse admin resume-market --symbol {name}"
        metrics.ORDERS.labels(kind).inc()
        _logger.error("halting", what=kind, name=name, once_understood=way_back)


def _kind(violation: Violation) -> str:
    """What makes two violations at one position the same: one record is wrong in one way."""
    if violation.words.startswith((Kind.CHANGED, Kind.FORGED)):
        return "record"
    return violation.invariant
