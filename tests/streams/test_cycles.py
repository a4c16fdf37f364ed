"""Shards leave no cycles behind, so that their processes need not search for them."""

import gc
from collections.abc import Iterator

import pytest

from domain.orders.messages import CancelOrder
from domain.protocol import Tick
from schemas.record import encode_message, outside_record
from schemas.topics import inbox
from tests.benchmarks.exchange import FAR_US, NOON_US, MemoryExchange
from tests.benchmarks.mix import draw

MIX = draw(500)


@pytest.fixture
def no_search() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_trading_leaves_no_cycles(no_search):
    exchange = MemoryExchange()
    exchange.play(MIX)
    assert gc.collect() == 0, "what is off the book holds on to nothing"


def test_whatever_is_refused_leaves_no_cycles(no_search):
    exchange = MemoryExchange()
    ledger, offset = exchange._shards["L0"], len(exchange.partitions[inbox("L0")])
    wish = encode_message(CancelOrder(bytes(16), FAR_US, 2, 1, 0, "none"))
    late = encode_message(CancelOrder(bytes(15) + b"1", 1, 2, 1, 0, "none"))
    nobody = encode_message(CancelOrder(b"short", FAR_US, 2, 1, 0, "none"))
    refused = [
        outside_record("gw", NOON_US, [wish, wish, late, nobody, encode_message(Tick())]),
        outside_record("M7", NOON_US, [wish]),
        b"no record",
        None,
    ]
    assert gc.collect() == 0
    steps = [ledger.step(offset + n, value) for n, value in enumerate(refused)]
    assert [len(step.quarantined) for step in steps] == [2, 1, 1, 1]
    assert steps[0].accepted
    del steps
    assert gc.collect() == 0
