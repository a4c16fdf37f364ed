"""How `logbourse rebuild clickhouse` reaches the process that owns the embedded engine: two files.

`rebuild-clickhouse.request` asks; `rebuild-clickhouse.progress` tells. Only the owner of the
engine's directory may write there, and it is on the same machine, so that files are enough.
"""

import json
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from infra.clickhouse import clickhouse_client
from infra.files import replace_text
from infra.kafka import KafkaLog
from infra.logging import get_logger
from infra.refusal import Refusal
from infra.settings import Settings
from projections.layout import feeding_partitions
from projections.rebuild import Progress, rebuild_clickhouse

LOOK_EVERY_S = 0.5
PICKED_UP_WITHIN_S = 5.0
SILENT_AT_MOST_S = 60.0
"""The owner tells how far it is twice a second, apart from when it drops a build."""

_logger = get_logger("projections")


class RebuildFailed(Refusal):
    """The rebuild did not happen; the text is one sentence."""


class NobodyAnswered(RebuildFailed):
    """No process that owns the engine took the request."""


class Told(NamedTuple):
    """What the owner last told: records done of total, the new build once it is current."""

    done: int
    total: int
    build: str
    error: str


class RebuildRequests:
    """Looks for requests in a thread of the owner, and serves one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._last_told = (0, 0)
        self._thread = threading.Thread(target=self._look, name="rebuild", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. A rebuild that runs is given up; the next one starts afresh."""
        self._stopping.set()

    def _look(self) -> None:
        request = _request_file(self._settings)
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                if request.exists():
                    request.unlink(missing_ok=True)
                    self._serve()
            except Exception as error:
                # A full disk takes no word of what failed, either; the next request is served.
                _logger.error("rebuild request failed", why=f"{type(error).__name__}: {error}")

    def _serve(self) -> None:
        try:
            build = run_rebuild(self._settings, self._tell)
            _write(self._settings, Told(*self._last_told, build, ""))
        except Exception as error:
            _logger.error("rebuild failed", why=str(error))
            _write(self._settings, Told(0, 0, "", f"{type(error).__name__}: {error}"))

    def _tell(self, done: int, total: int) -> None:
        if self._stopping.is_set():
            raise RebuildFailed("the process that rebuilds is stopping")
        self._last_told = (done, total)
        _write(self._settings, Told(done, total, "", ""))


def run_rebuild(settings: Settings, progress: Progress) -> str:
    """Rebuild ClickHouse with clients of this process; returns the new build's id."""
    client = clickhouse_client(settings.clickhouse_dsn)
    log = KafkaLog(settings, outside=True)
    try:
        sources = feeding_partitions(settings.ledger_partitions, settings.matching_partitions)
        return rebuild_clickhouse(client, log, sources, progress)
    finally:
        log.close()
        client.close()


def ask_owner(settings: Settings, progress: Progress) -> str:
    """Let the engine's owner rebuild, and follow it; returns the new build's id.

    Raises `NobodyAnswered` if nobody takes the request, `RebuildFailed` if the rebuild fails or
    its owner falls silent: whoever ends meanwhile has given it up.
    """
    _progress_file(settings).unlink(missing_ok=True)
    request = _request_file(settings)
    request.touch()
    give_up_s = monotonic() + PICKED_UP_WITHIN_S
    while request.exists():
        if monotonic() > give_up_s:
            request.unlink(missing_ok=True)
            raise NobodyAnswered("a query process must take the rebuild, none answered")
        sleep(LOOK_EVERY_S)
    last, give_up_s = _read(settings), monotonic() + SILENT_AT_MOST_S
    while True:
        told = _read(settings)
        if told != last:
            last, give_up_s = told, monotonic() + SILENT_AT_MOST_S
        elif monotonic() > give_up_s:
            wanted = f"within {SILENT_AT_MOST_S:.0f} s"
            raise RebuildFailed(f"the rebuilding process must go on {wanted}, did not")
        if told.error:
            raise RebuildFailed(told.error)
        if told.total:
            progress(told.done, told.total)
        if told.build:
            return told.build
        sleep(LOOK_EVERY_S)


def _request_file(settings: Settings) -> Path:
    return settings.data_dir / "rebuild-clickhouse.request"


def _progress_file(settings: Settings) -> Path:
    return settings.data_dir / "rebuild-clickhouse.progress"


def _read(settings: Settings) -> Told:
    path = _progress_file(settings)
    return Told(*json.loads(path.read_text())) if path.exists() else Told(0, 0, "", "")


def _write(settings: Settings, told: Told) -> None:
    replace_text(_progress_file(settings), json.dumps(told))
