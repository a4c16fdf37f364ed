"""Redis in memory: the real script in Lua, stores that are wiped, calls that arrive too late."""

import copy
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from lupa.lua51 import LuaRuntime

from tests.simulation.faults import Crash, Faults

Script = Callable[[Any, Any, Any], str]
Call = tuple[Script, list[str], list[str]]


class RedisGone(Exception):
    """The store does not answer."""


class SimRedis:
    """What is stored, and what is under way to it from processes that are gone."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.texts: dict[str, str] = {}
        self.hashes: dict[str, dict[str, str]] = {}
        self.sets: dict[str, set[str]] = {}
        self._late: list[list[Call]] = []
        self._before: tuple[Any, ...] | None = None

    def turn(self) -> None:
        """What was late arrives, at times."""
        if self._late and self.faults.chance(0.05):
            self.faults.happened["apply arrived late"] += 1
            self.run(self._late.pop(0))

    def busy(self) -> bool:
        """Whether something is under way."""
        return bool(self._late)

    def execute(self, calls: list[Call]) -> list[bytes]:
        """Run the calls of one client together; it may die before, or before it has the answer."""
        self._suffer()
        if self.faults.strikes("redis failure"):
            self._let_be_late(calls)
            raise RedisGone("no answer")
        try:
            self.faults.point("apply before")
        except Crash:
            self._let_be_late(calls)
            raise
        answers = self.run(calls)
        self.faults.point("apply after")
        return answers

    def _let_be_late(self, calls: list[Call]) -> None:
        """Whoever sent this is gone, or waits no more; it may come all the same."""
        if self.faults.strikes("late apply"):
            self._late.append(calls)

    def _suffer(self) -> None:
        """At times all is lost, or the last of it."""
        faults = self.faults
        if faults.strikes("redis wiped"):
            self.texts, self.hashes, self.sets = {}, {}, {}
        if self._before is not None and faults.strikes("redis set back"):
            self.texts, self.hashes, self.sets = self._before
            self._before = None
        elif faults.chance(0.02) and "redis set back" in faults.swarm.rates:
            self._before = copy.deepcopy((self.texts, self.hashes, self.sets))

    def run(self, calls: Sequence[Call]) -> list[bytes]:
        """Run scripts, each at once and whole."""
        return [self._run(*call) for call in calls]

    def _run(self, script: Script, keys: list[str], arguments: list[str]) -> bytes:
        table = lua().table_from
        return str(script(table(keys), table(arguments), self._command)).encode()

    def _command(self, name: str, key: str, *arguments: str) -> Any:
        """The commands that the script uses, as Redis answers them to Lua."""
        match name:
            case "GET":
                return self.texts.get(key, False)
            case "HGET":
                return self.hashes.get(key, {}).get(arguments[0], False)
            case "HSET":
                cells = self.hashes.setdefault(key, {})
                cells.update(zip(arguments[::2], arguments[1::2], strict=True))
            case "HDEL":
                if key in self.hashes:
                    self.hashes[key].pop(arguments[0], None)
                    if not self.hashes[key]:
                        del self.hashes[key]
            case "SADD":
                self.sets.setdefault(key, set()).update(arguments)
            case "PUBLISH":
                pass
            case _:
                raise AssertionError(f"the simulated Redis does not know {name}")
        return 0


class Client:
    """As much of a Redis client as the sink asks for; answers are bytes."""

    def __init__(self, store: SimRedis) -> None:
        self._store = store

    def register_script(self, text: str) -> Callable[..., None]:
        script = compiled(text)

        def call(keys: list[str], args: Sequence[object], client: "Pipeline") -> None:
            client.calls.append((script, keys, [str(each) for each in args]))

        return call

    def pipeline(self, transaction: bool) -> "Pipeline":
        return Pipeline(self._store)

    def set(self, key: str, value: str, nx: bool) -> None:
        if not nx or key not in self._store.texts:
            self._store.texts[key] = value

    def get(self, key: str) -> bytes | None:
        text = self._store.texts.get(key)
        return None if text is None else text.encode()

    def hgetall(self, key: str) -> Mapping[bytes, bytes]:
        cells = self._store.hashes.get(key, {})
        return {field.encode(): text.encode() for field, text in cells.items()}

    def smembers(self, key: str) -> Collection[bytes]:
        return {member.encode() for member in self._store.sets.get(key, ())}

    def close(self) -> None:
        pass


class Pipeline(Client):
    """Calls that are sent together: scripts, or questions."""

    def __init__(self, store: SimRedis) -> None:
        super().__init__(store)
        self.calls: list[Call] = []
        self._found: list[Any] = []

    def hgetall(self, key: str) -> Mapping[bytes, bytes]:
        found = super().hgetall(key)
        self._found.append(found)
        return found

    def execute(self) -> list[Any]:
        if self.calls:
            return list(self._store.execute(self.calls))
        return self._found


@functools.cache
def lua() -> LuaRuntime:
    """One for all, of the version that Redis has: scripts keep nothing."""
    return LuaRuntime(unpack_returned_tuples=True)


@functools.cache
def compiled(text: str) -> Script:
    """The script as a function of KEYS, ARGV and what `redis.call` shall be."""
    head = "return function(KEYS, ARGV, command) local redis = {call = command} "
    script: Script = lua().execute(f"{head}{text}\nend")
    return script
