"""Views anew beside the old ones: equal, switched at once, while records go on coming."""

from collections.abc import Iterator
from itertools import count

import pytest
from fakeredis import FakeRedis

from domain.orders.messages import Side
from infra.clickhouse import ClickHouseError, clickhouse_client
from infra.refusal import Refusal
from projections import clickhouse_builds, clickhouse_sink, rebuild_request, redis_sink
from projections.clickhouse_sink import ClickHouseSink
from projections.follower import Follower
from projections.layout import (
    BUILD_KEY,
    LEDGER_EVENTS,
    MATCHING_EVENTS,
    REBUILD_LOCK,
    feeding_partitions,
    redis_key,
)
from projections.rebuild import rebuild_clickhouse, rebuild_redis
from projections.rebuild_command import ProgressBar
from projections.redis_sink import RedisSink
from tests.projections.dict_sink import DictSink
from tests.projections.list_log import ListLog
from tests.projections.scenarios import busy_exchange, feed, offer, raw

SOURCES = feeding_partitions(1, 1)


class GrowingProgress:
    """Places an order whenever progress is told, for a while, as trading would."""

    def __init__(self, exchange, orders=20):
        self.exchange, self.orders, self.told = exchange, orders, []

    def __call__(self, done, total):
        self.told.append((done, total))
        if self.orders:
            self.orders -= 1
            self.exchange.place(1 + self.orders % 3, Side(self.orders % 2), 6_000_000, 3)


def feed_live(exchange, sink) -> dict[str, Follower]:
    followers = {topic: Follower(topic, 0, sink) for topic in (LEDGER_EVENTS, MATCHING_EVENTS)}
    for topic, follower in followers.items():
        follower.load()
        offer(sink, follower, raw(exchange.outboxes()[topic]))
    return followers


def go_on(exchange, sink, followers):
    """Live followers read on; one that is told to read elsewhere does so."""
    for topic, follower in followers.items():
        at: int | None = follower.position.offset + 1
        while at is not None and at < len(exchange.outboxes()[topic]):
            at = offer(sink, follower, raw(exchange.outboxes()[topic])[at:])


def test_partitions_are_all_outboxes_that_feed_views():
    assert feeding_partitions(2, 1) == [("ledger.ev", 0), ("ledger.ev", 1), ("matching.ev", 0)]


def test_redis_is_rebuilt_while_trading_goes_on():
    exchange, client = busy_exchange(7, 200), FakeRedis()
    sink = RedisSink(client)
    live = feed_live(exchange, sink)
    client.hset(redis_key("1", "balances:1"), "1", "[0,0]")  # what the rebuild is to mend
    client.set(redis_key("2", "left:behind"), "by a rebuild that was killed")
    progress = GrowingProgress(exchange)
    assert rebuild_redis(client, ListLog(exchange.outboxes), SOURCES, progress) == "2"
    assert redis_sink.current_build(client) == "2"
    assert not client.keys("lb:1:*")
    assert client.get(redis_key("2", "left:behind")) is None
    exchange.place(2, Side.BUY, 6_000_000, 9)
    go_on(exchange, sink, live)
    model = DictSink()
    feed(exchange, model)
    for key, cells in model.cells.items():
        found = client.hgetall(redis_key("2", key))
        assert {k.decode(): v.decode() for k, v in found.items()} == cells, key
    assert not client.keys("lb:1:*")


def test_progress_ends_at_the_whole():
    exchange = busy_exchange(8, 50)
    progress = GrowingProgress(exchange, orders=0)
    rebuild_redis(FakeRedis(), ListLog(exchange.outboxes), SOURCES, progress)
    whole = sum(len(values) for values in exchange.outboxes().values())
    assert progress.told[0] == (0, whole)
    assert progress.told[-1] == (whole, whole)


@pytest.mark.parametrize("topic", ["ledger.ev", "matching.ev"])
def test_a_log_that_ends_in_repeated_records_is_read_to_its_end(topic):
    outboxes = busy_exchange(8, 50).outboxes()
    repeated = {**outboxes, topic: [*outboxes[topic], *outboxes[topic][-3:]]}
    client = FakeRedis()
    assert rebuild_redis(client, ListLog(lambda: repeated), SOURCES, lambda *_: None) == "2"


def test_a_view_of_a_log_that_lacks_a_record_is_not_served():
    outboxes = busy_exchange(8, 50).outboxes()
    lacking = {**outboxes, "ledger.ev": [*outboxes["ledger.ev"][:9], *outboxes["ledger.ev"][10:]]}
    client = FakeRedis()
    build = redis_sink.current_build(client)
    with pytest.raises(Refusal, match=r"ledger\.ev\.0 must have #10, has lost it"):
        rebuild_redis(client, ListLog(lambda: lacking), SOURCES, lambda *_: None)
    assert redis_sink.current_build(client) == build


def test_two_rebuilds_of_redis_do_not_run_at_once(client):
    log, refused = ListLog(busy_exchange(8, 50).outboxes), []

    def rebuild_too(_done, _total):
        with pytest.raises(Refusal, match="another one is running") as caught:
            rebuild_redis(client, log, SOURCES, lambda *_: None)
        refused.append(caught.value)

    assert rebuild_redis(client, log, SOURCES, rebuild_too) == "2"
    assert refused
    assert rebuild_redis(client, log, SOURCES, lambda *_: None) == "3"


@pytest.mark.parametrize("holder", [None, "another"])
def test_a_rebuild_that_lost_its_lock_is_not_switched_to(client, holder):
    log = ListLog(busy_exchange(8, 50).outboxes)

    def lose(done, total):
        if done == total:
            client.delete(REBUILD_LOCK)
            if holder:
                client.set(REBUILD_LOCK, holder)

    with pytest.raises(Refusal, match="must hold lb:rebuild to its end, has lost it"):
        rebuild_redis(client, log, SOURCES, lose)
    assert redis_sink.current_build(client) == "1"
    assert client.get(REBUILD_LOCK) == (holder.encode() if holder else None)


def test_a_lock_that_is_lost_right_before_the_switch_is_noticed_by_it(client, monkeypatch):
    command = client.execute_command

    def lose_before_the_switch(*words, **options):
        if BUILD_KEY in words and words[-1] == "2":
            command("SET", REBUILD_LOCK, "another")
        return command(*words, **options)

    monkeypatch.setattr(client, "execute_command", lose_before_the_switch)
    with pytest.raises(Refusal, match="must hold lb:rebuild to its end, has lost it"):
        rebuild_redis(client, ListLog(busy_exchange(8, 50).outboxes), SOURCES, lambda *_: None)
    assert redis_sink.current_build(client) == "1"
    assert client.get(REBUILD_LOCK) == b"another"


def test_a_rebuild_that_fails_lets_the_next_one_begin(client):
    log = ListLog(busy_exchange(8, 50).outboxes)

    def stop(_done, _total):
        raise rebuild_request.RebuildFailed("the process that rebuilds is stopping")

    with pytest.raises(rebuild_request.RebuildFailed):
        rebuild_redis(client, log, SOURCES, stop)
    assert rebuild_redis(client, log, SOURCES, lambda *_: None) == "2"


def test_what_killed_rebuilds_left_behind_is_removed(client):
    for build in ("0", "2", "11"):
        client.set(redis_key(build, "left:behind"), "by a rebuild that was killed")
    client.set(redis_key("1", "balances:1"), "of the current build")
    seen: list[set[bytes]] = []
    log = ListLog(busy_exchange(8, 50).outboxes)
    rebuild_redis(client, log, SOURCES, lambda *_: seen.append(set(client.keys("lb:*:*"))))
    assert seen[0] == {b"lb:1:balances:1"}
    assert redis_sink.other_builds(client) == []


def test_progress_is_told_in_lines_where_there_is_no_terminal(capsys):
    bar = ProgressBar()
    bar(1_500, 6_000)
    bar(1_600, 6_000)
    bar(6_000, 6_000)
    bar(6_000, 6_000)
    told = " 25 %  1,500 of 6,000 records\n100 %  6,000 of 6,000 records\n"
    assert capsys.readouterr().out == told


@pytest.fixture
def history(tmp_path) -> Iterator:
    client = clickhouse_client(f"chdb://{tmp_path}/store")
    yield client
    client.close()


def assert_whole(history, exchange):
    """Build 2 has each row that follows from the outboxes, once."""
    model = DictSink()
    feed(exchange, model)
    for table in ("trades", "orders", "fills", "ledger_entries"):
        found = history.query(f"SELECT count() FROM logbourse_2.{table} FINAL").result_rows
        assert found == [(len(model.rows[table]),)], table


def trade_before_the_flip(monkeypatch, exchange, sink, live):
    """Let the old build get ahead of the new one, right before readers get that."""
    flip = clickhouse_builds.flip

    def flip_late(client, build):
        for number in range(6):
            exchange.place(1 + number % 3, Side(number % 2), 6_000_000, 3)
        go_on(exchange, sink, live)
        flip(client, build)

    monkeypatch.setattr(clickhouse_builds, "flip", flip_late)


@pytest.mark.integration
def test_live_partitions_that_are_ahead_of_the_new_build_leave_no_hole_in_it(history, monkeypatch):
    """All partitions share a sink: each must go back to where the new build stands."""
    exchange = busy_exchange(9, 100)
    sink = ClickHouseSink(history)
    live = feed_live(exchange, sink)
    trade_before_the_flip(monkeypatch, exchange, sink, live)
    rebuild_clickhouse(history, ListLog(exchange.outboxes), SOURCES, lambda *_: None)
    exchange.place(2, Side.BUY, 6_000_000, 9)
    go_on(exchange, sink, live)
    assert_whole(history, exchange)


@pytest.mark.integration
def test_clickhouse_is_rebuilt_while_trading_goes_on(history):
    exchange = busy_exchange(9, 200)
    sink = ClickHouseSink(history)
    live = feed_live(exchange, sink)
    history.command("ALTER TABLE logbourse_1.trades DELETE WHERE trade_id < 10")
    progress = GrowingProgress(exchange)
    log = ListLog(exchange.outboxes)
    assert rebuild_clickhouse(history, log, SOURCES, progress) == "2"
    assert clickhouse_builds.current_build(history) == "2"
    exchange.place(2, Side.BUY, 6_000_000, 9)
    go_on(exchange, sink, live)
    assert_whole(history, exchange)
    names = {row[0] for row in history.query("SHOW DATABASES").result_rows}
    assert "logbourse_1" not in names


@pytest.mark.integration
def test_a_build_that_is_removed_under_a_live_apply_is_a_gap(history, monkeypatch):
    """Trading goes on in the moment between asking for the build and storing in it."""
    exchange, now_s = busy_exchange(9, 100), count(0.0, clickhouse_sink.ASK_BUILD_EVERY_S)
    sink = ClickHouseSink(history, monotonic_s=lambda: next(now_s))
    live = feed_live(exchange, sink)
    ask = clickhouse_builds.named_build

    def ask_early(client):
        monkeypatch.setattr(clickhouse_sink, "named_build", ask)
        found = ask(client)
        rebuild_clickhouse(history, ListLog(exchange.outboxes), SOURCES, lambda *_: None)
        return found

    exchange.place(2, Side.BUY, 6_000_000, 9)
    monkeypatch.setattr(clickhouse_sink, "named_build", ask_early)
    go_on(exchange, sink, live)
    assert_whole(history, exchange)


@pytest.mark.integration
def test_the_current_build_is_asked_for_once_a_second_and_then_obeyed(history, monkeypatch):
    exchange, now_s = busy_exchange(9, 100), [100.0]
    sink = ClickHouseSink(history, monotonic_s=lambda: now_s[0])
    live = feed_live(exchange, sink)
    named, asked = clickhouse_builds.named_build, []

    def counted(client):
        asked.append(now_s[0])
        return named(client)

    monkeypatch.setattr(clickhouse_sink, "named_build", counted)
    monkeypatch.setattr(clickhouse_builds, "remove_build", lambda *_: None)
    rebuild_clickhouse(history, ListLog(exchange.outboxes), SOURCES, lambda *_: None)
    for _ in range(4):
        exchange.place(2, Side.BUY, 6_000_000, 9)
        go_on(exchange, sink, live)
    assert asked == []
    now_s[0] += clickhouse_sink.ASK_BUILD_EVERY_S
    exchange.place(2, Side.BUY, 6_000_000, 9)
    go_on(exchange, sink, live)
    assert asked == [now_s[0]]
    assert_whole(history, exchange)


@pytest.mark.integration
def test_cells_of_the_replaced_build_are_not_stored_in_the_new_one(history, monkeypatch):
    """A partition that has loaded stores the cells of all; another's are still of the old build."""
    exchange, now_s = busy_exchange(9, 100), [100.0]
    sink = ClickHouseSink(history, monotonic_s=lambda: now_s[0])
    live = feed_live(exchange, sink)
    trade_before_the_flip(monkeypatch, exchange, sink, live)
    rebuild_clickhouse(history, ListLog(exchange.outboxes), SOURCES, lambda *_: None)
    exchange.place(2, Side.BUY, 6_000_000, 9)
    go_on(exchange, sink, {MATCHING_EVENTS: live[MATCHING_EVENTS]})
    now_s[0] += clickhouse_sink.REMEMBER_EVERY_S
    exchange.place(2, Side.BUY, 6_000_000, 9)
    go_on(exchange, sink, {MATCHING_EVENTS: live[MATCHING_EVENTS]})
    restarted = ClickHouseSink(history)
    go_on(exchange, restarted, feed_live(exchange, restarted))
    assert_whole(history, exchange)


@pytest.mark.integration
def test_a_build_in_use_that_fails_is_a_failure(history):
    exchange = busy_exchange(9, 100)
    sink = ClickHouseSink(history)
    live = feed_live(exchange, sink)
    history.command("DROP DATABASE logbourse_1 SYNC")
    exchange.place(2, Side.BUY, 6_000_000, 9)
    with pytest.raises(ClickHouseError, match="logbourse_1"):
        go_on(exchange, sink, live)
