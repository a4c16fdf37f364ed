"""A view that must be built anew is, however soon after the last time it was asked for."""

import threading

from projections.owed_rebuilds import AT_MOST_EVERY_S, OwedRebuilds


class Bench:
    """Builds that are counted, and fail where told; seconds pass as the test says."""

    def __init__(self, *, repairs: bool = True) -> None:
        self.begun: list[str] = []
        self.rebuilt: list[str] = []
        self.fails = False
        self.going_on = threading.Event()
        self.going_on.set()
        self.now_s = 0.0
        self.rebuilds = OwedRebuilds(
            self.build, self.rebuilt.append, repairs=repairs, seconds=lambda: self.now_s
        )

    def build(self, store: str) -> str:
        self.begun.append(store)
        self.going_on.wait()
        if self.fails:
            raise OSError("no answer")
        return "2"

    def ask(self, store: str) -> None:
        self.rebuilds.ask(store)
        self.wait()

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds
        self.rebuilds.tend()
        self.wait()

    def wait(self) -> None:
        for thread in self.rebuilds._running.values():
            thread.join()


def test_what_is_asked_for_soon_after_the_last_time_is_built_once_it_may_be():
    bench = Bench()
    bench.ask("clickhouse")
    assert bench.rebuilt == ["clickhouse"]
    bench.ask("clickhouse")
    bench.ask("clickhouse")
    bench.ask("redis")
    assert bench.rebuilt == ["clickhouse", "redis"]
    bench.pass_s(AT_MOST_EVERY_S - 1)
    assert bench.rebuilt == ["clickhouse", "redis"]
    bench.pass_s(1)
    assert bench.rebuilt == ["clickhouse", "redis", "clickhouse"]
    bench.pass_s(2 * AT_MOST_EVERY_S)
    assert len(bench.rebuilt) == 3, "it is owed once"


def test_a_build_that_failed_is_still_owed():
    bench = Bench()
    bench.fails = True
    bench.ask("redis")
    bench.fails = False
    bench.pass_s(AT_MOST_EVERY_S)
    assert (bench.begun, bench.rebuilt) == (["redis", "redis"], ["redis"])


def test_what_is_asked_for_while_it_is_built_is_not_built_twice():
    bench = Bench()
    bench.going_on.clear()
    bench.rebuilds.ask("redis")
    bench.rebuilds.ask("redis")
    bench.going_on.set()
    bench.wait()
    bench.pass_s(AT_MOST_EVERY_S)
    assert bench.begun == ["redis"]


def test_who_may_not_repair_builds_nothing():
    bench = Bench(repairs=False)
    bench.ask("redis")
    bench.pass_s(AT_MOST_EVERY_S)
    assert bench.begun == []
