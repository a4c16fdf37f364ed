"""What is said of a lease that is not held: who holds it, or why its store does not answer."""

import pytest

from infra.lease import TOLD_AFTER_S, TOLD_AGAIN_S, Hindrances, Lease, LeaseEntry, Phase


@pytest.fixture
def lease(store, now) -> Lease:
    return Lease("L0", "me", store, now)


def test_what_is_held_is_not_waited_for(lease):
    assert lease.hindrance == "nothing is known of it yet"
    lease.tend()
    assert lease.hindrance == ""


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (LeaseEntry("other", 7, Phase.LEADING), "held by other"),
        (LeaseEntry("", 7, Phase.TAKING), "held by nobody who is known"),
        (LeaseEntry("", 7, Phase.FREE, "heir"), "free, left to heir for now"),
    ],
)
def test_the_holder_is_named(lease, store, entry, words):
    store.entries["L0"] = entry
    lease.tend()
    assert lease.hindrance == words


def test_a_store_that_is_away_is_told_in_its_own_words_until_it_is_back(lease, store):
    store.entries["L0"] = LeaseEntry("other", 7, Phase.LEADING)
    store.away = True
    lease.tend()
    assert (lease.error, lease.hindrance) == ("away", "away")
    store.away = False
    lease.tend()
    assert (lease.error, lease.hindrance) == ("", "held by other")


def test_it_is_told_after_some_seconds_and_again_now_and_then(lease, store, now):
    told: list[str] = []
    hindrances = Hindrances([lease], now, lambda each: each.error, told.append)

    def go_on(seconds: float) -> int:
        for _ in range(round(seconds)):
            now.s += 1.0
            lease.tend()
            hindrances.look()
        return len(told)

    store.away = True
    assert go_on(TOLD_AFTER_S) == 0, "most waits are short"
    assert go_on(2.0) == 1
    assert told == ["L0: away"]
    assert go_on(TOLD_AGAIN_S) == 2
    store.away = False
    assert go_on(2 * TOLD_AGAIN_S) == 2
    store.away = True
    assert go_on(TOLD_AFTER_S) == 2, "it is another wait"
