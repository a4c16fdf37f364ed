"""`logbourse handover L0 …`: the leader stops, the shadow goes on, and nobody notices."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.lease import TTL_S, LeaseEntry, LeaseStore, Phase, standby_name
from infra.lease_stores import open_lease_store
from infra.refusal import Refusal
from infra.settings import load_settings
from streams.shard_names import named_shards

WATCHED_S = TTL_S
PATIENCE_S = 20.0
LOOK_S = 0.002


@dataclass(slots=True)
class _Handover:
    """One shard on its way from one process to another; times of this process's clock."""

    shard: str
    successor: str
    stopped_s: float = 0.0
    led_s: float = 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse handover`."""
    parser.add_argument("shards", nargs="+", metavar="SHARD", help="shards, such as L0 M0")


def run(arguments: argparse.Namespace) -> int:
    """Hand the shards over and print each gap; 0, or 1 where that was not possible.

    Raises `Refusal` if a shard is unknown, has no leader, or nobody stands by for it.
    """
    settings = load_settings()
    store = open_lease_store(settings)
    names = named_shards(arguments.shards, settings)
    expect_both(store, names)
    under_way = [_Handover(shard, ask(store, shard)) for shard in names]
    give_up_s = time.monotonic() + PATIENCE_S
    while (open_ones := [each for each in under_way if not each.led_s]) and (
        time.monotonic() < give_up_s
    ):
        for each in open_ones:
            _look(store, each)
        time.sleep(LOOK_S)
    for each in under_way:
        _tell(each)
    return 0 if all(each.led_s for each in under_way) else 1


def expect_both(store: LeaseStore, names: Sequence[str]) -> None:
    """See that each shard has a leader and somebody who stands by, by their counters.

    Raises `Refusal` for the first that has not.
    """
    wanted = {name: _counter(store, name) for name in (*names, *map(standby_name, names))}
    give_up_s = time.monotonic() + WATCHED_S
    waiting = set(wanted)
    while waiting and time.monotonic() < give_up_s:
        waiting = {name for name in waiting if _counter(store, name) == wanted[name]}
        time.sleep(0.05)
    for name in names:
        if name in waiting or not wanted[name]:
            raise Refusal(f"shard {name} must have a leader, has none")
        if standby_name(name) in waiting:
            raise Refusal(f"shard {name} must have a shadow that has caught up, has none")


def ask(store: LeaseStore, shard: str) -> str:
    """Ask the leader to let the one that stands by take over; who that is.

    Raises `Refusal` if there is no such pair.
    """
    while True:
        entry, standby = store.read(shard), store.read(standby_name(shard))
        if entry is None or not entry.holder or standby is None:
            raise Refusal(f"shard {shard} must have a leader and a shadow")
        wish = replace(entry, counter=entry.counter + 1, successor=standby.holder)
        if store.swap(shard, entry, wish):
            return standby.holder


def _counter(store: LeaseStore, name: str) -> int:
    """The counter of an entry that somebody holds; 0 if nobody does."""
    entry = store.read(name)
    return entry.counter if entry is not None and entry.phase is not Phase.FREE else 0


def _look(store: LeaseStore, each: _Handover) -> None:
    entry = store.read(each.shard) or LeaseEntry()
    now_s = time.monotonic()
    if not each.stopped_s and entry.phase in (Phase.YIELDING, Phase.FREE):
        each.stopped_s = now_s
    if entry.holder == each.successor and entry.phase is Phase.LEADING:
        each.led_s = now_s


def _tell(each: _Handover) -> None:
    if each.led_s and not each.stopped_s:
        print(f"{each.shard}: handed over to {each.successor}, together with another shard")
    elif each.led_s:
        gap_ms = (each.led_s - each.stopped_s) * 1_000
        print(f"{each.shard}: handed over to {each.successor}, nobody led for {gap_ms:.0f} ms")
    else:
        print(f"{each.shard}: not handed over within {PATIENCE_S:.0f} s", file=sys.stderr)
