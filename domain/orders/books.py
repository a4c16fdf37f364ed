"""The full check of a ledger shard's books: sums, coverage, and every hold by its order."""

from domain.ledger.chart import AccountKind, kind_of, owner_of
from domain.orders.state import LedgerState


def check_books(state: LedgerState) -> None:
    """Assert L1, L4, L6 over the whole state; made at snapshots, being linear in its size."""
    for asset, total in state.balances.total_by_asset().items():
        assert total == 0, f"L1: asset {asset} sums to {total}, must be 0"
    uncovered = state.balances.uncovered()
    assert not uncovered, f"L4: (asset, account, amount) below zero: {uncovered}"
    held = {
        (owner_of(account), asset): amount
        for asset, account, amount in state.balances.entries()
        if kind_of(account) is AccountKind.HELD
    }
    needed = needed_holds(state)
    assert held == needed, f"L6: held {held}, needed by open orders {needed}"


def needed_holds(state: LedgerState) -> dict[tuple[int, int], int]:
    """What open orders need by (user id, asset), in smallest units; zeros are left out."""
    needed: dict[tuple[int, int], int] = {}
    for order in state.orders.values():
        amount = order.needed()
        if amount != 0:
            key = (order.user_id, order.held_asset)
            needed[key] = needed.get(key, 0) + amount
    return needed
