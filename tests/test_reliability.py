"""The page of what simulation and faults have shown says what the facts say."""

from tests.reliability import FACTS, page, read, update
from tests.simulation.examples import MISJUDGED

RUN = {
    "first": 1_000,
    "count": 500,
    "commit": "abc1234",
    "build": "compiled",
    "crashes": 3_210,
    "seconds": 10.0,
    "failures": {"1007": ["L4: below zero"]},
}
MUTANTS = {
    "limit": 20_000,
    "commit": "abc1234",
    "rows": [
        {"name": "dedupe off", "schedules": 3, "violation": "S6: a | b"},
        {"name": "harmless", "schedules": 20_000, "violation": ""},
        {
            "name": "ids",
            "schedules": 1,
            "violation": "S6: asked {(b'\\xf1\\'|', 24): 1, b\"'\": 2}",
        },
        {"name": "talk", "schedules": 1, "violation": f"S6: a={'b' * 90}: " + "refused " * 30},
    ],
}


def test_the_page_is_drawn_from_the_facts():
    assert FACTS.with_suffix(".md").read_text(encoding="utf-8") == page(read())


def test_a_part_is_added_to_and_others_stay(tmp_path):
    facts = tmp_path / "reliability.json"
    update("simulation", lambda told: {"runs": [RUN]}, facts)
    update("simulation", lambda told: told | {"coverage": {"read before": 7}}, facts)
    assert read(facts) == {"simulation": {"runs": [RUN], "coverage": {"read before": 7}}}
    assert "| read before | 7 |" in facts.with_suffix(".md").read_text(encoding="utf-8")


def test_what_is_not_counted_is_told():
    seed = min(MISJUDGED)
    earlier, later = RUN | {"first": 0}, RUN | {"first": seed - 1}
    drawn = page({"simulation": {"runs": [earlier, later]}})
    assert f"A batch failed at seed {seed:,}, where the product was right" in drawn
    assert f"(commit abc1234) it was run again from its first seed, {seed - 1:,}" in drawn
    assert f"Of seeds 500 to {seed - 2:,} nothing was recorded." in drawn
    assert "nothing was recorded" not in page({"simulation": {"runs": [RUN]}})


def test_failed_seeds_and_unnoticed_mutants_show():
    drawn = page({"simulation": {"runs": [RUN], "mutants": MUTANTS}})
    assert "**500 schedules**" in drawn
    assert "1 of them violated" in drawn
    assert "| 1,000 to 1,499 | abc1234 | compiled | 3,210 | 1007 | 50 |" in drawn
    assert "| dedupe off | 3 | S6: a \\| b |" in drawn
    assert "| harmless | unnoticed |  |" in drawn
    assert f"| talk | 1 | S6: a={'b' * 38}… " in drawn
    assert "refused … |" in drawn
    assert "| ids | 1 | S6: asked {(f1277c, 24): 1, 27: 2} |" in drawn
    assert "3 of 4 mutants are caught within 20,000 schedules" in drawn
