"""Numbered errors of the public interface: code, HTTP status and exact text of each."""

from collections.abc import Mapping

INVALID_SIGNATURE = -1022
OVERLOADED = (
    "Server is currently overloaded with other requests. Please try again in a few minutes."
)
UNKNOWN_STATE = "Unknown error, please check your request or try again later."


class ApiError(Exception):
    """A request is refused: becomes `{"code", "msg"}` with this HTTP status."""

    def __init__(
        self, status: int, code: int, msg: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code} {msg}")
        self.status = status
        self.code = code
        self.msg = msg
        self.headers = dict(headers or {})


def unknown_error() -> ApiError:
    """Something broke in the exchange; the log of the process says what."""
    return ApiError(500, -1000, "An unknown error occurred while processing the request.")


def unknown_path(path: str) -> ApiError:
    """No endpoint has this path."""
    return ApiError(404, -1000, f"Path {path[:100]} is not known.")


def unknown_method(method: str) -> ApiError:
    """No request on a WebSocket has this method."""
    return ApiError(400, -1020, f"Method {method[:100]!a} is not supported.")


def method_not_allowed(method: str, allowed: str) -> ApiError:
    """The path exists, but not for this method."""
    msg = f"Method must be one of {allowed}, was {method}."
    return ApiError(405, -1000, msg, headers={"Allow": allowed})


def body_too_large(limit_bytes: int) -> ApiError:
    """The request's body is longer than any endpoint needs."""
    return ApiError(413, -1101, f"Request body must be at most {limit_bytes} bytes.")


def body_too_slow(limit_s: float) -> ApiError:
    """The request's body did not come in time: nothing of it was done, trying again is safe."""
    msg = f"Unable to process your request; its body must arrive within {limit_s:g} s."
    return ApiError(408, -1001, msg)


def unauthorized() -> ApiError:
    """The operators' token is missing, or another one was sent."""
    return ApiError(401, -1002, "You are not authorized to execute this request.")


def too_much_weight(limit: int, retry_after_s: int) -> ApiError:
    """The request weight of this minute is used up."""
    msg = (
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return ApiError(429, -1003, msg, headers={"Retry-After": str(retry_after_s)})


def too_many_requests(limit: int, retry_after_s: int) -> ApiError:
    """The raw requests of these five minutes are used up."""
    msg = f"Too many requests; current limit is {limit} requests per 5 MINUTE."
    return ApiError(429, -1003, msg, headers={"Retry-After": str(retry_after_s)})


def too_many_queued() -> ApiError:
    """The account has as many requests without an answer as one may have."""
    return ApiError(429, -1003, "Too many requests queued.", headers={"Retry-After": "1"})


def banned(until_ms: int, retry_after_s: int) -> ApiError:
    """Too many requests came after "too many requests" was answered."""
    msg = (
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return ApiError(418, -1003, msg, headers={"Retry-After": str(retry_after_s)})


def outcome_unknown() -> ApiError:
    """The command may be in the log: the client must look the order up.

    503 and the second sentence are what hummingbot reads, the code is what ccxt reads.
    """
    msg = (
        "Timeout waiting for response from backend server. "
        f"Send status unknown; execution status unknown. {UNKNOWN_STATE}"
    )
    return ApiError(503, -1007, msg)


def overloaded() -> ApiError:
    """The command was not accepted for processing; trying again is safe."""
    return ApiError(503, -1008, OVERLOADED, headers={"Retry-After": "1"})


def view_behind() -> ApiError:
    """A view or history did not reach the asked-for log position in time; nothing is wrong.

    Unlike `overloaded` it has no Retry-After: asking again at once may do.
    """
    return ApiError(503, -1008, OVERLOADED)


def filter_failure(name: str) -> ApiError:
    """The order breaks a filter that exchangeInfo publishes."""
    return ApiError(400, -1013, f"Filter failure: {name}")


def too_many_orders(limit: int, window: str, retry_after_s: int) -> ApiError:
    """The account's orders of a window such as "10 SECOND" are used up."""
    msg = f"Too many new orders; current limit is {limit} orders per {window}."
    return ApiError(429, -1015, msg, headers={"Retry-After": str(retry_after_s)})


def outside_recv_window() -> ApiError:
    """The request is older than its recvWindow."""
    return ApiError(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def ahead_of_server() -> ApiError:
    """The request's timestamp lies in the future."""
    msg = "Timestamp for this request was 1000ms ahead of the server's time."
    return ApiError(400, -1021, msg)


def invalid_signature() -> ApiError:
    """The signature does not belong to these bytes and this key."""
    return ApiError(400, INVALID_SIGNATURE, "Signature for this request is not valid.")


def illegal_characters(name: str, legal: str) -> ApiError:
    """A parameter does not have the form `legal` (a regular expression)."""
    msg = f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    return ApiError(400, -1100, msg)


def undecodable_parameter() -> ApiError:
    """Query or body are not percent-encoded UTF-8."""
    return ApiError(400, -1100, "Illegal characters found in a parameter.")


def too_many_parameters(most: int, found: int) -> ApiError:
    """More parameters were sent than any endpoint reads."""
    return ApiError(400, -1101, f"Too many parameters; expected '{most}' and received '{found}'.")


def duplicate_parameter(name: str) -> ApiError:
    """The same parameter stands twice in the query, or twice in the body."""
    return ApiError(400, -1101, f"Duplicate values for parameter '{name}' detected.")


def mandatory(name: str) -> ApiError:
    """A parameter is needed."""
    msg = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return ApiError(400, -1102, msg)


def either_mandatory(name: str, other: str) -> ApiError:
    """One of two parameters is needed."""
    msg = f"Param '{name}' or '{other}' must be sent, but both were empty/null!"
    return ApiError(400, -1102, msg)


def unread_parameters(read: int, sent: int) -> ApiError:
    """There are parameters that this endpoint does not know."""
    msg = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'."
    return ApiError(400, -1104, msg)


def empty(name: str) -> ApiError:
    """A parameter was sent without a value."""
    return ApiError(400, -1105, f"Parameter '{name}' was empty.")


def not_required(name: str) -> ApiError:
    """A parameter makes no sense with the others, or stands for what is not implemented."""
    return ApiError(400, -1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str) -> ApiError:
    """A number has more decimals than its asset."""
    return ApiError(400, -1111, f"Parameter '{name}' has too much precision.")


def time_in_force_not_required() -> ApiError:
    """Only LIMIT orders have a time in force."""
    return ApiError(400, -1114, "TimeInForce parameter sent when not required.")


def invalid_time_in_force() -> ApiError:
    """The time in force is none of the known."""
    return ApiError(400, -1115, "Invalid timeInForce.")


def invalid_order_type() -> ApiError:
    """The order type is none of the known."""
    return ApiError(400, -1116, "Invalid orderType.")


def invalid_side() -> ApiError:
    """The side is neither BUY nor SELL."""
    return ApiError(400, -1117, "Invalid side.")


def invalid_interval() -> ApiError:
    """The candle interval is none of the sixteen."""
    return ApiError(400, -1120, "Invalid interval.")


def invalid_symbol() -> ApiError:
    """No market has this symbol."""
    return ApiError(400, -1121, "Invalid symbol.")


def time_span_too_long(hours: int) -> ApiError:
    """startTime and endTime lie too far apart."""
    return ApiError(400, -1127, f"More than {hours} hours between startTime and endTime.")


def symbol_has_other_status() -> ApiError:
    """The one market that is named does not have the wanted status."""
    return ApiError(400, -1220, "The symbol's status does not match the requested symbolStatus.")


def batch_size(limit: int, found: int) -> ApiError:
    """A batch is empty or has too many orders."""
    return ApiError(400, -1130, f"A batch must have 1 to {limit} orders, had {found}.")


def invalid_json() -> ApiError:
    """The text is not JSON, or not of the form that is wanted."""
    return ApiError(400, -1135, "Invalid JSON Request.")


def invalid_combination() -> ApiError:
    """Each optional parameter is good, but not together."""
    return ApiError(400, -1128, "Combination of optional parameters invalid.")


def invalid_data(name: str) -> ApiError:
    """A parameter is of the right form, but out of its range."""
    return ApiError(400, -1130, f"Data sent for parameter '{name}' is not valid.")


def recv_window_too_long() -> ApiError:
    """recvWindow is above a minute."""
    return ApiError(400, -1131, "recvWindow must be less than 60000")


def order_refused(msg: str) -> ApiError:
    """The exchange refused a new order, for the reason in `msg`."""
    return ApiError(400, -2010, msg)


def idempotency_key_reused() -> ApiError:
    """The same Idempotency-Key came before with a different order."""
    return ApiError(409, -2010, "This Idempotency-Key was used for a different order.")


def cancel_refused() -> ApiError:
    """The exchange refused a cancel: the account has no such order open."""
    return ApiError(400, -2011, "Unknown order sent.")


def order_does_not_exist() -> ApiError:
    """A query names an order that the account never had."""
    return ApiError(400, -2013, "Order does not exist.")


def api_key_malformed() -> ApiError:
    """The key header is missing or no key can look like this."""
    return ApiError(401, -2014, "API-key format invalid.")


def api_key_refused() -> ApiError:
    """The key is unknown, ended, or not for this address or action."""
    return ApiError(401, -2015, "Invalid API-key, IP, or permissions for action.")
