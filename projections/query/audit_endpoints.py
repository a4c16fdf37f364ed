"""What tables of history add up to, for the auditor: it cannot read an embedded engine itself."""

import re
from collections.abc import Mapping
from typing import Any

from infra.http import errors
from infra.http.app import Call, Endpoint
from projections.history_sums import Sum
from projections.layout import MATCHING_EVENTS, SUMMED, Candle
from projections.query.requests import is_operators
from projections.query.sources import Sources, give_up_s
from projections.query.table_sums import Key, StoredSums

UPTO = "[0-9]{1,9}:[0-9]{1,16}(,[0-9]{1,9}:[0-9]{1,16}){0,1023}"

_POSITIONS_SQL = """
    SELECT partition, min(cseq) FROM {database:Identifier}.positions FINAL
    WHERE table_name IN {tables:Array(String)} AND topic = {topic:String}
    GROUP BY partition HAVING count() = {number:UInt8}
"""


class AuditEndpoints:
    """`/x/v1/audit`, for whoever has the operator's token. It counts against nobody's limits."""

    def __init__(self, sources: Sources, operator_token: str) -> None:
        self._sources = sources
        self._history = sources.history
        self._operator_token = operator_token
        self._sums = StoredSums(sources.history)

    def endpoints(self) -> list[Endpoint]:
        """The paths."""
        read = ("tables", "upto", "exact")
        return [
            Endpoint("GET", "/x/v1/audit/history", self.history, limited=False, reads=read),
            Endpoint("GET", "/x/v1/audit/candles", self.candles, limited=False, reads=()),
        ]

    async def history(self, call: Call) -> dict[str, Any]:
        """Where tables of one topic stand in each partition, all of them, and their sums by block.

        `tables` names them, such as "orders,fills", and `upto`, such as "0:120,1:98", the sequences
        up to which rows are added up; partitions that do not stand there yet are left out. A row is
        [partition, block, rows, sums …]. With `exact=true` the tables are read whole, and each row
        counts once; without it, a row that was stored twice may count twice.
        `greatest` tells of the greatest sequences that any row has, as they were found without it.
        """
        self._expect_operator(call)
        tables = call.parameters.text("tables").split(",")
        topic = next((topic for topic, all_ in SUMMED.items() if set(tables) <= set(all_)), None)
        if topic is None or len(set(tables)) < len(tables):
            raise errors.invalid_data("tables")
        upto = _upto(call)
        deadline_s = give_up_s()
        for table in tables:
            await self._sources.reach_table(call, table, topic, deadline_s)
        stood = await self._history.rows(
            _POSITIONS_SQL, tables=tables, topic=topic, number=len(tables)
        )
        positions = {int(partition): int(cseq) for partition, cseq in stood}
        reached = {p: cseq for p, cseq in upto.items() if 0 < cseq <= positions.get(p, 0)}
        found: Mapping[str, Mapping[Key, Sum]] = {table: {} for table in tables}
        if reached and call.parameters.flag("exact"):
            found = {table: await self._sums.exact(table, reached) for table in tables}
        elif reached:
            found = await self._sums.quick(tables, reached)
        return {
            "positions": sorted(positions.items()),
            "blocks": {
                table: [[*key, *each] for key, each in sums.items()]
                for table, sums in found.items()
            },
            "greatest": {table: sorted(self._sums.greatest(table).items()) for table in tables},
        }

    async def candles(self, call: Call) -> dict[str, Any]:
        """Of each series the sum of all its candles, and the last one."""
        self._expect_operator(call)
        await self._sources.reach_table(call, "candles", MATCHING_EVENTS, give_up_s())
        fields = Candle._fields
        rows = await self._history.rows(
            f"SELECT market_id, interval, count(), {', '.join(f'sum({f})' for f in fields)}, "
            f"argMax(({', '.join(fields)}), open_us) FROM {{database:Identifier}}.candles FINAL "
            "GROUP BY market_id, interval"
        )
        return {
            "series": [
                [market, interval, list(total), list(last)]
                for market, interval, *total, last in rows
            ]
        }

    def _expect_operator(self, call: Call) -> None:
        if not is_operators(call, self._operator_token):
            raise errors.api_key_refused()


def _upto(call: Call) -> dict[int, int]:
    text = call.parameters.text("upto")
    if not re.fullmatch(UPTO, text):
        raise errors.illegal_characters("upto", UPTO)
    pairs = (part.split(":") for part in text.split(","))
    return {int(partition): int(cseq) for partition, cseq in pairs}
