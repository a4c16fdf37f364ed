"""How the end of an accepted order is told: an error to its sender, one word to all who ask."""

from domain.orders.messages import CloseReason
from infra.http import errors
from infra.http.errors import ApiError

MARKET_CLOSED = "Market is closed."
STALE_RULES = "The market's rules have just changed; please send the order again."


def close_error(reason: CloseReason) -> ApiError | None:
    """The error for an accepted order that matching ended at once; None if that is no error."""
    match reason:
        case CloseReason.WOULD_TAKE:
            return errors.order_refused("Order would immediately match and take.")
        case CloseReason.MARKET_HALTED:
            return errors.order_refused(MARKET_CLOSED)
        case CloseReason.UNKNOWN_MARKET:
            return errors.invalid_symbol()
        case CloseReason.STALE_RULES:
            return errors.order_refused(STALE_RULES)
        case CloseReason.FAULTED:
            return errors.unknown_error()
        case _:
            return None


def closed_status(reason: CloseReason) -> str:
    """The `status` of an order that ended: REJECTED is one whose sender was told an error."""
    match reason:
        case CloseReason.FILLED | CloseReason.CANCELED:
            return reason.name
        case _:
            return "EXPIRED" if close_error(reason) is None else "REJECTED"
