"""What a fetch brings is cut into bundles, in order and with nothing left out."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from projections.faust_app import BUNDLE_BYTES, RECORD_BYTES, _bundles

VALUES = st.none() | st.integers(0, 2 * BUNDLE_BYTES).map(bytes)


@given(st.lists(VALUES, max_size=40))
def test_bundles_are_consecutive_pieces_that_end_once_they_are_large_enough(values):
    found = [SimpleNamespace(offset=offset, value=value) for offset, value in enumerate(values)]
    bundles = _bundles(found)
    assert [record for bundle in bundles for record in bundle] == found
    for bundle in bundles:
        *before, _last = sizes = [RECORD_BYTES + len(each.value or b"") for each in bundle]
        assert sum(before) < BUNDLE_BYTES
        if bundle is not bundles[-1]:
            assert sum(sizes) >= BUNDLE_BYTES


def test_small_records_share_a_bundle():
    found = [SimpleNamespace(offset=offset, value=bytes(200)) for offset in range(300)]
    assert [len(bundle) for bundle in _bundles(found)] == [219, 81]
