"""Deposits and withdrawals as tables, and the double entry under everything."""

from typing import Any

import pytest

from domain.accounts.messages import (
    UserDisabled,
    WithdrawalsHalted,
    WithdrawalsResumed,
)
from domain.decider import Message
from domain.ledger.balances import Balances
from domain.ledger.chart import (
    CLEARING,
    EXTERNAL,
    HOUSE,
    AccountKind,
    available_account,
    held_account,
    kind_of,
    owner_of,
)
from domain.ledger.messages import (
    AccountOpened,
    CreditDeposit,
    DebitWithdrawal,
    DepositCredited,
    FundingReason,
    FundingRejected,
    FundingRepeated,
    WithdrawalDebited,
)
from domain.ledger.postings import postings
from domain.money import MAX_AMOUNT
from domain.orders.messages import (
    CloseReason,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    OrderType,
    Role,
    Side,
    TimeInForce,
)
from domain.protocol import Tick
from tests.domain.orders.tables import (
    ANN,
    BOB,
    BTC,
    COMMAND,
    LEDGER,
    NOON_US,
    OPENED,
    USDT,
    given,
    when,
)

R = FundingReason


def deposit(user_id: int, asset_id: int, amount: int, reference: str) -> CreditDeposit:
    return CreditDeposit(COMMAND, 0, user_id, asset_id, amount, reference)


def withdraw(user_id: int, asset_id: int, amount: int, reference: str) -> DebitWithdrawal:
    return DebitWithdrawal(COMMAND, 0, user_id, asset_id, amount, reference)


HAD: list[Message] = [
    *OPENED,
    AccountOpened(b"", 6, 0),
    UserDisabled(b"", "user-6", 2, 0, 6),
    DepositCredited(b"", ANN, BTC, 100, "in-1"),
    WithdrawalDebited(b"", ANN, BTC, 30, "out-1"),
    DepositCredited(b"", 6, BTC, 50, "in-2"),
    DepositCredited(b"", ANN, USDT, 9, "in-9"),
    WithdrawalsHalted(b"", USDT, "why"),
]
# fmt: off
FUNDINGS = [
    # command                                   event
    (deposit(ANN, BTC, 7, "in-3"),              DepositCredited(COMMAND, ANN, BTC, 7, "in-3")),
    (deposit(ANN, BTC, 7, "x" * 128),           DepositCredited(COMMAND, ANN, BTC, 7, "x" * 128)),
    (deposit(6, BTC, 7, "in-3"),                DepositCredited(COMMAND, 6, BTC, 7, "in-3")),
    (deposit(ANN, BTC, 100, "in-1"),            FundingRepeated(COMMAND, ANN, "in-1", NOON_US)),
    (deposit(8, BTC, 7, "in-3"),                R.UNKNOWN_ACCOUNT),
    (deposit(ANN, 9, 7, "in-3"),                R.UNKNOWN_ASSET),
    (deposit(ANN, BTC, 7, ""),                  R.INVALID_REFERENCE),
    (deposit(ANN, BTC, 7, "x" * 129),           R.INVALID_REFERENCE),
    (deposit(ANN, BTC, 7, "é"),                 R.INVALID_REFERENCE),
    (deposit(ANN, BTC, 7, "a\nb"),              R.INVALID_REFERENCE),
    (deposit(ANN, BTC, 101, "in-1"),            R.REFERENCE_USED),
    (deposit(ANN, USDT, 100, "in-1"),           R.REFERENCE_USED),
    (deposit(BOB, BTC, 100, "in-1"),            R.REFERENCE_USED),
    (deposit(ANN, BTC, 30, "out-1"),            R.REFERENCE_USED),
    (deposit(ANN, BTC, 0, "in-3"),              R.INVALID_AMOUNT),
    (deposit(ANN, BTC, -7, "in-3"),             R.INVALID_AMOUNT),
    (deposit(ANN, BTC, MAX_AMOUNT + 1, "in-3"), R.AMOUNT_TOO_LARGE),
    (deposit(BOB, BTC, MAX_AMOUNT - 119, "i"),  R.AMOUNT_TOO_LARGE),
    (deposit(BOB, BTC, MAX_AMOUNT - 120, "i"),
                                    DepositCredited(COMMAND, BOB, BTC, MAX_AMOUNT - 120, "i")),
    (deposit(BOB, USDT, MAX_AMOUNT - 9, "i"),
                                    DepositCredited(COMMAND, BOB, USDT, MAX_AMOUNT - 9, "i")),
    (withdraw(ANN, BTC, 70, "out-2"),           WithdrawalDebited(COMMAND, ANN, BTC, 70, "out-2")),
    (withdraw(ANN, BTC, 30, "out-1"),           FundingRepeated(COMMAND, ANN, "out-1", NOON_US)),
    (withdraw(ANN, BTC, 100, "in-1"),           R.REFERENCE_USED),
    (withdraw(ANN, BTC, 31, "out-1"),           R.REFERENCE_USED),
    (withdraw(8, BTC, 7, "out-2"),              R.UNKNOWN_ACCOUNT),
    (withdraw(ANN, 9, 7, "out-2"),              R.UNKNOWN_ASSET),
    (withdraw(ANN, BTC, 0, "out-2"),            R.INVALID_AMOUNT),
    (withdraw(ANN, BTC, MAX_AMOUNT + 1, "o"),   R.AMOUNT_TOO_LARGE),
    (withdraw(6, BTC, 7, "out-2"),              R.ACCOUNT_DISABLED),
    (withdraw(ANN, BTC, 71, "out-2"),           R.INSUFFICIENT_FUNDS),
    (withdraw(ANN, USDT, 10, "out-2"),          R.INSUFFICIENT_FUNDS),
    (withdraw(ANN, USDT, 9, "out-2"),           R.WITHDRAWALS_HALTED),
]
# fmt: on


@pytest.mark.parametrize(("command", "wanted"), FUNDINGS)
def test_a_deposit_or_withdrawal_happens_once_or_says_why_not(command: Any, wanted: Any) -> None:
    state = given(*HAD)
    before = LEDGER.dump(state)
    state.time_us = NOON_US + 5

    (event,) = when(state, command)

    if isinstance(wanted, FundingReason):
        wanted = FundingRejected(COMMAND, command.user_id, command.reference, wanted)
    assert event == wanted
    state.time_us = NOON_US
    assert (LEDGER.dump(state) == before) == (postings(event) == ())


def test_run_twice_moves_once_and_names_the_first_time() -> None:
    state = given(*OPENED)
    state.time_us = NOON_US + 1
    (first,) = when(state, deposit(ANN, BTC, 7, "in-1"))
    state.time_us = NOON_US + 2
    (again,) = when(state, deposit(ANN, BTC, 7, "in-1"))
    assert isinstance(first, DepositCredited)
    assert again == FundingRepeated(COMMAND, ANN, "in-1", NOON_US + 1)
    assert state.balances.available(ANN, BTC) == 7


def test_withdrawals_go_on_where_they_are_resumed() -> None:
    state = given(*HAD, WithdrawalsResumed(b"", USDT, "found"))
    (event,) = when(state, withdraw(ANN, USDT, 9, "out-2"))
    assert event == WithdrawalDebited(COMMAND, ANN, USDT, 9, "out-2")


def test_a_refused_withdrawal_leaves_its_reference_free() -> None:
    state = given(*OPENED)
    first, _, again = when(
        state,
        withdraw(ANN, BTC, 7, "out-1"),
        deposit(ANN, BTC, 7, "in-1"),
        withdraw(ANN, BTC, 7, "out-1"),
    )
    assert first == FundingRejected(COMMAND, ANN, "out-1", R.INSUFFICIENT_FUNDS)
    assert again == WithdrawalDebited(COMMAND, ANN, BTC, 7, "out-1")
    assert state.balances.dump() == []


def test_money_that_left_by_trades_may_not_be_replaced_without_limit() -> None:
    state = given(*OPENED, DepositCredited(b"", ANN, BTC, MAX_AMOUNT, "in-1"))
    state.balances.transfer(BTC, available_account(ANN), CLEARING, MAX_AMOUNT)
    (event,) = when(state, deposit(ANN, BTC, 1, "in-2"))
    assert event == FundingRejected(COMMAND, ANN, "in-2", R.AMOUNT_TOO_LARGE)


def test_money_that_came_by_trades_may_be_withdrawn_up_to_the_limit() -> None:
    state = given(*OPENED)
    state.balances.transfer(BTC, CLEARING, available_account(ANN), MAX_AMOUNT + 1)
    first, second = when(state, withdraw(ANN, BTC, MAX_AMOUNT, "o-1"), withdraw(ANN, BTC, 1, "o-2"))
    assert isinstance(first, WithdrawalDebited)
    assert second == FundingRejected(COMMAND, ANN, "o-2", R.AMOUNT_TOO_LARGE)


AVAILABLE, HELD = available_account(ANN), held_account(ANN)
FILL = FillSettled(
    command_id=b"",
    order_id=2,
    user_id=ANN,
    market_id=1,
    trade_id=1,
    client_order_id="",
    side=Side.BUY,
    role=Role.MAKER,
    price_ticks=1,
    lots=1,
    paid_asset=USDT,
    paid_amount=300,
    received_asset=BTC,
    received_amount=10,
    fee_amount=2,
    released_amount=40,
    filled_lots=1,
    filled_quote=300,
)
PAY, RECEIVE = (USDT, HELD, CLEARING, 300), (BTC, CLEARING, AVAILABLE, 10)
CHARGE, RELEASE = (BTC, AVAILABLE, HOUSE, 2), (USDT, HELD, AVAILABLE, 40)


def fill(fee_amount: int, released_amount: int) -> FillSettled:
    values = {name: getattr(FILL, name) for name in FillSettled.__dataclass_fields__}
    return FillSettled(**values | {"fee_amount": fee_amount, "released_amount": released_amount})


def accepted(held_amount: int) -> OrderAccepted:
    kind, wait = OrderType.LIMIT, TimeInForce.GTC
    return OrderAccepted(
        b"", 2, ANN, 1, 1, "", Side.BUY, kind, wait, 1, 1, 0, USDT, held_amount, 1, 1
    )


def closed(released: int) -> OrderClosed:
    kind, wait, why = OrderType.LIMIT, TimeInForce.GTC, CloseReason.CANCELED
    return OrderClosed(
        b"", 2, ANN, 1, "", Side.BUY, kind, wait, 1, 1, 0, 0, 0, why, USDT, released, 0
    )


# fmt: off
POSTINGS: list[tuple[Message, tuple[Any, ...]]] = [
    # event                                       (asset, from, to, amount) ...
    (DepositCredited(b"", ANN, BTC, 7, "r"),      ((BTC, EXTERNAL, AVAILABLE, 7),)),
    (WithdrawalDebited(b"", ANN, BTC, 7, "r"),    ((BTC, AVAILABLE, EXTERNAL, 7),)),
    (accepted(held_amount=300),                   ((USDT, AVAILABLE, HELD, 300),)),
    (fill(fee_amount=2, released_amount=40),      (PAY, RECEIVE, CHARGE, RELEASE)),
    (fill(fee_amount=2, released_amount=0),       (PAY, RECEIVE, CHARGE)),
    (fill(fee_amount=0, released_amount=40),      (PAY, RECEIVE, RELEASE)),
    (fill(fee_amount=0, released_amount=0),       (PAY, RECEIVE)),
    (closed(released=40),                         ((USDT, HELD, AVAILABLE, 40),)),
    (closed(released=0),                          ()),
    (Tick(),                                      ()),
]
# fmt: on


@pytest.mark.parametrize(("event", "wanted"), POSTINGS)
def test_each_event_makes_these_transfers(event: Message, wanted: tuple[Any, ...]) -> None:
    assert postings(event) == wanted


def test_a_transfer_debits_what_it_credits() -> None:
    books = Balances()
    books.transfer(BTC, EXTERNAL, AVAILABLE, 10)
    books.transfer(BTC, AVAILABLE, HELD, 4)
    books.transfer(BTC, AVAILABLE, HOUSE, 1)
    books.transfer(BTC, HELD, CLEARING, 3)
    assert books.available(ANN, BTC) == 5
    assert (books.amount(BTC, HELD), books.amount(BTC, HOUSE)) == (1, 1)
    assert (books.external(BTC), books.clearing(BTC)) == (-10, 3)
    assert books.covered_total(BTC) == 7
    assert books.total_by_asset() == {BTC: 0}
    assert Balances.load(books.dump()).dump() == books.dump()


@pytest.mark.parametrize("account", [AVAILABLE, HELD, HOUSE])
def test_users_and_house_are_never_overdrawn(account: int) -> None:
    books = Balances()
    with pytest.raises(AssertionError, match=f"L4: account {account} lacks 5 of asset 1"):
        books.transfer(BTC, account, CLEARING, 5)


@pytest.mark.parametrize(("credit", "amount"), [(HELD, 0), (HELD, -1), (AVAILABLE, 1)])
def test_a_transfer_moves_something_somewhere_else(credit: int, amount: int) -> None:
    books = Balances()
    books.transfer(BTC, EXTERNAL, AVAILABLE, 10)
    with pytest.raises(AssertionError, match="L5: a transfer"):
        books.transfer(BTC, AVAILABLE, credit, amount)


def test_an_account_code_names_owner_and_kind() -> None:
    assert (owner_of(HELD), kind_of(HELD)) == (ANN, AccountKind.HELD)
    assert (owner_of(AVAILABLE), kind_of(AVAILABLE)) == (ANN, AccountKind.AVAILABLE)
    shard = [(owner_of(code), kind_of(code).name) for code in (EXTERNAL, CLEARING, HOUSE)]
    assert shard == [(0, "EXTERNAL"), (0, "CLEARING"), (0, "HOUSE")]
