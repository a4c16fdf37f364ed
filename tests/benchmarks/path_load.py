"""The load generator of the full path, a process of its own: writes packed orders to `ledger.in`.

It is told a stage as one JSON line (rate, seconds) and answers with one; between stages it keeps
its place in the sequence of orders. Open loop: what is due is sent, whatever became of the rest.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from infra.children import stop
from infra.kafka.clients import KafkaError, Message, Producer, outside_producer
from infra.settings import Settings, load_settings, to_environment
from native.selection import ROOT
from schemas.record import outside_record
from tests.benchmarks.path_orders import Orders
from tests.benchmarks.percentiles import percentile

TURN_S = 0.005
"""What is due is looked at this often and packed into records, as a busy gateway packs."""

RECORD_ORDERS = 500
VALID_US = 30_000_000
FLUSH_S = 30.0
LATE_S = 0.1
"""A generator whose 99th percentile is later than this has fallen behind: the run is void."""


@dataclass(slots=True)
class Stage:
    """What became of a stage: orders sent, how late, how many were not acked, the processor."""

    sent: int
    seconds: float
    late_s_p99: float
    refused: int
    processor_s: float

    @property
    def fell_behind(self) -> str:
        """Why the stage is void; empty if it is not."""
        if self.refused:
            return f"the log refused {self.refused} records of the generator"
        if self.late_s_p99 > LATE_S:
            return f"the generator fell behind, p99 {self.late_s_p99:.2f} s"
        return ""


class Generator:
    """The parent's handle on the process."""

    def __init__(self, settings: Settings) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.path_load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **to_environment(settings)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        stop(self._child, 5.0)

    def begin(self, rate: float, seconds: float) -> None:
        """Start a stage; `rate` 0 is the opening: what fills the book, at once."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"rate": rate, "seconds": seconds}).encode() + b"\n")
        self._child.stdin.flush()

    def end(self) -> Stage:
        """Wait for the stage's end. `OSError` if the process died."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise OSError("the load generator died")
        return Stage(**json.loads(line))


class _Sender:
    """Orders on their way to the log."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._orders = Orders()
        self.refused = 0

    def opening(self) -> int:
        """Fill the book; how many orders."""
        messages = self._orders.opening(_now_us() + VALID_US)
        for first in range(0, len(messages), RECORD_ORDERS):
            self._append(messages[first : first + RECORD_ORDERS])
        return len(messages)

    def send(self, count: int) -> None:
        """The next orders, packed."""
        while count:
            packed = min(count, RECORD_ORDERS)
            self._append(self._orders.next(packed, _now_us() + VALID_US))
            count -= packed

    def settle(self) -> None:
        """Wait until all is acknowledged; what is not counts as refused."""
        self.refused += self._producer.flush(FLUSH_S)

    def _append(self, messages: list[bytes]) -> None:
        now_us = _now_us()
        value = outside_record("gw", now_us, messages)
        try:
            self._producer.produce(
                "ledger.in", value, partition=0, timestamp=now_us // 1_000, on_delivery=self._told
            )
        except BufferError:
            self.refused += 1
        self._producer.poll(0)

    def _told(self, error: KafkaError | None, _message: Message) -> None:
        self.refused += error is not None


def _stage(sender: _Sender, rate: float, seconds: float) -> Stage:
    refused, processor_s, begin_s = sender.refused, time.process_time(), time.perf_counter()
    lates: list[float] = [0.0]
    if rate:
        sent = _paced(sender, rate, seconds, lates)
    else:
        sent = sender.opening()
    taken_s = time.perf_counter() - begin_s
    sender.settle()
    return Stage(
        sent=sent,
        seconds=taken_s,
        late_s_p99=percentile(lates, 99.0),
        refused=sender.refused - refused,
        processor_s=time.process_time() - processor_s,
    )


def _paced(sender: _Sender, rate: float, seconds: float, lates: list[float]) -> int:
    """Send what is due, turn by turn; how late the first of each turn's orders left.

    An even number, so that the last one takes what the one before it has offered.
    """
    begin_s, total, sent = time.perf_counter(), int(rate * seconds / 2) * 2, 0
    while sent < total:
        now_s = time.perf_counter() - begin_s
        due = min(total, int(now_s * rate) + 1)
        if due > sent:
            sender.send(due - sent)
            lates.append(time.perf_counter() - begin_s - (sent + 1) / rate - TURN_S)
            sent = due
        time.sleep(max(0.0, TURN_S - (time.perf_counter() - begin_s - now_s)))
    return sent


def _now_us() -> int:
    return time.time_ns() // 1_000


def _main() -> None:
    sender = _Sender(outside_producer(load_settings()))
    for line in sys.stdin:
        wish = json.loads(line)
        print(json.dumps(asdict(_stage(sender, wish["rate"], wish["seconds"]))), flush=True)


if __name__ == "__main__":
    _main()
