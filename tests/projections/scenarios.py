"""Random lives of the small exchange, for hypothesis, and ways to feed them to a sink."""

from collections.abc import Iterable, Sequence
from random import Random

from hypothesis import strategies as st

from domain.accounts.messages import AssetListed
from domain.orders.messages import Side
from projections.follower import Follower, RawRecord, offer_all
from projections.sink import Sink
from schemas.record import decode_record
from tests.projections.small_exchange import Outbox, SmallExchange

_price = st.integers(5_999_990, 6_000_010)
_steps = st.one_of(
    st.tuples(
        st.just("place"),
        st.integers(1, 3),
        st.sampled_from([Side.BUY, Side.SELL]),
        _price,
        st.integers(1, 50),
    ),
    st.tuples(st.just("cancel"), st.integers(1, 40)),
    st.tuples(st.just("tick"), st.sampled_from([1, 7, 61, 3_600, 90_000])),
)


@st.composite
def exchanges(draw: st.DrawFn) -> SmallExchange:
    """An exchange after up to 40 random steps, days apart at most."""
    exchange = SmallExchange(users=3)
    for name, *arguments in draw(st.lists(_steps, max_size=40)):
        getattr(exchange, name)(*arguments)
    return exchange


def busy_exchange(seed: int, steps: int) -> SmallExchange:
    """An exchange after `steps` random steps, most of them orders."""
    random, exchange = Random(seed), SmallExchange(users=3)
    for _ in range(steps):
        dice = random.random()
        if dice < 0.1:
            exchange.tick(random.randint(1, 30))
        elif dice < 0.3:
            exchange.cancel(random.randint(1, exchange.next_order + 1))
        else:
            side = random.choice([Side.BUY, Side.SELL])
            price = 6_000_000 + random.randint(-20, 20)
            exchange.place(random.randint(1, 3), side, price, random.randint(1, 500))
    return exchange


def assets_told(exchange: SmallExchange, told: Iterable[tuple[AssetListed, int]]) -> Outbox:
    """The ledger's outbox again, with assets before which of its other records one likes.

    Its own first record, which tells of both, is left out.
    """
    records = [decode_record(value) for value in exchange.ledger.values[1:]]
    outbox, waiting = Outbox("L0"), sorted(told, key=lambda each: each[1])
    for number, record in enumerate(records):
        while waiting and waiting[0][1] <= number:
            outbox.write(record.time_us, waiting.pop(0)[0])
        outbox.write(record.time_us, *record.messages)
    for asset, _ in waiting:
        outbox.write(records[-1].time_us, asset)
    return outbox


def raw(values: Sequence[bytes]) -> list[RawRecord]:
    """The records at the offsets they have in an outbox."""
    return [RawRecord(offset, value) for offset, value in enumerate(values)]


def offer(sink: Sink, follower: Follower, records: Sequence[RawRecord]) -> int | None:
    """Offer one partition's records; returns where to read on if that is not the next offset."""
    return offer_all(sink, {follower: records}).get(follower)


def feed(exchange: SmallExchange, sink: Sink, step: int = 7) -> None:
    """Give a sink everything that the outboxes hold, `step` records at a time."""
    for topic, values in exchange.outboxes().items():
        follower = Follower(topic, 0, sink)
        records = raw(values)[follower.load() :]
        for start in range(0, len(records), step):
            assert offer(sink, follower, records[start : start + step]) is None
