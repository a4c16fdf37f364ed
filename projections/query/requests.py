"""What requests ask for: symbols, limits, times, intervals; and whether it is the operator's."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from domain.reference import Market, ReferenceData
from infra.http import errors
from infra.http.app import Call
from infra.http.parameters import (
    CLIENT_ORDER_ID,
    FIRST_MICROSECONDS,
    SYMBOL,
    Parameters,
)
from infra.keys import same_secret
from projections.intervals import HOUR_US
from projections.query.exchange_info import status

SYMBOLS = '^\\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\\]$'

LAST_TIME_US = (1 << 63) - 1

SPAN = ("startTime", "endTime")
"""The parameters of `time_span`."""


class TickerType(StrEnum):
    """How much of a ticker is wanted."""

    FULL = "FULL"
    MINI = "MINI"


@dataclass(slots=True, frozen=True)
class Span:
    """A span of time, both ends inclusive, in microseconds; None where it is open."""

    start_us: int | None = None
    end_us: int | None = None

    @property
    def ascending(self) -> bool:
        """Whether the oldest rows are wanted: a start was named. Otherwise the most recent ones."""
        return self.start_us is not None

    def contains(self, time_us: int) -> bool:
        """Whether a time lies in it."""
        after_start = self.start_us is None or time_us >= self.start_us
        return after_start and (self.end_us is None or time_us <= self.end_us)

    def bounds(self) -> dict[str, int]:
        """`start` and `end` as a query's parameters: the first and last time where it is open."""
        return {
            "start": self.start_us or 0,
            "end": LAST_TIME_US if self.end_us is None else self.end_us,
        }


def is_operators(call: Call, token: str) -> bool:
    """Whether the request bears the operator's token; without one there is no operator."""
    sent = call.request.headers.get("Authorization", "")
    return bool(token) and same_secret(sent, "Bearer " + token)


def one_market(call: Call, reference: ReferenceData) -> Market:
    """The market of the mandatory parameter `symbol`; -1102, -1105, -1100 or -1121 without it."""
    call.parameters.text("symbol")
    market = optional_market(call, reference)
    assert market is not None, "text() refuses a missing symbol"
    return market


def optional_market(call: Call, reference: ReferenceData) -> Market | None:
    """The market of `symbol`, None if it was not sent; -1105, -1100 or -1121 for a bad one."""
    symbol = call.parameters.matching("symbol", SYMBOL)
    return None if symbol is None else _known(symbol, reference)


def many_markets(call: Call, reference: ReferenceData) -> list[Market] | None:
    """The markets of `symbols`, a JSON array of texts, in its order; None if it was not sent."""
    text = call.parameters.optional("symbols")
    if text is None:
        return None
    if call.parameters.has("symbol"):
        raise errors.invalid_combination()
    if not re.fullmatch(SYMBOLS, text):
        raise errors.illegal_characters("symbols", SYMBOLS)
    symbols = re.findall(r'"([^"]*)"', text)
    if len(set(symbols)) < len(symbols):
        raise errors.duplicate_parameter("symbols")
    return [_known(symbol, reference) for symbol in symbols]


def of_status(parameters: Parameters, markets: Iterable[Market]) -> list[Market]:
    """Those that have the `symbolStatus`, or all without one; -1130 for one that does not exist."""
    wanted = parameters.optional("symbolStatus")
    if wanted not in (None, "TRADING", "HALT", "BREAK"):
        raise errors.invalid_data("symbolStatus")
    return [market for market in markets if wanted in (None, status(market))]


def expect_status(parameters: Parameters, market: Market) -> None:
    """-1220 if the market does not have the `symbolStatus`; -1130 as `of_status`."""
    if not of_status(parameters, [market]):
        raise errors.symbol_has_other_status()


def row_limit(parameters: Parameters, default: int, most: int) -> int:
    """How many rows are wanted: `limit`, at least 1 (-1130), cut to `most` as Binance does."""
    limit = parameters.optional_integer("limit", low=1)
    return default if limit is None else min(limit, most)


def time_span(parameters: Parameters, most_us: int | None = None) -> Span:
    """`startTime` and `endTime`; -1127 if both are sent and lie more than `most_us` apart.

    An end before the start is refused with -1130.
    """
    start_us = _time(parameters, "startTime")
    end_us = _time(parameters, "endTime", last=True)
    if start_us is not None and end_us is not None:
        if end_us < start_us:
            raise errors.invalid_data("endTime")
        if most_us is not None and end_us - start_us > most_us + 999:
            raise errors.time_span_too_long(most_us // HOUR_US)
    return Span(start_us, end_us)


def ticker_type(parameters: Parameters) -> TickerType:
    """`type`: FULL (the default) or MINI; -1130 for anything else."""
    text = parameters.optional("type") or TickerType.FULL
    try:
        return TickerType(text)
    except ValueError:
        raise errors.invalid_data("type") from None


def refuse_time_zone(parameters: Parameters) -> None:
    """-1130 for a time zone other than UTC: candles are kept by UTC days alone."""
    zone = parameters.optional("timeZone")
    if zone is None:
        return
    if not re.fullmatch(r"[+-]?[0-9]{1,2}(:[0-9]{2})?", zone) or zone.strip("+-0:"):
        raise errors.invalid_data("timeZone")


def named_order(parameters: Parameters) -> tuple[int | None, str | None]:
    """`orderId` and `origClientOrderId`; -1102 if neither was sent, -1100 for what is no id."""
    order_id = parameters.optional_integer("orderId")
    client_order_id = parameters.matching("origClientOrderId", CLIENT_ORDER_ID)
    if order_id is None and client_order_id is None:
        raise errors.either_mandatory("origClientOrderId", "orderId")
    return order_id, client_order_id


def symbol_count(parameters: Parameters) -> int | None:
    """How many symbols a request names, for its weight; None if it names none. Never raises."""
    if parameters.has("symbol"):
        return 1
    return parameters.values["symbols"].count(",") + 1 if parameters.has("symbols") else None


def sent_limit(parameters: Parameters, default: int) -> int:
    """The limit a request names, for its weight; the default for one that is no number."""
    text = parameters.values.get("limit", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def _known(symbol: str, reference: ReferenceData) -> Market:
    market = reference.market(symbol)
    if market is None:
        raise errors.invalid_symbol()
    return market


def _time(parameters: Parameters, name: str, *, last: bool = False) -> int | None:
    """A time in microseconds; one told in milliseconds is its first, or its `last` one."""
    sent = parameters.optional_integer(name)
    if sent is None or sent >= FIRST_MICROSECONDS:
        return sent
    return sent * 1_000 + (999 if last else 0)
