"""Looks at Redis and history again and again, mends keys, has a view built anew if it must."""

from collections.abc import Callable
from time import monotonic
from typing import Any

from infra.logging import get_logger
from infra.redis import RedisError, redis_client
from infra.settings import Settings
from projections.history_auditor import HistoryAuditor
from projections.history_client import HistoryClient
from projections.live_cells import Listing, LiveCells, Touched
from projections.owed_rebuilds import OwedRebuilds
from projections.rebuild_command import rebuild
from projections.view_auditor import Complaint, ViewAuditor

LIVE_S = 0.4
TRACKING_S = 5.0

_logger = get_logger("auditor")


class ViewWatch:
    """Both stores of one exchange. `report` is told of complaints, `rebuilt` of a view's name."""

    def __init__(
        self,
        settings: Settings,
        history: HistoryClient,
        views: ViewAuditor,
        report: Callable[[Complaint], None],
        rebuilt: Callable[[str], None],
        *,
        repairs: bool,
    ) -> None:
        self._settings = settings
        self._views = views
        self._report = report
        self._rebuilds = OwedRebuilds(self._build, rebuilt, repairs=repairs)
        self._history = HistoryAuditor(history, views)
        self._client: Any = redis_client(settings.redis_url)
        self._live: LiveCells | None = None
        self._touched: Touched | None = None
        self._listing: Listing | None = None
        self._next_live_s = 0.0
        self._next_tracking_s = 0.0
        self._silent: set[str] = set()

    @property
    def round_s(self) -> float:
        """How long the last look at history took."""
        return self._history.round_s

    def tend(self, end_of: Callable[[str, int], int]) -> None:
        """Look at what is due. A store that does not answer is said once, and asked again."""
        self._rebuilds.tend()
        try:
            if monotonic() >= self._next_live_s:
                self._next_live_s = monotonic() + LIVE_S
                self._look_at_redis(end_of)
                self._silent.discard("redis")
            elif self._live is not None and self._views.compare(self._live):
                self._rebuilds.ask("redis")
        except RedisError as error:
            self._forget_redis()
            self._say_silent("redis", error)
        try:
            self._history.tend(self._complain_of_history, end_of)
            self._silent.discard("history")
        except (OSError, ValueError, KeyError) as error:
            self._say_silent("history", error)

    def close(self) -> None:
        """Give the connections back."""
        self._forget_redis()
        self._client.close()
        self._history.close()

    def _look_at_redis(self, end_of: Callable[[str, int], int]) -> None:
        if self._live is None:
            self._live = LiveCells(self._client)
        changed = self._live.refresh()
        if changed:
            self._views.forget_reads()
        if monotonic() >= self._next_tracking_s or changed:
            self._next_tracking_s = monotonic() + TRACKING_S
            if self._touched is None or changed or not self._touched.works():
                self._track(self._live.build)
        if self._touched is not None:
            self._views.touch(self._touched.take())
        if self._listing is not None and self._views.wants_names:
            self._views.listed(self._listing.take())
            if self._listing.ended:
                self._listing = None
        if self._views.check_live(self._live, end_of):
            self._rebuilds.ask("redis")

    def _track(self, build: str) -> None:
        """Be told from now on; what was written before shows in a list of all keys."""
        if self._touched is not None:
            self._touched.close()
        self._touched = Touched(redis_client(self._settings.redis_url, protocol=2), build)
        self._listing = Listing(self._client, build)

    def _forget_redis(self) -> None:
        if self._touched is not None:
            self._touched.close()
        self._touched, self._listing, self._live = None, None, None
        self._next_tracking_s = 0.0
        self._views.forget_reads()

    def _complain_of_history(self, complaint: Complaint) -> None:
        self._report(complaint)
        self._rebuilds.ask("clickhouse")

    def _build(self, store: str) -> str:
        return rebuild(self._settings, store, lambda _done, _total: None)

    def _say_silent(self, store: str, error: Exception) -> None:
        if store not in self._silent:
            self._silent.add(store)
            _logger.warning("a store does not answer", store=store, why=str(error))
