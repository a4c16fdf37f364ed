"""Read-your-writes: whatever a request has changed is in every later answer to the same client."""

import os
import signal

import pytest

from tests.integration.trader import Trader, units

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROUNDS = 1_000
BUSY_AT_MOST = 10
"""Of some 4,000 answers: a machine that others use, too, may be late with a few. None is stale."""

RESTART_S = 60.0
PRICE = 50_000
QUANTITY = 10_000
"""0.0001 BTC in units of 10^-8; an order holds 5 USDT."""

HELD = PRICE * QUANTITY


class Expected:
    """What the client knows from the answers to its own requests."""

    def __init__(self, trader: Trader) -> None:
        self.trader = trader
        self.open: set[int] = set()
        self.free, self.locked = trader.balances()["USDT"]

    def place(self) -> int:
        """One more resting order."""
        answer = self.trader.order("BUY", "0.0001", str(PRICE))
        assert (answer.status, answer.body["status"]) == (200, "NEW"), answer
        self.open.add(answer.body["orderId"])
        self.free, self.locked = self.free - HELD, self.locked + HELD
        return answer.body["orderId"]

    def cancel_oldest(self) -> int:
        """One resting order less."""
        order_id = min(self.open)
        self.trader.good("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=order_id)
        self.open.remove(order_id)
        self.free, self.locked = self.free + HELD, self.locked - HELD
        return order_id

    def check(self, order_id: int) -> None:
        """Ask at once for everything that the last request has changed."""
        ask = self.trader.good
        found = ask("GET", "/api/v3/order", symbol="BTCUSDT", orderId=order_id)
        assert found["status"] == ("NEW" if order_id in self.open else "CANCELED")
        assert units(found["origQty"]) == QUANTITY
        rows = ask("GET", "/api/v3/openOrders", symbol="BTCUSDT")
        assert [row["orderId"] for row in rows] == sorted(self.open)
        assert self.trader.balances()["USDT"] == (self.free, self.locked)


def change_and_check(expected: Expected, rounds: range) -> None:
    """Orders and cancels, each followed at once by every question about it."""
    for count in rounds:
        expected.check(expected.place())
        if count % 4 == 3:
            expected.check(expected.cancel_oldest())
        while len(expected.open) > 20:
            expected.cancel_oldest()


def cancel_all(expected: Expected) -> None:
    while expected.open:
        order_id = expected.cancel_oldest()
    expected.check(order_id)
    assert expected.locked == 0


def test_no_answer_is_stale(trader):
    expected = Expected(trader)
    change_and_check(expected, range(ROUNDS))
    cancel_all(expected)
    words = f"nothing was broken, but 503 was answered {trader.busy} times"
    assert trader.busy <= BUSY_AT_MOST, words


def test_no_answer_is_stale_while_the_projector_is_killed(stack, trader):
    """Contract F.2: a read may be refused meanwhile, but never answered from the past."""
    trader.patience_s = RESTART_S
    expected = Expected(trader)
    change_and_check(expected, range(20))
    before = stack.pid("project-redis")
    os.kill(before, signal.SIGKILL)
    # Each round asks for what only a view that goes on can have: it waits, or is refused meanwhile.
    change_and_check(expected, range(20, 100))
    assert stack.pid("project-redis") not in (0, before), "it must have been started again"
    cancel_all(expected)


def test_fills_are_seen_at_once(stack, trader):
    maker = Trader(stack.url, stack.add_user(BTC="1"))
    assert maker.order("SELL", "0.1", "60000").status == 200
    money, coins = trader.balances()["USDT"][0], trader.balances()["BTC"][0]
    ids = []
    for _ in range(50):
        bought = trader.order("BUY", "0.001", "60000", newOrderRespType="FULL").body
        assert bought["status"] == "FILLED"
        (fill,) = bought["fills"]
        ids.append(fill["tradeId"])
        money -= units(bought["cummulativeQuoteQty"])
        coins += units(fill["qty"]) - units(fill["commission"])
        found = trader.balances()
        assert (found["USDT"], found["BTC"]) == ((money, 0), (coins, 0))
        rows = trader.good("GET", "/api/v3/myTrades", symbol="BTCUSDT")
        assert [row["id"] for row in rows] == ids
    maker.good("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    maker.close()
