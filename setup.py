"""What pyproject.toml cannot say: a wheel has the hot modules compiled where a C compiler is."""

import shutil
import sys
import tempfile
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

# setuptools runs this file without its folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from native.compiling import compile_in, compiler_version
from native.selection import is_pure_wanted

COMPILED = "bdist_wheel" in sys.argv and bool(compiler_version()) and not is_pure_wanted()


class BuildPython(build_py):
    """Puts the compiled modules beside their sources, where an installed Python prefers them."""

    def run(self) -> None:
        # What an earlier build left there would go into this wheel.
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if COMPILED:
            with tempfile.TemporaryDirectory() as draft:
                shutil.copytree(compile_in(Path(draft)), self.build_lib, dirs_exist_ok=True)


class MaybeCompiled(Distribution):
    """Of one platform and Python if anything is compiled, of all otherwise."""

    def has_ext_modules(self) -> bool:
        return COMPILED


setup(cmdclass={"build_py": BuildPython}, distclass=MaybeCompiled)
