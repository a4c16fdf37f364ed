"""Rows of power loss: the ends of Kafka's files are gone, on one broker or on all of them."""

import time

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.kafka import admin_client
from infra.log import Partition
from schemas.topics import inbox, outbox
from streams.audit.archive import place_name, position_name
from tests.faults.evidence import halts_in
from tests.faults.load import SYMBOLS, Load
from tests.faults.losses import command_ids
from tests.faults.rows import Run, row
from tests.faults.stack import BROKERS, SHARDS, FaultStack, until

KIB = 1_024
INBOXES = [inbox(shard) for shard in SHARDS]
INBOX_TOPICS = ("accounts.in", "ledger.in", "matching.in")
OUTBOXES = [outbox(shard) for shard in SHARDS]
MARKS = [("__consumer_offsets", partition) for partition in range(4)]
DETECTED_S, NOTICED_S = 120.0, 3.0
NOTHING_BEFORE = {"acknowledged before the halt": 0.0}
REASONS = ("ACKED_LOSS", "GAP", "DIVERGENCE", "INPUT_CHANGED")


@row("F9a", "a broker loses power, and the ends of its files", target_s=5.0)
def one_broker_loses_power(run: Run) -> None:
    with run.stack.no_restarts():
        broker = _kill_a_broker(run, "the ends of its files")
        for topic, partition in [*INBOXES, *OUTBOXES, *MARKS]:
            run.stack.cut_tail(broker, topic, partition, run.rng.randrange(1, 64 * KIB))
        run.recovered(time.monotonic())
        run.wait(2.0)
    run.stack.until_replicated()


@row("F9a disk", "a broker loses all its copies, but for its vote", target_s=5.0)
def one_broker_loses_its_copies(run: Run) -> None:
    """As docs/runbook.md tells an operator to take a damaged copy away (INPUT_CHANGED)."""
    with run.stack.no_restarts():
        run.stack.lose_disk(_kill_a_broker(run, "its files"))
        run.wait(2.0)
    run.recovered()
    started_s = time.monotonic()
    run.stack.until_replicated()
    run.measured["copied again s"] = time.monotonic() - started_s


def _kill_a_broker(run: Run, loses: str) -> str:
    """Which one has died."""
    broker = run.rng.choice(BROKERS)
    run.fault(f"SIGKILL {broker}, without {loses}")
    run.stack.sigkill(broker)
    time.sleep(1.0)
    return broker


@row(
    "F9b 1",
    "all brokers lose power, one the ends of its files",
    own_stack=True,
    may_lose=True,
    at_most=NOTHING_BEFORE,
)
def one_copy_is_cut(run: Run) -> None:
    _all_lose_power(run, copies=1)


@row(
    "F9b 2",
    "all brokers lose power, two the ends of their files",
    own_stack=True,
    may_lose=True,
    at_most=NOTHING_BEFORE,
)
def two_copies_are_cut(run: Run) -> None:
    _all_lose_power(run, copies=2)


@row(
    "F9b 3",
    "all brokers lose power, and the ends of their files",
    own_stack=True,
    may_lose=True,
    at_most=NOTHING_BEFORE,
)
def three_copies_are_cut(run: Run) -> None:
    _all_lose_power(run, copies=3)


@row(
    "F9b flush",
    "the same where each record of an inbox is on disk before it is acknowledged",
    own_stack=True,
    at_most=NOTHING_BEFORE,
)
def inboxes_are_flushed(run: Run) -> None:
    """Inboxes lose nothing, as `flush.messages=1` promises; everything else loses its end.

    That Kafka keeps this promise is taken as given: the inboxes' files are not cut, and SIGKILL
    takes no page cache with it. Shown is that what then remains is enough.
    """
    flush_inboxes(run.stack)
    run.wait(2.0)
    flushed = flush_messages(run.stack)
    run.demand(set(flushed.values()) == {"1"}, f"each record must be flushed, {flushed} is set")
    _cut_and_reopen(run, dict.fromkeys([*OUTBOXES, *MARKS], BROKERS))
    lost = _lost(run.stack, run.load)
    run.demand(not lost, f"nothing acknowledged may be lost, {len(lost)} orders are")


def flush_inboxes(stack: FaultStack) -> None:
    """Let Kafka bring each record of the inboxes to the disk before it acknowledges it."""
    entry = ConfigEntry("flush.messages", "1", incremental_operation=AlterConfigOpType.SET)
    wishes = [
        ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for topic in INBOX_TOPICS
    ]
    # Kept in a name: what it was asked ends with the client.
    client = admin_client(stack.settings)
    for done in client.incremental_alter_configs(wishes).values():
        done.result(10.0)


def flush_messages(stack: FaultStack) -> dict[str, str | None]:
    """After how many records the brokers flush each inbox, as they say themselves."""
    client = admin_client(stack.settings)
    asked = [ConfigResource(ResourceType.TOPIC, topic) for topic in INBOX_TOPICS]
    return {
        wish.name: told.result(10.0)["flush.messages"].value
        for wish, told in client.describe_configs(asked).items()
    }


def _all_lose_power(run: Run, copies: int) -> None:
    """Of each partition that is hit, so many copies are cut, each by another length."""
    rng = run.rng
    places = rng.sample([*INBOXES, *OUTBOXES], rng.randint(1, 6))
    places += rng.sample(MARKS, rng.randint(0, 4))
    _cut_and_reopen(run, {place: tuple(rng.sample(BROKERS, copies)) for place in places})


def _cut_and_reopen(run: Run, cuts: dict[Partition, tuple[str, ...]]) -> None:
    """Lose power and tails; whatever Kafka has lost must halt, and `recover` must reopen it.

    A shard halts once it reads what contradicts it. Until the first does, those whose partitions
    are whole may acknowledge: that is counted, and wanted is none.
    """
    stack = run.stack
    mark = len(stack.words())
    with stack.no_restarts():
        run.fault("SIGKILL all brokers")
        stack.sigkill(*BROKERS)
        time.sleep(1.0)
        for (topic, partition), brokers in cuts.items():
            for broker in brokers:
                gone = _cut(run, broker, topic, partition)
                run.words.append(f"{broker} {topic}.{partition} -{gone}")
                if gone:
                    run.cut.add(place_name((topic, partition)))
    begin_s = time.monotonic()

    def decided() -> bool:
        return _halted(stack, mark) or _acknowledges(run, begin_s)

    run.demand(until(decided, DETECTED_S), f"a halt or an order within {DETECTED_S:.0f} s")
    if not until(lambda: _halted(stack, mark), NOTICED_S):
        lost = _lost(stack, run.load)
        run.demand(not lost, f"{len(lost)} acknowledged orders are gone, and no shard halted")
        return
    run.measured["halt s"] = time.monotonic() - begin_s
    early = [sent for sent in run.load.acknowledged() if sent.answered_s > begin_s]
    run.measured["acknowledged before the halt"] = len(early)
    _expect_named(run, _words_of_halt(stack, mark))
    with run.timed("reopened s"):
        _reopen(run)


def _cut(run: Run, broker: str, topic: str, partition: int) -> int:
    """What the page cache had not brought to the disk: never the beginning of the exchange."""
    newest = max(run.stack.log_dir(broker, topic, partition).glob("*.log"))
    most = min(32 * KIB, newest.stat().st_size // 2)
    return run.stack.cut_tail(broker, topic, partition, run.rng.randrange(most + 1))


def _reopen(run: Run) -> None:
    """What docs/operating.md tells an operator to do."""
    stack = run.stack
    stack.stop()
    done = stack.command("recover", "--yes", timeout_s=400.0)
    run.demand(
        done.returncode == 0 and "replay: EQUAL" in done.stdout and "audit: SOUND" in done.stdout,
        f"recover must end well, said {done.stdout[-1_500:]} {done.stderr[-500:]}",
    )
    run.reopened_s = time.monotonic()
    stack.start()
    stack.until_whole()
    opened_s = time.monotonic()
    run.wait(2.0)
    run.demand(not _trades(run, opened_s), "markets must be halted after a recovery")
    for symbol in SYMBOLS:
        stack.admin("resume-market", symbol=symbol)
    run.recovered(time.monotonic())


def _halted(stack: FaultStack, mark: int) -> bool:
    return " HALTED and stays down" in stack.words()[mark:]


def _words_of_halt(stack: FaultStack, mark: int) -> str:
    return next(line for line in stack.words()[mark:].splitlines() if " HALTED" in line)[:300]


def _expect_named(run: Run, words: str) -> None:
    """A halt says why, and at which position: the input of its shard, and an offset there."""
    halts = halts_in(words)
    named = any(halt.reason in REASONS for halt in halts)
    run.demand(named, f"a halt must name its place: {words}")
    for halt in halts:
        run.words.append(f"halted at {position_name(inbox(halt.shard), halt.offset)}")
    run.words.append(words)


def _acknowledges(run: Run, since_s: float) -> bool:
    return any(sent.sent_s > since_s for sent in run.load.acknowledged())


def _trades(run: Run, since_s: float) -> bool:
    return any(sent.began_s > since_s for sent in run.load.acknowledged())


def _lost(stack: FaultStack, load: Load) -> set[bytes]:
    """The ids of acknowledged orders that no ledger's inbox has."""
    # Asked first: while the log is read, more are acknowledged.
    acknowledged = {sent.command_id for sent in load.acknowledged()}
    known: set[bytes] = set()
    for partition in range(stack.settings.ledger_partitions):
        for found in stack.records("ledger.in", partition):
            known |= command_ids(found.value)
    return acknowledged - known
