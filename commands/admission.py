"""How much may be under way: orders are refused early, and cancels have a share of their own.

Twice: `admit` bounds queues by number, `Admission` bounds what has no answer yet by how long
answers take. Nothing overtakes: what is admitted keeps its turn, so an account's commands keep
their order.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from domain.decider import Message
from domain.orders.messages import PlaceOrder
from infra.clock import Clock
from infra.http import errors
from infra.metrics import Counter, Gauge

RESERVED_PART = 5
"""One fifth of all takes no orders: who gets no order in must still get out."""

TARGET_S = 0.1
"""What is admitted shall be answered within this; the limit goes down where it is not."""

FLOOR, START, CEILING = 200, 400, 4_000
"""Orders without an answer, by shard: always allowed, allowed without experience, at most.

So few are not what makes answers slow: where brokers are far away or the machine is busy, refusing
more would cost orders and win no time.
"""

CANCELS_FLOOR = 100
"""Cancels without an answer that are always allowed, by shard; else a quarter of the orders."""

ACCOUNT_PART = 2
"""Half of a shard's room is the most that one account may take."""

HICCUP_S = 0.2
"""A shard that answers in time may stand still for so long, at the pace it has, for nothing."""

STALLED_S = 1.0
"""Where something waits for so long already, only the floor is allowed."""

WINDOW_S, LONGEST_WINDOW_S = 0.05, 0.5
GROWTH = 1.25
FORGETTING = 0.95
"""What is left of a pace after a window that was slower."""

REFUSED = Counter("logbourse_gateway_refused", "Requests refused for overload, by why", ("reason",))
_UNDER_WAY = Gauge("logbourse_gateway_under_way", "Without an answer", ("shard", "kind"))
_LIMIT = Gauge("logbourse_gateway_under_way_limit", "How many there may be", ("shard", "kind"))
_OLDEST = Gauge("logbourse_gateway_oldest_seconds", "Age of the oldest of them", ("shard",))


def admit(messages: Sequence[Message], waiting: int, most: int, queue: str) -> None:
    """Raises -1008 (503) if so many more cannot wait beside the `waiting`, of which at most `most`.

    `queue` names it for the metrics.
    """
    orders = isinstance(messages[0], PlaceOrder)
    room = most - most // RESERVED_PART if orders else most
    if waiting + len(messages) > room:
        raise refusal(queue)


def refusal(reason: str) -> errors.ApiError:
    """-1008 (503), counted by its reason."""
    REFUSED.labels(reason).inc()
    return errors.overloaded()


@dataclass(slots=True)
class _Share:
    """The orders, or the cancels, that are under way to one shard, and how many may be."""

    room: int
    commands: int = 0
    most: int = 0
    accounts: dict[int, int] = field(default_factory=dict)

    def check(self, account: int) -> None:
        """Raises if nothing more may come, or nothing more of the account.

        However many commands a request has, it may come if there is any room: a batch that is
        larger than the room would never be taken otherwise.
        """
        if self.commands >= self.room:
            raise refusal("delay")
        if self.accounts.get(account, 0) >= self.room // ACCOUNT_PART:
            REFUSED.labels("account").inc()
            raise errors.too_many_queued()

    def add(self, account: int, commands: int) -> None:
        """So many more, or fewer where negative."""
        self.commands += commands
        self.most = max(self.most, self.commands)
        left = self.accounts.get(account, 0) + commands
        if left:
            self.accounts[account] = left
        else:
            del self.accounts[account]


@dataclass(slots=True)
class _Pace:
    """One shard: what is under way to it, and how long its answers took since `since_s`.

    `under_way`: when each request without an answer began, the oldest first. `answers` are of
    requests, `answered` are commands, `per_second` those of late.
    """

    since_s: float
    window_s: float = WINDOW_S
    limit: float = float(START)
    orders: _Share = field(default_factory=lambda: _Share(START))
    cancels: _Share = field(default_factory=lambda: _Share(_room_of_cancels(START)))
    under_way: dict[int, float] = field(default_factory=dict)
    answers: int = 0
    answered: int = 0
    waited_s: float = 0.0
    per_second: float = 0.0

    def oldest_s(self, now_s: float) -> float:
        """Age of the oldest request without an answer; 0 if there is none."""
        return now_s - next(iter(self.under_way.values()), now_s)

    def learn(self, now_s: float) -> None:
        """Set the room by what a window has shown: down in proportion, up by steps.

        Where little of it was used, the limit is neither what makes answers slow nor too low.
        """
        if now_s - self.since_s < self.window_s:
            return
        oldest_s, most = self.oldest_s(now_s), self.orders.most
        delay_s = self.waited_s / self.answers if self.answers else 0.0
        delay_s = max(delay_s, oldest_s - TARGET_S)
        used = 2 * most > self.limit
        per_second = self.answered / (now_s - self.since_s)
        self.per_second = max(per_second, FORGETTING * self.per_second)
        if oldest_s > STALLED_S:
            self.limit = FLOOR
        elif delay_s > TARGET_S and used:
            self.limit = max(FLOOR, min(self.limit, most) * max(0.5, TARGET_S / delay_s))
        elif delay_s <= TARGET_S and (used or self.limit < START):
            self.limit = min(CEILING, self.limit * GROWTH)
        elif not used:
            self.limit = min(CEILING, max(self.limit, HICCUP_S * self.per_second))
        self.orders.room = int(self.limit)
        self.cancels.room = _room_of_cancels(self.orders.room)
        self.orders.most = self.orders.commands
        # What is answered next was admitted under the limit before: only then does this one show.
        self.window_s = min(max(WINDOW_S, delay_s), LONGEST_WINDOW_S)
        self.since_s, self.answers, self.answered, self.waited_s = now_s, 0, 0, 0.0


class Admission:
    """What each shard and account has under way through this process, and may have.

    The room follows how long answers take, whatever makes them slow: a shard, the log, or this
    process itself. So what is admitted under overload is answered in about `TARGET_S`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paces: dict[str, _Pace] = {}
        self._requests = 0

    def check(self, shard: str, account: int, *, cancels: bool) -> None:
        """Raises -1008 (503) if the shard has enough to do, -1003 (429) if the account has.

        Costs little, so that it can be asked before a request is read.
        """
        pace = self._pace(shard)
        pace.learn(self._clock.monotonic_s())
        (pace.cancels if cancels else pace.orders).check(account)

    @contextmanager
    def under_way(
        self, shard: str, account: int, commands: int = 1, *, cancels: bool = False
    ) -> Iterator[None]:
        """Count the commands of a request until it has its answer; an error teaches nothing."""
        pace = self._pace(shard)
        share = pace.cancels if cancels else pace.orders
        self._requests += 1
        number, begun_s = self._requests, self._clock.monotonic_s()
        pace.under_way[number] = begun_s
        share.add(account, commands)
        try:
            yield
            pace.answers += 1
            pace.answered += commands
            pace.waited_s += self._clock.monotonic_s() - begun_s
        finally:
            del pace.under_way[number]
            share.add(account, -commands)

    def _pace(self, shard: str) -> _Pace:
        pace = self._paces.get(shard)
        if pace is None:
            pace = self._paces[shard] = _Pace(self._clock.monotonic_s())
            _OLDEST.labels(shard).set_function(lambda: pace.oldest_s(self._clock.monotonic_s()))
            _tell(pace.orders, shard, "order")
            _tell(pace.cancels, shard, "cancel")
        return pace


def _room_of_cancels(orders: int) -> int:
    return max(CANCELS_FLOOR, orders // (RESERVED_PART - 1))


def _tell(share: _Share, shard: str, kind: str) -> None:
    _UNDER_WAY.labels(shard, kind).set_function(lambda: share.commands)
    _LIMIT.labels(shard, kind).set_function(lambda: share.room)
