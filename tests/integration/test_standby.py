"""Two processes of shards: one is killed, frozen, asked to hand over, and nothing is lost."""

import os
import signal
import time

import pytest

from domain.matching.messages import TradeExecuted
from infra.lease import Phase, standby_name
from infra.lease_stores import open_lease_store
from schemas.record import decode_record
from tests.integration.running_stack import RunningStack, ready_stack
from tests.integration.witness import FUNDS, Findings, Witness

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CLIENTS = 3
SHARDS = ("A0", "A1", "L0", "L1", "M0", "M1")
PAIR = ("shards", "shards-standby")
LOAD_S = 2.0
FROZEN_S = 5.0
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with ready_stack(tmp_path_factory.mktemp("pair"), "--standby") as running:
        yield running


@pytest.fixture(scope="module")
def clients(pair):
    """Clients that trade as long as the tests of this module go on."""
    found = [Witness(pair.url, pair.add_user(**FUNDS), seed) for seed in range(CLIENTS)]
    for client in found:
        client.start()
    yield found
    for client in found:
        client.trader.close()


def process_of(pair: RunningStack, name: str, phase: Phase) -> int:
    """The id of the process that holds the lease in that phase; 0 if none does."""
    entry = open_lease_store(pair.settings).read(name)
    if entry is None or entry.phase is not phase:
        return 0
    return int(entry.holder.split("/")[-2])


def leader(pair: RunningStack) -> int:
    """The process that leads a shard of matching, 0 while none does."""
    return process_of(pair, "M0", Phase.LEADING)


def with_shadow(pair: RunningStack) -> int:
    """The process that leads all, once the other one has caught up with it."""

    def settled() -> bool:
        leaders = {process_of(pair, shard, Phase.LEADING) for shard in SHARDS}
        shadows = {process_of(pair, standby_name(shard), Phase.READY) for shard in SHARDS}
        pids = [pair.pid(name) for name in PAIR]
        return sorted([*leaders, *shadows]) == sorted(pids) and 0 not in pids

    pair.until(settled, PATIENCE_S, "one process must lead and the other stand by")
    return leader(pair)


def taken_over(pair: RunningStack, before: int, moment_s: float) -> float:
    """Wait until another process leads, and then for a trade; seconds to it from the moment."""
    pair.until(lambda: leader(pair) not in (0, before), PATIENCE_S, "the shadow must take over")
    promoted_s = time.time()
    wanted = "there must be trades again"
    pair.until(lambda: first_trade_after(pair, promoted_s) is not None, PATIENCE_S, wanted)
    first_s = first_trade_after(pair, moment_s)
    assert first_s is not None
    return first_s


def first_trade_after(pair: RunningStack, moment_s: float) -> float | None:
    """Seconds from the moment to the first trade that the log has after it; None if it has none."""
    found: list[int] = []
    for partition in (0, 1):
        for record in pair.records("matching.ev", partition):
            late = record.timestamp_ms >= moment_s * 1_000
            messages = decode_record(record.value).messages if late else []
            if any(isinstance(message, TradeExecuted) for message in messages):
                found.append(record.timestamp_ms)
    return min(found) / 1_000 - moment_s if found else None


def report(capsys: pytest.CaptureFixture[str], words: str) -> None:
    with capsys.disabled():
        print(f"\nstandby: {words}")


def test_a_killed_leader_is_replaced(pair, clients, capsys):
    before = with_shadow(pair)
    killed_s = time.time()
    os.kill(before, signal.SIGKILL)
    first_s = taken_over(pair, before, killed_s)
    report(capsys, f"first trade {first_s:.2f} s after SIGKILL")


def test_a_frozen_leader_is_replaced_and_steps_down(pair, clients, capsys):
    before = with_shadow(pair)
    frozen_s = time.time()
    os.kill(before, signal.SIGSTOP)
    try:
        first_s = taken_over(pair, before, frozen_s)
        time.sleep(FROZEN_S)
    finally:
        resumed_s = time.time()
        os.kill(before, signal.SIGCONT)
    pair.until(
        lambda: before not in {pair.pid(name) for name in PAIR}, PATIENCE_S, "it must step down"
    )
    down_s = time.time() - resumed_s
    said = "".join((pair.data_dir / "logs" / f"{name}.log").read_text() for name in PAIR)
    assert '"stepped down"' in said
    report(capsys, f"first trade {first_s:.2f} s after SIGSTOP, gone {down_s:.2f} s after SIGCONT")


def test_shards_are_handed_over(pair, clients, capsys):
    before = with_shadow(pair)
    done = pair.command("handover", "L0", "M0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("handed over to") == 2
    assert leader(pair) not in (0, before)
    report(capsys, done.stdout.strip().replace("\n", "; "))


def test_nothing_is_lost_or_doubled(pair, clients):
    time.sleep(LOAD_S)
    for client in clients:
        client.end()
    funds = {asset: int(amount) * 10**8 for asset, amount in FUNDS.items()}
    for client in clients:
        assert len(client.record.placed) > 50
        Findings(client).judge(funds)


@pytest.mark.parametrize(("words", "said"), [(("replay",), "EQUAL: "), (("audit",), "SOUND")])
def test_the_log_follows_from_its_inputs(pair, clients, words, said):
    done = pair.command(*words)
    assert done.returncode == 0, f"{done.stdout[-3_000:]}\n{done.stderr[-1_000:]}"
    assert said in done.stdout


def test_without_a_shadow_nothing_is_handed_over(pair, clients):
    with_shadow(pair)
    standing_by = next(name for name in PAIR if pair.pid(name) != leader(pair))
    os.kill(pair.pid(standing_by), signal.SIGSTOP)
    try:
        done = pair.command("handover", "L0")
    finally:
        os.kill(pair.pid(standing_by), signal.SIGCONT)
    assert done.returncode == 1
    assert "shard L0 must have a shadow" in done.stderr
