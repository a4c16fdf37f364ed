"""What benchmarks feed: streams of commands, peers with our fills, frames, and their pictures."""

import json
import socket
import threading
import time

import pytest

from domain.matching.book import Book
from domain.orders.messages import OrderClosed, PlaceOrder, Side, TimeInForce
from schemas.record import decode_record, outside_record
from schemas.topics import inbox, outbox
from tests.benchmarks import bench_latency, flame, order_stage, peers, plots
from tests.benchmarks.book_player import digest, play, play_timed, play_told
from tests.benchmarks.exchange import MemoryExchange
from tests.benchmarks.mix import draw
from tests.benchmarks.open_loop import Hit, Shot
from tests.benchmarks.order_flow import BATCH, BATCH_ORDERS, REST, WEB_SOCKET, Trader, order_shots
from tests.benchmarks.order_stage import Answers, Client
from tests.benchmarks.path_orders import PATTERN, RESTING, Orders
from tests.benchmarks.percentiles import percentiles_ms
from tests.benchmarks.report import Effort, median_of
from tests.benchmarks.scenarios import SCENARIOS
from tests.benchmarks.small_world import SmallWorld
from tests.benchmarks.web_socket import PATH, fire_frames, text_frame


def batch_answer(accepted: int) -> bytes:
    orders = [{"orderId": 1}] * accepted + [{"code": -2010}] * (BATCH_ORDERS - accepted)
    return json.dumps({"orders": orders}, separators=(",", ":")).encode()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_hard_day_is_drawn_alike_each_time_and_can_be_played(name):
    mix = SCENARIOS[name].draw(200)
    assert len(mix.commands) >= 200
    assert SCENARIOS[name].draw(200) == mix
    book = Book()
    play(book, mix.opening)
    assert len(play_told(book, mix.commands)) > 0


def test_told_timed_and_plain_playing_leave_the_same_book():
    mix = draw(500)
    books = [Book(), Book(), Book()]
    for book, way in zip(books, (play, play_timed, play_told), strict=True):
        play(book, mix.opening)
        way(book, mix.commands)
    resting = [[(each.order_id, each.lots) for each in book.orders.values()] for book in books]
    assert resting[0] == resting[1] == resting[2] != []


@pytest.mark.parametrize("name", peers.PEERS)
def test_a_peer_tells_our_fills_of_the_standard_mix(name):
    pytest.importorskip(name, reason="a package of requirements-bench.txt")
    mix, book, peer = draw(500), Book(), peers.open_peer(name)
    play(book, mix.opening)
    peers.play(peer, mix.opening)
    told = peers.play(peer, mix.commands)
    theirs = [fill for each in told for fill in peer.fills(each)]
    assert digest(theirs) == digest(play_told(book, mix.commands))


def test_other_fills_have_another_digest():
    assert digest([(1, 2, 3, 4)]) != digest([(1, 2, 3, 5)])


def test_orders_of_the_path_are_told_apart_and_take_what_rests():
    orders = Orders()
    opening = decoded(orders.opening(7))
    pattern = decoded(orders.next(2 * PATTERN, 8))
    assert len(opening) == RESTING
    assert {order.deadline_us for order in pattern} == {8}
    names = {order.client_order_id for order in opening + pattern}
    ids = {order.command_id for order in opening + pattern}
    assert len(names) == len(ids) == RESTING + 2 * PATTERN
    for side, other in ((Side.BUY, Side.SELL), (Side.SELL, Side.BUY)):
        offered = sum(o.lots for o in pattern if o.side is side and rests(o))
        taken = sum(o.lots for o in pattern if o.side is other and not rests(o))
        assert offered == taken > 0
    assert decoded(orders.next(1, 8))[0].price_ticks == pattern[0].price_ticks


def decoded(messages):
    found = decode_record(outside_record("gw", 1, messages)).messages
    return [message for message in found if isinstance(message, PlaceOrder)]


def rests(order: PlaceOrder) -> bool:
    return order.time_in_force is TimeInForce.GTC


def test_a_small_world_keeps_its_size_while_it_trades():
    world = SmallWorld(markets=2, users=20)
    world.fill(200)
    for order in world.orders(400):
        world.place(order)
    assert len(world.ledger_state.orders) == sum(
        len(market.book.orders) for market in world.matching_state.markets.values()
    )
    assert world.ledger_state.orders_accepted == 600


@pytest.mark.parametrize("protocol", [REST, WEB_SOCKET, BATCH])
def test_signed_orders_are_evenly_spaced_and_know_what_is_answered_by_fills(protocol):
    shots = order_shots(protocol, [Trader("key", "secret")], 1_000, 0.5, 1_000.0, seed=1)
    assert [shot.at_s for shot in shots[:2]] == ([0.0, 0.1] if protocol == BATCH else [0.0, 0.001])
    assert len(shots) == (5 if protocol == BATCH else 500)
    assert any(shot.fill for shot in shots) is (protocol != BATCH)
    assert all(b"signature" in shot.request for shot in shots)


@pytest.mark.parametrize("length", [10, 125, 126, 65_535, 65_536])
def test_frames_of_every_length_reach_a_server_and_come_back(length):
    """The server echoes; answers are found by id, also those that come in pieces."""
    shots = [Shot(0.0, text_frame(json.dumps({"id": n, "status": 200, "text": "x" * length})))
             for n in range(3)]  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=_echo, args=(listener, [shot.request for shot in shots]))
        server.start()
        port = listener.getsockname()[1]
        hits = fire_frames("127.0.0.1", port, shots, time.time(), connections=1)
        server.join()
    assert [hit.status for hit in hits] == [200, 200, 200]
    assert [json.loads(hit.body)["id"] for hit in hits] == [0, 1, 2]


def _some(connection: socket.socket) -> bytes:
    found = connection.recv(1_000_000)
    assert found, "the client must not close yet"
    return found


def _echo(listener: socket.socket, frames: list[bytes]) -> None:
    connection, _ = listener.accept()
    with connection:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += _some(connection)
        assert asked.startswith(f"GET {PATH} ".encode())
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x89\x02hi")
        wanted = sum(map(len, frames)) + len(b"\x8a\x82....hi")
        found = b""
        while len(found) < wanted:
            found += _some(connection)
        assert found.count(b"hi") == 1, "a ping must be answered with its words"
        for frame in frames:
            # A server does not mask: without that bit, and without the four bytes of the mask.
            head = frame.index(b"{")
            answer = bytes([frame[0], frame[1] & 0x7F]) + frame[2 : head - 4] + frame[head:]
            connection.sendall(answer[:9])
            time.sleep(0.001)
            connection.sendall(answer[9:])


def test_a_client_that_falls_behind_or_is_refused_makes_the_run_void():
    good = Answers([0.1], [0.1], 0.001, 2, 0, "")
    late = Answers([0.1], [0.1], 0.2, 2, 0, "")
    refused = Answers([0.1], [0.1], 0.001, 2, 1, "400 no")
    assert good.trouble == ""
    assert late.trouble == "the client fell behind, p99 200 ms"
    assert refused.trouble == "1 of 2 not accepted, first: 400 no"


class ToldStages(Client):
    """A client whose stages end as they were told to."""

    def __init__(self, stages: list[Answers]) -> None:
        self._told = iter(stages)

    def stage(self, protocol: str, rate: float, seconds: float) -> Answers:
        return next(self._told)


GOOD = Answers([0.1], [0.1], 0.001, 2, 0, "")
LATE = Answers([0.1], [0.1], 0.2, 2, 0, "")
REFUSED = Answers([0.1], [0.1], 0.2, 2, 1, "409 -1007")


@pytest.mark.parametrize(
    ("stages", "void", "told"),
    [
        ([GOOD, GOOD, GOOD], "", ""),
        ([GOOD, LATE, GOOD], "", "; left out 1 of 3 runs: the client fell behind, p99 200 ms"),
        ([LATE, LATE, GOOD], "2 of 3 runs: the client fell behind, p99 200 ms", ""),
        ([GOOD, REFUSED, GOOD], "1 of 3 runs: 1 of 2 not accepted, first: 409 -1007", ""),
    ],
)
def test_a_refused_order_voids_the_figure_and_a_late_client_is_told(stages, void, told):
    client = ToldStages(stages)
    figures = bench_latency._latencies(client, Effort(runs=3), REST, 1_000, brokers=1)
    assert {figure.void for figure in figures} == {void}
    assert ("left out" in figures[0].method) is bool(told)
    assert figures[0].method.endswith(told)


@pytest.mark.parametrize(
    ("status", "body", "refusal"),
    [
        (200, b'{"symbol":"BTCUSDT","orderId":7}', ""),
        (503, b'{"code":-1008}', '503 {"code":-1008}'),
        (0, b"", "no answer 10 s after the last order"),
        (200, batch_answer(100), ""),
        (200, batch_answer(99), "1 of a batch of 100: [{'code': -2010}]"),
    ],
)
def test_an_order_or_one_of_a_batch_that_is_refused_counts_as_refused(status, body, refusal):
    assert order_stage._refusal(Hit(0.0, 0.0, status, body)) == refusal


def test_percentiles_are_those_of_the_samples_to_three_digits():
    latencies_s = [number / 1_000 for number in range(1, 1_001)]
    found = percentiles_ms(latencies_s, (50.0, 99.0, 100.0))
    assert found == pytest.approx([500.0, 990.0, 1_000.0], rel=0.002)


def test_a_flame_graph_has_a_box_for_each_function_as_wide_as_its_samples():
    root = flame._read({"ledger": "main;step 3\nmain;<read> 1\n"})
    drawn = flame._svg(root)
    assert root.samples == 4
    assert "<title>step (75.0%)</title>" in drawn
    assert "<title>&lt;read&gt; (25.0%)</title>" in drawn


def test_plots_are_drawn_of_what_counts(tmp_path):
    pytest.importorskip("matplotlib", reason="a package of requirements-bench.txt")
    figures = [median_of(f"at {x}", "us", [x], "how") for x in (1, 10, 100)]
    for figure, x in zip(figures, (1.0, 10.0, 100.0), strict=True):
        figure.series, figure.x = "cost: users", x
    figures[2].void = "the generator fell behind"
    assert plots._curves(figures, "cost: ") == {"users": [(1.0, 1), (10.0, 10)]}
    assert len(plots.draw(figures, tmp_path)) == 1
    assert "<svg" in (tmp_path / "cost.svg").read_text(encoding="utf-8")


def test_an_exchange_counts_the_orders_that_it_placed_and_closed():
    exchange = MemoryExchange(ledgers=1)
    closed = exchange.play_orders(400)
    events = [
        message
        for value in exchange.partitions[outbox("L0")]
        for message in decode_record(value).messages
    ]
    assert closed == sum(isinstance(event, OrderClosed) for event in events) > 300
    assert exchange.before["L0"] < len(exchange.partitions[inbox("L0")])
