"""Time, health, where every view stands in the log, and answers for venues that do not exist."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from infra.http.app import Call, Endpoint, Handler, json_response
from infra.http.errors import ApiError
from infra.log import Partition
from projections.layout import FED_TABLES, NOWHERE, Position
from projections.query.exchange_info import empty_exchange_info
from projections.query.sources import ACCOUNTS_EVENTS, Sources, give_up_s

READY_LAG_US = 3_000_000
"""A view may lag that much: time goes on by one tick a second, and 2 s are what a reader waits."""

NORMAL = {"status": 0, "msg": "normal"}
LIVE_VIEW = "redis"
REFERENCE_VIEW = "reference"


class StatusEndpoints:
    """What can be asked of the exchange without asking about a market or an account."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def endpoints(self) -> list[Endpoint]:
        """The paths, all public. Health counts against nobody's limits, and refuses nothing."""
        rows: tuple[tuple[str, Handler], ...] = (
            ("/api/v3/ping", self.ping),
            ("/api/v3/time", self.time),
            ("/sapi/v1/system/status", self.system_status),
            ("/sapi/v1/margin/allPairs", self.nothing),
            ("/sapi/v1/margin/isolated/allPairs", self.nothing),
            ("/fapi/v1/exchangeInfo", self.no_markets),
            ("/dapi/v1/exchangeInfo", self.no_markets),
            ("/x/v1/positions", self.positions),
            ("/x/v1/assets", self.assets),
        )
        return [
            *(Endpoint("GET", path, handler, reads=()) for path, handler in rows),
            Endpoint("GET", "/health/live", self.live, limited=False),
            Endpoint("GET", "/health/ready", self.ready, limited=False),
        ]

    async def ping(self, _call: Call) -> dict[str, Any]:
        """An empty answer."""
        return {}

    async def time(self, call: Call) -> dict[str, int]:
        """Wall time of this process."""
        return {"serverTime": call.time(self._sources.clock.now_us())}

    async def system_status(self, _call: Call) -> dict[str, Any]:
        """The exchange is up if it can say so."""
        return dict(NORMAL)

    async def nothing(self, _call: Call) -> list[Any]:
        """There is no margin trading."""
        return []

    async def no_markets(self, call: Call) -> dict[str, Any]:
        """There are no futures."""
        return empty_exchange_info(call.time(self._sources.clock.now_us()))

    async def positions(self, call: Call) -> dict[str, Any]:
        """Each view's position in each partition that feeds it, its log time and its lag.

        No view stands before the client's `X-Log-Min-Position`.
        """
        deadline_s = give_up_s()
        for topic, tables in FED_TABLES.items():
            await self._sources.reach_live(call, topic, deadline_s)
            for table in tables:
                await self._sources.reach_table(call, table, topic, deadline_s)
        views = await self._views()
        partitions = sorted({partition for _, partition in views})
        # Asked after the views were read, so that a lag is never told too small.
        ends = await asyncio.gather(
            *(self._sources.end_offset(each, deadline_s) for each in partitions)
        )
        end_of = dict(zip(partitions, ends, strict=True))
        now_us = self._sources.clock.now_us()
        rows = [
            {
                "view": view,
                "topic": topic,
                "partition": partition,
                "sequence": position.cseq,
                "logTime": call.time(position.time_us),
                "lagRecords": end_of[topic, partition] - 1 - position.offset,
                "lagMs": max(0, now_us - position.time_us) // 1_000,
            }
            for (view, (topic, partition)), position in sorted(views.items())
        ]
        return {"time": call.time(now_us), "positions": rows}

    async def assets(self, _call: Call) -> list[dict[str, Any]]:
        """Each asset, and whether it may be withdrawn, or why not."""
        reference = self._sources.reference
        return [
            {
                "asset": asset.code,
                "name": asset.name,
                "decimals": asset.decimals,
                "withdrawalsHalted": asset.asset_id in reference.halted_withdrawals,
                "reason": reference.halted_withdrawals.get(asset.asset_id, ""),
            }
            for asset in reference.assets.values()
        ]

    async def live(self, _call: Call) -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    async def ready(self, _call: Call) -> web.Response:
        """200 if reference data and every live view lag by less than three seconds, else 503.

        A view that may not be read yet, since the log's end at the start is not known, lags, too.
        """
        behind = await self._behind()
        if behind:
            return json_response({"status": "behind", "behind": behind}, status=503)
        return json_response({"status": "ready"})

    async def _views(self) -> dict[tuple[str, Partition], Position]:
        live = await self._sources.live.positions()
        views = {(LIVE_VIEW, partition): position for partition, position in live.items()}
        reference = self._sources.reference_positions()
        views |= {(REFERENCE_VIEW, each): position for each, position in reference.items()}
        stored = await self._stored_positions()
        for partition in self._sources.partitions():
            for table in FED_TABLES[partition[0]]:
                views[table, partition] = stored.get((table, partition), NOWHERE)
        return views

    async def _stored_positions(self) -> Mapping[tuple[str, Partition], Position]:
        """Empty while history cannot be read: a view that does not answer stands nowhere."""
        try:
            return await self._sources.history.positions()
        except ApiError:
            return {}

    async def _behind(self) -> list[str]:
        """Names of what lags."""
        partitions = self._sources.reference.ledger_partitions
        if not partitions:
            return [REFERENCE_VIEW]
        folded = self._sources.reference_positions()
        accounts = [(ACCOUNTS_EVENTS, p) for p in range(partitions)]
        reference = {each: folded.get(each, NOWHERE) for each in accounts}
        try:
            live = await self._sources.live.positions()
        except ApiError:
            return [LIVE_VIEW]
        oldest_us = self._sources.clock.now_us() - READY_LAG_US
        named = [(LIVE_VIEW, live), (REFERENCE_VIEW, reference)]
        return [
            f"{view} {topic}.{partition}"
            for view, positions in named
            for (topic, partition), position in sorted(positions.items())
            if position.time_us < oldest_us
            or (view == LIVE_VIEW and (topic, partition) not in self._sources.told_at_start)
        ]
