"""Mutants of gateways and of what writes views, which schedules with clients and views notice."""

import commands.gateway
import commands.publisher
from commands.gateway import ACCEPTANCE
from domain.decider import Outcome
from projections import redis_sink
from tests.simulation.mutants import Patch


def _without_sequence_check(script: str) -> str:
    start, end = script.index("local stands"), script.index("local at = 8")
    return script[:start] + script[end:]


GATEWAY: dict[str, list[Patch]] = {
    "Lua without the sequence check": [
        (redis_sink, "APPLY_SCRIPT", _without_sequence_check(redis_sink.APPLY_SCRIPT))
    ],
    "unknown fate told as a refusal": [(commands.publisher, "AppendRefused", Exception)],
    "answer before the book's report": [(commands.gateway, "REPORT", ACCEPTANCE)],
    "answer from its middle on": [(commands.gateway, "STARTS", (Outcome,))],
}
