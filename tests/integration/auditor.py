"""What the auditor of a running stack says, and the forging that it is to notice."""

import json
import urllib.request
from collections import Counter
from typing import Any

from schemas.record import decode_record
from tests.integration.running_stack import RunningStack, prefixed
from tests.streams.records import forged

FOUND_WITHIN_S = 90.0
NEWEST = 200


def metrics(stack: RunningStack) -> Counter[str]:
    """What it tells Prometheus, by name without its prefix; labels are part of it."""
    return prefixed(stack.metrics("auditor"), "logbourse_auditor_")


def until_metric(stack: RunningStack, name: str, least: int) -> None:
    """Wait until a number is that high, or higher."""

    def reached() -> bool:
        try:
            return metrics(stack)[name] >= least
        except (OSError, ValueError):
            return False

    stack.until(reached, FOUND_WITHIN_S, f"{name} must be {least}")


def said(stack: RunningStack, event: str) -> list[dict[str, Any]]:
    """All lines of its log about that event, such as "violation" or "halting"."""
    return stack.said_in_log("auditor", event)


def violations(stack: RunningStack) -> list[str]:
    """What it has found so far, a sentence each that begins with the invariant and the place."""
    return [each["words"] for each in said(stack, "violation")]


def halted(stack: RunningStack) -> dict[str, str]:
    """Why which asset may not leave, as everybody is told."""
    with urllib.request.urlopen(f"{stack.url}/x/v1/assets", timeout=5.0) as answer:
        return {each["asset"]: each["reason"] for each in json.load(answer) if each["reason"]}


def resume(stack: RunningStack) -> None:
    """Let all assets leave again, and wait until everybody is told."""
    for asset in halted(stack):
        stack.admin("resume-withdrawals", asset=asset, reason="a test forged it")
    stack.until(lambda: not halted(stack), FOUND_WITHIN_S, "everybody must be told")


def changed_copy(stack: RunningStack, topic: str, src: str, copy_of: int) -> bytes:
    """An earlier record of a channel in partition 0 with another content; 1 is the last one.

    Its number is past, so that its receivers drop it: an auditor alone notices.
    """
    found = stack.records(topic, 0)
    last = [raw.value for raw in found if decode_record(raw.value).src == src][-copy_of]
    return forged(last, time_us=decode_record(last).time_us + 1)


def append(stack: RunningStack, topic: str, value: bytes) -> str:
    """Put a record into partition 0, as nobody who belongs here does; the position it gets."""
    log = stack.log()
    try:
        log.produce(topic, 0, value)
        assert log.flush(5.0)
        end = log.ends(topic, 0)[1]
        newest = log.scan(topic, 0, max(0, end - NEWEST), end)
        return f"{topic}.0@{next(raw.offset for raw in newest if raw.value == value)}"
    finally:
        log.close()
