"""A TCP proxy that loses, delays and cuts: one process, told on its standard input.

It stands before every broker, controller and Redis. Each connection knows who made it (the process
whose socket it is, by the pid files of the stack), so that a rule can cut one pair and one way.
What a rule holds back is not dropped: once the rule is gone it arrives, late, as TCP would have it.
"""

import asyncio
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

CHUNK_BYTES = 65_536
ANYBODY = "*"
TO, FROM, BOTH = "to", "from", "both"
"""Which way of a connection a rule is about: to the server, from it, or both."""


@dataclass(slots=True, frozen=True)
class Rule:
    """What happens between a client and a server; `ANYBODY` stands for all of them.

    `cut`: bytes and closing are held back until the rule is gone. `delay_s`: each piece waits so
    long. `present`: only the connections that exist when the rule begins are concerned.
    """

    client: str = ANYBODY
    server: str = ANYBODY
    way: str = BOTH
    cut: bool = False
    delay_s: float = 0.0
    present: bool = False

    def concerns(self, client: str, server: str, way: str) -> bool:
        """Whether the rule is about that way of such a connection."""
        return (
            self.client in (ANYBODY, client)
            and self.server in (ANYBODY, server)
            and self.way in (BOTH, way)
        )


class Proxy:
    """All listeners and connections; `rules` replace each other as a whole."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._rules: dict[Rule, int] = {}
        self._struck: Counter[Rule] = Counter()
        self._links = 0
        self._changed = asyncio.Event()

    async def listen(self, port: int, target: int, name: str) -> None:
        """Pass on what comes to `port` to the server of that name at `target`."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(reader, writer, target, name)

        await asyncio.start_server(serve, "127.0.0.1", port)

    def rule(self, rules: Sequence[Rule]) -> Mapping[Rule, int]:
        """From now on these rules hold, and no others.

        How many pieces each rule has struck that has held until now, since it began.
        """
        struck = {rule: self._struck[rule] for rule in self._rules}
        self._struck = Counter({rule: n for rule, n in struck.items() if rule in rules})
        self._rules = {rule: self._rules.get(rule, self._links) for rule in rules}
        before, self._changed = self._changed, asyncio.Event()
        before.set()
        return struck

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int, name: str
    ) -> None:
        self._links += 1
        number = self._links
        ends = (writer.get_extra_info("peername")[1], writer.get_extra_info("sockname")[1])
        client = owner_of(*ends, self._run_dir)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        link = (client, name, number)
        await asyncio.gather(
            self._pump(reader, far_writer, link, TO), self._pump(far_reader, writer, link, FROM)
        )

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: tuple[str, str, int],
        way: str,
    ) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                self._struck.update(self._concerning(link, way))
                await self._wait(link, way)
                if writer.is_closing():
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            # Whoever closes is not heard either while the way is cut.
            await self._wait(link, way)
            with suppress(OSError):
                writer.close()

    async def _wait(self, link: tuple[str, str, int], way: str) -> None:
        while True:
            found = self._concerning(link, way)
            if not any(rule.cut for rule in found):
                break
            await self._changed.wait()
        if found:
            await asyncio.sleep(max(rule.delay_s for rule in found))

    def _concerning(self, link: tuple[str, str, int], way: str) -> list[Rule]:
        client, server, number = link
        return [
            rule
            for rule, links in self._rules.items()
            if rule.concerns(client, server, way) and (number <= links or not rule.present)
        ]


def owner_of(port: int, peer: int, run_dir: Path) -> str:
    """The process of the stack that has connected its local `port` to `peer`; empty if none has."""
    inode = _inode(port, peer)
    if not inode:
        return ""
    wanted = f"socket:[{inode}]"
    for pid_file in run_dir.glob("*.pid"):
        with suppress(OSError, ValueError):
            folder = Path("/proc") / str(int(pid_file.read_text())) / "fd"
            for entry in os.scandir(folder):
                with suppress(OSError):
                    if os.readlink(entry.path) == wanted:
                        return pid_file.stem
    return ""


def _inode(port: int, peer: int) -> str:
    """Both ports count: other connections, some long closed, may have the same local one."""
    wanted = (f"{port:04X}", f"{peer:04X}")
    # The JVM's sockets are of the second kind.
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for line in lines:
                words = line.split()
                ports = tuple(each.rpartition(":")[2] for each in words[1:3])
                if ports == wanted and re.fullmatch(r"[1-9][0-9]*", words[9]):
                    return words[9]
    return ""


async def _obey(run_dir: Path) -> None:
    proxy = Proxy(run_dir)
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        wish: dict[str, Any] = json.loads(line)
        if "listen" in wish:
            await proxy.listen(wish["listen"], wish["target"], wish["name"])
            struck: Mapping[Rule, int] = {}
        else:
            struck = proxy.rule([Rule(**rule) for rule in wish["rules"]])
        told = [[asdict(rule), pieces] for rule, pieces in struck.items()]
        print(json.dumps({"struck": told}), flush=True)


if __name__ == "__main__":
    uvloop.run(_obey(Path(sys.argv[1])))
