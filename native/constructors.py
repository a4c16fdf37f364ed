"""Spells out the constructors that dataclasses make at run time, so that mypyc compiles them.

mypyc leaves what `@dataclass` generates to the interpreter, and making messages is what the hot
path does most. The sources stay plain dataclasses: this happens to the copy that is compiled.
"""

import ast
from dataclasses import dataclass


@dataclass(slots=True)
class _Field:
    name: str
    annotation: str
    default: str
    factory: str


Known = dict[str, list[_Field]]
"""The fields of each dataclass met so far, by class name; base classes must be met first."""


def spelled_out(source: str, bases: Known) -> str:
    """The source with an `__init__` in each dataclass that can be changed and has none.

    Annotations of inherited fields must be names that every module knows, such as `int`.
    """
    known = bases.copy()
    learn_fields(source, known)
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.ClassDef):
            _spell_out(node, lines, known)
    return "\n".join(lines) + "\n"


def learn_fields(source: str, known: Known) -> None:
    """Add the fields of the dataclasses in the source to `known`, inherited ones first."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and _decorator(node) is not None:
            inherited: list[_Field] = []
            for base in node.bases:
                if isinstance(base, ast.Name):
                    inherited += known.get(base.id, [])
            known[node.name] = [*inherited, *_own_fields(node)]


def _spell_out(node: ast.ClassDef, lines: list[str], known: Known) -> None:
    decorator = _decorator(node)
    methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    if decorator is None or "__init__" in methods or "frozen=True" in ast.unparse(decorator):
        return
    assert node.end_lineno is not None
    lines[node.end_lineno : node.end_lineno] = ["", *_constructor(known[node.name])]
    # A native class has no dictionary anyway, and no slots to be told of.
    lines[decorator.lineno - 1] = "@dataclass(init=False)"


def _decorator(node: ast.ClassDef) -> ast.expr | None:
    for each in node.decorator_list:
        name = each.func if isinstance(each, ast.Call) else each
        if isinstance(name, ast.Name) and name.id == "dataclass":
            return each
    return None


def _own_fields(node: ast.ClassDef) -> list[_Field]:
    found = []
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            default, factory = _default(each.value)
            found.append(_Field(each.target.id, ast.unparse(each.annotation), default, factory))
    return found


def _default(value: ast.expr | None) -> tuple[str, str]:
    """The text of a field's default, or of the factory that makes it."""
    if value is None:
        return "", ""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        for keyword in value.keywords:
            if keyword.arg == "default_factory":
                return "", ast.unparse(keyword.value)
        raise ValueError(f"a field with a default factory was wanted, was {ast.unparse(value)}")
    return ast.unparse(value), ""


def _constructor(fields: list[_Field]) -> list[str]:
    parameters = ["self"]
    body = []
    for each in fields:
        if each.factory:
            parameters.append(f"{each.name}: {each.annotation} | None = None")
            made = f"({each.factory})()"
            body.append(f"self.{each.name} = {made} if {each.name} is None else {each.name}")
        else:
            default = f" = {each.default}" if each.default else ""
            parameters.append(f"{each.name}: {each.annotation}{default}")
            body.append(f"self.{each.name} = {each.name}")
    names = "".join(f"self.{each.name}, " for each in fields)
    return [
        f"    def __init__({', '.join(parameters)}) -> None:",
        *(f"        {line}" for line in body or ["pass"]),
        "",
        # A native object cannot be pickled or copied without: it would come out without fields.
        "    def __reduce__(self) -> tuple[object, ...]:",
        f"        return type(self), ({names})",
    ]
