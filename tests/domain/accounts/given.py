"""Accounts shards for tests: a partition after genesis, and the commands of a trader's life."""

from collections.abc import Sequence

from domain.accounts.decider import AccountsDecider
from domain.accounts.messages import (
    CreateApiKey,
    KeyKind,
    RegisterUser,
    Scope,
)
from domain.accounts.state import AccountsState
from domain.decider import Message
from domain.fees import FeeTier
from domain.limits import DEFAULT_LIMITS
from domain.protocol import Genesis

NOW_US = 1_700_000_000_000_000
LEDGERS = 2
MATCHINGS = 3
CMD = b"c" * 16
DEADLINE_US = NOW_US + 5_000_000
FEES = [FeeTier(0, 1_000, 1_000), FeeTier(1, 500, 750)]

decider = AccountsDecider()


def genesis(partition: int = 0) -> Genesis:
    """A genesis of two accounts partitions with fee tiers 0 and 1."""
    return Genesis("test", "A", partition, LEDGERS, MATCHINGS, 1, DEFAULT_LIMITS, list(FEES))


def shard(partition: int = 0) -> AccountsState:
    """A partition that has seen nothing but its genesis."""
    state = decider.initial()
    state.time_us = NOW_US
    return decider.evolve(state, genesis(partition))


def run(state: AccountsState, *commands: Message) -> list[Message]:
    """Decide and evolve each command in turn; all events."""
    events: list[Message] = []
    for command in commands:
        caused = decider.decide(state, command)
        for event in caused:
            state = decider.evolve(state, event)
        events.extend(caused)
    return events


def decide(state: AccountsState, command: Message) -> Sequence[Message]:
    """What the command causes, leaving the state alone."""
    return decider.decide(state, command)


def login(partition: int, number: int = 0) -> bytes:
    """The digest of some login that lives in `partition`."""
    return (number * LEDGERS + partition).to_bytes(8, "big") + b"l" * 24


def register(partition: int = 0, number: int = 0, fee_tier: int = 0) -> RegisterUser:
    """Registers login `number` of `partition`."""
    return RegisterUser(CMD, DEADLINE_US, login(partition, number), fee_tier)


def hmac_key(
    user_id: int,
    api_key: str = "key",
    *,
    kind: KeyKind = KeyKind.HMAC,
    sealed_secret: bytes = b"sealed",
    public_key: bytes = b"",
    scopes: Sequence[Scope] = (Scope.READ, Scope.TRADE),
    ip_allowlist: Sequence[str] = (),
    expires_us: int = 0,
    label: str = "",
) -> CreateApiKey:
    """A good HMAC key of `user_id` but for what is given."""
    return CreateApiKey(
        command_id=CMD,
        deadline_us=DEADLINE_US,
        user_id=user_id,
        api_key=api_key,
        kind=kind,
        sealed_secret=sealed_secret,
        public_key=public_key,
        scopes=list(scopes),
        ip_allowlist=list(ip_allowlist),
        expires_us=expires_us,
        label=label,
    )
