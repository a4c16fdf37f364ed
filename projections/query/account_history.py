"""Orders, fills, deposits and withdrawals of one user, from ClickHouse."""

from projections.layout import StoredOrder
from projections.query.history import History
from projections.query.requests import Span
from projections.query.rows import Fill, Funding

ANY_ORDER = -1
"""In the place of an order id, of which none is negative: those of all orders."""

_ORDER_COLUMNS = ", ".join(
    "time_us" if name == "updated_us" else name for name in StoredOrder._fields
)

# Each state of an order is a row; LIMIT 1 BY keeps the last one.
_ORDERS_SQL = f"""
    SELECT {_ORDER_COLUMNS} FROM {{database:Identifier}}.orders FINAL
    WHERE user_id = {{user:Int64}} AND market_id = {{market:Int64}}
      AND order_id >= {{low:Int64}} AND accepted_us BETWEEN {{start:Int64}} AND {{end:Int64}}
    ORDER BY order_id %s, cseq DESC, idx DESC LIMIT 1 BY order_id LIMIT {{limit:Int64}}
"""
_ORDERS_FROM_SQL, _ORDERS_BEFORE_SQL = _ORDERS_SQL % "ASC", _ORDERS_SQL % "DESC"

_ORDER_SQL = f"""
    SELECT {_ORDER_COLUMNS} FROM {{database:Identifier}}.orders FINAL
    WHERE user_id = {{user:Int64}} AND market_id = {{market:Int64}} AND %s
    ORDER BY order_id DESC, cseq DESC, idx DESC LIMIT 1
"""
_ORDER_BY_ID_SQL = _ORDER_SQL % "order_id = {order:Int64}"
_ORDER_BY_CLIENT_ID_SQL = _ORDER_SQL % "client_order_id = {client:String}"

_FILLS_SQL = f"""
    SELECT {", ".join(Fill._fields)} FROM {{database:Identifier}}.fills FINAL
    WHERE user_id = {{user:Int64}} AND market_id = {{market:Int64}}
      AND trade_id >= {{low:Int64}} AND time_us BETWEEN {{start:Int64}} AND {{end:Int64}}
      AND ({{order:Int64}} = {ANY_ORDER} OR order_id = {{order:Int64}})
    ORDER BY trade_id %s, order_id %s LIMIT {{limit:Int64}}
"""
_FILLS_FROM_SQL, _FILLS_BEFORE_SQL = (_FILLS_SQL % (way, way) for way in ("ASC", "DESC"))

_FUNDINGS_SQL = """
    SELECT cseq, asset_id, amount, reference, time_us
    FROM {database:Identifier}.ledger_entries FINAL
    WHERE user_id = {user:Int64} AND event = {event:String}
      AND ({asset:Int64} = 0 OR asset_id = {asset:Int64})
      AND ({reference:String} = '' OR reference = {reference:String})
      AND time_us BETWEEN {start:Int64} AND {end:Int64}
    ORDER BY cseq DESC, idx DESC LIMIT {limit:Int64} OFFSET {offset:Int64}
"""


class AccountHistory:
    """What one user's account has seen. Lists ascend, except deposits and withdrawals."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def order(
        self, user_id: int, market_id: int, order_id: int | None, client_order_id: str | None
    ) -> StoredOrder | None:
        """The last state of an order by id, or of the newest one with that client order id."""
        if order_id is not None:
            rows = await self._history.rows(
                _ORDER_BY_ID_SQL, user=user_id, market=market_id, order=order_id
            )
        else:
            rows = await self._history.rows(
                _ORDER_BY_CLIENT_ID_SQL, user=user_id, market=market_id, client=client_order_id
            )
        return StoredOrder(*rows[0]) if rows else None

    async def orders(
        self, user_id: int, market_id: int, *, low_id: int | None, span: Span, limit: int
    ) -> list[StoredOrder]:
        """Orders in their last state, accepted in `span`.

        The oldest `limit` from `low_id` or the span's start on, else the most recent.
        """
        ascending = low_id is not None or span.ascending
        rows = await self._history.rows(
            _ORDERS_FROM_SQL if ascending else _ORDERS_BEFORE_SQL,
            user=user_id,
            market=market_id,
            low=low_id or 0,
            limit=limit,
            **span.bounds(),
        )
        found = [StoredOrder(*row) for row in rows]
        return found if ascending else found[::-1]

    async def fills(
        self,
        user_id: int,
        market_id: int,
        *,
        order_id: int | None,
        low_id: int | None,
        span: Span,
        limit: int,
    ) -> list[Fill]:
        """Fills of all orders or of one.

        The oldest `limit` from trade `low_id` or the span's start on, else the most recent.
        """
        ascending = low_id is not None or span.ascending
        rows = await self._history.rows(
            _FILLS_FROM_SQL if ascending else _FILLS_BEFORE_SQL,
            user=user_id,
            market=market_id,
            order=ANY_ORDER if order_id is None else order_id,
            low=low_id or 0,
            limit=limit,
            **span.bounds(),
        )
        found = [Fill(*row) for row in rows]
        return found if ascending else found[::-1]

    async def fundings(
        self,
        user_id: int,
        event: str,
        *,
        asset_id: int,
        reference: str,
        span: Span,
        limit: int,
        offset: int,
    ) -> list[Funding]:
        """Deposits or withdrawals (`event` is the class of the message), the newest first.

        `asset_id` 0 stands for every asset, an empty `reference` for every one.
        """
        rows = await self._history.rows(
            _FUNDINGS_SQL,
            user=user_id,
            event=event,
            asset=asset_id,
            reference=reference,
            limit=limit,
            offset=offset,
            **span.bounds(),
        )
        return [Funding(*row) for row in rows]
