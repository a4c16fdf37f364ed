"""The invariants that must hold after every schedule; each violation names its id."""

import re
from collections import defaultdict
from collections.abc import Iterator

from domain.decider import Command
from domain.ledger.chart import (
    CLEARING,
    EXTERNAL,
    HOUSE,
    LOWEST_USER_ACCOUNT,
    AccountKind,
    kind_of,
    owner_of,
)
from domain.orders.messages import Role
from schemas.topics import inbox, outbox
from streams.halts import HaltReason
from tests.simulation.corruption import Faulting
from tests.simulation.fold import Fold, decoded, first_records
from tests.simulation.replays import check_channels, check_promotions, check_replay
from tests.simulation.world import ALL_SHARDS, World


def check_all(world: World) -> tuple[Fold, list[str]]:
    """The folded outboxes and every violation found, once everything has drained."""
    fold = fold_outboxes(world)
    violations = [
        *check_channels(world),
        *check_replay(world),
        *check_promotions(world),
        *fold.violations,
        *check_books(world, fold),
        *check_money(fold),
        *check_orders(fold),
        *check_commands(fold),
        *check_faults(world, fold),
    ]
    return fold, violations


def fold_outboxes(world: World) -> Fold:
    """All outboxes, folded."""
    fold = world.opening.fold.copy() if world.opening else Fold()
    for shard in ALL_SHARDS:
        begin, _ = world.log.begins.get(inbox(shard), (0, {}))
        for value in world.log.partitions[inbox(shard)][begin:]:
            for message in decoded(value).messages:
                if isinstance(message, Command):
                    fold.deadlines[message.command_id] = message.deadline_us
    for shard in ALL_SHARDS:
        for _, record in first_records(world.log, outbox(shard)):
            for event in record.messages:
                fold.apply(shard, event, record.time_us)
    return fold


def check_books(world: World, fold: Fold) -> Iterator[str]:
    """L1, L6, L8: each ledger's own books are what follows from its events by other code."""
    for shard, host in world.hosts().items():
        if not shard.startswith("L"):
            continue
        theirs = {
            (asset, *_named(account)): amount
            for asset, account, amount in host.shard.state.balances.entries()
        }
        ours = {account: amount for account, amount in fold.ledgers[shard].books.items() if amount}
        for account in sorted(ours.keys() | theirs.keys()):
            if ours.get(account) != theirs.get(account):
                wanted, found = ours.get(account, 0), theirs.get(account, 0)
                yield f"L1: {shard} has {found} in {account}, its events say {wanted}"
        for (asset, kind, user), amount in ours.items():
            if amount < 0 and kind not in ("clearing", "external"):
                yield f"L4: {kind} account of user {user} in {shard} has {amount} of asset {asset}"


def _named(account: int) -> tuple[str, int]:
    shared = {CLEARING: "clearing", EXTERNAL: "external", HOUSE: "house"}
    if account in shared:
        return shared[account], 0
    return "held" if kind_of(account) is AccountKind.HELD else "free", owner_of(account)


def check_money(fold: Fold) -> Iterator[str]:
    """L1, L2, L4: sums are zero everywhere, nobody is below zero, nothing is left in flight."""
    sums: dict[tuple[str, int], int] = defaultdict(int)
    clearing: dict[int, int] = defaultdict(int)
    for (shard, asset, account), amount in fold.balances.items():
        sums[(shard, asset)] += amount
        if account == CLEARING:
            clearing[asset] += amount
        elif account != EXTERNAL and amount < 0:
            yield f"L4: account {account} of {shard} has {amount} of asset {asset}"
    for (shard, asset), total in sums.items():
        if total:
            yield f"L1: asset {asset} of {shard} sums to {total}"
    for asset, amount in clearing.items():
        if amount:
            yield f"L2: {amount} of asset {asset} are still in clearing"


def check_orders(fold: Fold) -> Iterator[str]:
    """L6, E1, E5: holds are what open orders need, books are uncrossed, trades settled once."""
    holds: dict[tuple[int, int], int] = defaultdict(int)
    for order in fold.open_orders.values():
        holds[(order.accepted.user_id, order.accepted.held_asset)] += order.held
    for (shard, asset, account), amount in fold.balances.items():
        if account >= LOWEST_USER_ACCOUNT and kind_of(account) is AccountKind.HELD:
            wanted = holds.pop((owner_of(account), asset), 0)
            if amount != wanted:
                yield f"L6: {shard} holds {amount} of {asset} for {owner_of(account)}, not {wanted}"
    yield from (f"L6: no hold for {key}" for key, amount in holds.items() if amount)
    best: dict[tuple[int, int], list[int]] = defaultdict(list)
    for (market, side, price), lots in fold.levels.items():
        if lots:
            best[(market, side)].append(price)
    for (market, side), prices in best.items():
        if side == 0 and (market, 1) in best and max(prices) >= min(best[(market, 1)]):
            yield f"E1: the book of market {market} is crossed"
    parties = {
        (*key, *party)
        for key, trade in fold.trades.items()
        for party in ((trade.maker_order_id, Role.MAKER), (trade.taker_order_id, Role.TAKER))
    }
    if set(fold.settled) != parties or any(count != 1 for count in fold.settled.values()):
        yield "E5: trades executed and fills settled are not the same"


def check_commands(fold: Fold) -> Iterator[str]:
    """S6: a command id has one effect, and whatever was asked of a book is answered once."""
    for command_id, count in fold.effects.items():
        if count != 1:
            yield f"S6: command {command_id.hex()} had {count} effects"
    if fold.asked != fold.answered:
        yield from (f"S6: {_asked(each)} is not answered" for each in fold.asked - fold.answered)
        yield from (f"S6: {_asked(each)} is told too often" for each in fold.answered - fold.asked)
    for command_id, orders in fold.of_all.items():
        if any(orders.values()):
            yield f"S6: cancel-all {command_id.hex()} named other orders than it ended: {orders}"


def check_faults(world: World, fold: Fold) -> Iterator[str]:
    """F20: everything can be planned, unless the world has a bug that was planted."""
    if not any(isinstance(decider, Faulting) for decider in world.deciders.values()):
        yield from (f"F20: {words}" for words in fold.faulted)


def check_halts(world: World) -> Iterator[str]:
    """Why shards have halted: the reason first, and the invariant that a fault names."""
    for halted in world.halted.values():
        named = re.search(r"\b[A-Z][0-9]:", str(halted))
        of = f" {named[0][:-1]}" if halted.reason is HaltReason.FAULT and named else ""
        yield f"halted {halted.reason}{of}: {halted}"


def check_losses(world: World) -> Iterator[str]:
    """S2, S5: of what is lost no shard complains that has lost nothing."""
    for shard, halted in world.halted.items():
        if halted.reason is HaltReason.ACKED_LOSS and shard not in world.cut_at:
            yield f"halted {halted.reason}: {halted}"


def _asked(what: tuple[bytes, int]) -> str:
    command_id, order_id = what
    return f"command {command_id.hex()} about order {order_id}"
