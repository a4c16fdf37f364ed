"""Users and keys as aggregates of the eventsourcing library, in its immutable, functional style."""

from dataclasses import FrozenInstanceError, dataclass, replace

import pytest
from eventsourcing.domain import (
    DomainEventProtocol,
    ImmutableAggregateProtocol,
    OriginatorIDError,
    OriginatorVersionError,
)

from domain.accounts import keys, users
from domain.accounts.messages import ApiKeyRevoked, UserDisabled, UserRegistered
from tests.domain.accounts.given import CMD, NOW_US, hmac_key, login

registered = users.registered(
    command_id=CMD, time_us=NOW_US, user_id=7, login_digest=login(1), fee_tier=0
)


def version_of(event: DomainEventProtocol[str]) -> int:
    return event.originator_version


def id_of(aggregate: ImmutableAggregateProtocol[str]) -> str:
    return aggregate.id


def test_events_and_aggregates_satisfy_the_librarys_protocols():
    user = users.mutate_user(registered, None)
    key = keys.mutate_api_key(keys.created(hmac_key(7), NOW_US), None)
    assert isinstance(registered, DomainEventProtocol)
    assert version_of(registered) == 1
    assert (id_of(user), id_of(key)) == ("user-7", "key-key")


def test_aggregates_are_frozen():
    user = users.mutate_user(registered, None)
    with pytest.raises(FrozenInstanceError):
        user.enabled = False  # type: ignore[misc]


def test_each_event_counts_the_version_and_carries_the_logs_time():
    user = users.mutate_user(registered, None)
    later = users.mutate_user(users.disabled(user, CMD, NOW_US + 5), user)
    assert (user.version, user.enabled) == (1, True)
    assert (later.version, later.enabled) == (2, False)
    assert (later.created_us, later.modified_us) == (NOW_US, NOW_US + 5)


def test_an_event_of_another_user_is_not_applied():
    user = users.mutate_user(registered, None)
    with pytest.raises(OriginatorIDError):
        users.mutate_user(UserDisabled(CMD, "user-9", 2, NOW_US, 9), user)


@pytest.mark.parametrize("version", [1, 3])
def test_an_event_out_of_its_turn_is_not_applied(version):
    user = users.mutate_user(registered, None)
    with pytest.raises(OriginatorVersionError):
        users.mutate_user(UserDisabled(CMD, "user-7", version, NOW_US, 7), user)


def test_nobody_is_registered_twice():
    user = users.mutate_user(registered, None)
    with pytest.raises(OriginatorVersionError):
        users.mutate_user(registered, user)
    with pytest.raises(OriginatorVersionError):
        users.mutate_user(replace(registered, originator_version=2), None)


def test_nothing_happens_to_a_user_or_key_before_it_exists():
    with pytest.raises(AssertionError, match="must be registered"):
        users.mutate_user(UserDisabled(CMD, "user-7", 2, NOW_US, 7), None)
    with pytest.raises(AssertionError, match="must be created"):
        keys.mutate_api_key(ApiKeyRevoked(CMD, "key-key", 2, NOW_US, 7, "key"), None)


def test_a_revoked_key_never_changes_again():
    key = keys.mutate_api_key(keys.created(hmac_key(7), NOW_US), None)
    key = keys.mutate_api_key(keys.revoked(key, CMD, NOW_US), key)
    with pytest.raises(AssertionError, match="revoked for ever"):
        keys.mutate_api_key(keys.revoked(key, CMD, NOW_US), key)


def test_a_failing_key_event_tells_no_secret():
    event = keys.revoked(keys.mutate_api_key(keys.created(hmac_key(7), NOW_US), None), CMD, 1)
    with pytest.raises(OriginatorVersionError) as error:
        keys.mutate_api_key(
            replace(event, originator_version=9),
            keys.mutate_api_key(keys.created(hmac_key(7), NOW_US), None),
        )
    assert "sealed" not in str(error.value)


def test_the_librarys_patch_of_dataclasses_leaves_ours_alone():
    @dataclass(slots=True)
    class Later:
        number: int = 3
        name: str = "x"

    assert Later(4) == Later(4, "x")
    assert not hasattr(Later(4), "__dict__")
    assert [*UserRegistered.__dataclass_fields__][:2] == ["command_id", "originator_id"]
