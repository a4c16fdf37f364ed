"""What tables of history add up to, for the auditor: it cannot read an embedded engine itself."""

import re
from typing import Any

from infra.http import errors
from infra.http.app import Call, Endpoint
from projections.history_sums import BLOCK
from projections.layout import CURRENT_BUILD_SQL, Candle, database
from projections.query.history import History
from projections.query.requests import is_operators
from projections.view_fold import SUMMED

UPTO = "[0-9]{1,9}:[0-9]{1,16}(,[0-9]{1,9}:[0-9]{1,16}){0,1023}"

_COLUMNS_SQL = """
    SELECT name, type FROM system.columns
    WHERE database = {database:String} AND table = {table:String} ORDER BY position
"""
_POSITIONS_SQL = """
    SELECT partition, cseq FROM {database:Identifier}.positions FINAL
    WHERE table_name = {table:String} AND topic = {topic:String}
"""


class AuditEndpoints:
    """`/x/v1/audit`, for whoever has the operator's token. It counts against nobody's limits."""

    def __init__(self, history: History, operator_token: str) -> None:
        self._history = history
        self._operator_token = operator_token
        self._sums: dict[str, str] = {}

    def endpoints(self) -> list[Endpoint]:
        """The paths."""
        return [
            Endpoint("GET", "/x/v1/audit/history", self.history, limited=False),
            Endpoint("GET", "/x/v1/audit/candles", self.candles, limited=False),
        ]

    async def history(self, call: Call) -> dict[str, Any]:
        """Where a table stands in each partition, and its sums by block.

        `upto`, such as "0:120,1:98", names the sequences up to which rows are added up; partitions
        that do not stand there yet are left out. A row is [partition, block, rows, sums …].
        """
        self._expect_operator(call)
        table = call.parameters.text("table")
        topic = next((topic for topic, tables in SUMMED.items() if table in tables), None)
        if topic is None:
            raise errors.invalid_data("table")
        upto = _upto(call)
        found = await self._history.rows(_POSITIONS_SQL, table=table, topic=topic)
        positions = {int(partition): int(cseq) for partition, cseq in found}
        reached = {p: cseq for p, cseq in upto.items() if 0 < cseq <= positions.get(p, 0)}
        rows = await self._rows(table, reached) if reached else []
        return {"positions": sorted(positions.items()), "blocks": rows}

    async def candles(self, call: Call) -> dict[str, Any]:
        """Of each series the sum of all its candles, and the last one."""
        self._expect_operator(call)
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

    async def _rows(self, table: str, reached: dict[int, int]) -> list[list[int]]:
        # Numbers of our own, so that they may stand in the text.
        parts = (f"partition = {p} AND cseq <= {cseq}" for p, cseq in sorted(reached.items()))
        rows = await self._history.rows(
            f"SELECT partition, intDiv(cseq, {BLOCK}) AS block, count(), {await self._sum(table)} "
            f"FROM {{database:Identifier}}.{table} FINAL WHERE ({') OR ('.join(parts)}) "
            "GROUP BY partition, block"
        )
        return [list(row) for row in rows]

    async def _sum(self, table: str) -> str:
        """One sum per column; the tables are the same in every build that a process serves."""
        if table not in self._sums:
            ((build,),) = await self._history.rows(CURRENT_BUILD_SQL)
            parameters = {"database": database(str(build)), "table": table}
            found = await self._history.rows(_COLUMNS_SQL, **parameters)
            self._sums[table] = ", ".join(
                f"sum(toInt64(CRC32({name})))" if "String" in kind else f"sum(toInt64({name}))"
                for name, kind in found
            )
        return self._sums[table]

    def _expect_operator(self, call: Call) -> None:
        if not is_operators(call, self._operator_token):
            raise errors.api_key_refused()


def _upto(call: Call) -> dict[int, int]:
    text = call.parameters.text("upto")
    if not re.fullmatch(UPTO, text):
        raise errors.illegal_characters("upto", UPTO)
    pairs = (part.split(":") for part in text.split(","))
    return {int(partition): int(cseq) for partition, cseq in pairs}
