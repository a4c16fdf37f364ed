"""The user: an immutable aggregate, the events of its life, and the function that folds them.

Ids, versions and times come from the log; nothing here knows a clock.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from domain.accounts.messages import FeeTierChanged, UserDisabled, UserEnabled, UserRegistered
from domain.accounts.versions import check_first, check_next

UserEvent = UserRegistered | UserEnabled | UserDisabled | FeeTierChanged


@dataclass(frozen=True, slots=True)
class User:
    """A user as of `version` events, the last of which happened at `modified_us` in log time."""

    id: str
    version: int
    created_us: int
    modified_us: int
    user_id: int
    login_digest: bytes
    fee_tier: int
    enabled: bool


def user_originator(user_id: int) -> str:
    """The aggregate id of a user."""
    return f"user-{user_id}"


def registered(
    *, command_id: bytes, time_us: int, user_id: int, login_digest: bytes, fee_tier: int
) -> UserRegistered:
    """The first event of a new user."""
    return UserRegistered(
        command_id=command_id,
        originator_id=user_originator(user_id),
        originator_version=1,
        timestamp_us=time_us,
        user_id=user_id,
        login_digest=login_digest,
        fee_tier=fee_tier,
    )


def enabled(user: User, command_id: bytes, time_us: int) -> UserEnabled:
    """The next event of a user who may trade again."""
    return UserEnabled(command_id, user.id, user.version + 1, time_us, user.user_id)


def disabled(user: User, command_id: bytes, time_us: int) -> UserDisabled:
    """The next event of a user who may only cancel."""
    return UserDisabled(command_id, user.id, user.version + 1, time_us, user.user_id)


def fee_tier_changed(
    user: User, *, command_id: bytes, time_us: int, fee_tier: int
) -> FeeTierChanged:
    """The next event of a user who pays the rates of another tier."""
    return FeeTierChanged(command_id, user.id, user.version + 1, time_us, user.user_id, fee_tier)


def mutate_user(event: UserEvent, user: User | None) -> User:
    """The user after `event`; `user` is None before the first.

    Raises `OriginatorIDError` or `OriginatorVersionError` for an event out of its sequence.
    """
    if isinstance(event, UserRegistered):
        check_first(event, user)
        return User(
            id=event.originator_id,
            version=event.originator_version,
            created_us=event.timestamp_us,
            modified_us=event.timestamp_us,
            user_id=event.user_id,
            login_digest=event.login_digest,
            fee_tier=event.fee_tier,
            enabled=True,
        )
    assert user is not None, f"{event.originator_id} must be registered before {event}"
    check_next(event, user)
    user = replace(user, version=event.originator_version, modified_us=event.timestamp_us)
    match event:
        case UserEnabled():
            return replace(user, enabled=True)
        case UserDisabled():
            return replace(user, enabled=False)
        case FeeTierChanged():
            return replace(user, fee_tier=event.fee_tier)
        case _:
            assert_never(event)
