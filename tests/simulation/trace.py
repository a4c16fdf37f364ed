"""What happens in a schedule, told line by line, and the hash that equal runs share."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from infra.log import Partition
from schemas.record import UndecodableRecord, decode_record


class Trace:
    """Takes the lines of one schedule, passes them on if somebody wants them, and hashes all."""

    def __init__(self, then: Callable[[str], None] | None = None) -> None:
        self.count = 0
        self._then = then
        self._hash = blake2b(digest_size=16)

    def __call__(self, line: str) -> None:
        self.count += 1
        self._hash.update(line.encode() + b"\n")
        if self._then is not None:
            self._then(line)

    def digest(self) -> str:
        """The hash of all lines so far: the same seed and commit give the same."""
        return self._hash.hexdigest()


def shown(partition: Partition, offset: int, value: bytes) -> str:
    """One line that says which record now stands where."""
    place = f"    {partition[0]}.{partition[1]}[{offset}] ←"
    try:
        record = decode_record(value)
    except UndecodableRecord:
        return f"{place} {value[:160]!r}"
    head = f"{record.src} {record.cseq} of input {record.cause}" if record.cseq else record.src
    return f"{place} {head}: {', '.join(map(_brief, record.messages)) or 'nothing'}"


def _brief(message: Any) -> str:
    """The message's type, and the numbers by which people follow it."""
    followed = ("order_id", "trade_id", "user_id", "market_id", "price_ticks", "lots", "amount")
    facts = [f"{name[:-3] if name.endswith('_id') else name} {value}"
             for name in followed if (value := getattr(message, name, 0))]  # fmt: skip
    reason = getattr(message, "reason", None)
    if reason is not None:
        facts.append(reason.name)
    return " ".join([type(message).__name__, *facts])
