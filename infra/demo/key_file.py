"""The file with the keys of the demo market's users."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

Account = dict[str, Any]
"""`userId` once the user is registered, `apiKey` and `secret` once all is done."""


def read_keys(path: Path) -> dict[str, Account]:
    """What the file tells of each user; nothing of what it tells otherwise than it is written."""
    found: object = None
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text())
    accounts = found if isinstance(found, dict) else {}
    return {name: account for name, account in accounts.items() if isinstance(account, dict)}


def is_complete(account: Mapping[str, Any]) -> bool:
    """Whether it can sign requests."""
    return bool(account.get("apiKey") and account.get("secret"))
