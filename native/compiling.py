"""Compiles the hot modules: `python -m native.compiling`, cached by what they are made of."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from native.constructors import Known, learn_fields, spelled_out
from native.modules import HOT
from native.selection import BUILDS, PURE, ROOT, SHARED, is_pure_wanted, source_of, sources_key

PACKAGES = ("native", "domain", "schemas", "infra", "streams")
GROUP = SHARED.removesuffix("__mypyc")
FLAGS = ("-O2", "-g0", "-fwrapv")
KEPT_BUILDS = 4
MADE_WITH = "made-with.txt"


def main() -> int:
    """Make sure that the compiled build of the present sources is there, where it can be.

    The exit status: 1 if mypyc or the compiler refused the sources, after what it said, else 0.
    """
    if is_pure_wanted():
        return 0
    compiler = compiler_version()
    if not compiler:
        print("no C compiler was found, so everything runs uncompiled (slower, not otherwise)")
        return 0
    made_with = f"{compiler}\nmypyc {version('mypy')}\n{' '.join(FLAGS)}\n"
    build = BUILDS / sources_key()
    if _is_there(build, made_with):
        return 0
    print(f"compiling {len(HOT)} modules (a minute or two, until one of them changes)", flush=True)
    try:
        _build(build, made_with)
    except subprocess.CalledProcessError:
        print(f"compiling failed, see above; {PURE}=1 does without", file=sys.stderr)
        return 1
    _forget_old_builds()
    return 0


def compiler_version() -> str:
    """What the C compiler calls itself; empty if there is none, or none of Python's headers."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    command = os.environ.get("CC", "cc")
    if shutil.which(command) is None or not header.is_file():
        return ""
    told = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    return told.stdout.partition("\n")[0]


def compile_in(draft: Path) -> Path:
    """Compile a copy of the hot modules below `draft`; the folder with what came of it."""
    sources, made = draft / "sources", draft / "made"
    copy_sources(sources)
    script = "from native.compiling import translate; translate()"
    # A build in isolation finds mypyc by the path it was given.
    given = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([str(ROOT), given] if given else [str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, PURE: "1"}
    # In a process of its own: mypyc wants the copy as its working directory.
    subprocess.run([sys.executable, "-P", "-c", script], cwd=sources, env=environment, check=True)
    shutil.copytree(sources / "made", made)
    return made


def copy_sources(target: Path) -> None:
    """Write the packages below `target`, the hot modules with their constructors spelled out."""
    known: Known = {}
    hot_paths = [source_of(name) for name in HOT]
    for name in HOT:
        learn_fields(source_of(name).read_text(encoding="utf-8"), known)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if path in hot_paths:
                source = spelled_out(source, known)
            copy = target / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(source, encoding="utf-8")


def translate() -> None:
    """Translate the sources in the working directory to C and compile that, into `made/`."""
    extensions = extensions_here()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_link, extensions))


def extensions_here() -> list[Any]:
    """The extension modules of the sources in the working directory, as setuptools knows them."""
    from mypyc.build import mypycify

    paths = [source_of(name).relative_to(ROOT).as_posix() for name in HOT]
    options = ["--config-file", str(ROOT / "pyproject.toml")]
    extensions: list[Any] = mypycify(
        [*options, *paths],
        only_compile_paths=paths,
        group_name=GROUP,
        target_dir="c",
    )
    for extension in extensions:
        extension.extra_compile_args = [*extension.extra_compile_args, *FLAGS]
    return extensions


def _build(build: Path, made_with: str) -> None:
    BUILDS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="draft-", dir=BUILDS) as draft:
        made = compile_in(Path(draft))
        (made / MADE_WITH).write_text(made_with, encoding="utf-8")
        # Whoever compiled the same meanwhile may be running it already.
        if not _is_there(build, made_with):
            shutil.rmtree(build, ignore_errors=True)
            made.rename(build)


def _is_there(build: Path, made_with: str) -> bool:
    stamp = build / MADE_WITH
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == made_with


def _link(extension: Any) -> Path:
    """Compile and link one extension module below `made/`."""
    from setuptools._distutils.ccompiler import new_compiler
    from setuptools._distutils.sysconfig import customize_compiler

    compiler: Any = new_compiler()
    customize_compiler(compiler)
    objects = compiler.compile(
        extension.sources,
        output_dir="objects",
        include_dirs=[*extension.include_dirs, sysconfig.get_path("include")],
        extra_preargs=extension.extra_compile_args,
    )
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    target = Path("made", f"{extension.name.replace('.', '/')}{suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    compiler.link_shared_object(objects, str(target))
    return target


def _forget_old_builds() -> None:
    """Remove all but the newest builds."""
    builds = [path for path in BUILDS.iterdir() if (path / MADE_WITH).is_file()]
    newest_first = sorted(builds, key=lambda path: path.stat().st_mtime, reverse=True)
    for build in newest_first[KEPT_BUILDS:]:
        shutil.rmtree(build, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
