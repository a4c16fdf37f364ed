"""Trading fees: rates by tier in parts per million, and the one formula that applies them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PPM: Final = 1_000_000
PPM_DECIMALS: Final = 6
"""Decimals of a rate that is counted in ppm."""
RATE_MAX_PPM: Final = 100_000
"""The highest fee rate: a tenth of what is received."""


@dataclass(slots=True)
class FeeTier:
    """Maker and taker rate of one tier, in ppm of what the party receives."""

    tier: int
    maker_ppm: int
    taker_ppm: int


def fee(amount: int, rate_ppm: int) -> int:
    """The fee on `amount` received, in the same smallest units, rounded up to a whole unit."""
    return -(-amount * rate_ppm // PPM)


def are_fee_tiers(fee_tiers: Sequence[FeeTier]) -> bool:
    """Whether tier 0 exists, no tier stands twice, and every rate is from 0 to `RATE_MAX_PPM`."""
    numbers = [tier.tier for tier in fee_tiers]
    return (
        0 in numbers
        and min(numbers) == 0
        and len(numbers) == len(set(numbers))
        and all(0 <= tier.maker_ppm <= RATE_MAX_PPM for tier in fee_tiers)
        and all(0 <= tier.taker_ppm <= RATE_MAX_PPM for tier in fee_tiers)
    )
