"""Rows of projections, Redis, ClickHouse and full disks: what is read suffers, never the log."""

import shutil
import time
import urllib.request
from contextlib import closing, suppress
from dataclasses import dataclass

from infra.redis import RedisError, redis_client
from projections.changes import PlacedRecord
from projections.follower import projector_for
from projections.layout import feeding_partitions, position_key, redis_key
from projections.redis_sink import current_build
from schemas.record import decode_record
from tests.benchmarks.percentiles import percentile
from tests.faults.evidence import Offsets, history_reaches, promotions, sequences_before
from tests.faults.rows import Run, row
from tests.faults.stack import LOOK_S, ORDERS_NEED, SHARDS, FaultStack, until

VIEWS_S = 120.0
NOTICED_S = 10.0
FROZEN_S, FULL_S = 10.0, 10.0
WITNESS = "faults:witness"
STORED_S = 3.0
"""Redis puts off a write to its file by 2 s at most, while the disk is busy with an earlier one."""

WATCHDOG_S = 70.0
FILLED_S = 600.0
"""Under full load history gets a tenth of a core: docs/decisions/0024."""

FAILURES = 'logbourse_shard_snapshot_failures_total{{shard="{}"}}'
ORDERS_GO_ON = {"target_s": 2.0, "must_s": 5.0}
"""Orders do not need what these rows break; the slack is for a busy machine.

Of some 90 runs none has had a longer gap than 1.1 s; 5 s are beyond what a slow machine explains.
"""


@row(
    "F13 kill",
    "the projector of Redis is killed",
    **ORDERS_GO_ON,
    at_most={"fresh after restart s": 5.0},
)
def projector_killed(run: Run) -> None:
    stack = run.stack
    before = stack.pid("project-redis")
    run.fault("SIGKILL project-redis")
    stack.sigkill("project-redis")
    stack.until_restarted("project-redis", before)
    _expect_fresh(run, "fresh after restart s")


@row(
    "F13 hang",
    "the projector of Redis hangs for 20 s",
    **ORDERS_GO_ON,
    at_most={"noticed s": NOTICED_S, "fresh after hang s": 5.0},
)
def projector_hangs(run: Run) -> None:
    """Its watchdog is frozen, too, and may end it afterwards; F13 stuck has one that is awake."""
    stack = run.stack
    run.fault("SIGSTOP project-redis for 20 s")
    with stack.frozen("project-redis"):
        begin_s = time.monotonic()
        noticed = until(lambda: not _reads_are_fresh(stack), NOTICED_S)
        run.measured["noticed s"] = time.monotonic() - begin_s
        run.demand(noticed, f"a view that stands still must be told within {NOTICED_S:.0f} s")
        run.wait(20.0 - run.measured["noticed s"])
    _expect_fresh(run, "fresh after hang s")


@row(
    "F13 stuck",
    "the projector of Redis does not come back from an apply",
    **ORDERS_GO_ON,
    planted=True,
    at_most={"noticed s": NOTICED_S, "fresh after restart s": 5.0},
)
def projector_is_stuck(run: Run) -> None:
    """Its watchdog must end it; what hangs is planted, and gone once it has."""
    stack = run.stack
    before = stack.pid("project-redis")
    hangs = stack.planted_dir / "hang-redis"
    run.fault("the next apply hangs")
    hangs.touch()
    begin_s = time.monotonic()
    noticed = until(lambda: not _reads_are_fresh(stack), NOTICED_S)
    run.measured["noticed s"] = time.monotonic() - begin_s
    run.demand(noticed, f"a view that stands still must be told within {NOTICED_S:.0f} s")
    ended = until(lambda: stack.pid("project-redis") != before, WATCHDOG_S)
    run.measured["ended by its watchdog s"] = time.monotonic() - begin_s
    run.demand(ended, f"a watchdog must end what hangs within {WATCHDOG_S:.0f} s")
    hangs.unlink()
    stack.until_restarted("project-redis", before)
    _expect_fresh(run, "fresh after restart s")


@row("F14 AOF", "Redis is killed, and comes back with its file", **ORDERS_GO_ON)
def redis_killed(run: Run) -> None:
    """That it is its file is shown by a key that nobody would write anew."""
    with closing(redis_client(run.stack.settings.redis_url)) as client:
        client.set(WITNESS, run.seed)
    run.wait(STORED_S)
    run.fault("SIGKILL redis")
    run.stack.sigkill("redis")
    run.wait(1.0)
    _expect_fresh(run, "fresh s")
    with closing(redis_client(run.stack.settings.redis_url)) as client:
        run.demand(bool(client.delete(WITNESS)), "Redis must come back with what it had stored")


@row(
    "F14 FLUSHALL",
    "Redis forgets everything",
    **ORDERS_GO_ON,
    at_least={"events/s": 50_000.0},
)
def redis_flushed(run: Run) -> None:
    """The rate is that of what stood in the log, from the loss on: until it is noticed, too."""
    wanted = _ends(run.stack)
    client = redis_client(run.stack.settings.redis_url)
    run.fault("FLUSHALL")
    client.flushall()
    client.close()
    _expect_fresh(run, "rebuilt s", wanted)
    run.measured["events/s"] = _folded(run.stack, wanted).events / run.measured["rebuilt s"]


@row(
    "F14 frozen",
    "Redis hangs for 10 s",
    **ORDERS_GO_ON,
    at_most={"p99 grows %": 20.0},
)
def redis_frozen(run: Run) -> None:
    """The path of orders does not use Redis: 10 s with it and 10 s without it are compared."""
    run.wait(FROZEN_S)
    run.fault(f"SIGSTOP redis for {FROZEN_S:.0f} s")
    with run.stack.frozen("redis"):
        run.wait(FROZEN_S)
    _expect_fresh(run, "fresh s")
    before, during = _latency_p99_ms(run, -FROZEN_S, 0.0), _latency_p99_ms(run, 0.0, FROZEN_S)
    run.measured |= {"p99 before ms": before, "p99 without Redis ms": during}
    run.measured["p99 grows %"] = 100.0 * (during / before - 1.0)


@row(
    "F14 leases",
    "Redis, which keeps the leases, hangs for 10 s",
    leases="redis",
    **ORDERS_GO_ON,
)
def lease_store_frozen(run: Run) -> None:
    """A store that is away neither stops a leader nor promotes a shadow."""
    stack = run.stack
    leaders = {shard: stack.leading(shard) for shard in SHARDS}
    before, promoted = _needed_by_orders(stack), promotions(stack)
    run.fault("SIGSTOP redis for 10 s")
    with stack.frozen("redis"):
        run.wait(10.0)
    run.wait(2.0)
    for shard, leader in leaders.items():
        run.demand(stack.leading(shard) == leader, f"{shard} must keep its leader {leader}")
    more = promotions(stack) - promoted
    run.demand(not more, f"no shadow may be promoted, were {dict(more)}")
    after = _needed_by_orders(stack)
    run.demand(before == after, f"no process that orders need may end: {before}, then {after}")


def _needed_by_orders(stack: FaultStack) -> dict[str, int]:
    """The ids of the brokers, hosts of shards and gateways."""
    return {name: stack.pid(name) for name in stack.names() if name.startswith(ORDERS_NEED)}


@row("F15 kill", "ClickHouse is killed thrice while it stores", **ORDERS_GO_ON)
def clickhouse_killed(run: Run) -> None:
    stack = run.stack
    for _ in range(3):
        run.wait(run.rng.uniform(0.5, 2.0))
        before = stack.pid("query")
        run.fault("SIGKILL query, which has ClickHouse within")
        stack.sigkill("query")
        stack.until_restarted("query", before)
        stack.until_ready()


@row(
    "F15 lost",
    "ClickHouse loses its data",
    **ORDERS_GO_ON,
    at_least={"rows/s": 100_000.0},
)
def clickhouse_lost(run: Run) -> None:
    """The rate is that of the rows of what stood in the log, the start of the process included."""
    stack = run.stack
    wanted = _ends(stack)
    with stack.no_restarts():
        run.fault("SIGKILL query, its directory of ClickHouse removed")
        stack.sigkill("query")
        time.sleep(0.5)
        shutil.rmtree(stack.data_dir / "clickhouse")
    _expect_filled(run, "filled again s", wanted)
    run.measured["rows/s"] = _folded(stack, wanted).rows / run.measured["filled again s"]


@row("F16", "the disk of a broker is full", target_s=5.0)
def broker_disk_full(run: Run) -> None:
    """Orders go on before it is started again, then with a disk that has room."""
    stack = run.stack
    broker = stack.broker_leading("ledger.in", 0)
    before = stack.pid(broker)
    size = max(path.stat().st_size for path in stack.log_dir(broker, "ledger.in", 0).glob("*.log"))
    run.fault(f"no file of {broker} may grow beyond {size} bytes")
    with stack.no_restarts():
        stack.limit_files(broker, size)
        ended = until(lambda: not stack.listens(broker), 60.0)
        run.demand(ended, f"{broker} must end when it cannot store")
        run.recovered(time.monotonic())
    stack.until_restarted(broker, before)
    stack.until_replicated()


@row("F17 snapshots", "the disk of snapshots is full", **ORDERS_GO_ON)
def snapshots_disk_full(run: Run) -> None:
    """Writing fails, as the shards themselves count it; nobody halts, and the next try succeeds."""
    stack = run.stack
    folder = stack.settings.snapshots_dir
    stack.until(lambda: all(map(stack.snapshots, SHARDS)), 60.0, "shards must have snapshots")
    hosts = stack.hosts()
    before = [stack.pid(name) for name in hosts]
    room = min(path.stat().st_size for path in folder.glob("*/*.snapshot")) - 1
    failed_before = _snapshot_failures(stack)
    run.fault(f"no file of {', '.join(hosts)} may grow beyond {room} bytes")
    for name in hosts:
        stack.limit_files(name, room)
    run.wait(30.0)
    failed = {at for at, n in _snapshot_failures(stack).items() if n > failed_before.get(at, 0)}
    run.words.append(f"snapshots failed: {', '.join(' of '.join(at) for at in sorted(failed))}")
    run.demand(bool(failed), "a snapshot must fail")
    newest = {shard: stack.snapshots(shard)[-1] for shard, _ in failed}
    for name in hosts:
        stack.limit_files(name)
    taken = until(lambda: all(stack.snapshots(each)[-1] > newest[each] for each in newest), 60.0)
    run.demand(taken, "snapshots must be taken again of each shard whose failed")
    run.demand(before == [stack.pid(name) for name in hosts], "no host may end or halt for this")


@row("F17 Redis", "the disk of Redis is full", **ORDERS_GO_ON)
def redis_disk_full(run: Run) -> None:
    """A write beyond the limit ends Redis (SIGXFSZ), where a full disk would let it refuse."""
    stack = run.stack
    folder = stack.data_dir / "redis"
    size = max(path.stat().st_size for path in folder.rglob("*.aof"))
    run.fault(f"no file of redis may grow beyond {size} bytes")
    _fill_disk(run, "redis", size)
    _expect_fresh(run, "fresh s")


@row("F17 ClickHouse", "the disk of ClickHouse is full", **ORDERS_GO_ON)
def clickhouse_disk_full(run: Run) -> None:
    stack = run.stack
    run.fault("no file of query may grow beyond 4096 bytes")
    _fill_disk(run, "query", 4_096)
    _expect_filled(run, "filled again s", _ends(stack))


def _fill_disk(run: Run, name: str, size: int) -> None:
    """For `FULL_S` no file of the process, or of whoever follows it, may grow beyond `size`.

    It must end of that: proof that a write has failed.
    """
    stack, limited = run.stack, 0
    mark = len(stack.words())
    until_s = time.monotonic() + FULL_S
    while time.monotonic() < until_s:
        pid = stack.pid(name)
        if pid not in (0, limited):
            limited = pid
            with suppress(ProcessLookupError):
                stack.limit_files(name, size)
        run.wait(LOOK_S)
    if stack.pid(name):
        stack.limit_files(name)
    ends = stack.ends_of(name, mark)
    run.words.append(f"{name} ended {len(ends)} times: {', '.join(sorted(set(ends)))}")
    run.demand(bool(ends), f"a write of {name} must fail")


def _expect_fresh(run: Run, name: str, wanted: Offsets | None = None) -> None:
    """Wait until the views of Redis have what stood in the log before `wanted`, else by now."""
    wanted = wanted or _ends(run.stack)
    begin_s = time.monotonic()
    fresh = until(lambda: _views_reach(run.stack, wanted), VIEWS_S)
    run.measured[name] = time.monotonic() - begin_s
    run.demand(fresh, f"views must be fresh again within {VIEWS_S:.0f} s")


def _expect_filled(run: Run, name: str, wanted: Offsets) -> None:
    """Wait until history has what stood in the log before `wanted`."""
    begin_s = time.monotonic()
    sequences = sequences_before(run.stack, wanted)
    filled = until(lambda: history_reaches(run.stack, sequences), FILLED_S)
    run.measured[name] = time.monotonic() - begin_s
    run.demand(filled, f"history must be filled again within {FILLED_S:.0f} s")


def _ends(stack: FaultStack) -> Offsets:
    """Of each partition that feeds the views, the offset that the next record will get."""
    settings = stack.settings
    log = stack.log()
    try:
        places = feeding_partitions(settings.ledger_partitions, settings.matching_partitions)
        return {place: log.ends(*place)[1] for place in places}
    finally:
        log.close()


@dataclass(slots=True)
class _Folded:
    """What a part of the log has: events, and the rows of history that they lead to."""

    events: int = 0
    rows: int = 0


def _folded(stack: FaultStack, before: Offsets) -> _Folded:
    found, log = _Folded(), stack.log()
    try:
        for (topic, partition), end in before.items():
            projector = projector_for(topic, partition)
            for raw in log.scan(topic, partition, 0, end):
                record = decode_record(raw.value)
                if record.cseq == projector.position.cseq + 1:
                    changes = projector.apply([PlacedRecord(raw.offset, record)])
                    found.events += len(record.messages)
                    found.rows += sum(map(len, changes.rows.values()))
    finally:
        log.close()
    return found


def _views_reach(stack: FaultStack, wanted: Offsets) -> bool:
    client = redis_client(stack.settings.redis_url)
    try:
        build = current_build(client)
        keys = {place: redis_key(build, position_key(*place)) for place in wanted}
        return all(int(client.hget(keys[at], "offset") or 0) >= end for at, end in wanted.items())
    except RedisError:
        return False
    finally:
        client.close()


def _reads_are_fresh(stack: FaultStack) -> bool:
    """Whether the query API says that it serves."""
    try:
        url = f"http://127.0.0.1:{stack.settings.query_port}/health/ready"
        with urllib.request.urlopen(url, timeout=5.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _snapshot_failures(stack: FaultStack) -> dict[tuple[str, str], float]:
    """By shard and host, how many snapshots could not be written, as the host tells Prometheus."""
    told = {name: stack.metrics(name) for name in stack.hosts()}
    return {
        (shard, name): metrics.get(FAILURES.format(shard), 0.0)
        for name, metrics in told.items()
        for shard in SHARDS
    }


def _latency_p99_ms(run: Run, begin_s: float, end_s: float) -> float:
    """Of orders begun between these moments, counted from the fault."""
    begin_s, end_s = run.fault_s + begin_s, run.fault_s + end_s
    took = [
        sent.answered_s - sent.began_s
        for sent in run.load.acknowledged()
        if begin_s <= sent.began_s < end_s
    ]
    return percentile(took, 99.0) * 1e3 if took else 0.0
