"""A Java runtime and the jars of Kafka: found, or installed where that is possible."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from infra.debian import install
from infra.refusal import Refusal

MINIMUM_JAVA = 17
DEBIAN_PACKAGES = ("default-jre-headless", "maven")

_KAFKA = Path(__file__).parent / "kafka"


class JavaMissing(Refusal):
    """Kafka cannot be run here; the text is one sentence that says what to install."""


def java_command() -> str:
    """The path of a Java that is new enough, installed first if this is root on Debian.

    Raises `JavaMissing`.
    """
    if _java_version() < MINIMUM_JAVA:
        _install_packages(f"a Java runtime of version {MINIMUM_JAVA} or newer")
    found = _java_version()
    java = shutil.which("java")
    if java is None or found < MINIMUM_JAVA:
        raise JavaMissing(f"java must have version {MINIMUM_JAVA} or newer, was {found or 'none'}")
    return java


def kafka_jars(cache_dir: Path | None = None) -> Path:
    """The folder with Kafka's jars, resolved by Maven once per machine and then kept.

    Every jar is compared with the digest in infra/kafka/jars.sha256. Raises `JavaMissing`.
    """
    wanted = _wanted_digests()
    version = hashlib.sha256(repr(sorted(wanted.items())).encode()).hexdigest()[:12]
    folder = (cache_dir or default_cache_dir()) / f"kafka-libs-{version}"
    if not folder.exists():
        _fill(folder, wanted)
    return folder


def default_cache_dir() -> Path:
    """What is kept between stacks: LOGBOURSE_CACHE_DIR, else the user's cache directory."""
    chosen = os.environ.get("LOGBOURSE_CACHE_DIR")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen) if chosen else Path(cache) / "logbourse"


def _java_version() -> int:
    java = shutil.which("java")
    if java is None:
        return 0
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match[1]) if match else 0


def _fill(folder: Path, wanted: dict[str, str]) -> None:
    if shutil.which("mvn") is None:
        _install_packages("Maven")
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _resolve(draft)
        _compare(draft, wanted)
        if not folder.exists():
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _resolve(folder: Path) -> None:
    command = ["mvn", "--batch-mode", "--quiet", "--strict-checksums"]
    command += ["--file", str(_KAFKA / "pom.xml"), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        lines = [line for line in answer.stdout.splitlines() if "ERROR" in line]
        said = lines[0] if lines else answer.stderr.strip()[:300] or "nothing"
        raise JavaMissing(f"Maven must resolve infra/kafka/pom.xml, said: {said}")


def _compare(folder: Path, wanted: dict[str, str]) -> None:
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.glob("*.jar")}
    if found != wanted:
        odd = sorted(name for name, _ in wanted.items() ^ found.items())
        raise JavaMissing(f"the jars must be those of infra/kafka/jars.sha256, differed in {odd}")


def _wanted_digests() -> dict[str, str]:
    lines = (_KAFKA / "jars.sha256").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _install_packages(what: str) -> None:
    why_not = install(what, DEBIAN_PACKAGES)
    if why_not:
        raise JavaMissing(why_not)
