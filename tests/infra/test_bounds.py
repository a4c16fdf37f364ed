"""What is bounded beside orders: connections, counted senders, records ahead of a slow loop."""

import asyncio
import json
import logging
import threading
from http.client import HTTPConnection

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from domain.limits import DEFAULT_LIMITS
from infra.clock import SystemClock
from infra.http import app as app_module
from infra.http import errors
from infra.http.app import LOG_POSITION, Call, Endpoint, Frame, build_app, serve_app
from infra.http.connections import FILES_PART, most_connections
from infra.http.limits import RequestLimits
from infra.http.metrics import count_malformed
from infra.http.parameters import Parameters
from infra.http.principal import Principal
from infra.http.ws_api import Method, WsApi
from infra.log import LogRecord
from infra.metrics import REGISTRY
from infra.ports import any_port
from infra.tail import BATCHES_AHEAD, Tail
from tests.benchmarks.web_socket import text_frame

NOW_US = 1_790_000_000_000_000


async def test_one_connection_too_many_is_told_to_come_again():
    port = any_port("127.0.0.1")
    app = web.Application()
    app[LOG_POSITION] = lambda: "ledger.ev.0@5"
    runner = await serve_app(app, "127.0.0.1", port, connections=2)
    open_ = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in head
    assert b"\r\nX-Log-Position: ledger.ev.0@5" in head
    assert json.loads(body)["code"] == -1008
    for _, each in open_:
        each.close()
        await each.wait_closed()
    writer.close()
    async with ClientSession() as session:
        await asyncio.sleep(0.05)
        answer = await session.get(f"http://127.0.0.1:{port}/")
        assert answer.status == 404, "who hung up has made room"
    await runner.cleanup()


MALFORMED = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET / HTTP/9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: hunter2\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGE<T / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("sent", MALFORMED)
async def test_what_is_no_http_is_counted_and_fills_no_log(caplog, sent):
    def counted() -> float:
        return REGISTRY.get_sample_value("logbourse_http_malformed_total") or 0.0

    port, before = any_port("127.0.0.1"), counted()
    runner = await serve_app(web.Application(), "127.0.0.1", port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert b" 400 Bad Request" in await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await runner.cleanup()
    assert counted() == before + 1
    assert not caplog.records


def test_what_is_our_fault_is_still_a_line(caplog):
    count_malformed()
    logging.getLogger("aiohttp.server").error("Unhandled exception", exc_info=ValueError("no"))
    assert [record.getMessage() for record in caplog.records] == ["Unhandled exception"]


async def test_who_sends_too_large_a_body_is_answered_on_a_connection_that_lives_on():
    async def take(call: Call) -> str:
        raise AssertionError("no body of this size is taken")

    frame = Frame(KnowsNobody(), RequestLimits(lambda: DEFAULT_LIMITS), SystemClock())
    port = any_port("127.0.0.1")
    runner = await serve_app(build_app(frame, [Endpoint("POST", "/take", take)]), "127.0.0.1", port)

    def send() -> list[tuple[int, int]]:
        connection = HTTPConnection("127.0.0.1", port)
        answers = []
        for _ in range(5):
            connection.request("POST", "/take", b"a=" + b"x" * 2_000_000)
            answer = connection.getresponse()
            answers.append((answer.status, json.loads(answer.read())["code"]))
        connection.close()
        return answers

    assert await asyncio.to_thread(send) == 5 * [(413, -1101)]
    await asyncio.sleep(0.1)  # the end would wait 5 s for the rest of a body
    await runner.cleanup()


async def test_who_sends_a_body_too_slowly_is_answered_charged_and_hung_up_on(monkeypatch):
    monkeypatch.setattr(app_module, "BODY_TIMEOUT_S", 0.05)

    async def take(call: Call) -> str:
        return call.parameters.text("a")

    frame = Frame(KnowsNobody(), RequestLimits(lambda: DEFAULT_LIMITS), SystemClock())
    async with TestServer(build_app(frame, [Endpoint("POST", "/take", take)])) as server:
        assert server.port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        request = b"POST /take HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\n"
        writer.write(request + b"a=11")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ") and await reader.readexactly(4) == b'"11"'
        writer.write(request + b"a=")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nConnection: close\r\n" in head
        assert b"\r\nX-MBX-USED-WEIGHT-1M: 2\r\n" in head
        # What comes now is read by nobody.
        writer.write(b"22" + request + b"a=33")
        error = json.loads(await reader.read())
        assert error["code"] == -1001
        writer.close()


async def test_an_idle_connection_is_closed_but_no_web_socket(monkeypatch):
    monkeypatch.setattr(app_module, "KEEPALIVE_S", 0.5)
    frame = Frame(KnowsNobody(), RequestLimits(lambda: DEFAULT_LIMITS), SystemClock())
    api = WsApi(frame, KnowsNobody(), [])
    app = build_app(frame, [], sockets={"/ws": api.serve}, on_shutdown=[api.close])
    port = any_port("127.0.0.1")
    runner = await serve_app(app, "127.0.0.1", port)
    answers, socket = await web_socket(port)
    reader, silent = await asyncio.open_connection("127.0.0.1", port)
    half_reader, half = await asyncio.open_connection("127.0.0.1", port)
    half.write(b"GET /nowhere HTTP/1.1\r\nHost:")
    async with asyncio.timeout(5):
        assert await reader.read() == await half_reader.read() == b""
    await asyncio.sleep(0.6)
    socket.write(text_frame('{"id":1,"method":"ping"}'))
    async with asyncio.timeout(5):
        await answers.readuntil(b'"status":200')
    for each in (socket, silent, half):
        each.close()
    await runner.cleanup()


def test_files_are_left_for_all_else(monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (1_024, 4_096))
    assert most_connections(100) == 100
    assert most_connections(5_000) == 1_024 // FILES_PART


async def test_who_sends_many_requests_at_once_does_not_keep_others_waiting():
    asked: list[str] = []

    async def note(call: Call) -> str:
        asked.append(call.parameters.text("who"))
        return ""

    frame = Frame(KnowsNobody(), RequestLimits(lambda: DEFAULT_LIMITS), SystemClock())
    api = WsApi(frame, KnowsNobody(), [Method("note", note)])
    app = build_app(frame, [], sockets={"/ws": api.serve}, on_shutdown=[api.close])
    async with TestServer(app) as server:
        assert server.port is not None
        (_, many), (answers, one) = [await web_socket(server.port) for _ in range(2)]
        # The server has no turn in between: both have sent before it reads.
        many.write(200 * text_frame('{"id":1,"method":"note","params":{"who":"many"}}'))
        one.write(text_frame('{"id":1,"method":"note","params":{"who":"one"}}'))
        await answers.read(1)
        many.close()
        one.close()
    assert asked.index("one") < 5


async def web_socket(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection after its handshake, on which bytes are written as they are."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


class KnowsNobody:
    """No API key is known; nothing asked for here needs one."""

    def knows(self, api_key: str) -> bool:
        return False

    def authenticate(
        self, api_key: str, parameters: Parameters, *, client_ip: str, now_us: int
    ) -> Principal:
        raise errors.api_key_refused()

    def resume(
        self, api_key: str, parameters: Parameters, *, client_ip: str, now_us: int
    ) -> Principal:
        raise errors.api_key_refused()


class EndlessLog:
    """Always has one more record."""

    def __init__(self) -> None:
        self.reads = 0

    def seek(self, topic: str, partition: int, offset: int) -> None:
        pass

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        self.reads += 1
        return [LogRecord("ledger.ev", 0, self.reads - 1, -1, b"")]

    def close(self) -> None:
        pass


async def test_a_slow_loop_is_not_buried_under_records():
    log, taken = EndlessLog(), threading.Event()
    offsets: list[int] = []

    def take(records):
        offsets.extend(each.offset for each in records)
        if len(offsets) >= 10:
            taken.set()

    def fail(error: Exception) -> None:
        raise AssertionError(error)

    tail = Tail(lambda: log, {("ledger.ev", 0): 0}, take, fail)  # type: ignore[arg-type, return-value]
    tail.start()
    # The loop stands still meanwhile, and takes nothing.
    assert not taken.wait(0.3)
    assert log.reads <= BATCHES_AHEAD
    while not taken.is_set():  # noqa: ASYNC110 - another thread brings what is looked at
        await asyncio.sleep(0.005)
    await tail.stop()
    assert offsets == list(range(len(offsets)))
