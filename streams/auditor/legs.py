"""Each leg of each trade: settled once and as it was traded, or on its way (E5, L2)."""

from collections import Counter, deque
from typing import NamedTuple

from domain.markets import MarketRules
from domain.matching.messages import TradeExecuted
from domain.orders.messages import FillSettled, Side
from streams.audit.books import Terms, terms_of, traded_terms
from streams.audit.checks import Checks
from streams.audit.ledger_witness import Leg
from streams.auditor import metrics


class Origin(NamedTuple):
    """When a trade was made: the log time of its matching shard, and where its input stands."""

    time_us: int
    cause_offset: int


class Traded(NamedTuple):
    """One party's part of a trade: what its settlement must say and move."""

    terms: Terms
    origin: Origin


class Legs:
    """The legs that matching has traded and ledgers have not settled, with what they move."""

    def __init__(self) -> None:
        self.open: dict[Leg, Traded] = {}
        self.in_flight: Counter[int] = Counter()
        """By asset, what `clearing` of all ledgers must be, if all that is open is on its way."""
        self.sent: dict[tuple[str, str], deque[tuple[int, Leg]]] = {}
        """By (matching shard, ledger), in order: which record carries the leg."""

    def traded(
        self, trade: TradeExecuted, rules: MarketRules, side: Side, order_id: int, origin: Origin
    ) -> Leg:
        """Note one leg of a trade, and name it."""
        leg = (trade.market_id, trade.trade_id, order_id)
        self.open[leg] = Traded(traded_terms(trade, rules, side), origin)
        self._move(self.open[leg].terms, 1)
        return leg

    def carried(self, source: str, ledger: str, cseq: int, leg: Leg) -> None:
        """Note that record `cseq` of the channel from `source` to `ledger` carries the leg."""
        self.sent.setdefault((source, ledger), deque()).append((cseq, leg))

    def settled(self, leg: Leg, fill: FillSettled, checks: Checks, time_us: int) -> None:
        """Check a settlement against the trade, at this log time of the ledger."""
        traded = self.open.pop(leg, None)
        checks.check("E5", traded is not None, f"leg {leg} was settled, its trade is not open")
        if traded is not None:
            metrics.SETTLED_AFTER_S.observe((time_us - traded.origin.time_us) / 1e6)
            self._move(traded.terms, -1)
            same = terms_of(fill) == traded.terms
            checks.check("E5", same, f"leg {leg} was settled otherwise than traded")

    def received(self, source: str, ledger: str, cseq: int, checks: Checks) -> None:
        """Check that the ledger has settled all that it received up to this record."""
        waiting = self.sent.get((source, ledger))
        while waiting and waiting[0][0] <= cseq:
            _, leg = waiting.popleft()
            checks.check("E5", leg not in self.open, f"leg {leg} arrived and was not settled")

    def _move(self, terms: Terms, times: int) -> None:
        for asset, amount in terms.in_flight():
            self.in_flight[asset] += times * amount
