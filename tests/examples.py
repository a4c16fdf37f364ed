"""How many examples a property is tried on: `make check` has time for a quarter."""

from hypothesis import settings

_USUAL = 100


def examples(number: int) -> int:
    """So many, or as many fewer as the profile of this run has fewer than usual."""
    return max(1, number * settings().max_examples // _USUAL)
