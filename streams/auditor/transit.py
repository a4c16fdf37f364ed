"""How long money is in transit from a book to a ledger, and what is overdue (L7)."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from infra.clock import Clock
from infra.log import Log
from schemas.topics import inbox, outbox
from streams.audit.archive import position_name
from streams.audit.ledger_witness import Leg
from streams.auditor.legs import Traded
from streams.auditor.log_auditor import LogAuditor
from streams.auditor.violations import Violation

OVERDUE_STEPS = 60
STEP_S = 1.0
"""A leg is overdue after so many steps, each of a second or a little more."""

LEGS_LOOKED_AT = 10_000
"""Of the legs of one channel that are overdue, so many are asked for their assets."""


@dataclass(slots=True)
class _Channel:
    """How two shards have gone on: the book that trades, and a ledger that settles."""

    steps: deque[int] = field(default_factory=lambda: deque(maxlen=OVERDUE_STEPS + 1))
    """At each step, the input before which the matching shard had told of everything."""
    stepped_s: float = 0.0
    written: int = 0
    read: int = 0
    question: "_Question | None" = None
    """What was overdue when the end of the ledger's inbox was asked for; nothing if it was not."""
    told: set[int] = field(default_factory=set)
    """Assets that have been reported since the channel last was in order."""


@dataclass(slots=True, frozen=True)
class _Question:
    """Legs of inputs before `told` must be settled by records before `end` of the inbox."""

    told: int
    end: int


class TransitWatch:
    """Looks at each channel from a matching shard to a ledger.

    What is in transit was traded, as the matching shard has told in its outbox, and is not settled
    by its ledger, as far as that one's inbox was read here. Its age is log time, which is told
    (`age_us`) and accuses nobody: while a shard or a broker is away log time goes on elsewhere,
    afterwards much of it passes at once, and clocks may jump.

    A leg is overdue once *both* shards were seen to go on in each of 60 steps since the trade was
    told: the outbox of the one has grown, and the inbox of the other was read further. So an
    outage of either adds no step, however long it is; who lives ticks once a second. Only then the
    end of the ledger's inbox is asked for, and L7 is violated if the settlement does not stand
    before it: an auditor that reads one partition later than another accuses nobody, either. What
    becomes overdue until that end is read is not judged by it, but by the next one that is asked
    for. After a restart steps are counted anew.
    """

    def __init__(self, log: Log, auditor: LogAuditor, clock: Clock) -> None:
        self._log = log
        self._auditor = auditor
        self._clock = clock
        self._channels: dict[tuple[str, str], _Channel] = {}

    def age_us(self) -> int:
        """The age of the oldest leg in transit in its ledger's log time, 0 if there is none."""
        ages = [0]
        for source, ledger in self._auditor.legs.sent:
            told = self._told(source)
            for _, traded in islice(self._open(source, ledger), 1):
                if traded.origin.cause_offset < told:
                    now_us = self._auditor.followed[ledger].shard.state.time_us
                    ages.append(now_us - traded.origin.time_us)
        return max(ages)

    def look(self) -> list[Violation]:
        """What has become overdue: one violation for each asset that a channel owes.

        Raises `LogFailure` if the end of an inbox is asked for and nobody answers.
        """
        found: list[Violation] = []
        for source, ledger in self._auditor.legs.sent:
            channel = self._channels.setdefault((source, ledger), _Channel())
            if self._step(channel, source, ledger):
                found += self._judge(channel, source, ledger)
        return found

    def _step(self, channel: _Channel, source: str, ledger: str) -> bool:
        """Whether both have gone on since the last step, and it is time for the next one."""
        written = self._auditor.next_offsets[outbox(source)]
        read = self._auditor.followed[ledger].position
        now_s = self._clock.monotonic_s()
        if written == channel.written or read == channel.read:
            return False
        if now_s < channel.stepped_s + STEP_S:
            return False
        channel.written, channel.read, channel.stepped_s = written, read, now_s
        channel.steps.append(self._told(source))
        return len(channel.steps) > OVERDUE_STEPS

    def _judge(self, channel: _Channel, source: str, ledger: str) -> Iterator[Violation]:
        """Violations, if what was overdue does not stand in the ledger's inbox."""
        told, question = channel.steps[0], channel.question
        overdue = self._overdue(source, ledger, told)
        if not overdue:
            channel.question = None
            channel.told.clear()
        elif question is None:
            channel.question = _Question(told, self._log.ends(*inbox(ledger))[1])
        elif self._auditor.followed[ledger].position >= question.end:
            channel.question = None
            for leg, traded in self._overdue(source, ledger, question.told):
                for asset in dict(traded.terms.in_flight()).keys() - channel.told:
                    channel.told.add(asset)
                    yield _violation(source, ledger, question.end, leg, traded, asset)
        self._auditor.checks.check("L7", not channel.told, f"{source} owes {ledger} legs")

    def _overdue(self, source: str, ledger: str, told: int) -> list[tuple[Leg, Traded]]:
        """The open legs of inputs before `told`, as many as are looked at."""
        legs = islice(self._open(source, ledger), LEGS_LOOKED_AT)
        return [(leg, traded) for leg, traded in legs if traded.origin.cause_offset < told]

    def _told(self, source: str) -> int:
        """The input before which a shard has told of everything that was computed here."""
        due = self._auditor.crossing(source, outbox(source)).due
        first = next(iter(due.values()), None)
        return self._auditor.followed[source].position if first is None else first[1]

    def _open(self, source: str, ledger: str) -> Iterator[tuple[Leg, Traded]]:
        """Legs of a channel that are not settled, the oldest first."""
        legs = self._auditor.legs
        return ((leg, legs.open[leg]) for _, leg in legs.sent[source, ledger] if leg in legs.open)


def _violation(
    source: str, ledger: str, end: int, leg: Leg, traded: Traded, asset: int
) -> Violation:
    market_id, trade_id, order_id = leg
    words = (
        f"asset {asset}: trade {trade_id} of market {market_id} is not settled for order "
        f"{order_id} before {position_name(inbox(ledger), end)}, {source} and {ledger} have gone on"
    )
    position = position_name(inbox(source), traded.origin.cause_offset)
    return Violation("L7", position, words, asset=asset)
