"""Admission by how long answers take, on a model of an exchange that has a pace and a clock."""

import heapq
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import pytest

from commands import admission
from commands.admission import ACCOUNT_PART, CANCELS_FLOOR, FLOOR, START, TARGET_S, Admission
from infra.http.errors import ApiError
from tests.benchmarks.percentiles import percentile

ALICE, BOB = 1, 2
BOUND_S = 0.25


class Clock:
    """Moved by the model."""

    def __init__(self) -> None:
        self.s = 1_000.0

    def now_us(self) -> int:
        return int(self.s * 1e6)

    def monotonic_s(self) -> float:
        return self.s


@dataclass(slots=True)
class Kind:
    """What became of the requests of one kind."""

    sent: int = 0
    refused: int = 0
    waited_s: list[float] = field(default_factory=list)


class Exchange:
    """Answers one command after the other, so many a second, `hop_s` after it is done with it."""

    def __init__(self, pace: float, hop_s: float = 0.005) -> None:
        self.clock = Clock()
        self.admission = Admission(self.clock)
        self.pace = pace
        self.hop_s = hop_s
        self.free_s = self.clock.s
        self.orders, self.cancels = Kind(), Kind()
        self._ends: list[tuple[float, int, AbstractContextManager[None]]] = []

    def load(
        self, seconds: float, orders: float, cancels: float = 20.0, accounts: int = 8, size: int = 1
    ) -> None:
        """Offer so many orders and cancels a second, in requests of `size` orders."""
        begun_s, sent, canceled = self.clock.s, 0, 0
        while (passed_s := self.clock.s - begun_s) < seconds:
            while sent * size < passed_s * orders:
                sent += 1
                self._send(self.orders, ALICE + sent % accounts, size, cancels=False)
            while canceled < passed_s * cancels:
                canceled += 1
                self._send(self.cancels, ALICE + canceled % accounts, 1, cancels=True)
            self.wait(0.001)

    def wait(self, seconds: float) -> None:
        """Let time pass, and answers come."""
        end_s = self.clock.s + seconds
        while self._ends and self._ends[0][0] <= end_s:
            self.clock.s, _, under_way = heapq.heappop(self._ends)
            under_way.__exit__(None, None, None)
        self.clock.s = end_s

    def _send(self, kind: Kind, account: int, size: int, *, cancels: bool) -> None:
        kind.sent += 1
        try:
            self.admission.check("L0", account, cancels=cancels)
        except ApiError:
            kind.refused += 1
            return
        under_way = self.admission.under_way("L0", account, size, cancels=cancels)
        under_way.__enter__()
        self.free_s = max(self.free_s, self.clock.s) + size / self.pace
        end_s = self.free_s + self.hop_s
        kind.waited_s.append(end_s - self.clock.s)
        heapq.heappush(self._ends, (end_s, self.orders.sent + self.cancels.sent, under_way))


@pytest.mark.parametrize(
    ("pace", "size"), [(2_000.0, 1), (2_000.0, 20), (5_000.0, 1), (20_000.0, 50)]
)
def test_ten_times_the_load_is_answered_in_time(pace, size):
    exchange = Exchange(pace)
    exchange.load(1.0 + START / pace, 10 * pace, size=size)
    exchange.orders, exchange.cancels = Kind(), Kind()
    exchange.load(2.0, 10 * pace, size=size)
    taken = exchange.orders.sent - exchange.orders.refused
    assert percentile(exchange.orders.waited_s, 99.0) < BOUND_S
    assert taken * size > 0.85 * 2.0 * pace, "what can be done is done"
    assert exchange.orders.refused > 0.85 * exchange.orders.sent
    assert exchange.cancels.refused == 0
    assert percentile(exchange.cancels.waited_s, 99.0) < BOUND_S


def test_what_can_be_done_is_not_refused():
    exchange = Exchange(5_000.0)
    exchange.load(3.0, 4_000.0)
    assert exchange.orders.refused == 0


def test_a_hiccup_costs_time_and_no_refusals():
    exchange = Exchange(20_000.0)
    exchange.load(1.0, 4_000.0)
    exchange.free_s = exchange.clock.s + 0.15
    exchange.load(1.0, 4_000.0)
    assert exchange.orders.refused == 0
    assert max(exchange.orders.waited_s) > 0.15


def test_answers_that_are_slow_whatever_is_refused_refuse_nobody():
    exchange = Exchange(20_000.0, hop_s=0.4)
    exchange.load(3.0, 100.0)
    exchange.load(3.0, 400.0)
    assert exchange.orders.refused == 0


def test_a_stall_is_refused_beyond_the_floor_and_forgotten():
    exchange = Exchange(5_000.0)
    exchange.load(1.0, 1_000.0)
    exchange.free_s = exchange.clock.s + 4.0
    exchange.load(1.5, 1_000.0, cancels=0)
    exchange.orders = Kind()
    exchange.load(2.0, 1_000.0, cancels=0)
    assert exchange.orders.refused == exchange.orders.sent
    exchange.load(2.0, 1_000.0)
    exchange.orders = Kind()
    exchange.load(1.0, 1_000.0)
    assert exchange.orders.refused == 0


def fill(
    gate: Admission, account: int, most: int, *, cancels: bool = False, shard: str = "L0"
) -> int:
    """How many single commands of an account are let in, none of them answered."""
    for number in range(most):
        try:
            gate.check(shard, account, cancels=cancels)
        except ApiError:
            return number
        hold(gate.under_way(shard, account, cancels=cancels))
    return most


_held: list[AbstractContextManager[None]] = []


def hold(under_way: AbstractContextManager[None]) -> None:
    """Begin a request that ends no sooner than the tests."""
    under_way.__enter__()
    _held.append(under_way)


def test_one_account_gets_half_of_the_room_and_is_told_so():
    gate = Admission(Clock())
    assert fill(gate, ALICE, START) == START // ACCOUNT_PART
    with pytest.raises(ApiError) as caught:
        gate.check("L0", ALICE, cancels=False)
    found = caught.value
    assert (found.status, found.code, found.headers) == (429, -1003, {"Retry-After": "1"})
    assert fill(gate, BOB, START) == START - START // ACCOUNT_PART
    with pytest.raises(ApiError) as caught:
        gate.check("L0", 3, cancels=False)
    found = caught.value
    assert (found.status, found.code, found.headers) == (503, -1008, {"Retry-After": "1"})


def test_cancels_have_a_share_that_orders_cannot_take():
    gate = Admission(Clock())
    fill(gate, ALICE, START)
    fill(gate, BOB, START)
    share = START // 4
    assert fill(gate, ALICE, START, cancels=True) == share // ACCOUNT_PART
    assert fill(gate, BOB, START, cancels=True) == share // ACCOUNT_PART
    with pytest.raises(ApiError):
        gate.check("L0", 3, cancels=True)


def test_shards_do_not_stand_in_for_each_other():
    gate = Admission(Clock())
    fill(gate, ALICE, START)
    fill(gate, BOB, START)
    assert fill(gate, ALICE, START, shard="L1") == START // ACCOUNT_PART


def test_the_floor_is_always_allowed():
    clock = Clock()
    gate = Admission(clock)
    gate.check("L0", ALICE, cancels=False)
    hold(gate.under_way("L0", ALICE))
    clock.s += 3_600.0
    accounts = range(ALICE, ALICE + FLOOR)
    assert sum(fill(gate, account, 1) for account in accounts) == FLOOR - 1
    assert sum(fill(gate, account, 60, cancels=True) for account in accounts) == CANCELS_FLOOR


def test_a_batch_larger_than_the_room_is_taken_alone():
    gate = Admission(Clock())
    with gate.under_way("L0", ALICE, 2 * START), pytest.raises(ApiError):
        gate.check("L0", BOB, cancels=False)
    gate.check("L0", ALICE, cancels=False)


def test_an_error_teaches_nothing_and_frees_its_room():
    clock = Clock()
    gate = Admission(clock)
    for _ in range(START):
        gate.check("L0", ALICE, cancels=False)
        with pytest.raises(ZeroDivisionError), gate.under_way("L0", ALICE):
            clock.s += 1 // 0
    assert fill(gate, ALICE, START) == START // ACCOUNT_PART


def test_refusals_are_counted_by_reason():
    before = admission.REFUSED.labels("account")._value.get()
    fill(Admission(Clock()), ALICE, START)
    assert admission.REFUSED.labels("account")._value.get() == before + 1
    assert TARGET_S < BOUND_S
