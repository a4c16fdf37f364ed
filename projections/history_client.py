"""Asks the query process what tables of history add up to."""

import json
import urllib.request
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from infra.direct_http import ask
from projections.candle_sums import Series, Told
from projections.history_sums import Sum
from projections.layout import Candle

ANSWER_TIMEOUT_S, EXACT_TIMEOUT_S = 10.0, 300.0


class TablesTold(NamedTuple):
    """Where tables stand, by partition, and the sums of each by partition and block.

    `greatest`: of each table by partition, the greatest sequence that any row has.
    """

    positions: Mapping[int, int]
    sums: Mapping[str, Mapping[int, Mapping[int, Sum]]]
    greatest: Mapping[str, Mapping[int, int]]


class HistoryClient:
    """The query API at `url`, with the operator's token. Raises `OSError` if it does not answer."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    def tables(
        self, names: Collection[str], upto: Mapping[int, int], *, exact: bool = False
    ) -> TablesTold:
        """The sums of rows up to these sequences, of partitions that stand there already.

        The tables are of one topic. Unless the sums shall be `exact`, which takes longer, a row
        that was stored twice may count twice.
        """
        pairs = ",".join(f"{partition}:{cseq}" for partition, cseq in sorted(upto.items()))
        timeout_s = EXACT_TIMEOUT_S if exact else ANSWER_TIMEOUT_S * len(names)
        asked = f"tables={','.join(names)}&upto={pairs}&exact={str(exact).lower()}"
        answer = self._get(f"history?{asked}", timeout_s)
        sums: dict[str, dict[int, dict[int, Sum]]] = {}
        for table, rows in answer["blocks"].items():
            by_partition = sums.setdefault(table, {})
            for partition, block, *each in rows:
                by_partition.setdefault(partition, {})[block] = tuple(each)
        greatest = {table: dict(pairs) for table, pairs in answer["greatest"].items()}
        return TablesTold(dict(answer["positions"]), sums, greatest)

    def candles(self) -> dict[Series, Told]:
        """The candles of every market."""
        return {
            (market, interval): Told(tuple(total), Candle(*last))
            for market, interval, total, last in self._get("candles")["series"]
        }

    def _get(self, path: str, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        request = urllib.request.Request(
            f"{self._url}/x/v1/audit/{path}", headers={"Authorization": f"Bearer {self._token}"}
        )
        status, body = ask(request, timeout_s)
        if status != 200:
            raise OSError(f"{self._url} must tell sums of history, answered {status}")
        return json.loads(body)
