"""The fields of operations: read once from JSON, and from the same table asked for by the shell."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from infra.http.errors import ApiError


class Kind(Enum):
    """What a field holds."""

    TEXT = "TEXT"
    INTEGER = "INTEGER"
    LIST = "LIST"


@dataclass(slots=True, frozen=True)
class Field:
    """One field of an operation; it must be given unless it has a `default` or is `optional`."""

    name: str
    help: str
    kind: Kind = Kind.TEXT
    default: str | int | None = None
    optional: bool = False


class Fields:
    """The values of one request."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """A text that was given or has a default."""
        value = self._values[name]
        assert isinstance(value, str)
        return value

    def optional_text(self, name: str) -> str | None:
        """A text, None if it was not given."""
        return None if self._values[name] is None else self.text(name)

    def integer(self, name: str) -> int:
        """A whole number that was given or has a default."""
        value = self._values[name]
        assert isinstance(value, int)
        return value

    def optional_integer(self, name: str) -> int | None:
        """A whole number, None if it was not given."""
        return None if self._values[name] is None else self.integer(name)

    def texts(self, name: str) -> list[str]:
        """A list of texts; empty if none were given."""
        value = self._values[name]
        assert isinstance(value, list)
        return value

    def optional_texts(self, name: str) -> list[str] | None:
        """A list of texts, None if it was not given; an empty one was."""
        return None if self._values[name] is None else self.texts(name)


def read_fields(table: tuple[Field, ...], body: Any) -> Fields:
    """The fields of a JSON object; -1102 for what is missing or of another kind, -1104 for others.

    A list may also be one text with commas.
    """
    if not isinstance(body, dict):
        raise ApiError(400, -1102, "The body must be a JSON object.")
    unknown = sorted(set(body) - {field.name for field in table})
    if unknown:
        raise ApiError(400, -1104, f"Field '{str(unknown[0])[:40]}' is not known here.")
    return Fields({field.name: _value(field, body.get(field.name)) for field in table})


def _value(field: Field, value: Any) -> Any:
    if value is None:
        if field.kind is Kind.LIST and field.default is not None:
            return _texts(field, field.default)
        if field.default is None and not field.optional:
            raise _unusable(field)
        return field.default
    match field.kind:
        case Kind.LIST:
            return _texts(field, value)
        case Kind.INTEGER:
            if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 63:
                raise _unusable(field)
        case Kind.TEXT:
            if not _is_text(value):
                raise _unusable(field)
    return value


def _texts(field: Field, value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(_is_text(part) for part in parts if part != ""):
        raise _unusable(field)
    return [part.strip() for part in parts if part.strip()]


def _is_text(value: Any) -> bool:
    """Whether it is a text that can be stored: half of a character, which JSON allows, cannot."""
    if not isinstance(value, str) or not 1 <= len(value) <= 1_000:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _unusable(field: Field) -> ApiError:
    msg = f"Field '{field.name}' ({field.kind.value.lower()}) was not sent or is malformed."
    return ApiError(400, -1102, msg)
