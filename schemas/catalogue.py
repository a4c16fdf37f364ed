"""The catalogue of schemas: the `.avsc` files, the one writer schema they make, its fingerprint."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from fastavro.schema import fingerprint as fastavro_fingerprint
from fastavro.schema import to_parsing_canonical_form

Schema = dict[str, Any]

FOLDER = Path(__file__).parent
HISTORY = FOLDER / "history"
RECORD = "logbourse.Record"
SINGLE_OBJECT = b"\xc3\x01"

MODULES = {
    "logbourse.protocol": "domain.protocol",
    "logbourse.fees": "domain.fees",
    "logbourse.limits": "domain.limits",
    "logbourse.markets": "domain.markets",
    "logbourse.accounts": "domain.accounts.messages",
    "logbourse.ledger": "domain.ledger.messages",
    "logbourse.orders": "domain.orders.messages",
    "logbourse.matching": "domain.matching.messages",
}
"""Where the classes of an Avro namespace live."""


def named_types() -> dict[str, Schema]:
    """Every type as its own file says it, by full name, sorted."""
    found: dict[str, Schema] = {}
    for path in sorted((FOLDER / "avro").rglob("*.avsc")):
        schema: Schema = json.loads(path.read_text(encoding="utf-8"))
        found[f"{schema['namespace']}.{schema['name']}"] = schema
    return found


def message_names(types: dict[str, Schema]) -> list[str]:
    """Full names of the messages in union order: the place of a message is its branch number."""
    fields = types[RECORD]["fields"]
    names: list[str] = fields[-1]["type"]["items"]
    return names


def python_class(full_name: str) -> Any:
    """The class of `domain/` that stands for this Avro type."""
    namespace, _, name = full_name.rpartition(".")
    return getattr(import_module(MODULES[namespace]), name)


def writer_schema() -> Schema:
    """The schema of a record with every type written out where it is used first."""
    types = named_types()
    schema: Schema = _written_out(RECORD, types, set())
    return schema


def fingerprint(schema: Schema) -> bytes:
    """CRC-64-AVRO of the schema's canonical form: 8 bytes, little-endian as single objects want."""
    return bytes.fromhex(fastavro_fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def _written_out(schema: Any, types: dict[str, Schema], done: set[str]) -> Any:
    if isinstance(schema, list):
        return [_written_out(branch, types, done) for branch in schema]
    if isinstance(schema, dict):
        inner = {"items", "type"} & schema.keys()
        changed = {key: _written_out(schema[key], types, done) for key in inner}
        if "fields" in schema:
            changed["fields"] = [_written_out(field, types, done) for field in schema["fields"]]
        return schema | changed
    if schema in types and schema not in done:
        done.add(schema)
        return _written_out(types[schema], types, done)
    return schema
