"""Snapshots: any changed byte is noticed, older ones stand in, the writer works beside us."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.files import Directory
from streams.snapshots import (
    KEPT,
    BadSnapshot,
    Fork,
    PendingSnapshot,
    Snapshot,
    SnapshotStore,
    UnsoundState,
    decode_snapshot,
    encode_snapshot,
)
from tests.simulation.background import Inline


@given(offset=st.integers(0, 2**62), payload=st.binary(max_size=200), last=st.binary(max_size=16))
def test_round_trip(offset, payload, last):
    snapshot = Snapshot(offset, payload, last)
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


@given(payload=st.binary(max_size=60), place=st.integers(0), flip=st.integers(1, 255))
def test_any_changed_byte_is_noticed(payload, place, flip):
    data = bytearray(encode_snapshot(Snapshot(123, payload)))
    data[place % len(data)] ^= flip
    with pytest.raises(BadSnapshot):
        decode_snapshot(bytes(data))


@given(payload=st.binary(max_size=60), length=st.integers(0))
def test_a_torn_snapshot_is_noticed(payload, length):
    data = encode_snapshot(Snapshot(123, payload))
    with pytest.raises(BadSnapshot):
        decode_snapshot(data[: length % len(data)])


def write(store: SnapshotStore, offset: int) -> PendingSnapshot:
    return store.start(offset, lambda: f"state {offset}".encode())


def test_a_snapshot_counts_only_once_published(tmp_path):
    store = SnapshotStore(Directory(tmp_path), Inline())
    pending = write(store, 7)
    assert list(store.newest_first()) == []
    pending = write(store, 7)
    store.publish(pending)
    assert list(store.newest_first()) == [Snapshot(7, b"state 7")]


def test_several_are_kept_and_a_bad_newest_is_passed_over(tmp_path):
    store = SnapshotStore(Directory(tmp_path), Inline())
    for offset in range(KEPT + 2):
        store.publish(write(store, offset))
    assert [snapshot.offset for snapshot in store.newest_first()] == [4, 3, 2]
    newest = sorted(Path(tmp_path).iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    assert [snapshot.offset for snapshot in store.newest_first()] == [3, 2]


def test_two_writers_share_a_directory(tmp_path):
    first = SnapshotStore(Directory(tmp_path), Inline(), "-1")
    second = SnapshotStore(Directory(tmp_path), Inline(), "-2")
    ours, theirs = write(first, 7), write(second, 7)
    assert list(second.newest_first()) == []
    theirs = write(second, 7)
    first.publish(ours)
    second.publish(theirs)
    assert list(first.newest_first()) == list(second.newest_first()) == [Snapshot(7, b"state 7")]


def test_what_a_dead_writer_left_goes_when_it_is_older_than_all_that_is_kept(tmp_path):
    write(SnapshotStore(Directory(tmp_path), Inline(), "-dead"), 3)
    store = SnapshotStore(Directory(tmp_path), Inline(), "-2")
    for offset in range(5, 5 + KEPT):
        store.publish(write(store, offset))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".snapshot"] * KEPT


def test_a_forked_writer_sees_the_state_of_its_start(tmp_path):
    store = SnapshotStore(Directory(tmp_path), Fork())
    state = ["before"]
    pending = store.start(1, lambda: state[0].encode())
    state[0] = "after"
    _wait(pending)
    store.publish(pending)
    assert list(store.newest_first()) == [Snapshot(1, b"before")]


def test_a_writer_that_fails_says_so(tmp_path):
    store = SnapshotStore(Directory(tmp_path), Fork())

    def broken() -> bytes:
        raise OSError("the disk is full")

    pending = store.start(1, broken)
    with pytest.raises(OSError, match="failed"):
        _wait(pending)


def test_the_writer_beside_us_tells_an_unsound_state_from_a_failed_write(tmp_path):
    def unsound() -> bytes:
        raise AssertionError("L1: asset 1 sums to 5, must be 0")

    pending = SnapshotStore(Directory(tmp_path), Fork()).start(9, unsound)
    with pytest.raises(UnsoundState):
        _wait(pending)
    missing = Directory(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    pending = write(SnapshotStore(missing, Fork()), 9)
    with pytest.raises(OSError, match="status"):
        _wait(pending)


def test_a_snapshot_that_cannot_be_read_is_passed_over(tmp_path):
    store = SnapshotStore(Directory(tmp_path), Inline())
    store.publish(write(store, 7))
    (tmp_path / f"{8:020d}.snapshot").mkdir()
    assert list(store.newest_first()) == [Snapshot(7, b"state 7")]


def _wait(pending: PendingSnapshot) -> None:
    give_up = time.monotonic() + 10
    while not pending.job.done():
        assert time.monotonic() < give_up
        time.sleep(0.01)
