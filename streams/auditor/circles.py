"""Finds shards that wait for each other in a circle, which no honest log lets them do.

A record that is not computed yet is caused by an input behind the one for which its source waits.
So in a circle every record would come before itself: one of them at least is forged, and its
reader has gone on from it, so that what others wait for was caused by it.
"""

from collections.abc import Mapping

from streams.auditor.followed import Followed


def find_circle(followed: Mapping[str, Followed]) -> list[Followed]:
    """Shards of which each waits for the next, and the last for the first; empty if none do.

    To be asked when no shard can apply the record whose turn it is.
    """
    waits_for = {f.id: f.queue[0].src for f in followed.values() if f.queue and f.stopped is None}
    done: set[str] = set()
    for shard in waits_for:
        path: list[str] = []
        while shard in waits_for and shard not in done:
            done.add(shard)
            path.append(shard)
            shard = waits_for[shard]
        if shard in path:
            return [followed[each] for each in path[path.index(shard) :]]
    return []
