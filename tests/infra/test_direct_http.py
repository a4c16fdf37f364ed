"""Questions to own processes: straight to them, and what is no HTTP is no answer."""

import pytest

from infra import prometheus, stack
from infra.direct_http import ask
from tests.infra.speaking import NO_HTTP, speaking, told


@pytest.fixture
def proxied(monkeypatch):
    """An environment as of a machine that reaches the web through a proxy."""
    with speaking(told("200 OK", b"of the proxy")) as port:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield


def test_no_proxy_of_the_environment_hears_of_a_question(proxied):
    with speaking(told("200 OK", b"ours")) as port:
        assert ask(f"http://127.0.0.1:{port}/", 5.0) == (200, b"ours")


def test_every_status_is_an_answer_and_nobody_is_sent_elsewhere():
    """The token would go along."""
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"
    for words, answer in ((told("503 No", b"no"), (503, b"no")), (moved, (302, b""))):
        with speaking(words) as port:
            assert ask(f"http://127.0.0.1:{port}/", 5.0) == answer


@pytest.mark.parametrize("words", NO_HTTP)
def test_what_is_no_http_is_no_answer(words):
    with speaking(words) as port, pytest.raises(OSError, match=r"."):
        ask(f"http://127.0.0.1:{port}/", 5.0)


def test_who_answers_well_is_ready(proxied):
    for words, ready in ((told("200 OK", b""), True), (told("503 No", b""), False)):
        with speaking(words) as port:
            assert stack._answers(f"http://127.0.0.1:{port}/")() is ready
            assert prometheus._is_ready(port) is ready


@pytest.mark.parametrize("words", NO_HTTP[:2])
def test_who_speaks_no_http_is_not_ready(words):
    with speaking(words) as port:
        assert not stack._answers(f"http://127.0.0.1:{port}/")()
        assert not prometheus._is_ready(port)
