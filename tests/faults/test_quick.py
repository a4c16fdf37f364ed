"""Two rows of the matrix once each, on one stack: the quick subset of `make faults`."""

import pytest

from tests.faults.rows import find_rows
from tests.faults.runner import Bench

pytestmark = [pytest.mark.integration, pytest.mark.slow]

RATE = 60.0


@pytest.fixture(scope="module")
def bench():
    made = Bench(rate=RATE, minutes=1.0, quick=True)
    yield made
    made.close()


@pytest.mark.parametrize("name", ["F4 5s", "F6 leader"])
def test_nothing_is_violated(bench, name, capsys):
    result = bench.run(find_rows()[name], 1, 1)
    with capsys.disabled():
        print(f"\nfaults: {name}: {result.gap_s:.2f} s without an acknowledged order")
    assert not result.violations, "\n".join(result.violations)
    assert result.acknowledged > RATE, "the load must be load"
