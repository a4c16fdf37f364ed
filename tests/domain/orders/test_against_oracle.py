"""The ledger shards against the dict ledger, on random commands and random delays."""

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.accounts.messages import FeesChanged
from domain.fees import FeeTier
from domain.ledger.chart import HOUSE
from tests.domain.orders.random_steps import Step, by_quote, funded, limit_orders, play, ppm, steps
from tests.domain.orders.toy_exchange import ASSETS
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


trading = st.lists(st.tuples(st.just("say"), st.one_of(limit_orders, by_quote)), max_size=30)


@settings(max_examples=examples(60), deadline=None)
@given(script=trading, cut=st.integers(0, 30))
def test_a_snapshot_at_any_cut_goes_on_alike(script: list[Step], cut: int) -> None:
    straight, reloaded = funded(2), funded(2)
    for at, step in enumerate(script):
        for exchange in (straight, reloaded):
            play(exchange, step)
            exchange.match(1)
            exchange.settle(at, 3)
        if at == cut:
            for shard in reloaded.shards:
                shard.reload()
    for one, other in zip(straight.shards, reloaded.shards, strict=True):
        assert one.decider.dump(one.state) == other.decider.dump(other.state)


@settings(max_examples=examples(40), deadline=None)
@given(script=trading, lower=ppm, higher=ppm)
def test_higher_rates_never_take_less(script: list[Step], lower: int, higher: int) -> None:
    taken = []
    for rate in sorted((lower, higher)):
        exchange = funded(2, amount=10_000_000)
        exchange.tell_all(FeesChanged(b"", [FeeTier(0, rate, rate)]))
        for step in script:
            play(exchange, step)
        exchange.drain()
        books = [shard.state.balances for shard in exchange.shards]
        taken.append([each.amount(asset, HOUSE) for each in books for asset in ASSETS])
    assert all(low <= high for low, high in zip(*taken, strict=True))
