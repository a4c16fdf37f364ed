"""Data for any Avro schema, in fastavro's form: chosen extremes, and whatever hypothesis finds."""

from collections.abc import Callable
from dataclasses import fields
from enum import IntEnum
from io import BytesIO
from typing import Any

import fastavro
from hypothesis import strategies as st

from schemas import catalogue
from schemas.record import Record

Datum = dict[str, Any]

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
BORDERS = [INT64_MIN, INT64_MAX, 0, -1, 63, 64, -64, -65, 8191, 8192, 2**31, 2**62, -(2**56)]
TEXTS = ["", "x", "Börse", "日本語", "😀" * 40, "a" * 63, "b" * 64, "\x00"]

EXTREMES: dict[str, Callable[[Any], Any]] = {
    "least": {"long": INT64_MIN, "string": "", "bytes": b"", "array": 0, "enum": 0}.__getitem__,
    "zero": {"long": 0, "string": "\x00", "bytes": b"\x00", "array": 1, "enum": 0}.__getitem__,
    "most": {
        "long": INT64_MAX,
        "string": "é日😀" * 900,
        "bytes": b"\xff" * 5000,
        "array": 200,
        "enum": -1,
    }.__getitem__,
}


def extreme(kind: Any, types: dict[str, Any], choose: Callable[[Any], Any]) -> Any:
    """The datum of this type in which every part is what `choose` says for its kind."""
    kind = types.get(kind, kind) if isinstance(kind, str) else kind
    if isinstance(kind, str):
        return choose(kind)
    if kind["type"] == "array":
        return [extreme(kind["items"], types, choose)] * choose("array")
    if kind["type"] == "enum":
        return kind["symbols"][choose("enum")]
    return {field["name"]: extreme(field["type"], types, choose) for field in kind["fields"]}


def any_datum(kind: Any, types: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Any datum of this type; one of a union comes with its name, as fastavro wants it."""
    if isinstance(kind, str) and kind in types:
        kind = types[kind]
    if isinstance(kind, list):
        return st.one_of([_named(branch, types) for branch in kind])
    if isinstance(kind, str):
        return _PRIMITIVES[kind]
    if kind["type"] == "array":
        return st.lists(any_datum(kind["items"], types), max_size=5)
    if kind["type"] == "enum":
        return st.sampled_from(kind["symbols"])
    parts = {field["name"]: any_datum(field["type"], types) for field in kind["fields"]}
    return st.fixed_dictionaries(parts)


def written_by_fastavro(schema: Any, record: Datum) -> bytes:
    """The record as fastavro writes it in single-object encoding."""
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record, strict=True)
    return catalogue.SINGLE_OBJECT + catalogue.fingerprint(schema) + out.getvalue()


def datum_of(record: Record) -> Datum:
    """The record in fastavro's form."""
    datum: Datum = _plain(record)
    datum["messages"] = [(_full_name(message), _plain(message)) for message in record.messages]
    return datum


def types_in(schema: Any) -> dict[str, Any]:
    """The named types that a written-out schema contains, by full name."""
    found: dict[str, Any] = {}
    if isinstance(schema, list):
        for branch in schema:
            found |= types_in(branch)
    if isinstance(schema, dict):
        if "name" in schema and "namespace" in schema:
            found[f"{schema['namespace']}.{schema['name']}"] = schema
        for key in ("fields", "items", "type"):
            found |= types_in(schema.get(key))
    return found


_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "long": st.sampled_from(BORDERS) | st.integers(INT64_MIN, INT64_MAX),
    "string": st.sampled_from(TEXTS) | st.text(max_size=100),
    "bytes": st.sampled_from([b"", bytes(16), bytes(63), bytes(64)]) | st.binary(max_size=100),
}


def _named(branch: Any, types: dict[str, Any]) -> st.SearchStrategy[Any]:
    name = branch if isinstance(branch, str) else f"{branch['namespace']}.{branch['name']}"
    return st.tuples(st.just(name), any_datum(branch, types))


def _full_name(message: Any) -> str:
    namespaces = {module: namespace for namespace, module in catalogue.MODULES.items()}
    return f"{namespaces[type(message).__module__]}.{type(message).__name__}"


def _plain(value: Any) -> Any:
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, int | str | bytes):
        return value
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
