"""`logbourse serve` for order entry and operators: builds both applications and runs them."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import uvloop
from aiohttp import web

from commands.admin.app import build_admin_app
from commands.admin.operator import Operator
from commands.authentication import KeyAuthenticator
from commands.execution import Execution
from commands.follower import Follower
from commands.gateway import OrderEntry
from commands.health import Health
from commands.opened_secrets import OpenedSecrets
from commands.originals import OriginalRecords
from commands.outcomes import Outcomes
from commands.proxy import Proxy
from commands.publisher import Publisher
from infra.appender import Appender, KafkaAppender
from infra.clock import Clock, SystemClock
from infra.http.app import Frame, build_app, serve_app
from infra.http.limits import RequestLimits
from infra.kafka import KafkaLog, outside_producer
from infra.keys import SealingKeys, open_admin_token, open_keys
from infra.log import Log, LogRecord
from infra.logging import get_logger
from infra.settings import LOOPBACK, Settings
from infra.tail import Partition, Tail
from schemas.topics import outbox, shards

ROLES = ("gateway", "admin")
SHUTDOWN_S = 5.0
APPEND_TIMEOUT_MS = 4_000
MATCHING_GATHERS_MS = 100
SWITCH_INTERVAL_S = 0.0005
"""How long the loop may keep the interpreter from the threads that bring acks and outcomes."""

_logger = get_logger("serve")


@dataclass(slots=True)
class WriteSide:
    """Everything that order entry and operators share in one process."""

    tails: tuple[Tail, ...]
    caught_up: asyncio.Event
    follower: Follower
    health: Health
    orders: Execution
    operations: Execution

    async def stop(self) -> None:
        """Follow the log no more."""
        for tail in self.tails:
            await tail.stop()


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
    producer = outside_producer(settings, message_timeout_ms=APPEND_TIMEOUT_MS)
    appender = KafkaAppender(producer, partial(_fail, failed))
    appender.start()
    keys = open_keys(settings.key_file)
    side = await open_write_side(
        settings,
        lambda: KafkaLog(settings, outside=True),
        appender,
        clock,
        failed,
        # Only operators wait for matching itself, and not in a hurry.
        open_matching=partial(KafkaLog, settings, outside=True, gather_ms=MATCHING_GATHERS_MS)
        if "admin" in roles
        else None,
    )
    proxy = Proxy(queries_at)
    await proxy.start()
    runners = []
    try:
        if "gateway" in roles:
            app = build_gateway_app(side, keys, clock, proxy)
            if share_port:
                # Who cannot answer yet takes no connection that another would have served.
                await _until_any(side.caught_up, failed)
            runners.append(
                await serve_app(app, settings.host, settings.public_port, share_port=share_port)
            )
        if "admin" in roles:
            token = open_admin_token(settings.admin_token_file)
            app = build_operator_app(side, keys, clock, token)
            runners.append(await serve_app(app, LOOPBACK, settings.admin_port))
        _logger.info("serving", roles=sorted(roles))
        # What was built and folded stays: the collector need not hold up orders to look again.
        gc.freeze()
        await _until_stopped(failed)
    finally:
        for runner in runners:
            await runner.cleanup()
        await proxy.stop()
        await side.stop()
        await appender.stop(SHUTDOWN_S)
    return 1 if failed.is_set() else 0


async def open_write_side(
    settings: Settings,
    open_log: Callable[[], Log],
    appender: Appender,
    clock: Clock,
    failed: asyncio.Event,
    *,
    open_matching: Callable[[], Log] | None,
) -> WriteSide:
    """Follow the outboxes: accounts from the start, ledgers and matching from their ends.

    Matching is followed through `open_matching` apart; without it, no command may wait for it.
    `failed` is set once that cannot go on: the process must end.
    """
    names = shards(settings.ledger_partitions, settings.matching_partitions)
    if open_matching is None:
        names = [shard for shard in names if shard[0] != "M"]
    ends = await asyncio.to_thread(_ends, open_log, names)
    outcomes = Outcomes(lambda *place: originals.read(*place))
    # What matching did before is nobody's concern here.
    follower = Follower(outcomes, clock, {s: 0 if s[0] == "M" else ends[s] for s in names})

    caught_up = asyncio.Event()

    def take(records: Sequence[LogRecord]) -> None:
        try:
            follower.take(records)
            if not caught_up.is_set() and follower.is_caught_up():
                caught_up.set()
        except Exception as error:
            _fail(failed, error)

    # The last record of a ledger tells its log time; nobody here waits for what came before.
    starts = {s: 0 if s[0] == "A" else max(0, end - 1) for s, end in ends.items()}
    fail = partial(_fail, failed)
    tail = Tail(open_log, _places(starts, "AL"), take, fail)
    tails = [tail]
    if open_matching is not None:
        tails.append(Tail(open_matching, _places(starts, "M"), take, fail))
    originals = OriginalRecords(tail.scan)
    for each in tails:
        each.start()
    publisher = Publisher(appender, clock, "gw")
    operator_publisher = Publisher(appender, clock, "operator")
    return WriteSide(
        tails=tuple(tails),
        caught_up=caught_up,
        follower=follower,
        health=Health(follower, publisher),
        orders=Execution(publisher, outcomes, follower),
        operations=Execution(operator_publisher, outcomes, follower),
    )


def build_gateway_app(
    side: WriteSide, keys: SealingKeys, clock: Clock, proxy: Proxy | None
) -> web.Application:
    """Order entry; other paths go through `proxy`, or are unknown without one."""
    reference = side.follower.reference
    frame = Frame(
        authenticator=KeyAuthenticator(side.follower.credentials, OpenedSecrets(keys)),
        limits=RequestLimits(lambda: reference.limits),
        clock=clock,
        log_position=side.follower.position,
        fallback=proxy.forward if proxy is not None else None,
        knows_log=side.follower.is_caught_up,
    )
    entry = OrderEntry(reference, side.orders)
    return build_app(frame, [*entry.endpoints(), *side.health.endpoints()])


def build_operator_app(
    side: WriteSide, keys: SealingKeys, clock: Clock, token: str
) -> web.Application:
    """The operator's operations, for whoever brings `token`."""
    operator = Operator(side.follower.reference, side.operations, keys, clock)
    return build_admin_app(operator, side.health, token)


def _places(starts: Mapping[str, int], families: str) -> dict[Partition, int]:
    return {outbox(s): start for s, start in starts.items() if s[0] in families}


def _fail(failed: asyncio.Event, error: Exception) -> None:
    _logger.error("the log failed", error=type(error).__name__, sentence=str(error))
    failed.set()


def _ends(open_log: Callable[[], Log], names: Sequence[str]) -> dict[str, int]:
    log = open_log()
    ends = {shard: log.ends(*outbox(shard))[1] for shard in names}
    log.close()
    return ends


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
