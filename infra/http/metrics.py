"""What the HTTP frame tells Prometheus: how long answers take, and how requests are refused."""

import logging
from time import monotonic

from aiohttp.http import HttpProcessingError

from infra.metrics import Counter, Histogram

_SECONDS = Histogram(
    "logbourse_http_seconds",
    "From the arrival of a request to its answer",
    ("endpoint",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_ANSWERS = Counter(
    "logbourse_http_answers", "Answers, by status and error number", ("endpoint", "status", "code")
)
FAILURES = Counter("logbourse_http_failures", "Requests that met a fault in here, each a log line")
_MALFORMED = Counter("logbourse_http_malformed", "What was sent here that is no request of HTTP")


def count_malformed() -> None:
    """From now on count what aiohttp cannot read; it writes a line for each, which cost nothing."""
    server = logging.getLogger("aiohttp.server")
    # Some it tells as what nobody needs to know.
    server.setLevel(logging.DEBUG)
    server.addFilter(_COUNTED)


class _Counted(logging.Filter):
    """Lets lines pass about what is no client's fault."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            _MALFORMED.inc()
            return False
        return record.levelno >= logging.WARNING


_COUNTED = _Counted()


class EndpointMetrics:
    """Counts the answers of one endpoint; `endpoint` is a method's name, or verb and path."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._seconds = _SECONDS.labels(endpoint)
        self._answers: dict[tuple[int, int], Counter] = {}

    def answered(self, began_s: float, status: int, code: int) -> None:
        """Count an answer to a request of monotonic time `began_s`; `code` is its error's number.

        A request that is answered without an error has the number 0.
        """
        self._seconds.observe(monotonic() - began_s)
        counter = self._answers.get((status, code))
        if counter is None:
            counter = _ANSWERS.labels(self._endpoint, str(status), str(code))
            self._answers[status, code] = counter
        counter.inc()
