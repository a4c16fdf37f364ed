"""Ledger shards and the real matching rules together: whatever the book says can be settled."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.accounts.messages import AssetListed
from domain.decider import Message
from domain.markets import ListMarket, MarketListed
from domain.matching.decider import MatchingDecider
from tests.domain.orders.random_steps import (
    Step,
    by_quote,
    cancel_alls,
    cancels,
    funded,
    limit_orders,
    market_orders,
    play,
    post_only,
)
from tests.domain.orders.tables import ETH_RULES, NOON_US, RULES, genesis
from tests.domain.orders.toy_exchange import ASSETS
from tests.domain.orders.toy_matching import Facts, ToyMatching
from tests.examples import examples


class RealMatching(ToyMatching):
    """One matching shard with both markets, in the toy's place."""

    def __init__(self) -> None:
        super().__init__(RULES.tick)
        self.decider = MatchingDecider()
        self.state = self.decider.initial()
        self.state.time_us = NOON_US
        self.hear(replace(genesis(), family="M", matching_partitions=1))
        for asset in ASSETS:
            self.hear(AssetListed(b"", asset, f"A{asset}", "", 8))
        for symbol, rules in (("BTCUSDT", RULES), ("ETHUSDT", ETH_RULES)):
            (listed,) = self.hear(ListMarket(b"", 0, symbol, rules, 100))
            assert isinstance(listed, MarketListed)

    def hear(self, message: Message) -> list[Message]:
        assert self.decider.refuse(self.state, _source(message), message) == ""
        events = list(self.decider.decide(self.state, message))
        for event in events:
            self.state = self.decider.evolve(self.state, event)
        return events

    def handle(self, event: Message) -> Facts:
        return [
            (int(shard[1:]), fact)
            for fact in self.hear(event)
            for shard in self.decider.destinations(self.state, fact)
            if shard[0] == "L"
        ]


def _source(message: Message) -> str:
    names = {"Genesis": "operator", "ListMarket": "operator", "AssetListed": "A0"}
    return names.get(type(message).__name__, "L0")


steps = st.one_of(
    st.tuples(st.just("say"), limit_orders),
    st.tuples(st.just("say"), limit_orders),
    st.tuples(st.just("say"), st.one_of(post_only, market_orders, by_quote)),
    st.tuples(st.just("say"), st.one_of(cancels, cancel_alls)),
    st.tuples(st.just("match"), st.integers(1, 9)),
    st.tuples(st.just("settle"), st.integers(0, 1), st.integers(1, 9)),
    st.tuples(st.just("wait"), st.sampled_from([1, 10_000_000, 86_400_000_000])),
)


@settings(max_examples=examples(100), deadline=None)
@given(script=st.lists(steps, min_size=5, max_size=80))
def test_what_the_book_reports_settles_to_the_last_unit(script: list[Step]) -> None:
    exchange = funded(2)
    exchange.matching = RealMatching()
    for step in script:
        play(exchange, step)
        exchange.matching.state.time_us = exchange.time_us
    exchange.drain()
    exchange.check()
    assert exchange.clearing() == dict.fromkeys(ASSETS, 0)

    exchange.cancel_everything()

    exchange.check()
    assert [shard.state.orders for shard in exchange.shards] == [{}, {}]
