"""Prometheus on this machine: the system's, or Debian's package unpacked beside Kafka's jars."""

import argparse
import shutil
from pathlib import Path

from infra.debian import unpack
from infra.direct_http import ask
from infra.java import default_cache_dir
from infra.logging import tell
from infra.ports import HIGHEST_PORT, claimed_port
from infra.refusal import Refusal
from infra.scraping import targets_file
from infra.settings import LOOPBACK, Settings, load_settings
from infra.supervisor import Process, Supervisor

MONITORING = Path(__file__).parent / "monitoring"
PORT = 9_090
START_TIMEOUT_S = 30.0


class PrometheusMissing(Refusal):
    """Prometheus is not on this machine; the text is one sentence that says what to install."""


def prometheus_binary(name: str = "prometheus") -> str:
    """The path of `prometheus` or `promtool`, fetched first where that is possible.

    Only the files of Debian's package are unpacked: no daemon is started. Raises
    `PrometheusMissing`.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    folder = default_cache_dir() / "prometheus"
    if not folder.exists():
        why_not = unpack(name, "prometheus", folder)
        if why_not:
            raise PrometheusMissing(why_not)
    return str(folder / "usr" / "bin" / name)


def write_config(settings: Settings) -> Path:
    """infra/monitoring/prometheus.yml with the paths of this stack; returns the file."""
    text = (MONITORING / "prometheus.yml").read_text()
    for written, meant in (
        ("- alerts.yml", f"- {MONITORING / 'alerts.yml'}"),
        ("../../.data/run/metrics.json", str(targets_file(settings))),
    ):
        assert written in text, "the file and its paths belong together"
        text = text.replace(written, meant)
    file = settings.data_dir / "prometheus" / "prometheus.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def prometheus_process(settings: Settings, port: int) -> Process:
    """The server as the supervisor runs it: on the loopback, its data in the data directory."""
    config = write_config(settings)
    argv = (
        prometheus_binary(),
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'data'}",
        "--storage.tsdb.retention.time=15d",
        f"--web.listen-address={LOOPBACK}:{port}",
    )
    return Process(
        "prometheus", argv, lambda: _is_ready(port), START_TIMEOUT_S, port=port, niceness=10
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse prometheus`."""
    parser.add_argument("--port", type=_port, default=PORT, help=f"of the loopback; default {PORT}")


def run(arguments: argparse.Namespace) -> int:
    """Watch the stack of the data directory until interrupted.

    Raises `Refusal` if no stack has been started there.
    """
    settings = load_settings()
    if not targets_file(settings).exists():
        raise Refusal(f"a stack must have run in {settings.data_dir}, none has: logbourse run")
    port = claimed_port(LOOPBACK, arguments.port)
    process = prometheus_process(settings, port)
    greeting = f"alerts: http://{LOOPBACK}:{port}/alerts"
    return Supervisor([process], settings, on_ready=lambda: tell(greeting)).run()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= HIGHEST_PORT):
        raise argparse.ArgumentTypeError(f"1 to {HIGHEST_PORT} is wanted, was {text!r}")
    return int(text)


def _is_ready(port: int) -> bool:
    try:
        return ask(f"http://{LOOPBACK}:{port}/-/ready", timeout_s=1.0).status == 200
    except OSError:
        return False
