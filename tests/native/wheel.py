"""Builds the wheel and runs what is in it: `make wheel`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

from native.selection import PURE, ROOT

CODE = """
import domain.orders.decider, schemas.record, native.selection as selection
assert str(selection.ROOT) == {place!r}, selection.ROOT
print(selection.build_in_use())
"""


def main() -> int:
    """Build into `dist/`, unpack elsewhere, and say which builds ran there."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--no-build-isolation"]
        subprocess.run([*command, "--wheel-dir", folder, str(ROOT)], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        place = Path(folder, "installed").resolve()
        with ZipFile(wheel) as archive:
            archive.extractall(place)
        builds = [_build_in(place, pure) for pure in ("", "1")]
        kept = ROOT / "dist" / wheel.name
        kept.parent.mkdir(exist_ok=True)
        wheel.replace(kept)
    print(f"dist/{kept.name}: runs {builds[0]}, and {builds[1]} with {PURE}=1")
    return 0


def _build_in(place: Path, pure: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(place), PURE: pure}
    command = [sys.executable, "-P", "-c", CODE.format(place=str(place))]
    ended = subprocess.run(command, cwd=place, env=environment, check=True, stdout=subprocess.PIPE)
    return ended.stdout.decode().strip()


if __name__ == "__main__":
    sys.exit(main())
