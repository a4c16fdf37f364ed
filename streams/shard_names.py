"""The shards that a command line names."""

from collections.abc import Sequence

from infra.refusal import Misunderstood
from infra.settings import Settings
from schemas.topics import shards


def named_shards(words: Sequence[str], settings: Settings) -> list[str]:
    """The shards that were asked for, each once, in the order of the words.

    Raises `Misunderstood` for the first that the exchange of these settings does not have.
    """
    known = shards(settings.ledger_partitions, settings.matching_partitions)
    for word in words:
        if word not in known:
            raise Misunderstood(f"shards must be among {' '.join(known)}, was {word}")
    return list(dict.fromkeys(words))
