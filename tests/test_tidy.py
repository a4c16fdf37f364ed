"""What linters cannot say of the tree: integers only, short functions, tested reasons, READMEs."""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("domain", "schemas", "infra", "streams", "commands", "projections", "native")
BANNED_NAMES = {"utils", "helpers", "common", "manager", "service", "base"}
FUNCTION_LINES_MAX = 40
FILE_LINES_MAX = 400

# What reads outside state, or differs from run to run.
BANNED_CALLS = {"float", "hash", "id", "open", "input", "print", "eval", "exec"}

# Written by `python -m schemas.generate`, not by hand.
GENERATED = {"schemas/codec.py"}

# "path::name": functions that stay longer than the limit, each with its reason above it.
LONG_FUNCTIONS: set[str] = set()


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def assert_none(faults: Iterable[str]) -> None:
    """Fail with all of `faults`, a line each."""
    told = "\n".join(faults)
    assert not told, f"\n{told}"


def inexact(node: ast.AST) -> str:
    """What makes the node unfit for `domain/`; empty if nothing does."""
    match node:
        case ast.Constant(value=float() | complex()):
            return f"the literal {node.value!r}"
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            return "true division"
        case ast.Call(func=ast.Name(id=name)) if name in BANNED_CALLS:
            return f"a call of {name}()"
        case ast.Name(id="float"):
            return "the type float"
        case _:
            return ""


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("a // b", ""),
        ("a / b", "true division"),
        ("a /= b", "true division"),
        ("1.0", "the literal 1.0"),
        ("hash(a)", "a call of hash()"),
        ("a: float", "the type float"),
        ("user.id", ""),
    ],
)
def test_the_check_for_integers_bites(source, found):
    assert [inexact(node) for node in ast.walk(ast.parse(source)) if inexact(node)] == (
        [found] if found else []
    )


def test_the_domain_knows_integers_alone():
    found = [
        f"{relative(path)}:{getattr(node, 'lineno', 0)}: {inexact(node)}"
        for path in sources("domain")
        for node in ast.walk(parsed(path))
        if inexact(node)
    ]
    assert_none(found)


def reasons() -> list[type[Enum]]:
    """Every enum of `domain/` that says why something was refused or ended."""
    found = []
    for path in sources("domain"):
        module = importlib.import_module(relative(path).removesuffix(".py").replace("/", "."))
        for value in vars(module).values():
            if not isinstance(value, type) or value.__module__ != module.__name__:
                continue
            if issubclass(value, Enum) and value.__name__.endswith("Reason"):
                found.append(value)
    return found


def test_every_reason_occurs_in_a_test():
    tests = [path for path in sources("tests") if path.name.startswith("test_")]
    texts = [path.read_text(encoding="utf-8") for path in tests]
    untested = []
    for reason in reasons():
        naming = [text for text in texts if reason.__name__ in text]
        for member in reason:
            if not any(re.search(rf"\b{member.name}\b", text) for text in naming):
                untested.append(f"{reason.__name__}.{member.name}")
    assert_none(untested)


def test_no_module_or_folder_has_a_name_that_says_nothing():
    nameless = [
        relative(path)
        for path in sources(*PRODUCT, "tests")
        if BANNED_NAMES & {path.stem, *path.relative_to(ROOT).parts[:-1]}
    ]
    assert_none(nameless)


def folders_with_readme() -> set[Path]:
    """Folders with files: all of product and docs, and of tests down to one level.

    `schemas/avro` speaks for its folders, which are modules of `domain/`; plots are generated.
    """
    files = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*") if path.is_file()]
    folders = {path.parent for path in files if "__pycache__" not in path.parts}
    product = {folder for folder in folders if folder.parent.name != "avro"}
    docs = {ROOT / "docs", ROOT / "docs" / "decisions"}
    tests = {path.parent for path in sources("tests")}
    return product | docs | {folder for folder in tests if len(folder.relative_to(ROOT).parts) <= 2}


def test_every_folder_has_its_readme():
    missing = sorted(
        relative(folder) for folder in folders_with_readme() if not (folder / "README.md").exists()
    )
    assert_none(missing)


def test_every_module_is_named_in_its_folders_readme():
    unnamed = [
        relative(path)
        for path in sources(*PRODUCT)
        if path.name != "__init__.py"
        and f"`{path.name}`" not in (path.parent / "README.md").read_text(encoding="utf-8")
    ]
    assert_none(unnamed)


def readme_tree() -> set[str]:
    """Paths in the README's drawn tree: a fenced block of lines `name/  what`, indented by two."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    drawn = [block for block in blocks if block.startswith("domain/")]
    paths: set[str] = set()
    for block in drawn:
        above: list[str] = []
        for line in block.splitlines():
            named = re.match(r"( *)([\w.-]+/?)(\s|$)", line)
            if named:
                above[len(named[1]) // 2 :] = [named[2].rstrip("/")]
                paths.add("/".join(above))
    return paths


def test_the_readmes_tree_is_the_tree_on_disk():
    drawn = readme_tree()
    assert_none(f"{path} is drawn only" for path in sorted(drawn) if not (ROOT / path).exists())
    assert_none(f"{folder} is not drawn" for folder in (*PRODUCT, "tests") if folder not in drawn)


Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines_of(function: Function) -> int:
    """Lines of a function without its docstring and decorators."""
    last = function.end_lineno or function.lineno
    first = function.body[0]
    described = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if described else 0
    return last - function.lineno + 1 - docstring


def functions() -> Iterator[tuple[str, int]]:
    """Every function written by hand, as `path::name`, with its length."""
    for path in sources(*PRODUCT, "tests"):
        if relative(path) not in GENERATED:
            for node in ast.walk(parsed(path)):
                if isinstance(node, Function):
                    yield f"{relative(path)}::{node.name}", lines_of(node)


def test_functions_are_short():
    long = {name: lines for name, lines in functions() if lines > FUNCTION_LINES_MAX}
    assert_none(f"{name} has {long[name]} lines" for name in long if name not in LONG_FUNCTIONS)
    assert_none(f"{name} is no longer long" for name in LONG_FUNCTIONS if name not in long)


def test_files_are_short():
    lines = {
        relative(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources(*PRODUCT, "tests")
    }
    assert_none(
        f"{name} has {lines[name]} lines"
        for name in lines
        if lines[name] > FILE_LINES_MAX and name not in GENERATED
    )


def test_every_module_says_its_duty_in_a_docstring():
    silent = [
        relative(path)
        for path in sources(*PRODUCT)
        if path.read_text(encoding="utf-8").strip() and not ast.get_docstring(parsed(path))
    ]
    assert_none(silent)
