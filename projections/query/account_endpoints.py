"""The sender's account: balances, fees, deposits and withdrawals."""

from datetime import UTC, datetime
from typing import Any

from domain.accounts.messages import Scope
from domain.fees import FeeTier
from domain.money import format_amount
from domain.reference import Asset, UserStanding
from infra.http import errors
from infra.http.app import Call, Endpoint
from projections.layout import Balance, account_key, balances_key, unpack
from projections.query import account_responses as responses
from projections.query.account_history import AccountHistory
from projections.query.requests import SPAN, one_market, optional_market, row_limit, time_span
from projections.query.rows import Funding
from projections.query.sources import Sources

MOST_ROWS = 1_000
NOTHING = Balance(0, 0)
NETWORK = "LOGBOURSE"
"""The one network assets are on until there is custody: the exchange's own ledger."""

ANY_ASSET = 0
ANY_REFERENCE = ""
CREDITED = 1
COMPLETED = 6
"""The states that all deposits and all withdrawals have: the log tells of nothing pending."""

LAST_STATUS = 8
"""The last of the numbers that Binance has for states."""


class AccountEndpoints:
    """What the sender has and what that costs."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._history = AccountHistory(sources.history)

    def endpoints(self) -> list[Endpoint]:
        """The paths; each needs a signature by a key that may read."""
        read = Scope.READ
        funding = ("coin", "status", "limit", "offset", *SPAN)
        deposit, withdrawal = (*funding, "txId"), (*funding, "withdrawOrderId")
        capital = "/sapi/v1/capital"
        return [
            Endpoint("GET", "/api/v3/account", self.account, 20, read, reads=("omitZeroBalances",)),
            Endpoint(
                "GET", "/api/v3/account/commission", self.commission, 20, read, reads=("symbol",)
            ),
            Endpoint("GET", "/sapi/v1/asset/tradeFee", self.trade_fees, 1, read, reads=("symbol",)),
            Endpoint("GET", f"{capital}/config/getall", self.assets, 10, read, reads=()),
            Endpoint("GET", f"{capital}/deposit/hisrec", self.deposits, 1, read, reads=deposit),
            Endpoint(
                "GET", f"{capital}/withdraw/history", self.withdrawals, 1, read, reads=withdrawal
            ),
        ]

    async def account(self, call: Call) -> dict[str, Any]:
        """Balances of all assets, or of those that are not zero, and what the account may do."""
        without_zeros = call.parameters.flag("omitZeroBalances")
        found, updated_us = await self._balances(call)
        rows = [
            responses.balance(asset, found.get(asset.asset_id, NOTHING))
            for asset in self._sources.reference.assets.values()
            if not without_zeros or any(found.get(asset.asset_id, NOTHING))
        ]
        standing, tier = self._standing(call)
        return responses.account(
            call.sender.user_id,
            balances=rows,
            tier=tier,
            enabled=standing.enabled,
            update_time=call.time(updated_us),
        )

    async def commission(self, call: Call) -> dict[str, Any]:
        """The fees of one market."""
        market = one_market(call, self._sources.reference)
        return responses.account_commission(market, self._standing(call)[1])

    async def trade_fees(self, call: Call) -> list[dict[str, str]]:
        """The fees of one market or of all; a list in both cases."""
        market = optional_market(call, self._sources.reference)
        markets = [market] if market else list(self._sources.reference.markets.values())
        return responses.trade_fees(markets, self._standing(call)[1])

    async def assets(self, call: Call) -> list[dict[str, Any]]:
        """All assets with what the sender has of each."""
        found, _ = await self._balances(call)
        return [
            _asset_row(
                asset,
                found.get(asset.asset_id, NOTHING),
                self._sources.reference.halted_withdrawals.get(asset.asset_id, ""),
            )
            for asset in self._sources.reference.assets.values()
        ]

    async def deposits(self, call: Call) -> list[dict[str, Any]]:
        """What was credited, the newest first."""
        rows = await self._fundings(
            call, "DepositCredited", status=CREDITED, reference_parameter="txId"
        )
        return [self._deposit(row, call) for row in rows]

    async def withdrawals(self, call: Call) -> list[dict[str, Any]]:
        """What was debited, the newest first."""
        rows = await self._fundings(
            call, "WithdrawalDebited", status=COMPLETED, reference_parameter="withdrawOrderId"
        )
        return [self._withdrawal(row, call) for row in rows]

    async def _balances(self, call: Call) -> tuple[dict[int, Balance], int]:
        """By asset id, and the log time of the last change."""
        user_id = call.sender.user_id
        target = await self._sources.own_writes(call, user_id)
        _, (cells, updated_us) = await self._sources.read_account(
            call,
            user_id,
            target,
            [("HGETALL", balances_key(user_id)), ("HGET", account_key(user_id), "updated_us")],
        )
        balances = {int(asset): unpack(Balance, text) for asset, text in cells.items()}
        return balances, int(updated_us or 0)

    def _standing(self, call: Call) -> tuple[UserStanding, FeeTier]:
        user_id = call.sender.user_id
        standing = self._sources.reference.users.get(user_id)
        tier = self._sources.reference.fee_tier(user_id)
        if standing is None or tier is None:
            raise errors.view_behind()
        return standing, tier

    async def _fundings(
        self, call: Call, event: str, *, status: int, reference_parameter: str
    ) -> list[Funding]:
        """What the request selects; all have this status.

        `reference_parameter` asks for one by the operator's reference.
        """
        code = call.parameters.optional("coin")
        asset = None if code is None else self._sources.reference.asset(code)
        wanted = call.parameters.optional_integer("status", high=LAST_STATUS)
        span = time_span(call.parameters)
        limit = row_limit(call.parameters, MOST_ROWS, MOST_ROWS)
        offset = call.parameters.optional_integer("offset") or 0
        named = call.parameters.optional(reference_parameter)
        if (code is not None and asset is None) or wanted not in (None, status):
            return []
        user_id = call.sender.user_id
        target = await self._sources.own_writes(call, user_id)
        await self._sources.reach_account_table(call, "ledger_entries", user_id, target)
        return await self._history.fundings(
            user_id,
            event,
            asset_id=asset.asset_id if asset else ANY_ASSET,
            reference=named or ANY_REFERENCE,
            span=span,
            limit=limit,
            offset=offset,
        )

    def _deposit(self, row: Funding, call: Call) -> dict[str, Any]:
        return {
            **self._funding(row, call),
            "status": CREDITED,
            "insertTime": call.time(row.time_us),
            "confirmTimes": "1/1",
            "unlockConfirm": 1,
        }

    def _withdrawal(self, row: Funding, call: Call) -> dict[str, Any]:
        done = datetime.fromtimestamp(row.time_us // 1_000_000, UTC)
        return {
            **self._funding(row, call),
            "status": COMPLETED,
            "transactionFee": responses.ZERO,
            "applyTime": done.strftime("%Y-%m-%d %H:%M:%S"),
            "withdrawOrderId": row.reference,
            "info": "",
            "confirmNo": 1,
        }

    def _funding(self, row: Funding, call: Call) -> dict[str, Any]:
        """What both have. The operator's reference stands in for a transaction on a chain."""
        asset = self._sources.asset(row.asset_id)
        topic, partition = self._sources.ledger_partition(call.sender.user_id)
        return {
            "id": f"{topic}.{partition}@{row.cseq}",
            "amount": format_amount(row.amount, asset.decimals),
            "coin": asset.code,
            "network": NETWORK,
            "address": "",
            "addressTag": "",
            "txId": row.reference,
            "transferType": 0,
            "successTime": call.time(row.time_us),
        }


def _asset_row(asset: Asset, balance: Balance, halted: str) -> dict[str, Any]:
    """An element of `capital/config/getall`; deposits and withdrawals are the operator's matter.

    `halted`: why nothing of the asset may leave, empty if it may.
    """
    zeros = dict.fromkeys(("freeze", "withdrawing", "ipoing", "ipoable", "storage"), "0")
    return {
        "coin": asset.code,
        "name": asset.name,
        "free": format_amount(balance.available, asset.decimals),
        "locked": format_amount(balance.held, asset.decimals),
        **zeros,
        "isLegalMoney": False,
        "trading": True,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "networkList": [_network(asset, halted)],
    }


def _network(asset: Asset, halted: str) -> dict[str, Any]:
    step = format_amount(1, asset.decimals)
    texts = ("addressRegex", "memoRegex", "depositDesc")
    return {
        "network": NETWORK,
        "coin": asset.code,
        "name": "Logbourse ledger",
        "isDefault": True,
        "depositEnable": False,
        "withdrawEnable": False,
        "withdrawFee": responses.ZERO,
        "withdrawMin": step,
        "withdrawMax": responses.ZERO,
        "withdrawIntegerMultiple": step,
        "minConfirm": 1,
        "unLockConfirm": 1,
        **dict.fromkeys(texts, ""),
        "withdrawDesc": halted,
        "sameAddress": False,
        "depositDust": responses.ZERO,
        "contractAddressUrl": "",
        "contractAddress": "",
    }
