"""The operation on a single shard: the word that ends a halt."""

from typing import Any

from commands.admin.fields import Fields
from commands.admin.operator import Operator
from domain.protocol import HaltAction, ResolveHalt
from infra.http import errors
from infra.http.errors import ApiError
from infra.log import LogFailure
from schemas.record import HASH_BYTES, record_hash
from schemas.topics import inbox

CHUNK_RECORDS = 2_000
"""So many records of an inbox are read at once."""


async def resolve_halt(operator: Operator, fields: Fields) -> dict[str, Any]:
    """Tell a halted shard what to do with the record it halted at; it acts when it is started.

    The record must stand in the shard's inbox. Whether the shard has halted there, and whether it
    offers a word, stands in its host's log alone.
    """
    shard = _shard(operator, fields)
    try:
        wanted_hash = bytes.fromhex(fields.text("recordHash"))
    except ValueError:
        raise errors.invalid_data("recordHash") from None
    if len(wanted_hash) != HASH_BYTES:
        raise errors.invalid_data("recordHash")
    name = fields.text("action").upper().replace("-", "_")
    if name not in HaltAction.__members__:
        raise errors.invalid_data("action")
    try:
        await _expect_record(operator, shard, wanted_hash)
    except LogFailure:
        raise errors.overloaded() from None
    command_id, deadline_us = operator.identity()
    command = ResolveHalt(command_id, deadline_us, wanted_hash, HaltAction[name])
    await operator.execution.write(shard, command, deadline_us)
    return {"written": True}


def _shard(operator: Operator, fields: Fields) -> str:
    """A shard of this exchange; -1130 for any other name."""
    shard = fields.text("shard")
    if shard not in operator.shards():
        raise errors.invalid_data("shard")
    return shard


async def _expect_record(operator: Operator, shard: str, wanted_hash: bytes) -> None:
    """Raises -1130 if no record of the shard's inbox has this hash.

    The newest are read first: only for a hash that is nowhere the whole inbox is.
    """
    topic, partition = inbox(shard)
    stop = await operator.log.end_offset(topic, partition)
    while stop > 0:
        start = max(0, stop - CHUNK_RECORDS)
        for stored in await operator.log.scan(topic, partition, start, stop):
            if record_hash(stored.value or b"") == wanted_hash:
                return
        stop = start
    sentence = f"Field 'recordHash' must name a record of {topic}.{partition}, names none."
    raise ApiError(400, -1130, sentence)
