"""A handle on the log without a broker: a mark whose coordinator is away, and its end."""

import weakref
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.collector import no_search
from infra.kafka import KafkaLog, kafka_log
from infra.log import LogFailure, Mark
from infra.settings import Settings


class Coordinator:
    """Gives each of its answers once, then stores the mark."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.happened: list[str] = []

    def commit(self, *, offsets: object, asynchronous: bool) -> None:
        self.happened.append("asked")
        if self.answers:
            raise KafkaException(KafkaError(self.answers.pop(0)))

    def close(self) -> None:
        pass


@pytest.fixture
def log(tmp_path):
    handle = KafkaLog(Settings(data_dir=tmp_path, kafka_bootstrap="127.0.0.1:1"))
    yield handle
    handle.close()


def with_answers(log: KafkaLog, monkeypatch: pytest.MonkeyPatch, *answers: int) -> Coordinator:
    coordinator = Coordinator(*answers)
    log._consumer.close()
    monkeypatch.setattr(log, "_consumer", coordinator)
    monkeypatch.setattr(kafka_log, "sleep", lambda _: coordinator.happened.append("paused"))
    return coordinator


def test_a_coordinator_that_is_not_there_yet_is_asked_again_after_a_pause(log, monkeypatch):
    gone = KafkaError.COORDINATOR_NOT_AVAILABLE
    coordinator = with_answers(log, monkeypatch, gone, gone)
    log.commit("t", 0, Mark(7, "n"))
    assert coordinator.happened == ["asked", "paused", "asked", "paused", "asked"]


def test_what_is_refused_for_good_is_not_asked_again(log, monkeypatch):
    coordinator = with_answers(log, monkeypatch, KafkaError.GROUP_AUTHORIZATION_FAILED)
    with pytest.raises(LogFailure, match=r"t.0 must store a mark"):
        log.commit("t", 0, Mark(7, "n"))
    assert coordinator.happened == ["asked"]


@pytest.mark.parametrize("outside", [True, False])
def test_a_handle_that_was_given_back_goes_where_nothing_searches_for_cycles(tmp_path, outside):
    """The auditor is such a process, and opens one for each rebuild."""
    settings = Settings(data_dir=tmp_path, kafka_bootstrap="127.0.0.1:1")
    with no_search():
        handle = KafkaLog(settings, outside=outside)
        open_threads, alive = library_threads(), weakref.ref(handle)
        handle.close()
        del handle
        assert alive() is None
        assert library_threads() < open_threads


def library_threads() -> int:
    count = 0
    for path in Path("/proc/self/task").glob("*/comm"):
        # A thread may end meanwhile.
        with suppress(OSError):
            count += path.read_text().startswith("rdk")
    return count
