"""The ledger shards against the dict ledger, on random commands and random delays."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.accounts.messages import FeesChanged
from domain.fees import FeeTier
from domain.ledger.chart import HOUSE
from tests.domain.orders.random_steps import Step, by_quote, funded, limit_orders, play, ppm, steps
from tests.domain.orders.toy_exchange import ASSETS, ToyExchange
from tests.examples import examples


@settings(max_examples=examples(200), deadline=None)
@given(partitions=st.sampled_from([1, 2]), script=st.lists(steps, min_size=5, max_size=80))
def test_the_ledger_says_and_books_what_the_dict_ledger_does(
    partitions: int, script: list[Step]
) -> None:
    exchange = funded(partitions)
    for step in script:
        play(exchange, step)
    exchange.check()
    exchange.drain()
    exchange.check()
    assert exchange.clearing() == dict.fromkeys(ASSETS, 0)


@settings(max_examples=examples(60), deadline=None)
@given(partitions=st.sampled_from([1, 2]), script=st.lists(steps, min_size=5, max_size=80))
def test_cancel_everything_and_all_holds_are_zero(partitions: int, script: list[Step]) -> None:
    exchange = funded(partitions)
    for step in script:
        play(exchange, step)
    exchange.drain()
    exchange.cancel_everything()
    for shard in exchange.shards:
        assert shard.state.orders == {}
        assert [key for key in shard.money() if key[0] == "held"] == []
    exchange.check()


trading = st.lists(
    st.tuples(st.just("say"), st.one_of(limit_orders, by_quote)), min_size=12, max_size=40
)
tenths = st.integers(2, 9)
"""Of a script: before it nothing is open yet."""


def played(script: list[Step], reloaded_before: int = -1) -> tuple[ToyExchange, Counter[str]]:
    """The exchange after the script, and how many orders were open as its shards were reloaded."""
    exchange, seen = funded(2), Counter[str]()
    for at, step in enumerate(script):
        if at == reloaded_before:
            for shard in exchange.shards:
                seen["open"] += len(shard.state.orders)
                seen["partly filled"] += sum(
                    order.filled_lots > 0 for order in shard.state.orders.values()
                )
                shard.reload()
        play(exchange, step)
        exchange.match(1)
        exchange.settle(at, 3)
    return exchange, seen


@settings(max_examples=examples(60), deadline=None)
@given(script=trading, tenth=tenths)
def test_a_snapshot_at_any_cut_goes_on_alike(script: list[Step], tenth: int) -> None:
    (straight, _), (reloaded, _) = played(script), played(script, len(script) * tenth // 10)
    for one, other in zip(straight.shards, reloaded.shards, strict=True):
        assert one.decider.dump(one.state) == other.decider.dump(other.state)


def taken(script: list[Step], rate: int) -> list[int]:
    """What the house has of each asset in each shard, if all pay this rate."""
    exchange = funded(2, amount=10_000_000)
    exchange.tell_all(FeesChanged(b"", [FeeTier(0, rate, rate)]))
    for step in script:
        play(exchange, step)
    exchange.drain()
    books = [shard.state.balances for shard in exchange.shards]
    return [each.amount(asset, HOUSE) for each in books for asset in ASSETS]


@settings(max_examples=examples(40), deadline=None)
@given(script=trading, lower=ppm, higher=ppm)
def test_higher_rates_never_take_less(script: list[Step], lower: int, higher: int) -> None:
    lower, higher = sorted((lower, higher))
    pairs = zip(taken(script, lower), taken(script, higher), strict=True)
    assert all(low <= high for low, high in pairs)


def test_the_draws_reach_open_orders_and_fees() -> None:
    """The properties above say little if nothing is open as shards reload, or nobody pays."""
    number, seen = 60, Counter[str]()

    @settings(max_examples=number, deadline=None, database=None, derandomize=True)
    @given(script=trading, tenth=tenths, lower=ppm, higher=ppm)
    def look(script: list[Step], tenth: int, lower: int, higher: int) -> None:
        _, orders = played(script, len(script) * tenth // 10)
        seen.update(what for what, count in orders.items() if count)
        seen["fees"] += any(taken(script, max(lower, higher)))

    look()
    assert seen["open"] > number / 3 and seen["fees"] > number / 2, seen
    assert seen["partly filled"] > number / 10, seen
