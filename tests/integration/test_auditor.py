"""The auditor beside a trading exchange: what is forged or spoilt is named, mended or stopped."""

import json
import os
import signal
import urllib.request
from collections import Counter
from datetime import datetime

import pytest

from infra.redis import redis_client
from infra.refusal import Refusal
from infra.scraping import targets_file
from projections.layout import balances_key, redis_key
from projections.redis_sink import current_build
from schemas.record import Record, decode_record, encode_message, encode_record
from tests.integration.running_stack import Account, RunningStack, ready_stack
from tests.integration.witness import FUNDS, Witness

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ASSETS = ("USDT", "BTC", "ETH")
FOUND_WITHIN_S = 90.0


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


def metrics(stack: RunningStack) -> Counter[str]:
    """What the auditor tells Prometheus, by name without its prefix; labels are part of it."""
    targets = json.loads(targets_file(stack.settings).read_text())
    (address,) = (
        each["targets"][0] for each in targets if each["labels"].get("process") == "auditor"
    )
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5.0) as answer:
        lines = answer.read().decode().splitlines()
    told = (line.rpartition(" ") for line in lines if line.startswith("logbourse_auditor_"))
    return Counter(
        {name.removeprefix("logbourse_auditor_"): int(float(value)) for name, _, value in told}
    )


def until_metric(stack: RunningStack, name: str, least: int) -> None:
    def reached() -> bool:
        try:
            return metrics(stack)[name] >= least
        except (OSError, ValueError):
            return False

    stack.until(reached, FOUND_WITHIN_S, f"{name} must be {least}")


def halted(stack: RunningStack) -> dict[str, str]:
    """Why which asset may not leave, as everybody is told."""
    with urllib.request.urlopen(f"{stack.url}/x/v1/assets", timeout=5.0) as answer:
        return {each["asset"]: each["reason"] for each in json.load(answer) if each["reason"]}


def resume(stack: RunningStack) -> None:
    for asset in ASSETS:
        stack.admin("resume-withdrawals", asset=asset, reason="a test forged it")
    stack.until(lambda: not halted(stack), FOUND_WITHIN_S, "everybody must be told")


def forge_copy(stack: RunningStack, topic: str, src: str, copy_of: int) -> str:
    """Append a copy of an earlier record of a channel with another content; where it stands.

    Its number is past, so that its receivers drop it: an auditor alone notices.
    """
    log = stack.log()
    try:
        records = [decode_record(r.value) for r in log.scan(topic, 0, *log.ends(topic, 0))]
        genuine = [record for record in records if record.src == src][-copy_of]
        log.produce(topic, 0, forged(genuine))
        assert log.flush(5.0)
        end = log.ends(topic, 0)[1]
        later = log.scan(topic, 0, max(0, end - 200), end)
        found = (r.offset for r in later if r.value == forged(genuine))
        return f"{topic}.0@{next(found)}"
    finally:
        log.close()


def forged(record: Record) -> bytes:
    return encode_record(
        prev=record.prev,
        cause_offset=record.cause_offset,
        src=record.src,
        cseq=record.cseq,
        cause=record.cause,
        time_us=record.time_us + 1,
        input_hash=record.input_hash,
        messages=[encode_message(message) for message in record.messages],
    )


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
    position = forge_copy(audited, topic, src, copy_of=3)
    audited.until(lambda: len(halted(audited)) == 3, FOUND_WITHIN_S, "withdrawals must stop")
    assert all(why.startswith(f"S3 {position}: CHANGED {src}") for why in halted(audited).values())
    fields = {"userId": idle.user_id, "asset": "BTC", "amount": "1", "reference": f"out {topic}"}
    with pytest.raises(Refusal, match="WITHDRAWALS_HALTED"):
        audited.admin("withdraw", **fields)
    resume(audited)
    audited.admin("withdraw", **fields)


def kept_since_it_halted(stack: RunningStack) -> bool:
    """Whether there is a checkpoint that knows of all halts: it waits until they hold."""
    lines = (stack.data_dir / "logs" / "auditor.log").read_text().splitlines()
    events = (json.loads(line) for line in lines if line.startswith("{"))
    halts = [event["timestamp"] for event in events if event["event"] == "halting"]
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
    position = forge_copy(audited, "ledger.ev", "L0", copy_of=2)
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
