"""Every process is killed under load: nothing is lost or doubled by the clients' own records."""

import time

import pytest

from tests.integration.running_stack import PROCESSES
from tests.integration.witness import FUNDS, Findings, Witness

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CLIENTS = 4
LOAD_S = 1.0


@pytest.fixture(scope="module")
def witnesses(whole_stack):
    """Clients that have traded while each process was killed once, and are silent now."""
    whole_stack.until_ready()
    clients = [
        Witness(whole_stack.url, whole_stack.add_user(**FUNDS), seed) for seed in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    time.sleep(LOAD_S)
    for name in ("shards", "project-redis", "query", "gateway", "redis", "kafka", "shards"):
        assert name in PROCESSES
        whole_stack.kill(name)
        whole_stack.until_ready()
        time.sleep(LOAD_S)
    for client in clients:
        client.end()
    yield clients
    for client in clients:
        client.trader.close()


def test_the_load_was_load(witnesses):
    assert sum(len(client.record.placed) for client in witnesses) > 300
    assert all(client.record.retried for client in witnesses), "some requests must meet a fault"
    assert all(client.record.canceled for client in witnesses)


def test_nothing_is_lost_or_doubled(stack, witnesses):
    funds = {asset: int(amount) * 10**8 for asset, amount in FUNDS.items()}
    for client in witnesses:
        Findings(client).judge(funds)


def test_most_orders_were_acknowledged(witnesses):
    for client in witnesses:
        entries = client.record.placed.values()
        acknowledged = sum(entry.acknowledged for entry in entries)
        others = [entry for entry in entries if not entry.acknowledged]
        assert acknowledged > 0.9 * len(entries), others[:5]
        told = {entry.answer.code for entry in others if entry.answer is not None}
        assert told <= {-1021}, "nothing was wrong with any order but that it may come too late"


def test_the_same_bytes_still_get_the_same_answer(witnesses):
    """The newest request of each client, sent once more: one order, one result."""
    for client in witnesses:
        entry = [e for e in client.record.placed.values() if e.acknowledged][-1]
        assert client.trader.send(entry.request).body == entry.answer.body


def test_the_log_follows_from_its_inputs(stack, witnesses, tmp_path):
    """What auditors run after all that: on the live log, and on a copy of it."""
    exported = str(tmp_path / "export")
    for words, said in (
        (("replay",), "EQUAL: "),
        (("audit",), "SOUND"),
        (("export", exported), ""),
        (("replay", "--from", exported), "EQUAL: "),
        (("audit", "--from", exported), "SOUND"),
    ):
        done = stack.command(*words)
        told = f"logbourse {' '.join(words)}\n{done.stdout[-3_000:]}\n{done.stderr[-1_000:]}"
        assert done.returncode == 0, told
        assert said in done.stdout, told
