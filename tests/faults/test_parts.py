"""The parts of the fault runner by themselves: the proxy, the load, the oracle."""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from domain.decider import Message
from domain.matching.messages import TradeExecuted
from domain.orders.messages import (
    CancelRejected,
    CancelRequested,
    FillSettled,
    OrderAccepted,
    OrderReason,
    OrderRejected,
    OrderType,
    Role,
    Side,
    TimeInForce,
)
from domain.reference import symbol_partition
from infra.ports import any_port, free_port
from native.selection import ROOT
from schemas.record import Record, decode_record
from streams.audit.export import export
from streams.recovery.losses import find_losses
from streams.recovery.plan import make_plan
from streams.recovery.report import write_report
from tests.faults.load import FUNDS, LATE, MIDDLES, SYMBOLS, Sent
from tests.faults.losses import Loss, read_loss
from tests.faults.network import STEP, Network, cut, untouched
from tests.faults.oracle import compare, effects_of, unasked, unsound
from tests.faults.proxy import FROM, Rule, owner_of
from tests.faults.stack import PLANTED, FaultStack
from tests.faults.transit import ages_s
from tests.streams.audited_log import Nobody, archived, traded
from tests.streams.records import from_shard

DEADLINE_US = 1_000
ORDER = Sent(
    0, 0, 1, b"id", DEADLINE_US, "{}", "BTCUSDT", "mine", status=200, result={"orderId": 7}
)
REJECTED = OrderRejected(b"id", 4, 2, "mine", OrderReason.INSUFFICIENT_FUNDS)


@pytest.fixture
def link(tmp_path):
    """The proxies before a server of this process, and both ends of a connection through it."""
    (tmp_path / "me.pid").write_text(str(os.getpid()))
    port = any_port("127.0.0.1")
    while free_port("127.0.0.1", port + STEP) != port + STEP:
        port = any_port("127.0.0.1")
    with socket.create_server(("127.0.0.1", port)) as server:
        network = Network(tmp_path, {port: "server"})
        try:
            client = socket.create_connection(("127.0.0.1", port + STEP), timeout=5.0)
            far, _ = server.accept()
            with client, far:
                yield network, client, far
        finally:
            network.close()


def heard(end: socket.socket, timeout_s: float = 0.3) -> bytes:
    end.settimeout(timeout_s)
    with suppress(TimeoutError):
        return end.recv(100)
    return b""


def test_what_is_cut_arrives_late_and_nothing_is_lost(link):
    network, client, far = link
    client.sendall(b"a")
    assert heard(far, 5.0) == b"a"
    rules = cut("me", "server")
    with network.broken(*rules) as struck:
        client.sendall(b"b")
        assert heard(far) == b""
    assert heard(far, 5.0) == b"b"
    assert struck == {rules[0]: 1, rules[1]: 0}
    assert untouched(rules, struck) == []


def test_a_rule_that_strikes_nothing_is_told_from_those_that_do(link):
    network, client, far = link
    mine, others, late = cut("me", "server"), cut("somebody", "server"), Rule(delay_s=0.01)
    with network.broken(late) as slow:
        with network.broken(*mine, *others) as struck:
            client.sendall(b"a")
            assert heard(far) == b""
        assert heard(far, 5.0) == b"a"
        assert untouched((*mine, *others), struck) == ["server and somebody"]
        far.sendall(b"b")
        assert heard(client, 5.0) == b"b"
    assert slow == {late: 2}, "it went on while others came and went"
    with network.broken(late, Rule(server="nobody")) as slow:
        assert heard(far) == b""
    assert untouched([late], slow) == ["anybody"]


def test_one_way_may_be_cut_alone_and_others_are_not_concerned(link):
    network, client, far = link
    with network.broken(*cut("me", "server", FROM), *cut("somebody", "server")):
        client.sendall(b"a")
        assert heard(far, 5.0) == b"a"
        far.sendall(b"b")
        assert heard(client) == b""
    assert heard(client, 5.0) == b"b"


def test_who_hangs_up_is_not_heard_while_the_way_is_cut(link):
    network, client, far = link
    with network.broken(Rule("me", cut=True)):
        client.shutdown(socket.SHUT_WR)
        far.settimeout(0.3)
        with pytest.raises(TimeoutError):
            far.recv(1)
    far.settimeout(5.0)
    assert far.recv(1) == b""


def test_a_connection_is_told_from_others_with_the_same_port(tmp_path):
    """The system gives a port twice, to connections that lead elsewhere."""
    (tmp_path / "me.pid").write_text(str(os.getpid()))
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.create_connection(one.getsockname()) as client,
    ):
        port = client.getsockname()[1]
        assert owner_of(port, one.getsockname()[1], tmp_path) == "me"
        assert owner_of(port, other.getsockname()[1], tmp_path) == ""


def test_clients_trade_on_both_matching_shards():
    assert {symbol_partition(symbol, 2) for symbol in MIDDLES} == {0, 1}
    assert MIDDLES.keys() == SYMBOLS.keys()
    assert {asset for assets in SYMBOLS.values() for asset in assets} == FUNDS.keys()


def accepted(order_id: int = 7, **changed: Any) -> OrderAccepted:
    event = OrderAccepted(
        b"id", order_id, 4, 2, 1, "mine", Side.BUY, OrderType.LIMIT, TimeInForce.GTC,
        *(1, 1, 0, 1, 1, 1, 1),
    )  # fmt: skip
    return replace(event, **changed)


@pytest.mark.parametrize(
    ("end", "is_wrong"),
    [
        (("WOULD_TAKE", 0, 0), False),
        (("MARKET_HALTED", 0, 0), False),
        (("MARKET_HALTED", 1, 5), True),
        (("FILLED", 1, 5), True),
    ],
)
def test_who_is_refused_has_no_fill_and_no_order_that_rests(end, is_wrong):
    """An order that the book refuses was accepted before, for there are markets that halt."""
    refused = replace(ORDER, status=400, code=-2010)
    assert bool(list(compare([refused], effects_of([(5, accepted())]), {7: end}))) is is_wrong


@pytest.mark.parametrize(
    ("sent", "events", "wrong"),
    [
        (ORDER, [(5, accepted())], ""),
        (ORDER, [], "was acknowledged and is not in the log"),
        (ORDER, [(5, accepted()), (6, accepted(8))], "has 2 outcomes"),
        (ORDER, [(5, accepted(8))], "was acknowledged as 7"),
        (ORDER, [(DEADLINE_US + 1, accepted())], "took effect after its deadline"),
        (replace(ORDER, status=400, code=-2010), [(5, REJECTED)], ""),
        (replace(ORDER, status=400, code=-2010), [(5, accepted())], "was refused with -2010"),
        (replace(ORDER, status=400, code=LATE, attempts=1), [], ""),
        (replace(ORDER, status=400, code=LATE, attempts=1), [(5, accepted())], "and it ran"),
        (replace(ORDER, status=400, code=LATE, attempts=2), [(5, accepted())], ""),
    ],
)
def test_the_oracle_sees_what_is_lost_doubled_late_or_denied(sent, events, wrong):
    found = list(compare([sent], effects_of(events), {7: ("rested", 0, 0), 8: ("rested", 0, 0)}))
    assert bool(found) is bool(wrong), found
    assert wrong in " ".join(found)


LEFT = Loss(
    cut={"ledger.in.0", "ledger.ev.0"},
    commands={b"id": ("ledger.in.0", 9)},
    effects={b"id"},
    kept={"ledger.in.0": 9},
    listed={b"id": 7},
    counted={"PlaceOrder": 1},
)
"""The order stood behind the cut, its acceptance, too, and the report says so."""

CANCEL = replace(ORDER, client_order_id="", order_id=3, result={})


@pytest.mark.parametrize(
    ("sent", "events", "loss", "wrong"),
    [
        (ORDER, [], LEFT, ""),
        (ORDER, [(5, accepted())], LEFT, ""),
        (ORDER, [], Loss(cut={"ledger.in.0", "ledger.ev.0"}), ""),
        (ORDER, [], Loss(cut={"ledger.in.0"}), "is not in ledger.ev.0, of which nothing"),
        (ORDER, [], Loss(cut={"ledger.ev.0"}), "is not in ledger.in.0, of which nothing"),
        (ORDER, [], Loss(cut={"ledger.in.1", "ledger.ev.1"}), "of which nothing was cut off"),
        (ORDER, [], replace(LEFT, cut=()), ""),
        (ORDER, [], replace(LEFT, commands={}, cut=()), "is not in ledger.in.0"),
        (ORDER, [], replace(LEFT, listed={}), "is lost as None"),
        (ORDER, [], replace(LEFT, listed={b"id": 8}), "acknowledged as 7, is lost as 8"),
        (
            ORDER,
            [],
            replace(LEFT, kept={"ledger.in.0": 10}),
            "at ledger.in.0@9, and has no outcome",
        ),
        (ORDER, [], replace(LEFT, counted={}), "1 orders stood behind the cut, the report has 0"),
        (
            ORDER,
            [],
            replace(LEFT, numbers=["ledger.in.1 ends at 7, L1 had done with all before 9"]),
            "nothing was cut off ledger.in.1",
        ),
        (ORDER, [], replace(LEFT, numbers=["ledger.in.0 ends at 7, L0 had done", "L0: …"]), ""),
        (ORDER, [(5, accepted(8))], LEFT, ""),
        (ORDER, [(5, accepted(8))], replace(LEFT, listed={}), "is lost as None"),
        (ORDER, [(5, accepted(8))], Loss(cut={"ledger.in.0"}), "is not in ledger.ev.0"),
        (ORDER, [(5, REJECTED)], LEFT, ""),
        (ORDER, [(5, accepted()), (6, accepted(8))], LEFT, "has 2 outcomes"),
        (ORDER, [(DEADLINE_US + 1, accepted())], LEFT, "took effect after its deadline"),
        (replace(ORDER, status=400, code=-2010), [(5, accepted())], LEFT, ""),
        (CANCEL, [], LEFT, ""),
        (CANCEL, [], Loss(cut={"ledger.in.0"}), "is not in ledger.ev.0"),
        (CANCEL, [], replace(LEFT, kept={"ledger.in.0": 10}), "and has no outcome"),
    ],
)
def test_what_a_recovery_does_not_explain_may_not_be_gone(sent, events, loss, wrong):
    found = list(compare([sent], effects_of(events), {7: ("rested", 0, 0)}, loss))
    assert bool(found) is bool(wrong), found
    assert wrong in " ".join(found)


def test_an_effect_that_nobody_asked_for_is_seen():
    users, own = {4}, {b"id"}
    assert not list(unasked([accepted()], users, own, own))
    assert list(unasked([accepted()], users, set(), own)) == [f"nobody asked for {accepted()}"]
    assert "has no command for" in next(iter(unasked([accepted()], users, own, set())))
    assert not list(unasked([accepted(user_id=9)], users, set(), set())), "of nobody here"


def test_the_loss_is_read_from_a_recovery(tmp_path):
    """A log is cut in the middle of an inbox, and read back from the copy and the report."""
    assert read_loss(tmp_path, (), 0.0) is None
    folder = tmp_path / "recovery" / "1"
    world = traded(2)
    for process in world.processes:
        world.kill(process)
    del world.log.partitions["ledger.in", 0][6:]
    archive = archived(world)
    export(archive, folder / "log", Nobody())
    plan = make_plan(archive, {}, Nobody())
    losses = find_losses(archive, plan, {})
    write_report(folder, plan, losses)
    loss = read_loss(tmp_path, {"ledger.in.0"}, 7.0)
    assert loss is not None
    assert loss.reopened_s == 7.0
    kept = {place: plan.kept[place] == archive.end(place) for place in plan.kept}
    assert loss.anew is not (kept["matching.in", 0] and kept["matching.in", 1])
    assert loss.kept["ledger.in.0"] == plan.kept["ledger.in", 0] <= 6
    told = [row for row in losses.listed if row["type"] == "OrderAccepted"]
    assert loss.listed == {bytes.fromhex(row["command_id"]): row["order_id"] for row in told} != {}
    assert set(loss.listed) <= set(loss.effects)
    assert loss.counted["PlaceOrder"] == losses.commands["PlaceOrder"] > 0
    behind = [at for place, at in loss.commands.values() if place == "ledger.in.1"]
    assert max(behind) >= loss.kept["ledger.in.1"]
    assert list(loss.miscounted([])) == []


REQUESTED = CancelRequested(b"id", 3, 4, 2)
NOT_CANCELED = CancelRejected(b"id", 4, 2, 3, "", OrderReason.UNKNOWN_ORDER)
TOLD_UNKNOWN = replace(CANCEL, status=400, code=-2011)


@pytest.mark.parametrize(
    ("sent", "events", "wrong"),
    [
        (CANCEL, [REQUESTED], ""),
        (CANCEL, [REQUESTED, NOT_CANCELED], "was acknowledged, the log has CancelRejected"),
        (TOLD_UNKNOWN, [NOT_CANCELED], ""),
        (TOLD_UNKNOWN, [REQUESTED, NOT_CANCELED], ""),
        (
            TOLD_UNKNOWN,
            [REQUESTED],
            "was refused with -2011, by nobody in the log: its order is",
        ),
        (TOLD_UNKNOWN, [REQUESTED, REQUESTED], "has 2 outcomes"),
        (replace(CANCEL, status=400, code=LATE, attempts=1), [REQUESTED], "and it ran"),
        (replace(CANCEL, status=400, code=LATE, attempts=2), [REQUESTED], ""),
    ],
)
def test_a_cancel_ends_in_the_log_as_its_client_was_told(sent, events, wrong):
    """A book may refuse what its ledger has passed on; others may have canceled the order."""
    effects = effects_of((5, event) for event in events)
    found = list(compare([sent], effects, {3: ("CANCELED", 0, 0)}))
    assert bool(found) is bool(wrong), found
    assert wrong in " ".join(found)


@pytest.mark.parametrize(
    ("forged", "words", "broken", "wrong"),
    [
        ([], ["S4: L0/7.snapshot: must be a snapshot, is damaged"], ["S4"], ""),
        ([], ["S4: L0/8.snapshot: must be a snapshot, is damaged"], ["S4"], "not sound"),
        ([], [], [], ""),
        ([], ["L1: not zero"], ["L1"], "not sound: ['L1: not zero'] ['L1']"),
        ([], [], ["L5"], "not sound: [] ['L5']"),
        (["ledger.in.0@7"], ["S3: CHANGED ledger.in.0@7: M0"], ["S3"], ""),
        (["ledger.in.0@7"], [], [], "must name ledger.in.0@7"),
        (["ledger.in.0@7"], ["S3: CHANGED ledger.in.0@77: M0"], ["S3"], "not sound"),
        (["ledger.in.0@7"], ["S3: CHANGED ledger.in.0@7: M0"], ["S3", "L2"], "['L2', 'S3']"),
    ],
)
def test_an_audit_must_name_what_is_forged_and_nothing_else(forged, words, broken, wrong):
    invariants = {id: {"violated": int(id in broken)} for id in ("L1", "L2", "L5", "S3", "S4")}
    found = list(
        unsound({"violations": words, "invariants": invariants}, forged, ["L0/7.snapshot"])
    )
    assert bool(found) is bool(wrong), found
    assert wrong in " ".join(found)


def test_money_is_in_transit_from_the_first_record_of_a_trade_to_the_first_of_its_settlement():
    def told(time_us: int, *messages: Message) -> Record:
        return decode_record(from_shard(1, *messages, time_us=time_us))

    def settled(order_id: int, trade_id: int = 5) -> FillSettled:
        head = (b"", order_id, 7, 3, trade_id, "mine", Side.BUY, Role.TAKER)
        return FillSettled(*head, 10, 1, 1, 10, 2, 1, 0, 0, 1, 10)

    trade = TradeExecuted(3, 5, 10, 1, Side.BUY, 8, 9, 0)
    earlier = TradeExecuted(3, 4, 10, 1, Side.BUY, 8, 9, 0)
    books = [told(1_000_000, earlier), told(2_000_000, trade), told(9_000_000, trade)]
    ledgers = [
        told(2_500_000, settled(8), settled(8, 4)),
        told(5_000_000, settled(9)),
        told(9_500_000, settled(9), settled(9, 6)),
    ]
    assert ages_s(books, ledgers, 2_000_000) == [0.5, 3.0]
    assert ages_s(books, ledgers, 0) == [0.5, 1.5, 3.0]


def test_how_a_process_ended_is_read_from_what_the_supervisor_says(tmp_path):
    stack = FaultStack(tmp_path / "data")
    stack.said.write_text("query ended with status 1, again in 0.2 s, last said nothing\n")
    mark = len(stack.words())
    halt = 'shards HALTED and stays down, last said "shard M0 halted at offset 7: FAULT: applying X'
    lines = ("query ended with signal SIGKILL, again in 0.4 s, last said nothing", halt)
    stack.said.write_text(stack.words() + "\n".join(lines))
    assert stack.ends_of("query", 0) == ["status 1", "signal SIGKILL"]
    assert stack.ends_of("query", mark) == ["signal SIGKILL"]
    assert stack.ends_of("shards", 0) == []


def test_a_process_has_no_memory_left_once_it_is_exhausted(tmp_path, monkeypatch):
    stack = FaultStack(tmp_path / "data", planted=True)
    program = "import infra.logging, time; print(flush=True); time.sleep(2.0); bytes(1_000)"
    environment = os.environ | {
        "PYTHONPATH": f"{PLANTED}:{ROOT}",
        "LOGBOURSE_PLANTED_DIR": str(stack.planted_dir),
    }
    argv, pipe = (sys.executable, "-c", program), subprocess.PIPE
    with subprocess.Popen(argv, env=environment, stdout=pipe, stderr=pipe, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        monkeypatch.setattr(stack, "pid", lambda _: child.pid)
        stack.exhaust_memory("any")
        _, error = child.communicate(timeout=20.0)
    assert "MemoryError" in error
