"""The fold of `accounts.ev`: what gateways and the query API know of the exchange."""

from hashlib import blake2b

import pytest

from domain.accounts.messages import (
    AccountsCommandRejected,
    AccountsReason,
    AssetListed,
    FeesChanged,
    FeeTierChanged,
    LimitsChanged,
    UserDisabled,
    UserEnabled,
    UserRegistered,
)
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
from domain.reference import (
    FORMER_RULES,
    Asset,
    FormerRules,
    ReferenceData,
    UserStanding,
    is_asset_code,
    is_symbol,
    login_partition,
    symbol_partition,
)

NO_COMMAND = b""
RULES = MarketRules(1, 2, 10, 1, *[1] * 14)
NEW_RULES = MarketRules(1, 2, 20, 3, *[2] * 14)
BOUNDED = MarketRules(1, 2, 10, 1, *[2] * 14)
OLD_FEES = [FeeTier(0, 100, 200)]
NEW_FEES = [FeeTier(0, 10, 20), FeeTier(3, 0, 5)]
LIMITS = Limits(1, 2, 3, 4)


def genesis(partition: int = 0) -> Genesis:
    return Genesis("test", "A", partition, 2, 3, 1, DEFAULT_LIMITS, OLD_FEES)


def listed() -> ReferenceData:
    reference = ReferenceData()
    for event in (
        genesis(),
        AssetListed(NO_COMMAND, 1, "BTC", "Bitcoin", 8),
        AssetListed(NO_COMMAND, 2, "USDT", "Tether", 6),
        MarketListed(NO_COMMAND, 7, "BTCUSDT", 1, RULES, 60_000),
    ):
        reference.apply(event)
    return reference


def test_genesis_says_who_and_how_many():
    reference = listed()
    assert (reference.ledger_partitions, reference.matching_partitions) == (2, 3)
    assert reference.limits == DEFAULT_LIMITS
    assert reference.fee_tiers == {0: FeeTier(0, 100, 200)}


def test_assets_and_markets_are_found_by_name_and_id():
    reference = listed()
    bitcoin = Asset(1, "BTC", "Bitcoin", 8)
    assert reference.asset("BTC") == bitcoin
    assert reference.assets[2].decimals == 6
    market = reference.market("BTCUSDT")
    assert market is not None
    assert market is reference.markets[7]
    assert (market.base, market.quote.code) == (bitcoin, "USDT")
    assert (market.rules, market.halted) == (RULES, False)
    assert reference.asset("XRP") is None
    assert reference.market("XRPUSDT") is None


def test_a_market_halts_changes_its_rules_and_resumes():
    reference = listed()
    market = reference.markets[7]
    reference.apply(MarketHalted(NO_COMMAND, 7))
    assert market.halted
    reference.apply(MarketRulesChanged(NO_COMMAND, 7, 2, NEW_RULES, 30_000))
    assert (market.revision, market.rules) == (2, NEW_RULES)
    assert market.halted
    reference.apply(MarketResumed(NO_COMMAND, 7))
    assert not market.halted


def test_rules_with_another_lot_or_tick_are_kept_for_what_was_counted_by_them():
    reference = listed()
    market = reference.markets[7]
    reference.apply(MarketRulesChanged(NO_COMMAND, 7, 1, BOUNDED, 60_000), time_us=5)
    assert len(market.former) == 0, "no other lot, no other tick"
    reference.apply(MarketRulesChanged(NO_COMMAND, 7, 2, NEW_RULES, 30_000), time_us=10)
    assert list(market.former) == [FormerRules(1, BOUNDED, 10)]
    reference.apply(MarketRulesChanged(NO_COMMAND, 7, 3, RULES, 30_000), time_us=20)
    assert market.counted_by(3) is market
    first, second = market.counted_by(1), market.counted_by(2)
    assert first is not None
    assert second is not None
    assert (first.rules, second.rules) == (BOUNDED, NEW_RULES)
    assert (first.revision, first.symbol) == (1, "BTCUSDT")
    assert market.counted_by(4) is None
    found = [market.counted_at(time_us).revision for time_us in (0, 9, 10, 19, 20)]
    assert found == [1, 1, 2, 2, 3]
    since = [[each.revision for each in market.counted_since(t)] for t in (0, 9, 10, 20)]
    assert since == [[2, 1], [2, 1], [2], []]


def test_former_rules_are_kept_in_a_bounded_number():
    reference = listed()
    for revision in range(2, 30):
        event = MarketRulesChanged(NO_COMMAND, 7, revision, NEW_RULES, 30_000)
        reference.apply(event, time_us=revision)
    former = reference.markets[7].former
    assert [each.revision for each in former] == list(range(30 - 1 - FORMER_RULES, 29))


def test_users_tier_and_standing_are_followed():
    reference = listed()
    reference.apply(FeesChanged(NO_COMMAND, NEW_FEES))
    reference.apply(UserRegistered(NO_COMMAND, "user-4", 1, 5, 4, b"d" * 32, 0), partition=1)
    assert reference.users[4] == UserStanding(fee_tier=0, enabled=True)
    reference.apply(UserDisabled(NO_COMMAND, "user-4", 2, 5, 4), partition=1)
    assert not reference.users[4].enabled
    reference.apply(FeeTierChanged(NO_COMMAND, "user-4", 3, 5, 4, 3), partition=1)
    assert reference.fee_tier(4) == FeeTier(3, 0, 5)
    reference.apply(UserEnabled(NO_COMMAND, "user-4", 4, 5, 4), partition=1)
    assert reference.users[4] == UserStanding(fee_tier=3, enabled=True)
    assert reference.fee_tier(5) is None


def test_a_user_may_be_ahead_of_the_fee_schedule():
    reference = listed()
    reference.apply(UserRegistered(NO_COMMAND, "user-4", 1, 5, 4, b"d" * 32, 3), partition=1)
    assert reference.fee_tier(4) is None
    reference.apply(FeesChanged(NO_COMMAND, NEW_FEES))
    assert reference.fee_tier(4) == FeeTier(3, 0, 5)


def test_fees_limits_and_rules_version_count_from_partition_0_alone():
    assert ReferenceData().rules_version == 0
    reference = listed()
    assert reference.rules_version == 1
    reference.apply(RulesActivated(3))
    reference.apply(RulesActivated(2), partition=1)
    assert reference.rules_version == 3
    reference.apply(FeesChanged(NO_COMMAND, NEW_FEES))
    reference.apply(LimitsChanged(NO_COMMAND, LIMITS))
    reference.apply(genesis(partition=1), partition=1)
    reference.apply(FeesChanged(NO_COMMAND, OLD_FEES), partition=1)
    reference.apply(LimitsChanged(NO_COMMAND, DEFAULT_LIMITS), partition=1)
    assert reference.fee_tiers == {0: FeeTier(0, 10, 20), 3: FeeTier(3, 0, 5)}
    assert reference.limits == LIMITS


def test_events_that_say_nothing_of_reference_data_are_passed_over():
    reference = listed()
    reference.apply(AccountsCommandRejected(b"c" * 16, AccountsReason.UNKNOWN_USER))
    assert reference == listed()


@pytest.mark.parametrize("text", ["BTC", "1INCH", "AB", "ABCDEFGHIJ"])
def test_asset_codes(text):
    assert is_asset_code(text)


@pytest.mark.parametrize("text", ["", "B", "btc", "BTC ", "B-TC", "ÄBC", "BTC\n", "ABCDEFGHIJK"])
def test_not_asset_codes(text):
    assert not is_asset_code(text)


def test_symbols():
    assert is_symbol("BTCUSDT")
    assert is_symbol("A" * 20)
    assert not is_symbol("A" * 21)
    assert not is_symbol("BTC/USDT")
    assert not is_symbol("A")


def test_partitions_follow_the_digests():
    digest = bytes(7) + b"\x05" + bytes(24)
    assert login_partition(digest, 2) == 1
    assert login_partition(digest, 5) == 0
    wanted = int.from_bytes(blake2b(b"BTCUSDT", digest_size=8).digest(), "big")
    assert symbol_partition("BTCUSDT", 7) == wanted % 7
