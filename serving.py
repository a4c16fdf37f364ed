"""`logbourse serve`: puts order entry, the operators' port and the query API together."""

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Thread
from time import sleep

import uvloop

from commands.authentication import KeyAuthenticator
from commands.credentials import Credentials
from commands.opened_secrets import OpenedSecrets
from commands.serve import ROLES as WRITE_ROLES
from commands.serve import main as serve_writes
from domain.reference import ReferenceData
from infra.clickhouse import clickhouse_client
from infra.clock import SystemClock
from infra.http.app import serve_app
from infra.kafka import KafkaLog
from infra.keys import open_admin_token, open_keys
from infra.log import Log, LogFailure, LogRecord, Partition
from infra.logging import configure_logging, get_logger
from infra.metrics import serve_metrics
from infra.redis import AsyncRedis, async_redis_client
from infra.refusal import Misunderstood
from infra.settings import Settings, load_settings
from infra.tail import Tail
from projections.clickhouse_worker import EmbeddedWorker
from projections.layout import NOWHERE, Position, feeding_partitions
from projections.query.freshness import last_sequence
from projections.query.serve import Parts, build_app
from schemas.record import decode_record

QUERY_ROLE = "query"
ROLES = (*WRITE_ROLES, QUERY_ROLE)

ASK_AGAIN_S = 1.0

_logger = get_logger("serve")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse serve`."""
    parser.add_argument("--roles", default="gateway,admin", help=f"some of {','.join(ROLES)}")
    parser.add_argument("--queries-at", default="", help="URL of the query API, to pass reads to")
    parser.add_argument(
        "--share-port", action="store_true", help="let other gateways have the public port too"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM; the exit status. Raises `Misunderstood` for roles that do not go."""
    roles = set(arguments.roles.split(","))
    if not roles <= set(ROLES):
        raise Misunderstood(f"roles must be among {', '.join(ROLES)}, was {arguments.roles}")
    if QUERY_ROLE in roles and len(roles) > 1:
        raise Misunderstood(
            "the query role needs a process of its own, so that reads delay no order"
        )
    settings = load_settings()
    configure_logging(settings.log_level)
    serve_metrics(settings)
    if roles == {QUERY_ROLE}:
        # Faust makes loops of its own, in threads.
        uvloop.install()
        return asyncio.run(serve_queries(settings))
    queries_at = arguments.queries_at or f"http://{settings.host}:{settings.query_port}"
    return serve_writes(settings, roles, queries_at, share_port=arguments.share_port)


async def serve_queries(settings: Settings) -> int:
    """The query API until SIGTERM; the exit status, 1 if following the log failed.

    An embedded ClickHouse belongs to one process, so its worker runs here too. Raises `Refusal`,
    before anything is read, if the port is taken.
    """
    ending = asyncio.Event()
    failures: list[str] = []

    def fail(error: Exception) -> None:
        failures.append(str(error))
        _logger.error("following the log failed", error=type(error).__name__, sentence=str(error))
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    accounts = AccountsView()
    starts = {("accounts.ev", p): 0 for p in range(settings.ledger_partitions)}
    take = partial(_take, accounts, fail)
    open_log = partial(KafkaLog, settings, outside=True)
    tail = Tail(open_log, starts, take, fail)
    redis = async_redis_client(settings.redis_url)
    told: dict[Partition, int] = {}
    app = build_app(_parts(settings, accounts, tail, redis, told), behind_proxy=True)
    runner = await serve_app(app, settings.host, settings.query_port)
    feeding = feeding_partitions(settings.ledger_partitions, settings.matching_partitions)
    loop = asyncio.get_running_loop()
    learning = (open_log, feeding, told, lambda error: loop.call_soon_threadsafe(fail, error))
    Thread(target=learn_told, args=learning, name="told-at-start", daemon=True).start()
    accounts.targets = {place: await tail.end_offset(*place) for place in starts}
    tail.start()
    worker = EmbeddedWorker(settings)
    worker.start()
    _logger.info("serving", roles=[QUERY_ROLE])
    await ending.wait()
    await runner.cleanup()
    await redis.aclose()
    await tail.stop()
    await asyncio.to_thread(worker.stop)
    return 1 if failures else 0


class AccountsView:
    """Keys and reference data, folded from `accounts.ev` in memory.

    `targets`: the offsets up to which they must be folded before anybody is told what is unknown.
    """

    def __init__(self) -> None:
        self.targets: dict[Partition, int] = {}
        self._next_offsets: dict[Partition, int] = {}
        self.reference = ReferenceData()
        self.credentials = Credentials()
        self.positions: dict[Partition, Position] = {}

    def take(self, records: Sequence[LogRecord]) -> None:
        """Fold a batch, apart from repetitions and from a record that is far beyond the next."""
        for stored in records:
            partition = (stored.topic, stored.partition)
            self._next_offsets[partition] = stored.offset + 1
            record = decode_record(stored.value)
            if record.cseq != self.positions.get(partition, NOWHERE).cseq + 1:
                continue
            for event in record.messages:
                self.reference.apply(event, stored.partition, record.time_us)
                self.credentials.apply(event)
            self.positions[partition] = Position(record.cseq, stored.offset, record.time_us)

    def knows_log(self) -> bool:
        """Whether all is folded that stood in the log when this process began."""
        return bool(self.targets) and all(
            self._next_offsets.get(place, 0) >= target for place, target in self.targets.items()
        )


def learn_told(
    open_log: Callable[[], Log],
    places: Sequence[Partition],
    told: dict[Partition, int],
    on_failure: Callable[[Exception], object],
) -> None:
    """Put into `told` the last sequence of each partition as it is now; for a thread of its own.

    One that does not tell, since nobody leads it, is asked again after the others.
    """
    try:
        log = open_log()
        while unknown := [place for place in places if place not in told]:
            for place in unknown:
                with contextlib.suppress(LogFailure):
                    told[place] = last_sequence(log, *place)
            if len(told) < len(places):
                sleep(ASK_AGAIN_S)
        log.close()
    except Exception as error:
        on_failure(error)


def _take(
    accounts: AccountsView, fail: Callable[[Exception], None], records: Sequence[LogRecord]
) -> None:
    """What cannot be folded ends the process: it must not go on without knowing something."""
    try:
        accounts.take(records)
    except Exception as error:
        fail(error)


def _parts(
    settings: Settings,
    accounts: AccountsView,
    tail: Tail,
    redis: AsyncRedis,
    told_at_start: Mapping[Partition, int],
) -> Parts:
    keys = open_keys(settings.key_file)
    return Parts(
        reference=accounts.reference,
        reference_positions=lambda: accounts.positions,
        authenticator=KeyAuthenticator(accounts.credentials, OpenedSecrets(keys), keys.voucher),
        end_of_log=tail.end_offset,
        open_log=partial(KafkaLog, settings, outside=True),
        told_at_start=told_at_start,
        redis=redis,
        open_clickhouse=lambda: clickhouse_client(settings.clickhouse_dsn),
        clock=SystemClock(),
        knows_log=accounts.knows_log,
        operator_token=open_admin_token(settings.admin_token_file),
    )
