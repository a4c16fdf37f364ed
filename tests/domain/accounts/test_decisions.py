"""Given events, when a command comes, then these events: users, keys, assets, fees and limits."""

import pytest

from domain.accounts.messages import (
    AccountsCommandRejected,
    AccountsReason,
    ApiKeyCreated,
    ApiKeyRestricted,
    ApiKeyRevoked,
    AssetListed,
    ChangeFees,
    ChangeFeeTier,
    ChangeLimits,
    CreateApiKey,
    DisableUser,
    EnableUser,
    FeesChanged,
    FeeTierChanged,
    HaltWithdrawals,
    KeyKind,
    LimitsChanged,
    ListAsset,
    RestrictApiKey,
    ResumeWithdrawals,
    RevokeApiKey,
    Scope,
    UserDisabled,
    UserEnabled,
    UserRegistered,
    WithdrawalsHalted,
    WithdrawalsResumed,
)
from domain.fees import FeeTier
from domain.limits import Limits
from tests.domain.accounts.given import (
    CMD,
    DEADLINE_US,
    FEES,
    NOW_US,
    decide,
    decider,
    hmac_key,
    login,
    register,
    run,
    shard,
)

R = AccountsReason
U2 = 2  # the first user of partition 0 of 2
U = register()
K = hmac_key(U2)
PUBLIC_KEY = bytes(range(32))

enable = EnableUser(CMD, DEADLINE_US, U2)
disable = DisableUser(CMD, DEADLINE_US, U2)
revoke = RevokeApiKey(CMD, DEADLINE_US, U2, "key")


def halt(asset_id: int, reason: str = "why") -> HaltWithdrawals:
    return HaltWithdrawals(CMD, DEADLINE_US, asset_id, reason)


def resume(asset_id: int) -> ResumeWithdrawals:
    return ResumeWithdrawals(CMD, DEADLINE_US, asset_id, "why")


list_bitcoin = ListAsset(CMD, DEADLINE_US, "BTC", "Bitcoin", 8)


def to_tier(tier: int) -> ChangeFeeTier:
    return ChangeFeeTier(CMD, DEADLINE_US, U2, tier)


def restrict(*, user_id=U2, api_key="key", scopes=(Scope.READ,), ips=(), expires_us=0):
    return RestrictApiKey(CMD, DEADLINE_US, user_id, api_key, list(scopes), list(ips), expires_us)


def ed25519_key(public_key: bytes, sealed_secret: bytes = b"") -> CreateApiKey:
    return hmac_key(U2, kind=KeyKind.ED25519, sealed_secret=sealed_secret, public_key=public_key)


def fees(*tiers: tuple[int, int, int]) -> ChangeFees:
    return ChangeFees(CMD, DEADLINE_US, [FeeTier(*tier) for tier in tiers])


def limits(*values: int) -> ChangeLimits:
    return ChangeLimits(CMD, DEADLINE_US, Limits(*values))


@pytest.mark.parametrize(
    ("given", "when", "then"),
    [
        ([], register(), UserRegistered(CMD, "user-2", 1, NOW_US, 2, login(0), 0)),
        (
            [register()],
            register(0, 1, 1),
            UserRegistered(CMD, "user-4", 1, NOW_US, 4, login(0, 1), 1),
        ),
        ([register()], disable, UserDisabled(CMD, "user-2", 2, NOW_US, 2)),
        ([register(), disable], enable, UserEnabled(CMD, "user-2", 3, NOW_US, 2)),
        ([register()], to_tier(1), FeeTierChanged(CMD, "user-2", 2, NOW_US, 2, 1)),
        ([register(), disable], to_tier(0), FeeTierChanged(CMD, "user-2", 3, NOW_US, 2, 0)),
        ([], list_bitcoin, AssetListed(CMD, 1, "BTC", "Bitcoin", 8)),
        (
            [list_bitcoin],
            ListAsset(CMD, DEADLINE_US, "YEN", "", 0),
            AssetListed(CMD, 2, "YEN", "", 0),
        ),
        ([list_bitcoin], halt(1), WithdrawalsHalted(CMD, 1, "why")),
        ([list_bitcoin, halt(1)], resume(1), WithdrawalsResumed(CMD, 1, "why")),
        ([list_bitcoin, halt(1), resume(1)], halt(1), WithdrawalsHalted(CMD, 1, "why")),
        ([], fees((0, 0, 1), (1, 2, 3)), FeesChanged(CMD, [FeeTier(0, 0, 1), FeeTier(1, 2, 3)])),
        ([], limits(1, 2, 3, 4), LimitsChanged(CMD, Limits(1, 2, 3, 4))),
    ],
)
def test_what_a_good_command_causes(given, when, then):
    state = shard()
    run(state, *given)
    assert list(decide(state, when)) == [then]


def test_a_key_lives_through_creation_restriction_and_revocation():
    state = shard()
    run(state, register())
    assert run(state, K, restrict(ips=["10.0.0.0/8"], expires_us=NOW_US + 1), revoke) == [
        ApiKeyCreated(
            command_id=CMD,
            originator_id="key-key",
            originator_version=1,
            timestamp_us=NOW_US,
            user_id=2,
            api_key="key",
            kind=KeyKind.HMAC,
            sealed_secret=b"sealed",
            public_key=b"",
            scopes=[Scope.READ, Scope.TRADE],
            ip_allowlist=[],
            expires_us=0,
            label="",
        ),
        ApiKeyRestricted(
            CMD, "key-key", 2, NOW_US, 2, "key", [Scope.READ], ["10.0.0.0/8"], NOW_US + 1
        ),
        ApiKeyRevoked(CMD, "key-key", 3, NOW_US, 2, "key"),
    ]
    key = state.keys["key"]
    assert (key.scopes, key.ip_allowlist) == ((Scope.READ,), ("10.0.0.0/8",))
    assert (key.expires_us, key.revoked, key.version) == (NOW_US + 1, True, 3)


def test_an_ed25519_key_has_its_public_key_alone():
    state = shard()
    run(state, register())
    (created,) = run(state, ed25519_key(PUBLIC_KEY))
    assert isinstance(created, ApiKeyCreated)
    assert (created.kind, created.public_key) == (KeyKind.ED25519, PUBLIC_KEY)


@pytest.mark.parametrize(
    ("given", "when", "reason"),
    [
        ([U], register(), R.LOGIN_TAKEN),
        ([U], register(fee_tier=9), R.LOGIN_TAKEN),
        ([], register(fee_tier=9), R.UNKNOWN_FEE_TIER),
        ([], enable, R.UNKNOWN_USER),
        ([U], enable, R.ALREADY_ENABLED),
        ([], disable, R.UNKNOWN_USER),
        ([U, disable], disable, R.ALREADY_DISABLED),
        ([], to_tier(9), R.UNKNOWN_USER),
        ([U], to_tier(9), R.UNKNOWN_FEE_TIER),
        ([], K, R.UNKNOWN_USER),
        ([U, disable], K, R.USER_DISABLED),
        ([U, K], K, R.KEY_TAKEN),
        ([U, K, revoke], K, R.KEY_TAKEN),
        ([U], hmac_key(2, ""), R.INVALID_KEY),
        ([U], hmac_key(2, "k" * 65), R.INVALID_KEY),
        ([U], hmac_key(2, "käy"), R.INVALID_KEY),
        ([U], hmac_key(2, "k y"), R.INVALID_KEY),
        ([U], hmac_key(2, label="x" * 101), R.INVALID_KEY),
        ([U], hmac_key(2, sealed_secret=b""), R.INVALID_KEY),
        ([U], hmac_key(2, sealed_secret=b"x" * 1025), R.INVALID_KEY),
        ([U], hmac_key(2, public_key=PUBLIC_KEY), R.INVALID_KEY),
        ([U], ed25519_key(b""), R.INVALID_KEY),
        ([U], ed25519_key(b"x" * 31), R.INVALID_KEY),
        ([U], ed25519_key(PUBLIC_KEY, b"sealed"), R.INVALID_KEY),
        ([U], hmac_key(2, scopes=[]), R.INVALID_SCOPES),
        ([U], hmac_key(2, scopes=[Scope.READ, Scope.READ]), R.INVALID_SCOPES),
        ([U], hmac_key(2, ip_allowlist=["localhost"]), R.INVALID_ADDRESSES),
        ([U], hmac_key(2, ip_allowlist=["10.0.0.1"] * 31), R.INVALID_ADDRESSES),
        ([U], hmac_key(2, expires_us=NOW_US), R.INVALID_EXPIRY),
        ([U], hmac_key(2, expires_us=-1), R.INVALID_EXPIRY),
        ([], revoke, R.UNKNOWN_USER),
        ([U], revoke, R.UNKNOWN_KEY),
        ([U, K, revoke], revoke, R.KEY_REVOKED),
        ([], restrict(), R.UNKNOWN_USER),
        ([U], restrict(), R.UNKNOWN_KEY),
        ([U, register(0, 1), K], restrict(user_id=4), R.UNKNOWN_KEY),
        ([U, K, revoke], restrict(scopes=[]), R.KEY_REVOKED),
        ([U, K], restrict(scopes=[]), R.INVALID_SCOPES),
        ([U, K], restrict(ips=["::1/200"]), R.INVALID_ADDRESSES),
        ([U, K], restrict(expires_us=NOW_US), R.INVALID_EXPIRY),
        ([], fees(), R.INVALID_FEES),
        ([], fees((1, 0, 0)), R.INVALID_FEES),
        ([], fees((0, 0, 0)), R.INVALID_FEES),
        ([], fees((0, 0, 0), (1, 0, 0), (1, 0, 0)), R.INVALID_FEES),
        ([], fees((0, -1, 0), (1, 0, 0)), R.INVALID_FEES),
        ([], fees((0, 0, 100_001), (1, 0, 0)), R.INVALID_FEES),
        ([], fees((0, 0, 0), (1, 0, 0), (-1, 0, 0)), R.INVALID_FEES),
        ([], limits(0, 1, 1, 1), R.INVALID_LIMITS),
        ([], limits(1, 0, 1, 1), R.INVALID_LIMITS),
        ([], limits(1, 1, -1, 1), R.INVALID_LIMITS),
        ([], limits(1, 1, 1, 0), R.INVALID_LIMITS),
        ([list_bitcoin], list_bitcoin, R.ASSET_TAKEN),
        ([], ListAsset(CMD, DEADLINE_US, "btc", "Bitcoin", 8), R.INVALID_ASSET),
        ([], ListAsset(CMD, DEADLINE_US, "BTC", "B" * 65, 8), R.INVALID_ASSET),
        ([], ListAsset(CMD, DEADLINE_US, "BTC", "Bitcoin", 19), R.INVALID_ASSET),
        ([list_bitcoin], ListAsset(CMD, DEADLINE_US, "BTC", "Bitcoin", -1), R.INVALID_ASSET),
        ([list_bitcoin], halt(2), R.UNKNOWN_ASSET),
        ([list_bitcoin], halt(0), R.UNKNOWN_ASSET),
        ([list_bitcoin, halt(1)], halt(1), R.ALREADY_HALTED),
        ([list_bitcoin], resume(1), R.NOT_HALTED),
        ([list_bitcoin], halt(1, ""), R.INVALID_REASON),
        ([list_bitcoin], halt(1, "w" * 201), R.INVALID_REASON),
        ([list_bitcoin], halt(1, "wór"), R.INVALID_REASON),
    ],
)
def test_what_is_refused_and_why(given, when, reason):
    state = shard()
    given_events = run(state, *given)
    assert not any(isinstance(event, AccountsCommandRejected) for event in given_events)
    assert list(decide(state, when)) == [AccountsCommandRejected(CMD, reason)]


@pytest.mark.parametrize(
    "command",
    [U, disable, K, revoke, list_bitcoin],
)
def test_run_twice_the_second_has_no_effect(command):
    state = shard()
    if command is not U and command is not list_bitcoin:
        run(state, U)
    if command is revoke:
        run(state, K)
    (first,) = run(state, command)
    assert not isinstance(first, AccountsCommandRejected)
    (second,) = run(state, command)
    assert isinstance(second, AccountsCommandRejected)


def test_several_wrongs_are_told_in_the_order_of_the_reasons():
    state = shard()
    run(state, U)
    wrong = hmac_key(2, "", scopes=[], ip_allowlist=["x"], expires_us=1)
    (rejected,) = decide(state, wrong)
    assert rejected == AccountsCommandRejected(CMD, R.INVALID_KEY)
    wrong.api_key = "key"
    (rejected,) = decide(state, wrong)
    assert rejected == AccountsCommandRejected(CMD, R.INVALID_SCOPES)
    wrong.scopes = [Scope.WITHDRAW]
    (rejected,) = decide(state, wrong)
    assert rejected == AccountsCommandRejected(CMD, R.INVALID_ADDRESSES)
    wrong.ip_allowlist = []
    (rejected,) = decide(state, wrong)
    assert rejected == AccountsCommandRejected(CMD, R.INVALID_EXPIRY)


@pytest.mark.parametrize(
    "entry",
    [
        "127.0.0.1",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "::1",
        "2001:db8::/32",
        "::ffff:10.0.0.1",
        "10.0.0.1/32",
    ],
)
def test_addresses_and_networks_may_be_listed(entry):
    state = shard()
    run(state, U)
    assert isinstance(decide(state, hmac_key(2, ip_allowlist=[entry]))[0], ApiKeyCreated)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " 10.0.0.1",
        "10.0.0",
        "10.0.0.256",
        "010.0.0.1",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/",
        "10.0.0.0/255.0.0.0",
        "fe80::1%eth0",
        "١0.0.0.1",
        "example.org",
    ],
)
def test_other_entries_may_not(entry):
    state = shard()
    run(state, U)
    assert decide(state, hmac_key(2, ip_allowlist=[entry])) == (
        AccountsCommandRejected(CMD, R.INVALID_ADDRESSES),
    )


def test_a_disabled_users_keys_stay_and_can_be_revoked():
    state = shard()
    run(state, U, K, disable)
    assert not state.keys["key"].revoked
    assert isinstance(run(state, revoke)[0], ApiKeyRevoked)
    assert state.keys["key"].revoked


def test_deciding_only_reads():
    state = shard()
    run(state, U, K)
    before = decider.dump(state)
    for command in (register(0, 1), disable, revoke, restrict(), list_bitcoin, to_tier(1)):
        decide(state, command)
    assert decider.dump(state) == before
    assert [FEES[0], FEES[1]] == list(state.fee_tiers.values())
