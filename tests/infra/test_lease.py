"""Leases: who holds one, when it is gone, and what a store that is away or forgets does."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pytest

from infra.kafka.kafka_log import PATIENCE_S
from infra.lease import Gathering, Lease, LeaseEntry, Phase, Standing, standby_name
from infra.lease_keeper import HANG_S, STALL_S, LeaseKeeper
from infra.lease_stores import (
    KEPT,
    FileLeaseStore,
    RedisLeaseStore,
    is_gone,
    open_lease_store,
    this_holder,
)
from infra.settings import SettingsError, load_settings
from tests.infra.dict_lease_store import Now

TTL_S = 1.5


@pytest.fixture
def pair(store, now) -> tuple[Lease, Lease]:
    first, second = Lease("L0", "one", store, now), Lease("L0", "two", store, now)
    first.tend()
    second.tend()
    return first, second


def standings(pair: tuple[Lease, Lease]) -> list[Standing]:
    return [lease.standing for lease in pair]


def go_on(now: Now, leases, seconds: float, step_s: float = 0.1) -> None:
    for _ in range(round(seconds / step_s)):
        now.s += step_s
        for lease in leases:
            lease.tend()


def test_one_of_two_holds_it_as_long_as_it_renews(pair, now):
    go_on(now, pair, 10.0)
    assert standings(pair) == [Standing.HELD, Standing.WAITING]


def test_whoever_stops_renewing_is_replaced_when_the_time_is_up(pair, now):
    go_on(now, pair[1:], TTL_S - 0.2)
    assert standings(pair) == [Standing.HELD, Standing.WAITING]
    go_on(now, pair[1:], 0.4)
    assert pair[1].standing is Standing.HELD
    pair[0].tend()
    assert pair[0].standing is Standing.LOST


def test_a_challenger_counts_only_the_time_that_it_has_watched_itself(store, now):
    store.entries["L0"] = LeaseEntry("old", 7, Phase.LEADING)
    now.s += 1_000.0
    late = Lease("L0", "late", store, now)
    late.tend()
    before = late.standing
    go_on(now, [late], TTL_S + 0.1)
    assert [before, late.standing] == [Standing.WAITING, Standing.HELD]


def test_a_holder_known_to_be_gone_is_replaced_at_once(store, now):
    store.entries["L0"] = LeaseEntry("old", 7, Phase.LEADING)
    lease = Lease("L0", "new", store, now, is_gone=lambda holder: holder == "old")
    lease.tend()
    assert lease.standing is Standing.HELD


def test_what_is_released_is_taken_at_once(pair, now):
    pair[0].release()
    pair[1].tend()
    assert standings(pair) == [Standing.RELEASED, Standing.HELD]


def test_a_store_that_is_away_changes_nothing(pair, store, now):
    store.away = True
    go_on(now, pair, 10.0)
    assert standings(pair) == [Standing.HELD, Standing.WAITING]
    store.away = False
    pair[0].tend()
    pair[1].tend()
    assert standings(pair) == [Standing.HELD, Standing.WAITING]


def test_a_store_that_forgets_makes_nobody_lose(pair, store, now):
    store.entries.clear()
    now.s += 0.5
    pair[0].tend()
    pair[1].tend()
    assert standings(pair) == [Standing.HELD, Standing.WAITING]


def test_the_phase_is_told_with_the_next_renewal(pair, store):
    pair[0].tell(Phase.LEADING)
    pair[0].tend()
    assert store.entries["L0"].phase is Phase.LEADING


def test_a_wish_reaches_the_leader_and_reserves_the_lease(pair, store, now):
    entry = store.entries["L0"]
    store.entries["L0"] = replace(entry, counter=entry.counter + 1, successor="two")
    go_on(now, pair, 0.4)
    assert pair[0].standing is Standing.ASKED
    pair[0].release()
    third = Lease("L0", "three", store, now)
    third.tend()
    assert standings((pair[1], third)) == [Standing.WAITING, Standing.WAITING]
    pair[1].tend()
    assert standings(pair) == [Standing.RELEASED, Standing.HELD]


def test_who_could_not_lead_takes_nothing_and_has_watched_nothing(pair, now):
    pair[1].able = False
    pair[1].stands_by = True
    go_on(now, pair[1:], 10.0)
    assert pair[1].standing is Standing.WAITING
    pair[1].able = True
    go_on(now, pair[1:], TTL_S - 0.2)
    pair[0].tend()
    assert standings(pair) == [Standing.HELD, Standing.WAITING], "nobody took it: it goes on"
    go_on(now, pair[1:], TTL_S + 0.2)
    assert standings(pair) == [Standing.HELD, Standing.HELD], "the first has not asked yet"


def test_who_could_not_lead_does_not_say_that_it_stands_by(pair, store, now):
    pair[1].able, pair[1].stands_by = False, True
    go_on(now, pair, 1.0)
    assert standby_name("L0") not in store.entries


def test_who_stands_by_says_so(pair, store, now):
    assert standby_name("L0") not in store.entries
    pair[1].stands_by = True
    go_on(now, pair, 1.0)
    assert store.entries[standby_name("L0")].holder == "two"
    assert store.entries[standby_name("L0")].counter > 1


def test_what_is_put_back_is_free_and_waited_for_anew(pair, now):
    pair[0].put_back()
    pair[1].tend()
    assert standings(pair) == [Standing.WAITING, Standing.HELD]
    go_on(now, pair[:1], TTL_S + 0.3)
    assert pair[0].standing is Standing.HELD


class TestGathering:
    """Processes that need all of L0 and M0 before they run."""

    @pytest.fixture
    def sides(self, store, now) -> list[list[Lease]]:
        return [[Lease(name, side, store, now) for name in ("L0", "M0")] for side in ("a", "b")]

    def go_on(self, now, sides, seconds: float, pauses: tuple[float, ...]) -> list[bool]:
        gatherings = [
            Gathering(leases, now, partial(float, pause_s))
            for leases, pause_s in zip(sides, pauses, strict=False)
        ]
        for _ in range(round(seconds / 0.05)):
            now.s += 0.05
            for leases in sides:
                for lease in leases:
                    lease.tend()
            complete = [gathering.is_complete() for gathering in gatherings]
        return complete

    def test_two_that_hold_one_each_do_not_wait_for_each_other(self, sides, now):
        sides[0][0].tend()
        sides[1][1].tend()
        assert self.go_on(now, sides, 1.0, (0.5, 1.0)) == [False, False]
        assert sorted(self.go_on(now, sides, 5.0, (0.5, 1.0))) == [False, True]

    def test_a_shadow_takes_what_one_alone_cannot_use(self, sides, now):
        sides[0][0].tend()
        sides[1][1].tend()
        assert self.go_on(now, sides, 5.0, (0.5,)) == [False]
        assert standings(tuple(sides[1])) == [Standing.HELD, Standing.HELD]

    def test_what_was_lost_meanwhile_is_waited_for_anew(self, sides, store, now):
        sides[0][0].tend()
        store.entries["L0"] = LeaseEntry("other", 7, Phase.LEADING)
        assert self.go_on(now, sides[:1], 10.0, (0.5,)) == [True]


class TestStores:
    @pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.integration)])
    def store(self, request, tmp_path):
        if request.param == "file":
            return FileLeaseStore(tmp_path / "leases")
        settings = request.getfixturevalue("redis_server")
        return RedisLeaseStore(settings.redis_url)

    def test_only_what_is_expected_is_swapped(self, store):
        name = "L7"
        first = LeaseEntry("one", 1, Phase.TAKING)
        assert store.read(name) is None
        assert store.swap(name, None, first)
        assert not store.swap(name, None, LeaseEntry("two", 1))
        assert store.read(name) == first
        second = LeaseEntry("two", 2, Phase.LEADING, "three")
        assert not store.swap(name, replace(first, holder="other"), second)
        assert store.swap(name, first, second)
        assert store.read(name) == second

    def test_many_swaps_leave_the_last(self, store):
        entry = None
        for counter in range(1, 3 * KEPT):
            new = LeaseEntry("one", counter)
            assert store.swap("L8", entry, new)
            entry = new
        assert store.read("L8") == entry

    def test_whoever_was_frozen_in_the_middle_of_a_swap_has_not_swapped(
        self, tmp_path, monkeypatch
    ):
        store = FileLeaseStore(tmp_path)
        link = os.link

        def freeze(draft, target) -> None:
            monkeypatch.setattr(os, "link", link)
            entry = None
            for counter in range(1, 3 * KEPT):
                new = LeaseEntry("other", counter)
                assert store.swap("L0", entry, new)
                entry = new
            (tmp_path / "L0.lease" / ".draft").write_bytes(b'["one", 1, "taking", ""]')
            link(tmp_path / "L0.lease" / ".draft", target)

        monkeypatch.setattr(os, "link", freeze)
        assert not store.swap("L0", None, LeaseEntry("one", 1, Phase.TAKING))
        found = store.read("L0")
        assert found is not None and found.holder == "other"

    def test_drafts_of_two_hosts_with_one_process_id_do_not_mix(self, tmp_path, monkeypatch):
        """As in two containers that share the directory, each of them process 1."""
        store = FileLeaseStore(tmp_path)
        link = os.link

        def come_between(draft, target) -> None:
            monkeypatch.setattr(os, "link", link)
            assert store.swap("L0", None, LeaseEntry("there/1/9", 1, Phase.TAKING))
            link(draft, target)

        monkeypatch.setattr(os, "link", come_between)
        assert not store.swap("L0", None, LeaseEntry("here/1/9", 1, Phase.TAKING))
        found = store.read("L0")
        assert found is not None and found.holder == "there/1/9"
        assert [path.name for path in (tmp_path / "L0.lease").iterdir()] == ["1"]

    def test_an_entry_that_a_loss_of_power_has_emptied_is_of_nobody_known(self, tmp_path, now):
        store = FileLeaseStore(tmp_path)
        assert store.swap("L0", None, LeaseEntry("one", 7, Phase.LEADING))
        os.truncate(tmp_path / "L0.lease" / "7", 0)
        go_on(now, [lease := Lease("L0", "two", store, now)], TTL_S + 0.3)
        assert lease.is_held

    def test_a_redis_that_is_gone_is_an_os_error(self):
        store = RedisLeaseStore("redis://127.0.0.1:1/0")
        for ask in (store.read, lambda name: store.swap(name, None, LeaseEntry())):
            with pytest.raises(OSError, match=r"Redis must (tell|swap) a lease"):
                ask("L0")

    def test_the_setting_chooses(self, tmp_path):
        def chosen(name: str):
            environment = {"LOGBOURSE_DATA_DIR": str(tmp_path), "LOGBOURSE_LEASE_STORE": name}
            return open_lease_store(load_settings(environment))

        assert isinstance(chosen("file"), FileLeaseStore)
        assert isinstance(chosen("redis"), RedisLeaseStore)
        with pytest.raises(SettingsError, match="LEASE_STORE"):
            chosen("paper")


class TestHolders:
    def test_this_process_is_not_gone(self):
        assert not is_gone(this_holder())

    def test_a_process_that_ended_is_gone(self):
        words = "from infra.lease_stores import this_holder; print(this_holder())"
        argv = [sys.executable, "-c", words]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert is_gone(done.stdout.strip())

    def test_of_other_machines_and_of_no_process_nothing_is_known(self):
        assert not is_gone(f"elsewhere/1/{os.getpid()}/1")
        assert not is_gone("")
        assert not is_gone("h7")


def test_a_keeper_tends_in_its_own_thread_and_gives_back(store):
    lease = Lease("L0", "one", store, time.monotonic)
    keeper = LeaseKeeper([lease])
    keeper.start()
    keeper.refresh(10.0)
    assert lease.standing is Standing.HELD
    lease.tell(Phase.LEADING)
    keeper.refresh(10.0)
    phases = [store.entries["L0"].phase]
    keeper.close()
    phases.append(store.entries["L0"].phase)
    assert phases == [Phase.LEADING, Phase.FREE]


def test_a_keeper_that_is_asked_looks_even_if_the_main_thread_hung(store, monkeypatch):
    monkeypatch.setattr("infra.lease_keeper.HANG_S", 0.0)
    lease = Lease("L0", "one", store, time.monotonic, renew_s=0.0)
    keeper = LeaseKeeper([lease])
    keeper.start()
    keeper.refresh(10.0)
    keeper.beat()
    store.entries["L0"] = LeaseEntry("other", store.entries["L0"].counter + 1, Phase.LEADING)
    keeper.refresh(10.0)
    standing = lease.standing
    keeper.close()
    assert standing is Standing.LOST


class TestHangs:
    @pytest.fixture
    def keeper(self, store, monkeypatch) -> LeaseKeeper:
        monkeypatch.setattr("infra.lease_keeper.STALL_S", 0.0)
        self.lease = Lease("L0", "one", store, time.monotonic, renew_s=0.0)
        return LeaseKeeper([self.lease])

    def test_a_contender_that_stands_still_takes_nothing(self, keeper):
        keeper.beat()
        keeper.look(asked=False)
        assert not self.lease.able
        assert self.lease.standing is Standing.WAITING

    def test_a_holder_that_stands_still_keeps_it_for_a_while(self, keeper, store, monkeypatch):
        keeper.look(asked=False)
        keeper.beat()
        taken = store.entries["L0"].counter
        keeper.look(asked=False)
        assert store.entries["L0"].counter == taken + 1
        monkeypatch.setattr("infra.lease_keeper.HANG_S", 0.0)
        keeper.look(asked=False)
        assert store.entries["L0"].counter == taken + 1
        keeper.look(asked=True)
        assert store.entries["L0"].counter == taken + 2, "nobody took it meanwhile"
        assert self.lease.standing is Standing.HELD

    def test_it_is_let_go_long_before_a_call_to_the_brokers_gives_up(self):
        assert STALL_S + TTL_S < HANG_S < PATIENCE_S / 4
