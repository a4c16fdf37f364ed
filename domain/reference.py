"""What everybody must know, folded from `accounts.ev`: assets, markets, fees, limits, users.

Gateway and query API keep one `ReferenceData` each; deciders keep their own state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from domain.accounts.messages import (
    AssetListed,
    FeesChanged,
    FeeTierChanged,
    LimitsChanged,
    UserDisabled,
    UserEnabled,
    UserRegistered,
    WithdrawalsHalted,
    WithdrawalsResumed,
)
from domain.decider import Message
from domain.fees import FeeTier
from domain.limits import DEFAULT_LIMITS, Limits
from domain.markets import (
    MarketHalted,
    MarketListed,
    MarketResumed,
    MarketRules,
    MarketRulesChanged,
)
from domain.protocol import Genesis, RulesActivated

MAX_DECIMALS = 18
"""Decimals of the finest asset."""

REFERENCE_PARTITION = 0
"""The accounts partition whose events say what assets, markets, fees and limits there are."""

FORMER_RULES = 8
"""How many rules with other lots or ticks are kept of a market: what was counted by them may be
asked for again for some two minutes, in which nobody halts and empties a market so often."""

_CODE_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


@dataclass(slots=True)
class Asset:
    """A listed asset; its amounts are counted in units of 10^-`decimals`."""

    asset_id: int
    code: str
    name: str
    decimals: int


@dataclass(slots=True, frozen=True)
class FormerRules:
    """Rules that a market had until `until_us`, a log time of the reference partition."""

    revision: int
    rules: MarketRules
    until_us: int


@dataclass(slots=True)
class Market:
    """A listed market: `base` priced in `quote`.

    `former`: the last rules of each revision before this one, the newest at the end. What was
    counted by them is read by the market as it was then: see `counted_by`.
    """

    market_id: int
    symbol: str
    revision: int
    rules: MarketRules
    halted: bool
    base: Asset
    quote: Asset
    former: tuple[FormerRules, ...] = ()

    def counted_by(self, revision: int) -> "Market | None":
        """The market with the lot and tick of `revision`; None if they are not known (any more)."""
        if revision == self.revision:
            return self
        found = (each for each in self.former if each.revision == revision)
        return next(map(self._before, found), None)

    def counted_at(self, time_us: int) -> "Market":
        """The market with the lot and tick that it had at log time `time_us`."""
        found = (each for each in self.former if time_us < each.until_us)
        return next(map(self._before, found), self)

    def counted_since(self, time_us: int) -> "list[Market]":
        """The market with each former lot and tick that it had after `time_us`, newest first."""
        return [self._before(each) for each in reversed(self.former) if time_us < each.until_us]

    def change_rules(self, event: MarketRulesChanged, time_us: int) -> None:
        """Take other rules, which were told at log time `time_us`; keep those that go."""
        if event.revision != self.revision:
            former = FormerRules(self.revision, self.rules, time_us)
            self.former = (*self.former, former)[-FORMER_RULES:]
        self.revision = event.revision
        self.rules = event.rules

    def _before(self, former: FormerRules) -> "Market":
        return replace(self, revision=former.revision, rules=former.rules)


@dataclass(slots=True)
class UserStanding:
    """What an order's way in depends on: the user's fee tier, and whether the user may trade."""

    fee_tier: int
    enabled: bool


def login_partition(login_digest: bytes, ledger_partitions: int) -> int:
    """The accounts partition in which a login lives; its user's ids keep to it for ever."""
    return int.from_bytes(login_digest[:8], "big") % ledger_partitions


def symbol_partition(symbol: str, matching_partitions: int) -> int:
    """The matching shard in which a market lives."""
    digest = blake2b(symbol.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % matching_partitions


def is_asset_code(text: str) -> bool:
    """Whether `text` is 2 to 10 capital letters and digits."""
    return 2 <= len(text) <= 10 and _CODE_CHARACTERS.issuperset(text)


def is_symbol(text: str) -> bool:
    """Whether `text` is 2 to 20 capital letters and digits."""
    return 2 <= len(text) <= 20 and _CODE_CHARACTERS.issuperset(text)


@dataclass(slots=True)
class ReferenceData:
    """Assets and markets by id, fee tiers by number, limits, and users by id."""

    assets: dict[int, Asset] = field(default_factory=dict)
    markets: dict[int, Market] = field(default_factory=dict)
    fee_tiers: dict[int, FeeTier] = field(default_factory=dict)
    limits: Limits = field(default_factory=lambda: DEFAULT_LIMITS)
    users: dict[int, UserStanding] = field(default_factory=dict)
    halted_withdrawals: dict[int, str] = field(default_factory=dict)
    """Asset id → why nothing of it may leave."""
    ledger_partitions: int = 0
    matching_partitions: int = 0
    rules_version: int = 0
    """That of the reference partition; 0 before its Genesis."""
    _asset_ids: dict[str, int] = field(default_factory=dict)
    _market_ids: dict[str, int] = field(default_factory=dict)

    def asset(self, code: str) -> Asset | None:
        """The asset with this code, if it is listed."""
        asset_id = self._asset_ids.get(code)
        return None if asset_id is None else self.assets[asset_id]

    def market(self, symbol: str) -> Market | None:
        """The market with this symbol, if it is listed."""
        market_id = self._market_ids.get(symbol)
        return None if market_id is None else self.markets[market_id]

    def fee_tier(self, user_id: int) -> FeeTier | None:
        """The rates that the user pays; None where the user, or the schedule, has not arrived yet.

        Users come from every partition, the schedule from one: either may be ahead of the other.
        """
        user = self.users.get(user_id)
        return None if user is None else self.fee_tiers.get(user.fee_tier)

    def apply(self, event: Message, partition: int = REFERENCE_PARTITION, time_us: int = 0) -> None:
        """Fold one event of `accounts.ev.<partition>`, which stands there at log time `time_us`.

        What says nothing of the above is ignored.

        Fees and limits count from partition 0 alone: the other partitions repeat them later, and
        what they repeat may be outdated by then.
        """
        match event:
            case UserRegistered() | UserEnabled() | UserDisabled() | FeeTierChanged():
                self._apply_user(event)
            case MarketListed() | MarketRulesChanged() | MarketHalted() | MarketResumed():
                self._apply_market(event, time_us)
            case AssetListed():
                asset = Asset(event.asset_id, event.code, event.name, event.decimals)
                self.assets[event.asset_id] = asset
                self._asset_ids[event.code] = event.asset_id
            case WithdrawalsHalted():
                self.halted_withdrawals[event.asset_id] = event.reason
            case WithdrawalsResumed():
                self.halted_withdrawals.pop(event.asset_id, None)
            case Genesis():
                self._apply_genesis(event)
            case FeesChanged() if partition == REFERENCE_PARTITION:
                self._set_fees(event.fee_tiers)
            case LimitsChanged() if partition == REFERENCE_PARTITION:
                self.limits = event.limits
            case RulesActivated() if partition == REFERENCE_PARTITION:
                self.rules_version = event.version
            case _:
                pass

    def _apply_user(
        self, event: UserRegistered | UserEnabled | UserDisabled | FeeTierChanged
    ) -> None:
        match event:
            case UserRegistered():
                self.users[event.user_id] = UserStanding(event.fee_tier, enabled=True)
            case UserEnabled():
                self.users[event.user_id].enabled = True
            case UserDisabled():
                self.users[event.user_id].enabled = False
            case FeeTierChanged():
                self.users[event.user_id].fee_tier = event.fee_tier

    def _apply_market(
        self,
        event: MarketListed | MarketRulesChanged | MarketHalted | MarketResumed,
        time_us: int,
    ) -> None:
        match event:
            case MarketListed():
                self._list_market(event)
            case MarketRulesChanged():
                self.markets[event.market_id].change_rules(event, time_us)
            case MarketHalted():
                self.markets[event.market_id].halted = True
            case MarketResumed():
                self.markets[event.market_id].halted = False

    def _list_market(self, event: MarketListed) -> None:
        self.markets[event.market_id] = Market(
            market_id=event.market_id,
            symbol=event.symbol,
            revision=event.revision,
            rules=event.rules,
            halted=False,
            base=self.assets[event.rules.base_asset],
            quote=self.assets[event.rules.quote_asset],
        )
        self._market_ids[event.symbol] = event.market_id

    def _apply_genesis(self, event: Genesis) -> None:
        if event.partition == REFERENCE_PARTITION:
            self.ledger_partitions = event.ledger_partitions
            self.matching_partitions = event.matching_partitions
            self.rules_version = event.rules_version
            self.limits = event.limits
            self._set_fees(event.fee_tiers)

    def _set_fees(self, fee_tiers: Sequence[FeeTier]) -> None:
        self.fee_tiers = {tier.tier: tier for tier in fee_tiers}
