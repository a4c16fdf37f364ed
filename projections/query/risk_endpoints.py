"""Risk of users and markets (native): positions and prices joined at the moment of reading."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.accounts.messages import Scope
from domain.money import format_amount
from domain.reference import Asset
from infra.http import errors
from infra.http.app import Call, Endpoint
from infra.http.parameters import SYMBOL
from infra.http.principal import Authenticator
from infra.log import Partition
from projections.layout import (
    MarketRisk,
    Position,
    Ticker,
    UserRisk,
    account_key,
    market_key,
    unpack,
)
from projections.query import market_responses as responses
from projections.query.freshness import Target
from projections.query.requests import is_operators
from projections.query.sources import Sources
from projections.query.valuation import Valuation

USUAL_REPORTING_ASSET = "USDT"
WEIGHT = 5


class RiskEndpoints:
    """`/x/v1/risk`. An operator's bearer token opens every user's risk, a signature one's own."""

    def __init__(self, sources: Sources, authenticator: Authenticator, operator_token: str) -> None:
        self._sources = sources
        self._authenticator = authenticator
        self._operator_token = operator_token

    def endpoints(self) -> list[Endpoint]:
        """The paths; that of users finds out by itself who asks."""
        return [
            Endpoint("GET", "/x/v1/risk/users/{id}", self.user, WEIGHT, reads=("asset",)),
            Endpoint("GET", "/x/v1/risk/markets/{symbol}", self.market, WEIGHT, reads=()),
        ]

    async def user(self, call: Call) -> dict[str, Any]:
        """Exposure, open orders and their pace, and equity at the last prices."""
        user_id = await self._asked_user(call)
        reporting = self._reporting_asset(call)
        markets = list(self._sources.reference.markets.values())
        own = self._sources.ledger_partition(user_id)
        targets = {self._sources.market_partition(m.market_id): Target() for m in markets}
        targets[own] = await self._sources.own_writes(call, user_id)
        positions, (text, *tickers) = await self._sources.read_live(
            call,
            targets,
            [
                ("HGET", account_key(user_id), "risk"),
                *(("HGET", market_key(market.market_id), "ticker") for market in markets),
            ],
        )
        valuation = Valuation(reporting.asset_id, zip(markets, _prices(tickers), strict=True))
        risk = unpack(UserRisk, text) if text else None
        answer = self._user_risk(call, risk, reporting, valuation)
        return {"userId": user_id, **answer, "meta": _meta(call, positions, own)}

    async def market(self, call: Call) -> dict[str, Any]:
        """Notional that waits on each side of the book, and how much prices move."""
        symbol = call.request.match_info["symbol"]
        market = self._sources.reference.market(symbol)
        if market is None:
            raise errors.invalid_symbol()
        question = ("HGET", market_key(market.market_id), "risk")
        positions, (text,) = await self._sources.read_markets(call, [market], [question])
        risk = unpack(MarketRisk, text) if text else MarketRisk(0, 0, 0, 0, 0, 0)
        return {
            "symbol": market.symbol,
            "quoteAsset": market.quote.code,
            "bidNotional": format_amount(risk.bid_notional, market.quote.decimals),
            "askNotional": format_amount(risk.ask_notional, market.quote.decimals),
            "volatility1mPpm": risk.volatility_1m_ppm,
            "volatilityNowPpm": risk.volatility_now_ppm,
            "lastPrice": responses.price(risk.last_price),
            "time": call.time(risk.time_us),
            "meta": _meta(call, positions, self._sources.market_partition(market.market_id)),
        }

    async def _asked_user(self, call: Call) -> int:
        """The user in the path, whom the sender may ask about.

        Otherwise -1100 or -2015, to an operator -1130 if there is no such user.
        """
        text = call.request.match_info["id"]
        if not (text.isascii() and text.isdigit() and len(text) <= 16):
            raise errors.illegal_characters("id", "^[0-9]{1,16}$")
        user_id = int(text)
        if is_operators(call, self._operator_token):
            await self._expect_user(user_id)
            return user_id
        principal = self._authenticator.authenticate(
            call.request.headers.get("X-MBX-APIKEY", ""),
            call.parameters,
            client_ip=call.client_ip,
            now_us=call.arrived_us,
        )
        if Scope.READ not in principal.scopes or principal.user_id != user_id:
            raise errors.api_key_refused()
        return user_id

    async def _expect_user(self, user_id: int) -> None:
        """One made a moment ago may not be known here yet: then wait for what the log has now."""
        users = self._sources.reference.users
        if user_id not in users:
            await self._sources.catch_up_reference()
            if user_id not in users:
                raise errors.invalid_data("id")

    def _reporting_asset(self, call: Call) -> Asset:
        """The parameter `asset`; without one USDT, or the first quote asset if that is missing."""
        reference = self._sources.reference
        code = call.parameters.matching("asset", SYMBOL)
        asset = reference.asset(code or USUAL_REPORTING_ASSET)
        if asset is None and code is None:
            asset = next((market.quote for market in reference.markets.values()), None)
        if asset is None:
            raise errors.invalid_data("asset")
        return asset

    def _user_risk(
        self, call: Call, risk: UserRisk | None, reporting: Asset, valuation: Valuation
    ) -> dict[str, Any]:
        if risk is None:
            risk = UserRisk(0, {}, {}, 0, 0, 0, 0, 0, {})
        exposure = self._amounts(risk.exposure)
        worth = [valuation.value(asset.asset_id, amount) for asset, amount in exposure]
        total = sum(value for value in worth if value is not None)
        return {
            "time": call.time(risk.time_us),
            "equity": {"asset": reporting.code, "amount": _text(reporting, total)},
            "exposure": [
                {
                    "asset": asset.code,
                    "amount": _text(asset, amount),
                    "value": None if value is None else _text(reporting, value),
                }
                for (asset, amount), value in zip(exposure, worth, strict=True)
            ],
            "openOrderNotional": self._rows(risk.open_notional),
            "volume24h": self._rows(risk.volume_24h),
            "minute": risk.minute,
            "ordersThisMinute": risk.orders_this_minute,
            "cancelsThisMinute": risk.cancels_this_minute,
            "ordersLastMinute": risk.orders_last_minute,
            "cancelsLastMinute": risk.cancels_last_minute,
        }

    def _rows(self, amounts: Mapping[str, int]) -> list[dict[str, str]]:
        return [
            {"asset": asset.code, "amount": _text(asset, amount)}
            for asset, amount in self._amounts(amounts)
        ]

    def _amounts(self, amounts: Mapping[str, int]) -> list[tuple[Asset, int]]:
        by_id = sorted((int(asset_id), amount) for asset_id, amount in amounts.items())
        return [(self._sources.asset(asset_id), amount) for asset_id, amount in by_id]


def _prices(tickers: Sequence[bytes | None]) -> list[int]:
    return [unpack(Ticker, text).last_price if text else 0 for text in tickers]


def _text(asset: Asset, amount: int) -> str:
    return format_amount(amount, asset.decimals)


def _meta(call: Call, positions: Mapping[Partition, Position], named: Partition) -> dict[str, Any]:
    """Which sequences were joined, and the log time of the view that matters most."""
    return {"position": call.position, "logTime": call.time(positions[named].time_us)}
