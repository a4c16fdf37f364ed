"""Request parameters: query and body as sent, for signatures, and decoded, for endpoints."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from infra.http import errors

MAX_BODY_BYTES = 64 * 1024
INTEGER = "^[0-9]{1,19}$"
SYMBOL = "^[A-Z0-9-_.]{1,20}$"

FIRST_MICROSECONDS = 10**14
"""A time from here on is told in microseconds: in milliseconds it would lie in the year 5138."""

_INTEGER = re.compile(INTEGER.removesuffix("$") + r"\Z")
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SIGNATURE = b"signature"


@dataclass(slots=True, frozen=True)
class Parameters:
    """What one request sent. `values` is decoded, the query winning over the body."""

    raw_query: bytes = b""
    raw_body: bytes = b""
    values: dict[str, str] = field(default_factory=dict)

    def signed_payload(self) -> bytes:
        """The exact bytes that were signed: query, then body, each without `signature`.

        Nothing stands between the two (Binance's rule), and nothing is encoded anew.
        """
        return _without_signature(self.raw_query) + _without_signature(self.raw_body)

    def has(self, name: str) -> bool:
        """Whether the parameter was sent, even empty."""
        return name in self.values

    def optional(self, name: str) -> str | None:
        """The text of a parameter, None if it was not sent; -1105 if it was sent empty."""
        value = self.values.get(name)
        if value == "":
            raise errors.empty(name)
        return value

    def text(self, name: str) -> str:
        """The text of a mandatory parameter; -1102 without one, -1105 if it is empty."""
        value = self.optional(name)
        if value is None:
            raise errors.mandatory(name)
        return value

    def matching(self, name: str, pattern: str) -> str | None:
        """An optional text of the form `pattern` (`^…$`); -1100 for any other."""
        value = self.optional(name)
        if value is not None and not re.fullmatch(pattern, value):
            raise errors.illegal_characters(name, pattern)
        return value

    def optional_integer(self, name: str, low: int = 0, high: int = (1 << 63) - 1) -> int | None:
        """A whole number in [low, high]; -1100 if it is no such text, -1130 out of range."""
        value = self.optional(name)
        if value is None:
            return None
        if not _INTEGER.match(value):
            raise errors.illegal_characters(name, INTEGER)
        number = int(value)
        if not low <= number <= high:
            raise errors.invalid_data(name)
        return number

    def integer(self, name: str, low: int = 0, high: int = (1 << 63) - 1) -> int:
        """A mandatory whole number in [low, high]."""
        number = self.optional_integer(name, low, high)
        if number is None:
            raise errors.mandatory(name)
        return number

    def flag(self, name: str, default: bool = False) -> bool:
        """`true` or `false` in any case; -1130 for anything else."""
        value = self.optional(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            raise errors.invalid_data(name)
        return value.lower() == "true"

    def refuse_unknown(self, known: Collection[str]) -> None:
        """-1104 if anything was sent that is not in `known` or part of signing."""
        signing = ("timestamp", "recvWindow", "signature")
        read = sum(name in known or name in signing for name in self.values)
        if read < len(self.values):
            raise errors.unread_parameters(read, len(self.values))


def parse_parameters(raw_query: bytes, raw_body: bytes = b"") -> Parameters:
    """Both parts decoded as urlencoded text, whatever the Content-Type says.

    Raises -1100 for broken percent-encoding or UTF-8, -1101 for a repeated name.
    """
    values = _decode(raw_body)
    values.update(_decode(raw_query))
    return Parameters(raw_query, raw_body, values)


def _decode(raw: bytes) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in raw.split(b"&"):
        if not item:
            continue
        name, _, value = item.partition(b"=")
        decoded = _unquote(name)
        if decoded in values:
            raise errors.duplicate_parameter(decoded[:40])
        values[decoded] = _unquote(value)
    return values


def _unquote(raw: bytes) -> str:
    if _BAD_PERCENT.search(raw):
        raise errors.undecodable_parameter()
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise errors.undecodable_parameter() from None


def _without_signature(raw: bytes) -> bytes:
    if _SIGNATURE not in raw:
        return raw
    return b"&".join(i for i in raw.split(b"&") if i.partition(b"=")[0] != _SIGNATURE)
