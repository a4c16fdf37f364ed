"""A sink for history that ends its process at an insert, and a feed that goes on in the next."""

from itertools import count

from infra.clickhouse import ClickHouseClient
from projections.clickhouse_sink import ClickHouseSink
from projections.follower import Follower, offer_all
from projections.layout import NOWHERE, Position
from tests.projections.dict_sink import Crash
from tests.projections.scenarios import raw
from tests.projections.small_exchange import SmallExchange

STEP = 40
INSERTS = 18
"""About as many as two applies have."""


class CrashingSink(ClickHouseSink):
    """Ends its process before or after the insert whose number comes up."""

    crash_at = -1
    crash_after_insert = False

    def _insert(self, table, rows):
        self.crash_at -= 1
        if self.crash_at == 0 and not self.crash_after_insert:
            raise Crash(table)
        super()._insert(table, rows)
        if self.crash_at == 0:
            raise Crash(table)


def live_and_die(
    client: ClickHouseClient,
    build: str,
    exchange: SmallExchange,
    *,
    after_insert: bool,
    call_s: float,
) -> None:
    """Feed it in processes that end at one insert after the other, until all is stored.

    The clock goes on by `call_s` whenever it is asked, so that cells are stored now and then.
    """
    crash_at, left = 1, True
    reached: dict[str, Position] = {}
    while left:
        sink = CrashingSink(client, build, monotonic_s=count(100.0, call_s).__next__)
        followers = {topic: Follower(topic, 0, sink) for topic in exchange.outboxes()}
        at = {topic: follower.load() for topic, follower in followers.items()}
        for topic, follower in followers.items():
            assert follower.position >= reached.get(topic, NOWHERE)
        sink.crash_at, sink.crash_after_insert = crash_at, after_insert
        try:
            while left:
                offers = {
                    followers[topic]: raw(values)[at[topic] : at[topic] + STEP]
                    for topic, values in exchange.outboxes().items()
                }
                assert offer_all(sink, offers) == {}
                at = {topic: at[topic] + len(offers[followers[topic]]) for topic in at}
                reached = {topic: follower.position for topic, follower in followers.items()}
                left = any(at[topic] < len(v) for topic, v in exchange.outboxes().items())
        except Crash:
            crash_at = crash_at % INSERTS + 1
