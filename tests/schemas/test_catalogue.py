"""Classes, `.avsc` files, codec and history say the same."""

import importlib
import json
import pkgutil
import re
from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from fastavro.schema import to_parsing_canonical_form

import domain
from domain.decider import Message
from schemas import catalogue, generate, upcast
from schemas.codec import HEADER, READERS, WRITERS
from schemas.record import Record

TYPES = catalogue.named_types()
RECORDS = {name: schema for name, schema in TYPES.items() if schema["type"] == "record"}
ENUMS = {name: schema for name, schema in TYPES.items() if schema["type"] == "enum"}
MESSAGES = catalogue.message_names(TYPES)

UNITS = {
    r"_us$": "microseconds since the Unix epoch",
    r"_ppm$": "parts per million",
    r"_ticks$": "ticks",
    r"lots$": "lots",
    r"amount$|_notional$|_quote$": "smallest units",
    r"^count|_count_|^max_open|_per_|_partitions$": "count|sum",
    r"_hash$|^prev$|_digest$|^command_id$": r"\d+ bytes",
    r"^partition$|_seq$|_version$|^cseq$|^tier$|_id$": "Number|Count|Id|id|name",
}
"""What the doc of a field with such a name must say."""


def message_classes() -> dict[str, type[Message]]:
    """Every message that any module of the domain defines and none extends, by Avro name."""
    namespaces = {module: namespace for namespace, module in catalogue.MODULES.items()}
    found: list[type[Message]] = []
    for info in pkgutil.walk_packages(domain.__path__, "domain."):
        module = importlib.import_module(info.name)
        found += [
            each
            for each in vars(module).values()
            if isinstance(each, type)
            and issubclass(each, Message)
            and each.__module__ == module.__name__
        ]
    leaves = [each for each in found if not any(each in other.__bases__ for other in found)]
    return {f"{namespaces[each.__module__]}.{each.__name__}": each for each in leaves}


def avro_type(hint: Any) -> Any:
    """What the `.avsc` must say for a field with this Python type."""
    if get_origin(hint) is list:
        return {"type": "array", "items": avro_type(get_args(hint)[0])}
    primitives: dict[Any, str] = {int: "long", str: "string", bytes: "bytes"}
    if hint in primitives:
        return primitives[hint]
    namespaces = {module: namespace for namespace, module in catalogue.MODULES.items()}
    return f"{namespaces[hint.__module__]}.{hint.__name__}"


def test_every_message_class_is_in_the_union_and_back():
    assert sorted(message_classes()) == sorted(MESSAGES)
    assert len(set(MESSAGES)) == len(MESSAGES)


def test_every_file_is_used_and_stands_where_its_namespace_says():
    for path in (catalogue.FOLDER / "avro").glob("*/*.avsc"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        assert schema["name"] == path.stem
        assert schema["namespace"] == f"logbourse.{path.parent.name}"
    written_out = to_parsing_canonical_form(catalogue.writer_schema())
    unused = [name for name in TYPES if f'"name":"{name}"' not in written_out]
    assert unused == []


@pytest.mark.sources
@pytest.mark.parametrize("name", sorted(set(RECORDS) - {catalogue.RECORD}))
def test_record_has_the_fields_of_its_class(name):
    of_class = catalogue.python_class(name)
    assert is_dataclass(of_class)
    hints = get_type_hints(of_class)
    wanted = [(field.name, avro_type(hints[field.name])) for field in fields(of_class)]
    assert [(field["name"], field["type"]) for field in RECORDS[name]["fields"]] == wanted


def test_envelope_has_the_fields_of_the_record_class():
    names = [field["name"] for field in RECORDS[catalogue.RECORD]["fields"]]
    assert names == [field.name for field in fields(Record)]


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_enum_has_the_symbols_of_its_class_in_value_order(name):
    of_class = catalogue.python_class(name)
    assert issubclass(of_class, IntEnum)
    symbols = [member.name for member in sorted(of_class)]
    assert ENUMS[name]["symbols"] == symbols
    assert [member.value for member in sorted(of_class)] == list(range(len(symbols)))


@pytest.mark.parametrize("name", sorted(TYPES))
def test_type_and_every_field_are_documented_with_their_unit(name):
    assert len(TYPES[name]["doc"]) > 10
    for field in TYPES[name].get("fields", []):
        assert len(field["doc"]) > 10, field["name"]
        assert field["doc"].endswith("."), field["name"]
        for pattern, unit in UNITS.items():
            if re.search(pattern, field["name"]):
                assert re.search(unit, field["doc"], re.IGNORECASE), field["name"]


def test_codec_is_fresh():
    assert generate.CODEC.read_text(encoding="utf-8") == generate.codec_source(), (
        "run python -m schemas.generate"
    )


@pytest.mark.sources
def test_codec_tables_are_in_union_order():
    names = [name.rpartition(".")[2] for name in MESSAGES]
    assert [each.__name__ for each in WRITERS] == names
    assert [get_type_hints(reader)["return"].__args__[0].__name__ for reader in READERS] == names


def test_present_schema_is_archived():
    schema = catalogue.writer_schema()
    fingerprint = catalogue.fingerprint(schema)
    assert b"\xc3\x01" + fingerprint == HEADER
    path = catalogue.HISTORY / f"{fingerprint.hex()}.avsc"
    assert path.exists(), "run python -m schemas.generate --archive, and read schemas/README.md"
    archived = json.loads(path.read_text(encoding="utf-8"))
    assert to_parsing_canonical_form(archived) == to_parsing_canonical_form(schema)


def test_history_holds_the_former_schemas_and_the_present_one_alone():
    former = [fingerprint for fingerprint, _ in upcast.STEPS]
    present = catalogue.fingerprint(catalogue.writer_schema()).hex()
    assert sorted(path.stem for path in catalogue.HISTORY.glob("*.avsc")) == sorted(
        [*former, present]
    )


def test_history_is_named_by_fingerprint_and_its_envelope_never_changed():
    present = catalogue.writer_schema()["fields"]
    for path in catalogue.HISTORY.glob("*.avsc"):
        archived = json.loads(path.read_text(encoding="utf-8"))
        assert catalogue.fingerprint(archived).hex() == path.stem
        envelope = [(field["name"], field["type"]) for field in archived["fields"][:-1]]
        assert envelope == [(field["name"], field["type"]) for field in present[:-1]]


def test_union_is_append_only():
    for fingerprint, _ in upcast.STEPS:
        text = (catalogue.HISTORY / f"{fingerprint}.avsc").read_text(encoding="utf-8")
        union = json.loads(text)["fields"][-1]["type"]["items"]
        names = [f"{branch['namespace']}.{branch['name']}" for branch in union]
        assert names == MESSAGES[: len(names)]


def test_fingerprint_is_that_of_the_avro_specification():
    assert catalogue.fingerprint({"type": "int"})[::-1].hex() == "7275d51a3f395c8f"
    schema = catalogue.writer_schema()
    form = to_parsing_canonical_form(schema).encode()
    assert int.from_bytes(catalogue.fingerprint(schema), "little") == crc_64_avro(form)


def crc_64_avro(text: bytes) -> int:
    """The fingerprint as the Avro specification defines it, bit by bit."""
    empty = 0xC15D213AA4D7A795
    crc = empty
    for byte in text:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (empty if crc & 1 else 0)
    return crc
