"""Planted into every process of a fault stack by PYTHONPATH: a clock that moves, a bug, a build.

Python imports this before anything else. What happens is said by files in LOGBOURSE_PLANTED_DIR:
`clock-<pid>` holds nanoseconds by which the process's wall clock is wrong, `faulty-market` the id
of a market on which planning an order fails, and from which log time on; `faulty-book` the same of
a market whose book fails to apply what has happened. `rules` holds the versions of the rules that a
process knows which starts from then on, as if it were of another build. `spoil-history` holds
statements that whoever projects into ClickHouse runs once, after what it stores next, as a bug of
it would. While `hang-redis` exists, whoever projects into Redis hangs in what it applies.
`exit-<pid>` names the step, one of those in README.md, at which a process dies once it comes to it.
Once `eat-<pid>` exists, a thread of that process takes all the memory that it can get.
Without the variable nothing happens.
"""

import importlib.abc
import importlib.machinery
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def _move_clock(folder: Path) -> None:
    right_ns = time.time_ns

    def wrong_ns() -> int:
        try:
            return right_ns() + int((folder / f"clock-{os.getpid()}").read_text())
        except (OSError, ValueError):
            return right_ns()

    time.time_ns = wrong_ns
    time.time = lambda: wrong_ns() / 1e9


class _Faulty:
    """A decider that fails to plan or to apply what concerns one market, as a bug would."""

    def __init__(self, right: Any, folder: Path) -> None:
        self._right = right
        self._planning = folder / "faulty-market"
        self._applying = folder / "faulty-book"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._right, name)

    def decide(self, state: Any, command: Any) -> Any:
        if type(command).__name__ == "OrderAccepted":
            _fail_if_planted(self._planning, state, command)
        return self._right.decide(state, command)

    def evolve(self, state: Any, event: Any) -> Any:
        if type(event).__name__ == "BookChanged":
            _fail_if_planted(self._applying, state, event)
        return self._right.evolve(state, event)


def _fail_if_planted(file: Path, state: Any, message: Any) -> None:
    if file.exists():
        market, from_us = map(int, file.read_text().split())
        if message.market_id == market and state.time_us >= from_us:
            raise ZeroDivisionError("a planted bug")


def _plant_bug(families: Any, folder: Path) -> None:
    right = families.decider_of
    families.decider_of = lambda shard: _Faulty(right(shard), folder)


def _plant_rules(rules: Any, folder: Path) -> None:
    file = folder / "rules"
    if file.exists():
        rules.SUPPORTED_RULES = tuple(map(int, file.read_text().split()))


def _plant_spoiling(sinks: Any, folder: Path) -> None:
    right, file = sinks.ClickHouseSink.apply, folder / "spoil-history"

    def apply(sink: Any, steps: Any) -> Any:
        verdicts = right(sink, steps)
        if file.exists():
            for statement in file.read_text().split(";"):
                where = sinks.database(sink._build)
                sink._client.command(statement.format(database=where), settings=AT_ONCE)
            file.unlink()
        return verdicts

    sinks.ClickHouseSink.apply = apply


def _plant_hang(sink: Any, folder: Path) -> None:
    right, file = sink.RedisSink.apply, folder / "hang-redis"

    def apply(sink: Any, steps: Any) -> Any:
        while file.exists():
            time.sleep(0.1)
        return right(sink, steps)

    sink.RedisSink.apply = apply


def _die_at(folder: Path, step: str, pid: int) -> None:
    """SIGKILL the process if it is to die at this step; a child that asks for it ends, too."""
    exit_file = folder / f"exit-{pid}"
    try:
        if exit_file.read_text() != step:
            return
        exit_file.unlink()
    except OSError:
        return
    os.kill(pid, signal.SIGKILL)
    os._exit(1)


def _plant_exits_of_log(kafka: Any, folder: Path) -> None:
    log, pid = kafka.KafkaLog, os.getpid()
    produce, commit = log.produce, log.commit

    def produce_or_die(self: Any, topic: str, *rest: Any, **options: Any) -> None:
        produce(self, topic, *rest, **options)
        if topic.endswith(".ev"):
            _die_at(folder, "produced", pid)

    def commit_or_die(self: Any, *mark: Any) -> None:
        _die_at(folder, "acked", pid)
        commit(self, *mark)
        _die_at(folder, "committed", pid)

    log.produce, log.commit = produce_or_die, commit_or_die


def _plant_exits_of_files(files: Any, folder: Path) -> None:
    directory, pid = files.Directory, os.getpid()
    write, rename = directory.write, directory.rename

    def write_or_die(self: Any, name: str, data: bytes) -> None:
        half = len(data) // 2
        write(self, name, data[:half])
        _die_at(folder, "half written", pid)
        write(self, name, data)

    def rename_or_die(self: Any, old: str, new: str) -> None:
        _die_at(folder, "written", pid)
        rename(self, old, new)
        _die_at(folder, "renamed", pid)

    directory.write, directory.rename = write_or_die, rename_or_die


PIECES = (1 << 20, 1 << 16, 1 << 12, 512, 256, 128, 64, 32, 16)


def _plant_appetite(_logging: Any, folder: Path) -> None:
    file = folder / f"eat-{os.getpid()}"

    def eat() -> None:
        while not file.exists():
            time.sleep(0.1)
        kept: list[bytearray] = []
        while True:
            for size in PIECES:
                with suppress(MemoryError):
                    while True:
                        kept.append(bytearray(size))
            # What others give back is eaten, too.
            time.sleep(0.01)

    threading.Thread(target=eat, name="appetite", daemon=True).start()


AT_ONCE = {"mutations_sync": 1}
PLANTS: dict[str, Callable[[Any, Path], None]] = {
    "streams.families": _plant_bug,
    "domain.rules": _plant_rules,
    "projections.clickhouse_sink": _plant_spoiling,
    "projections.redis_sink": _plant_hang,
    "infra.kafka.kafka_log": _plant_exits_of_log,
    "infra.files": _plant_exits_of_files,
    "infra.logging": _plant_appetite,
}
"""What is done to a module once it is loaded."""


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that are changed, and changes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        plant = PLANTS.get(name)
        if plant is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None and spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            plant(module, self._folder)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _plant() -> None:
    where = os.environ.get("LOGBOURSE_PLANTED_DIR")
    if where:
        _move_clock(Path(where))
        sys.meta_path.insert(0, _Finder(Path(where)))


_plant()
