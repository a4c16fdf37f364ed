"""Request parameters: query and body as sent, for signatures, and decoded, for endpoints."""

import functools
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from infra.http import errors

MAX_BODY_BYTES = 64 * 1024
MAX_PARAMETERS = 100
"""Of a query, a form or an object: several times what any endpoint reads."""

INTEGER = "^[0-9]{1,19}$"
SYMBOL = "^[A-Z0-9-_.]{1,20}$"
CLIENT_ORDER_ID = "^[a-zA-Z0-9-_]{1,36}$"

FIRST_MICROSECONDS = 10**14
"""A time from here on is told in microseconds: in milliseconds it would lie in the year 5138."""

_INTEGER = re.compile(INTEGER.removesuffix("$") + r"\Z")
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SIGNATURE = b"signature"

_compiled = functools.cache(re.compile)

SIGNING = ("timestamp", "recvWindow", "signature")
"""What is about a signed request itself, and known to every endpoint."""


@dataclass(slots=True, frozen=True)
class Parameters:
    """What one request sent. `values` is decoded, the query winning over the body.

    `signed_payload`: the exact bytes that were signed. `document`: a body that is no parameters.
    """

    signed_payload: bytes = b""
    values: dict[str, str] = field(default_factory=dict)
    document: bytes = b""

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
        if value is not None and not _compiled(pattern).fullmatch(value):
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

    def take_time_unit(self) -> bool:
        """Whether `timeUnit` asks for microseconds; taken out, since no endpoint need know it.

        -1130 for anything but MICROSECOND and MILLISECOND.
        """
        unit = (self.optional("timeUnit") or "MILLISECOND").upper()
        if unit not in ("MICROSECOND", "MILLISECOND"):
            raise errors.invalid_data("timeUnit")
        self.values.pop("timeUnit", None)
        return unit == "MICROSECOND"

    def refuse_unknown(self, known: Collection[str]) -> None:
        """-1104 if anything was sent that is not in `known` or part of signing."""
        unread = (self.values.keys() - known).difference(SIGNING)
        if unread:
            sent = len(self.values)
            raise errors.unread_parameters(sent - len(unread), sent)


def parse_parameters(raw_query: bytes, raw_body: bytes = b"") -> Parameters:
    """Both parts decoded as urlencoded text, whatever the Content-Type says.

    What was signed is query, then body, each without `signature`: nothing stands between the two
    (Binance's rule), and nothing is encoded anew. Raises -1100 for broken percent-encoding or
    UTF-8, -1101 for a repeated name or more than 100 parameters.
    """
    values = _decode(raw_body)
    values.update(_decode(raw_query))
    return Parameters(_without_signature(raw_query) + _without_signature(raw_body), values)


def parse_document(raw_query: bytes, raw_body: bytes) -> Parameters:
    """A request whose body is a document: parameters come in the query, all of the body is signed.

    Raises as `parse_parameters` does.
    """
    return Parameters(_without_signature(raw_query) + raw_body, _decode(raw_query), raw_body)


def _decode(raw: bytes) -> dict[str, str]:
    refuse_too_many(raw.count(b"&") + 1)
    pairs = _encoded_pairs(raw) if b"%" in raw or b"+" in raw else _plain_pairs(raw)
    values = dict(pairs)
    if len(values) < len(pairs):
        raise errors.duplicate_parameter(repeated_name(pairs)[:40])
    return values


def refuse_too_many(found: int) -> None:
    """-1101 for more parameters than anybody sends, before anything is done with each."""
    if found > MAX_PARAMETERS:
        raise errors.too_many_parameters(MAX_PARAMETERS, found)


def repeated_name(pairs: Iterable[tuple[str, object]]) -> str:
    """The first name of `pairs` that came before; one must have."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("a name must stand twice")


def _plain_pairs(raw: bytes) -> list[tuple[str, str]]:
    """Names and values where nothing is encoded, which is nearly every order."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise errors.undecodable_parameter() from None
    pairs = [item.partition("=") for item in text.split("&") if item]
    return [(name, value) for name, _, value in pairs]


def _encoded_pairs(raw: bytes) -> list[tuple[str, str]]:
    pairs = [item.partition(b"=") for item in raw.split(b"&") if item]
    return [(_unquote(name), _unquote(value)) for name, _, value in pairs]


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
    before, found, signature = raw.rpartition(b"&signature=")
    if found and b"&" not in signature and _SIGNATURE not in before:
        return before  # Where nearly every client puts it: at the end.
    return b"&".join(i for i in raw.split(b"&") if i.partition(b"=")[0] != _SIGNATURE)
