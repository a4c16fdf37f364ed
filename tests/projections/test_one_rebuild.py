"""A ClickHouse server has no lock: who begins looks whether somebody writes to the next build."""

from dataclasses import replace

import pytest

from infra.clickhouse import clickhouse_client
from infra.refusal import Refusal
from infra.settings import load_settings
from projections import clickhouse_builds, rebuild_command
from projections.clickhouse_sink import ClickHouseSink
from tests.projections.scenarios import busy_exchange, feed

pytestmark = pytest.mark.integration


def test_of_two_rebuilds_at_a_server_the_second_is_refused_until_the_first_is_silent(
    tmp_path, monkeypatch
):
    engine = f"chdb://{tmp_path}/store"
    settings = load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path)})
    settings = replace(settings, clickhouse_dsn="http://somebody@there:8123/default")
    ran: list[str] = []

    def run_rebuild(*_: object) -> str:
        ran.append("2")
        return "2"

    monkeypatch.setattr(rebuild_command, "clickhouse_client", lambda _: clickhouse_client(engine))
    monkeypatch.setattr(rebuild_command, "run_rebuild", run_rebuild)
    client = clickhouse_client(engine)
    try:
        feed(busy_exchange(3, 20), ClickHouseSink(client))
        assert rebuild_command.rebuild(settings, "clickhouse", lambda *_: None) == "2"
        feed(busy_exchange(3, 20), ClickHouseSink(client, "2"))
        with pytest.raises(Refusal, match=r"one rebuild of clickhouse may run at a time.* build 2"):
            rebuild_command.rebuild(settings, "clickhouse", lambda *_: None)
        monkeypatch.setattr(clickhouse_builds, "SILENT_S", -5)
        assert rebuild_command.rebuild(settings, "clickhouse", lambda *_: None) == "2"
        assert ran == ["2", "2"]
    finally:
        client.close()
