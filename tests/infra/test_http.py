"""The HTTP frame: parameters as sent and as meant, limits, headers, and errors without secrets."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import quote, urlencode

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from infra.http import errors, ws_api
from infra.http.app import Call, Frame, build_app, serve_app
from infra.http.errors import ApiError
from infra.http.limits import RequestLimits
from infra.http.parameters import parse_parameters
from infra.metrics import REGISTRY
from infra.ports import any_port
from infra.refusal import Refusal
from tests.infra.served import LIMITS, START_US, Clock, OpenDoor, served


async def test_every_answer_carries_weight_and_position():
    async with served() as client:
        answer = await client.get("/show")
        assert answer.headers["X-MBX-USED-WEIGHT"] == "1"
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "1"
        assert answer.headers["X-Log-Position"] == "ledger.ev.0@5"
        assert answer.headers["X-Extra"] == "1"
        assert answer.content_type == "application/json"
        answer = await client.get("/heavy?weight=7")
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "8"
        answer = await client.get("/heavy?weight=7")
        assert (answer.status, answer.headers["X-MBX-USED-WEIGHT-1M"]) == (429, "15")


async def test_a_frame_has_a_position_for_whoever_names_none():
    async with served(log_position=lambda: "ledger.ev.0@1") as client:
        answer = await client.get("/mine", headers={"X-MBX-APIKEY": "known"})
        assert answer.headers["X-Log-Position"] == "ledger.ev.0@1"


async def test_what_no_endpoint_answers_carries_weight_and_position_too():
    async def refuse(request: web.Request, ip: str) -> web.StreamResponse:
        raise errors.overloaded()

    async with served(log_position=lambda: "ledger.ev.0@1") as client:
        await client.get("/heavy?weight=7")
        answers = [
            await client.get("/nowhere"),
            await client.put("/show"),
            await client.post("/show", data="a=" + "b" * 70_000),
            await client.get("/break?secret=1"),
        ]
        assert [answer.status for answer in answers] == [404, 405, 413, 500]
        for answer in answers:
            assert answer.headers["X-MBX-USED-WEIGHT"] in ("7", "8", "9")
            assert answer.headers["X-Log-Position"] == "ledger.ev.0@1"
    async with served(log_position=lambda: "ledger.ev.0@1", fallback=refuse) as client:
        answer = await client.get("/elsewhere")
        assert (answer.status, answer.headers["X-Log-Position"]) == (503, "ledger.ev.0@1")


async def test_nothing_is_said_of_what_is_not_folded_yet():
    knows_log = False
    async with served(knows_log=lambda: knows_log) as client:
        for path in ("/mine", "/show"):
            answer = await client.get(path, headers={"X-MBX-APIKEY": "made long ago"})
            assert (answer.status, (await answer.json())["code"]) == (503, -1008)
        knows_log = True
        answer = await client.get("/mine", headers={"X-MBX-APIKEY": "made long ago"})
        assert (answer.status, (await answer.json())["code"]) == (401, -2015)


async def test_proved_keys_are_counted_by_key_and_all_else_by_address():
    async with served() as client:
        for key in ("unknown-1", "unknown-2", ""):
            answer = await client.get("/heavy?weight=3", headers={"X-MBX-APIKEY": key})
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "9"
        answer = await client.get("/mine", headers={"X-MBX-APIKEY": "known"})
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "1"
        answer = await client.get("/show", headers={"X-MBX-APIKEY": "known"})
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "10", "nobody proved the key here"


async def test_scopes():
    async with served() as client:
        key = {"X-MBX-APIKEY": "known"}
        assert await (await client.get("/mine", headers=key)).json() == {"user": 7}
        answer = await client.post("/trade", headers=key)
        assert (answer.status, (await answer.json())["code"]) == (401, -2015)
        answer = await client.get("/mine")
        assert answer.status == 401


async def test_time_units():
    async with served() as client:
        assert (await (await client.get("/show")).json())["at"] == START_US // 1_000
        unit = {"X-MBX-TIME-UNIT": "microsecond"}
        assert (await (await client.get("/show", headers=unit)).json())["at"] == START_US
        told = await client.get("/show?timeUnit=microsecond")
        assert (await told.json())["at"] == START_US
        told = await client.get("/show?timeUnit=MILLISECOND")
        assert (await told.json())["at"] == START_US // 1_000
        told = await client.get("/show?timeUnit=DAY")
        assert (await told.json())["code"] == -1130


@pytest.mark.parametrize(("behind", "ip"), [(False, "127.0.0.1"), (True, "8.8.8.8")])
async def test_a_forwarded_address_counts_behind_our_own_proxy_alone(behind, ip):
    async with served(behind_proxy=behind) as client:
        headers = {"X-Forwarded-For": "1.2.3.4, 8.8.8.8"}
        assert (await (await client.get("/show", headers=headers)).json())["ip"] == ip
        # Some proxies add a line of their own below the client's.
        lines = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-For", "8.8.8.8")]
        assert (await (await client.get("/show", headers=lines)).json())["ip"] == ip
        headers = {"X-Forwarded-For": "8.8.8.8, "}
        assert (await (await client.get("/show", headers=headers)).json())["ip"] == "127.0.0.1"


async def test_a_bug_is_an_unknown_error_and_tells_no_secret():
    with structlog.testing.capture_logs() as lines:
        async with served() as client:
            answer = await client.get("/break?secret=hunter2")
            assert answer.status == 500
            assert await answer.json() == {
                "code": -1000,
                "msg": "An unknown error occurred while processing the request.",
            }
    assert [line["error"] for line in lines] == ["RuntimeError"]
    assert "hunter2" not in str(lines)


async def test_answers_are_counted_by_endpoint_and_error_number():
    def counted(endpoint: str, status: int, code: int) -> float:
        labels = {"endpoint": endpoint, "status": str(status), "code": str(code)}
        return REGISTRY.get_sample_value("logbourse_http_answers_total", labels) or 0

    def faults() -> float:
        return REGISTRY.get_sample_value("logbourse_http_failures_total") or 0

    good, broken = counted("GET /show", 200, 0), faults()
    async with served() as client:
        await client.get("/show")
        refused = await client.get("/mine", headers={"X-MBX-APIKEY": "unknown"})
        code = (await refused.json())["code"]
        await client.get("/break?secret=1")
    assert counted("GET /show", 200, 0) == good + 1
    assert counted("GET /mine", refused.status, code) >= 1
    assert faults() == broken + 1


async def test_unknown_paths_methods_and_large_bodies():
    async with served() as client:
        answer = await client.get("/nothing")
        assert (answer.status, (await answer.json())["code"]) == (404, -1000)
        answer = await client.delete("/show")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")
        answer = await client.post("/show", data=b"a=" + b"x" * 65_536)
        assert (answer.status, (await answer.json())["code"]) == (413, -1101)


async def test_the_raw_query_reaches_the_parameters_as_it_was_sent():
    async with served() as client:
        url = URL("/show?a=%7e%2B+b&c=%e2%82%ac", encoded=True)
        values = (await (await client.get(url)).json())["values"]
        assert values == {"a": "~+ b", "c": "€"}


async def test_a_fallback_takes_what_no_endpoint_takes():
    async def fallback(request: web.Request, ip: str) -> web.StreamResponse:
        return web.json_response([request.method, request.path, ip])

    async with served(fallback=fallback) as client:
        assert await (await client.delete("/else")).json() == ["DELETE", "/else", "127.0.0.1"]
        assert (await client.get("/show")).headers["X-Extra"] == "1"


@asynccontextmanager
async def listening(port: int, *, share_port: bool):
    runner = await serve_app(web.Application(), "127.0.0.1", port, share_port=share_port)
    try:
        yield
    finally:
        await runner.cleanup()


async def test_who_reads_no_answers_does_not_keep_the_process_from_stopping(monkeypatch):
    monkeypatch.setattr(ws_api, "SHUTDOWN_S", 0.1)

    async def tell(_call: Call) -> str:
        return "x" * 1_000_000

    limits = replace(LIMITS, request_weight_per_minute=1_000)
    frame = Frame(OpenDoor(), RequestLimits(lambda: limits), Clock())
    api = ws_api.WsApi(frame, OpenDoor(), [ws_api.Method("tell", tell)])
    app = build_app(frame, [], sockets={"/ws": api.serve})
    async with TestClient(TestServer(app)) as client:
        socket = await client.ws_connect("/ws")
        for _ in range(50):
            await socket.send_str('{"id":1,"method":"tell"}')
        await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            await api.close(app)


async def test_a_port_is_shared_by_those_who_all_say_so():
    port = any_port("127.0.0.1")
    async with listening(port, share_port=True), listening(port, share_port=True):
        with pytest.raises(Refusal, match=f"^port {port} of 127.0.0.1 must be free, was not"):
            async with listening(port, share_port=False):
                raise AssertionError("a stranger got a port that others share")
    async with listening(port, share_port=False):
        with pytest.raises(Refusal):
            async with listening(port, share_port=True):
                raise AssertionError("a port was shared with who did not say so")


def test_the_query_wins_and_both_are_signed_in_their_order():
    parameters = parse_parameters(b"a=1&signature=s&b=2", b"b=3&c=4&signature=t")
    assert parameters.values == {"a": "1", "b": "2", "c": "4", "signature": "s"}
    assert parameters.signed_payload == b"a=1&b=2b=3&c=4"


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_whatever_is_encoded_is_decoded(values):
    assert parse_parameters(urlencode(values).encode()).values == values
    assert parse_parameters(urlencode(values, quote_via=quote).encode()).values == values


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9=._-]+", fullmatch=True), st.text("ab1=._-ü")))
def test_what_needs_no_encoding_means_the_same_with_it(values):
    plain = "&".join(f"{name.replace('=', '')}={text}" for name, text in values.items())
    every = "".join(c if c in "=&" else "".join(f"%{b:02x}" for b in c.encode()) for c in plain)
    assert outcome(plain) == outcome(every)


def outcome(text: str) -> object:
    try:
        return parse_parameters(text.encode()).values
    except ApiError as error:
        return error.code, error.msg


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_parameters_or_a_numbered_error(query, body):
    codes = set()
    try:
        parameters = parse_parameters(query, body)
        assert b"signature=" not in parameters.signed_payload.split(b"&")
    except ApiError as error:
        codes.add(error.code)
    assert codes <= {-1100, -1101}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("n=", -1105),
        ("", -1102),
        ("n=x", -1100),
        ("n=-1", -1100),
        ("n=1.0", -1100),
        ("n=٣", -1100),
        ("n=11", -1130),
        ("n=0", -1130),
        ("n=" + "9" * 20, -1100),
    ],
)
def test_whole_numbers(query, code):
    parameters = parse_parameters(urlencode([tuple(query.split("="))]).encode() if query else b"")
    with pytest.raises(ApiError) as caught:
        parameters.integer("n", 1, 10)
    assert caught.value.code == code


def test_flags_and_forms():
    parameters = parse_parameters(b"a=TRUE&b=false&c=yes")
    assert parameters.flag("a")
    assert not parameters.flag("b", default=True)
    assert parameters.flag("d", default=True)
    with pytest.raises(ApiError, match="Data sent for parameter 'c' is not valid"):
        parameters.flag("c")
    assert parameters.matching("b", "^[a-z]+$") == "false"
    with pytest.raises(ApiError, match="legal range"):
        parameters.matching("a", "^[a-z]+$")
