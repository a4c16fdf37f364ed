"""The demo market's keys, however their file was left: the stack starts, and says what it can."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.demo import seed
from infra.demo.banner import banner
from infra.demo.key_file import read_keys
from infra.refusal import Refusal
from infra.settings import Settings
from infra.stack import LIMITS
from infra.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
LEFT = ["", "{", "[]", "\udcff", '{"trader": 5}', '{"trader": {"userId": 7}}',
        '{"trader": {"userId": 7, "apiKey": "k"}}']  # fmt: skip


class Admin:
    """Registers users and makes keys as the admin port does."""

    def __init__(self) -> None:
        self.logins: list[str] = []

    async def __call__(self, operation: str, body: dict[str, object]) -> dict[str, object]:
        if operation == "register-user":
            if body["login"] in self.logins:
                raise Refusal("register-user of the demo market: Refused: LOGIN_TAKEN.")
            self.logins.append(str(body["login"]))
            return {"userId": len(self.logins)}
        return {"apiKey": f"key of {body['userId']}", "secretKey": "s"}


@pytest.mark.parametrize("left", LEFT)
def test_keys_that_are_not_complete_are_as_none(tmp_path, left):
    file = tmp_path / "demo-keys.json"
    file.write_text(left, errors="surrogateescape")
    assert "demo account" not in banner(Settings(), file, LIMITS)


@pytest.mark.parametrize("left", LEFT)
async def test_a_market_is_seeded_on_whatever_is_left_of_its_keys(tmp_path, left):
    file, admin = tmp_path / "demo-keys.json", Admin()
    await seed._open_accounts(admin, {}, lambda: None)
    file.write_text(left, errors="surrogateescape")
    keys = read_keys(file)
    await seed._open_accounts(admin, keys, lambda: seed._save(file, keys))
    assert "demo account: API key key of" in banner(Settings(), file, LIMITS)
    assert set(json.loads(file.read_text())) == set(seed.USERS)
    assert len(set(admin.logins)) == len(admin.logins)


@pytest.mark.parametrize("out", ["full", "closed pipe", "none"])
def test_what_cannot_be_printed_ends_nothing(out):
    reader, writer = os.pipe()
    os.close(reader)
    target = os.open("/dev/full", os.O_WRONLY) if out == "full" else writer
    code = "import sys; from infra.logging import tell; tell('serving'); sys.exit(5)"
    argv = [sys.executable, "-c", code]
    if out == "none":
        argv = ["sh", "-c", 'exec "$0" "$@" >&-', *argv]
    assert subprocess.run(argv, stdout=target, cwd=ROOT, check=False).returncode == 5


def test_a_status_that_the_terminal_has_no_letters_for_ends_nothing(tmp_path):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    supervisor = Supervisor([], Settings(data_dir=tmp_path), on_ready=None, out=out)
    supervisor._line.say("börse")
    supervisor._line.say("stopped")
    assert out.buffer.getvalue() == b"stopped\n"
