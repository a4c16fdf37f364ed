"""The report on a recovery: the plan and the losses as one file, whose hash the log attests."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from domain.protocol import HaltAction
from infra.files import keep_text
from infra.refusal import Refusal
from schemas.record import HASH_BYTES
from streams.audit.archive import parse_place, place_name
from streams.marks import Done
from streams.recovery.losses import Losses
from streams.recovery.plan import Plan

REPORT = "report.json"


def write_report(folder: Path, plan: Plan, losses: Losses) -> Path:
    """Write both where `read_plan` finds the plan again; returns the file."""
    target = folder / REPORT
    said = {"plan": _plan_as_json(plan), "lost": _losses_as_json(losses)}
    keep_text(target, json.dumps(said, indent=2) + "\n")
    return target


def name_of(folder: Path) -> bytes:
    """The hash of the report: how the log names this recovery."""
    return blake2b((folder / REPORT).read_bytes(), digest_size=HASH_BYTES).digest()


def read_plan(folder: Path) -> Plan:
    """The plan of the report. Raises `Refusal` if the file is not as it was written."""
    path = folder / REPORT
    try:
        return _plan_of_json(json.loads(path.read_text())["plan"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(f"{path} must be a recovery's report, was not: {error!r}") from error


def _plan_as_json(plan: Plan) -> dict[str, Any]:
    return {
        "kept": {place_name(place): offset for place, offset in plan.kept.items()},
        "ends": {place_name(place): offset for place, offset in plan.ends.items()},
        "marks": {
            shard: [mark.offset, mark.ordinal, mark.input_hash.hex()]
            for shard, mark in plan.marks.items()
        },
        "committed": plan.committed,
        "spoiled": plan.spoiled,
        "resolved": {
            shard: {name.hex(): action.name for name, action in resolved.items()}
            for shard, resolved in plan.resolved.items()
        },
        "damage": plan.damage,
    }


def _plan_of_json(said: Mapping[str, Any]) -> Plan:
    return Plan(
        kept={parse_place(name): offset for name, offset in said["kept"].items()},
        ends={parse_place(name): offset for name, offset in said["ends"].items()},
        marks={
            shard: Done(offset, ordinal, bytes.fromhex(input_hash))
            for shard, (offset, ordinal, input_hash) in said["marks"].items()
        },
        committed=said["committed"],
        spoiled=said["spoiled"],
        resolved={
            shard: {bytes.fromhex(name): HaltAction[action] for name, action in resolved.items()}
            for shard, resolved in said["resolved"].items()
        },
        damage=said["damage"],
    )


def _losses_as_json(losses: Losses) -> dict[str, Any]:
    return {
        "numbers": losses.numbers,
        "events": dict(losses.events),
        "commands": dict(losses.commands),
        "listed": losses.listed,
    }
