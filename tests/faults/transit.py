"""How long money was in transit, from the records of books and ledgers alone."""

from collections.abc import Iterable

from domain.matching.messages import TradeExecuted
from domain.orders.messages import FillSettled
from schemas.record import Record


def ages_s(books: Iterable[Record], ledgers: Iterable[Record], since_us: int) -> list[float]:
    """Log time from each trade to each of its two settlements, in seconds.

    Of trades from this log time on. `books` are records of `matching.ev`, `ledgers` of
    `ledger.ev`, in their order; of one that stands there again the first counts. What is not
    settled has no age: the audit judges it.
    """
    traded: dict[tuple[int, int], int] = {}
    settled: dict[tuple[int, int, int], int] = {}
    for record in books:
        for message in record.messages:
            if isinstance(message, TradeExecuted) and record.time_us >= since_us:
                traded.setdefault((message.market_id, message.trade_id), record.time_us)
    for record in ledgers:
        for message in record.messages:
            if isinstance(message, FillSettled):
                leg = (message.market_id, message.trade_id, message.order_id)
                settled.setdefault(leg, record.time_us)
    return [
        (time_us - traded[market, trade]) / 1e6
        for (market, trade, _), time_us in settled.items()
        if (market, trade) in traded
    ]
