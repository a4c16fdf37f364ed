"""A second start resumes from the log; `make clean` forgets."""

import shutil
import subprocess

import pytest

from tests.integration.running_stack import ROOT
from tests.integration.trader import ORDER, Trader

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PUBLISHED_S = 30.0
"""How long a view that nobody asks to wait may take, on a busy machine, to show the last record."""

LAST = {"stopped": "50001.23", "killed": "50001.24"}
"""The price of the last order, which nobody else in the book has."""


def own_state(trader: Trader) -> list:
    """What a user is told of himself, always with his own last order."""
    return [
        trader.balances(),
        trader.good("GET", "/api/v3/openOrders"),
        trader.good("GET", "/api/v3/allOrders", symbol="BTCUSDT"),
        trader.good("GET", "/api/v3/myTrades", symbol="BTCUSDT"),
    ]


def book(trader: Trader) -> dict:
    """What everyone is told, as far as it is published."""
    return trader.good("GET", "/api/v3/depth", symbol="BTCUSDT")


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_second_start_resumes_from_the_log(stack, trader, how):
    maker = Trader(stack.url, stack.add_user(BTC="1"))
    assert maker.order("SELL", "0.5", "61000").status == 200
    assert trader.order("BUY", "0.2", "61000").body["status"] == "FILLED"
    request = trader.sign("POST", "/api/v3/order", **ORDER | {"price": LAST[how]})
    first = trader.send(request)
    assert first.body["status"] == "NEW"
    before = own_state(trader)
    stack.until(lambda: LAST[how] in str(book(trader)), PUBLISHED_S, "the book must be published")
    published = book(trader)

    stack.stop() if how == "stopped" else stack.kill_all()
    stack.start()
    stack.until_ready()
    trader.close()
    maker.close()

    assert own_state(trader) == before
    stack.until(lambda: book(trader) == published, PUBLISHED_S, "the book must be as it was")
    assert trader.send(request).body == first.body, "the same bytes have one effect for ever"
    assert own_state(trader) == before
    assert book(trader) == published
    assert trader.order("BUY", "0.1", "61000").body["status"] == "FILLED"
    maker.good("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    maker.close()


def test_two_stacks_do_not_share_their_data(stack):
    done = stack.command("run", "--no-bots")
    assert done.returncode == 1
    assert "must be used by one stack" in done.stderr


def test_clean_forgets_the_local_stack_alone(tmp_path):
    for name in ("Makefile", "pyproject.toml", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for kept in (".data/kafka", ".venv", "tests"):
        (tmp_path / kept).mkdir(parents=True)
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert not (tmp_path / ".data").exists()
    assert (tmp_path / ".venv").exists()
    assert (tmp_path / "tests").exists()
