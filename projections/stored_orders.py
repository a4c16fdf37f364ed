"""An order's stored form through its life: accepted, rested, filled, closed."""

from domain.orders.messages import FillSettled, OrderAccepted, OrderClosed, OrderType, Side
from projections.changes import Row
from projections.layout import ACCEPTED, CLOSED, RESTED, Position, StoredOrder
from projections.reference import Reference


def accepted_order(
    event: OrderAccepted, idx: int, position: Position, reference: Reference
) -> StoredOrder:
    """The order as it was accepted; a MARKET order's collar is not its price."""
    market = reference.markets[event.market_id]
    is_market = event.order_type is OrderType.MARKET
    return StoredOrder(
        order_id=event.order_id,
        user_id=event.user_id,
        market_id=event.market_id,
        client_order_id=event.client_order_id,
        side=int(event.side),
        order_type=int(event.order_type),
        time_in_force=int(event.time_in_force),
        price=0 if is_market else _limit(event, reference),
        quantity=0 if event.quote_amount else event.lots * market.lot,
        quote_quantity=event.quote_amount,
        filled_quantity=0,
        filled_quote=0,
        state=ACCEPTED,
        reason=-1,
        accepted_us=position.time_us,
        rested_us=0,
        updated_us=position.time_us,
        cseq=position.cseq,
        idx=idx,
    )


def rested_order(order: StoredOrder, idx: int, position: Position) -> StoredOrder:
    """The order once it waits on the book."""
    return order._replace(
        state=RESTED,
        rested_us=position.time_us,
        updated_us=position.time_us,
        cseq=position.cseq,
        idx=idx,
    )


def filled_order(
    order: StoredOrder, event: FillSettled, idx: int, position: Position
) -> StoredOrder:
    """The order after one trade more."""
    base = event.received_amount if event.side is Side.BUY else event.paid_amount
    return order._replace(
        filled_quantity=order.filled_quantity + base,
        filled_quote=event.filled_quote,
        updated_us=position.time_us,
        cseq=position.cseq,
        idx=idx,
    )


def closed_order(
    order: StoredOrder, event: OrderClosed, idx: int, position: Position
) -> StoredOrder:
    """The order once it ended."""
    return order._replace(
        state=CLOSED,
        reason=int(event.reason),
        updated_us=position.time_us,
        cseq=position.cseq,
        idx=idx,
    )


def order_row(partition: int, order: StoredOrder) -> Row:
    """The order's row in table `orders`."""
    at = (partition, order.cseq, order.idx, order.updated_us)
    return (*at, *order[: StoredOrder._fields.index("updated_us")])


def open_notional(order: StoredOrder, reference: Reference) -> int:
    """Quote units that the open order may still trade; 0 for MARKET by quantity."""
    if order.quote_quantity:
        return order.quote_quantity - order.filled_quote
    if order.price == 0:
        return 0
    rest = order.quantity - order.filled_quantity
    if order.price < 0:
        return -order.price * rest // order.quantity
    return reference.notional(order.market_id, price=order.price, quantity=rest)


def _limit(event: OrderAccepted, reference: Reference) -> int:
    """The price, or below 0 what all of the order costs: no decimals are needed to tell that."""
    if reference.has_decimals(event.market_id):
        return reference.price(event.market_id, event.price_ticks)
    return -event.price_ticks * event.lots * reference.markets[event.market_id].tick
