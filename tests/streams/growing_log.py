"""A log that a test shows bit by bit, honest or not, and an auditor that follows it."""

import functools
import random
from dataclasses import dataclass, field

from domain.protocol import HaltAction, ResolveHalt
from infra.log import LogRecord, Mark, Partition
from schemas.record import decode_record, encode_message, outside_record
from streams.auditor.log_auditor import LogAuditor, Resolutions
from streams.auditor.violations import Violation
from tests.simulation.world import LEDGERS, MATCHERS, World
from tests.streams.audited_log import partitions_of, traded
from tests.streams.records import forged


@dataclass
class GrowingLog:
    """A log of lists that shows only what has been let in so far."""

    whole: dict[Partition, list[bytes]]
    marks: dict[Partition, Mark]
    shown: dict[Partition, int] = field(default_factory=dict)
    positions: dict[Partition, int] = field(default_factory=dict)

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, self.shown.get((topic, partition), 0)

    def committed(self, topic: str, partition: int) -> Mark | None:
        mark = self.marks.get((topic, partition))
        return mark if mark and mark.offset <= self.shown.get((topic, partition), 0) else None

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self.positions[topic, partition] = offset

    def leave(self, topic: str, partition: int) -> None:
        self.positions.pop((topic, partition), None)

    def scan(self, topic, partition, start, stop):
        assert stop <= self.ends(topic, partition)[1], "nobody scans beyond the end"
        for offset in range(start, stop):
            yield LogRecord(topic, partition, offset, -1, self.whole[topic, partition][offset])

    def read(self, rng: random.Random) -> list[LogRecord]:
        """Some records of some partitions, each partition's in order."""
        found = []
        for place, position in self.positions.items():
            end = rng.randint(position, self.shown.get(place, 0))
            found += self.scan(*place, position, end)
            self.positions[place] = end
        return found

    def show_all(self) -> None:
        """Let everything in."""
        self.shown = {place: len(values) for place, values in self.whole.items()}


@functools.cache
def world() -> World:
    """An honest exchange, the same for all who only look or copy."""
    return traded(3, crashes=4, duplicate_rate=0.03)


def log_of(world: World) -> GrowingLog:
    """A copy of its log, all of it shown."""
    whole = {p: [v for _, v in values] for p, values in partitions_of(world).items()}
    log = GrowingLog(whole, dict(world.log.marks))
    log.show_all()
    return log


def auditor_on(log, told: list[Violation], resolutions: Resolutions | None = None) -> LogAuditor:
    """One at the beginning; what it finds is added to `told`."""
    known: Resolutions = {} if resolutions is None else resolutions
    return LogAuditor(log, LEDGERS, MATCHERS, known, told.append)


def follow(auditor: LogAuditor, log: GrowingLog, rng: random.Random, turns: int = 12) -> None:
    """Read to the end in turns of random size, with all checks on the way."""
    for turn in range(turns):
        records = log.read(rng if turn < turns - 4 else random.Random(turn))
        for record in records:
            auditor.take(record)
        auditor.work()
        auditor.look_at_marks()
        assert auditor.check_cut() or any(f.stopped for f in auditor.followed.values())
    for place in list(log.positions):
        for record in log.scan(*place, log.positions[place], log.ends(*place)[1]):
            auditor.take(record)
        log.positions[place] = log.ends(*place)[1]
    for _ in range(2 * len(auditor.followed)):
        auditor.work()
        auditor.look_at_marks()
    auditor.check_books()


def audited(log: GrowingLog, seed: int = 1) -> list[Violation]:
    """What a new auditor has found once it has read all."""
    told: list[Violation] = []
    auditor = auditor_on(log, told)
    auditor.start()
    follow(auditor, log, random.Random(seed))
    return told


def last_from(log: GrowingLog, place: Partition, src: str) -> tuple[int, bytes]:
    """The last record of a source in a partition."""
    records = enumerate(log.whole[place])
    return [(o, v) for o, v in records if len(v) > 40 and decode_record(v).src == src][-1]


def halted_by_a_gap(
    told: list[Violation], resolutions: Resolutions
) -> tuple[GrowingLog, LogAuditor]:
    """A log with a forged record far ahead of its channel, followed until L0 has halted there."""
    log = log_of(world())
    place = ("ledger.in", 0)
    _, value = last_from(log, place, "M0")
    log.whole[place].append(forged(value, cseq=decode_record(value).cseq + 9))
    log.show_all()
    auditor = auditor_on(log, told, resolutions)
    auditor.start()
    follow(auditor, log, random.Random(1))
    return log, auditor


def say_skip(log: GrowingLog, name: bytes) -> None:
    """An operator's word to L0 that the record of this hash is to be passed over."""
    skip = ResolveHalt(b"r" * 16, 1 << 60, name, HaltAction.SKIP)
    log.whole["ledger.in", 0].append(outside_record("operator", 0, [encode_message(skip)]))
    log.show_all()
