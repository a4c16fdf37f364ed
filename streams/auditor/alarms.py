"""Says what is violated, and writes commands until what it is about has stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.accounts.messages import HaltWithdrawals
from domain.markets import HaltMarket
from domain.protocol import AUDITOR
from infra.clock import Clock
from infra.log import Log, LogFailure
from infra.logging import get_logger
from schemas.record import UndecodableRecord, decode_envelope, encode_message, outside_record
from schemas.topics import inbox
from streams.audit.findings import Kind
from streams.auditor import metrics
from streams.auditor.log_auditor import LogAuditor
from streams.auditor.violations import Order, Violation, orders_for

WRITTEN_WITHIN_S = 5.0
REPEATED_EVERY_S = 2.0
NEWEST_RECORDS = 16
"""So many at the end of an inbox are asked for the time: the last may be none of a shard's.

Who is not further behind than this knows the time well enough, and need not wait for an answer.
"""

_logger = get_logger("auditor")


@dataclass(slots=True)
class _Pending:
    """What is to be stopped and is not yet; `end` is that of the inbox once it was written."""

    order: Order
    written: int = 0
    last_id: bytes = b""
    end: int = 0
    again_s: float = 0.0


class Alarms:
    """Takes violations while records are applied, and acts upon them between two turns.

    The machine's time of day says nothing here: a command's time and deadline are the log's.
    """

    def __init__(self, log: Log, clock: Clock, *, halts: bool) -> None:
        """Without `halts` it only says what it has found."""
        self._log = log
        self._clock = clock
        self._halts = halts
        self._told: set[tuple[str, str, int, str]] = set()
        self._waiting: list[Violation] = []
        self._pending: dict[tuple[int, int], _Pending] = {}

    @property
    def pending(self) -> int:
        """How many assets and markets are to be stopped, and are not as far as the log is read."""
        return len(self._pending)

    def take(self, violation: Violation) -> None:
        """Note a violation, unless it is known already."""
        # Of several assets that do not add up at one cut, each is to be stopped; of several
        # accounts that are wrong in one look, each is to be told.
        known = (_kind(violation), violation.position, violation.asset, violation.about)
        if known not in self._told:
            self._told.add(known)
            self._waiting.append(violation)
            metrics.VIOLATIONS.labels(violation.invariant).inc()
            _logger.error("violation", invariant=violation.invariant, words=violation.sentence())

    def act(self, auditor: LogAuditor) -> bool:
        """Stop what violations are about; whether there were new ones. Raises `LogFailure`."""
        violations, self._waiting = self._waiting, []
        if not self._halts:
            return bool(violations)
        assets, markets = auditor.assets(), auditor.markets()
        for what, pending in list(self._pending.items()):
            if _has_happened(pending, auditor) or not _goes_on(pending.order, assets, markets):
                del self._pending[what]
        for violation in violations:
            for order in orders_for(violation, assets, markets, auditor.matching_partitions):
                self._pending.setdefault((order.asset, order.market), _Pending(order))
        metrics.PENDING.set(len(self._pending))
        by_shard: dict[str, list[_Pending]] = {}
        for pending in self._pending.values():
            if self._is_due(pending, auditor):
                by_shard.setdefault(pending.order.shard, []).append(pending)
        if by_shard:
            self._write(by_shard, auditor)
        return bool(violations)

    def _is_due(self, pending: _Pending, auditor: LogAuditor) -> bool:
        """Whether it was not written yet, or was followed and has stopped nothing."""
        passed = auditor.followed[pending.order.shard].position >= pending.end
        return passed and self._clock.monotonic_s() >= pending.again_s

    def _write(self, by_shard: Mapping[str, Sequence[_Pending]], auditor: LogAuditor) -> None:
        for shard, due in by_shard.items():
            time_us, newest_us = self._times_us(shard, auditor)
            commands = [each.order.command(newest_us, each.written) for each in due]
            record = outside_record(AUDITOR, time_us, [encode_message(c) for c in commands])
            self._log.produce(*inbox(shard), record, time_us=time_us)
            for each, command in zip(due, commands, strict=True):
                each.last_id = command.command_id
                self._say(command, each.written, auditor)
        if not self._log.flush(WRITTEN_WITHIN_S):
            raise LogFailure(f"halts were not written within {WRITTEN_WITHIN_S:.0f} s")
        for shard, due in by_shard.items():
            _, end = self._log.ends(*inbox(shard))
            for each in due:
                each.written += 1
                each.end = end
                each.again_s = self._clock.monotonic_s() + REPEATED_EVERY_S

    def _times_us(self, shard: str, auditor: LogAuditor) -> tuple[int, int]:
        """The shard's log time as far as it was followed, and at the end of its inbox.

        The first is what the log has taken already; the second is what a deadline must be after.
        """
        followed = auditor.followed[shard]
        start, end = self._log.ends(*followed.place)
        time_us = newest_us = followed.shard.state.time_us
        if end - followed.position <= NEWEST_RECORDS:
            return time_us, newest_us
        for record in self._log.scan(*followed.place, max(start, end - NEWEST_RECORDS), end):
            try:
                newest_us = max(newest_us, decode_envelope(record.value).time_us)
            except UndecodableRecord:
                continue
        return time_us, newest_us

    def _say(
        self, command: HaltWithdrawals | HaltMarket, repetition: int, auditor: LogAuditor
    ) -> None:
        """What is halted, and what an operator types once it is understood."""
        if isinstance(command, HaltWithdrawals):
            kind, name = "withdrawals", auditor.asset_code(command.asset_id)
            way_back = f"logbourse admin resume-withdrawals --asset {name}"
        else:
            kind, name = "market", auditor.market_symbol(command.market_id)
            way_back = f"logbourse admin resume-market --symbol {name}"
        metrics.ORDERS.labels(kind).inc()
        said = {"what": kind, "name": name, "once_understood": way_back}
        _logger.error("halting", **said, repetition=repetition)


def _goes_on(order: Order, assets: Sequence[int], markets: Sequence[int]) -> bool:
    """Whether what must be stopped is not, as far as the log was read."""
    return order.asset in assets or order.market in markets


def _has_happened(pending: _Pending, auditor: LogAuditor) -> bool:
    """Whether the shard ran the command, and an operator may have let it go on since."""
    shard = auditor.followed[pending.order.shard].shard
    return shard.window.cause_of(pending.last_id) != 0


def _kind(violation: Violation) -> str:
    """What makes two violations at one position the same: one record is wrong in one way."""
    if violation.words.startswith((Kind.CHANGED, Kind.FORGED)):
        return "record"
    return violation.invariant
