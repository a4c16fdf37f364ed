"""After a run: all of Redis and of history against the fold of the log.

Twice. By the continuous auditor's fold, which has every key, and of history the sum of every
column; it folds with the projector itself, and is wrong where that is. And by naive folds, which
share nothing with it: they know balances, which orders are open, and of markets all but volatility.
Closed orders, accounts and volumes of users, and history of ledgers, are judged by the first alone.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from domain.decider import Message
from domain.orders.messages import OrderAccepted
from infra.keys import open_admin_token
from infra.log import Log, Partition
from infra.redis import redis_client
from projections.history_client import HistoryClient, TablesTold
from projections.history_sums import differences
from projections.layout import (
    SUMMED,
    Balance,
    balances_key,
    open_key,
    redis_key,
    trades_key,
    unpack,
)
from projections.live_cells import LiveCells
from projections.redis_sink import current_build
from projections.view_auditor import Complaint, ViewAuditor
from projections.view_fold import ViewFold
from tests.faults.market_views import MarketCheck
from tests.faults.stack import FaultStack, until
from tests.oracles import naive_views

VIEWS_S = 90.0

Events = Sequence[tuple[int, Message]]


def views_differ(stack: FaultStack, events: Events) -> Iterator[str]:
    """P1 to P3 with views that have come to the end of the log; `events` are those of ledgers."""
    settings = stack.settings
    url = f"http://{settings.host}:{settings.query_port}"
    history = HistoryClient(url, open_admin_token(settings.admin_token_file))
    partitions = (settings.ledger_partitions, settings.matching_partitions)
    log, client = stack.log(), redis_client(settings.redis_url)
    try:
        check = ViewCheck(partitions, log, client, history)
        markets = MarketCheck(partitions[1], log, client, history, VIEWS_S)
        yield from check.redis_differs()
        yield from balances_differ(client, events)
        yield from open_orders_differ(client, events)
        yield from markets.redis_differs()
        yield from check.history_differs()
        yield from markets.history_differs()
    finally:
        log.close()
        client.close()


class ViewCheck:
    """The auditor's fold of the whole log, beside what both stores say.

    `partitions` says how many of ledgers there are, and of matching shards. Redis is looked at
    first: history is compared at the positions to which that has led.
    """

    def __init__(
        self, partitions: tuple[int, int], log: Log, client: Any, history: HistoryClient
    ) -> None:
        self._complaints: list[Complaint] = []
        self._views = ViewAuditor(*partitions, self._complaints.append, Random(0), repairs=False)
        self._log = log
        self._client = client
        self._live = LiveCells(client)
        self._history = history

    def redis_differs(self) -> Iterator[str]:
        """Every key, once its view has come to where the log ended when this began."""
        self._read_on()
        for fold in self._views.folds.values():
            fold.fold_to(fold.seen)
        for place, fold in self._views.folds.items():
            end = fold.position.cseq

            def reached(place: Partition = place, end: int = end) -> bool:
                self._live.refresh()
                return self._live.read(*place, ())[0].cseq >= end

            if not until(reached, VIEWS_S):
                yield f"the view of {place[0]}.{place[1]} must reach #{end} in {VIEWS_S:.0f} s"
                return
        self._views.touch(self._stored_names())
        self._views.touch(name for fold in self._views.folds.values() for name in fold.cells)
        if not until(self._compared, VIEWS_S):
            yield f"{self._views.backlog} keys of Redis were not compared in {VIEWS_S:.0f} s"
        yield from self._said()

    def history_differs(self) -> Iterator[str]:
        """Tables at the fold's positions, each row counted once (FINAL), and candles."""
        for topic, tables in SUMMED.items():
            folds = [fold for fold in self._views.folds.values() if fold.topic == topic]
            told = self._tables(tables, folds)
            if told is None:
                yield f"history of {topic} must come to the views of Redis in {VIEWS_S:.0f} s"
                return
            for fold in folds:
                yield from _sums_differ(fold, told)
        candles = self._history.candles()
        for fold in self._views.folds.values():
            for series in fold.candles.last:
                trades = fold.trades(trades_key(series[0]))
                if words := fold.candles.complaint(series, candles.get(series), trades):
                    yield f"P3: candles {series[1]} of market {series[0]}: {words}"

    def _read_on(self) -> None:
        """Take what the outboxes have by now."""
        for place, fold in self._views.folds.items():
            for record in self._log.scan(*place, fold.read_to + 1, self._log.ends(*place)[1]):
                fold.take(record)

    def _compared(self) -> bool:
        """Look at some more keys; whether all were looked at."""
        if self._live.refresh():
            self._views.forget_reads()
        self._views.check_live(self._live, lambda *place: self._log.ends(*place)[1])
        # No view is beyond the log: with what came meanwhile all that was read can be compared.
        self._read_on()
        self._views.compare(self._live)
        return not self._views.backlog

    def _stored_names(self) -> Iterator[str]:
        """The names of all keys of the current build."""
        prefix = redis_key(self._live.build, "")
        for key in self._client.scan_iter(match=f"{prefix}*", count=1_000):
            yield key.decode().removeprefix(prefix)

    def _said(self) -> Iterator[str]:
        # A key may have been looked at more than once.
        for each in {each.where.partition(" at ")[0]: each for each in self._complaints}.values():
            yield f"{each.invariant}: {each.where}: {each.words}"

    def _tables(self, tables: Sequence[str], folds: Sequence[ViewFold]) -> TablesTold | None:
        """What tables add up to, once they stand where the folds do."""
        upto = {fold.partition: fold.position.cseq for fold in folds}
        found: list[TablesTold] = []

        def reached() -> bool:
            try:
                told = self._history.tables(tables, upto, exact=True)
            except OSError:
                # It answers late, or not at all, while it is far behind.
                return False
            found.append(told)
            return all(told.positions.get(p, 0) >= cseq for p, cseq in upto.items())

        return found[-1] if until(reached, VIEWS_S) else None


def _sums_differ(fold: ViewFold, told: TablesTold) -> Iterator[str]:
    for table in fold.sums:
        found = told.sums[table].get(fold.partition, {})
        beyond = differences(fold.sums_at(table, fold.marks[-1]), found)
        if beyond:
            where = f"{table} of {fold.topic}.{fold.partition}"
            block, much = min(beyond.items())
            yield f"P1: {where} before #{fold.position.cseq + 1}: block {block} has {much} too much"


def balances_differ(client: Any, events: Events) -> Iterator[str]:
    """Balances in Redis beside the naive fold."""
    build = current_build(client)
    wanted: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
    for (user_id, asset), amounts in naive_views.balances(events).items():
        wanted[user_id][asset] = amounts
    for user_id, balances in wanted.items():
        cells = client.hgetall(redis_key(build, balances_key(user_id)))
        stored = {int(asset): tuple(unpack(Balance, text)) for asset, text in cells.items()}
        if stored != balances:
            yield f"P1: user {user_id} has {stored} in Redis, {balances} by the log"


def open_orders_differ(client: Any, events: Events) -> Iterator[str]:
    """Open orders in Redis beside the naive fold."""
    build = current_build(client)
    users = {e.order_id: e.user_id for _, e in events if isinstance(e, OrderAccepted)}
    wanted: dict[int, set[int]] = defaultdict(set)
    for order_id, (state, _, _) in naive_views.orders(events).items():
        if state in ("accepted", "rested"):
            wanted[users[order_id]].add(order_id)
    for user_id in set(users.values()):
        stored = {int(order) for order in client.hkeys(redis_key(build, open_key(user_id)))}
        if stored != wanted[user_id]:
            odd = sorted(stored ^ wanted[user_id])[:5]
            yield f"P1: open orders of user {user_id} differ by {odd}"
