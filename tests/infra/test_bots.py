"""The bots of the demo market: all of them trade, or none does."""

import asyncio
import os
import signal

import pytest

from infra.demo import bots

KEYS = {name: {"apiKey": "k", "secret": "s"} for name in ("maker", "taker")}


async def rest(_client, _market) -> None:
    await asyncio.sleep(3_600)


async def break_down(_client, _market) -> None:
    raise KeyError("orderId")


async def test_a_bot_that_breaks_ends_all(monkeypatch):
    monkeypatch.setattr(bots, "_make", rest)
    monkeypatch.setattr(bots, "_take", break_down)
    async with asyncio.timeout(5):
        with pytest.raises(ExceptionGroup) as broken:
            await bots._trade("http://127.0.0.1:9", KEYS)
    assert broken.group_contains(KeyError, match="orderId")


async def test_sigterm_ends_the_bots_without_an_error(monkeypatch):
    monkeypatch.setattr(bots, "_make", rest)
    monkeypatch.setattr(bots, "_take", rest)
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await bots._trade("http://127.0.0.1:9", KEYS)
