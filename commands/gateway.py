"""Order entry: places and cancels orders, and answers once the log has the outcome."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from commands import responses
from commands.admission import Admission
from commands.authentication import keyed_command_id, signed_command_id
from commands.batches import BATCH_WEIGHT, element_id, parse_batch, parse_element, refusal
from commands.counting import former_markets, is_same_order, market_of, market_of_canceled
from commands.execution import Execution
from commands.outcomes import Answer, Awaited, position_of
from commands.parsing import (
    client_order_id,
    default_response_type,
    parse_cancel,
    parse_cancel_all,
    parse_place,
    parse_response_type,
)
from commands.reasons import order_error, used_up
from domain.accounts.messages import Scope
from domain.decider import Message
from domain.matching.messages import CancelAllCompleted, OrderRested
from domain.orders.admission import foreseen_refusal
from domain.orders.messages import (
    CancelAllOrders,
    CancelAllRequested,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderClosed,
    OrderReason,
    OrderRejected,
    OrderType,
    PlaceOrder,
)
from domain.reference import Market, ReferenceData
from infra.http import errors
from infra.http.app import Call, Endpoint
from infra.http.errors import ApiError
from infra.http.limits import ORDER_COUNT_1D, ORDER_COUNT_10S, RequestLimits
from infra.http.order_ends import close_error
from infra.http.parameters import Parameters
from infra.http.ws_api import Method

Types = tuple[type[Message], ...]

ACCEPTANCE: Types = (OrderAccepted, OrderRejected)
REPORT: Types = (OrderRested, OrderClosed, OrderRejected)
STARTS = (OrderAccepted, OrderRejected, CancelRequested, CancelAllRequested, CancelRejected)
CANCEL = (OrderClosed, CancelRejected)
CANCEL_ALL = (CancelAllCompleted, CancelRejected)

_IDEMPOTENCY_KEY = "^[A-Za-z0-9_-]{1,64}$"


class OrderEntry:
    """Takes orders and cancels of authenticated users."""

    def __init__(
        self,
        reference: ReferenceData,
        execution: Execution,
        admission: Admission,
        limits: RequestLimits,
    ) -> None:
        self._reference = reference
        self._execution = execution
        self._admission = admission
        self._limits = limits

    def endpoints(self) -> list[Endpoint]:
        """What this serves."""
        trade = Scope.TRADE
        return [
            Endpoint("POST", "/api/v3/order", self.place, 1, trade),
            Endpoint("POST", "/api/v3/order/test", self.test, 1, trade),
            Endpoint("DELETE", "/api/v3/order", self.cancel, 1, trade),
            Endpoint("DELETE", "/api/v3/openOrders", self.cancel_all, 1, trade),
            Endpoint("POST", "/x/v1/orders", self.place_native, 1, trade),
            Endpoint(
                "POST", "/x/v1/orders/batch", self.place_batch, BATCH_WEIGHT, trade, document=True
            ),
        ]

    def methods(self) -> list[Method]:
        """What this serves on a WebSocket: the same endpoints in another frame."""
        trade = Scope.TRADE
        return [
            Method("order.place", self.place, 1, trade),
            Method("order.test", self.test, 1, trade),
            Method("order.cancel", self.cancel, 1, trade),
            Method("openOrders.cancelAll", self.cancel_all, 1, trade),
        ]

    async def place(self, call: Call) -> dict[str, Any]:
        """POST /api/v3/order: ACK at acceptance; RESULT, FULL and LIMIT_MAKER at the report."""
        self._admit(call)
        wish = self._parse_wish(call, call.parameters, _signed_id(call))
        answer = await self._run(call, wish.order, wish.awaits)
        return self._placed(call, answer, wish)

    async def test(self, call: Call) -> dict[str, Any]:
        """POST /api/v3/order/test: everything that reference data alone can tell."""
        order = self._parse_order(call, call.parameters, _signed_id(call))
        parse_response_type(call.parameters, "ACK")  # Refuses a bad one; there is no answer.
        market = self._reference.markets[order.market_id]
        user = self._reference.users.get(order.user_id)
        enabled = user is not None and user.enabled
        reason = foreseen_refusal(order, market.rules, enabled=enabled, halted=market.halted)
        if reason is not None:
            raise order_error(reason, self._reference.limits, call.arrived_us)
        return {}

    async def cancel(self, call: Call) -> dict[str, Any]:
        """DELETE /api/v3/order, answered when the order is off the book and its hold released."""
        self._admit(call, cancels=True)
        command_id = _signed_id(call)
        command = parse_cancel(
            call.parameters,
            self._reference,
            user_id=call.sender.user_id,
            command_id=command_id,
            deadline_us=call.sender.deadline_us,
        )
        answer = await self._run(call, command, CANCEL)
        if isinstance(answer.last, CancelRejected):
            raise errors.cancel_refused()
        (canceled,) = self._canceled(call, answer, command_id)
        return canceled

    async def cancel_all(self, call: Call) -> list[dict[str, Any]]:
        """DELETE /api/v3/openOrders of one symbol; -2011 if none was canceled."""
        self._admit(call, cancels=True)
        command_id = _signed_id(call)
        command = parse_cancel_all(
            call.parameters,
            self._reference,
            user_id=call.sender.user_id,
            command_id=command_id,
            deadline_us=call.sender.deadline_us,
        )
        answer = await self._run(call, command, CANCEL_ALL)
        if isinstance(answer.last, CancelRejected):
            raise errors.cancel_refused()
        canceled = self._canceled(call, answer, command_id)
        if not canceled:
            # All that were open had been filled before the book heard of the cancel.
            raise errors.cancel_refused()
        return canceled

    async def place_native(self, call: Call) -> dict[str, Any]:
        """POST /x/v1/orders: one order and one answer for each `Idempotency-Key` of an account.

        A key is remembered until 60 s of log time past the deadline of its first request; used
        meanwhile for a different order it is a 409. Why not for ever: docs/decisions/0026.
        """
        key = call.request.headers.get("Idempotency-Key", "")
        if not re.fullmatch(_IDEMPOTENCY_KEY, key):
            raise errors.illegal_characters("Idempotency-Key", _IDEMPOTENCY_KEY)
        self._admit(call)
        command_id = keyed_command_id(call.sender.user_id, key)
        wish = self._parse_wish(call, call.parameters, command_id, default_type="FULL")
        # Whatever the form: equal keys at once share one answer, and another may want all of it.
        answer = await self._run(call, wish.order, REPORT)
        # Not only what shows as repeated: another gateway's outcome may be here before that does.
        if not is_same_order(wish.order, answer, self._reference):
            raise errors.idempotency_key_reused()
        return {
            "order": self._placed(call, answer, wish),
            "replayed": answer.repeated,
            "meta": {"position": call.position},
        }

    async def place_batch(self, call: Call) -> dict[str, Any]:
        """POST /x/v1/orders/batch: each order with its own answer, all of them in one record.

        The orders are a JSON array in the body, the answers stand in the same places.
        """
        self._admit(call)
        batch_id = _signed_id(call)
        elements = parse_batch(call.parameters.document)
        if len(elements) > BATCH_WEIGHT:
            # Its size is known only now.
            call.charge(self._limits, len(elements) - BATCH_WEIGHT, requests=0)
        answers: list[dict[str, Any]] = [{} for _ in elements]
        wishes: dict[int, _Wish] = {}
        for index, element in enumerate(elements):
            try:
                parameters = parse_element(element)
                wishes[index] = self._parse_wish(call, parameters, element_id(batch_id, index))
            except ApiError as error:
                answers[index] = refusal(error)
        results = await self._run_all(call, list(wishes.values()))
        for (index, wish), result in zip(wishes.items(), results, strict=True):
            try:
                answers[index] = self._placed(call, result, wish)
            except ApiError as error:
                answers[index] = refusal(error)
        return {"orders": answers, "meta": {"position": call.position}}

    def _parse_wish(
        self, call: Call, parameters: Parameters, command_id: bytes, *, default_type: str = ""
    ) -> "_Wish":
        order, unfit = self._parse_old_or_new(call, parameters, command_id)
        default = default_type or default_response_type(order.order_type)
        return _Wish(order, parse_response_type(parameters, default), unfit)

    def _parse_old_or_new(
        self, call: Call, parameters: Parameters, command_id: bytes
    ) -> tuple[PlaceOrder, ApiError | None]:
        """The order; with what the present rules have against its numbers, if only former ones fit.

        Such an order may have run before its market's lot or tick changed. The ledger then tells
        what became of it; if it is new, that it is counted by rules of the past.
        """
        try:
            return self._parse_order(call, parameters, command_id), None
        except ApiError as unfit:
            symbol = parameters.values.get("symbol", "")
            for former in former_markets(self._reference, symbol, call.arrived_us):
                with suppress(ApiError):
                    return self._parse_order(call, parameters, command_id, former), unfit
            raise

    def _parse_order(
        self,
        call: Call,
        parameters: Parameters,
        command_id: bytes,
        former: Market | None = None,
    ) -> PlaceOrder:
        return parse_place(
            parameters,
            self._reference,
            user_id=call.sender.user_id,
            command_id=command_id,
            deadline_us=call.sender.deadline_us,
            former=former,
        )

    async def _run(
        self, call: Call, command: PlaceOrder | CancelOrder | CancelAllOrders, types: Types
    ) -> Answer:
        shard = self._shard_of(call)
        awaited = Awaited({shard: types}, starts=STARTS, alone=True)
        cancels = not isinstance(command, PlaceOrder)
        with self._admission.under_way(shard, call.sender.user_id, cancels=cancels):
            answer = await self._execution.run(shard, command, awaited)
        call.position = answer.position()
        return answer

    async def _run_all(self, call: Call, wishes: Sequence["_Wish"]) -> list[Answer | ApiError]:
        if not wishes:
            return []
        shard = self._shard_of(call)
        awaited = [Awaited({shard: wish.awaits}, starts=STARTS, alone=True) for wish in wishes]
        orders = [wish.order for wish in wishes]
        with self._admission.under_way(shard, call.sender.user_id, len(orders)):
            results = await self._execution.run_all(shard, orders, awaited)
        answers = [result for result in results if isinstance(result, Answer)]
        call.position = position_of(seen for answer in answers for seen in answer.seen)
        return results

    def _admit(self, call: Call, *, cancels: bool = False) -> None:
        """Refuse what would wait too long, before anything is done for it."""
        self._admission.check(self._shard_of(call), call.sender.user_id, cancels=cancels)

    def _shard_of(self, call: Call) -> str:
        return f"L{call.sender.user_id % self._reference.ledger_partitions}"

    def _placed(self, call: Call, answer: Answer | ApiError, wish: "_Wish") -> dict[str, Any]:
        if isinstance(answer, ApiError):
            raise answer
        if isinstance(answer.last, OrderRejected):
            limits, reason = self._reference.limits, answer.last.reason
            call.headers |= used_up(reason, limits)
            if wish.unfit is not None and reason is OrderReason.STALE_RULES:
                raise wish.unfit
            raise order_error(reason, limits, answer.seen[-1].time_us)
        order = responses.placement(answer)
        call.headers[ORDER_COUNT_10S] = str(order.accepted.order_count_10s)
        call.headers[ORDER_COUNT_1D] = str(order.accepted.order_count_1d)
        if isinstance(order.report, OrderClosed):
            error = close_error(order.report.reason)
            if error is not None:
                raise error
        market = market_of(order.accepted, self._reference)
        return responses.placed(order, wish.response_type, market, self._reference, call.time)

    def _canceled(self, call: Call, answer: Answer, command_id: bytes) -> list[dict[str, Any]]:
        """What is told of each order that a cancel has ended."""
        cancel_id = client_order_id(call.parameters, command_id)
        return [
            responses.canceled(
                seen.message,
                cancel_id,
                market_of_canceled(seen.message, answer, self._reference),
                call.time(seen.time_us),
            )
            for seen in answer.seen
            if isinstance(seen.message, OrderClosed)
        ]


@dataclass(slots=True, frozen=True)
class _Wish:
    """An order, and how much its sender wants to be told.

    `unfit`: what the order is refused with if it is new, as former rules alone fit its numbers.
    """

    order: PlaceOrder
    response_type: str
    unfit: ApiError | None

    @property
    def awaits(self) -> Types:
        """What the ledger must have said before there is an answer."""
        # That a LIMIT_MAKER order would take is known to matching alone.
        maker = self.order.order_type is OrderType.LIMIT_MAKER
        return ACCEPTANCE if self.response_type == "ACK" and not maker else REPORT


def _signed_id(call: Call) -> bytes:
    return signed_command_id(call.sender.api_key, call.parameters.signed_payload)
