"""An operator takes a user's orders off the book: for whom does not, or may do nothing else."""

from domain.ledger.chart import held_account
from domain.orders.messages import CancelAllOrders
from schemas.record import decode_record
from tests.commands.world import MARKET, trading_world


def funds(world, user, code: str) -> tuple[int, int]:
    """What the user has available and held of an asset, in whole units."""
    asset = world.side.follower.reference.asset(code)
    balances = world.exchange.shards[f"L{user.user_id % 2}"].state.balances
    unit = 10**asset.decimals
    available = balances.available(user.user_id, asset.asset_id)
    held = balances.amount(asset.asset_id, held_account(user.user_id))
    return available // unit, held // unit


def on_the_books(world) -> int:
    """How many orders rest in all markets."""
    shards = [world.exchange.shards[name].state for name in ("M0", "M1")]
    return sum(len(market.book.orders) for state in shards for market in state.markets.values())


async def test_orders_of_a_disabled_user_are_canceled_and_their_funds_released(world, alice):
    bob = await world.add_user("bob", USDT="100000")
    await bob.limit("BUY", "40000", "1")
    await alice.limit("BUY", "50000", "2")
    await alice.limit("BUY", "49000", "1")
    await alice.limit("SELL", "70000", "3")
    assert (funds(world, alice, "USDT"), funds(world, alice, "BTC")) == ((851_000, 149_000), (7, 3))
    await world.operate("disable-user", userId=alice.user_id)
    answer = await world.operate("cancel-orders", userId=alice.user_id, symbol="BTCUSDT")
    assert answer["canceled"] == 3
    assert answer["position"].startswith(f"ledger.ev.{alice.user_id % 2}@")
    assert (funds(world, alice, "USDT"), funds(world, alice, "BTC")) == ((1_000_000, 0), (10, 0))
    assert (on_the_books(world), funds(world, bob, "USDT")) == (1, (60_000, 40_000))


async def test_orders_are_canceled_as_the_gateway_cancels_them(world, alice):
    """The ledger takes cancels from the gateway alone; the log shows the same command."""
    await alice.limit("BUY", "50000", "1")
    await world.operate("cancel-orders", userId=alice.user_id, symbol="BTCUSDT")
    shard, record, value = world.exchange.records_in[-1]
    (command,) = decode_record(value).messages
    assert (shard, record.src) == (f"L{alice.user_id % 2}", "gw")
    assert isinstance(command, CancelAllOrders)
    assert command.user_id == alice.user_id


async def test_other_markets_keep_their_orders(world, alice):
    await world.operate("list-market", **MARKET | {"symbol": "BTCUSDT2"})
    await alice.limit("BUY", "50000", "1")
    await alice.limit("BUY", "50000", "1", symbol="BTCUSDT2")
    cancel = {"userId": alice.user_id, "symbol": "BTCUSDT2"}
    assert (await world.operate("cancel-orders", **cancel))["canceled"] == 1
    assert funds(world, alice, "USDT") == (950_000, 50_000)


async def test_where_nothing_is_open_nothing_is_canceled(world, alice):
    cancel = {"userId": alice.user_id, "symbol": "BTCUSDT"}
    answer = await world.operate("cancel-orders", **cancel)
    assert answer["canceled"] == 0
    assert answer["position"].startswith(f"ledger.ev.{alice.user_id % 2}@")
    await alice.limit("BUY", "50000", "1")
    assert [(await world.operate("cancel-orders", **cancel))["canceled"] for _ in "ab"] == [1, 0]


async def test_a_user_or_a_symbol_that_is_not_known_is_named(world, alice):
    before = len(world.exchange.records_in)
    answer = await world.operate("cancel-orders", 400, userId=9_998, symbol="BTCUSDT")
    assert (answer["code"], answer["msg"]) == (-2010, "Refused: UNKNOWN_USER.")
    answer = await world.operate("cancel-orders", 400, userId=alice.user_id, symbol="ETHUSDT")
    assert (answer["code"], answer["msg"]) == (-1121, "Invalid symbol.")
    assert len(world.exchange.records_in) == before


async def test_a_market_is_emptied_before_its_steps_change(world, alice):
    bob = await world.add_user("bob", USDT="100000")
    for user in (alice, bob):
        await user.limit("BUY", "50000", "1")
    await world.operate("halt-market", symbol="BTCUSDT")
    change = {"symbol": "BTCUSDT", "quantityStep": "0.001", "priceStep": "0.1"}
    change |= {"referencePrice": "60000", "minPrice": "0.1", "minQuantity": "0.001"}
    answer = await world.operate("change-market-rules", 400, **change)
    assert answer["msg"] == "Refused: MARKET_NOT_EMPTY."
    for user in (alice, bob):
        await world.operate("cancel-orders", userId=user.user_id, symbol="BTCUSDT")
    await world.operate("change-market-rules", **change)
    await world.operate("resume-market", symbol="BTCUSDT")
    await alice.limit("BUY", "50000.1", "0.001")


async def test_a_shard_that_lags_or_is_silent_is_told(tmp_path):
    async with trading_world(tmp_path, timeout_s=0.2) as world:
        alice = await world.add_user("alice", USDT="100000")
        await alice.limit("BUY", "50000", "1")
        cancel = {"userId": alice.user_id, "symbol": "BTCUSDT"}
        world.exchange.held = []
        assert (await world.operate("cancel-orders", 503, **cancel))["code"] == -1007
        world.exchange.release()
        assert on_the_books(world) == 0
        world.exchange.clock.us += 60_000_000
        assert (await world.operate("cancel-orders", 503, **cancel))["code"] == -1008
