"""What `make run` prints once everything serves: addresses, keys, and how to begin."""

from pathlib import Path

from domain.limits import Limits
from infra.demo.key_file import is_complete, read_keys
from infra.settings import Settings

_CCXT = """\
import ccxt
B = "{url}"
exchange = ccxt.binance({{"apiKey": "{key}",
    "secret": "{secret}",
    "urls": {{"api": {{"public": B + "/api/v3", "private": B + "/api/v3", "sapi": B + "/sapi/v1",
        "fapiPublic": B + "/fapi/v1", "dapiPublic": B + "/dapi/v1"}}}}}})
print(exchange.create_order("BTC/USDT", "limit", "buy", 0.001, 50_000))
print(exchange.fetch_balance()["USDT"])
print(exchange.fetch_ohlcv("BTC/USDT", "1m")[-3:])"""


def banner(settings: Settings, keys_file: Path, limits: Limits) -> str:
    """The text, without keys where no demo market was seeded.

    `limits`: those with which a new exchange begins, all of them raised.
    """
    public = f"http://{settings.host}:{settings.public_port}"
    lines = [
        "",
        f"Logbourse is running on {public}   (admin: port {settings.admin_port}, "
        f"logs: {settings.logs_dir})",
        "a new exchange here begins with these limits (logbourse admin change-limits):",
        f"              {limits.orders_per_10s:,} orders per 10 s and "
        f"{limits.orders_per_day:,} a day by account,",
        f"              request weight {limits.request_weight_per_minute:,} a minute and "
        f"{limits.raw_requests_per_5m:,} requests per 5 min by key",
    ]
    trader = read_keys(keys_file).get("trader", {})
    if is_complete(trader):
        lines += [
            f"demo account: API key {trader['apiKey']}",
            f"              secret  {trader['secret']}",
            "",
            _CCXT.format(url=public, key=trader["apiKey"], secret=trader["secret"]),
        ]
    lines += [
        "",
        f"curl '{public}/api/v3/ticker/bookTicker?symbol=BTCUSDT'",
        "logbourse replay      # proves every balance and fill from the log",
        "logbourse prometheus  # shows alerts and metrics",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)
