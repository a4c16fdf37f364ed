"""Which decider runs a shard, by the family letter of its id."""

from typing import Any

from domain.accounts.decider import AccountsDecider
from domain.decider import Decider
from domain.matching.decider import MatchingDecider
from domain.orders.decider import LedgerDecider


def decider_of(shard_id: str) -> Decider[Any]:
    """A fresh decider for the shard, such as "L3"; `ValueError` for no shard's id."""
    family, partition = shard_id[:1], shard_id[1:]
    if not (partition.isascii() and partition.isdigit()):
        raise ValueError(f"a shard id such as L0 was wanted, was {shard_id!r}")
    if family == "A":
        return AccountsDecider()
    if family == "L":
        return LedgerDecider()
    if family == "M":
        return MatchingDecider()
    raise ValueError(f"a shard of family A, L or M was wanted, was {shard_id!r}")
