"""Recoveries of a data directory: while one is under way, the exchange stays closed."""

import json
from pathlib import Path

from infra.refusal import Refusal

AGREED, PROVED = "agreed", "proved"
"""The first step of a recovery that changes anything, and its last."""

JOURNAL = "journal.json"


def recoveries_dir(data_dir: Path) -> Path:
    """Where each recovery has its folder, by number."""
    return data_dir / "recovery"


def expect_no_recovery(data_dir: Path) -> None:
    """Raises `Refusal` while a recovery is not finished: its log is not whole, nor cancel-only."""
    for file in recoveries_dir(data_dir).glob(f"*/{JOURNAL}"):
        done = steps_done(file)
        if AGREED in done and PROVED not in done:
            raise Refusal(
                f"{file.parent} must be finished before the exchange starts: logbourse recover"
            )


def steps_done(file: Path) -> list[str]:
    """The steps that a journal lists; none if there is no journal yet. Raises `Refusal`."""
    if not file.exists():
        return []
    try:
        done = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Refusal(f"{file} must list the steps of a recovery, did not: {error}") from error
    if not isinstance(done, list) or not all(isinstance(step, str) for step in done):
        raise Refusal(f"{file} must list the steps of a recovery, did not: {str(done)[:80]}")
    return done
