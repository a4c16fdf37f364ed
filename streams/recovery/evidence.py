"""All that knows of the exchange's past: the log, copies of it, and the snapshots of hosts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.settings import Settings
from streams.audit.archive import Archive, Progress, place_name, position_name
from streams.audit.exported import open_export
from streams.audit.live import open_live
from streams.recovery.losses import Losses, find_losses, sentences
from streams.recovery.merging import Merged, merged
from streams.recovery.plan import Plan, make_plan
from streams.recovery.snapshots import snapshots_of_hosts


@dataclass(slots=True, frozen=True)
class Evidence:
    """Where copies of the log are, and snapshots."""

    copies: Sequence[Path]
    snapshots: Sequence[Path]

    def archive(self, settings: Settings) -> Merged:
        """The log, with what only a copy has. Raises `BadArchive`."""
        log = open_live(settings.kafka_bootstrap)
        return merged(log, [open_export(directory) for directory in self.copies])

    def look(self, archive: Archive, progress: Progress) -> tuple[Plan, Losses]:
        """What can stay of the log, and what is lost. Raises as `make_plan` does."""
        snapshots = snapshots_of_hosts(self.snapshots)
        plan = make_plan(archive, snapshots, progress)
        return plan, find_losses(archive, plan, snapshots)


def is_needed(whole: Merged, plan: Plan) -> bool:
    """Whether the shards would not simply go on, with all that there is."""
    return plan.is_needed() or bool(whole.restored)


def shown(whole: Merged, plan: Plan, losses: Losses) -> list[str]:
    """The plan and the losses for a person."""
    lines = [
        *whole.sentences(),
        "What is wrong with the log:",
        *_indented(plan.damage or ["nothing"]),
    ]
    lines += ["What is lost:", *_indented(sentences(losses) or ["nothing"])]
    if not is_needed(whole, plan):
        return [*lines, "Nothing needs to be done."]
    lines += ["What would be done:", *_indented(_deeds(plan))]
    return lines


def _deeds(plan: Plan) -> list[str]:
    deeds = []
    for place, count in plan.dropped().items():
        position = position_name(place, plan.kept[place])
        deeds.append(f"{place_name(place)} is kept up to {position}; {count:,} records are not")
    if plan.must_rewrite():
        deeds.append("Kafka's data is set aside, and what is kept is written into an empty Kafka")
    for shard, mark in plan.marks.items():
        if mark.offset < plan.committed[shard]:
            deeds.append(f"{shard} goes on at {mark.offset:,}, was at {plan.committed[shard]:,}")
    for shard, offsets in plan.spoiled.items():
        if offsets:
            deeds.append(f"{len(offsets)} snapshots of {shard} are set aside")
    return [
        *deeds,
        "data of Redis, ClickHouse and the auditor is set aside: all three begin anew from the log",
        "an operator's word in each inbox reopens the exchange with all markets halted",
    ]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
