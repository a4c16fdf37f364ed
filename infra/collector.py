"""Python's search for garbage in cycles: where none is made, it is done without."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_search() -> Iterator[None]:
    """Search for no cycles while the block runs: whatever it makes stays, and there is much."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()


def leave_to_reference_counts() -> None:
    """Let nothing search for cycles from now on.

    Shards make none (`tests/streams/test_cycles.py`). The search goes through everything that
    lives: a third of a second with a million resting orders, in which none would be matched.
    """
    gc.freeze()
    gc.disable()


def search_once() -> None:
    """Let go of what was dropped with cycles in it, where nothing else searches for it.

    A shard that a host builds anew drops the old one, whose books are made of cycles.
    """
    if gc.isenabled():
        return
    # What was frozen is dropped, too.
    gc.unfreeze()
    gc.collect()
    gc.freeze()
