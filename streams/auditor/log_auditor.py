"""The log as it grows: every shard run again, every record compared, the books kept a second time.

A record of a channel is applied only once its source has computed it here. So what all shards have
applied is a consistent cut at any moment, and a forged record shows before it is applied.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from domain.accounts.state import AccountsState
from domain.matching.state import MatchingState
from domain.orders.state import LedgerState
from domain.protocol import HaltAction
from infra.log import LogRecord, Partition, PausableLog
from schemas.record import UndecodableRecord, content_hash, decode_head, decode_record, record_hash
from schemas.topics import QUARANTINE_TOPIC, catalogue, inbox, shard_of, shards
from streams.audit.archive import position_name
from streams.audit.books import check_ledger, parties
from streams.audit.checks import Checks
from streams.audit.findings import Finding, Kind, of_channel
from streams.audit.rerun import stepped
from streams.auditor import metrics
from streams.auditor.circles import find_circle
from streams.auditor.crossing import Crossing, Suspect
from streams.auditor.followed import Followed, Queued, Stopped
from streams.auditor.legs import Legs, Origin
from streams.auditor.marks import MarkWatch
from streams.auditor.pace import Pace
from streams.auditor.violations import Violation, of_finding
from streams.halts import Halt, resolution_in
from streams.marks import Done
from streams.shard import Step

Resolutions = dict[str, dict[int, HaltAction]]
"""By shard and offset, what an operator has said about a record at which it halted."""


class LogAuditor:
    """Follows every shard of one exchange. `report` is told of each violation once."""

    def __init__(
        self,
        log: PausableLog,
        ledger_partitions: int,
        matching_partitions: int,
        resolutions: Resolutions,
        report: Callable[[Violation], None],
    ) -> None:
        self.followed = {s: Followed(s) for s in shards(ledger_partitions, matching_partitions)}
        self.crossings: dict[tuple[str, Partition], Crossing] = {}
        self.legs = Legs()
        self.checks = Checks()
        self.next_offsets: dict[Partition, int] = {
            (topic.name, partition): 0
            for topic in catalogue(ledger_partitions, matching_partitions)
            for partition in range(topic.partitions)
        }
        self.outdated = False
        """An operator has resolved a halt: begin anew from the checkpoint, which knows more now."""
        self.ledger_partitions = ledger_partitions
        self.matching_partitions = matching_partitions
        self._log = log
        self._marks = MarkWatch(log, self)
        self._resolutions = resolutions
        self._report = report
        self._pace = Pace(log, self)
        self._compared_to: dict[Partition, int] = {}
        self._unbalanced: set[tuple[str, int]] = set()
        """By side and asset, what has not held since it was reported."""
        for shard, known in resolutions.items():
            self.followed[shard].shard.resolutions = known

    def start(self) -> None:
        """Read on from where it stands."""
        for place, offset in self.next_offsets.items():
            self._log.seek(*place, offset)

    def read_again(self, place: Partition, offset: int) -> None:
        """Let an outbox be read from an earlier offset on, for somebody else: it was compared."""
        self._compared_to[place] = self.compared_to(place)
        self.next_offsets[place] = min(offset, self.next_offsets[place])

    def compared_to(self, place: Partition) -> int:
        """The offset before which everything was compared."""
        return max(self.next_offsets[place], self._compared_to.get(place, 0))

    def take(self, record: LogRecord) -> None:
        """Take the next record of any partition."""
        place = (record.topic, record.partition)
        wanted = self.next_offsets[place]
        if record.offset < wanted or place in self._pace.left:
            return
        self.next_offsets[place] = record.offset + 1
        if record.offset > wanted:
            words = f"offset {wanted} was next, found {record.offset}"
            self.find(Finding(Kind.MISSING, place, wanted, words))
        if record.topic == QUARANTINE_TOPIC or record.offset < self._compared_to.get(place, 0):
            return
        src, cseq = self._note(place, record)
        if record.topic.endswith(".in"):
            followed = self.followed[shard_of(*place)]
            if followed.stopped is None:
                followed.take(Queued(record, src, cseq))
            elif src == "operator":
                self._look_for_resolution(followed, followed.stopped)

    def work(self) -> None:
        """Apply all that may be applied, and judge what nobody has computed."""
        moved = True
        while moved:
            moved = False
            for followed in self.followed.values():
                while self._may_apply(followed):
                    self._apply(followed, followed.next())
                    moved = True
            moved = moved or self._break_circle()
        self._judge_suspects()
        self._pace.keep()

    def look_at_marks(self) -> None:
        """Compare one shard's committed mark, and miss what should stand before it."""
        self._marks.look()
        for followed in self.followed.values():
            if followed.stopped is not None and followed.place in self._pace.left:
                # The operator's word is not read there.
                self._look_for_resolution(followed, followed.stopped)

    def check_cut(self) -> bool:
        """Check all assets at the cut that this moment is (L2); False while a shard has halted."""
        if any(followed.stopped for followed in self.followed.values()):
            return False
        sums: dict[str, Counter[int]] = {"clearing": Counter(), "external": Counter()}
        funded: Counter[int] = Counter()
        for followed in self.followed.values():
            state, record = followed.shard.state, followed.ledger
            if isinstance(state, LedgerState) and record is not None:
                for asset in state.assets:
                    sums["clearing"][asset] += state.balances.clearing(asset)
                    sums["external"][asset] += state.balances.external(asset)
                    funded[asset] += record.deposited[asset] - record.withdrawn[asset]
        for asset in funded:
            clearing, external = sums["clearing"][asset], sums["external"][asset]
            in_flight = self.legs.in_flight[asset]
            words = f"asset {asset}: clearing is {clearing}, unsettled legs are {in_flight}"
            self._check_asset("clearing", asset, clearing == in_flight, words)
            words = f"asset {asset}: external is {external}, {funded[asset]} was funded"
            self._check_asset("external", asset, external == -funded[asset], words)
        return True

    def check_books(self) -> None:
        """Check each ledger against the witness's books; report once what does not hold."""
        for followed in self.followed.values():
            state, record = followed.shard.state, followed.ledger
            if isinstance(state, LedgerState) and record is not None and followed.stopped is None:
                check_ledger(followed.id, state, record, record.checks)
                record.checks.end_look()
                self._collect(followed, record.checks, ())

    def assets(self) -> list[int]:
        """Listed assets whose withdrawals are not halted."""
        state = self.followed["A0"].shard.state
        assert isinstance(state, AccountsState)
        known = [asset.asset_id for asset in state.assets.values()]
        return [asset for asset in known if asset not in state.halted_withdrawals]

    def markets(self) -> list[int]:
        """Markets that are not halted."""
        states = [f.shard.state for f in self.followed.values() if f.id[0] == "M"]
        return [
            market_id
            for state in states
            if isinstance(state, MatchingState)
            for market_id, market in state.markets.items()
            if not market.halted
        ]

    def asset_code(self, asset_id: int) -> str:
        """The public name of an asset."""
        state = self.followed["A0"].shard.state
        assert isinstance(state, AccountsState)
        return next(a.code for a in state.assets.values() if a.asset_id == asset_id)

    def market_symbol(self, market_id: int) -> str:
        """The public name of a market."""
        state = self.followed[f"M{market_id % self.matching_partitions}"].shard.state
        assert isinstance(state, MatchingState)
        return state.markets[market_id].symbol

    def checked(self) -> tuple[Counter[str], Counter[str]]:
        """How often each invariant was checked since the start, and how often it did not hold."""
        checked, broken = Counter(self.checks.counts), Counter(self.checks.broken)
        for followed in self.followed.values():
            if followed.checks is not None:
                checked.update(followed.checks.counts)
                broken.update(followed.checks.broken)
        return checked, broken

    def compared(self) -> int:
        """How many records of channels were compared since the start."""
        return sum(crossing.compared for crossing in self.crossings.values())

    def crossing(self, src: str, place: Partition) -> Crossing:
        """The channel from `src` to `place`."""
        found = self.crossings.get((src, place))
        if found is None:
            found = self.crossings[src, place] = Crossing(src, place, self.find)
        return found

    def find(self, finding: Finding) -> None:
        """Report a divergence; the shard whose partition it stands in answers for it."""
        in_log = finding.place[0] != QUARANTINE_TOPIC
        self._report(of_finding(finding, shard_of(*finding.place) if in_log else ""))

    def positions(self) -> Mapping[str, int]:
        """Where each shard stands in its inbox."""
        return {shard: followed.position for shard, followed in self.followed.items()}

    def _note(self, place: Partition, record: LogRecord) -> tuple[str, int]:
        """Compare a record with what its source computes; returns its source and number."""
        owner, outbox = shard_of(*place), record.topic.endswith(".ev")
        try:
            src, cseq, _, _ = decode_head(record.value)
        except UndecodableRecord as error:
            if outbox:
                words = f"{owner} wrote no such record: {error}"
                self.find(Finding(Kind.CHANGED, place, record.offset, words))
            return "", 0
        if outbox and (src != owner or cseq < 1):
            words = f"only {owner} writes here, the record says it is of {src!r}"
            self.find(Finding(Kind.FORGED, place, record.offset, words, src, cseq))
        elif src in self.followed and cseq:
            assert record.value is not None
            self.crossing(src, place).found(record.offset, cseq, record.value)
        return src, cseq

    def _may_apply(self, followed: Followed) -> bool:
        if not followed.queue or followed.stopped is not None:
            return False
        record, src, cseq = followed.queue[0]
        if cseq == 0 or src not in self.followed or record.offset in followed.condemned:
            return True
        return cseq <= self.crossing(src, followed.place).computed_last

    def _apply(self, followed: Followed, queued: Queued) -> None:
        record = queued.record
        try:
            step = stepped(followed.shard, record)
        except Halt as halt:
            self._stop(followed, record, halt)
        else:
            self._take_step(followed, queued, step)

    def _take_step(self, followed: Followed, queued: Queued, step: Step) -> None:
        record = queued.record
        if step.faults:
            metrics.FAULTED.labels(followed.id).inc(len(step.faults))
        if record.offset in followed.condemned:
            followed.condemned.discard(record.offset)
            if step.accepted and record.offset in followed.shard.resolutions:
                # Nobody has told: the word excuses what the shard drops, and it has not.
                name = of_channel(queued.src, followed.place, queued.cseq)
                words = f"{name}: its channel goes on from it at an operator's word"
                self.find(Finding(Kind.FORGED, followed.place, record.offset, words, queued.src))
        followed.position = record.offset + 1
        followed.last_hash = record_hash(record.value or b"")
        shard = followed.shard
        followed.dones.append(Done(followed.position, shard.ordinal, shard.input_hash))
        sent: dict[Partition, int] = {}
        for output in step.outputs:
            place = (output.topic, output.partition)
            written = content_hash(output.value)
            sent[place] = self.crossing(followed.id, place).computed(written, record.offset)
        if followed.matching is not None:
            self._take_trades(followed, sent)
        elif followed.ledger is not None:
            # A record that was skipped, or is there twice, has brought nothing.
            self._take_fills(followed, queued.src if step.accepted else "", queued.cseq)
        if followed.checks is not None and followed.checks.words:
            self._collect(followed, followed.checks, self._markets_of(followed, record))

    def _take_trades(self, followed: Followed, sent: Mapping[Partition, int]) -> None:
        assert followed.matching is not None
        origin = Origin(followed.shard.state.time_us, followed.position - 1)
        for trade, rules in followed.matching.trades:
            for order_id, side in parties(trade):
                leg = self.legs.traded(trade, rules, side, order_id, origin)
                ledger = f"L{order_id % self.ledger_partitions}"
                self.legs.carried(followed.id, ledger, sent.get(inbox(ledger), 0), leg)
        followed.matching.trades.clear()

    def _take_fills(self, followed: Followed, src: str, cseq: int) -> None:
        assert followed.ledger is not None
        checks = followed.ledger.checks
        for leg, fill in followed.ledger.legs.items():
            self.legs.settled(leg, fill, checks, followed.shard.state.time_us)
        followed.ledger.legs.clear()
        if src[:1] == "M":
            self.legs.received(src, followed.id, cseq, checks)

    def _collect(self, followed: Followed, checks: Checks, markets: tuple[int, ...]) -> None:
        """Report what the witness has noted; a broken L1 and its like name no market."""
        position = position_name(followed.place, max(followed.position - 1, 0))
        for words in checks.take_words():
            invariant, _, said = words.partition(": ")
            self._report(Violation(invariant, position, said, 0, markets, followed.id, said))

    def _markets_of(self, followed: Followed, record: LogRecord) -> tuple[int, ...]:
        if followed.matching is None:
            return ()
        messages = decode_record(record.value).messages
        found = {getattr(message, "market_id", 0) for message in messages}
        return tuple(sorted(found - {0}))

    def _check_asset(self, side: str, asset: int, holds: bool, words: str) -> None:
        """Report what does not hold, once until it has held again."""
        self.checks.check("L2", holds, words)
        if holds:
            self._unbalanced.discard((side, asset))
        elif (side, asset) not in self._unbalanced:
            self._unbalanced.add((side, asset))
            cut = " ".join(
                position_name(f.place, f.position) for f in self.followed.values() if f.id[0] != "A"
            )
            self._report(Violation("L2", f"before {cut}", words, asset=asset))

    def _stop(self, followed: Followed, record: LogRecord, halt: Halt) -> None:
        """The shard halts here, as the real one must; an operator may have said what to do."""
        stopped = Stopped(record.offset, record_hash(record.value or b""), record.offset + 1)
        followed.stopped = stopped
        followed.queue.clear()
        followed.queued_bytes = 0
        if not self._look_for_resolution(followed, stopped):
            named = re.search(r"\b([LES][0-9]):", halt.detail)
            invariant = named.group(1) if named else "S1"
            position = position_name(followed.place, record.offset)
            self._report(Violation(invariant, position, f"HALTED {halt}", shard=followed.id))

    def _look_for_resolution(self, followed: Followed, stopped: Stopped) -> bool:
        if stopped.offset in self._resolutions.get(followed.id, {}):
            return False
        _, end = self._log.ends(*followed.place)
        later = self._log.scan(*followed.place, stopped.looked_to, end)
        action = resolution_in(later, stopped.record_hash)
        stopped.looked_to = max(end, stopped.looked_to)
        if action is None:
            return False
        self._resolutions.setdefault(followed.id, {})[stopped.offset] = action
        self.outdated = True
        return True

    def _judge_suspects(self) -> None:
        """What was found must have been caused by an input that was in the log by then."""
        for (src, place), crossing in self.crossings.items():
            if not crossing.suspects or self.followed[src].stopped is not None:
                continue
            crossing.let_be_due(partial(self._end_of_inbox, src))
            look = partial(self._is_resolved, place)
            forged = crossing.condemn(self.followed[src].position, look)
            if forged and place[0].endswith(".in"):
                self.followed[shard_of(*place)].condemned.update(forged)

    def _end_of_inbox(self, shard: str) -> int:
        return self._log.ends(*inbox(shard))[1]

    def _break_circle(self) -> bool:
        """Report the first record of those that wait for each other, and let it be applied.

        Returns whether there was a circle. The record stays a suspect: should it be computed after
        all, another one of the circle was forged, and is still to come.
        """
        circle = find_circle(self.followed)
        if not circle:
            return False
        first = min(circle, key=lambda each: each.queue[0].record.timestamp_ms)
        record, src, cseq = first.queue[0]
        first.condemned.add(record.offset)
        value = record.value or b""
        if not self._is_resolved(
            first.place, Suspect(record.offset, content_hash(value), record_hash(value))
        ):
            words = f"{of_channel(src, first.place, cseq)}: it comes before what would cause it"
            self.find(Finding(Kind.FORGED, first.place, record.offset, words, src, cseq))
        return True

    def _is_resolved(self, place: Partition, suspect: Suspect) -> bool:
        """Whether an operator has said what to do about a record that is in no channel."""
        if place[0].endswith(".ev"):
            return False
        _, end = self._log.ends(*place)
        later = self._log.scan(*place, suspect.offset + 1, end)
        return resolution_in(later, suspect.record_hash) is not None
