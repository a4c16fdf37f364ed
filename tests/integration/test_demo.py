"""What `make run` promises: bots trade on three markets, and what it prints works as printed."""

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from functools import partial

import pytest

from tests.integration.running_stack import ready_stack

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MARKETS = ("BTCUSDT", "ETHUSDT", "ETHBTC")
TRADES_S = 30.0
ENDING_S = 30.0


@pytest.fixture
def demo(tmp_path):
    """A stack as a user starts it: demo market, bots and auditor."""
    with ready_stack(tmp_path, bots=True, auditor=True) as running:
        yield running


def printed_snippet(words: str) -> str:
    """The Python program in what `logbourse run` printed, up to the empty line after it."""
    program = words[words.index("import ccxt\n") :]
    return program[: program.index("\n\n")]


def printed_curl(words: str) -> str:
    (line,) = (line for line in words.splitlines() if line.startswith("curl "))
    return line


def finished(*argv: str) -> str:
    """What a program printed; it must end well."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60.0, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def has_traded(url: str, symbol: str) -> bool:
    address = f"{url}/api/v3/trades?symbol={symbol}&limit=1"
    with urllib.request.urlopen(address, timeout=10.0) as answer:
        return bool(json.load(answer))


def test_bots_trade_the_printed_lines_work_and_ctrl_c_ends_all(demo):
    for symbol in MARKETS:
        demo.until(partial(has_traded, demo.url, symbol), TRADES_S, f"bots must trade {symbol}")

    order, balance, candles = finished(
        sys.executable, "-c", printed_snippet(demo.words())
    ).splitlines()
    assert "'symbol': 'BTC/USDT'" in order
    assert "'free': " in balance
    assert json.loads(candles), "bots have traded: there must be candles"

    assert shutil.which("curl"), "curl must be installed to try the printed line"
    ticker = json.loads(finished("bash", "-c", printed_curl(demo.words())))
    assert ticker["symbol"] == "BTCUSDT"
    assert float(ticker["bidPrice"]) > 0

    assert demo.process_ids()
    assert demo.interrupt(ENDING_S) == 0
    give_up_s = time.monotonic() + ENDING_S
    while demo.process_ids() and time.monotonic() < give_up_s:
        time.sleep(0.1)
    assert demo.process_ids() == []
