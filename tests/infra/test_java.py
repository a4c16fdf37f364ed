"""What is said and done where Java, Maven or a jar is not as it must be."""

import hashlib

import pytest

from infra import java
from infra.java import JavaMissing, java_command, kafka_jars
from tests.infra.conftest import program


def test_without_java_one_sentence_says_what_to_install(bin_dir):
    with pytest.raises(JavaMissing) as refusal:
        java_command()
    wanted = "a Java runtime of version 17 or newer must be installed"
    assert str(refusal.value).startswith(wanted)
    assert "apt-get install default-jre-headless maven" in str(refusal.value)


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.2"])
def test_an_old_java_is_refused(bin_dir, version):
    program(bin_dir / "java", f"echo 'openjdk version \"{version}\"' >&2")
    with pytest.raises(JavaMissing, match="17 or newer"):
        java_command()


@pytest.mark.parametrize("version", ["17.0.15", "21", "25.0.1"])
def test_a_new_java_is_taken(bin_dir, version):
    program(bin_dir / "java", f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")
    assert java_command() == str(bin_dir / "java")


def test_root_on_debian_installs_what_is_missing(bin_dir, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    made = f"printf '#!/bin/sh\\necho version \\\\\"17.0.1\\\\\" >&2\\n' > {bin_dir}/java"
    program(
        bin_dir / "apt-get", f'[ "$1" = update ] || {{ {made}; /bin/chmod 755 {bin_dir}/java; }}'
    )
    assert java_command() == str(bin_dir / "java")


def test_without_maven_one_sentence_says_what_to_install(bin_dir, tmp_path):
    with pytest.raises(JavaMissing, match="Maven must be installed"):
        kafka_jars(tmp_path / "cache")


def test_a_maven_that_fails_is_quoted(bin_dir, tmp_path):
    program(bin_dir / "mvn", "echo '[ERROR] no such artifact'; exit 1")
    with pytest.raises(JavaMissing, match="no such artifact"):
        kafka_jars(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_jars_with_other_digests_are_refused_and_right_ones_kept(bin_dir, tmp_path, monkeypatch):
    find = "for word; do case $word in -DoutputDirectory=*) to=${word#*=};; esac; done"
    program(bin_dir / "mvn", f'{find}; printf jar > "$to/a.jar"')
    monkeypatch.setattr(java, "_wanted_digests", lambda: {"a.jar": "00"})
    with pytest.raises(JavaMissing, match=r"differed in \['a.jar', 'a.jar'\]"):
        kafka_jars(tmp_path / "cache")
    right = hashlib.sha256(b"jar").hexdigest()
    monkeypatch.setattr(java, "_wanted_digests", lambda: {"a.jar": right})
    folder = kafka_jars(tmp_path / "cache")
    (bin_dir / "mvn").unlink()
    assert kafka_jars(tmp_path / "cache") == folder
    assert [jar.name for jar in folder.iterdir()] == ["a.jar"]
