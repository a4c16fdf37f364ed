"""`make archive ARGS=NAME`: a short day of a real stack, kept so that later builds replay it."""

import argparse
import json
import random
import re
import tarfile
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from infra.refusal import Refusal
from tests.integration.running_stack import RunningStack
from tests.integration.trader import Trader
from tests.streams.records import from_shard

HERE = Path(__file__).parent
SEED = 5
ORDERS = 240
FUNDS = {"USDT": "1000000", "BTC": "10", "ETH": "100"}
MARKETS = {"BTCUSDT": (60_000, "0.001"), "ETHUSDT": (3_000, "0.02")}
KINDS = (
    *({"type": "LIMIT", "timeInForce": "GTC"},) * 4,
    {"type": "LIMIT", "timeInForce": "IOC"},
    {"type": "LIMIT", "timeInForce": "FOK"},
    {"type": "LIMIT_MAKER"},
    {"type": "MARKET"},
    {"type": "MARKET", "quoteOrderQty": "150"},
)
KEPT = ("records", "commands", "trades", "duplicates", "set_aside", "resolved", "state_hash")
NEW_MARKET = {
    "symbol": "SOLUSDT",
    "base": "SOL",
    "quote": "USDT",
    "quantityStep": "0.01",
    "priceStep": "0.01",
    "referencePrice": "150",
    "minPrice": "0.01",
    "maxPrice": "10000",
    "minQuantity": "0.01",
    "maxQuantity": "1000",
    "minNotional": "5",
    "maxNotional": "100000",
}


def main() -> int:
    """Write `NAME/log.tar.xz` and `NAME/replay.json` beside this file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", metavar="NAME", help="such as 0.1.0")
    target = HERE / parser.parse_args().name
    target.mkdir()
    with tempfile.TemporaryDirectory(prefix="logbourse-archive-") as folder:
        stack = RunningStack(Path(folder) / "data")
        try:
            stack.start()
            _live_a_day(stack)
            _keep(stack, Path(folder) / "export", target)
        finally:
            stack.stop()
    return 0


def _live_a_day(stack: RunningStack) -> None:
    traders = [Trader(stack.url, stack.add_user(**FUNDS)) for _ in range(4)]
    rng = random.Random(SEED)
    _trade(traders, rng, ORDERS // 2)
    _operate(stack, traders)
    stack.kill("shards")
    stack.until_ready()
    _halt(stack)
    stack.until_ready()
    _trade(traders, rng, ORDERS // 2)
    for trader in traders[:2]:
        for symbol in MARKETS:
            trader.ask("DELETE", "/api/v3/openOrders", symbol=symbol)
    for trader in traders:
        trader.close()


def _trade(traders: list[Trader], rng: random.Random, orders: int) -> None:
    """Whatever comes back: refusals are part of a day."""
    resting: list[tuple[Trader, str, int]] = []
    for _ in range(orders):
        trader, symbol = rng.choice(traders), rng.choice(list(MARKETS))
        middle, quantity = MARKETS[symbol]
        fields = {"symbol": symbol, "side": rng.choice(("BUY", "SELL")), **rng.choice(KINDS)}
        if "quoteOrderQty" not in fields:
            fields["quantity"] = f"{float(quantity) * rng.randint(1, 9):.4f}"
        if fields["type"] != "MARKET":
            fields["price"] = str(middle + rng.randint(-5, 5) * middle // 1_000)
        answer = trader.ask("POST", "/api/v3/order", **fields, newOrderRespType="RESULT")
        if answer.status == 200 and answer.body["status"] == "NEW":
            resting.append((trader, symbol, answer.body["orderId"]))
        if len(resting) > 8:
            owner, symbol, order = resting.pop(rng.randrange(len(resting)))
            owner.ask("DELETE", "/api/v3/order", symbol=symbol, orderId=order)


def _operate(stack: RunningStack, traders: list[Trader]) -> None:
    """Everything an operator can say but for halts of shards; what is refused is in the log too."""
    user, other = traders[0].account, traders[1].account
    money = {"userId": user.user_id, "asset": "BTC"}
    key = {"userId": user.user_id, "apiKey": user.api_key}
    second = stack.admin("create-api-key", userId=user.user_id)["apiKey"]
    words: Sequence[tuple[str, dict[str, Any]]] = (
        *(("withdraw", money | {"amount": "0.25", "reference": "out"}),) * 2,
        ("withdraw", money | {"amount": "900", "reference": "too much"}),
        *(("deposit", money | {"amount": "0.125", "reference": "in"}),) * 2,
        ("halt-withdrawals", {"asset": "BTC", "reason": "a look at the wallet"}),
        ("withdraw", money | {"amount": "0.25", "reference": "later"}),
        ("resume-withdrawals", {"asset": "BTC"}),
        ("change-fees", {"tiers": "0:1500:2000,1:500:700,9:0:0"}),
        ("change-fee-tier", {"userId": user.user_id, "feeTier": 1}),
        ("change-limits", {"ordersPer10s": 400}),
        ("disable-user", {"userId": other.user_id}),
        ("cancel-orders", {"userId": other.user_id, "symbol": "BTCUSDT"}),
        ("enable-user", {"userId": other.user_id}),
        ("restrict-api-key", key | {"scopes": "TRADE"}),
        ("revoke-api-key", {"userId": user.user_id, "apiKey": second}),
        ("list-asset", {"code": "SOL", "name": "Solana", "decimals": 9}),
        ("list-market", NEW_MARKET),
        ("halt-market", {"symbol": "ETHUSDT"}),
        ("change-market-rules", {"symbol": "ETHUSDT", "minNotional": "20"}),
        ("resume-market", {"symbol": "ETHUSDT"}),
        ("activate-rules", {"version": 1}),
    )
    for operation, fields in words:
        with suppress(Refusal):
            stack.admin(operation, **fields)


def _halt(stack: RunningStack) -> None:
    """Junk, which is set aside, and a forged record that halts L0 until it is skipped."""
    producer = stack.producer()
    forged = from_shard(1_000_000, src="M0", time_us=time.time_ns() // 1_000)
    for value in (b"no record at all", forged):
        producer.produce("ledger.in", value=value, partition=0)
    assert producer.flush(10) == 0
    stack.until(lambda: "shards HALTED" in stack.words(), 30.0, "the shards must halt")
    said = re.search(r"resolve-halt --shard (\w+) --record-hash (\w+)", stack.words())
    assert said is not None, "a halt says how it is resolved"
    stack.admin("resolve-halt", shard=said[1], recordHash=said[2], action="skip")
    (stack.data_dir / "run" / "shards.restart").touch()
    stack.until(lambda: stack.pid("shards") != 0, 30.0, "the shards must start")


def _keep(stack: RunningStack, export: Path, target: Path) -> None:
    done = stack.command("export", str(export))
    assert done.returncode == 0, done.stderr
    done = stack.command("replay", "--from", str(export), "--json")
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout)
    shards = {s: {name: run[name] for name in KEPT} for s, run in told["shards"].items()}
    kept = {"equal": told["equal"], "compared": told["compared"], "lacks": {}, "shards": shards}
    (target / "replay.json").write_text(json.dumps(kept, indent=2) + "\n")
    with tarfile.open(target / "log.tar.xz", "w:xz") as archive:
        archive.add(export, arcname="log")


if __name__ == "__main__":
    raise SystemExit(main())
