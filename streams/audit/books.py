"""Checks the replayed states, the witnesses' books and the trades against each other."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.ledger.chart import (
    CLEARING,
    EXTERNAL,
    HOUSE,
    LOWEST_USER_ACCOUNT,
    AccountKind,
    available_account,
    held_account,
    kind_of,
    owner_of,
)
from domain.markets import MarketRules
from domain.matching.messages import TradeExecuted
from domain.orders.messages import FillSettled, Role, Side
from domain.orders.state import LedgerState, OpenOrder
from streams.audit.checks import Checks
from streams.audit.ledger_witness import LedgerRecord, Leg
from streams.audit.matching_witness import MatchingRecord


class Terms(NamedTuple):
    """One party's part of a trade; `paid` and `received` are (asset, amount), before the fee.

    The fee follows from the role (L8), which must be the one that matching gave the party.
    """

    price_ticks: int
    lots: int
    side: Side
    role: Role
    paid: tuple[int, int]
    received: tuple[int, int]

    def in_flight(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """By asset, what `clearing` lacks once the other leg is settled, and this one is not."""
        (asset, amount), received = self.paid, self.received
        return (asset, -amount), received


@dataclass(slots=True)
class Sheet:
    """One asset over all ledger shards, in its smallest units.

    `in_flight` is what `clearing` must be: the legs of trades that are not settled yet, computed
    from matching's records alone.
    """

    available: int = 0
    held: int = 0
    house: int = 0
    clearing: int = 0
    external: int = 0
    deposited: int = 0
    withdrawn: int = 0
    in_flight: int = 0


@dataclass(slots=True)
class Exchange:
    """Everything at the consistent cut: states and witnesses by shard, and legs under way."""

    ledgers: dict[str, tuple[LedgerState, LedgerRecord]]
    matchings: dict[str, MatchingRecord]
    under_way: set[Leg] = field(default_factory=set)


def check_exchange(exchange: Exchange, checks: Checks) -> dict[int, Sheet]:
    """Check all there is, and return the balance sheet by asset id."""
    sheets: dict[int, Sheet] = {}
    for shard, (state, record) in exchange.ledgers.items():
        check_ledger(shard, state, record, checks)
        _add_to_sheets(state, record, sheets)
    _check_legs(exchange, checks, sheets)
    for asset, sheet in sorted(sheets.items()):
        _check_sheet(asset, sheet, checks)
    return sheets


def check_ledger(shard: str, state: LedgerState, record: LedgerRecord, checks: Checks) -> None:
    """Check one ledger in full, against itself and against the witness's books."""
    _check_sums(shard, state, checks)
    _check_own_books(shard, state, record, checks)
    _check_orders(shard, state, record, checks)


def _check_sums(shard: str, state: LedgerState, checks: Checks) -> None:
    for asset, total in state.balances.total_by_asset().items():
        checks.check("L1", total == 0, f"asset {asset} of {shard} sums to {total}", asset)
    for asset, account, amount in state.balances.entries():
        covered = amount >= 0 or account in (EXTERNAL, CLEARING)
        words = f"account {account} of {shard} has {amount} of asset {asset}"
        checks.check("L4", covered, words, (asset, account))


def _check_own_books(shard: str, state: LedgerState, record: LedgerRecord, checks: Checks) -> None:
    """The balances must be what the witness booked from the events."""
    booked: Counter[tuple[int, int]] = Counter()
    for (user, asset), amount in record.available.items():
        booked[(asset, available_account(user))] += amount
    for (user, asset), amount in record.held.items():
        booked[(asset, held_account(user))] += amount
    for asset, amount in record.house.items():
        booked[(asset, HOUSE)] += amount
    for asset, amount in record.clearing.items():
        booked[(asset, CLEARING)] += amount
    for asset in record.deposited | record.withdrawn:
        booked[(asset, EXTERNAL)] = record.withdrawn[asset] - record.deposited[asset]
    found = {(asset, account): amount for asset, account, amount in state.balances.entries()}
    for asset, account in sorted(booked.keys() | found.keys()):
        wanted, amount = booked[(asset, account)], found.get((asset, account), 0)
        words = f"account {account} of {shard} must have {wanted} of asset {asset}, has {amount}"
        checks.check("L5", wanted == amount, words, (asset, account))


def _check_orders(shard: str, state: LedgerState, record: LedgerRecord, checks: Checks) -> None:
    """Open orders here and in the witness's books are the same, and held is what they need."""
    checks.check(
        "E3",
        state.orders.keys() == record.open.keys(),
        f"{shard} has {len(state.orders)} open orders, by its events {len(record.open)}",
        "open orders",
    )
    needed: Counter[tuple[int, int]] = Counter()
    for order_id, order in state.orders.items():
        needed[(order.user_id, order.held_asset)] += _remainder(order)
        kept = record.open.get(order_id)
        if kept is not None:
            same = (kept.held, kept.filled_lots, kept.filled_quote)
            found = (order.held, order.filled_lots, order.filled_quote)
            words = f"order {order_id} must be at {same}, is at {found}"
            checks.check("E3", same == found, words, order_id)
    held = {
        (owner_of(account), asset): amount
        for asset, account, amount in state.balances.entries()
        if account >= LOWEST_USER_ACCOUNT and kind_of(account) is AccountKind.HELD
    }
    for user, asset in sorted(needed.keys() | held.keys()):
        wanted, amount = needed[(user, asset)], held.get((user, asset), 0)
        words = f"user {user} must hold {wanted} of asset {asset}, holds {amount}"
        checks.check("L6", wanted == amount, words, (user, asset))


def _remainder(order: OpenOrder) -> int:
    """What the part not filled can cost at most."""
    lots = order.lots - order.filled_lots
    if order.side == Side.SELL:
        return lots * order.lot
    if order.quote_amount:
        return order.quote_amount - order.filled_quote
    return lots * order.price_ticks * order.tick


def _add_to_sheets(state: LedgerState, record: LedgerRecord, sheets: dict[int, Sheet]) -> None:
    for asset, account, amount in state.balances.entries():
        sheet = sheets.setdefault(asset, Sheet())
        if account >= LOWEST_USER_ACCOUNT:
            if kind_of(account) is AccountKind.HELD:
                sheet.held += amount
            else:
                sheet.available += amount
        elif account == HOUSE:
            sheet.house += amount
        elif account == CLEARING:
            sheet.clearing += amount
        else:
            sheet.external += amount
    for asset, amount in record.deposited.items():
        sheets.setdefault(asset, Sheet()).deposited += amount
    for asset, amount in record.withdrawn.items():
        sheets.setdefault(asset, Sheet()).withdrawn += amount


def _check_legs(exchange: Exchange, checks: Checks, sheets: dict[int, Sheet]) -> None:
    """Each leg of each trade is settled once and as it was traded, or it is under way (E5)."""
    settled = {
        leg: fill for _, record in exchange.ledgers.values() for leg, fill in record.legs.items()
    }
    for record in exchange.matchings.values():
        for trade, rules in record.trades:
            for order_id, side in parties(trade):
                leg = (trade.market_id, trade.trade_id, order_id)
                terms = traded_terms(trade, rules, side)
                fill = settled.pop(leg, None)
                under_way = leg in exchange.under_way
                words = f"leg {leg} is settled: {fill is not None}, under way: {under_way}"
                checks.check("E5", (fill is None) == under_way, words)
                if fill is None:
                    for asset, amount in terms.in_flight():
                        sheets.setdefault(asset, Sheet()).in_flight += amount
                    continue
                words = f"leg {leg} was settled otherwise than traded"
                checks.check("E5", terms_of(fill) == terms, words)
    for leg in settled:
        checks.check("E5", False, f"leg {leg} was settled, its trade is nowhere")


def terms_of(fill: FillSettled) -> Terms:
    """What a settlement says of its trade, and what it moves, before the fee."""
    return Terms(
        fill.price_ticks,
        fill.lots,
        fill.side,
        fill.role,
        (fill.paid_asset, fill.paid_amount),
        (fill.received_asset, fill.received_amount),
    )


def parties(trade: TradeExecuted) -> tuple[tuple[int, Side], tuple[int, Side]]:
    """Order and side of the maker, then of the taker."""
    maker_side = Side.SELL if trade.taker_side == Side.BUY else Side.BUY
    return (trade.maker_order_id, maker_side), (trade.taker_order_id, trade.taker_side)


def traded_terms(trade: TradeExecuted, rules: MarketRules, side: Side) -> Terms:
    """What a settlement of this side must be, by matching's rules when it traded."""
    quote = (rules.quote_asset, trade.price_ticks * trade.lots * rules.tick)
    base = (rules.base_asset, trade.lots * rules.lot)
    paid, received = (quote, base) if side == Side.BUY else (base, quote)
    role = Role.TAKER if side == trade.taker_side else Role.MAKER
    return Terms(trade.price_ticks, trade.lots, side, role, paid, received)


def _check_sheet(asset: int, sheet: Sheet, checks: Checks) -> None:
    owned = sheet.available + sheet.held + sheet.house + sheet.clearing
    funded = sheet.deposited - sheet.withdrawn
    words = f"asset {asset}: users, house and flight have {owned}, {funded} was funded"
    checks.check("L2", owned == funded == -sheet.external, words)
    words = f"asset {asset}: clearing is {sheet.clearing}, unsettled legs are {sheet.in_flight}"
    checks.check("L2", sheet.clearing == sheet.in_flight, words)
