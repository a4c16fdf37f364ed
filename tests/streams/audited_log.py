"""Logs of the simulated exchange as archives, and what an auditor says of them."""

import argparse
import random
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest

from domain.decider import Message
from domain.markets import MarketListed, MarketRulesChanged
from domain.orders import evolution, learning
from domain.orders.state import LedgerState
from infra.log import LogRecord, Partition
from schemas.topics import catalogue
from streams.audit.archive import Archive, Bounds, Manifest
from streams.audit.findings import Findings
from streams.audit.verify import Verdict, verify
from tests.simulation.faults import Faults
from tests.simulation.load import Traffic, genesis
from tests.simulation.sizes import Size
from tests.simulation.world import LEDGERS, MATCHERS, World

SIZE = Size("of an archive", phases=(8,))
"""How many phases trade: enough for something to be in flight wherever the log is cut off."""

Partitions = dict[Partition, list[tuple[int, bytes]]]
"""Offset and bytes of each record."""


class MemorySource:
    """Records from lists, whatever offsets they claim to have."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        for offset, value in self._partitions.get((topic, partition), []):
            if start <= offset < stop:
                yield LogRecord(topic, partition, offset, -1, value)


class Nobody:
    """Looks at no progress."""

    def advance(self, records: int) -> None:
        """So many more."""


def traded(seed: int, *, crashes: int = 0, duplicate_rate: float = 0.0) -> World:
    """An exchange that has traded and come to rest; junk was sent to one of its inboxes.

    With faults every process is restarted once, which leaves repetitions in the log.
    """
    world = World(Faults(random.Random(seed), crashes, duplicate_rate=duplicate_rate))
    genesis(world)
    for number, phase in enumerate(Traffic(random.Random(seed), SIZE).phases()):
        for envelope in phase:
            world.send(*envelope)
        if number == 12:
            world.log.append(("ledger.in", 0), b"no record at all")
        world.drain()
    world.faults.end()
    if crashes or duplicate_rate:
        world.restart_all()
    settle_marks(world)
    return world


def with_half_the_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every ledger believe in half the tick of each market that it is told of."""

    def learn(state: LedgerState, event: Message) -> None:
        if isinstance(event, (MarketListed, MarketRulesChanged)):
            event = replace(event, rules=replace(event.rules, tick=event.rules.tick // 2))
        learning.learn(state, event)

    monkeypatch.setattr(evolution, "learn", learn)


def settle_marks(world: World) -> None:
    """Let every host commit how far it is."""
    for process in world.processes:
        if process.log is not None:
            process.log.flush(1.0)
            for host in process.hosts:
                host.finish()


def partitions_of(world: World) -> Partitions:
    """A copy of the log that may be tampered with."""
    return {place: list(enumerate(values)) for place, values in world.log.partitions.items()}


def archived(world: World, partitions: Partitions | None = None) -> Archive:
    """The log as an auditor finds it; of other partitions than the world's where given."""
    found = partitions_of(world) if partitions is None else partitions
    bounds = {}
    for topic in catalogue(LEDGERS, MATCHERS):
        for partition in range(topic.partitions):
            place = (topic.name, partition)
            end = max((offset + 1 for offset, _ in found.get(place, [])), default=0)
            bounds[place] = Bounds(0, end, end)
    return Archive(MemorySource(found), Manifest(LEDGERS, MATCHERS, bounds, dict(world.log.marks)))


def renumbered(values: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The same records without a gap in their offsets, as a careful forger would leave them."""
    return [(offset, value) for offset, (_, value) in enumerate(values)]


def with_ends_of(archive: Archive, original: Archive) -> Archive:
    """The archive under the manifest that was written for the original."""
    return replace(archive, manifest=original.manifest)


def replayed(archive: Archive) -> Verdict:
    """The verdict on all shards, reached in this process."""
    return verify(archive, archive.manifest.shards(), {}, Nobody(), processes=1)


def told(findings: Findings) -> str:
    """All that is said of causes, in one text."""
    return "\n".join(finding.sentence() for finding in findings.roots())


def arguments(subcommand: ModuleType, *words: str) -> argparse.Namespace:
    """What `run` of the subcommand is given for these words of a command line."""
    parser = argparse.ArgumentParser()
    subcommand.add_arguments(parser)
    return parser.parse_args(words)
