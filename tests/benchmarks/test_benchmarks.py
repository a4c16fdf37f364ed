"""Each benchmark runs with tiny counts; how fast is nobody's concern here."""

import argparse
import json
import socket
import threading
import time

import pytest

from native.selection import build_in_use
from tests.benchmarks import command
from tests.benchmarks.command import BEGIN, BENCHMARKS, END, PAGE, measure, record
from tests.benchmarks.open_loop import Shot, fire
from tests.benchmarks.report import Effort, Figure, as_json, as_table, median_of, void

ONCE = Effort(runs=1, scale=0.0)
ON_KAFKA = {"shard", "path", "latency", "fresh"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BENCHMARKS.keys() - ON_KAFKA))
def test_a_benchmark_runs_and_says_what_it_measured(name):
    expect_figures(name)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ON_KAFKA))
def test_a_benchmark_on_kafka_runs_and_says_what_it_measured(name):
    expect_figures(name)


def expect_figures(name):
    """Each figure counts or says why not; a busy machine may make a generator fall behind."""
    told = json.loads(as_json(measure(name, ONCE)))
    assert told["machine"]["cores"] >= 1
    assert told["figures"]
    for figure in told["figures"]:
        assert name in figure["method"]
        if not figure["void"]:
            assert figure["value"] > 0 or figure["unit"] == ""
            assert figure["runs"] == [figure["value"]]


def test_a_benchmark_that_breaks_is_one_void_figure(monkeypatch):
    def measure_nothing(name, effort):
        raise OSError("Kafka\nis away")

    monkeypatch.setattr(command, "measure", measure_nothing)
    (figure,) = command.measured("shard", ONCE)
    assert (figure.name, figure.void) == ("shard", "broke: Kafka is away")


@pytest.mark.parametrize(
    ("value", "least_is_best", "reached"),
    [(10, False, True), (9, False, False), (10, True, True), (11, True, False)],
)
def test_a_floor_is_reached_at_least_or_at_most(value, least_is_best, reached):
    figure = median_of("x", "ms", [value], "how", floor=10, least_is_best=least_is_best)
    assert figure.reached is reached


def test_a_missed_floor_and_a_void_figure_are_shown_in_the_table():
    figures: list[Figure] = [
        median_of("fast", "orders/s", [7, 300, 5], "how", floor=6),
        median_of("slow", "orders/s", [1], "how", floor=6),
        void("nothing", "orders/s", "the generator fell behind", "how"),
    ]
    lines = as_table(figures).splitlines()
    fast, slow, nothing = lines[4:7]
    build = build_in_use()
    assert fast.startswith(f"| fast | {build} | 7.00 orders/s | 5.00 to 300 | 3 | ≥ 6.00 |")
    assert slow.startswith(f"| slow | {build} | 1.00 orders/s | 1.00 to 1.00 | 1 | ≥ 6.00 missed |")
    assert nothing.startswith(f"| nothing | {build} | void: the generator fell behind |  | 0 |  |")
    assert lines[-1] == "* how"


def test_a_new_table_takes_the_place_of_the_last_one(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    record(page, "new")
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_the_page_of_numbers_has_a_place_for_the_table():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1


def test_what_a_stalled_server_keeps_waiting_counts_from_the_planned_moment():
    """One connection, a server that sleeps before its first answer: the second shot waited too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=_answer_slowly, args=(listener, 0.2))
        server.start()
        shots = [Shot(0.0, b"first"), Shot(0.01, b"second")]
        port = listener.getsockname()[1]
        first, second = fire("127.0.0.1", port, shots, time.time(), connections=1)
        server.join()
    assert (first.status, second.status, second.body) == (200, 400, b"no")
    assert first.latency_s >= 0.2
    assert second.latency_s >= second.late_s >= 0.15
    assert second.own_late_s < second.late_s


def _answer_slowly(listener: socket.socket, pause_s: float) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(100)
        time.sleep(pause_s)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad\r\ncontent-length: 2\r\n\r\nn")
        connection.sendall(b"o")


def test_a_part_is_not_recorded_as_all(capsys):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["--record", "book"])) == 2
    assert "name none" in capsys.readouterr().err
