"""Random lives of a partition: the decider against dicts, and its state through dump and load."""

import json

from hypothesis import given
from hypothesis import strategies as st

from domain.accounts.messages import (
    AccountsCommandRejected,
    AssetListed,
    ChangeFees,
    ChangeFeeTier,
    CreateApiKey,
    DisableUser,
    EnableUser,
    HaltWithdrawals,
    KeyKind,
    ListAsset,
    RegisterUser,
    RestrictApiKey,
    ResumeWithdrawals,
    RevokeApiKey,
    Scope,
    UserRegistered,
)
from domain.accounts.state import AccountsState
from domain.decider import Message
from domain.fees import FeeTier
from tests.domain.accounts.given import CMD, DEADLINE_US, LEDGERS, NOW_US, decider, login, shard
from tests.oracles.naive_accounts import Answer, NaiveAccounts

PARTITION = 1


def mostly(good, other):
    """One of `good` four times of five, so that lives reach what only happens late."""
    return st.integers(0, 4).flatmap(lambda n: other if n == 0 else st.sampled_from(good))


user_ids = st.sampled_from([3, 3, 3, 5, 5, 7])
names = st.sampled_from(["a", "a", "b", "bad key", ""])
tiers = st.sampled_from([0, 1, 2])
secrets = mostly([b"sealed"], st.just(b""))
public_keys = mostly([b""], st.sampled_from([b"p" * 32, b"p" * 31]))
addresses = mostly(
    [[], ["10.0.0.1"], ["10.0.0.0/8", "::1"]],
    st.lists(
        st.sampled_from(["10.0.0.1", "10.0.0.0/8", "10.0.0.1/8", "::1", "2001:db8::/32", "1.2.3"])
        | st.text("0123456789.:/abcf", max_size=18),
        max_size=2,
    ),
)
scopes = mostly(
    [[Scope.READ], [Scope.TRADE, Scope.READ]], st.lists(st.sampled_from(Scope), max_size=3)
)
ends = mostly([0, NOW_US + 10**9], st.integers(NOW_US - 2, NOW_US + 9))
rates = mostly([1_000], st.sampled_from([0, 100_000, 100_001, -1]))
tier_numbers = st.sampled_from([0, 1, 2, 3, -1])
fee_tiers = st.lists(st.builds(FeeTier, tier_numbers, rates, rates), max_size=5) | st.builds(
    lambda numbers: [FeeTier(number, 5, 10) for number in numbers],
    st.sampled_from([[0], [0, 1], [0, 1, 2], [2, 1, 0], [0, 0, 1], [0, 1, 2, 2]]),
)
codes = st.sampled_from(["BTC", "ETH", "eth", "X"])
reasons = mostly(["L2", "a reason"], st.sampled_from(["", "w" * 201, "wór", "two\nlines"]))


def command(cls, *arguments):
    return st.builds(cls, st.just(CMD), st.just(DEADLINE_US), *arguments)


ed25519_keys = command(
    CreateApiKey,
    user_ids,
    st.sampled_from(["a", "b"]),
    st.just(KeyKind.ED25519),
    mostly([b""], secrets),
    st.sampled_from([b"p" * 32, b"p" * 31]),
    scopes,
    addresses,
    ends,
    st.text(max_size=5),
)
hmac_keys = command(
    CreateApiKey,
    user_ids,
    names,
    st.just(KeyKind.HMAC),
    secrets,
    public_keys,
    scopes,
    addresses,
    ends,
    st.just(""),
)
commands = st.one_of(
    command(RegisterUser, st.integers(0, 3).map(lambda n: login(PARTITION, n)), tiers),
    command(EnableUser, user_ids),
    command(DisableUser, user_ids),
    command(ChangeFeeTier, user_ids, tiers),
    hmac_keys,
    ed25519_keys,
    command(RestrictApiKey, user_ids, names, scopes, addresses, ends),
    command(RevokeApiKey, user_ids, names),
    command(ListAsset, codes, st.just(""), st.integers(-1, 19)),
    command(HaltWithdrawals, st.integers(0, 2), reasons),
    command(ResumeWithdrawals, st.integers(0, 2), reasons),
    command(ChangeFees, fee_tiers),
)
first_user = RegisterUser(CMD, DEADLINE_US, login(PARTITION), 0)
lives = st.lists(st.tuples(commands, st.integers(0, 1)), min_size=20, max_size=50).map(
    lambda life: [(first_user, 0), *life]
)


def answer(event: Message) -> Answer:
    """An event in the oracle's words."""
    detail: object = None
    match event:
        case AccountsCommandRejected():
            detail = event.reason.name
        case UserRegistered():
            detail = event.user_id
        case AssetListed():
            detail = event.asset_id
        case _:
            pass
    return type(event).__name__, detail


def assert_same(state: AccountsState, naive: NaiveAccounts) -> None:
    assert {
        user_id: {"login": user.login_digest, "tier": user.fee_tier, "enabled": user.enabled}
        for user_id, user in state.users.items()
    } == naive.users
    assert {
        name: {
            "user": key.user_id,
            "revoked": key.revoked,
            "scopes": list(key.scopes),
            "ips": list(key.ip_allowlist),
            "expires": key.expires_us,
        }
        for name, key in state.keys.items()
    } == naive.keys
    assert [(item.code, item.decimals) for item in state.assets.values()] == naive.assets
    assert set(state.halted_withdrawals) == naive.halted
    assert sorted(state.fee_tiers) == sorted(naive.tiers)


@given(life=lives)
def test_the_decider_agrees_with_the_naive_accounts(life):
    state = shard(PARTITION)
    naive = NaiveAccounts(PARTITION, LEDGERS, [0, 1])
    for wish, pause_us in life:
        state.time_us += pause_us
        (event,) = decider.decide(state, wish)
        assert answer(event) == naive.run(wish, state.time_us)
        decider.evolve(state, event)
        assert_same(state, naive)


@given(life=lives, cut=st.integers(0, 40))
def test_a_snapshot_anywhere_changes_nothing(life, cut):
    straight = shard(PARTITION)
    resumed = shard(PARTITION)
    for position, (wish, pause_us) in enumerate(life):
        if position == cut:
            resumed = decider.load(json.loads(json.dumps(decider.dump(resumed))))
        straight.time_us += pause_us
        resumed.time_us += pause_us
        events = decider.decide(straight, wish)
        assert decider.decide(resumed, wish) == events
        for event in events:
            decider.evolve(straight, event)
            decider.evolve(resumed, event)
    assert decider.dump(resumed) == decider.dump(straight)


@given(life=lives)
def test_events_alone_rebuild_the_state(life):
    state = shard(PARTITION)
    history: list[tuple[int, Message]] = []
    for wish, pause_us in life:
        state.time_us += pause_us
        for event in decider.decide(state, wish):
            decider.evolve(state, event)
            history.append((state.time_us, event))
    rebuilt = shard(PARTITION)
    for time_us, event in history:
        rebuilt.time_us = time_us
        decider.evolve(rebuilt, event)
    rebuilt.time_us = state.time_us
    assert rebuilt == state
    assert all(user_id % LEDGERS == PARTITION for user_id in state.users)
