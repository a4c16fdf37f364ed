"""A gateway: the product's order entry and write side on a simulated loop, killed by the seed."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from commands.admission import Admission
from commands.authentication import check_time
from commands.gateway import OrderEntry
from commands.write_side import WriteSide, open_write_side
from domain.accounts.messages import Scope
from infra.appender import AppendRefused, AppendUnknown, Done
from infra.http import errors
from infra.http.app import Call
from infra.http.errors import ApiError
from infra.http.limits import RequestLimits
from infra.http.parameters import parse_parameters
from infra.http.principal import Principal
from infra.log import Log, LogFailure, LogRecord, Partition
from infra.settings import Settings
from tests.simulation.clocks import OwnClock
from tests.simulation.faults import Crash, Faults
from tests.simulation.log import SimLog
from tests.simulation.loop import SimLoop
from tests.simulation.world import World

SETTINGS = Settings()
APPEND_GIVES_UP_S = (0.02, 0.1, 0.4)
FAULTED = 500
"""The HTTP status of an answer where the gateway has met a fault of its own."""
API_KEY = "simulated-key-of-user-"


@dataclass(frozen=True)
class Answer:
    """What a client gets: the HTTP status, the error's code or 0, the JSON, and X-Log-Position."""

    status: int
    code: int
    text: str
    position: str = ""


@dataclass(frozen=True)
class Signed:
    """A request as it is signed: who sends which bytes to which endpoint."""

    endpoint: str
    user_id: int
    payload: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def api_key(self) -> str:
        return f"{API_KEY}{self.user_id}"


class Gateway:
    """One process of order entry, which forgets everything when it dies."""

    def __init__(self, world: World) -> None:
        self.clock = OwnClock(world.clock)
        self._world = world
        self._faults = world.faults
        self._stands_still = 0
        self._loop: SimLoop | None = None
        self._side: WriteSide | None = None
        self._entry: OrderEntry | None = None
        self._appender: SimAppender | None = None
        self._tails: list[SimTail] = []
        self._dying = False

    def turn(self) -> None:
        """Do what a process does for a moment, or start it again."""
        if self._stands_still:
            self._stands_still -= 1
            return
        self.clock.perhaps_jump(self._faults)
        if self._faults.strikes("frozen"):
            self._stands_still = self._faults.rng.randint(5, 80)
        try:
            self._work()
        except (Crash, LogFailure):
            self._dying = True
        if self._dying:
            self._world.crashes += 1
            self._kill()

    def busy(self) -> bool:
        """Whether it has to do with anything but time."""
        loop, appender = self._loop, self._appender
        if self._stands_still or loop is None or appender is None or self._entry is None:
            return True
        return not loop.idle() or appender.busy() or any(tail.busy() for tail in self._tails)

    def serve(self, signed: Signed, done: Callable[[Answer], None]) -> bool:
        """Take a request; False if nobody listens. `done` may never be called."""
        if self._loop is None or self._entry is None:
            return False
        self._loop.call_soon(self._begin, signed, done)
        return True

    def _work(self) -> None:
        if self._loop is None:
            self._start()
        loop, appender = self._loop, self._appender
        assert loop is not None and appender is not None, "it was just started"
        if self._faults.strikes("gateway failure"):
            raise Crash("gateway failure")
        for tail in self._tails:
            tail.read()
        appender.poll()
        loop.turn()

    def _start(self) -> None:
        self._loop = SimLoop(self.clock.monotonic_s)
        self._appender = SimAppender(self._world, self._loop, self._point)
        self._loop.create_task(self._open(self._appender))

    async def _open(self, appender: "SimAppender") -> None:
        side = await open_write_side(
            SETTINGS,
            lambda: cast(Log, SimLog(self._world.log)),
            appender,
            self.clock,
            self._fail,
            open_matching=None,
            follow=self._follow,
        )
        reference, orders = side.follower.reference, side.orders
        limits = RequestLimits(lambda: reference.limits)
        self._entry = OrderEntry(reference, orders, Admission(self.clock), limits)
        self._side = side

    def _follow(
        self,
        open_log: Callable[[], Log],
        start: Mapping[Partition, int],
        on_records: Callable[[Sequence[LogRecord]], None],
        on_failure: Callable[[Exception], None],
    ) -> "SimTail":
        assert self._loop is not None
        tail = SimTail(open_log, start, on_records, on_failure, self._loop, self._faults)
        self._tails.append(tail)
        return tail

    def _begin(self, signed: Signed, done: Callable[[Answer], None]) -> None:
        assert self._loop is not None
        self._loop.create_task(self._answer(signed, done))

    async def _answer(self, signed: Signed, done: Callable[[Answer], None]) -> None:
        answer = await self._respond(signed)
        self._point("answer before")
        if self._dying:
            return
        if not self._faults.strikes("answer lost"):
            done(answer)
        self._point("answer after")

    async def _respond(self, signed: Signed) -> Answer:
        assert self._side is not None and self._entry is not None
        parameters = parse_parameters(b"", signed.payload)
        call = Call(cast(Any, signed), parameters, "", self.clock.now_us())
        try:
            if not self._side.follower.is_caught_up():
                raise errors.overloaded()
            deadline_us = check_time(parameters, self.clock.now_us())
            scopes = frozenset((Scope.TRADE,))
            call.principal = Principal(signed.user_id, signed.api_key, scopes, deadline_us)
            found = await getattr(self._entry, signed.endpoint)(call)
        except ApiError as error:
            return Answer(error.status, error.code, error.msg, call.position)
        except AssertionError as error:
            # As the product's HTTP server does, whose clients are told nothing else.
            return Answer(FAULTED, -1000, repr(error), call.position)
        return Answer(200, 0, json.dumps(found, sort_keys=True), call.position)

    def _point(self, name: str) -> None:
        """A micro-step of this process; once it dies there, nothing of it gets out any more."""
        try:
            self._faults.point(name)
        except Crash:
            self._dying = True
            raise

    def _fail(self, error: Exception) -> None:
        """The product ends the process where its log fails; other errors are its own."""
        if not isinstance(error, LogFailure):
            raise error
        self._dying = True

    def _kill(self) -> None:
        if self._loop is not None:
            self._loop.close()
        if self._appender is not None:
            self._appender.close()
        for tail in self._tails:
            tail.close()
        self._loop = self._side = self._entry = self._appender = None
        self._tails.clear()
        self._dying = False


class SimAppender:
    """Appends what a gateway sends; at times the log refuses it, or nobody learns its fate."""

    def __init__(self, world: World, loop: SimLoop, point: Callable[[str], None]) -> None:
        self._world = world
        self._faults = world.faults
        self._loop = loop
        self._point = point
        self._log = SimLog(world.log)

    def append(self, topic: str, partition: int, value: bytes, time_us: int, done: Done) -> None:
        """See `infra.appender.Appender`."""
        self._point("append before")
        if self._world.log.is_ahead(time_us) or self._faults.strikes("append refused"):
            self._loop.call_later(0.01, done, AppendRefused("refused"))
        elif self._faults.strikes("append unknown"):
            self._send_somehow((topic, partition), value)
            patience_s = self._faults.rng.choice(APPEND_GIVES_UP_S)
            self._loop.call_later(patience_s, done, AppendUnknown("timed out"))
        else:
            self._log.produce(topic, partition, value, acked=partial(self._acked, done))
        self._point("append after")

    def poll(self) -> None:
        """Let acknowledgments come."""
        self._log.poll()

    def busy(self) -> bool:
        """Whether something is on its way."""
        return bool(self._log.acks) or any(self._log.pipes.values())

    def close(self) -> None:
        """Its process ends."""
        self._log.close()

    def _acked(self, done: Done) -> None:
        self._loop.call_soon(done, None)

    def _send_somehow(self, place: Partition, value: bytes) -> None:
        """It arrives now, later, or never."""
        fate = self._faults.rng.randrange(3)
        if fate == 0:
            self._log.produce(*place, value)
        elif fate == 1:
            self._world.log.ghosts.append((place, deque([(value, None)])))


class SimTail:
    """Reads outboxes for a gateway when it has its turn; see `infra.tail.Tail`."""

    def __init__(
        self,
        open_log: Callable[[], Log],
        start: Mapping[Partition, int],
        on_records: Callable[[Sequence[LogRecord]], None],
        on_failure: Callable[[Exception], None],
        loop: SimLoop,
        faults: Faults,
    ) -> None:
        self._open_log = open_log
        self._start = start
        self._on_records = on_records
        self._on_failure = on_failure
        self._loop = loop
        self._faults = faults
        self._log: SimLog | None = None

    def start(self) -> None:
        self._log = cast(SimLog, self._open_log())
        for (topic, partition), offset in self._start.items():
            self._log.seek(topic, partition, offset)

    def read(self) -> None:
        """Hand over some of what is there."""
        if self._log is not None and self._log.behind():
            records = self._log.read(self._faults.rng.choice((1, 2, 5, 20)), 0.0)
            self._loop.call_soon(self._on_records, records)

    def busy(self) -> bool:
        """Whether there is more to read."""
        return self._log is not None and self._log.behind()

    async def stop(self) -> None:
        self.close()

    async def end_offset(self, topic: str, partition: int) -> int:
        assert self._log is not None
        return self._log.ends(topic, partition)[1]

    async def scan(self, topic: str, partition: int, start: int, stop: int) -> list[LogRecord]:
        # Others have their turns meanwhile.
        timer = self._loop.create_future()
        self._loop.call_later(self._faults.rng.random() * 0.05, timer.set_result, None)
        await timer
        try:
            assert self._log is not None
            return list(self._log.scan(topic, partition, start, stop))
        except Crash:
            self._on_failure(LogFailure("the process ends here"))
            raise

    def close(self) -> None:
        """Its process ends."""
        if self._log is not None:
            self._log.close()
            self._log = None
