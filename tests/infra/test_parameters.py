"""Parameters that nobody sends by mistake: too many of them, and names that stand twice."""

import json

import pytest

from infra.http import parameters
from infra.http.errors import ApiError
from infra.http.json_text import parse_json, text_values
from infra.http.parameters import (
    MAX_BODY_BYTES,
    MAX_PARAMETERS,
    parse_document,
    parse_parameters,
    repeated_name,
)


class Name(str):
    """A name that counts how often it is compared with another."""

    __slots__ = ()
    compared = 0

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        type(self).compared += 1
        return str.__eq__(self, other)


def test_a_repeated_name_is_found_in_one_pass():
    names = [Name(f"n{number}") for number in range(2_000)]
    Name.compared = 0
    assert repeated_name([(name, "") for name in [*names, Name("n1999")]]) == "n1999"
    assert Name.compared < len(names)


def many(count: int) -> bytes:
    return b"&".join(b"n%d=1" % number for number in range(count))


def nothing_in(raw: bytes) -> list[tuple[str, str]]:
    assert not raw, "was read"
    return []


def test_more_parameters_than_anything_has_are_refused_unread(monkeypatch):
    assert len(parse_parameters(many(MAX_PARAMETERS)).values) == MAX_PARAMETERS
    for reading in ("_plain_pairs", "_encoded_pairs"):
        monkeypatch.setattr(parameters, reading, nothing_in)
    body = b"&".join([b"%61"] * (MAX_BODY_BYTES // 4))
    for parse in (
        lambda: parse_parameters(many(101)),
        lambda: parse_parameters(b"", many(101)),
        lambda: parse_parameters(b"", body),
        lambda: parse_document(many(101), b"[]"),
    ):
        with pytest.raises(ApiError, match=r"^-1101 Too many parameters; expected '100' and rece"):
            parse()


def test_a_document_may_have_as_many_separators_as_it_likes():
    assert parse_document(b"a=1", b"&" * 1_000).values == {"a": "1"}


def test_an_object_of_too_many_members_is_refused_too():
    members = {f"n{number}": "1" for number in range(MAX_PARAMETERS + 1)}
    with pytest.raises(ApiError, match="expected '100' and received '101'"):
        text_values(parse_json(json.dumps(members)))
    members.popitem()
    assert len(text_values(members)) == MAX_PARAMETERS
