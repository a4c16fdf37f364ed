"""Log lines are JSON, and no secret is in them whatever the way it came."""

import errno
import json
import logging
import os

import pytest
import structlog

from infra.logging import REDACTED, configure_logging, get_logger, redact


def log_to(path, monkeypatch) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    monkeypatch.setattr("infra.logging.STANDARD_ERROR", descriptor)
    configure_logging("info")


@pytest.fixture
def log_lines(tmp_path, monkeypatch):
    before = logging.getLogger().handlers[:], logging.getLogger().level
    path = tmp_path / "test.log"
    log_to(path, monkeypatch)
    yield lambda torn=0: [json.loads(line) for line in path.read_text().splitlines()[torn:]]
    structlog.reset_defaults()
    logging.getLogger().handlers[:], _ = before
    logging.getLogger().setLevel(before[1])


def test_a_line_is_one_json_object_with_its_context(log_lines):
    get_logger("gateway", shard="L0").info("order accepted", order_id=42)
    (line,) = log_lines()
    assert (line["event"], line["level"]) == ("order accepted", "info")
    assert (line["component"], line["shard"], line["order_id"]) == ("gateway", "L0", 42)
    assert line["timestamp"].endswith("Z")


def test_a_full_disk_loses_lines_and_fails_nothing(log_lines, monkeypatch):
    log_to("/dev/full", monkeypatch)
    get_logger("gateway").error("no room")


def test_a_line_that_was_torn_spoils_none_behind_it(log_lines, monkeypatch):
    write, room = os.write, [20]

    def write_what_fits(descriptor: int, line: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "no room")
        written = write(descriptor, line[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr("infra.logging.os.write", write_what_fits)
    for _ in range(3):
        get_logger("gateway").info("no room")
    room[0] = 10_000
    get_logger("gateway").info("room")
    get_logger("gateway").info("again")
    monkeypatch.undo()
    lines = log_lines(torn=1)
    assert [line["event"] for line in lines] == ["room", "again"]


def test_lines_below_the_level_are_not_written(log_lines):
    get_logger("gateway").debug("too much")
    get_logger("gateway").warning("enough")
    assert [line["event"] for line in log_lines()] == ["enough"]


def test_lines_of_libraries_take_the_same_way(log_lines):
    logging.getLogger("librdkafka").warning("broker %s is away", 1)
    logging.getLogger("librdkafka").info("not this")
    (line,) = log_lines()
    assert (line["event"], line["component"]) == ("broker 1 is away", "librdkafka")


def test_an_exception_is_written_in_the_line(log_lines):
    try:
        raise ValueError("lots must be positive, was 0")
    except ValueError:
        get_logger("gateway").exception("failed")
    (line,) = log_lines()
    assert "lots must be positive, was 0" in json.dumps(line["exception"])


def test_what_a_client_sent_malformed_is_not_quoted(log_lines):
    try:
        raise ValueError("Invalid header value: b'Authorization: Bearer hunter2\\x00'")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request from %s", "1.2.3.4")
    (line,) = log_lines()
    assert (line["event"], line["error"]) == (
        "Error handling request from 1.2.3.4",
        "ValueError",
    )
    assert "hunter2" not in json.dumps(line)


@pytest.mark.parametrize(
    "name",
    ["secret", "api_secret", "signature", "Token", "password", "apiKey", "X-MBX-APIKEY",
     "Authorization", "private_key", "sealed_secret"],
)  # fmt: skip
def test_values_under_a_secret_name_are_taken_out(name):
    event = {
        "event": "x",
        name: "hunter2",
        "nested": {name: "hunter2"},
        "list": [{name: "hunter2"}],
    }
    text = json.dumps(redact(None, "info", event))
    assert "hunter2" not in text
    assert text.count(REDACTED) == 3


def test_other_values_stay():
    event = {"event": "x", "price_ticks": 5, "id": b"\x01\xff", "levels": (1, 2)}
    assert redact(None, "info", event) == {
        "event": "x",
        "price_ticks": 5,
        "id": "01ff",
        "levels": [1, 2],
    }
