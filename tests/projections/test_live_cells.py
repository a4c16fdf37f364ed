"""What a real Redis tells of keys that were written, and how one knows that it tells no more."""

from contextlib import suppress
from time import monotonic

import pytest

from infra.redis import RedisError, redis_client
from projections.layout import redis_key
from projections.live_cells import Touched

pytestmark = pytest.mark.integration


def is_told(client, touched: Touched, name: str, within_s: float = 10.0) -> bool:
    """Whether a write to this key of the build is told in time."""
    client.set(redis_key("7", name), "x")
    give_up_s = monotonic() + within_s
    while monotonic() < give_up_s:
        if name in touched.take():
            return True
    return False


def kill(client, *, listens: bool) -> None:
    """End the other clients' connections of one kind, which then make new ones."""
    for each in client.client_list():
        is_listener = each["sub"] != "0"
        if int(each["id"]) != client.client_id() and is_listener is listens:
            client.client_kill_filter(_id=each["id"])


@pytest.mark.parametrize("listens", [True, False])
def test_a_connection_that_broke_shows_once_the_client_has_another_one(redis_server, listens):
    client = redis_client(redis_server.redis_url)
    touched = Touched(redis_client(redis_server.redis_url, protocol=2), "7")
    assert touched.works()
    assert is_told(client, touched, "one")
    kill(client, listens=listens)
    for call in (touched.take, touched.works):
        with suppress(RedisError):
            call()
    assert not is_told(client, touched, "two", within_s=0.5), "it is there again, and nothing comes"
    assert not touched.works()
    touched.close()
    anew = Touched(redis_client(redis_server.redis_url, protocol=2), "7")
    assert anew.works()
    assert is_told(client, anew, "three")
    anew.close()
    client.close()
