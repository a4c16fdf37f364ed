"""Spelled-out constructors do what the generated ones do."""

import pickle
import sys
from types import ModuleType
from typing import Any

import pytest

from native.constructors import learn_fields, spelled_out

BASES = '''
from dataclasses import dataclass

@dataclass(slots=True)
class Message:
    """A message."""

@dataclass(slots=True)
class Command(Message):
    """A command."""

    command_id: bytes
'''

SOURCE = '''
from dataclasses import dataclass, field

from bases import Command

@dataclass(slots=True)
class Place(Command):
    """An order."""

    lots: int
    ids: list[int] = field(default_factory=list)
    kind: str = "limit"

    def twice(self) -> int:
        return 2 * self.lots


@dataclass(slots=True, frozen=True)
class Policy:
    """It cannot be changed."""

    seconds: int = 1


class Plain:
    """No dataclass."""


@dataclass
class Own:
    """It has a constructor."""

    lots: int

    def __init__(self) -> None:
        self.lots = 3
'''


def loaded(name: str, source: str) -> Any:
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), vars(module))
    return module


@pytest.fixture
def spelled(monkeypatch):
    """The source with constructors, run."""
    known: dict[str, Any] = {}
    learn_fields(BASES, known)
    for name in ("bases", "spelled"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    loaded("bases", spelled_out(BASES, known))
    return loaded("spelled", spelled_out(SOURCE, known))


def test_inherited_fields_come_first_and_defaults_stay(spelled):
    place = spelled.Place(b"id", 5)
    assert (place.command_id, place.lots, place.ids, place.kind) == (b"id", 5, [], "limit")
    assert spelled.Place(b"id", 5, ids=[1], kind="market").ids == [1]
    assert place.twice() == 10


def test_a_default_is_made_anew_each_time(spelled):
    assert spelled.Place(b"", 1).ids is not spelled.Place(b"", 1).ids


def test_equality_and_text_are_those_of_the_dataclass(spelled):
    assert spelled.Place(b"", 1) == spelled.Place(b"", 1) != spelled.Place(b"", 2)
    text = "Place(command_id=b'', lots=1, ids=[], kind='limit')"
    assert repr(spelled.Place(b"", 1)).endswith(text)


def test_a_pickled_object_comes_back(spelled):
    place = spelled.Place(b"id", 5, [7], "market")
    assert pickle.loads(pickle.dumps(place)) == place


def test_others_stay_as_they_are(spelled):
    assert spelled.Policy(2).seconds == 2
    assert spelled.Own().lots == 3
    assert "__init__" not in vars(spelled.Plain)


def test_another_option_of_a_field_is_refused():
    source = (
        "from dataclasses import dataclass, field\n"
        "@dataclass\nclass A:\n    a: int = field(repr=False)\n"
    )
    with pytest.raises(ValueError, match="a field with a default factory was wanted"):
        spelled_out(source, {})
