"""A slow, obvious ledger shard: dicts, linear searches and Fractions, as a model for the real one.

It shares nothing with the product but message classes. A refusal is found by collecting every
reason that applies and taking the lowest; balances are a plain dict that `move` changes.
"""

import string
from dataclasses import fields
from fractions import Fraction
from math import ceil, floor
from typing import Any

from domain import markets
from domain.accounts import messages as accounts
from domain.decider import Message
from domain.ledger import messages as funding
from domain.ledger.messages import FundingReason
from domain.limits import Limits
from domain.markets import MarketRules
from domain.matching import messages as matching
from domain.orders.messages import (
    CancelAllOrders,
    CancelAllRequested,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    OrderReason,
    OrderRejected,
    OrderType,
    PlaceOrder,
    Role,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from domain.protocol import Genesis

LARGEST = 2**62
CLIENT_ID_LETTERS = string.ascii_letters + string.digits + "-_"
MILLION = 1_000_000


class DictLedger:
    """One shard. `handle` returns the events and has applied them already."""

    def __init__(self) -> None:
        self.money: dict[tuple[str, int, int], int] = {}  # (kind, user or 0, asset) → amount
        self.users: dict[int, dict[str, Any]] = {}
        self.markets: dict[int, dict[str, Any]] = {}
        self.orders: list[dict[str, Any]] = []
        self.accepted: list[tuple[int, int]] = []  # (user, time) of every accepted order
        self.references: dict[str, tuple[object, ...]] = {}
        self.assets: set[int] = set()
        self.halted: set[int] = set()
        self.fees: dict[int, tuple[int, int]] = {}
        self.limits = Limits(0, 0, 0, 0)
        self.partition = 0
        self.partitions = 0
        self.time = 0

    def handle(self, message: Message, time_us: int) -> list[Message]:
        self.time = time_us
        if isinstance(message, PlaceOrder):
            return [self.place(message)]
        if isinstance(message, matching.TradeExecuted):
            both = [(message.maker_order_id, Role.MAKER), (message.taker_order_id, Role.TAKER)]
            mine = [x for x in both if x[0] % self.partitions == self.partition]
            return [self.fill(message, self.find(order_id), role) for order_id, role in mine]
        if isinstance(message, matching.OrderTerminated):
            return [self.close(message)]
        if isinstance(message, CancelOrder | CancelAllOrders | matching.CancelRefused):
            return [self.cancel(message)]
        if isinstance(message, funding.CreditDeposit | funding.DebitWithdrawal):
            return [self.fund(message)]
        if isinstance(message, accounts.UserRegistered):
            self.users[message.user_id] = {"enabled": True, "tier": message.fee_tier}
            return [funding.AccountOpened(message.command_id, message.user_id, message.fee_tier)]
        self.learn(message)
        return [message]

    # Money.

    def move(
        self, asset: int, debit: tuple[str, int], credit: tuple[str, int], amount: int
    ) -> None:
        assert amount >= 0
        self.money[(*debit, asset)] = self.amount(*debit, asset) - amount
        self.money[(*credit, asset)] = self.amount(*credit, asset) + amount
        for (kind, _, _), value in self.money.items():
            assert value >= 0 or kind in ("external", "clearing")

    def amount(self, kind: str, user: int, asset: int) -> int:
        return self.money.get((kind, user, asset), 0)

    def not_zero(self) -> dict[tuple[str, int, int], int]:
        return {key: value for key, value in self.money.items() if value != 0}

    def in_shard(self, asset: int) -> int:
        return sum(
            value
            for (kind, _, of), value in self.money.items()
            if of == asset and kind in ("available", "held", "house")
        )

    def fund(self, m: funding.CreditDeposit | funding.DebitWithdrawal) -> Message:
        content = (type(m).__name__, m.user_id, m.asset_id, m.amount)
        before = self.references.get(m.reference)
        deposit = isinstance(m, funding.CreditDeposit)
        user = self.users.get(m.user_id)
        came_in = -self.amount("external", 0, m.asset_id)
        after = (self.in_shard(m.asset_id), came_in) if deposit else (0, -came_in)
        checks = {
            FundingReason.UNKNOWN_ACCOUNT: user is None,
            FundingReason.UNKNOWN_ASSET: m.asset_id not in self.assets,
            FundingReason.INVALID_REFERENCE: not 1 <= len(m.reference) <= 128
            or any(not " " <= letter <= "~" for letter in m.reference),
            FundingReason.REFERENCE_USED: before is not None,
            FundingReason.INVALID_AMOUNT: m.amount <= 0,
            FundingReason.AMOUNT_TOO_LARGE: max(after) + m.amount > LARGEST,
            FundingReason.ACCOUNT_DISABLED: not deposit and user and not user["enabled"],
            FundingReason.INSUFFICIENT_FUNDS: not deposit
            and self.amount("available", m.user_id, m.asset_id) < m.amount,
            FundingReason.WITHDRAWALS_HALTED: not deposit and m.asset_id in self.halted,
        }
        failed = [reason for reason, applies in checks.items() if applies]
        if failed:
            if min(failed) == FundingReason.REFERENCE_USED and before and before[:4] == content:
                when = before[4]
                assert isinstance(when, int)
                return funding.FundingRepeated(m.command_id, m.user_id, m.reference, when)
            return funding.FundingRejected(m.command_id, m.user_id, m.reference, min(failed))
        self.references[m.reference] = (*content, self.time)
        ends = ("external", 0), ("available", m.user_id)
        debit, credit = ends if deposit else ends[::-1]
        self.move(m.asset_id, debit, credit, m.amount)
        kind = funding.DepositCredited if deposit else funding.WithdrawalDebited
        return kind(m.command_id, m.user_id, m.asset_id, m.amount, m.reference)

    # Orders.

    def place(self, m: PlaceOrder) -> Message:
        user, market = self.users.get(m.user_id), self.markets.get(m.market_id)
        failed = [
            reason
            for reason, applies in {
                OrderReason.UNKNOWN_ACCOUNT: user is None,
                OrderReason.ACCOUNT_DISABLED: user is not None and not user["enabled"],
                OrderReason.UNKNOWN_MARKET: market is None,
                OrderReason.MARKET_HALTED: market is not None and market["halted"],
                OrderReason.STALE_RULES: market
                and m.market_revision not in (0, market["revision"]),
            }.items()
            if applies
        ]
        failed = failed or self.judge_form(m)
        if failed or market is None:
            return self.reject(m, failed)
        t = self.terms(m, market)
        failed = self.judge_terms(m, market["rules"], t) + self.judge_account(m, market["rules"], t)
        return self.reject(m, failed) if failed else self.accept(m, market, t)

    def reject(self, m: PlaceOrder, failed: list[OrderReason]) -> Message:
        return OrderRejected(m.command_id, m.user_id, m.market_id, m.client_order_id, min(failed))

    def terms(self, m: PlaceOrder, market: dict[str, Any]) -> dict[str, Any]:
        r, reference = market["rules"], market["reference"]
        at_market, buys = m.order_type == OrderType.MARKET, m.side == Side.BUY
        price, lots = m.price_ticks, m.lots
        if at_market:
            collar = Fraction(r.collar_ppm, MILLION)
            price = floor(reference * (1 + collar)) if buys else ceil(reference * (1 - collar))
            price = sorted([r.min_price_ticks, price, r.max_price_ticks])[1]
            if not buys and m.quote_amount:
                lots = ceil(Fraction(m.quote_amount, price * r.tick))
        value = m.quote_amount or price * lots * r.tick
        quote, base = (r.quote_asset, value), (r.base_asset, lots * r.lot)
        return {
            "price": price,
            "ratio": Fraction(price, reference) * MILLION,
            "lots": lots,
            "value": value,
            "judged_value": m.quote_amount or (reference if at_market else price) * lots * r.tick,
            "held": quote if buys else base,
            "got": base if buys else quote,
        }

    def judge_terms(self, m: PlaceOrder, r: MarketRules, t: dict[str, Any]) -> list[OrderReason]:
        at_market, buys = m.order_type == OrderType.MARKET, m.side == Side.BUY
        up, down = (r.bid_up_ppm, r.bid_down_ppm) if buys else (r.ask_up_ppm, r.ask_down_ppm)
        lots, no_lots = t["lots"], buys and bool(m.quote_amount)
        got_asset, got = t["got"]
        checks = {
            OrderReason.PRICE_FILTER: not r.min_price_ticks <= t["price"] <= r.max_price_ticks,
            OrderReason.LOT_SIZE: not no_lots and not r.min_lots <= lots <= r.max_lots,
            OrderReason.MARKET_LOT_SIZE: at_market
            and not no_lots
            and not r.market_min_lots <= lots <= r.market_max_lots,
            OrderReason.PERCENT_PRICE_BY_SIDE: not at_market and not down <= t["ratio"] <= up,
            OrderReason.NOTIONAL: not r.min_notional <= t["judged_value"] <= r.max_notional,
            OrderReason.AMOUNT_TOO_LARGE: max(t["value"], lots * r.lot) > LARGEST
            or self.in_shard(got_asset) + got > LARGEST,
        }
        return [reason for reason, applies in checks.items() if applies]

    def judge_account(self, m: PlaceOrder, r: MarketRules, t: dict[str, Any]) -> list[OrderReason]:
        mine = [o for o in self.orders if o["user_id"] == m.user_id]
        here = [o for o in mine if o["market_id"] == m.market_id]
        in_10s, in_1d = self.counts(m.user_id)
        held_asset, held = t["held"]
        checks = {
            OrderReason.DUPLICATE_CLIENT_ORDER_ID: m.client_order_id != ""
            and any(o["client_order_id"] == m.client_order_id for o in mine),
            OrderReason.MAX_NUM_ORDERS: len(here) + 1 > r.max_open_orders,
            OrderReason.TOO_MANY_ORDERS_10S: in_10s + 1 > self.limits.orders_per_10s,
            OrderReason.TOO_MANY_ORDERS_1D: in_1d + 1 > self.limits.orders_per_day,
            OrderReason.INSUFFICIENT_FUNDS: self.amount("available", m.user_id, held_asset) < held,
        }
        return [reason for reason, applies in checks.items() if applies]

    def counts(self, user: int) -> tuple[int, int]:
        times = [time for who, time in self.accepted if who == user]
        spans = (10 * MILLION, 86_400 * MILLION)
        in_10s, in_1d = (len([t for t in times if t // s == self.time // s]) for s in spans)
        return in_10s, in_1d

    def accept(self, m: PlaceOrder, market: dict[str, Any], t: dict[str, Any]) -> Message:
        r, (in_10s, in_1d) = market["rules"], self.counts(m.user_id)
        held_asset, held = t["held"]
        accepted = OrderAccepted(
            command_id=m.command_id,
            order_id=(len(self.accepted) + 1) * self.partitions + self.partition,
            user_id=m.user_id,
            market_id=m.market_id,
            market_revision=market["revision"],
            client_order_id=m.client_order_id,
            side=m.side,
            order_type=m.order_type,
            time_in_force=m.time_in_force,
            price_ticks=t["price"],
            lots=t["lots"],
            quote_amount=m.quote_amount,
            held_asset=held_asset,
            held_amount=held,
            order_count_10s=in_10s + 1,
            order_count_1d=in_1d + 1,
        )
        order: dict[str, Any] = {f.name: getattr(accepted, f.name) for f in fields(accepted)}
        order |= {"lot": r.lot, "tick": r.tick, "base": r.base_asset, "quote": r.quote_asset}
        order |= {"hold": held, "filled": 0, "value": 0, "time": self.time}
        self.orders.append(order)
        self.accepted.append((m.user_id, self.time))
        self.move(held_asset, ("available", m.user_id), ("held", m.user_id), held)
        return accepted

    def judge_form(self, m: PlaceOrder) -> list[OrderReason]:
        allowed = {
            OrderType.LIMIT: {TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK},
            OrderType.LIMIT_MAKER: {TimeInForce.GTC},
            OrderType.MARKET: {TimeInForce.IOC},
        }
        at_market = m.order_type == OrderType.MARKET
        amounts = [x for x in (m.lots, m.quote_amount) if x != 0]
        checks = {
            OrderReason.ORDER_TYPE_NOT_SUPPORTED: m.order_type not in allowed,
            OrderReason.STOP_PRICE_NOT_SUPPORTED: m.stop_price_ticks != 0,
            OrderReason.ICEBERG_NOT_SUPPORTED: m.iceberg_lots != 0,
            OrderReason.SELF_TRADE_PREVENTION_NOT_SUPPORTED: m.self_trade_prevention
            != SelfTradePrevention.NONE,
            OrderReason.INVALID_TIME_IN_FORCE: m.time_in_force not in allowed.get(m.order_type, ()),
            OrderReason.INVALID_CLIENT_ORDER_ID: len(m.client_order_id) > 36
            or not set(m.client_order_id) <= set(CLIENT_ID_LETTERS),
            OrderReason.INVALID_PRICE: m.price_ticks != 0 if at_market else m.price_ticks <= 0,
            OrderReason.INVALID_QUANTITY: len(amounts) != 1
            or amounts[0] < 0
            or (m.quote_amount != 0 and not at_market),
        }
        return [reason for reason, applies in checks.items() if applies]

    def find(self, order_id: int) -> dict[str, Any]:
        return next(o for o in self.orders if o["order_id"] == order_id)

    def fill(self, m: matching.TradeExecuted, o: dict[str, Any], role: Role) -> Message:
        value, quantity = m.price_ticks * m.lots * o["tick"], m.lots * o["lot"]
        buys = o["side"] == Side.BUY
        paid_asset, paid = (o["quote"], value) if buys else (o["base"], quantity)
        got_asset, got = (o["base"], quantity) if buys else (o["quote"], value)
        tier = self.users[o["user_id"]]["tier"]
        rate = self.fees[tier if tier in self.fees else 0][role]
        fee = ceil(Fraction(got * rate, MILLION))
        saved = 0
        if buys and not o["quote_amount"]:
            saved = o["price_ticks"] * m.lots * o["tick"] - value
        o["hold"] -= paid + saved
        o["filled"] += m.lots
        o["value"] += value
        user = o["user_id"]
        self.move(paid_asset, ("held", user), ("clearing", 0), paid)
        self.move(got_asset, ("clearing", 0), ("available", user), got)
        self.move(got_asset, ("available", user), ("house", 0), fee)
        self.move(paid_asset, ("held", user), ("available", user), saved)
        return FillSettled(
            command_id=o["command_id"] if role == Role.TAKER else b"",
            order_id=o["order_id"],
            user_id=user,
            market_id=m.market_id,
            trade_id=m.trade_id,
            client_order_id=o["client_order_id"],
            side=o["side"],
            role=role,
            price_ticks=m.price_ticks,
            lots=m.lots,
            paid_asset=paid_asset,
            paid_amount=paid,
            received_asset=got_asset,
            received_amount=got,
            fee_amount=fee,
            released_amount=saved,
            filled_lots=o["filled"],
            filled_quote=o["value"],
        )

    def close(self, m: matching.OrderTerminated) -> Message:
        o = self.find(m.order_id)
        self.orders.remove(o)
        user = o["user_id"]
        self.move(o["held_asset"], ("held", user), ("available", user), o["hold"])
        return OrderClosed(
            command_id=m.command_id,
            order_id=o["order_id"],
            user_id=user,
            market_id=o["market_id"],
            client_order_id=o["client_order_id"],
            side=o["side"],
            order_type=o["order_type"],
            time_in_force=o["time_in_force"],
            price_ticks=o["price_ticks"],
            lots=o["lots"],
            quote_amount=o["quote_amount"],
            filled_lots=o["filled"],
            filled_quote=o["value"],
            reason=m.reason,
            released_asset=o["held_asset"],
            released_amount=o["hold"],
            accepted_time_us=o["time"],
        )

    def cancel(self, m: CancelOrder | CancelAllOrders | matching.CancelRefused) -> Message:
        mine = [
            o for o in self.orders if (o["user_id"], o["market_id"]) == (m.user_id, m.market_id)
        ]
        order_id = 0 if isinstance(m, CancelAllOrders) else m.order_id
        client_id = m.client_order_id if isinstance(m, CancelOrder) else ""
        if isinstance(m, CancelAllOrders) and mine:
            ids = sorted(o["order_id"] for o in mine)
            return CancelAllRequested(m.command_id, m.user_id, m.market_id, ids)
        if isinstance(m, CancelOrder):
            for o in mine:
                by_client_id = not order_id and client_id and o["client_order_id"] == client_id
                if o["order_id"] == order_id or by_client_id:
                    return CancelRequested(m.command_id, o["order_id"], m.user_id, m.market_id)
        return CancelRejected(
            m.command_id, m.user_id, m.market_id, order_id, client_id, OrderReason.UNKNOWN_ORDER
        )

    # What others tell.

    def learn(self, m: Message) -> None:
        match m:
            case Genesis():
                self.partition, self.partitions = m.partition, m.ledger_partitions
                self.limits = m.limits
                self.fees = {t.tier: (t.maker_ppm, t.taker_ppm) for t in m.fee_tiers}
            case accounts.AssetListed():
                self.assets.add(m.asset_id)
            case accounts.WithdrawalsHalted() | accounts.WithdrawalsResumed():
                halted = isinstance(m, accounts.WithdrawalsHalted)
                self.halted = self.halted - {m.asset_id} | ({m.asset_id} if halted else set())
            case accounts.FeesChanged():
                self.fees = {t.tier: (t.maker_ppm, t.taker_ppm) for t in m.fee_tiers}
            case accounts.LimitsChanged():
                self.limits = m.limits
            case accounts.UserEnabled() | accounts.UserDisabled():
                self.users[m.user_id]["enabled"] = isinstance(m, accounts.UserEnabled)
            case accounts.FeeTierChanged():
                self.users[m.user_id]["tier"] = m.fee_tier
            case markets.MarketListed() | markets.MarketRulesChanged():
                known = self.markets.get(m.market_id, {"halted": False})
                known |= {"rules": m.rules, "revision": m.revision}
                self.markets[m.market_id] = known | {"reference": m.reference_price_ticks}
            case markets.MarketHalted() | markets.MarketResumed():
                self.markets[m.market_id]["halted"] = isinstance(m, markets.MarketHalted)
            case markets.ReferencePriceChanged():
                self.markets[m.market_id]["reference"] = m.price_ticks
            case matching.OrderRested() | matching.CancelAllCompleted():
                pass
            case _:
                raise AssertionError(f"no ledger shard hears {m}")
