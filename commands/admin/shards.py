"""The operation on a single shard: the word that ends a halt."""

from typing import Any

from commands.admin.fields import Fields
from commands.admin.operator import Operator
from domain.protocol import NO_DEADLINE_US, HaltAction, ResolveHalt
from infra.http import errors
from schemas.record import HASH_BYTES


async def resolve_halt(operator: Operator, fields: Fields) -> dict[str, Any]:
    """Tell a halted shard what to do with the record it halted at; it acts when it is started."""
    shard = _shard(operator, fields)
    try:
        record_hash = bytes.fromhex(fields.text("recordHash"))
    except ValueError:
        raise errors.invalid_data("recordHash") from None
    if len(record_hash) != HASH_BYTES:
        raise errors.invalid_data("recordHash")
    name = fields.text("action").upper().replace("-", "_")
    if name not in HaltAction.__members__:
        raise errors.invalid_data("action")
    command_id, deadline_us = operator.identity()
    command = ResolveHalt(command_id, NO_DEADLINE_US, record_hash, HaltAction[name])
    await operator.execution.write(shard, command, deadline_us)
    return {"written": True}


def _shard(operator: Operator, fields: Fields) -> str:
    """A shard of this exchange; -1130 for any other name."""
    shard = fields.text("shard")
    if shard not in operator.shards():
        raise errors.invalid_data("shard")
    return shard
