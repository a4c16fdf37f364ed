"""Limits on what one account or key may do, all of them values in the log."""

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class Limits:
    """Counts per fixed window: orders judged by ledgers in log time, the rest by gateways."""

    orders_per_10s: int
    orders_per_day: int
    request_weight_per_minute: int
    raw_requests_per_5m: int


DEFAULT_LIMITS: Final = Limits(
    orders_per_10s=100,
    orders_per_day=200_000,
    request_weight_per_minute=6_000,
    raw_requests_per_5m=61_000,
)


def are_limits(limits: Limits) -> bool:
    """Whether every limit lets something through."""
    return (
        limits.orders_per_10s > 0
        and limits.orders_per_day > 0
        and limits.request_weight_per_minute > 0
        and limits.raw_requests_per_5m > 0
    )
