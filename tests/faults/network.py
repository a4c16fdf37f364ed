"""The runner's hand on the proxies: cuts and delays by names, for as long as a block lasts."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from infra.children import stop
from native.selection import ROOT
from tests.faults.proxy import BOTH, Rule

STEP = 5
"""The proxies listen that many ports above what they stand before."""


class Network:
    """The proxies of one stack."""

    def __init__(self, run_dir: Path, servers: Mapping[int, str]) -> None:
        """`servers` are names by the port that the server itself listens on."""
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.proxy", str(run_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self._rules: list[Rule] = []
        for port, name in servers.items():
            self._tell({"listen": port + STEP, "target": port, "name": name})

    @contextmanager
    def broken(self, *rules: Rule) -> Iterator[None]:
        """These rules hold, too, while the block runs."""
        self._rules += rules
        self._tell_rules()
        try:
            yield
        finally:
            for rule in rules:
                self._rules.remove(rule)
            self._tell_rules()

    def close(self) -> None:
        """End the proxies, and with them all connections."""
        stop(self._child, 5.0)

    def _tell_rules(self) -> None:
        self._tell({"rules": [asdict(rule) for rule in self._rules]})

    def _tell(self, wish: Mapping[str, object]) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(wish).encode() + b"\n")
        self._child.stdin.flush()
        if self._child.stdout.readline() != b"done\n":
            raise OSError(f"the proxies must do {wish}, ended with {self._child.wait(5.0)}")


def cut(client: str, server: str, way: str = BOTH) -> tuple[Rule, ...]:
    """Nothing passes between the two, whichever of them made the connection."""
    back = {BOTH: BOTH, "to": "from", "from": "to"}[way]
    return (Rule(client, server, way, cut=True), Rule(server, client, back, cut=True))
