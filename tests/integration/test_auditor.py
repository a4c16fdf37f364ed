"""The auditor beside a trading exchange: what is forged or spoilt is named, mended or stopped."""

import os
import signal
from datetime import datetime

import pytest

from infra.redis import redis_client
from infra.refusal import Refusal
from projections.layout import balances_key, redis_key
from projections.redis_sink import current_build
from tests.integration.auditor import (
    FOUND_WITHIN_S,
    append,
    changed_copy,
    halted,
    metrics,
    resume,
    said,
    until_metric,
)
from tests.integration.running_stack import Account, RunningStack, ready_stack
from tests.integration.witness import FUNDS, Witness

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    with ready_stack(tmp_path_factory.mktemp("audited"), auditor=True) as running:
        yield running


@pytest.fixture(scope="module")
def idle(audited) -> Account:
    """Somebody who does nothing, so that no worker writes what is spoilt."""
    return audited.add_user(BTC="5")


@pytest.fixture(scope="module")
def clients(audited, idle):
    """A client that trades as long as the tests of this module go on; more would starve others."""
    found = [Witness(audited.url, audited.add_user(**FUNDS), 21)]
    for client in found:
        client.start()
    until_metric(audited, "state", 1)
    yield found
    for client in found:
        client.trader.close()


def test_a_wrong_balance_in_redis_is_written_as_the_log_has_it(audited, idle, clients):
    client = redis_client(audited.settings.redis_url)
    key = redis_key(current_build(client), balances_key(idle.user_id))
    ((field, text),) = client.hgetall(key).items()
    mended = metrics(audited)["mended_keys_total"]
    client.hset(key, field, "[1,2]")
    audited.until(lambda: client.hget(key, field) == text, FOUND_WITHIN_S, "it must be mended")
    client.close()
    until_metric(audited, "mended_keys_total", mended + 1)
    until_metric(audited, 'violations_total{invariant="P1"}', 1)
    assert halted(audited) == {}, "a view stops nothing"


@pytest.mark.parametrize(
    ("topic", "src"), [("ledger.ev", "L0"), ("ledger.in", "M0")], ids=["outbox", "inbox"]
)
def test_a_forged_record_of_a_ledger_stops_withdrawals(audited, idle, clients, topic, src):
    position = append(audited, topic, changed_copy(audited, topic, src, copy_of=3))
    audited.until(lambda: len(halted(audited)) == 3, FOUND_WITHIN_S, "withdrawals must stop")
    assert all(why.startswith(f"S3 {position}: CHANGED {src}") for why in halted(audited).values())
    fields = {"userId": idle.user_id, "asset": "BTC", "amount": "1", "reference": f"out {topic}"}
    with pytest.raises(Refusal, match="WITHDRAWALS_HALTED"):
        audited.admin("withdraw", **fields)
    resume(audited)
    audited.admin("withdraw", **fields)


def kept_since_it_halted(stack: RunningStack) -> bool:
    """Whether there is a checkpoint that knows of all halts: it waits until they hold."""
    halts = [each["timestamp"] for each in said(stack, "halting")]
    kept = [path.stat().st_mtime for path in (stack.data_dir / "auditor").glob("*.snapshot")]
    return max(kept, default=0.0) > datetime.fromisoformat(max(halts)).timestamp()


def test_an_auditor_that_was_killed_goes_on_from_its_checkpoint(audited, clients):
    audited.until(lambda: kept_since_it_halted(audited), FOUND_WITHIN_S, "halts must be kept")
    before = audited.pid("auditor")
    os.kill(before, signal.SIGKILL)
    audited.until(lambda: audited.pid("auditor") not in (0, before), 30.0, "it must be restarted")
    until_metric(audited, "state", 1)
    words = (audited.data_dir / "logs" / "auditor.log").read_text()
    assert "begun at a checkpoint" in words
    assert halted(audited) == {}, "what was found before is not found again"
    position = append(audited, "ledger.ev", changed_copy(audited, "ledger.ev", "L0", copy_of=2))
    audited.until(lambda: len(halted(audited)) == 3, FOUND_WITHIN_S, "withdrawals must stop")
    assert position in halted(audited)["BTC"]
    resume(audited)


def test_nothing_else_was_complained_of_while_clients_traded(audited, clients):
    for client in clients:
        client.end()
    for invariant in ("L2", "L5", "E2", "E5", "P1", "P3"):
        until_metric(audited, f'checks_total{{invariant="{invariant}"}}', 1)
    told = metrics(audited)
    found = {n: v for n, v in told.items() if n.startswith("violations_total") and v}
    assert found.keys() == {'violations_total{invariant="S3"}'}, "since its restart"
