"""The simulated exchange: processes that run the real workers, killed and restarted by the seed."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from domain.decider import Decider, Message
from domain.matching.state import NEVER_US
from infra.lease import Lease
from infra.log import LogFailure
from schemas.record import encode_message, outside_record
from schemas.topics import inbox, shards
from streams.families import decider_of
from streams.halts import HaltReason, ShardHalted
from streams.host import Host, HostPolicy
from streams.leadership import LeaseLost
from streams.shadow import HELD_BYTES, Shadow
from streams.snapshots import SnapshotStore
from streams.worker import Worker
from tests.simulation.background import SimBackground
from tests.simulation.clocks import OwnClock
from tests.simulation.faults import Crash, Faults
from tests.simulation.files import SimFiles
from tests.simulation.leases import RENEW_S, TTL_S, SimKeeper, SimLeases
from tests.simulation.log import LogWorld, SimLog, nobody_moves
from tests.simulation.processes import (
    Member,
    Process,
    Promotion,
    SimClock,
    Unmeasured,
    WatchedLeadership,
    WorkerLog,
    placed,
)

if TYPE_CHECKING:
    from tests.simulation.opening import Opening

LEDGERS = 2
MATCHERS = 2
ALL_SHARDS = shards(LEDGERS, MATCHERS)
POLICY = HostPolicy(commit_interval_s=0.05, snapshot_interval_s=1e9, snapshot_records=7)
MAX_TURNS = 100_000
MAX_ROUNDS = 1_000
PASSED = 0.75
"""So often the turn of one who has nothing to do but what is due by the clock goes by."""

MOVES_BETWEEN = 4
"""So many turns others have between two looks at the log of one that starts."""

THROTTLE_US = 1_100_000
PACE_US = (20_000, 10_000)
"""At most so long is the turn of a process; the second where shards have two."""

MEMBER_PACE_US = (10_000, 2_000)
"""At most so long is the turn of a member; the second where shards have two processes."""

LITTLE_ROOM = 2_000
"""Bytes that a shadow may hold where it has hardly any room."""


class World:
    """All processes of an exchange around one simulated log.

    With `standby` each process has a second one for the same shards, and leases say who leads.
    Of all shards, those named run; nobody reads what the others are sent.
    """

    def __init__(
        self, faults: Faults, *, standby: bool = False, shard_ids: Sequence[str] = ALL_SHARDS
    ) -> None:
        self.standby = standby
        self.promotions: list[Promotion] = []
        self._holders = 0
        self.faults = faults
        self.clock = SimClock()
        self.log = LogWorld(faults, self.clock)
        self.policy = POLICY
        self.files = {shard: SimFiles(faults) for shard in shard_ids}
        self.deciders: dict[str, Decider[Any]] = {shard: decider_of(shard) for shard in shard_ids}
        self.halted: dict[str, ShardHalted] = {}
        self.processes = [Process(group, self.files) for group in placed(faults.rng, self.deciders)]
        self.members: list[Member] = []
        self.leases = SimLeases(faults, self.log)
        if standby:
            self.processes += [self._second(process) for process in self.processes]
        self.crashes = 0
        self.stopped_at: dict[str, int] = {}
        self.cut_at: dict[str, int] = {}
        self._doubled: set[str] = set()
        """The shards that have two leaders."""
        self.opening: Opening | None = None
        """What it began from, if not from nothing."""

    def send(self, shard: str, source: str, messages: Sequence[Message]) -> None:
        """Append an outside record to the shard's inbox, as a gateway or operator would."""
        value = outside_record(
            source, self.clock.now_us(), [encode_message(message) for message in messages]
        )
        self.log.append(inbox(shard), value)

    def drain(self) -> None:
        """Run until nothing is left to do, restarting what crashes, halted processes apart."""
        self._work_off()
        for _ in range(MAX_ROUNDS):
            # What is due by the clock alone shows when all have had their turn.
            for process in self.faults.rng.sample(self.processes, len(self.processes)):
                # A worker tends one shard a turn.
                for _ in process.shard_ids:
                    self._turn(process)
            if not self._work_off():
                return
        raise AssertionError("the exchange did not come to rest")

    def settle(self, *, always: bool = True) -> None:
        """Come to rest; the time that throttles reference prices passes if one waits for it."""
        self._work_off()
        books = [host.shard.state for shard, host in self.hosts().items() if shard[0] == "M"]
        if always or any(book.next_due_us != NEVER_US for book in books):
            self.clock.elapsed_us += THROTTLE_US
        self.drain()

    def _work_off(self) -> bool:
        """Run until there is nothing to do but what the clock may bring; whether there was."""
        rng = self.faults.rng
        for number in range(MAX_TURNS):
            busy = self._busy()
            if not busy:
                return number > 0
            self._turn(busy[int(rng.random() * len(busy))])
        raise AssertionError("the exchange did not come to rest")

    def run(self, turns: int) -> None:
        """Let a random process work for each of so many turns, at rest or not."""
        everybody: list[Process | Member] = [*self.processes, *self.members]
        rng = self.faults.rng
        for _ in range(turns):
            whose = everybody[int(rng.random() * len(everybody))]
            if self._may_pass(whose) and rng.random() < PASSED:
                self.clock.elapsed_us += int(rng.random() * PACE_US[self.standby])
            else:
                self._turn(whose)

    def restart_all(self) -> None:
        """Kill and restart every process, so that recovery is exercised at least once."""
        for process in self.processes:
            self.kill(process)
        self.drain()

    def hosts(self) -> dict[str, Host]:
        """The running hosts by shard id, leaders before shadows."""
        running = [host for process in self.processes for host in process.hosts]
        running.sort(key=lambda host: isinstance(host, Host) or host.leading)
        return {each.id: each if isinstance(each, Host) else each.host for each in running}

    def shadows(self) -> list[Shadow]:
        """All that run as shadows or began as such."""
        running = [host for process in self.processes for host in process.hosts]
        return [host for host in running if isinstance(host, Shadow)]

    def _turn(self, whose: Process | Member) -> None:
        self.log.move_some()
        if isinstance(whose, Process):
            self._turn_process(whose)
            return
        # Neither of two processes of a shard shall lose its lease for that others had turns.
        self.clock.elapsed_us += int(self.faults.rng.random() * MEMBER_PACE_US[self.standby])
        if self.faults.tell is not None:
            number, kind = self.members.index(whose), type(whose).__name__
            self.faults.tell(f"{self.clock.monotonic_s():.6f} s: {kind} {number}")
        whose.turn()

    def _turn_process(self, process: Process) -> None:
        if process.refused or (self.halted and self._is_halted(process)):
            return
        self.clock.elapsed_us += int(self.faults.rng.random() * PACE_US[self.standby])
        if self.standby and self._disturbed(process):
            return
        if self.faults.tell is not None:
            who = f"process {self.processes.index(process)} ({' '.join(process.shard_ids)})"
            self.faults.tell(f"{self.clock.monotonic_s():.6f} s: {who}")
        try:
            if process.log is None:
                self._start(process)
            self._work(process)
        except Crash as crash:
            self.crashes += 1
            if self.faults.tell is not None:
                self.faults.tell(f"  † crashed at: {crash}")
            self.kill(process)
            if self.faults.is_due("spoiled snapshot"):
                process.files[self.faults.rng.choice(process.shard_ids)].spoil_newest()
        except LeaseLost:
            self.faults.happened["stepped down"] += 1
            self.kill(process)
        except LogFailure:
            self.faults.happened["ended by the log"] += 1
            if process.clock is not None and self.faults.chance(0.3):
                # Somebody sees to a clock with which no process stays up.
                process.clock.offset_us = 0
            self.kill(process)
        except ShardHalted as halted:
            self._halt(process, halted)

    def _halt(self, process: Process, halted: ShardHalted) -> None:
        if process.leases and halted.reason is HaltReason.DIVERGENCE and not halted.record_hash:
            self.faults.happened["shadow refused"] += 1
            process.refused = True
            self.kill(process)
            return
        self.halted[halted.shard] = halted
        self.kill_host_of(halted.shard)

    def _disturbed(self, process: Process) -> bool:
        """Freeze processes, take the store of leases away, ask for a handover; all by chance."""
        faults = self.faults
        if process.stands_still:
            process.stands_still -= 1
            return True
        if faults.crashes_left > 0 and faults.strikes("shard frozen"):
            process.stands_still = faults.rng.randint(5, 80)
        self.leases.suffer(process.shard_ids)
        return False

    def _start(self, process: Process) -> None:
        process.log = log = WorkerLog(self.log)
        self._holders += 1
        process.clock = process.clock or OwnClock(self.clock)
        process.hosts = [self._host(process, log, shard) for shard in process.shard_ids]
        if self.standby:
            self._give_leases(process, f"h{self._holders}")
        process.worker = Worker(process.hosts, log, Unmeasured(), process.leadership)
        if self._doubled.intersection(process.shard_ids):
            log.between = lambda: self._let_other_leaders_move(process)
        process.start_worker()
        log.between = nobody_moves

    def _let_other_leaders_move(self, starting: Process) -> None:
        """Who leads the same shards goes on while one that starts looks at the log."""
        if self.faults.calm or not self.faults.chance(0.2):
            return
        others = [each for each in self.processes if each is not starting and each.log is not None]
        for _ in range(MOVES_BETWEEN):
            for each in others:
                if each.log is not None and self._doubled.intersection(each.shard_ids):
                    self.faults.happened["moved while another started"] += 1
                    self._turn_process(each)
        if starting.log is None:
            raise Crash("another process of the shard has halted")

    def _host(self, process: Process, log: SimLog, shard: str) -> Host | Shadow:
        assert process.clock is not None
        files, decider = process.files[shard], process.deciders.get(shard, self.deciders[shard])
        background = SimBackground(files, self.faults)
        snapshots = SnapshotStore(files, background, f"-{self.processes.index(process)}")
        if not self.standby:
            return Host(shard, decider, log, process.clock, snapshots, self.policy, _ignore)
        room = LITTLE_ROOM if self.faults.strikes("little room") else HELD_BYTES
        return Shadow(
            shard, decider, log, process.clock, snapshots, self.policy, _ignore, held_bytes=room
        )

    def _give_leases(self, process: Process, holder: str) -> None:
        process.leases = [
            Lease(
                shard,
                holder,
                self.leases,
                self.clock.monotonic_s,
                is_gone=self.leases.is_gone,
                ttl_s=TTL_S,
                renew_s=RENEW_S,
            )
            for shard in process.shard_ids
        ]
        process.keeper = SimKeeper(process.leases, self.faults)
        members = {host.id: host for host in process.hosts}
        note = partial(self._note_promotion, process)
        process.leadership = WatchedLeadership(
            process.leases, members, process.keeper, self.clock, note
        )

    def _work(self, process: Process) -> None:
        assert process.worker is not None and process.clock is not None
        process.clock.perhaps_jump(self.faults)
        if process.keeper is not None:
            process.keeper.come_to_it()
        process.worker.turn(0.0)
        if process.leadership is not None and process.leadership.asked:
            self._yield(process)

    def _yield(self, process: Process) -> None:
        assert process.worker is not None and process.leadership is not None
        process.leadership.yield_all()
        process.worker.finish()
        for lease in process.leases:
            lease.release()
        self.faults.happened["handed over"] += 1
        self.kill(process)

    def _note_promotion(self, process: Process, shadow: Shadow) -> None:
        self.faults.happened["promotion"] += 1
        end, mark = self.leases.taken[(shadow.id, process.leases[0].holder)]
        right, began = shadow.id not in process.deciders, process.began[shadow.id]
        computed = range(began + 1, shadow.host.shard.ordinal + 1)
        self.promotions.append(Promotion(shadow.id, right, computed, end, mark, shadow.mark_taken))

    def _second(self, process: Process) -> Process:
        """Another process for the same shards, with files of its own or shared ones."""
        if self.faults.chance(0.5):
            return Process(process.shard_ids, process.files)
        return Process(
            process.shard_ids, {shard: SimFiles(self.faults) for shard in process.shard_ids}
        )

    def kill(self, process: Process) -> None:
        """End a process; what it had under way may arrive, late, in part or not at all."""
        if process.log is not None:
            self.log.lose_producer(process.log)
        for host in process.hosts:
            # Of two processes of a shard, what the one has accepted that came further counts.
            others = self.stopped_at.get(host.id, 0) if self.standby else 0
            self.stopped_at[host.id] = max(host.position, others)
        self.leases.dead.update(lease.holder for lease in process.leases)
        process.log = None
        process.hosts = []
        process.leases = []
        process.keeper = process.leadership = process.worker = None

    def double(self) -> None:
        """Start one more process for shards that run already, on a machine of its own."""
        shard_ids = self.faults.rng.choice(self.processes).shard_ids
        files = {shard: SimFiles(self.faults) for shard in shard_ids}
        self.processes.append(Process(shard_ids, files))
        self._doubled.update(shard_ids)
        self.faults.happened["second leader"] += 1

    def kill_host_of(self, shard: str) -> None:
        """End the process that runs the shard."""
        for process in self.processes:
            if shard in process.shard_ids:
                self.kill(process)

    def _busy(self) -> Sequence[Process | Member]:
        """Whom to choose from for the next turn; nobody if nothing is left to do."""
        members = [member for member in self.members if member.busy()]
        if members and self.standby:
            return [*self.processes, *members]
        if members:
            working = [process for process in self.processes if self._is_busy(process)]
            # Who waits may wait for ticks: sooner or later all have turns.
            return [*working, *members, self.faults.rng.choice(self.processes)]
        working = [process for process in self.processes if self._is_busy(process)]
        if not working:
            # What is late comes on anybody's turn.
            waits = not self.log.idle() or (self.standby and self._is_unled())
            return self.processes if waits else ()
        # Where leases are kept, all must have their turns.
        return [*working, *working, *self.processes] if self.standby else working

    def awaits_time(self, whose: Member) -> bool:
        """Whether but for this member nobody has to do with anything but time."""
        if any(each is not whose and each.busy() for each in self.members):
            return False
        return not any(self._is_busy(process) for process in self.processes)

    def _is_unled(self) -> bool:
        """Whether somebody waits to take over a shard that nobody leads."""
        led = {shadow.id for shadow in self.shadows() if shadow.leading}
        unled = [each for each in self.processes if not led.issuperset(each.shard_ids)]
        return not all(process.refused or self._is_halted(process) for process in unled)

    def _may_pass(self, whose: Process | Member) -> bool:
        """Whether nothing is late where it has no turn now; where leases are kept, it would be."""
        return not self.standby and isinstance(whose, Process) and not self._is_busy(whose)

    def _is_busy(self, process: Process) -> bool:
        if process.refused or (self.halted and self._is_halted(process)):
            return False
        log = process.log
        return log is None or process.stands_still > 0 or log.busy()

    def _is_halted(self, process: Process) -> bool:
        return any(shard in self.halted for shard in process.shard_ids)


def _ignore(event: str, detail: str) -> None:
    """Reports are for operators."""
