"""Alert rules, dashboard, runbook and the list of metrics: each names only what there is."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from commands.admin.operations import OPERATIONS
from infra.ending import EXIT_STATUS_HALTED
from infra.prometheus import MONITORING, PrometheusMissing, prometheus_binary, write_config
from infra.scraping import save_targets
from infra.settings import load_settings
from logbourse import SUBCOMMANDS
from streams.halts import HaltReason
from streams.leadership import EXIT_STATUS_STEPPED_DOWN
from tests.infra.metric_catalogue import (
    OF_EVERY_PROCESS,
    OF_THE_SCRAPE,
    ROOT,
    documented,
    labels_of,
    made,
)

TESTS_OF_ALERTS = ("alerts_test.yml", "alerts_of_hours_test.yml")
SEVERITIES = {"page", "ticket", "note"}
OF_ALERTS = {"ALERTS": frozenset({"alertname", "alertstate", "severity"})}
MADE_BY_THE_RULES = {"host"}


@pytest.fixture(scope="session")
def promtool() -> str:
    """Debian's, which is fetched; elsewhere it must be there."""
    try:
        return prometheus_binary("promtool")
    except PrometheusMissing as missing:
        if shutil.which("apt-get") is not None:
            raise
        pytest.skip(str(missing))


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    return json.loads((MONITORING / "dashboard.json").read_text())


def queries() -> Iterator[tuple[str, str]]:
    """Every expression, with who asks it."""
    for alert in alerts():
        yield alert["alert"], alert["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def runbook() -> str:
    return (ROOT / "docs/runbook.md").read_text()


def anchors(page: str) -> set[str]:
    """What a browser finds behind the # of this page."""
    titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_list_of_metrics_is_complete_and_true():
    listed, found = documented(), made()
    assert set(listed) == set(found)
    assert {name: listed[name] for name in found} == found


@pytest.mark.parametrize(("asker", "query"), list(queries()))
def test_a_query_names_metrics_and_labels_that_there_are(asker, query):
    catalogue = made() | OF_EVERY_PROCESS | OF_ALERTS
    text = re.sub(r'"[^"]*"', '""', query)
    known: set[str] = set()
    for name, matchers in re.findall(
        r"\b((?:logbourse_|process_)\w+|up\b|ALERTS\b)(?=[^\w(])(?:\{([^}]*)\})?", text + " "
    ):
        if name in OF_THE_SCRAPE:
            continue
        labels = labels_of(name, catalogue)
        assert labels is not None, f"{asker} asks for {name}"
        asked = set(re.findall(r"(\w+)\s*(?:=|!)", matchers))
        assert asked <= labels | OF_THE_SCRAPE, f"{asker} asks {name} for {asked}"
        known |= labels | OF_THE_SCRAPE | MADE_BY_THE_RULES
    assert known, f"{asker} asks for no metric"
    for grouped in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", text):
        assert set(re.findall(r"\w+", grouped)) <= known, f"{asker} groups by {grouped}"


def test_every_alert_says_how_urgent_it_is_and_what_to_read():
    names = [alert["alert"] for alert in alerts()]
    assert len(set(names)) == len(names)
    for alert in alerts():
        assert alert["labels"]["severity"] in SEVERITIES
        assert alert["annotations"]["summary"]
        wanted = f"docs/runbook.md#{alert['alert'].lower()}"
        assert alert["annotations"]["runbook"] == wanted
        assert alert["alert"].lower() in anchors(runbook()), alert["alert"]


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent():
    cases: dict[str, list[bool]] = {}
    for file in TESTS_OF_ALERTS:
        for test in yaml.safe_load((MONITORING / file).read_text())["tests"]:
            for case in test["alert_rule_test"]:
                cases.setdefault(case["alertname"], []).append(bool(case["exp_alerts"]))
    assert set(cases) == {alert["alert"] for alert in alerts()}
    assert all(set(fires) == {True, False} for fires in cases.values())


@pytest.mark.slow
def test_the_rules_and_their_cases_hold(promtool):
    for words in (["check", "rules", "alerts.yml"], ["test", "rules", *TESTS_OF_ALERTS]):
        done = subprocess.run(
            [promtool, *words], cwd=MONITORING, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_can_be_started_with_what_a_stack_writes(promtool, tmp_path):
    settings = load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path)})
    save_targets(settings, {"shards": 8090, "query": 8092})
    words = [promtool, "check", "config", str(write_config(settings))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS: 1 rule files found" in done.stdout
    assert "WARNING" not in done.stdout + done.stderr


def test_the_dashboard_shows_every_part_and_no_panel_twice():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows[1:] == [
        "Money path", "Shards", "Standby", "Projections", "Gateway", "Auditor", "Machine",
    ]  # fmt: skip
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_the_runbook_has_a_section_for_every_halt_and_every_exit_status():
    found = anchors(runbook())
    assert {reason.lower() for reason in HaltReason} <= found
    statuses = {1, 2, EXIT_STATUS_HALTED, EXIT_STATUS_STEPPED_DOWN}
    assert {f"exit-status-{status}" for status in statuses} <= found


@pytest.mark.parametrize("page", ["runbook.md", "operating.md", "metrics.md"])
def test_every_command_of_a_page_exists(page):
    text = (ROOT / "docs" / page).read_text()
    named = set(re.findall(r"\blogbourse ([a-z]+)\b", text))
    assert named, "a page for operators names commands"
    assert named <= set(SUBCOMMANDS)
    operations = set(re.findall(r"\badmin ([a-z]+-[a-z-]+)\b", text))
    assert operations <= {operation.name for operation in OPERATIONS}


def test_every_link_of_the_runbook_leads_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", runbook()):
        file, _, anchor = target.partition("#")
        page = (ROOT / "docs" / file).read_text() if file else runbook()
        assert not anchor or anchor in anchors(page), target
