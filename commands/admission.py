"""How much may be under way: refusals begin early, orders leave the last part to cancels.

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
"""One fifth of each queue takes no orders: who gets no order in must still get out."""

TARGET_S = 0.1
"""What is admitted shall be answered within this; the limit goes down where it is not."""

FLOOR, START, CEILING = 20, 1_000, 5_000
"""Commands without an answer, by shard: always allowed, allowed without experience, at most."""

ACCOUNT_PART = 2
"""Half of a shard's room is the most that one account may take."""

STALLED_S = 1.0
"""Where something waits for so long already, only the floor is allowed."""

WINDOW_S, LONGEST_WINDOW_S = 0.05, 0.5
GROWTH = 1.25

REFUSED = Counter("logbourse_gateway_refused", "Requests refused unread, by why", ("reason",))
_UNDER_WAY = Gauge("logbourse_gateway_under_way", "Commands without an answer", ("shard",))
_LIMIT = Gauge("logbourse_gateway_under_way_limit", "How many there may be now", ("shard",))
_OLDEST = Gauge("logbourse_gateway_oldest_seconds", "Age of the oldest of them", ("shard",))


def admit(messages: Sequence[Message], waiting: int, most: int, queue: str) -> None:
    """Raises -1008 (503) if so many more cannot wait beside the `waiting`, of which at most `most`.

    `queue` names it for the metrics.
    """
    orders = isinstance(messages[0], PlaceOrder)
    if waiting + len(messages) > _room(most, cancels=not orders):
        raise refusal(queue)


def refusal(reason: str) -> errors.ApiError:
    """-1008 (503), counted by its reason."""
    REFUSED.labels(reason).inc()
    return errors.overloaded()


@dataclass(slots=True)
class _Pace:
    """One shard: what is under way to it, and how long its answers took since `since_s`.

    `under_way`: when each request without an answer began, the oldest first.
    """

    since_s: float
    window_s: float = WINDOW_S
    limit: float = float(START)
    commands: int = 0
    under_way: dict[int, float] = field(default_factory=dict)
    accounts: dict[int, int] = field(default_factory=dict)
    answers: int = 0
    waited_s: float = 0.0
    most: int = 0

    def oldest_s(self, now_s: float) -> float:
        """Age of the oldest request without an answer; 0 if there is none."""
        return now_s - next(iter(self.under_way.values()), now_s)

    def learn(self, now_s: float) -> None:
        """Set the limit by what a window has shown: down in proportion, up by steps.

        Where little of it was used, the limit is neither what makes answers slow nor too low.
        """
        if now_s - self.since_s < self.window_s:
            return
        delay_s = self.waited_s / self.answers if self.answers else 0.0
        delay_s = max(delay_s, self.oldest_s(now_s) - TARGET_S)
        used = 2 * self.most > self.limit
        if self.oldest_s(now_s) > STALLED_S:
            self.limit = float(FLOOR)
        elif delay_s > TARGET_S and used:
            self.limit = max(FLOOR, min(self.limit, self.most) * max(0.5, TARGET_S / delay_s))
        elif delay_s <= TARGET_S and (used or self.limit < START):
            self.limit = min(CEILING, self.limit * GROWTH)
        # What is answered next was admitted under the limit before: only then does this one show.
        self.window_s = min(max(WINDOW_S, delay_s), LONGEST_WINDOW_S)
        self.since_s, self.answers, self.waited_s, self.most = now_s, 0, 0.0, self.commands


class Admission:
    """What each shard and account has under way through this process, and may have.

    The limit follows how long answers take, whatever makes them slow: a shard, the log, or this
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
        room = _room(int(pace.limit), cancels=cancels)
        if pace.commands >= room:
            raise refusal("delay")
        if pace.accounts.get(account, 0) >= max(1, room // ACCOUNT_PART):
            REFUSED.labels("account").inc()
            raise errors.too_many_queued()

    @contextmanager
    def under_way(self, shard: str, account: int, commands: int) -> Iterator[None]:
        """Count the commands of a request until it has its answer; an error teaches nothing."""
        pace = self._pace(shard)
        self._requests += 1
        number, begun_s = self._requests, self._clock.monotonic_s()
        pace.under_way[number] = begun_s
        pace.commands += commands
        pace.most = max(pace.most, pace.commands)
        pace.accounts[account] = pace.accounts.get(account, 0) + commands
        try:
            yield
            pace.answers += 1
            pace.waited_s += self._clock.monotonic_s() - begun_s
        finally:
            del pace.under_way[number]
            pace.commands -= commands
            pace.accounts[account] -= commands
            if not pace.accounts[account]:
                del pace.accounts[account]

    def _pace(self, shard: str) -> _Pace:
        pace = self._paces.get(shard)
        if pace is None:
            pace = self._paces[shard] = _Pace(self._clock.monotonic_s())
            _UNDER_WAY.labels(shard).set_function(lambda: pace.commands)
            _LIMIT.labels(shard).set_function(lambda: pace.limit)
            _OLDEST.labels(shard).set_function(lambda: pace.oldest_s(self._clock.monotonic_s()))
        return pace


def _room(most: int, *, cancels: bool) -> int:
    return most if cancels else most - most // RESERVED_PART
