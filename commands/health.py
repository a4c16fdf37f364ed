"""Whether this gateway is alive, and whether it should get requests."""

from typing import Any

from aiohttp import web

from commands.follower import Follower
from commands.publisher import Publisher
from infra.http.app import Call, Endpoint, json_response


class Health:
    """Ready means: keys and markets are folded, no ledger lags, and the log takes records."""

    def __init__(self, follower: Follower, publisher: Publisher) -> None:
        self._follower = follower
        self._publisher = publisher

    def endpoints(self) -> list[Endpoint]:
        """What this serves; probes are not counted against anyone's limits."""
        return [
            Endpoint("GET", "/health/live", self.live, limited=False),
            Endpoint("GET", "/health/ready", self.ready, limited=False),
        ]

    async def live(self, _call: Call) -> dict[str, Any]:
        """GET /health/live: the process answers."""
        return {"status": "live"}

    async def ready(self, _call: Call) -> web.Response:
        """GET /health/ready: see `readiness`."""
        return self.readiness()

    def readiness(self) -> web.Response:
        """200, or 503 with what is `missing`; `ahead_s`: by how much log time leads the clock."""
        answer: dict[str, Any] = {"status": "ready"}
        if missing := self.missing():
            answer = {"status": "unready", "missing": missing}
        if ahead_us := self._follower.shards_ahead_us():
            # No other gateway could do more: deadlines pass in log time, wherever one asks.
            answer["ahead_s"] = {shard: us // 1_000_000 for shard, us in ahead_us.items()}
        return json_response(answer, status=503 if missing else 200)

    def missing(self) -> list[str]:
        """A sentence for each thing that keeps this gateway from serving."""
        missing = []
        if not self._follower.is_caught_up():
            missing.append("the outboxes are not read up to their ends yet")
        if not self._follower.reference.ledger_partitions:
            missing.append("accounts.ev.0 has no Genesis yet")
        missing += [f"{shard} lags" for shard in self._follower.stale_shards()]
        if not self._publisher.is_ready():
            missing.append("the log refuses records")
        return missing
