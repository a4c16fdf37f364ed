"""JSON from clients, read so that a number keeps the very text that was sent."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from infra.http import errors
from infra.http.parameters import refuse_too_many, repeated_name


class NumberText(str):
    """The literal of a JSON number."""

    __slots__ = ()


def parse_json(text: str | bytes) -> Any:
    """What the text means, numbers as `NumberText`.

    Raises -1135 for what is no JSON or nests too deep, -1101 for a member that stands twice.
    """
    try:
        return _decode(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError):
        raise errors.invalid_json() from None


def text_values(members: Mapping[str, Any]) -> dict[str, str]:
    """The members as a form would have them: text, numbers as they were written, true and false.

    Raises -1130 for null, arrays and objects, -1100 for text that no encoding has, -1101 for more
    than 100 members.
    """
    refuse_too_many(len(members))
    values: dict[str, str] = {}
    for name, value in members.items():
        if type(value) is str:
            values[name] = value
        elif isinstance(value, NumberText):
            values[name] = str(value)
        elif isinstance(value, bool):
            values[name] = "true" if value else "false"
        else:
            raise errors.invalid_data(_encodable(name)[:40])
    _encodable("".join(values)), _encodable("".join(values.values()))
    return values


def _encodable(text: str) -> str:
    """The text, unless it holds half of a character (-1100), as \\ud800 in JSON may."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise errors.undecodable_parameter() from None
    return text


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise errors.duplicate_parameter(_encodable(repeated_name(pairs))[:40])
    return members


def _refuse_constant(constant: str) -> NoReturn:
    """NaN and the infinities are no JSON."""
    raise ValueError(constant)


# Made once: `json.loads` with hooks would make one each time.
_decode = json.JSONDecoder(
    parse_int=NumberText,
    parse_float=NumberText,
    parse_constant=_refuse_constant,
    object_pairs_hook=_members,
).decode
