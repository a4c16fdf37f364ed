"""The door to ClickHouse: a client for the engine in this process (chdb) or for a server.

How `chdb:///directory` behaves, as measured with chdb 4.4:

* One process owns a directory. A second process is refused at once (`StoreUnavailable`); the lock
  goes with the process, SIGKILL included.
* One process has one engine, so every client of it must name the same directory.
* A client may be used by any thread, one call at a time: a query waits for the one before it. Two
  clients of the same directory run side by side (the GIL is released), so give each thread, or
  each pool of one thread, its own client.
* There is no asyncio client: call from an executor. Signal handlers of Python and asyncio work.
* Arguments in braces (`{id:Int64}`) with `parameters=` work as with a server.
* The engine takes about 300 MB and thirty threads.
"""

from pathlib import Path
from typing import Any

from clickhouse_connect import get_client
from clickhouse_connect.driver import exceptions
from clickhouse_connect.driver.client import Client

from infra.refusal import Refusal

ClickHouseClient = Client
ClickHouseError = exceptions.Error

EMBEDDED = "chdb://"

# Rows are acknowledged when they are stored, and repeated inserts are told apart by their keys.
_INSERT_SETTINGS = {"async_insert": 0}


class StoreUnavailable(Refusal):
    """No ClickHouse can be used there now; the text is one sentence."""


def clickhouse_client(dsn: str, **arguments: Any) -> Client:
    """A client for `chdb:///directory` (made if missing) or `http://user:password@host:port/db`.

    Raises `StoreUnavailable` if the directory has another owner or the server does not answer.
    """
    if dsn.startswith(EMBEDDED):
        Path(dsn.removeprefix(EMBEDDED)).parent.mkdir(parents=True, exist_ok=True)
    else:
        # Queries of one session must not overlap, and a server's client is shared by threads.
        arguments = {"autogenerate_session_id": False} | arguments
    try:
        return get_client(dsn=dsn, settings=dict(_INSERT_SETTINGS), **arguments)
    except ClickHouseError as error:
        raise StoreUnavailable(_why(dsn, error)) from error


def _why(dsn: str, error: Exception) -> str:
    if dsn.startswith(EMBEDDED):
        directory = dsn.removeprefix(EMBEDDED)
        return f"{directory} must belong to this process alone, was refused: {error}"
    place = dsn.rpartition("@")[2].removeprefix("http://").removeprefix("https://")
    return f"a ClickHouse server must answer at {place}, did not: {type(error).__name__}"
