"""A forged channel record halts its shard; an operator's word, and only that, gets out of it."""

import time

import pytest

from domain.markets import MarketHalted
from schemas.record import (
    UndecodableRecord,
    decode_record,
    encode_message,
    encode_record,
    record_hash,
)
from tests.integration.running_stack import SERVES
from tests.integration.trader import ORDER, Trader

pytestmark = [pytest.mark.integration, pytest.mark.slow]

INBOX = ("ledger.in", 0)
SOURCE = "M0"
FAR_AHEAD = 1_000_000


@pytest.fixture
def halted_trader(stack):
    """A user of the ledger shard that will halt, with an order on the book."""
    for _ in range(8):
        account = stack.add_user(USDT="1000")
        if account.user_id % stack.settings.ledger_partitions == INBOX[1]:
            client = Trader(stack.url, account)
            client.good("POST", "/api/v3/order", **ORDER)
            yield client
            client.close()
            return
    pytest.fail("one of eight users must be of the first partition, was none")


def next_of_channel(stack) -> int:
    """The number that the next genuine record of the channel will have."""
    values = [record.value for record in stack.records(*INBOX)]
    newest = 0
    for value in values:
        try:
            record = decode_record(value)
        except UndecodableRecord:
            continue
        if record.src == SOURCE and record.cseq < FAR_AHEAD:
            newest = max(newest, record.cseq)
    return newest + 1


def forge(stack, cseq: int) -> bytes:
    """Append a record that says it comes from a matching shard; its bytes."""
    now_us = time.time_ns() // 1_000
    value = encode_record(
        prev=b"\x66" * 16,
        cause_offset=0,
        src=SOURCE,
        cseq=cseq,
        cause=cseq,
        time_us=now_us,
        input_hash=b"",
        messages=[encode_message(MarketHalted(bytes(16), stack.market_id("BTCUSDT")))],
    )
    producer = stack.producer()
    topic, partition = INBOX
    producer.produce(topic, value=value, partition=partition, timestamp=now_us // 1_000)
    assert producer.flush(10) == 0
    return value


@pytest.mark.parametrize("reason", ["GAP", "DIVERGENCE"])
def test_a_forged_record_halts_until_an_operator_resolves_it(stack, halted_trader, reason):
    said = len(stack.words())
    before = halted_trader.balances()["USDT"]
    cseq = FAR_AHEAD if reason == "GAP" else next_of_channel(stack)
    name = record_hash(forge(stack, cseq)).hex()
    stack.until(lambda: "shards HALTED" in stack.words()[said:], 30.0, "the shards must halt")
    told = stack.words()[said:]
    assert "shard L0 halted at offset" in told
    assert f": {reason}: " in told
    assert f"--shard L0 --record-hash {name} --action skip" in told

    request = halted_trader.sign("POST", "/api/v3/order", **ORDER)
    assert halted_trader.send(request).status == 503
    time.sleep(2)
    assert stack.pid("shards") == 0, "what halted stays down"

    # Started without a word it halts again, at the same record.
    said = len(stack.words())
    start_again(stack)
    stack.until(lambda: name in stack.words()[said:], 60.0, "the shards must halt again")

    words = ("admin", "resolve-halt", "--shard", "L0", "--record-hash", name, "--action", "skip")
    done = stack.command(*words)
    assert done.returncode == 0, done.stderr
    start_again(stack)
    stack.until(lambda: stack.pid("shards") != 0, 10.0, "the shards must start")
    stack.until_ready()
    # Of which nobody could tell what became of it: its own bytes ask.
    answered = halted_trader.send(request)
    assert answered.body["status"] == "NEW", answered
    order_id = answered.body["orderId"]
    halted_trader.good("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=order_id)
    served(stack, halted_trader, before)
    # Replay passes the record by the same word.
    stack.kill("shards")
    served(stack, halted_trader, before)


def test_a_halt_outlives_the_stack_and_is_resolved_after_the_next_start(stack, halted_trader):
    """Views wait for the shard, and the admin port comes after the views."""
    before = halted_trader.balances()["USDT"]
    name = record_hash(forge(stack, FAR_AHEAD)).hex()
    said = len(stack.words())
    stack.until(lambda: "shards HALTED" in stack.words()[said:], 30.0, "the shards must halt")

    stack.stop()
    said = len(stack.words())
    stack.start(until_said="all else is started, but shards HALTED")
    words = ("admin", "resolve-halt", "--shard", "L0", "--record-hash", name, "--action", "skip")
    assert f"logbourse {' '.join(words)}" in stack.words()[said:]

    def resolved() -> bool:
        return stack.command(*words).returncode == 0

    stack.until(resolved, 60.0, "the admin port must take the word")
    assert SERVES not in stack.words()[said:]

    start_again(stack)
    stack.until(lambda: SERVES in stack.words()[said:], 60.0, "everything must serve")
    halted_trader.close()
    served(stack, halted_trader, before)


def start_again(stack) -> None:
    """What the supervisor says an operator should type."""
    (stack.data_dir / "run" / "shards.restart").touch()


def served(stack, trader, before: tuple[int, int]) -> None:
    """The market that the forgery halted trades, and money is where it was."""
    stack.until_ready()
    assert trader.balances()["USDT"] == before
    placed = trader.good("POST", "/api/v3/order", **ORDER)
    assert placed["status"] == "NEW"
    trader.good("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"])


def test_auditors_are_told_what_was_passed_over(stack):
    """A skipped record stays in the log, and replay goes on behind it as the shard did."""
    done = stack.command("replay")
    assert done.returncode == 0, done.stdout[-3_000:]
    assert done.stdout.count("an operator said SKIP") >= 2
    done = stack.command("audit")
    assert done.returncode == 0, done.stdout[-3_000:]
