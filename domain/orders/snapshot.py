"""Snapshots of a ledger shard's state: nested lists in canonical order, and back."""

from dataclasses import fields
from typing import Any

from domain.decider import matching_ids
from domain.fees import FeeTier
from domain.ledger.balances import Balances
from domain.ledger.funding import Funding
from domain.limits import Limits
from domain.markets import MarketRules
from domain.orders.books import check_books
from domain.orders.evolution import open_up
from domain.orders.messages import OrderType, Side, TimeInForce
from domain.orders.state import Account, LedgerState, Market, OpenOrder


def dump(state: LedgerState) -> list[Any]:
    """The state as nested lists, ints, strings and bools, every list in one possible order.

    The books are checked in full first: a broken state is never kept.
    """
    check_books(state)
    return [
        [
            state.time_us,
            state.partition,
            state.ledger_partitions,
            state.matching_partitions,
            state.rules_version,
            state.orders_accepted,
        ],
        _values(state.limits),
        [_values(tier) for _, tier in sorted(state.fee_tiers.items())],
        [[asset_id, decimals] for asset_id, decimals in sorted(state.assets.items())],
        [_dump_market(market) for _, market in sorted(state.markets.items())],
        [_dump_account(account) for _, account in sorted(state.accounts.items())],
        [_dump_order(order) for _, order in sorted(state.orders.items())],
        state.balances.dump(),
        [
            [reference, *_values(funding)]
            for reference, funding in sorted(state.funding_by_reference.items())
        ],
        sorted(state.halted_withdrawals),
    ]


def load(data: Any) -> LedgerState:
    """The state that `dump` described; what can be derived from open orders is derived."""
    numbers, limits, tiers, assets, markets, accounts, orders, balances, *rest = data
    fundings, halted = rest
    time_us, partition, ledger_partitions, matching_partitions, rules_version, accepted = numbers
    state = LedgerState(
        time_us=time_us,
        partition=partition,
        ledger_partitions=ledger_partitions,
        matching_partitions=matching_partitions,
        rules_version=rules_version,
        limits=Limits(*limits),
        fee_tiers={row[0]: FeeTier(*row) for row in tiers},
        assets=dict(assets),
        markets={row[0]: _load_market(row) for row in markets},
        accounts={row[0]: Account(*row) for row in accounts},
        orders_accepted=accepted,
        balances=Balances.load(balances),
        funding_by_reference={row[0]: Funding(*row[1:]) for row in fundings},
        halted_withdrawals=dict.fromkeys(halted),
        matchers=matching_ids(matching_partitions),
    )
    for row in orders:
        order = _load_order(row)
        open_up(state, state.accounts[order.user_id], order)
    return state


def _values(record: Limits | FeeTier | MarketRules | Funding) -> list[Any]:
    """The fields of a flat record, in their order."""
    return [getattr(record, field.name) for field in fields(record)]


def _dump_market(market: Market) -> list[Any]:
    return [
        market.market_id,
        market.revision,
        _values(market.rules),
        market.reference_price_ticks,
        market.halted,
    ]


def _load_market(row: list[Any]) -> Market:
    market_id, revision, rules, reference_price_ticks, halted = row
    return Market(market_id, revision, MarketRules(*rules), reference_price_ticks, halted)


def _dump_account(account: Account) -> list[Any]:
    return [
        account.user_id,
        account.enabled,
        account.fee_tier,
        account.window_10s,
        account.orders_10s,
        account.window_1d,
        account.orders_1d,
    ]


def _dump_order(order: OpenOrder) -> list[Any]:
    return [
        order.order_id,
        order.user_id,
        order.market_id,
        order.client_order_id,
        int(order.side),
        int(order.order_type),
        int(order.time_in_force),
        order.price_ticks,
        order.lots,
        order.quote_amount,
        order.lot,
        order.tick,
        order.base_asset,
        order.quote_asset,
        order.held,
        order.filled_lots,
        order.filled_quote,
        order.rested,
        order.accepted_time_us,
        order.command_id.hex(),
    ]


def _load_order(row: list[Any]) -> OpenOrder:
    values = list(row)
    values[4:7] = Side(row[4]), OrderType(row[5]), TimeInForce(row[6])
    values[-1] = bytes.fromhex(row[-1])
    return OpenOrder(*values)
