"""A client under fire: it keeps its own record of every request and answer, and judges by it."""

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.integration.running_stack import Account
from tests.integration.trader import Answer, Request, Trader, units

SYMBOLS = {"BTCUSDT": ("BTC", "USDT"), "ETHUSDT": ("ETH", "USDT")}
FUNDS = {"USDT": "1000000", "BTC": "10", "ETH": "100"}
MIDDLES = {"BTCUSDT": 60_000, "ETHUSDT": 3_000}
RESTS = ("NEW", "PARTIALLY_FILLED")
ENDED = ("status", "executedQty", "cummulativeQuoteQty")
"""What an answer says for ever of an order that ended with it."""

UNKNOWN = (0, 502, 503, 504)
RETRY_PAUSE_S = 0.25
PACE_S = 0.02
ASKED_AT_MOST = 20
"""Orders that are looked for by their ids, too; each answer waits until views are fresh."""


@dataclass(slots=True)
class Entry:
    """One request of the record: what was asked for, and what came back in the end."""

    symbol: str
    client_order_id: str
    request: Request
    attempts: int = 0
    answer: Answer | None = None

    @property
    def acknowledged(self) -> bool:
        """The exchange said that the order exists."""
        return self.answer is not None and self.answer.status == 200

    @property
    def refused(self) -> bool:
        """The exchange said that it does not, for a reason that a repetition cannot change."""
        return self.answer is not None and self.answer.status == 400 and self.answer.code != -1021


@dataclass(slots=True)
class Record:
    """All that one client asked for."""

    placed: dict[str, Entry] = field(default_factory=dict)
    canceled: set[int] = field(default_factory=set)
    retried: int = 0


class Witness(threading.Thread):
    """Places, takes and cancels until told to stop; sends the same bytes again when unsure."""

    def __init__(self, url: str, account: Account, seed: int) -> None:
        super().__init__(name=f"witness-{seed}", daemon=True)
        self.trader = Trader(url, account)
        self.record = Record()
        self.error: BaseException | None = None
        self._seed = seed
        self._rng = random.Random(seed)
        self._stopping = threading.Event()
        self._open: list[tuple[str, int]] = []

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                if len(self._open) > 12 or (self._open and self._rng.random() < 0.25):
                    self._cancel(*self._open.pop(self._rng.randrange(len(self._open))))
                else:
                    self._place()
                time.sleep(PACE_S)
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        """Stop, with the last request answered or given up."""
        self._stopping.set()
        self.join(90)
        assert not self.is_alive(), "the client must come to its end"
        if self.error is not None:
            raise self.error

    def _place(self) -> None:
        symbol = self._rng.choice(list(SYMBOLS))
        middle = MIDDLES[symbol]
        price = middle + self._rng.randint(-10, 10) * middle // 10_000
        quantity = self._rng.randint(1, 9) * (10 if symbol == "BTCUSDT" else 200)
        client_order_id = f"w{self._seed}-{len(self.record.placed)}"
        fields: dict[str, object] = {
            "symbol": symbol,
            "side": self._rng.choice(("BUY", "SELL")),
            "type": "LIMIT",
            "timeInForce": self._rng.choice(("GTC", "GTC", "GTC", "IOC")),
            "quantity": f"0.{quantity:04d}",
            "price": str(price),
            "newClientOrderId": client_order_id,
        }
        if self._rng.random() < 0.2:
            fields |= {"type": "MARKET"}
            del fields["timeInForce"], fields["price"]
        request = self.trader.sign("POST", "/api/v3/order", **fields)
        entry = self.record.placed[client_order_id] = Entry(symbol, client_order_id, request)
        entry.answer = self._persist(request, entry)
        if entry.acknowledged and entry.answer.body["status"] in RESTS:
            self._open.append((symbol, entry.answer.body["orderId"]))

    def _cancel(self, symbol: str, order_id: int) -> None:
        request = self.trader.sign("DELETE", "/api/v3/order", symbol=symbol, orderId=order_id)
        if self._persist(request).status == 200:
            self.record.canceled.add(order_id)

    def _persist(self, request: Request, entry: Entry | None = None) -> Answer:
        """Send the same bytes until there is an answer that says what happened."""
        while True:
            answer = self.trader.send(request)
            if entry is not None:
                entry.attempts += 1
            if answer.status not in UNKNOWN:
                return answer
            self.record.retried += 1
            time.sleep(RETRY_PAUSE_S)


class Watched(Protocol):
    """A client whose record is to be judged."""

    @property
    def trader(self) -> Trader: ...

    @property
    def record(self) -> Record: ...


class Findings:
    """What the exchange says at the end, beside what its client wrote down."""

    def __init__(self, witness: Watched, symbols: Mapping[str, tuple[str, str]] = SYMBOLS) -> None:
        self._symbols = symbols
        self._trader = witness.trader
        self._record = witness.record
        self._asked = 0
        self.orders: dict[str, dict[str, Any]] = {}
        self.fills: list[dict[str, Any]] = []
        for symbol in symbols:
            for row in self._pages("/api/v3/allOrders", symbol, "orderId", "orderId"):
                assert row["clientOrderId"] not in self.orders, f"{row} exists twice"
                self.orders[row["clientOrderId"]] = row
            self.fills += self._pages("/api/v3/myTrades", symbol, "fromId", "id")

    def judge(self, funds: dict[str, int]) -> None:
        """Nothing lost, nothing doubled, and every unit of money explained."""
        self._judge_orders()
        self._judge_fills()
        self._judge_balances(funds)

    def _judge_orders(self) -> None:
        assert self.orders.keys() <= self._record.placed.keys(), "an order that nobody placed"
        for entry in self._record.placed.values():
            found = self.orders.get(entry.client_order_id)
            if entry.acknowledged:
                assert found is not None, f"{entry} is lost"
                assert entry.answer is not None
                told = entry.answer.body
                assert found["orderId"] == told["orderId"], (entry, found)
                if told["status"] in RESTS:
                    executed = units(told["executedQty"])
                    assert units(found["executedQty"]) >= executed, (entry, found)
                else:
                    same = all(found[name] == told[name] for name in ENDED)
                    assert same, f"told another end: {entry}, {found}"
            elif entry.refused:
                assert found is None, f"{entry} was refused and exists: {found}"
            self._resolve(entry, found)
        status = {row["orderId"]: row["status"] for row in self.orders.values()}
        assert {status[order_id] for order_id in self._record.canceled} <= {"CANCELED"}

    def _resolve(self, entry: Entry, found: dict[str, Any] | None) -> None:
        """Whatever the client does not know, its own id tells, as the list of all orders does."""
        if entry.acknowledged or entry.refused or self._asked == ASKED_AT_MOST:
            return
        self._asked += 1
        answer = self._trader.ask(
            "GET", "/api/v3/order", symbol=entry.symbol, origClientOrderId=entry.client_order_id
        )
        if found is None:
            assert (answer.status, answer.code) == (400, -2013), (entry, answer)
        else:
            assert answer.body["orderId"] == found["orderId"], (entry, answer)

    def _judge_fills(self) -> None:
        keys = [(row["symbol"], row["id"], row["orderId"], row["isMaker"]) for row in self.fills]
        assert len(keys) == len(set(keys)), "a fill stands twice"
        filled: dict[int, int] = {}
        for row in self.fills:
            filled[row["orderId"]] = filled.get(row["orderId"], 0) + units(row["qty"])
        for row in self.orders.values():
            assert units(row["executedQty"]) == filled.pop(row["orderId"], 0), row
        assert not filled, f"fills of orders that nobody placed: {filled}"

    def _judge_balances(self, funds: dict[str, int]) -> None:
        expected = dict(funds)
        held = dict.fromkeys(funds, 0)
        for row in self.fills:
            base, quote = self._symbols[row["symbol"]]
            sign = 1 if row["isBuyer"] else -1
            expected[base] += sign * units(row["qty"])
            expected[quote] -= sign * units(row["quoteQty"])
            expected[row["commissionAsset"]] -= units(row["commission"])
        for row in self.orders.values():
            if row["status"] in ("NEW", "PARTIALLY_FILLED"):
                base, quote = self._symbols[row["symbol"]]
                left = units(row["origQty"]) - units(row["executedQty"])
                if row["side"] == "SELL":
                    held[base] += left
                else:
                    held[quote] += left * units(row["price"]) // 10**8
        balances = self._trader.balances()
        for asset, total in expected.items():
            free, locked = balances[asset]
            assert (free + locked, locked) == (total, held[asset]), asset

    def _pages(self, path: str, symbol: str, cursor: str, key: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        start = 0
        while True:
            page = self._trader.good("GET", path, symbol=symbol, limit=1_000, **{cursor: start})
            if len(page) < 1_000:
                return rows + page
            # A trade with oneself has two rows with one id, between which a page may end.
            start = page[-1][key]
            rows += [row for row in page if row[key] != start]
