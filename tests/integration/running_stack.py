"""A whole stack as an operator runs it: a subprocess with ports and a data directory of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.admin.cli import call
from domain.decider import Message
from domain.markets import MarketListed
from infra.children import spawn, stop
from infra.kafka import KafkaLog
from infra.kafka.clients import Producer, outside_producer
from infra.log import LogRecord
from infra.ports import free_port
from infra.process_logs import former
from infra.scraping import targets_file
from infra.settings import Settings, load_settings
from schemas.record import decode_record

ROOT = Path(__file__).parents[2]
PROCESSES = ("kafka", "redis", "shards", "project-redis", "query", "gateway", "auditor")
SERVES = "Ctrl-C stops"
"""What the supervisor says once all do."""

START_S = 240.0
READY_S = 60.0
LAG_ALLOWED_S = 3.0


@dataclass(slots=True, frozen=True)
class Account:
    """A user with an HMAC key."""

    user_id: int
    api_key: str
    secret: str


class RunningStack:
    """One stack, which may be stopped and started again on the same data."""

    def __init__(
        self,
        data_dir: Path,
        *words: str,
        brokers: int = 1,
        auditor: bool = False,
        bots: bool = False,
    ) -> None:
        """`words` are added to `logbourse run`.

        An auditor would stop what tests forge, bots would trade with them.
        """
        self.data_dir = data_dir
        left_out = [] if auditor else ["--no-auditor"]
        left_out += [] if bots else ["--no-bots"]
        self._words = (*left_out, *words, "--brokers", str(brokers))
        self.said = data_dir.parent / "run.log"
        self._environment = _environment(data_dir)
        self._child: subprocess.Popen[bytes] | None = None
        self._users = 0

    def start(self, until_said: str = SERVES) -> None:
        """Run until everything serves, or that is said; fails with what the processes said."""
        mark = len(self.words())
        argv = (sys.executable, "-m", "logbourse", "run", *self._words)
        self._child = spawn(argv, self.said, self._environment)
        self.until(lambda: until_said in self.words()[mark:], START_S, "the stack must start")

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        if self._child is not None:
            pids = [self.pid(name) for name in PROCESSES]
            stop(self._child, 60.0)
            self._child = None
            assert not any(map(_runs, pids)), "nothing may be left running"

    def interrupt(self, timeout_s: float) -> int:
        """Press Ctrl-C; the exit status once it has ended."""
        assert self._child is not None
        self._child.send_signal(signal.SIGINT)
        status = self._child.wait(timeout_s)
        self._child = None
        return status

    def kill_all(self) -> None:
        """SIGKILL the supervisor alone: all that it started goes with it."""
        pids = [self.pid(name) for name in PROCESSES]
        assert self._child is not None
        self._child.kill()
        self._child.wait()
        self._child = None
        self.until(lambda: not any(map(_runs, pids)), 10.0, "every process must be gone")

    @property
    def settings(self) -> Settings:
        """What leads to its parts."""
        return load_settings({"LOGBOURSE_DATA_DIR": str(self.data_dir)})

    @property
    def url(self) -> str:
        """The one public address."""
        return f"http://127.0.0.1:{self.settings.public_port}"

    def admin(self, operation: str, **fields: Any) -> dict[str, Any]:
        """The answer of the operators' port."""
        return call(self.settings, operation, fields)

    def command(self, *words: str, timeout_s: float = 90.0) -> subprocess.CompletedProcess[str]:
        """A finished `logbourse …` on this stack."""
        return subprocess.run(
            [sys.executable, "-m", "logbourse", *words],
            env={**os.environ, **self._environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def add_user(self, **funds: str) -> Account:
        """A user that nobody else has, with money and a key."""
        self._users += 1
        login = f"user-{os.getpid()}-{self._users}"
        user_id = self.admin("register-user", login=login)["userId"]
        for asset, amount in funds.items():
            reference = f"{login}-{asset}"
            self.admin("deposit", userId=user_id, asset=asset, amount=amount, reference=reference)
        key = self.admin("create-api-key", userId=user_id)
        return Account(user_id, key["apiKey"], key["secretKey"])

    def market_id(self, symbol: str) -> int:
        """The id of a market, as the log tells it."""
        (found,) = {
            event.market_id
            for event in self.messages("accounts.ev", 0)
            if isinstance(event, MarketListed) and event.symbol == symbol
        }
        return found

    def names(self) -> list[str]:
        """The processes that the supervisor has started, by name."""
        return sorted(path.stem for path in (self.data_dir / "run").glob("*.pid"))

    def process_ids(self) -> list[int]:
        """All that run with this data directory in their environment, whoever started them."""
        mark = f"LOGBOURSE_DATA_DIR={self.data_dir}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def pid(self, name: str) -> int:
        """The process id of one of `PROCESSES`, 0 while it is down."""
        try:
            return int((self.data_dir / "run" / f"{name}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def metrics(self, name: str) -> dict[str, float]:
        """What a process tells Prometheus, by name with labels; `OSError` if it does not answer."""
        targets = json.loads(targets_file(self.settings).read_text())
        (address,) = (t["targets"][0] for t in targets if t["labels"].get("process") == name)
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5.0) as answer:
            return read_metrics(answer.read().decode())

    def said_in_log(self, name: str, event: str) -> list[dict[str, Any]]:
        """All lines of a process's log file about that event, such as "promoted"."""
        log = self.data_dir / "logs" / f"{name}.log"
        texts = [path.read_text() for path in (former(log), log) if path.exists()]
        lines = "".join(texts).splitlines()
        # The last line may still be on its way to the file.
        lines = [line for line in lines if line.startswith("{") and line.endswith("}")]
        return [each for each in map(json.loads, lines) if each["event"] == event]

    def kill(self, name: str) -> None:
        """SIGKILL one process, and wait until the supervisor has started it again."""
        before = self.pid(name)
        os.kill(before, signal.SIGKILL)
        self.until(lambda: self.pid(name) not in (0, before), 30.0, f"{name} must be restarted")
        # Only now does what was killed show in the lag of the views.
        time.sleep(LAG_ALLOWED_S)

    def append(self, topic: str, partition: int, value: bytes | None) -> None:
        """Put a record into a partition, as nobody who belongs here does."""
        producer = self.producer()
        producer.produce(topic, value=value, partition=partition)
        assert producer.flush(10) == 0, "the record must be taken"

    def until_ready(self) -> None:
        """Wait until both APIs say that they serve, order entry and queries."""
        settings = self.settings
        give_up_s = time.monotonic() + READY_S
        for port in (settings.query_port, settings.public_port):
            while (told := _probe(f"http://127.0.0.1:{port}/health/ready"))[0] != 200:
                wanted = f"port {port} must be ready within {READY_S:.0f} s, says {told}"
                assert time.monotonic() < give_up_s, f"{wanted}\n{self.evidence()}"
                time.sleep(0.1)

    def until(self, condition: Callable[[], bool], timeout_s: float, wanted: str) -> None:
        """Wait; fails with the ends of all logs."""
        give_up_s = time.monotonic() + timeout_s
        while not condition():
            ended = self._child is not None and self._child.poll() is not None
            if ended or time.monotonic() > give_up_s:
                raise AssertionError(f"{wanted}, did not in {timeout_s:.0f} s\n{self.evidence()}")
            time.sleep(0.1)

    def words(self) -> str:
        """What the supervisor has said so far."""
        return self.said.read_text(errors="replace") if self.said.exists() else ""

    def evidence(self, lines: int = 8) -> str:
        """The end of every log, for a failure."""
        logs = [self.said, *sorted((self.data_dir / "logs").glob("*.log"))]
        return "\n".join(f"--- {path}\n{_tail(path, lines)}" for path in logs if path.exists())

    def log(self) -> KafkaLog:
        """A handle that only looks."""
        return KafkaLog(self.settings, outside=True)

    def records(self, topic: str, partition: int) -> list[LogRecord]:
        """All that the partition has now."""
        log = self.log()
        try:
            return list(log.scan(topic, partition, *log.ends(topic, partition)))
        finally:
            log.close()

    def messages(self, topic: str, partition: int) -> list[Message]:
        """The messages of all its records, which must be readable."""
        found = self.records(topic, partition)
        return [message for raw in found for message in decode_record(raw.value).messages]

    def producer(self) -> Producer:
        """A producer with which a test writes what no part of the stack would."""
        return outside_producer(self.settings)


@contextmanager
def ready_stack(folder: Path, *words: str, **options: Any) -> Iterator[RunningStack]:
    """A stack with its data in the folder, ready to serve; arguments as `RunningStack` has them."""
    running = RunningStack(folder / "data", *words, **options)
    try:
        running.start()
        running.until_ready()
        yield running
    finally:
        running.stop()


def read_metrics(text: str) -> dict[str, float]:
    """The numbers in what Prometheus is told, by name with labels."""
    told = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in told}


def prefixed(told: Mapping[str, float], prefix: str) -> Counter[str]:
    """The whole numbers whose names begin with the prefix, by name without it."""
    return Counter(
        {name.removeprefix(prefix): int(told[name]) for name in told if name.startswith(prefix)}
    )


def _environment(data_dir: Path) -> dict[str, str]:
    """Ports below those that the kernel hands out, so that a restarted part finds its own free."""
    first = 16_000 + os.getpid() % 150 * 100
    taken: list[int] = []
    for offset in (0, 1, 2, 40, 60):
        taken.append(free_port("127.0.0.1", first + offset, taken))
    public, query, admin, kafka, redis = taken
    return {
        "LOGBOURSE_DATA_DIR": str(data_dir),
        "LOGBOURSE_PUBLIC_PORT": str(public),
        "LOGBOURSE_QUERY_PORT": str(query),
        "LOGBOURSE_ADMIN_PORT": str(admin),
        "LOGBOURSE_METRICS_PORT": str(first + 20),
        "LOGBOURSE_KAFKA_BOOTSTRAP": f"127.0.0.1:{kafka}",
        "LOGBOURSE_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
    }


def _probe(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5.0) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, repr(error)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _tail(path: Path, lines: int) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
