"""Ports of stacks that start together: each has its own, and takes nobody else's for its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra import ports
from infra.ports import any_port, claimed_port, listens

ROOT = Path(__file__).parents[2]
ANOTHER = """
import sys
from infra.ports import claimed_port
print(claimed_port("127.0.0.1", int(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class Another:
    """A process that claims a port from `wanted` up, as another stack does, until it ends."""

    def __init__(self, wanted: int) -> None:
        argv = [sys.executable, "-c", ANOTHER, str(wanted)]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        assert self._child.stdout is not None
        self.port = int(self._child.stdout.readline())

    def end(self) -> None:
        self._child.communicate("")


def test_two_that_start_together_choose_other_ports_though_nobody_listens_yet():
    wanted = any_port("127.0.0.1")
    first = Another(wanted)
    second = Another(wanted)
    third = claimed_port("127.0.0.1", wanted)
    assert wanted <= first.port < second.port < third
    first.end()
    assert claimed_port("127.0.0.1", wanted) == first.port, "a claim ends with its process"
    assert claimed_port("127.0.0.1", wanted) == first.port, "who has it chooses it again"
    second.end()


@pytest.mark.parametrize("there", ["a link", "a folder"])
def test_without_a_file_for_claims_ports_are_chosen_all_the_same(monkeypatch, tmp_path, there):
    file = tmp_path / "claims"
    file.mkdir() if there == "a folder" else file.symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(ports, "CLAIMS", file)
    ports._claims.cache_clear()
    try:
        assert claimed_port("127.0.0.1", wanted := any_port("127.0.0.1")) >= wanted
    finally:
        ports._claims.cache_clear()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
def test_who_listens_is_told_apart(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        try:
            server.bind((host, 0))
        except OSError:
            pytest.skip(f"{host} is not on this machine")
        port = server.getsockname()[1]
        assert not listens(os.getpid(), port), "bound is not yet listening"
        server.listen()
        assert listens(os.getpid(), port)
        assert not listens(os.getppid(), port)
    assert not listens(os.getpid(), port)
