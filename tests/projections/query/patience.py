"""How long reads wait in tests: for long what can be read, a moment what is to be refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

LONG_S, MOMENT_S = 10.0, 0.4
"""However busy the machine is that the tests share; and no longer than need be."""


@contextmanager
def impatient(seconds: float = MOMENT_S) -> Iterator[None]:
    """A read that begins meanwhile gives up after so long: for those that wait in vain."""
    with patch("projections.query.sources.PATIENCE_S", seconds):
        yield
