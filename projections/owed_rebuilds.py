"""Has views built anew: each in a thread, not too often, and none that was asked for forgotten."""

import threading
from collections.abc import Callable
from time import monotonic

from infra.clickhouse import ClickHouseError
from infra.log import LogFailure
from infra.logging import get_logger
from infra.redis import RedisError
from infra.refusal import Refusal

AT_MOST_EVERY_S = 600.0

_logger = get_logger("auditor")


class OwedRebuilds:
    """What is to be built anew, by the name of its store.

    `build` does it and returns the name of the build; `rebuilt` is told of a store whose build
    succeeded. Without `repairs` it only says what an operator types.
    """

    def __init__(
        self,
        build: Callable[[str], str],
        rebuilt: Callable[[str], None],
        *,
        repairs: bool,
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._build = build
        self._rebuilt = rebuilt
        self._repairs = repairs
        self._seconds = seconds
        self._owed: set[str] = set()
        self._said: set[str] = set()
        """Stores whose rebuild was asked of the operator, once for each."""
        self._begun_s: dict[str, float] = {}
        self._running: dict[str, threading.Thread] = {}

    def ask(self, store: str) -> None:
        """Build it anew: now, or as soon as it may be.

        While it is built, what is wrong is wrong in the build that is replaced.
        """
        if not self._repairs:
            if store not in self._said:
                self._said.add(store)
                _logger.error("not built anew", view=store, type_this=f"logbourse rebuild {store}")
        elif store not in self._owed and not self._is_running(store):
            self._owed.add(store)
            self.tend()
            if store in self._owed:
                _logger.warning("to be built anew", view=store, not_before_s=self._wait_s(store))

    def tend(self) -> None:
        """Begin what is owed and may begin."""
        for store in sorted(self._owed):
            if self._wait_s(store) > 0 or self._is_running(store):
                continue
            self._owed.discard(store)
            self._begun_s[store] = self._seconds()
            _logger.warning("building anew", view=store)
            thread = threading.Thread(target=self._run, args=(store,), daemon=True)
            self._running[store] = thread
            thread.start()

    def _is_running(self, store: str) -> bool:
        running = self._running.get(store)
        return running is not None and running.is_alive()

    def _wait_s(self, store: str) -> float:
        """For how long it must not be begun yet."""
        begun_s = self._begun_s.get(store)
        if begun_s is None:
            return 0.0
        return max(0.0, begun_s + AT_MOST_EVERY_S - self._seconds())

    def _run(self, store: str) -> None:
        try:
            build = self._build(store)
        except (Refusal, LogFailure, RedisError, ClickHouseError, OSError) as error:
            self._owed.add(store)
            _logger.error("not built anew", view=store, why=str(error))
        else:
            _logger.warning("built anew", view=store, build=build)
            self._rebuilt(store)
