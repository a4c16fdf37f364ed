"""The apply script: in sequence or not at all, data and position together, news afterwards."""

import pytest

from domain.orders.messages import Side
from projections.changes import Changes
from projections.follower import Follower
from projections.layout import (
    BUILD_KEY,
    LEDGER_EVENTS,
    MATCHING_EVENTS,
    NOWHERE,
    NoPosition,
    Position,
    applied_channel,
    changed_channel,
    redis_key,
)
from projections.redis_sink import RedisSink, current_build, remove_build
from projections.sink import Step, Verdict
from tests.projections.dict_sink import DictSink
from tests.projections.scenarios import busy_exchange, feed, offer, raw

FIRST, SECOND = Position(3, 2, 1_000), Position(5, 4, 2_000)


def changes(after, upto, **cells):
    made = Changes(after, upto)
    for name, text in cells.items():
        made.cells["balances:1", name] = text
    return made


def opened(client, build=None):
    """A sink after its first load, as every follower begins."""
    sink = RedisSink(client, build)
    assert sink.load("ledger.ev", 0) == (NOWHERE, {})
    return sink


def apply(sink, changes):
    (verdict,) = sink.apply([Step("ledger.ev", 0, changes)])
    return verdict


def stored(client, key="lb:1:balances:1"):
    return {name.decode(): text.decode() for name, text in client.hgetall(key).items()}


def test_applies_in_sequence_and_only_once(client):
    sink = opened(client)
    assert apply(sink, changes(NOWHERE, FIRST, a="1", b="2")) is Verdict.APPLIED
    assert apply(sink, changes(NOWHERE, FIRST, a="1", b="2")) is Verdict.DUPLICATE
    assert apply(sink, changes(FIRST, SECOND, a=None, c="3")) is Verdict.APPLIED
    assert stored(client) == {"b": "2", "c": "3"}
    assert sink.load("ledger.ev", 0) == (SECOND, {"balances:1": {"b": "2", "c": "3"}})
    assert sink.load("ledger.ev", 1) == (NOWHERE, {})


@pytest.mark.parametrize("cells", [{"cseq": "3"}, {"cseq": "x", "offset": "2", "time_us": "1"}])
def test_a_position_that_is_none_is_not_taken_for_the_start(client, cells):
    client.hset(redis_key("1", "position:ledger.ev:0"), mapping=cells)
    with pytest.raises(NoPosition, match=f"holds .*{cells['cseq']}"):
        RedisSink(client).load("ledger.ev", 0)


@pytest.mark.parametrize(
    ("after", "upto"),
    [
        (SECOND, Position(6, 5, 3_000)),  # ahead of the store
        (NOWHERE, Position(2, 1, 500)),  # behind it
        (Position(1, 0, 0), SECOND),  # overlapping
    ],
)
def test_p2_whatever_is_not_next_changes_nothing(client, after, upto):
    sink = opened(client)
    apply(sink, changes(NOWHERE, FIRST, a="1"))
    assert apply(sink, changes(after, upto, a="9", z="9")) is Verdict.GAP
    assert stored(client) == {"a": "1"}
    assert sink.load("ledger.ev", 0)[0] == FIRST


def test_without_a_position_there_are_no_cells(client):
    sink = opened(client)
    apply(sink, changes(NOWHERE, FIRST, a="1"))
    client.delete(redis_key("1", "position:ledger.ev:0"))
    assert sink.load("ledger.ev", 0) == (NOWHERE, {})
    assert sink.reached("ledger.ev", 0) == NOWHERE


def test_news_come_after_the_data(client):
    listener = client.pubsub()
    listener.subscribe(applied_channel("1", "ledger.ev", 0), changed_channel("1", "ledger.ev", 0))
    while listener.get_message(timeout=0.2):
        pass
    sink = opened(client)
    apply(sink, changes(NOWHERE, FIRST, a="1"))
    apply(sink, changes(SECOND, Position(9, 8, 7), a="2"))
    heard = [listener.get_message(timeout=1) for _ in range(3)]
    assert [news and news["data"] for news in heard] == [b"3", b"lb:1:balances:1", None]


def test_another_build_is_a_gap_and_then_followed(client):
    live, coming = opened(client), opened(client, "2")
    apply(live, changes(NOWHERE, FIRST, a="old"))
    apply(coming, changes(NOWHERE, FIRST, a="new"))
    apply(coming, changes(FIRST, SECOND, b="new"))
    client.set(BUILD_KEY, "2")
    assert apply(live, changes(FIRST, SECOND, a="late")) is Verdict.GAP
    assert live.load("ledger.ev", 0) == (SECOND, {"balances:1": {"a": "new", "b": "new"}})
    assert remove_build(client, "1") > 0
    assert current_build(client) == "2"
    assert {key.split(b":")[1] for key in client.keys("lb:*:*")} == {b"2"}
    with pytest.raises(AssertionError, match="build 2 is the current one"):
        remove_build(client, "2")


@pytest.mark.parametrize("step", [1, 11, 400])
def test_redis_holds_what_the_projectors_wrote(client, step):
    exchange, sink, model = busy_exchange(5, 150), RedisSink(client), DictSink()
    feed(exchange, sink, step)
    feed(exchange, model, step)
    wanted = {redis_key("1", key): cells for key, cells in model.cells.items() if cells}
    assert {key: stored(client, key) for key in wanted} == wanted
    beside = ("position", "index")
    found = {key.decode() for key in client.keys("lb:1:*")}
    assert {key for key in found if key.split(":")[2] not in beside} == set(wanted)


def test_a_projector_goes_on_from_redis(client):
    exchange, sink = busy_exchange(6, 60), RedisSink(client)
    feed(exchange, sink)
    for side in Side:
        exchange.place(1, side, 6_000_000, 30)
    feed(exchange, sink)
    model = DictSink()
    feed(exchange, model)
    for topic in (LEDGER_EVENTS, MATCHING_EVENTS):
        assert sink.load(topic, 0)[0] == model.positions[topic, 0]
        fresh = Follower(topic, 0, sink)
        assert fresh.load() == len(exchange.outboxes()[topic])
        assert offer(sink, fresh, raw(exchange.outboxes()[topic])) is None
