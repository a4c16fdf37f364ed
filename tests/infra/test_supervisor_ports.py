"""The supervisor takes for ready what its own child answers, and nobody else."""

import socket

import pytest

from infra.ports import any_port
from infra.settings import Settings
from tests.infra.supervised import run


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_what_another_answers_where_the_child_shall_listen_does_not_count(journal, settings):
    with socket.socket() as strangers:
        strangers.bind(("127.0.0.1", 0))
        strangers.listen()
        child = journal.child("a", port=strangers.getsockname()[1], ready_timeout_s=0.8)
        status, said = run([child], settings, lambda: True)
    assert status == 1
    assert "a must be ready within 1 s" in said


def test_a_child_is_ready_that_listens_itself(journal, settings):
    port = any_port("127.0.0.1")
    serves = f"""
            import socket
            server = socket.create_server(("127.0.0.1", {port}))
            note("listens")
            time.sleep(60)
    """
    status, _ = run([journal.child("a", then=serves, port=port)], settings, lambda: True)
    assert (status, journal.lines()) == (0, ["a:start", "a:listens", "a:end"])
