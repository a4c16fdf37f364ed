"""The door to Redis: clients for threads and for asyncio, with time limits that never hang."""

from redis import Redis
from redis import asyncio as redis_asyncio
from redis import exceptions as redis_exceptions

AsyncRedis = redis_asyncio.Redis
RedisError = redis_exceptions.RedisError
ResponseError = redis_exceptions.ResponseError
"""What Redis answers to a command that it does not take, such as one for another type of key."""
LockError = redis_exceptions.LockError
"""A lock that is not held (any more); it is a `RedisError`, too."""

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0


def redis_client(
    url: str, *, answer_timeout_s: float = ANSWER_TIMEOUT_S, protocol: int | None = None
) -> Redis:
    """A client for threads; answers are bytes. Raises `RedisError` where Redis does not answer.

    `protocol` 2 is for who is told of changed keys, which come as messages then.
    """
    chosen = {} if protocol is None else {"protocol": protocol}
    return Redis.from_url(
        url,
        **chosen,
        socket_connect_timeout=min(CONNECT_TIMEOUT_S, answer_timeout_s),
        socket_timeout=answer_timeout_s,
    )


def async_redis_client(url: str, *, max_connections: int = 64) -> AsyncRedis:
    """A client for asyncio with its own pool; answers are bytes; end it with `await aclose()`.

    More than `max_connections` at once wait for a free one.
    """
    pool = redis_asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=ANSWER_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
    )
    return AsyncRedis.from_pool(pool)


def answers(url: str) -> bool:
    """Whether a Redis there says PONG now."""
    client = redis_client(url)
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()
