"""The log auditor's whole state as plain lists, and back: so that a restart begins where it was.

Books are checked before they are kept (`Shard.dump` refuses unsound ones), amounts stay integers,
and every list is in one order.
"""

from bisect import insort
from collections import Counter, deque
from dataclasses import astuple
from typing import Any

from domain.fees import FeeTier
from domain.markets import MarketRules
from domain.orders.messages import Role, Side
from infra.log import Partition
from streams.audit.books import Terms
from streams.audit.ledger_witness import Kept, LedgerRecord
from streams.audit.matching_witness import MatchingRecord
from streams.audit.order_limits import OrderLimits, Placed
from streams.audit.priority_book import PriorityBook, Waiting
from streams.auditor.followed import Followed
from streams.auditor.legs import Legs, Origin, Traded
from streams.auditor.log_auditor import LogAuditor
from streams.marks import Done
from streams.shard import Shard

FORMAT = 6


def dump(auditor: LogAuditor) -> dict[str, Any]:
    """The state between two records. No shard may be halted; raises AssertionError if unsound."""
    return {
        "format": FORMAT,
        "partitions": [auditor.ledger_partitions, auditor.matching_partitions],
        "shards": {shard: _dump_followed(f) for shard, f in auditor.followed.items()},
        "read": [[*place, offset] for place, offset in sorted(_read_again(auditor).items())],
        "crossings": [
            [src, *place, c.computed_last, c.matched_last, _dump_due(c.due)]
            for (src, place), c in sorted(auditor.crossings.items())
        ],
        "legs": [[list(leg), traded] for leg, traded in sorted(auditor.legs.open.items())],
        "in_flight": sorted(auditor.legs.in_flight.items()),
        "sent": [
            [*pair, [[cseq, list(leg)] for cseq, leg in waiting]]
            for pair, waiting in sorted(auditor.legs.sent.items())
        ],
    }


def load(auditor: LogAuditor, data: dict[str, Any]) -> None:
    """Put a new auditor where the dump was. `ValueError` or `KeyError` for what is no dump.

    Inboxes are read again from where they were applied; what was matched there already comes a
    second time, and is passed over.
    """
    partitions = [auditor.ledger_partitions, auditor.matching_partitions]
    if data["format"] != FORMAT or data["partitions"] != partitions:
        raise ValueError(f"format {FORMAT} of {partitions} partitions was wanted")
    for topic, partition, offset in data["read"]:
        auditor.next_offsets[topic, partition] = offset
    for shard, kept in data["shards"].items():
        followed = auditor.followed[shard]
        _load_followed(followed, kept)
        auditor.next_offsets[followed.place] = followed.position
    for src, topic, partition, computed, matched, due in data["crossings"]:
        crossing = auditor.crossing(src, (topic, partition))
        crossing.computed_last, crossing.matched_last = computed, matched
        crossing.due = {cseq: (bytes.fromhex(text), cause) for cseq, text, cause in due}
    legs = auditor.legs
    legs.open = {(leg[0], leg[1], leg[2]): _traded(values) for leg, values in data["legs"]}
    legs.in_flight = Counter(dict(data["in_flight"]))
    _load_sent(legs, data["sent"])


def _read_again(auditor: LogAuditor) -> dict[Partition, int]:
    """Where to read on, so that what was found and is not computed yet is found again."""
    offsets = {place: auditor.compared_to(place) for place in auditor.next_offsets}
    for crossing in auditor.crossings.values():
        for suspect in (s for each in crossing.suspects.values() for s in each):
            offsets[crossing.place] = min(offsets[crossing.place], suspect.offset)
    return offsets


def _dump_due(due: dict[int, tuple[bytes, int]]) -> list[list[Any]]:
    return [[cseq, content.hex(), cause] for cseq, (content, cause) in sorted(due.items())]


def _load_sent(legs: Legs, data: list[Any]) -> None:
    for source, ledger, waiting in data:
        legs.sent[source, ledger] = deque((cseq, (leg[0], leg[1], leg[2])) for cseq, leg in waiting)


def _traded(values: list[Any]) -> Traded:
    (price_ticks, lots, side, role, paid, received), origin = values
    moved = (paid[0], paid[1]), (received[0], received[1])
    return Traded(Terms(price_ticks, lots, Side(side), Role(role), *moved), Origin(*origin))


def _dump_followed(followed: Followed) -> dict[str, Any]:
    assert followed.stopped is None, f"{followed.id} has halted"
    witness: Any = None
    if followed.ledger is not None:
        witness = _dump_ledger(followed.ledger)
    elif followed.matching is not None:
        witness = _dump_matching(followed.matching)
    return {
        "position": followed.position,
        "last": followed.last_hash.hex(),
        "shard": followed.shard.dump().decode(),
        "witness": witness,
    }


def _load_followed(followed: Followed, data: dict[str, Any]) -> None:
    followed.position = data["position"]
    followed.last_hash = bytes.fromhex(data["last"])
    if followed.ledger is not None:
        _load_ledger(followed.ledger, data["witness"])
    elif followed.matching is not None:
        _load_matching(followed.matching, data["witness"])
    resolutions = followed.shard.resolutions
    followed.shard = shard = Shard.load(data["shard"].encode(), followed.decider())
    if shard.id != followed.id:
        raise ValueError(f"a dump of {followed.id} was wanted, was of {shard.id}")
    shard.resolutions = resolutions
    followed.dones.append(Done(followed.position, shard.ordinal, shard.input_hash))


def _dump_ledger(record: LedgerRecord) -> dict[str, Any]:
    return {
        "available": _amounts(record.available),
        "held": _amounts(record.held),
        "house": sorted(record.house.items()),
        "clearing": sorted(record.clearing.items()),
        "deposited": sorted(record.deposited.items()),
        "withdrawn": sorted(record.withdrawn.items()),
        "open": [[order_id, *astuple(kept)] for order_id, kept in sorted(record.open.items())],
        "last_order_id": record.last_order_id,
        "tiers": [list(astuple(tier)) for _, tier in sorted(record.tiers.items())],
        "tier_of": sorted(record.tier_of.items()),
        "refused_cancels": [command_id.hex() for command_id in record.refused_cancels],
        "limits": _dump_limits(record.limits),
    }


def _load_ledger(record: LedgerRecord, data: dict[str, Any]) -> None:
    record.available = Counter({(user, asset): a for user, asset, a in data["available"]})
    record.held = Counter({(user, asset): a for user, asset, a in data["held"]})
    record.house = Counter(dict(data["house"]))
    record.clearing = Counter(dict(data["clearing"]))
    record.deposited = Counter(dict(data["deposited"]))
    record.withdrawn = Counter(dict(data["withdrawn"]))
    record.open = {order_id: Kept(*rest) for order_id, *rest in data["open"]}
    record.last_order_id = data["last_order_id"]
    record.tiers = {tier[0]: FeeTier(*tier) for tier in data["tiers"]}
    record.tier_of = dict(data["tier_of"])
    record.refused_cancels = {bytes.fromhex(text): None for text in data["refused_cancels"]}
    record.limits = _load_limits(data["limits"], record)


def _dump_limits(limits: OrderLimits) -> list[Any]:
    return [
        limits.per_10s,
        limits.per_day,
        [[market, list(astuple(rules))] for market, rules in sorted(limits.rules.items())],
        sorted(limits.reference.items()),
        [[user, *astuple(placed)] for user, placed in sorted(limits.placed.items())],
    ]


def _load_limits(data: list[Any], record: LedgerRecord) -> OrderLimits:
    per_10s, per_day, rules, reference, placed = data
    return OrderLimits(
        per_10s,
        per_day,
        {market: MarketRules(*values) for market, values in rules},
        dict(reference),
        {user: Placed(*counts) for user, *counts in placed},
        Counter((kept.user_id, kept.market_id) for kept in record.open.values()),
    )


def _amounts(counter: Counter[tuple[int, int]]) -> list[list[int]]:
    return [[*key, amount] for key, amount in sorted(counter.items()) if amount]


def _dump_matching(record: MatchingRecord) -> dict[str, Any]:
    return {
        "rules": [[market, list(astuple(r))] for market, r in sorted(record.rules.items())],
        "books": [[market, _dump_book(b)] for market, b in sorted(record.books.items())],
        "last_trade_ids": sorted(record.last_trade_ids.items()),
    }


def _load_matching(record: MatchingRecord, data: dict[str, Any]) -> None:
    record.rules = {market: MarketRules(*values) for market, values in data["rules"]}
    record.books = {market: _load_book(values) for market, values in data["books"]}
    record.last_trade_ids = dict(data["last_trade_ids"])


def _dump_book(book: PriorityBook) -> list[Any]:
    waiting = [list(astuple(order)) for _, order in sorted(book.waiting.items())]
    return [book.tick, book.revision, book.halted, book.arrivals, waiting]


def _load_book(data: list[Any]) -> PriorityBook:
    tick, revision, halted, arrivals, waiting = data
    book = PriorityBook(tick, revision, halted, arrivals)
    for order_id, user_id, side, *rest in waiting:
        order = Waiting(order_id, user_id, Side(side), *rest)
        book.waiting[order_id] = order
        insort(book.bids if order.side == Side.BUY else book.asks, order.entry())
    return book
