"""The runner's hand on the proxies: cuts and delays by names, for as long as a block lasts."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from infra.children import stop
from native.selection import ROOT
from tests.faults.proxy import ANYBODY, BOTH, Rule

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
    def broken(self, *rules: Rule) -> Iterator[Counter[Rule]]:
        """These rules hold, too, while the block runs; behind it, how many pieces each struck."""
        struck: Counter[Rule] = Counter()
        self._rules += rules
        self._tell_rules()
        try:
            yield struck
        finally:
            for rule in rules:
                self._rules.remove(rule)
            told = self._tell_rules()
            struck.update({rule: told[rule] for rule in rules})

    def close(self) -> None:
        """End the proxies, and with them all connections."""
        stop(self._child, 5.0)

    def _tell_rules(self) -> Mapping[Rule, int]:
        return self._tell({"rules": [asdict(rule) for rule in self._rules]})

    def _tell(self, wish: Mapping[str, object]) -> Mapping[Rule, int]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(wish).encode() + b"\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise OSError(f"the proxies must do {wish}, ended with {self._child.wait(5.0)}")
        return {Rule(**rule): pieces for rule, pieces in json.loads(line)["struck"]}


def untouched(rules: Iterable[Rule], struck: Mapping[Rule, int]) -> list[str]:
    """What was to be broken and had no traffic: each cut between two names; of others, all."""
    pieces: Counter[str] = Counter()
    for rule in rules:
        named = rule.cut and ANYBODY not in (rule.client, rule.server)
        ends = " and ".join(sorted((rule.client, rule.server))) if named else "anybody"
        pieces[ends] += struck[rule]
    return [ends for ends, number in pieces.items() if not number]


def cut(client: str, server: str, way: str = BOTH) -> tuple[Rule, ...]:
    """Nothing passes between the two, whichever of them made the connection."""
    back = {BOTH: BOTH, "to": "from", "from": "to"}[way]
    return (Rule(client, server, way, cut=True), Rule(server, client, back, cut=True))
