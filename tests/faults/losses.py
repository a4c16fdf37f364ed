"""What Kafka lost after a loss of all power, as a recovery tells it: every loss is explained."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from domain.decider import Command, Message
from domain.orders.messages import CancelRequested, OrderAccepted, PlaceOrder
from schemas.record import UndecodableRecord, decode_record
from schemas.topics import inbox, outbox
from streams.audit.archive import Archive, place_name
from streams.audit.exported import open_export
from streams.recovery.report import REPORT
from tests.faults.load import Sent


@dataclass(slots=True, frozen=True)
class Loss:
    """Partitions whose files were `cut` short, what was left of the log then, and the report.

    `commands` says where in an inbox the first record with a command stood, `effects` which orders
    and cancels the outboxes of ledgers told. By the report: how far each partition is `kept`, the
    order ids that are `listed` as lost by their commands, how many `counted` commands do not stay,
    and the sentences `numbers`. What was answered after `reopened_s` is no part of it. `anew`: an
    inbox of a matching shard has lost something, so that books may have met orders anew.
    """

    cut: Collection[str]
    commands: Mapping[bytes, tuple[str, int]] = field(default_factory=dict)
    effects: Collection[bytes] = ()
    kept: Mapping[str, int] = field(default_factory=dict)
    listed: Mapping[bytes, int] = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)
    numbers: Sequence[str] = ()
    reopened_s: float = inf
    anew: bool = True

    def may_concern(self, sent: Sent) -> bool:
        """Whether the answer was given before the exchange was reopened."""
        return sent.answered_s < self.reopened_s

    def explains_another_end(self, sent: Sent) -> bool:
        """Whether what the log has may differ from what the client was told before.

        Books may have met anew what its ledger had passed on to them. A refusal of the ledger's
        own follows from its inbox, and stands in its outbox, unless these have lost their ends.
        """
        if sent.acknowledged:
            return self.anew
        shard = f"L{sent.ledger}"
        own = {place_name(outbox(shard)), place_name(inbox(shard))}
        return not own.isdisjoint(self.cut) or (self.anew and sent.command_id in self.effects)

    def unexplained(self, sent: Sent, name: str, again: bool) -> Iterator[str]:
        """Why the log may not lack what was acknowledged; nothing if it may.

        `again`: the command came once more after the loss and had another outcome.
        """
        shard = f"L{sent.ledger}"
        told, asked = place_name(outbox(shard)), place_name(inbox(shard))
        if sent.command_id not in self.effects and told not in self.cut:
            yield f"{name} was acknowledged and is not in {told}, of which nothing was cut off"
        if sent.places and sent.command_id in self.effects:
            listed = self.listed.get(sent.command_id)
            if listed != sent.result["orderId"]:
                yield f"{name} was acknowledged as {sent.result['orderId']}, is lost as {listed}"
        if again:
            return
        place, offset = self.commands.get(sent.command_id, ("", 0))
        if not place and asked not in self.cut:
            yield f"{name} was acknowledged and is not in {asked}, of which nothing was cut off"
        if place and offset < self.kept[place]:
            yield f"{name} was acknowledged, stands at {place}@{offset}, and has no outcome"

    def miscounted(self, lost: Iterable[Sent]) -> Iterator[str]:
        """What the report says wrongly of what is lost."""
        behind = sum(sent.places and sent.command_id in self.commands for sent in lost)
        counted = self.counted.get(PlaceOrder.__name__, 0)
        if behind > counted:
            yield f"{behind} orders stood behind the cut, the report has {counted}"
        for sentence in self.numbers:
            place = sentence.partition(" ends at ")[0]
            if place != sentence and place not in self.cut:
                yield f"nothing was cut off {place}, the report says: {sentence}"


def read_loss(data_dir: Path, cut: Collection[str], reopened_s: float) -> Loss | None:
    """What the newest recovery found and says; None if there was none."""
    reports = (data_dir / "recovery").glob(f"*/{REPORT}")
    newest = max(reports, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        return None
    report: dict[str, Any] = json.loads(newest.read_text())
    lost = report["lost"]
    archive = open_export(newest.parent / "log")
    commands, effects = _read_log(archive)
    kept: dict[str, int] = report["plan"]["kept"]
    listed: dict[bytes, int] = {}
    for row in lost["listed"]:
        if row["type"] == OrderAccepted.__name__:
            listed.setdefault(bytes.fromhex(row["command_id"]), row["order_id"])
    return Loss(
        cut=cut,
        commands=commands,
        effects=effects,
        kept=kept,
        listed=listed,
        counted=lost["commands"],
        numbers=lost["numbers"],
        reopened_s=reopened_s,
        anew=_books_met_anew(archive, cut, kept),
    )


def _books_met_anew(archive: Archive, cut: Collection[str], kept: Mapping[str, int]) -> bool:
    """Whether an inbox of a matching shard has lost its end, by the fault or by the recovery."""
    inboxes = (place for place in archive.manifest.bounds if place[0] == "matching.in")
    return any(
        place_name(place) in cut or kept[place_name(place)] < archive.end(place)
        for place in inboxes
    )


def _read_log(archive: Archive) -> tuple[dict[bytes, tuple[str, int]], set[bytes]]:
    """Of ledgers: where each command stands first, and which orders and cancels were told."""
    commands: dict[bytes, tuple[str, int]] = {}
    effects: set[bytes] = set()
    for place in archive.manifest.bounds:
        if place[0] not in ("ledger.in", "ledger.ev"):
            continue
        for record in archive.everything(place):
            for message in messages_in(record.value):
                if isinstance(message, OrderAccepted | CancelRequested):
                    effects.add(message.command_id)
                elif isinstance(message, Command):
                    commands.setdefault(message.command_id, (place_name(place), record.offset))
    return commands, effects


def messages_in(value: bytes | None) -> Sequence[Message]:
    """The messages of a record; none of what is no record."""
    try:
        return decode_record(value).messages
    except UndecodableRecord:
        return ()


def command_ids(value: bytes | None) -> set[bytes]:
    """The ids of the commands in a record."""
    return {each.command_id for each in messages_in(value) if isinstance(each, Command)}
