"""Questions over HTTP to this exchange's own processes: straight to them, through no proxy."""

import urllib.request
from http.client import HTTPException
from typing import NamedTuple


class Answer(NamedTuple):
    """What came back, whatever its status."""

    status: int
    body: bytes


def ask(question: str | urllib.request.Request, timeout_s: float) -> Answer:
    """The answer to a URL or request. Raises `OSError` if none comes, or none in HTTP."""
    try:
        with _opener.open(question, timeout=timeout_s) as answer:
            return Answer(answer.status, answer.read())
    except HTTPException as error:
        raise OSError(f"HTTP was wanted, was {error!r}") from error


def _make_opener() -> urllib.request.OpenerDirector:
    """Without what `urlopen` adds: proxies of the environment, and redirects, get the token too."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


_opener = _make_opener()
