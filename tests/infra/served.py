"""A small application in the frame of both APIs, whose limits are low and whose clock stands."""

from aiohttp.test_utils import TestClient, TestServer

from domain.accounts.messages import Scope
from domain.limits import Limits
from infra.http import errors
from infra.http.app import Call, Endpoint, Frame, build_app
from infra.http.limits import MINUTE_US, RequestLimits
from infra.http.principal import Principal

LIMITS = Limits(100, 1_000, request_weight_per_minute=10, raw_requests_per_5m=1_000)
START_US = 1_790_000_040_000_000 // MINUTE_US * MINUTE_US


class Clock:
    us = START_US

    def now_us(self) -> int:
        return self.us

    def monotonic_s(self) -> float:
        return self.us / 1_000_000


class OpenDoor:
    """Knows the key "known" and lets it read."""

    def knows(self, api_key: str) -> bool:
        return api_key == "known"

    def authenticate(self, api_key, parameters, *, client_ip, now_us) -> Principal:
        if api_key != "known":
            raise errors.api_key_refused()
        return Principal(7, api_key, frozenset([Scope.READ]), now_us)

    def resume(self, api_key, parameters, *, client_ip, now_us) -> Principal:
        return self.authenticate(api_key, parameters, client_ip=client_ip, now_us=now_us)


async def show(call: Call):
    call.position = "ledger.ev.0@5"
    call.headers["X-Extra"] = "1"
    return {"ip": call.client_ip, "values": call.parameters.values, "at": call.time(START_US)}


async def break_down(call: Call):
    raise RuntimeError(f"the secret is {call.parameters.text('secret')}")


async def greet(call: Call):
    return {"user": call.sender.user_id}


def served(**options):
    frame = Frame(OpenDoor(), RequestLimits(lambda: LIMITS), Clock(), **options)
    endpoints = [
        Endpoint("GET", "/show", show),
        Endpoint("POST", "/show", show),
        Endpoint("GET", "/break", break_down),
        Endpoint("GET", "/heavy", show, lambda p: p.integer("weight")),
        Endpoint("GET", "/mine", greet, scope=Scope.READ),
        Endpoint("POST", "/trade", greet, scope=Scope.TRADE),
    ]
    return TestClient(TestServer(build_app(frame, endpoints)))
