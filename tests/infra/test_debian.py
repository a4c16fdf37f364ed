"""What is said and done where a package is missing: unpacked here, nothing of it is run."""

from pathlib import Path

import pytest

from infra.debian import unpack
from infra.prometheus import PrometheusMissing, prometheus_binary
from tests.infra.conftest import program


def debian(bin_dir: Path, download: str) -> None:
    """An apt-get and a dpkg; `download` is what the former does when it is asked for an archive."""
    program(
        bin_dir / "apt-get", f'echo "$@" >> {bin_dir}/said; [ "$1" = update ] || {{ {download}; }}'
    )
    unpacks = "/bin/mkdir -p $3/usr/bin && echo tool > $3/usr/bin/promtool"
    program(bin_dir / "dpkg", f'[ "$1" = -x ] && {unpacks}')


def test_without_apt_one_sentence_says_what_to_install(bin_dir):
    wanted = r"^promtool must be installed \(on Debian: apt-get install prometheus\)$"
    with pytest.raises(PrometheusMissing, match=wanted):
        prometheus_binary("promtool")


def test_what_is_on_the_machine_is_taken(bin_dir):
    program(bin_dir / "promtool", "exit 0")
    assert prometheus_binary("promtool") == str(bin_dir / "promtool")


def test_a_package_is_fetched_once_and_nothing_is_installed(bin_dir, tmp_path):
    debian(bin_dir, "echo archive > $2.deb")
    tool = prometheus_binary("promtool")
    assert Path(tool).read_text() == "tool\n"
    assert prometheus_binary("promtool") == tool
    assert (bin_dir / "said").read_text() == "download prometheus\n"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["prometheus"]


def test_root_asks_for_the_lists_of_packages_if_there_are_none(bin_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    debian(bin_dir, f"/bin/grep -q update {bin_dir}/said && echo archive > $2.deb")
    assert unpack("promtool", "prometheus", tmp_path / "there") == ""
    said = (bin_dir / "said").read_text().splitlines()
    assert said == ["download prometheus", "update", "download prometheus"]


def test_an_apt_that_fails_is_quoted_and_leaves_nothing(bin_dir, tmp_path):
    debian(bin_dir, "echo no route to host >&2; exit 100")
    why = unpack("promtool", "prometheus", tmp_path / "cache" / "there")
    assert why == "promtool must be installed, apt-get said: no route to host"
    assert list((tmp_path / "cache").iterdir()) == []
