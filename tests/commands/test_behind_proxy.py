"""Behind a TLS proxy of this machine a client is whom that proxy names, and else its peer."""

import pytest
import pytest_asyncio

from tests.commands.socket_client import PATH, SocketClient
from tests.commands.test_reads import world_with_reads
from tests.commands.world import LIMIT

OWN, FOREIGN, FORGED = "8.8.8.8", "9.9.9.9", "8.8.8.8, 9.9.9.9"
OUTCOMES = [(OWN, 200), (FOREIGN, 401), (FORGED, 401), (None, 401)]


@pytest_asyncio.fixture
async def world(tmp_path):
    async with world_with_reads(tmp_path, behind_proxy=True) as opened:
        yield opened


@pytest_asyncio.fixture
async def alice(world):
    return await bound_user(world, OWN)


async def bound_user(world, address):
    """A user whose only key is bound to `address`."""
    user = await world.add_user("alice", USDT="1000000")
    await bind(world, user, address)
    return user


async def bind(world, user, address):
    key = {"userId": user.user_id, "apiKey": user.api_key}
    await world.operate("restrict-api-key", **key, scopes=["READ", "TRADE"], ipAllowlist=[address])


def named(client):
    return {"X-Forwarded-For": client} if client else {}


@pytest.mark.parametrize(("client", "status"), OUTCOMES)
async def test_a_bound_key_orders_from_its_address_alone(alice, client, status):
    answer = await alice.send("POST", "/api/v3/order", body=alice.signed(**LIMIT), **named(client))
    assert answer[0] == status


@pytest.mark.parametrize(("client", "status"), OUTCOMES)
async def test_it_reads_from_its_address_alone(alice, client, status):
    query = alice.signed(symbol="BTCUSDT")
    answer = await alice.send("GET", "/api/v3/order", query, **named(client))
    assert answer[0] == status


@pytest.mark.parametrize(("client", "status"), OUTCOMES)
async def test_so_it_does_on_a_web_socket(world, alice, client, status):
    async with world.gateway.ws_connect(PATH, headers=named(client)) as socket:
        caller = SocketClient(socket, alice)
        placed = await caller.ask("order.place", **caller.signed(**LIMIT))
        read = await caller.ask("order.status", **caller.signed(symbol="BTCUSDT"))
        session = await caller.ask("session.logon", **caller.signed())
    assert [each["status"] for each in (placed, read, session)] == 3 * [status]


async def test_weight_counts_by_the_address_that_is_named(world):
    for method, each in (("POST", 1), ("GET", 4)):
        used = []
        for client in (OWN, OWN, FOREIGN, FORGED):
            answer = await world.gateway.request(method, "/api/v3/order", headers=named(client))
            assert answer.status == 401
            used.append(int(answer.headers["X-MBX-USED-WEIGHT-1M"]))
        assert used == [each, 2 * each, each, 2 * each]


async def test_without_the_setting_nobody_is_believed(tmp_path):
    async with world_with_reads(tmp_path, behind_proxy=False) as world:
        user = await bound_user(world, OWN)
        for method, path in (("POST", "/api/v3/order"), ("GET", "/api/v3/order")):
            answer = await user.send(method, path, user.signed(**LIMIT), **named(OWN))
            assert answer[0] == 401
        await bind(world, user, "127.0.0.1")
        answer = await user.send("POST", "/api/v3/order", user.signed(**LIMIT), **named(OWN))
        assert answer[0] == 200
        answer = await user.send("GET", "/api/v3/order", user.signed(symbol="X"), **named(OWN))
        assert answer[0] == 200
