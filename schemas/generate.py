"""Turns the `.avsc` files into `schemas/codec.py`: `python -m schemas.generate [--archive]`."""

import argparse
import json
import re
from typing import Any

from schemas import catalogue
from schemas.catalogue import Schema

CODEC = catalogue.FOLDER / "codec.py"

WIDTH = 100
MOST_SYMBOLS = 64
PREAMBLE = '''"""Encoding and decoding of every message; `python -m schemas.generate` writes it."""
'''
PRIMITIVES = [
    *["end_array", "read_bytes", "read_count", "read_long", "read_string"],
    *["write_bytes", "write_long", "write_string"],
]


def codec_source() -> str:
    """The text of the codec module for the present `.avsc` files, formatted as ruff wants it."""
    types = catalogue.named_types()
    messages = catalogue.message_names(types)
    used = [types[name] for name in types if name != catalogue.RECORD]
    enums = [schema for schema in used if schema["type"] == "enum"]
    records = [schema for schema in used if schema["type"] == "record"]
    parts = ["\n".join([PREAMBLE, *_imports(used), "", *_constants(enums)])]
    for schema in records:
        full = f"{schema['namespace']}.{schema['name']}"
        branch = messages.index(full) if full in messages else None
        parts.append("\n".join(_Writer(types, schema).lines(branch)))
        parts.append("\n".join(_Reader(types, schema).lines()))
    parts.append("\n".join(_tables(messages)))
    return "\n\n\n".join(parts) + "\n"


def archive() -> str:
    """Keep the present writer schema for ever, under its fingerprint; the file's name."""
    schema = catalogue.writer_schema()
    path = catalogue.HISTORY / f"{catalogue.fingerprint(schema).hex()}.avsc"
    catalogue.HISTORY.mkdir(exist_ok=True)
    path.write_text(json.dumps(schema, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path.name


def main() -> None:
    """Rewrite the codec, and archive the schema if asked to."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--archive", action="store_true", help="also keep the schema in history/")
    arguments = parser.parse_args()
    CODEC.write_text(codec_source(), encoding="utf-8")
    print(f"wrote {CODEC.name}")
    if arguments.archive:
        print(f"archived {archive()}")


class _Writer:
    """Writes the function that appends one record type, in parts."""

    def __init__(self, types: dict[str, Schema], schema: Schema) -> None:
        self.types = types
        self.schema = schema

    def lines(self, branch: int | None) -> list[str]:
        name = self.schema["name"]
        lines = [f"def write_{_snake(name)}(out: BytesWriter, message: {name}) -> None:"]
        if branch is None:
            lines.append(f'    """Append the fields of {name}."""')
        else:
            lines.append(f'    """Append branch number {branch}, then the fields of {name}."""')
            lines.append(f"    write_long(out, {branch})")
        for field in self.schema["fields"]:
            lines += self.value(field["type"], f"message.{field['name']}", "    ")
        return lines

    def value(self, kind: Any, value: str, pad: str) -> list[str]:
        if isinstance(kind, dict):
            return self.array(kind["items"], value, pad)
        if kind in ("long", "bytes", "string"):
            return [f"{pad}write_{kind}(out, {value})"]
        if self.types[kind]["type"] == "enum":
            return [f"{pad}write_long(out, {value})"]
        return [f"{pad}write_{_snake(_short(kind))}(out, {value})"]

    def array(self, items: Any, value: str, pad: str) -> list[str]:
        return [
            f"{pad}if {value}:",
            f"{pad}    write_long(out, len({value}))",
            f"{pad}    for {_item(items)} in {value}:",
            *self.value(items, _item(items), pad + "        "),
            f"{pad}write_long(out, 0)",
        ]


class _Reader:
    """Writes the function that decodes one record type at a position."""

    def __init__(self, types: dict[str, Schema], schema: Schema) -> None:
        self.types = types
        self.schema = schema

    def lines(self) -> list[str]:
        name = self.schema["name"]
        lines = [
            f"def read_{_snake(name)}(data: bytes, pos: int) -> tuple[{name}, int]:",
            f'    """The {name} at `pos` and the position after it."""',
        ]
        for field in self.schema["fields"]:
            lines += self.value(field["type"], field["name"], "    ")
        names = [field["name"] for field in self.schema["fields"]]
        return lines + _call("    message = ", name, names) + ["    return message, pos"]

    def value(self, kind: Any, target: str, pad: str) -> list[str]:
        if isinstance(kind, dict):
            return self.array(kind["items"], target, pad)
        if kind in ("long", "bytes", "string"):
            return [f"{pad}{target}, pos = read_{kind}(data, pos)"]
        if self.types[kind]["type"] == "enum":
            return [f"{pad}{target} = {_table(kind)}[data[pos]]", f"{pad}pos += 1"]
        return [f"{pad}{target}, pos = read_{_snake(_short(kind))}(data, pos)"]

    def array(self, items: Any, target: str, pad: str) -> list[str]:
        return [
            f"{pad}{target}: list[{_python(items)}] = []",
            f"{pad}count, pos = read_count(data, pos)",
            f"{pad}for _ in range(count):",
            *self.value(items, _item(items), pad + "    "),
            f"{pad}    {target}.append({_item(items)})",
            f"{pad}if count:",
            f"{pad}    pos = end_array(data, pos)",
        ]


def _imports(used: list[Schema]) -> list[str]:
    names: dict[str, list[str]] = {"domain.decider": ["Message"]}
    for schema in used:
        names.setdefault(catalogue.MODULES[schema["namespace"]], []).append(schema["name"])
    names["schemas.primitives"] = PRIMITIVES
    lines = ["from collections.abc import Callable", "from typing import Any, Final", ""]
    lines += ["from librt.strings import BytesWriter", ""]
    for module in sorted(names):
        listed = sorted(names[module], key=lambda name: (not name.isupper(), name.lower()))
        whole = f"from {module} import {', '.join(listed)}"
        if len(whole) <= WIDTH:
            lines.append(whole)
        else:
            listed = [f"    {name}," for name in listed]
            lines += [f"from {module} import (", *listed, ")"]
    return lines


def _constants(enums: list[Schema]) -> list[str]:
    fingerprint = catalogue.fingerprint(catalogue.writer_schema()).hex()
    lines = [f'HEADER: Final = bytes.fromhex("{catalogue.SINGLE_OBJECT.hex()}{fingerprint}")']
    lines += ['"""How every record in the present schema begins: marker and fingerprint."""', ""]
    for schema in enums:
        name = schema["name"]
        if len(schema["symbols"]) > MOST_SYMBOLS:
            raise ValueError(f"{name} has more than {MOST_SYMBOLS} symbols: one byte is not enough")
        lines.append(f"{_table(name)}: Final = {{symbol << 1: symbol for symbol in {name}}}")
    return lines


def _tables(messages: list[str]) -> list[str]:
    names = [_short(message) for message in messages]
    return [
        "WRITERS: Final[dict[type[Message], Callable[[BytesWriter, Any], None]]] = {",
        *[f"    {name}: write_{_snake(name)}," for name in names],
        "}",
        '"""Appends a message with its branch number, by class."""',
        "",
        "READERS: Final[list[Callable[[bytes, int], tuple[Message, int]]]] = [",
        *[f"    read_{_snake(name)}," for name in names],
        "]",
        '"""Decodes a message, by branch number."""',
    ]


def _call(pad: str, name: str, arguments: list[str]) -> list[str]:
    joined = ", ".join(arguments)
    indent = " " * (len(pad) - len(pad.lstrip()))
    if len(f"{pad}{name}({joined})") <= WIDTH:
        return [f"{pad}{name}({joined})"]
    if len(f"{indent}    {joined}") <= WIDTH:
        return [f"{pad}{name}(", f"{indent}    {joined}", f"{indent})"]
    return [f"{pad}{name}(", *[f"{indent}    {each}," for each in arguments], f"{indent})"]


def _python(kind: str) -> str:
    return {"long": "int", "string": "str", "bytes": "bytes"}.get(kind) or _short(kind)


def _item(kind: str) -> str:
    return "each" if kind in ("long", "string", "bytes") else _snake(_short(kind))


def _table(kind: str) -> str:
    return f"_{_snake(_short(kind)).upper()}"


def _short(full: str) -> str:
    return full.rpartition(".")[2]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


if __name__ == "__main__":
    main()
