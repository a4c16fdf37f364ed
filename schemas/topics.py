"""The catalogue of topics: which exist, how many partitions each has, and how shards are named."""

from dataclasses import dataclass

FAMILIES = {"A": "accounts", "L": "ledger", "M": "matching"}
QUARANTINE_TOPIC = "dlq"


@dataclass(slots=True, frozen=True)
class Topic:
    """A topic that must exist. `inbox`: many writers, guarded against clocks that run ahead."""

    name: str
    partitions: int
    inbox: bool


def inbox(shard: str) -> tuple[str, int]:
    """Topic and partition that the shard, such as "L3", consumes."""
    return f"{FAMILIES[shard[0]]}.in", int(shard[1:])


def outbox(shard: str) -> tuple[str, int]:
    """Topic and partition that only this shard writes."""
    return f"{FAMILIES[shard[0]]}.ev", int(shard[1:])


def shard_of(topic: str, partition: int) -> str:
    """The shard whose inbox or outbox this is; `KeyError` for any other topic."""
    family = topic.rpartition(".")[0]
    return {name: letter for letter, name in FAMILIES.items()}[family] + str(partition)


def shards(ledger_partitions: int, matching_partitions: int) -> list[str]:
    """All shards of an exchange; accounts have as many as ledgers."""
    counts = {"A": ledger_partitions, "L": ledger_partitions, "M": matching_partitions}
    return [f"{letter}{p}" for letter in FAMILIES for p in range(counts[letter])]


def catalogue(ledger_partitions: int, matching_partitions: int) -> list[Topic]:
    """Every topic of an exchange with these partition counts, which are frozen at genesis."""
    counts = {"A": ledger_partitions, "L": ledger_partitions, "M": matching_partitions}
    topics = [Topic(QUARANTINE_TOPIC, 1, inbox=False)]
    for letter, name in FAMILIES.items():
        topics.append(Topic(f"{name}.in", counts[letter], inbox=True))
        topics.append(Topic(f"{name}.ev", counts[letter], inbox=False))
    return topics
