"""`logbourse serve` for order entry and operators: builds both applications and runs them."""

import asyncio
import gc
import signal
import sys
from collections.abc import Collection
from contextlib import AsyncExitStack
from functools import partial

import uvloop
from aiohttp import web

from commands.admin.app import build_admin_app
from commands.admin.operator import Operator
from commands.admission import Admission
from commands.authentication import KeyAuthenticator
from commands.gateway import OrderEntry
from commands.metrics import tell_readiness
from commands.opened_secrets import OpenedSecrets
from commands.proxy import Proxy
from commands.reads import Reads
from commands.write_side import WriteSide, open_write_side
from infra.appender import KafkaAppender
from infra.clock import Clock, SystemClock
from infra.http.app import Frame, build_app, serve_app
from infra.http.limits import RequestLimits
from infra.http.ws_api import WsApi
from infra.kafka import KafkaLog, outside_producer
from infra.keys import SealingKeys, open_admin_token, open_keys
from infra.logging import get_logger
from infra.settings import LOOPBACK, Settings

ROLES = ("gateway", "admin")
WS_API_PATH = "/ws-api/v3"
SHUTDOWN_S = 5.0
APPEND_TIMEOUT_MS = 4_000
MATCHING_GATHERS_MS = 100
SWITCH_INTERVAL_S = 0.0005
"""How long the loop may keep the interpreter from the threads that bring acks and outcomes."""

_logger = get_logger("serve")


def main(
    settings: Settings, roles: Collection[str], queries_at: str, *, share_port: bool = False
) -> int:
    """`run` in a uvloop; the exit status."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return uvloop.run(run(settings, roles, queries_at, share_port=share_port))


async def run(
    settings: Settings, roles: Collection[str], queries_at: str, *, share_port: bool = False
) -> int:
    """Serve until SIGTERM or SIGINT; the exit status, 1 if the log failed. Raises `Refusal`.

    `queries_at` is the query API's address, to which order entry passes all other requests. With
    `share_port` other gateways may have the public port too.
    """
    clock = SystemClock()
    failed = asyncio.Event()
    async with AsyncExitStack() as undo:
        side = await _open(settings, roles, clock, failed, undo)
        tell_readiness(side, roles)
        keys = open_keys(settings.key_file)
        if "gateway" in roles:
            proxy = Proxy(queries_at)
            await proxy.start()
            undo.push_async_callback(proxy.stop)
            behind_proxy = bool(settings.behind_proxy)
            app = build_gateway_app(side, keys, clock, proxy, behind_proxy=behind_proxy)
            if share_port:
                # Who cannot answer yet takes no connection that another would have served.
                await _until_any(side.caught_up, failed)
            place = (settings.host, settings.public_port)
            runner = await serve_app(app, *place, share_port=share_port)
            undo.push_async_callback(runner.cleanup)
        if "admin" in roles:
            token = open_admin_token(settings.admin_token_file)
            app = build_operator_app(side, keys, clock, token)
            runner = await serve_app(app, LOOPBACK, settings.admin_port)
            undo.push_async_callback(runner.cleanup)
        _logger.info("serving", roles=sorted(roles))
        # What was built and folded stays: the collector need not hold up orders to look again.
        gc.freeze()
        await _until_stopped(failed)
    return 1 if failed.is_set() else 0


async def _open(
    settings: Settings,
    roles: Collection[str],
    clock: Clock,
    failed: asyncio.Event,
    undo: AsyncExitStack,
) -> WriteSide:
    """The write side on Kafka; `undo` closes it."""
    fail = partial(_fail, failed)
    producer = outside_producer(settings, message_timeout_ms=APPEND_TIMEOUT_MS)
    appender = KafkaAppender(producer, fail)
    appender.start()
    undo.push_async_callback(appender.stop, SHUTDOWN_S)
    # Only operators wait for matching itself, and not in a hurry.
    gathering = partial(KafkaLog, settings, outside=True, gather_ms=MATCHING_GATHERS_MS)
    side = await open_write_side(
        settings,
        partial(KafkaLog, settings, outside=True),
        appender,
        clock,
        fail,
        open_matching=gathering if "admin" in roles else None,
    )
    undo.push_async_callback(side.stop)
    return side


def build_gateway_app(
    side: WriteSide,
    keys: SealingKeys,
    clock: Clock,
    proxy: Proxy | None,
    *,
    behind_proxy: bool = False,
) -> web.Application:
    """Order entry; other paths go through `proxy`, or are unknown without one.

    `behind_proxy`: a TLS proxy on this machine names the client.
    """
    reference = side.follower.reference
    authenticator = KeyAuthenticator(side.follower.credentials, OpenedSecrets(keys))
    limits = RequestLimits(lambda: reference.limits)
    frame = Frame(
        authenticator=authenticator,
        limits=limits,
        clock=clock,
        behind_proxy=behind_proxy,
        log_position=side.follower.position,
        fallback=proxy.forward if proxy is not None else None,
        catch_up=side.catch_up_accounts,
        knows_log=side.follower.is_caught_up,
    )
    entry = OrderEntry(reference, side.orders, Admission(clock), limits)
    reads = Reads(proxy, keys.voucher).methods() if proxy is not None else []
    sockets = WsApi(frame, authenticator, [*entry.methods(), *reads])
    return build_app(
        frame,
        [*entry.endpoints(), *side.health.endpoints()],
        sockets={WS_API_PATH: sockets.serve},
        on_shutdown=[sockets.close],
    )


def build_operator_app(
    side: WriteSide, keys: SealingKeys, clock: Clock, token: str
) -> web.Application:
    """The operator's operations, for whoever brings `token`."""
    follower = side.follower
    operator = Operator(
        follower.reference, follower.credentials, side.operations, side.orders, keys, clock
    )
    return build_admin_app(operator, side.health, token, follower.position)


def _fail(failed: asyncio.Event, error: Exception) -> None:
    _logger.error("the log failed", error=type(error).__name__, sentence=str(error))
    failed.set()


async def _until_stopped(failed: asyncio.Event) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    await _until_any(stopping, failed)


async def _until_any(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
