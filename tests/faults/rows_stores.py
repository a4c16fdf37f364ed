"""Rows of projections, Redis, ClickHouse and full disks: what is read suffers, never the log."""

import shutil
import time
import urllib.request
from pathlib import Path

from infra.redis import RedisError, redis_client
from projections.layout import position_key, redis_key
from projections.redis_sink import current_build
from tests.benchmarks.percentiles import percentile
from tests.faults.rows import Run, row
from tests.faults.stack import FaultStack, until

VIEWS_S = 120.0
NOTICED_S = 10.0
ORDERS_GO_ON_S = 2.0
"""Orders do not need what these rows break; the slack is for a busy machine."""


@row(
    "F13 kill",
    "the projector of Redis is killed",
    target_s=ORDERS_GO_ON_S,
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
    target_s=ORDERS_GO_ON_S,
    at_most={"noticed s": NOTICED_S},
)
def projector_hangs(run: Run) -> None:
    stack = run.stack
    run.fault("SIGSTOP project-redis for 20 s")
    with stack.frozen("project-redis"):
        begin_s = time.monotonic()
        noticed = until(lambda: not _reads_are_fresh(stack), NOTICED_S)
        run.measured["noticed s"] = time.monotonic() - begin_s
        run.demand(noticed, f"a view that stands still must be told within {NOTICED_S:.0f} s")
        run.wait(20.0 - run.measured["noticed s"])
    _expect_fresh(run, "fresh after hang s")


@row("F14 AOF", "Redis is killed, and comes back with its file", target_s=ORDERS_GO_ON_S)
def redis_killed(run: Run) -> None:
    run.fault("SIGKILL redis")
    run.stack.sigkill("redis")
    run.wait(1.0)
    _expect_fresh(run, "fresh s")


@row("F14 FLUSHALL", "Redis forgets everything", target_s=ORDERS_GO_ON_S)
def redis_flushed(run: Run) -> None:
    client = redis_client(run.stack.settings.redis_url)
    run.fault("FLUSHALL")
    client.flushall()
    client.close()
    _expect_fresh(run, "rebuilt s")


@row("F14 frozen", "Redis hangs for 10 s", target_s=ORDERS_GO_ON_S)
def redis_frozen(run: Run) -> None:
    run.fault("SIGSTOP redis for 10 s")
    with run.stack.frozen("redis"):
        run.wait(10.0)
    _expect_fresh(run, "fresh s")
    before, during = _latency_p99_ms(run, -3.0, 0.0), _latency_p99_ms(run, 0.0, 10.0)
    run.measured |= {"p99 before ms": before, "p99 without Redis ms": during}


@row("F14 leases", "Redis, which keeps the leases, hangs for 10 s", leases="redis", target_s=2.0)
def lease_store_frozen(run: Run) -> None:
    """A store that is away neither stops a leader nor promotes a shadow."""
    leaders = {shard: run.stack.leading(shard) for shard in ("L0", "M0")}
    run.fault("SIGSTOP redis for 10 s")
    with run.stack.frozen("redis"):
        run.wait(10.0)
    run.wait(2.0)
    for shard, leader in leaders.items():
        run.demand(run.stack.leading(shard) == leader, f"{shard} must keep its leader {leader}")


@row("F15 kill", "ClickHouse is killed thrice while it stores", target_s=ORDERS_GO_ON_S)
def clickhouse_killed(run: Run) -> None:
    stack = run.stack
    for _ in range(3):
        run.wait(run.rng.uniform(0.5, 2.0))
        before = stack.pid("query")
        run.fault("SIGKILL query, which has ClickHouse within")
        stack.sigkill("query")
        stack.until_restarted("query", before)
        stack.until_ready()


@row("F15 lost", "ClickHouse loses its data", target_s=ORDERS_GO_ON_S)
def clickhouse_lost(run: Run) -> None:
    stack = run.stack
    with stack.no_restarts():
        run.fault("SIGKILL query, its directory of ClickHouse removed")
        stack.sigkill("query")
        time.sleep(0.5)
        shutil.rmtree(stack.data_dir / "clickhouse")
    with run.timed("filled again s"):
        stack.until(lambda: stack.pid("query") != 0, 60.0, "query must start")
        stack.until(lambda: _reads_are_fresh(stack), VIEWS_S, "ClickHouse must be filled again")


@row("F16", "the disk of a broker is full", target_s=5.0)
def broker_disk_full(run: Run) -> None:
    stack = run.stack
    broker = stack.broker_leading("ledger.in", 0)
    before = stack.pid(broker)
    size = max(path.stat().st_size for path in stack.log_dir(broker, "ledger.in", 0).glob("*.log"))
    run.fault(f"no file of {broker} may grow beyond {size} bytes")
    stack.limit_files(broker, size)
    ended = until(lambda: stack.pid(broker) != before, 60.0)
    run.demand(ended, f"{broker} must end when it cannot store")
    run.recovered()
    stack.until_replicated()


@row("F17 snapshots", "the disk of snapshots is full", target_s=ORDERS_GO_ON_S)
def snapshots_disk_full(run: Run) -> None:
    stack = run.stack
    folder = stack.settings.snapshots_dir
    hosts = stack.hosts()
    before = [stack.pid(name) for name in hosts]
    logs = [stack.data_dir / "logs" / f"{name}.log" for name in hosts]
    room = max(path.stat().st_size for path in logs) + 16_384
    run.fault(f"no file of {', '.join(hosts)} may grow beyond {room} bytes")
    for name in hosts:
        stack.limit_files(name, room)
    newest = _newest(folder)
    run.wait(30.0)
    run.words.append("no snapshot was taken" if _newest(folder) == newest else "small ones were")
    run.demand(before == [stack.pid(name) for name in hosts], "no host may end or halt for this")
    for name in hosts:
        stack.limit_files(name)
    run.demand(until(lambda: _newest(folder) > newest, 60.0), "snapshots must be taken again")


@row("F17 Redis", "the disk of Redis is full", target_s=ORDERS_GO_ON_S)
def redis_disk_full(run: Run) -> None:
    stack = run.stack
    folder = stack.data_dir / "redis"
    size = max(path.stat().st_size for path in folder.rglob("*.aof"))
    run.fault(f"no file of redis may grow beyond {size} bytes")
    stack.limit_files("redis", size)
    run.wait(10.0)
    stack.limit_files("redis")
    _expect_fresh(run, "fresh s")


@row("F17 ClickHouse", "the disk of ClickHouse is full", target_s=ORDERS_GO_ON_S)
def clickhouse_disk_full(run: Run) -> None:
    stack = run.stack
    run.fault("no file of query may grow beyond 4096 bytes")
    stack.limit_files("query", 4_096)
    run.wait(10.0)
    if stack.pid("query"):
        stack.limit_files("query")
    stack.until(lambda: _reads_are_fresh(stack), VIEWS_S, "reads must be fresh again")


def _expect_fresh(run: Run, name: str) -> None:
    """Wait until the views of Redis have what stood in the log when this began."""
    wanted = _ends(run.stack)
    begin_s = time.monotonic()
    fresh = until(lambda: _views_reach(run.stack, wanted), VIEWS_S)
    run.measured[name] = time.monotonic() - begin_s
    run.demand(fresh, f"views must be fresh again within {VIEWS_S:.0f} s")


def _ends(stack: FaultStack) -> dict[int, int]:
    """By ledger partition, the offset that the next record will get."""
    log = stack.log()
    try:
        return {p: log.ends("ledger.ev", p)[1] for p in range(stack.settings.ledger_partitions)}
    finally:
        log.close()


def _views_reach(stack: FaultStack, wanted: dict[int, int]) -> bool:
    client = redis_client(stack.settings.redis_url)
    try:
        build = current_build(client)
        keys = {p: redis_key(build, position_key("ledger.ev", p)) for p in wanted}
        return all(int(client.hget(keys[p], "offset") or 0) >= end for p, end in wanted.items())
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


def _newest(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.glob("*/*.snapshot"))


def _latency_p99_ms(run: Run, begin_s: float, end_s: float) -> float:
    """Of orders begun between these moments, counted from the fault."""
    begin_s, end_s = run.fault_s + begin_s, run.fault_s + end_s
    took = [
        sent.answered_s - sent.began_s
        for sent in run.load.acknowledged()
        if begin_s <= sent.began_s < end_s
    ]
    return percentile(took, 99.0) * 1e3 if took else 0.0
