"""Trading fees: rates by tier in parts per million, and the one formula that applies them."""

from dataclasses import dataclass
from typing import Final

PPM: Final = 1_000_000
PPM_DECIMALS: Final = 6
"""Decimals of a rate that is counted in ppm."""


@dataclass(slots=True)
class FeeTier:
    """Maker and taker rate of one tier, in ppm of what the party receives."""

    tier: int
    maker_ppm: int
    taker_ppm: int


def fee(amount: int, rate_ppm: int) -> int:
    """The fee on `amount` received, in the same smallest units, rounded up to a whole unit."""
    return -(-amount * rate_ppm // PPM)
