"""Clients of the gateways: what they ask, what they are told, and how they ask again."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlencode

from commands.authentication import keyed_command_id, signed_command_id
from tests.simulation.gateway import Answer, Gateway, Signed
from tests.simulation.world import World

RETRIED = (-1007, -1008, -1003)
"""Codes after which a client sends the same bytes again."""

NOT_THERE = (-1008, -1003, -1021)
"""Codes that say that the bytes of this attempt have had no effect, and will have none."""

MS = 1_000
PATIENCE_US = 1_000_000
"""Longer than answers take, unless something went wrong; shorter than the gateway's own."""

LULL_US = 40_000
"""At most so long they look on where nobody else has anything to do."""

WINDOWS_MS: Sequence[int] = (100, 1_000, 5_000, 5_000, 60_000)
PATIENT_MS = (60_000,)
WEARINESS = 0.3
"""How likely it is that they take a refusal for the last word."""

TRIES = 12


@dataclass
class Attempt:
    """One sending of a request; `answer` is None as long as there is none, or for ever."""

    sent_us: int
    answer: Answer | None = None
    reached: bool = True
    given_up: bool = False


@dataclass
class Request:
    """Signed bytes, and all that became of them as far as their sender knows."""

    signed: Signed
    command_id: bytes
    deadline_us: int
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def under_way(self) -> bool:
        """Whether an answer may come yet."""
        last = self.attempts[-1] if self.attempts else None
        return last is not None and last.reached and last.answer is None and not last.given_up

    def settled(self) -> list[Answer]:
        """The answers that say what became of it."""
        answers = [attempt.answer for attempt in self.attempts]
        return [a for a in answers if a is not None and a.code not in (*RETRIED, *NOT_THERE)]

    def surely_absent(self) -> bool:
        """Whether each attempt was told that it had no effect, or reached nobody."""
        return all(
            not attempt.reached or (attempt.answer is not None and attempt.answer.code in NOT_THERE)
            for attempt in self.attempts
        )


class Clients:
    """A few traders who know that answers get lost. Their record is the oracle."""

    def __init__(
        self,
        world: World,
        gateways: Sequence[Gateway],
        symbols: Sequence[str],
        users: Sequence[int],
    ) -> None:
        self.record: list[Request] = []
        self._world = world
        self._rng = random.Random(world.faults.rng.random())
        self._gateways = gateways
        self._symbols = symbols
        self._windows_ms = WINDOWS_MS
        self._weariness = WEARINESS
        self._open: dict[int, Request] = {}
        self._wishes: dict[int, int] = dict.fromkeys(users, 0)
        self._names: dict[int, list[str]] = {user: [] for user in self._wishes}

    def wish(self, requests: int) -> None:
        """Let each of them want so many things more."""
        for user in self._wishes:
            self._wishes[user] += requests

    def be_patient(self) -> None:
        """From now on they wait, and ask until they are told what became of it."""
        self._windows_ms, self._weariness = PATIENT_MS, 0.0

    def busy(self) -> bool:
        """Whether somebody waits, or wants something."""
        return bool(self._open) or any(self._wishes.values())

    def turn(self) -> None:
        """Somebody looks for an answer, or sends something."""
        user = self._rng.choice(list(self._wishes))
        request = self._open.get(user)
        if request is None:
            self._begin(user)
        elif request.under_way:
            self._wait(request)
        elif not self._is_over(request) or self._world.faults.strikes("request repeated"):
            self._send(request)
        else:
            self._world.faults.happened["request answered"] += bool(request.settled())
            del self._open[user]

    def _begin(self, user: int) -> None:
        if self._wishes[user]:
            self._wishes[user] -= 1
            self._open[user] = request = self._request(user)
            self.record.append(request)
            self._send(request)

    def _wait(self, request: Request) -> None:
        attempt = request.attempts[-1]
        waited_us = self._world.clock.now_us() - attempt.sent_us
        if waited_us > PATIENCE_US or self._world.faults.strikes("client impatient"):
            attempt.given_up = True
        elif self._world.awaits_time(self):
            self._world.clock.elapsed_us += int(self._rng.random() * LULL_US)

    def _is_over(self, request: Request) -> bool:
        last = request.attempts[-1]
        code = last.answer.code if last.answer is not None else -1007
        if code not in RETRIED or (code in NOT_THERE and self._rng.random() < self._weariness):
            return True
        return len(request.attempts) >= TRIES and self._world.faults.rng.random() < 0.5

    def _send(self, request: Request) -> None:
        attempt = Attempt(self._world.clock.now_us())
        request.attempts.append(attempt)
        gateway = self._rng.choice(self._gateways)
        signed = request.signed
        self._tell(f"user {signed.user_id} asks for {signed.endpoint} {signed.payload.decode()}")
        attempt.reached = gateway.serve(signed, partial(self._take, attempt, signed))

    def _take(self, attempt: Attempt, signed: Signed, answer: Answer) -> None:
        """A gateway's word, unless nobody listens any more."""
        if not attempt.given_up:
            attempt.answer = answer
            self._tell(f"user {signed.user_id} is told {answer.status} {answer.code} {answer.text}")

    def _tell(self, line: str) -> None:
        if self._world.faults.tell is not None:
            self._world.faults.tell(f"    {line}")

    def _request(self, user: int) -> Request:
        values, endpoint = self._values(user)
        window_ms = self._rng.choice(self._windows_ms)
        now_ms = self._world.clock.now_us() // MS
        values |= {"timestamp": str(now_ms), "recvWindow": str(window_ms)}
        payload, named = urlencode(values).encode(), values.get("newClientOrderId", "")
        native = endpoint == "place_native"
        signed = Signed(endpoint, user, payload, {"Idempotency-Key": named} if native else {})
        if native:
            command_id = keyed_command_id(user, named)
        else:
            command_id = signed_command_id(signed.api_key, payload)
        return Request(signed, command_id, (now_ms + window_ms) * MS)

    def _values(self, user: int) -> tuple[dict[str, str], str]:
        rng, names = self._rng, self._names[user]
        kind = rng.random()
        symbol = rng.choice(self._symbols)
        # What is wanted twice must be told apart by its bytes.
        serial = {"newClientOrderId": f"r{len(self.record)}"}
        if kind < 0.2 and names:
            old = rng.choice(names)
            return {"symbol": symbol, "origClientOrderId": old} | serial, "cancel"
        if kind < 0.28:
            return {"symbol": symbol}, "cancel_all"
        names.append(serial["newClientOrderId"])
        values, endpoint = self._order(symbol) | serial, "place"
        if kind < 0.4:
            # Such a request is known by its key, and always told in full.
            del values["newOrderRespType"]
            endpoint = "place_native"
        return values, endpoint

    def _order(self, symbol: str) -> dict[str, str]:
        rng = self._rng
        values = {"symbol": symbol, "side": rng.choice(("BUY", "SELL"))}
        values["newOrderRespType"] = rng.choice(("ACK", "RESULT", "FULL", "FULL"))
        values["quantity"] = rng.choice(("0.00001", "0.00005", "0.0002", "0.001"))
        form = rng.random()
        if form < 0.15:
            return values | {"type": "MARKET"}
        values["price"] = f"{rng.randint(95, 105) / 100:.2f}"
        if form < 0.3:
            return values | {"type": "LIMIT_MAKER"}
        lasting = rng.choice(("GTC", "GTC", "GTC", "IOC", "FOK"))
        return values | {"type": "LIMIT", "timeInForce": lasting}
