"""Request limits of one process: weight per minute and requests per five minutes, then bans."""

from collections.abc import Callable
from dataclasses import dataclass

from domain.limits import Limits
from infra.http import errors
from infra.metrics import Gauge

MINUTE_US = 60_000_000
FIVE_MINUTES_US = 5 * MINUTE_US
STRIKES_BEFORE_BAN = 20
SHORTEST_BAN_US = 2 * MINUTE_US
LONGEST_BAN_US = 3 * 24 * 60 * MINUTE_US
MAX_ADDRESSES = 100_000
"""Counted apart; where so many are known already, who is new is counted with all who are new.

Who proved a key is always counted apart: there are no more of them than keys.
"""

ADDRESS = "ip "
"""Before an address, in the name of a sender who has proved no key. No key has a blank."""

ORDER_COUNT_10S = "X-MBX-ORDER-COUNT-10S"
ORDER_COUNT_1D = "X-MBX-ORDER-COUNT-1D"
"""Headers: orders of the account that were accepted in these 10 s, and on this day."""

_SENDERS = Gauge("logbourse_http_senders", "Addresses whose requests are counted")
_SENDERS_LIMIT = Gauge("logbourse_http_senders_limit", "How many are counted apart")


@dataclass(slots=True)
class _Usage:
    minute: int = -1
    weight: int = 0
    span: int = -1
    requests: int = 0
    strikes: int = 0
    bans: int = 0
    banned_until_us: int = 0


class RequestLimits:
    """Counts in fixed windows of wall time, by API key, or by address for who has proved none."""

    def __init__(self, limits: Callable[[], Limits]) -> None:
        self._limits = limits
        self._keys: dict[str, _Usage] = {}
        self._addresses: dict[str, _Usage] = {}
        self._newcomers = _Usage()
        self._swept_span = -1
        _SENDERS.set_function(lambda: len(self._addresses))
        _SENDERS_LIMIT.set(MAX_ADDRESSES)

    def charge(self, sender: str, weight: int, now_us: int, *, requests: int = 1) -> int:
        """Count one request of `weight`; the weight used in this minute.

        With `requests` 0 it is more weight of a request that was counted.
        Raises 429 beyond a limit, 418 after twenty such answers in five minutes: for two minutes
        the first time, then twice as long each time, up to three days. Who is counted with others
        is not banned for what they sent.
        """
        self._sweep(now_us)
        usage = self._usage_of(sender)
        if now_us < usage.banned_until_us:
            retry_s = _seconds_until(usage.banned_until_us, now_us)
            raise errors.banned(usage.banned_until_us // 1_000, retry_s)
        self._roll(usage, now_us)
        usage.weight += weight
        usage.requests += requests
        limits = self._limits()
        if usage.weight > limits.request_weight_per_minute:
            self._strike(usage, now_us)
            retry_s = _seconds_until((usage.minute + 1) * MINUTE_US, now_us)
            raise errors.too_much_weight(limits.request_weight_per_minute, retry_s)
        if usage.requests > limits.raw_requests_per_5m:
            self._strike(usage, now_us)
            retry_s = _seconds_until((usage.span + 1) * FIVE_MINUTES_US, now_us)
            raise errors.too_many_requests(limits.raw_requests_per_5m, retry_s)
        return usage.weight

    def published(self) -> Limits:
        """What is allowed."""
        return self._limits()

    def used(self, sender: str, now_us: int) -> int:
        """The weight `sender` has used in this minute."""
        usage = self._known(sender)
        if usage is None or usage.minute != now_us // MINUTE_US:
            return 0
        return usage.weight

    def _usage_of(self, sender: str) -> _Usage:
        usage = self._known(sender)
        if usage is None:
            usage = self._table(sender)[sender] = _Usage()
        return usage

    def _known(self, sender: str) -> _Usage | None:
        """What the sender is counted by; None for who is new and has a place of its own."""
        table = self._table(sender)
        usage = table.get(sender)
        if usage is None and table is self._addresses and len(table) >= MAX_ADDRESSES:
            return self._newcomers
        return usage

    def _table(self, sender: str) -> dict[str, _Usage]:
        return self._addresses if sender.startswith(ADDRESS) else self._keys

    def _roll(self, usage: _Usage, now_us: int) -> None:
        minute, span = now_us // MINUTE_US, now_us // FIVE_MINUTES_US
        if usage.minute != minute:
            usage.minute, usage.weight = minute, 0
        if usage.span != span:
            usage.span, usage.requests, usage.strikes = span, 0, 0

    def _strike(self, usage: _Usage, now_us: int) -> None:
        usage.strikes += 1
        if usage.strikes < STRIKES_BEFORE_BAN or usage is self._newcomers:
            return
        usage.banned_until_us = now_us + min(SHORTEST_BAN_US << min(usage.bans, 20), LONGEST_BAN_US)
        usage.bans += 1
        usage.strikes = 0

    def _sweep(self, now_us: int) -> None:
        """Forget, once in five minutes, who neither sent anything then nor was ever banned."""
        span = now_us // FIVE_MINUTES_US
        if span == self._swept_span:
            return
        self._swept_span = span
        self._keys = _still_counted(self._keys, span, now_us)
        self._addresses = _still_counted(self._addresses, span, now_us)


def _still_counted(table: dict[str, _Usage], span: int, now_us: int) -> dict[str, _Usage]:
    forgotten = now_us - LONGEST_BAN_US
    return {
        sender: usage
        for sender, usage in table.items()
        if usage.span >= span - 1 or (usage.bans and usage.banned_until_us > forgotten)
    }


def _seconds_until(then_us: int, now_us: int) -> int:
    return max(1, -(-(then_us - now_us) // 1_000_000))
