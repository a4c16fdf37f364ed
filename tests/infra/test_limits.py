"""Request limits: who pays for what, who is banned, and who is forgotten."""

import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from domain.limits import Limits
from infra.http.app import Endpoint, Frame, build_app
from infra.http.errors import ApiError
from infra.http.limits import MINUTE_US, RequestLimits
from tests.infra.served import LIMITS, START_US, Clock, OpenDoor, served, show


async def test_what_cannot_be_read_weighs_something_too():
    async with served() as client:
        broken = [
            await client.get(URL("/show?a=%zz", encoded=True)),
            await client.get("/show?timeUnit=DAY"),
            await client.post("/show", data="a=1&a=2"),
            await client.post("/show", data=b"a=" + b"x" * 65_536),
            await client.get("/heavy?weight=lots"),
            await client.get(URL("/mine?a=%zz", encoded=True), headers={"X-MBX-APIKEY": "known"}),
        ]
        assert [answer.status for answer in broken] == [400, 400, 400, 413, 400, 400]
        weights = [answer.headers["X-MBX-USED-WEIGHT-1M"] for answer in broken]
        assert weights == ["1", "2", "3", "4", "5", "6"]


async def test_who_is_banned_hears_that_of_a_broken_request_too():
    async with served() as client:
        answers = [await client.get(URL("/show?a=%zz", encoded=True)) for _ in range(31)]
        assert [answer.status for answer in answers] == 10 * [400] + 20 * [429] + [418]
        for answer in (
            await client.post("/show", data=b"a=" + b"x" * 65_536),
            await client.get("/heavy?weight=lots"),
            await client.get("/show"),
        ):
            assert (answer.status, (await answer.json())["code"]) == (418, -1003)


async def test_a_slow_broken_body_does_not_bring_a_former_minute_back():
    clock = Clock()
    frame = Frame(OpenDoor(), RequestLimits(lambda: LIMITS), clock)

    async def slowly():
        yield b"a=%"
        clock.us += MINUTE_US
        frame.limits.charge("ip 127.0.0.1", 5, clock.us)
        yield b"zz"

    endpoint = Endpoint("POST", "/show", show)
    async with TestClient(TestServer(build_app(frame, [endpoint]))) as client:
        answer = await client.post("/show", data=slowly())
        assert (answer.status, answer.headers["X-MBX-USED-WEIGHT-1M"]) == (400, "6")


def test_bans_double_and_end():
    limits = RequestLimits(lambda: LIMITS)
    now_us = START_US
    waits = []
    for _ in range(3):
        for _ in range(40):
            try:
                limits.charge("key", 11, now_us)
            except ApiError as error:
                last = error
        assert last.status == 418
        waits.append(int(last.headers["Retry-After"]))
        now_us += waits[-1] * 1_000_000
    assert waits == [120, 240, 480]
    assert limits.charge("key", 1, now_us + 60_000_000) == 1
    assert limits.charge("other", 1, now_us) == 1


def test_raw_requests_are_limited_too():
    few = Limits(1, 1, request_weight_per_minute=1_000, raw_requests_per_5m=3)
    limits = RequestLimits(lambda: few)
    for _ in range(3):
        limits.charge("key", 1, START_US)
    with pytest.raises(ApiError, match="current limit is 3 requests per 5 MINUTE"):
        limits.charge("key", 1, START_US)
    assert limits.charge("key", 1, START_US + 5 * MINUTE_US) == 1


def test_idle_senders_are_forgotten():
    limits = RequestLimits(lambda: LIMITS)
    for number in range(1_000):
        limits.charge(f"ip {number}", 1, START_US)
    limits.charge("late", 1, START_US + 11 * MINUTE_US)
    assert len(limits._usage) == 1
