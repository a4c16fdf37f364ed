"""The order of an aggregate's events: each is the aggregate's own and the next, or it is a bug."""

from eventsourcing.domain import (
    DomainEventProtocol,
    ImmutableAggregateProtocol,
    OriginatorIDError,
    OriginatorVersionError,
)


def check_first(
    event: DomainEventProtocol[str], aggregate: ImmutableAggregateProtocol[str] | None
) -> None:
    """Raise `OriginatorVersionError` unless `event` makes an aggregate that was not there."""
    version = 0 if aggregate is None else aggregate.version
    if aggregate is not None or event.originator_version != 1:
        raise OriginatorVersionError(event.originator_version, version + 1)


def check_next(event: DomainEventProtocol[str], aggregate: ImmutableAggregateProtocol[str]) -> None:
    """Raise `OriginatorIDError` or `OriginatorVersionError` unless `event` comes next."""
    if event.originator_id != aggregate.id:
        raise OriginatorIDError(event.originator_id, aggregate.id)
    if event.originator_version != aggregate.version + 1:
        raise OriginatorVersionError(event.originator_version, aggregate.version + 1)
