"""What was sent before a market's lot and tick changed, sent again: the first answer, unchanged."""

import pytest

from tests.commands.test_batches import send

ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "price": "60000",
    "quantity": "0.5",
}
FINER_LOTS = {"quantityStep": "0.000001", "priceStep": "0.1", "minPrice": "0.1"}
COARSER_LOTS = {"quantityStep": "0.001", "priceStep": "0.001", "minQuantity": "0.001"}
PRICE_FILTER = {"code": -1013, "msg": "Filter failure: PRICE_FILTER"}


async def change_steps(world, steps=FINER_LOTS) -> None:
    """A second later; one more passes until the market trades again."""
    later(world, 1)
    await world.operate("halt-market", symbol="BTCUSDT")
    await world.operate("change-market-rules", symbol="BTCUSDT", referencePrice="60000", **steps)
    later(world, 1)
    await world.operate("resume-market", symbol="BTCUSDT")


def later(world, seconds: int) -> None:
    world.exchange.clock.us += seconds * 1_000_000
    world.exchange.tick()


@pytest.fixture(params=[FINER_LOTS, COARSER_LOTS], ids=["finer", "coarser"])
def steps(request):
    return request.param


@pytest.mark.parametrize("response_type", ["RESULT", "FULL"])
async def test_a_filled_order_has_the_same_numbers(world, alice, steps, response_type):
    bob = await world.add_user("bob", BTC="10")
    await bob.limit("SELL", "60000", "0.5")
    body = alice.signed(**ORDER, newOrderRespType=response_type)
    first = await alice.send("POST", "/api/v3/order", body=body)
    assert (first[1]["price"], first[1]["executedQty"]) == ("60000.00000000", "0.50000000")
    await change_steps(world, steps)
    again = await alice.send("POST", "/api/v3/order", body=body)
    assert again[:2] == first[:2]
    assert (await alice.limit("BUY", "50000.1", "0.125"))["origQty"] == "0.12500000"


@pytest.mark.parametrize(
    ("steps", "numbers"),
    [
        (FINER_LOTS, {"price": "60000.05"}),
        (COARSER_LOTS, {"quantity": "0.50001"}),
        (COARSER_LOTS, {"type": "MARKET", "quantity": "0.50001"}),
    ],
)
async def test_numbers_off_the_new_steps_are_found_again_and_no_new_order(
    world, alice, steps, numbers
):
    bob = await world.add_user("bob", BTC="10")
    order = ORDER | numbers
    await bob.limit("SELL", "60000", order["quantity"])
    if order["type"] == "MARKET":
        order = {name: order[name] for name in order if name not in ("price", "timeInForce")}
    body = alice.signed(**order, recvWindow=60_000)
    first = await alice.send("POST", "/api/v3/order", body=body)
    assert first[1]["status"] == "FILLED"
    await change_steps(world, steps)
    again = await alice.send("POST", "/api/v3/order", body=body)
    assert again[:2] == first[:2]
    new = alice.signed(**order)
    for _ in range(2):
        status, found, _ = await alice.send("POST", "/api/v3/order", body=new)
        assert (status, found["code"], found["msg"][:15]) == (400, -1013, "Filter failure:")
    before = len(world.exchange.records_in)
    assert (await alice.try_order(**order))[1] == found, "a test order is by the rules there are"
    later(world, 200)
    assert await alice.order(**order) == (400, found)
    assert len(world.exchange.records_in) == before, "no answer is remembered for so long"


async def test_each_order_of_a_batch_gets_its_first_answer(world, alice):
    orders = [ORDER, ORDER | {"price": "59999.99"}, ORDER | {"price": "59999.999"}]
    query = f"timestamp={world.now_ms}"
    first = await send(alice, orders, query)
    assert [order.get("price") for order in first[1]["orders"]] == [
        "60000.00000000",
        "59999.99000000",
        None,
    ]
    await world.operate("cancel-orders", userId=alice.user_id, symbol="BTCUSDT")
    await change_steps(world)
    again = await send(alice, orders, query)
    assert again[1]["orders"] == first[1]["orders"]


@pytest.mark.parametrize("price", ["59000", "59000.05"])
async def test_an_idempotency_key_still_names_the_same_order(world, alice, price):
    order, key = ORDER | {"price": price}, {"Idempotency-Key": "order-1"}

    async def placed(**changes):
        body = alice.signed(**order | changes)
        return await alice.send("POST", "/x/v1/orders", body=body, **key)

    _, first, _ = await placed()
    await world.operate("cancel-orders", userId=alice.user_id, symbol="BTCUSDT")
    await change_steps(world)
    status, again, _ = await placed()
    assert (status, again["order"], again["replayed"]) == (200, first["order"], True)
    for other in ({"price": "5900"}, {"quantity": "0.05"}, {"quantity": "5"}):
        status, found, _ = await placed(**other)
        assert (status, found["code"]) == (409, -2010)


@pytest.mark.parametrize("path", ["/api/v3/order", "/api/v3/openOrders"])
async def test_a_cancel_has_the_same_numbers(world, alice, path):
    await alice.limit("BUY", "59000", "0.5", newClientOrderId="mine")
    name = {"origClientOrderId": "mine"} if path == "/api/v3/order" else {}
    query = alice.signed(symbol="BTCUSDT", recvWindow=60_000, **name)
    first = await alice.send("DELETE", path, query)
    await change_steps(world)
    again = await alice.send("DELETE", path, query)
    assert again[:2] == first[:2]
    assert "59000.00000000" in str(first[1])
    await alice.limit("BUY", "58000", "0.5", newClientOrderId="new")
    name = dict.fromkeys(name, "new")
    query = alice.signed(symbol="BTCUSDT", recvWindow=60_000, **name)
    first = await alice.send("DELETE", path, query)
    assert "58000.00000000" in str(first[1])
    again = await alice.send("DELETE", path, query)
    assert again[:2] == first[:2]


async def test_numbers_in_rules_that_are_not_known_are_not_told(world, alice):
    """Not kept any more, or not read yet: the client must look the order up."""
    body = alice.signed(**ORDER)
    first = await alice.send("POST", "/api/v3/order", body=body)
    await world.operate("cancel-orders", userId=alice.user_id, symbol="BTCUSDT")
    await change_steps(world)
    market = world.side.follower.reference.market("BTCUSDT")
    market.former, former = (), market.former
    status, found, _ = await alice.send("POST", "/api/v3/order", body=body)
    assert (status, found["code"]) == (503, -1007)
    market.former = former
    assert (await alice.send("POST", "/api/v3/order", body=body))[:2] == first[:2]
