"""Request limits: who pays for what, who is banned, and who is forgotten."""

import asyncio

import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from domain.limits import Limits
from infra.http import limits as limits_module
from infra.http.app import Endpoint, Frame, build_app, serve_app
from infra.http.errors import ApiError
from infra.http.limits import MINUTE_US, RequestLimits
from infra.metrics import REGISTRY
from infra.ports import any_port
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


async def test_who_hangs_up_amid_a_body_is_charged_and_no_fault_of_ours():
    def faults() -> float:
        return REGISTRY.get_sample_value("logbourse_http_failures_total") or 0

    before = faults()
    frame = Frame(OpenDoor(), RequestLimits(lambda: LIMITS), Clock())
    port = any_port("127.0.0.1")
    app = build_app(frame, [Endpoint("POST", "/show", show)])
    runner = await serve_app(app, "127.0.0.1", port)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /show HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\na=")
    await asyncio.sleep(0.1)
    writer.close()
    async with asyncio.timeout(5):
        while not frame.limits.used("ip 127.0.0.1", START_US):  # noqa: ASYNC110 - told by nobody
            await asyncio.sleep(0.01)
    await runner.cleanup()
    assert faults() == before


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
        limits.charge(f"key{number}", 1, START_US)
    limits.charge("late", 1, START_US + 11 * MINUTE_US)
    limits.charge("ip late", 1, START_US + 11 * MINUTE_US)
    assert len(limits._addresses) == len(limits._keys) == 1


def test_new_addresses_are_counted_together_where_too_many_are_known(monkeypatch):
    monkeypatch.setattr(limits_module, "MAX_ADDRESSES", 2)
    counts = RequestLimits(lambda: LIMITS)
    assert counts.charge("ip 1", 5, START_US) == counts.charge("ip 2", 5, START_US) == 5
    assert counts.charge("ip 3", 4, START_US) == 4
    assert counts.charge("ip 4", 4, START_US) == 8
    assert (counts.used("ip 4", START_US), counts.used("ip 5", START_US)) == (8, 8)
    assert counts.charge("ip 1", 5, START_US) == 10
    later_us = START_US + 2 * limits_module.FIVE_MINUTES_US
    assert counts.charge("ip 4", 5, later_us) == 5
    assert counts.charge("ip 5", 5, later_us) == 5


def test_who_proved_a_key_is_counted_apart_however_many_are_known(monkeypatch):
    monkeypatch.setattr(limits_module, "MAX_ADDRESSES", 1)
    counts = RequestLimits(lambda: LIMITS)
    for sender in ("ip 1", "ip 2", "ip 3", "key-1", "key-2", "key-3"):
        with pytest.raises(ApiError):
            counts.charge(sender, 11, START_US)
    assert counts.charge("key-4", 5, START_US) == 5


def test_who_is_counted_together_is_never_banned_together(monkeypatch):
    monkeypatch.setattr(limits_module, "MAX_ADDRESSES", 0)
    counts = RequestLimits(lambda: LIMITS)
    statuses = []
    for _ in range(3 * limits_module.STRIKES_BEFORE_BAN):
        with pytest.raises(ApiError) as caught:
            counts.charge("ip 1", 11, START_US)
        statuses.append(caught.value.status)
    assert set(statuses) == {429}
    assert counts.charge("ip 2", 5, START_US + MINUTE_US) == 5
