"""Composes the query API: endpoints over Redis, ClickHouse and the reference data."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from domain.reference import ReferenceData
from infra.clickhouse import ClickHouseClient
from infra.clock import Clock
from infra.http.app import Call, Endpoint, Frame
from infra.http.app import build_app as build_frame
from infra.http.limits import RequestLimits
from infra.http.principal import Authenticator
from infra.log import Log, Partition
from infra.redis import AsyncRedis
from projections.layout import Position
from projections.query.account_endpoints import AccountEndpoints
from projections.query.audit_endpoints import AuditEndpoints
from projections.query.book_endpoints import BookEndpoints
from projections.query.freshness import format_positions
from projections.query.history import History
from projections.query.live import LiveViews
from projections.query.order_endpoints import OrderEndpoints
from projections.query.outbox_ends import OutboxEnds
from projections.query.risk_endpoints import RiskEndpoints
from projections.query.sources import Sources
from projections.query.status_endpoints import StatusEndpoints
from projections.query.ticker_endpoints import TickerEndpoints


@dataclass(slots=True, frozen=True)
class Parts:
    """What the composition root brings.

    `reference` and `authenticator` are folded from `accounts.ev` by its owner, who tells in
    `reference_positions` how far. `end_of_log` is `Tail.end_offset`, `open_log` makes a handle on
    the log, and `told_at_start` has the last sequence that stood in each partition that feeds views
    when this process began, once known.
    `open_clickhouse` makes a client; it is called once in each reading thread. `knows_log` tells
    whether the reference data have all that stood in the log when this process began. Without an
    `operator_token` nobody but the user sees a user's risk.
    """

    reference: ReferenceData
    reference_positions: Callable[[], Mapping[Partition, Position]]
    authenticator: Authenticator
    end_of_log: Callable[[str, int], Awaitable[int]]
    open_log: Callable[[], Log]
    told_at_start: Mapping[Partition, int]
    redis: AsyncRedis
    open_clickhouse: Callable[[], ClickHouseClient]
    clock: Clock
    knows_log: Callable[[], bool]
    operator_token: str


def build_app(parts: Parts, *, behind_proxy: bool = False) -> web.Application:
    """The query API. `behind_proxy`: requests come through our gateway on this machine.

    Its clean-up ends what runs in the background; Redis is closed by who opened it.
    """
    sources = build_sources(parts)
    frame = Frame(
        authenticator=parts.authenticator,
        limits=RequestLimits(lambda: parts.reference.limits),
        clock=parts.clock,
        behind_proxy=behind_proxy,
        log_position=lambda: format_positions(parts.reference_positions()),
        catch_up=sources.catch_up_reference,
        knows_log=parts.knows_log,
    )
    app = build_frame(frame, endpoints(sources, parts))

    async def stop(_app: web.Application) -> None:
        await sources.live.stop()
        await sources.history.stop()

    app.on_cleanup.append(stop)
    return app


def build_sources(parts: Parts) -> Sources:
    """The views as endpoints read them."""
    history = History(parts.open_clickhouse)
    live = LiveViews(parts.redis, lambda: sources.partitions())
    sources = Sources(
        reference=parts.reference,
        reference_positions=parts.reference_positions,
        live=live,
        history=history,
        end_of_log=parts.end_of_log,
        outbox_ends=OutboxEnds(parts.open_log, live.positions),
        told_at_start=parts.told_at_start,
        clock=parts.clock,
    )
    return sources


def endpoints(sources: Sources, parts: Parts) -> list[Endpoint]:
    """Every path of the query API."""
    every = [
        *StatusEndpoints(sources).endpoints(),
        *BookEndpoints(sources).endpoints(),
        *TickerEndpoints(sources).endpoints(),
        *OrderEndpoints(sources).endpoints(),
        *AccountEndpoints(sources).endpoints(),
        *RiskEndpoints(sources, parts.authenticator, parts.operator_token).endpoints(),
        *AuditEndpoints(sources, parts.operator_token).endpoints(),
    ]
    return [_of_wanted_reference(sources, each) if each.limited else each for each in every]


def _of_wanted_reference(sources: Sources, endpoint: Endpoint) -> Endpoint:
    """The endpoint, once the reference data have what the client's `X-Log-Min-Position` names.

    All but probes and the auditor's sums are told by these data: symbols, decimals, limits.
    """

    async def answer(call: Call) -> Any:
        await sources.reach_reference(call)
        return await endpoint.handler(call)

    return replace(endpoint, handler=answer)
