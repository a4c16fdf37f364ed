"""The operation that puts another version of the rules into force, at all shards."""

from typing import Any

from commands.admin.fields import Fields
from commands.admin.operator import Operator
from commands.outcomes import position_of
from domain.protocol import RulesActivated
from domain.rules import SUPPORTED_RULES
from infra.http.errors import ApiError


async def activate_rules(operator: Operator, fields: Fields) -> dict[str, Any]:
    """Another version is in force, once every shard's outbox says so; answers where it does.

    -1130 for a version that this build does not know, -2010 for one before the active one, -1008
    before anything is written if a shard lags, -1007 with the shards that did not say so in time.
    Again is safe: a shard that follows the version already goes on with it.
    """
    version = fields.integer("version")
    if version not in SUPPORTED_RULES:
        known = ", ".join(map(str, SUPPORTED_RULES))
        raise ApiError(400, -1130, f"This build knows rules version {known}, not {version}.")
    active = operator.reference.rules_version
    if version < active:
        msg = f"Refused: rules version {active} is active, and {version} is an older one."
        raise ApiError(400, -2010, msg)
    shards = operator.shards()
    _, deadline_us = operator.identity()
    seen = await operator.execution.tell(shards, RulesActivated(version), deadline_us)
    missing = [shard for shard in shards if shard not in {each.shard for each in seen}]
    if missing:
        msg = (
            f"Rules version {version} was not seen in force in time at {', '.join(missing)}: see "
            "that every host knows it and runs, then say it again."
        )
        raise ApiError(503, -1007, msg)
    return {"position": position_of(seen)}
