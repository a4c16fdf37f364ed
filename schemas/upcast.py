"""Reads what older schemas wrote: fastavro with the archived schema, then one step per change."""

from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

import fastavro

from domain.decider import Message
from schemas import catalogue
from schemas.primitives import UndecodableRecord

Fields = dict[str, Any]
Step = Callable[[str, Fields], tuple[str, Fields]]
"""From a message's full name and fields in one schema to those in the next."""

PLACE_ORDER = "logbourse.orders.PlaceOrder"


def counts_and_fees_added(name: str, old: Fields) -> tuple[str, Fields]:
    """Orders were not counted before, and every trade was free."""
    if name == "logbourse.orders.OrderAccepted":
        return name, old | {"order_count_10s": 0, "order_count_1d": 0}
    if name == "logbourse.protocol.Genesis":
        return name, old | {"fee_tiers": [{"tier": 0, "maker_ppm": 0, "taker_ppm": 0}]}
    return name, old


def messages_added(name: str, old: Fields) -> tuple[str, Fields]:
    """Withdrawals could not be halted before; what there was is as it was."""
    return name, old


def market_revision_added(name: str, old: Fields) -> tuple[str, Fields]:
    """Orders did not say in which rules their ticks and lots were counted."""
    return name, old | {"market_revision": 0} if name == PLACE_ORDER else old


STEPS: list[tuple[str, Step]] = [
    ("2f3b64b1d9b67469", counts_and_fees_added),
    ("62b16e693c0db562", messages_added),
    ("3ef0f1b516523126", market_revision_added),
]
"""Fingerprint of each former schema, oldest first, and the step to its successor."""

CHANGED: dict[Step, frozenset[str]] = {
    messages_added: frozenset(),
    market_revision_added: frozenset({PLACE_ORDER}),
}
"""Which messages have other bytes after a step; after one that is not named here any may have."""


def older_messages(value: bytes) -> list[Message]:
    """The messages of a record that an archived schema wrote, in the present classes.

    Raises `UndecodableRecord` if the schema is not archived or did not write these very bytes.
    """
    fingerprint = value[2:10].hex()
    known = [former for former, _ in STEPS]
    if not value.startswith(catalogue.SINGLE_OBJECT) or fingerprint not in known:
        raise UndecodableRecord(f"a record in a known schema was wanted, began {value[:10].hex()}")
    messages = []
    for name, found in _read(value, fingerprint):
        for _, step in STEPS[known.index(fingerprint) :]:
            name, found = step(name, found)
        messages.append(_message(name, found))
    return messages


def changed_since(fingerprint: str) -> frozenset[str] | None:
    """Which messages have other bytes than under this former schema; None where any may have."""
    changed: frozenset[str] = frozenset()
    for former, step in reversed(STEPS):
        if step not in CHANGED:
            return None
        changed |= CHANGED[step]
        if former == fingerprint:
            return changed
    return None


def has_same_bytes(value: bytes) -> bool:
    """Whether a former schema wrote the record, and all behind the header is as it is today."""
    fingerprint = value[2:10].hex()
    changed = changed_since(fingerprint)
    if changed is None or not value.startswith(catalogue.SINGLE_OBJECT):
        return False
    try:
        return not any(name in changed for name, _ in _read(value, fingerprint))
    except UndecodableRecord:
        return False


def _read(value: bytes, fingerprint: str) -> list[tuple[str, Fields]]:
    schema = _archived(fingerprint)
    try:
        record: Any = fastavro.schemaless_reader(
            BytesIO(value[10:]), schema, None, return_record_name=True
        )
    except MemoryError:
        # It says something of this machine, nothing of the record: no other would set it aside.
        raise
    except Exception as error:
        raise UndecodableRecord(f"schema {fingerprint} did not write this: {error!r}") from error
    again = BytesIO()
    fastavro.schemaless_writer(again, schema, record)
    # fastavro reads laxly; what it would not write itself is not ours.
    if again.getvalue() != value[10:]:
        raise UndecodableRecord(f"schema {fingerprint} would have written other bytes")
    messages: list[tuple[str, Fields]] = record["messages"]
    return messages


@cache
def _archived(fingerprint: str) -> Any:
    return fastavro.schema.load_schema(str(catalogue.HISTORY / f"{fingerprint}.avsc"))


def _message(full_name: str, found: Fields) -> Message:
    message: Message = _built(full_name, found)
    return message


def _built(kind: Any, found: Any) -> Any:
    # By the .avsc, not by type hints: a compiled class no longer knows what its lists hold.
    if isinstance(kind, dict):
        return [_built(kind["items"], item) for item in found]
    if kind not in _present_types():
        return found
    of_class = catalogue.python_class(kind)
    schema = _present_types()[kind]
    if schema["type"] == "enum":
        return of_class[found]
    return of_class(*[_built(each["type"], found[each["name"]]) for each in schema["fields"]])


@cache
def _present_types() -> dict[str, catalogue.Schema]:
    return catalogue.named_types()
