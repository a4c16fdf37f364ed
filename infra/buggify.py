"""Rare turns that the product may take at any time: simulations take them often, nobody else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Decide = Callable[[str], bool]


def _never(_name: str) -> bool:
    return False


_decide: Decide = _never


def buggify(name: str) -> bool:
    """Whether to take the rare turn here, which must be right as well; False in production."""
    return _decide(name)


@contextmanager
def buggified(decide: Decide) -> Iterator[None]:
    """Within, `decide` says it for each point by its name."""
    global _decide
    _decide = decide
    try:
        yield
    finally:
        _decide = _never
