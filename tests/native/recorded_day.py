"""Trades a day with crashes in memory and prints its digest: of all records, chains and states."""

import hashlib

from native.selection import build_in_use
from tests.streams.audited_log import archived, replayed, told, traded

SEED = 5


def digest_of_a_day() -> str:
    """The digest of every record in every partition, and of every shard's channels and state."""
    world = traded(SEED, crashes=8, duplicate_rate=0.05)
    digest = hashlib.sha256()
    for (topic, partition), values in sorted(world.log.partitions.items()):
        digest.update(f"\n{topic} {partition}\n".encode())
        for value in values:
            digest.update(value)
    for shard, host in sorted(world.hosts().items()):
        digest.update(f"\n{shard} {host.shard.state_hash().hex()}\n".encode())
        for name, channel in sorted(host.shard.outgoing.items()):
            digest.update(f"{name} {channel.cseq} {channel.chain.hex()}\n".encode())
    verdict = replayed(archived(world))
    assert told(verdict.findings) == ""
    return digest.hexdigest()


if __name__ == "__main__":
    print(build_in_use(), digest_of_a_day())
