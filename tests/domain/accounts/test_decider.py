"""Who may send what to which partition, where events go, and what a shard remembers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from domain.accounts.messages import (
    ApiKeyCreated,
    AssetListed,
    ChangeFees,
    ChangeLimits,
    DisableUser,
    EnableUser,
    FeesChanged,
    FeeTierChanged,
    HaltWithdrawals,
    LimitsChanged,
    ListAsset,
    RegisterUser,
    ResumeWithdrawals,
    UserDisabled,
    UserEnabled,
    UserRegistered,
    WithdrawalsHalted,
    WithdrawalsResumed,
)
from domain.accounts.state import AccountsState
from domain.decider import Decider, UnrefusableFault
from domain.fees import FeeTier
from domain.ledger.messages import CreditDeposit
from domain.limits import DEFAULT_LIMITS, Limits
from domain.markets import (
    MarketHalted,
    MarketListed,
    MarketResumed,
    MarketRules,
    MarketRulesChanged,
)
from domain.protocol import (
    CommandExpired,
    CommandFaulted,
    CommandRepeated,
    Genesis,
    HaltAction,
    HaltResolved,
    ResolveHalt,
    RulesActivated,
    Tick,
)
from tests.domain.accounts.given import (
    CMD,
    DEADLINE_US,
    FEES,
    NOW_US,
    decider,
    genesis,
    hmac_key,
    login,
    register,
    run,
    shard,
)

RULES = MarketRules(1, 2, 10, 1, *[1] * 14)
HASH = b"h" * 16
asset = ListAsset(CMD, DEADLINE_US, "BTC", "Bitcoin", 8)
fees = ChangeFees(CMD, DEADLINE_US, list(FEES))
limits = ChangeLimits(CMD, DEADLINE_US, DEFAULT_LIMITS)
halt = HaltWithdrawals(CMD, DEADLINE_US, 1, "why")
resume = ResumeWithdrawals(CMD, DEADLINE_US, 1, "why")
fees_changed = FeesChanged(CMD, [*FEES, FeeTier(2, 0, 0)])
limits_changed = LimitsChanged(CMD, Limits(1, 2, 3, 4))
market_events = [
    MarketListed(CMD, 1, "BTCUSDT", 1, RULES, 5),
    MarketRulesChanged(CMD, 1, 2, RULES, 6),
    MarketHalted(CMD, 1),
    MarketResumed(CMD, 1),
]


def typed(instance: Decider[AccountsState]) -> str:
    return instance.family


def test_it_is_a_decider_of_family_a():
    assert typed(decider) == "A"


@pytest.mark.parametrize(
    ("partition", "source", "message", "refusal"),
    [
        (0, "operator", register(0), ""),
        (1, "operator", register(1), ""),
        (0, "operator", register(1), "the login lives in partition 1"),
        (0, "operator", RegisterUser(CMD, DEADLINE_US, b"short", 0), "digest of 32 bytes"),
        (0, "gw", register(0), "RegisterUser is wanted from operator, came from gw"),
        (0, "L0", register(0), "wanted from operator, came from L0"),
        (0, "operator", DisableUser(CMD, DEADLINE_US, 2), ""),
        (0, "operator", DisableUser(CMD, DEADLINE_US, 3), "user 3 lives in partition 1, not 0"),
        (1, "operator", EnableUser(CMD, DEADLINE_US, 3), ""),
        (1, "operator", hmac_key(3), ""),
        (1, "operator", hmac_key(2), "user 2 lives in partition 0, not 1"),
        (0, "operator", asset, ""),
        (1, "operator", asset, "ListAsset is for partition 0, not 1"),
        (1, "operator", fees, "ChangeFees is for partition 0, not 1"),
        (1, "operator", limits, "ChangeLimits is for partition 0, not 1"),
        (0, "gw", fees, "ChangeFees is wanted from operator"),
        (0, "operator", halt, ""),
        (0, "auditor", halt, ""),
        (1, "auditor", halt, "HaltWithdrawals is for partition 0, not 1"),
        (0, "gw", halt, "HaltWithdrawals is wanted from operator"),
        (0, "operator", resume, ""),
        (0, "auditor", resume, "ResumeWithdrawals is wanted from operator, came from auditor"),
        (0, "auditor", asset, "ListAsset is wanted from operator, came from auditor"),
        (1, "A0", fees_changed, ""),
        (1, "A0", limits_changed, ""),
        (0, "A1", fees_changed, "FeesChanged is made by partition 0, not told to it"),
        (1, "operator", fees_changed, "FeesChanged is wanted from A, came from operator"),
        *[(0, "M2", event, "") for event in market_events],
        *[(1, "M2", event, "is for partition 0, not 1") for event in market_events],
        *[(0, "operator", event, "is wanted from M") for event in market_events],
        (0, "clock", Tick(), ""),
        (0, "gw", Tick(), "Tick is wanted from clock, came from gw"),
        (0, "operator", RulesActivated(2), ""),
        (0, "operator", ResolveHalt(CMD, 0, HASH, HaltAction.SKIP), ""),
        (0, "operator", genesis(), "one Genesis is wanted, this is another"),
        (0, "operator", CreditDeposit(CMD, 0, 2, 1, 1, "r"), "is no message for accounts"),
        (0, "A0", UserEnabled(CMD, "user-2", 1, 0, 2), "is no message for accounts"),
        (1, "A0", AssetListed(CMD, 1, "BTC", "", 8), "is no message for accounts"),
    ],
)
def test_who_may_send_what_to_which_partition(partition, source, message, refusal):
    refused = decider.refuse(shard(partition), source, message)
    assert refusal in refused
    assert bool(refused) is bool(refusal)


def changed_genesis(**changes: Any) -> Genesis:
    return replace(genesis(), **changes)


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        (genesis(), ""),
        (changed_genesis(partition=1), ""),
        (Tick(), "Genesis is wanted first, was Tick"),
        (register(), "Genesis is wanted first, was RegisterUser"),
        (changed_genesis(family="L"), "a Genesis of family A is wanted, was 'L'"),
        (changed_genesis(partition=2), "cannot be"),
        (changed_genesis(partition=-1), "cannot be"),
        (changed_genesis(matching_partitions=0), "cannot be"),
        (changed_genesis(fee_tiers=[]), "a fee tier 0"),
        (changed_genesis(fee_tiers=[FeeTier(0, 100_001, 0)]), "fair rates"),
        (changed_genesis(limits=Limits(0, 1, 1, 1)), "positive limits"),
    ],
)
def test_genesis_comes_first_and_makes_sense(message, refusal):
    source = "clock" if isinstance(message, Tick) else "operator"
    refused = decider.refuse(decider.initial(), source, message)
    assert refusal in refused
    assert bool(refused) is bool(refusal)


@pytest.mark.parametrize(
    ("partition", "event", "shards"),
    [
        (0, UserRegistered(CMD, "user-2", 1, 0, 2, login(0), 0), ["L0"]),
        (1, UserRegistered(CMD, "user-3", 1, 0, 3, login(1), 0), ["L1"]),
        (1, UserEnabled(CMD, "user-3", 2, 0, 3), ["L1"]),
        (1, UserDisabled(CMD, "user-3", 2, 0, 3), ["L1"]),
        (1, FeeTierChanged(CMD, "user-3", 2, 0, 3, 1), ["L1"]),
        (0, AssetListed(CMD, 1, "BTC", "", 8), ["L0", "L1", "M0", "M1", "M2"]),
        (0, WithdrawalsHalted(CMD, 1, "why"), ["L0", "L1"]),
        (0, WithdrawalsResumed(CMD, 1, "why"), ["L0", "L1"]),
        (0, fees_changed, ["A1", "L0"]),
        (0, limits_changed, ["A1", "L0"]),
        (1, fees_changed, ["L1"]),
        (1, limits_changed, ["L1"]),
        (0, genesis(), []),
        *[(0, event, []) for event in market_events],
    ],
)
def test_where_events_go(partition, event, shards):
    assert list(decider.destinations(shard(partition), event)) == shards


def test_keys_never_leave_accounts():
    state = shard()
    created = run(state, register(), hmac_key(2))[1]
    assert isinstance(created, ApiKeyCreated)
    assert list(decider.destinations(state, created)) == []


@pytest.mark.parametrize("event", [genesis(), RulesActivated(2), *market_events])
def test_partition_0_tells_again_what_it_was_told(event):
    assert run(shard(), event) == [event]


def test_other_partitions_follow_fees_and_limits():
    state = shard(1)
    assert run(state, fees_changed, limits_changed) == [fees_changed, limits_changed]
    assert sorted(state.fee_tiers) == [0, 1, 2]
    assert state.limits == Limits(1, 2, 3, 4)
    (registered,) = run(state, register(1, fee_tier=2))
    assert isinstance(registered, UserRegistered)


def test_ticks_halts_and_rules_versions():
    state = shard()
    assert run(state, Tick()) == []
    assert run(state, ResolveHalt(CMD, 0, HASH, HaltAction.SKIP)) == [
        HaltResolved(CMD, HASH, HaltAction.SKIP)
    ]
    run(state, RulesActivated(7))
    assert state.rules_version == 7


def test_faulted_commands_leave_nothing_open_and_facts_must_not_fault():
    state = shard()
    assert list(decider.fault(state, register())) == []
    for fact in (fees_changed, market_events[0]):
        with pytest.raises(UnrefusableFault, match="could not be applied to accounts"):
            decider.fault(state, fact)


def test_the_hosts_own_outcomes_change_nothing():
    state = shard()
    before = decider.dump(state)
    for event in (
        CommandExpired(CMD, 1),
        CommandRepeated(CMD, 1),
        CommandFaulted(CMD, "RegisterUser", "KeyError"),
    ):
        decider.evolve(state, event)
    assert decider.dump(state) == before


def test_a_message_of_another_family_is_a_bug():
    with pytest.raises(AssertionError, match="was given a CreditDeposit"):
        decider.decide(shard(), CreditDeposit(CMD, 0, 2, 1, 1, "r"))
    with pytest.raises(AssertionError, match="has no event CreditDeposit"):
        decider.evolve(shard(), CreditDeposit(CMD, 0, 2, 1, 1, "r"))


def test_the_dump_is_canonical_whatever_the_order_of_keys():
    one, other = shard(), shard()
    run(one, register(), hmac_key(2, "a"), hmac_key(2, "b"))
    run(other, register(), hmac_key(2, "b"), hmac_key(2, "a"))
    assert decider.dump(one) == decider.dump(other)


def test_the_dump_is_json_and_comes_back_whole():
    state = shard()
    run(state, register(), register(0, 1, 1), hmac_key(2, ip_allowlist=["::1"]), asset)
    data = json.loads(json.dumps(decider.dump(state)))
    assert data == decider.dump(state)
    assert decider.load(data) == state
    assert decider.load(decider.dump(decider.initial())) == decider.initial()
    assert state.time_us == NOW_US
