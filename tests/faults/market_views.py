"""After a run: what both stores say of markets beside naive folds of the matching shards' events.

Depth with its sequence, tickers, minutes, last trades and last candles in Redis; in history what
trades and the candles of each interval add up to, and each last candle. Nothing of projectors is
shared, only what reads the stores.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from domain.accounts.messages import AssetListed
from domain.decider import Message
from infra.log import Log
from projections.candle_sums import Told
from projections.history_client import HistoryClient, TablesTold
from projections.layout import MATCHING_EVENTS
from projections.live_cells import LiveCells
from schemas.record import UndecodableRecord, decode_record
from tests.faults.stack import until
from tests.oracles.naive_markets import INTERVALS, KEYS, Market, OfMarket, cells_differ, market_ids

SUMS_MODULO = 1 << 64
TIME_COLUMN = 4
"""Where the log time stands in a sum of trades: rows, partition, sequence and index are before."""

Row = tuple[int, ...]


class MarketLog:
    """What one outbox of a matching shard tells of its markets, in the order of the log."""

    def __init__(self, log: Log, partition: int) -> None:
        self.partition = partition
        self._log = log
        self._next = 0
        self._events: list[tuple[int, Message]] = []
        self._ends: list[tuple[int, int]] = []
        """For each record, where its events end, and its log time."""

    @property
    def cseq(self) -> int:
        """The last sequence that was read."""
        return len(self._ends)

    def read_on(self) -> None:
        """Take what the outbox has by now, each sequence once."""
        place = (MATCHING_EVENTS, self.partition)
        for stored in self._log.scan(*place, self._next, self._log.ends(*place)[1]):
            self._next = stored.offset + 1
            try:
                record = decode_record(stored.value)
            except UndecodableRecord:
                continue
            if record.cseq == self.cseq + 1:
                told = [e for e in record.messages if isinstance(e, OfMarket | AssetListed)]
                self._events += [(record.time_us, event) for event in told]
                self._ends.append((len(self._events), record.time_us))

    def markets(self, cseq: int) -> list[Market]:
        """Each market as of this sequence."""
        end, now_us = self._ends[cseq - 1] if cseq else (0, 0)
        events = self._events[:end]
        return [Market(events, market_id, now_us) for market_id in market_ids(events)]

    def keys(self) -> list[str]:
        """The names of all keys of Redis that are about its markets."""
        return [f"{kind}:{market_id}" for market_id in market_ids(self._events) for kind in KEYS]


class MarketCheck:
    """Both stores beside what was read of the matching shards' outboxes, each waited for."""

    def __init__(
        self, partitions: int, log: Log, client: Any, history: HistoryClient, wait_s: float
    ) -> None:
        self._logs = [MarketLog(log, partition) for partition in range(partitions)]
        self._live = LiveCells(client)
        self._history = history
        self._wait_s = wait_s

    def redis_differs(self) -> Iterator[str]:
        """P1 of each market at the sequence at which its view stands."""
        for log in self._logs:
            log.read_on()
            self._live.refresh()
            position, found = self._live.read(MATCHING_EVENTS, log.partition, log.keys())
            log.read_on()
            if position.cseq > log.cseq:
                yield f"P2: {_name(log)} stands at #{position.cseq}, its log ends at #{log.cseq}"
                continue
            for market in log.markets(position.cseq):
                yield from (f"P1: {each}" for each in cells_differ(market.cells(), found))

    def history_differs(self) -> Iterator[str]:
        """P1 of trades and P3 of candles, once they have come to where outboxes end by now."""
        for log in self._logs:
            log.read_on()
            told, markets = self._trades(log), log.markets(log.cseq)
            if told is None:
                yield f"trades of {_name(log)} must reach #{log.cseq} in {self._wait_s:.0f} s"
                continue
            yield from _trades_differ(log, markets, told)
            yield from self._candles(markets)

    def _trades(self, log: MarketLog) -> TablesTold | None:
        """What trades add up to, if they come to where the log was read to."""
        found: list[TablesTold] = []

        def reached() -> bool:
            try:
                told = self._history.tables(("trades",), {log.partition: log.cseq}, exact=True)
            except OSError:
                return False
            found.append(told)
            return told.positions.get(log.partition, 0) >= log.cseq

        return found[-1] if until(reached, self._wait_s) else None

    def _candles(self, markets: Sequence[Market]) -> list[str]:
        """What is still wrong with candles once they had time to come: they do after trades."""
        found: list[str] = []

        def equal() -> bool:
            found[:] = self._candles_differ(markets)
            return not found

        until(equal, self._wait_s)
        return found

    def _candles_differ(self, markets: Sequence[Market]) -> list[str]:
        try:
            told = self._history.candles()
        except OSError as error:
            return [f"P3: candles must be told, found {error}"]
        return [
            f"P3: candles {interval} of market {market.market_id}: {words}"
            for market in markets
            for interval in INTERVALS
            if (words := _series_differs(market, interval, told.get((market.market_id, interval))))
        ]


def _trades_differ(log: MarketLog, markets: Sequence[Market], told: TablesTold) -> Iterator[str]:
    rows = [
        (trade.time_us, market.market_id, *trade[:4], *trade[5:])
        for market in markets
        for trade in market.trades
    ]
    blocks = told.sums["trades"].get(log.partition, {}).values()
    wanted = _sums(rows)
    found = _sums([(block[0], *block[TIME_COLUMN:]) for block in blocks])[1:] or (0,)
    if wanted != found:
        yield f"P1: trades of {_name(log)} must add up to {wanted} by its events, do to {found}"


def _series_differs(market: Market, interval: str, told: Told | None) -> str:
    """What is wrong with a series, as a sentence; empty if nothing is."""
    candles = market.candles(interval)
    if not candles or told is None:
        return "" if not candles and told is None else f"must be {len(candles)}, are {told}"
    wanted, found = _sums(list(candles.values())), tuple(each % SUMS_MODULO for each in told.total)
    if wanted != found:
        return f"must add up to {wanted} by its trades, do to {found}"
    last = candles[max(candles)]
    return "" if last == told.last else f"the last must be {last} by its trades, is {told.last}"


def _sums(rows: Sequence[Row]) -> Row:
    """How many there are, and each column's sum as 64 bits hold it."""
    return (len(rows), *(sum(column) % SUMS_MODULO for column in zip(*rows, strict=True)))


def _name(log: MarketLog) -> str:
    return f"{MATCHING_EVENTS}.{log.partition}"
