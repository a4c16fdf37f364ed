"""An Idempotency-Key is one order of one account, through whichever API key or gateway."""

import asyncio
from dataclasses import replace

from domain.orders.messages import PlaceOrder
from tests.commands.world import LIMIT

KEY = {"Idempotency-Key": "order-1"}


async def test_one_idempotency_key_is_one_order(world, alice):
    order = LIMIT
    key = KEY
    status, first, _ = await alice.send("POST", "/x/v1/orders", body=alice.signed(**order), **key)
    assert (status, first["replayed"]) == (200, False)
    assert first["meta"]["position"].startswith("ledger.ev.")
    world.exchange.clock.us += 1_000_000
    world.exchange.tick()
    status, again, _ = await alice.send("POST", "/x/v1/orders", body=alice.signed(**order), **key)
    assert (status, again["replayed"]) == (200, True)
    assert again["order"] == first["order"]
    other = alice.signed(**order | {"quantity": "0.2"})
    status, found, _ = await alice.send("POST", "/x/v1/orders", body=other, **key)
    assert (status, found["code"]) == (409, -2010)
    status, found, _ = await alice.send("POST", "/x/v1/orders", body=other)
    assert (status, found["code"]) == (400, -1100)


async def test_an_idempotency_key_is_the_accounts_whichever_api_key_signs(world, alice):
    order, key = LIMIT, KEY
    _, first, _ = await alice.send("POST", "/x/v1/orders", body=alice.signed(**order), **key)
    other = await world.operate("create-api-key", userId=alice.user_id)
    alice.api_key, alice.secret = other["apiKey"], other["secretKey"]
    status, again, _ = await alice.send("POST", "/x/v1/orders", body=alice.signed(**order), **key)
    assert (status, again["replayed"]) == (200, True)
    assert again["order"] == first["order"]
    bob = await world.add_user("bob", USDT="1000000")
    status, found, _ = await bob.send("POST", "/x/v1/orders", body=bob.signed(**order), **key)
    assert (status, found["replayed"]) == (200, False), "another account's keys are its own"


async def test_the_answer_has_the_form_that_is_wished(world, alice):
    """However short, it comes when the book has reported, and a repetition may wish for another."""
    await alice.limit("SELL", "59000", "0.1")

    async def placed(**wish):
        body = alice.signed(**LIMIT, **wish)
        status, found, _ = await alice.send("POST", "/x/v1/orders", body=body, **KEY)
        assert status == 200, found
        return found["order"]

    ack, result = await placed(newOrderRespType="ACK"), await placed(newOrderRespType="RESULT")
    full = await placed(newOrderRespType="FULL")
    assert set(ack) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    assert (result["status"], "fills" in result) == ("FILLED", False)
    assert len(full["fills"]) == 1
    assert await placed() == full


async def test_a_bad_form_of_the_answer_is_refused_and_nothing_placed(world, alice):
    before = len(world.exchange.records_in)
    body = alice.signed(**LIMIT, newOrderRespType="ALL")
    status, found, _ = await alice.send("POST", "/x/v1/orders", body=body, **KEY)
    msg = "Data sent for parameter 'newOrderRespType' is not valid."
    assert (status, found) == (400, {"code": -1130, "msg": msg})
    assert len(world.exchange.records_in) == before


async def test_a_key_that_is_forgotten_is_refused_while_its_order_is_open(world, alice):
    """What docs/decisions/0026 promises: without a client order id, the key decides it."""
    order, key = LIMIT, KEY
    await alice.send("POST", "/x/v1/orders", body=alice.signed(**order), **key)
    for shard in world.exchange.shards.values():
        shard.ran.clear()
    status, found, _ = await alice.send("POST", "/x/v1/orders", body=alice.signed(**order), **key)
    assert (status, found) == (400, {"code": -2010, "msg": "Duplicate order sent."})


async def test_of_two_gateways_at_once_each_tells_of_its_own_order_only(world, alice):
    """The other's comes first in the log: its outcome is there before this one's repetition."""
    for lots, status in ((2, 409), (1, 200)):
        world.exchange.held = []
        body, key = alice.signed(**LIMIT), {"Idempotency-Key": f"order-{lots}"}
        sent = asyncio.create_task(alice.send("POST", "/x/v1/orders", body=body, **key))
        await world.until_held(1)
        ((shard, source, time_us, (order,)),) = ours = world.exchange.held
        assert isinstance(order, PlaceOrder)
        world.exchange.held = [(shard, source, time_us, [replace(order, lots=order.lots * lots)])]
        world.exchange.release()
        world.exchange.held = ours
        world.exchange.release()
        found, answer, _ = await sent
        assert found == status
        assert status == 200 or answer["code"] == -2010
