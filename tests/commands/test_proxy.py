"""Everything that is not order entry reaches the query API unchanged, and comes back unchanged."""

import asyncio
import gzip

import pytest_asyncio
from aiohttp import ClientSession, TCPConnector, web
from aiohttp.test_utils import TestServer
from yarl import URL

from commands.proxy import Proxy
from commands.serve import build_gateway_app
from infra.http.app import serve_app
from infra.keys import open_keys
from infra.ports import any_port
from tests.commands.world import opened_world

MANY = 120


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "headers": {k.lower(): v for k, v in request.headers.items()},
            "body": body.decode(),
        },
        headers={"X-Log-Position": "ledger.ev.0@7", "Connection": "X-Hop", "X-Hop": "1"},
    )


async def packed(_request: web.Request) -> web.Response:
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    return web.Response(body=gzip.compress(b"hello" * 50_000), headers=headers, status=418)


@pytest_asyncio.fixture
async def world(tmp_path):
    all_at_once = asyncio.Barrier(MANY)

    async def held(_request: web.Request) -> web.Response:
        await all_at_once.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/held", held)
    app.router.add_get("/packed", packed)
    app.router.add_route("*", "/{path:.*}", echo)
    server = TestServer(app)
    await server.start_server()
    proxy = Proxy(str(server.make_url("/")))
    await proxy.start()
    async with opened_world(tmp_path, proxy=proxy) as opened:
        opened.queries, opened.proxy = server, proxy
        yield opened
    await proxy.stop()
    await server.close()


@pytest_asyncio.fixture
async def served_at(world, tmp_path):
    """The address of a gateway that is served as in production, not as tests are."""
    port = any_port("127.0.0.1")
    keys = open_keys(tmp_path / "other.key")
    app = build_gateway_app(world.side, keys, world.exchange.clock, world.proxy)
    runner = await serve_app(app, "127.0.0.1", port)
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_requests_are_passed_on_as_they_came(world):
    path = "/api/v3/klines?symbol=BTC%2FUSDT&x=%E2%82%AC+1&symbol=%5b%22A%22%5D"
    headers = {"X-MBX-APIKEY": "k", "X-Forwarded-For": "9.9.9.9", "Connection": "X-Drop"}
    headers["X-Drop"] = "1"
    answer = await world.gateway.get(URL(path, encoded=True), headers=headers)
    found = await answer.json()
    assert (found["method"], found["path"]) == ("GET", path)
    assert found["headers"]["x-mbx-apikey"] == "k"
    assert found["headers"]["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"
    assert "x-drop" not in found["headers"]
    assert answer.headers["X-Log-Position"] == "ledger.ev.0@7"
    assert "X-Hop" not in answer.headers


async def test_bodies_are_passed_on(world):
    answer = await world.gateway.post("/sapi/v1/x", data="a=1&b=2")
    assert (await answer.json())["body"] == "a=1&b=2"


async def test_packed_bodies_are_passed_on_packed(world, served_at):
    packed_body = gzip.compress(b"a=1&b=" + b"2" * 50_000)
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    async with ClientSession(served_at) as client:
        for _ in range(2):
            answer = await client.post("/sapi/v1/x", data=packed_body, headers=headers)
            found = await answer.json()
            assert found["body"] == "a=1&b=" + "2" * 50_000, "the query API alone unpacked it"
            assert found["headers"]["content-length"] == str(len(packed_body))


async def test_order_entry_unpacks_nothing(served_at):
    bomb = gzip.compress(b"a" * 10_000_000)
    async with ClientSession(served_at, headers={"Content-Encoding": "gzip"}) as client:
        answer = await client.post("/api/v3/order", data=bomb)
        assert (answer.status, (await answer.json())["code"]) == (400, -1100)


async def test_answers_keep_their_status_and_encoding(world):
    answer = await world.gateway.get("/packed")
    assert answer.status == 418
    assert answer.headers["Content-Encoding"] == "gzip"
    assert await answer.text() == "hello" * 50_000


async def test_order_entry_itself_is_not_passed_on(world):
    answer = await world.gateway.post("/api/v3/order")
    assert (answer.status, (await answer.json())["code"]) == (401, -2014)
    answer = await world.gateway.get("/api/v3/order?symbol=X")
    assert (await answer.json())["path"] == "/api/v3/order?symbol=X"


async def test_a_query_api_that_is_away_is_a_503(world):
    await world.queries.close()
    answer = await world.gateway.get("/api/v3/time")
    assert (answer.status, (await answer.json())["code"]) == (503, -1008)


async def test_many_reads_are_held_at_once(world):
    async with (
        asyncio.timeout(5),
        ClientSession(world.gateway.make_url("/"), connector=TCPConnector(limit=0)) as client,
    ):
        answers = await asyncio.gather(*(client.get("/held") for _ in range(MANY)))
    assert {answer.status for answer in answers} == {200}
